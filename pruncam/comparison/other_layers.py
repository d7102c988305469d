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
from pruncam.comparison.measurements import Facts
from pruncam.comparison.settings import Settings
from pruncam.comparison.titles import title
from pruncam.scoring.controls import CHANCE
from pruncam.statistics import bootstrap_mean

SLOW = "ablation-cam"  # its cost grows with every layer before the end
_MOST = 2  # other layers
_COLUMNS = ["layer", "height", "width", "model", "method", "sp2ps"]


def score_other_layers(
    explainer: Explainer, models: Mapping[str, nn.Module], pruned: str
) -> pd.DataFrame | None:
    """Return Sp2PS of the pruned and of a random network at other layers, on a few images.

    `models` are all networks by their names in the rows; `pruned` names the pruned one. Each row
    has the `layer` and the `height` and `width` of its maps. None if there is no other layer to
    read. Ablation-CAM is left out beside other CAMs.
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
        return None
    chance = next(name for name in models if name.startswith(CHANCE))
    tables = [pd.DataFrame(columns=_COLUMNS)]
    for name in others:
        try:
            layer = find_target_layer(pair.pruned, x, name, output=pair.output)
        except ValueError:
            continue  # the pruned network has no such map
        scored = scoring.score_many(
            pair.baseline,
            {model: models[model] for model in (pruned, chance)},
            pair.images.pixels(images),
            methods=_methods(settings),
            target_layer=name,
            output=pair.output,
            transform=explainer.normalisation,
            progress=False,
        ).astype({"model": str, "method": str})
        height, width = layer.map_size
        tables.append(scored.assign(layer=name, height=height, width=width)[_COLUMNS])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def other_layers_table(
    layer_rows: pd.DataFrame, rows: pd.DataFrame, pruned: str, facts: Facts
) -> pd.DataFrame:
    """Return mean Sp2PS and chance level at the target layer and at other ones, on a few images.

    `layer_rows` are the scores at other layers, `rows` those of all images at the target layer.
    """
    settings = facts.settings
    chance = next(name for name in rows["model"].unique() if name.startswith(CHANCE))
    total = int(rows["image"].max()) + 1
    images = spread(total, settings.layer_images).tolist()
    is_chosen = rows["image"].isin(images) & rows["method"].isin(_methods(settings))
    target = {name: facts.layers[name].iloc[0] for name in ("layer", "height", "width")}
    at_target = rows[is_chosen].assign(**target)
    tables = [part for _, part in layer_rows.groupby("layer", sort=False)]
    records = []
    for table in (at_target, *tables):
        records += _records(table, (pruned, chance), settings)
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


def _methods(settings: Settings) -> list[str]:
    """Return the CAMs that are read at other layers: all but a slow one, if there are others."""
    return [method for method in settings.methods if method != SLOW] or [SLOW]


def _records(
    rows: pd.DataFrame, models: tuple[str, str], settings: Settings
) -> list[dict[str, Any]]:
    """Return a record for each CAM at one layer."""
    pruned, chance = models
    records = []
    for method, part in rows.groupby("method", sort=False):
        values = part.loc[part["model"] == pruned, "sp2ps"]
        mean = bootstrap_mean(values, samples=settings.bootstrap, seed=settings.seed)
        records.append(
            {
                "method": method,
                **{name: part[name].iloc[0] for name in ("layer", "height", "width")},
                "images": len(values),
                "sp2ps": mean.value,
                "low": mean.low,
                "high": mean.high,
                "chance": part.loc[part["model"] == chance, "sp2ps"].mean(),
            }
        )
    return records
