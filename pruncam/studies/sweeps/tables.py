"""The tables of the sweeps: what is lost at every rate, how complex the data are, and how far one may prune."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from pruncam.seeds import derive
from pruncam.statistics import bootstrap_means, correlation
from pruncam.studies import tables
from pruncam.studies.sweeps import printed
from pruncam.studies.sweeps.answers import Answers, resampled
from pruncam.studies.sweeps.choice import crossing, largest_rates, safe_rate
from pruncam.studies.sweeps.config import Config
from pruncam.studies.sweeps.half import L1, Half

BEYOND = 0.3  # the rate beyond which the paper sees complexity at work (Section 5)
MOVED = 5.0  # points of Sp2PS from which a model's maps have moved
ASKED = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # CSGs that the practical question is answered for
READINGS = {"csg": "CSG", "csg_relative": "CSG / (K - 1)", "csg_equal": "CSG of equally many images"}
LOSSES = {"acc_drop": "points", "relative_loss": "share of what was above chance"}
OURS, PRINTED, UNFLAGGED = "ours", "printed", "printed, without the flagged cell"


def every(
    config: Config, answers: list[Answers], rows: pd.DataFrame, measured: pd.DataFrame, weak: Iterable[str]
) -> dict[str, pd.DataFrame]:
    """Every table; `measured` is that of complexities, `weak` names the halves that say nothing about losses."""
    swept = sweep(config, answers)
    plain = swept[swept["rule"] == L1].merge(measured[["half", *READINGS]], on="half")
    usable, as_printed = plain[~plain["half"].isin(list(weak))], printed.sweep()
    flagged = as_printed["flag"] != ""
    sources = {OURS: usable, PRINTED: as_printed, UNFLAGGED: as_printed[~flagged]}
    maps = _maps(config, rows, swept)
    printed_limits = [_reached(sources[name], name, config.max_loss) for name in (PRINTED, UNFLAGGED)]
    return {
        "2": printed.beside(plain),
        "published": printed.numbers(plain, measured),
        "sweep": swept,
        "complexity": measured,
        "correlations": pd.concat([correlations(sources[name], name) for name in (OURS, PRINTED)], ignore_index=True),
        "limits": pd.concat([_limits(config, answers, usable), *printed_limits], ignore_index=True),
        "choice": pd.concat([_choices(config, table, name) for name, table in sources.items()], ignore_index=True),
        "maps": maps,
        "moves": _moves(config, maps),
        "ends": tables.ends(rows),
    }


def complexity(half: Half) -> pd.DataFrame:
    """CSG in raw pixels: of all training images that it is measured in, and of as many as the sets are compared at."""
    found = {}
    equal = half.pool.first(min(half.config.csg_pool, len(half.pool)))
    for name, images in {"csg": half.pool, "csg_equal": equal}.items():
        values = np.array(half.complexity(images))
        sd = values.std(ddof=1) if len(values) > 1 else math.nan
        found |= {name: values.mean(), f"{name}_sd": sd, f"{name}_images": len(images)}
    classes = len(half.train.classes)
    row = {"half": half.paper, "data": half.train.name, "classes": classes, "draws": len(half.config.csg_seeds)}
    return pd.DataFrame([row | found | {"csg_relative": found["csg"] / (classes - 1)}])


def sweep(config: Config, answers: list[Answers]) -> pd.DataFrame:
    """One row per half, rule and rate: accuracy in %, the points lost with their interval, and what share that is.

    The share is of what the baseline has above chance; nan where it has nothing.
    """
    table = []
    for own in answers:
        baseline, chance = 100 * own.baseline.mean(), 100 * own.chance
        for rule in dict.fromkeys(v.rule for v in own.right):
            rates = own.rates(rule)
            losses = np.stack([own.loss(rule, rate) for rate in rates], axis=1)
            seed = derive(config.seed, "losses", own.half, rule)
            found = bootstrap_means(losses, samples=config.bootstrap, seed=seed)
            for rate, loss in zip(rates, found, strict=True):
                row = {"half": own.half, "rule": rule, "rate": rate, "images": len(losses), "baseline": baseline}
                row |= {"accuracy": baseline - loss.value, "acc_drop": loss.value, "low": loss.low, "high": loss.high}
                share = loss.value / (baseline - chance) if baseline > chance else math.nan
                table.append(row | {"relative_loss": share})
    return pd.DataFrame(table)


def correlations(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Spearman correlation of complexity and loss over data sets, at every rate and for the mean beyond 30 %.

    The interval is over data sets; below five there is none.
    """
    rates = sorted(table["rate"].unique())
    wanted = [(f"{rate:g}", [rate]) for rate in rates]
    wanted.append((f"mean beyond {BEYOND:g}", [rate for rate in rates if rate > BEYOND]))
    found = []
    for name, chosen in wanted:
        part = table[table["rate"].isin(chosen)]
        means = part.groupby("half", sort=False)[[c for c in (*READINGS, *LOSSES) if c in part]].mean()
        for loss, of in LOSSES.items():
            for reading in (column for column in READINGS if column in means):
                row = {"source": source, "rate": name, "reading": READINGS[reading], "loss": of}
                known = means[[reading, loss]].dropna()
                found.append(row | _spearman(known[reading], known[loss]))
    return pd.DataFrame(found)


