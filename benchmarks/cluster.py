"""Growth on a cluster: a study of six chains on one and two workers, and on paper on up to 256.

The workers are processes on this machine, one thread each, that have imported pruncam. Chains of
the MNIST network are trained and scored from an empty cache; `serial` is this process alone. Other
programs slow all rows down: `load` is the mean number of running processes of the last minute.

On paper: the profile `paper` of mnist_iou from the seconds in its committed manifest. The chains
go to the workers in turn; loading, reading the steps, tables and figures stay in one process. The
seconds of that part are scaled by the chains from a run of ten whose steps were all in the store.
"""

import importlib
import json
import math
import os
import pickle
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from pruncam._core.cluster import Cluster
from pruncam._core.machine import Machine
from pruncam._core.paths import cache_in, project_root
from pruncam.studies import mnist_iou
from pruncam.studies.cluster_units import StudyUnit, compute
from pruncam.studies.mnist_iou import MnistIouConfig
from pruncam.studies.mnist_iou.study import MnistIouStudy

SETTINGS = {
    "seeds": [1, 2, 3, 4, 5, 6],
    "levels": 5,
    "pretraining": [[6, 0.01]],
    "retraining": [[4, 0.01]],
}
WORKERS = (1, 2)
ON_PAPER = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FROM_STORE = 85.0  # seconds of mnist_iou in "paper" with all steps in the store, see the docstring


def run() -> pd.DataFrame:
    """Return a row per number of workers: seconds, speed-up, what is sent and returned."""
    config = mnist_iou.configure("quick", **SETTINGS)
    seconds = {"this process alone": _seconds(config, Machine("cpu", jobs=1))}
    for count in WORKERS:
        with _workers(count) as address:
            run_time = _seconds(config, Machine("cpu", cluster=address))
            seconds[_words(count)] = run_time
            unit, result = _bytes(config, address)
    measured = [
        {
            "chains": len(config.seeds),
            "run by": name,
            "s": run_time,
            "speed-up": seconds[_words(1)] / run_time,
            "bytes of a unit": unit,
            "bytes of a result": result,
            "load": os.getloadavg()[0],
        }
        for name, run_time in seconds.items()
    ]
    return pd.DataFrame([*measured, *_on_paper()])


def _words(workers: int) -> str:
    return f"{workers} worker{'' if workers == 1 else 's'}"


@contextmanager
def _workers(count: int) -> Iterator[str]:
    """Provide the address of a cluster of processes that have imported pruncam."""
    from distributed import LocalCluster

    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=count, threads_per_worker=1, processes=True, **local) as cluster:
        with cluster.get_client() as client:
            client.run(importlib.import_module, "pruncam.studies.mnist_iou")
        yield cluster.scheduler_address


def _seconds(config: MnistIouConfig, machine: Machine) -> float:
    """Return the seconds of a run from an empty cache."""
    with _empty_cache():
        start = time.perf_counter()
        mnist_iou.run(config, False, machine=machine)
        return time.perf_counter() - start


@contextmanager
def _empty_cache() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, cache_in(folder):
        yield


def _bytes(config: MnistIouConfig, address: str) -> tuple[int, int]:
    """Return the sizes of a unit as it is sent, with its function, and of its result."""
    unit = StudyUnit(MnistIouStudy, config, "cpu", None, stage=0, task=0)
    with _empty_cache(), Cluster(address) as workers:
        sent = pickle.dumps((workers.call(compute), unit))
    return len(sent), len(pickle.dumps(14))  # the number of steps that were computed


def _on_paper() -> list[dict[str, Any]]:
    """Return the seconds of the profile "paper" by number of workers, from those of its steps."""
    folder = project_root() / "figures" / "paper" / "mnist_iou"
    done = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    config = mnist_iou.configure("paper")
    chains = len(config.all_seeds) + len(config.variants) * config.variant_seeds
    chains += len(config.other_datasets) * len(config.seeds)
    done_chains = done["models"] / (done["config"]["levels"] + 1)
    of_chain = done["compute_seconds"] / done_chains
    times = {count: math.ceil(chains / count) * of_chain + FROM_STORE for count in ON_PAPER}
    return [
        {
            "chains": chains,
            "run by": f"{_words(count)}, on paper",
            "s": seconds,
            "speed-up": times[1] / seconds,
        }
        for count, seconds in times.items()
    ]
