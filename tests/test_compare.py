"""Comparison of two networks of the user: reading files, scores against the metrics, the report."""

import base64
import copy
import dataclasses
import io
import json
import pickle
import re
import shutil
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from pruncam import cams, comparison, metrics, pruning, scoring, training
from pruncam._core.seeds import derive
from pruncam.cli import main
from pruncam.comparison import example_pair, html, summary_text, user_code
from pruncam.comparison.preprocessing import Preprocessing
from pruncam.datasets import ImageSet, image_folder
from pruncam.datasets.image_folder import Selection
from pruncam.report import plots

NETWORK = """
import torch
from torch import nn

def network(num_classes, in_channels=3):
    features = nn.Conv2d(in_channels, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(6, num_classes))

def needy(depth):
    pass

def nothing():
    return 3

def agreement(x, y):
    return 1 - (x - y).abs().mean((1, 2))

def brightness(model, images, layer, targets):
    return images.mean(1).sigmoid()
"""
CLASSES = ("ant", "bee", "cat")


def draw(folder, classes=CLASSES, each=4, size=(16, 16), mode="RGB", ending="png"):
    """Write images of noise, the same for the same arguments."""
    random = np.random.default_rng(len(classes) + each)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            pixels = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{number}.{ending}")
    return folder


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A user's folder: code, images, and checkpoints of two small networks."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(NETWORK)
    draw(folder / "test")
    draw(folder / "train", each=5)
    torch.manual_seed(1)
    baseline = user_code.load_function(f"{folder}/mine.py:network", "model")(3)
    torch.save(baseline.state_dict(), folder / "a.pt")
    torch.save(pruning.global_unstructured(baseline, 0.5).state_dict(), folder / "b.pt")
    return folder


def files_of(user, **others):
    files = comparison.Files(
        baseline=user / "a.pt",
        pruned=user / "b.pt",
        model=f"{user}/mine.py:network",
        data=user / "test",
    )
    return dataclasses.replace(files, **others)


def agreement(x, y):
    return 1 - (x - y).abs().mean((1, 2))


@pytest.fixture(scope="module")
def report(user, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        pair = comparison.load(files_of(user, train=user / "train"))
        return comparison.compare(
            pair, settings=SETTINGS, custom_scores={"agreement": agreement}, progress=False
        )


TRAIN = Selection(split="train")
SETTINGS = comparison.Settings(
    mean=(0.5,), std=(0.25,), seeds=(3, 4), bootstrap=100, learning_rate=0.05, moved=5
)


# ---------------------------------------------------------------- the comparison


def resnet(classes=3):
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=classes).eval()


def pack(folder, archive, top=""):
    """Pack the files of a folder into a zip or tar, below a folder `top`."""
    entries = [
        (path, f"{top}{path.relative_to(folder)}")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path, name in entries:
                file.write(path, name)
    else:
        with tarfile.open(archive, "w:gz") as file:
            for path, name in entries:
                file.add(path, name)
    return archive


def filter_counts(model):
    return [len(module.weight) for module in pruning.prunable(model).values()]


IMAGENET = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_scores_of_a_torchvision_network_are_the_metrics_of_its_heatmaps(tmp_path):
    draw(tmp_path / "test", each=2, size=(64, 64))
    baseline = resnet()
    pruned = copy.deepcopy(baseline)
    for layer in list(pruning.prunable(pruned).values())[:5]:
        layer.weight.data *= torch.rand(layer.weight.shape) > 0.5
    for name, model in (("a", baseline), ("b", pruned)):
        torch.save(model.state_dict(), tmp_path / f"{name}.pt")
    files = comparison.Files(
        tmp_path / "a.pt", tmp_path / "b.pt", "torchvision:resnet18", tmp_path / "test"
    )
    pair = comparison.load(files)
    settings = comparison.Settings(methods=("grad-cam",), seeds=(1,), bootstrap=100)
    report = comparison.compare(pair, settings=settings, progress=False)
    tables, used = report.tables, report.manifest["config"]
    expected = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    assert (list(used["mean"]), list(used["std"])) == (expected.mean, expected.std)
    assert used["target_layer"] in dict(baseline.named_modules())
    pixels = [np.array(Image.open(tmp_path / "test" / name)) for name in pair.files]
    x = IMAGENET(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255)
    maps = [cams.heatmaps(model, x, method="grad-cam") for model in (baseline, pruned)]
    with torch.no_grad():
        probabilities = [model(x).softmax(1) for model in (baseline, pruned)]
    top = probabilities[0].argmax(1, keepdim=True)
    confidences = [values.gather(1, top)[:, 0] for values in probabilities]
    expected = {
        "sp2ps": metrics.sp2ps(*maps),
        "soft_iou": metrics.soft_iou(*maps),
        "pe": metrics.pe_score(*maps, *confidences),
    }
    for name, values in expected.items():
        assert np.allclose(tables["images"][name], values, atol=1e-4)
        row = tables["summary"].set_index("score").loc[name]
        assert row["mean"] == pytest.approx(values.mean().item(), abs=1e-4)
        assert row["low"] <= row["mean"] <= row["high"]
    assert tables["images"]["file"].tolist() == list(pair.files)


def test_networks_in_memory_are_compared_like_those_of_files(user, report, monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path))
    pair = comparison.load(files_of(user))
    test, train = (
        image_folder.read(user / "test"),
        image_folder.read(user / "train", selection=TRAIN),
    )
    in_memory = comparison.compare(
        pair.baseline,
        pair.pruned,
        test,
        train_images=train,
        settings=SETTINGS,
        custom_scores={"agreement": agreement},
        progress=False,
    )
    for name in report.tables.keys() - {"cost"}:  # the cost names the size of the files
        pd.testing.assert_frame_equal(in_memory.tables[name], report.tables[name])
    assert "checkpoints" not in in_memory.manifest
    numbered = comparison.compare(
        pair.baseline, pair.pruned, test.images, settings=SETTINGS, progress=False
    )
    assert numbered.tables["images"]["file"].iloc[0] == "image 0"
    for arguments in ((pair, pair.pruned), (pair.baseline,), (pair.baseline, pair.pruned)):
        with pytest.raises(TypeError, match="a Pair"):
            comparison.compare(*arguments)
    with pytest.raises(TypeError, match="images must be a datasets.ImageSet .* got Tensor"):
        comparison.compare(pair.baseline, pair.pruned, test.images.images)


