"""The claims of the complexity paper about pruning, each with a limit that was fixed before any run.

C3, and that CSG depends little on its settings, belong to the study `csg`. Intervals resample test images, all rates
together; those of correlations are over data sets, of which there must be five.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats

from pruncam.report.claims import Claim
from pruncam.seeds import derive
from pruncam.statistics import Interval, bootstrap_mean, bootstrap_means, correlation
from pruncam.studies.half import FLOOR
from pruncam.studies.sweeps.answers import Answers, resampled
from pruncam.studies.sweeps.config import Config
from pruncam.studies.sweeps.half import DROPPED, KEPT, L1
from pruncam.studies.sweeps.tables import BEYOND, LOSSES, OURS, READINGS

TEN, HUNDRED, STL = "CIFAR-10", "CIFAR-100", "STL-10"
PAPERS = (TEN, HUNDRED, STL)
POINT = 1.0  # of accuracy: what may be lost at low rates, and after fine-tuning
LITTLE, MORE = 5.0, 5.0  # points that CIFAR-10 loses at most up to 60 %, and at least at 70 %
SIXTY, ABOUT = 60.0, 5.0  # points that CIFAR-100 loses at 90 %, and how far from them "about" reaches
STILL = 0.01  # share of the pruned weights that may still be zero where connections are said to be re-established


@dataclass(frozen=True)
class Evidence:
    """What the claims are judged by."""

    config: Config
    answers: Mapping[str, Answers]
    tables: Mapping[str, pd.DataFrame]
    weak: Mapping[str, str]  # the halves whose baseline is too weak for a claim, and why

    @property
    def usable(self) -> list[str]:
        """The halves whose baseline is good enough."""
        return [half for half in self.answers if half not in self.weak]

    def has(self, halves: Iterable[str], *rates: float) -> bool:
        """Whether these data sets were swept at these rates."""
        return all(half in self.answers and {*rates} <= {*self.config.rates} for half in halves)

    def interval(self, values: np.ndarray) -> Interval:
        """The mean over images of what they contribute."""
        return bootstrap_mean(values, samples=self.config.bootstrap, seed=derive(self.config.seed, "claims"))

    def loss(self, half: str, rule: str, rate: float) -> Interval:
        """Points of accuracy lost, as the table of the sweep has them."""
        row = self.losses.loc[(half, rule, rate)]
        return Interval(row["acc_drop"], row["low"], row["high"])

    @cached_property
    def losses(self) -> pd.DataFrame:
        """The table of the sweep by half, rule and rate."""
        return self.tables["sweep"].set_index(["half", "rule", "rate"]).sort_index()

    @cached_property
    def complexity(self) -> pd.DataFrame:
        """The table of complexities by half."""
        return self.tables["complexity"].set_index("half")

    @property
    def beyond(self) -> list[float]:
        """The rates beyond 30 %."""
        return [rate for rate in self.config.rates if rate > BEYOND]


def judge(
    config: Config,
    answers: list[Answers],
    tables: Mapping[str, pd.DataFrame],
    weak: Mapping[str, str],
    stand_ins: Iterable[str],
) -> list[Claim]:
    """Claims C1, C2, C4 to C6 and the second half of C7.

    `weak` has the halves whose baseline is too weak, and why; `stand_ins` those of other data than the paper's.
    """
    known, stand_ins = Evidence(config, {own.half: own for own in answers}, tables, weak), set(stand_ins)
    found = [_little(known), *_complex(known), *_fine_tuned(known), _stl(known), *_cifars(known), _performance(known)]
    return [_judged(halves, claim, weak, stand_ins) for halves, claim in found]


def _judged(halves: Iterable[str], claim: dict, weak: Mapping[str, str], stand_ins: set[str]) -> Claim:
    reasons = [weak[half] for half in halves if half in weak]
    if reasons and claim["estimate"] is not None:
        claim = claim | {"estimate": None, "evidence": f"{'; '.join(reasons)}; else: {claim['evidence']}"}
    return Claim(**claim, on_stand_in=bool(stand_ins & set(halves)))


def _claim(name, halves, sentence, where, criterion, relation, limit, estimate, evidence, points=1) -> tuple:
    """The data sets that a claim is about, and its fields."""
    return tuple(halves), {
        "claim": name,
        "sentence": sentence,
        "source": f"complexity paper, {where}",
        "criterion": criterion,
        "relation": relation,
        "limit": limit,
        "estimate": estimate,
        "evidence": evidence,
        "points": points,
    }


def _spell(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _lacking(halves: Iterable[str]) -> str:
    return f"this profile does not have {', '.join(halves)} at these rates"


def _little(known: Evidence) -> tuple:
    """C1: up to 30 % nothing is lost; the worst data set and rate decide."""
    estimate, words = None, _lacking(PAPERS)
    low = [rate for rate in known.config.rates if rate <= BEYOND]
    if known.has(PAPERS) and low:
        losses = {(half, rate): known.loss(half, L1, rate) for half in known.answers for rate in low}
        worst = max((key for key in losses if key[0] in PAPERS), key=lambda key: losses[key].value)
        estimate = losses[worst]
        words = f"most on {worst[0]} at {worst[1]:.0%}: {_spell(estimate)} points"
        others = max((k for k in losses if k[0] not in PAPERS), key=lambda key: losses[key].value, default=None)
        words += f"; of the further sets on {others[0]}: {_spell(losses[others])}" if others else ""
    return _claim(
        "C1", PAPERS, "Up to 30 % pruned, no data set loses more than one point.", "Section 5",
        "points lost without fine-tuning up to 30 %, the worst data set and rate", "at most", POINT, estimate, words,
    )  # fmt: skip


def _complex(known: Evidence) -> list[tuple]:
    """C2: the higher the complexity, the more is lost; on the paper's data sets, and over all that there are."""
    sentence, where = "Beyond 30 %, the higher the complexity, the larger the loss.", "Section 5"
    what = "Spearman correlation of {} and the points lost, mean of the rates beyond 30 %"
    estimate, words = None, _lacking(PAPERS)
    if known.has(PAPERS) and known.beyond:
        estimate = _over_images(known)
        order = sorted(PAPERS, key=lambda half: known.complexity.loc[half, "csg"])
        means = {half: np.mean([known.loss(half, L1, rate).value for rate in known.beyond]) for half in PAPERS}
        words = " < ".join(f"{half} (CSG {known.complexity.loc[half, 'csg']:.2f})" for half in order)
        words += "; lost: " + ", ".join(f"{half} {means[half]:.2f}" for half in order) + "; three data sets"
    found = [
        _claim("C2a", PAPERS, sentence, where, f"{what.format('CSG')}, the three data sets; interval over images",
               "at least", 0.0, estimate, words)
    ]  # fmt: skip
    for letter, reading in {"b": "csg", "c": "csg_relative"}.items():
        over = _of_all(known, reading)
        name = READINGS[reading]
        found.append(
            _claim(f"C2{letter}", known.usable, f"{sentence} (all data sets, {name})", where,
                   f"{what.format(name)}, all data sets whose baseline is good enough", "at least", 0.0, *over)
        )  # fmt: skip
    return found


