"""The MNIST IoU study: protocol, tables against slow recomputation, killed and parallel runs."""

import dataclasses
import functools
import json
import math
import multiprocessing
import os
import re
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from pruncam import cams, pruning
from pruncam._core import paths
from pruncam._core.executor import run_tasks
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress
from pruncam._core.seeds import derive
from pruncam._core.store import Store
from pruncam._core.validation import PROFILES
from pruncam.datasets import DataError, catalog, noise
from pruncam.report.claims import VERDICTS, Claim, read_statements
from pruncam.report.result import Drawing
from pruncam.studies import cached_trainer, mnist_iou
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.mnist_iou import (
    analysis,
    chains,
    charts,
    claims,
    correlations,
    cuts,
    heatmap_fit,
    level_scores,
    readings,
    samples,
    seed_groups,
    significance,
)
from pruncam.studies.mnist_iou.chains import Chains
from pruncam.studies.mnist_iou.lottery_run import LotteryRun
from pruncam.studies.mnist_iou.study import MnistIouStudy

EXPECTED = Path(__file__).parent / "expected" / "quick" / "mnist_iou"
REMAINING = [  # weights by level (PAPERS.md, "Pruning rule")
    *(2324, 1858, 1485, 1187, 948, 757, 604, 482, 384, 306, 243, 193, 153),
    *(121, 95, 75, 59, 46, 35, 27, 20, 15, 11, 7, 4, 2),
]
TINY = {
    "train_images": 300,
    "test_images": 120,
    "levels": 10,
    "seeds": [1, 2],
    "pretraining": [[3, 0.02]],
    "retraining": [[2, 0.02]],
    "bootstrap": 100,
}
LAYERS = ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2"]  # at which heatmaps are read
# Files that the tiny run leaves for each seed: a pretrained net, then a model and its scores per
# level, and a file for every layer and one for the true class as target class.
STEPS = 2 * (1 + 2 * 11 + len(LAYERS) + 1)
SHORT = TINY | {"levels": 3}
SHORT_STEPS = 2 * (1 + 2 * 4 + len(LAYERS) + 1)
TABLES = [
    *("scale", "published", "3_1", "figure_3_1", "figure_control", "losses", "correctness"),
    *("fits", "seeds", "seed_groups", "cuts", "normality", "chain_permutation", "estimates"),
    *("sensitivity", "readings", "reading_ranks", "levels", "sanity"),
]
FIGURES = [
    *("2.1", "2.2", "2.3", "2.4", "3.1", "3.2", "4.1", "4.2"),
    *("scatter", "control", "gallery", "readings", "cuts"),
]
CLAIMS = [
    *("I1", "I1b", "I1c", "I1d", "I2", "I3a", "I3b", "I3c", "I4a", "I4b", "I4c", "I4d"),
    "I5",
]


@pytest.fixture(autouse=True)
def separate_folders(tmp_path, monkeypatch):
    """Keep every test away from the project's cache, figures and data."""
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PRUNCAM_FIGURES", str(tmp_path / "figures"))
    monkeypatch.delenv("PRUNCAM_DATA", raising=False)
    monkeypatch.delenv("PRUNCAM_PROGRESS", raising=False)


@pytest.fixture(scope="module")
def tiny(run_study):
    """Two seeds, eleven levels, few images: all of the study in seconds."""
    return run_study(mnist_iou.configure("quick", **TINY))


@pytest.fixture(scope="module")
def short(run_study):
    """The tables of a run of four levels, one task at a time."""
    return as_csv(run_study(mnist_iou.configure("quick", **SHORT), jobs=1).result)


def as_csv(result):
    tables = {**result.tables, "claims": result.claims}
    return {name: table.to_csv(index=False) for name, table in tables.items()}


def files(folder, pattern="**/*"):
    return [path for path in folder.glob(pattern) if path.is_file()]


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_sets_every_field_and_nothing_else(profile):
    config = mnist_iou.configure(profile)
    assert config.profile == profile
    text = (paths.package_folder() / "profiles" / profile / "mnist_iou.yaml").read_text()
    assert list(yaml.safe_load(text)) == [
        f.name for f in dataclasses.fields(config) if f.name != "profile"
    ]


def test_the_paper_profile_follows_the_protocol_of_the_thesis():
    config = mnist_iou.configure("paper")
    # PAPERS.md, study iou: Data, Training, Score
    assert (config.dataset, config.train_images, config.test_images) == ("mnist", None, None)
    assert config.seeds == (333, 334, 335)
    assert config.recipe("pretraining").schedule == ((8, 0.01), (2, 0.001))
    assert config.recipe("retraining").schedule == ((5, 0.01), (3, 0.001), (2, 0.0001))
    assert (config.batch_size, config.momentum, config.weight_decay) == (128, 0.9, 1e-4)
    assert (config.levels, config.fraction, config.level_zero) == (25, 0.2, "retrained")
    assert config.noise == 51 == 0.2 * 255
    assert (config.mean, config.std, config.initial_weights) == (0.1307, 0.3081, "kaiming-normal")
    assert config.method == "grad-cam++"
    # DESIGN.md: after the activation, and not the bare convolution. Issue 18: 30 seeds.
    assert config.target_layer == "relu2"
    assert len(config.all_seeds) == 30 and config.more_datasets == ("fashion-mnist",)


def test_the_overnight_profile_is_the_papers_protocol_without_what_needs_more_training():
    paper, overnight = (
        dataclasses.asdict(mnist_iou.configure(profile)) for profile in ("paper", "overnight")
    )
    differing = {name for name in paper if paper[name] != overnight[name]}
    extras = {"more_seeds", "variants", "variant_seeds", "more_datasets"}
    assert differing == {"profile", *extras}


def test_the_quick_profile_differs_in_data_and_epochs_alone():
    paper, quick = (
        dataclasses.asdict(mnist_iou.configure(profile)) for profile in ("paper", "quick")
    )
    data_and_epochs = {"dataset", "pretraining", "retraining", "batch_size", "bootstrap"}
    extras = {"profile", "more_seeds", "variants", "variant_seeds", "more_datasets"}
    assert {name for name in paper if paper[name] != quick[name]} <= data_and_epochs | extras
    assert quick["dataset"] == "digits"
    assert "stand-in for MNIST" in catalog.load("digits", "test").provenance


@pytest.mark.parametrize("name", mnist_iou.VARIANTS)
def test_a_variant_changes_what_its_name_says(name):
    paper = mnist_iou.configure("paper")
    before, after = dataclasses.asdict(paper), dataclasses.asdict(paper.variant(name))
    changed = {field: after[field] for field in before if before[field] != after[field]}
    assert changed == {
        "inputs not normalised": {"mean": 0.0, "std": 1.0},
        "PyTorch's initial weights": {"initial_weights": "pytorch"},
        "level 0 is the pretrained net": {"level_zero": "pretrained"},
    }.get(name, "a variant that this test does not know")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"learning_rate": 0.1},
            "mnist_iou: no parameter learning_rate; known parameters are dataset, ",
        ),
        (
            {"pretraining": yaml.safe_load("[[8, 1e-3]]")},
            "pretraining must be .* got \\[\\[8, '1e-3'\\]\\]",
        ),
        ({"pretraining": [[8]]}, "pretraining must be"),
        ({"pretraining": [8, 0.01]}, "pretraining must be"),
        ({"pretraining": []}, "a schedule is \\(epochs, learning rate\\) pairs"),
        ({"retraining": [[0, 0.1]]}, "both above 0"),
        ({"levels": 26}, "levels must be 1 to 25 \\(2,324 weights last no longer\\), got 26"),
        ({"levels": 0}, "levels must be 1 to 25"),
        ({"levels": "25"}, "levels must be int, got '25'"),
        ({"levels": 2.0}, "levels must be int, got 2.0"),
        ({"levels": True}, "levels must be int, got True"),
        ({"fraction": 0.0}, "fraction of the remaining weights must be in \\(0, 1\\)"),
        ({"fraction": 1}, "fraction of the remaining weights must be in \\(0, 1\\), got 1.0"),
        ({"fraction": 0.5}, "no weight is left at level 10 of 25: lower levels or fraction"),
        ({"seeds": []}, "at least one seed and none twice"),
        ({"seeds": [1, 2, 1]}, "none twice, got \\(1, 2, 1\\)"),
        ({"seeds": [1, 2], "more_seeds": [2]}, "none twice, got \\(1, 2, 2\\)"),
        ({"seeds": 3}, "seeds must be tuple\\[int, …\\], got 3"),
        ({"seeds": ["a"]}, "seeds must be tuple\\[int, …\\], got \\['a'\\]"),
        ({"noise": 256}, "grey level from 0 to 255"),
        ({"noise": 51.0}, "noise must be int, got 51.0"),
        ({"std": 0}, "std positive"),
        ({"std": None}, "std must be float, got None"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"momentum": 1.0}, "momentum must be in \\[0, 1\\)"),
        ({"method": "lime"}, "method must be taken from grad-cam, "),
        (
            {"target_layer": "fc"},
            "target_layer must be taken from conv1, relu1, pool1, conv2, relu2, pool2, got fc",
        ),
        ({"more_datasets": ["mnist", "mnist"]}, "more_datasets must not repeat a name"),
        (
            {"initial_weights": "zeros"},
            "initial_weights must be taken from kaiming-normal, pytorch, got zeros",
        ),
        ({"level_zero": "none"}, "level_zero must be taken from retrained, pretrained"),
        (
            {"variants": ["other"], "variant_seeds": 1},
            "variants must be taken from inputs not normalised, ",
        ),
        (
            {"variants": ["inputs not normalised"], "variant_seeds": 0},
            "variant_seeds must be 1 to 3",
        ),
        ({"variant_seeds": 4}, "variant_seeds must be 1 to 3"),
        ({"bootstrap": 99}, "bootstrap must be 100 resamples or more, got 99"),
        ({"train_images": "all"}, "train_images must be int \\| None, got 'all'"),
    ],
)
def test_configurations_that_make_no_sense_are_rejected(overrides, message):
    with pytest.raises(ValueError, match=message) as error:
        mnist_iou.configure("quick", **overrides)
    assert "\n" not in str(error.value)


