"""A line below each figure of a notebook: its numbers, and the same figure on real data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from book import output_images, shown
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from pruncam.report import committed
from pruncam.reproduce.figure_tables import tables_behind
from pruncam.reproduce.notebook_list import study_of

# The committed notebooks run the profile quick, and the tests compare their tables with these.
_QUICK_TABLES = Path("tests/expected/quick")
_GALLERY = "figures/README"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the pass over a page; it comes before Sphinx collects the files to copy."""
    app.connect("doctree-read", _add_origins, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _add_origins(app: Sphinx, document: nodes.document) -> None:
    path = Path(app.env.doc2path(app.env.docname))
    study = study_of(path.stem) if path.suffix == ".ipynb" else None
    if study is None:
        return
    for image, figure in zip(list(output_images(document)), shown(path), strict=True):
        if figure.anchor:
            line = nodes.paragraph(classes=["origin"])
            line += _links(app, study, figure.anchor)
            _insert_below(image, line)


def _insert_below(image: nodes.image, line: nodes.paragraph) -> None:
    """Insert a line below an image and its caption, the text that follows it if there is one."""
    place = image.parent.index(image) + 1
    following = image.parent[place : place + 1]
    if any(isinstance(node, nodes.paragraph) for node in following):
        place += 1
    image.parent.insert(place, line)


def _links(app: Sphinx, study: str, anchor: str) -> Iterator[nodes.Node]:
    """Iterate over the links of one figure, with words between them."""
    tables = tables_behind(app.srcdir / _QUICK_TABLES / study / f"{anchor}.png")
    for number, table in enumerate(tables):
        yield nodes.Text(", " if number else "Its numbers: ")
        target = f"/{table.relative_to(app.srcdir).as_posix()}"
        link = addnodes.download_reference(
            "", "", reftarget=target, refdoc=app.env.docname, refexplicit=True
        )
        link += nodes.literal("", table.stem)
        yield link
    profile, _ = committed.best(study)
    section = f"{study}-profile-{profile}".lower()
    page = app.builder.get_relative_uri(app.env.docname, _GALLERY)
    yield nodes.Text(". " if tables else "")
    yield nodes.Text("On real data, with manifest and commit: ")
    yield nodes.reference("", "the gallery", internal=True, refuri=f"{page}#{section}")
    yield nodes.Text(".")
