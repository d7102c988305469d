"""The claims of the PE-score paper, each with a limit that was fixed before any run."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from pruncam.report.claims import Claim
from pruncam.statistics import Interval
from pruncam.studies.means import Means, spell
from pruncam.studies.pe_score.config import FASTER, FULL, WEIGHT, Config

CIFAR, COVID = "CIFAR-10", "COVID-19"
SMALL_LOSS, HIGH = 1.0, 0.87  # points of accuracy, and the PE that goes with less (Grad-CAM++)
LARGE_LOSS, LOW = (8.0, 12.0), 0.81  # "around 10 %", and the PE that goes with it (Grad-CAM++)
ABOUT = 0.05  # how far from a printed PE "about" reaches
FLUCTUATES = 1.0  # points by which accuracy rises somewhere
SPREAD = 0.05  # of PE at the same loss of accuracy, from which no threshold holds everywhere
KEPT = 0.5  # binary IoU with the unpruned model's map from which a map keeps its place
SAVED, EXACT = 0.15, 0.15  # points that SeNPIS-Faster costs, and how far from it ours may be


def judge(config: Config, rows: pd.DataFrame, weak: Mapping[str, str], stand_ins: Iterable[str]) -> list[Claim]:
    """Claims P1 to P8. `weak` has the halves whose baseline is too weak, and why; `stand_ins` those of other data."""
    right = (rows["pruned_prediction"] == rows["label"]).astype(float)
    means, stand_ins = Means(config, rows.assign(correct=100 * right)), set(stand_ins)
    found = [
        *_falls(means),
        *_cams(means),
        *_losses(means),
        *_fluctuates(means),
        _no_threshold(means),
        *_accuracy_falls(means),
        *_places(means),
        _faster(means),
    ]
    return [_judged(halves, claim, weak, stand_ins) for halves, claim in found]


def _judged(halves: Iterable[str], claim: dict, weak: Mapping[str, str], stand_ins: set[str]) -> Claim:
    reasons = [weak[half] for half in halves if half in weak]
    if reasons and claim["estimate"] is not None:
        claim = claim | {"estimate": None, "evidence": f"{'; '.join(reasons)}; else: {claim['evidence']}"}
    return Claim(**claim, on_stand_in=bool(stand_ins & set(halves)))


def _claim(name, halves, sentence, where, criterion, relation, limit, estimate, evidence) -> tuple:
    """The data sets that a claim is about, and its fields."""
    return tuple(halves), {
        "claim": name,
        "sentence": sentence,
        "source": f"PE-score, {where}",
        "criterion": criterion,
        "relation": relation,
        "limit": limit,
        "estimate": estimate,
        "evidence": evidence,
        "points": 1,
    }


def _pe(means: Means, half: str, rule: str, rate: float, method: str) -> np.ndarray:
    return means.of(half, rule, rate, method, "pe")


def _criteria(means: Means, half: str) -> list[str]:
    return [rule for rule in (WEIGHT, FASTER) if means.has(half, rule, *means.config.rates)]


def _falls(means: Means) -> list[tuple]:
    """P1: PE falls from rate to rate; judged where it falls least."""
    table = []
    for number, half in enumerate((CIFAR, COVID)):
        falls = {}
        for rule in _criteria(means, half):
            for method in means.config.methods:
                for low, high in pairwise(means.config.rates):
                    fall = _pe(means, half, rule, low, method) - _pe(means, half, rule, high, method)
                    falls[rule, method, low, high] = means.interval(fall)
        estimate, words = None, f"this profile does not have {half} at two rates"
        if falls:
            (rule, method, low, high), estimate = min(falls.items(), key=lambda entry: entry[1].value)
            down = sum(fall.value > 0 for fall in falls.values())
            words = f"{down} of {len(falls)} steps fall; least {method}, {rule}, {low:.0%} to {high:.0%}: "
            words += spell(estimate)
        table.append(
            _claim(f"P1{'ab'[number]}", (half,), f"On {half}, PE falls as the rate rises, whatever the CAM.",
                   "Sections 4.2 and 4.3", "PE at a rate minus PE at the next, where it is smallest", "at least", 0.0,
                   estimate, words)
        )  # fmt: skip
    return table


def _cams(means: Means) -> list[tuple]:
    """P2: Grad-CAM++ gives the highest PE, Grad-CAM the lowest."""
    pairs = [(rule, rate) for rule in _criteria(means, CIFAR) for rate in means.config.rates]
    above = below = None
    words = [f"this profile lacks {CIFAR} or a CAM"] * 2
    if pairs and {"grad-cam", "grad-cam++", "ablation-cam"} <= set(means.config.methods):
        by_cam = {
            cam: np.mean([_pe(means, CIFAR, *pair, cam) for pair in pairs], axis=0) for cam in means.config.methods
        }
        order = sorted(by_cam, key=lambda cam: by_cam[cam].mean())
        other = max((cam for cam in order if cam != "grad-cam++"), key=lambda cam: by_cam[cam].mean())
        above = means.interval(by_cam["grad-cam++"] - by_cam[other])
        other = min((cam for cam in order if cam != "grad-cam"), key=lambda cam: by_cam[cam].mean())
        below = means.interval(by_cam[other] - by_cam["grad-cam"])
        mean = ", ".join(f"{cam} {by_cam[cam].mean():.3f}" for cam in order)
        words = [f"{spell(found)}; {mean}" for found in (above, below)]
    return [
        _claim("P2a", (CIFAR,), "Grad-CAM++ gives the highest PE.", "Section 4.2",
               "Grad-CAM++ minus the next best CAM, mean of the pruned models", "at least", 0.0, above, words[0]),
        _claim("P2b", (CIFAR,), "Grad-CAM gives the lowest PE.", "Section 4.2",
               "the next lowest CAM minus Grad-CAM, mean of the pruned models", "at least", 0.0, below, words[1]),
    ]  # fmt: skip


def _losses(means: Means) -> list[tuple]:
    """P3 and P4: the PE of Grad-CAM++ at a small loss of accuracy, and at a large one."""
    cam = "grad-cam++"
    found = []
    if cam in means.config.methods:
        pairs = [(rule, rate) for rule in _criteria(means, CIFAR) for rate in means.config.rates]
        found = [(_loss(means, CIFAR, *pair), pair, _pe(means, CIFAR, *pair, cam)) for pair in pairs]
    small = [entry for entry in found if entry[0] < SMALL_LOSS]
    large = [entry for entry in found if LARGE_LOSS[0] <= entry[0] <= LARGE_LOSS[1]]
    lowest = min((means.interval(pe) for _, _, pe in small), key=lambda i: i.value, default=None)
    farthest = max((_distance(means.interval(pe), LOW) for _, _, pe in large), key=lambda i: i.value, default=None)
    spelled = [
        ", ".join(f"{rule} {rate:.0%} {pe.mean():.3f}" for _, (rule, rate), pe in chosen) for chosen in (small, large)
    ]
    return [
        _claim("P3", (CIFAR,), "With Grad-CAM++, a loss under 1 % goes with a PE over 0.87.", "Section 4.2",
               f"lowest PE of the models that lose less than {SMALL_LOSS:g} points", "at least", HIGH, lowest,
               spelled[0] or f"no model loses less than {SMALL_LOSS:g} points"),
        _claim("P4", (CIFAR,), "With Grad-CAM++, a loss around 10 % goes with a PE around 0.81.", "Section 4.2",
               f"largest distance from {LOW} of the models that lose {LARGE_LOSS[0]:g} to {LARGE_LOSS[1]:g} points",
               "at most", ABOUT, farthest,
               spelled[1] or f"no model loses {LARGE_LOSS[0]:g} to {LARGE_LOSS[1]:g} points"),
    ]  # fmt: skip


def _loss(means: Means, half: str, rule: str, rate: float) -> float:
    """Points of accuracy under the unpruned model's."""
    return float(_baseline(means, half).mean() - _correct(means, half, rule, rate).mean())


