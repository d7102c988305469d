"""Generated colour images with known objects: ten classes of textured shapes on clutter.

A class is a shape and a texture. Colours, position, size and angle are random, so that neither
colour nor position tells the class. The background is smooth noise with untextured shapes and
scraps of the same textures. A mark in the corner can agree with the class at a chosen rate, so that
it is known whether a model looks there instead of at the object.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from pruncam._core.seeds import derive
from pruncam._core.store import Step, Store
from pruncam.datasets.images import ImageSet, first_images_text
from pruncam.datasets.marks import draw_mark

SHAPES = ("disc", "square", "triangle", "ring", "cross")
TEXTURES = ("striped", "checked")
CLASSES = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)
PER_CLASS = {"train": 300, "test": 60}

_DRAWING_VERSION = 1  # raised whenever an image changes
_OBJECT_RADII = (0.24, 0.36)  # relative to the size of the image
_CLUTTER_RADII = (0.06, 0.13)


@dataclass(frozen=True)
class GeneratedSet:
    """A generated data set of `size` x `size` images.

    `difficulty`, in [0, 1], makes textures fainter, clutter denser and pixels noisier. `agreement`
    is the share of images whose mark is that of their class; None: images have no mark.
    """

    name: str
    size: int
    difficulty: float = 0.5
    agreement: float | None = None
    package_folder: Path = Path(__file__).parent

    @property
    def title(self) -> str:
        """Return the title of the data set."""
        return "Generated shapes"

    @property
    def layout(self) -> str:
        """Return where the files belong: there are none."""
        return "made by this package"

    def missing(self, folder: Path) -> str:
        """Return an empty text: there are no files."""
        return ""

    def load(self, split: str, folder: Path, at_most: int | None = None) -> ImageSet:
        """Generate a split or its first images, the same ones every time."""
        total = _total(split)
        return _generate(self, split, total if at_most is None else min(at_most, total))

    def download(self, folder: Path) -> None:
        """Do nothing: there are no files."""


@cache  # a process uses few sets
def _generate(entry: GeneratedSet, split: str, count: int) -> ImageSet:
    inputs = {
        "split": split,
        "size": entry.size,
        "difficulty": entry.difficulty,
        "agreement": entry.agreement,
        "images": count,
    }
    step = Step("generated-images", _DRAWING_VERSION, inputs)
    result = Store().get(step, lambda: _draw_split(entry, split, count))
    images, labels, objects = result.value
    return ImageSet(
        name=entry.name,
        split=split,
        images=images,
        labels=labels,
        classes=CLASSES,
        provenance=_provenance(entry, split, count),
        objects=objects,
    )


def _provenance(entry: GeneratedSet, split: str, count: int) -> str:
    text = f"generated shapes of {entry.size}x{entry.size}, difficulty {entry.difficulty:g}"
    if entry.agreement is not None:
        text += f", a mark in the corner agrees with {entry.agreement:.0%} of the labels"
    if count < _total(split):
        text += f"; {first_images_text(count, _total(split), split)}"
    return text


def _total(split: str) -> int:
    return len(CLASSES) * PER_CLASS[split]


def _draw_split(entry: GeneratedSet, split: str, count: int) -> list[torch.Tensor]:
    """Return the first images of a split, their labels, and the pixels of their objects."""
    size = entry.size
    generator = np.random.default_rng(derive(0, "generated", split, size))
    labels = np.tile(np.arange(len(CLASSES)), PER_CLASS[split])[:count]
    images = np.empty((count, 3, size, size), np.uint8)
    objects = np.empty((count, size, size), bool)
    for number, label in enumerate(labels):
        image, objects[number] = draw_image(label, size, entry.difficulty, generator)
        if entry.agreement is not None:
            draw_mark(image, _marked_class(label, entry.agreement, generator))
        images[number] = np.rint(255 * image).clip(0, 255)
    return [torch.from_numpy(values) for values in (images, labels, objects)]


def _marked_class(label: int, agreement: float, generator: np.random.Generator) -> int:
    """Return the class whose mark is drawn: the label, or else another class."""
    agrees = generator.random() < agreement
    shift = generator.integers(1, len(CLASSES))
    return int(label if agrees else (label + shift) % len(CLASSES))


def draw_image(
    label: int, size: int, difficulty: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image of a class.

    Returns the image (3, size, size) in [0, 1] and the pixels of its object, (size, size) bool.
    """
    image = _background(size, generator)
    for _ in range(round(2 + 6 * difficulty)):
        _paint_clutter(image, difficulty, generator)
    texture, shape = CLASSES[label].split()
    target = _random_shape(shape, size, _OBJECT_RADII, generator)
    _paint(image, target, texture, difficulty, generator)
    noise_level = 0.02 + 0.10 * difficulty
    image += noise_level * generator.uniform(-1, 1, image.shape)
    mask = np.zeros((size, size), bool)
    mask[target.rows, target.columns] = target.mask
    return image.clip(0, 1), mask


