"""Temporary files: those of dead processes are removed, those of living ones never."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pruncam._core import leftovers
from pruncam._core.store import write_text_atomically

WEEK = 7 * 24 * 3600
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="not Linux")


@pytest.fixture
def dead(tmp_path):
    """Names of a file and a folder that a process leaves which is killed while it writes."""
    program = (
        "import os, signal, sys, pathlib\n"
        "from pruncam._core import leftovers\n"
        "path = leftovers.temporary_beside(pathlib.Path(sys.argv[1]) / 'table.csv')\n"
        "folder = leftovers.temporary_folder('.saving', path.parent)\n"
        "print(path.name, pathlib.Path(folder.name).name, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True
    )
    file, folder = process.stdout.split()
    (tmp_path / file).write_text("half")
    (tmp_path / folder / "half.csv").write_text("half")
    return file, folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_dead_process_left_goes_with_the_next_file_in_the_folder(tmp_path, dead):
    assert set(names(tmp_path)) == set(dead)
    (tmp_path / ".hidden").write_text("mine")
    (tmp_path / "table.csv").write_text("mine")
    write_text_atomically(tmp_path / "new.txt", "new")
    assert names(tmp_path) == [".hidden", "new.txt", "table.csv"]


def test_the_files_of_a_living_process_stay(tmp_path):
    path = leftovers.temporary_beside(tmp_path / "table.csv")
    path.write_text("half")
    os.utime(path, (0, 0))  # however old
    with leftovers.temporary_folder(".running", tmp_path) as folder:
        assert leftovers.sweep(tmp_path) == []
        assert path.exists() and Path(folder).exists()


@NEEDS_PROC
def test_a_process_with_a_number_that_was_used_before_is_another_one(tmp_path, dead):
    def renumbered(name):
        return re.sub(r"(\.[0-9a-f]{8})-\d+-(\d+)", rf"\1-{os.getpid()}-\2", name)

    for name in dead:
        (tmp_path / name).rename(tmp_path / renumbered(name))
    assert len(leftovers.sweep(tmp_path)) == 2 and names(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        ".table.00000000-12-345.6789.csv",  # of another machine
        ".table.12345-123456789012345.csv",  # of older versions
        ".saving-abcd_efg",
        "pruncam-kernel-abcd1234",
    ],
)
def test_what_cannot_be_known_to_be_dead_stays_for_a_week(tmp_path, name):
    path = tmp_path / name
    path.write_text("half")
    assert leftovers.sweep(tmp_path) == []
    long_ago = time.time() - WEEK - 60
    os.utime(path, (long_ago, long_ago))
    assert leftovers.sweep(tmp_path) == [path]


@pytest.mark.parametrize(
    "name", [".bashrc", ".backup.2024-11.txt", "pruncam-notes", ".saving", "a.00000000-1-2.3.csv"]
)
def test_other_files_are_never_swept(tmp_path, name):
    path = tmp_path / name
    path.write_text("mine")
    os.utime(path, (0, 0))
    assert leftovers.sweep(tmp_path) == []
    assert path.exists()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.txt").write_text("mine")
    link = tmp_path / ".saving-abcd_efg"
    link.symlink_to(tmp_path / "mine")
    os.utime(link, (0, 0), follow_symlinks=False)
    assert leftovers.sweep(tmp_path) == [link]
    assert (tmp_path / "mine" / "data.txt").read_text() == "mine"
