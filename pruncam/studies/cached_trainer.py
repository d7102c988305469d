"""Train models and score them, with every result kept in the store."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import pruning, scoring
from pruncam._core.progress import Progress
from pruncam._core.store import Step, Store, StoredResult
from pruncam.datasets import ImageSet
from pruncam.training import Checkpoint, Inputs, Recipe, fit

_CATEGORIES = ("model", "method")  # columns of scores that hold names


@dataclass(frozen=True)
class CachedTrainer:
    """A trainer of the models of one data set; several may share a store and a progress bar."""

    store: Store
    device: torch.device
    progress: Progress  # counts epochs
    engine: str = "auto"  # of `training.fit`, as is the next
    precision: str = "float32"
    steps: list[StoredResult] = field(default_factory=list)

    def cached(self, step: Step, compute: Callable[[], Any]) -> Any:
        """Return the result of a step, from the store or computed now."""
        return self._result(step, compute).value

    def load_or_train(
        self,
        step: Step,
        network: nn.Module,
        recipe: Recipe,
        train: Callable[[Checkpoint], dict[str, Tensor]],
    ) -> nn.Module:
        """Return `network` in eval mode with stored weights, or with those that `train` returns.

        `train` is called with the checkpoint of this training.
        """
        checkpoint = Checkpoint(self.store.path(step).with_suffix(".unfinished"))
        result = self._result(
            step,
            lambda: train(checkpoint),
            use=lambda weights: pruning.load_state(copy.deepcopy(network), weights),
        )
        if not result.fresh:
            self.progress.advance(recipe.epochs)
        return pruning.load_state(network, result.value).to(self.device).eval()

    def train(
        self,
        model: nn.Module,
        images: ImageSet,
        recipe: Recipe,
        inputs: Inputs,
        seed: int,
        checkpoint: Checkpoint,
    ) -> dict[str, Tensor]:
        """Return the weights of `model` after training."""
        model = model.to(self.device).requires_grad_(True)
        fit(
            model,
            images.images,
            images.labels,
            recipe,
            inputs,
            seed=seed,
            engine=self.engine,
            precision=self.precision,
            checkpoint=checkpoint,
            after_epoch=self.after_epoch,
        )
        return weights_of(model)

    def after_epoch(self) -> None:
        """Count an epoch; raise Interrupted if the run is to stop."""
        self.progress.advance(1)
        self.progress.check()

    def scores(
        self,
        step: Step,
        baseline: nn.Module,
        models: Mapping[str, Callable[[], nn.Module]],
        images: ImageSet,
        **options: Any,
    ) -> pd.DataFrame:
        """Return the rows of `scoring.score_many`, from the store or computed now.

        `models` maps names to functions that build the models; they are called only if the rows are
        not in the store. `options` are those of `scoring.score_many`.
        """

        def compute() -> pd.DataFrame:
            built = {name: build() for name, build in models.items()}
            batches = []
            for batch in scoring.stream(baseline, built, images, progress=False, **options):
                self.progress.check()
                batches.append(batch)
            return pd.concat(batches, ignore_index=True)

        return self.cached_rows(step, compute)

    def cached_rows(self, step: Step, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return rows of scores, from the store or computed now."""
        return _to_table(self._result(step, lambda: _to_tensors(compute()), use=_to_table).value)

    def cached_table(self, step: Step, compute: Callable[[], list[dict[str, Any]]]) -> pd.DataFrame:
        """Return rows of plain values as a table, from the store or computed now."""
        return pd.DataFrame(self.cached(step, compute))

    def _result(
        self, step: Step, compute: Callable[[], Any], use: Callable[[Any], object] | None = None
    ) -> StoredResult:
        self.progress.check()
        result = self.store.get(step, compute, use)
        self.steps.append(StoredResult(None, result.seconds, result.fresh))  # no value: memory
        return result


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of a model on the CPU."""
    return {name: value.cpu() for name, value in model.state_dict().items()}


def computing_facts(trainers: Iterable[CachedTrainer]) -> dict[str, Any]:
    """Return the number of steps, those read from the store, and the seconds of computing."""
    steps = [step for trainer in trainers for step in trainer.steps]
    return {
        "steps": len(steps),
        "steps_from_cache": sum(not step.fresh for step in steps),
        "compute_seconds": round(sum(step.seconds for step in steps), 1),
    }


def _to_tensors(rows: pd.DataFrame) -> dict[str, Any]:
    """Return rows of scores as tensors, with the names behind the categories."""
    names = {column: list(rows[column].cat.categories) for column in _CATEGORIES}
    columns = {column: _tensor(rows[column].cat.codes) for column in _CATEGORIES}
    columns |= {column: _tensor(rows[column]) for column in rows if column not in _CATEGORIES}
    return {"names": names, "columns": columns}


def _tensor(values: pd.Series) -> Tensor:
    return torch.from_numpy(values.to_numpy().copy())


def _to_table(stored: dict[str, Any]) -> pd.DataFrame:
    table = pd.DataFrame({name: values.numpy() for name, values in stored["columns"].items()})
    for column, names in stored["names"].items():
        table[column] = pd.Categorical.from_codes(table[column], names)
    return table