def test_the_tables_agree_with_the_rows(report):
    tables = report.tables
    images = tables["images"]
    once = images[images["method"] == "grad-cam"]
    baseline_correct = once["baseline_prediction"] == once["class"]
    pruned_correct = once["pruned_prediction"] == once["class"]
    accuracy = tables["models"].set_index("model")["accuracy"]
    assert accuracy["baseline"] == pytest.approx(100 * baseline_correct.mean())
    assert accuracy["pruned"] == pytest.approx(100 * pruned_correct.mean())
    for row in tables["classes"].itertuples():
        part = images[(images["method"] == row.method) & (images["class"] == row._2)]
        assert (row.images, row.sp2ps) == (len(part), pytest.approx(part["sp2ps"].mean(), abs=1e-6))
        assert row.agreement == pytest.approx(part["agreement"].mean())
    for method, part in tables["moved"].groupby("method"):
        lowest = images[images["method"] == method]["sp2ps"].nsmallest(5)
        assert part["sp2ps"].tolist() == pytest.approx(lowest.tolist())
        assert part["rank"].tolist() == [1, 2, 3, 4, 5]
    assert set(tables["moved"].groupby("method").size()) == {5}
    assert set(tables["moved"]["file"]) <= set(images["file"])
    counts = tables["correctness"].groupby("prediction")["images"].first().to_dict()
    assert counts.get("correct", 0) == pruned_correct.sum()
    cost = tables["cost"].set_index("model")
    assert cost.loc["baseline", "parameters"] == 6 * 27 + 6 + 18 + 3  # conv 3->6 k3, FC 6->3
    assert cost.loc["pruned", "nonzero"] == 90 + 9  # half of 180 weights, and the biases
    assert cost.loc["pruned", "sparsity"] == 0.5


def test_the_floor_is_the_baseline_fine_tuned_by_the_same_recipe(report, user):
    pair = comparison.load(files_of(user))
    tuned, train = copy.deepcopy(pair.baseline), image_folder.read(user / "train").images
    training.fit(
        tuned,
        train.images,
        train.labels,
        SETTINGS.recipe,
        training.Inputs(mean=0.5, std=0.25),  # of every channel, as in SETTINGS
        seed=derive(3, "own", "finetuning"),
    )
    rows = scoring.score(
        pair.baseline,
        tuned,
        pair.images,
        transform=lambda x: (x - 0.5) / 0.25,
        progress=False,
    )
    expected = rows.groupby("method", observed=True)["sp2ps"].mean()
    controls = report.tables["controls"].set_index(["kind", "seed", "method", "score"])["mean"]
    for method, value in expected.items():
        mean = controls["fine-tuned, not pruned", 3, method, "sp2ps"]
        assert mean == pytest.approx(value, abs=1e-3)
        assert value < 1
    summary = report.tables["summary"].set_index(["method", "score"]).loc[("grad-cam", "sp2ps")]
    chance = [controls["random weights", seed, "grad-cam", "sp2ps"] for seed in (3, 4)]
    assert summary["chance"] == pytest.approx(np.mean(chance))
    assert summary["floor_low"] <= expected["grad-cam"] <= summary["floor_high"]


def test_frozen_layers_are_frozen_while_the_floor_is_fine_tuned(user, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path))
    settings = dataclasses.replace(SETTINGS, seeds=(3,), bootstrap=100)
    pair = comparison.load(files_of(user, train=user / "train"))
    first, *_, last = pair.baseline.parameters()
    floors = []
    for frozen in ([], [first], list(pair.baseline.parameters())[:-2]):
        pair.baseline.requires_grad_(True)
        for parameter in frozen:
            parameter.requires_grad_(False)
        report = comparison.compare(pair, settings=settings, progress=False)
        controls = report.tables["controls"].set_index(["kind", "method", "score"])["mean"]
        floors.append(controls["fine-tuned, not pruned", "grad-cam", "sp2ps"])
        assert last.requires_grad and first.requires_grad is (not frozen)
    assert len(set(floors)) == 3  # each trains other weights
    pair.baseline.requires_grad_(False)
    with pytest.raises(ValueError, match="the baseline is frozen .* no reference"):
        comparison.compare(pair, settings=settings, progress=False)


