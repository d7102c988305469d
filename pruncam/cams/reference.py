"""The pytorch-grad-cam library behind our contract: the engine that the fast one is held to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def explain_batch(
    model: nn.Module, layer: nn.Module, images: Tensor, methods: Sequence[str], targets: Tensor | None
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Maps by method, logits and explained classes of one batch, all computed by the library."""
    classes = _library()
    with torch.no_grad():
        logits = model(images)
    explained = logits.argmax(dim=1) if targets is None else targets
    wanted = [classes["target"](category) for category in explained.tolist()]
    maps = {}
    for method in methods:
        with _trainable(model), torch.enable_grad():
            cam = classes[method](model=model, target_layers=[layer])
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
        from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        raise ImportError('engine="grad-cam" needs the pytorch-grad-cam library: pip install grad-cam') from error
    return {"grad-cam": GradCAM, "grad-cam++": GradCAMPlusPlus, "target": ClassifierOutputTarget}


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
