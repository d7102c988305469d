"""The pytorch-grad-cam library behind our interface: the reference for the fast engine."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._nn.hooks import add_thread_hook
from pruncam.cams.layer_pass import at_least_float32
from pruncam.cams.map_layout import CHANNELS_FIRST, MapLayout

# Returns a CAM object of the library when called with a layout, and with `model`, `target_layers`
# and `reshape_transform`.
LibraryMethod = Callable[..., Any]


def library_method(class_name: str) -> LibraryMethod:
    """Return a CAM class of the library by its name.

    Raises ImportError if the library is not installed.
    """
    kind = getattr(_library(), class_name)

    def create(layout: MapLayout, **arguments: Any) -> Any:
        return kind(**arguments)

    return create


def library_ablation(to_zero: bool) -> LibraryMethod:
    """Return the library's AblationCAM; `to_zero` always sets ablated channels to 0.

    Raises ImportError if the library is not installed.
    """
    _library()
    from pytorch_grad_cam import AblationCAM, AblationLayer
    from pytorch_grad_cam.ablation_layer import AblationLayerVit
    from pytorch_grad_cam.utils.find_layers import replace_layer_recursive

    class Ablation(AblationCAM):
        """AblationCAM that survives in-place layers and restores the model after an error."""

        def save_activation(self, module, inputs, output):
            self.activations = output.clone()

        def get_cam_weights(self, *args):
            try:
                return super().get_cam_weights(*args)
            finally:
                replace_layer_recursive(self.model, self.ablation_layer, self.target_layers[0])

    class ToZero:
        """The paper's rule, which the library follows only if the smallest activation is 0."""

        def __call__(self, x):
            images = len(self.activations)
            by_channel = self.activations.movedim(self.channel_axis, 1)
            by_channel[torch.arange(images), self.indices[:images]] = 0
            return self.activations

    class FirstToZero(ToZero, AblationLayer):
        channel_axis = 1

    class LastToZero(ToZero, AblationLayerVit):
        channel_axis = -1

    first, last = (FirstToZero, LastToZero) if to_zero else (AblationLayer, AblationLayerVit)

    def create(layout: MapLayout, **arguments: Any) -> Ablation:
        kind = first if layout.axis_to_ablate == 1 else last
        return Ablation(ablation_layer=kind(), **arguments)

    return create


def library_maps(
    method: LibraryMethod,
    model: nn.Module,
    layer: nn.Module,
    images: Tensor,
    targets: Tensor,
    layout: MapLayout = CHANNELS_FIRST,
) -> Tensor:
    """Return the library's maps (N, H, W) of the classes `targets` (N,)."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    categories = [ClassifierOutputTarget(target) for target in targets.tolist()]

    def reshape(output: Tensor) -> Tensor:
        return at_least_float32(layout.to_maps(output))  # NumPy has no bfloat16

    # The library prints progress bars to stderr.
    with _trainable(model), torch.enable_grad(), redirect_stderr(io.StringIO()):
        cam = method(layout, model=model, target_layers=[layer], reshape_transform=reshape)
        # The library keeps an alias of the activations on a CPU and a copy from a GPU. Passing on
        # a clone makes both the output of the layer itself, whatever in-place layer follows.
        shield = add_thread_hook(layer, lambda module, inputs, output: output.clone())
        try:
            maps = cam(input_tensor=images.clone().requires_grad_(), targets=categories)
        finally:
            shield.remove()
            cam.activations_and_grads.release()
    return torch.from_numpy(maps).to(images.device)


def _library() -> ModuleType:
    """Import the library; ImportError says how to install it."""
    try:
        import pytorch_grad_cam
    except ImportError as error:
        raise ImportError(
            'engine="grad-cam" needs the pytorch-grad-cam library: pip install grad-cam'
        ) from error
    return pytorch_grad_cam


@contextmanager
def _trainable(model: nn.Module) -> Iterator[None]:
    """Let every weight receive a gradient, as the library needs; restore flags and gradients."""
    before = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    try:
        for parameter, _, _ in before:
            parameter.requires_grad_(parameter.is_floating_point())
        yield
    finally:
        for parameter, flag, gradient in before:
            parameter.requires_grad_(flag)
            parameter.grad = gradient