def test_a_network_against_itself_is_perfect_and_the_summary_warns_without_training_images(user):
    pair = comparison.load(files_of(user, pruned=user / "a.pt"))
    report = comparison.compare(pair, settings=SETTINGS, progress=False)
    summary = report.tables["summary"].set_index("score")
    assert np.allclose(summary.loc[["ssim", "sp2ps", "iou", "pe"], "mean"], 1, atol=1e-6)
    assert report.tables["summary"]["floor_low"].isna().all()
    text = " ".join(report.summary)
    assert "no change" in text and "100.0 %" in text
    assert "It is not known how far fine-tuning alone moves the maps" in text


# Interval of Sp2PS, noise floor, chance level, and the words that follow from them.
SUMMARIES = {
    "moved further": (
        (0.5, 0.4, 0.6),
        (0.7, 0.9),
        0.1,
        "the maps moved further than fine-tuning moves them",
    ),
    "inside": (
        (0.8, 0.7, 0.9),
        (0.7, 0.9),
        0.1,
        "fine-tuning instead of pruning may have moved the maps",
    ),
    "less": ((0.95, 0.94, 0.96), (0.7, 0.9), 0.1, "moved less than such fine-tuning"),
    "chance": ((0.2, 0.1, 0.3), (0.7, 0.9), 0.15, "are no more similar to the baseline's"),
    "touching": (
        (0.6, 0.5, 0.7),
        (0.7, 0.9),
        0.1,
        "fine-tuning instead of pruning may have moved the maps",
    ),
}


@pytest.mark.parametrize("case", SUMMARIES)
def test_the_summary_follows_from_the_intervals(report, case):
    (mean, low, high), (floor_low, floor_high), chance, words = SUMMARIES[case]
    row = {
        "method": "grad-cam",
        "score": "sp2ps",
        "mean": mean,
        "low": low,
        "high": high,
        "floor_low": floor_low,
        "floor_high": floor_high,
        "chance": chance,
        "mean_nonempty": mean,
        "baseline_empty": 0.0,
        "pruned_empty": 0.0,
        "floor_empty": 0.0,
        "chance_empty": 0.0,
    }
    paragraphs = summary_text.paragraphs(report.tables | {"summary": pd.DataFrame([row])})
    assert words in paragraphs[3] and "not known" not in " ".join(paragraphs)
    verdicts = {entry[3] for entry in SUMMARIES.values() if entry[3] in paragraphs[3]}
    assert len(verdicts) == (2 if case == "chance" else 1)


# ---------------------------------------------------------------- empty maps


def grey_net(weight):
    """Return a network whose map is its grey image: of class 0, and empty for a negative weight."""
    convolution, linear = nn.Conv2d(1, 1, 1), nn.Linear(1, 2)
    with torch.no_grad():
        convolution.weight.fill_(1)
        convolution.bias.zero_()
        linear.weight.copy_(torch.tensor([[weight], [0.0]]))
        linear.bias.copy_(torch.tensor([1.0, 0.0]))  # above the weight: class 0 is on top
    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(convolution, nn.ReLU(), *pool, linear).eval()


def compare_grey(weights=(0.5, 0.5), constant=0, count=12, moved=12):
    """Compare two such networks on images of which the first ones are constant."""
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    pixels[:constant] = 100
    labels = torch.arange(count) % 2
    images = ImageSet("grey", "test", pixels.byte(), labels, ("a", "b"), "generated")
    return comparison.compare(
        *map(grey_net, weights),
        images,
        settings=comparison.Settings(
            methods=("grad-cam",), mean=(0.0,), std=(1.0,), seeds=(1,), bootstrap=100, moved=moved
        ),
        progress=False,
    )


def test_the_first_paragraph_names_the_layer_its_cells_and_channels():
    first = compare_grey().summary[0]
    layer = "layer 1 (ReLU), 8x8 cells and 1 channel"
    assert first.endswith(f". The heatmaps are read at {layer} in both networks.")


def test_layers_that_differ_are_both_named():
    layers = pd.DataFrame(
        [
            {"layer": "a", "kind": "ReLU", "height": 4, "width": 5, "channels": 1024},
            {"layer": "a", "kind": "ReLU", "height": 4, "width": 5, "channels": 700},
        ]
    )
    text = summary_text._layers(layers)
    assert "ReLU), 4x5 cells and 1,024 channels in the baseline, at layer a" in text
    assert text.endswith("and 700 channels in the pruned one.")


@pytest.mark.parametrize(
    ("weights", "constant", "sentence"),
    [
        ((0.5, 0.5), 0, None),
        ((0.5, 0.5), 1, None),  # a twelfth
        (
            (0.5, 0.5),
            3,
            "25 % of the Grad-CAM maps of the baseline, "
            "25 % of the Grad-CAM maps of the pruned network.",
        ),
        ((0.5, -0.5), 0, "explain nothing: 100 % of the Grad-CAM maps of the pruned network."),
        ((-0.5, 0.5), 0, "explain nothing: 100 % of the Grad-CAM maps of the baseline."),
    ],
)
def test_many_empty_maps_are_the_first_sentence(weights, constant, sentence):
    first = compare_grey(weights, constant).summary[0]
    if sentence is None:
        assert first.startswith("Sanity check: networks with random weights reach")
    else:
        start = "Many heatmaps are empty and explain nothing: "
        assert first.startswith(start) and sentence in first
        assert first.index("Sanity check") > first.index(sentence)


