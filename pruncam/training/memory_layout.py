"""The layout of images and convolution weights in memory while a model is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pruncam._nn.probe import eval_mode


@contextmanager
def channels_last(model: nn.Module, images: Tensor) -> Iterator[torch.memory_format]:
    """Lay out the weights of `model` with channels last, and contiguously again at the end.

    Most convolutions are faster with the channels of a pixel side by side. Yields the layout for
    the batches: the contiguous one if the model cannot process these `images` (N, C, H, W) with
    channels last, as when it flattens maps by `view`.
    """
    _lay_out(model, torch.channels_last)
    try:
        if _can_process(model, images.contiguous(memory_format=torch.channels_last)):
            yield torch.channels_last
        else:
            _lay_out(model, torch.contiguous_format)
            yield torch.contiguous_format
    finally:
        _lay_out(model, torch.contiguous_format)


def _lay_out(model: nn.Module, layout: torch.memory_format) -> None:
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=layout)


@torch.no_grad()
def _can_process(model: nn.Module, images: Tensor) -> bool:
    """Return whether a forward pass succeeds. The random state stays as it is."""
    devices = [images.device] if images.is_cuda else []
    with eval_mode(model), torch.random.fork_rng(devices):
        try:
            model(images)
        except RuntimeError:
            return False
    return True
