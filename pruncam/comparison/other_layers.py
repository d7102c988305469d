"""Whether the result depends on the target layer: a few images, read at other layers, too."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn

from pruncam import cams, scoring
from pruncam.cams.target_layer import find_target_layer
from pruncam.comparison.explainer import Explainer
from pruncam.comparison.faithfulness import spread
from pruncam.comparison.titles import title
from pruncam.scoring.controls import CHANCE
from pruncam.statistics import bootstrap_mean

SLOW = "ablation-cam"  # its cost grows with every layer before the end
_MOST = 2  # other layers


def other_layers_table(
    explainer: Explainer, models: Mapping[str, nn.Module], rows: pd.DataFrame, pruned: str
) -> pd.DataFrame:
    """Return mean Sp2PS and chance level at the target layer and at other ones, on a few images.

    `rows` are the scores at the target layer, of all `models` by their names; `pruned` names the
    pruned network. Empty if there is no other layer to read. Ablation-CAM is left out beside other
    CAMs.
    """
    pair, settings = explainer.pair, explainer.settings
    images = spread(len(pair.images), settings.layer_images)
    x = explainer.inputs(images[:1])
    target = find_target_layer(
        pair.baseline, x, settings.target_layer, reshape=pair.reshape, output=pair.output
    )
    prefix = "" if pair.output is None else "model."  # of layers inside `LogitsOf`
    others = _others(pair.classifier(pair.baseline), x, f"{prefix}{target.name}")
    others = [name.removeprefix(prefix) for name in others]
    if not others:
        return pd.DataFrame()
    methods = [method for method in settings.methods if method != SLOW] or [SLOW]
    chance = next(name for name in models if name.startswith(CHANCE))
    at_target = rows[rows["image"].isin(images.tolist()) & rows["method"].isin(methods)]
    records = _records(target.name, target.map_size, at_target, (pruned, chance), explainer)
    for name in others:
        try:
            layer = find_target_layer(pair.pruned, x, name, output=pair.output)
        except ValueError:
            continue  # the pruned network has no such map
        scored = scoring.score_many(
            pair.baseline,
            {model: models[model] for model in (pruned, chance)},
            pair.images.pixels(images),
            methods=methods,
            target_layer=name,
            output=pair.output,
            transform=explainer.normalisation,
            progress=False,
        ).astype({"model": str, "method": str})
        records += _records(name, layer.map_size, scored, (pruned, chance), explainer)
    return pd.DataFrame(records)


def layer_sentence(table: pd.DataFrame) -> str:
    """Return in words whether the verdict against chance is the same at all layers."""
    texts = []
    for method, rows in table.groupby("method", sort=False):
        values = [
            f"{row['sp2ps']:.2f} against {row['chance']:.2f} at {row['layer']}"
            for row in rows.to_dict("records")
        ]
        verdicts = (rows["low"] > rows["chance"]).tolist()
        if all(verdicts):
            verdict = "closer to the baseline's than random networks' at each layer"
        elif any(verdicts):
            verdict = "closer than random networks' at some layers only: the reading flips"
        else:
            verdict = "no closer than random networks' at any layer"
        texts.append(f"the {title(str(method))} maps are {verdict} ({'; '.join(values)})")
    count = int(table["images"].iloc[0])
    return f"Other layers ({count:,} images, Sp2PS against chance): {'; '.join(texts)}."


def _others(network: nn.Module, x: torch.Tensor, target: str) -> list[str]:
    """Return other layers to read: the last convolution as it is, and the last finer map."""
    try:
        readings = cams.readings(network, x)
    except (TypeError, ValueError):
        return []
    names = list(readings.values())
    finer = [name for label, name in readings.items() if _is_finer(label, readings)]
    found = dict.fromkeys((*names[:1], *finer[-1:], *names[-1:]))
    return [name for name in found if name != target][:_MOST]


def _is_finer(label: str, readings: Mapping[str, str]) -> bool:
    """Return whether a reading belongs to the convolution before the last one."""
    labels = list(readings)
    start = [number for number, name in enumerate(labels) if name.startswith("convolution before")]
    return bool(start) and labels.index(label) >= start[0]


def _records(
    layer: str,
    size: tuple[int, int],
    rows: pd.DataFrame,
    models: tuple[str, str],
    explainer: Explainer,
) -> list[dict[str, Any]]:
    """Return a record for each CAM at one layer."""
    settings, (pruned, chance) = explainer.settings, models
    records = []
    for method, part in rows.groupby("method", sort=False):
        values = part.loc[part["model"] == pruned, "sp2ps"]
        mean = bootstrap_mean(values, samples=settings.bootstrap, seed=settings.seed)
        records.append(
            {
                "method": method,
                "layer": layer,
                "height": size[0],
                "width": size[1],
                "images": len(values),
                "sp2ps": mean.value,
                "low": mean.low,
                "high": mean.high,
                "chance": part.loc[part["model"] == chance, "sp2ps"].mean(),
            }
        )
    return records
