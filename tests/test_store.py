"""The store: keys, damaged files, crashes, killed writers and writers at the same time."""

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from pruncam._core import disk, sealed_files
from pruncam._core.store import (
    Step,
    Store,
    write_atomically,
    write_folder_atomically,
    write_folder_once,
    write_sealed,
    write_text_atomically,
)

STEP = Step("some-step", 2, {"seed": 333, "schedule": [[5, 0.01], [2, 0.001]], "data": "abc"})
VALUE = {
    "weights": torch.arange(300.0).reshape(3, 100),
    "flags": torch.tensor([True, False]),
    "mean": 0.1,
    "of": [1, "x"],
}
PROCESSES = multiprocessing.get_context("forkserver")


def never():
    raise AssertionError("the step was recomputed")


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return one == other


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_stored_result_is_read_and_not_recomputed(tmp_path):
    first = Store(tmp_path).get(STEP, lambda: VALUE)
    again = Store(tmp_path).get(STEP, never)
    assert first.fresh and not again.fresh
    assert same(first.value, VALUE) and same(again.value, VALUE)
    assert again.seconds == first.seconds


def test_the_seconds_are_those_of_the_run_that_computed_it(tmp_path, monkeypatch):
    times = iter([100.0, 107.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    Store(tmp_path).get(STEP, lambda: 1)
    assert Store(tmp_path).get(STEP, never).seconds == 7.5


def test_a_result_of_none_is_stored_too(tmp_path):
    Store(tmp_path).get(STEP, lambda: None)
    assert Store(tmp_path).get(STEP, never).value is None


def test_the_key_is_the_hash_of_name_version_and_inputs():
    text = '["some-step", 2, {"data": "abc", "schedule": [[5, 0.01], [2, 0.001]], "seed": 333}]'
    assert STEP.key == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_the_key_is_the_same_in_every_process_and_for_every_order_of_the_inputs():
    # printf '["some-step", 2, {...}]' | sha256sum: later versions must find stored steps.
    assert STEP.key == "43ef966e3708913d10fc4301c0dce58c"
    assert Step("some-step", 2, dict(reversed(STEP.inputs.items()))).key == STEP.key
    tuples = {"seed": 333, "schedule": ((5, 0.01), (2, 0.001)), "data": "abc"}
    assert Step("some-step", 2, tuples).key == STEP.key


@pytest.mark.parametrize(
    "other",
    [
        Step("other-step", 2, STEP.inputs),
        Step("some-step", 3, STEP.inputs),
        Step("some-step", 2, {**STEP.inputs, "seed": 334}),
        Step("some-step", 2, {**STEP.inputs, "schedule": [[5, 0.01], [2, 0.002]]}),
        Step("some-step", 2, {**STEP.inputs, "more": None}),
    ],
    ids=["name", "version", "seed", "nested value", "one more"],
)
def test_the_key_depends_on_name_version_and_every_input(tmp_path, other):
    store = Store(tmp_path)
    store.get(STEP, lambda: "this")
    assert other.key != STEP.key
    assert store.get(other, lambda: "that").value == "that"
    assert store.get(STEP, never).value == "this"


def test_inputs_that_are_not_plain_values_are_refused(tmp_path):
    with pytest.raises(TypeError):
        Store(tmp_path).get(Step("some-step", 1, {"weights": torch.ones(2)}), never)
    with pytest.raises(ValueError):
        Store(tmp_path).get(Step("some-step", 1, {"rate": float("nan")}), never)


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    """Flip one bit of one of the numbers."""
    position = content.index(torch.arange(300.0).numpy().tobytes()) + 400
    flipped = bytes([content[position] ^ 1])
    return content[:position] + flipped + content[position + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda _: b"", lambda _: b"not a file of ours"])
def test_a_damaged_file_is_recomputed_with_a_warning(tmp_path, damage):
    store = Store(tmp_path)
    store.get(STEP, lambda: VALUE)
    path = store.path(STEP)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(
        UserWarning, match=f"{STEP.key}.pt in the cache cannot be read .* and is recomputed"
    ):
        again = store.get(STEP, lambda: VALUE)
    assert again.fresh and same(again.value, VALUE)
    assert same(store.get(STEP, never).value, VALUE)


def test_a_file_that_holds_code_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    store = Store(tmp_path / "cache")
    store.path(STEP).parent.mkdir(parents=True)
    torch.save({"value": Evil(), "seconds": 1.0}, store.path(STEP))
    with pytest.warns(UserWarning, match="cannot be read"):
        assert store.get(STEP, lambda: "mine").value == "mine"
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("where", ["making", "writing"])
@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
def test_a_crash_leaves_nothing_and_a_full_disk_does_not_lose_the_result(
    tmp_path, monkeypatch, where, error
):
    def crash(*_):
        raise error

    def save_half(_, file):
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", save_half)
    if where == "writing" and error is not KeyboardInterrupt:
        with pytest.warns(UserWarning, match="could not be stored in the cache"):
            result = Store(tmp_path).get(STEP, lambda: VALUE)
        assert result.fresh and same(result.value, VALUE)
    else:
        with pytest.raises(error):
            Store(tmp_path).get(STEP, crash if where == "making" else lambda: VALUE)
    assert files(tmp_path) == []


def test_an_older_result_stays_where_its_successor_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "result.txt"
    path.write_text("old")

    def write_half(temporary):
        temporary.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, write_half)
    assert path.read_text() == "old" and files(tmp_path) == ["result.txt"]


