"""Drawings of ten things in two colours, which are the objects of the generated images.

Coordinates are those of SVG: x to the right and y down, here from -100 to 100.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Region = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Part:
    """A part of a drawing: the number of its colour, 0 or 1, and the region that it covers.

    `region` takes coordinates x and y and returns which of these points are inside.
    """

    colour: int
    region: Region


def polygon(points: str) -> Region:
    """Return the region of a polygon, with its corners as in SVG: "x,y x,y ..."."""
    corners = [tuple(map(int, corner.split(","))) for corner in points.split()]
    following = corners[1:] + corners[:1]
    edges = list(zip(corners, following, strict=True))

    def region(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        inside = np.zeros(x.shape, bool)
        for (x0, y0), (x1, y1) in edges:
            if y0 == y1:
                continue
            in_rows = (y0 > y) != (y1 > y)
            crossing = x0 + (y - y0) * ((x1 - x0) / (y1 - y0))
            inside ^= in_rows & (x < crossing)  # even-odd rule
        return inside

    return region


def ellipse(x: int, y: int, width: int, height: int) -> Region:
    """Return the region of an ellipse around (x, y), from its semi-axes."""

    def region(across: np.ndarray, down: np.ndarray) -> np.ndarray:
        u = (across - x) / width
        v = (down - y) / height
        return u * u + v * v < 1

    return region


def disc(x: int, y: int, radius: int) -> Region:
    """Return the region of a disc around (x, y)."""
    return ellipse(x, y, radius, radius)


def ring(x: int, y: int, outer: int, inner: int) -> Region:
    """Return the region of a ring around (x, y), from its two radii."""
    large = disc(x, y, outer)
    small = disc(x, y, inner)
    return lambda across, down: large(across, down) & ~small(across, down)


def dome(x: int, y: int, radius: int) -> Region:
    """Return the upper half of a disc around (x, y)."""
    full = disc(x, y, radius)
    return lambda across, down: full(across, down) & (down < y)


_HOUSE = (
    Part(0, polygon("-70,90 -70,-10 70,-10 70,90")),
    Part(1, polygon("-98,-8 0,-98 98,-8")),
    Part(1, polygon("-50,90 -50,25 -8,25 -8,90")),
    Part(1, polygon("15,60 15,25 50,25 50,60")),
)
_TREE = (
    Part(1, polygon("-16,98 -16,20 16,20 16,98")),
    Part(0, disc(0, -40, 58)),
    Part(0, disc(-42, 0, 42)),
    Part(0, disc(42, 0, 42)),
)
_CAR = (
    Part(0, polygon("-98,42 -98,0 -62,-6 -36,-52 38,-52 64,-6 98,4 98,42")),
    Part(1, polygon("-46,-6 -28,-38 -4,-38 -4,-6")),
    Part(1, polygon("8,-6 8,-38 30,-38 48,-6")),
    Part(1, disc(-52, 44, 25)),
    Part(1, disc(52, 44, 25)),
)
_FISH = (
    Part(0, polygon("30,0 98,-52 80,0 98,52")),
    Part(1, polygon("-30,-30 25,-75 38,-15")),
    Part(0, ellipse(-20, 0, 76, 45)),
    Part(1, disc(-62, -10, 11)),
    Part(1, polygon("-18,8 22,-10 22,26")),
)
_STAR = (
    Part(0, polygon("0,-98 26,-30 98,-28 42,17 62,86 0,46 -62,86 -42,17 -98,-28 -26,-30")),
    Part(1, polygon("0,-45 12,-14 45,-13 19,8 28,39 0,21 -28,39 -19,8 -45,-13 -12,-14")),
)
_BOAT = (
    Part(0, polygon("-98,38 98,38 58,88 -62,88")),
    Part(1, polygon("-4,28 -4,-98 82,28")),
    Part(1, polygon("-16,28 -16,-70 -78,28")),
)
_FLOWER = (
    Part(0, disc(0, -57, 40)),
    Part(0, disc(54, -18, 40)),
    Part(0, disc(34, 46, 40)),
    Part(0, disc(-34, 46, 40)),
    Part(0, disc(-54, -18, 40)),
    Part(1, disc(0, 0, 36)),
)
_CUP = (
    Part(0, ring(42, -5, 44, 24)),
    Part(0, polygon("-80,-70 46,-70 32,85 -66,85")),
    Part(1, polygon("-75,-30 41,-30 38,15 -71,15")),
)
_KEY = (
    Part(0, polygon("-20,-15 98,-15 98,50 74,50 74,15 56,15 56,44 32,44 32,15 -20,15")),
    Part(1, ring(-52, 0, 46, 19)),
)
_MUSHROOM = (
    Part(0, polygon("-28,92 -20,0 20,0 28,92")),
    Part(1, dome(0, 10, 92)),
    Part(0, disc(-42, -22, 15)),
    Part(0, disc(8, -46, 18)),
    Part(0, disc(52, -14, 14)),
)

DRAWINGS: dict[str, tuple[Part, ...]] = {
    "house": _HOUSE,
    "tree": _TREE,
    "car": _CAR,
    "fish": _FISH,
    "star": _STAR,
    "boat": _BOAT,
    "flower": _FLOWER,
    "cup": _CUP,
    "key": _KEY,
    "mushroom": _MUSHROOM,
}
