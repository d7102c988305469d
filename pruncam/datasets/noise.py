"""Noise on the background of grey images, as a pure function of seed, image and pixel.

Each draw depends only on its coordinates, so that batch order, batch size, device and training
engine do not change the noise. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood
2014); two pixels share one 64-bit draw.
"""

import math

import torch
from torch import Tensor

from pruncam._core.validation import check_number, check_seed, check_tensor

GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)

_LOW_BITS = 0xFFFFFFFF


def background(images: Tensor, indices: Tensor, *, key: int, level: int) -> Tensor:
    """Return copies of grey images with noise on all zero pixels (thesis, Section 2.2.1).

    Parameters
    ----------
    images : uint8 tensor (N, 1, H, W)
        With an even number of pixels.
    indices : int64 tensor (N,)
        Position of each image in its data set, which its noise is drawn from.
    key : int
        Seed of the stream, from `seeds.derive`.
    level : int, 0 to 255
        A zero pixel becomes one of 0, 1, ..., `level` with equal probability; 0 returns the images
        unchanged.

    Returns
    -------
    uint8 tensor (N, 1, H, W)

    Raises
    ------
    ValueError
        If `level` is not within 0 to 255; above 0 also if the images are not uint8, have an odd
        number of pixels, or do not have one index each.
    """
    check_number("noise level", level, whole=True)
    key = check_seed(key, "key")
    check_tensor("images", images, "a uint8 tensor (N, 1, H, W)")
    check_tensor("indices", indices, "an int64 tensor (N,)")
    if not 0 <= level <= 255:
        raise ValueError(f"noise level must be a grey level from 0 to 255, got {level}")
    if level == 0:
        return images
    pixels = math.prod(images.shape[1:])  # of one image; the batch may be empty
    if images.dtype != torch.uint8 or pixels % 2:
        raise ValueError(
            "noise needs uint8 images with an even number of pixels, "
            f"got {images.dtype}, {images.shape}"
        )
    if indices.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"indices must be an int64 tensor (N,), got {indices.dtype}")
    if indices.shape != images.shape[:1]:
        raise ValueError(
            "noise needs one index for each image, "
            f"got {tuple(indices.shape)} for {len(images)} images"
        )
    pairs = torch.arange(1, pixels // 2 + 1, device=images.device) * _signed(GOLDEN)
    streams = _mix(indices.to(images.device) * _signed(GOLDEN) + _signed(key))
    bits = _mix(streams[:, None] + pairs)
    low = bits & _LOW_BITS
    high = (bits >> 32) & _LOW_BITS
    draws = (torch.stack([low, high], dim=2) * (level + 1)) >> 32
    noise = draws.to(torch.uint8).view(images.shape)
    return torch.where(images == 0, noise, images)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift_right(z, 30)) * _signed(MULTIPLIERS[0])
    z = (z ^ _shift_right(z, 27)) * _signed(MULTIPLIERS[1])
    return z ^ _shift_right(z, 31)


def _shift_right(z: Tensor, bits: int) -> Tensor:
    """Shift without sign: torch has signed 64-bit integers only."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """Return the signed 64-bit integer with the same bits."""
    return value - (1 << 64) if value >= 1 << 63 else value
