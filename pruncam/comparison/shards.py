"""One of several shards of a comparison: what it measured, and which job it is a part of."""

import dataclasses
import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from pruncam import __version__
from pruncam.comparison.controls import digest
from pruncam.comparison.measurements import Measurements
from pruncam.comparison.measuring import Comparison, name_of
from pruncam.datasets.object_masks import ObjectMasks


@dataclass(frozen=True)
class Shard:
    """The measurements of shard `number` of `count`, numbered from 1.

    `job` identifies the comparison by plain values: shards with equal ones belong together.
    """

    number: int
    count: int
    job: Mapping[str, Any]
    measured: Measurements

    def __str__(self) -> str:
        return f"shard {self.number} of {self.count}"

    @cached_property
    def key(self) -> str:
        """Return the SHA-256 (hex) of the job."""
        return key_of(self.job)


def key_of(job: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a job."""
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()


def parse_shard(text: str) -> tuple[int, int]:
    """Return the number and the count of "3/16". Raises ValueError unless it is one of them."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(text))
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(
            f"a shard is NUMBER/COUNT, such as 3/16 for the third of sixteen, got {text!r}"
        )
    return number, count


def job_of(comparison: Comparison, count: int) -> dict[str, Any]:
    """Return everything that the measurements of a comparison in `count` shards depend on."""
    pair, normalisation = comparison.pair, comparison.normalisation
    networks = {"baseline": pair.baseline, **comparison.models}
    job = {
        "networks": {name: digest(network.state_dict()) for name, network in networks.items()},
        "names of networks": [*pair.also_pruned, *pair.also_baseline],
        "images": pair.images.checksum,
        "names of images": _hash(pair.file_names),
        "classes": pair.classes,
        "training images": pair.train_images and pair.train_images.checksum,
        "masks": pair.masks and _masks(pair.masks),
        "settings": dataclasses.asdict(comparison.settings),
        "mean": normalisation.mean.flatten().tolist(),
        "std": normalisation.std.flatten().tolist(),
        "output": name_of(pair.output),
        "reshape": name_of(pair.reshape),
        "custom CAMs": list(comparison.custom_methods),
        "custom scores": list(comparison.custom_scores),
        "versions": {
            "pruncam": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "number of shards": count,
    }
    return json.loads(json.dumps(job))  # as it is read again


def _masks(masks: ObjectMasks) -> list[Any]:
    return [masks.shape, _hash(masks.numbers.tolist()), masks.left_out()]


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
