"""Pages of executed notebooks without a server, equations as MathML, and figures in notebooks."""

import base64
import re
from xml.etree import ElementTree

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pruncam.reproduce import verdicts
from pruncam.reproduce.figure_tables import tables_behind
from pruncam.reproduce.mathml import to_mathml
from pruncam.reproduce.notebook_figures import shown_figures
from pruncam.reproduce.pages import to_page

MATHML = "{http://www.w3.org/1998/Math/MathML}"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def image(alt: str = "") -> nbformat.NotebookNode:
    metadata = {"image/png": {"alt": alt}} if alt else {}
    return new_output("display_data", data={"image/png": PIXEL}, metadata=metadata)


def caption(text: str) -> nbformat.NotebookNode:
    return new_output("display_data", data={"text/markdown": text})


# ---------------------------------------------------------------- equations


def test_an_equation_becomes_the_mathml_of_its_parts():
    element = ElementTree.fromstring(to_mathml(r"\frac{a}{b_i}", block=True))
    assert (element.tag, element.get("display")) == (f"{MATHML}math", "block")
    numerator, denominator = element.find(f".//{MATHML}mfrac")
    assert "".join(numerator.itertext()) == "a"
    assert [child.text for child in denominator.find(f".//{MATHML}msub")] == ["b", "i"]


@pytest.mark.parametrize("environment", ["aligned", "align*", "cases", "gathered"])
def test_lines_of_an_equation_become_rows_of_a_table(environment):
    latex = rf"\begin{{{environment}}} a &= b \\ c &= d \end{{{environment}}}"
    element = ElementTree.fromstring(to_mathml(latex, block=True))
    rows = element.findall(f".//{MATHML}mtr")
    assert ["".join(row.itertext()) for row in rows] == ["a=b", "c=d"]


def test_a_width_that_mathml_core_does_not_know_is_left_out():
    assert "negativethinmathspace" not in to_mathml(r"\max\!\left(0, x\right)", block=False)


def test_an_equation_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"not an equation in LaTeX: '\\\\left\( x'"):
        to_mathml(r"\left( x", block=True)


# ---------------------------------------------------------------- pages


@pytest.fixture(scope="module")
def page():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "VBox()"}
    cells = [
        new_markdown_cell("# Title\n\nCosts \\$5, and $x < y$ here.\n\n$$\n\\sum_i x_i\n$$\n"),
        new_code_cell("draw()", outputs=[image("a cat & a dog")]),
        new_code_cell("explore()", outputs=[new_output("display_data", data=widget)]),
    ]
    metadata = {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}}}
    return to_page(new_notebook(cells=cells, metadata=metadata), "05_mnist_iou")


def test_a_page_has_no_script_and_loads_nothing(page):
    assert "<title>05_mnist_iou</title>" in page
    assert "<script" not in page
    loaded = re.findall(r"""(?:src|srcset)=["']([^"']+)""", page)
    loaded += re.findall(r"<link[^>]+href=[\"']([^\"']+)", page)
    loaded += re.findall(r"url\(\s*[\"']?([^\"')]+)|@import", page)
    assert all(source.startswith(("data:", "#")) for source in loaded), loaded


def test_links_of_a_page_lead_to_the_folder_of_its_notebook():
    source = "[a](GLOSSARY.md#iou) [b](#top) [c](https://x.org/y) [d](../figures/README.md)"
    page = to_page(new_notebook(cells=[new_markdown_cell(source)]), "x", "../../my notebooks")
    links = re.findall(r'<a href="([^"]+)">[a-d]</a>', page)
    base = "../../my%20notebooks"
    expected = [f"{base}/GLOSSARY.md#iou", "#top", "https://x.org/y"]
    assert links == [*expected, f"{base}/../figures/README.md"]


def test_a_page_shows_equations_and_descriptions_and_says_that_controls_need_a_kernel(page):
    assert page.count("<math") == 2 and 'display="block"' in page
    assert "Costs $5" in page
    assert 'alt="a cat &amp; a dog"' in page
    assert "Controls need a kernel" in page and "VBox" not in page


