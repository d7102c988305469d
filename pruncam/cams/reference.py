"""The pytorch-grad-cam library behind our contract: the engine that the fast one is held to."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial

import torch
from torch import Tensor, nn


def explain_batch(
    model: nn.Module, layer: nn.Module, images: Tensor, methods: Sequence[str], targets: Tensor | None
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Maps by method, logits and explained classes of one batch, all computed by the library."""
    library = _library()
    with torch.no_grad():
        logits = model(images)
    explained = logits.argmax(dim=1) if targets is None else targets
    wanted = [library["target"](category) for category in explained.tolist()]
    maps = {}
    for method in methods:
        # It prints progress bars to stderr.
        with _trainable(model), torch.enable_grad(), redirect_stderr(io.StringIO()):
            cam = library[method](model=model, target_layers=[layer])
            # The library keeps an alias of the activation on a CPU and a copy from a GPU. Handing on a clone makes
            # both the layer's own output, whatever in-place layer or `+=` follows.
            shield = layer.register_forward_hook(lambda module, inputs, output: output.clone())
            try:
                found = cam(input_tensor=images.clone().requires_grad_(), targets=wanted)
            finally:
                shield.remove()
                cam.activations_and_grads.release()
        maps[method] = torch.from_numpy(found).to(images.device)
    return maps, logits, explained


def _library() -> dict[str, type]:
    try:
        from pytorch_grad_cam import AblationCAM, GradCAM, GradCAMPlusPlus
        from pytorch_grad_cam.ablation_layer import AblationLayer
        from pytorch_grad_cam.utils.find_layers import replace_layer_recursive
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        raise ImportError('engine="grad-cam" needs the pytorch-grad-cam library: pip install grad-cam') from error

    class Ablation(AblationCAM):
        """Reads the activations before an in-place layer alters them, and puts the layer back also after an error."""

        def save_activation(self, module, inputs, output):
            self.activations = output.clone()

        def get_cam_weights(self, *args):
            try:
                return super().get_cam_weights(*args)
            finally:
                replace_layer_recursive(self.model, self.ablation_layer, self.target_layers[0])

    class ToZero(AblationLayer):
        """The Ablation-CAM paper's rule, which the library only follows where the smallest activation is 0."""

        def __call__(self, x):
            self.activations[torch.arange(len(self.activations)), self.indices[: len(self.activations)]] = 0
            return self.activations

    return {
        "grad-cam": GradCAM,
        "grad-cam++": GradCAMPlusPlus,
        "ablation-cam": Ablation,
        "ablation-cam-zero": partial(Ablation, ablation_layer=ToZero()),
        "target": ClassifierOutputTarget,
    }


@contextmanager
def _trainable(model: nn.Module) -> Iterator[None]:
    """Every weight may receive a gradient inside, as the library needs; flags and gradients back after."""
    before = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    try:
        for parameter, _, _ in before:
            parameter.requires_grad_(parameter.is_floating_point())
        yield
    finally:
        for parameter, flag, gradient in before:
            parameter.requires_grad_(flag)
            parameter.grad = gradient
