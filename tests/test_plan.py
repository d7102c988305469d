"""The plan of a run: steps, what is kept, times from a calibration, and what is missing."""

import dataclasses
import math

import pytest

from pruncam import Machine, cli
from pruncam._core import paths
from pruncam._core.store import Step, Store
from pruncam.reproduce import calibration, plan
from pruncam.studies import mnist_iou, pe_score
from pruncam.studies.mnist_iou.study import MnistIouStudy
from pruncam.studies.pe_score.study import PeScoreStudy
from pruncam.studies.work import Sample, Work

CONFIG = mnist_iou.configure(
    "quick",
    train_images=60,
    test_images=40,
    levels=2,
    seeds=[1, 2],
    pretraining=[[3, 0.02]],
    retraining=[[2, 0.02]],
    bootstrap=100,
)


class Clock:
    """A clock that moves only while a sample runs."""

    def __init__(self, monkeypatch):
        self.now, self.counts = 0.0, []
        monkeypatch.setattr(calibration.time, "perf_counter", lambda: self.now)

    def sample(self, seconds_of, largest):
        def run(count):
            self.counts.append(count)
            self.now += seconds_of(count)

        return Sample("any", run, largest)


def test_the_start_of_a_sample_is_told_from_its_images(monkeypatch):
    clock = Clock(monkeypatch)
    sample = clock.sample(lambda count: 0.05 + 1e-3 * count, 10_000)
    rate = calibration.measure([sample], jobs=1, seconds=5.0)[sample]
    assert (rate.start, rate.per_image) == pytest.approx((0.05, 1e-3))
    assert clock.now < 2 * 5.0 and 2 <= min(clock.counts) < max(clock.counts) <= 10_000
    # By hand: 3 starts and 400 images.
    step = Step("any", 1, {})
    assert rate.seconds(Work(step, sample, amount=400, starts=3)) == pytest.approx(0.55)


def test_a_start_that_takes_longer_than_the_calibration_is_still_told(monkeypatch):
    clock = Clock(monkeypatch)
    sample = clock.sample(lambda count: 1.0 + 0.01 * count, 200)
    rate = calibration.measure([sample], jobs=1, seconds=0.1)[sample]
    assert (rate.start, rate.per_image) == pytest.approx((1.0, 0.01))


def test_a_slow_sample_is_timed_twice_and_a_small_one_never_beyond_its_images(monkeypatch):
    clock = Clock(monkeypatch)
    slow = clock.sample(lambda count: 2.0 * count, 10_000)
    rate = calibration.measure([slow], jobs=1, seconds=1.0)[slow]
    assert (rate.start, rate.per_image) == pytest.approx((0.0, 2.0))
    assert len(clock.counts) == 3 and max(clock.counts) < 10  # the first run prepares
    clock.counts.clear()
    few = clock.sample(lambda count: 0.1, 3)
    rate = calibration.measure([few], jobs=1, seconds=1.0)[few]
    assert (rate.start, rate.per_image) == pytest.approx((0.0, 0.1 / 3))
    assert max(clock.counts) == 3


def test_what_one_sample_takes_too_long_the_others_take_less(monkeypatch):
    clock = Clock(monkeypatch)
    slow = clock.sample(lambda count: 0.1 * count, 10_000)
    fast = [clock.sample(lambda count: 0.01 + 1e-4 * count, 10**6) for _ in range(4)]
    rates = calibration.measure([slow, *fast], jobs=1, seconds=4.0)
    assert clock.now < 6.0
    assert [rates[sample].per_image for sample in fast] == pytest.approx([1e-4] * 4)


def test_short_trainings_are_timed_on_whole_batches(monkeypatch):
    clock = Clock(monkeypatch)

    def seconds(count):  # the images of a small batch take longer each
        return 0.2 + 0.01 * count + 0.1 * math.ceil(count / 50)

    sample = dataclasses.replace(clock.sample(seconds, 1000), batch=50)
    rate = calibration.measure([sample], jobs=1, seconds=0.1)[sample]
    assert max(clock.counts) >= 100
    real = sum(seconds(50) - 0.2 for _ in range(20))
    assert rate.per_image * 1000 == pytest.approx(real, rel=0.1)


def test_times_that_no_start_explains_count_as_images_alone():
    line = calibration.line_through
    assert line({2: 0.3, 8: 0.3, 40: 0.2}) == calibration.Rate(0.0, 0.2 / 40)
    assert line({2: 0.1, 40: 4.0}) == calibration.Rate(0.0, 0.1)


