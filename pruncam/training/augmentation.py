"""Random shifts and mirrored images, drawn once per epoch."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pruncam.training.recipes import Recipe


@dataclass(frozen=True)
class Augmentation:
    """The shift and orientation of each image of a data set in one epoch.

    `corners` (N, 2) are the row and column at which each image is cropped from the padded one,
    `mirrored` (N,) says which images are flipped.
    """

    shift: int
    corners: Tensor
    mirrored: Tensor

    def apply(self, images: Tensor, indices: Tensor) -> Tensor:
        """Return the images (n, C, H, W) with these indices (n,) shifted and mirrored."""
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


def draw_augmentation(
    recipe: Recipe,
    images: int,
    random: torch.Generator,
) -> Augmentation | None:
    """Draw the augmentation of one epoch of `images` images; None if the recipe has none.

    It is drawn on the CPU, so that every device gets the same.
    """
    if not recipe.augments:
        return None
    corners = torch.randint(0, 2 * recipe.shift + 1, (images, 2), generator=random)
    mirrored = torch.rand(images, generator=random) < (0.5 if recipe.mirror else 0)
    return Augmentation(recipe.shift, corners, mirrored)
