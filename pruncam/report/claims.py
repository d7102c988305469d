"""Claims: a sentence of a paper, a criterion fixed before the run, and the verdict."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from pruncam._core import paths
from pruncam._core.text_files import INSTALL_AGAIN, read_yaml
from pruncam._core.validation import check_choice
from pruncam.statistics import Interval

VERDICTS = (
    "reproduced",
    "not reproduced",
    "undecided",
    "not tested here",
    "holds on stand-in",
    "fails on stand-in",
)
_ON_STAND_IN = {"reproduced": "holds on stand-in", "not reproduced": "fails on stand-in"}
TEXT_COLUMNS = (
    "claim",
    "sentence",
    "source",
    "verdict",
    "evidence",
    "criterion",
    "relation",
    "limit",
)
_COLUMNS = (
    *TEXT_COLUMNS,
    "value",
    "low",
    "high",
    "at_floor",
    "at_chance",
    "trainings",
    "changed",
)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A sentence of a paper with the criterion that judges it.

    The estimate must be "at least" or "at most" `limit`. `parameters` holds what the study needs to
    compute the estimate, such as a CAM method and a pruning rate.

    A sentence with `named_data` is about the data set it names, not about pruning: on other images
    it is not tested. `min_accuracy` is the accuracy in % that every baseline must reach for it.
    `changed` tells an earlier criterion, and why it was replaced.
    """

    claim: str  # its number, such as "S1a"
    sentence: str
    source: str
    criterion: str
    relation: Literal["at least", "at most"]
    limit: float
    datasets: tuple[str, ...] = ()  # the paper's data sets it is about; empty: those of the finding
    named_data: bool = False
    min_accuracy: float = 0.0
    changed: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The estimate for one claim, None if it cannot be tested, and the evidence in words.

    `points` is the number of levels or seeds the interval rests on; `datasets` are the data sets
    the estimate comes from; they replace those of the statement.

    `at_floor` is the criterion's value if nothing is pruned: for models that are only fine-tuned,
    or for two draws of the same images. `at_chance` is its value where there is nothing to find:
    for random networks, shuffled labels, or no correlation. A criterion must be able to fail and to
    hold between the two. `trainings` is the number of baselines that were trained for it; with one,
    the interval says nothing about the next training.
    """

    estimate: Interval | None
    evidence: str
    points: int = 1
    datasets: tuple[str, ...] = ()
    at_floor: float = math.nan
    at_chance: float = math.nan
    trainings: int = 1


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement judged by one estimate.

    If the whole interval is on the claimed side of the limit, the claim is reproduced; on the other
    side, not reproduced; astride, undecided. A single value exactly on the limit is undecided.
    Without an estimate it was not tested here. On a
    stand-in data set nothing is ever reproduced: the claim holds or fails on the stand-in.
    """

    statement: Statement
    finding: Finding
    on_stand_in: bool = False

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        verdict = self._judge(1.0)
        return _ON_STAND_IN.get(verdict, verdict) if self.on_stand_in else verdict

    @property
    def firm(self) -> bool:
        """Return True if the verdict also holds on other machines.

        It must still stand if the interval were twice as wide. Training amplifies rounding errors,
        which move an interval over a few seeds: below ten points no verdict is firm.
        """
        verdict = self._judge(1.0)
        is_decided = verdict in _ON_STAND_IN
        return self.finding.points >= 10 and is_decided and verdict == self._judge(2.0)

    def _judge(self, widening: float) -> str:
        estimate, limit = self.finding.estimate, self.statement.limit
        if estimate is None or math.isnan(estimate.value):
            return "not tested here"
        low = estimate.value - widening * (estimate.value - estimate.low)
        high = estimate.value + widening * (estimate.high - estimate.value)
        above, below = low >= limit, high <= limit
        if above == below:
            return "undecided"
        claims_above = self.statement.relation == "at least"
        return "reproduced" if above == claims_above else "not reproduced"


def read_statements(study: str) -> dict[str, Statement]:
    """Return the statements of a study's paper by claim, from `published/claims/<study>.yaml`.

    Raises ValueError if there is no such study.
    """
    folder = paths.package_folder() / "published" / "claims"
    check_choice("study", study, sorted(path.stem for path in folder.glob("*.yaml")))
    file = folder / f"{study}.yaml"
    entries = read_yaml(file, INSTALL_AGAIN)
    return {claim: _statement(claim, entry) for claim, entry in entries.items()}