def test_an_unknown_profile_is_rejected():
    with pytest.raises(
        ValueError, match="unknown profile 'huge': choose one of quick, overnight, paper"
    ):
        mnist_iou.configure("huge")


def test_an_integer_is_accepted_for_a_float():
    assert (
        mnist_iou.configure("quick", std=1, mean=0).inputs
        == mnist_iou.configure("quick", std=1.0, mean=0.0).inputs
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "unknown device 'tpu': choose one of auto, cpu, cuda, mps"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        ({"device": "cuda"}, "device 'cuda' is not available here: use 'auto' or 'cpu'"),
        ({"device": "mps"}, "device 'mps' is not available here: use 'auto' or 'cpu'"),
    ],
)
def test_devices_that_are_not_available_are_rejected(arguments, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=message):
        Machine(**arguments)


def test_runs_are_parallel_on_a_cpu_and_one_by_one_on_a_gpu(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4), raising=False)
    assert [Machine(device="cpu").parallel(tasks) for tasks in (1, 3, 9)] == [1, 3, 4]
    assert Machine(device="cpu", jobs=2).parallel(9) == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Machine(device="cuda").parallel(9) == 1


def test_missing_data_raise_one_sentence_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / "project")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="MNIST is missing: .*make download NAME=mnist") as error:
        mnist_iou.run(
            mnist_iou.configure("overnight"), machine=Machine(data_dir=str(tmp_path / "empty"))
        )
    assert str(tmp_path / "empty") in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"dataset": "imagenet"}, "unknown data set 'imagenet': choose one of "),
        ({"train_images": 0}, "n must be 1 to 1442, the train images of digits, got 0"),
        ({"test_images": 10_000}, "n must be 1 to 355, the test images of digits, got 10000"),
    ],
)
def test_data_that_do_not_exist_are_rejected_before_anything_is_trained(
    overrides, message, tmp_path
):
    with pytest.raises(ValueError, match=message):
        mnist_iou.run(mnist_iou.configure("quick", **overrides), progress=False)
    assert not (tmp_path / "cache").exists()


# ---------------------------------------------------------------- a run and its files


def test_a_run_returns_every_table_figure_and_claim(tiny):
    result = tiny.result
    assert sorted(result.tables) == sorted(TABLES)
    assert list(result.drawings) == FIGURES
    assert result.claims["claim"].tolist() == CLAIMS
    on_stand_in = set(VERDICTS) - {"reproduced", "not reproduced"}  # as the digits are one
    assert set(result.claims["verdict"]) <= on_stand_in
    assert result.claims["evidence"].str.len().min() > 10


def test_the_pruned_counts_are_exact_and_every_seed_has_other_models(tiny):
    levels = tiny.result.tables["levels"]
    for _, chain in levels.groupby("seed"):
        assert chain["remaining"].tolist() == REMAINING[:11]
    assert levels["density"].tolist() == (levels["remaining"] / 2324).tolist()
    one, other = (chain["iou"].to_numpy() for _, chain in levels.groupby("seed"))
    assert (one != other).all()
    assert tiny.result.stable_lines[:2] == [
        "22 models: 2 chains of 11 levels, 2 of them under the main configuration",
        f"weights remaining: {', '.join(str(count) for count in REMAINING[:11])}",
    ]


def test_the_manifest_describes_the_run(tiny):
    manifest = tiny.result.manifest
    assert json.loads(json.dumps(manifest))["config"]["pretraining"] == [[3, 0.02]]
    assert manifest["config"]["seeds"] == (1, 2) and manifest["profile"] == "custom"
    assert [(part["split"], part["images"]) for part in manifest["data"]] == [
        ("train", 300),
        ("test", 120),
    ]
    assert all(
        len(part["sha256"]) == 64 and "first" in part["provenance"] for part in manifest["data"]
    )
    assert torch.__version__.startswith(manifest["packages"]["torch"].split("+")[0])
    assert manifest["engine"] == "fused" and manifest["models"] == 22


def test_progress_counts_every_epoch(tiny):
    epochs = 2 * (3 + 11 * 2)
    assert tiny.progress == f"mnist_iou: {epochs}/{epochs} epochs"


def test_a_second_run_takes_everything_from_the_store_and_returns_the_same(
    tiny, run_study, monkeypatch
):
    assert len(files(tiny.cache)) == STEPS
    monkeypatch.setattr(
        cached_trainer, "fit", lambda *_, **__: pytest.fail("a model was trained again")
    )
    monkeypatch.setattr(
        level_scores, "fit_scores", lambda *_: pytest.fail("heatmaps were scored again")
    )
    again, _, progress = run_study(tiny.result.config, tiny.cache)
    assert as_csv(again) == as_csv(tiny.result)
    assert progress == tiny.progress, "epochs of stored models count too"
    facts = ("steps", "steps_from_cache", "compute_seconds")
    assert [tiny.result.manifest[name] for name in facts[:2]] == [STEPS, 0]
    assert [again.manifest[name] for name in facts] == [
        STEPS,
        STEPS,
        tiny.result.manifest["compute_seconds"],
    ]


def test_a_run_on_a_fresh_cache_is_bit_identical_for_any_number_of_jobs(short, run_study):
    again = run_study(mnist_iou.configure("quick", **SHORT), jobs=2).result
    assert as_csv(again) == short


def test_a_change_that_does_not_affect_training_trains_nothing_again(tiny, run_study, monkeypatch):
    monkeypatch.setattr(
        cached_trainer, "fit", lambda *_, **__: pytest.fail("a model was trained again")
    )
    config = dataclasses.replace(tiny.result.config, target_layer="conv2")
    other = run_study(config, tiny.cache).result
    assert other.tables["levels"]["accuracy_noisy"].equals(
        tiny.result.tables["levels"]["accuracy_noisy"]
    )
    assert not other.tables["levels"]["iou"].equals(tiny.result.tables["levels"]["iou"])
    # The sensitivity table of the first run includes that layer.
    sensitivity = tiny.result.tables["sensitivity"].set_index("choice")
    title = "target layer: conv2 (last convolution, 11x11)"
    at_convolution = sensitivity.loc[title, "iou_level_0"]
    assert other.tables["figure_3_1"]["iou"][0] == pytest.approx(at_convolution, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": (3,)},
        {"train_images": 299},
        {"pretraining": ((3, 0.01),)},
        {"retraining": ((1, 0.02),)},
        {"batch_size": 32},
        {"momentum": 0.8},
        {"weight_decay": 0.01},
        {"noise": 0},
        {"mean": 0.0},
        {"std": 1.0},
        {"initial_weights": "pytorch"},
        {"level_zero": "pretrained"},
        {"fraction": 0.1},
    ],
    ids=str,
)
def test_a_change_that_affects_training_trains_again(tiny, run_study, monkeypatch, change):
    class Trained(Exception):
        pass

    def fit(*_, **__):
        raise Trained

    monkeypatch.setattr(cached_trainer, "fit", fit)
    with pytest.raises(Trained):
        run_study(dataclasses.replace(tiny.result.config, **change), tiny.cache)


def test_every_option_of_the_study_runs(run_study, planned_epochs):
    """Run variants, more seeds, one seed, few levels and other readings, in seconds."""
    values = TINY | {
        "train_images": 60,
        "test_images": 40,
        "levels": 1,
        "seeds": [1],
        "more_seeds": [2],
        "noise": 0,
    }
    values |= {"method": "grad-cam", "target_layer": "pool1", "level_zero": "pretrained"}
    values |= {"variants": list(mnist_iou.VARIANTS), "variant_seeds": 1}
    result, cache, progress = run_study(mnist_iou.configure("quick", **values))
    epochs = planned_epochs(MnistIouStudy(result.config, progress=False), result, cache)
    assert progress == f"mnist_iou: {epochs}/{epochs} epochs"
    assert result.tables["sensitivity"]["choice"].tolist()[-3:] == list(mnist_iou.VARIANTS)
    assert result.tables["seeds"]["in_thesis"].tolist() == [True, False]
    # A main configuration of two seeds and two levels decides nothing.
    assert set(result.claims["verdict"]) <= {"not tested here", "undecided"}
    assert list(result.drawings) == [*(key for key in FIGURES if key != "4.1"), "seeds"]
    assert all(figure.axes for figure in result.figures().values())


