"""The table of all parts: kept as CSV, shown in `benchmarks/torture.md`."""

import csv
from collections.abc import Iterable
from pathlib import Path

from benchmarks.torture.outcome import Outcome
from pruncam._core.store import write_text_atomically

RESULTS = Path(__file__).with_name("results.csv")
PAGE = Path(__file__).parents[1] / "torture.md"
_COLUMNS = ("part", "trials", "passed", "total", "seconds")
_HEADING = """# What was tried to break pruncam

Written by `make torture`. A trial passes if its result is identical to that of an undisturbed run,
or if it ends with a sentence that says what was wrong.
"""


def write_table(part: str, outcomes: Iterable[Outcome], results: Path = RESULTS) -> None:
    """Replace the rows of a part in the CSV, and write the page from it."""
    rows = [row for row in read_rows(results) if row["part"] != part]
    rows += [_row(part, outcome) for outcome in outcomes]
    lines = [_COLUMNS, *([row[name] for name in _COLUMNS] for row in rows)]
    text = "".join(f"{','.join(_quoted(cell) for cell in line)}\n" for line in lines)
    write_text_atomically(results, text)
    if results == RESULTS:
        write_text_atomically(PAGE, f"{_HEADING}\n{markdown(rows)}")


def read_rows(results: Path = RESULTS) -> list[dict[str, str]]:
    """Return the rows of the CSV, none if it does not exist."""
    if not results.is_file():
        return []
    with results.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def markdown(rows: Iterable[dict[str, str]]) -> str:
    """Return the table in Markdown."""
    lines = ["| trials | passed | seconds |", "|:---|---:|---:|"]
    for row in rows:
        passed = f"{int(row['passed']):,} of {int(row['total']):,}"
        lines.append(f"| {row['trials']} | {passed} | {row['seconds']} |")
    return "\n".join(lines) + "\n"


def _row(part: str, outcome: Outcome) -> dict[str, str]:
    return {
        "part": part,
        "trials": outcome.name,
        "passed": str(outcome.passed),
        "total": str(outcome.total),
        "seconds": f"{outcome.seconds:.0f}",
    }


def _quoted(cell: str) -> str:
    return f'"{cell}"' if "," in cell else cell
