"""Merge the shards of a comparison into its report."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pruncam.comparison.assembling import report_of
from pruncam.comparison.measurements import joined
from pruncam.comparison.report import Report
from pruncam.comparison.shard_files import SHARD, read_shard
from pruncam.comparison.shards import Shard
from pruncam.datasets import DataError

_NAMED = 8  # shards that a sentence names


def merge(folders: str | os.PathLike | Sequence[str | os.PathLike]) -> Report:
    """Return the report of all shards of a comparison: that of the comparison in one piece.

    Parameters
    ----------
    folders : folders of shards, or a folder that holds them

    Raises
    ------
    DataError
        If a shard is missing, there twice, damaged, or of another job than the others.
    """
    paths = [folders] if isinstance(folders, str | os.PathLike) else folders
    found = {folder: read_shard(folder) for folder in _find(paths)}
    _reject_other_jobs(found)
    _reject_doubled(found)
    shards = sorted(found.values(), key=lambda shard: shard.number)
    _reject_missing(shards)
    measured = joined([shard.measured for shard in shards])
    facts = replace(measured.facts, manifest=_manifest(shards))
    return report_of(replace(measured, facts=facts))


def _find(paths: Sequence[str | os.PathLike]) -> list[Path]:
    """Return the folders of all shards, each once."""
    found: dict[Path, None] = {}
    for path in paths:
        folder = Path(path).expanduser()
        inner = sorted(folder.glob(f"[!.]*/{SHARD}"))  # hidden ones are not finished
        files = [folder / SHARD] if (folder / SHARD).is_file() else inner
        if not files:
            fault = "is no shard and holds none" if folder.exists() else "does not exist"
            raise DataError(
                f"{folder} {fault}: pass what `pruncam compare --shard` wrote, the folders of all "
                "shards or the folder that holds them"
            )
        found |= dict.fromkeys(file.parent.resolve() for file in files)
    if not found:
        raise DataError("there is no shard to merge: pass the folders of all shards")
    return list(found)


def _reject_other_jobs(found: Mapping[Path, Shard]) -> None:
    keys = Counter(shard.key for shard in found.values())
    key = keys.most_common(1)[0][0]
    known = next(folder for folder, shard in found.items() if shard.key == key)
    others = [folder for folder, shard in found.items() if shard.key != key]
    if not others:
        return
    first = found[others[0]]
    more = f" ({len(others) - 1:,} more are, too)" if len(others) > 1 else ""
    raise DataError(
        f"{first} in {others[0]} is of another job than {found[known]} in {known}{more}: "
        f"different {', '.join(_differences(first.job, found[known].job))}"
    )


def _differences(job: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names of the values that differ."""
    names = []
    for name in dict.fromkeys([*job, *other]):
        mine, theirs = job.get(name), other.get(name)
        if mine == theirs:
            continue
        inner = ""
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            inner = f" ({', '.join(_differences(mine, theirs))})"
        names.append(f"{name}{inner}")
    return names


def _reject_doubled(found: Mapping[Path, Shard]) -> None:
    by_number: dict[int, list[Path]] = {}
    for folder, shard in found.items():
        by_number.setdefault(shard.number, []).append(folder)
    for number, folders in sorted(by_number.items()):
        if len(folders) > 1:
            where = " and ".join(map(str, folders))
            raise DataError(f"shard {number} is there {len(folders)} times, in {where}: pass one")


def _reject_missing(shards: Sequence[Shard]) -> None:
    count = shards[0].count
    missing = sorted(set(range(1, count + 1)) - {shard.number for shard in shards})
    if not missing:
        return
    named = ", ".join(map(str, missing[:_NAMED])) + (", ..." if len(missing) > _NAMED else "")
    which = (
        f"shard {named} of {count} is" if len(missing) == 1 else f"shards {named} of {count} are"
    )
    raise DataError(
        f"{which} missing: run `pruncam compare --shard {missing[0]}/{count}` with the options of "
        "the others"
    )


def _manifest(shards: Sequence[Shard]) -> dict[str, Any]:
    """Return the manifest of the first shard, with the time and the device of each."""
    manifests = [shard.measured.facts.manifest for shard in shards]
    texts = [
        f"{shard.number}: {len(shard.measured.numbers):,} images, "
        f"{manifest['wall_seconds']:,} s on {manifest['device']}"
        for shard, manifest in zip(shards, manifests, strict=True)
    ]
    seconds = round(sum(manifest["wall_seconds"] for manifest in manifests), 1)
    return {**manifests[0], "wall_seconds": seconds, "shards": texts}
