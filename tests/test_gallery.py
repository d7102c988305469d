"""The gallery, an index of the folders of results."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pruncam.reproduce import readme
from pruncam.reproduce.gallery import write_gallery

ROOT = Path(__file__).parents[1]
MANIFEST = {
    "profile": "paper",
    "device": "cpu",
    "wall_seconds": 1212.0,
    "data": [
        {
            "name": "mnist",
            "split": "test",
            "images": 10000,
            "provenance": "MNIST, original files",
            "sha256": "ab",
        }
    ],
    "config": {"seeds": [1]},
}
CLAIMS = (
    "claim,sentence,source,verdict,evidence,criterion,relation,limit,value\n"
    'I1,"a | b\nc",thesis,reproduced,0.9,the mean,at least,0.5,0.9\n'
)


@pytest.fixture
def figures(tmp_path):
    """A figures folder with results of two profiles, and of quick, which is not committed."""
    for profile in ("laptop", "paper", "quick"):
        folder = tmp_path / profile / "mnist_iou"
        folder.mkdir(parents=True)
        for name in ("figure_3_10", "figure_3_2", "figure_seeds"):
            (folder / f"{name}.png").write_bytes(b"")
    folder = tmp_path / "paper" / "mnist_iou"
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    captions = {"figure_3_2": "IoU\nby level", "table_3_1": "levels"}
    (folder / "captions.json").write_text(json.dumps(captions))
    (folder / "table_3_1.csv").write_text("level,iou\n")
    (folder / "claims.csv").write_text(CLAIMS)
    return tmp_path


def test_the_page_shows_all_committed_results_and_is_the_same_every_time(figures):
    page = write_gallery(figures).read_text()
    parts = [
        "## mnist_iou, profile paper",
        "<details>",
        "- wall time of the run that wrote this: 20.2 minutes",
        "- data: mnist, test, 10,000 images: MNIST, original files",
        "</details>",
        "| I1 | a \\| b c | thesis | reproduced | 0.9 | the mean | at least | 0.5 |",
        "![Figure 3.2: IoU by level](paper/mnist_iou/figure_3_2.png)\n\n*IoU by level*",
        "![Figure 3.10](paper/mnist_iou/figure_3_10.png)",
        "![Figure seeds](paper/mnist_iou/figure_seeds.png)",
        "- [Table 3.1](paper/mnist_iou/table_3_1.csv): levels",
        "## mnist_iou, profile laptop",
    ]
    positions = {part: page.find(part) for part in parts}
    assert -1 not in positions.values(), positions
    assert list(positions.values()) == sorted(positions.values()), positions
    assert "quick/" not in page and str(figures) not in page
    assert write_gallery(figures).read_text() == page


def test_claims_show_what_their_criterion_is_worth_and_what_it_was_before(figures):
    page = write_gallery(figures).read_text()
    assert "at floor" not in page, "results of older versions lack these columns"
    head, row = CLAIMS.split("\n", 1)
    lines = [
        f"{head},at_floor,at_chance,trainings,changed",
        f"{row.rstrip()},0.98765,0.0001234,3,was 0.4",
        'I2,"c",thesis,not tested here,none,the mean,at least,0.5,,,,1,',
    ]
    (figures / "paper" / "mnist_iou" / "claims.csv").write_text("\n".join(lines) + "\n")
    page = write_gallery(figures).read_text()
    assert "| relation | limit | at floor | at chance | trainings | changed |" in page
    assert "| at least | 0.5 | 0.988 | 0.000123 | 3 | was 0.4 |" in page
    assert "| at least | 0.5 |  |  | 1 |  |" in page


def test_the_scale_of_a_run_is_shown_with_the_papers_in_brackets(figures):
    table = (
        "dataset,images,width,parameters,accuracy,map,paper_width,paper_parameters,paper_accuracy\n"
        "CIFAR-10,cifar10,64,2330698,90.125,8,128.0,9306250.0,93.78\n"
        "generated,generated-10,8,37330,97.0,8,,,\n"
    )
    (figures / "paper" / "mnist_iou" / "table_scale.csv").write_text(table)
    page = write_gallery(figures).read_text()
    assert "| CIFAR-10 | cifar10 | 64 (128) | 2,330,698 (9,306,250) | 90.1 (93.8) | 8 |" in page
    assert "| generated | generated-10 | 8 | 37,330 | 97 | 8 |" in page


def test_readme_shows_the_scale_of_every_study(figures):
    table = (
        "dataset,images,width,parameters,size,test_images,epochs,accuracy,paper_width\n"
        "CIFAR-10,cifar10,64,2330698,32,10000,30,90.125,128.0\n"
    )
    assert "The scale" not in readme.results(figures)
    (figures / "paper" / "mnist_iou" / "table_scale.csv").write_text(table)
    row = readme.results(figures).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == [
        "CIFAR-10",
        "cifar10",
        "64 (128)",
        "2,330,698",
        "32",
        "10,000",
        "30",
        "90.1",
    ]


def test_a_figure_is_described_by_what_is_seen_and_linked_to_where_it_comes_from(figures):
    folder = figures / "paper" / "mnist_iou"
    (folder / "alt_texts.json").write_text(json.dumps({"figure_3_2": "IoU [0, 1] falls"}))
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | {"git": "abc123"}))
    (folder / "table_figure_3_1.csv").write_text("level,iou\n")
    (folder / "figure_3_2.svg").write_text("<svg/>")
    lines = write_gallery(figures).read_text().splitlines()
    start = lines.index("![Figure 3.2: IoU \\[0, 1\\] falls](paper/mnist_iou/figure_3_2.png)")
    assert lines[start + 2] == "*IoU by level*", "the caption is not the description"
    assert lines[start + 4].split(" · ") == [
        "[notebook 05](../notebooks/05_mnist_iou.ipynb#figure_3_2)",
        "[`table_figure_3_1`](paper/mnist_iou/table_figure_3_1.csv)",
        "[manifest](paper/mnist_iou/manifest.json)",
        "[SVG](paper/mnist_iou/figure_3_2.svg)",
        "commit `abc123`",
    ]


def test_every_committed_plot_of_numbers_is_linked_to_its_table():
    page = (ROOT / "figures" / "README.md").read_text()
    # Diagrams, images and eigenvalues: their numbers are in no table.
    without = {"csg/figure_1", "csg/figure_method", "csg/figure_eigenvalues"}
    without |= {f"mnist_iou/figure_2_{number}" for number in (1, 2, 3)}
    without |= {f"sweeps/figure_{name}" for name in ("2", "3", "connections")}
    without |= {f"pe_score/figure_{number}" for number in (1, 3)}
    without |= {f"sp2ps/figure_{number}" for number in (2, 3)}
    for plot in sorted((ROOT / "figures").glob("*/*/figure_*.svg")):
        is_committed = plot.parts[-3] != "quick"  # which `make reproduce` leaves here
        if not is_committed or f"{plot.parent.name}/{plot.stem}" in without:
            continue
        link = f"[SVG]({plot.relative_to(ROOT / 'figures').as_posix()})"
        (line,) = [line for line in page.splitlines() if link in line]
        assert "[`table_" in line, link


def test_every_published_number_is_shown_with_ours():
    page = (ROOT / "figures" / "README.md").read_text()
    table = pd.read_csv(ROOT / "figures" / "paper" / "mnist_iou" / "table_published.csv")
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    for row in table.itertuples():
        beginning = f"| {row.quantity}"
        (line,) = [ln for ln in lines if ln.startswith(beginning) and row.source in ln]
        _, published, ours, *_ = (cell.strip() for cell in line.strip("|").split("|"))
        assert float(published) == pytest.approx(row.published, rel=1e-3)
        assert float(ours.split(" ")[0]) == pytest.approx(row.ours, rel=1e-3)


def test_a_spread_that_is_only_rounding_is_shown_as_zero(tmp_path):
    folder = tmp_path / "paper" / "csg"
    folder.mkdir(parents=True)
    rows = [
        "quantity,unit,published,source,ours,sd,seeds,difference",
        "a,,1,p,5.931,9.1e-16,20,0.1",
        "b,,1,p,0,1e-17,20,0.1",
        "c,,1,p,5,0.02,20,0.1",
        "d,,1,p,5,,1,0.1",
    ]
    (folder / "table_published.csv").write_text("\n".join(rows) + "\n")
    page = write_gallery(tmp_path).read_text()
    for text in ("5.931 ± 0 (20 seeds)", "| 0 ± 0 (20 seeds)", "5 ± 0.02 (20 seeds)", "| 5 |"):
        assert text in page


def test_the_page_says_if_there_are_no_results(tmp_path):
    page = write_gallery(tmp_path / "figures").read_text()
    assert "No results are committed yet." in page
