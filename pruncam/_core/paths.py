"""Locations of the project's files: data, cache, figures."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def package_folder() -> Path:
    """Return the folder of the package, which holds the profiles and the published numbers."""
    return _PACKAGE


def checkout() -> Path | None:
    """Return the checkout of the project that contains the package; None: a wheel was installed."""
    folder = _PACKAGE.parent
    return folder if (folder / "pyproject.toml").is_file() else None


def project_root() -> Path:
    """Return the checkout that contains the package, else the working directory.

    It holds `notebooks/`, `data/` and `figures/`.
    """
    return checkout() or Path.cwd()


def data_folders(data_dir: str | os.PathLike | None = None) -> list[Path]:
    """Return the folders that are searched for data sets, in order of priority.

    These are `data_dir`, the environment variable PRUNCAM_DATA, and `data/` in the project.
    """
    candidates = [data_dir, os.environ.get("PRUNCAM_DATA"), project_root() / "data"]
    return [Path(folder).expanduser() for folder in candidates if folder]


def cache_folder() -> Path:
    """Return the folder for trained models and score tables: PRUNCAM_CACHE, else `data/cache/`."""
    folder = os.environ.get("PRUNCAM_CACHE") or project_root() / "data" / "cache"
    return Path(folder).expanduser()


@contextmanager
def cache_in(folder: str | os.PathLike) -> Iterator[None]:
    """Keep finished steps in `folder` instead of the cache, for the whole process."""
    before = os.environ.get("PRUNCAM_CACHE")
    os.environ["PRUNCAM_CACHE"] = os.fspath(folder)
    try:
        yield
    finally:
        del os.environ["PRUNCAM_CACHE"]
        if before is not None:
            os.environ["PRUNCAM_CACHE"] = before


def figures_folder(profile: str) -> Path:
    """Return the folder for a profile's results: PRUNCAM_FIGURES, else `figures/`, and its name."""
    folder = os.environ.get("PRUNCAM_FIGURES") or project_root() / "figures"
    return Path(folder).expanduser() / profile
