"""Where the models of a study are trained, scored and kept, and what that took."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import pruning, scoring
from pruncam.datasets import ImageSet
from pruncam.progress import Progress
from pruncam.store import Step, Store
from pruncam.training import Inputs, Recipe, fit


@dataclass(frozen=True)
class Workshop:
    """A line of models that are made one after the other; several workshops may share a store and a progress."""

    store: Store
    device: torch.device
    progress: Progress  # in epochs
    engine: str = "auto"  # of `training.fit`
    steps: list[tuple[float, bool]] = field(default_factory=list)  # seconds when it was made, and whether just now

    def keep(self, step: Step, make: Callable[[], Any]) -> Any:
        """The step's result, made now or before."""
        return self._got(step, make).value

    def model(self, step: Step, network: nn.Module, recipe: Recipe, make: Callable[[], dict[str, Tensor]]) -> nn.Module:
        """`network` with the weights that `make` has trained by `recipe`, in eval mode on the device."""
        kept = self._got(step, make)
        if not kept.fresh:
            self.progress.advance(len(recipe.learning_rates))
        return pruning.load_state(network, kept.value).to(self.device).eval()

    def train(self, model: nn.Module, images: ImageSet, recipe: Recipe, inputs: Inputs, seed: int) -> dict[str, Tensor]:
        """The weights of `model` after training, as they are kept."""
        model = model.to(self.device).requires_grad_(True)

        def after_epoch():
            self.progress.advance(1)
            self.progress.check()

        how = {"seed": seed, "engine": self.engine, "after_epoch": after_epoch}
        fit(model, images.images, images.labels, recipe, inputs, **how)
        return {name: value.cpu() for name, value in model.state_dict().items()}

    def rows(
        self,
        step: Step,
        baseline: nn.Module,
        others: Mapping[str, Callable[[], nn.Module]],
        images: ImageSet,
        **options: Any,
    ) -> pd.DataFrame:
        """The rows of `scoring.score_many`; the others are made only where the rows were not kept."""

        def make():
            models = {name: build() for name, build in others.items()}
            pieces = []
            for piece in scoring.stream(baseline, models, images, progress=False, **options):
                self.progress.check()
                pieces.append(piece)
            return _packed(pd.concat(pieces, ignore_index=True))

        return _unpacked(self.keep(step, make))

    def _got(self, step: Step, make: Callable[[], Any]):
        self.progress.check()
        kept = self.store.get(step, make)
        self.steps.append((kept.seconds, kept.fresh))
        return kept


def facts(workshops: Iterable[Workshop]) -> dict[str, Any]:
    """What the work took, for the manifest."""
    steps = [step for workshop in workshops for step in workshop.steps]
    return {
        "steps": len(steps),
        "steps_from_cache": sum(not fresh for _, fresh in steps),
        "compute_seconds": round(sum(seconds for seconds, _ in steps), 1),
    }


def _packed(rows: pd.DataFrame) -> dict[str, Any]:
    """Rows as the store keeps them: tensors, and the names behind categories."""
    names = {column: list(rows[column].cat.categories) for column in ("model", "method")}
    columns = {column: torch.from_numpy(rows[column].cat.codes.to_numpy().copy()) for column in names}
    columns |= {column: torch.from_numpy(rows[column].to_numpy().copy()) for column in rows if column not in names}
    return {"names": names, "columns": columns}


def _unpacked(kept: dict[str, Any]) -> pd.DataFrame:
    table = pd.DataFrame({column: values.numpy() for column, values in kept["columns"].items()})
    for column, names in kept["names"].items():
        table[column] = pd.Categorical.from_codes(table[column], names)
    return table
