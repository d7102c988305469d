"""The papers' scores: Sp2PS, PE, and the mean over images that a model's score is."""

import torch
from torch import Tensor

from pruncam.metrics.checks import check_per_image
from pruncam.metrics.overlap import iou
from pruncam.metrics.spectral import spectral_angle
from pruncam.metrics.structure import ssim

_EPSILON = 1e-13  # PE-score, Eq. 5


def confidence_variation(c_x: Tensor, c_y: Tensor) -> Tensor:
    """Relative loss of confidence, max(0, (c_x - c_y) / c_x) (PE-score, Eq. 4).

    Parameters
    ----------
    c_x, c_y : tensor of shape (N,), in [0, 1]
        Probability of one class for each of N images, by the baseline and by the pruned model.

    Returns
    -------
    tensor of shape (N,), in [0, 1], lower is better
        0 where c_x is 0 (our choice): no confidence can be lost. A gain counts as 0.

    Raises
    ------
    TypeError, ValueError
        If the shapes, types or devices differ, the set is empty, or a value is NaN or outside [0, 1].

    Examples
    --------
    >>> confidence_variation(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0.8, 0.9, 0.3]))
    tensor([0.2000, 0.0000, 0.0000])
    """
    check_per_image("confidences", c_x, c_y)
    return torch.where(c_x <= 0, 0.0, (c_x - c_y) / c_x).clamp(0, 1)


def sp2ps(x: Tensor, y: Tensor) -> Tensor:
    """Sp2PS of each image: harmonic mean of the spectral angle's similarity and SSIM (Sp2PS, Eq. 8).

    Takes and refuses what `ssim` does. Returns a tensor of shape (N,), in [0, 1], higher is more alike; a model's
    Sp2PS is its mean.

    Examples
    --------
    >>> x = torch.eye(8)[None]
    >>> sp2ps(x, x), sp2ps(x, 1 - x)
    (tensor([1.]), tensor([0.]))
    """
    return combine_sp2ps(ssim(x, y), spectral_angle(x, y))


def combine_sp2ps(structure: Tensor, spectrum: Tensor) -> Tensor:
    """Sp2PS from SSIM, which is clamped at 0, and the spectral angle's similarity, each (N,) (Sp2PS, Eq. 8).

    For who has both already. 0 where both are 0.

    Examples
    --------
    >>> combine_sp2ps(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]))
    tensor([0.6667, 0.0000])
    """
    check_per_image("scores", structure, spectrum, low=-1)
    structure, spectrum = structure.clamp(0, 1), spectrum.clamp(0, 1)
    total = structure + spectrum
    return torch.where(total == 0, 0.0, 2 * structure * spectrum / total)


def pe_score(x: Tensor, y: Tensor, c_x: Tensor, c_y: Tensor) -> Tensor:
    """PE-score of each image: harmonic mean of SSIM, IoU and what is kept of the confidence (PE-score, Eq. 5).

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images by the baseline and by the pruned model, at least 7x7.
    c_x, c_y : tensor of shape (N,), in [0, 1]
        Their confidences, as `confidence_variation` takes them.

    Returns
    -------
    tensor of shape (N,), in [0, 1], higher is more alike
        0, to 1e-12, where one of the three is 0. `class_weighted_mean` makes it a model's score.

    Raises
    ------
    TypeError, ValueError
        As `ssim` and `confidence_variation`, and if there is not one confidence per map.

    Examples
    --------
    >>> x, c = torch.eye(8)[None], torch.tensor([0.9])
    >>> pe_score(x, x, c, c)
    tensor([1.])
    """
    variation = confidence_variation(c_x, c_y)
    if len(x) != len(c_x):
        raise ValueError(f"each map needs its confidence, got {len(x)} maps and {len(c_x)} confidences")
    return combine_pe(ssim(x, y), iou(x, y), variation.to(x))


def combine_pe(structure: Tensor, overlap: Tensor, variation: Tensor) -> Tensor:
    """PE-score from SSIM, which is clamped at 0, IoU and confidence variation, each (N,) (PE-score, Eq. 5).

    For who has all three already.

    Examples
    --------
    >>> combine_pe(torch.tensor([0.4]), torch.tensor([0.4]), torch.tensor([0.2]))  # the paper's example
    tensor([0.4800])
    """
    check_per_image("scores", structure, overlap, variation, low=-1)
    parts = (structure.clamp(0, 1), overlap.clamp(0, 1), 1 - variation.clamp(0, 1))
    return (3 / sum(1 / (part + _EPSILON) for part in parts)).clamp(0, 1)


def class_weights(counts: Tensor) -> Tensor:
    """Share of each class in a test set, from the number of its images (PE-score, W from M).

    Takes non-negative numbers, shape (classes,), not all 0; returns float64 shares that sum to 1.

    Examples
    --------
    >>> class_weights(torch.tensor([100, 50, 50]))
    tensor([0.5000, 0.2500, 0.2500], dtype=torch.float64)
    """
    if counts.ndim != 1 or counts.is_complex() or not (counts >= 0).all() or not 0 < counts.sum() < torch.inf:
        raise ValueError("counts must be the number of images of each class, shape (classes,), not all of them 0")
    return counts / counts.sum().double()


def class_weighted_mean(values: Tensor, labels: Tensor, counts: Tensor | None = None) -> Tensor:
    """A model's score: the mean of each class, weighted by the class's share of the test set (PE-score, Section 3).

    Parameters
    ----------
    values : tensor of shape (N,), in [-1, 1]
        Score of each image.
    labels : integer tensor of shape (N,)
        Class of each image, from 0.
    counts : tensor of shape (classes,), optional
        Images of each class in the whole test set, where `values` are only a part of it. Without it the shares are
        those of `labels`, and the result is the plain mean.

    Returns
    -------
    tensor of shape (), between the lowest and the highest value

    Raises
    ------
    TypeError, ValueError
        If the shapes differ, a value is NaN or outside [-1, 1], labels are no class indices, or a class that counts has
        no value.

    Examples
    --------
    >>> values, labels = torch.tensor([1.0, 0.5, 0.5]), torch.tensor([0, 1, 1])
    >>> class_weighted_mean(values, labels), class_weighted_mean(values, labels, torch.tensor([50, 50]))
    (tensor(0.6667), tensor(0.7500))
    """
    check_per_image("values", values, low=-1)
    if labels.shape != values.shape or labels.is_floating_point() or labels.dtype == torch.bool or (labels < 0).any():
        raise ValueError(f"labels must be class indices from 0, shape {tuple(values.shape)}, got {tuple(labels.shape)}")
    seen = torch.bincount(labels, minlength=0 if counts is None else len(counts))
    counts = seen if counts is None else counts.to(seen.device)
    weights = class_weights(counts)
    if len(seen) > len(weights) or (seen[weights > 0] == 0).any():
        raise ValueError("every class with a count needs a value, and every label a count")
    total = torch.zeros(len(seen), dtype=values.dtype, device=values.device).index_add_(0, labels, values)
    return (weights.to(values) * total / seen.clamp(min=1)).sum()
