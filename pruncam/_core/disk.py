"""Errors of full and read-only disks, in one sentence that names the folder and what to do."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Raise errors of a full or read-only disk, on which `folder` is, with a full sentence."""
    try:
        yield
    except OSError as error:
        sentence = _sentence(error, folder)
        if sentence is None:
            raise
        clear = type(error)(sentence)
        clear.errno = error.errno
        raise clear from error


def check_writable(folder: Path, purpose: str, remedy: str) -> None:
    """Raise OSError, before any work is done, unless files can be written to `folder`.

    The folder is created if it is missing. `purpose` says what it is for, such as "figures";
    `remedy` says what to do instead, such as "name another folder in PRUNCAM_FIGURES".
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"text")
    except OSError as error:
        clear = type(error)(
            f"no {purpose} can be written to {folder} ({_reason(error)}): {remedy}, or make it "
            "writable"
        )
        clear.errno = error.errno
        raise clear from error


def may_be_written(folder: Path) -> bool:
    """Return whether files can be written to a folder, or the folder created; nothing is created.

    A full disk counts as one that can be written.
    """
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line, the name of its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _sentence(error: OSError, folder: Path) -> str | None:
    """Return what is wrong with the disk and what to do; None for other errors."""
    if error.errno in _FULL:
        return (
            f"the disk of {folder} is full ({_free(folder)}): free some space there, or choose a "
            "folder on another disk"
        )
    if error.errno == errno.EFBIG:
        return f"files of this size are not allowed in {folder}: raise the limit (`ulimit -f`)"
    if error.errno in _FORBIDDEN:
        return f"{folder} cannot be written ({_reason(error)}): choose another folder"
    return None


def _reason(error: OSError) -> str:
    return error.strerror or one_line(error)


def _free(folder: Path) -> str:
    """Return the free space of a folder's disk as text."""
    while not folder.exists():
        folder = folder.parent
    if not os.path.isdir(folder):
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 2**20:,.1f} MiB left"
