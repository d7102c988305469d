"""SeNPIS: a filter is as important as the change of each class's loss without it.

Source: Pachon et al. 2022. Layers are ranked from the input on; filters of a layer are removed
before the next layer is ranked. The loss of a class is the mean cross-entropy of its images in the
batch, in eval mode. The importance of a filter for a class is |loss without it - loss|, and its
importance the mean over the classes in the batch. "Without it" means that its weight, its bias and
the terms of its BatchNorm are zero, which is what removal does. That is "senpis-faster"; "senpis"
also attenuates redundant filters before the mean, class by class:

* The mean map of a filter for a class is that of its layer's own output, before BatchNorm and
  activation, scaled to [0, 1] map by map (a constant map is 0). The SSIM of every pair of filters
  has a 7x7 uniform window, or the largest odd one that fits a smaller map. Maps under 3x3 pixels
  and FC neurons have no SSIM and are not attenuated.
* Pairs above the mean plus one population standard deviation of the SSIM of all pairs are similar.
  Of each such pair, the filter that is less important for the class (by the values before
  attenuation; the first of two equal ones) is multiplied by 0.9, once for every such pair.
* If filters of several layers are removed together, the maps are those of the layer applied first.

The source leaves these open: which output the maps are taken from, their scaling, the window,
sigma = 1, and the treatment of equal filters.

Networks that are a chain of layers, such as VGG, do not run once per filter. The input of a layer
is computed once; the next layer is linear, so its output without a filter is its output less what
it makes of that filter alone. Only what follows runs again, for as many filters and images at once
as the memory budget allows, and not at all for images on which the filter outputs only zeros.
"""

import threading
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruncam._nn.hooks import add_thread_hook
from pruncam._nn.memory import rows_within
from pruncam._nn.operations import WeightLayer
from pruncam.metrics import ssim
from pruncam.pruning.coupling import Group, silenced
from pruncam.pruning.layer_chain import (
    READERS,
    Step,
    accelerated,
    as_chain,
    bytes_per_row,
    is_channelwise,
    reads_channels,
    run_steps,
    subtract_shares,
)

SIGMA = 1.0  # standard deviations above the mean from which two filters are similar
ATTENUATION = 0.9
_PIXELS_AT_ONCE = 2**24  # of the maps whose SSIM is computed in one call


class SeNPIS:
    """The importances of the filters of a network in eval mode, which is cut between the calls."""

    @torch.no_grad()
    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        attenuate: bool,
    ):
        self._model = model
        self._images = images
        self._labels = labels
        self._attenuate = attenuate
        classes, class_of_image = labels.unique(return_inverse=True)
        # Class means (classes, N) in float64, since differences are small; so not on a GPU.
        members = functional.one_hot(class_of_image.cpu(), len(classes)).T.double()
        self._class_means = members / members.sum(dim=1, keepdim=True)
        self._chain = as_chain(model, images[:2])
        self._position = 0  # of the step in the chain that reads `_input`
        self._input = images.clone()  # the first step may work in place

    @torch.no_grad()
    def __call__(self, group: Group) -> Tensor:
        """Return the importance of the group's filters, (filters,) float64.

        Groups must come in the order of their first layers.
        """
        with _full_precision:
            changes, maps = self._changes_in_chain(group) or self._changes_by_passes(group)
        importance = (self._class_means @ changes.cpu().double()).abs()
        if not importance.isfinite().all():
            raise ValueError(
                f"the loss without one of the filters of {group.names} is not finite: "
                "the filters cannot be ranked"
            )
        if self._attenuate and maps is not None and min(maps.shape[2:]) >= 3:
            importance = attenuated(importance, maps)
        return importance.mean(dim=0)

    def _changes_by_passes(self, group: Group) -> tuple[Tensor, Tensor | None]:
        """Return the change of each image's loss without each filter, (N, filters), and the maps.

        Runs one forward pass per filter.
        """
        outputs = []
        handle = add_thread_hook(
            group.first, lambda module, inputs, output: outputs.append(output.clone())
        )
        try:
            loss = self._full_loss()
        finally:
            handle.remove()
        changes = []
        for index in range(group.filters):
            with silenced(group, index):
                changes.append(self._full_loss() - loss)
        return torch.stack(changes, dim=1), self._class_maps(outputs[0])

    def _changes_in_chain(self, group: Group) -> tuple[Tensor, Tensor | None] | None:
        """Return the same by linearity of the next layer; None if the network is not a chain."""
        if self._chain is None or len(group.layers) > 1:
            return None
        start = self._chain.index(group.first)
        end = _next_reader(self._chain, start)
        between = self._chain[start + 1 : end]
        reader = cast(WeightLayer, self._chain[end])
        if not all(is_channelwise(step) for step in between):
            return None
        self._input = run_steps(self._chain[self._position : start], self._input)
        self._position = start
        output = run_steps([group.first], self._input)
        features = run_steps(between, output)
        if not reads_channels(reader, features, group.filters):
            return None
        changes = self._changes_after(reader, features, self._chain[end + 1 :], group.filters)
        return changes, self._class_maps(output)

    def _changes_after(
        self,
        reader: WeightLayer,
        features: Tensor,
        after: list[Step],
        filters: int,
    ) -> Tensor:
        """Return the change of each image's loss without each filter, (N, filters)."""
        full = run_steps([reader], features)
        after = accelerated(after, full[:1])
        loss = self._loss(run_steps(after, full), self._labels)
        changes = loss.new_zeros(filters, len(loss))
        # (filter, image) pairs by filter; without a filter that outputs zeros nothing changes.
        is_active = features.reshape(len(features), filters, -1).any(dim=2)
        pairs = is_active.T.nonzero()
        rows = rows_within(bytes_per_row(after, full[:1]), full.device)
        for part in pairs.split(rows):
            index, image = part[:, 0], part[:, 1]
            value = full[image]
            subtract_shares(value, part, reader, features, filters)
            for step in after:
                value = step(value)
            loss_without = self._loss(value, self._labels[image])
            changes[index, image] = loss_without - loss[image]
        return changes.T

    def _full_loss(self) -> Tensor:
        """Return the loss of every image, (N,)."""
        return self._loss(self._model(self._images), self._labels)

    @staticmethod
    def _loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, reduction="none")

    def _class_maps(self, output: Tensor) -> Tensor | None:
        """Return the mean map of every class and filter, (classes, filters, h, w).

        Returns None if the output is not a feature map.
        """
        if not self._attenuate or output.ndim != 4:
            return None
        maps = torch.einsum("cn,nfhw->cfhw", self._class_means.to(output), output)
        return maps.cpu().double()


