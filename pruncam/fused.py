"""A whole training epoch of the MNIST network as one compiled loop, for processors.

The network of the thesis is so small that frameworks spend their time between the operations. Here every image passes
through all layers while it sits in the first-level cache: about ten times the speed of the same steps in PyTorch on
one core, and several seeds train side by side in threads. Same arithmetic as `training.fit` with engine "torch", in
float32; the sums run in an order of their own, the same on every processor. A model on another device is trained here
too and carried back. numba is imported only when an epoch is asked for.
"""

import numpy as np
import torch
from torch import Tensor, nn

_SHAPES = ((4, 9), (4,), (8, 36), (8,), (10, 200), (10,))


def available() -> bool:
    """Whether numba can be imported."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def supports(model: nn.Module) -> bool:
    """Whether `model` is the MNIST network in float32, with every weight free to be trained."""
    kinds = [nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear]
    if type(model) is not nn.Sequential or [type(layer) for layer in model] != kinds:
        return False
    shapes = [(4, 1, 3, 3), (4,), (8, 4, 3, 3), (8,), (10, 200), (10,)]
    parameters = list(model.parameters())
    pools = [(p.kernel_size, p.stride, p.padding, p.dilation) for p in model if isinstance(p, nn.MaxPool2d)]
    convolutions = [(c.stride, c.padding, c.dilation) for c in model if isinstance(c, nn.Conv2d)]
    return (
        [tuple(parameter.shape) for parameter in parameters] == shapes
        and all(p.dtype == torch.float32 and p.requires_grad for p in parameters)
        and pools == [(2, 2, 0, 1)] * 2
        and convolutions == [((1, 1), (0, 0), (1, 1))] * 2
    )


class Trainer:
    """The MNIST network's weights, momentum and masks as flat arrays that the compiled epoch updates in place.

    Parameters
    ----------
    model : the network of `models.mnist_net`; its weights are read now and written back by `finish`
    masks : dict of 0/1 tensors by parameter name; parameters without one are free
    momentum, weight_decay : float
    """

    def __init__(self, model: nn.Module, masks: dict[str, Tensor], *, momentum: float, weight_decay: float):
        self.model = model
        self.weights = _flatten(parameter.detach() for parameter in model.parameters())
        self.mask = _flatten(masks.get(name, torch.ones_like(p)) for name, p in model.named_parameters())
        self.velocity = np.zeros_like(self.weights)
        self.gradient = np.zeros_like(self.weights)
        self.momentum, self.weight_decay = np.float32(momentum), np.float32(weight_decay)

    def epoch(
        self,
        images: Tensor,
        labels: Tensor,
        order: Tensor,
        *,
        batch_size: int,
        learning_rate: float,
        key: int,
        level: int,
        scale: float,
        offset: float,
    ) -> float:
        """One pass over `images` (N, 1, 28, 28) uint8 in the given order; returns the mean loss.

        Noise is drawn as `datasets.noise.background` draws it; the network's input is pixel * scale + offset.

        Raises ValueError where images or labels are not what the network takes: compiled code looks nothing up.
        """
        from pruncam.mnist_kernel import epoch

        if images.dtype != torch.uint8 or images.shape[1:] != (1, 28, 28):
            raise ValueError(f"the network takes uint8 images of 1x28x28, got {images.dtype} {tuple(images.shape)}")
        lowest, highest = (int(end) for end in labels.aminmax())
        if lowest < 0 or highest > 9:
            raise ValueError(f"the network has classes 0 to 9, got labels from {lowest} to {highest}")
        return epoch(
            images.cpu().numpy().reshape(-1, 784),
            labels.cpu().numpy(),
            order.numpy(),
            np.uint64(key),
            np.uint64(level + 1),
            np.float32(scale),
            np.float32(offset),
            *_split(self.weights),
            *_split(self.gradient),
            self.weights,
            self.gradient,
            self.velocity,
            self.mask,
            np.float32(learning_rate),
            self.momentum,
            self.weight_decay,
            batch_size,
        )

    @torch.no_grad()
    def finish(self) -> None:
        """Write the weights back into the model."""
        place = 0
        for parameter in self.model.parameters():
            piece = self.weights[place : place + parameter.numel()]
            parameter.copy_(torch.from_numpy(piece).view(parameter.shape))
            place += parameter.numel()


def _flatten(tensors) -> np.ndarray:
    return torch.cat([tensor.flatten().float().cpu() for tensor in tensors]).numpy().copy()


def _split(flat: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum([int(np.prod(shape)) for shape in _SHAPES])
    pieces = np.split(flat, ends[:-1])  # views: the compiled loop writes through them
    return [piece.reshape(shape) for piece, shape in zip(pieces, _SHAPES, strict=True)]