def _statement(claim: str, entry: dict[str, Any]) -> Statement:
    if entry["relation"] not in ("at least", "at most"):
        raise ValueError(
            f"{claim}: relation must be 'at least' or 'at most', got {entry['relation']!r}"
        )
    known = {f.name for f in dataclasses.fields(Statement)} - {"claim", "datasets", "parameters"}
    fixed = {name: value for name, value in entry.items() if name in known}
    parameters = {n: value for n, value in entry.items() if n not in known | {"datasets"}}
    datasets = tuple(entry.get("datasets", ()))
    return Statement(claim=claim, datasets=datasets, parameters=parameters, **fixed)


def judge(
    statements: Mapping[str, Statement],
    findings: Mapping[str, Finding],
    *,
    stand_ins: Collection[str] = (),
    other_images: Collection[str] | None = None,
    too_weak: Mapping[str, str] | None = None,
    accuracies: Mapping[str, float] | None = None,
) -> list[Claim]:
    """Return every statement with its finding, in the order of the statements.

    `stand_ins` are the paper's data sets for which other images stand in, or the same re-encoded,
    resized or not all of them; of these, claims with `named_data` are not tested on `other_images`
    (None: on any stand-in). `too_weak` maps data sets whose baseline is not accurate enough for any
    claim to the reason, in words; `accuracies` are those of the baselines in %, for claims that
    need a better one.

    Raises ValueError if statements and findings are not of the same claims.
    """
    if statements.keys() != findings.keys():
        differing = sorted(statements.keys() ^ findings.keys())
        raise ValueError(f"statement or finding missing for {', '.join(differing)}")
    return [
        _claim(
            statement,
            findings[name],
            stand_ins,
            stand_ins if other_images is None else other_images,
            dict(too_weak or {}) | _below(statement, accuracies or {}),
        )
        for name, statement in statements.items()
    ]


def _below(statement: Statement, accuracies: Mapping[str, float]) -> dict[str, str]:
    """Return the data sets whose baseline is too weak for this statement, with the reason."""
    return {
        name: f"{name}: the baseline's {accuracy:.1f} % are under the {statement.min_accuracy:g} % "
        "that this claim needs"
        for name, accuracy in accuracies.items()
        if accuracy < statement.min_accuracy
    }


def _claim(
    statement: Statement,
    finding: Finding,
    stand_ins: Collection[str],
    other_images: Collection[str],
    too_weak: Mapping[str, str],
) -> Claim:
    datasets = finding.datasets or statement.datasets
    reasons = [too_weak[name] for name in datasets if name in too_weak]
    replaced = [name for name in datasets if name in other_images]
    if statement.named_data and replaced:
        reasons.append(f"about {' and '.join(replaced)}, for which other images stand in")
    if reasons and finding.estimate is not None:
        evidence = f"{'; '.join(reasons)}; else: {finding.evidence}"
        finding = dataclasses.replace(finding, estimate=None, evidence=evidence)
    return Claim(
        statement=statement,
        finding=finding,
        on_stand_in=any(name in stand_ins for name in datasets),
    )


def table(claims: list[Claim]) -> pd.DataFrame:
    """Return a row per claim: number, sentence, source, verdict, evidence and the numbers."""
    return pd.DataFrame([_row(claim) for claim in claims], columns=list(_COLUMNS))


def _row(claim: Claim) -> dict[str, Any]:
    statement, finding = claim.statement, claim.finding
    estimate = finding.estimate or Interval(math.nan, math.nan, math.nan)
    return {
        "claim": statement.claim,
        "sentence": statement.sentence,
        "source": statement.source,
        "verdict": claim.verdict,
        "evidence": finding.evidence,
        "criterion": statement.criterion,
        "relation": statement.relation,
        "limit": float(statement.limit),
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "at_floor": finding.at_floor,
        "at_chance": finding.at_chance,
        "trainings": finding.trainings,
        "changed": statement.changed,
    }