def test_another_data_set_goes_through_the_same_study(run_study, monkeypatch):
    """Digits upside down stand for Fashion-MNIST, which is not here."""
    load = catalog.load

    def load_flipped(name, split, **arguments):
        if name != "fashion-mnist":
            return load(name, split, **arguments)
        digits = load("digits", split, **arguments)
        return dataclasses.replace(digits, images=digits.images.flip(2), name=name)

    monkeypatch.setattr(catalog, "load", load_flipped)
    values = TINY | {"levels": 5, "more_datasets": ["digits", "fashion-mnist"]}
    config = mnist_iou.configure("quick", **values)
    assert config.other_datasets == ("fashion-mnist",)  # the main one is not studied twice
    result = run_study(config).result
    alone = run_study(dataclasses.replace(config, dataset="fashion-mnist", more_datasets=())).result
    # The other data set has the numbers of a study of its own, and leaves the main one as it is.
    by_dataset = result.tables["figure_datasets"].groupby("dataset", sort=False)
    assert list(by_dataset.groups) == ["digits", "fashion-mnist"]
    values = by_dataset.get_group("fashion-mnist").drop(columns="dataset").reset_index(drop=True)
    pd.testing.assert_frame_equal(values, alone.tables["figure_3_1"])
    values = by_dataset.get_group("digits").drop(columns="dataset")
    pd.testing.assert_frame_equal(values, result.tables["figure_3_1"])
    summary = result.tables["datasets"].set_index("dataset")
    assert summary["iou_level_0"].tolist() == [
        result.tables["figure_3_1"]["iou"][0],
        alone.tables["figure_3_1"]["iou"][0],
    ]
    # Whether a network works is judged from its accuracy at level 0.
    estimates = result.tables["estimates"].set_index(["series", "claim"])
    of_alone = alone.tables["estimates"].set_index("claim")
    assert estimates.index.unique(0).tolist() == [
        "digits, the thesis's seeds",
        "fashion-mnist, the thesis's seeds",
    ]
    of_fashion = estimates.loc["fashion-mnist, the thesis's seeds"].drop("I1b")
    pd.testing.assert_frame_equal(of_fashion, of_alone.drop("I1b").drop(columns="series"))
    accuracy = summary["accuracy_level_0"]
    assert lowered(config, result, "fashion-mnist") == pytest.approx(
        accuracy["digits"] - accuracy["fashion-mnist"]
    )
    sanity, of_other = result.tables["sanity"], alone.tables["sanity"]
    assert sanity["iou_fashion-mnist"].tolist() == of_other["iou"].tolist()
    scale = result.tables["scale"]
    assert scale["images"].tolist() == ["digits", "fashion-mnist"]
    assert scale["dataset"].tolist() == ["MNIST", "Fashion-MNIST"]
    assert [part["name"] for part in result.manifest["data"]] == 2 * ["digits"] + 2 * [
        "fashion-mnist"
    ]
    assert "datasets" in result.drawings and result.drawings["datasets"].figure.axes


def lowered(config, result, dataset):
    """Return by how much the study lowers its cuts for a data set."""
    study = MnistIouStudy(config, progress=False)
    study.levels = result.tables["levels"]
    study.images = {
        name: (None, catalog.load(name, "test").first(config.test_images))
        for name in (config.dataset, *config.other_datasets)
    }
    assert study.chains(config.dataset, config.seeds).lowered == 0
    return study.chains(dataset, config.seeds).lowered


@pytest.mark.parametrize("method", [name for name in cams.METHODS if name != "grad-cam++"])
def test_every_cam_method_can_be_chosen(run_study, tiny, method):
    # Two runs in two threads: Ablation-CAM must not disturb the other.
    values = TINY | {"levels": 2, "method": method}
    levels = run_study(mnist_iou.configure("quick", **values), jobs=2).result.tables["levels"]
    plusplus = tiny.result.tables["levels"].query("level <= 2").reset_index(drop=True)
    assert levels["accuracy_noisy"].equals(plusplus["accuracy_noisy"])
    assert (levels["iou"] != plusplus["iou"]).all() and levels["iou"].between(0, 1).all()


def test_a_network_that_learns_nothing_is_reported_without_a_crash(run_study):
    # At a learning rate of 3 every ReLU dies: all heatmaps of the last convolution are empty, and
    # neither a correlation nor a loss of IoU is defined.
    values = TINY | {
        "train_images": 60,
        "test_images": 40,
        "levels": 6,
        "pretraining": [[2, 3.0]],
        "retraining": [[1, 3.0]],
        "target_layer": "conv2",
    }
    result = run_study(mnist_iou.configure("quick", **values)).result
    by_level = result.tables["figure_3_1"]
    assert (by_level["empty"] == 1).all() and (by_level["iou"] == 0).all()
    verdicts = result.claims.set_index("claim")["verdict"]
    assert verdicts["I1"] == "not tested here"
    assert result.tables["losses"]["iou_loss"].isna().all()
    assert all(figure.axes for figure in result.figures().values())


# ---------------------------------------------------------------- saving


def test_saving_writes_every_file_and_removes_those_of_an_earlier_result(
    tiny, tmp_path, coarse_figures
):
    folder = tmp_path / "results"
    folder.mkdir()
    for name in (
        "table_old.csv",
        "figure_9_9.png",
        "figure_9_9.svg",
        "notes.txt",
        "data.csv",
        "claims.csv",
    ):
        (folder / name).write_text("old")
    (folder / "more").mkdir()
    assert tiny.result.save(folder) == folder
    tables = {f"table_{name}.csv" for name in TABLES}
    figures = {f"figure_{name.replace('.', '_')}.png" for name in FIGURES}
    names = {path.name for path in folder.iterdir()}
    others = {"claims.csv", "captions.json", "alt_texts.json", "manifest.json"}
    others |= {"notes.txt", "data.csv", "more"}
    assert {name for name in names if not name.endswith(".svg")} == tables | figures | others
    assert {name.removesuffix("svg") + "png" for name in names if name.endswith(".svg")} < figures
    assert (folder / "notes.txt").read_text() == (folder / "data.csv").read_text() == "old"
    for name, content in as_csv(tiny.result).items():
        assert (
            folder / ("claims.csv" if name == "claims" else f"table_{name}.csv")
        ).read_text() == content
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in figures)
    assert json.loads((folder / "manifest.json").read_text())["config"]["seeds"] == [1, 2]
    captions = json.loads((folder / "captions.json").read_text())
    assert {f"{name}.png" for name in captions} == figures and all(captions.values())
    seen = json.loads((folder / "alt_texts.json").read_text())
    assert seen.keys() == captions.keys()
    assert "accuracy" in seen["figure_3_1"] and "kept for rewinding" in seen["figure_2_3"]


def test_results_are_saved_in_the_folder_of_their_profile_and_study(tiny, tmp_path):
    bare = dataclasses.replace(tiny.result, drawings={})
    # A result with overrides must not replace that of the profile.
    assert bare.save() == tmp_path / "figures" / "custom" / "mnist_iou"
    of_profile = dataclasses.replace(bare, config=mnist_iou.configure("quick"))
    assert of_profile.save() == tmp_path / "figures" / "quick" / "mnist_iou"
    assert (tmp_path / "figures" / "quick" / "mnist_iou" / "manifest.json").is_file()


def test_a_save_that_fails_leaves_the_earlier_result_intact(tiny, tmp_path):
    dataclasses.replace(tiny.result, drawings={}).save(tmp_path / "results")
    before = {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()}

    def draw():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dataclasses.replace(tiny.result, drawings={"1": Drawing(draw, "")}).save(
            tmp_path / "results"
        )
    assert {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()} == before


# ---------------------------------------------------------------- killed and simultaneous runs


