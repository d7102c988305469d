"""Executed notebooks as pages of one file each, which ask no server for anything."""

import re
from copy import deepcopy
from functools import cache
from typing import Any
from urllib.parse import quote

from pruncam._core.extras import needed_for
from pruncam.reproduce.mathml import to_mathml

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_RELATIVE_LINK = re.compile(r'(<a [^>]*href=")(?![a-z]+:|[#/])')
_NO_KERNEL = "*Controls need a kernel: open the notebook with `make lab` to move them.*"
# nbconvert's page without its scripts: require.js, MathJax, Mermaid and the manager of widgets.
_TEMPLATE = """
{%- extends "lab/index.html.j2" -%}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block data_png scoped %}
{%- set alt = output | get_metadata("alt", "image/png") -%}
{%- set marked = '<img alt="' ~ (alt | escape_html) ~ '" ' -%}
{{ super() | replace("<img ", marked, 1) if alt else super() }}
{% endblock %}
{% block notebook_css %}{{ super() }}
<style>
.jp-OutputArea-output { overflow-x: auto; }
.jp-InputPrompt, .jp-OutputPrompt { color: #595959 !important; opacity: 1 !important; }
.highlight .c1 { color: #2f6b6b !important; }
.highlight :is(.mi, .mf, .mb, .mh) { color: #007000 !important; }
.highlight :is(.ow, .o) { color: #8a1ad0 !important; }
.jp-RenderedHTMLCommon a:link { text-decoration: underline; }
</style>
{% endblock %}
"""


def to_page(notebook: Any, title: str, folder: str = "") -> str:
    """Return an executed notebook as HTML: equations are MathML, controls a sentence.

    `folder` is that of the notebook as seen from the page: relative links begin there.
    """
    page, _ = _exporter().from_notebook_node(
        _without_widgets(notebook), resources={"metadata": {"name": title}}
    )
    return _RELATIVE_LINK.sub(rf"\1{quote(folder)}/", page) if folder else page


@cache
def _exporter() -> Any:
    with needed_for("writing notebooks as pages", "notebooks"):
        from nbconvert import HTMLExporter
        from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        """The renderer of Markdown, with equations as MathML."""

        def block_math(self, body: str) -> str:
            return f"<p>{to_mathml(body, block=True)}</p>"

        def inline_math(self, body: str) -> str:
            return to_mathml(body, block=False)

    def to_html(source: str) -> str:
        return MarkdownWithMath(renderer=Renderer(escape=False)).render(source)

    return HTMLExporter(
        raw_template=_TEMPLATE,
        filters={"markdown2html": to_html},
    )


def _without_widgets(notebook: Any) -> Any:
    """Return a copy in which a sentence stands for every control that would need a script."""
    notebook = deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if _WIDGET_VIEW in output.get("data", {}):
                output.data = {"text/markdown": _NO_KERNEL}
    return notebook
