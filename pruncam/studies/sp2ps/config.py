"""The configuration of the Sp2PS study."""

from dataclasses import dataclass

from pruncam._core.validation import check_choice, check_seeds
from pruncam.profiles import DatasetSpec
from pruncam.studies.config import PruningConfig, Schedule, check_datasets
from pruncam.studies.experiment import PLAIN_NETWORKS
from pruncam.training import Recipe

PRUNING = ("weights", "filters")
PAPER_FINETUNING: Schedule = ((10, 0.001),)  # Sp2PS, Section 3.3, as is the batch
PAPER_FINETUNING_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Sp2psConfig(PruningConfig):
    """Settings of the Sp2PS study (Sp2PS, Sections 3 and 4).

    The baseline is trained by Adam. Rates are shares of the weights of all convolutions and FC
    layers, pruned globally; masks are kept in fine-tuning.
    """

    random_seeds: tuple[int, ...]  # of the Random rule
    pruning: str  # of single "weights", or of whole "filters": the paper can be read either way
    shortcut: DatasetSpec  # images for the model trained to rely on a planted mark
    misleading: Schedule  # how that model is trained, by Adam

    def __post_init__(self):
        super().__post_init__()
        check_datasets(self.datasets, sizes=PLAIN_NETWORKS)
        check_datasets([self.shortcut], sizes=PLAIN_NETWORKS)
        check_choice("pruning", self.pruning, PRUNING)
        check_seeds(self.random_seeds, "random_seeds")
        self.recipe("misleading")

    def recipe(self, phase: str) -> Recipe:
        """Return the recipe of "baseline", "finetuning" or "misleading"."""
        if phase == "baseline":
            batch = self.baseline_batch
            return Recipe(self.baseline, batch, optimizer="adam", shift=4, mirror=True)
        if phase == "misleading":
            return Recipe(self.misleading, self.baseline_batch, optimizer="adam")
        return Recipe(self.finetuning, self.finetuning_batch, momentum=0.9)


def has_paper_finetuning(config: PruningConfig) -> bool:
    """Return whether models are fine-tuned by the paper's recipe, on all training images."""
    is_same = config.finetuning == PAPER_FINETUNING
    return is_same and config.finetuning_batch == PAPER_FINETUNING_BATCH and not config.train_images
