"""The outcome of each notebook of a run, and the table of all of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pruncam.reproduce.execution import NotebookFailed
from pruncam.reproduce.status_line import format_duration

HEADINGS = {  # of the table, by verdict
    "reproduced": "reproduced",
    "not reproduced": "not reproduced",
    "undecided": "undecided",
    "not tested here": "not tested",
    "holds on stand-in": "holds*",
    "fails on stand-in": "fails*",
}
_TEXT_COLUMNS = 3  # aligned left; the columns after them hold numbers


@dataclass
class Outcome:
    """The outcome of one notebook: its time, its error, and the verdicts on its claims."""

    notebook: str
    study: str | None
    seconds: float = 0.0
    failure: NotebookFailed | None = None
    verdicts: Counter[str] = field(default_factory=Counter)

    def cells(self) -> list[str]:
        """Return the row of the table; dashes if this run judged no claim."""
        time = format_duration(self.seconds) + (" FAILED" if self.failure else "")
        counts = [str(self.verdicts[verdict]) for verdict in HEADINGS]
        if not self.verdicts:
            counts = ["-"] * len(HEADINGS)
        return [self.notebook, self.study or "-", time, *counts]


def summary_table(outcomes: Sequence[Outcome]) -> str:
    """Return the table of all notebooks: time, and number of claims by verdict."""
    header = ["notebook", "study", "time", *HEADINGS.values()]
    rows = [header, *(outcome.cells() for outcome in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_aligned(row, widths) for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    verdicts = {verdict for outcome in outcomes for verdict in outcome.verdicts}
    unknown = sorted(verdicts - HEADINGS.keys())
    notes = [f"not counted: the unknown verdict {verdict!r}" for verdict in unknown]
    return "\n".join([*lines, "* on stand-in data", *notes])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return the cells in one line: text to the left, numbers to the right."""
    cells = [
        cell.ljust(width) if column < _TEXT_COLUMNS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