def _spearman(x: pd.Series, y: pd.Series) -> dict[str, float]:
    if len(x) >= 5:
        over = correlation(x, y, "spearman")
        return {"data_sets": len(x), "spearman": over.value, "low": over.low, "high": over.high}
    known = len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
    value = float(stats.spearmanr(x, y).statistic) if known else math.nan
    return {"data_sets": len(x), "spearman": value, "low": math.nan, "high": math.nan}


def _limits(config: Config, answers: list[Answers], usable: pd.DataFrame) -> pd.DataFrame:
    """Up to which rate each data set loses at most so much, with an interval over test images."""
    if usable.empty:
        return pd.DataFrame()
    found = _reached(usable, OURS, config.max_loss)
    intervals = {}
    for own in answers:
        rates = own.rates(L1)
        losses = np.stack([own.loss(L1, rate) for rate in rates], axis=1)
        means = resampled(losses, config.bootstrap, derive(config.seed, "limits", own.half))
        intervals[own.half] = np.quantile(crossing(rates, means, config.max_loss), [0.025, 0.975])
    low, high = ([float(intervals[half][side]) for half in found["half"]] for side in (0, 1))
    return found.assign(low=low, high=high)


def _reached(table: pd.DataFrame, source: str, max_loss: float) -> pd.DataFrame:
    found = largest_rates(table, max_loss)
    found.insert(0, "source", source)
    return found.assign(low=math.nan, high=math.nan)


def _choices(config: Config, table: pd.DataFrame, source: str) -> pd.DataFrame:
    """The practical question, answered from ours and from the printed sweeps; no row where no line can be drawn."""
    if table["csg"].nunique() < 2:
        return pd.DataFrame()
    rows = []
    for csg in ASKED:
        found = safe_rate(table, csg, config.max_loss)
        row = {"source": source, "csg": csg, "rate": found.rate, "low": found.low, "high": found.high}
        rows.append(row | {"why": found.why})
    return pd.DataFrame(rows)


def _maps(config: Config, rows: pd.DataFrame, swept: pd.DataFrame) -> pd.DataFrame:
    """The scores of the heatmaps, of the first test images, beside the accuracy, of all of them."""
    scores = tables.curves(config, rows, tables.accuracies(config, rows))
    scores = scores.drop(columns=["accuracy", "acc_drop", "same_prediction", "seeds"])
    return scores.merge(
        swept[["half", "rule", "rate", "baseline", "accuracy", "acc_drop"]], on=["half", "rule", "rate"]
    )


def _moves(config: Config, maps: pd.DataFrame) -> pd.DataFrame:
    """Up to which rate accuracy and heatmaps stay, without fine-tuning: within `max_loss` and MOVED points."""
    rows = []
    for (half, method), part in maps[maps["rule"] == L1].groupby(["half", "method"], sort=False, observed=True):
        part = part.sort_values("rate")
        accuracy = crossing(part["rate"], part["acc_drop"], config.max_loss)
        moved = crossing(part["rate"], 100 * (1 - part["sp2ps"]), MOVED)
        row = {"half": half, "method": method, "accuracy_stays": float(accuracy), "maps_stay": float(moved)}
        rows.append(row | {"maps_move_first": bool(moved < accuracy)})
    return pd.DataFrame(rows)
