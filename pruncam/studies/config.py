"""Fields, checks and training recipes that the configurations of the studies share."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass

from pruncam import cams
from pruncam._core.validation import check_number
from pruncam.profiles import DatasetSpec
from pruncam.training import Recipe

Schedule = tuple[tuple[int, float], ...]  # (epochs, learning rate), in order


@dataclass(frozen=True, kw_only=True)
class PruningConfig(ABC):
    """Settings shared by the studies that prune, fine-tune and explain networks.

    Raises ValueError in one sentence if a value makes no sense.
    """

    datasets: tuple[DatasetSpec, ...]
    train_images: int | None  # number of training images, taken from the start; None takes all
    test_images: int | None
    seed: int
    baseline: Schedule
    baseline_batch: int
    finetuning: Schedule  # by SGD with momentum
    finetuning_batch: int
    rates: tuple[float, ...]  # pruning rates, ascending
    floor_seeds: tuple[int, ...]  # the unpruned baseline, fine-tuned: the noise floor of the scores
    chance_seeds: tuple[int, ...]  # networks with random weights: the chance level of the scores
    methods: tuple[str, ...]  # CAM methods
    sensitivity_images: int  # test images for the more expensive measurements
    bootstrap: int  # bootstrap resamples of the images
    profile: str = "custom"

    def __post_init__(self):
        check_datasets(self.datasets)
        check_rates(self.rates)
        check_methods(self.methods)
        check_bootstrap(self.bootstrap)
        check_number("sensitivity_images", self.sensitivity_images, whole=True, at_least=1)
        for phase in ("baseline", "finetuning"):
            self.recipe(phase)  # checks the schedules

    @abstractmethod
    def recipe(self, phase: str) -> Recipe:
        """Return the recipe of the "baseline" or of the "finetuning" of a pruned model."""


def check_datasets(specs: Collection[DatasetSpec], sizes: Collection[int] = ()) -> None:
    """Raise ValueError unless there is a data set and none comes twice.

    If the networks take only certain `sizes` of images, every data set must have one of them, and
    the width of its network.
    """
    names = [spec.paper for spec in specs]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"datasets must be different data sets, one or more, got {names}")
    for spec in specs:
        if sizes and spec.size not in sizes:
            allowed = " or ".join(map(str, sizes))
            raise ValueError(
                f"{spec.paper}: the networks take images of {allowed} pixels, "
                f"got {spec.size} for {spec.source}"
            )
        if sizes and spec.width is None:
            raise ValueError(f"{spec.paper}: width, the filters of the first layer, is missing")


def check_rates(rates: tuple[float, ...]) -> None:
    """Raise ValueError unless the pruning rates ascend within (0, 1)."""
    ascending = list(rates) == sorted(set(rates))
    if not rates or not ascending or not all(0 < rate < 1 for rate in rates):
        raise ValueError(f"rates must rise within (0, 1), got {rates}")


def check_methods(methods: tuple[str, ...]) -> None:
    """Raise ValueError unless there is a CAM method and all are among the papers' three."""
    if not methods or not set(methods) <= set(cams.DEFAULT_METHODS):
        known = ", ".join(cams.DEFAULT_METHODS)
        raise ValueError(f"methods must be taken from {known}, got {methods}")


def check_bootstrap(resamples: int) -> None:
    """Raise ValueError if there are fewer than 100 bootstrap resamples."""
    if resamples < 100:
        raise ValueError(f"bootstrap must be 100 resamples or more, got {resamples}")
