"""The configuration of the PE-score study."""

from dataclasses import dataclass

from pruncam._core.validation import check_choice, check_number
from pruncam.profiles import DatasetSpec
from pruncam.studies.config import PruningConfig
from pruncam.training import Recipe

WEIGHT, FASTER, FULL = "Weight", "SeNPIS-Faster", "SeNPIS"
CRITERIA = {  # importance in `pruning.remove_filters` by the paper's name; "Random" is ours
    WEIGHT: "l2",
    FASTER: "senpis-faster",
    FULL: "senpis",
    "Random": "random",
}
MIN_SIZE = 32  # pixels: below, VGG11's five poolings leave nothing


@dataclass(frozen=True, kw_only=True)
class PeScoreConfig(PruningConfig):
    """Settings of the PE-score study (PE-score, Section 4).

    The network is VGG11. Baseline and pruned models are trained by SGD with momentum, without label
    smoothing, which would lower the confidences that PE compares. Rates are shares of the filters
    and hidden neurons of every layer except the last one.
    """

    width: int  # filters of the first convolution; the paper's VGG11 has 64
    classifier_width: int  # neurons of the hidden FC layers; the paper has 4096
    batch_norm: bool
    dropout: float
    initial: str  # weights: "none", "imagenet" (downloads torchvision's) or a state dict's path
    augmentation: bool  # shift and mirror the training images of the baseline
    weight_decay: float  # of the baseline
    criteria: tuple[str, ...]  # pruning criteria, names of `CRITERIA`
    layers: tuple[str, ...]  # "conv" removes filters, "linear" hidden neurons
    samples_per_class: int  # training images on which SeNPIS measures losses
    max_accuracy_drop: float  # of the procedure of Section 5, as a fraction

    def __post_init__(self):
        super().__post_init__()
        for spec in self.datasets:
            _check_size(spec)
        if not self.criteria or len(set(self.criteria)) < len(self.criteria):
            raise ValueError(f"criteria must be different, one or more, got {self.criteria}")
        for criterion in self.criteria:
            check_choice("criterion", criterion, CRITERIA)
        check_number("samples_per_class", self.samples_per_class, whole=True, at_least=1)
        if not 0 <= self.max_accuracy_drop < 1:
            raise ValueError(
                "max_accuracy_drop must be a fraction in [0, 1), such as 0.01, "
                f"got {self.max_accuracy_drop}"
            )

    def recipe(self, phase: str) -> Recipe:
        """Return the recipe of the "baseline" or of the "finetuning" of a pruned model."""
        if phase == "finetuning":
            return Recipe(self.finetuning, self.finetuning_batch)
        return Recipe(
            self.baseline,
            self.baseline_batch,
            weight_decay=self.weight_decay,
            shift=4 if self.augmentation else 0,
            mirror=self.augmentation,
        )


def _check_size(spec: DatasetSpec) -> None:
    if spec.size is None or spec.size < MIN_SIZE:
        raise ValueError(
            f"{spec.paper}: VGG11 takes images of {MIN_SIZE} pixels or more, "
            f"got {spec.size} for {spec.source}"
        )
    if spec.width is not None:
        raise ValueError(f"{spec.paper}: width is a setting of all data sets, not of single ones")
