"""The results in README.md and benchmarks/README.md are those of the committed tables."""

from pathlib import Path

import pandas as pd
import pytest

from pruncam.report import readme

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("page", "marks", "content"),
    [
        ("README.md", readme.RESULTS, readme.results(ROOT / "figures")),
        ("benchmarks/README.md", readme.SPEED, readme.speed(ROOT / "benchmarks" / "results")),
    ],
)
def test_the_page_shows_what_the_committed_tables_say(page, marks, content):
    begin, end = marks
    assert (ROOT / page).read_text().partition(begin)[2].partition(end)[0].strip() == content.strip()


def test_every_study_stands_in_readme_with_its_verdicts_counted():
    text = (ROOT / "README.md").read_text()
    for folder in (ROOT / "figures" / "paper").iterdir():
        claims = pd.read_csv(folder / "claims.csv")
        (line,) = [line for line in text.splitlines() if line.startswith(f"| [`{folder.name}`]")]
        counts = [int(cell) for cell in line.strip("| ").split("|")[1:]]
        assert counts[:2] == [(claims["verdict"] == verdict).sum() for verdict in ("reproduced", "not reproduced")]
        assert sum(counts) == len(claims)


def test_a_readme_without_its_marks_is_refused(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("no marks here")
    with pytest.raises(ValueError, match=r"README.md must hold the lines"):
        readme.refresh(page, readme.RESULTS, "new")
    assert page.read_text() == "no marks here"


def test_what_stands_outside_the_marks_is_left_alone(tmp_path):
    page = tmp_path / "README.md"
    begin, end = readme.SPEED
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    readme.refresh(page, readme.SPEED, readme.speed(tmp_path))
    assert page.read_text() == f"before\n{begin}\n\nNo benchmark is committed yet.\n\n{end}\nafter\n"


def test_speed_tables_have_a_row_per_measurement_and_the_spread_of_every_ratio(tmp_path):
    (tmp_path / "cpu.json").write_text('{"gpu": null, "processor": "Abacus", "cores": 2, "torch": "2.15.0+cpu"}')
    (tmp_path / "cpu.csv").write_text(
        "benchmark,size,pairs/s,ratio,lowest ratio,highest ratio,method\n"
        "ssim,32x32,12345.6,8.0123,7.5,9.01,\nheatmaps,,0.12345,,,,grad-cam\n"
    )
    assert readme.speed(tmp_path).splitlines() == [
        "### Abacus, 2 cores, PyTorch 2.15.0",
        "",
        "**ssim**",
        "",
        "| size   | pairs/s   | ratio           |",
        "|:-------|:----------|:----------------|",
        "| 32x32  | 12,346    | 8.01 (7.5-9.01) |",
        "",
        "**heatmaps**",
        "",
        "| method   | pairs/s   |",
        "|:---------|:----------|",
        "| grad-cam | 0.123     |",
    ]
