"""The book of `make book`: it builds without a warning, is whole, and can be read offline."""

import importlib
import inspect
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest

import pruncam

sphinx_inventory = pytest.importorskip(
    "sphinx.util.inventory", reason="the extra `docs` is not installed"
)

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("cams", "complexity", "datasets", "metrics", "networks", "pruning", "scoring", "training")
PAGES = (
    "docs/index.html",
    "docs/mathematics.html",
    "docs/api/metrics.html",
    "notebooks/05_mnist_iou.html",
    "figures/README.html",
)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the book; a warning is an error, as in `make book`."""
    folder = tmp_path_factory.mktemp("book")
    options = ["-q", "-W", "--keep-going", "-c", "docs", "-d", str(folder / "trees")]
    command = [sys.executable, "-m", "sphinx", *options, ".", str(folder / "html")]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    return folder / "html"


class Page(HTMLParser):
    """The links, loaded files, anchors and images of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.tags: Counter[str] = Counter()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags[tag] += 1
        self.anchors |= {values.get("id"), values.get("name")}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        if tag in ("img", "script", "iframe", "source") and values.get("src"):
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") not in ("index", "search", "next", "prev"):
            self.loaded.append(values["href"])


@cache
def read(path: Path) -> Page:
    return Page(path)


def pages(book: Path) -> list[Path]:
    found = sorted(path for path in book.rglob("*.html") if "_static" not in path.parts)
    assert len(found) > 30
    return found


def test_every_link_inside_the_book_leads_somewhere(book):
    broken = []
    for path in pages(book):
        for link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            is_anchor = not parts.fragment or unquote(parts.fragment) in read(target).anchors
            if not target.is_file() or not is_anchor:
                broken.append(f"{path.relative_to(book)} -> {link}")
    assert not broken


def test_no_page_loads_anything_from_a_server(book):
    for path in pages(book):
        for source in read(path).loaded:
            parts = urlsplit(source)
            assert parts.scheme in ("", "data") and not parts.netloc, f"{path.name} loads {source}"
            file = path.parent / unquote(parts.path)
            assert parts.scheme == "data" or file.is_file(), f"{path.name} lacks {source}"


def test_every_image_is_described(book):
    images = [(path, image) for path in pages(book) for image in read(path).images]
    images = [(path, image) for path, image in images if "_static" not in image["src"]]
    assert len(images) > 100
    for path, image in images:
        alt = image.get("alt") or ""
        is_name = alt.endswith((".png", ".svg")) or Path(image["src"]).stem in alt
        assert len(alt) > 20 and not is_name, f"{path.relative_to(book)}: {image['src']}"
        assert "No description" not in alt


def test_a_figure_of_a_study_leads_to_its_numbers_and_to_real_data(book):
    page = (book / "notebooks" / "03_sp2ps.html").read_text(encoding="utf-8")
    origins = re.findall(r'<p class="origin">(.*?)</p>', page, re.DOTALL)
    assert all("figures/README.html#sp2ps-profile-" in origin for origin in origins)
    link = re.search(r'href="([^"]*/table_curves\.csv)"', " ".join(origins))
    copied = (book / "notebooks" / unquote(link[1])).resolve()
    committed = ROOT / "tests" / "expected" / "quick" / "sp2ps" / "table_curves.csv"
    assert copied.read_bytes() == committed.read_bytes()


def test_the_first_page_counts_the_verdicts_on_every_paper(book):
    text = (book / "docs" / "index.html").read_text()
    folders = ("paper/csg", "paper/mnist_iou")
    claims = [pd.read_csv(ROOT / "figures" / folder / "claims.csv") for folder in folders]
    thesis = claims[1]["verdict"].value_counts()
    assert 'href="#fig-mnist"' in text, "the figure is referred to by its number"
    assert f"{thesis['reproduced']} reproduced, {thesis['not reproduced']} not" in text
    sentences = (book / "docs" / "claims.html").read_text()
    for claim in pd.concat(claims)["claim"]:
        assert f"<p>{claim}</p>" in sentences


def has_docstring(value: object) -> bool:
    return inspect.isfunction(value) or inspect.isclass(value)


def test_every_public_name_is_in_the_reference(book):
    inventory = sphinx_inventory.InventoryFile.loads((book / "objects.inv").read_bytes(), uri="")
    documented = {name for kind, names in inventory.data.items() if "py:" in kind for name in names}
    public = {f"pruncam.{name}" for name in pruncam.__all__ if name != "__version__"}
    for room in ROOMS:
        module = importlib.import_module(f"pruncam.{room}")
        documentable = {name for name in module.__all__ if has_docstring(getattr(module, name))}
        public |= {f"pruncam.{room}.{name}" for name in documentable}
    assert not sorted(public - documented)


def test_the_formulas_name_functions_that_the_reference_has(book):
    page = book / "docs" / "mathematics.html"
    links = {link.partition("#")[2] for link in read(page).links if link.startswith("api/")}
    for name in ("metrics.ssim", "metrics.sp2ps", "metrics.pe_score", "csg", "pruning.rewind"):
        assert f"pruncam.{name}" in links
    text = page.read_text()
    linked = re.findall(r'<a class="reference internal" href="api/[^>]+><code class="xref py', text)
    assert len(linked) == text.count("xref py py-func") > 20
    assert text.count('href="#equation-eq-') >= 5, "equations are referred to by their numbers"
    source = (ROOT / "docs" / "mathematics.md").read_text()
    assert read(page).tags["math"] > source.count("$$") // 2 > 20
    assert source.count("$$ (eq-") == source.count("$$") // 2, "every equation has a label"


def test_the_book_is_read_and_searched_with_the_network_cut(book, browser):
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 844})
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: errors.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in PAGES:
        page.goto((book / name).as_uri())
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{name} scrolls sideways: {width} pixels"
    page.goto(f"{(book / 'search.html').as_uri()}?q=Laplacian")
    page.locator("#search-results a", has_text="From logits to every score").first.wait_for()
    assert not errors
    assert not [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    context.close()
