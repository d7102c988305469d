"""The folder of a shard: JSON, and a table of scores with an array for every column."""

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pruncam._core.store import write_folder_atomically
from pruncam.comparison.figures import Picture
from pruncam.comparison.measurements import Facts, Measurements
from pruncam.comparison.settings import Settings
from pruncam.comparison.shards import Shard
from pruncam.datasets import DataError

SHARD = "shard.json"
_FORMAT = 1  # raise when the files change
_TABLES = ("rows", "hits", "layer_rows")


def shard_folder(parent: Path, number: int, count: int) -> Path:
    """Return the folder of a shard below the folder of all shards."""
    return parent / f"shard-{number:0{len(str(count))}d}-of-{count}"


def check_shard_folder(folder: Path) -> None:
    """Raise FileExistsError or PermissionError if no shard can be written to `folder`."""
    if folder.exists() and not (folder / SHARD).is_file():
        raise FileExistsError(f"{folder} exists and is not a shard: choose another name for --out")
    parent = next(parent for parent in folder.parents if parent.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(f"cannot write to {parent}: choose another folder for the shards")


def save_shard(shard: Shard, parent: str | os.PathLike) -> Path:
    """Write a shard into a folder of its number below `parent`; return this folder.

    The folder is written completely or not at all; an earlier one of this number is replaced.
    `rows.npz` holds the scores: an array for every column of `scoring.score_many`, `image` being
    the number in the whole comparison.
    """
    folder = shard_folder(Path(parent).expanduser().absolute(), shard.number, shard.count)
    check_shard_folder(folder)
    write_folder_atomically(folder, lambda new: _write_files(shard, new))
    return folder


def read_shard(folder: Path) -> Shard:
    """Read the folder of a shard. Raises DataError if a file is missing or damaged."""
    try:
        return _read_files(folder)
    except Exception as error:  # a damaged file may raise any kind of error
        reason = str(error) if isinstance(error, DataError) else type(error).__name__
        raise DataError(
            f"the shard {folder} is damaged or incomplete ({reason}): "
            "remove it and run `pruncam compare --shard` of this number again"
        ) from error


def _write_files(shard: Shard, folder: Path) -> None:
    measured = shard.measured
    for name in _TABLES:
        table = getattr(measured, name)
        if table is not None:
            columns = {column: _array(table[column]) for column in table}
            _write_arrays(folder / f"{name}.npz", columns)
    _write_arrays(folder / "pictures.npz", _stacked(measured.pictures))
    content = {
        "format": _FORMAT,
        "number": shard.number,
        "count": shard.count,
        "job": shard.job,
        "images": [measured.numbers.start, measured.numbers.stop],
        "names": measured.files,
        "faithfulness": _records(measured.faithfulness),
        "facts": _plain_facts(measured.facts),
        "files": {file.name: _sha256(file) for file in sorted(folder.iterdir())},
    }
    text = json.dumps({"sha256": _digest(content), "shard": content}, indent=1, default=_item)
    (folder / SHARD).write_text(f"{text}\n", encoding="utf-8")


def _read_files(folder: Path) -> Shard:
    outer = json.loads((folder / SHARD).read_text(encoding="utf-8"))
    content = outer["shard"]
    if content["format"] != _FORMAT:
        raise DataError(f"it has the format {content['format']}, not {_FORMAT}")
    if outer["sha256"] != _digest(content):
        raise DataError(f"{SHARD} was changed")
    for name, sha256 in content["files"].items():
        if not (folder / name).is_file():
            raise DataError(f"{name} is missing")
        if _sha256(folder / name) != sha256:
            raise DataError(f"{name} was changed")
    tables = {
        name: _read_table(folder / f"{name}.npz") if f"{name}.npz" in content["files"] else None
        for name in _TABLES
    }
    faithfulness = content["faithfulness"]
    measured = Measurements(
        numbers=range(*content["images"]),
        files=tuple(content["names"]),
        pictures=_pictures(_read_arrays(folder / "pictures.npz")),
        faithfulness=None if faithfulness is None else pd.DataFrame(faithfulness),
        facts=_facts(content["facts"]),
        **tables,
    )
    return Shard(content["number"], content["count"], content["job"], measured)


# ---------------------------------------------------------------- plain values


def _plain_facts(facts: Facts) -> dict[str, Any]:
    fields = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    settings = dataclasses.asdict(facts.settings)
    tables = {name: _records(fields[name]) for name in ("costs", "layers")}
    return {**fields, "settings": settings, **tables}


def _facts(plain: Mapping[str, Any]) -> Facts:
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in plain["settings"].items()
    }
    tables = {name: pd.DataFrame(plain[name]) for name in ("costs", "layers")}
    lists = {name: tuple(plain[name]) for name in ("classes", "scores")}
    return Facts(**{**plain, "settings": Settings(**settings), **tables, **lists})


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    return None if table is None else table.to_dict("records")


def _item(value: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    return value.item()


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=_item)
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- arrays


def _array(column: pd.Series) -> np.ndarray:
    is_text = column.dtype.kind not in "biuf"
    return column.to_numpy(dtype=str) if is_text else column.to_numpy()


def _stacked(pictures: Mapping[int, Picture]) -> dict[str, np.ndarray]:
    parts = zip(*pictures.values(), strict=True)
    arrays = {name: np.stack(part) for name, part in zip(Picture._fields, parts, strict=True)}
    return {"image": np.array(list(pictures)), **arrays}


def _pictures(arrays: Mapping[str, np.ndarray]) -> dict[int, Picture]:
    parts = zip(*(arrays[name] for name in Picture._fields), strict=True)
    return dict(zip(arrays["image"].tolist(), map(Picture._make, parts), strict=True))


def _write_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file that `numpy.load` reads; unlike `numpy.savez`, under any names."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # without the time: equal arrays, equal files
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


def _read_arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_table(file: Path) -> pd.DataFrame:
    return pd.DataFrame(_read_arrays(file))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
