"""Overlap of two heatmaps: intersection over union of salient pixels, or of fuzzy sets."""

import torch
from torch import Tensor

from pruncam.metrics._validation import check_pair


def iou(x: Tensor, y: Tensor) -> Tensor:
    """Return the intersection over union of the maps' salient pixels (PE-score, Eq. 3).

    A pixel is salient where its map exceeds the map's own mean; a constant map has none.

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images.

    Returns
    -------
    tensor of shape (N,), in [0, 1]; higher is more similar
        1 where neither map has a salient pixel (our choice).

    Raises
    ------
    TypeError, ValueError
        If shapes, types or devices differ, there is no image, or a value is NaN or outside [0, 1].

    Examples
    --------
    >>> x, y = torch.zeros(2, 1, 4, 4)
    >>> x[0, 0:2], y[0, 1:3] = 1, 1  # rows 0-1 and rows 1-2: one row shared of three
    >>> iou(x, y)
    tensor([0.3333])
    """
    check_pair(x, y)
    salient_x, salient_y = _salient(x), _salient(y)
    intersection = (salient_x & salient_y).sum(dim=(1, 2))
    union = (salient_x | salient_y).sum(dim=(1, 2))
    ratio = torch.where(union == 0, 1.0, intersection / union)
    return ratio.to(x.dtype)


def soft_iou(x: Tensor, y: Tensor) -> Tensor:
    """Return the intersection over union of the maps as fuzzy sets (thesis, Eq. 2.8).

    It is the sum of the pixelwise minima over the sum of the maxima. Eq. 2.8 gives the ratio of one
    pair of pixels; summing over the pixels before dividing is our choice (see `pixel_iou`).

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images, or heatmaps and the objects they should cover.

    Returns
    -------
    tensor of shape (N,), in [0, 1]; higher is more similar
        1 where both maps are all zero (our choice).

    Raises
    ------
    TypeError, ValueError
        If shapes, types or devices differ, there is no image, or a value is NaN or outside [0, 1].

    Examples
    --------
    >>> x = torch.tensor([[[0.0, 0.5], [1.0, 0.5]]])
    >>> y = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    >>> soft_iou(x, y)  # (0 + 0.5 + 0.5 + 0.5) / (0 + 1 + 1 + 0.5)
    tensor([0.6000])
    """
    check_pair(x, y)
    minima = torch.minimum(x, y).sum(dim=(1, 2))
    maxima = torch.maximum(x, y).sum(dim=(1, 2))
    return _ratio(minima, maxima)


def pixel_iou(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean over the pixels of min / max: Eq. 2.8 of the thesis, taken pixel by pixel.

    Two zero pixels count as 1 (our choice), so a shared background raises the value. Arguments and
    errors are those of `soft_iou`.

    Examples
    --------
    >>> x = torch.tensor([[[0.0, 0.5], [1.0, 0.5]]])
    >>> y = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    >>> pixel_iou(x, y)  # (1 + 0.5 + 0.5 + 1) / 4
    tensor([0.7500])
    """
    check_pair(x, y)
    minima = torch.minimum(x, y)
    maxima = torch.maximum(x, y)
    return _ratio(minima, maxima).mean(dim=(1, 2))


def _salient(maps: Tensor) -> Tensor:
    """Return which pixels exceed the mean of their map, (N, H, W) bool."""
    # The mean of equal values may be rounded to below them; no true mean lies below the minimum.
    means = maps.mean(dim=(1, 2), keepdim=True)
    minima = maps.amin(dim=(1, 2), keepdim=True)
    return maps > torch.maximum(means, minima)


def _ratio(part: Tensor, total: Tensor) -> Tensor:
    """Return `part / total`, 1 where both are zero; clamped, as values may round to below 0."""
    ratio = part / total
    return torch.where(total <= 0, 1.0, ratio).clamp(0, 1)