def run_in_process(values, folder, cache):
    """Run the study in a process of its own and write its tables, or the error."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell may ignore it
    os.environ["PRUNCAM_CACHE"] = str(cache)
    torch.set_num_threads(1)
    try:
        result = mnist_iou.run(
            mnist_iou.configure("quick", **values), progress=False, machine=Machine(jobs=2)
        )
    except BaseException as error:
        (folder / "error").write_text(repr(error))
        raise
    for name, content in as_csv(result).items():
        (folder / name).write_text(content)


@contextmanager
def process(values, folder, cache):
    folder.mkdir(exist_ok=True)
    child = multiprocessing.get_context("forkserver").Process(
        target=run_in_process, args=(values, folder, cache)
    )
    child.start()
    try:
        yield child
    finally:
        child.kill()
        child.join()


def wait_for_steps(child, cache, count):
    """Wait until `count` steps are stored."""
    while len(stored_steps(cache)) < count:
        assert child.is_alive(), "the run ended too early"
        time.sleep(0.01)  # the child may run on the same core


def stored_steps(cache):
    return files(cache, "*/[!.]*.pt")


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_killed_run_resumes_and_ends_with_the_tables_of_an_uninterrupted_run(short, tmp_path):
    cache, folder, stored = tmp_path / "cache", tmp_path / "tables", []
    for steps in (1, 8, 20):
        with process(SHORT, folder, cache) as child:
            wait_for_steps(child, cache, steps)
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            assert child.exitcode == -signal.SIGKILL
        stored.append(len(stored_steps(cache)))
        assert contents(folder) == {}
    assert 1 <= stored[0] < stored[1] < stored[2] < SHORT_STEPS, "the run was not killed in between"
    written = {path: path.stat().st_mtime_ns for path in stored_steps(cache)}
    with process(SHORT, folder, cache) as child:
        child.join()
    assert contents(folder) == short
    rewritten = [path for path, time in written.items() if path.stat().st_mtime_ns != time]
    assert not rewritten, "finished steps were computed again"


def test_two_runs_at_the_same_time_on_the_same_cache_both_succeed(short, tmp_path):
    cache = tmp_path / "cache"
    with (
        process(SHORT, tmp_path / "one", cache) as one,
        process(SHORT, tmp_path / "two", cache) as two,
    ):
        one.join()
        two.join()
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == short
    assert len(files(cache)) == SHORT_STEPS, "a temporary file was left"


def test_an_interrupted_run_ends_after_the_epoch_and_leaves_complete_files(tmp_path):
    endless = TINY | {"retraining": [[100_000, 0.01]]}
    with process(endless, tmp_path / "tables", tmp_path / "cache") as child:
        # Both seeds are pretrained then, and retrain for hours.
        wait_for_steps(child, tmp_path / "cache", 2)
        os.kill(child.pid, signal.SIGINT)
        child.join()
    assert contents(tmp_path / "tables") == {"error": "KeyboardInterrupt()"}
    steps = [path.parent.name for path in files(tmp_path / "cache")]
    assert steps == ["mnist-iou-pretrained"] * 2
    for path in files(tmp_path / "cache"):
        assert torch.load(path, weights_only=True)["value"].keys() >= {"conv1.weight", "fc.bias"}


def test_an_error_in_one_task_stops_the_others_and_is_raised():
    bar, ended = Progress("", "", show=False), []

    def work(number):
        if number == 1:
            raise ZeroDivisionError("of task 1")
        try:
            while True:
                bar.check()
                time.sleep(0.001)
        finally:
            ended.append(number)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError, match="of task 1"):
            run_tasks(work, [0, 1, 2, 3, 4, 5], 2, bar)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert 0 in ended and 5 not in ended, "a waiting task was started after the error"


def test_tasks_return_their_results_in_order_each_on_one_thread():
    def work(number):
        time.sleep(0.02 * (3 - number))
        return number, torch.get_num_threads()

    assert run_tasks(work, [0, 1, 2], 3, Progress("", "", False)) == [(0, 1), (1, 1), (2, 1)]


# ---------------------------------------------------------------- the numbers, recomputed slowly


def noisy_test(seed):
    test = catalog.load("digits", "test")
    return test, noise.background(
        test.images, torch.arange(len(test)), key=derive(seed, "test noise"), level=51
    )


def lottery_run(run, seed):
    """Return the run of one seed with its models, taken from the cache of the finished study."""
    return stored_lottery(run.result.config, run.cache, seed)


@functools.cache
def stored_lottery(config, folder, seed):
    train, test = (catalog.load("digits", split) for split in ("train", "test"))
    progress = Progress("", "", show=False)
    trainer = CachedTrainer(Store(folder), torch.device("cpu"), progress, "fused")
    lottery = LotteryRun(config, seed, analysis.BASE, train, test, trainer)
    lottery.train_levels()
    assert progress._done == lottery.epochs
    return lottery


def models_of(run, seed):
    return lottery_run(run, seed).models


def soft_iou(heatmap, image):
    """Thesis, Eq. 2.8, summed pixel by pixel."""
    lower = upper = 0.0
    for a, b in zip(heatmap.ravel().tolist(), image.ravel().tolist(), strict=True):
        lower, upper = lower + min(a, b), upper + max(a, b)
    return lower / upper


@pytest.mark.parametrize("level", [0, 17])
def test_scores_are_those_of_the_librarys_heatmaps_and_plain_sums(quick, level):
    from pytorch_grad_cam import GradCAMPlusPlus

    test, noisy = noisy_test(334)
    x = (noisy / 255 - 0.1307) / 0.3081
    model = pruning.drop_masks(models_of(quick, 334)[level])
    heatmaps = GradCAMPlusPlus(model=model, target_layers=[model.relu2])(
        input_tensor=x, targets=None
    )
    clean = (test.images[:, 0] / 255).numpy()
    with torch.no_grad():
        right = (model(x).argmax(1) == test.labels).numpy()
        right_clean = (
            model((test.images / 255 - 0.1307) / 0.3081).argmax(1) == test.labels
        ).numpy()
    iou = np.array([soft_iou(*pair) for pair in zip(heatmaps, clean, strict=True)])
    other = np.array(
        [soft_iou(heatmap, clean[(k + 1) % len(clean)]) for k, heatmap in enumerate(heatmaps)]
    )
    row = quick.result.tables["levels"].query(f"seed == 334 and level == {level}").iloc[0]
    assert row["iou"] == pytest.approx(iou.mean(), abs=1e-4)
    assert row["iou_other_image"] == pytest.approx(other.mean(), abs=1e-4)
    assert row["iou_correct"] == pytest.approx(iou[right].mean(), abs=1e-4)
    assert row["iou_incorrect"] == pytest.approx(iou[~right].mean(), abs=1e-4)
    assert row["incorrect"] == (~right).sum()
    assert row["pooled_iou"] == pytest.approx(soft_iou(heatmaps, clean), abs=1e-4)
    assert row["accuracy_noisy"] == pytest.approx(100 * right.mean(), abs=1e-4)
    assert row["accuracy_clean"] == pytest.approx(100 * right_clean.mean(), abs=1e-4)
    assert row["heatmap_mean"] == pytest.approx(heatmaps.mean(), abs=1e-4)
    assert row["heatmap_std"] == pytest.approx(heatmaps.std(ddof=1), abs=1e-4)
    assert row["empty"] == (heatmaps.max(axis=(1, 2)) == 0).mean()


def fit_of_one(heatmap, image):
    """Return the fit of one heatmap and its image, by the definitions in the docstring."""
    on = [a for a, b in zip(heatmap.ravel(), image.ravel(), strict=True) if b > 0]
    off = [a for a, b in zip(heatmap.ravel(), image.ravel(), strict=True) if b == 0]
    salient = [set(np.flatnonzero(x > x.mean())) for x in (heatmap, image)]
    union = salient[0] | salient[1]
    constant = heatmap.std() == 0 or image.std() == 0
    return {
        "iou": soft_iou(heatmap, image),
        "iou_binary": len(salient[0] & salient[1]) / len(union) if union else 1,
        "energy": sum(on) / heatmap.sum() if heatmap.sum() else math.nan,
        "pixel_correlation": 0 if constant else np.corrcoef(heatmap.ravel(), image.ravel())[0, 1],
        "inverted": np.mean(on) < np.mean(off),
        "empty": heatmap.min() == heatmap.max(),
    }


def test_fit_scores_follow_their_definitions():
    random = np.random.default_rng(0)
    heatmaps = random.random((6, 5, 4))
    images = random.random((6, 5, 4)) * (random.random((6, 5, 4)) > 0.6)
    heatmaps[1], heatmaps[2] = 0, 0.5  # empty maps: all zero, constant
    heatmaps[3] = images[3]
    heatmaps[4] = 1 - images[4]
    scores = heatmap_fit.fit_scores(
        torch.from_numpy(heatmaps).float(), torch.from_numpy(images).float()
    )
    expected = [fit_of_one(*pair) for pair in zip(heatmaps, images, strict=True)]
    for name in expected[0]:
        values = [row[name] for row in expected]
        assert scores[name].tolist() == pytest.approx(values, abs=1e-5, nan_ok=True), name
    shifted = [soft_iou(heatmaps[k], images[(k + 1) % 6]) for k in range(6)]
    assert scores["iou_other_image"].tolist() == pytest.approx(shifted, abs=1e-5)
    assert (
        scores["iou"][3] == 1
        and scores["inverted"].tolist()[3:5] == [False, True]
        and scores["empty"][1]
    )


def test_means_without_empty_maps_and_their_share_are_those_of_the_images(quick):
    level = 17  # of 46 weights: some maps are empty, others are not
    _, noisy = noisy_test(335)
    test = catalog.load("digits", "test")
    clean = test.images[:, 0] / 255
    inputs = (noisy / 255 - 0.1307) / 0.3081
    model = models_of(quick, 335)[level]
    maps = cams.heatmaps(
        model, inputs, method="grad-cam++", target_layer="relu2", engine="grad-cam"
    )
    is_empty = maps.amax((1, 2)) == 0
    assert 0.02 < is_empty.float().mean() < 0.98, "the level does not tell the means apart"
    iou = torch.minimum(maps, clean).sum((1, 2)) / torch.maximum(maps, clean).sum((1, 2))
    row = quick.result.tables["levels"].query(f"seed == 335 and level == {level}").iloc[0]
    assert row["empty"] == pytest.approx(is_empty.float().mean().item(), abs=1e-6)
    assert row["iou"] == pytest.approx(iou.mean().item(), abs=1e-4)
    assert row["iou_nonempty"] == pytest.approx(iou[~is_empty].mean().item(), abs=1e-4)
    pooled = (
        torch.minimum(maps, clean)[~is_empty].sum() / torch.maximum(maps, clean)[~is_empty].sum()
    )
    assert row["pooled_iou_nonempty"] == pytest.approx(pooled.item(), abs=1e-4)
    above_chance = row["iou_nonempty"] - row["iou_other_image_nonempty"]
    assert row["iou_above_chance_nonempty"] == pytest.approx(above_chance, abs=1e-12)
    # An empty map has an IoU of 0 with a digit.
    assert row["iou"] == pytest.approx((1 - row["empty"]) * row["iou_nonempty"], abs=1e-6)


@pytest.mark.parametrize("table", ["figure_3_1", "seeds", "correctness", "losses", "readings"])
def test_every_table_of_means_has_empty_maps_and_the_mean_without_them(quick, table):
    columns = list(quick.result.tables[table])
    assert any(name.startswith("empty") for name in columns)
    assert any("nonempty" in name for name in columns)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_reading_is_that_of_the_librarys_heatmaps_at_that_layer(quick, layer):
    test, noisy = noisy_test(333)
    clean, inputs = test.images[:, 0] / 255, (noisy / 255 - 0.1307) / 0.3081
    models = models_of(quick, 333)
    maps = {
        level: cams.heatmaps(
            models[level], inputs, method="grad-cam++", target_layer=layer, engine="grad-cam"
        )
        for level in (0, 10)
    }
    run_readings = readings_of_seed(quick, 333, layer)
    for level, of_level in maps.items():
        scores = run_readings[level]
        overlap = torch.minimum(of_level, clean).sum((1, 2))
        union = torch.maximum(of_level, clean).sum((1, 2))
        assert scores["iou"] == pytest.approx((overlap / union).mean().item(), abs=1e-4)
        assert scores["heatmap_mean"] == pytest.approx(of_level.mean().item(), abs=1e-4)
        assert scores["heatmap_std"] == pytest.approx(of_level.std().item(), abs=1e-4)
    overlap = torch.minimum(maps[10], maps[0]).sum((1, 2))
    union = torch.maximum(maps[10], maps[0]).sum((1, 2))
    expected = (overlap / union).mean().item()
    assert run_readings[10]["iou_with_level_0"] == pytest.approx(expected, abs=1e-4)
    assert run_readings[0]["iou_with_level_0"] == 1


def readings_of_seed(run, seed, layer):
    """Return the scores of a seed by level at a layer, taken from the run's cache."""
    lottery = lottery_run(run, seed)
    (reading,) = (
        reading
        for reading in readings.possible_readings(lottery)
        if reading.layer == layer and not reading.explains_label
    )
    return readings.level_means(lottery, reading)


