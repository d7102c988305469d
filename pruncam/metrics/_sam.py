"""Spectral angle mapper (SAM): the angle between two heatmaps as vectors."""

import math

import torch
from torch import Tensor

from pruncam._core.validation import check_choice
from pruncam.metrics._validation import check_maps, check_pair


def spectral_angle(x: Tensor, y: Tensor, over: str = "image") -> Tensor:
    """Return the similarity by the angle between two heatmaps, 1 - angle / (pi / 2) (Sp2PS, Eq. 7).

    The paper does not say what the vectors are. Eq. 7 multiplies two images; the text speaks of
    pixels as vectors over spectral bands, as in remote sensing, but a heatmap has only one band.

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images.
    over : "image", "pixel" or "band"
        "image": all pixels of a map form one vector (Eq. 7 as printed; the default).
        "pixel": the map is coloured with `jet`, each pixel is a vector of three bands, and the
        similarity is averaged over the pixels.
        "band": each band of the coloured map is one vector, and the similarity is averaged over
        the bands.

    Returns
    -------
    tensor of shape (N,), in [0, 1]; higher is more similar
        Over "image", a map and a multiple of it give 1. Two all-zero vectors give 1, and one
        all-zero vector gives 0 (our choice); a coloured all-zero map is blue, not zero.

    Raises
    ------
    TypeError, ValueError
        If shapes, types or devices differ, there is no image, a value is NaN or outside [0, 1], or
        `over` is unknown.

    Examples
    --------
    >>> x = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    >>> y = torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]])
    >>> spectral_angle(x, y)  # 90 and 45 degrees
    tensor([0.0000, 0.5000])
    """
    check_pair(x, y)
    check_choice("reading of SAM", over, ("image", "pixel", "band"))
    if over == "image":
        return _similarity(x.flatten(1), y.flatten(1))
    if over == "pixel":
        by_pixel = _similarity(_jet(x), _jet(y))
        return by_pixel.mean(dim=(1, 2))
    by_band = _similarity(_bands(x), _bands(y))
    return by_band.mean(dim=1)


def jet(maps: Tensor) -> Tensor:
    """Colour heatmaps with OpenCV's jet colour map, from blue to red.

    Takes a float32 or float64 tensor of shape (N, H, W) in [0, 1], and returns RGB of shape
    (N, H, W, 3) in [0, 1]. Raises TypeError or ValueError for other values.

    Examples
    --------
    >>> jet(torch.tensor([[[0.0, 0.5, 1.0]]]))
    tensor([[[[0.0000, 0.0000, 0.5000],
              [0.5000, 1.0000, 0.5000],
              [0.5000, 0.0000, 0.0000]]]])
    """
    check_maps(maps)
    return _jet(maps)


def _jet(maps: Tensor) -> Tensor:
    centres = maps.new_tensor([3.0, 2.0, 1.0])  # of red, green and blue
    distances = (4 * maps[..., None] - centres).abs()
    return (1.5 - distances).clamp(0, 1)


def _bands(maps: Tensor) -> Tensor:
    """Return the bands of the coloured maps as vectors, (N, 3, H * W)."""
    return _jet(maps).flatten(1, 2).transpose(1, 2)


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return 1 - angle / (pi / 2) between vectors along the last dimension."""
    a = _normalised(a)
    b = _normalised(b)
    # The arc cosine would turn a rounding of 6e-8 near 1 into an angle of 3e-4 (Kahan's formula).
    difference = (a - b).norm(dim=-1)
    total = (a + b).norm(dim=-1)
    angle = 2 * torch.atan2(difference, total)
    return (1 - angle / (math.pi / 2)).clamp(0, 1)


def _normalised(vectors: Tensor) -> Tensor:
    """Return vectors of length 1; zero vectors stay zero.

    By Kahan's formula a zero vector has an angle of 90 degrees to a unit vector, and 0 to another
    zero vector.
    """
    length = vectors.norm(dim=-1, keepdim=True)
    return torch.where(length == 0, 0.0, vectors / length)
