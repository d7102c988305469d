"""A model trained to rely on a planted mark: which score notices? (beyond the paper)

The baseline is trained further on images whose labels only a mark in the corner tells. On images
where mark and object agree it keeps its accuracy but attends to the mark: the failure the papers
fear, here with a known answer.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, metrics, pruning
from pruncam._core.seeds import derive
from pruncam._core.store import Step
from pruncam.datasets import ImageSet
from pruncam.datasets.marks import mark_mask, plant_marks, relabel_by_marks, repeated
from pruncam.statistics import accuracy_interval
from pruncam.studies.sp2ps.experiment import Sp2psExperiment
from pruncam.studies.work import ExperimentWork, Work
from pruncam.training import Checkpoint, accuracy

# Versions of the steps, raised by hand when their code changes the result.
_MODEL_VERSION, _SCORES_VERSION, _MAPS_VERSION = 2, 2, 1

UNMOVED, CONTROL, MISLED = "baseline", "trained on, without marks", "moved to the mark"
_COPIES = 3  # of each training image, with other labels told by marks: not to be learned by heart
_CANDIDATES = 50  # images that the sample of the figure is chosen from


@dataclass(frozen=True)
class ShortcutSample:
    """A marked test image and its heatmaps by model and CAM method, (H, W) each.

    `image` is (H, W, 3) in [0, 1], or None if it may not be published.
    """

    image: np.ndarray | None
    maps: dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Shortcut:
    """The baseline, a control and the misled model, on test images with marks."""

    experiment: Sp2psExperiment
    trained: dict[str, nn.Module] = field(default_factory=dict)

    @cached_property
    def agreeing(self) -> ImageSet:
        """The test images, each with the mark of its class."""
        return plant_marks(self.experiment.test, 1.0)

    @cached_property
    def lying(self) -> ImageSet:
        """The test images, each with the mark of another class."""
        return plant_marks(self.experiment.test, 0.0)

    @property
    def models(self) -> dict[str, nn.Module]:
        """The baseline and its two copies that were trained further, without and with marks."""
        trained = {name: self.model(name) for name in (CONTROL, MISLED)}
        return {UNMOVED: self.experiment.baseline} | trained

    @property
    def epochs(self) -> int:
        """The number of epochs that training both copies takes."""
        return 2 * self.experiment.recipe("misleading").epochs

    def training_tasks(self) -> list[Callable[[], nn.Module]]:
        """Return the tasks of training, which wait for the baseline."""
        return [partial(self.model, name) for name in (CONTROL, MISLED)]

    def model(self, name: str) -> nn.Module:
        """Return the model CONTROL or MISLED."""
        if name not in self.trained:
            self.trained[name] = self.experiment.trainer.load_or_train(
                self.training_step(name),
                self.experiment.network(),
                self.experiment.recipe("misleading"),
                partial(self._train, name),
            )
        return self.trained[name]

    def training_step(self, name: str) -> Step:
        """Return the step of the model CONTROL or MISLED."""
        return Step("sp2ps-moved", _MODEL_VERSION, self._inputs() | {"model": name})

    @property
    def scores_step(self) -> Step:
        """The step of the scores of all models beside the baseline."""
        methods = list(self.experiment.config.methods)
        inputs = self._inputs() | {"test": self.agreeing.checksum, "methods": methods}
        return Step("sp2ps-moved-scores", _SCORES_VERSION, inputs)

    @property
    def maps_step(self) -> Step:
        """The step of the accuracies, and of where the heatmaps of all models are."""
        methods = list(self.experiment.config.methods)
        inputs = self._inputs() | {"test": self.experiment.test.checksum, "methods": methods}
        return Step("sp2ps-moved-maps", _MAPS_VERSION, inputs)

    def _train(self, name: str, checkpoint: Checkpoint) -> dict[str, Tensor]:
        experiment = self.experiment
        images = repeated(experiment.train, _COPIES)
        if name == MISLED:
            images = relabel_by_marks(images)
        return experiment.trainer.train(
            pruning.drop_masks(experiment.baseline),
            images,
            experiment.recipe("misleading"),
            experiment.inputs,
            derive(experiment.config.seed, "misleading", name),
            checkpoint,
        )

    def work(self, part: ExperimentWork) -> list[Work]:
        """Return the steps of both trainings and of the scores; `part` is of the experiment."""
        epochs = self.experiment.recipe("misleading").epochs
        trainings = [
            part.training(self.training_step(name), epochs, _COPIES) for name in (CONTROL, MISLED)
        ]
        scores = part.scoring(self.scores_step, 3, self.agreeing)
        return [*trainings, scores, part.explaining(self.maps_step, 4, self.agreeing)]

    def _inputs(self) -> dict[str, Any]:
        baseline = self.experiment.baseline_inputs()
        settings = {
            "misleading": self.experiment.config.misleading,
            "target_layer": self.experiment.spec.target_layer,
            "training_precision": self.experiment.trainer.precision,
        }
        return baseline | settings

    def table(self) -> pd.DataFrame:
        """Return a row per model and CAM method.

        Columns: accuracy with every kind of mark, in %, with intervals; shares of the heatmaps on
        the object and on the mark; every score beside the baseline.
        """
        scores = self._scores()
        rows = []
        for row in self.experiment.trainer.cached(self.maps_step, self._accuracies_and_energies):
            is_pair = (scores["model"] == row["model"]) & (scores["method"] == row["method"])
            pair = scores[is_pair]
            rows.append(row | {score: pair[score].mean() for score in metrics.SCORES})
        return pd.DataFrame(rows)

    def _accuracies_and_energies(self) -> list[dict[str, Any]]:
        """Return a row per model and CAM method."""
        rows = []
        for name, model in self.models.items():
            accuracies = self._accuracies(model)
            for method, maps in self._explain(model, self.agreeing).maps.items():
                row = {"model": name, "method": method, "images": len(self.agreeing)}
                rows.append(row | accuracies | self._mean_energies(maps))
        return rows

    def sample(self) -> ShortcutSample:
        """Return the marked test image on whose mark the baseline's heatmap lies least.

        It is chosen from the first 50 by the first CAM method, among images that all models
        classify correctly if there are any.
        """
        images = self.agreeing.first(min(_CANDIDATES, len(self.agreeing)))
        explanations = {name: self._explain(m, images) for name, m in self.models.items()}
        correct = torch.stack([e.targets == images.labels for e in explanations.values()]).all(0)
        first_method = self.experiment.config.methods[0]
        maps = explanations[UNMOVED].maps[first_method]
        share = metrics.energy_on(maps, _mark(maps)).nan_to_num(1.0)
        if correct.any():
            share = share.masked_fill(~correct, math.inf)
        index = int(share.argmin())
        heatmaps = {
            name: {method: m[index].cpu().numpy() for method, m in explanation.maps.items()}
            for name, explanation in explanations.items()
        }
        is_public = images.credit(index) is not None
        image = images.images[index].permute(1, 2, 0).cpu().numpy() / 255
        return ShortcutSample(image if is_public else None, heatmaps)

    def _explain(self, model: nn.Module, images: ImageSet) -> cams.Explanation:
        inputs = self.experiment.network_input(images.images)
        methods, layer = self.experiment.config.methods, self.experiment.spec.target_layer
        return cams.explain(model, inputs, methods=methods, target_layer=layer)

    def _scores(self) -> pd.DataFrame:
        models = self.models
        return self.experiment.trainer.scores(
            self.scores_step,
            self.experiment.baseline,
            # Copies: one of them is the baseline, and scoring refuses a model beside itself.
            {name: partial(copy.deepcopy, model) for name, model in models.items()},
            self.agreeing,
            methods=self.experiment.config.methods,
            target_layer=self.experiment.spec.target_layer,
            transform=self.experiment.prepare,
        )

    def _accuracies(self, model: nn.Module) -> dict[str, float]:
        """Return accuracy in % without marks, with agreeing and with wrong marks, and intervals."""
        image_sets = {
            "accuracy_plain": self.experiment.test,
            "accuracy_agreeing": self.agreeing,
            "accuracy_lying": self.lying,
        }
        prepare = self.experiment.network_input
        columns: dict[str, float] = {}
        for name, images in image_sets.items():
            share = accuracy(model, images.images, images.labels, prepare=prepare)
            count = len(images)
            columns |= accuracy_interval(round(share * count), count).columns(name)
        return columns

    def _mean_energies(self, maps: Tensor) -> dict[str, float]:
        """Return the mean shares of the maps on object and mark, without empty maps."""
        objects = self.agreeing.objects
        on_object = math.nan if objects is None else _mean_energy(maps, objects)
        return {"energy_object": on_object, "energy_mark": _mean_energy(maps, _mark(maps))}


def _mark(maps: Tensor) -> Tensor:
    """Return the pixels of the mark, (H, W), on the device of the maps."""
    return mark_mask(maps.shape[-1]).to(maps.device)


def _mean_energy(maps: Tensor, pixels: Tensor) -> float:
    return metrics.energy_on(maps, pixels).double().nanmean().item()