def _correct(means: Means, half: str, rule: str, rate: float) -> np.ndarray:
    """100 for every image that the model gets right, else 0."""
    return means.of(half, rule, rate, means.config.methods[0], "correct")


def _baseline(means: Means, half: str) -> np.ndarray:
    """The same of the unpruned model."""
    rows = means.rows[means.rows["half"] == half]
    once = rows.drop_duplicates("image").sort_values("image")
    return 100.0 * (once["baseline_prediction"] == once["label"]).to_numpy()


def _changes(means: Means, half: str) -> dict[tuple[str, float], np.ndarray]:
    """What being right changes from each rate's predecessor, unpruned first, by criterion and rate."""
    found = {}
    for rule in _criteria(means, half):
        steps = [_baseline(means, half), *(_correct(means, half, rule, rate) for rate in means.config.rates)]
        for (before, after), rate in zip(pairwise(steps), means.config.rates, strict=True):
            found[rule, rate] = after - before
    return found


def _distance(interval: Interval, from_: float) -> Interval:
    """How far a mean is from a number: the interval of the distance."""
    low, high = interval.low - from_, interval.high - from_
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Interval(abs(interval.value - from_), nearest, max(abs(low), abs(high)))


def _fluctuates(means: Means) -> list[tuple]:
    """P5: on the X-rays accuracy rises somewhere while PE falls, and PE is about 0.63 at 88 %."""
    rises = {key: means.interval(change) for key, change in _changes(means, COVID).items()}
    estimate, words = None, f"this profile does not have {COVID}"
    if rises:
        (rule, rate), estimate = max(rises.items(), key=lambda entry: entry[1].value)
        words = f"largest rise with {rule} at {rate:.0%}: {estimate.value:.2f} points"
    nearest, spelled = None, f"this profile does not have {COVID} at 88 %"
    if means.has(COVID, FASTER, 0.88):
        by_cam = {cam: means.interval(_pe(means, COVID, FASTER, 0.88, cam)) for cam in means.config.methods}
        nearest = min((_distance(interval, 0.63) for interval in by_cam.values()), key=lambda i: i.value)
        spelled = ", ".join(f"{cam} {interval.value:.3f}" for cam, interval in by_cam.items())
    return [
        _claim("P5a", (COVID,), "On COVID-19 accuracy fluctuates as the rate rises.", "Section 4.3",
               "largest rise of accuracy from one rate to the next, points", "at least", FLUCTUATES, estimate, words),
        _claim("P5b", (COVID,), "On COVID-19, PE with SeNPIS-Faster is about 0.63 at 88 %.", "Section 4.3",
               "distance from 0.63, the nearest CAM (the paper names none)", "at most", ABOUT, nearest, spelled),
    ]  # fmt: skip


