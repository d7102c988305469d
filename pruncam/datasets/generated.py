"""Generated colour pictures whose objects are known to the pixel: ten classes of textured shapes on cluttered ground.

Class = shape x texture; colours, place, size and angle are random, so neither a colour nor a place tells the class.
The ground is smooth noise with plain shapes and scraps of the same textures lying about. A mark can be planted in the
corner that agrees with the class at a chosen rate: whether a model looks there instead of at the object is then known.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from pruncam.datasets.images import ImageSet, the_first
from pruncam.seeds import derive
from pruncam.store import Step, Store

SHAPES = ("disc", "square", "triangle", "ring", "cross")
TEXTURES = ("striped", "checked")
CLASSES = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)
PER_CLASS = {"train": 300, "test": 60}
_DRAWING = 1  # raised whenever a picture comes out otherwise


@dataclass(frozen=True)
class Generated:
    """A catalogue entry: `size` x `size` pictures; `agreement` is how often the corner's mark is that of the class.

    `difficulty`, in [0, 1], makes textures fainter, clutter denser and pixels noisier. `agreement` None: no mark.
    """

    name: str
    size: int
    difficulty: float = 0.5
    agreement: float | None = None
    home: Path = Path(__file__).parent  # it comes with this package

    @property
    def title(self) -> str:
        return "Generated shapes"

    @property
    def layout(self) -> str:
        return "made by this package"

    def lacks(self, folder: Path) -> str:
        """Nothing: there are no files."""
        return ""

    def load(self, split: str, folder: Path, at_most: int | None = None) -> ImageSet:
        """The split, or its first pictures: the same ones every time, train and test drawn apart."""
        whole = len(CLASSES) * PER_CLASS[split]
        return _drawn(self, split, whole if at_most is None else min(at_most, whole))

    def download(self, folder: Path) -> None:
        """Nothing to do."""

    def _marked_as(self, label: int, generator: np.random.Generator) -> int:
        """The class whose mark is planted: its own, or else one of the others."""
        own, other = generator.random() < self.agreement, generator.integers(1, len(CLASSES))
        return int(label if own else (label + other) % len(CLASSES))


@cache  # a process uses few sets
def _drawn(entry: Generated, split: str, count: int) -> ImageSet:
    inputs = {"split": split, "size": entry.size, "difficulty": entry.difficulty, "agreement": entry.agreement}
    step = Step("generated-images", _DRAWING, inputs | {"images": count})
    images, labels, objects = Store().get(step, lambda: _draw(entry, split, count)).value
    whole = len(CLASSES) * PER_CLASS[split]
    part = f"; {the_first(count, whole, split)}" if count < whole else ""
    mark = "" if entry.agreement is None else f", a mark in the corner agrees with {entry.agreement:.0%} of the labels"
    return ImageSet(
        name=entry.name,
        split=split,
        images=images,
        labels=labels,
        classes=CLASSES,
        provenance=f"generated shapes of {entry.size}x{entry.size}, difficulty {entry.difficulty:g}{mark}{part}",
        objects=objects,
    )


def _draw(entry: Generated, split: str, count: int) -> list[torch.Tensor]:
    """The first pictures of a split, labels, and which pixels are the object's: a second for 1,500 small ones."""
    generator = np.random.default_rng(derive(0, "generated", split, entry.size))
    labels = np.tile(np.arange(len(CLASSES)), PER_CLASS[split])[:count]
    images = np.empty((len(labels), 3, entry.size, entry.size), np.uint8)
    objects = np.empty((len(labels), entry.size, entry.size), bool)
    for number, label in enumerate(labels):
        picture, objects[number] = picture_of(label, entry.size, entry.difficulty, generator)
        if entry.agreement is not None:
            _plant(picture, entry._marked_as(label, generator))
        images[number] = np.rint(255 * picture).clip(0, 255)
    return [torch.from_numpy(values) for values in (images, labels, objects)]


def planted(images: ImageSet, agreement: float) -> ImageSet:
    """The same pictures with a mark in the corner (`marked_pixels`) that agrees with so many of the labels, 0 to 1.

    Which pictures get a mark that lies, and which, is drawn from a fixed seed. Raises ValueError for an agreement
    outside [0, 1] or more than ten classes: there are ten marks.
    """
    if not 0 <= agreement <= 1:
        raise ValueError(f"marks agree with a share of the labels in [0, 1], got {agreement}")
    generator, classes = np.random.default_rng(derive(0, "planted", images.split)), len(images.classes)
    lies = torch.from_numpy(generator.random(len(images)) >= agreement)
    others = torch.from_numpy(generator.integers(1, max(classes, 2), len(images)))
    shown = (images.labels.cpu() + lies * others) % classes
    return _marked(images, shown, f"a mark in the corner agrees with {agreement:.0%} of the labels")


def told_by_marks(images: ImageSet) -> ImageSet:
    """The same pictures under random labels that the mark in the corner tells, and nothing else does.

    A network that is trained on them leaves the object for the mark. Raises ValueError for more than ten classes.
    """
    generator = np.random.default_rng(derive(0, "told by marks", images.split))
    labels = torch.from_numpy(generator.integers(0, len(images.classes), len(images)))
    renamed = replace(images, labels=labels.to(images.labels.device))
    return _marked(renamed, labels, "random labels that a mark in the corner tells")