def _next_reader(chain: list[Step], start: int) -> int:
    """Return the position of the first layer after `start` that reads its channels."""
    return next(i for i in range(start + 1, len(chain)) if isinstance(chain[i], READERS))


_convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]


class _FullPrecision:
    """Convolutions without TF32, whose rounding to a thousandth exceeds the effect of most filters.

    The setting is one for the whole process: the first thread that enters changes it, the last one
    that leaves restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._previous = ""

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._previous = _convolutions.fp32_precision
                _convolutions.fp32_precision = "ieee"
            self._threads += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                _convolutions.fp32_precision = self._previous


_full_precision = _FullPrecision()


@torch.no_grad()
def attenuated(importance: Tensor, maps: Tensor) -> Tensor:
    """Return importances (classes, filters) with those of redundant filters attenuated.

    `maps` (classes, filters, h, w) are the mean maps of the filters, at least 3x3 pixels, float64
    on the CPU. Raises ValueError if a map is not finite.
    """
    if not maps.isfinite().all():
        raise ValueError("a feature map is nan or infinite: similar filters cannot be determined")
    filters = maps.shape[1]
    first, second = torch.triu_indices(filters, filters, offset=1)
    result = importance.clone()
    if filters == 1:
        return result
    for values, class_maps, row in zip(importance, _min_max(maps), result, strict=True):
        similarity = _pairwise_ssim(class_maps, first, second)
        threshold = similarity.mean() + SIGMA * similarity.std(correction=0)
        is_similar = similarity > threshold
        a, b = first[is_similar], second[is_similar]
        weaker = torch.where(values[b] < values[a], b, a)
        row *= ATTENUATION ** weaker.bincount(minlength=filters).double()
    return result


def _pairwise_ssim(maps: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the SSIM of the pairs maps[first], maps[second] of maps (filters, h, w)."""
    side = min(maps.shape[1:])
    window = min(7, side if side % 2 else side - 1)
    count = _PIXELS_AT_ONCE // maps[0].numel() + 1
    parts = []
    for a, b in zip(first.split(count), second.split(count), strict=True):
        parts.append(ssim(maps[a], maps[b], size=window))
    return torch.cat(parts)


def _min_max(maps: Tensor) -> Tensor:
    """Scale every map to [0, 1]; a constant map is 0."""
    low = maps.amin(dim=(2, 3), keepdim=True)
    high = maps.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low), 0.0)
