"""How much of the heatmaps of every network is on the object, where masks tell its pixels."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam._core.progress import Progress
from pruncam.comparison.explainer import Explainer
from pruncam.comparison.means import mean_columns
from pruncam.comparison.pair import Pair
from pruncam.comparison.settings import Settings
from pruncam.comparison.titles import title
from pruncam.datasets.object_masks import ObjectMasks
from pruncam.datasets.streamed_images import part_length
from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.studies.diagnostics import hits_by_image

_MEASURES = ("object_area", "energy", "pointing")
Hits = dict[tuple[str, str], Tensor]  # (images, measures), by network and CAM


def objects_table(
    explainer: Explainer, masks: ObjectMasks, models: Mapping[str, nn.Module], progress: bool
) -> pd.DataFrame:
    """Return the share of the maps on the object, for every network and CAM, with intervals.

    `models` are all networks but the baseline, by their names. All maps explain the class that the
    baseline predicts. `area` is the share of the pixels that the object covers, `energy` the share
    of the map's sum on it, `above_area` their difference, `pointing` the share of the images whose
    map is highest on the object. `change` is the energy minus the baseline's of the same image.
    `empty` is the share of the images whose map is empty: they are left out of all means.
    """
    pair, settings = explainer.pair, explainer.settings
    networks = {"baseline": pair.baseline, **models}
    hits = _hits(explainer, masks, networks, progress)
    names = _shown_names(pair, networks)
    records = []
    for (model, method), values in hits.items():
        before = None if model == "baseline" else hits["baseline", method]
        means = _means(values, before, settings)
        records.append({"model": names[model], "method": method, **means})
    return pd.DataFrame(records)


def objects_sentence(table: pd.DataFrame, left_out: str) -> str:
    """Return the table in words; `left_out` names the images without a usable mask."""
    images = int(table["images"].iloc[0])
    count = "1 image" if images == 1 else f"{images:,} images"
    remark = f"; left out: {left_out}" if left_out else ""
    texts = [_of_method(str(name), rows) for name, rows in table.groupby("method", sort=False)]
    return f"On the object ({count}{remark}): {'; '.join(texts)}."


def _of_method(method: str, rows: pd.DataFrame) -> str:
    """Return what the maps of one CAM have on the object, in words."""
    by_model = {row["model"]: row for row in rows.to_dict("records")}
    before, after = by_model["baseline"], by_model["pruned"]
    if pd.isna(before["energy"]) or pd.isna(after["energy"]):
        name = "baseline" if pd.isna(before["energy"]) else "pruned network"
        return f"every {title(method)} map of the {name} is empty"
    text = (
        f"{title(method)} has {_interval(before, 'energy')} of its energy there in the baseline "
        f"and {_interval(after, 'energy')} in the pruned network ({_verdict(before, after)}), "
        f"where the objects take {_interval(after, 'area')} of the area"
    )
    is_floor = rows["model"].str.startswith(FLOOR)
    if rows.loc[is_floor, "energy"].notna().any():
        low, high = rows.loc[is_floor, "energy_low"].min(), rows.loc[is_floor, "energy_high"].max()
        text += f", fine-tuning alone {low:.2f} to {high:.2f}"
    chance = rows.loc[rows["model"].str.startswith(CHANCE), "energy"].mean()
    return text if pd.isna(chance) else f"{text}, random weights {chance:.2f}"


def _verdict(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return whether the maps are on the object and whether pruning changed that; intervals decide.

    Energy and area, and both networks, are compared image by image.
    """
    if pd.isna(after["change"]):
        change = "no image has two maps that are not empty"
    elif after["change_high"] < 0:
        change = f"less than before, by {_difference(after['change'])}"
    elif after["change_low"] > 0:
        change = f"more than before, by {_difference(after['change'])}"
    else:
        change = "no clear change"
    named = (("baseline", before), ("pruned network", after))
    lost = [name for name, row in named if row["above_area_low"] <= 0]
    return f"{change}; not more than their area in the {' and the '.join(lost)}" if lost else change


def _difference(change: float) -> str:
    """Return the size of a change that is not 0, in words."""
    return "less than 0.01" if abs(change) < 0.01 else f"{abs(change):.2f}"


def _interval(row: Mapping[str, Any], name: str) -> str:
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def _hits(
    explainer: Explainer, masks: ObjectMasks, networks: Mapping[str, nn.Module], progress: bool
) -> Hits:
    """Return the measures of every image that has a mask, by network and CAM."""
    parts: dict[tuple[str, str], list[Tensor]] = {}
    bar = Progress("on the object", "image", progress)
    bar.expect(len(masks.numbers) * len(networks))
    try:
        for inputs, objects in _parts(explainer, masks):
            targets = None
            for name, network in networks.items():
                explanation = explainer.explain(network, inputs, targets)
                targets = explanation.targets  # of the baseline, which is the first network
                for method, maps in explanation.maps.items():
                    measured = hits_by_image(maps, objects.to(maps.device))
                    columns = [measured[measure].double().cpu() for measure in _MEASURES]
                    parts.setdefault((name, method), []).append(torch.stack(columns, 1))
                bar.advance(len(inputs))
    finally:
        bar.close()
    return {key: torch.cat(values) for key, values in parts.items()}


def _parts(explainer: Explainer, masks: ObjectMasks) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over network inputs and masks in parts that fit into memory."""
    for numbers in masks.numbers.split(part_length(explainer.pair.images.shape)):
        yield explainer.inputs(numbers), masks.pixels(numbers)


def _shown_names(pair: Pair, networks: Mapping[str, nn.Module]) -> dict[str, str]:
    """Return the names of networks in the table: further checkpoints have those of their files."""
    further = {**pair.also_pruned, **pair.also_baseline}
    files = {id(network): name for name, network in further.items()}
    return {name: files.get(id(network), name) for name, network in networks.items()}


def _means(values: Tensor, before: Tensor | None, settings: Settings) -> dict[str, float]:
    """Return the means of measures (images, measures), and of their change from `before`."""
    area, energy, pointing = values.unbind(1)
    drawn = ~energy.isnan()
    record: dict[str, float] = {"images": len(values)}
    record |= mean_columns("area", area[drawn], settings)
    record |= mean_columns("energy", energy[drawn], settings)
    record |= mean_columns("above_area", (energy - area)[drawn], settings)
    record |= mean_columns("pointing", pointing[drawn], settings)
    change = energy[:0] if before is None else energy - before[:, 1]
    record |= mean_columns("change", change[~change.isnan()], settings)
    return record | {"empty": 1 - float(drawn.double().mean())}
