"""How alike two heatmaps of the same image are: one number per pair, from tensors of shape (N, H, W) in [0, 1]."""

import torch
from torch import Tensor

_TOLERANCE = 1e-6  # a bilinear resize in float32 may leave [0, 1] by rounding


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
    _check_pair(x, y)
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
    _check_pair(x, y)
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
    _check_pair(x, y)
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
    _check_pair(x, y)
    return _ratio(torch.minimum(x, y), torch.maximum(x, y)).mean(dim=(1, 2))


def _salient(maps: Tensor) -> Tensor:
    # The mean of equal values may come out a rounding below them; no map's mean lies below its minimum.
    threshold = torch.maximum(maps.mean(dim=(1, 2)), maps.amin(dim=(1, 2)))
    return maps > threshold[:, None, None]


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """`part / whole`, 1 where both are zero; clamped, since values may lie a rounding below 0."""
    return torch.where(whole <= 0, 1.0, part / whole).clamp(0, 1)


def _check_pair(x: Tensor, y: Tensor) -> None:
    for maps in (x, y):
        if not isinstance(maps, Tensor):
            raise TypeError(f"heatmaps must be tensors of shape (N, H, W), got {type(maps).__name__}")
        if maps.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"heatmaps must be float32 or float64, got {maps.dtype}: convert them first")
    if x.ndim != 3 or x.shape != y.shape:
        raise ValueError(f"heatmaps must share one shape (N, H, W), got {tuple(x.shape)} and {tuple(y.shape)}")
    if x.dtype != y.dtype or x.device != y.device:
        raise TypeError(f"heatmaps must share type and device, got {x.dtype} on {x.device} and {y.dtype} on {y.device}")
    if x.numel() == 0:
        raise ValueError(f"heatmaps must hold at least one image and one pixel, got shape {tuple(x.shape)}")
    for maps in (x, y):
        lowest, highest = (float(end) for end in maps.aminmax())
        if lowest != lowest:
            raise ValueError("heatmaps must be numbers, got NaN: an image has no map, leave it out")
        if lowest < -_TOLERANCE or highest > 1 + _TOLERANCE:
            hint = ": divide by 255" if lowest >= 0 and 1 < highest <= 255 else ""
            raise ValueError(f"heatmaps must lie in [0, 1], got [{lowest:g}, {highest:g}]{hint}")
