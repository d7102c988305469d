"""The pytorch-grad-cam library behind our interface: the reference for the fast engine."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

# Returns a CAM object of the library when called with `model` and `target_layers`.
LibraryMethod = Callable[..., Any]


def library_method(class_name: str) -> LibraryMethod:
    """Return a CAM class of the library by its name.

    Raises ImportError if the library is not installed.
    """
    return getattr(_library(), class_name)


def library_ablation(to_zero: bool) -> LibraryMethod:
    """Return the library's AblationCAM; `to_zero` always sets ablated channels to 0.

    Raises ImportError if the library is not installed.
    """
    _library()
    from pytorch_grad_cam import AblationCAM, AblationLayer
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

    class ToZero(AblationLayer):
        """The paper's rule, which the library follows only if the smallest activation is 0."""

        def __call__(self, x):
            images = len(self.activations)
            self.activations[torch.arange(images), self.indices[:images]] = 0
            return self.activations

    return partial(Ablation, ablation_layer=ToZero()) if to_zero else Ablation


def library_maps(
    method: LibraryMethod,
    model: nn.Module,
    layer: nn.Module,
    images: Tensor,
    targets: Tensor,
) -> Tensor:
    """Return the library's maps (N, H, W) of the classes `targets` (N,)."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    categories = [ClassifierOutputTarget(target) for target in targets.tolist()]
    # The library prints progress bars to stderr.
    with _trainable(model), torch.enable_grad(), redirect_stderr(io.StringIO()):
        cam = method(model=model, target_layers=[layer])
        # The library keeps an alias of the activations on a CPU and a copy from a GPU. Passing on
        # a clone makes both the output of the layer itself, whatever in-place layer follows.
        shield = layer.register_forward_hook(lambda module, inputs, output: output.clone())
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
