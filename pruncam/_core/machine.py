"""Execution settings: device, data folder, number of parallel jobs, cluster."""

import os
from dataclasses import dataclass

import torch

from pruncam._core.commands import command
from pruncam._core.validation import (
    DEVICES,
    check_choice,
    check_cluster,
    check_data_folder,
    check_number,
)


@dataclass(frozen=True)
class Machine:
    """Execution settings; they never affect results.

    `device` is "auto" (CUDA, else Apple's MPS, else the CPU) or the name of a device; `data_dir` is
    searched first for data sets; `jobs` is the number of models trained in parallel (None: one per
    CPU core); `cluster` is the address of a dask scheduler (None: PRUNCAM_CLUSTER, if it is set).
    """

    device: str = "auto"
    data_dir: str | None = None
    jobs: int | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        check_choice("device", self.device, DEVICES)
        check_data_folder(self.data_dir)
        if self.jobs is not None:
            check_number("jobs", self.jobs, whole=True, at_least=1)
        if self.cluster_address is not None:
            check_cluster(self.cluster_address)
        if not _is_available(self.device):
            raise ValueError(
                f"device {self.device!r} is not available here: use 'auto' or 'cpu' "
                f"({command('doctor')} explains why)"
            )

    @property
    def torch_device(self) -> torch.device:
        """Return the device that `device` stands for."""
        if self.device != "auto":
            return torch.device(self.device)
        if _is_available("cuda"):
            return torch.device("cuda")
        return torch.device("mps" if _is_available("mps") else "cpu")

    @property
    def cluster_address(self) -> str | None:
        """Return the address of the scheduler; None to compute on this machine alone."""
        return self.cluster or os.environ.get("PRUNCAM_CLUSTER") or None

    def parallel(self, tasks: int) -> int:
        """Return how many of `tasks` tasks run at the same time."""
        default = _cpu_cores() if self.torch_device.type == "cpu" else 1
        return max(1, min(self.jobs or default, tasks))


def _is_available(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_available()
    return device != "mps" or torch.backends.mps.is_available()


def _cpu_cores() -> int:
    """Return the number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