def _no_threshold(means: Means) -> tuple:
    """P6: PE at the largest rate that loses a point at most differs from data set to data set and CAM to CAM."""
    levels = {}
    for half in (CIFAR, COVID):
        for rule in _criteria(means, half):
            kept = [rate for rate in means.config.rates if _loss(means, half, rule, rate) <= SMALL_LOSS]
            for method in means.config.methods if kept else ():
                levels[half, rule, method] = means.interval(_pe(means, half, rule, max(kept), method))
    estimate, words = None, f"fewer than two models lose {SMALL_LOSS:g} points at most"
    if len(levels) > 1:
        (top, high), (bottom, low) = (pick(levels.items(), key=lambda e: e[1].value) for pick in (max, min))
        estimate = Interval(high.value - low.value, high.low - low.high, high.high - low.low)
        words = f"from {low.value:.3f} ({', '.join(bottom)}) to {high.value:.3f} ({', '.join(top)})"
    halves = dict.fromkeys(half for half, *_ in levels) or (CIFAR, COVID)
    return _claim(
        "P6", halves, "There is no universal threshold of PE: it depends on data set and CAM.", "Section 5",
        f"range of PE at the largest rate that loses {SMALL_LOSS:g} point at most", "at least", SPREAD, estimate, words,
    )  # fmt: skip


def _accuracy_falls(means: Means) -> list[tuple]:
    """P7a: accuracy falls with the rate on CIFAR-10; judged where it falls least."""
    falls = {key: means.interval(-change) for key, change in _changes(means, CIFAR).items()}
    estimate, words = None, f"this profile does not have {CIFAR}"
    if falls:
        (rule, rate), estimate = min(falls.items(), key=lambda entry: entry[1].value)
        words = f"least with {rule} at {rate:.0%}: {estimate.value:.2f} points"
    return [
        _claim("P7a", (CIFAR,), "On CIFAR-10 accuracy falls with the rate for both criteria.", "Figures 4 and 5",
               "fall of accuracy from one rate to the next, where it is smallest, points", "at least", 0.0, estimate,
               words)
    ]  # fmt: skip


def _places(means: Means) -> list[tuple]:
    """P7b, P7c: at the highest rate maps keep their place on CIFAR-10 and move on the X-rays."""
    table, highest = [], max(means.config.rates)
    sides = {CIFAR: ("b", "keep their place", "at least", "6"), COVID: ("c", "move", "at most", "9")}
    for half, (letter, verb, relation, figure) in sides.items():
        estimate, words = None, f"this profile does not have {half} with {FASTER}"
        if means.has(half, FASTER, highest):
            estimate = means.interval(means.of(half, FASTER, highest, score="iou"))
            words = spell(estimate)
        table.append(
            _claim(f"P7{letter}", (half,), f"On {half} the maps {verb} as the rate rises.", f"Figure {figure}",
                   f"mean binary IoU with the unpruned model's maps at {highest:.0%}, mean of the CAMs", relation, KEPT,
                   estimate, words)
        )  # fmt: skip
    return table


def _faster(means: Means) -> tuple:
    """P8: what SeNPIS-Faster costs against full SeNPIS."""
    estimate, words = None, f"this profile does not prune with full {FULL}"
    if means.has(CIFAR, FULL, *means.config.rates) and means.has(CIFAR, FASTER, *means.config.rates):
        gap = [_correct(means, CIFAR, FULL, r) - _correct(means, CIFAR, FASTER, r) for r in means.config.rates]
        cost = means.interval(np.mean(gap, axis=0))
        estimate, words = _distance(cost, SAVED), f"{cost.value:.2f} [{cost.low:.2f}, {cost.high:.2f}] points"
    return _claim(
        "P8", (CIFAR,), "SeNPIS-Faster costs about 0.15 points against full SeNPIS.", "Section 4.2",
        f"distance of the mean cost from {SAVED} points", "at most", EXACT, estimate, words,
    )  # fmt: skip
