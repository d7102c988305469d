"""Overlap of two heatmaps: intersection over union, of their salient pixels or of the maps as fuzzy sets."""

import torch
from torch import Tensor

from pruncam.metrics.checks import check_pair


def iou(x: Tensor, y: Tensor) -> Tensor:
    """Intersection over union of the salient pixels of two heatmaps (PE-score, Eq. 3).

    A pixel is salient where its map exceeds the map's own mean; a constant map has none.

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images.

    Returns
    -------
    tensor of shape (N,), in [0, 1], higher is more alike
        1 where neither map has a salient pixel (our choice).

    Raises
    ------
    TypeError, ValueError
        If the shapes, types or devices differ, the set is empty, or a value is NaN or outside [0, 1].

    Examples
    --------
    >>> x, y = torch.zeros(2, 1, 4, 4)
    >>> x[0, 0:2], y[0, 1:3] = 1, 1  # rows 0-1 and rows 1-2: one row shared of three
    >>> iou(x, y)
    tensor([0.3333])
    """
    check_pair(x, y)
    dtype = x.dtype
    x, y = _salient(x), _salient(y)
    shared = (x & y).sum(dim=(1, 2))
    either = (x | y).sum(dim=(1, 2))
    return torch.where(either == 0, 1.0, shared / either).to(dtype)


def soft_iou(x: Tensor, y: Tensor) -> Tensor:
    """Intersection over union of two heatmaps as fuzzy sets: sum of pixel minima over sum of maxima (thesis, Eq. 2.8).

    Eq. 2.8 gives the ratio of one pixel pair; summing over the pixels before dividing is our choice.

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images, or a heatmap and the object it should cover.

    Returns
    -------
    tensor of shape (N,), in [0, 1], higher is more alike
        1 where both maps are all zero (our choice).

    Raises
    ------
    TypeError, ValueError
        If the shapes, types or devices differ, the set is empty, or a value is NaN or outside [0, 1].

    Examples
    --------
    >>> x = torch.tensor([[[0.0, 0.5], [1.0, 0.5]]])
    >>> y = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    >>> soft_iou(x, y)  # (0 + 0.5 + 0.5 + 0.5) / (0 + 1 + 1 + 0.5)
    tensor([0.6000])
    """
    check_pair(x, y)
    return _ratio(torch.minimum(x, y).sum(dim=(1, 2)), torch.maximum(x, y).sum(dim=(1, 2)))


def pooled_soft_iou(x: Tensor, y: Tensor) -> Tensor:
    """Soft IoU of a whole set at once: sum of minima over sum of maxima over all pixels of all images.

    The other reading of the thesis's "IoU of a model" (Eq. 2.8): images with much heat weigh more than in the mean of
    `soft_iou`. Takes, refuses and means what `soft_iou` does; returns one number, a tensor of shape ().

    Examples
    --------
    >>> x = torch.tensor([[[1.0, 1.0]], [[1.0, 0.0]]])
    >>> y = torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]]])
    >>> soft_iou(x, y).mean(), pooled_soft_iou(x, y)
    (tensor(0.5000), tensor(0.6667))
    """
    check_pair(x, y)
    return _ratio(torch.minimum(x, y).sum(), torch.maximum(x, y).sum())


def pixel_iou(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the pixels of min / max: Eq. 2.8 of the thesis taken per pixel, the other reading of its IoU.

    Two zero pixels count as 1 (our choice), so shared background raises it. Otherwise as `soft_iou`.

    Examples
    --------
    >>> x = torch.tensor([[[0.0, 0.5], [1.0, 0.5]]])
    >>> y = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    >>> pixel_iou(x, y)  # (1 + 0.5 + 0.5 + 1) / 4
    tensor([0.7500])
    """
    check_pair(x, y)
    return _ratio(torch.minimum(x, y), torch.maximum(x, y)).mean(dim=(1, 2))


def _salient(maps: Tensor) -> Tensor:
    # The mean of equal values may come out a rounding below them; no map's mean lies below its minimum.
    threshold = torch.maximum(maps.mean(dim=(1, 2)), maps.amin(dim=(1, 2)))
    return maps > threshold[:, None, None]


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """`part / whole`, 1 where both are zero; clamped, since values may lie a rounding below 0."""
    return torch.where(whole <= 0, 1.0, part / whole).clamp(0, 1)
