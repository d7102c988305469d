"""The comparison of a baseline with other models, batch by batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, metrics
from pruncam._core.progress import Progress
from pruncam._core.seeds import generator
from pruncam._core.validation import short_repr
from pruncam.datasets.batches import UNKNOWN, Batches
from pruncam.scoring.model_outputs import check_classes
from pruncam.scoring.options import CustomScore, Options, label_option


@dataclass(frozen=True)
class Comparison:
    """A baseline, the models compared with it, and the options, which must be validated."""

    baseline: nn.Module
    pruned: Mapping[str, nn.Module]
    options: Options
    # One for each model and shape of images: streamed images come in many batches.
    _explainers: dict[Any, cams.ModelExplainer] = field(default_factory=dict, init=False)

    def pieces(self, batches: Batches) -> Iterator[pd.DataFrame]:
        """Iterate over the rows of each batch and model.

        Raises ValueError if there is no image, or a batch does not fit the models.
        """
        bar = Progress("score", "image", self.options["progress"])
        if batches.total is not None:
            bar.expect(batches.total * len(self.pruned))
        scored = 0
        try:
            for images, labels in batches:
                if not scored:
                    self._check_models(images[:1])
                if batches.total is None:
                    bar.expect(len(images) * len(self.pruned))
                for rows in self._score_batch(images, labels, scored):
                    yield rows
                    bar.advance(len(images))
                scored += len(images)
        finally:
            bar.close()
        if not scored:
            raise ValueError("there is no image to score: the loader gave no batch")

    def with_shuffled_maps(self, name: str, batches: Batches, seed: int) -> pd.DataFrame:
        """Return rows that compare each map of the baseline with its map of another image.

        `name` is the model's in the rows. Raises ValueError if there are fewer than two images.
        """
        explanations: list[cams.Explanation] = []
        labels: list[Tensor] = []
        for images, of_batch in batches:
            if not labels:
                check_classes("baseline", self.baseline, images[:1], self.options["output"])
            explanations.append(self._explain(self.baseline, images, self._targets(None, of_batch)))
            labels.append(of_batch)
        _check_joinable(explanations)
        joined = _joined(explanations)
        count = len(joined.logits)
        if count < 2:
            raise ValueError("shuffled maps need two images or more, got fewer")
        order = _derangement(count, seed)
        shuffled = {method: maps[order] for method, maps in joined.maps.items()}
        rows = self._rows(joined, joined._replace(maps=shuffled), torch.cat(labels))
        rows.insert(0, "model", name)
        rows.insert(2, "image", np.tile(np.arange(count, dtype=np.int32), len(shuffled)))
        return rows.astype(self._categories)

    def _check_models(self, image: Tensor) -> None:
        """Raise ValueError if the outputs of a model give no class probabilities."""
        check_classes("baseline", self.baseline, image, self.options["output"])
        for name, model in self.pruned.items():
            check_classes(f"model {name!r}", model, image, self.options["output"])

    def _score_batch(
        self,
        images: Tensor,
        labels: Tensor,
        start: int,
    ) -> Iterator[pd.DataFrame]:
        """Iterate over the rows of each model for one batch; `start` numbers its first image."""
        needs_labels = label_option(self.options)
        if needs_labels and (labels == UNKNOWN).any():
            raise ValueError(f"{needs_labels} requires labels: pass them")
        targets = self._targets(None, labels)
        baseline = self._explain(self.baseline, images, targets)
        _check_labels(labels, baseline.logits.shape[1])
        targets = self._targets(baseline.logits.argmax(1), labels)
        numbers = np.arange(start, start + len(images), dtype=np.int32)
        for name, model in self.pruned.items():
            pruned = self._explain(model, images, targets)
            _check_classes(name, baseline.logits, pruned.logits)
            rows = self._rows(baseline, pruned, labels)
            rows.insert(0, "model", name)
            image_column = np.tile(numbers, len(baseline.maps))
            rows.insert(2, "image", image_column)
            yield rows.astype(self._categories)

    @cached_property
    def _categories(self) -> dict[str, pd.CategoricalDtype]:
        methods = [*self.options["methods"], *self.options["custom_methods"]]
        return {
            "model": pd.CategoricalDtype(list(self.pruned)),
            "method": pd.CategoricalDtype(methods),
        }

    def _explain(
        self, model: nn.Module, images: Tensor, targets: Tensor | None
    ) -> cams.Explanation:
        """Return logits and heatmaps by all methods, custom ones included."""
        explanation = self._explainer(model, images).explain(images, targets)
        custom = cams.custom_heatmaps(
            model,
            images,
            self.options["custom_methods"],
            targets=explanation.targets,
            **self._cam_options,
        )
        return explanation._replace(maps=explanation.maps | custom)

    def _explainer(self, model: nn.Module, images: Tensor) -> cams.ModelExplainer:
        key = id(model), images.shape[1:], images.dtype, images.device
        if key not in self._explainers:
            self._explainers[key] = cams.ModelExplainer(
                model, images, methods=self.options["methods"], **self._cam_options
            )
        return self._explainers[key]

    @property
    def _cam_options(self) -> dict[str, Any]:
        """Return the options that all CAM methods have in common."""
        names = ("target_layer", "batch_size", "reshape", "output")
        return {name: self.options[name] for name in names}  # type: ignore[literal-required]

    def _targets(
        self,
        baseline_top: Tensor | None,
        labels: Tensor,
    ) -> Tensor | None:
        """Return the classes that the heatmaps explain; None for the model's own top classes."""
        source = self.options["target_class"]
        if source == "own":
            return None
        return baseline_top if source == "baseline" else labels

    def _rows(
        self, baseline: cams.Explanation, pruned: cams.Explanation, labels: Tensor
    ) -> pd.DataFrame:
        """Return a row per method and image, without the columns `model` and `image`."""
        predicted_x = baseline.logits.argmax(1).cpu()
        predicted_y = pruned.logits.argmax(1).cpu()
        confidence_x = self._confidence(baseline, predicted_x, labels)
        confidence_y = self._confidence(pruned, predicted_x, labels)
        tables = []
        for method, x in baseline.maps.items():
            y = pruned.maps[method].to(x.device)
            columns: dict[str, Any] = {"method": method, "label": labels}
            columns |= metrics.pair_scores(x, y, confidence_x, confidence_y)
            for name, function in self.options["custom_scores"].items():
                columns[name] = _custom_score(name, function, x, y)
            columns["baseline_empty"] = cams.is_empty(x)
            columns["pruned_empty"] = cams.is_empty(y)
            columns["baseline_prediction"] = predicted_x
            columns["pruned_prediction"] = predicted_y
            columns["baseline_confidence"] = confidence_x
            columns["pruned_confidence"] = confidence_y
            tables.append(_table(columns))
        return pd.concat(tables, ignore_index=True)

    def _confidence(
        self,
        explanation: cams.Explanation,
        baseline_top: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """Return the probability of the class that `confidence_class` selects, (n,)."""
        probabilities = explanation.probabilities.float().cpu()
        source = self.options["confidence_class"]
        if source == "own":
            return probabilities.amax(1)
        classes = baseline_top if source == "baseline" else labels
        return probabilities.gather(1, classes[:, None])[:, 0]


def _check_joinable(explanations: Sequence[cams.Explanation]) -> None:
    """Raise ValueError unless there is a batch, and the heatmaps of all batches have one size."""
    if not explanations:
        raise ValueError("images must be two or more, got none: the loader gave no batch")
    sizes = {maps.shape[1:] for batch in explanations for maps in batch.maps.values()}
    if len(sizes) > 1:
        found = " and ".join(f"{height}x{width}" for height, width in sorted(sizes))
        raise ValueError(f"images must all have one size, got {found}: resize them")


def _joined(explanations: Sequence[cams.Explanation]) -> cams.Explanation:
    """Return the explanations of several batches as those of one."""
    methods = explanations[0].maps
    return cams.Explanation(
        logits=torch.cat([e.logits for e in explanations]),
        targets=torch.cat([e.targets for e in explanations]),
        maps={method: torch.cat([e.maps[method] for e in explanations]) for method in methods},
    )


def _derangement(count: int, seed: int) -> Tensor:
    """Return a random cyclic order of `count` images, in which none keeps its place."""
    cycle = torch.randperm(count, generator=generator(seed, "shuffled maps"))
    order = torch.empty_like(cycle)
    order[cycle] = cycle.roll(1)
    return order


def _table(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return a DataFrame of columns that are tensors on any device, or one value for all rows."""
    arrays = {
        name: values.cpu().numpy() if isinstance(values, Tensor) else values
        for name, values in columns.items()
    }
    return pd.DataFrame(arrays)


def _custom_score(
    name: str,
    function: CustomScore,
    x: Tensor,
    y: Tensor,
) -> Tensor:
    """Return the values of a custom score, (n,) float64; raise ValueError if they are invalid."""
    result = function(x, y)
    try:
        values = torch.as_tensor(result).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"custom score {name!r} must return one number per image, got {short_repr(result)}"
        ) from None
    if values.shape != (len(x),):
        raise ValueError(
            f"custom score {name!r} must return one number per image, shape ({len(x)},), "
            f"got {tuple(values.shape)}"
        )
    if not values.isfinite().all():
        raise ValueError(f"custom score {name!r} must return finite numbers, got NaN or infinity")
    return values


def _check_classes(name: str, baseline_logits: Tensor, logits: Tensor) -> None:
    if baseline_logits.shape != logits.shape:
        raise ValueError(
            "the models must have the same classes, "
            f"got {baseline_logits.shape[1]} and {logits.shape[1]}: {name!r} does not fit"
        )


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.max() >= classes:
        raise ValueError(
            f"labels must be classes 0 to {classes - 1} of the models, got {int(labels.max())}"
        )
