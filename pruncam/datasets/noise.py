"""Noise on the background of grey images, as a pure function of seed, image and pixel.

A draw depends on nothing but its own coordinates, so batch order, batch size, device and training engine see the same
noise. The hash is SplitMix64's finaliser (Steele, Lea and Flood 2014); two pixels share one 64-bit draw.
"""

import math

import torch
from torch import Tensor

from pruncam.choices import check_number

GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_LOW_HALF = 0xFFFFFFFF


def background(images: Tensor, indices: Tensor, *, key: int, level: int) -> Tensor:
    """Copies of grey images with noise on their exactly-zero pixels (thesis, Section 2.2.1).

    Parameters
    ----------
    images : uint8 tensor of shape (N, 1, H, W) with an even number of pixels
    indices : int64 tensor of shape (N,)
        Each image's place in its data set: what its noise is drawn from.
    key : int
        The stream, from `seeds.derive`; another key gives other noise on the same images.
    level : int, 0 to 255
        A zero pixel becomes one of 0, 1, ..., `level`, all equally likely; 0 returns the images as they are.

    Returns
    -------
    uint8 tensor of shape (N, 1, H, W)

    Raises
    ------
    ValueError
        If `level` is not within 0 to 255; and above 0 if the images are not uint8, their pixels are odd in number, or
        there is not one index for each image.
    """
    check_number("noise level", level, whole=True)
    if not 0 <= level <= 255:
        raise ValueError(f"noise level must be a grey level from 0 to 255, got {level}")
    if level == 0:
        return images
    pixels = math.prod(images.shape[1:])  # of one image; there may be none
    if images.dtype != torch.uint8 or pixels % 2:
        raise ValueError(f"noise needs uint8 images with an even number of pixels, got {images.dtype}, {images.shape}")
    if indices.shape != images.shape[:1]:
        raise ValueError(f"noise needs one index for each image, got {tuple(indices.shape)} for {len(images)} images")
    pairs = torch.arange(1, pixels // 2 + 1, device=images.device) * _signed(GOLDEN)
    streams = _mix(indices.to(images.device) * _signed(GOLDEN) + _signed(key))
    bits = _mix(streams[:, None] + pairs)
    halves = torch.stack([bits & _LOW_HALF, (bits >> 32) & _LOW_HALF], dim=2)
    draws = (halves * (level + 1)) >> 32
    return torch.where(images == 0, draws.to(torch.uint8).view(images.shape), images)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _signed(MULTIPLIERS[0])
    z = (z ^ _shift(z, 27)) * _signed(MULTIPLIERS[1])
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    # torch has no unsigned 64-bit shift: clear what the signed one copies into the top.
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
