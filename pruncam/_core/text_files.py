"""Reading of text files that may be damaged: an error names the file and says what to do."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

# What to do about a damaged result, and a damaged part of the package.
RUN_AGAIN = "run its study again, or restore the file from the repository"
INSTALL_AGAIN = "install pruncam again, or restore the file from the repository"


class DamagedFile(ValueError):
    """A file that is not what it should be; the message names it and says what to do."""


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Return a JSON object. Raises DamagedFile, with the remedy, if the file does not hold one."""
    try:
        content = json.loads(_text(path, remedy))
    except ValueError as error:
        raise _damaged(path, error, remedy) from error
    if not isinstance(content, dict):
        raise _damaged(path, "it holds no object", remedy)
    return content


def read_yaml(path: Path, remedy: str) -> dict[str, Any]:
    """Return a YAML mapping. Raises DamagedFile, with the remedy, if the file does not hold one.

    A file whose last line has no end was cut off.
    """
    text = _complete_text(path, remedy)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _damaged(path, error, remedy) from error
    if not isinstance(content, dict):
        raise _damaged(path, "it holds no settings", remedy)
    return content


def read_rows(path: Path, remedy: str) -> list[dict[str, str]]:
    """Return the rows of a CSV as texts by column.

    Raises DamagedFile, with the remedy, if the last line has no end or a row more or fewer fields
    than the header.
    """
    return _rows(path, _complete_text(path, remedy), remedy)


def read_table(path: Path, remedy: str, **options: Any) -> pd.DataFrame:
    """Return a CSV as `pandas.read_csv` does with `options`; errors are those of `read_rows`."""
    text = _complete_text(path, remedy)
    _rows(path, text, remedy)
    try:
        return pd.read_csv(io.StringIO(text), **options)
    except ValueError as error:
        raise _damaged(path, error, remedy) from error


def _rows(path: Path, text: str, remedy: str) -> list[dict[str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        rows = []
        for row in reader:
            if len(row) != len(header):
                fields = f"line {reader.line_num} has {len(row)} fields instead of {len(header)}"
                raise _damaged(path, fields, remedy)
            rows.append(dict(zip(header, row, strict=True)))
    except csv.Error as error:
        raise _damaged(path, error, remedy) from error
    return rows


def _complete_text(path: Path, remedy: str) -> str:
    text = _text(path, remedy)
    if not text.endswith("\n"):
        fault = "its last line is cut off" if text else "it is empty"
        raise _damaged(path, fault, remedy)
    return text


def _text(path: Path, remedy: str) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is no UTF-8 text", remedy) from error
    except OSError as error:
        raise _damaged(path, error, remedy) from error


def _damaged(path: Path, fault: object, remedy: str) -> DamagedFile:
    reason = getattr(fault, "strerror", None) or " ".join(str(fault).split())
    return DamagedFile(f"{path} cannot be read ({reason}): {remedy}")
