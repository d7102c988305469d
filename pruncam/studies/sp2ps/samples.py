"""The images that Figures 1 and 4 to 9 show, chosen by a rule and not by eye, and their heatmaps by every model."""

from dataclasses import dataclass

import numpy as np
import torch

from pruncam import cams
from pruncam.studies.sp2ps.half import L1, RANDOM, Half

SHOWN = {"CIFAR-10": "automobile", "STL-10": "dog"}  # what the paper's figures show


@dataclass(frozen=True)
class Sample:
    """A test image and its heatmaps: `maps[method][rule]` is (rates + 1, H, W), the baseline's first."""

    index: int
    label: str
    image: np.ndarray | None  # (H, W, 3) in [0, 1]; None where the picture may not be published
    maps: dict[str, dict[str, np.ndarray]]


def choose(half: Half) -> Sample:
    """The first test image of the class that the paper shows (else of the first class) that the baseline gets right."""
    wanted = half.test.classes.index(SHOWN.get(half.paper)) if SHOWN.get(half.paper) in half.test.classes else 0
    candidates = (half.test.labels == wanted).nonzero()[:50, 0]
    x = half.prepared(half.test.images[candidates].float() / 255)
    with torch.no_grad():
        right = (half.baseline(x).argmax(1) == wanted).nonzero()
    place = int(right[0]) if len(right) else 0
    index, c = int(candidates[place]), half.config
    maps = {method: {} for method in c.methods}
    for rule in (L1, RANDOM):
        seed = c.seed if rule == L1 else c.random_seeds[0]
        chosen = [v for v in half.variants if (v.rule, v.seed) == (rule, seed)]
        found = [_maps(half, model, x[place : place + 1]) for model in (half.baseline, *map(half.model, chosen))]
        for method in c.methods:
            maps[method][rule] = np.concatenate([each[method] for each in found])
    image = half.test.images[index].permute(1, 2, 0).cpu().numpy() / 255 if half.test.showable else None
    return Sample(index, half.test.classes[wanted], image, maps)


def _maps(half: Half, model: torch.nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    found = cams.explain(model, x, methods=half.config.methods)
    return {method: maps.cpu().numpy() for method, maps in found.maps.items()}