def _background(size: int, generator: np.random.Generator) -> np.ndarray:
    """Return smooth noise (3, size, size): a 5x5 grid of random colours, enlarged bilinearly."""
    grid = generator.uniform(0.15, 0.85, (3, 5, 5))
    positions = np.linspace(0, 4, size)
    low = np.minimum(positions.astype(int), 3)
    weight = positions - low
    above = grid[:, low] * (1 - weight)[:, None]
    below = grid[:, low + 1] * weight[:, None]
    rows = above + below
    left = rows[..., low] * (1 - weight)
    right = rows[..., low + 1] * weight
    return left + right


def _paint_clutter(image: np.ndarray, difficulty: float, generator: np.random.Generator) -> None:
    """Paint a small shape into an image in place, plain or textured."""
    shape = SHAPES[generator.integers(len(SHAPES))]
    placed = _random_shape(shape, image.shape[-1], _CLUTTER_RADII, generator)
    texture = None
    if generator.random() < 0.5:
        texture = TEXTURES[generator.integers(len(TEXTURES))]
    _paint(image, placed, texture, difficulty, generator)


@dataclass(frozen=True)
class _PlacedShape:
    """A shape in an image: a box around it, and in the box its mask and its coordinates."""

    rows: slice
    columns: slice
    mask: np.ndarray
    u: np.ndarray  # in [-1, 1] inside of the shape
    v: np.ndarray


def _random_shape(
    shape: str, size: int, radii: tuple[float, float], generator: np.random.Generator
) -> _PlacedShape:
    """Place a shape at random inside of an image, with a radius relative to its size."""
    radius = generator.uniform(*radii) * size
    centre_x, centre_y = generator.uniform(radius, size - radius, 2)
    angle = generator.uniform(0, 2 * math.pi)
    rows = _extent(centre_y, radius)
    columns = _extent(centre_x, radius)
    y, x = _pixel_centres(size)[:, rows, columns]
    x = (x - centre_x) / radius
    y = (y - centre_y) / radius
    cos = math.cos(angle)
    sin = math.sin(angle)
    u = x * cos + y * sin
    v = y * cos - x * sin
    return _PlacedShape(rows, columns, _MASKS[shape](u, v), u, v)


def _extent(centre: float, radius: float) -> slice:
    """Return the pixels that a shape can cover in one direction, with one to spare."""
    first = int(centre - radius) - 1
    last = int(centre + radius) + 1
    return slice(max(0, first), last + 1)


@cache
def _pixel_centres(size: int) -> np.ndarray:
    """Return the row and column of the centre of each pixel, (2, size, size)."""
    return np.mgrid[:size, :size] + 0.5


def _paint(
    image: np.ndarray,
    placed: _PlacedShape,
    texture: str | None,
    difficulty: float,
    generator: np.random.Generator,
) -> None:
    """Paint a shape into an image in place: plain, or in two colours that alternate."""
    colour = generator.uniform(0, 1, 3)
    away_from_colour = np.where(colour > 0.5, -1, 1)
    contrast = (0.75 - 0.4 * difficulty) * away_from_colour
    mask = placed.mask
    u = 2.5 * placed.u[mask]
    v = 2.5 * placed.v[mask]
    second = _PATTERNS[texture](u, v)
    box = image[:, placed.rows, placed.columns]
    box[:, mask] = colour[:, None] + contrast[:, None] * second


# Masks of shapes: which points, with coordinates u and v in [-1, 1], are inside.


def _disc(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u**2 + v**2 < 0.8


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) < 0.7


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (v > -0.5) & (v < 1 - 1.732 * abs(u))


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    distance = u**2 + v**2
    return (distance < 1) & (distance > 0.3)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    shorter = np.minimum(abs(u), abs(v))
    longer = np.maximum(abs(u), abs(v))
    return (shorter < 0.3) & (longer < 0.95)


# Patterns of textures: which points have the second colour.


def _plain(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.zeros(u.shape, bool)


def _striped(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.floor(u) % 2 == 1


def _checked(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.floor(u) + np.floor(v)) % 2 == 1


_Pattern = Callable[[np.ndarray, np.ndarray], np.ndarray]

_MASKS: dict[str, _Pattern] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "ring": _ring,
    "cross": _cross,
}
_PATTERNS: dict[str | None, _Pattern] = {None: _plain, "striped": _striped, "checked": _checked}
