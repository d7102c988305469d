"""Damaged text files: the error names the file and says what to do; no half file is used."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from pruncam._core import paths, text_files
from pruncam._core.text_files import DamagedFile
from pruncam.profiles import read_config
from pruncam.published import printed_tables, read_printed
from pruncam.report.claims import read_statements
from pruncam.reproduce import gallery, readme
from pruncam.studies.sweeps.config import SweepsConfig

PUBLISHED = paths.package_folder() / "published"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's settings and numbers, to be damaged."""
    for name in ("published", "profiles"):
        shutil.copytree(paths.package_folder() / name, tmp_path / name)
    monkeypatch.setattr(paths, "package_folder", lambda: tmp_path)
    return tmp_path


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def test_a_table_is_read_as_pandas_reads_it():
    for path in sorted(PUBLISHED.glob("*.csv")):
        table = text_files.read_table(path, "", keep_default_na=False)
        pd.testing.assert_frame_equal(table, pd.read_csv(path, keep_default_na=False))
        rows = text_files.read_rows(path, "")
        assert rows == pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")


@pytest.mark.parametrize("read", [text_files.read_table, text_files.read_rows])
def test_a_table_that_is_cut_within_a_line_is_refused(tmp_path, read):
    content = 'name,value\na,1\n"b, c",2.5\n'
    path = tmp_path / "table.csv"
    whole = [position for position in range(len(content)) if content[position] == "\n"]
    for size in range(len(content)):
        path.write_text(content[:size])
        if size - 1 in whole:
            assert len(read(path, "")) == whole.index(size - 1)
            continue
        with pytest.raises(DamagedFile, match=f"^{path} cannot be read .*: run again$"):
            read(path, "run again")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"a,b\n1,2,3\n", "line 2 has 3 fields instead of 2"),
        (b"a,b\n1\n", "line 2 has 1 fields instead of 2"),
        (b'a,b\n1,"2\n', "unexpected end of data"),
        (b"a,b\n1,\xff\n", "it is no UTF-8 text"),
    ],
)
def test_the_fault_of_a_table_is_named(tmp_path, content, reason):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DamagedFile, match=rf"table.csv cannot be read \({reason}\): run again$"):
        text_files.read_table(tmp_path / "table.csv", "run again")


def test_the_checksums_are_those_of_the_published_tables():
    files = {path.name for path in PUBLISHED.glob("*.csv")}
    assert printed_tables.checksums(PUBLISHED).keys() == files
    for name in files:
        assert len(read_printed(name.removesuffix(".csv"))) > 0


def test_a_published_table_without_its_last_rows_is_refused(package):
    path = package / "published" / "sp2ps.csv"
    read_printed("sp2ps")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\r\n".join(line.rstrip(b"\n") for line in [*lines, b""]))
    read_printed("sp2ps")  # with the ends of lines of Windows
    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(DamagedFile, match=f"^{path} is not the file that came with pruncam: inst"):
        read_printed("sp2ps")


def test_a_cut_profile_or_statement_is_named(package):
    profile = package / "profiles" / "quick" / "sweeps.yaml"
    statements = package / "published" / "claims" / "sp2ps.yaml"
    for path, read in (
        (profile, lambda: read_config(SweepsConfig, "sweeps", "quick", {})),
        (statements, lambda: read_statements("sp2ps")),
    ):
        read()
        cut(path, path.stat().st_size - 5)
        with pytest.raises(DamagedFile, match=f"^{path} cannot be read .its last line is cut off"):
            read()
        path.write_text("a: [1\n")
        with pytest.raises(DamagedFile, match=f"^{path} cannot be read .while parsing"):
            read()


def test_a_profile_that_lacks_a_value_is_named(package):
    profile = package / "profiles" / "quick" / "sweeps.yaml"
    profile.write_text("seed: 1\n")
    with pytest.raises(ValueError, match=f"^{profile}: no value for "):
        read_config(SweepsConfig, "sweeps", "quick", {})


@pytest.mark.parametrize("name", ["manifest.json", "claims.csv", "table_published.csv"])
def test_a_damaged_result_is_named_and_the_pages_stay_as_they_are(tmp_path, name):
    figures = tmp_path / "figures"
    committed = ROOT / "figures" / "paper" / "mnist_iou"
    copy = figures / "paper" / "mnist_iou"
    shutil.copytree(committed, copy, ignore=shutil.ignore_patterns("*.png", "*.svg"))
    gallery.write_gallery(figures)
    page = (figures / "README.md").read_bytes()
    damaged = copy / name
    cut(damaged, damaged.stat().st_size // 2)
    with pytest.raises(DamagedFile, match=f"^{damaged} cannot be read .*: run its study again"):
        gallery.write_gallery(figures)
    assert (figures / "README.md").read_bytes() == page
    if name == "claims.csv":
        with pytest.raises(DamagedFile, match=f"^{damaged} cannot be read"):
            readme.results(figures)
