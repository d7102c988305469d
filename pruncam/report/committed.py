"""Results that came with the project: what the committed runs wrote, for notebooks that show another profile."""

from pathlib import Path

import pandas as pd

from pruncam import places
from pruncam.choices import PROFILES, check_choice
from pruncam.datasets import DataError


def tables(profile: str, study: str) -> dict[str, pd.DataFrame]:
    """The tables in the project's `figures/<profile>/<study>`: "pe_3" is `table_pe_3.csv`, "claims" `claims.csv`.

    They are those that were committed, unless a run of yours has written its own there. Raises ValueError for an
    unknown profile, DataError in one sentence where there are none or one cannot be read.
    """
    check_choice("profile", profile, PROFILES)
    place = f"figures/{profile}/{study}"
    paths = sorted((places.project_root() / place).glob("*.csv"))
    if not paths:
        command = f"`make reproduce PROFILE={profile} STUDY={study}`"
        raise DataError(f"there are no tables in {place}: take the folder from the repository, or run {command}")
    return {path.stem.removeprefix("table_"): _read(path) for path in paths}


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        place = path.relative_to(places.project_root())
        raise DataError(f"{place} is no table: take the file from the repository again") from error
