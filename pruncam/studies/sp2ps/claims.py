"""The claims of the Sp2PS paper, each with a limit that was fixed before any run.

Most rest on a weighted sum of mean scores, whose interval resamples images: all models see the same ones.
"""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from pruncam.report.claims import Claim
from pruncam.statistics import Interval, correlation
from pruncam.studies.half import FLOOR
from pruncam.studies.means import Means, spell
from pruncam.studies.sp2ps.config import Config
from pruncam.studies.sp2ps.half import L1, RANDOM

CIFAR, STL = "CIFAR-10", "STL-10"
FLAT, CLEAR = 0.05, 0.05  # a fall of Sp2PS below the first is "relatively flat", one above the second is "clear"
SIMILAR = 0.05  # two CAMs' mean Sp2PS closer than this are "very similar"
KEPT = 0.5  # a heatmap "keeps its place" while its binary IoU with the baseline's is at least this
TRUST = {"grad-cam++": 0.95, "ablation-cam": 0.9}  # Sp2PS, Section 5; the sentence names Grad-CAM, meaning Grad-CAM++
CONSTANT, RETAINED = 2.0, 5.0  # points of accuracy; points of Sp2PS
SENSITIVE = {"ablation-cam": 1.5, "grad-cam": 1.6}  # points of accuracy drop from which the paper compares the scores

FALLS = (  # Figures 10 to 13; the number judged is a sum of mean Sp2PS: (factor, rule, rate)
    ("S1a", CIFAR, "With L1 on CIFAR-10, Sp2PS is relatively flat up to 40 %.", "10",
     "Sp2PS at 20 % minus 40 %", "at most", FLAT, ((1, L1, 0.2), (-1, L1, 0.4))),
    ("S1b", CIFAR, "With L1 on CIFAR-10, the drop is clear from 60 %.", "10",
     "Sp2PS at 40 % minus 60 %", "at least", CLEAR, ((1, L1, 0.4), (-1, L1, 0.6))),
    ("S2", CIFAR, "With Random on CIFAR-10, Sp2PS falls already at 20 %, more than with L1.", "11",
     "Sp2PS at 20 %: L1 minus Random", "at least", 0.0, ((1, L1, 0.2), (-1, RANDOM, 0.2))),
    ("S3a", STL, "With L1 on STL-10, Sp2PS is nearly constant from 20 to 60 %.", "12",
     "Sp2PS at 20 % minus 60 %", "at most", FLAT, ((1, L1, 0.2), (-1, L1, 0.6))),
    ("S3b", STL, "With L1 on STL-10, the drop at 80 % is larger.", "12",
     "fall from 60 to 80 % minus fall from 20 to 60 %", "at least", 0.0, ((2, L1, 0.6), (-1, L1, 0.8), (-1, L1, 0.2))),
    ("S4", STL, "With Random on STL-10, Sp2PS leaves its ideal value from 20 %.", "13",
     "Sp2PS of fine-tuning alone minus Random at 20 %", "at least", CLEAR, ((1, FLOOR, 0.0), (-1, RANDOM, 0.2))),
)  # fmt: skip
PLACES = (  # Figures 4 to 9: (figure, data set, CAM, rule, rate, whether the map keeps its place there)
    ("4", CIFAR, "grad-cam", L1, 0.2, True),
    ("4", CIFAR, "grad-cam", L1, 0.4, False),
    ("7", STL, "grad-cam", L1, 0.6, True),
    ("7", STL, "grad-cam", L1, 0.8, False),
    ("7", STL, "grad-cam", RANDOM, 0.4, True),
    ("7", STL, "grad-cam", RANDOM, 0.6, False),
    ("5", CIFAR, "grad-cam++", L1, 0.8, True),
    ("8", STL, "grad-cam++", L1, 0.8, True),
    ("6", CIFAR, "ablation-cam", L1, 0.6, True),
    ("6", CIFAR, "ablation-cam", L1, 0.8, False),
    ("6", CIFAR, "ablation-cam", RANDOM, 0.2, True),
    ("6", CIFAR, "ablation-cam", RANDOM, 0.4, False),
    ("9", STL, "ablation-cam", RANDOM, 0.4, True),
    ("9", STL, "ablation-cam", RANDOM, 0.6, False),
)


def judge(config: Config, rows: pd.DataFrame, drops: pd.DataFrame, stand_ins: Iterable[str]) -> list[Claim]:
    """Claims S1 to S11; `stand_ins` are the paper's data sets in whose place others stand."""
    means, stand_ins = Means(config, rows), set(stand_ins)
    return [
        Claim(**claim, on_stand_in=bool(stand_ins & set(halves)))
        for halves, claim in (
            *_curves(means),
            *_cams(means),
            _by_magnitude(means),
            _attention_moves(drops),
            *_thresholds(means),
            *_against_pe(drops),
            *_places(means),
        )
    ]


