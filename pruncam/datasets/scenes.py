"""Scenes around a drawing: gradients of sky and ground, smooth noise, discs, boxes and bars.

Random numbers are drawn in an order that depends on neither size nor difficulty, so that the same
generator gives the same scene at every size and difficulty. The arithmetic is elementwise float64
without transcendental functions, so that pixels are the same on every machine.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from pruncam.datasets.drawings import Part

_MOST_CLUTTER = 10


@dataclass(frozen=True)
class _Style:
    """Settings of a scene that depend on its difficulty.

    Brightness and colour are in [0, 1]; lengths are relative to the size of the image.
    """

    negatives: float  # share of images
    pixel_noise: float
    smooth_noise: float
    brightness_range: float  # of the landscape
    chroma: float
    clutter: int  # discs, boxes and bars
    clutter_brightness_range: float
    clutter_chroma: float
    drawing_brightness: float
    radius_range: float
    room: float  # share of the positions at which the drawing is inside of the image
    largest_turn: float  # as in `_turned`


def _style(difficulty: float) -> _Style:
    return _Style(
        negatives=0.1 + 0.4 * difficulty,
        pixel_noise=0.01 + 0.06 * difficulty,
        smooth_noise=0.05 + 0.2 * difficulty,
        brightness_range=0.1 + 0.25 * difficulty,
        chroma=0.3 + 0.4 * difficulty,
        clutter=round(2 + 8 * difficulty),
        clutter_brightness_range=0.2 + 0.5 * difficulty,
        clutter_chroma=0.4 + 0.4 * difficulty,
        drawing_brightness=0.9 - 0.25 * difficulty,
        radius_range=0.04 + 0.1 * difficulty,
        room=min(1, 0.5 + difficulty),
        largest_turn=0.06 + 0.12 * difficulty,
    )


def draw_scene(
    drawing: tuple[Part, ...],
    size: int,
    difficulty: float,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene of `size` x `size` pixels around a drawing.

    Returns the image (3, size, size) in [0, 1] and the pixels of the drawing, (size, size) bool.
    """
    style = _style(difficulty)
    image = _landscape(size, style, generator)
    _paint_clutter(image, style, generator)
    mask = _paint_drawing(image, drawing, style, generator)
    is_negative = generator.random() < style.negatives
    noise = 2 * generator.random(image.shape) - 1
    image += style.pixel_noise * noise
    image = image.clip(0, 1)
    if is_negative:
        image = 1 - image
    return image, mask


