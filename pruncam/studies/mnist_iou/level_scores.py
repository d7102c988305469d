"""The scores of every level of a run: accuracies, and how well heatmaps fit the digits.

Section 2.1.4 of the thesis says that Grad-CAM++ uses the gradients of all classes. Its Eq. 2.6, the
paper of Grad-CAM++ and the library that the thesis uses have those of one class, as here.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from pruncam import cams
from pruncam._core.store import Step
from pruncam.studies.mnist_iou.heatmap_fit import fit_scores, summarize_images
from pruncam.studies.mnist_iou.lottery_run import LotteryRun, remaining_weights
from pruncam.training import predictions

_VERSION = 4  # raised by hand when the code of the step changes its result
_SCORING_FIELDS = ("fraction", "level_zero", "retraining", "method", "target_layer")


@dataclass(frozen=True)
class LevelScorer:
    """The scores of a run; every level's are kept in the store."""

    run: LotteryRun

    def scores(self) -> list[dict[str, Any]]:
        """Return the scores of every level, from unpruned to sparsest, once they are trained.

        A tensor (N,) for every score by image (`fit_scores` and "correct"), and a number for those
        over all images: accuracies in %, "pooled_iou", "pooled_iou_nonempty", "heatmap_mean",
        "heatmap_std" and "remaining", the number of weights.
        """
        self.run.train_levels()
        levels = []
        for level, model in enumerate(self.run.models):
            scores = self.run.trainer.cached(self.step(level), partial(self.score, model))
            levels.append(scores | {"remaining": remaining_weights(model)})
        return levels

    def step(self, level: int) -> Step:
        """Return the step of the scores of a level."""
        inputs = {
            **self.run.training_inputs(),
            **{name: getattr(self.run.config, name) for name in _SCORING_FIELDS},
            "level": level,
            "test": self.run.test.checksum,
        }
        return Step("mnist-iou-scores", _VERSION, inputs)

    def score(self, model: nn.Module) -> dict[str, Any]:
        """Return the scores of one model."""
        method, layer = self.run.config.method, self.run.config.target_layer
        batches = []
        for rows in self.run.test_batches():
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