# ---------------------------------------------------------------- figures in notebooks


def test_figures_are_described_by_themselves_their_caption_or_their_heading(tmp_path):
    cells = [
        new_code_cell('result.show("3.1")', outputs=[image("curves"), caption("*Figure 3.1.* A")]),
        new_code_cell('result.show("a b")\n', outputs=[image(), caption("*Maps* of `cats`.")]),
        new_markdown_cell("# Title\n\n## One digit of each class\n\ntext"),
        new_code_cell("plots.show(\n    figure\n)", outputs=[image()]),
        new_code_cell('result.show("4")\nresult.show("5")', outputs=[image("one of two")]),
    ]
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    shown = [(figure.anchor, figure.description) for figure in shown_figures(path)]
    assert shown == [
        ("figure_3_1", "curves"),
        ("figure_a_b", "Maps of cats."),
        ("", "Figure of the section: One digit of each class"),
        ("", "one of two"),
    ]


def test_only_tables_that_exist_are_behind_a_figure(tmp_path):
    folder = tmp_path / "sp2ps"
    folder.mkdir()
    (folder / "table_curves.csv").touch()
    assert tables_behind(folder / "figure_10.png") == [folder / "table_curves.csv"]
    assert tables_behind(folder / "figure_1.png") == []
    assert tables_behind(tmp_path / "unknown" / "figure_1.png") == []


# ---------------------------------------------------------------- verdicts


@pytest.fixture
def figures(tmp_path):
    """Claims of two papers in three studies, one of them in two profiles."""
    rows = {
        "paper/csg": [("C7", "PE-score, Section 4.1", "undecided"), ("C3", "thesis", "reproduced")],
        "laptop/csg": [("C7", "PE-score, Section 4.1", "not reproduced")],
        "laptop/pe_score": [("P1", "PE-score, Figure 4", "holds on stand-in")] * 2,
    }
    for folder, claims in rows.items():
        path = tmp_path / folder
        path.mkdir(parents=True)
        table = pd.DataFrame(claims, columns=["claim", "source", "verdict"])
        table.assign(sentence="a | b", evidence="0.5").to_csv(path / "claims.csv", index=False)
    return tmp_path


def test_verdicts_are_counted_by_paper_in_the_profile_nearest_to_it(figures):
    lines = verdicts.by_paper(figures, gallery="g.md").splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[1:] for row in cells] == [
        [
            "3",
            "2 hold on stand-in data, 1 undecided",
            "[`csg`](g.md#csg-profile-paper), paper, "
            "[`pe_score`](g.md#pe_score-profile-laptop), laptop",
        ],
        ["1", "1 reproduced", "[`csg`](g.md#csg-profile-paper), paper"],
    ]
    assert cells[0][0].startswith("[PE-score](https://doi.org/10.3390/bdcc7020111)")


def test_every_claim_is_listed_under_its_paper(figures):
    text = verdicts.by_claim(figures, gallery="g.md")
    assert [line.split()[1] for line in text.splitlines() if line.startswith("## ")] == [
        "[PE-score](https://doi.org/10.3390/bdcc7020111),",
        "Heatmaps",
    ]
    assert text.count("a \\| b") == 4


def test_without_results_both_tables_say_so(tmp_path):
    for table in (verdicts.by_paper, verdicts.by_claim):
        assert table(tmp_path, gallery="g.md") == "No results are committed yet."


def test_every_committed_claim_belongs_to_a_paper():
    from pruncam._core import paths

    figures = paths.project_root() / "figures"
    counted = verdicts.by_paper(figures, gallery="g.md").splitlines()[2:]
    claims = pd.concat(pd.read_csv(path) for path in figures.glob("*/*/claims.csv"))
    newest = verdicts.shown_results(figures)
    total = sum(len(pd.read_csv(folder / "claims.csv")) for folder in newest)
    assert sum(int(line.split("|")[2]) for line in counted) == total <= len(claims)