def _claim(name, halves, sentence, where, criterion, relation, limit, estimate, evidence, points=1) -> tuple:
    """A claim's fields, and the data sets that it is about."""
    return halves, {
        "claim": name,
        "sentence": sentence,
        "source": f"Sp2PS, {where}",
        "criterion": criterion,
        "relation": relation,
        "limit": limit,
        "estimate": estimate,
        "evidence": evidence,
        "points": points,
    }


def _curves(means: Means) -> list[tuple]:
    """S1 to S4: how the curves of Figures 10 to 13 fall."""
    table = []
    for name, half, sentence, figure, criterion, relation, limit, terms in FALLS:
        estimate, words = None, f"this profile does not have {half} at these rates"
        if all(means.has(half, rule, rate) for _, rule, rate in terms):
            estimate = means.interval(sum(factor * means.of(half, rule, rate) for factor, rule, rate in terms))
            words = spell(estimate)
        average = f"{criterion}, mean of the CAMs"
        table.append(_claim(name, (half,), sentence, f"Figure {figure}", average, relation, limit, estimate, words))
    return table


def _cams(means: Means) -> list[tuple]:
    """S5: Grad-CAM++ is highest, the other two are alike. Judged on the half with the smaller margin."""
    halves, models = dict.fromkeys(key[0] for key in means.columns), means.models
    needed = {"grad-cam", "grad-cam++", "ablation-cam"}
    highest = alike = None
    words = ["this profile lacks a CAM"] * 2
    if needed <= set(means.config.methods):
        margins, gaps = [], []
        for half in halves:
            by_cam = {
                cam: np.mean([means.of(*model, cam) for model in models if model[0] == half], axis=0) for cam in needed
            }
            second = max(("grad-cam", "ablation-cam"), key=lambda cam: by_cam[cam].mean())
            margins.append(means.interval(by_cam["grad-cam++"] - by_cam[second]))
            gap = by_cam["grad-cam"] - by_cam["ablation-cam"]
            gaps.append(means.interval(gap * np.sign(gap.mean() or 1)))
        highest, alike = min(margins, key=lambda i: i.value), max(gaps, key=lambda i: i.value)
        words = [
            "; ".join(f"{half} {spell(i)}" for half, i in zip(halves, found, strict=True)) for found in (margins, gaps)
        ]
    return [
        _claim("S5a", halves, "Grad-CAM++ gives the highest Sp2PS.", "Section 4.2",
               "Grad-CAM++ minus the next best CAM, mean of the pruned models; the smaller of the halves",
               "at least", 0.0, highest, words[0]),
        _claim("S5b", halves, "Grad-CAM and Ablation-CAM give very similar Sp2PS.", "Section 4.2",
               "distance of the two, mean of the pruned models; the larger of the halves",
               "at most", SIMILAR, alike, words[1]),
    ]  # fmt: skip


def _by_magnitude(means: Means) -> tuple:
    """S6: L1 above Random at every rate of every half: judged where the margin is smallest."""
    pairs = [(half, rate) for half, rule, rate in means.models if rule == L1]
    margins = {
        pair: means.interval(means.of(pair[0], L1, pair[1]) - means.of(pair[0], RANDOM, pair[1])) for pair in pairs
    }
    (half, rate), smallest = min(margins.items(), key=lambda entry: entry[1].value)
    return _claim(
        "S6", dict.fromkeys(pair[0] for pair in pairs),
        "Pruning by magnitude preserves the baseline's behaviour better than Random.", "Section 4.2",
        "Sp2PS of L1 minus Random, mean of the CAMs, where it is smallest", "at least", 0.0, smallest,
        f"smallest at {rate:.0%} on {half}: {spell(smallest)}",
    )  # fmt: skip


def _attention_moves(drops: pd.DataFrame) -> tuple:
    """S7: some model keeps its accuracy and not its zones of attention."""
    kept = drops[drops["acc_drop"] < CONSTANT]
    moved = kept[kept["sp2ps_drop"] >= RETAINED]
    models = len(kept[["half", "rule", "rate", "seed"]].drop_duplicates())
    largest = kept["sp2ps_drop"].max() if len(kept) else math.nan
    return _claim(
        "S7", dict.fromkeys(drops["half"]), "Accuracy may stay nearly constant while the zones of attention move.",
        "Section 4.2", f"largest Sp2PS_drop of the models that lose less than {CONSTANT:g} points, points", "at least",
        RETAINED, Interval(largest, largest, largest) if len(kept) else None,
        f"{len(moved)} of {len(kept)} pairs of model and CAM; {models} models lose less than {CONSTANT:g} points",
    )  # fmt: skip


