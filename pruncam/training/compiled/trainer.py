"""Training of the MNIST network on the CPU, a whole epoch as one compiled loop.

The network of the thesis is so small that frameworks spend their time between the operations. Here
every image passes through all layers while it sits in the L1 cache: about ten times the speed of
the same steps in PyTorch on one core, and several seeds train side by side in threads. The
arithmetic is that of `training.fit` with engine "torch", in float32; only the order of the sums
differs, and it is the same on every processor. A model on another device is trained here too and
copied back. numba is imported only when an epoch is run.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from pruncam._core.extras import can_import, needed_for
from pruncam.training.recipes import Inputs, Recipe

_LAYERS = (
    nn.Conv2d,
    nn.ReLU,
    nn.MaxPool2d,
    nn.Conv2d,
    nn.ReLU,
    nn.MaxPool2d,
    nn.Flatten,
    nn.Linear,
)
_PARAMETER_SHAPES = ((4, 1, 3, 3), (4,), (8, 4, 3, 3), (8,), (10, 200), (10,))
_FLAT_SHAPES = ((4, 9), (4,), (8, 36), (8,), (10, 200), (10,))


def available() -> bool:
    """Return whether numba can be imported."""
    return can_import("numba")


def supports(model: nn.Module) -> bool:
    """Return whether `model` is the MNIST network in float32, with all weights trainable."""
    if type(model) is not nn.Sequential:
        return False
    if tuple(type(layer) for layer in model) != _LAYERS:
        return False
    return _has_standard_layers(model) and _has_standard_parameters(model)


def _has_standard_layers(model: nn.Sequential) -> bool:
    """Return whether strides, paddings and dilations are those of the compiled loops."""
    for layer in model:
        if isinstance(layer, nn.MaxPool2d):
            settings = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            if settings != (2, 2, 0, 1):
                return False
        if isinstance(layer, nn.Conv2d):
            geometry = (layer.stride, layer.padding, layer.dilation)
            if geometry != ((1, 1), (0, 0), (1, 1)):
                return False
    return True


def _has_standard_parameters(model: nn.Module) -> bool:
    parameters = list(model.parameters())
    if tuple(tuple(parameter.shape) for parameter in parameters) != _PARAMETER_SHAPES:
        return False
    return all(p.dtype == torch.float32 and p.requires_grad for p in parameters)


class Trainer:
    """Weights, momentum and masks of the MNIST network as flat arrays, updated by compiled epochs.

    Parameters
    ----------
    model : the network of `networks.mnist_net`; its weights are read now and written by `finish`
    masks : dict of 0/1 tensors by parameter name; parameters without a mask are free
    recipe : batch size, momentum and weight decay
    inputs : noise and normalisation of the images
    """

    def __init__(
        self,
        model: nn.Module,
        masks: dict[str, Tensor],
        recipe: Recipe,
        inputs: Inputs,
    ) -> None:
        parameters = dict(model.named_parameters())
        self.model = model
        self.recipe = recipe
        self.inputs = inputs
        self.weights = _flatten(parameter.detach() for parameter in parameters.values())
        self.mask = _flatten(
            masks.get(name, torch.ones_like(parameter)) for name, parameter in parameters.items()
        )
        self.velocity = np.zeros_like(self.weights)
        self.gradient = np.zeros_like(self.weights)

    def epoch(
        self,
        images: Tensor,
        labels: Tensor,
        order: Tensor,
        learning_rate: float,
        key: int,
    ) -> float:
        """Train on `images` (N, 1, 28, 28) uint8 once, in the given order; return the mean loss.

        Noise is drawn from stream `key`, as `datasets.noise.background` draws it.

        Raises
        ------
        ValueError
            If images or labels do not fit the network: compiled code checks no index.
        """
        with needed_for('engine="fused"', "studies"):
            from pruncam.training.compiled import kernel

        _check_samples(images, labels)
        samples = kernel.Samples(
            images.cpu().numpy().reshape(-1, kernel.PIXELS),
            labels.cpu().numpy(),
            order.numpy(),
        )
        transform = kernel.InputTransform(
            np.uint64(key),
            np.uint64(self.inputs.noise + 1),
            np.float32(self.inputs.scale),
            np.float32(self.inputs.offset),
        )
        values, gradients = _split(self.weights), _split(self.gradient)
        layers = tuple(
            kernel.Layer(values[k], values[k + 1], gradients[k], gradients[k + 1])
            for k in (0, 2, 4)
        )
        state = kernel.SgdState(self.weights, self.gradient, self.velocity, self.mask)
        settings = kernel.SgdSettings(
            np.float32(learning_rate),
            np.float32(self.recipe.momentum),
            np.float32(self.recipe.weight_decay),
            self.recipe.batch_size,
        )
        return kernel.train_epoch(samples, transform, layers, state, settings)

    @torch.no_grad()
    def finish(self) -> None:
        """Write the weights back into the model."""
        parameters = list(self.model.parameters())
        sizes = [parameter.numel() for parameter in parameters]
        pieces = torch.from_numpy(self.weights).split(sizes)
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.copy_(piece.view(parameter.shape))


def _check_samples(images: Tensor, labels: Tensor) -> None:
    if images.dtype != torch.uint8 or images.shape[1:] != (1, 28, 28):
        raise ValueError(
            "the network takes uint8 images of 1x28x28, "
            f"got {images.dtype} of shape {tuple(images.shape)}"
        )
    lowest, highest = labels.aminmax()
    if lowest < 0 or highest > 9:
        raise ValueError(
            f"the network has classes 0 to 9, got labels from {int(lowest)} to {int(highest)}"
        )


def _flatten(tensors: Iterable[Tensor]) -> np.ndarray:
    flat = torch.cat([tensor.flatten().float().cpu() for tensor in tensors])
    return flat.numpy().copy()


def _split(flat: np.ndarray) -> list[np.ndarray]:
    """Return the layers' tensors as views: the compiled loop writes through them."""
    sizes = [int(np.prod(shape)) for shape in _FLAT_SHAPES]
    pieces = np.split(flat, np.cumsum(sizes)[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, _FLAT_SHAPES, strict=True)]
