"""The manifest of a result: configuration, data, package versions, machine, code revision."""

import dataclasses
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import torch

from pruncam._core import paths
from pruncam._core.machine import Machine
from pruncam.datasets import ImageSet

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "numba",
    "grad-cam",
)


def describe(
    config: Any, machine: Machine, image_sets: Iterable[ImageSet], **facts: Any
) -> dict[str, Any]:
    """Return the manifest of a result as plain values; `facts` are added to it."""
    return {
        "config": dataclasses.asdict(config),
        "data": [image_set(images) for images in image_sets],
        "device": _device_name(machine.torch_device),
        "threads_per_chain": 1,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in _PACKAGES},
        "git": revision(),
        **facts,
    }


def image_set(images: ImageSet) -> dict[str, Any]:
    """Return the facts about an image set; the checksum is that of its pixels."""
    return {
        "name": images.name,
        "split": images.split,
        "images": len(images),
        "provenance": images.provenance,
        "sha256": images.checksum,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu, {torch.backends.cpu.get_cpu_capability()}"
    return device.type


def revision() -> str | None:
    """Return the commit, with "-dirty" if code or settings differ from it; None without git."""
    results = [":!figures", ":!README.md"]  # a run writes these itself
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *results)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changes else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(paths.project_root()), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return process.stdout.strip()
