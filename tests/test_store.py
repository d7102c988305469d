"""The store: keys, damaged files, crashes, killed writers and writers at the same time."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager

import pytest
import torch

from pruncam.store import Step, Store

STEP = Step("some-step", 2, {"seed": 333, "schedule": [[5, 0.01], [2, 0.001]], "data": "abc"})
VALUE = {
    "weights": torch.arange(300.0).reshape(3, 100),
    "flags": torch.tensor([True, False]),
    "mean": 0.1,
    "of": [1, "x"],
}
# Both scripts make STEP with the value that the first argument says, in the folder that the second names.
CHILD = """
import sys, time, pathlib, torch
from pruncam.store import Step, Store
step = Step("some-step", 2, {"seed": 333, "schedule": [[5, 0.01], [2, 0.001]], "data": "abc"})
store = Store(sys.argv[2])
"""
DIES_WHILE_WRITING = """
def save_half(value, path, whole=torch.save):
    whole(value, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    print("half", flush=True)
    time.sleep(600)
torch.save = save_half
store.get(step, lambda: torch.ones(100_000))
"""
AT_THE_SAME_TIME = """
def make():
    print("making", flush=True)
    while not (pathlib.Path(sys.argv[2]) / "go").exists():
        time.sleep(0.001)
    return torch.full((1_000_000,), float(sys.argv[1]))
print(store.get(step, make).value[0].item(), flush=True)
"""


@contextmanager
def child(script, value, folder):
    command = [sys.executable, "-c", CHILD + script, str(value), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def never():
    raise AssertionError("the step was made again")


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return one == other


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_was_made_comes_back_and_is_not_made_again(tmp_path):
    first = Store(tmp_path).get(STEP, lambda: VALUE)
    again = Store(tmp_path).get(STEP, never)
    assert first.fresh and not again.fresh
    assert same(first.value, VALUE) and same(again.value, VALUE)
    assert again.seconds == first.seconds


def test_the_seconds_are_those_of_the_run_that_made_it(tmp_path, monkeypatch):
    times = iter([100.0, 107.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    Store(tmp_path).get(STEP, lambda: 1)
    assert Store(tmp_path).get(STEP, never).seconds == 7.5


def test_a_result_of_nothing_is_kept_too(tmp_path):
    Store(tmp_path).get(STEP, lambda: None)
    assert Store(tmp_path).get(STEP, never).value is None


def test_the_key_is_the_hash_of_name_version_and_inputs():
    text = '["some-step", 2, {"data": "abc", "schedule": [[5, 0.01], [2, 0.001]], "seed": 333}]'
    assert STEP.key == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_the_key_is_the_same_in_every_process_and_for_every_order_of_the_inputs():
    # printf '["some-step", 2, {...}]' | sha256sum: stored steps must be found again by later versions
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
def test_whatever_made_a_step_is_in_its_key(tmp_path, other):
    store = Store(tmp_path)
    store.get(STEP, lambda: "this")
    assert other.key != STEP.key
    assert store.get(other, lambda: "that").value == "that"
    assert store.get(STEP, never).value == "this"


def test_inputs_that_are_no_plain_values_are_refused(tmp_path):
    with pytest.raises(TypeError):
        Store(tmp_path).get(Step("some-step", 1, {"weights": torch.ones(2)}), never)
    with pytest.raises(ValueError):
        Store(tmp_path).get(Step("some-step", 1, {"rate": float("nan")}), never)


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    """One bit of one of the numbers."""
    place = content.index(torch.arange(300.0).numpy().tobytes()) + 400
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda _: b"", lambda _: b"not a file of ours"])
def test_a_damaged_file_is_made_again_and_says_so(tmp_path, damage):
    store = Store(tmp_path)
    store.get(STEP, lambda: VALUE)
    path = store.path(STEP)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=f"{STEP.key}.pt in the cache cannot be read .*: making it again"):
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
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_crash_leaves_nothing(tmp_path, monkeypatch, where, error):
    def crash(*_):
        raise error

    def save_half(_, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", save_half)
    with pytest.raises(error):
        Store(tmp_path).get(STEP, crash if where == "making" else lambda: VALUE)
    assert files(tmp_path) == []


def test_an_older_result_stays_where_its_successor_cannot_be_written(tmp_path, monkeypatch):
    from pruncam.store import write_atomically

    path = tmp_path / "result.txt"
    path.write_text("old")

    def write_half(temporary):
        temporary.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, write_half)
    assert path.read_text() == "old" and files(tmp_path) == ["result.txt"]


def test_a_writer_that_is_killed_leaves_no_half_file_to_be_read(tmp_path):
    with child(DIES_WHILE_WRITING, 0, tmp_path) as writer:
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
    assert not Store(tmp_path).path(STEP).exists()
    assert len(files(tmp_path)) == 1, "the half file should still be there, or this tests nothing"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Store(tmp_path).get(STEP, lambda: "whole").value == "whole"
        assert Store(tmp_path).get(STEP, never).value == "whole"


def test_two_processes_may_make_the_same_step_at_the_same_time(tmp_path):
    with child(AT_THE_SAME_TIME, 1, tmp_path) as one, child(AT_THE_SAME_TIME, 2, tmp_path) as two:
        assert one.stdout.readline() == two.stdout.readline() == "making\n"
        (tmp_path / "go").touch()
        assert (one.stdout.read(), two.stdout.read()) == ("1.0\n", "2.0\n")
        assert one.wait() == two.wait() == 0
    kept = Store(tmp_path).get(STEP, never).value
    assert kept[0] in (1, 2) and (kept == kept[0]).all(), "a mixture of two files"
    assert set(files(tmp_path)) == {f"{STEP.key}.pt", "go"}


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "there"))
    Store().get(STEP, lambda: VALUE)
    assert files(tmp_path / "there") == [f"{STEP.key}.pt"]
