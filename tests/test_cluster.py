"""Studies and comparisons on a local cluster of two worker processes."""

import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from pruncam._core.machine import Machine
from pruncam.studies import mnist_iou, sp2ps

distributed = pytest.importorskip("distributed", reason="pip install 'pruncam[cluster]'")

DIGITS = {
    "train_images": 300,
    "test_images": 60,
    "seeds": [1, 2, 3],
    "levels": 2,
    "pretraining": [[4, 0.02]],
    "retraining": [[2, 0.02]],
    "bootstrap": 100,
}
SPEC = {"paper": "CIFAR-10", "source": "generated-10", "size": 32, "width": 2}
SCENES = {
    "datasets": [SPEC],
    "shortcut": SPEC | {"width": 3},
    "train_images": 40,
    "test_images": 10,
    "baseline": [[1, 0.005]],
    "finetuning": [[1, 0.01]],
    "misleading": [[1, 0.005]],
    "baseline_seeds": [2],
    "rates": [0.5],
    "methods": ["grad-cam"],
    "sensitivity_images": 5,
    "bootstrap": 100,
}


@pytest.fixture(scope="module")
def workers():
    """A cluster of two processes, forked from one that has done the slow imports."""
    import dask

    # Before dask starts the server that forks, with imports of its own.
    first = multiprocessing.get_context("forkserver").Process(target=os.getpid)
    first.start()
    first.join()
    settings = {"distributed.worker.multiprocessing-method": "forkserver"}
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(n_workers=2, processes=True, **options) as local,
    ):
        yield local


@pytest.fixture
def address(workers, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "cache"))
    return workers.scheduler_address


def tables_of(result):
    tables = {**result.tables, "claims": result.claims}
    # The run time is measured anew, and differs from run to run.
    return {name: table for name, table in tables.items() if name != "times"}


def assert_equal(result, serial):
    tables, expected = tables_of(result), tables_of(serial)
    assert tables.keys() == expected.keys()
    for name, table in tables.items():
        assert table.equals(expected[name]), name


def in_folder(folder, run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(folder))
        return run()


def test_the_tables_are_equal_to_serial_and_a_second_run_computes_nothing(address, tmp_path):
    config = sp2ps.configure("quick", **SCENES)
    serial = in_folder(
        tmp_path / "serial", lambda: sp2ps.run(config, False, machine=Machine("cpu", jobs=1))
    )
    run = partial(sp2ps.run, config, False, machine=Machine("cpu", cluster=address))
    first = run()
    assert_equal(first, serial)
    assert first.manifest["cluster"]["workers"] == 2
    assert first.manifest["cluster"]["steps_computed"] > 20
    # This process measured only its own speed.
    assert first.manifest["steps"] - first.manifest["steps_from_cache"] == len(config.datasets)
    second = run()
    assert_equal(second, serial)
    assert second.manifest["cluster"]["steps_computed"] == 0


def test_a_worker_that_is_killed_loses_nothing(workers, address, tmp_path):
    config = mnist_iou.configure("quick", **DIGITS)
    serial = in_folder(
        tmp_path / "serial", lambda: mnist_iou.run(config, False, machine=Machine("cpu", jobs=1))
    )
    killed = []

    def kill_a_worker():
        while not list((tmp_path / "cache").rglob("*.pt")):  # until the first step is stored
            time.sleep(0.01)
        killed.append(next(iter(workers.workers.values())).process.process.pid)
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    result = mnist_iou.run(config, False, machine=Machine("cpu", cluster=address))
    thread.join()
    assert_equal(result, serial)
    assert result.manifest["steps"] == result.manifest["steps_from_cache"]
    assert killed and not Path(f"/proc/{killed[0]}").exists()
