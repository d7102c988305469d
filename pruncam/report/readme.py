"""The numbers on README pages, written between marks from what the runs wrote: none is typed by hand."""

import json
from pathlib import Path

import pandas as pd

from pruncam.report.claims import VERDICTS

RESULTS = ("<!-- results: begin (written by `make reproduce`) -->", "<!-- results: end -->")
SPEED = ("<!-- speed: begin (written by `make bench`) -->", "<!-- speed: end -->")


def refresh(readme: Path, marks: tuple[str, str], content: str) -> None:
    """Rewrite what stands between `marks` in `readme`; ValueError where the marks are gone."""
    text = readme.read_text(encoding="utf-8")
    begin, end = marks
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{readme.name} must hold the lines {begin!r} and {end!r} once each: put them back")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    readme.write_text(f"{before}{begin}\n\n{content}\n{end}{after}", encoding="utf-8")


def results(figures: Path) -> str:
    """How every study's claims fared, in Markdown; of a study with several profiles the paper's, else the laptop's."""
    folders = [*sorted(figures.glob("paper/*/")), *sorted(figures.glob("laptop/*/"))]
    shown: dict[str, tuple[Path, pd.DataFrame]] = {}
    for folder in folders:
        if folder.name not in shown and (folder / "claims.csv").is_file():
            shown[folder.name] = folder, pd.read_csv(folder / "claims.csv")
    if not shown:
        return "No results are committed yet.\n"
    counts = [{"study": _link(figures, folder)} | _counted(claims) for folder, claims in shown.values()]
    return pd.DataFrame(counts).to_markdown(index=False) + "\n"


def _link(figures: Path, folder: Path) -> str:
    """The study with its profile, and the way to its tables and figures."""
    place = f"{figures.name}/README.md#{folder.name}-profile-{folder.parent.name}"
    return f"[`{folder.name}`]({place}), {folder.parent.name}"


def _counted(claims: pd.DataFrame) -> dict[str, int]:
    return {verdict: int((claims["verdict"] == verdict).sum()) for verdict in VERDICTS}


def speed(folder: Path) -> str:
    """Every machine's benchmarks in Markdown, from what `make bench` wrote into `folder`."""
    return "\n".join(_machine(path) for path in sorted(folder.glob("*.csv"))) or "No benchmark is committed yet.\n"


def _machine(path: Path) -> str:
    machine = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    where = machine["gpu"] or f"{machine['processor']}, {machine['cores']} cores"
    parts = [f"### {where}, PyTorch {machine['torch'].split('+')[0]}\n"]
    for name, table in pd.read_csv(path).groupby("benchmark", sort=False):
        table = table.drop(columns="benchmark").dropna(axis=1, how="all")
        table = table[
            sorted(table, key=lambda column: pd.api.types.is_numeric_dtype(table[column]))
        ]  # what, then how much
        parts.append(f"**{name}**\n")
        shown = {name: [_figure(value) for value in table[name]] for name in table if "est ratio" not in name}
        if "ratio" in shown:
            spread = zip(shown["ratio"], table["lowest ratio"], table["highest ratio"], strict=True)
            shown["ratio"] = [f"{r} ({_figure(low)}-{_figure(high)})" if r else "" for r, low, high in spread]
        parts.append(pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True) + "\n")
    return "\n".join(parts)


def _figure(value: object) -> str:
    """Three digits of a number, other values as they are."""
    if not isinstance(value, float):
        return str(value)
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