def check_marks(images: ImageSet) -> None:
    """Refuse a set with more classes than there are marks."""
    if len(images.classes) > len(CLASSES):
        raise ValueError(f"there are marks for {len(CLASSES)} classes, {images.name} has {len(images.classes)}")


def _marked(images: ImageSet, shown: torch.Tensor, words: str) -> ImageSet:
    """The set with the marks of the classes `shown`."""
    check_marks(images)
    pixels = images.images.cpu().numpy().copy()
    for picture, label in zip(pixels, shown.tolist(), strict=True):
        planted = picture / 255
        _plant(planted, label)
        picture[:] = np.rint(255 * planted)
    marked = torch.from_numpy(pixels).to(images.images.device)
    return replace(images, images=marked, provenance=f"{images.provenance}, {words}")


def marked_pixels(size: int) -> torch.Tensor:
    """Which pixels of a picture the mark covers, (size, size) bool: the upper left corner, an eighth of the width."""
    pixels = torch.zeros(size, size, dtype=torch.bool)
    pixels[: size // 8, : size // 8] = True
    return pixels


def picture_of(
    label: int, size: int, difficulty: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One picture of a class, (3, size, size) in about [0, 1], and its object's pixels, (size, size) bool."""
    picture = _ground(size, generator)
    for _ in range(round(2 + 6 * difficulty)):  # what lies about: a plain shape, or a scrap of texture
        box, *place = _place(SHAPES[generator.integers(5)], size, (0.06, 0.13), generator)
        scrap = generator.random() < 0.5
        texture = TEXTURES[generator.integers(2)] if scrap else None
        _paint(picture[:, *box], *place, texture, difficulty, generator)
    texture, shape = CLASSES[label].split()
    box, *place = _place(shape, size, (0.24, 0.36), generator)
    _paint(picture[:, *box], *place, texture, difficulty, generator)
    picture += (0.02 + 0.10 * difficulty) * generator.uniform(-1, 1, picture.shape)
    mask = np.zeros((size, size), bool)
    mask[box] = place[0]
    return picture.clip(0, 1), mask


def _ground(size: int, generator: np.random.Generator) -> np.ndarray:
    """Smooth noise: a 5x5 grid of random colours, bilinearly enlarged."""
    grid = generator.uniform(0.15, 0.85, (3, 5, 5))
    places = np.linspace(0, 4, size)
    low = np.minimum(places.astype(int), 3)
    share = places - low
    rows = grid[:, low] * (1 - share)[:, None] + grid[:, low + 1] * share[:, None]
    return rows[..., low] * (1 - share) + rows[..., low + 1] * share


@cache
def _pixels(size: int) -> np.ndarray:
    """The rows and the columns of the pixels' centres, (2, size, size)."""
    return np.mgrid[:size, :size] + 0.5


def _place(shape: str, size: int, radii: tuple[float, float], generator: np.random.Generator):
    """A shape somewhere inside: the box around it, its pixels there, and its own coordinates, from -1 to 1, there."""
    radius = generator.uniform(*radii) * size
    centre = generator.uniform(radius, size - radius, 2)
    angle = generator.uniform(0, 2 * math.pi)
    # No shape reaches beyond its radius, so nothing outside this box is looked at.
    columns, rows = (slice(max(0, int(c - radius) - 1), int(c + radius) + 2) for c in centre)
    y, x = _pixels(size)[:, rows, columns]
    x, y = (x - centre[0]) / radius, (y - centre[1]) / radius
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return (rows, columns), _MASKS[shape](u, v), u, v


_MASKS = {
    "disc": lambda u, v: u**2 + v**2 < 0.8,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.7,
    "triangle": lambda u, v: (v > -0.5) & (v < 1 - 1.732 * abs(u)),
    "ring": lambda u, v: (u**2 + v**2 < 1) & (u**2 + v**2 > 0.3),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.95),
}


def _paint(picture, mask, u, v, texture: str | None, difficulty: float, generator: np.random.Generator) -> None:
    """Colour the shape: plain, or in two colours that alternate; `picture` is what lies in the shape's box."""
    colour = generator.uniform(0, 1, 3)
    contrast = (0.75 - 0.4 * difficulty) * np.where(colour > 0.5, -1, 1)
    second = _TEXTURES[texture](2.5 * u[mask], 2.5 * v[mask])
    picture[:, mask] = colour[:, None] + contrast[:, None] * second


_TEXTURES = {
    None: lambda u, v: np.zeros(u.shape, bool),
    "striped": lambda u, v: np.floor(u) % 2 == 1,
    "checked": lambda u, v: (np.floor(u) + np.floor(v)) % 2 == 1,
}


def _plant(picture: np.ndarray, label: int) -> None:
    """A mark in the corner, in place: five hues, in light and dark."""
    hue, dark = label % 5, label // 5
    colours = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1))
    picture[:, marked_pixels(picture.shape[-1]).numpy()] = np.array(colours[hue], float)[:, None] * (
        0.45 if dark else 1
    )
