"""The table of all parts: kept as CSV, shown in `benchmarks/torture.md` and in README."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from benchmarks.torture.outcome import Outcome
from pruncam._core.store import write_text_atomically
from pruncam.reproduce import readme

RESULTS = Path(__file__).with_name("results.csv")
_PAGE = Path(__file__).parents[1] / "torture.md"
_README = Path(__file__).parents[2] / "README.md"
_COLUMNS = ("part", "trials", "passed", "total", "seconds")
_PARTS = ("kills", "concurrency", "damage", "surroundings", "calls")  # in the order of the table
_HEADING = """# What was tried to break pruncam

Written by `make torture`. A trial passes if its result is identical to that of an undisturbed run,
or if it ends with one sentence that says what was wrong and names the file or folder.
"""


def write_table(part: str, outcomes: Iterable[Outcome]) -> None:
    """Replace the rows of a part in the CSV, and refresh the pages that show it."""
    rows = read_rows(RESULTS)
    rows = [row for row in rows if row["part"] != part]
    rows += [_row(part, outcome) for outcome in outcomes]
    rows.sort(key=lambda row: _PARTS.index(row["part"]))
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text_atomically(RESULTS, text.getvalue())
    content = readme.reliability(RESULTS)
    write_text_atomically(_PAGE, f"{_HEADING}\n{content}")
    readme.refresh(_README, readme.RELIABILITY, content)


def read_rows(results: Path) -> list[dict[str, str]]:
    """Return the rows of the CSV, none if it does not exist."""
    if not results.is_file():
        return []
    with results.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _row(part: str, outcome: Outcome) -> dict[str, str]:
    return {
        "part": part,
        "trials": outcome.name,
        "passed": str(outcome.passed),
        "total": str(outcome.total),
        "seconds": f"{outcome.seconds:.0f}",
    }
