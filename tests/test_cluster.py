"""Studies and comparisons on a local cluster of two worker processes."""

import dataclasses
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from pruncam import comparison, pruning
from pruncam._core import allocator, cluster
from pruncam._core.cluster import Cluster, UnitProgress
from pruncam._core.executor import run_tasks
from pruncam._core.machine import Machine
from pruncam._core.progress import Interrupted, Progress
from pruncam.cli import main
from pruncam.comparison.cluster_shards import report_on_cluster
from pruncam.comparison.command_options import run_of
from pruncam.comparison.user_code import load_function
from pruncam.datasets import images
from pruncam.studies import mnist_iou, sp2ps
from pruncam.studies.sp2ps.study import Sp2psStudy

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
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
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
    first = sp2ps.run(config, False, machine=Machine("cpu", cluster=address))
    assert_equal(first, serial)
    assert first.manifest["cluster"]["workers"] == 2
    assert first.manifest["cluster"]["steps_computed"] > 20
    # This process measured only its own speed.
    assert first.manifest["steps"] - first.manifest["steps_from_cache"] == len(config.datasets)
    again = Sp2psStudy(config, progress=False, machine=Machine("cpu", cluster=address))
    again.load()
    again.compute_on_cluster()
    assert again.cluster_facts["cluster"] == first.manifest["cluster"] | {"steps_computed": 0}


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


# ---------------------------------------------------------------- a comparison


NETWORK = """
from torch import nn

def network(num_classes=2):
    layers = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(6, num_classes))

def brightness(baseline, pruned):
    return pruned.mean((1, 2)) - baseline.mean((1, 2))
"""
BATCH = 3 * 12 * 12  # values in a batch of one image, so that six images have as many shards


def set_batch(values):
    images._BATCH_VALUES = values


@pytest.fixture
def batches_of_one_image(workers):
    before = images._BATCH_VALUES
    with distributed.Client(workers, set_as_default=False) as client:
        for run in (client.run, lambda function, *arguments: function(*arguments)):
            run(set_batch, BATCH)
        yield
        for run in (client.run, lambda function, *arguments: function(*arguments)):
            run(set_batch, before)


def test_a_comparison_is_that_of_one_process(
    address, batches_of_one_image, tmp_path, ants_and_bees, monkeypatch
):
    (tmp_path / "mine.py").write_text(NETWORK)
    torch.manual_seed(3)
    network = load_function(f"{tmp_path}/mine.py:network", "model")()
    torch.save(network.state_dict(), tmp_path / "a.pt")
    torch.save(pruning.global_unstructured(network, 0.5).state_dict(), tmp_path / "b.pt")
    monkeypatch.chdir(tmp_path)  # relative paths hold on the workers too
    files = comparison.Files("a.pt", "b.pt", "mine.py:network", ants_and_bees, train=ants_and_bees)
    settings = comparison.Settings(
        methods=("grad-cam",), mean=(0.5,), std=(0.25,), seeds=(1,), bootstrap=100
    )
    options = comparison.CommandOptions(
        "report", custom_score=("mine.py:brightness",), device="cpu"
    )
    run = run_of(options)
    one = comparison.compare(comparison.load(files), settings=settings, progress=False, **vars(run))
    on_cluster = dataclasses.replace(options, cluster=address)
    many = report_on_cluster(files, settings, on_cluster, run)
    assert len(many.manifest["shards"]) == 6
    assert address not in str(many.manifest)
    assert many.summary == one.summary
    assert many.tables.keys() == one.tables.keys()
    for name, table in many.tables.items():
        assert table.equals(one.tables[name]), name
    shards = list((tmp_path / "cache" / "compared-shards").glob("*/*/*"))
    before = [shard.stat().st_mtime_ns for shard in shards]
    again = report_on_cluster(files, settings, on_cluster, run)
    assert again.summary == one.summary
    assert [shard.stat().st_mtime_ns for shard in shards] == before


# ---------------------------------------------------------------- stopping


def note_and_wait(folder, number):
    """Return at once for unit 0; the others note that they started, and when they are stopped."""
    if number == 0:
        while not list(Path(folder).glob("started *")):
            time.sleep(0.01)
        return
    progress = UnitProgress()
    (Path(folder) / f"started {number}").touch()
    try:
        while True:
            progress.check()
            time.sleep(0.01)
    except Interrupted:
        (Path(folder) / f"stopped {number}").touch()
        raise


class InterruptedBar(Progress):
    """A bar at which the user presses Ctrl-C when the first unit is done."""

    def advance(self, units=1):
        raise KeyboardInterrupt


def test_ctrl_c_stops_the_units_that_run_and_drops_the_others(address, tmp_path):
    with Cluster(address) as workers:
        with pytest.raises(KeyboardInterrupt):
            work = partial(note_and_wait, str(tmp_path))
            run_tasks(work, [0, 1, 2, 3], workers, InterruptedBar("", "", False))
        patience = time.monotonic() + 20
        while numbers(tmp_path, "stopped") != numbers(tmp_path, "started"):
            assert time.monotonic() < patience
            time.sleep(0.01)
    # Two workers: the third unit would have started when another one stopped.
    assert 1 <= len(numbers(tmp_path, "started")) <= 2