def test_a_plan_is_what_a_run_then_does_and_writes_nothing(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("PRUNCAM_CACHE", str(cache))

    def study():
        return MnistIouStudy(CONFIG, machine=Machine("cpu", jobs=1), progress=False)

    before = plan.plan_of(study(), seconds=0.05)
    assert not cache.exists()
    manifest = study().run().manifest
    # By hand: per seed a pretrained network, three levels, their scores, and seven readings.
    assert (before.steps, before.kept, before.saved) == (manifest["steps"], 0, 0)
    assert before.steps == 2 * (1 + 3 + 3 + 7) == len(list(cache.rglob("*.pt")))
    assert before.epochs == 2 * (3 + 3 * 2)
    assert before.compute > 0 and before.duration > before.compute

    after = plan.plan_of(study(), seconds=0.05)
    assert (after.kept, after.epochs, after.compute, after.disk) == (before.steps, 0, 0, 0)
    assert after.saved == pytest.approx(manifest["compute_seconds"], abs=0.06)

    planned = study()
    planned.load()
    level = next(work for work in planned.work() if work.epochs == 2)
    file = Store().path(level.step)
    file.unlink()
    assert plan.plan_of(study(), seconds=0.05).epochs == 2
    file.write_bytes(b"damaged")
    assert plan.plan_of(study(), seconds=0.05).epochs == 2


def test_missing_data_are_named_with_the_way_to_get_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "data_folders", lambda *_: [tmp_path])
    monkeypatch.setattr(plan, "plan_study", lambda *_: pytest.fail("it was planned"))
    assert cli.main(["reproduce", "--plan", "--profile", "paper", "--study", "pe_score"]) == 0
    printed = capsys.readouterr().out
    assert "missing data  pe_score needs cifar10: `make download NAME=cifar10`" in printed
    assert "missing data  pe_score needs covid19: put its files into <folder>/" in printed
    assert printed.splitlines()[4].split() == ["pe_score", *["?"] * 8, "-"]


def test_the_table_has_a_line_per_study_and_the_sum(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    for stem in ("00_start_here", "01_csg_complexity", "05_mnist_iou"):
        (tmp_path / "notebooks" / f"{stem}.ipynb").touch()
    folder = tmp_path / "figures" / "quick" / "csg"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"compute_seconds": 5948.3}')
    known = plan.StudyPlan(
        steps=1200,
        kept=7,
        saved=65.0,
        epochs=40,
        compute=7200.0,
        duration=3620.0,
        memory=2**31,
        disk=2**20,
    )
    monkeypatch.setattr(plan, "plan_study", lambda *_: known)
    assert cli.main(["reproduce", "--plan"]) == 0
    title, _, header, rule, *rows = capsys.readouterr().out.splitlines()
    assert "PROFILE=quick" in title and header.startswith("study ") and set(rule) == {"-"}
    values = ["1,200", "7", "01:05", "40", "2:00:00", "1:00:20", "2.0", "GiB", "1", "MiB"]
    assert rows[0].split() == ["csg", *values, "1:39:08"]
    assert rows[1].split() == ["mnist_iou", *values, "-"]
    assert len(rows[0]) == len(rows[1]) == len(header)
    assert "in all        2:00:40, one study after the other" in rows
    assert any(row.startswith("also run      00_start_here: ") for row in rows)


def test_images_that_do_not_fit_into_memory_are_not_loaded(monkeypatch):
    config = pe_score.configure("paper")
    # By hand: CIFAR-10 and the X-rays, in colour at 224x224.
    assert plan.image_bytes(config) == 3 * 224**2 * (60_000 + 2_455 + 613)
    assert plan.image_bytes(dataclasses.replace(config, train_images=100)) == (
        3 * 224**2 * (100 + 10_000 + 100 + 613)
    )
    monkeypatch.setattr(plan, "available_memory", lambda: 10**9)
    monkeypatch.setattr(PeScoreStudy, "load", lambda _: pytest.fail("it was loaded"))
    assert plan.plan_study("pe_score", "paper", Machine("cpu"), 1.0) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--study", "mnist"], "unknown study 'mnist': choose one of csg, "),
        (["--profile", "fast"], "unknown profile 'fast': choose one of quick, overnight, paper"),
        (["--data", "nowhere"], "the data folder nowhere does not exist"),
    ],
)
def test_an_unsuitable_option_is_refused_in_one_line(arguments, message, capsys):
    assert cli.main(["reproduce", "--plan", *arguments]) == 2
    assert message in capsys.readouterr().err
