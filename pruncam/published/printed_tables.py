"""The papers' numbers, in CSV files whose checksums are in `SHA256SUMS` beside them."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from pruncam._core import paths
from pruncam._core.text_files import INSTALL_AGAIN, DamagedFile, read_table

_CHECKSUMS = "SHA256SUMS"


def read_printed(name: str, **options: Any) -> pd.DataFrame:
    """Return the table `<name>.csv` as `pandas.read_csv` does with `options`.

    Raises DamagedFile if the file is not the one that its checksum describes.
    """
    path = paths.package_folder() / "published" / f"{name}.csv"
    table = read_table(path, INSTALL_AGAIN, **options)
    content = path.read_bytes().replace(b"\r\n", b"\n")  # git on Windows changes ends of lines
    if hashlib.sha256(content).hexdigest() != checksums(path.parent).get(path.name):
        raise DamagedFile(
            f"{path} is not the file that came with pruncam: {INSTALL_AGAIN}; after a change on "
            f"purpose, run `sha256sum *.csv > {_CHECKSUMS}` in its folder"
        )
    return table


@cache
def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 (hex) of every table by the name of its file."""
    path = folder / _CHECKSUMS
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return {name: checksum for checksum, name in lines}
    except (OSError, ValueError) as error:
        raise DamagedFile(f"{path} cannot be read: {INSTALL_AGAIN}") from error