def _thresholds(means: Means) -> list[tuple]:
    """S8: a threshold of trust must lie under what fine-tuning alone does, and the rates at which it is crossed."""
    table = []
    for number, (cam, limit) in enumerate(TRUST.items()):
        estimate, words = None, "this profile has no fine-tuned baseline for it"
        halves = dict.fromkeys(key[0] for key in means.columns if key[1] == FLOOR)
        if halves and cam in means.config.methods:
            floors = {half: means.interval(means.of(half, FLOOR, 0.0, cam)) for half in halves}
            estimate = min(floors.values(), key=lambda i: i.value)
            words = "; ".join(f"{half} {spell(i)}, {_crossed(means, half, cam, limit)}" for half, i in floors.items())
        table.append(
            _claim(f"S8{'ab'[number]}", halves, f"{limit} with {cam} is a threshold of trust.", "Section 5",
                   "Sp2PS of the baseline that is fine-tuned and not pruned, the lower of the halves",
                   "at least", limit, estimate, words)
        )  # fmt: skip
    return table


def _crossed(means: Means, half: str, cam: str, limit: float) -> str:
    words = []
    for rule in (L1, RANDOM):
        below = [
            r for h, own, r in means.models if (h, own) == (half, rule) and means.of(h, own, r, cam).mean() < limit
        ]
        words.append(f"{rule} below it from {min(below):.0%}" if below else f"{rule} never below it")
    return ", ".join(words)


def _against_pe(drops: pd.DataFrame) -> list[tuple]:
    """S9 and S10, on the CIFAR-10 half: the two scores' drops on the same models."""
    part = drops[drops["half"] == CIFAR]
    table = []
    for number, (cam, least) in enumerate(SENSITIVE.items()):
        chosen = part[(part["method"] == cam) & (part["acc_drop"] >= least)]
        gap = chosen["sp2ps_drop"] - chosen["pe_drop"]
        estimate = Interval(gap.mean(), gap.min(), gap.max()) if len(gap) else None
        words = f"{len(gap)} models, from {gap.min():.1f} to {gap.max():.1f}" if len(gap) else "no such model"
        table.append(
            _claim(f"S9{'ab'[number]}", (CIFAR,), f"Sp2PS is more sensitive than PE ({cam}).", "Tables 1 and 2",
                   f"Sp2PS_drop minus PE_drop of the same models from {least:g} points of accuracy drop; range "
                   "over models", "at least", 0.0, estimate, words)
        )  # fmt: skip
    for number, score in enumerate(("sp2ps", "pe")):
        found = [
            correlation(own["acc_drop"], own[f"{score}_drop"], "spearman")
            for _, own in part.groupby("method", sort=False)
            if len(own) >= 5
        ]
        weakest = min(found, key=lambda c: c.value, default=None)
        words = (
            f"weakest of the CAMs: {weakest.value:.2f} over {weakest.df + 2} models" if weakest else "too few models"
        )
        table.append(
            _claim(f"S10{'ab'[number]}", (CIFAR,), f"{score.upper()}_drop rises with the accuracy drop.", "Tables 1-3",
                   "Spearman correlation over the pruned models, the weakest of the CAMs", "at least", 0.0,
                   Interval(weakest.value, weakest.low, weakest.high) if weakest else None, words,
                   weakest.df + 2 if weakest else 0)
        )  # fmt: skip
    return table


def _places(means: Means) -> list[tuple]:
    """S11: what the figures show for one image, asked of all of them."""
    table = []
    for number, (figure, half, cam, rule, rate, keeps) in enumerate(PLACES, start=1):
        estimate, words = None, f"this profile does not have {half} at {rate:.0%} with {cam}"
        if means.has(half, rule, rate) and cam in means.config.methods:
            estimate = means.interval(means.of(half, rule, rate, cam, "iou"))
            words = spell(estimate)
        verb = "keeps" if keeps else "does not keep"
        table.append(
            _claim(f"S11.{number}", (half,), f"{cam} {verb} its place at {rate:.0%} with {rule} on {half}.",
                   f"Figure {figure}", "mean binary IoU of the heatmap with the baseline's",
                   "at least" if keeps else "at most", KEPT, estimate, words)
        )  # fmt: skip
    return table