def test_every_mean_has_the_share_of_empty_maps_and_the_mean_without_them():
    report = compare_grey(constant=3)
    tables = report.tables
    for name in ("summary", "controls"):
        assert {"mean_nonempty", *scoring.EMPTY_COLUMNS} <= set(tables[name])
    row = tables["summary"].set_index("score").loc["sp2ps"]
    assert (row["baseline_empty"], row["pruned_empty"]) == (0.25, 0.25)
    assert row["mean"] == pytest.approx(1) and row["mean_nonempty"] == pytest.approx(1)
    # Images 0 and 2 of class a are constant, image 1 of class b.
    assert tables["classes"]["baseline_empty"].tolist() == pytest.approx([2 / 6, 1 / 6])
    assert "sp2ps_nonempty" in tables["classes"] and "pe_nonempty" in tables["correctness"]
    assert tables["images"]["pruned_empty"].sum() == 3
    text = " ".join(report.summary)
    assert "(25 % of the maps of the baseline and 25 % of those of the pruned network are" in text
    assert "empty; without them it is 1.00)" in text


def test_a_control_without_maps_says_so():
    report = compare_grey((-0.5, -0.5))
    row = report.tables["summary"].set_index("score").loc["sp2ps"]
    assert row["mean"] == 1 and np.isnan(row["mean_nonempty"])
    assert np.isnan(report.tables["classes"]["sp2ps_nonempty"]).all()
    assert "no image has two maps that are not" in " ".join(report.summary)
    assert all(drawing.draw().axes for drawing in report.drawings.values())


def test_images_without_maps_are_the_last_of_those_that_moved():
    moved = compare_grey(constant=3).tables["moved"]
    assert moved["empty"].tolist() == ["no"] * 9 + ["both"] * 3
    assert sorted(moved["image"][9:]) == [0, 1, 2]
    assert compare_grey((0.5, -0.5)).tables["moved"]["empty"].unique().tolist() == ["pruned"]
    assert set(compare_grey(constant=3, moved=9).tables["moved"]["empty"]) == {"no"}


def test_figures_mark_empty_maps_and_their_share():
    report = compare_grey((0.5, -0.5), constant=3)
    texts = [
        text.get_text() for axes in report.drawings["moved"].draw().axes for text in axes.texts
    ]
    assert texts == [plots.EMPTY_TEXT.replace(" ", "\n")] * 6  # six rows, the pruned network's maps
    (tick,) = report.drawings["scale"].draw().axes[0].get_xticklabels()
    assert tick.get_text() == "Grad-CAM\nempty: 25 %, 100 %"
    (label,) = report.drawings["distributions"].draw().legends[0].get_texts()
    assert label.get_text() == "Grad-CAM (100 % empty)"
    assert "Open diamonds: the mean without" in report.drawings["scale"].caption
    assert "No map is empty." in compare_grey().drawings["scale"].caption


def test_a_repeated_comparison_gives_the_same_tables_from_new_and_from_stored_copies(
    user, report, tmp_path, monkeypatch
):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path))
    pair = comparison.load(files_of(user, train=user / "train"))

    def compare():
        return comparison.compare(
            pair, settings=SETTINGS, custom_scores={"agreement": agreement}, progress=False
        )

    fresh = compare()
    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(
        "pruncam.comparison.controls.fit", lambda *_, **__: pytest.fail("trained again")
    )
    stored = compare()
    for name, table in report.tables.items():
        pd.testing.assert_frame_equal(fresh.tables[name], table, check_exact=True)
        pd.testing.assert_frame_equal(stored.tables[name], table, check_exact=True)


# ---------------------------------------------------------------- custom scores and CAMs


def test_a_custom_score_and_a_custom_cam_appear_beside_ours(user):
    pair = comparison.load(files_of(user))
    calls = []

    def bright_pixels(model, images, layer, targets):
        calls.append((model.training, layer, targets.tolist()))
        return (images[:, 0].numpy() > 0).astype("float32")  # an array, as other libraries return

    report = comparison.compare(
        pair,
        settings=comparison.Settings(
            methods=("grad-cam",), mean=(0.45,), std=(0.2,), seeds=(1,), bootstrap=100
        ),
        custom_methods={"bright pixels": bright_pixels},
        custom_scores={"difference": lambda x, y: (x - y).abs().amax((1, 2))},
        progress=False,
    )
    summary, rows = report.tables["summary"], report.tables["images"]
    assert summary["method"].unique().tolist() == ["grad-cam", "bright pixels"]
    assert "difference" in set(summary["score"]) and "difference" in report.tables["classes"]
    of_pixels = rows.loc[rows["method"] == "bright pixels", "difference"]
    assert (of_pixels == 0).all(), "the method only depends on the images"
    with torch.no_grad():
        x = (pair.images.images / 255 - 0.45) / 0.2
        top = pair.baseline(x).argmax(1).tolist()
    maps = [cams.heatmaps(model, x, method="grad-cam") for model in (pair.baseline, pair.pruned)]
    expected = (maps[0] - maps[1]).abs().amax((1, 2))
    assert np.allclose(rows.loc[rows["method"] == "grad-cam", "difference"], expected, atol=1e-6)
    assert (
        False,
        pair.baseline[1],
        top,
    ) in calls  # at the ReLU after the last convolution and pair.baseline.training is False
    panels = report.drawings["scale"].draw().axes
    ticks = [label.get_text() for label in panels[0].get_xticklabels()]
    assert [axes.get_title() for axes in panels] == ["Sp2PS", "PE", "soft IoU", "difference"]
    assert ticks == ["Grad-CAM", "bright pixels"]


