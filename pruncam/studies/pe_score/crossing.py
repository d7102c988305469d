"""What the paper leaves open: the class that a heatmap explains, and the class whose confidence is compared."""

from collections.abc import Mapping
from functools import partial

import pandas as pd
import torch

from pruncam import metrics
from pruncam.datasets import ImageSet
from pruncam.store import Step
from pruncam.studies.half import Variant
from pruncam.studies.pe_score.half import Half

CROSSED = 1  # version of the step, raised by hand when its code changes what it makes
CLASSES = {"own": "each model's top class", "baseline": "the baseline's top class", "label": "the true class"}


def table(half: Half) -> pd.DataFrame:
    """Mean PE of the first criterion's models under every pair of the two choices, over the first test images."""
    rule, images = half.config.criteria[0], half.test.first(min(half.config.sensitivity_images, len(half.test)))
    variants = {v.name: v for v in half.variants if v.rule == rule}
    # SSIM and IoU do not depend on the class of the confidence, nor the confidences on that of the map.
    found = {chosen: _scored(half, variants, images, chosen) for chosen in CLASSES}
    rows = []
    for explained, maps in found.items():
        for compared, confidences in found.items():
            parts = (maps["ssim"], maps["iou"], confidences["confidence_variation"])
            scores = maps[["model", "method"]].assign(pe=_pe(*parts))
            for (model, method), pe in (
                scores.groupby(["model", "method"], sort=False, observed=True)["pe"].mean().items()
            ):
                row = {"half": half.paper, "rule": rule, "rate": variants[model].rate, "method": method}
                row |= {"map of": CLASSES[explained], "confidence of": CLASSES[compared]}
                rows.append(row | {"pe": pe, "images": len(images)})
    return pd.DataFrame(rows)


def _scored(half: Half, variants: Mapping[str, Variant], images: ImageSet, chosen: str) -> pd.DataFrame:
    """Rows of scores with the class chosen for both, as they are kept."""
    models = [half.made_by(variant) for variant in variants.values()]
    inputs = {"class": chosen, "models": models, "test": images.checksum, "methods": list(half.config.methods)}
    others = {name: partial(half.model, variant) for name, variant in variants.items()}
    how = {"methods": half.config.methods, "transform": half.prepared}
    step = Step("pe_score-crossed", CROSSED, inputs)
    how |= {"target_class": chosen, "confidence_class": chosen}
    return half.workshop.rows(step, half.baseline, others, images, **how)


def _pe(*parts: pd.Series) -> list[float]:
    return metrics.combine_pe(*(torch.tensor(part.to_numpy()) for part in parts)).tolist()
