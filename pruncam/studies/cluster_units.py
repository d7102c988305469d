"""The units of a study on a cluster: every worker rebuilds the study and runs one of its tasks.

What a task computes is a step in the store, on the folder that the workers share. The process that
sent the units then runs the study as always, and finds every step there.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pruncam._core import paths
from pruncam._core.cluster import Cluster, UnitProgress
from pruncam._core.executor import run_tasks
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress


@dataclass(frozen=True)
class StudyUnit:
    """One task of a study, by its place in `Study.stages`, as plain values."""

    study: type[Any]
    config: Any
    device: str
    data_dir: str | None
    stage: int
    task: int


def compute_stages(study: Any, cluster: Cluster, progress: Progress) -> dict[str, int]:
    """Compute all tasks of a study that is loaded, stage by stage; return what was done.

    `units` are all tasks, `steps_computed` the steps that were not in the store.
    """
    counts = [len(tasks) for tasks in study.stages()]
    progress.expect(sum(counts))
    machine = study.machine
    device = machine.torch_device.type
    computed = 0
    for stage, count in enumerate(counts):
        units = [
            StudyUnit(type(study), study.config, device, machine.data_dir, stage, task)
            for task in range(count)
        ]
        computed += sum(run_tasks(compute, units, cluster, progress))
    return {"units": sum(counts), "steps_computed": computed}


def compute(unit: StudyUnit) -> int:
    """Run a task of a study, on a worker; return how many steps were not in the store."""
    folder = str(paths.cache_folder())
    study = _loaded(unit.study, unit.config, unit.device, unit.data_dir, folder)
    before = _computed_steps(study)
    study.stages()[unit.stage][unit.task]()
    return _computed_steps(study) - before


@lru_cache(maxsize=1)
def _loaded(
    study_class: type[Any], config: Any, device: str, data_dir: str | None, cache_folder: str
) -> Any:
    """Return a study with its data loaded, kept for the next unit of the same study."""
    machine = Machine(device, data_dir=data_dir, jobs=1)
    study = study_class(config, machine=machine, progress=False)
    study.progress = UnitProgress()
    study.load()
    return study


def _computed_steps(study: Any) -> int:
    return sum(step.fresh for trainer in study.trainers for step in trainer.steps)
