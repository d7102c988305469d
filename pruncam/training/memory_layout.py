"""The layout of images and weights in memory: most convolutions prefer channels last."""

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
        layout = layout_of_inputs(model, images)
        _lay_out(model, layout)
        yield layout
    finally:
        _lay_out(model, torch.contiguous_format)


def layout_of_inputs(model: nn.Module, images: Tensor) -> torch.memory_format:
    """Return channels last, or the contiguous layout if `model` can only process that.

    `images` (N, C, H, W) are a few of its inputs. A model that flattens maps by `view` needs them
    contiguous.
    """
    if _can_process(model, images.contiguous(memory_format=torch.channels_last)):
        return torch.channels_last
    return torch.contiguous_format


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
        except Exception:  # a forward pass is arbitrary code
            return False
    return True
