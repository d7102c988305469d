"""Where things are: the project's folder, the data, the cache, the figures."""

import os
from pathlib import Path


def package_folder() -> Path:
    """The folder of the package itself, with its profiles and published numbers."""
    return Path(__file__).resolve().parent


def project_root() -> Path:
    """The folder that holds `notebooks`, `data` and `figures`: the checkout, else the working folder."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def data_folders(data_dir: str | os.PathLike | None = None) -> list[Path]:
    """The folders in which data sets are looked for, first match wins: `data_dir`, then PRUNCAM_DATA, then `data/`."""
    named = [data_dir, os.environ.get("PRUNCAM_DATA"), project_root() / "data"]
    return [Path(folder).expanduser() for folder in named if folder]


def cache_folder() -> Path:
    """Where trained models and score tables are kept: PRUNCAM_CACHE, else `data/cache/`."""
    return Path(os.environ.get("PRUNCAM_CACHE") or project_root() / "data" / "cache").expanduser()


def figures_folder(profile: str) -> Path:
    """Where a profile's results are written: PRUNCAM_FIGURES, else `figures/`, and in it the profile's name."""
    return Path(os.environ.get("PRUNCAM_FIGURES") or project_root() / "figures").expanduser() / profile