def test_a_custom_copy_of_our_cam_gives_our_scores_in_any_batch_size(user):
    pair = comparison.load(files_of(user))

    def copied(model, images, layer, targets):
        return cams.heatmaps(model, images, method="grad-cam", target_layer=layer, targets=targets)

    rows = scoring.score(
        pair.baseline,
        pair.pruned,
        pair.images.images / 255,
        methods=["grad-cam"],
        custom_methods={"copied": copied},
        batch_size=5,
        progress=False,
    )
    scores = rows[list(metrics.SCORES)]
    is_copy = rows["method"] == "copied"
    assert np.allclose(scores[~is_copy].to_numpy(), scores[is_copy].to_numpy(), atol=1e-6)


NET = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 2))
SAME = copy.deepcopy(NET)
X = torch.rand(4, 1, 8, 8)
REJECTED = {
    "a score of all images": (
        {"custom_scores": {"s": lambda x, y: x.mean()}},
        r"'s' must return .*shape \(4,\), got \(\)",
    ),
    "a score that is no number": (
        {"custom_scores": {"s": lambda x, y: "high"}},
        "'s' must return one .* got 'high'",
    ),
    "a score that is NaN": (
        {"custom_scores": {"s": lambda x, y: x.mean((1, 2)) * torch.nan}},
        "'s' must return finite",
    ),
    "a score of a taken name": (
        {"custom_scores": {"pe": max}},
        "custom_scores: the name 'pe' is taken",
    ),
    "a column's name": (
        {"custom_scores": {"label": max}},
        "custom_scores: the name 'label' is taken",
    ),
    "a CAM of a taken name": (
        {"custom_methods": {"grad-cam": max}},
        "custom_methods: the name 'grad-cam' is taken",
    ),
    "a CAM of one map": (
        {"custom_methods": {"c": lambda m, x, *_: x[0]}},
        r"'c' must return .* \(4, 8, 8\), got \(1, 8, 8\)",
    ),
    "a CAM beyond 1": (
        {"custom_methods": {"c": lambda m, x, *_: 2 + x[:, 0]}},
        r"in \[0, 1\], got \[2.* rescale them",
    ),
    "a CAM with NaN": (
        {"custom_methods": {"c": lambda m, x, *_: x[:, 0] * torch.nan}},
        r"in \[0, 1\], got \[nan, nan\]",
    ),
    "a CAM that returns nothing": (
        {"custom_methods": {"c": lambda *_: None}},
        "'c' must return a tensor .* got None",
    ),
    "a list": ({"custom_scores": [max]}, "custom_scores must be a dict of functions by name"),
    "no function": (
        {"custom_scores": {"s": 3}},
        "custom_scores: 's' must be a function of .*, got int",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_custom_functions_that_do_not_fit_are_rejected_in_one_sentence(case):
    options, message = REJECTED[case]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        scoring.score(NET, SAME, X, methods=["grad-cam"], progress=False, **options)
    assert "\n" not in str(caught.value)


def test_a_summary_has_the_requested_scores():
    rows = scoring.score(
        NET,
        SAME,
        X,
        methods=["grad-cam"],
        custom_scores={"s": lambda x, y: x.mean((1, 2))},
        progress=False,
    )
    summary = scoring.summarize(rows, scores=["s", "pe"], samples=100)
    assert summary["score"].tolist() == ["s", "pe"]
    columns = rows.columns.tolist()
    assert columns.index("s") == columns.index("pe") + 1
    for scores, message in (
        ("pe", "must be a list"),
        ([], "must be a list"),
        (["t"], "no column t"),
    ):
        with pytest.raises(ValueError, match=message):
            scoring.summarize(rows, scores=scores)


# ---------------------------------------------------------------- the report


class PageParser(HTMLParser):
    """Collects the links, images and tags of a page."""

    def __init__(self):
        super().__init__()
        self.links, self.images, self.tags, self.open_tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open_tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "data"):
                is_png = value.startswith("data:image/png;base64,")
                (self.images if is_png else self.links).append(value)

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag


FIGURES = ("scale", "moved", "distributions", "classes")


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    return report.save(tmp_path_factory.mktemp("saved") / "deep" / "report")


def test_the_page_needs_nothing_but_itself(report, page):
    text, parser = page.read_text(encoding="utf-8"), PageParser()
    parser.feed(text)
    assert parser.links == [] and parser.open_tags == [] and "script" not in parser.tags
    assert not re.search(r"url\(|@import|https?://", text)
    assert len(parser.images) == 4
    for image, name in zip(parser.images, FIGURES, strict=True):
        png = base64.b64decode(image.partition(",")[2])
        assert png == (page.parent / f"figure_{name}.png").read_bytes()
        assert Image.open(io.BytesIO(png)).size[0] > 300
    assert "prefers-color-scheme: dark" in text
    assert all(paragraph[:30] in text for paragraph in report.summary)
    assert parser.tags.count("table") == 9
    titles = re.findall(r"<th>(.*?)</th>", text)
    assert titles and not any("_" in title for title in titles), "names of columns, not words"
    widest = max(table.count("<th>") for table in text.split("<table")[1:])
    assert widest <= 12, "a table that is clipped on a narrow page"


def test_names_of_files_and_classes_cannot_break_the_page(report):
    evil = "<script>alert(1)</script>"
    tables = {
        name: table.replace({"ant": evil, "ant/0.png": evil})
        for name, table in report.tables.items()
    }
    pictures = dict.fromkeys(report.drawings, html.Picture(b"", evil, f'"{evil}'))
    text = html.render_page([evil], tables, pictures, report.manifest)
    assert 'alt="&quot;' in text and evil not in text and "&lt;script&gt;" in text


def test_formulas_and_braces_in_names_are_drawn_as_they_are(user, tmp_path, coarse_figures):
    draw(tmp_path / "test", ("$a_", "{b}", r"\frac$"))
    (tmp_path / "test" / "$a_" / "0.png").rename(tmp_path / "test" / "$a_" / r"$x^{\0.png")
    pair = comparison.load(files_of(user, data=tmp_path / "test"))
    scores = {r"$\frac{": agreement}
    settings = dataclasses.replace(SETTINGS, seeds=(3,), bootstrap=100)
    report = comparison.compare(pair, settings=settings, custom_scores=scores, progress=False)
    page = report.save(tmp_path / "report")
    assert r"\frac$/0.png" in page.read_text(encoding="utf-8")


def test_a_report_holds_every_table_and_its_manifest(report, page, user):
    names = {path.name for path in page.parent.iterdir()}
    tables = {f"table_{name}.csv" for name in report.tables}
    figures = {f"figure_{name}.png" for name in FIGURES}
    assert names == {"report.html", "model_card.md", "manifest.json"} | tables | figures
    table = pd.read_csv(page.parent / "table_summary.csv")
    assert np.allclose(table["mean"], report.tables["summary"]["mean"])
    manifest = json.loads((page.parent / "manifest.json").read_text())
    assert manifest["checkpoints"][0]["name"] == "a.pt"
    assert manifest["custom_scores"] == ["agreement"]
    assert [images["split"] for images in manifest["data"]] == ["test", "train"]
    assert str(user) not in json.dumps(manifest)
    assert manifest["config"]["target_layer"] == "1" and manifest["size"] == [16, 16]
    assert manifest["config"]["mean"] == [0.5] and manifest["config"]["std"] == [0.25]
    assert manifest["pruncam"] == metadata.version("pruncam")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(manifest["date"])) < timedelta(hours=1)


