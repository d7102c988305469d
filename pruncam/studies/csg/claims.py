"""The claims about CSG, each with a limit that was fixed before any run.

Intervals are over the draws of samples; the same draw of two settings has the same samples, or some more of them.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from pruncam.report.claims import Claim
from pruncam.statistics import Interval, t_interval
from pruncam.studies.csg.config import Config

ORDER = ("STL-10", "CIFAR-10", "CIFAR-100")  # Table 1, from low to high
FLUCTUATION = 2.0  # sd of one draw that a difference may have to be a fluctuation of the samples
LITTLE = 0.2  # a CSG that another k or M changes by less than this share depends little on it


def judge(config: Config, own: pd.DataFrame, pools: pd.DataFrame, stand_ins: Iterable[str]) -> list[Claim]:
    """Claim C3 and the first half of C7, from the draws of raw pixels of whole splits (`tables.own`).

    `stand_ins` are the paper's data sets in whose place others stand.
    """
    found = [
        *(_order(config, own, *pair) for pair in (("C3a", *ORDER[:2]), ("C3b", *ORDER[1:]))),
        _test_above_train(config, own),
        _fluctuation(config, own, pools),
        _depends(config, own, "C7a", "k", stand_ins),
        _depends(config, own, "C7b", "samples", stand_ins),
    ]
    return [Claim(**claim, on_stand_in=bool(set(stand_ins) & set(halves))) for halves, claim in found]


def _claim(name, halves, sentence, where, criterion, relation, limit, estimate, evidence, points) -> tuple:
    """The data sets that a claim is about, and its fields."""
    return tuple(halves), {
        "claim": name,
        "sentence": sentence,
        "source": where,
        "criterion": criterion,
        "relation": relation,
        "limit": limit,
        "estimate": estimate,
        "evidence": evidence,
        "points": points,
    }


def _values(config: Config, own: pd.DataFrame, half: str, split: str, **setting: int) -> np.ndarray:
    """CSG by draw; empty where there is no such data set."""
    wanted = {"k": config.k, "samples": config.samples_per_class} | setting
    part = own[(own["half"] == half) & (own["split"] == split)]
    for name, value in wanted.items():
        part = part[part[name] == value]
    return part.sort_values("draw")["csg"].to_numpy()


def _relative(config: Config, own: pd.DataFrame, half: str) -> float:
    """CSG / (K - 1) of the training split."""
    classes = own.loc[own["half"] == half, "classes"].iloc[0]
    return _values(config, own, half, "train").mean() / (classes - 1)


def _order(config: Config, own: pd.DataFrame, name: str, low: str, high: str) -> tuple:
    """C3a, C3b: one data set is less complex than the next, on both splits; judged where the margin is smaller."""
    estimate, words = None, f"this profile lacks {low} or {high}"
    if {low, high} <= set(own["half"]):
        margins = {
            split: t_interval(_values(config, own, high, split) - _values(config, own, low, split))
            for split in ("train", "test")
        }
        split, estimate = min(margins.items(), key=lambda entry: entry[1].value)
        relative = " and ".join(f"{_relative(config, own, half):.2f} ({half})" for half in (low, high))
        words = f"smaller on {split}: {spell(estimate)}; CSG/(K-1) of the training splits {relative}"
    return _claim(
        name, (low, high), f"{low} is less complex than {high}.", "complexity paper, Table 1",
        f"CSG of {high} minus {low}, the smaller of the splits", "at least", 0.0, estimate, words, config.draws,
    )  # fmt: skip


def _gap(config: Config, own: pd.DataFrame, half: str) -> np.ndarray:
    """Test minus train, by draw."""
    return _values(config, own, half, "test") - _values(config, own, half, "train")


def _test_above_train(config: Config, own: pd.DataFrame) -> tuple:
    """C3c: the test split is more complex; judged where it is least so."""
    there = [half for half in ORDER if half in set(own["half"])]
    gaps = {half: t_interval(_gap(config, own, half)) for half in there}
    half, estimate = min(gaps.items(), key=lambda entry: entry[1].value, default=("", None))
    words = "; ".join(f"{name} {spell(gap)}" for name, gap in gaps.items()) or "this profile lacks all three data sets"
    return _claim(
        "C3c", there or ORDER, "The test split is more complex than the training split.", "complexity paper, Table 1",
        "CSG of the test split minus the training split, where it is smallest", "at least", 0.0, estimate, words,
        config.draws,
    )  # fmt: skip


def _fluctuation(config: Config, own: pd.DataFrame, pools: pd.DataFrame) -> tuple:
    """C3d: the difference of the splits is a fluctuation of the samples; beside it, what it is in pools of one size."""
    half, estimate, words = ORDER[1], None, f"this profile lacks {ORDER[1]}"
    if half in set(own["half"]):
        one = np.sqrt(np.mean([_values(config, own, half, split).var(ddof=1) for split in ("train", "test")]))
        words = "every image is a sample: nothing fluctuates"
        if one > 1e-9:
            gap = t_interval(_gap(config, own, half) / one)
            estimate = gap if gap.value >= 0 else Interval(-gap.value, -gap.high, -gap.low)
            words = f"{spell(gap)} sd of one draw ({one:.3f}); {_in_equal_pools(pools, half)}"
    return _claim(
        "C3d", (half,), "The test split's higher value may be a random fluctuation between samples.",
        "complexity paper, Section 3.2", f"distance of the splits' CSG on {half} in sd of one draw", "at most",
        FLUCTUATION, estimate, words, config.draws,
    )  # fmt: skip


def _in_equal_pools(pools: pd.DataFrame, half: str) -> str:
    """CSG of the two splits in the largest pools that both can give, in words."""
    table = pools[pools["half"] == half].pivot_table(index="pool", columns="split", values="csg")
    table = table.reindex(columns=["train", "test"]).dropna()
    if table.empty:
        return "no pools of one size"
    size, (train, test) = table.index[-1], table.iloc[-1]
    return f"in pools of {size:,} images of a class {train:.2f} (train) and {test:.2f} (test)"


def _depends(config: Config, own: pd.DataFrame, name: str, column: str, stand_ins: Iterable[str]) -> tuple:
    """C7a, C7b: another k, or M, changes CSG little; judged where it changes most, on the papers' own data if any."""
    halves = list(dict.fromkeys(own["half"]))
    judged = [half for half in halves if half not in set(stand_ins)] or halves
    mine = {"k": config.k, "samples": config.samples_per_class}[column]
    others = [value for value in {"k": config.ks, "samples": config.samples}[column] if value != mine]
    label = {"k": "k", "samples": "M"}[column]
    changes = {}
    for half in judged:
        for split in ("train", "test"):
            base = _values(config, own, half, split)
            for value in others if base.mean() > 0 else ():
                change = _values(config, own, half, split, **{column: value}) - base
                changes[half, split, value] = t_interval(change * np.sign(change.mean() or 1) / base.mean())
    estimate, words = None, f"only one {label} was tried"
    if changes:
        (half, split, value), estimate = max(changes.items(), key=lambda entry: entry[1].value)
        words = f"most on {half}, {split}, from {label} = {mine} to {value}: {spell(estimate)}; "
        words += _order_kept(config, own, column, [mine, *others])
    return _claim(
        name, judged, f"CSG depends little on {'the number of neighbours k' if column == 'k' else 'M'}.",
        "PE-score, Section 4.1", f"share by which another {label} changes the mean CSG, where it changes most",
        "at most", LITTLE, estimate, words, config.draws,
    )  # fmt: skip


def _order_kept(config: Config, own: pd.DataFrame, column: str, values: list[int]) -> str:
    """In how many settings the data sets come in the same order, in words."""
    halves = list(dict.fromkeys(own["half"]))
    orders = []
    for value in values:
        means = {half: _values(config, own, half, "train", **{column: value}).mean() for half in halves}
        orders.append(sorted(halves, key=means.get))
    same = sum(order == orders[0] for order in orders)
    return f"{same} of {len(orders)} settings put the {len(halves)} data sets in the same order"


def spell(interval: Interval) -> str:
    if interval.high - interval.low < 1e-9:
        return f"{interval.value:.3f} (no spread)"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
