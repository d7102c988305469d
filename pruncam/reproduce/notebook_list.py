"""The notebooks of the project, the study that each belongs to, and the data sets it needs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pruncam._core import paths

NOTEBOOKS = {  # stem of the notebook, by study
    "csg": "01_csg_complexity",
    "sweeps": "02_pruning_sweeps",
    "sp2ps": "03_sp2ps",
    "pe_score": "04_pe_score",
    "mnist_iou": "05_mnist_iou",
}


def numbered_notebooks(folder: str) -> list[Path]:
    """Return the numbered notebooks of a folder of the project, in the order of their numbers."""
    notebooks = (paths.project_root() / folder).glob("*.ipynb")
    numbered = [path for path in notebooks if re.match(r"\d+_", path.name)]
    return sorted(numbered, key=_order)


def _order(notebook: Path) -> tuple[int, str]:
    number, _, _ = notebook.name.partition("_")
    return int(number), notebook.name


def select_notebooks(study: str | None = None) -> list[Path]:
    """Return all notebooks, or the one of `study`; raise ValueError if there is none."""
    notebooks = numbered_notebooks("notebooks")
    if not notebooks:
        raise ValueError(f"no notebook named NN_*.ipynb in {paths.project_root() / 'notebooks'}")
    if not study:
        return notebooks
    stems = {path.stem: path for path in notebooks}
    by_study = {name: stems[stem] for name, stem in NOTEBOOKS.items() if stem in stems}
    if study not in by_study:
        is_known = study in NOTEBOOKS
        problem = f"study {study!r} has no notebook" if is_known else f"unknown study {study!r}"
        raise ValueError(f"{problem}: choose one of {', '.join(by_study) or 'none so far'}")
    return [by_study[study]]


def study_of(stem: str) -> str | None:
    """Return the study that a notebook belongs to, None if it belongs to none."""
    studies = {notebook: study for study, notebook in NOTEBOOKS.items()}
    return studies.get(stem)


def ensure_data(notebooks: Sequence[Path], profile: str, data_dir: str | None) -> None:
    """Download the data sets of the notebooks' studies that are not there, before anything runs.

    A data set is not downloaded if the profile names a stand-in for it that is there. Raises
    DataError if a download fails.
    """
    from pruncam.datasets import catalog  # imports torch

    for study in filter(None, (study_of(path.stem) for path in notebooks)):
        for source in missing_data(study, profile, data_dir):
            catalog.ensure(source, data_dir)


def missing_data(study: str, profile: str, data_dir: str | None) -> list[str]:
    """Return the data sets of a study, by their name in the catalogue, that are not there.

    One for which the profile names a stand-in that is there does not count.
    """
    import yaml

    from pruncam.datasets import catalog  # imports torch

    file = paths.package_folder() / "profiles" / profile / f"{study}.yaml"
    if not file.is_file():
        return []
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [
        source
        for source, stand_ins in _sources(settings)
        if not any(catalog.find(name, data_dir) for name in (source, *stand_ins))
    ]


def _sources(settings: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Iterate over the data sets that a profile names, each with its stand-ins."""
    if "dataset" in settings:
        for source in dict.fromkeys([settings["dataset"], *settings.get("more_datasets", [])]):
            yield source, []
        return
    stand_ins = settings.get("stand_ins", [])
    specs = [*settings["datasets"], *filter(None, [settings.get("shortcut")])]
    for spec in specs:
        others = [other["source"] for other in stand_ins if other["paper"] == spec["paper"]]
        yield spec["source"], others