def test_a_report_is_written_completely_or_not_at_all(report, page, tmp_path, monkeypatch):
    shutil.copytree(page.parent, tmp_path / "report")
    without_figures, before = dataclasses.replace(report, drawings={}), page.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(html, "render_page", lambda *_: 1 / 0)
        for folder in (tmp_path / "report", tmp_path / "new"):
            with pytest.raises(ZeroDivisionError):
                without_figures.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (tmp_path / "report" / "report.html").read_bytes() == before
    monkeypatch.setattr(html, "render_page", lambda *_: "another")
    (tmp_path / "report" / "figure_old.png").touch()
    assert without_figures.save(tmp_path / "report").read_text() == "another"
    assert not list((tmp_path / "report").glob("figure_*")) and len(list(tmp_path.iterdir())) == 1


# ---------------------------------------------------------------- the command line


def arguments_of(user, out, **others):
    """Return the arguments of `pruncam compare`; None leaves an option out."""
    files = {
        "baseline": user / "a.pt",
        "pruned": user / "b.pt",
        "model": f"{user}/mine.py:network",
        "data": user / "test",
    }
    options = files | {"out": out} | others
    words = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in options.items()
        if value is not None
    ]
    return ["compare", *words, "--seeds", "1", "--mean", "0.5", "--std", "0.25"]