def test_readings_are_means_of_the_seeds_and_agree_with_the_study_at_its_layer(quick):
    table = quick.result.tables["readings"]
    assert table["layer"].unique().tolist() == [*LAYERS[3:], *LAYERS[:3]]
    assert (table.groupby("reading").size() == 26).all()
    configured = table[table["configured"]].reset_index(drop=True)
    by_level = quick.result.tables["figure_3_1"]
    assert configured["layer"].unique().tolist() == ["relu2"]
    for name in ("iou", "iou_nonempty", "empty", "heatmap_mean", "heatmap_std"):
        np.testing.assert_allclose(configured[name], by_level[name], atol=1e-6)


def test_readings_are_ranked_by_their_distance_from_the_printed_values():
    printed = {"peak": 0.21, "mean": (0.179, 0.236), "deviation": (0.218, 0.252)}
    rows = []
    for layer, offset in (("far", 0.1), ("near", -0.01)):
        for level, at in ((0, 0), (10, 1)):
            rows.append(
                {
                    "reading": layer,
                    "layer": layer,
                    "level": level,
                    "iou": (0.1, printed["peak"])[at] + offset,
                    "heatmap_mean": printed["mean"][at] + offset,
                    "heatmap_std": printed["deviation"][at] + offset,
                }
            )
    table = readings.ranks(pd.DataFrame(rows))
    assert table["layer"].tolist() == ["near", "far"] and table["rank"].tolist() == [1, 2]
    assert table["values"].tolist() == [5, 5]
    np.testing.assert_allclose(table["mean_distance"], [0.01, 0.1])
    np.testing.assert_allclose(table["bias"], [-0.01, 0.1])


def made_up_levels(iou, accuracy, **columns):
    """Return levels of the main configuration; `iou` and all others have a row per seed."""
    remaining = np.array(REMAINING[: len(iou[0])])
    tables = [
        pd.DataFrame(
            {
                "variant": analysis.BASE,
                "seed": seed,
                "level": range(len(remaining)),
                "density": remaining / 2324,
                "iou": iou[seed],
                "accuracy_noisy": accuracy[seed],
                **{name: values[seed] for name, values in columns.items()},
            }
        )
        for seed in range(len(iou))
    ]
    return pd.concat(tables, ignore_index=True)


def test_groups_of_seeds_scatter_as_their_means_do():
    random = np.random.default_rng(0)
    iou = 0.2 + 0.02 * random.random((4, 18))
    accuracy = 95 + random.random((4, 18))
    config = mnist_iou.configure("quick", seeds=[0, 1, 2], more_seeds=[3], levels=17)
    table = seed_groups.table(config, made_up_levels(iou, accuracy))
    at_start = table[table["result"] == "IoU at level 0"].set_index("seeds")
    assert at_start["groups"].to_dict() == {1: 4, 3: 4}  # of four seeds
    threes = [iou[[a, b, c], 0].mean() for a, b, c in ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))]
    assert at_start.loc[1, "sd"] == pytest.approx(iou[:, 0].std(ddof=1))
    assert at_start.loc[3, "sd"] == pytest.approx(np.std(threes, ddof=1))
    assert at_start.loc[3, "low"] == pytest.approx(np.quantile(threes, 0.025))
    assert at_start.loc[1, "thesis_seeds"] == pytest.approx(iou[:3, 0].mean())
    assert at_start.loc[1, "all_seeds"] == pytest.approx(iou[:, 0].mean())
    everything = table[table["result"] == "Pearson correlation, all levels"].set_index("seeds")
    expected = [np.corrcoef(iou[seed], accuracy[seed])[0, 1] for seed in range(4)]
    assert everything.loc[1, "mean"] == pytest.approx(np.mean(expected))
    loss = table[table["result"] == "loss of accuracy at 98 % sparsity, points"].iloc[0]
    assert loss["mean"] == pytest.approx((accuracy[:, 0] - accuracy[:, 17]).mean())


def test_many_groups_are_drawn_and_few_are_taken_all():
    assert len(list(seed_groups._groups(30, 1, 0))) == 30
    drawn = list(seed_groups._groups(30, 10, 0))
    assert len(drawn) == 2000 and all(len(set(group)) == 10 for group in drawn)
    assert drawn == list(seed_groups._groups(30, 10, 0)) != list(seed_groups._groups(30, 10, 1))


def test_thirty_seeds_are_drawn_as_bands():
    random = np.random.default_rng(0)
    iou = pd.DataFrame(random.random((26, 30)), columns=range(30))
    seeds = pd.DataFrame(
        {
            "seed": range(30),
            "in_thesis": [True] * 3 + [False] * 27,
            "pearson_all": random.random(30),
            "pearson_working": random.random(30),
        }
    )
    left, right = charts.seed_bands(iou, seeds, [0, 1, 2], working=90).axes
    assert len(left.lines) == 2 and len(left.collections) == 2  # two curves, two bands
    np.testing.assert_allclose(left.lines[0].get_ydata(), iou.median(axis=1))
    np.testing.assert_allclose(left.lines[1].get_ydata(), iou[[0, 1, 2]].mean(axis=1))
    of_thesis, others = 3, 27
    counts = [len(points.get_offsets()) for points in right.collections]
    assert counts == [others, of_thesis] * 2


def test_no_image_whose_map_is_empty_is_shown_if_there_is_another(quick):
    lottery = lottery_run(quick, 333)
    labels = lottery.test.labels
    eights = (labels == 8).nonzero().flatten()
    scores = [
        {
            "empty": torch.zeros(len(labels), dtype=torch.bool),
            "inverted": torch.zeros(len(labels), dtype=torch.bool),
        }
        for _ in range(26)
    ]
    scores[0]["empty"][eights[0]] = True  # the first 8 at level 0
    scores[0]["inverted"][:20] = True
    scores[10]["empty"][:5] = True  # the first five inverted maps, at level 10
    chosen = samples.choose_samples(lottery, scores)
    assert chosen.eight.index == eights[1]
    assert chosen.inverted.index == min(set(range(5, 20)) - {int(eights[0])})
    by_class = [sample.index for sample in chosen.by_class]
    assert int(eights[0]) not in by_class and len(by_class) == 10
    assert chosen.has_inverted
    scores[0]["inverted"][:] = False
    chosen = samples.choose_samples(lottery, scores)
    assert not chosen.has_inverted and chosen.inverted.index == chosen.eight.index


def test_an_empty_map_is_marked_and_a_row_of_them_is_left_out(quick):
    drawn = quick.result.drawings["gallery"].figure
    texts = [text.get_text() for axes in drawn.axes for text in axes.texts]
    maps = [sample_maps(quick, level) for level in (0, 5, 8, 10, 12, 15, 17, 20)]
    shown = [of_level for of_level in maps if not (of_level.amax((1, 2)) == 0).all()]
    empty = sum(int((of_level.amax((1, 2)) == 0).sum()) for of_level in shown)
    assert texts.count("no\npositive\nevidence") == empty > 0
    empty_map = np.zeros((28, 28))
    arguments = {"titles": ("image", "with noise", "heatmap"), "title": ""}
    figure = charts.triptych(empty_map, empty_map, empty_map, **arguments)
    assert [len(axes.texts) for axes in figure.axes[:3]] == [0, 0, 1]
    figure = charts.triptych(empty_map, empty_map, np.eye(28), **arguments)
    assert not any(axes.texts for axes in figure.axes)


def sample_maps(run, level):
    """Return the heatmaps of the first image of every class whose map is not empty at level 0."""
    test, noisy = noisy_test(333)
    inputs = (noisy / 255 - 0.1307) / 0.3081
    models = models_of(run, 333)
    at_start = cams.heatmaps(models[0], inputs, method="grad-cam++", target_layer="relu2")
    has_map = at_start.amax((1, 2)) > 0
    rows = [int((has_map & (test.labels == digit)).nonzero()[0]) for digit in range(10)]
    return cams.heatmaps(models[level], inputs[rows], method="grad-cam++", target_layer="relu2")


def test_the_scale_of_the_run_stands_beside_the_theses(quick):
    row = quick.result.tables["scale"].iloc[0]
    by_level = quick.result.tables["figure_3_1"]
    # 3x3 kernels 1 -> 4 and 4 -> 8, and 200 -> 10, with their 22 biases
    assert row["parameters"] == row["paper_parameters"] == 36 + 288 + 2000 + 22
    assert (row["width"], row["size"], row["map"], row["seeds"]) == (4, 28, 11, 3)
    assert (row["train_images"], row["paper_train_images"]) == (1442, 60_000)
    assert (row["epochs"], row["finetuning_epochs"], row["paper_epochs"]) == (20, 20, 10)
    assert row["accuracy"] == pytest.approx(by_level["accuracy_noisy"][0])
    phrase = f"network of 2,346 parameters, {row['accuracy']:.1f} % accuracy, maps read at relu2"
    assert all(phrase in quick.result.drawings[name].caption for name in FIGURES[3:])


def test_the_levels_are_averaged_over_the_seeds_first(quick):
    levels, by_level = quick.result.tables["levels"], quick.result.tables["figure_3_1"]
    assert len(levels) == 3 * 26 and by_level["level"].tolist() == list(range(26))
    assert by_level["remaining"].tolist() == REMAINING
    for name in (
        "iou",
        "accuracy_noisy",
        "accuracy_clean",
        "heatmap_std",
        "inverted",
        "iou_other_image",
    ):
        per_seed = np.array(
            [levels.loc[levels["seed"] == seed, name] for seed in (333, 334, 335)], dtype=float
        )
        np.testing.assert_allclose(by_level[name], per_seed.mean(axis=0), atol=1e-9)
        if f"{name}_sd" in by_level:
            np.testing.assert_allclose(
                by_level[f"{name}_sd"], per_seed.std(axis=0, ddof=1), atol=1e-9
            )
    resampled = by_level[by_level["empty"] < 1]  # empty maps have an interval of width 0
    assert len(resampled) > 15
    assert (resampled["iou_low"] < resampled["iou"]).all()
    assert (resampled["iou"] < resampled["iou_high"]).all()


