"""Spectral angle mapper (SAM): the angle between two heatmaps as vectors."""

import math

import torch
from torch import Tensor

from pruncam.metrics.checks import check_pair


def spectral_angle(x: Tensor, y: Tensor, over: str = "image") -> Tensor:
    """Similarity by the angle between two heatmaps, 1 - angle / (pi / 2) (Sp2PS, Eq. 7).

    The paper leaves open what the vectors are: Eq. 7 multiplies two images, the text speaks of pixels as vectors over
    the bands, as in remote sensing, and a heatmap has only one band.

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images.
    over : "image", "pixel" or "band"
        "image": all pixels of a map are one vector (Eq. 7 as printed; our default). "pixel": the map is coloured with
        `jet`, each pixel is a vector of three bands, and the mean over the pixels is taken. "band": each band of the
        coloured map is one vector, and the mean over the bands is taken.

    Returns
    -------
    tensor of shape (N,), in [0, 1], higher is more alike
        Over "image", a map and a multiple of it give 1. Two all-zero vectors give 1, one gives 0 (our choice); a
        coloured all-zero map is blue, not zero.

    Raises
    ------
    TypeError, ValueError
        If the shapes, types or devices differ, the set is empty, a value is NaN or outside [0, 1], or `over` is none
        of the three.

    Examples
    --------
    >>> x = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    >>> y = torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]])
    >>> spectral_angle(x, y)  # 90 and 45 degrees
    tensor([0.0000, 0.5000])
    """
    check_pair(x, y)
    if over == "image":
        return _similarity(x.flatten(1), y.flatten(1))
    if over == "pixel":
        return _similarity(jet(x), jet(y)).mean(dim=(1, 2))
    if over == "band":
        return _similarity(*(jet(maps).flatten(1, 2).transpose(1, 2) for maps in (x, y))).mean(dim=1)
    raise ValueError(f"unknown reading of SAM {over!r}: choose image, pixel or band")


def jet(maps: Tensor) -> Tensor:
    """Heatmaps in the jet colours of OpenCV, from blue to red: (N, H, W) in [0, 1] -> (N, H, W, 3), RGB in [0, 1].

    Examples
    --------
    >>> jet(torch.tensor([[[0.0, 0.5, 1.0]]]))
    tensor([[[[0.0000, 0.0000, 0.5000],
              [0.5000, 1.0000, 0.5000],
              [0.5000, 0.0000, 0.0000]]]])
    """
    centres = torch.tensor([3.0, 2.0, 1.0], dtype=maps.dtype, device=maps.device)
    return (1.5 - (4 * maps[..., None] - centres).abs()).clamp(0, 1)


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    """1 - angle / (pi / 2) between vectors along the last dimension."""
    length_a, length_b = (v.norm(dim=-1, keepdim=True) for v in (a, b))
    # A zero vector stays zero: against a unit vector the angle below is 90 degrees, against another zero it is 0.
    a, b = (torch.where(length == 0, 0.0, v / length) for v, length in ((a, length_a), (b, length_b)))
    # Not the arc cosine: near 1 it turns a rounding of 6e-8 into an angle of 3e-4 (Kahan's formula).
    angle = 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))
    return (1 - angle / (math.pi / 2)).clamp(0, 1)