def _landscape(
    size: int,
    style: _Style,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return a sky and a ground, each a gradient of two colours, under smooth noise."""
    levels = generator.random(4)
    tints = generator.random((4, 3))
    brightness = 0.15 + style.brightness_range * levels
    colours = [_colour(brightness[k], style.chroma, tints[k]) for k in range(4)]
    position, slope = generator.random(2)
    horizon = 0.35 + 0.4 * position
    rows, columns = _pixel_centres(size)
    heights = rows[:, :1]
    sky = _gradient(colours[0], colours[1], heights / horizon)
    ground = _gradient(colours[2], colours[3], (heights - horizon) / (1 - horizon))
    edge = horizon + 0.5 * (slope - 0.5) * (columns - 0.5)
    is_ground = (0.5 + (rows - edge) * size).clip(0, 1)
    landscape = sky + is_ground * (ground - sky)
    noise = _smooth_noise(size, generator) - 0.5
    return landscape + style.smooth_noise * noise


def _colour(brightness: float, chroma: float, tint: np.ndarray) -> np.ndarray:
    """Return a colour (3,) of a given brightness, 0.3 red + 0.6 green + 0.1 blue, from a tint."""
    red, green, blue = tint
    grey = 0.3 * red + 0.6 * green + 0.1 * blue
    return brightness + chroma * (tint - grey)


def _gradient(first: np.ndarray, last: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return the colours (3, H, W) at positions (H, W) from 0, the first colour, to 1, the last."""
    step = (last - first)[:, None, None]
    return first[:, None, None] + position.clip(0, 1) * step


def _smooth_noise(size: int, generator: np.random.Generator) -> np.ndarray:
    """Return noise (3, size, size) in [0, 1]: a 6x6 grid, enlarged by smoothstep interpolation."""
    grid = generator.random((3, 6, 6))
    positions = (np.arange(size) + 0.5) * (5 / size)
    low = positions.astype(int)
    offset = positions - low
    weight = offset * offset * (3 - 2 * offset)
    above = grid[:, low]
    rows = above + (grid[:, low + 1] - above) * weight[:, None]
    left = rows[..., low]
    return left + (rows[..., low + 1] - left) * weight


def _paint_clutter(
    image: np.ndarray,
    style: _Style,
    generator: np.random.Generator,
) -> None:
    """Paint discs, boxes and bars in plain colours into an image in place."""
    size = image.shape[-1]
    draws = generator.random((_MOST_CLUTTER, 10))
    for kind, y, x, extent, ratio, turn, level, *tint in draws[: style.clutter]:
        brightness = 0.1 + style.clutter_brightness_range * level
        colour = _colour(brightness, style.clutter_chroma, np.array(tint))
        radius = 0.05 + 0.08 * extent
        box = _box(y, x, radius + 0.12, size)  # reaches the corners of the longest bar
        rows, columns = _pixel_centres(size)[:, *box]
        down, right = _turned(rows - y, columns - x, 2 * turn - 1)
        if kind < 1 / 3:
            distance = np.sqrt(down * down + right * right) - radius
        elif kind < 2 / 3:
            distance = _distance_to_box(down, right, radius, (0.5 + 0.5 * ratio) * radius)
        else:
            distance = _distance_to_box(down, right, radius + 0.1, 0.02 + 0.02 * ratio)
        coverage = (0.5 - distance * size).clip(0, 1)
        _paint(image[:, *box], colour, coverage)


def _box(y: float, x: float, reach: float, size: int) -> tuple[slice, slice]:
    """Return the rows and columns of an image that lie within `reach` of (y, x)."""
    return _pixels_within(y, reach, size), _pixels_within(x, reach, size)


def _pixels_within(centre: float, reach: float, size: int) -> slice:
    first = int((centre - reach) * size) - 1
    last = int((centre + reach) * size) + 1
    return slice(max(0, first), last + 1)


def _distance_to_box(
    down: np.ndarray,
    right: np.ndarray,
    half_height: float,
    half_width: float,
) -> np.ndarray:
    """Return the distance from the edges of a box around 0, negative inside."""
    return np.maximum(abs(down) - half_height, abs(right) - half_width)


def _paint_drawing(
    image: np.ndarray,
    drawing: tuple[Part, ...],
    style: _Style,
    generator: np.random.Generator,
) -> np.ndarray:
    """Paint a drawing at random into an image in place and return its pixels (H, W)."""
    size = image.shape[-1]
    samples = max(2, 96 // size)  # along each side of a pixel
    x, y = _place_drawing(size * samples, style, generator)
    colours = _drawing_colours(style, generator)
    covered = np.zeros((size, size))
    for part in drawing:
        coverage = _block_means(part.region(x, y), samples)
        _paint(image, colours[part.colour], coverage)
        covered = np.maximum(covered, coverage)
    return covered >= 0.5


def _place_drawing(
    size: int,
    style: _Style,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's x and y in the coordinates of a drawing at a random place."""
    extent, y, x, turn, stretch, side = generator.random(6)
    radius = 0.4 - style.radius_range * extent
    room = (1 - 2 * radius) * style.room
    centre_y = 0.5 + room * (y - 0.5)
    centre_x = 0.5 + room * (x - 0.5)
    rows, columns = _pixel_centres(size)
    angle = style.largest_turn * (2 * turn - 1)
    down, right = _turned(rows - centre_y, columns - centre_x, angle)
    width = radius * (0.85 + 0.2 * stretch)
    if side < 0.5:
        width = -width  # mirrored
    return right * (100 / width), down * (100 / radius)


def _drawing_colours(
    style: _Style,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two colours of a drawing, both lighter than most of a scene."""
    levels = generator.random(2)
    tints = generator.random((2, 3))
    brightness = style.drawing_brightness - 0.1 * levels[0]
    darker = brightness - 0.2 - 0.1 * levels[1]
    first = _colour(brightness, 0.8, tints[0])
    second = _colour(darker, 0.9, tints[1])
    return first, second


def _block_means(points: np.ndarray, side: int) -> np.ndarray:
    """Return the share of true values in each block of `side` x `side` points."""
    counts = np.zeros((points.shape[0] // side, points.shape[1] // side))
    for row in range(side):
        for column in range(side):
            counts += points[row::side, column::side]  # faster than a sum over two axes
    return counts / side**2


def _paint(image: np.ndarray, colour: np.ndarray, coverage: np.ndarray) -> None:
    """Paint a colour (3,) over the covered share of each pixel of an image, in place."""
    image += coverage * (colour.clip(0, 1)[:, None, None] - image)


def _turned(
    down: np.ndarray,
    right: np.ndarray,
    turn: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates turned by an angle; `turn` is the tangent of half of it.

    Sine and cosine follow from it by division, which every machine rounds in the same way.
    """
    cos = (1 - turn * turn) / (1 + turn * turn)
    sin = 2 * turn / (1 + turn * turn)
    return cos * down - sin * right, sin * down + cos * right


@cache
def _pixel_centres(size: int) -> np.ndarray:
    """Return the row and column of each pixel's centre, (2, size, size)."""
    return (np.mgrid[:size, :size] + 0.5) / size
