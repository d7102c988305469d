"""The configuration of the study of pruning sweeps."""

from dataclasses import dataclass

from pruncam._core.validation import check_number, check_seeds
from pruncam.studies.config import PruningConfig, check_datasets, one_cycle_recipe
from pruncam.studies.experiment import PLAIN_NETWORKS
from pruncam.training import OneCycle, Recipe


@dataclass(frozen=True, kw_only=True)
class SweepsConfig(PruningConfig):
    """Settings of the pruning sweeps (complexity paper, Sections 3.4 to 4.4).

    The baseline is trained by Adam in steps, or by SGD in one cycle (`one_cycle_recipe`). Rates are
    shares of the weights of all convolutions, pruned globally. `methods` are the CAMs whose
    heatmaps are followed through the sweep, on the first `sensitivity_images` test images;
    accuracies are of all test images.
    """

    csg_seeds: tuple[int, ...]  # draws of the samples on which complexity is measured
    csg_samples: int  # samples of each class
    csg_neighbours: int
    csg_images: int | None  # training images in which complexity is measured; None takes all
    csg_pool: int  # images of each data set where complexities are compared at equal size
    max_loss: float  # points of accuracy that pruning may cost, in the choice of a rate

    def __post_init__(self):
        super().__post_init__()
        check_datasets(self.datasets, sizes=PLAIN_NETWORKS)
        check_seeds(self.csg_seeds, "csg_seeds")
        for name in ("csg_samples", "csg_neighbours"):
            check_number(
                name,
                getattr(self, name),
                whole=True,
                at_least=1,
            )
        if min(self.csg_pool, self.csg_images or self.csg_pool) <= self.csg_neighbours:
            raise ValueError("csg_images and csg_pool must be more images than csg_neighbours")
        if not 0 < self.max_loss <= 100:
            raise ValueError(
                f"max_loss must be points of accuracy in (0, 100], such as 1, got {self.max_loss}"
            )

    def recipe(self, phase: str) -> Recipe:
        """Return the recipe of the "baseline" or of the "finetuning" of a pruned model."""
        if phase == "finetuning":
            return Recipe(self.finetuning, self.finetuning_batch, momentum=0.9)
        if isinstance(self.baseline, OneCycle):
            return one_cycle_recipe(self.baseline, self.baseline_batch)
        return Recipe(
            self.baseline,
            self.baseline_batch,
            optimizer="adam",
            shift=4,
            mirror=True,
        )
