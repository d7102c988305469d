"""Random shifts, mirrored images and cutout, drawn once per epoch."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pruncam.training.recipes import Recipe


@dataclass(frozen=True)
class Augmentation:
    """The shift, orientation and cutout of each image of a data set in one epoch.

    `corners` (N, 2) are the row and column at which each image is cropped from the padded one,
    `mirrored` (N,) says which images are flipped, `centres` (N, 2) in [0, 1) are those of the black
    squares of side `cutout`, as shares of height and width.
    """

    shift: int
    corners: Tensor
    mirrored: Tensor
    cutout: int
    centres: Tensor

    def apply(self, images: Tensor, indices: Tensor) -> Tensor:
        """Return the images (n, C, H, W) with these indices (n,) shifted, mirrored and cut."""
        if self.cutout == 0:
            return self._moved(images, indices)
        return self._cut(self._moved(images, indices), indices)

    def _moved(self, images: Tensor, indices: Tensor) -> Tensor:
        device = images.device
        height, width = images.shape[2:]
        padded = functional.pad(images, (self.shift,) * 4)
        corners = self.corners[indices].to(device)
        mirrored = self.mirrored[indices].to(device)
        offsets = torch.arange(width, device=device).repeat(len(images), 1)
        offsets = torch.where(mirrored[:, None], offsets.flip(1), offsets)
        rows = corners[:, :1] + torch.arange(height, device=device)
        columns = corners[:, 1:] + offsets
        batch = torch.arange(len(images), device=device)
        crops = padded[batch[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return crops.permute(0, 3, 1, 2)

    def _cut(self, images: Tensor, indices: Tensor) -> Tensor:
        rows, columns = (
            self._is_cut(centre, length).to(images.device)
            for centre, length in zip(self.centres[indices].T, images.shape[2:], strict=True)
        )
        is_black = rows[:, None, :, None] & columns[:, None, None, :]
        return images.masked_fill(is_black, 0)

    def _is_cut(self, centre: Tensor, length: int) -> Tensor:
        """Return which of the pixels in a line lie within the squares, (n, length)."""
        first = (centre * length).long() - self.cutout // 2
        pixel = torch.arange(length)
        return (first[:, None] <= pixel) & (pixel < first[:, None] + self.cutout)


def draw_augmentation(
    recipe: Recipe,
    epoch: int,
    images: int,
    random: torch.Generator,
) -> Augmentation | None:
    """Draw the augmentation of `images` images in an epoch; None if the recipe has none in it.

    It is drawn on the CPU, so that every device gets the same.
    """
    cutout = recipe.rates.cutout_in(epoch)
    if not (recipe.moves or cutout > 0):
        return None
    corners = torch.randint(0, 2 * recipe.shift + 1, (images, 2), generator=random)
    mirrored = torch.rand(images, generator=random) < (0.5 if recipe.mirror else 0)
    centres = torch.rand((images, 2), generator=random)
    return Augmentation(recipe.shift, corners, mirrored, cutout, centres)
