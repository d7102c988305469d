"""What the studies share: configurations from profiles, the machine they run on, and their results on disk."""

import dataclasses
import os
import platform
import subprocess
import types
import typing
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
import yaml
from threadpoolctl import threadpool_limits

from pruncam import places
from pruncam.choices import DEVICES, PROFILES, check_choice, check_number
from pruncam.progress import Progress
from pruncam.report.result import Result

_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "numba", "grad-cam")

ConfigType = TypeVar("ConfigType")


def configure(config_class: type[ConfigType], study: str, profile: str, **overrides: Any) -> ConfigType:
    """The study's configuration: the profile's YAML file, then the overrides; lists become tuples.

    Raises ValueError for an unknown profile or field, or a value of the wrong type (YAML reads 1e-3 as text: write
    0.001).
    """
    check_choice("profile", profile, PROFILES)
    text = (places.package_folder() / "profiles" / profile / f"{study}.yaml").read_text()
    # An overridden configuration is another one: its results must not take the place of the profile's.
    name = {"profile": "custom" if overrides else profile}
    values = name | (yaml.safe_load(text) or {}) | overrides
    hints = typing.get_type_hints(config_class)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ValueError(f"{study} has no parameter {', '.join(unknown)}: it has {', '.join(hints)}")
    values = {name: _frozen(value, hints[name]) for name, value in values.items()}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise ValueError(f"{study}: {name} must be {_spell(hints[name])}, got {value!r}")
    missing = sorted(f.name for f in dataclasses.fields(config_class) if _required(f) and f.name not in values)
    if missing:
        raise ValueError(f"{study}: profile {profile} does not set {', '.join(missing)}")
    return config_class(**values)


def _required(entry: dataclasses.Field) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING


def _frozen(value: Any, hint: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item, None) for item in value)
    return float(value) if hint is float and isinstance(value, int) and not isinstance(value, bool) else value


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, option) for option in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return len(kinds) == len(value) and all(_fits(item, kind) for item, kind in zip(value, kinds, strict=True))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _spell(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("...", "…")


@dataclass(frozen=True)
class Machine:
    """Where a study runs: nothing here may change what it finds.

    `device` is "auto" (CUDA, else Apple's MPS, else the processor) or a device's name; `data_dir` is searched first for
    data sets; `jobs` is how many chains of models are trained at the same time (None: one per processor core).
    """

    device: str = "auto"
    data_dir: str | None = None
    jobs: int | None = None

    def __post_init__(self):
        check_choice("device", self.device, DEVICES)
        if self.jobs is not None:
            check_number("jobs", self.jobs, whole=True, at_least=1)
        present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not present.get(self.device, True):
            raise ValueError(
                f"device {self.device!r} is not available here: use 'auto' or 'cpu' (`make doctor` tells why)"
            )

    @property
    def torch_device(self) -> torch.device:
        """The device that "auto" stands for."""
        if self.device != "auto":
            return torch.device(self.device)
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")

    def parallel(self, tasks: int) -> int:
        """How many of `tasks` run at the same time."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        wanted = self.jobs or (cores if self.torch_device.type == "cpu" else 1)
        return max(1, min(wanted, tasks))


Task, Made = TypeVar("Task"), TypeVar("Made")


def in_threads(work: Callable[[Task], Made], tasks: list[Task], jobs: int, progress: Progress) -> list[Made]:
    """`work(task)` for every task, `jobs` at a time, each on one PyTorch thread; results in the tasks' order.

    After an error or Ctrl-C the others are told to stop (`progress.check`), and the error is raised once they have.
    """
    threads = torch.get_num_threads()
    # One thread each, of NumPy's too: the same sums in the same order, however many cores there are.
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(work, task) for task in tasks]
            try:
                finished, unfinished = wait(futures, return_when=FIRST_EXCEPTION)
            except BaseException:
                _abandon(pool, progress)
                raise
            if unfinished:
                _abandon(pool, progress)
            for future in finished:
                future.result()  # raises the error that ended the wait
            return [future.result() for future in futures]
    finally:
        torch.set_num_threads(threads)


def _abandon(pool: ThreadPoolExecutor, progress: Progress) -> None:
    progress.stop()
    pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class StudyResult(Result):
    """What a study found: tidy tables, judged claims, figures on demand, and how it came about."""

    study: str
    config: Any
    claims: pd.DataFrame
    stable_lines: list[str] = field(default_factory=list)

    def stable(self) -> None:
        """Print what holds on every machine: exact counts, and the verdicts that clear their limit by far."""
        print("\n".join(self.stable_lines))

    @property
    def place(self) -> Path:
        """figures/<profile>/<study>."""
        return places.figures_folder(self.config.profile) / self.study

    @property
    def sheets(self) -> dict[str, pd.DataFrame]:
        """The tables by the stem of their file."""
        return super().sheets | {"claims": self.claims}


def manifest(config: Any, machine: Machine, sets: list[Any], **facts: Any) -> dict[str, Any]:
    """How a result came about: configuration, data, versions, machine, revision of the code."""
    return {
        "config": dataclasses.asdict(config),
        "data": [
            {"name": s.name, "split": s.split, "images": len(s), "provenance": s.provenance, "sha256": s.checksum}
            for s in sets
        ],
        "device": _device_name(machine.torch_device),
        "threads_per_chain": 1,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in _PACKAGES},
        "git": _revision(),
        **facts,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


def _revision() -> str | None:
    """The checkout's commit, with "-dirty" where code or settings differ from it; None outside a checkout."""
    git = ["git", "-C", str(places.project_root())]
    made = [":!figures", ":!README.md"]  # what a run itself writes is no difference
    try:
        commit, changed = (
            subprocess.run([*git, *rest], capture_output=True, text=True, check=True, timeout=20).stdout.strip()
            for rest in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", ":/", *made],
            )
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit
