"""The configuration of the PE-score study."""

from dataclasses import dataclass

from pruncam import scoring
from pruncam.choices import check_choice, check_number
from pruncam.training import Inputs, Recipe

INPUTS = Inputs(mean=0.45, std=0.225)  # the means of ImageNet's three channels, nearly
WEIGHT, FASTER, FULL = "Weight", "SeNPIS-Faster", "SeNPIS"
CRITERIA = {WEIGHT: "l2", FASTER: "senpis-faster", FULL: "senpis", "Random": "random"}  # ours, by the paper's names


@dataclass(frozen=True)
class Config:
    """The PE-score study (PE-score, Section 4); a half is one data set with its VGG11.

    Raises ValueError in one sentence where a value makes no sense.
    """

    halves: tuple[tuple[str, str, int, float], ...]  # (the paper's data set, ours, side, accuracy % that claims need)
    prolonged: tuple[tuple[str, int, int], ...]  # (data set, so many times baseline's epochs, and fine-tuning's)
    train_images: int | None  # the first so many; None takes all
    test_images: int | None
    seed: int
    width: int  # first filters: the paper's VGG11 has 64
    classifier_width: int  # neurons of the hidden FC layers: 4096
    batch_norm: bool
    dropout: float
    initial: str  # weights: "none", "imagenet" (torchvision's, which it downloads) or the path of a state dict
    baseline: tuple[tuple[int, float], ...]  # (epochs, learning rate), by SGD with momentum
    baseline_batch: int
    moves: bool  # whether the baseline's pictures are shifted and mirrored
    weight_decay: float
    finetuning: tuple[tuple[int, float], ...]  # of pruned models, by SGD with momentum, pictures as they are
    finetuning_batch: int
    rates: tuple[float, ...]  # of every layer's filters, the last layer kept
    criteria: tuple[str, ...]  # what tells which filters go
    layers: tuple[str, ...]  # "conv" and "linear": hidden neurons go as filters do; "conv" alone: filters
    samples_per_class: int  # training images that SeNPIS measures losses on
    max_accuracy_drop: float  # of Section 5's procedure, as a fraction
    floor_seeds: tuple[int, ...]  # of the unpruned baseline, fine-tuned: what fine-tuning alone does to the scores
    chance_seeds: tuple[int, ...]  # of networks with random weights
    methods: tuple[str, ...]
    sensitivity_images: int  # of the test split, for what only some images are asked for
    bootstrap: int  # resamples of the images
    profile: str = "custom"

    def __post_init__(self):
        for paper, ours, side, needed in self.halves:
            if side < 32:
                raise ValueError(f"{paper}: VGG11 takes images of 32 pixels or more, got {side} for {ours}")
            if not 0 <= needed <= 100:
                raise ValueError(f"{paper}: the accuracy that claims need is in %, 0 to 100, got {needed}")
        if not self.halves or len({half[0] for half in self.halves}) < len(self.halves):
            raise ValueError("halves must be different data sets, one or more")
        for paper, *factors in self.prolonged:
            check_choice("prolonged data set", paper, [half[0] for half in self.halves])
            for factor in factors:
                check_number(f"prolonged: {paper}'s factor", factor, whole=True, at_least=1)
        if not self.rates or list(self.rates) != sorted(set(self.rates)) or not all(0 < r < 1 for r in self.rates):
            raise ValueError(f"rates must rise within (0, 1), got {self.rates}")
        if not self.criteria or len(set(self.criteria)) < len(self.criteria):
            raise ValueError(f"criteria must be different, one or more, got {self.criteria}")
        for criterion in self.criteria:
            check_choice("criterion", criterion, CRITERIA)
        unknown = [method for method in self.methods if method not in scoring.METHODS]
        if unknown or not self.methods:
            raise ValueError(f"methods must be taken from {', '.join(scoring.METHODS)}, got {self.methods}")
        check_number("samples_per_class", self.samples_per_class, whole=True, at_least=1)
        if not 0 <= self.max_accuracy_drop < 1:
            raise ValueError(f"max_accuracy_drop is a fraction in [0, 1), such as 0.01, got {self.max_accuracy_drop}")
        if self.bootstrap < 100:
            raise ValueError(f"bootstrap must be 100 resamples or more, got {self.bootstrap}")
        for phase in ("baseline", "finetuning"):
            self.recipe(phase)  # refuses what makes no sense there

    def recipe(self, phase: str) -> Recipe:
        """How the "baseline" is trained, or a pruned model in "finetuning"."""
        if phase == "baseline":
            moved = {"shift": 4, "mirror": True} if self.moves else {}
            return Recipe(self.baseline, self.baseline_batch, weight_decay=self.weight_decay, **moved)
        return Recipe(self.finetuning, self.finetuning_batch)