def test_table_3_1_correlates_what_figure_3_1_shows(quick):
    by_level, table = quick.result.tables["figure_3_1"], quick.result.tables["3_1"]
    r = np.corrcoef(by_level["iou"], by_level["accuracy_noisy"])[0, 1]
    row = table.iloc[0]
    assert row[list(correlations.PUBLISHED_ROW)].to_dict() == correlations.PUBLISHED_ROW
    assert (row["points"], row["df"], row["published"]) == (26, 24, 0.96)
    assert row["value"] == pytest.approx(r) and row["difference"] == pytest.approx(r - 0.96)
    # The interval is over the correlations of the seeds, and not over nested levels.
    of_seeds = table.query(
        "series.str.startswith('seed') and accuracy == 'accuracy_noisy' "
        "and over == 'all levels' and method == 'pearson'"
    )["value"]
    margin = 4.302653 * of_seeds.std(ddof=1) / math.sqrt(3)  # t(0.975; 2)
    single = row[["single_seed", "single_seed_low", "single_seed_high"]].tolist()
    low, high = of_seeds.mean() - margin, min(of_seeds.mean() + margin, 1)
    assert single == pytest.approx([of_seeds.mean(), low, high])
    claim = quick.result.claims.iloc[0]
    assert claim[["value", "low", "high"]].tolist() == single and claim["limit"] == 0.7


def test_every_row_of_table_3_1_is_the_correlation_that_it_names(quick):
    by_level, levels, table = (
        quick.result.tables[name] for name in ("figure_3_1", "levels", "3_1")
    )
    assert len(table) == 4 * 2 * 2 * 3 and table["published"].notna().sum() == 1
    for row in table.itertuples():
        seed = row.series.removeprefix("seed ")
        is_mean = row.series == "mean of the thesis's seeds"
        points = by_level if is_mean else levels[levels["seed"] == int(seed)]
        assert math.isnan(row.single_seed) != is_mean
        if row.over == "accuracy above 90 %":
            points = points[points[row.accuracy] > 90]
        assert (row.points, row.df) == (len(points), len(points) - 2)
        assert row.value == pytest.approx(
            points["iou"].corr(points[row.accuracy], method=row.method)
        )


def test_the_gallery_labels_each_level_with_density_and_accuracy(quick):
    levels = quick.result.tables["levels"]
    labels = [
        axes.get_ylabel()
        for axes in quick.result.drawings["gallery"].figure.axes
        if axes.get_ylabel()
    ]
    assert labels[:2] == ["image", "with noise"] and labels[2].startswith("level 0\n100 % left\n")
    for label in labels[2:]:
        pattern = r"level (\d+)\n(.+) % left\n(.+) ± (.+) % right"
        level, left, right, reach = map(float, re.fullmatch(pattern, label).groups())
        row = levels[
            (levels["variant"] == "as configured")
            & (levels["seed"] == 333)
            & (levels["level"] == level)
        ].iloc[0]
        assert left == pytest.approx(100 * row["remaining"] / 2324, rel=6e-3)
        assert right == pytest.approx(row["accuracy_noisy"], abs=0.51)
        spread = row["accuracy_noisy_high"] - row["accuracy_noisy_low"]
        assert reach == pytest.approx(spread / 2, abs=0.51)


def test_losses_are_differences_from_level_zero(quick):
    levels, losses = quick.result.tables["levels"], quick.result.tables["losses"]
    for level in (0, 5, 25):
        before, now = (levels[levels["level"] == number].set_index("seed") for number in (0, level))
        row = losses.iloc[level]
        assert row["accuracy_loss"] == pytest.approx(
            (before["accuracy_noisy"] - now["accuracy_noisy"]).mean(), abs=1e-9
        )
        assert row["iou_loss"] == pytest.approx(
            (100 * (before["iou"] - now["iou"]) / before["iou"]).mean(), abs=1e-9
        )
        assert row["accuracy_within_1_point"] == (row["accuracy_loss"] <= 1)
        assert row["sparsity"] == pytest.approx(1 - REMAINING[level] / 2324)
    sparse = losses[losses["sparsity"] >= 0.98].iloc[0]
    assert (
        sparse["level"] == 17
    )  # 46 of 2,324 weights are 1.98 %: Section 4 speaks of 98 % sparsity
    judged = quick.result.claims.set_index("claim")
    assert (
        judged.loc["I3a", "value"] == sparse["accuracy_loss"]
        and judged.loc["I3b", "value"] == sparse["iou_loss"]
    )


def test_claims_are_judged_by_the_seeds_changes(quick):
    levels, judged = quick.result.tables["levels"], quick.result.claims.set_index("claim")
    wide = levels.pivot_table(
        index="level", columns="seed", values=["iou", "heatmap_std", "heatmap_mean", "inverted"]
    )
    for number, change in (
        ("I2", wide["iou"].loc[6] - wide["iou"].loc[0]),
        ("I4a", wide["heatmap_std"].loc[10] - wide["heatmap_std"].loc[0]),
        ("I4b", wide["inverted"].loc[0] - wide["inverted"].loc[10]),
        ("I4d", wide["heatmap_mean"].loc[10] - wide["heatmap_mean"].loc[0]),
    ):
        margin = 4.302653 * change.std(ddof=1) / math.sqrt(3)  # t(0.975; 2)
        row = judged.loc[number]
        expected = (change.mean(), change.mean() - margin, change.mean() + margin)
        assert (row["value"], row["low"], row["high"]) == pytest.approx(expected, abs=1e-6), number


# ---------------------------------------------------------------- criteria, on made-up chains

LEVELS = np.arange(26)
# Falls by 0.2 points a level to 95 %, then to 10 % at the sparsest level.
ACCURACY = np.where(LEVELS < 16, 98 - 0.2 * LEVELS, 98 - 88 * (LEVELS - 15) / 10)
RISING, FALLING, FLAT = 0.2 + 0.01 * LEVELS, 0.2 - 0.007 * LEVELS, np.full(26, 0.2)
FOLLOWING = 0.2 * ACCURACY / 98
AGAINST = 0.4 - FOLLOWING


def made_up_chains(iou=FLAT, other=0.5 * FLAT, accuracy=ACCURACY, seeds=8, **columns):
    """Return chains of 26 levels around these curves, with a little noise of every seed."""
    random = np.random.default_rng(1)

    def scattered(curve):
        return curve * (1 + 0.0003 * random.standard_normal((seeds, 26)))

    iou, other = scattered(iou), scattered(other)
    scores = {"iou_other_image": other, "iou_above_chance": iou - other}
    scores["empty"] = np.zeros((seeds, 26))
    # No map is empty, unless the columns of a test say otherwise.
    scores |= {"iou_nonempty": iou, "iou_above_chance_nonempty": iou - other}
    scores |= {name: scattered(curve) for name, curve in columns.items()}
    return Chains(made_up_levels(iou, scattered(accuracy).clip(max=100), **scores))


def outcome(claim, of_chains):
    """Return the verdict and the finding on one claim."""
    statement = read_statements("mnist_iou")[claim]
    finding = claims.findings({claim: statement}, of_chains)[claim]
    if finding.estimate is not None:
        assert math.isfinite(finding.at_floor) and math.isfinite(finding.at_chance)
    return Claim(statement=statement, finding=finding).verdict, finding


HEATMAPS = {"heatmap_std": FLAT, "heatmap_mean": FLAT, "inverted": FLAT}
NORMAL = 0.2 + 0.02 * np.array([-2, -1.5, *np.linspace(-1.2, 1.2, 22), 1.5, 2])
CRITERIA = [  # claim, curves for which it holds, curves for which it does not
    ("I1", {"iou": FOLLOWING}, {"iou": AGAINST}),
    ("I1b", {"iou": FOLLOWING}, {"iou": AGAINST}),
    (
        "I1c",
        {"iou": FOLLOWING, "other": 0.5 * FOLLOWING},
        {"iou": FOLLOWING, "other": FOLLOWING - 0.2 * AGAINST},
    ),
    ("I1d", {"iou": FOLLOWING}, {"iou": AGAINST}),
    ("I2", {"iou": RISING}, {"iou": FALLING}),
    ("I3a", {"accuracy": np.full(26, 98.0)}, {}),
    ("I3b", {"iou": FLAT}, {"iou": FALLING}),
    ("I3c", {"iou": RISING}, {"iou": FALLING}),
    ("I4a", {"heatmap_std": RISING}, {"heatmap_std": FALLING}),
    ("I4b", {"inverted": FALLING}, {"inverted": RISING}),
    ("I4c", {"iou": RISING, "other": 0.8 * RISING}, {"iou": RISING, "other": 0.3 * RISING}),
    ("I4d", {"heatmap_mean": RISING}, {"heatmap_mean": FALLING}),
    ("I5", {"iou": FOLLOWING**8}, {"iou": NORMAL}),
]


@pytest.mark.parametrize(("claim", "holding", "failing"), CRITERIA, ids=CLAIMS)
def test_a_criterion_can_hold_and_fail(claim, holding, failing):
    assert outcome(claim, made_up_chains(**holding))[0] == "reproduced"
    assert outcome(claim, made_up_chains(**failing))[0] == "not reproduced"


@pytest.mark.parametrize("claim", [name for name, *_ in CRITERIA])
def test_limits_lie_between_floor_and_chance_or_on_one_of_them(claim):
    curves = {"iou": 0.2 + 0.004 * LEVELS} | HEATMAPS
    _, finding = outcome(claim, made_up_chains(other=0.5 * RISING, **curves))
    limit = read_statements("mnist_iou")[claim].limit
    references = finding.at_floor, finding.at_chance
    if claim in ("I1c", "I5"):  # neither may meet them
        assert max(references) < limit
    else:
        assert min(references) <= limit + 1e-9 and max(references) >= min(limit, 0) - 1e-9


