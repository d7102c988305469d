"""The results in README.md, written between marks from what the runs wrote: no number is typed by hand."""

import re
from pathlib import Path

import pandas as pd

BEGIN, END = "<!-- results: begin (written by `make reproduce`) -->", "<!-- results: end -->"


def refresh(readme: Path, figures: Path) -> None:
    """Rewrite the results in `readme` from the tables under `figures`; ValueError where the marks are gone."""
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{readme.name} must hold the lines {BEGIN!r} and {END!r} once each: put them back")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{results(figures)}\n{END}{after}", encoding="utf-8")


def results(figures: Path) -> str:
    """Every study's published numbers beside ours and its claims, in Markdown; paper results first, else laptop."""
    folders = [*sorted(figures.glob("paper/*/")), *sorted(figures.glob("laptop/*/"))]
    shown: dict[str, str] = {}
    for folder in folders:
        if folder.name not in shown and (folder / "claims.csv").is_file():
            shown[folder.name] = _study(folder, folder.relative_to(figures.parent).as_posix())
    return "\n".join(shown.values()) or "No results are committed yet.\n"


def _study(folder: Path, place: str) -> str:
    parts = [f"### `{folder.name}`, profile {folder.parent.name} ([figures and tables]({place}))\n"]
    published = folder / "table_published.csv"
    if published.is_file():
        parts.append(_published(pd.read_csv(published, keep_default_na=False, na_values=[""])))
    claims = pd.read_csv(folder / "claims.csv")
    claims["sentence"] = [re.sub(r"\|", "/", sentence) for sentence in claims["sentence"]]
    parts.append(claims[["claim", "sentence", "verdict", "evidence"]].to_markdown(index=False) + "\n")
    return "\n".join(parts)


def _published(table: pd.DataFrame) -> str:
    rows = pd.DataFrame(
        {
            "quantity": table["quantity"] + [f" ({unit})" if isinstance(unit, str) else "" for unit in table["unit"]],
            "paper": [f"{value:.4g}" for value in table["published"]],
            "ours": [_ours(row) for row in table.itertuples()],
            "difference": ["" if pd.isna(value) else f"{value:+.2g}" for value in table["difference"]],
            "source": table["source"],
        }
    )
    return rows.to_markdown(index=False, disable_numparse=True) + "\n"


def _ours(row) -> str:
    if pd.isna(row.ours):
        return "not tested"
    spread = "" if pd.isna(row.sd) else f" ± {row.sd:.2g} ({row.seeds} seeds)"
    return f"{row.ours:.4g}{spread}"
