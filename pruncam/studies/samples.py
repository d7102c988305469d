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


@torch.no_grad()
def choose(half: Half, wanted: str) -> int:
    """The first test image of the class wanted (else of the first class) that the baseline gets right.

    Taken from the first 50, and where there are any from those whose picture may be published and of whose maps by the
    baseline none is empty.
    """
    label = half.test.classes.index(wanted) if wanted in half.test.classes else 0
    candidates = (half.test.labels == label).nonzero()[:50, 0]
    public = [index for index in candidates.tolist() if half.test.credit(index) is not None]
    candidates = torch.tensor(public, device=candidates.device) if public else candidates
    x = half.prepared(half.test.images[candidates].float() / 255)
    right = (half.baseline(x).argmax(1) == label).nonzero()[:, 0].tolist() or [0]
    seen = (place for place in right if all(maps.any() for maps in _maps(half, half.baseline, x[place][None]).values()))
    return int(candidates[next(seen, right[0])])


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
