"""A mark in the corner that agrees with the class, as a distractor: do pruned models move to it? (beyond the paper)

The paper suspects distractors behind its chest X-rays, where nobody can tell. On pictures with a planted mark it can be
proven: what a model's accuracy loses when the marks lie is what it had from them.
"""

import pandas as pd
import torch
from torch import nn

from pruncam import cams
from pruncam.datasets import ImageSet
from pruncam.datasets.generated import marked_pixels, planted
from pruncam.studies.half import BASELINE, Half

MARKED = "generated-10-marked"


def table(half: Half) -> pd.DataFrame | None:
    """A row per model and CAM: accuracy under agreeing and lying marks, the maps' share on the mark; None elsewhere."""
    if half.test.name != MARKED:
        return None
    images = half.test.first(min(half.config.sensitivity_images, len(half.test)))
    kinds = {"accuracy_agreeing": planted(images, 1.0), "accuracy_lying": planted(images, 0.0)}
    rows = []
    models = {BASELINE: half.baseline} | {v: half.model(v) for v in half.tuned}
    for variant, model in models.items():
        accuracy = {kind: _accuracy(half, model, marked) for kind, marked in kinds.items()}
        found = cams.explain(model, _input(half, kinds["accuracy_agreeing"]), methods=half.config.methods).maps
        for method, maps in found.items():
            mark = marked_pixels(maps.shape[-1]).to(maps.device)
            share = ((maps * mark).sum((1, 2)) / maps.sum((1, 2))).double().nanmean().item()
            row = {
                "half": half.paper,
                "rule": variant.rule,
                "rate": variant.rate,
                "seed": variant.seed,
                "method": method,
            }
            row |= accuracy
            row |= {"from_marks": accuracy["accuracy_agreeing"] - accuracy["accuracy_lying"], "energy_mark": share}
            rows.append(row | {"mark_area": mark.float().mean().item(), "images": len(images)})
    return pd.DataFrame(rows)


@torch.no_grad()
def _accuracy(half: Half, model: nn.Module, images: ImageSet) -> float:
    return 100 * (model(_input(half, images)).argmax(1) == images.labels).double().mean().item()


def _input(half: Half, images: ImageSet) -> torch.Tensor:
    return half.prepared(images.images.float() / 255)
