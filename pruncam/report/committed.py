"""The results that are committed with the project, for notebooks that show another profile."""

from pathlib import Path

import pandas as pd

from pruncam._core import paths
from pruncam._core.validation import PROFILES, check_choice
from pruncam.datasets import DataError

_BEST_FIRST = ("paper", "overnight", "laptop")  # `laptop` is no longer run


def best(study: str) -> tuple[str, dict[str, pd.DataFrame]]:
    """Return the largest profile of which results of a study are committed, and its tables.

    Raises DataError if there are none, or if a table cannot be read.
    """
    root = paths.project_root()
    for profile in _BEST_FIRST:
        if any((root / "figures" / profile / study).glob("*.csv")):
            return profile, _tables(profile, study)
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


def _tables(profile: str, study: str) -> dict[str, pd.DataFrame]:
    folder = f"figures/{profile}/{study}"
    files = sorted((paths.project_root() / folder).glob("*.csv"))
    if not files:
        command = f"`make reproduce PROFILE={profile} STUDY={study}`"
        raise DataError(
            f"no tables in {folder}: restore the folder from the repository, or run {command}"
        )
    return {path.stem.removeprefix("table_"): _read(path) for path in files}


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        name = path.relative_to(paths.project_root())
        raise DataError(f"{name} is not a table: restore the file from the repository") from error
