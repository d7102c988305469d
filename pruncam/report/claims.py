"""Claims: a sentence of a paper, a criterion fixed before any run, and the verdict."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import yaml

from pruncam._core import paths
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
_COLUMNS = ("claim", "sentence", "source", "verdict", "evidence", "criterion", "relation", "limit")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A sentence of a paper with the criterion that judges it.

    The estimate must be "at least" or "at most" `limit`. `parameters` holds what the study needs to
    compute the estimate, such as a CAM method and a pruning rate.
    """

    claim: str  # its number, such as "S1a"
    sentence: str
    source: str
    criterion: str
    relation: Literal["at least", "at most"]
    limit: float
    datasets: tuple[str, ...] = ()  # the paper's data sets it is about; empty: those of the finding
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The estimate for one claim, None if it cannot be tested, and the evidence in words.

    `points` is the number of levels or seeds the interval rests on; `datasets` are the data sets
    the estimate comes from; they replace those of the statement.
    """

    estimate: Interval | None
    evidence: str
    points: int = 1
    datasets: tuple[str, ...] = ()


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
    """Return the statements of a study's paper by claim, from `published/claims/<study>.yaml`."""
    file = paths.package_folder() / "published" / "claims" / f"{study}.yaml"
    entries = yaml.safe_load(file.read_text(encoding="utf-8"))
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
    too_weak: Mapping[str, str] | None = None,
) -> list[Claim]:
    """Return every statement with its finding, in the order of the statements.

    `stand_ins` are the paper's data sets for which other images stand in; `too_weak` maps data sets
    whose baseline is not accurate enough for any claim to the reason, in words.

    Raises ValueError if statements and findings are not of the same claims.
    """
    if statements.keys() != findings.keys():
        differing = sorted(statements.keys() ^ findings.keys())
        raise ValueError(f"statement or finding missing for {', '.join(differing)}")
    return [
        _claim(statement, findings[name], stand_ins, too_weak or {})
        for name, statement in statements.items()
    ]


def _claim(
    statement: Statement,
    finding: Finding,
    stand_ins: Collection[str],
    too_weak: Mapping[str, str],
) -> Claim:
    datasets = finding.datasets or statement.datasets
    reasons = [too_weak[name] for name in datasets if name in too_weak]
    if reasons and finding.estimate is not None:
        evidence = f"{'; '.join(reasons)}; else: {finding.evidence}"
        finding = dataclasses.replace(finding, estimate=None, evidence=evidence)
    on_stand_in = not set(datasets).isdisjoint(stand_ins)
    return Claim(statement=statement, finding=finding, on_stand_in=on_stand_in)


def table(claims: list[Claim]) -> pd.DataFrame:
    """Return a row per claim: number, sentence, source, verdict, evidence and the numbers."""
    return pd.DataFrame(
        [_row(claim) for claim in claims], columns=[*_COLUMNS, "value", "low", "high"]
    )


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
    }
