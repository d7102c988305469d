"""`pruncam cache`: what is listed, and what is removed by age and size."""

import os
import time
from pathlib import Path

import pytest

from pruncam import cli
from pruncam._core import cache_files
from pruncam._core.store import Step, Store

DAY = 24 * 3600


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with steps of two kinds, used 50, 40, 3 and 0 days ago, and a file of somebody."""
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path))
    for name, days, size in (("model", 50, 3000), ("scores", 40, 500), ("model", 3, 2000)):
        step = Step(name, 1, {"days": days})
        Store().get(step, lambda: "")
        resize(Store().path(step), size, days)
    unfinished = Store().path(Step("model", 1, {})).with_suffix(".unfinished")
    unfinished.write_bytes(bytes(1500))
    (tmp_path / "model" / "notes.txt").write_text("mine")
    return tmp_path


def resize(path, size, days):
    path.write_bytes(bytes(size))
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def sizes(cache):
    return sorted(file.size for file in cache_files.cache_files(cache))


def listed(capsys, *arguments):
    assert cli.main(["cache", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_steps_are_listed_by_kind(cache, capsys):
    lines = listed(capsys)
    assert lines[0] == f"{cache}: 4 files, 7.0 kB"
    assert [line.split()[:-2] for line in lines[2:]] == [
        ["model", "2", "5.0", "kB"],
        ["model,", "unfinished", "1", "1.5", "kB"],
        ["scores", "1", "500", "bytes"],
    ]
    assert sizes(cache) == [500, 1500, 2000, 3000]


@pytest.mark.parametrize(
    ("arguments", "rest"),
    [
        (["--older-than", "45d"], [500, 1500, 2000]),
        (["--older-than", "36h"], [1500]),
        (["--older-than", "10w"], [500, 1500, 2000, 3000]),
        (["--keep", "4kB"], [500, 1500, 2000]),
        (["--keep", "3999B"], None),
        (["--keep", "0.0035 MB"], [1500, 2000]),
        (["--keep", "1GB"], [500, 1500, 2000, 3000]),
        (["--older-than", "45d", "--keep", "2kB"], [1500]),
    ],
)
def test_what_was_unused_for_longest_goes_first(cache, capsys, arguments, rest):
    if rest is None:
        assert cli.main(["cache", *arguments]) == 2
        assert "'3999B' is not a size such as 500MB or 5GB" in capsys.readouterr().err
        return
    before = listed(capsys, *arguments, "--dry-run")
    assert sizes(cache) == [500, 1500, 2000, 3000], "a dry run removes nothing"
    after = listed(capsys, *arguments)
    assert sizes(cache) == rest
    removed = after[: after.index("")]
    assert "\n".join(before).partition("would be ")[2] == "\n".join(removed)
    assert (cache / "model" / "notes.txt").exists()


def test_a_step_that_is_read_counts_as_used(cache, monkeypatch):
    step = Step("other", 1, {})
    Store().get(step, lambda: "value")
    path = Store().path(step)
    os.utime(path, (0, 0))
    Store().get(step, lambda: "value")
    (file,) = [file for file in cache_files.cache_files(cache) if file.path == path]
    assert time.time() - file.used < 60
    assert path.stat().st_mtime == 0


def test_what_killed_processes_left_is_listed_and_goes_first(cache, capsys):
    left = cache / "model" / ".0123.12345-123456789012345.pt"
    left.write_bytes(bytes(4000))
    os.utime(left, (0, 0))
    assert "left by killed processes" in "\n".join(listed(capsys))
    listed(capsys, "--keep", "1GB")
    assert not left.exists() and sizes(cache) == [500, 1500, 2000, 3000]


def test_an_empty_cache_is_no_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "none"))
    assert listed(capsys) == [f"{tmp_path / 'none'}: nothing"]
    assert not Path(tmp_path / "none").exists()
