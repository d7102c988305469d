"""How a user's two networks are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruncam import cams, scoring
from pruncam.cams.checks import check_methods
from pruncam.choices import check_number, is_number, shown
from pruncam.training import Recipe

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Settings:
    """How two networks are compared; raises ValueError or TypeError in one sentence where it makes no sense.

    `mean` and `std` normalise pixels in [0, 1], one number or one per channel; None: ImageNet's, for colour pictures
    alone. `epochs`, `learning_rate` and `batch_size` are those of the fine-tuning (SGD, momentum 0.9) that the noise
    floor repeats with the baseline, once for each of `seeds`; each also draws a network with random weights.
    """

    methods: Sequence[str] = scoring.METHODS
    target_layer: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    epochs: int = 1
    learning_rate: float = 0.001
    batch_size: int = 32
    seeds: Sequence[int] = (1, 2)
    seed: int = 0  # of the bootstrap
    bootstrap: int = 1000
    moved: int = 12  # images that are named for each CAM

    def __post_init__(self):
        check_methods(self.methods, cams.METHODS, cams.ENGINES[0], cams.ENGINES)
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or none")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and not (values and all(is_number(value) for value in values)):
                raise TypeError(f"{name} must be one number, or one for each channel, got {shown(values)}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {min(self.std)}")
        check_number("moved", self.moved, whole=True, at_least=1)
        check_number("seed", self.seed, whole=True, at_least=0)
        check_number("bootstrap", self.bootstrap, whole=True, at_least=100)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different whole numbers, one or more, got {shown(self.seeds)}")
        for seed in self.seeds:
            check_number("seeds", seed, whole=True, at_least=0)
        _ = self.recipe  # which refuses what is no training

    @property
    def recipe(self) -> Recipe:
        """The fine-tuning of the noise floor."""
        return Recipe(((self.epochs, self.learning_rate),), self.batch_size)

    def normalisation(self, channels: int) -> "Normalisation":
        """What makes pixels in [0, 1] the networks' input."""
        if self.mean is None and channels != 3:
            raise ValueError(
                f"ImageNet's mean and std are those of 3 channels, the pictures have {channels}: give both"
            )
        mean, std = (self.mean, self.std) if self.mean is not None else IMAGENET
        for name, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, channels):
                raise ValueError(f"{name} must have 1 or {channels} numbers, one for each channel, got {len(values)}")
        return Normalisation(mean, std)


class Normalisation(nn.Module):
    """Images (N, C, H, W) in [0, 1] less the mean, by the standard deviation of each channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std