def _over_images(known: Evidence) -> Interval:
    """The Spearman correlation of the paper's three data sets, its interval by resampling their images."""
    complexity = [known.complexity.loc[half, "csg"] for half in PAPERS]
    sums = [np.mean([known.answers[half].loss(L1, rate) for rate in known.beyond], axis=0)[:, None] for half in PAPERS]
    of = [
        resampled(values, known.config.bootstrap, derive(known.config.seed, "claims", half))[:, 0]
        for half, values in zip(PAPERS, sums, strict=True)
    ]
    value = _spearman(complexity, np.array([[values.mean() for values in sums]]))[0]
    low, high = np.quantile(_spearman(complexity, np.transpose(of)), [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _spearman(x: list[float], rows: np.ndarray) -> np.ndarray:
    """Spearman's correlation of x with every row; 0 where there is no order."""
    a, b = stats.rankdata(x) - (len(x) + 1) / 2, stats.rankdata(rows, axis=1) - (len(x) + 1) / 2
    norm = np.sqrt((a**2).sum() * (b**2).sum(axis=1))
    return np.divide(b @ a, norm, out=np.zeros(len(b)), where=norm > 0)


def _of_all(known: Evidence, reading: str) -> tuple[Interval | None, str, int]:
    """The correlation over the usable data sets, as the table has it: estimate, words, number of data sets."""
    table = known.tables["correlations"]
    table = table[(table["source"] == OURS) & (table["reading"] == READINGS[reading])]
    table = table[table["rate"].str.startswith("mean")]
    rows = {row.loss: row for row in table.itertuples()}
    if not rows:
        return None, "this profile has no rates beyond 30 % or no baseline that is good enough", 0
    row, share = rows[LOSSES["acc_drop"]], rows[LOSSES["relative_loss"]]
    words = (
        f"{row.data_sets} data sets: {row.spearman:.2f}; of the share of what was above chance: {share.spearman:.2f}"
    )
    if math.isnan(row.low):
        return None, f"{words}; five are needed for an interval", row.data_sets
    return Interval(row.spearman, row.low, row.high), f"{words}; interval over data sets", row.data_sets


def _fine_tuned(known: Evidence) -> list[tuple]:
    """C4: with re-established connections the accuracy comes back, but the loss before still shows."""
    possible = shows = None
    words = [_lacking(PAPERS)] * 2
    points = 0
    if known.has(PAPERS):
        best = {}
        for rate in known.config.rates:
            losses = {half: known.loss(half, DROPPED, rate) for half in PAPERS}
            half = min(losses, key=lambda key: losses[key].value)
            best[rate] = (losses[half], half)
        rate = max(best, key=lambda key: best[key][0].value)
        possible = best[rate][0]
        words[0] = f"least possible at {rate:.0%}, on {best[rate][1]}: {_spell(possible)} points"
        words[0] += "; fine-tuning alone: " + ", ".join(_floor(known, half) for half in PAPERS)
        found = {half: _before_and_after(known, half) for half in PAPERS}
        found = {half: over for half, over in found.items() if over is not None}
        if found:
            half = min(found, key=lambda key: found[key].value)
            shows, points = Interval(found[half].value, found[half].low, found[half].high), found[half].df + 2
        words[1] = "; ".join(f"{half} {over.value:.2f}" for half, over in found.items()) or "fewer than five rates"
    connections = known.tables["connections"]
    share = connections[connections["rule"] == DROPPED]["still_zero_share"].max()
    kept = connections[connections["rule"] == KEPT]["still_zero_share"].min()
    return [
        _claim("C4a", PAPERS, "After fine-tuning with re-established connections, accuracy near the baseline's is "
               "possible.", "Section 4.4", "points lost with masks dropped, the best data set, the worst rate",
               "at most", POINT, possible, words[0]),
        _claim("C4b", PAPERS, "The loss before fine-tuning still shows in it.", "Section 4.4",
               "Spearman correlation over rates of the loss before and after, the weakest of the data sets", "at least",
               0.0, shows, words[1], points),
        _claim("C4c", known.usable, "With re-established connections the model is no longer pruned.",
               "Section 4.4", "share of the pruned weights that are still zero, the largest", "at most", STILL,
               Interval(share, share, share), f"at most {share:.2%}; with masks kept at least {kept:.0%}"),
    ]  # fmt: skip


def _floor(known: Evidence, half: str) -> str:
    if 0.0 not in known.answers[half].rates(FLOOR):
        return f"{half} not run"
    return f"{half} {known.loss(half, FLOOR, 0.0).value:.2f}"


def _before_and_after(known: Evidence, half: str):
    rates = known.config.rates
    if len(rates) < 5:
        return None
    before, after = ([known.loss(half, rule, rate).value for rate in rates] for rule in (L1, DROPPED))
    over = correlation(before, after, "spearman")
    return None if math.isnan(over.value) else over


def _stl(known: Evidence) -> tuple:
    """C5: STL-10 loses less than either CIFAR beyond 60 %; judged where the margin is smallest."""
    estimate, words = None, _lacking(PAPERS)
    high = [rate for rate in known.config.rates if rate > 0.6]
    if known.has(PAPERS) and high:
        margins = {(other, rate): _margin(known, other, rate) for other in (TEN, HUNDRED) for rate in high}
        other, rate = min(margins, key=lambda key: margins[key].value)
        estimate = margins[other, rate]
        words = f"smallest against {other} at {rate:.0%}: {_spell(estimate)} points"
    return _claim(
        "C5", PAPERS, "Beyond 60 %, STL-10 loses less than both CIFARs.", "Section 4.3",
        "points that a CIFAR loses minus those that STL-10 does, the smallest", "at least", 0.0, estimate, words,
    )  # fmt: skip


def _margin(known: Evidence, other: str, rate: float) -> Interval:
    """By how many points `other` loses more than STL-10; each set's images are resampled for themselves."""
    theirs, own = known.answers[other].loss(L1, rate), known.answers[STL].loss(L1, rate)
    # A mean weighted by halves of doubled values: the difference of the two means.
    values = np.concatenate([2 * theirs, -2 * own])[:, None]
    strata = np.repeat([0, 1], [len(theirs), len(own)])
    how = {"samples": known.config.bootstrap, "seed": derive(known.config.seed, "claims")}
    return bootstrap_means(values, strata=strata, weights=[0.5, 0.5], **how)[0]


def _cifars(known: Evidence) -> list[tuple]:
    """C6: how CIFAR-10 and CIFAR-100 fall."""
    upto = [rate for rate in known.config.rates if rate <= 0.6]
    little = more = half = (None, _lacking([TEN]))
    if known.has([TEN]) and upto:
        losses = {rate: known.loss(TEN, L1, rate) for rate in upto}
        worst = max(losses, key=lambda rate: losses[rate].value)
        little = (losses[worst], f"most at {worst:.0%}: {_spell(losses[worst])} points")
    if known.has([TEN], 0.7):
        lost = known.loss(TEN, L1, 0.7)
        more = (lost, f"{_spell(lost)} points")
    if known.has([TEN], 0.9):
        baseline, losses = 100 * known.answers[TEN].baseline, known.answers[TEN].loss(L1, 0.9)
        half = (known.interval(losses - baseline / 2), f"{losses.mean():.2f} of {baseline.mean():.2f} points")
    return [
        _claim("C6a", (TEN,), "CIFAR-10 declines little up to 60 %.", "Section 4.1",
               "points lost up to 60 %, at the worst rate", "at most", LITTLE, *little),
        _claim("C6b", (TEN,), "CIFAR-10 loses more than five points from 70 %.", "Section 4.1",
               "points lost at 70 %", "at least", MORE, *more),
        _claim("C6c", (TEN,), "CIFAR-10 loses more than half at 90 %.", "Section 4.1",
               "points lost at 90 % minus half of the baseline's accuracy", "at least", 0.0, *half),
        _claim("C6d", (HUNDRED,), "CIFAR-100 loses about 60 points at 90 %.", "Section 4.2",
               "distance of the points lost at 90 % from 60", "at most", ABOUT, *_sixty(known)),
    ]  # fmt: skip


def _sixty(known: Evidence) -> tuple[Interval | None, str]:
    """How far CIFAR-100's loss at 90 % is from 60 points; none where its baseline has not so many."""
    if not known.has([HUNDRED], 0.9):
        return None, _lacking([HUNDRED])
    lost, baseline = known.loss(HUNDRED, L1, 0.9), 100 * known.answers[HUNDRED].baseline.mean()
    words = f"{_spell(lost)} of {baseline:.2f} points"
    if baseline < SIXTY - ABOUT:
        return None, f"{words}: there are no {SIXTY:g} to lose"
    low, high = lost.low - SIXTY, lost.high - SIXTY
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Interval(abs(lost.value - SIXTY), nearest, max(abs(low), abs(high))), words


def _performance(known: Evidence) -> tuple:
    """C7, second half: the more complex the data, the lower the accuracy of the unpruned network."""
    halves = known.usable
    estimate, words = None, f"{len(halves)} data sets: five are needed for an interval"
    if len(halves) >= 5:
        accuracy = [100 * known.answers[half].baseline.mean() for half in halves]
        over = correlation(known.complexity.loc[halves, "csg"], accuracy, "spearman")
        estimate, words = Interval(over.value, over.low, over.high), f"{len(halves)} data sets: {over.value:.2f}"
    return _claim(
        "C7c", halves, "CSG correlates with the performance of models.", "Section 2.3; PE-score, Table 3",
        "Spearman correlation of CSG and the unpruned network's accuracy over data sets", "at most", 0.0, estimate,
        f"{words}; interval over data sets" if estimate else words, len(halves),
    )  # fmt: skip
