"""The configuration of the MNIST IoU study."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from pruncam import cams
from pruncam._core.validation import check_seeds
from pruncam.networks import INITIAL_WEIGHTS
from pruncam.studies.config import Schedule, check_bootstrap
from pruncam.training import Inputs, Recipe

PRUNABLE = 2324  # weights of the network that may be pruned
LEVEL_ZERO = ("retrained", "pretrained")
TARGET_LAYERS = ("conv1", "relu1", "pool1", "conv2", "relu2", "pool2")
VARIANTS: dict[str, dict[str, Any]] = {
    "inputs not normalised": {"mean": 0.0, "std": 1.0},
    "PyTorch's initial weights": {"initial_weights": "pytorch"},
    "level 0 is the pretrained net": {"level_zero": "pretrained"},
}


@dataclass(frozen=True, kw_only=True)
class MnistIouConfig:
    """Settings of the MNIST IoU study (thesis, Sections 2.2 and A.1).

    Fields without a comment are named as in the thesis. Raises ValueError in one sentence if a
    value makes no sense.
    """

    dataset: str  # name of the images in `datasets.catalog`
    train_images: int | None  # number of training images, taken from the start; None takes all
    test_images: int | None
    seeds: tuple[int, ...]  # those of the thesis, averaged
    more_seeds: tuple[int, ...]  # trained and scored in the same way, each shown alone
    levels: int  # number of prunings; level 0 is the unpruned network
    fraction: float  # of the remaining weights, pruned at each level
    pretraining: Schedule
    retraining: Schedule
    batch_size: int
    momentum: float
    weight_decay: float
    noise: int  # largest grey level that a zero pixel may get
    mean: float  # of the input normalisation, after [0, 1]
    std: float
    initial_weights: str
    level_zero: str  # the "pretrained" network itself, or "retrained" like every other level
    variants: tuple[str, ...]  # names from VARIANTS; each is trained from the start
    variant_seeds: int  # number of seeds of each variant
    more_datasets: tuple[str, ...]  # studied in the same way, each with `seeds`
    method: str  # CAM method
    target_layer: str
    bootstrap: int  # bootstrap resamples of seeds and images
    profile: str = "custom"

    def __post_init__(self):
        self._check_pruning()
        self._check_seeds()
        check_bootstrap(self.bootstrap)
        _check_names("variants", self.variants, VARIANTS)
        _check_names("initial_weights", [self.initial_weights], INITIAL_WEIGHTS)
        _check_names("level_zero", [self.level_zero], LEVEL_ZERO)
        _check_names("method", [self.method], cams.METHODS)
        _check_names("target_layer", [self.target_layer], TARGET_LAYERS)
        # Records that check their own values.
        self.recipe("pretraining")
        self.recipe("retraining")
        _ = self.inputs

    def _check_pruning(self) -> None:
        if not 1 <= self.levels <= 25:
            raise ValueError(
                f"levels must be 1 to 25 (2,324 weights last no longer), got {self.levels}"
            )
        if not 0 < self.fraction < 1:
            raise ValueError(
                f"fraction of the remaining weights must be in (0, 1), got {self.fraction}"
            )
        remaining = PRUNABLE
        for level in range(1, self.levels + 1):
            remaining -= math.ceil(self.fraction * remaining) + 1  # `pruning.lottery_step`
            if remaining < 1:
                raise ValueError(
                    f"no weight is left at level {level} of {self.levels}: lower levels or fraction"
                )

    def _check_seeds(self) -> None:
        seeds = self.all_seeds
        if not self.seeds or len(set(seeds)) != len(seeds):
            raise ValueError(
                f"seeds and more_seeds must name at least one seed and none twice, got {seeds}"
            )
        check_seeds(seeds)
        fewest = 1 if self.variants else 0
        if not fewest <= self.variant_seeds <= len(self.seeds):
            raise ValueError(
                f"variant_seeds must be 1 to {len(self.seeds)} (0 without variants), "
                f"got {self.variant_seeds}"
            )
        if len(set(self.more_datasets)) != len(self.more_datasets):
            raise ValueError(f"more_datasets must not repeat a name, got {self.more_datasets}")

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of the thesis, then the others."""
        return self.seeds + self.more_seeds

    @property
    def inputs(self) -> Inputs:
        """The steps from image to network input."""
        return Inputs(noise=self.noise, mean=self.mean, std=self.std)

    def recipe(self, phase: str) -> Recipe:
        """Return the recipe of "pretraining" or "retraining".

        The update is PyTorch's: v <- momentum * v + gradient + weight_decay * w, then
        w <- w - rate * v. Eq. 2.3 of the thesis prints both terms with a minus before them: weight
        decay would then make weights grow, and momentum would work against past gradients.
        """
        schedule = getattr(self, phase)
        return Recipe(schedule, self.batch_size, self.momentum, self.weight_decay)

    def variant(self, name: str) -> "MnistIouConfig":
        """Return this configuration with the change of a named variant."""
        return replace(self, **VARIANTS[name])

    @property
    def other_datasets(self) -> tuple[str, ...]:
        """The data sets of `more_datasets` that are not the main one."""
        return tuple(name for name in self.more_datasets if name != self.dataset)

    def with_dataset(self, name: str) -> "MnistIouConfig":
        """Return this configuration with other images, and all settings the same."""
        return replace(self, dataset=name)


def _check_names(
    field: str,
    names: Collection[str],
    options: Collection[str],
) -> None:
    if not set(names) <= set(options):
        raise ValueError(f"{field} must be taken from {', '.join(options)}, got {', '.join(names)}")
