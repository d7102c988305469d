"""What the book adds to Sphinx: equations as MathML, described figures with an address."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

from pruncam.reproduce.mathml import to_mathml
from pruncam.reproduce.notebook_figures import ShownFigure, shown_figures


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer of equations and the passes over a page."""
    app.add_html_math_renderer("mathml", (_visit_math, _pass), (_visit_math_block, _pass))
    app.connect("doctree-read", _describe_figures)
    app.connect("doctree-read", _aim_links_at_figures)
    app.connect("build-finished", _name_controls)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


# ---------------------------------------------------------------- equations


def _visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(to_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation, with its number and a link to itself if it has a label."""
    label = node.get("label")
    anchor = f' id="{node["ids"][0]}"' if node["ids"] else ""
    self.body.append(f'<div class="math-block" tabindex="0"{anchor}>')
    self.body.append(to_mathml(node.astext(), block=True))
    if label and node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})</span>')
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _pass(self: HTML5Translator, node: nodes.Element) -> None:
    """Do nothing when an equation ends: it was written as a whole."""


# ---------------------------------------------------------------- figures of notebooks


def _describe_figures(app: Sphinx, document: nodes.document) -> None:
    """Give the figures of a notebook their alternative text, and an address for links."""
    path = app.env.doc2path(app.env.docname)
    if path.suffix != ".ipynb":
        return
    slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for image, figure in zip(output_images(document), shown(path), strict=True):
        image["alt"] = figure.description
        if figure.anchor and figure.anchor not in slugs:
            image["ids"].append(figure.anchor)
            slugs[figure.anchor] = (0, figure.anchor, figure.title)


def _aim_links_at_figures(app: Sphinx, document: nodes.document) -> None:
    """Aim the gallery's links at the top of a notebook that does not show the figure."""
    for link in document.findall(addnodes.pending_xref):
        fragment = link.get("reftargetid") or ""
        if link.get("refdomain") != "doc" or not fragment.startswith("figure_"):
            continue
        path = app.env.doc2path(link["reftarget"])
        if path.suffix == ".ipynb" and fragment not in {figure.anchor for figure in shown(path)}:
            link["reftargetid"] = None


@cache
def shown(notebook: Path) -> list[ShownFigure]:
    """Return the figures of a notebook in their order."""
    return shown_figures(notebook)


def output_images(document: nodes.document) -> Iterator[nodes.image]:
    """Iterate over the images among the outputs of a notebook's cells, in their order."""
    for output in document.findall(nodes.container):
        if "cell_output" in output["classes"]:
            yield from output.findall(nodes.image)


# ---------------------------------------------------------------- the theme

# Controls of the theme whose names a screen reader does not get, or that differ from their text.
_NAMELESS = {
    '<summary><span class="toctree-toggle"': (
        '<summary aria-label="pages below"><span class="toctree-toggle"'
    ),
    'pst-js-only" title="Search" aria-label="Search"': 'pst-js-only" title="Search"',
}


def _name_controls(app: Sphinx, error: Exception | None) -> None:
    """Give the controls of all pages names."""
    if error is not None:
        return
    for page in app.outdir.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for old, new in _NAMELESS.items():
            text = text.replace(old, new)
        page.write_text(text, encoding="utf-8")
