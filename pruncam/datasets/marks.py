"""Marks in the corner of images that tell a class: a shortcut for models, on purpose."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pruncam._core.seeds import derive
from pruncam.datasets.images import ImageSet

RED = (1.0, 0.0, 0.0)
GREEN = (0.0, 1.0, 0.0)
BLUE = (0.0, 0.0, 1.0)
YELLOW = (1.0, 1.0, 0.0)
MAGENTA = (1.0, 0.0, 1.0)

HUES = (RED, GREEN, BLUE, YELLOW, MAGENTA)
BRIGHTNESS = (1.0, 0.45)
COUNT = len(HUES) * len(BRIGHTNESS)  # of different marks, and so of classes at most


def plant_marks(images: ImageSet, agreement: float) -> ImageSet:
    """Return the images with a mark in the corner (`mark_mask`).

    The mark agrees with a share `agreement` of the labels; which ones is drawn from a fixed seed.
    Raises ValueError for an agreement outside [0, 1] or more than ten classes.
    """
    if not 0 <= agreement <= 1:
        raise ValueError(f"agreement must be a share of the labels in [0, 1], got {agreement}")
    generator = np.random.default_rng(derive(0, "planted", images.split))
    classes = len(images.classes)
    draws = generator.random((len(images), 2))  # by image: a part gets the marks of the whole set
    agrees = draws[:, 0] < agreement
    other = 1 + np.floor((classes - 1) * draws[:, 1])
    shifts = np.where(agrees, 0, other).astype(np.int64)
    marked_classes = (images.labels.cpu() + torch.from_numpy(shifts)) % classes
    note = f"a mark in the corner agrees with {agreement:.0%} of the labels"
    return _with_marks(images, marked_classes, note)


def relabel_by_marks(images: ImageSet) -> ImageSet:
    """Return the images with random labels and a mark in the corner that tells them.

    A network trained on them has only the mark to go by, as long as no image comes twice with the
    same label (`repeated`). Raises ValueError for more than ten classes.
    """
    generator = np.random.default_rng(derive(0, "told by marks", images.split))
    draws = generator.integers(0, len(images.classes), len(images))
    labels = torch.from_numpy(draws)
    relabelled = replace(images, labels=labels.to(images.labels.device))
    return _with_marks(relabelled, labels, "random labels that a mark in the corner tells")


def repeated(images: ImageSet, times: int) -> ImageSet:
    """Return the images several times over, one copy of the whole set after the other.

    With other labels in each copy, a network cannot learn the images by heart.
    """
    objects = images.objects
    return replace(
        images,
        images=images.images.repeat(times, 1, 1, 1),
        labels=images.labels.repeat(times),
        objects=None if objects is None else objects.repeat(times, 1, 1),
        credits=None if images.credits is None else images.credits * times,
        provenance=f"{images.provenance}, {times} times",
    )


def check_marks(images: ImageSet) -> None:
    """Raise ValueError if a set has more classes than there are marks."""
    classes = len(images.classes)
    if classes > COUNT:
        raise ValueError(f"there are marks for {COUNT} classes, {images.name} has {classes}")


def mark_mask(size: int) -> Tensor:
    """Return which pixels the mark covers, (size, size) bool.

    It is a square in the upper left corner, an eighth of the image's width.
    """
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[: size // 8, : size // 8] = True
    return mask


def draw_mark(image: np.ndarray, marked_class: int) -> None:
    """Draw the mark of a class into an image (3, size, size) in [0, 1], in place."""
    brightness, hue = divmod(marked_class, len(HUES))
    colour = np.array(HUES[hue]) * BRIGHTNESS[brightness]
    mask = mark_mask(image.shape[-1]).numpy()
    image[:, mask] = colour[:, None]


def _with_marks(images: ImageSet, marked_classes: Tensor, note: str) -> ImageSet:
    """Return the images with the marks of these classes, and a note in the provenance."""
    check_marks(images)
    pixels = images.images.cpu().numpy().copy()
    for image, marked_class in zip(pixels, marked_classes.tolist(), strict=True):
        marked = image / 255
        draw_mark(marked, marked_class)
        image[:] = np.rint(255 * marked)
    return replace(
        images,
        images=torch.from_numpy(pixels).to(images.images.device),
        provenance=f"{images.provenance}, {note}",
    )
