"""The command that made a report, as text: options that differ from their defaults."""

import dataclasses
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from pruncam._core.text import printable


def command_text(*records: Any) -> str:
    """Return the command line of dataclasses whose fields are options.

    Paths are reduced to the names of files and folders: a report that is passed on does not tell
    where they lay.
    """
    words = [word for record in records for word in _words(record)]
    return shlex.join(["pruncam", "compare", *words])


def _words(record: Any) -> Iterator[str]:
    """Iterate over names and values of the options that are not at their defaults."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if "help" not in field.metadata or value == field.default:
            continue
        yield field.metadata.get("option", f"--{field.name.replace('_', '-')}")
        if value is True:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        yield from map(_without_folder, values)


def _without_folder(value: Any) -> str:
    """Return a value as text, a path without its folders."""
    if re.fullmatch(r"[0-9]+/[0-9]+", str(value)):
        return str(value)  # a shard
    if not isinstance(value, str | os.PathLike):
        return f"{value:g}" if isinstance(value, float) else str(value)
    path, colon, function = str(value).partition(":")
    name = PurePath(path).name or path
    if os.sep in function:  # a drive letter, not "FILE.py:function"
        return printable(PurePath(function).name)
    return printable(f"{name}{colon}{function}")
