"""The scores of every level of a run: accuracies, and how well heatmaps fit the digits."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pruncam import cams, metrics
from pruncam._core.store import Step
from pruncam.studies.mnist_iou.heatmap_fit import fit_scores, summarize_images
from pruncam.studies.mnist_iou.lottery_run import LotteryRun, remaining_weights
from pruncam.training import predictions

# Versions of the steps, raised by hand when their code changes the result.
_SCORES_VERSION, _READINGS_VERSION = 3, 4

_BATCH = 1000  # images explained at once: memory does not grow with the test set
_LAYER_TITLES = {
    "conv2": "the last convolution itself",
    "relu2": "the ReLU after the last convolution",
}
_SCORING_FIELDS = ("fraction", "level_zero", "retraining", "method", "target_layer")


@dataclass(frozen=True)
class LevelScorer:
    """The scores of a trained run; every level's are kept in the store."""

    run: LotteryRun

    def scores(self) -> list[dict[str, Any]]:
        """Return the scores of every level, from unpruned to sparsest.

        A tensor (N,) for every score by image (`fit_scores` and "correct"), and a number for those
        over all images: accuracies in %, "pooled_iou", "heatmap_mean", "heatmap_std" and
        "remaining", the number of weights.
        """
        levels = []
        for level, model in enumerate(self.run.models):
            step = Step("mnist-iou-scores", _SCORES_VERSION, self._inputs(level))
            scores = self.run.trainer.cached(step, partial(self._score, model))
            levels.append(scores | {"remaining": remaining_weights(model)})
        return levels

    def readings(self) -> list[dict[str, float]]:
        """Return the mean IoU of every level under other readings of what the thesis leaves open.

        The readings are another target layer, and the true class as target class.
        """
        levels = []
        for level, model in enumerate(self.run.models):
            step = Step("mnist-iou-choices", _READINGS_VERSION, self._inputs(level))
            levels.append(self.run.trainer.cached(step, partial(self._read_otherwise, model)))
        return levels

    def _inputs(self, level: int) -> dict[str, Any]:
        """Return everything the scores of a level depend on."""
        return {
            **self.run.training_inputs(),
            **{name: getattr(self.run.config, name) for name in _SCORING_FIELDS},
            "level": level,
            "test": self.run.test.checksum,
        }

    def _score(self, model: nn.Module) -> dict[str, Any]:
        method, layer = self.run.config.method, self.run.config.target_layer
        batches = []
        for rows in self._batches():
            inputs = self.run.noisy_input(rows)
            explanation = cams.explain(model, inputs, methods=[method], target_layer=layer)
            scores = fit_scores(explanation.maps[method], self.run.clean[rows])
            scores["correct"] = explanation.targets == self.run.test.labels[rows]
            batches.append({name: values.cpu() for name, values in scores.items()})
        summary = summarize_images(batches, pixels=self.run.clean[0].numel())
        return summary | {
            "accuracy_noisy": 100 * summary["correct"].double().mean().item(),
            "accuracy_clean": self._clean_accuracy(model),
        }

    def _clean_accuracy(self, model: nn.Module) -> float:
        """Return the accuracy on the images without noise, in %."""
        test, inputs = self.run.test, self.run.config.inputs
        correct = predictions(model, test.images, prepare=inputs.normalize) == test.labels
        return 100 * int(correct.sum()) / len(test)

    def _read_otherwise(self, model: nn.Module) -> dict[str, float]:
        layer = self.run.config.target_layer
        other = "relu2" if layer == "conv2" else "conv2"
        other_layer: list[Tensor] = []
        true_class: list[Tensor] = []
        for rows in self._batches():
            labels = self.run.test.labels[rows]
            other_layer.append(self._soft_iou(model, rows, other))
            true_class.append(self._soft_iou(model, rows, layer, labels))
        return {
            f"target layer: {other} ({_LAYER_TITLES[other]})": _mean(other_layer),
            "target class: the true one": _mean(true_class),
        }

    def _soft_iou(
        self, model: nn.Module, rows: slice, layer: str, targets: Tensor | None = None
    ) -> Tensor:
        """Return the soft IoU of heatmaps and clean images, (n,)."""
        maps = cams.heatmaps(
            model,
            self.run.noisy_input(rows),
            method=self.run.config.method,
            target_layer=layer,
            targets=targets,
        )
        return metrics.soft_iou(maps, self.run.clean[rows]).cpu()

    def _batches(self) -> Iterator[slice]:
        """Iterate over the test set."""
        for start in range(0, len(self.run.test), _BATCH):
            self.run.trainer.progress.check()
            yield slice(start, start + _BATCH)


def _mean(batches: list[Tensor]) -> float:
    return torch.cat(batches).double().mean().item()