def numbers(folder, event):
    return {path.name.split()[1] for path in folder.glob(f"{event} *")}


def raise_zero_division(number):
    raise ZeroDivisionError(f"of unit {number}")


def test_the_error_of_a_unit_is_raised(address):
    with Cluster(address) as workers, pytest.raises(ZeroDivisionError, match="of unit 7"):
        run_tasks(raise_zero_division, [7], workers, Progress("", "", False))


COUNT_CLEARED_PAGES = """
import resource
import numpy as np
from pruncam._core.allocator import undo_trimming_of_dask

def cleared_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(2**17)  # 1 MiB, 256 pages: too little for a huge page
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = cleared_pages()
undo_trimming_of_dask()
np.ones(2**17)
print(first, cleared_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="thresholds of glibc")
@pytest.mark.parametrize(("threshold", "is_undone"), [("65536", True), ("65537", False)])
def test_a_worker_keeps_its_memory_unless_the_user_set_a_threshold(threshold, is_undone):
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": threshold}
    command = [sys.executable, "-c", COUNT_CLEARED_PAGES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 20_000
    assert after < 200 if is_undone else after > 20_000


def test_dask_sets_the_threshold_that_is_undone():
    import dask

    environment = dask.config.get("distributed.nanny.pre-spawn-environ")
    assert str(environment["MALLOC_TRIM_THRESHOLD_"]) == allocator._TRIM_OF_DASK


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("address", ["local", "127.0.0.1:8786", "http://host:1", "tcp://host", 3])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="the cluster must be tcp://host:port or tls://host:port"):
        Machine("cpu", cluster=address)


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    arguments = ["reproduce", "--study", "mnist_iou", "--cluster", "tcp://127.0.0.1:1"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error == (
        "pruncam: a cluster needs the package distributed, which is not installed: "
        'run `pip install "pruncam[cluster]"`\n'
    )


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.2)
    message = "no scheduler answers at tcp://127.0.0.1:1: start one with `dask scheduler`"
    with pytest.raises(ValueError, match=message), Cluster("tcp://127.0.0.1:1"):
        pass


def in_this_process(*workers):
    """A cluster of threads, with workers of these options."""
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    scheduler = {"cls": distributed.Scheduler, "options": options}
    specs = [{"cls": distributed.Worker, "options": options} for options in workers]
    return distributed.SpecCluster(dict(enumerate(specs)), scheduler)


def test_a_scheduler_without_workers_is_refused():
    with in_this_process() as local:
        address = local.scheduler_address
        message = f"the scheduler at {address} has no workers: start some with `dask worker"
        with pytest.raises(ValueError, match=message), Cluster(address):
            pass


def test_a_worker_that_runs_several_units_at_a_time_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path))
    with in_this_process({"nthreads": 1}, {"nthreads": 2}) as local:
        message = "runs 2 units at a time in one process.*start it with --nthreads 1"
        with pytest.raises(ValueError, match=message), Cluster(local.scheduler_address):
            pass


@pytest.mark.parametrize("package", ["PyTorch", "pruncam"])
def test_a_worker_of_another_version_is_refused(address, package, monkeypatch):
    ours = cluster._versions() | {package: "0.0.7"}
    monkeypatch.setattr(cluster, "_versions", lambda: ours)
    message = f"the worker tcp://.* has {package} .*, this process 0.0.7: start the worker again"
    with pytest.raises(ValueError, match=message), Cluster(address):
        pass


def test_a_worker_that_does_not_see_the_cache_is_refused(address, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "touch", lambda *_, **__: None)  # nothing appears on its side
    message = f"does not see the cache folder {tmp_path}/cache: set PRUNCAM_CACHE to a folder"
    with pytest.raises(ValueError, match=message), Cluster(address):
        pass


def hide_pruncam():
    hidden = {name: module for name, module in sys.modules.items() if "pruncam" in name}
    sys.modules.update(dict.fromkeys(hidden))
    sys.hidden_for_a_test = hidden


def show_pruncam():
    sys.modules.update(sys.hidden_for_a_test)


def test_a_worker_without_pruncam_is_refused(workers, address):
    message = "cannot import pruncam .*: start both from the environment of this process"
    with distributed.Client(workers, set_as_default=False) as client:
        client.run(hide_pruncam)
        try:
            with pytest.raises(ValueError, match=message), Cluster(address):
                pass
        finally:
            client.run(show_pruncam)


def name_of_worker(number):
    time.sleep(0.05)  # or the first worker would be done with all
    return distributed.get_worker().name


@pytest.mark.parametrize(("resources", "expected"), [({"GPU": 1}, {1}), ({}, {0, 1})])
def test_units_go_to_the_workers_with_a_gpu_if_there_are_any(
    resources, expected, tmp_path, monkeypatch
):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path))
    with (
        in_this_process({"nthreads": 1}, {"nthreads": 1, "resources": resources}) as local,
        Cluster(local.scheduler_address) as workers,
    ):
        names = run_tasks(name_of_worker, range(6), workers, Progress("", "", False))
    assert set(names) == expected
