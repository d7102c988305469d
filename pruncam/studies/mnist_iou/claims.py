"""The claims of the thesis, each with a limit that was fixed before any run."""

import math

import pandas as pd

from pruncam.report.claims import Claim
from pruncam.statistics import METHODS, Interval, correlation, t_interval
from pruncam.studies.mnist_iou.config import Config
from pruncam.studies.mnist_iou.tables import BASE, WORKING

STRONG = 0.7  # a correlation is called strong from here
SPARSE = 0.02  # density of a network of 98 % sparsity
EARLY, LATE = 0, 10  # the iterations whose heatmaps the thesis compares
RISE = 6  # "after the first six pruning levels"


def judge(
    config: Config, by_level: pd.DataFrame, levels: pd.DataFrame, losses: pd.DataFrame, on_stand_in: bool
) -> list[Claim]:
    """Claims I1 to I4; intervals are over levels (I1) and over the thesis's seeds (all others)."""
    base = levels[(levels["variant"] == BASE) & levels["seed"].isin(config.seeds)]
    claims = [_strong_correlation(by_level), _rises(base), *_costs_nothing(losses), *_blurrier(base)]
    seeds = {"points": len(config.seeds)}  # but for I1, which rests on the levels
    return [Claim(**(seeds | claim), on_stand_in=on_stand_in) for claim in claims]


def _strong_correlation(by_level: pd.DataFrame) -> dict:
    estimate, evidence = None, f"{len(by_level)} levels are too few"
    if len(by_level) >= 5:
        pearson = correlation(by_level["iou"], by_level["accuracy_noisy"])
        spearman = correlation(by_level["iou"], by_level["accuracy_noisy"], "spearman")
        estimate = Interval(pearson.value, pearson.low, pearson.high)
        working = by_level[by_level["accuracy_noisy"] > WORKING]
        evidence = (
            f"Pearson {_spell(estimate)} over {len(by_level)} levels (df {pearson.df}, p {_p(pearson.p_value)}); "
            f"Spearman {spearman.value:.2f}"
        )
        if len(working) >= 5:
            part = [correlation(working["iou"], working["accuracy_noisy"], name).value for name in METHODS[:2]]
            evidence += (
                f"; over the {len(working)} levels above {WORKING:.0f} % accuracy {part[0]:.2f} and {part[1]:.2f}"
            )
    return {
        "claim": "I1",
        "sentence": "Mean IoU and mean accuracy correlate strongly over the pruning levels.",
        "source": "thesis, Table 3.1",
        "criterion": "Pearson correlation over the levels of the seeds' means",
        "relation": "at least",
        "limit": STRONG,
        "estimate": estimate,
        "evidence": evidence,
        "points": len(by_level),
    }


def _rises(base: pd.DataFrame) -> dict:
    estimate = _change(base, "iou", 0, RISE)
    evidence = f"the study has fewer than {RISE} levels"
    if estimate:
        means = base.groupby("level")["iou"].mean()
        evidence = (
            f"change {_spell(estimate)}, from {means[0]:.3f} to {means[RISE]:.3f}; highest at level {means.idxmax()}"
        )
    return {
        "claim": "I2",
        "sentence": "IoU starts lower and rises over the first six pruning levels.",
        "source": "thesis, Section 4",
        "criterion": "mean IoU at level 6 minus level 0",
        "relation": "at least",
        "limit": 0.0,
        "estimate": estimate,
        "evidence": evidence,
    }