def with_pruned(of_chains, column, values):
    """Return chains whose levels above 0 have these values (seeds,) in a column."""
    levels = of_chains.levels.copy()
    is_pruned = levels["level"] > 0
    levels.loc[is_pruned, column] = np.repeat(values, 25)
    return Chains(levels, of_chains.guessing)


@pytest.mark.parametrize(
    ("claim", "column"),
    [
        ("I2", "iou"),
        ("I3a", "accuracy_noisy"),
        ("I3b", "iou"),
        ("I3c", "iou_above_chance"),
        ("I4a", "heatmap_std"),
        ("I4b", "inverted"),
        ("I4d", "heatmap_mean"),
    ],
)
def test_floor_is_the_criterion_of_unpruned_networks_of_other_trainings(claim, column):
    some = made_up_chains(**HEATMAPS, seeds=6)
    at_start = some.scores(column)[:, 0]
    others = [with_pruned(some, column, np.roll(at_start, shift)) for shift in range(1, 6)]
    values = [outcome(claim, other)[1].estimate.value for other in others]
    assert outcome(claim, some)[1].at_floor == pytest.approx(np.mean(values), abs=1e-9)


@pytest.mark.parametrize(
    ("claim", "column", "by_chance"),
    [
        ("I2", "iou", "iou_other_image"),
        ("I3a", "accuracy_noisy", None),
        ("I3b", "iou", "iou_other_image"),
        ("I3c", "iou_above_chance", None),
    ],
)
def test_chance_is_the_criterion_of_maps_on_other_images_or_of_guessing(claim, column, by_chance):
    some = made_up_chains()
    constant = np.full(8, some.guessing if claim == "I3a" else 0.0)
    values = some.scores(by_chance)[:, 0] if by_chance else constant
    guessing = outcome(claim, with_pruned(some, column, values))[1]
    assert outcome(claim, some)[1].at_chance == pytest.approx(guessing.estimate.value)


@pytest.mark.parametrize("claim", ["I1", "I1b", "I1d", "I4c"])
def test_chance_is_the_same_criterion_with_every_map_on_another_image(claim):
    some = made_up_chains(iou=RISING, other=0.8 * RISING)
    control = some.levels.assign(iou=some.levels["iou_other_image"])
    shuffled = outcome(claim, Chains(control))[1]
    assert outcome(claim, some)[1].at_chance == pytest.approx(shuffled.estimate.value)


def test_no_correlation_is_claimed_that_depends_on_the_cut():
    # Up to level 12 IoU rises as accuracy falls, then it falls with it.
    curve = np.where(LEVELS < 13, 0.2 + 0.002 * LEVELS, FOLLOWING)
    verdict, finding = outcome("I1b", made_up_chains(iou=curve))
    assert verdict == "undecided"
    assert finding.estimate.low < -0.9 and finding.estimate.high > 0.5
    assert "80 %" in finding.evidence and "97 %" in finding.evidence


def test_a_rise_that_is_not_shown_is_not_explained():
    verdict, finding = outcome("I4c", made_up_chains(iou=FALLING))
    assert verdict == "not tested here" and "no rise of IoU" in finding.evidence


def test_what_is_not_above_chance_cannot_be_kept():
    verdict, finding = outcome("I3c", made_up_chains(other=FLAT))
    assert verdict == "not tested here" and "not shown to be above chance" in finding.evidence


def test_a_single_training_tests_nothing():
    found = claims.findings(read_statements("mnist_iou"), made_up_chains(seeds=1))
    assert list(found) == CLAIMS and all(each.estimate is None for each in found.values())


def test_the_thesiss_seeds_stand_beside_all():
    statements = read_statements("mnist_iou")
    of_all, of_three = (
        claims.findings(statements, made_up_chains(seeds=seeds, **HEATMAPS)) for seeds in (8, 3)
    )
    both = claims.with_thesis_seeds(of_all, of_three, 3)
    for name, finding in both.items():
        assert finding.estimate == of_all[name].estimate
        assert "; the thesis's 3 seeds alone: " in finding.evidence
    assert both["I2"].evidence.endswith(of_three["I2"].estimate.text())


def test_empty_maps_that_make_a_correlation_are_told():
    # The maps that are left at each level are as good as at level 0; more and more are empty.
    some = made_up_chains(iou=FOLLOWING, iou_nonempty=AGAINST)
    verdict, finding = outcome("I1", some)
    expected = some.correlations("iou_nonempty")
    assert verdict == "reproduced" and expected.mean() < -0.9
    mean, error = expected.mean(), stats.sem(expected)
    low, high = stats.t.interval(0.95, 7, mean, error)
    assert f"without empty maps {mean:.2f} [{max(low, -1):.2f}, {high:.2f}]" in finding.evidence
    working = some.correlations("iou_nonempty", above=90).mean()
    assert f"above 90 % without empty maps {working:.2f}" in outcome("I1b", some)[1].evidence
    none_left = made_up_chains(iou=FOLLOWING, iou_nonempty=np.full(26, math.nan))
    assert "without empty maps undefined" in outcome("I1", none_left)[1].evidence


def test_seeds_with_nothing_above_chance_are_told():
    some = made_up_chains(iou=FOLLOWING, other=0.5 * FOLLOWING)
    levels = some.levels.copy()
    levels.loc[levels["seed"] < 3, "iou_above_chance"] = -levels["iou_above_chance"]
    finding = outcome("I1c", Chains(levels))[1]
    above = Chains(levels[levels["seed"] >= 3]).correlations("iou_above_chance").mean()
    assert finding.estimate.value == pytest.approx((5 * above - 3 * above) / 8, abs=0.01)
    text = f"of the 5 seeds of 8 whose IoU is above chance at level 0 {above:.2f} ["
    assert text in finding.evidence


def test_a_rise_is_told_at_the_neighbouring_levels():
    some = made_up_chains(iou=np.where(LEVELS < 6, RISING, FALLING))
    evidence = outcome("I2", some)[1].evidence
    for level in (5, 6, 7):
        change = some.scores("iou")[:, level] - some.scores("iou")[:, 0]
        assert f"{level}: {change.mean():.3f} [" in evidence


def test_a_verdict_that_one_seed_turns_is_told():
    statements = {"I2": read_statements("mnist_iou")["I2"]}
    some = made_up_chains(iou=0.2 + 1e-5 * LEVELS, seeds=6)
    levels = some.levels.copy()
    # Levels 0 and 6 of each seed, so that the changes are these.
    changes = np.array([1.0, 1.1, 0.9, 1.0, 1.05, -0.6]) / 100
    for level, iou in ((0, np.full(6, 0.2)), (6, 0.2 + changes)):
        levels.loc[levels["level"] == level, "iou"] = iou
    chains = Chains(levels)
    lows = [
        stats.ttest_1samp(np.delete(changes, seed), 0).confidence_interval().low
        for seed in range(6)
    ]
    assert stats.ttest_1samp(changes, 0).confidence_interval().low > 0
    same = sum(low >= 0 for low in lows)
    assert 0 < same < 6
    found = claims.findings(statements, chains)
    (finding,) = claims.with_left_out_seeds(found, statements, chains).values()
    text = f"with one seed left out the same verdict in {same} of 6 cases"
    assert finding.evidence == f"{found['I2'].evidence}; {text}"
    assert finding.estimate == found["I2"].estimate
    untested = {"I4c": outcome("I4c", made_up_chains(iou=FALLING))[1]}
    statements = {"I4c": read_statements("mnist_iou")["I4c"]}
    falling = made_up_chains(iou=FALLING)
    assert claims.with_left_out_seeds(untested, statements, falling) == untested


# ---------------------------------------------------------------- chains as independent units


def test_correlations_of_chains_are_those_of_numpy_over_the_levels_of_each():
    random = np.random.default_rng(0)
    iou, accuracy = random.random((3, 18)), 80 + 20 * random.random((3, 18))
    some = Chains(made_up_levels(iou, accuracy))
    expected = [np.corrcoef(pair)[0, 1] for pair in zip(iou, accuracy, strict=True)]
    np.testing.assert_allclose(some.correlations(), expected)
    above = accuracy[0] > 90
    expected = np.corrcoef(iou[0][above], accuracy[0][above])[0, 1]
    assert some.correlations(above=90)[0] == pytest.approx(expected)
    assert some.correlation_of_means() == pytest.approx(
        np.corrcoef(iou.mean(0), accuracy.mean(0))[0, 1]
    )
    assert np.isnan(some.correlations(above=99.9)).all()  # too few levels
    assert np.isnan(Chains(made_up_levels(np.ones((1, 18)), accuracy)).correlations()).all()
    assert some.correlation_of_unpruned() == 0  # three networks show none


def test_unpruned_networks_correlate_over_the_seeds():
    random = np.random.default_rng(0)
    iou, accuracy = random.random((9, 18)), 90 + random.random((9, 18))
    expected = np.corrcoef(iou[:, 0], accuracy[:, 0])[0, 1]
    some = Chains(made_up_levels(iou, accuracy))
    assert some.correlation_of_unpruned() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # mean 0.5, sd 0.1, t(0.975; 2) = 4.303: 0.5 -+ 0.248
        ([0.4, 0.5, 0.6, math.nan], (0.5, 0.2516, 0.7484)),
        ([-0.9, 0.9], (0.0, -1.0, 1.0)),
        ([0.7, math.nan], (0.7, math.nan, math.nan)),
        ([math.nan], (math.nan, math.nan, math.nan)),
    ],
)
def test_the_mean_of_correlations_is_as_worked_out_by_hand(values, expected):
    interval = chains.mean_correlation(np.array(values))
    found = (interval.value, interval.low, interval.high)
    assert found == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_the_loss_from_one_training_to_another_is_as_worked_out_by_hand():
    # 0.1 to 0.2 loses -100 %, 0.2 to 0.1 loses 50 %.
    assert chains.loss_between_trainings(np.array([0.1, 0.2])) == pytest.approx(-25)
    assert chains.loss_between_trainings(np.array([0.3, 0.3, 0.3])) == 0


