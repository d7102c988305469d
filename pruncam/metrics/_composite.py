"""The papers' composite scores, Sp2PS and PE, and the weighted mean that makes a model's score."""

import torch
from torch import Tensor

from pruncam.metrics._iou import iou
from pruncam.metrics._sam import spectral_angle
from pruncam.metrics._ssim import ssim
from pruncam.metrics._validation import check_counts, check_labels, check_per_image

_EPSILON = 1e-13  # PE-score, Eq. 5


def confidence_variation(c_x: Tensor, c_y: Tensor) -> Tensor:
    """Return the relative loss of confidence, max(0, (c_x - c_y) / c_x) (PE-score, Eq. 4).

    Parameters
    ----------
    c_x, c_y : tensor of shape (N,), in [0, 1]
        Probability of one class for each of N images, by the baseline and by the pruned model.

    Returns
    -------
    tensor of shape (N,), in [0, 1]; lower is better
        A gain of confidence counts as 0. 0 where c_x is 0 (our choice): there is nothing to lose.

    Raises
    ------
    TypeError, ValueError
        If shapes, types or devices differ, there is no image, or a value is NaN or outside [0, 1].

    Examples
    --------
    >>> confidence_variation(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0.8, 0.9, 0.3]))
    tensor([0.2000, 0.0000, 0.0000])
    """
    check_per_image("confidences", c_x, c_y)
    loss = (c_x - c_y) / c_x
    return torch.where(c_x <= 0, 0.0, loss).clamp(0, 1)


def sp2ps(x: Tensor, y: Tensor) -> Tensor:
    """Return the harmonic mean of spectral-angle similarity and SSIM of each pair (Sp2PS, Eq. 8).

    Arguments and errors are those of `ssim`. Returns a tensor of shape (N,), in [0, 1]; higher is
    more similar. The Sp2PS of a model is the mean over its images.

    Examples
    --------
    >>> x = torch.eye(8)[None]
    >>> sp2ps(x, x), sp2ps(x, 1 - x)
    (tensor([1.]), tensor([0.]))
    """
    return combine_sp2ps(ssim(x, y), spectral_angle(x, y))


def combine_sp2ps(structure: Tensor, spectrum: Tensor) -> Tensor:
    """Return Sp2PS from SSIM and spectral-angle similarity, each of shape (N,) (Sp2PS, Eq. 8).

    Use when both components are already computed. SSIM is clamped at 0. 0 where both are 0.

    Examples
    --------
    >>> combine_sp2ps(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]))
    tensor([0.6667, 0.0000])
    """
    check_per_image("scores", structure, spectrum, low=-1)
    structure = structure.clamp(0, 1)
    spectrum = spectrum.clamp(0, 1)
    total = structure + spectrum
    mean = 2 * structure * spectrum / total
    return torch.where(total == 0, 0.0, mean)


def pe_score(x: Tensor, y: Tensor, c_x: Tensor, c_y: Tensor) -> Tensor:
    """Return the harmonic mean of SSIM, IoU and 1 - confidence variation (PE-score, Eq. 5).

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images by the baseline and by the pruned model, at least 7x7.
    c_x, c_y : tensor of shape (N,), in [0, 1]
        Confidences of the two models, as in `confidence_variation`.

    Returns
    -------
    tensor of shape (N,), in [0, 1]; higher is more similar
        0, to within 1e-12, where one of the three parts is 0. `class_weighted_mean` turns it into
        the score of a model.

    Raises
    ------
    TypeError, ValueError
        As `ssim` and `confidence_variation` do, and if there is not one confidence per map.

    Examples
    --------
    >>> x, c = torch.eye(8)[None], torch.tensor([0.9])
    >>> pe_score(x, x, c, c)
    tensor([1.])
    """
    variation = confidence_variation(c_x, c_y)
    overlap = iou(x, y)
    if len(x) != len(c_x):
        raise ValueError(
            f"each map needs its confidence, got {len(x)} maps and {len(c_x)} confidences"
        )
    return combine_pe(ssim(x, y), overlap, variation.to(x))


def combine_pe(
    structure: Tensor,
    overlap: Tensor,
    variation: Tensor,
) -> Tensor:
    """Return PE from SSIM, IoU and confidence variation, each of shape (N,) (PE-score, Eq. 5).

    Use when all three components are already computed. SSIM is clamped at 0.

    Examples
    --------
    >>> combine_pe(torch.tensor([0.4]), torch.tensor([0.4]), torch.tensor([0.2]))  # Section 3
    tensor([0.4800])
    """
    check_per_image("scores", structure, overlap, variation, low=-1)
    structure_term = 1 / (structure.clamp(0, 1) + _EPSILON)
    overlap_term = 1 / (overlap.clamp(0, 1) + _EPSILON)
    confidence_term = 1 / (1 - variation.clamp(0, 1) + _EPSILON)
    total = structure_term + overlap_term + confidence_term
    return (3 / total).clamp(0, 1)


def class_weights(counts: Tensor) -> Tensor:
    """Return the share of each class from its number of images (PE-score, Section 3: W from M).

    Takes non-negative numbers of shape (classes,), not all of them 0, and returns float64 shares
    that sum to 1.

    Examples
    --------
    >>> class_weights(torch.tensor([100, 50, 50]))
    tensor([0.5000, 0.2500, 0.2500], dtype=torch.float64)
    """
    check_counts(counts)
    return _shares(counts)


def _shares(counts: Tensor) -> Tensor:
    return counts / counts.sum().double()


def class_weighted_mean(
    values: Tensor,
    labels: Tensor,
    counts: Tensor | None = None,
) -> Tensor:
    """Return the mean of the class means, weighted by the class shares (PE-score, Section 3).

    Parameters
    ----------
    values : tensor of shape (N,), in [-1, 1]
        Score of each image.
    labels : integer tensor of shape (N,)
        Class of each image, from 0.
    counts : tensor of shape (classes,), optional
        Number of images of each class in the whole test set, if `values` cover only a part of it.
        By default the shares are those of `labels`, and the result is the plain mean.

    Returns
    -------
    tensor of shape (), between the lowest and the highest value

    Raises
    ------
    TypeError, ValueError
        If shapes differ, a value is NaN or outside [-1, 1], labels are not class indices, a class
        with a count has no value, or a label has no count.

    Examples
    --------
    >>> values, labels = torch.tensor([1.0, 0.5, 0.5]), torch.tensor([0, 1, 1])
    >>> class_weighted_mean(values, labels)
    tensor(0.6667)
    >>> class_weighted_mean(values, labels, torch.tensor([50, 50]))
    tensor(0.7500)
    """
    check_per_image("values", values, low=-1)
    check_labels(labels, values.shape)
    labels = labels.long()
    if counts is not None:
        check_counts(counts)
    classes = 0 if counts is None else len(counts)
    scored = torch.bincount(labels, minlength=classes)
    weights = _shares(scored if counts is None else counts.to(scored.device))
    if len(scored) > len(weights) or (scored[weights > 0] == 0).any():
        raise ValueError("every class with a count needs a value, and every label a count")
    sums = values.new_zeros(len(scored))
    sums.index_add_(0, labels, values)
    contributions = weights.to(values) * sums / scored.clamp(min=1)
    return contributions.sum()
