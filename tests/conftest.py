"""What the tests share: cores, one thread, and the quick profile of the MNIST IoU study, run once on a fresh cache."""

import multiprocessing
import os
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

# Processes of the context "forkserver" are forked from one that has done the slow imports.
SLOW_IMPORTS = ["torch", "pruncam.mnist_kernel", "pruncam.studies.mnist_iou", "sklearn.datasets", "pytest"]
multiprocessing.get_context("forkserver").set_forkserver_preload(SLOW_IMPORTS)


def pytest_configure(config):
    """Cores of its own for each process of `pytest -n`, which its kernels and children keep to.

    Threads of two processes on the same cores wait for each other in turn: two notebooks took 290 s that way, 110 s so.
    """
    if not hasattr(config, "workerinput") or not hasattr(os, "sched_setaffinity"):
        return
    number, count = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[number::count] or [cores[number % len(cores)]])


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The tensors here are small: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty cache, which the tests of a file share."""
    return tmp_path_factory.mktemp("cache")


class Finished(NamedTuple):
    """A study that was run, and what its run left."""

    result: object  # a StudyResult
    cache: Path
    progress: str  # the last line that it told


@pytest.fixture(scope="session")
def run_study(tmp_path_factory):
    """A function that runs the MNIST IoU study on a fresh cache or on the one given."""
    from pruncam.studies import mnist_iou

    def run(config, cache=None, **machine):
        cache = cache or tmp_path_factory.mktemp("cache")
        progress = tmp_path_factory.mktemp("progress") / "line.txt"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PRUNCAM_CACHE", str(cache))
            patch.setenv("PRUNCAM_PROGRESS", str(progress))
            result = mnist_iou.run(config, machine=mnist_iou.Machine(**machine))
        return Finished(result, cache, progress.read_text())

    return run


@pytest.fixture(scope="session")
def quick(run_study):
    """The whole quick profile: half a minute on two cores."""
    from pruncam.studies import mnist_iou

    return run_study(mnist_iou.configure("quick"))
