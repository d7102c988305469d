"""Fields, checks and training recipes that the configurations of the studies share."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

from pruncam import cams
from pruncam._core.validation import check_choice, check_number, check_seed, check_seeds
from pruncam.profiles import DatasetSpec
from pruncam.training import PRECISIONS, OneCycle, Recipe

Schedule = tuple[tuple[int, float], ...]  # (epochs, learning rate), in order


@dataclass(frozen=True)
class EpochFactors:
    """Factors that multiply the epochs of one data set, for one with few images.

    Raises ValueError if a factor is below 1.
    """

    paper: str  # the paper's name of the data set
    baseline: int
    finetuning: int

    def __post_init__(self):
        for phase in ("baseline", "finetuning"):
            factor = getattr(self, phase)
            check_number(f"epoch_factors: {self.paper}, {phase}", factor, whole=True, at_least=1)


@dataclass(frozen=True, kw_only=True)
class PruningConfig(ABC):
    """Settings shared by the studies that prune, fine-tune and explain networks.

    Raises ValueError in one sentence if a value makes no sense.
    """

    datasets: tuple[DatasetSpec, ...]
    train_images: int | None  # number of training images, taken from the start; None takes all
    test_images: int | None
    seed: int
    baseline: Schedule | OneCycle  # the papers' steps, or one cycle of the learning rate
    baseline_batch: int
    finetuning: Schedule  # by SGD with momentum
    finetuning_batch: int
    rates: tuple[float, ...]  # pruning rates, ascending
    floor_seeds: tuple[int, ...]  # the unpruned baseline, fine-tuned: the noise floor of the scores
    chance_seeds: tuple[int, ...]  # networks with random weights: the chance level of the scores
    methods: tuple[str, ...]  # CAM methods
    sensitivity_images: int  # test images for the more expensive measurements
    bootstrap: int  # bootstrap resamples of the images
    baseline_seeds: tuple[int, ...] = ()  # of further baselines, trained like the first one
    precision: str = "float32"  # of training: "float32", "bfloat16" or "auto"
    epoch_factors: tuple[EpochFactors, ...] = ()  # of data sets that need more epochs
    profile: str = "custom"

    def __post_init__(self):
        check_datasets(self.datasets)
        names = [spec.paper for spec in self.datasets]
        for factors in self.epoch_factors:
            check_choice("data set in epoch_factors", factors.paper, names)
        check_rates(self.rates)
        check_methods(self.methods)
        check_seed(self.seed)
        for name in ("floor_seeds", "chance_seeds", "baseline_seeds"):
            if seeds := getattr(self, name):
                check_seeds(seeds, name)
        check_bootstrap(self.bootstrap)
        check_choice("precision", self.precision, PRECISIONS)
        check_number("sensitivity_images", self.sensitivity_images, whole=True, at_least=1)
        for phase in ("baseline", "finetuning"):
            self.recipe(phase)  # checks the schedules

    @abstractmethod
    def recipe(self, phase: str) -> Recipe:
        """Return the recipe of the "baseline" or of the "finetuning" of a pruned model."""

    def recipe_for(self, dataset: str, phase: str) -> Recipe:
        """Return the recipe with as many times the epochs as the data set needs."""
        recipe = self.recipe(phase)
        for factors in self.epoch_factors:
            if factors.paper == dataset and phase in ("baseline", "finetuning"):
                schedule = _lengthened(recipe.schedule, getattr(factors, phase))
                return replace(recipe, schedule=schedule)
        return recipe


def _lengthened(schedule: Schedule | OneCycle, factor: int) -> Schedule | OneCycle:
    """Return a schedule of `factor` times the epochs."""
    if isinstance(schedule, OneCycle):
        return replace(schedule, epochs=factor * schedule.epochs)
    return tuple((factor * epochs, rate) for epochs, rate in schedule)


def one_cycle_recipe(schedule: OneCycle, batch_size: int) -> Recipe:
    """Return the recipe of a good baseline in few epochs, beside the papers' stepped ones.

    SGD with Nesterov's momentum, weight decay, label smoothing, shifts and mirroring, as for the
    reference network of CIFAR-10.
    """
    return Recipe(
        schedule,
        batch_size,
        optimizer="nesterov",
        weight_decay=5e-4,
        label_smoothing=0.1,
        shift=4,
        mirror=True,
    )


def plain_schedule(schedule: Schedule | OneCycle) -> Any:
    """Return a schedule as plain values, for the inputs of a step."""
    return asdict(schedule) if isinstance(schedule, OneCycle) else schedule


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
