"""The configuration of the MNIST IoU study."""

import math
from dataclasses import dataclass, replace
from typing import Any

from pruncam import cams
from pruncam.models import INITIAL_WEIGHTS
from pruncam.training import Inputs, Recipe

PRUNABLE = 2324  # weights of the network that may be pruned
LEVEL_ZERO = ("retrained", "pretrained")
VARIANTS: dict[str, dict[str, Any]] = {
    "inputs not normalised": {"mean": 0.0, "std": 1.0},
    "PyTorch's initial weights": {"initial_weights": "pytorch"},
    "level 0 is the pretrained net": {"level_zero": "pretrained"},
}


@dataclass(frozen=True)
class Config:
    """The MNIST IoU study (thesis, Sections 2.2 and A.1); fields without a comment are named as in the thesis.

    Raises ValueError in one sentence where a value makes no sense.
    """

    dataset: str
    train_images: int | None  # the first so many; None takes all
    test_images: int | None
    seeds: tuple[int, ...]  # those of the thesis, averaged
    more_seeds: tuple[int, ...]  # trained and scored alike, each shown alone
    levels: int  # how often the network is pruned; level 0 is the unpruned one
    fraction: float  # of the remaining weights, pruned at each level
    pretraining: tuple[tuple[int, float], ...]  # (epochs, learning rate)
    retraining: tuple[tuple[int, float], ...]
    batch_size: int
    momentum: float
    weight_decay: float
    noise: int  # largest grey level that a zero pixel may get
    mean: float  # of the input normalisation, after [0, 1]
    std: float
    initial_weights: str
    level_zero: str  # is level 0 the pretrained net itself or is it trained again like every other level?
    variants: tuple[str, ...]  # names from VARIANTS, each trained anew
    variant_seeds: int
    method: str
    target_layer: str
    bootstrap: int  # resamples of the images
    profile: str = "custom"

    def __post_init__(self):
        if not 1 <= self.levels <= 25:
            raise ValueError(f"levels must be 1 to 25 (2,324 weights last no longer), got {self.levels}")
        if not 0 < self.fraction < 1:
            raise ValueError(f"fraction of the remaining weights must be in (0, 1), got {self.fraction}")
        left = PRUNABLE
        for level in range(1, self.levels + 1):
            left -= math.ceil(self.fraction * left) + 1  # `pruning.lottery_step`
            if left < 1:
                raise ValueError(f"no weight is left at level {level} of {self.levels}: lower levels or fraction")
        every = self.seeds + self.more_seeds
        if not self.seeds or len(set(every)) != len(every):
            raise ValueError(f"seeds and more_seeds must name at least one seed and none twice, got {every}")
        if not 0 <= self.variant_seeds <= len(self.seeds) or (self.variants and self.variant_seeds == 0):
            raise ValueError(
                f"variant_seeds must be 1 to {len(self.seeds)} (0 without variants), got {self.variant_seeds}"
            )
        for name, value, known in (
            ("variants", self.variants, tuple(VARIANTS)),
            ("initial_weights", (self.initial_weights,), INITIAL_WEIGHTS),
            ("level_zero", (self.level_zero,), LEVEL_ZERO),
            ("method", (self.method,), cams.METHODS),
            ("target_layer", (self.target_layer,), ("conv2", "relu2")),
        ):
            if not set(value) <= set(known):
                raise ValueError(f"{name} must be taken from {', '.join(known)}, got {', '.join(value)}")
        if self.bootstrap < 100:
            raise ValueError(f"bootstrap must be 100 resamples or more, got {self.bootstrap}")
        self.inputs, self.recipe("pretraining"), self.recipe("retraining")  # their own checks

    @property
    def inputs(self) -> Inputs:
        """How an image becomes the network's input."""
        return Inputs(noise=self.noise, mean=self.mean, std=self.std)

    def recipe(self, phase: str) -> Recipe:
        """The recipe of "pretraining" or "retraining"."""
        return Recipe(getattr(self, phase), self.batch_size, self.momentum, self.weight_decay)

    def variant(self, name: str) -> "Config":
        """This configuration with a named variant's change."""
        return replace(self, **VARIANTS[name])
