"""The gate of a comparison: the lowest mean scores that a pruned network may have."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pruncam import metrics
from pruncam._core.validation import check_choice
from pruncam.comparison.titles import title

_LOWER_IS_BETTER = ("confidence_variation",)


@dataclass(frozen=True)
class Gate:
    """The lowest mean of each score; `method` is the CAM that is judged, None: every one."""

    limits: dict[str, float]
    method: str | None = None

    def judge(self, summary: pd.DataFrame) -> list[str]:
        """Return a sentence for every mean in the table `summary` that is too low.

        Both the mean over all images and the mean over those without an empty map must reach the
        limit: two empty maps score 1, and one empty map scores 0.
        """
        failures = []
        for row in summary.to_dict("records"):
            limit = self.limits.get(row["score"])
            if limit is None or self.method not in (None, row["method"]):
                continue
            name = f"{title(row['method'])}: {title(row['score'])}"
            if math.isnan(row["mean_nonempty"]):
                failures.append(f"{name} means nothing, every image has an empty map")
            elif row["mean"] < limit:
                failures.append(f"{name} is {_below(row['mean'], limit)}")
            elif row["mean_nonempty"] < limit:
                without = f"without empty maps {_below(row['mean_nonempty'], limit)}"
                failures.append(f"{name} is {without}")
        return failures


def _below(mean: float, limit: float) -> str:
    """Return both numbers with as many digits as tell them apart."""
    digits = 3
    while f"{mean:.{digits}f}" == f"{limit:.{digits}f}" and digits < 9:
        digits += 1
    return f"{mean:.{digits}f}, below {limit:g}"


def read_gate(
    limits: Sequence[str], method: str | None, custom_scores: Sequence[str] = ()
) -> Gate | None:
    """Return the gate of limits such as "sp2ps=0.8"; None without limits.

    Raises ValueError if a limit is no number of a score that is best at its highest.
    """
    if not limits:
        if method is not None:
            raise ValueError("--method names the CAM of --fail-below, which is missing")
        return None
    names = (*metrics.SCORES, *custom_scores)
    gate: dict[str, float] = {}
    for text in limits:
        name, separator, number = text.partition("=")
        value = _number(number)
        if not separator or value is None:
            raise ValueError(f"--fail-below takes SCORE=NUMBER, such as sp2ps=0.8, got {text!r}")
        check_choice("score", name, [score for score in names if score not in _LOWER_IS_BETTER])
        gate[name] = value
    return Gate(gate, method)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
