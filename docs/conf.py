"""Sphinx configuration of the book; `make book` builds it from the project's own pages.

The source folder is the project's root, so that links between pages hold as they are.
"""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS / "_ext")]

import pruncam  # noqa: E402
from pruncam.reproduce import verdicts  # noqa: E402

project = "pruncam"
author = "The pruncam developers"
copyright = author
version = release = pruncam.__version__

root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "data/README.md",
    "benchmarks/*.md",
    "figures/README.md",
    "notebooks/*.md",
    "notebooks/*.ipynb",
    "notebooks/solutions/*.ipynb",
    "docs/*.md",
    "docs/api/*.md",
]
exclude_patterns = [
    ".*",
    "**/.*",
    "**/__pycache__",
    "runs",
    "build",
    "dist",
    "data/[!R]*",
    "figures/quick",
]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "book", "figure_origins"]

# ---------------------------------------------------------------- pages

nb_execution_mode = "off"  # the committed notebooks are executed: `make notebooks`
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "dollarmath", "substitution"]
myst_heading_anchors = 4
myst_substitutions = {
    "papers": verdicts.by_paper(ROOT / "figures", gallery="../figures/README.md"),
    "claims": verdicts.by_claim(ROOT / "figures", gallery="../figures/README.md"),
}
numfig = True
math_number_all = False
html_math_renderer = "mathml"  # no script, no font: equations are MathML

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "imported-members": True}
default_role = "code"  # docstrings write names in single backticks
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_param = False  # or a word of a type that is also a name becomes a link
napoleon_use_rtype = False

# ---------------------------------------------------------------- HTML

html_theme = "sphinx_book_theme"
html_title = "pruncam"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_additional_pages = {"index": "redirect.html"}
templates_path = ["_templates"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it would fetch pages, which `file://` does not allow
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "navbar_persistent": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
