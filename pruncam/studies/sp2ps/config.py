"""The configuration of the Sp2PS study."""

from dataclasses import dataclass

from pruncam import scoring
from pruncam.choices import check_choice
from pruncam.studies.plain import NETWORKS
from pruncam.training import Recipe

PRUNING = ("weights", "filters")
PHASES = ("baseline", "finetuning", "misleading")


@dataclass(frozen=True)
class Config:
    """The Sp2PS study (Sp2PS, Sections 3 and 4); a half is one data set with its network.

    Raises ValueError in one sentence where a value makes no sense.
    """

    halves: tuple[tuple[str, str, int, int], ...]  # (the paper's data set, ours, side of the images, first filters)
    train_images: int | None  # the first so many; None takes all
    test_images: int | None
    seed: int
    baseline: tuple[tuple[int, float], ...]  # (epochs, learning rate), by Adam
    baseline_batch: int
    finetuning: tuple[tuple[int, float], ...]  # by SGD with momentum, masks held
    finetuning_batch: int
    rates: tuple[float, ...]  # of the weights of all convolutions and FC layers, globally
    random_seeds: tuple[int, ...]  # of the Random rule
    floor_seeds: tuple[int, ...]  # of the unpruned baseline, fine-tuned: what fine-tuning alone does to the scores
    chance_seeds: tuple[int, ...]  # of networks with random weights
    methods: tuple[str, ...]
    pruning: str  # of single "weights", or of whole "filters": the paper's other reading
    distractor: tuple[str, str, int, int]  # an entry as in `halves`, for the model that is moved to a planted mark
    misleading: tuple[tuple[int, float], ...]  # how it is moved there: (epochs, learning rate), by Adam
    sensitivity_images: int  # of the test split, for what the paper leaves open
    bootstrap: int  # resamples of the images
    profile: str = "custom"

    def __post_init__(self):
        for paper, ours, side, width in (*self.halves, self.distractor):
            if side not in NETWORKS:
                raise ValueError(f"{paper}: the networks take images of 32 or 96 pixels, got {side} for {ours}")
            if width < 1:
                raise ValueError(f"{paper}: the first convolution needs a filter or more, got {width}")
        if not self.halves or len({half[0] for half in self.halves}) < len(self.halves):
            raise ValueError("halves must be different data sets, one or more")
        if not self.rates or list(self.rates) != sorted(set(self.rates)) or not all(0 < r < 1 for r in self.rates):
            raise ValueError(f"rates must rise within (0, 1), got {self.rates}")
        if not self.random_seeds:
            raise ValueError("random_seeds must hold a seed or more")
        unknown = [method for method in self.methods if method not in scoring.METHODS]
        if unknown or not self.methods:
            raise ValueError(f"methods must be taken from {', '.join(scoring.METHODS)}, got {self.methods}")
        if self.bootstrap < 100:
            raise ValueError(f"bootstrap must be 100 resamples or more, got {self.bootstrap}")
        check_choice("pruning", self.pruning, PRUNING)
        for phase in PHASES:
            self.recipe(phase)  # refuses what makes no sense there

    def recipe(self, phase: str) -> Recipe:
        """How the "baseline" is trained, a pruned model in "finetuning", or the "misleading" of a model to a mark."""
        if phase == "baseline":
            moved = {"optimizer": "adam", "shift": 4, "mirror": True}
            return Recipe(self.baseline, self.baseline_batch, **moved)
        if phase == "misleading":
            return Recipe(self.misleading, self.baseline_batch, optimizer="adam")
        return Recipe(self.finetuning, self.finetuning_batch, momentum=0.9)
