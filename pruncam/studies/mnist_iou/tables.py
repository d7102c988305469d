"""The tables of the MNIST IoU study: levels, correlations, published numbers, sensitivity."""

import math

import numpy as np
import pandas as pd

from pruncam import places
from pruncam.seeds import derive
from pruncam.statistics import METHODS, Interval, bootstrap_mean, correlation, t_interval
from pruncam.studies.mnist_iou.config import PRUNABLE, Config

BASE = "as configured"
WORKING = 90.0  # % accuracy: below it a level counts as no longer working
_SCALARS = ("accuracy_noisy", "accuracy_clean", "pooled_iou", "heatmap_mean", "heatmap_std", "remaining")
_MEANS = ("iou", "iou_other_image", "iou_binary", "energy", "pixel_correlation", "inverted", "empty")

FITS = {
    "iou": "soft IoU (thesis, Eq. 2.8)",
    "pooled_iou": "soft IoU, minima and maxima pooled over all images",
    "iou_binary": "binary IoU, both thresholded at their mean",
    "energy": "share of the heatmap on the digit",
    "pixel_correlation": "correlation over pixels",
    "iou_other_image": "soft IoU with another image (control)",
}

Scores = dict[tuple[str, int], list[dict]]


def levels(scores: Scores) -> pd.DataFrame:
    """One row per variant, seed and level: density, accuracies in %, and the means over images of every fit."""
    rows = []
    for (variant, seed), chain in scores.items():
        for level, found in enumerate(chain):
            row = {"variant": variant, "seed": seed, "level": level}
            row |= {name: found[name] for name in _SCALARS}
            row["density"] = found["remaining"] / PRUNABLE
            row |= {name: pd.Series(_array(found, name)).mean() for name in _MEANS}  # energy: without empty maps
            row |= _by_correctness(found)
            rows.append(row)
    first = ["variant", "seed", "level", "remaining", "density", "accuracy_noisy", "accuracy_clean", "iou"]
    table = pd.DataFrame(rows)
    return table[first + [name for name in table if name not in first]]


def _array(found: dict, name: str) -> np.ndarray:
    return found[name].numpy().astype(float)


def _by_correctness(found: dict) -> dict:
    iou, correct = _array(found, "iou"), found["correct"].numpy()
    return {
        "iou_correct": iou[correct].mean() if correct.any() else math.nan,
        "iou_incorrect": iou[~correct].mean() if (~correct).any() else math.nan,
        "incorrect": int((~correct).sum()),
    }


