"""The images that a study's figures show, chosen by a rule and not by eye, and their heatmaps by every model."""

from dataclasses import dataclass

import numpy as np
import torch

from pruncam import cams
from pruncam.studies.half import Half


@dataclass(frozen=True)
class Sample:
    """A test image and its heatmaps: `maps[method][rule]` is (rates + 1, H, W), the baseline's first."""

    index: int
    label: str
    image: np.ndarray | None  # (H, W, 3) in [0, 1]; None where the picture may not be published
    maps: dict[str, dict[str, np.ndarray]]
    credit: str  # whom to name beneath the picture; empty where nobody need be

    @property
    def acknowledged(self) -> str:
        """A sentence for the caption that names them, after a space; empty where nobody need be named."""
        return f" Picture: {self.credit}." if self.credit else ""


def choose(half: Half, wanted: str) -> int:
    """The first test image of the class wanted (else of the first class) that the baseline gets right.

    Taken from the first 50, and where there are any from those whose picture may be published and of whose maps by the
    baseline none is empty.
    """
    label = half.test.classes.index(wanted) if wanted in half.test.classes else 0
    candidates = _public(half, (half.test.labels == label).nonzero()[:50, 0])
    return _seen(half, candidates, _certainty(half, candidates) > 0)


def surest(half: Half) -> int:
    """Of the test images that the baseline gets right, the one that it is surest of.

    Taken from the first 50, with the same preference as in `choose`.
    """
    candidates = _public(half, torch.arange(min(50, len(half.test)), device=half.test.labels.device))
    return _seen(half, candidates, _certainty(half, candidates))


def _public(half: Half, candidates: torch.Tensor) -> torch.Tensor:
    """Those whose picture may be published, or all where none may."""
    public = [half.test.credit(index) is not None for index in candidates.tolist()]
    return candidates[torch.tensor(public, device=candidates.device)] if any(public) else candidates


@torch.no_grad()
def _certainty(half: Half, candidates: torch.Tensor) -> torch.Tensor:
    """The baseline's confidence in each image's class where it gets it right, else 0."""
    confidence, answer = half.baseline(_prepared(half, candidates)).softmax(1).max(1)
    return confidence * (answer == half.test.labels[candidates])


def _seen(half: Half, candidates: torch.Tensor, preference: torch.Tensor) -> int:
    """The candidate most preferred, the earliest of equal ones, of those above 0 that have no empty map."""
    order = candidates[preference.argsort(descending=True, stable=True)].tolist()
    right = order[: int((preference > 0).sum())] or order[:1]
    maps = ((index, _maps(half, half.baseline, _prepared(half, torch.tensor([index])))) for index in right)
    return next((index for index, found in maps if all(one.any() for one in found.values())), right[0])


def _prepared(half: Half, indices: torch.Tensor) -> torch.Tensor:
    return half.prepared(half.test.images[indices].float() / 255)


def sample(half: Half, index: int) -> Sample:
    """A test image and its maps by the baseline and by each rule's models of its first seed."""
    image = half.test.images[index]
    x, maps = half.prepared(image[None].float() / 255), {method: {} for method in half.config.methods}
    for rule, seeds in half.rules.items():
        chosen = [v for v in half.variants if (v.rule, v.seed) == (rule, seeds[0])]
        found = [_maps(half, model, x) for model in (half.baseline, *map(half.model, chosen))]
        for method in half.config.methods:
            maps[method][rule] = np.concatenate([each[method] for each in found])
    credit = half.test.credit(index)
    picture = None if credit is None else image.permute(1, 2, 0).cpu().numpy() / 255
    return Sample(index, half.test.classes[int(half.test.labels[index])], picture, maps, credit or "")


def _maps(half: Half, model: torch.nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    found = cams.explain(model, x, methods=half.config.methods)
    return {method: maps.cpu().numpy() for method, maps in found.maps.items()}
