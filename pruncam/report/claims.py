"""Claims: a sentence of a paper, a limit fixed before the run, and the verdict that the numbers give."""

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

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


@dataclass(frozen=True)
class Claim:
    """A claim that is judged by one number: at least, or at most, a limit.

    The whole interval on the claimed side of the limit: reproduced; on the other side: not reproduced; astride:
    undecided. Without an estimate (None) it was not tested here. On a stand-in data set nothing is ever reproduced: the
    claim holds or fails on the stand-in.
    """

    claim: str  # its number, such as "I1"
    sentence: str
    source: str
    criterion: str  # what is measured, in words
    relation: Literal["at least", "at most"]
    limit: float
    estimate: Interval | None
    evidence: str
    points: int  # that the interval rests on: levels or seeds
    on_stand_in: bool = False

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        found = self._judge(1.0)
        return _ON_STAND_IN.get(found, found) if self.on_stand_in else found

    @property
    def firm(self) -> bool:
        """Whether the verdict holds on another machine too: it would stand if the interval were twice as wide.

        Training amplifies rounding, which moves an interval over a few seeds: below ten points none is firm.
        """
        return self.points >= 10 and self._judge(1.0) in _ON_STAND_IN and self._judge(1.0) == self._judge(2.0)

    def _judge(self, widening: float) -> str:
        if self.estimate is None or math.isnan(self.estimate.value):
            return "not tested here"
        value, low, high = self.estimate.value, self.estimate.low, self.estimate.high
        low, high = value - widening * (value - low), value + widening * (high - value)
        above, below = low >= self.limit, high <= self.limit
        if above == below:
            return "undecided"
        return "reproduced" if above == (self.relation == "at least") else "not reproduced"


def table(claims: list[Claim]) -> pd.DataFrame:
    """The claims as a table: number, sentence, source, verdict, evidence, and the numbers that decided."""
    columns = ["claim", "sentence", "source", "verdict", "evidence", "criterion", "relation", "limit"]
    rows = []
    for claim in claims:
        estimate = claim.estimate or Interval(math.nan, math.nan, math.nan)
        row = {name: getattr(claim, name) for name in columns}
        rows.append(row | {"value": estimate.value, "low": estimate.low, "high": estimate.high})
    return pd.DataFrame(rows, columns=[*columns, "value", "low", "high"])
