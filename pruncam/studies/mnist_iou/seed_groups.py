"""The scatter of results between groups of seeds: what would other seeds have shown?"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pruncam._core.seeds import derive
from pruncam.studies.mnist_iou.analysis import BASE, WORKING, rows_of
from pruncam.studies.mnist_iou.chains import over_levels
from pruncam.studies.mnist_iou.config import MnistIouConfig

_SIZES = (1, 3, 10)  # seeds in a group
_MOST = 2000  # groups of a size; drawn at random if there are more
_RISE = (0, 6)  # levels of claim I2
_SPARSITY = 0.98  # of claim I3


def table(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return the distribution of each result over groups of 1, 3 and 10 seeds.

    The scores of a group are averaged first, as in the thesis. Columns: mean, standard deviation
    and the central 95 % (`low`, `high`) of the groups, all of them or 2,000 drawn at random; the
    value of the thesis's seeds, and that of all seeds.
    """
    seeds = config.all_seeds
    scores = _seed_scores(level_table, seeds)
    of_thesis = scores.results(range(len(config.seeds)))
    of_all = scores.results(range(len(seeds)))
    rows = []
    for size in _SIZES:
        if size > len(seeds):
            continue
        seed = derive(seeds[0], "groups of seeds", size)
        groups = _groups(len(seeds), size, seed)
        values = pd.DataFrame([scores.results(group) for group in groups])
        for name in values:
            row = {"result": name, "seeds": size}
            row |= _distribution(values[name])
            row["thesis_seeds"] = of_thesis[name]
            row["all_seeds"] = of_all[name]
            rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _SeedScores:
    """The mean IoU and the accuracy of every seed and level, (seeds, levels)."""

    iou: np.ndarray
    accuracy: np.ndarray
    sparsity: np.ndarray  # (levels,)

    def results(self, group: Sequence[int]) -> dict[str, float]:
        """Return the study's results for a group of seeds (rows)."""
        rows = list(group)
        iou = self.iou[rows].mean(axis=0)
        accuracy = self.accuracy[rows].mean(axis=0)
        results = {
            "Pearson correlation, all levels": over_levels(iou, accuracy),
            f"Pearson correlation, levels above {WORKING:.0f} %": over_levels(
                iou, accuracy, above=WORKING
            ),
            "accuracy at level 0, %": accuracy[0],
            "IoU at level 0": iou[0],
            "highest IoU": iou.max(),
        }
        before, after = _RISE
        if after < len(iou):
            name = f"IoU at level {after} minus level {before}"
            results[name] = iou[after] - iou[before]
        is_sparse = self.sparsity >= _SPARSITY
        if is_sparse.any():
            level = int(is_sparse.argmax())
            lost_accuracy = accuracy[0] - accuracy[level]
            results["loss of accuracy at 98 % sparsity, points"] = lost_accuracy
            results["loss of IoU at 98 % sparsity, %"] = _loss(iou[0], iou[level])
        return results


def _seed_scores(level_table: pd.DataFrame, seeds: Sequence[int]) -> _SeedScores:
    base = rows_of(level_table, BASE, seeds)
    columns = ["iou", "accuracy_noisy"]
    wide = base.pivot_table(index="seed", columns="level", values=columns)
    wide = wide.loc[list(seeds)]
    density = base.groupby("level")["density"].mean()
    return _SeedScores(
        iou=wide["iou"].to_numpy(),
        accuracy=wide["accuracy_noisy"].to_numpy(),
        sparsity=1 - density.to_numpy(),
    )


def _groups(count: int, size: int, seed: int) -> Iterator[Sequence[int]]:
    """Iterate over all groups of `size` out of `count` seeds, or over some drawn at random."""
    if math.comb(count, size) <= _MOST:
        yield from itertools.combinations(range(count), size)
        return
    random = np.random.default_rng(seed)
    for _ in range(_MOST):
        group = random.choice(count, size, replace=False)
        yield group.tolist()


def _distribution(values: pd.Series) -> dict[str, float]:
    defined = values.dropna()
    return {
        "groups": len(defined),
        "mean": defined.mean(),
        "sd": defined.std(ddof=1),
        "low": defined.quantile(0.025),
        "high": defined.quantile(0.975),
    }


def _loss(before: float, after: float) -> float:
    return 100 * (1 - after / before) if before else math.nan
