"""One batch seen at the target layer: the input of every CAM method."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pruncam.cams.map_layout import CHANNELS_FIRST, MapLayout
from pruncam.cams.model_split import HookedModel, SplitForward, TracedModel


@dataclass(frozen=True)
class LayerPass:
    """N images after one forward pass, with K channels of h x w activations at the target layer.

    `activations` and `gradients` are (N, K, h, w), `logits` (N, classes), `targets` (N,) the
    explained classes. With `network` and `forward` a method can run the layers after the target
    layer again, on as many rows at once as `bytes_per_row` leaves room for; `layout` says where the
    output of the layer, `forward.activations`, holds the maps.
    """

    network: TracedModel | HookedModel
    forward: SplitForward
    targets: Tensor
    bytes_per_row: int
    layout: MapLayout = CHANNELS_FIRST

    @cached_property
    def activations(self) -> Tensor:
        """Return the activations, (N, K, h, w), in float32 or float64."""
        return at_least_float32(self.layout.to_maps(self.forward.activations.detach()))

    @cached_property
    def gradients(self) -> Tensor:
        """Return the gradients of the target logits by the activations, (N, K, h, w).

        Raises ValueError if the logits do not depend on the target layer.
        """
        with torch.enable_grad():
            score = self.forward.logits.gather(1, self.targets[:, None]).sum()
        gradients = None
        if score.requires_grad:
            activations = self.forward.activations
            (gradients,) = torch.autograd.grad(score, activations, allow_unused=True)
        if gradients is None:
            raise ValueError(
                "the logits do not depend on the target layer: name a layer before the output"
            )
        return at_least_float32(self.layout.to_maps(gradients))

    @property
    def logits(self) -> Tensor:
        """Return the logits, (N, classes)."""
        return self.forward.logits.detach()


def at_least_float32(values: Tensor) -> Tensor:
    """Return half-precision values as float32, others unchanged: maps need more than 11 bits."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()