def by_level(config: Config, scores: Scores) -> pd.DataFrame:
    """What Figures 3.1 and 3.2 show: means over the thesis's seeds, their scatter, and intervals over images."""
    table = _of(levels(scores), BASE, config.seeds)
    rows = []
    for level, group in table.groupby("level"):
        per_image = np.mean([_array(scores[BASE, seed][level], "iou") for seed in config.seeds], axis=0)
        interval = bootstrap_mean(per_image, samples=config.bootstrap, seed=derive(config.seeds[0], "images", level))
        row = {"level": level, "remaining": _common(group["remaining"]), "density": group["density"].mean()}
        for name in ("accuracy_noisy", "accuracy_clean", "iou", "iou_other_image"):
            row |= {name: group[name].mean(), f"{name}_sd": _sd(group[name])}
        row |= {"iou_low": interval.low, "iou_high": interval.high}
        for name in ("heatmap_mean", "heatmap_std", "inverted", "empty"):
            row[name] = group[name].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def correlations(config: Config, by_level: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Table 3.1: IoU against accuracy over levels, averaged over seeds first, and each seed alone."""
    series = {"mean of the seeds": by_level} | {
        f"seed {seed}": _of(levels, BASE, (seed,)) for seed in config.seeds + config.more_seeds
    }
    rows = []
    for name, table in series.items():
        for accuracy in ("accuracy_noisy", "accuracy_clean"):
            for span, part in (("all levels", table), (f"accuracy above {WORKING:.0f} %", _working(table, accuracy))):
                rows += [_correlation(name, accuracy, span, part, method) for method in METHODS]
    table = pd.DataFrame(rows)
    published = published_values()["Pearson correlation of IoU and accuracy"]
    is_published = (table[["series", "accuracy", "over", "method"]] == _PUBLISHED).all(axis=1)
    table["published"] = np.where(is_published, published, math.nan)
    table["difference"] = table["value"] - table["published"]
    return table


_PUBLISHED = ["mean of the seeds", "accuracy_noisy", "all levels", "pearson"]


def _correlation(series: str, accuracy: str, over: str, table: pd.DataFrame, method: str) -> dict:
    row = {"series": series, "accuracy": accuracy, "over": over, "method": method, "points": len(table)}
    if len(table) < 5:
        return row | dict.fromkeys(("value", "low", "high", "p_value", "df"), math.nan)
    found = correlation(table["iou"], table[accuracy], method)
    return row | {"value": found.value, "low": found.low, "high": found.high, "p_value": found.p_value, "df": found.df}


def seeds(config: Config, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per seed: does one seed's correlation mean anything?"""
    rows = []
    for seed in config.seeds + config.more_seeds:
        table = _of(levels, BASE, (seed,))
        working = _working(table, "accuracy_noisy")
        rows.append(
            {
                "seed": seed,
                "in_thesis": seed in config.seeds,
                "pearson_all": _pearson(table),
                "pearson_working": _pearson(working),
                "working_levels": len(working),
                "iou_level_0": table["iou"].iloc[0],
                "iou_peak": table["iou"].max(),
                "peak_level": int(table["level"].iloc[table["iou"].argmax()]),
                "accuracy_level_0": table["accuracy_noisy"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def correctness(config: Config, levels: pd.DataFrame) -> pd.DataFrame:
    """IoU of correctly against incorrectly classified images, per level; the interval is over seeds."""
    rows = []
    for level, group in _of(levels, BASE, config.seeds + config.more_seeds).groupby("level"):
        differences = (group["iou_correct"] - group["iou_incorrect"]).dropna()
        row = {"level": level, "incorrect_per_seed": group["incorrect"].mean()}
        row |= {"iou_correct": group["iou_correct"].mean(), "iou_incorrect": group["iou_incorrect"].mean()}
        if len(differences):
            interval = t_interval(differences)
            row |= {"difference": interval.value, "low": interval.low, "high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows)


def fits(by_level: pd.DataFrame, levels: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Other ways of fitting a heatmap to its image: value at chosen levels, and correlation with accuracy."""
    means = _of(levels, BASE, config.seeds).groupby("level").mean(numeric_only=True).reset_index()
    working = _working(means, "accuracy_noisy")
    rows = []
    for name, label in FITS.items():
        row = {"fit": label}
        row |= {f"level_{level}": means[name].iloc[level] for level in (0, 6, 10, 17) if level < len(means)}
        row |= {"pearson_all": _pearson(means, name), "pearson_working": _pearson(working, name)}
        rows.append(row)
    return pd.DataFrame(rows)


def sensitivity(config: Config, levels: pd.DataFrame, choices: dict[int, list[dict]]) -> pd.DataFrame:
    """What each choice that the thesis leaves open does to the result; means over `seeds` chains."""
    base = _of(levels, BASE, config.seeds)
    rows = [_choice(BASE, base, "iou")]
    for name in choices[config.seeds[0]][0]:
        values = [found[name] for seed in config.seeds for found in choices[seed]]
        rows.append(_choice(name, base.assign(choice=values), "choice"))
    rows.append(_choice("IoU pooled over all images", base, "pooled_iou"))
    rows.append(_choice("accuracy on clean images", base.assign(accuracy_noisy=base["accuracy_clean"]), "iou"))
    for variant in config.variants:
        rows.append(_choice(variant, levels[levels["variant"] == variant], "iou"))
    return pd.DataFrame(rows)


def _choice(name: str, table: pd.DataFrame, column: str) -> dict:
    means = table.groupby("level")[[column, "accuracy_noisy"]].mean()
    return {
        "choice": name,
        "seeds": table["seed"].nunique(),
        "pearson_all": _pearson(means, column),
        "pearson_working": _pearson(_working(means, "accuracy_noisy"), column),
        "iou_level_0": means[column].iloc[0],
        "iou_peak": means[column].max(),
        "peak_level": int(means[column].idxmax()),
        "accuracy_level_0": means["accuracy_noisy"].iloc[0],
    }


def costs_nothing(config: Config, levels: pd.DataFrame) -> pd.DataFrame:
    """Claim I3, level by level: loss of accuracy in points and of IoU in % against level 0; intervals over seeds."""
    base = _of(levels, BASE, config.seeds)
    rows = []
    for level, group in base.groupby("level"):
        start = base[base["level"] == 0]
        accuracy = t_interval(start["accuracy_noisy"].to_numpy() - group["accuracy_noisy"].to_numpy())
        iou = _relative_loss(start["iou"].to_numpy(), group["iou"].to_numpy())
        row = {"level": level, "sparsity": 1 - group["density"].mean()}
        row |= {"accuracy_loss": accuracy.value, "accuracy_loss_low": accuracy.low, "accuracy_loss_high": accuracy.high}
        row |= {"iou_loss": iou.value, "iou_loss_low": iou.low, "iou_loss_high": iou.high}
        rows.append(row)
    table = pd.DataFrame(rows)
    table["accuracy_within_1_point"] = table["accuracy_loss"] <= 1
    table["iou_within_5_percent"] = table["iou_loss"] <= 5
    return table


def _relative_loss(start: np.ndarray, now: np.ndarray) -> Interval:
    if not start.all():  # a network that learned nothing has empty heatmaps from the start
        return Interval(math.nan, math.nan, math.nan)
    return t_interval(100 * (1 - now / start))


def beside_the_thesis(config: Config, by_level: pd.DataFrame, levels: pd.DataFrame, samples: dict) -> pd.DataFrame:
    """Every published number beside ours: mean over the thesis's seeds, their standard deviation, the difference."""
    base = _of(levels, BASE, config.seeds)
    found = {
        "accuracy at full density on clean images": _at(base, 0, "accuracy_clean"),
        "accuracy at full density on noisy images": _at(base, 0, "accuracy_noisy"),
        "highest mean IoU of a level": _at(base, int(by_level["iou"].argmax()), "iou"),
        "IoU of the sample shown": np.array([samples["2.4"]]),
        "IoU of the sample shown at iteration 0": np.array([samples["4.2"]]),
    }
    for level in (0, 10):
        found[f"mean of the heatmaps at iteration {level}"] = _at(base, level, "heatmap_mean")
        found[f"standard deviation of the heatmaps at iteration {level}"] = _at(base, level, "heatmap_std")
    if "4.1" in samples:
        found["IoU of the sample shown at iteration 10"] = np.array([samples["4.1"]])
    pearson = correlation(by_level["iou"], by_level["accuracy_noisy"]) if len(by_level) >= 5 else None
    if pearson:
        found["Pearson correlation of IoU and accuracy"] = np.array([pearson.value])
        found["p-value of that correlation (an upper bound)"] = np.array([pearson.p_value])
        found["degrees of freedom"] = np.array([pearson.df])
    table = _published().rename(columns={"value": "published"})
    ours = [found.get(quantity, np.array([])) for quantity in table["quantity"]]
    table["ours"] = [values.mean() if len(values) else math.nan for values in ours]
    table["sd"] = [values.std(ddof=1) if len(values) > 1 else math.nan for values in ours]
    table["seeds"] = [len(values) for values in ours]
    table["difference"] = table["ours"] - table["published"]
    table.loc[table["quantity"].str.contains("upper bound"), "difference"] = math.nan  # a bound has no distance
    return table[["quantity", "unit", "published", "source", "ours", "sd", "seeds", "difference"]]


def published_values() -> dict[str, float]:
    """The thesis's numbers by what they measure."""
    table = _published()
    return dict(zip(table["quantity"], table["value"], strict=True))


def _published() -> pd.DataFrame:
    path = places.package_folder() / "published" / "mnist_iou.csv"
    return pd.read_csv(path, keep_default_na=False, dtype={"value": float})


def _of(levels: pd.DataFrame, variant: str, seeds: tuple[int, ...]) -> pd.DataFrame:
    return levels[(levels["variant"] == variant) & levels["seed"].isin(seeds)]


def _at(base: pd.DataFrame, level: int, column: str) -> np.ndarray:
    return base.loc[base["level"] == level, column].to_numpy()


def _working(table: pd.DataFrame, accuracy: str) -> pd.DataFrame:
    return table[table[accuracy] > WORKING]


def _pearson(table: pd.DataFrame, column: str = "iou") -> float:
    pairs = table[[column, "accuracy_noisy"]].dropna()  # the energy of empty maps alone is not a number
    return correlation(*pairs.to_numpy().T).value if len(pairs) >= 5 else math.nan


def _sd(values: pd.Series) -> float:
    return values.std(ddof=1)


def _common(values: pd.Series) -> int:
    # Ties can cost one seed a weight more than another; the mean is what a table can show.
    return round(values.mean())