def test_shapiro_and_wilks_own_example():
    # Weights of 11 men (Shapiro and Wilk 1965, Section 5): W = 0.79, significant at 1 %
    weights = np.array([148, 154, 158, 160, 161, 162, 166, 170, 182, 195, 236])
    w, p_value = significance.shapiro_wilk(weights)
    assert w == pytest.approx(0.79, abs=0.005) and p_value < 0.01
    assert np.isnan(significance.shapiro_wilk(np.ones(9))).all()
    assert np.isnan(significance.shapiro_wilk(np.array([1.0, 2.0]))).all()


def test_normality_is_tested_of_means_and_of_every_seed(quick):
    table = quick.result.tables["normality"]
    by_level = quick.result.tables["figure_3_1"]
    assert len(table) == 4 * 3 and (table["levels"] == 26).all()
    first = table.query("series == \"the thesis's seeds\" and score == 'iou'").iloc[0]
    expected = significance.shapiro_wilk(by_level["iou"].to_numpy())
    assert (first["w"], first["p_value"]) == pytest.approx(expected)


def permutation_table(iou, accuracy):
    seeds = tuple(range(len(iou)))
    config = mnist_iou.configure("quick", seeds=seeds)
    table = significance.chain_permutation(config, made_up_levels(iou, accuracy))
    return table.set_index("cut").loc[0]


def test_chains_are_exchanged_to_see_whether_iou_follows_its_own_network():
    random = np.random.default_rng(0)
    noise = random.standard_normal((2, 8, 26))
    accuracy = 90 + 3 * noise[0]
    own = permutation_table(0.2 + 0.01 * noise[0], accuracy)
    assert own["own"] == pytest.approx(1) and abs(own["other_seeds"]) < 0.2
    assert own["p_value"] < 0.001


def test_of_chains_that_follow_the_level_alone_p_values_are_uniform():
    random = np.random.default_rng(0)
    of_level = 98 - 3 * np.arange(26)
    tables = []
    for _ in range(40):
        noise = random.standard_normal((2, 4, 26))
        tables.append(permutation_table(of_level / 490 + 0.001 * noise[0], of_level + noise[1]))
    for table in tables:
        assert table["own"] == pytest.approx(table["other_seeds"], abs=0.01)
    # Of 4! orders, all p-values from 1/24 to 1 are equally probable: 10 of 40 are at most 1/4.
    assert 4 <= sum(table["p_value"] <= 0.26 for table in tables) <= 17


def test_all_orders_of_few_chains_are_tried():
    iou = np.random.default_rng(0).random((3, 26))
    row = permutation_table(iou, 90 + iou)
    assert row["seeds"] == 3 and row["p_value"] == pytest.approx(1 / 6)  # of 3! orders
    assert math.isnan(permutation_table(iou[:1], 90 + iou[:1])["p_value"])


def test_the_table_by_cut_is_that_of_its_levels(quick):
    levels, table = quick.result.tables["levels"], quick.result.tables["cuts"]
    seeds = ("the thesis's seeds", "seed 333", "seed 334", "seed 335")
    assert len(table) == len(LAYERS) * len(seeds) * len(cuts.CUTS)
    assert set(table["layer"]) == set(LAYERS)
    at_layer = table[table["layer"] == "relu2"].set_index(["series", "cut"])
    for cut in cuts.CUTS:
        of_seeds = [
            part["iou"].corr(part["accuracy_noisy"])
            for _, part in levels[levels["accuracy_noisy"] > cut].groupby("seed")
            if len(part) >= 5
        ]
        for seed, expected in zip(seeds[1:], of_seeds, strict=True):
            assert at_layer.loc[(seed, cut), "pearson"] == pytest.approx(expected)
        row = at_layer.loc[(seeds[0], cut)]
        assert row["seeds"] == len(of_seeds)
        assert row["pearson"] == pytest.approx(np.mean(of_seeds))
        assert row["low"] <= row["pearson"] <= row["high"]


def test_the_table_by_cut_has_every_layer_of_the_readings(quick):
    by_level = quick.result.tables["readings"]
    accuracy = quick.result.tables["figure_3_1"]["accuracy_noisy"].to_numpy()
    table = quick.result.tables["cuts"].query('series == "the thesis\'s seeds" and cut == 0')
    for row in table.itertuples():
        is_layer = (by_level["layer"] == row.layer) & ~by_level["reading"].str.startswith("target")
        expected = np.corrcoef(by_level.loc[is_layer, "iou"], accuracy)[0, 1]
        assert row.pearson_of_means == pytest.approx(expected, abs=1e-6), row.layer


def test_estimates_repeat_the_claims_for_every_group_of_seeds(quick):
    table, judged = quick.result.tables["estimates"], quick.result.claims
    assert table["claim"].tolist() == CLAIMS
    np.testing.assert_allclose(table["value"], judged["value"])
    meanings = {"met": "holds on stand-in", "not met": "fails on stand-in"}
    assert table["outcome"].replace(meanings).tolist() == judged["verdict"].tolist()


def test_published_numbers_stand_beside_ours_with_the_difference(quick):
    table = quick.result.tables["published"].set_index("quantity")
    # PAPERS.md, study iou, Published
    assert table.loc["Pearson correlation of IoU and accuracy", "published"] == 0.96
    assert table.loc["accuracy at full density on clean images", "published"] == 98.17
    assert table.loc["accuracy at full density on noisy images", "published"] == 98.18
    assert table.loc["highest mean IoU of a level", "published"] == 0.21
    assert table.loc[
        [f"mean of the heatmaps at iteration {k}" for k in (0, 10)], "published"
    ].tolist() == [
        0.179,
        0.236,
    ]
    spread = [f"standard deviation of the heatmaps at iteration {k}" for k in (0, 10)]
    assert table.loc[spread, "published"].tolist() == [0.218, 0.252]
    assert table["ours"].notna().all() and table["source"].str.startswith("thesis").all()
    # No difference of a bound, or of the IoU of other images than the thesis's.
    unlike = ["p-value of that correlation (an upper bound)"]
    unlike += [name for name in table.index if name.startswith("IoU of the sample shown")]
    assert len(unlike) == 4 and (table.loc[unlike, "note"].str.len() > 0).all()
    apart = (table["ours"] - table["published"]).drop(unlike)
    np.testing.assert_allclose(table["difference"].dropna(), apart)
    of_levels = table[table["all_seeds"].notna()]
    assert len(of_levels) == 7  # here, all seeds are the thesis's
    np.testing.assert_allclose(of_levels["all_seeds"], of_levels["ours"])
    np.testing.assert_allclose(of_levels["all_seeds_sd"], of_levels["sd"])
    levels = quick.result.tables["levels"]
    peaks = levels[levels["level"] == levels.groupby("level")["iou"].mean().idxmax()]["iou"]
    assert table.loc["highest mean IoU of a level", "ours"] == pytest.approx(peaks.mean())
    assert table.loc["highest mean IoU of a level", "sd"] == pytest.approx(peaks.std(ddof=1))
    assert table.loc["degrees of freedom", ["published", "ours"]].tolist() == [25, 24]


# ---------------------------------------------------------------- the committed reference


def expected_table(name):
    path = EXPECTED / f"{name}.csv"
    assert path.is_file(), f"{path} is missing: make expected"
    return pd.read_csv(path)


def test_quick_tables_agree_with_the_expected_ones(quick):
    """Tolerances allow for another CPU or thread count; they must never be widened.

    Training amplifies rounding. Initial weights changed by one part in 10^7 (five times) moved the
    accuracy of levels above 95 % by up to 1 point, but that of level 15, at the edge, by 4; the IoU
    of single levels by up to 0.04, its mean over the working levels by 0.005 and their mean
    accuracy by 0.4. That is why the IoU of single levels is not compared.
    """
    tables = quick.result.tables
    for name, counts in (
        ("figure_3_1", ["level", "remaining", "density"]),
        ("3_1", ["series", "over", "method"]),
    ):
        expected = expected_table(f"table_{name}")
        assert list(expected) == list(tables[name])
        pd.testing.assert_frame_equal(tables[name][counts], expected[counts], check_exact=True)
    counts = ["points", "df"]
    expected = expected_table("table_3_1").query("over == 'all levels'")
    all_levels = tables["3_1"].query("over == 'all levels'")
    assert all_levels[counts].to_numpy().tolist() == expected[counts].to_numpy().tolist()
    expected = expected_table("table_levels")
    exact = ["variant", "seed", "level", "remaining", "density"]
    pd.testing.assert_frame_equal(tables["levels"][exact], expected[exact], check_exact=True)

    expected, ours = expected_table("table_figure_3_1"), tables["figure_3_1"]
    sound, works = expected["accuracy_noisy"] > 95, expected["accuracy_noisy"] > 90
    assert sound.sum() >= 10, "too few levels work for this to mean anything"
    for name in ("accuracy_noisy", "accuracy_clean"):
        worst = (ours.loc[sound, name] - expected.loc[sound, name]).abs().max()
        assert worst <= 3, f"{name} of one level differs by {worst} points"
    for name, tolerance in (
        ("accuracy_noisy", 1.5),
        ("accuracy_clean", 1.5),
        ("iou", 0.015),
        ("iou_other_image", 0.015),
    ):
        apart = abs(ours.loc[works, name].mean() - expected.loc[works, name].mean())
        assert apart <= tolerance, f"{name}, the mean of the levels that work, differs by {apart}"


def test_three_seeds_make_no_verdict_firm(quick):
    expected, ours = expected_table("claims"), quick.result.claims
    fixed = ["claim", "sentence", "source", "criterion", "relation", "limit", "trainings"]
    pd.testing.assert_frame_equal(ours[fixed], expected[fixed])
    assert set(ours["verdict"]) <= set(VERDICTS)
    assert len(quick.result.stable_lines) == 2  # counts, and no verdict
