"""The store: keys, damaged files, crashes, killed writers and writers at the same time."""

import hashlib
import multiprocessing
import os
import signal
import time
import warnings

import pytest
import torch

from pruncam._core.store import (
    Step,
    Store,
    write_atomically,
    write_folder_atomically,
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
