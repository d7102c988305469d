"""ROAD: whether the pixels that a heatmap marks matter to the model (Rong et al. 2022)."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pruncam._core.seeds import generator
from pruncam._core.validation import (
    check_finite,
    check_model,
    check_number,
    check_seed,
    check_tensor,
    is_number,
    short_repr,
)
from pruncam._nn.outputs import Output, advice_on_output, check_output, class_probabilities
from pruncam._nn.probe import eval_mode, first_logits, placed_like
from pruncam._nn.wrappers import run_eagerly, unwrapped
from pruncam.cams.postprocess import is_empty
from pruncam.cams.validation import check_images, check_targets

PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)

# Weights of a pixel's neighbours, by the offset of row and column (ROAD, noisy linear imputation).
_DIRECT, _DIAGONAL = 1 / 6, 1 / 12
_NEIGHBOURS = (
    (-1, -1, _DIAGONAL),
    (-1, 0, _DIRECT),
    (-1, 1, _DIAGONAL),
    (0, -1, _DIRECT),
    (0, 1, _DIRECT),
    (1, -1, _DIAGONAL),
    (1, 0, _DIRECT),
    (1, 1, _DIAGONAL),
)


class RoadScores(NamedTuple):
    """Changes of the explained class's probability when pixels are imputed, (N,) each in [-1, 1].

    `most_relevant_first` is the mean change over all shares of the most relevant pixels: negative
    if they matter. `least_relevant_first` is that of the least relevant ones: about 0 if they do
    not. Both are NaN where the heatmap is empty.
    """

    most_relevant_first: Tensor
    least_relevant_first: Tensor

    @property
    def combined(self) -> Tensor:
        """Return half the difference of the two, (N,): the higher, the more faithful is the map."""
        return (self.least_relevant_first - self.most_relevant_first) / 2


def road(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    *,
    targets: Tensor | Sequence[int] | None = None,
    percentiles: Sequence[float] = PERCENTILES,
    noise: float = 0.01,
    seed: int = 0,
    batch_size: int = 32,
    output: Output | None = None,
) -> RoadScores:
    """Return how much the pixels that heatmaps mark matter to a model (ROAD).

    For every percentile, the pixels of an image above (or, for the least relevant ones, below) that
    percentile of its heatmap are imputed: each becomes the weighted mean of its eight neighbours,
    plus noise, so that no edge tells where pixels were removed. The scores equal those of
    pytorch-grad-cam with the probability of the class as its target, except where so many pixels
    share the lowest value that none would remain: there, those above it are imputed.

    Parameters
    ----------
    model, images, targets, output : as for `heatmaps`
    maps : tensor (N, H, W) in [0, 1], heatmaps of the images
    percentiles : percentiles of a heatmap, between 0 and 100
    noise : standard deviation of the noise on imputed pixels, in the units of the images
    seed : of the noise; the same images and maps get the same noise
    batch_size : images per pass

    Returns
    -------
    RoadScores
        NaN for an empty heatmap, which has no order of pixels.

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit each other.

    Notes
    -----
    An image and a percentile need a sparse system of equations with one unknown per imputed pixel:
    about 0.15 s at 224x224 pixels.
    """
    check_model(model)
    check_images(images)
    _check_maps(maps, images)
    _check_percentiles(percentiles)
    check_output(output)
    check_number("noise", noise, at_least=0)
    check_finite("noise", noise)
    seed = check_seed(seed)
    check_number("batch_size", batch_size, whole=True, at_least=1)
    model = unwrapped(model)
    batch_size = min(int(batch_size), len(images))
    maps = maps.detach() if maps.dtype.itemsize > 2 else maps.detach().float()
    imputer = _Imputer(images, float(noise))
    probabilities = partial(_probabilities, model, batch_size=batch_size, output=output)
    with eval_mode(model), run_eagerly(), advice_on_output():
        before = probabilities(images)
        classes = before.argmax(dim=1)
        if targets is not None:
            classes = check_targets(targets, len(images), before.shape[1]).to(before.device)
        changes = []
        for direction, relevance in enumerate((maps, 1 - maps)):
            after = torch.zeros_like(before)
            for percentile in percentiles:
                numbers = generator(seed, "road", direction, str(percentile))
                after += probabilities(imputer.imputed(relevance, percentile, numbers))
            change = after / len(percentiles) - before
            changes.append(change.gather(1, classes[:, None])[:, 0])
    has_no_order = is_empty(maps).to(before.device)
    return RoadScores(*(change.masked_fill(has_no_order, torch.nan) for change in changes))


def _probabilities(
    model: nn.Module, images: Tensor, *, batch_size: int, output: Output | None
) -> Tensor:
    """Return the class probabilities of the images, (N, classes)."""
    parts = [
        class_probabilities(first_logits(model, placed_like(model, batch), output))
        for batch in images.split(batch_size)
    ]
    return torch.cat(parts)


class _Imputer:
    """Imputes pixels of images (N, C, H, W) by the weighted means of their neighbours."""

    def __init__(self, images: Tensor, noise: float) -> None:
        self._images = images.detach().to("cpu", torch.float32)
        self._noise = noise
        self._equations = _neighbour_equations(images.shape[-2], images.shape[-1])

    def imputed(self, relevance: Tensor, percentile: float, numbers: torch.Generator) -> Tensor:
        """Return the images without the pixels at or above a percentile of their relevance."""
        result = self._images.clone()
        for image, values in zip(result, relevance.cpu().numpy(), strict=True):
            missing = _at_or_above(values, percentile)
            if missing.any():
                self._impute(image, missing.ravel(), numbers)
        return result

    def _impute(self, image: Tensor, missing: np.ndarray, numbers: torch.Generator) -> None:
        """Replace the missing pixels (H W,) of an image (C, H, W) by the solution, plus noise."""
        from scipy.sparse.linalg import splu  # scipy takes long to import

        pixels = image.flatten(1)  # a view
        known = pixels[:, torch.from_numpy(~missing)].double().numpy()
        equations = self._equations[missing]
        sums = equations[:, ~missing] @ known.T
        solver = splu(
            equations[:, missing].tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            options={"SymmetricMode": True},
        )
        solution = torch.from_numpy(solver.solve(-sums)).float().T
        noise = self._noise * torch.randn(solution.shape, generator=numbers)
        pixels[:, torch.from_numpy(missing)] = solution + noise


def _at_or_above(values: np.ndarray, percentile: float) -> np.ndarray:
    """Return which pixels are at or above a percentile; if all are, which are above the lowest."""
    threshold = np.percentile(values, percentile)
    reached = values >= threshold
    return values > threshold if reached.all() else reached


def _neighbour_equations(height: int, width: int) -> Any:
    """Return the sparse (H W, H W) matrix of the weighted means: times an image they give 0.

    A row holds the weights of the neighbours inside the image, and minus their sum for the pixel.
    """
    from scipy import sparse

    rows, columns = np.divmod(np.arange(height * width), width)
    parts = []
    for down, right, weight in _NEIGHBOURS:
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        pixel = np.flatnonzero(inside)
        neighbour = (row * width + column)[inside]
        weights = np.full(len(pixel), weight)
        shape = (height * width, height * width)
        parts.append(sparse.csr_array((weights, (pixel, neighbour)), shape=shape))
    weights = sum(parts[1:], parts[0])
    return (weights - sparse.diags_array(weights.sum(axis=1))).tocsr()


def _check_maps(maps: Tensor, images: Tensor) -> None:
    """Raise TypeError or ValueError unless `maps` are heatmaps of the images in [0, 1]."""
    check_tensor("maps", maps, "a tensor of heatmaps (N, H, W)")
    if not maps.is_floating_point():
        raise TypeError(f"maps must be a tensor of heatmaps (N, H, W), got {maps.dtype}")
    expected = (len(images), *images.shape[2:])
    if tuple(maps.shape) != expected:
        raise ValueError(
            f"maps must be heatmaps of the images, shape {expected}, got {tuple(maps.shape)}"
        )
    low, high = float(maps.min()), float(maps.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise ValueError(f"maps must lie in [0, 1], got [{low:g}, {high:g}]")


def _check_percentiles(percentiles: Sequence[float]) -> None:
    """Raise ValueError unless there are percentiles, each between 0 and 100."""
    values = percentiles if isinstance(percentiles, Iterable) else ()
    are_inside = [is_number(value) and 0 < value < 100 for value in values]
    if not are_inside or not all(are_inside):
        got = short_repr(percentiles)
        raise ValueError(f"percentiles must be one or more numbers between 0 and 100, got {got}")
