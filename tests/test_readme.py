"""The results in README are those of the committed tables."""

from pathlib import Path

import pandas as pd
import pytest

from pruncam.report import readme

ROOT = Path(__file__).parents[1]


def test_readme_shows_what_the_committed_tables_say():
    text = (ROOT / "README.md").read_text()
    shown = text.partition(readme.BEGIN)[2].partition(readme.END)[0]
    assert shown.strip() == readme.results(ROOT / "figures").strip()


def test_every_published_number_stands_beside_ours_in_readme():
    text = (ROOT / "README.md").read_text()
    table = pd.read_csv(ROOT / "figures" / "paper" / "mnist_iou" / "table_published.csv")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for row in table.itertuples():
        (line,) = [line for line in rows if line.startswith(f"| {row.quantity}") and row.source in line]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert float(cells[1]) == pytest.approx(row.published, rel=1e-3)
        assert float(cells[2].split(" ")[0]) == pytest.approx(row.ours, rel=1e-3)


def test_a_readme_without_its_marks_is_refused(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("no marks here")
    with pytest.raises(ValueError, match=r"README.md must hold the lines"):
        readme.refresh(page, tmp_path / "figures")
    assert page.read_text() == "no marks here"


def test_what_stands_outside_the_marks_is_left_alone(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    readme.refresh(page, tmp_path / "figures")
    assert page.read_text() == f"before\n{readme.BEGIN}\n\nNo results are committed yet.\n\n{readme.END}\nafter\n"
