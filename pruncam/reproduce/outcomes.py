"""The outcome of each notebook of a run, and the table of all of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pruncam.reproduce.execution import NotebookFailed
from pruncam.reproduce.status_line import format_duration
from pruncam.reproduce.text_table import aligned

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
    lines = aligned(rows, _TEXT_COLUMNS)
    verdicts = {verdict for outcome in outcomes for verdict in outcome.verdicts}
    unknown = sorted(verdicts - HEADINGS.keys())
    notes = [f"not counted: the unknown verdict {verdict!r}" for verdict in unknown]
    return "\n".join([*lines, "* on stand-in data", *notes])
