"""The images that figures show, chosen by a rule, and their heatmaps by every model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from pruncam import cams
from pruncam.report import plots
from pruncam.studies.experiment import Experiment

HasMaps = Callable[[int], bool]  # of the index of a test image
_CANDIDATES = 50  # images that a sample is chosen from


@dataclass(frozen=True)
class Sample:
    """A test image and its heatmaps: `maps[method][rule]` is (rates + 1, H, W), unpruned first."""

    index: int
    label: str
    image: np.ndarray | None  # (H, W, 3) in [0, 1]; None if it may not be published
    maps: dict[str, dict[str, np.ndarray]]
    credit: str  # the author to name beneath the image; empty if there is none

    @property
    def acknowledgement(self) -> str:
        """A sentence for the caption that names the author, after a space; empty without one."""
        return f" Image: {self.credit}." if self.credit else ""


def choose_of_class(experiment: Experiment, name: str) -> int:
    """Return the index of the first correctly classified test image of a class.

    The class is the first one if none has this name. Only the first 50 images of the class are
    considered; images that may be published, and for which no heatmap of the baseline is empty, are
    preferred.
    """
    classes = experiment.test.classes
    label = classes.index(name) if name in classes else 0
    of_class = (experiment.test.labels == label).nonzero()[:_CANDIDATES, 0]
    candidates = _publishable(experiment, of_class)
    return _first_with_maps(experiment, candidates, _confidence(experiment, candidates) > 0)


def most_confident(experiment: Experiment, has_maps: HasMaps | None = None) -> int:
    """Return the index of the correctly classified test image with the highest confidence.

    Only the first 50 images are considered, with the preferences of `choose_of_class`; `has_maps`
    says of an image whether it has maps worth showing (None: none of the baseline's is empty).
    """
    count = min(_CANDIDATES, len(experiment.test))
    first = torch.arange(count, device=experiment.test.labels.device)
    candidates = _publishable(experiment, first)
    confidence = _confidence(experiment, candidates)
    return _first_with_maps(experiment, candidates, confidence, has_maps)


def sample(experiment: Experiment, index: int) -> Sample:
    """Return a test image with its heatmaps by the baseline and each rule's models."""
    image = experiment.test.images[index]
    inputs = experiment.network_input(image[None])
    methods = experiment.config.methods
    maps: dict[str, dict[str, np.ndarray]] = {method: {} for method in methods}
    for rule in experiment.rules:
        pruned = [experiment.model(variant) for variant in experiment.of_rule(rule)]
        explanations = [_maps(experiment, m, inputs) for m in (experiment.baseline, *pruned)]
        for method in methods:
            maps[method][rule] = np.concatenate([each[method] for each in explanations])
    credit = experiment.test.credit(index)
    return Sample(
        index=index,
        label=experiment.test.classes[int(experiment.test.labels[index])],
        image=None if credit is None else image.permute(1, 2, 0).cpu().numpy() / 255,
        maps=maps,
        credit=credit or "",
    )


def _publishable(experiment: Experiment, candidates: Tensor) -> Tensor:
    """Return the candidates that may be published, or all of them if none may."""
    test = experiment.test
    allowed = [test.credit(index) is not None for index in candidates.tolist()]
    return (
        candidates[torch.tensor(allowed, device=candidates.device)] if any(allowed) else candidates
    )


@torch.no_grad()
def _confidence(experiment: Experiment, candidates: Tensor) -> Tensor:
    """Return the baseline's confidence in each image's class if it predicts that class, else 0."""
    inputs = experiment.network_input(experiment.test.images[candidates])
    confidence, prediction = experiment.baseline(inputs).softmax(1).max(1)
    return confidence * (prediction == experiment.test.labels[candidates])


def _first_with_maps(
    experiment: Experiment,
    candidates: Tensor,
    preference: Tensor,
    has_maps: HasMaps | None = None,
) -> int:
    """Return the candidate of highest preference above 0 that has no empty heatmap.

    Of equal preferences the earliest comes first; without such a candidate, the most preferred one.
    """
    order = candidates[preference.argsort(descending=True, stable=True)].tolist()
    preferred = order[: int((preference > 0).sum())] or order[:1]
    has_maps = has_maps or partial(_baseline_has_maps, experiment)
    return next((index for index in preferred if has_maps(index)), preferred[0])


def _baseline_has_maps(experiment: Experiment, index: int) -> bool:
    inputs = experiment.network_input(experiment.test.images[index][None])
    maps = _maps(experiment, experiment.baseline, inputs)
    return not any(plots.is_empty(heatmap) for heatmap in maps.values())


def _maps(experiment: Experiment, model: nn.Module, inputs: Tensor) -> dict[str, np.ndarray]:
    methods, layer = experiment.config.methods, experiment.spec.target_layer
    explanation = cams.explain(model, inputs, methods=methods, target_layer=layer)
    return {method: maps.cpu().numpy() for method, maps in explanation.maps.items()}
