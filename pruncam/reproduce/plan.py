"""What a run would do, before it does it: `pruncam reproduce --plan`."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pruncam._core import paths
from pruncam._core.machine import Machine
from pruncam._core.memory import available_memory, gibibytes, peak_memory
from pruncam._core.store import Store
from pruncam.datasets import catalog
from pruncam.reproduce import calibration
from pruncam.reproduce.notebook_list import missing_data, select_notebooks, study_of
from pruncam.reproduce.options import RunOptions
from pruncam.reproduce.status_line import format_duration
from pruncam.reproduce.study_classes import study_class
from pruncam.reproduce.text_table import aligned
from pruncam.studies.study import Study

_PROCESS_BYTES = 2**30  # of a process that has imported PyTorch, with its work on a batch
_TABLES_SECONDS = 20.0  # start of the notebook, images, tables and figures, which are not stored
_ROOM = 1.2  # of the memory of the images, while they are read
_HEADINGS = (
    "study",
    "steps",
    "kept",
    "saved",
    "epochs",
    "to compute",
    "time here",
    "memory",
    "disk",
    "committed run",
)
_UNKNOWN = "?"


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a run of one study would do.

    Parameters
    ----------
    steps : number of steps of the whole study
    kept : number of those that the cache holds
    saved : seconds that the kept steps took when they were computed
    epochs : of all trainings that are left
    compute : seconds of the steps that are left, all cores added up
    duration : seconds until the notebook ends
    memory : bytes, as many as the calibration took, or more for many images
    disk : bytes by which the cache grows
    """

    steps: int
    kept: int
    saved: float
    epochs: int
    compute: float
    duration: float
    memory: int
    disk: int


def print_plan(options: RunOptions) -> None:
    """Print what `reproduce` would do with these options, without doing it.

    Raises ValueError or OSError if an option does not fit.
    """
    if options.data and not Path(options.data).expanduser().is_dir():
        raise FileNotFoundError(f"the data folder {options.data} does not exist")
    machine = Machine(device=options.device, data_dir=options.data or None)
    notebooks = [path.stem for path in select_notebooks(options.study)]
    studies = [study for study in map(study_of, notebooks) if study]
    missing = {study: missing_data(study, options.profile, options.data) for study in studies}
    possible = [study for study in studies if not missing[study]]
    share = calibration.SECONDS / max(len(possible), 1)
    plans = dict.fromkeys(studies) | {
        study: plan_study(study, options.profile, machine, share) for study in possible
    }
    committed = {study: _committed_run(options.profile, study) for study in studies}
    rows = [_row(study, plans[study], committed[study]) for study in studies]
    table = aligned([_HEADINGS, *rows], text_columns=1)
    print(_title(options, machine), "", *table, "", sep="\n")
    others = [stem for stem in notebooks if study_of(stem) is None]
    print(*_notes(plans, missing, others), sep="\n")


def plan_study(name: str, profile: str, machine: Machine, seconds: float) -> StudyPlan | None:
    """Return the plan of a study whose data are there, after a calibration of some seconds.

    None if the memory does not hold its images.
    """
    study_type = study_class(name)
    config = study_type.configure(profile)
    free = available_memory()
    if free is not None and _ROOM * image_bytes(config) > free:
        return None
    return plan_of(study_type(config, machine=machine, progress=False), seconds)


def image_bytes(config: Any) -> int:
    """Return the bytes of the images that a study holds at once, of the papers' data sets.

    Those of generated and other small sets do not count.
    """
    file = paths.package_folder() / "published" / "datasets.csv"
    counts = pd.read_csv(file).set_index("source")[["train", "test"]]
    total = 0
    for spec in getattr(config, "datasets", ()):
        if spec.size is not None and spec.source in counts.index:
            for split, count in counts.loc[spec.source].items():
                at_most = getattr(config, f"{split}_images", None) or count
                total += 3 * spec.size**2 * min(count, at_most)
    return int(total)


def plan_of(study: Study[Any], seconds: float = calibration.SECONDS) -> StudyPlan:
    """Return what `study.run` would do; loads its images and times samples of its work."""
    study.load()
    works, store = study.work(), Store()
    stored = {work.step.key: store.seconds(work.step) for work in works}
    left = [work for work in works if stored[work.step.key] is None]
    kept = [stored[work.step.key] for work in works if work not in left]
    samples = list(dict.fromkeys(work.sample for work in left))
    rates = calibration.measure(samples, study.jobs, seconds)
    compute = sum(rates[work.sample].seconds(work) for work in left)
    images = sum(images.images.nbytes for images in study.image_sets)
    return StudyPlan(
        steps=len(works),
        kept=len(kept),
        saved=sum(kept),
        epochs=sum(work.epochs for work in left),
        compute=compute,
        duration=compute / study.jobs + _TABLES_SECONDS,
        memory=max(peak_memory(), images + _PROCESS_BYTES),
        disk=sum(work.stored for work in left),
    )


# ---------------------------------------------------------------- text


def _title(options: RunOptions, machine: Machine) -> str:
    device = machine.torch_device.type
    place = f"{machine.parallel(10_000)} CPU cores" if device == "cpu" else device
    return (
        f"what `make reproduce PROFILE={options.profile}` would do here ({place}); nothing is run"
    )


def _row(study: str, plan: StudyPlan | None, committed: str) -> list[str]:
    if plan is None:
        return [study, *[_UNKNOWN] * (len(_HEADINGS) - 2), committed]
    return [
        study,
        f"{plan.steps:,}",
        f"{plan.kept:,}",
        format_duration(plan.saved),
        f"{plan.epochs:,}",
        format_duration(plan.compute),
        format_duration(plan.duration),
        gibibytes(plan.memory),
        _disk(plan.disk),
        committed,
    ]


def _notes(
    plans: Mapping[str, StudyPlan | None],
    missing: Mapping[str, Sequence[str]],
    others: Sequence[str],
) -> Iterator[str]:
    """Iterate over the lines under the table."""
    known = [plan for plan in plans.values() if plan]
    if len(known) > 1:
        hours = format_duration(sum(plan.duration for plan in known))
        yield f"in all        {hours}, one study after the other"
    if others:
        yield f"also run      {', '.join(others)}: about a minute each, not estimated"
    memory, cache = available_memory(), paths.cache_folder()
    free = "unknown" if memory is None else gibibytes(memory)
    yield f"free          {free} of memory, {_disk(_free_disk(cache))} on the disk of the cache"
    for study, names in missing.items():
        for name in names:
            yield f"missing data  {study} needs {name}: {catalog.how_to_get(name)}"
    for study, plan in plans.items():
        if plan is None and not missing[study]:
            yield f"not planned   {study}: its images need more memory than is free"
    seconds = f"{calibration.SECONDS:.0f} seconds"
    yield f"time here     from samples of the work that is left, timed for {seconds} or more;"
    yield "              a busy machine looks slower"
    yield "saved, committed run: computing time, all cores added up"


def _committed_run(profile: str, study: str) -> str:
    """Return the computing time of the committed results, "-" if there are none."""
    file = paths.project_root() / "figures" / profile / study / "manifest.json"
    if not file.is_file():
        return "-"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    return format_duration(manifest.get("compute_seconds", 0.0))


def _free_disk(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on, or will be."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _disk(amount: int) -> str:
    return gibibytes(amount) if amount >= 2**30 else f"{amount / 2**20:,.0f} MiB"