def _costs_nothing(losses: pd.DataFrame) -> list[dict]:
    sparse = losses[losses["sparsity"] >= 1 - SPARSE]
    found = sparse.iloc[0] if len(sparse) else None
    claims = []
    for letter, name, unit, limit, column in (
        ("a", "accuracy", "points", 1.0, "accuracy_loss"),
        ("b", "IoU", "%", 5.0, "iou_loss"),
    ):
        estimate, evidence = None, "no network is that sparse"
        if found is not None and math.isnan(found[column]):
            evidence = f"there is no {name} at level 0 to lose"
        elif found is not None:
            estimate = Interval(found[column], found[f"{column}_low"], found[f"{column}_high"])
            within = losses.loc[(losses[column] <= limit).cummin(), "level"].max()
            sparsity = losses.loc[losses["level"] == within, "sparsity"].iloc[0]
            evidence = (
                f"loss {_spell(estimate, 2)} {unit} at level {found['level']:.0f} ({found['sparsity']:.2%} sparse); "
                f"within {limit:g} {unit} up to level {within} ({sparsity:.1%})"
            )
        claims.append(
            {
                "claim": f"I3{letter}",
                "sentence": f"About 98 % sparsity costs no {name}.",
                "source": "thesis, Section 4, Implications",
                "criterion": f"loss of {name} against level 0 at the first level of 98 % sparsity, {unit}",
                "relation": "at most",
                "limit": limit,
                "estimate": estimate,
                "evidence": evidence,
            }
        )
    return claims


def _blurrier(base: pd.DataFrame) -> list[dict]:
    shared = {"source": "thesis, Section 4", "relation": "at least"}
    spread, inverted = _change(base, "heatmap_std", EARLY, LATE), _change(base, "inverted", LATE, EARLY)
    return [
        shared
        | {
            "claim": "I4a",
            "sentence": "Sparse networks' heatmaps are blurrier: their standard deviation is higher.",
            "criterion": "standard deviation of the heatmaps at level 10 minus level 0",
            "limit": 0.0,
            "estimate": spread,
            "evidence": _levels_apart(base, "heatmap_std", spread),
        },
        shared
        | {
            "claim": "I4b",
            "sentence": "Early heatmaps are more often inverted: they light up around the digit.",
            "criterion": "share of inverted heatmaps at level 0 minus level 10",
            "limit": 0.0,
            "estimate": inverted,
            "evidence": _levels_apart(base, "inverted", inverted),
        },
        shared | _explained_by_blur(base),
    ]


def _explained_by_blur(base: pd.DataFrame) -> dict:
    """The control: what of the rise is there too when every heatmap is laid on another image?"""
    rise, estimate, evidence = _change(base, "iou", EARLY, LATE), None, f"the study has fewer than {LATE} levels"
    if rise:
        evidence = f"no rise of IoU from level {EARLY} to {LATE} is shown (change {_spell(rise)})"
        if rise.low > 0:
            wide = base.pivot_table(index="seed", columns="level", values=["iou", "iou_other_image"])
            own = wide["iou"][LATE] - wide["iou"][EARLY]
            other = wide["iou_other_image"][LATE] - wide["iou_other_image"][EARLY]
            estimate = t_interval((other / own).to_numpy())
            evidence = f"laid on another image, {_spell(estimate)} of the rise is still there"
    return {
        "claim": "I4c",
        "sentence": "That blur is why IoU rises.",
        "criterion": "share of the rise of IoU from level 0 to 10 that remains on another image (control)",
        "limit": 0.5,
        "estimate": estimate,
        "evidence": evidence,
    }


def _change(base: pd.DataFrame, column: str, before: int, after: int) -> Interval | None:
    wide = base.pivot_table(index="seed", columns="level", values=column)
    if max(before, after) not in wide:
        return None
    return t_interval((wide[after] - wide[before]).to_numpy())


def _levels_apart(base: pd.DataFrame, column: str, change: Interval | None) -> str:
    if change is None:
        return f"the study has fewer than {LATE} levels"
    means = base.groupby("level")[column].mean()
    return f"{means[EARLY]:.3f} at level {EARLY}, {means[LATE]:.3f} at level {LATE}; change {_spell(change)}"


def _spell(interval: Interval, digits: int = 3) -> str:
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"= {value:.3f}"
