"""The configuration of the study of pruning sweeps."""

from dataclasses import dataclass

from pruncam import scoring
from pruncam.choices import check_number
from pruncam.studies.plain import NETWORKS
from pruncam.training import Recipe


@dataclass(frozen=True)
class Config:
    """The pruning sweeps of the complexity paper (Sections 3.4 to 4.4); a half is one data set with its network.

    Raises ValueError in one sentence where a value makes no sense.
    """

    halves: tuple[tuple[str, str, int, int, float], ...]  # (the paper's set, ours, side, first filters, accuracy % that
    # claims need); a set that the paper does not have goes by its own name
    train_images: int | None  # the first so many; None takes all
    test_images: int | None
    seed: int
    baseline: tuple[tuple[int, float], ...]  # (epochs, learning rate), by Adam
    baseline_batch: int
    finetuning: tuple[tuple[int, float], ...]  # by SGD with momentum
    finetuning_batch: int
    rates: tuple[float, ...]  # of the weights of all convolutions, globally, smallest first
    floor_seeds: tuple[int, ...]  # of the unpruned baseline, fine-tuned: what fine-tuning alone does
    chance_seeds: tuple[int, ...]  # of networks with random weights
    methods: tuple[str, ...]  # the CAMs whose heatmaps are followed through the sweep
    sensitivity_images: int  # of the test split, whose heatmaps are asked for; accuracies are of all of it
    csg_seeds: tuple[int, ...]  # draws of the samples that the complexity is measured on
    csg_samples: int  # of each class
    csg_neighbours: int
    csg_images: int | None  # first training images, whether trained on or not, that it is measured in; None takes all
    csg_pool: int  # the first so many, where sets are compared at equal size
    max_loss: float  # points of accuracy: how far may one prune before losing so much?
    bootstrap: int  # resamples of the images
    profile: str = "custom"

    def __post_init__(self):
        for paper, ours, side, width, needed in self.halves:
            if side not in NETWORKS:
                raise ValueError(f"{paper}: the networks take images of 32 or 96 pixels, got {side} for {ours}")
            if width < 1:
                raise ValueError(f"{paper}: the first convolution needs a filter or more, got {width}")
            if not 0 <= needed <= 100:
                raise ValueError(f"{paper}: the accuracy that claims need is in %, 0 to 100, got {needed}")
        if not self.halves or len({half[0] for half in self.halves}) < len(self.halves):
            raise ValueError("halves must be different data sets, one or more")
        if not self.rates or list(self.rates) != sorted(set(self.rates)) or not all(0 < r < 1 for r in self.rates):
            raise ValueError(f"rates must rise within (0, 1), got {self.rates}")
        unknown = [method for method in self.methods if method not in scoring.METHODS]
        if unknown or not self.methods:
            raise ValueError(f"methods must be taken from {', '.join(scoring.METHODS)}, got {self.methods}")
        if not self.csg_seeds:
            raise ValueError("csg_seeds must hold a seed or more")
        for name in ("sensitivity_images", "csg_samples", "csg_neighbours"):
            check_number(name, getattr(self, name), whole=True, at_least=1)
        if min(self.csg_pool, self.csg_images or self.csg_pool) <= self.csg_neighbours:
            raise ValueError("csg_images and csg_pool must be more images than csg_neighbours")
        if not 0 < self.max_loss <= 100:
            raise ValueError(f"max_loss is in points of accuracy, such as 1, got {self.max_loss}")
        if self.bootstrap < 100:
            raise ValueError(f"bootstrap must be 100 resamples or more, got {self.bootstrap}")
        for phase in ("baseline", "finetuning"):
            self.recipe(phase)  # refuses what makes no sense there

    def recipe(self, phase: str) -> Recipe:
        """How the "baseline" is trained, or a pruned model in "finetuning"."""
        if phase == "baseline":
            return Recipe(self.baseline, self.baseline_batch, optimizer="adam", shift=4, mirror=True)
        return Recipe(self.finetuning, self.finetuning_batch, momentum=0.9)
