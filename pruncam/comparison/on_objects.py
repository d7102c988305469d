"""How much of the heatmaps of every network is on the object, where masks tell its pixels."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam._core.progress import Progress
from pruncam.comparison.explainer import Explainer
from pruncam.comparison.image_ranges import joined_rows, split_range
from pruncam.comparison.means import mean_columns
from pruncam.comparison.measurements import Facts
from pruncam.comparison.settings import Settings
from pruncam.comparison.titles import title
from pruncam.datasets.object_masks import ObjectMasks
from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.studies.diagnostics import hits_by_image

_MEASURES = ("object_area", "energy", "pointing")


def measure_objects(
    explainer: Explainer, models: Mapping[str, nn.Module], numbers: range, progress: bool
) -> pd.DataFrame:
    """Return the measures of the images of a range that have a mask, by network and CAM.

    `models` are all networks but the baseline, by their names. All maps explain the class that the
    baseline predicts. The columns are `model`, `method`, `image`, the share of the pixels that the
    object covers, the share of the map's sum on it, and whether the map is highest on it.
    """
    masks, networks = explainer.pair.masks, {"baseline": explainer.pair.baseline, **models}
    chosen = [_within(masks, part) for part in _batches(explainer, numbers)]
    bar = Progress("on the object", "image", progress)
    bar.expect(sum(map(len, chosen)) * len(networks))
    tables = []
    try:
        for images in filter(len, chosen):
            inputs, objects = explainer.inputs(images), masks.pixels(images)
            targets = None
            for name, network in networks.items():
                explanation = explainer.explain(network, inputs, targets)
                targets = explanation.targets  # of the baseline, which is the first network
                for method, maps in explanation.maps.items():
                    measured = hits_by_image(maps, objects.to(maps.device))
                    columns = {name: measured[name].double().cpu().numpy() for name in _MEASURES}
                    columns = {"model": name, "method": method, "image": images.numpy(), **columns}
                    tables.append(pd.DataFrame(columns))
                bar.advance(len(images))
    finally:
        bar.close()
    if not tables:
        return pd.DataFrame()
    return joined_rows(tables)


def objects_table(hits: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    """Return the share of the maps on the object, for every network and CAM, with intervals.

    `area` is the share of the pixels that the object covers, `energy` the share of the map's sum on
    it, `above_area` their difference, `pointing` the share of the images whose map is highest on
    the object. `change` is the energy minus the baseline's of the same image. `empty` is the share
    of the images whose map is empty: they are left out of all means.
    """
    measures = {
        key: torch.from_numpy(part[list(_MEASURES)].to_numpy())
        for key, part in hits.groupby(["model", "method"], sort=False)
    }
    records = []
    for (model, method), values in measures.items():
        before = None if model == "baseline" else measures["baseline", method]
        means = _means(values, before, facts.settings)
        records.append({"model": facts.networks.get(model, model), "method": method, **means})
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


def _batches(explainer: Explainer, numbers: range) -> list[range]:
    """Return the range cut where its batches are, as all measurements of a comparison are."""
    return split_range(numbers, explainer.pair.images.batch_length)


def _within(masks: ObjectMasks, numbers: range) -> Tensor:
    """Return the numbers of the images of a range that have a mask."""
    return masks.numbers[(masks.numbers >= numbers.start) & (masks.numbers < numbers.stop)]


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
