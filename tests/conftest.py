"""Shared by the tests: CPU cores, one thread, and the quick profile of the MNIST IoU study."""

import multiprocessing
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

# Processes of the context "forkserver" are forked from one that has done the slow imports.
SLOW_IMPORTS = [
    "torch",
    "pruncam.training.compiled.kernel",
    "pruncam.studies.mnist_iou",
    "sklearn.datasets",
    "pytest",
]
multiprocessing.get_context("forkserver").set_forkserver_preload(SLOW_IMPORTS)

# Test files and notebooks that take longest, in the order in which they are run. What comes later
# takes the steps of a quick profile from the cache of `make test`: 06_explore, test_sp2ps and
# test_browser those of 03_sp2ps, 05_mnist_iou those of test_mnist_iou.
SLOWEST_FIRST = [
    "03_sp2ps",
    "test_mnist_iou",
    "02_pruning_sweeps",
    "04_pe_score",
    "test_training",
    "test_cams",
    "test_families",
    "test_sp2ps",
    "test_processors",
    "01_csg_complexity",
    "test_browser",
    "test_book",
    "07_your_own_model",
    "test_pe_score",
    "test_compare",
    "test_checkpoints",
    "test_gate",
    "test_scoring",
    "test_filter_removal",
    "test_target_layer",
    "05_mnist_iou",
    "06_explore",
    "test_runner",
    "test_sweeps",
    "test_wheel",
    "test_cluster",
    "00_start_here",
]

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-quic",
]


def pytest_configure(config):
    """Give each process of `pytest -n` cores of its own, to which its child processes keep too.

    Threads of two processes on the same cores wait for each other in turn: two notebooks took
    290 s that way, and 110 s on separate cores.
    """
    if not hasattr(config, "workerinput") or not hasattr(os, "sched_setaffinity"):
        return
    worker = config.workerinput
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[number::count] or [cores[number % len(cores)]])


def pytest_collection_modifyitems(items):
    """Run the slowest files first, or one process would be alone with one of them at the end."""
    ranks = {name: rank for rank, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Use one PyTorch thread: the tensors are small, and more threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def coarse_figures(monkeypatch):
    """Save figures with few pixels, where a test looks at none of them."""
    monkeypatch.setattr("pruncam.report.rendering.FILE_DPI", 50)


@pytest.fixture(scope="session")
def ants_and_bees(tmp_path_factory):
    """A folder of images of noise, 12x12 pixels in colour, three of each of two classes."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (folder / name).mkdir()
        for number in range(3):
            pixels = random.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty cache that the tests of a file share."""
    return tmp_path_factory.mktemp("cache")


class Finished(NamedTuple):
    """A finished run of a study."""

    result: object  # a StudyResult
    cache: Path
    progress: str  # the last line of its progress file


@pytest.fixture(scope="session")
def run_study(tmp_path_factory):
    """A function that runs the MNIST IoU study on a fresh cache or on one that is passed."""
    from pruncam._core.machine import Machine
    from pruncam.studies import mnist_iou

    def run(config, cache=None, **machine):
        cache = cache or tmp_path_factory.mktemp("cache")
        progress = tmp_path_factory.mktemp("progress") / "line.txt"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PRUNCAM_CACHE", str(cache))
            patch.setenv("PRUNCAM_PROGRESS", str(progress))
            result = mnist_iou.run(config, machine=Machine(**machine))
        return Finished(result, cache, progress.read_text())

    return run


@pytest.fixture(scope="session")
def planned_epochs():
    """A function that holds a study's list of steps against a finished run of the same study.

    It returns the number of epochs in the list.
    """
    from pruncam._core.store import Store

    def check(study, result, cache):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PRUNCAM_CACHE", str(cache))
            study.load()
        works, store = study.work(), Store(cache)
        assert len(works) == result.manifest["steps"]
        assert all(store.path(work.step).is_file() for work in works)
        assert all(work.amount > 0 for work in works)
        return sum(work.epochs for work in works)

    return check


@pytest.fixture(scope="session")
def quick(run_study):
    """The whole quick profile: half a minute on two cores.

    `make test` has a fresh cache, from which the notebook then takes the same steps.
    """
    from pruncam.studies import mnist_iou

    return run_study(mnist_iou.configure("quick"), cache=os.environ.get("PRUNCAM_CACHE"))


@pytest.fixture
def steps_outside_stages(monkeypatch):
    """A function that returns the names of stored steps that a study takes, but none of its tasks.

    On a cluster the workers would not compute them.
    """
    from pruncam._core.machine import Machine
    from pruncam._core.store import Store

    taken = []
    get = Store.get

    def recorded(store, step, make, use=None):
        taken.append((step.name, step.key))
        return get(store, step, make, use)

    def of(study, config, cache):
        monkeypatch.setattr(Store, "get", recorded)
        monkeypatch.setenv("PRUNCAM_CACHE", str(cache))
        study(config, progress=False, machine=Machine("cpu")).run()
        of_run = set(taken)
        taken.clear()
        tasks = study(config, progress=False, machine=Machine("cpu"))
        tasks.load()
        for stage in tasks.stages():
            for task in stage:
                task()
        return {name for name, _ in of_run - set(taken)}

    return of


# ---------------------------------------------------------------- a browser


def find_chromium(of_playwright: str) -> str | None:
    """Return the path of the browser to use, `of_playwright` last."""
    named = os.environ.get("PRUNCAM_CHROMIUM")
    candidates = [named] if named else [*map(shutil.which, CHROMIUMS), of_playwright]
    return next((path for path in candidates if path and Path(path).is_file()), None)


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium, or skip and say what is missing.

    It is the file that PRUNCAM_CHROMIUM names, one on the PATH, or the one that
    `python -m playwright install chromium` installs. playwright is in the extra `test`.
    """
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    with api.sync_playwright() as playwright:
        path = find_chromium(playwright.chromium.executable_path)
        if path is None:
            pytest.skip(
                "no Chromium: `apt-get install chromium`, or `python -m playwright install "
                "chromium`, or name one in PRUNCAM_CHROMIUM"
            )
        started = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield started
        started.close()
