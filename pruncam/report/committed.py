"""The results that are committed with the project, for notebooks that show another profile."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pruncam._core import paths
from pruncam._core.validation import PROFILES, check_choice
from pruncam.datasets import DataError

# The profiles of committed results, the most faithful first; `laptop` is no longer run.
BY_FAITH = ("paper", "overnight", "laptop")


@dataclass(frozen=True)
class CommittedRun:
    """The committed result of a study under one profile.

    `images` describes the test images of each data set: name, number and provenance.
    """

    study: str
    profile: str
    tables: dict[str, pd.DataFrame]
    images: list[str]

    def show(self, figure: str) -> None:
        """Display a committed figure with its caption in a notebook.

        `figure` is its number or name, as the file has it. Raises ValueError for an unknown one.
        """
        from IPython.display import Image, Markdown, display

        folder = _folder(self.profile, self.study)
        captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
        check_choice("figure", f"figure_{figure}", captions)
        display(Image((folder / f"figure_{figure}.png").read_bytes()))
        number = f"*Figure {figure}.* " if figure[0].isdigit() else ""
        display(Markdown(f"{number}{captions[f'figure_{figure}']}"))


def best(study: str) -> CommittedRun:
    """Return the committed result of a study under the profile that is nearest to the paper's.

    Raises DataError if no result is committed, or one of its files cannot be read.
    """
    for profile in BY_FAITH:
        folder = _folder(profile, study)
        if any(folder.glob("*.csv")):
            return CommittedRun(study, profile, _tables(folder), _test_images(folder))
    raise DataError(
        f"no results of {study} in figures: restore the folder from the repository, or run "
        f"`make reproduce PROFILE=overnight STUDY={study}`"
    )


def tables(profile: str, study: str) -> dict[str, pd.DataFrame]:
    """Return the tables in `figures/<profile>/<study>` of the project.

    The key "pe_3" stands for `table_pe_3.csv`, "claims" for `claims.csv`. PRUNCAM_FIGURES has no
    effect; a run that wrote to the project's folder replaced the committed tables.

    Raises ValueError for an unknown profile, and DataError if there are no tables or one cannot be
    read.
    """
    check_choice("profile", profile, PROFILES)
    found = _tables(_folder(profile, study))
    if not found:
        command = f"`make reproduce PROFILE={profile} STUDY={study}`"
        raise DataError(
            f"no tables in figures/{profile}/{study}: restore the folder from the repository, or "
            f"run {command}"
        )
    return found


def _folder(profile: str, study: str) -> Path:
    return paths.project_root() / "figures" / profile / study


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    files = sorted(folder.glob("*.csv"))
    return {path.stem.removeprefix("table_"): _read(path) for path in files}


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        name = path.relative_to(paths.project_root())
        raise DataError(f"{name} is not a table: restore the file from the repository") from error


def _test_images(folder: Path) -> list[str]:
    """Return what the manifest says of every set of test images."""
    file = folder / "manifest.json"
    if not file.is_file():
        return []
    data = json.loads(file.read_text(encoding="utf-8")).get("data", [])
    return [
        f"{images['name']}: {images['images']:,} test images, {images['provenance']}"
        for images in data
        if images["split"] == "test"
    ]