def test_a_text_file_is_written_with_its_parent_folders(tmp_path):
    path = tmp_path / "new" / "folder" / "text.md"
    write_text_atomically(path, "Größe\n")
    write_text_atomically(path, "2 ± 1\n")
    assert path.read_bytes() == "2 ± 1\n".encode()
    assert files(tmp_path) == ["text.md"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "report"
    write_folder_atomically(folder, lambda new: (new / "old.txt").write_text("old"))
    write_folder_atomically(folder, lambda new: (new / "new.txt").write_text("new"))
    assert files(tmp_path) == ["new.txt"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_folder_that_cannot_be_written_leaves_the_old_one(tmp_path, error):
    folder = tmp_path / "report"
    write_folder_atomically(folder, lambda new: (new / "old.txt").write_text("old"))

    def write_half(new):
        (new / "new.txt").write_text("ne")
        raise error

    with pytest.raises(error):
        write_folder_atomically(folder, write_half)
    assert files(tmp_path) == ["old.txt"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_renamed_leaves_the_old_one(tmp_path, monkeypatch):
    folder = tmp_path / "report"
    write_folder_atomically(folder, lambda new: (new / "old.txt").write_text("old"))
    rename = os.replace

    def fail_on_the_new_one(source, target):
        if (source / "new.txt").exists():
            raise OSError("disk failure")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fail_on_the_new_one)
    with pytest.raises(OSError, match="disk failure"):
        write_folder_atomically(folder, lambda new: (new / "new.txt").write_text("new"))
    assert files(tmp_path) == ["old.txt"]
    assert list(tmp_path.iterdir()) == [folder]


def dies_while_writing(folder, half_written):
    def save_half(value, file, save=torch.save):
        save(value, file)
        file.truncate(file.tell() // 2)
        half_written.set()
        time.sleep(600)

    torch.save = save_half
    Store(folder).get(STEP, lambda: torch.ones(100_000))


def test_a_killed_writer_leaves_no_partial_file_to_be_read(tmp_path):
    half_written = PROCESSES.Event()
    writer = PROCESSES.Process(target=dies_while_writing, args=(tmp_path, half_written))
    writer.start()
    assert half_written.wait(120)
    writer.kill()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    assert not Store(tmp_path).path(STEP).exists()
    assert len(files(tmp_path)) == 1, (
        "the partial file should still be there, or this tests nothing"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Store(tmp_path).get(STEP, lambda: "complete").value == "complete"
        assert Store(tmp_path).get(STEP, never).value == "complete"
    assert files(tmp_path) == [f"{STEP.key}.pt"], "the partial file is swept"


def computes_with_others(folder, number, together, answers):
    def make():
        together.wait(120)  # until all processes are here
        return torch.full((1_000_000,), number)

    for _ in range(3):  # computed, then read
        answers.put((number, Store(folder).get(STEP, make).value.unique().tolist()))


def test_processes_may_compute_the_same_step_at_the_same_time(tmp_path):
    numbers, together, answers = (1.0, 2.0, 3.0), PROCESSES.Barrier(3), PROCESSES.Queue()
    workers = [
        PROCESSES.Process(target=computes_with_others, args=(tmp_path, n, together, answers))
        for n in numbers
    ]
    for worker in workers:
        worker.start()
    results = [answers.get(timeout=120) for _ in range(9)]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    for number in numbers:
        computed, *read = [values for process, values in results if process == number]
        assert computed == [number], "a process received the result of another one"
        assert all(values in ([1.0], [2.0], [3.0]) for values in read), "a mixture of two files"
    assert len(Store(tmp_path).get(STEP, never).value.unique()) == 1
    assert files(tmp_path) == [f"{STEP.key}.pt"]


def test_the_environment_names_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "there"))
    Store().get(STEP, lambda: VALUE)
    assert files(tmp_path / "there") == [f"{STEP.key}.pt"]


# ---------------------------------------------------------------- what a file holds


def store_plain(path, content, attributes=0):
    """Write a file as older versions did, without a seal; `attributes` are those of its entries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        start = archive.start_dir
    altered = bytearray(path.read_bytes())
    for entry in entries:
        where = altered.index(entry.filename.encode(), start) - 46  # the entry's header
        altered[where + 38 : where + 42] = attributes.to_bytes(4, "little")
    path.write_bytes(altered)


def test_a_file_says_what_it_holds_and_ends_with_the_checksum_of_what_precedes(tmp_path):
    store = Store(tmp_path)
    store.get(STEP, lambda: VALUE)
    content, _, seal = store.path(STEP).read_bytes().rstrip(b"\n").rpartition(b"\n")
    checksum = hashlib.sha256(content).hexdigest()
    assert json.loads(seal) == {"step": STEP.name, "key": STEP.key, "sha256": checksum}
    assert same(torch.load(store.path(STEP), weights_only=True)["value"], VALUE)


@pytest.mark.parametrize(
    "other", [Step("other-step", 2, STEP.inputs), Step("some-step", 3, STEP.inputs)]
)
def test_the_file_of_another_step_is_not_used(tmp_path, other):
    store = Store(tmp_path)
    store.get(other, lambda: "that")
    store.path(STEP).parent.mkdir(exist_ok=True)
    shutil.copy(store.path(other), store.path(STEP))
    holds = f"it holds {other.name} {other.key} instead of {STEP.name} {STEP.key}"
    with pytest.warns(UserWarning, match=holds):
        assert store.get(STEP, lambda: "this").value == "this"
    assert store.get(STEP, never).value == "this"


@pytest.mark.filterwarnings("ignore:.*is recomputed:UserWarning")
@pytest.mark.parametrize("sealed", [True, False])
def test_one_flipped_bit_anywhere_never_changes_a_result(tmp_path, sealed):
    store, path = Store(tmp_path), Store(tmp_path).path(STEP)
    if sealed:
        store.get(STEP, lambda: VALUE)
    else:
        store_plain(path, {"value": VALUE, "seconds": 1.0})
    content = path.read_bytes()
    refused = 0
    for number in range(len(content) // 11):
        position = 11 * number + number % 11
        flipped = content[position] ^ 1 << number % 8
        path.write_bytes(content[:position] + bytes([flipped]) + content[position + 1 :])
        result = store.get(STEP, lambda: VALUE)
        assert same(result.value, VALUE), f"byte {position}"
        refused += result.fresh
    assert refused > 100


def test_a_file_of_an_older_version_is_used_if_its_entries_are_intact(tmp_path):
    store = Store(tmp_path)
    store_plain(store.path(STEP), {"value": VALUE, "seconds": 1.0})
    assert same(store.get(STEP, never).value, VALUE)


def test_an_entry_with_altered_attributes_is_refused(tmp_path):
    store = Store(tmp_path)
    store_plain(store.path(STEP), {"value": VALUE, "seconds": 1.0}, attributes=0x10)
    with pytest.warns(UserWarning, match=r"\(the attributes of its entry data.pkl are altered\)"):
        assert store.get(STEP, lambda: "new").value == "new"


@pytest.mark.parametrize("content", [{"seconds": 1.0}, [1, 2], {"value": {"a": 1}, "seconds": 1.0}])
def test_another_content_is_named_and_made_anew(tmp_path, content):
    def use(value):
        raise ValueError(f"weight b is not among {', '.join(value)}")

    store = Store(tmp_path)
    write_sealed(store.path(STEP), content, STEP.identity)
    reason = "it holds no result of a step|weight b is not among a"
    with pytest.warns(UserWarning, match=rf"^{STEP.key}.pt in the cache .* \(({reason})\) and is"):
        assert store.get(STEP, lambda: VALUE, use).fresh
    assert same(store.get(STEP, never).value, VALUE)


# ---------------------------------------------------------------- places and disks


def test_a_folder_in_the_place_of_a_file_is_refused_before_the_work(tmp_path):
    store = Store(tmp_path)
    store.path(STEP).mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=f"^{store.path(STEP)} is a folder where .* away$"):
        store.get(STEP, never)
    assert store.path(STEP).is_dir()


@pytest.mark.parametrize("place", ["cache", "cache/some-step"])
def test_a_file_in_the_place_of_a_folder_is_refused_before_the_work(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    with pytest.raises(NotADirectoryError, match=f"^{tmp_path / place} is a file where .*_CACHE$"):
        Store(tmp_path / "cache").get(STEP, never)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("values", [10, 1_000_000])
def test_a_full_disk_is_named(tmp_path, values):
    with (
        pytest.raises(OSError, match=f"^the disk of {tmp_path} is full .*another disk$") as caught,
        disk.explained(tmp_path),
    ):
        sealed_files.save(torch.ones(values), Path("/dev/full"), {})
    assert caught.value.errno == errno.ENOSPC


def test_a_folder_that_cannot_be_written_is_noticed_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "figures"
    with pytest.raises(OSError, match=f"^no figures can be written to {folder} .*: choose another"):
        disk.check_writable(folder, "figures", "choose another folder")
    disk.check_writable(tmp_path / "new", "figures", "choose another folder")
    assert files(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [write_folder_atomically, write_folder_once])
def test_a_folder_may_be_written_by_several_at_a_time(tmp_path, write):
    folder = tmp_path / "report"
    together = threading.Barrier(4)

    def fill(new, number):
        together.wait(60)
        (new / f"{number}.txt").write_text("")

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            shutil.rmtree(folder, ignore_errors=True)
            tasks = [
                pool.submit(write, folder, lambda new, number=number: fill(new, number))
                for number in range(4)
            ]
            for task in tasks:
                task.result()
            assert len(files(tmp_path)) == 1, "neither a mixture nor a rest"


def test_a_folder_that_is_written_once_stays(tmp_path):
    write_folder_once(tmp_path / "example", lambda new: (new / "a").write_text(""))
    write_folder_once(tmp_path / "example", lambda new: never())
    assert files(tmp_path) == ["a"]


def test_whether_a_folder_may_be_written_is_known_without_creating_it(tmp_path):
    (tmp_path / "file").write_text("")
    assert disk.may_be_written(tmp_path / "new" / "folder")
    assert not disk.may_be_written(tmp_path / "file" / "folder")
    assert files(tmp_path) == ["file"]
