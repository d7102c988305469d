"""Does it reproduce? The verdicts on every paper and on every claim, from the committed results."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pruncam._core.text_files import RUN_AGAIN, read_table
from pruncam.report.claims import VERDICTS
from pruncam.reproduce.readme import NO_RESULTS, shown_results

_DOI = "https://doi.org/10.3390"
PAPERS = {  # the name that claims cite, and the paper; in the order of README
    "Sp2PS": f"[Sp2PS]({_DOI}/informatics10030072), Renza & Ballesteros 2023",
    "PE-score": f"[PE-score]({_DOI}/bdcc7020111), Pachón, Renza & Ballesteros 2023",
    "thesis": "Heatmaps of pruned networks, bachelor's thesis, Lukkien",
    "complexity paper": "Complexity of data sets, Lozano, Renza & Ballesteros 2024",
}
_IN_WORDS = {  # verdicts after a number of claims
    "reproduced": "reproduced",
    "not reproduced": "not reproduced",
    "holds on stand-in": "hold on stand-in data",
    "fails on stand-in": "fail on stand-in data",
    "undecided": "undecided",
    "not tested here": "not tested",
}


def by_paper(figures: Path, gallery: str) -> str:
    """Return a table in Markdown with a row per paper; `gallery` is the address of that page."""
    rows = []
    for paper, group in _claims_by_paper(figures):
        sections = group.drop_duplicates(["study", "profile"])
        links = (_link(row.study, row.profile, gallery) for row in sections.itertuples())
        rows.append(
            {
                "paper": PAPERS[paper],
                "claims": len(group),
                "does it reproduce?": _answer(group["verdict"]),
                "tables and figures": ", ".join(links),
            }
        )
    if not rows:
        return NO_RESULTS
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def by_claim(figures: Path, gallery: str) -> str:
    """Return a section per paper in Markdown, each with a table of its claims."""
    sections = []
    for paper, group in _claims_by_paper(figures):
        rows = [
            {
                "claim": row.claim,
                "sentence": row.sentence,
                "verdict": row.verdict,
                "evidence": row.evidence,
                "where": _link(row.study, row.profile, gallery),
            }
            for row in group.itertuples()
        ]
        table = pd.DataFrame(rows).map(_one_cell).to_markdown(index=False, disable_numparse=True)
        sections.append(f"## {PAPERS[paper]}\n\n{table}\n")
    return "\n".join(sections) or NO_RESULTS


def _claims(figures: Path) -> pd.DataFrame:
    """Return the claims of all studies that have results, with study, profile and paper."""
    tables = []
    for folder in shown_results(figures):
        table = read_table(folder / "claims.csv", RUN_AGAIN)
        paper, _, _ = table["source"].str.partition(",").to_numpy().T
        tables.append(table.assign(study=folder.name, profile=folder.parent.name, paper=paper))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _claims_by_paper(figures: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Iterate over the papers that have results, each with its claims."""
    claims = _claims(figures)
    for paper in PAPERS if len(claims) else ():
        group = claims[claims["paper"] == paper]
        if len(group):
            yield paper, group


def _answer(verdicts: pd.Series) -> str:
    """Return how many claims have which verdict: "1 reproduced, 2 undecided"."""
    counts = verdicts.value_counts().reindex(list(VERDICTS), fill_value=0)
    parts = [f"{counts[name]} {words}" for name, words in _IN_WORDS.items() if counts[name]]
    return ", ".join(parts)


def _link(study: str, profile: str, gallery: str) -> str:
    return f"[`{study}`]({gallery}#{study}-profile-{profile}), {profile}"


def _one_cell(value: object) -> str:
    """Return a value as text that cannot end a cell of a table."""
    return " ".join(str(value).split()).replace("|", "\\|")
