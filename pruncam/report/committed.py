"""The results that are committed with the project, for notebooks that show another profile."""

from pathlib import Path
from typing import Any

import pandas as pd

from pruncam._core import paths
from pruncam._core.errors import PlainError
from pruncam._core.extras import needed_for
from pruncam._core.text_files import RUN_AGAIN, DamagedFile, read_json, read_table
from pruncam._core.validation import PROFILES, check_choice
from pruncam.datasets import DataError

BEST_FIRST = ("paper", "overnight", "laptop")  # `laptop` is no longer run


class NeedsCheckout(PlainError, DataError):
    """Committed results are not in the package, only in a checkout."""

    def __init__(self) -> None:
        super().__init__(
            "these results on real data come with a checkout of the project, not with the package: "
            "go on with the next cell, or open this notebook in a checkout"
        )


class _NoTables(dict[str, pd.DataFrame]):
    """The tables where there is no checkout: each one that is asked for raises NeedsCheckout."""

    def __missing__(self, name: str) -> pd.DataFrame:
        raise NeedsCheckout


def best(study: str) -> tuple[str, dict[str, pd.DataFrame]]:
    """Return the largest profile of which results of a study are committed, and its tables.

    Without a checkout, the profile is empty, and asking for a table raises NeedsCheckout. Raises
    DataError if there are no tables, or if one cannot be read.
    """
    for profile in BEST_FIRST:
        if any(_folder(profile, study).glob("*.csv")):
            return profile, _tables(profile, study)
    if paths.checkout() is None:
        return "", _NoTables()
    raise DataError(f"no tables in figures/*/{study}: restore the folder from the repository")


def tables(profile: str, study: str) -> dict[str, pd.DataFrame]:
    """Return the tables in `figures/<profile>/<study>` of the project.

    The key "pe_3" stands for `table_pe_3.csv`, "claims" for `claims.csv`. PRUNCAM_FIGURES has no
    effect; a run that wrote to the project's folder replaced the committed tables.

    Raises ValueError for an unknown profile, and DataError if there are no tables or one cannot be
    read.
    """
    check_choice("profile", profile, PROFILES)
    return _tables(profile, study)


def images(profile: str, study: str) -> list[str]:
    """Return what the manifest of committed results says of every set of test images."""
    manifest = _read_json(profile, study, "manifest.json")
    return [
        f"{images['name']}: {images['images']:,} test images, {images['provenance']}"
        for images in manifest["data"]
        if images["split"] == "test"
    ]


def show(profile: str, study: str, figure: str) -> None:
    """Display a committed figure, by its number or name, with its caption in a notebook.

    Raises ValueError for an unknown figure, and DataError if a file is missing.
    """
    with needed_for("showing a figure in a notebook", "notebooks"):
        from IPython.display import Image, Markdown, display

    stem = f"figure_{figure.replace('.', '_')}"
    captions = _read_json(profile, study, "captions.json")
    check_choice("figure", stem, captions)
    display(Image((_folder(profile, study) / f"{stem}.png").read_bytes()))
    number = f"*Figure {figure}.* " if figure[0].isdigit() else ""
    display(Markdown(f"{number}{captions[stem]}"))


def _folder(profile: str, study: str) -> Path:
    return paths.project_root() / "figures" / profile / study


def _read_json(profile: str, study: str, name: str) -> Any:
    try:
        return read_json(_folder(profile, study) / name, RUN_AGAIN)
    except (OSError, DamagedFile) as error:
        if paths.checkout() is None:
            raise NeedsCheckout from None
        raise DataError(str(error)) from error


def _tables(profile: str, study: str) -> dict[str, pd.DataFrame]:
    folder = f"figures/{profile}/{study}"
    files = sorted(_folder(profile, study).glob("*.csv"))
    if not files:
        command = f"`make reproduce PROFILE={profile} STUDY={study}`"
        raise DataError(
            f"no tables in {folder}: restore the folder from the repository, or run {command}"
        )
    return {path.stem.removeprefix("table_"): _read(path) for path in files}


def _read(path: Path) -> pd.DataFrame:
    try:
        return read_table(path, RUN_AGAIN)
    except DamagedFile as error:
        raise DataError(str(error)) from error
