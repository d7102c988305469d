"""`pruncam cache`: what is in the cache, and its removal by age and size."""

from collections.abc import Iterable
from datetime import datetime

import pandas as pd

from pruncam._core import cache_files, paths
from pruncam._core.cache_files import CacheFile
from pruncam.reproduce.options import CacheOptions


def report(options: CacheOptions) -> str:
    """Return what is in the cache, after the removal that the options ask for."""
    folder = paths.cache_folder()
    files = cache_files.cache_files(folder)
    if not (options.older_than or options.keep):
        return _listing(f"{folder}: ", files)
    removed = cache_files.to_prune(files, options.seconds, options.bytes)
    if options.dry_run:
        return f"{_listing(f'{folder}: ', files)}\n\n{_listing('would be removed: ', removed)}"
    cache_files.remove(removed)
    rest = cache_files.cache_files(folder)
    return f"{_listing('removed: ', removed)}\n\n{_listing(f'{folder}: ', rest)}"


def _listing(heading: str, files: list[CacheFile]) -> str:
    return "\n".join([f"{heading}{_total(files)}", *_table(files)])


def _total(files: list[CacheFile]) -> str:
    size = _size_text(sum(file.size for file in files))
    return f"{len(files):,} files, {size}" if files else "nothing"


def _size_text(size: int) -> str:
    """Return a size as text in the units of `--keep`, such as "1.5 GB"."""
    if size < 1000:
        return f"{size} bytes"
    power = min(len(str(size)) - 1, 11) // 3
    return f"{size / 1000**power:,.1f} {('kB', 'MB', 'GB')[power - 1]}"


def _table(files: Iterable[CacheFile]) -> list[str]:
    """Return the lines of a table: number, size and last use by kind."""
    rows = pd.DataFrame([(file.kind, file.size, file.used) for file in files])
    if rows.empty:
        return []
    rows.columns = pd.Index(["kind", "size", "used"])
    table = rows.groupby("kind").agg(
        number=("size", "size"), size=("size", "sum"), used=("used", "max")
    )
    table = table.sort_values("size", ascending=False).reset_index()
    table["size"] = table["size"].map(_size_text)
    table["used"] = [f"{datetime.fromtimestamp(time):%Y-%m-%d %H:%M}" for time in table["used"]]
    table.columns = pd.Index(["kind", "files", "size", "last use"])
    return table.to_string(index=False).splitlines()
