"""Whether the heatmaps of both networks mark pixels that matter to them: ROAD on some images."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from pruncam import cams
from pruncam._core.progress import Progress
from pruncam.comparison.explainer import Explainer
from pruncam.comparison.means import mean_columns
from pruncam.comparison.settings import Settings
from pruncam.comparison.titles import title

SCORES = ("combined", "most_relevant_first", "least_relevant_first")
_NAMES = {"baseline": "baseline", "pruned": "pruned network"}


def faithfulness_table(explainer: Explainer, progress: bool) -> pd.DataFrame:
    """Return the mean ROAD scores of every CAM in both networks, with their intervals.

    `settings.faithfulness_images` images are tested, spread evenly over the data. A map explains
    its network's own top class. `empty` is the share of images whose map is empty: they have no
    score; without any score, means are NaN.
    """
    pair, settings = explainer.pair, explainer.settings
    inputs = explainer.inputs(spread(len(pair.images), settings.faithfulness_images))
    bar = Progress("faithfulness", "map", progress)
    records = []
    try:
        for name, network in (("baseline", pair.baseline), ("pruned", pair.pruned)):
            explanation = explainer.explain(network, inputs)
            targets = explanation.targets
            bar.expect(len(inputs) * len(explanation.maps))
            for method, maps in explanation.maps.items():
                scores = cams.road(network, inputs, maps, targets=targets, output=pair.output)
                records.append({"model": name, "method": method, **_means(scores, settings)})
                bar.advance(len(inputs))
    finally:
        bar.close()
    return pd.DataFrame(records)


def faithfulness_sentence(table: pd.DataFrame) -> str:
    """Return the table in words: the combined scores, and which of them are not above 0."""
    texts, unfaithful = [], []
    for method, rows in table.groupby("method", sort=False):
        scores = [_score(row) for row in rows.to_dict("records")]
        texts.append(f"{title(str(method))} {', '.join(scores)}")
        names = rows[rows["combined_low"] <= 0]["model"].map(_NAMES)
        unfaithful += [f"{title(str(method))} of the {name}" for name in names]
    text = (
        f"Faithfulness (ROAD, {int(table['images'].iloc[0]):,} images): removing the pixels that a "
        "map marks first, instead of last, costs the predicted class more probability if they "
        f"matter. Half of the difference is: {'; '.join(texts)}."
    )
    if unfaithful:
        text += f" Not shown to mark pixels that matter: {', '.join(unfaithful)}."
    return text


def _score(row: Mapping[str, Any]) -> str:
    """Return the combined score of one network in words."""
    name = _NAMES[row["model"]]
    if pd.isna(row["combined"]):
        return f"none in the {name}, where every map is empty"
    interval = f"{row['combined']:.3f} [{row['combined_low']:.3f}, {row['combined_high']:.3f}]"
    return f"{interval} in the {name}"


def spread(total: int, count: int) -> torch.Tensor:
    """Return the numbers of at most `count` of `total` images, at equal distances."""
    count = min(count, total)
    return torch.arange(count) * total // count


def _means(scores: cams.RoadScores, settings: Settings) -> dict[str, float]:
    """Return the images, the share of empty maps, and each mean score with its interval."""
    has_score = ~scores.combined.isnan().cpu()
    record = {"images": len(has_score), "empty": 1 - float(has_score.double().mean())}
    for name in SCORES:
        values = getattr(scores, name).cpu()[has_score].double()
        record |= mean_columns(name, values, settings)
    return record