def test_the_command_line_gives_the_same_as_the_function(user, tmp_path, capsys, coarse_figures):
    arguments = arguments_of(
        user,
        tmp_path / "report",
        custom_score=f"{user}/mine.py:agreement",
        custom_cam=f"{user}/mine.py:brightness",
        images=7,
    )
    assert main([*arguments, "--methods", "grad-cam"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"the report is {tmp_path / 'report' / 'report.html'}"
    table = pd.read_csv(tmp_path / "report" / "table_summary.csv")
    assert table["images"].unique().tolist() == [7]
    expected = comparison.compare(
        comparison.load(files_of(user, images=7)),
        settings=comparison.Settings(methods=("grad-cam",), mean=(0.5,), std=(0.25,), seeds=(1,)),
        custom_scores={"agreement": user_code.load_function(f"{user}/mine.py:agreement", "")},
        custom_methods={"brightness": user_code.load_function(f"{user}/mine.py:brightness", "")},
        progress=False,
    )
    pd.testing.assert_frame_equal(table, expected.tables["summary"], check_dtype=False)


def test_several_custom_functions_may_be_passed(user, tmp_path):
    options = comparison.CommandOptions(
        out=tmp_path / "report",
        custom_score=(f"{user}/mine.py:agreement", "elsewhere:agreement"),
    )
    with pytest.raises(ValueError, match="elsewhere cannot be imported"):
        comparison.command(files_of(user), SETTINGS, options)
    twice = dataclasses.replace(options, custom_score=options.custom_score[:1] * 2)
    with pytest.raises(ValueError, match="each custom score must have a different name"):
        comparison.command(files_of(user), SETTINGS, twice)


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["compare", "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    files = ("baseline", "pruned", "model", "data", "out", "train", "size", "images")
    settings = ("mean", "std", "methods", "target-layer", "seeds", "epochs", "lr", "batch-size")
    others = ("resize", "class-map", "weights", "device", "custom-cam", "custom-score")
    others += ("fail-below", "method", "json")
    for option in (*files, *settings, *others):
        assert f"--{option} " in text or f"--{option}\n" in text


@pytest.fixture(scope="module")
def wrong(user, tmp_path_factory):
    """Files that are wrong in one way each, beside good ones."""
    folder = tmp_path_factory.mktemp("wrong")
    torch.save(resnet(3).state_dict(), folder / "resnet.pt")
    five_classes = user_code.load_function(f"{user}/mine.py:network", "")(5)
    torch.save(five_classes.state_dict(), folder / "five.pt")
    torch.save([1, 2], folder / "list.pt")
    torch.save({"epoch": 3, "weights": torch.zeros(1)}, folder / "other.pt")
    torch.save(nn.Linear(3, 2).state_dict(), folder / "linear.pt")
    (folder / "text.pt").write_text("hello")
    (folder / "pickle.pt").write_bytes(pickle.dumps({"a": 1}))
    (folder / "empty").mkdir()
    draw(folder / "two", ("ant", "bee"))
    draw(folder / "large", size=(24, 24), each=1)
    draw(folder / "mixed")
    Image.new("RGB", (9, 9)).save(folder / "mixed" / "bee" / "9.png")
    draw(folder / "corrupt")
    (folder / "corrupt" / "bee" / "2.png").write_bytes(b"no image")
    draw(folder / "hollow")
    (folder / "hollow" / "dog").mkdir()
    draw(folder / "loose")
    Image.new("RGB", (16, 16)).save(folder / "loose" / "x.png")
    (folder / "broken.py").write_text("import nowhere_at_all")
    archive = pack(folder / "two", folder / "complete.zip").read_bytes()
    (folder / "zip.zip").write_bytes(archive[:300])
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("keep me")
    return folder


# Options that are wrong, and the error message; {w} is the folder `wrong`, {u} the folder `user`.
CASES = {
    "no checkpoint": (
        {"baseline": "{w}/none.pt"},
        "no checkpoint .*none.pt: pass a file of torch.save",
    ),
    "a text": ({"pruned": "{w}/text.pt"}, "text.pt cannot be loaded as weights .*; save the wei"),
    "a pickle": (
        {"pruned": "{w}/pickle.pt"},
        "pickle.pt (contains no weights|cannot be loaded as weights)",
    ),
    "a list": ({"pruned": "{w}/list.pt"}, "list.pt contains a list instead of weights"),
    "no state dict": (
        {"pruned": "{w}/other.pt"},
        "other.pt does not fit .*: its weights are named weights, those of the network 0.weight",
    ),
    "no convolution": (
        {"baseline": "{w}/linear.pt", "pruned": "{w}/linear.pt"},
        "linear.pt does not fit .*: its weights are named weight, bias, those of the network",
    ),
    "wrong keys": (
        {"pruned": "{w}/resnet.pt"},
        "resnet.pt does not fit .*:network: its weights are named conv1.weight, .* 0.weight",
    ),
    "other class count": (
        {"pruned": "{w}/five.pt"},
        "the same number of classes, a.pt has 3, five.pt 5",
    ),
    "classes without folders": (
        {"data": "{w}/two"},
        r"has 3 classes, the images have 2 \(ant, bee\)",
    ),
    "other training classes": (
        {"train": "{w}/two"},
        r"the classes of the training images \(ant, bee\) are not those",
    ),
    "no images": ({"data": "{w}/empty"}, "empty holds no images .*: it must have one sub-folder"),
    "no folder": ({"data": "{w}/none"}, "none does not exist: give a folder"),
    "no archive": ({"data": "{w}/text.pt"}, "text.pt cannot be read as a zip or tar"),
    "half a zip": ({"data": "{w}/zip.zip"}, "zip.zip cannot be read"),
    "a corrupt image": (
        {"data": "{w}/corrupt"},
        "corrupt/bee/2.png cannot be read as an image .*: repair",
    ),
    "several sizes": ({"data": "{w}/mixed"}, "9x9.*: pass the size"),
    "an empty class": ({"data": "{w}/hollow"}, "the class 'dog' has no image"),
    "images in no class": ({"data": "{w}/loose"}, "holds x.png outside of the class folders"),
    "no such layer": ({"target_layer": "conv9"}, "the model has no layer 'conv9': did you mean"),
    "a layer without extent": (
        {"target_layer": "4"},
        "target layer '4' must give .* height and width are not known",
    ),
    "a layer of one pixel": (
        {"target_layer": "2"},
        "target layer '2' has maps of a single cell for these images",
    ),
    "an unknown CAM": ({"methods": "cam"}, "unknown CAM method 'cam': choose one of grad-cam"),
    "an unknown family": (
        {"model": "resnet18"},
        "model must be torchvision:resnet18, timm:.* got 'resnet18'",
    ),
    "an unknown network": (
        {"model": "torchvision:resnet19"},
        "unknown torchvision classifier 'resnet19': did you mean resnet18",
    ),
    "an unknown one of ours": (
        {"model": "pruncam:vgg12"},
        "unknown pruncam network 'vgg12': choose one of",
    ),
    "no such file": ({"model": "{w}/none.py:network"}, "there is no file .*none.py"),
    "no such function": ({"model": "{u}/mine.py:net"}, "mine.py has no function 'net'"),
    "no such module": (
        {"model": "nowhere_at_all:net"},
        "nowhere_at_all cannot be imported .ModuleNotFoundError",
    ),
    "a file that fails": (
        {"model": "{w}/broken.py:net"},
        "broken.py cannot be imported .*nowhere_at_all",
    ),
    "a function that needs more": (
        {"model": "{u}/mine.py:needy"},
        "mine.py:needy cannot build a network .*depth",
    ),
    "a function of no network": (
        {"model": "{u}/mine.py:nothing"},
        "nothing must return a torch.nn.Module, got int",
    ),
    "no size": ({"size": "0"}, "size must be at least 1, got 0"),
    "no epochs": ({"epochs": "0"}, "epochs, learning rate"),
    "a custom score without a file": (
        {"custom_score": "agreement"},
        "custom score must be .*FILE.py:function, got 'agreement'",
    ),
    "a folder of something else": (
        {"out": "{w}/mine"},
        "mine exists and is not a report: choose another name",
    ),
}


def modification_times(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if "__pycache__" not in str(path)
    }


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_sentence_and_leaves_no_files(case, user, wrong, capsys):
    options, message = CASES[case]
    options = {name: value.format(w=wrong, u=user) for name, value in options.items()}
    before = modification_times(wrong)
    arguments = arguments_of(user, options.pop("out", wrong / "report"), **options)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("pruncam: ")]
    assert re.search(message, line), line
    assert modification_times(wrong) == before and "Traceback" not in captured.err


def test_images_of_an_unknown_network_need_mean_and_deviation():
    for known in (None, Preprocessing((0.5,) * 3, (0.5,) * 3, "a library")):
        with pytest.raises(ValueError, match="how the 1 channels of .* pass mean and std as in"):
            comparison.Settings().normalisation(1, known)
    with pytest.raises(ValueError, match="mean must have 1 or 3 numbers, one per channel, got 2"):
        comparison.Settings(mean=(0.5, 0.5), std=(1.0,)).normalisation(3)
    for invalid in (
        {"mean": (0.5,)},
        {"mean": (0.5,), "std": (0.0,)},
        {"seeds": (1, 1)},
        {"seeds": ()},
        {"bootstrap": 3},
    ):
        with pytest.raises(ValueError):
            comparison.Settings(**invalid)


NUMBERS = r"-?[\d.e-]*|-?[\d.]+ \[-?[\d.]+, -?[\d.]+\]|-?[\d.]+ to -?[\d.]+"  # or a range


def test_columns_of_words_are_aligned_left_and_those_of_numbers_right(page):
    # The name of the layer is a word, though that of this network is "1".
    text = re.sub(r"<td>1</td>(\s*<td>(?:ReLU|14</td>))", r"<td>first</td>\1", page.read_text())
    tables = re.findall(
        r'<table class="dataframe((?: words\d)*)">.*?<tbody>\s*<tr[^>]*>(.*?)</tr>', text, re.DOTALL
    )
    assert len(tables) == text.count("<table") >= 5
    for classes, row in tables:
        cells = enumerate(re.findall(r"<td>(.*?)</td>", row), start=1)
        words = [number for number, cell in cells if not re.fullmatch(NUMBERS, cell)]
        assert words and [f"words{number}" for number in words] == classes.split()
        for number in words:
            rule = f".words{number} :is(th, td):nth-child({number}) {{ text-align: left }}"
            assert rule in text


# ---------------------------------------------------------------- the example of the notebook


def test_the_example_is_a_digit_classifier_and_written_once(tmp_path):
    files = comparison.example_files(tmp_path / "example")
    pair = comparison.load(files)
    mean, std = comparison.EXAMPLE_MEAN, comparison.EXAMPLE_STD
    normalise = comparison.Settings(mean=(mean,), std=(std,)).normalisation(1)
    x = normalise(pair.images.images / 255)
    assert len(x) == 355 and len(pair.train_images) == 1442
    assert training.accuracy(pair.baseline, x, pair.images.labels) > 0.95
    assert filter_counts(pair.pruned) == [2, 4, 10]
    written = files.baseline.stat().st_mtime_ns
    assert comparison.example_files(tmp_path / "example") == files
    assert files.baseline.stat().st_mtime_ns == written


def test_files_are_those_of_the_user_or_the_example_and_nothing_between(monkeypatch):
    monkeypatch.setattr(example_pair, "example_files", lambda: "the example")
    choose = comparison.files_or_example
    assert choose(None, None, "torchvision:resnet18", None) == "the example"
    complete = choose("a.pt", "b.pt", "pruncam:vgg11", "images", "more")
    assert complete == comparison.Files("a.pt", "b.pt", "pruncam:vgg11", "images", "more")
    with pytest.raises(ValueError, match="baseline, data is None: pass baseline, pruned and data"):
        choose(None, "b.pt", "pruncam:vgg11", None)
    with pytest.raises(ValueError, match="baseline, pruned, data is None:"):
        choose(None, None, "pruncam:vgg11", None, "more")
