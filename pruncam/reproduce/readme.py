"""The tables on README pages, written between markers from the results of runs."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pruncam._core.store import write_text_atomically
from pruncam._core.text_files import RUN_AGAIN, read_json, read_rows, read_table
from pruncam.report import committed
from pruncam.report.claims import VERDICTS
from pruncam.reproduce.gallery import scale_cell

RESULTS = ("<!-- results: begin (written by `make reproduce`) -->", "<!-- results: end -->")
SPEED = ("<!-- speed: begin (written by `make bench`) -->", "<!-- speed: end -->")
RELIABILITY = (
    "<!-- reliability: begin (written by `make torture`) -->",
    "<!-- reliability: end -->",
)
_SCALE = {  # headings of the columns of the table "scale" that README shows
    "dataset": "data set",
    "images": "images used",
    "width": "width",
    "parameters": "parameters",
    "size": "pixels",
    "test_images": "test images",
    "epochs": "epochs",
    "accuracy": "accuracy, %",
}
_AGAIN = "run `make bench` again, or restore the file from the repository"
NO_RESULTS = "No results are committed yet."


def refresh(readme: Path, markers: tuple[str, str], content: str) -> None:
    """Replace the text between `markers` in `readme`; raise ValueError if they are missing."""
    text = readme.read_text(encoding="utf-8")
    begin, end = markers
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(
            f"{readme.name} must contain the lines {begin!r} and {end!r} once each: restore them"
        )
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    write_text_atomically(readme, f"{before}{begin}\n\n{content}\n{end}{after}")


# ---------------------------------------------------------------- results


def results(figures: Path) -> str:
    """Return the number of claims by verdict for every study, in Markdown.

    A study with results of several profiles is shown in the one nearest to the paper.
    """
    folders = shown_results(figures)
    if not folders:
        return f"{NO_RESULTS}\n"
    rows = [_study_row(figures, folder) for folder in folders]
    claims_table = pd.DataFrame(rows).to_markdown(index=False)
    scales = [row for folder in folders for row in _scale_rows(figures, folder)]
    if not scales:
        return claims_table + "\n"
    scale_table = pd.DataFrame(scales).to_markdown(index=False, disable_numparse=True)
    return f"{claims_table}\n\nThe scale of these runs, the paper's in brackets:\n\n{scale_table}\n"


def shown_results(figures: Path) -> list[Path]:
    """Return the folder of every study with claims, in the profile nearest to the paper."""
    folders: dict[str, Path] = {}
    for profile in committed.BEST_FIRST:
        for claims in sorted(figures.glob(f"{profile}/*/claims.csv")):
            folders.setdefault(claims.parent.name, claims.parent)
    return list(folders.values())


def _study_row(figures: Path, folder: Path) -> dict[str, object]:
    claims = read_table(folder / "claims.csv", RUN_AGAIN)
    counts = claims["verdict"].value_counts().reindex(list(VERDICTS), fill_value=0)
    return {"study": _study_link(figures, folder), **counts.to_dict()}


def _scale_rows(figures: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Iterate over the rows of a study's scale, as text."""
    path = folder / "table_scale.csv"
    if not path.is_file():
        return
    for row in read_rows(path, RUN_AGAIN):
        link = {"study": _study_link(figures, folder)}
        yield link | {title: scale_cell(row, name) for name, title in _SCALE.items()}


def _study_link(figures: Path, folder: Path) -> str:
    """Return the study with its profile, and a link to its section of the gallery."""
    study, profile = folder.name, folder.parent.name
    target = f"{figures.name}/README.md#{study}-profile-{profile}"
    return f"[`{study}`]({target}), {profile}"


# ---------------------------------------------------------------- reliability


def reliability(results: Path) -> str:
    """Return what was tried to break pruncam, and how often it held, from a CSV, in Markdown."""
    if not results.is_file():
        return "No trial is committed yet.\n"
    rows = read_rows(results, "run `make torture` again, or restore the file from the repository")
    lines = ["| trials | passed | seconds |", "|:---|---:|---:|"]
    for row in rows:
        passed = f"{int(row['passed']):,} of {int(row['total']):,}"
        lines.append(f"| {row['trials']} | {passed} | {int(row['seconds']):,} |")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- speed


def speed(folder: Path) -> str:
    """Return the benchmarks of every machine in Markdown, from what `make bench` wrote."""
    sections = [_machine_section(path) for path in sorted(folder.glob("*.csv"))]
    return "\n".join(sections) or "No benchmark is committed yet.\n"


def _machine_section(path: Path) -> str:
    machine = read_json(path.with_suffix(".json"), _AGAIN)
    name = machine["gpu"] or f"{machine['processor']}, {machine['cores']} cores"
    version = machine["torch"].partition("+")[0]
    parts = [f"## {name}, PyTorch {version}\n"]
    for benchmark, rows in read_table(path, _AGAIN).groupby("benchmark", sort=False):
        table = _benchmark_table(rows).to_markdown(index=False, disable_numparse=True)
        parts += [f"**{benchmark}**\n", f"{table}\n"]
    return "\n".join(parts)


def _benchmark_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements as text: labels first, then numbers, the ratio with its spread."""
    rows = rows.drop(columns="benchmark").dropna(axis=1, how="all")
    is_number = rows.dtypes.map(pd.api.types.is_numeric_dtype)
    columns = [*rows.columns[~is_number], *rows.columns[is_number]]
    texts = rows[columns].map(_format_value)
    if "ratio" in texts:
        spread = " (" + texts["lowest ratio"] + "-" + texts["highest ratio"] + ")"
        texts["ratio"] += spread.where(texts["ratio"] != "", "")
    return texts.drop(columns=["lowest ratio", "highest ratio"], errors="ignore")


def _format_value(value: object) -> str:
    """Return a number with three digits, another value as it is."""
    if not isinstance(value, float):
        return str(value)
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
