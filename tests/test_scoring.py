"""Scoring: rows against heatmaps of the library and formulas written out; inputs, summaries."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from scipy.optimize import linear_sum_assignment
from skimage.metrics import structural_similarity
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

from pruncam import cams, metrics, networks, pruning, scoring, statistics
from pruncam.cams import heatmaps
from pruncam.datasets import catalog
from pruncam.datasets.images import DataError
from pruncam.training import Inputs, Recipe, fit

QUIET = {"progress": False}
CAM = {"methods": ["grad-cam"], "progress": False}


def trained(model, images, labels, epochs=3):
    fit(model, images, labels, Recipe(((epochs, 0.02),), 32), Inputs(), seed=0)
    return model


@pytest.fixture(scope="module")
def digits():
    return catalog.load("digits", "test").first(40)


@pytest.fixture(scope="module")
def baseline():
    train = catalog.load("digits", "train")
    return trained(
        networks.initialize(networks.mnist_net(), "kaiming-normal", 0), train.images, train.labels
    )


@pytest.fixture(scope="module")
def pruned(baseline):
    return pruning.global_unstructured(baseline, 0.7)


@pytest.fixture(scope="module")
def colour():
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(12) % 10


def assert_same(rows, others, tolerance=1e-5):
    pd.testing.assert_frame_equal(rows, others, check_categorical=False, rtol=0, atol=tolerance)


# ---------------------------------------------------------------- what a row says


def by_hand(x, y, c_x, c_y):
    """The scores of one pair of heatmaps, as the papers print them, in NumPy and scikit-image."""
    x, y = x.double().numpy(), y.double().numpy()
    ssim = structural_similarity(x, y, data_range=1)
    cosine = (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
    angle = 1 - math.acos(min(1, cosine)) / (math.pi / 2)
    a, b = x > x.mean(), y > y.mean()
    iou = (a & b).sum() / (a | b).sum()
    variation = max(0, (c_x - c_y) / c_x)
    structure = max(ssim, 0)
    e = 1e-13
    return {
        "ssim": ssim,
        "spectral_angle": angle,
        "sp2ps": 2 * structure * angle / (structure + angle),
        "iou": iou,
        "soft_iou": np.minimum(x, y).sum() / np.maximum(x, y).sum(),
        "confidence_variation": variation,
        "pe": 3 / (1 / (structure + e) + 1 / (iou + e) + 1 / (1 - variation + e)),
    }


def test_every_row_is_what_the_papers_formulas_give_on_the_librarys_heatmaps(
    baseline, pruned, digits
):
    rows = scoring.score(baseline, pruned, digits, progress=False)
    x = digits.images.float() / 255
    with torch.no_grad():
        one, other = baseline(x).softmax(1), pruned(x).softmax(1)
    assert rows["method"].unique().tolist() == list(cams.DEFAULT_METHODS)
    assert (
        rows.groupby("method", observed=True)["image"].apply(list).tolist() == [list(range(40))] * 3
    )
    compared = 0
    for method, part in rows.groupby("method", observed=True):
        a, b = (
            heatmaps(model, x, method=method, engine="grad-cam") for model in (baseline, pruned)
        )
        for k, row in enumerate(part.to_dict("records")):
            top = int(one[k].argmax())
            assert row["baseline_prediction"] == top and row["pruned_prediction"] == int(
                other[k].argmax()
            )
            assert row["label"] == int(digits.labels[k])
            assert row["baseline_confidence"] == pytest.approx(float(one[k, top]), abs=1e-6)
            assert row["pruned_confidence"] == pytest.approx(float(other[k, top]), abs=1e-6)
            if a[k].max() == 0 or b[k].max() == 0:
                continue  # the formulas divide by zero: test_metrics has these cases
            expected = by_hand(a[k], b[k], float(one[k, top]), float(other[k, top]))
            assert {name: row[name] for name in expected} == pytest.approx(expected, abs=2e-3)
            compared += 1
    assert compared > 100


def test_a_model_against_itself_has_every_score_at_its_best(baseline, digits):
    rows = scoring.score(baseline, copy.deepcopy(baseline), digits, progress=False)
    best = rows[["ssim", "spectral_angle", "sp2ps", "iou", "soft_iou", "pe"]]
    assert np.allclose(best, 1, atol=1e-6) and (rows["confidence_variation"] == 0).all()


@pytest.mark.parametrize("of", scoring.CLASS_SOURCES)
def test_the_class_of_the_heatmaps_is_the_one_asked_for(baseline, of):
    digits, pruned = catalog.load("digits", "test"), pruning.global_unstructured(baseline, 0.95)
    x = digits.images.float() / 255
    with torch.no_grad():
        tops = [model(x).argmax(1) for model in (baseline, pruned)]
    assert (tops[0] != tops[1]).any() and (tops[0] != digits.labels).any(), (
        "the three choices do not differ"
    )
    targets = {"own": tops, "baseline": [tops[0]] * 2, "label": [digits.labels] * 2}[of]
    a, b = (
        heatmaps(m, x, method="grad-cam", targets=t)
        for m, t in zip((baseline, pruned), targets, strict=True)
    )
    rows = scoring.score(baseline, pruned, digits, target_class=of, **CAM)
    assert torch.allclose(
        torch.tensor(rows["soft_iou"].to_numpy()), metrics.soft_iou(a, b), atol=1e-6
    )


@pytest.mark.parametrize("of", scoring.CLASS_SOURCES)
def test_the_class_of_the_confidence_is_the_one_asked_for(baseline, pruned, digits, of):
    x = digits.images.float() / 255
    with torch.no_grad():
        one, other = baseline(x).softmax(1), pruned(x).softmax(1)
    confidence_classes = {
        "own": (one.argmax(1), other.argmax(1)),
        "baseline": (one.argmax(1),) * 2,
        "label": (digits.labels,) * 2,
    }
    rows = scoring.score(baseline, pruned, digits, confidence_class=of, **CAM)
    for name, all_of_them, classes in zip(
        ("baseline", "pruned"), (one, other), confidence_classes[of], strict=True
    ):
        expected = all_of_them.gather(1, classes[:, None])[:, 0]
        assert np.allclose(rows[f"{name}_confidence"], expected, atol=1e-6)


def test_several_models_give_what_each_gives_alone_and_the_baseline_runs_once(baseline, digits):
    others = {f"{rate} %": pruning.global_unstructured(baseline, rate / 100) for rate in (80, 20)}
    passed = []
    handle = baseline.fc.register_forward_hook(
        lambda module, inputs, output: passed.append(len(output))
    )
    together = scoring.score_many(baseline, others, digits, **CAM)
    handle.remove()
    assert sum(passed) == 40 + 2, "once for the images, and one image each for layers and outputs"
    assert together["model"].cat.categories.tolist() == ["80 %", "20 %"]
    for name, model in others.items():
        part = together[together["model"] == name].drop(columns="model").reset_index(drop=True)
        assert_same(part, scoring.score(baseline, model, digits, **CAM), 1e-6)


# ---------------------------------------------------------------- what may be scored


def test_tensors_sets_loaders_and_folders_give_the_same_rows(baseline, pruned, digits, tmp_path):
    rows = scoring.score(baseline, pruned, digits, **CAM)
    x = digits.images.float() / 255
    loader = DataLoader(TensorDataset(x, digits.labels), batch_size=7)
    assert_same(scoring.score(baseline, pruned, digits.images, digits.labels, **CAM), rows)
    assert_same(scoring.score(baseline, pruned, x, digits.labels, **CAM), rows)
    assert_same(scoring.score(baseline, pruned, loader, **CAM), rows)
    assert_same(scoring.score(baseline, pruned, iter(list(loader)), **CAM), rows)
    for k, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        folder = tmp_path / str(int(label))
        folder.mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / f"{k:02d}.png")
    grey = scoring.score(baseline, pruned, tmp_path, transform=lambda batch: batch[:, :1], **CAM)
    order = torch.argsort(digits.labels, stable=True).numpy()  # a folder is read class by class
    expected = rows.iloc[order].reset_index(drop=True).assign(image=np.arange(40, dtype=np.int32))
    assert_same(grey, expected)


def test_images_without_labels_are_scored_without_them(baseline, pruned, digits):
    x = digits.images.float() / 255
    rows = scoring.score(baseline, pruned, x, **CAM)
    assert (rows["label"] == -1).all()
    assert_same(scoring.score(baseline, pruned, [x[:9], x[9:]], **CAM), rows)
    assert scoring.summarize(rows)["group"].unique().tolist() == ["all"]


def test_a_transform_is_applied_before_both_models(baseline, pruned, digits):
    inputs = Inputs(mean=0.1307, std=0.3081)
    rows = scoring.score(baseline, pruned, digits, transform=lambda x: (x - 0.1307) / 0.3081, **CAM)
    assert_same(
        scoring.score(baseline, pruned, inputs.normalize(digits.images), digits.labels, **CAM),
        rows,
    )


def test_pieces_are_the_whole_whatever_their_size(baseline, pruned, digits, monkeypatch):
    rows = scoring.score(baseline, pruned, digits, progress=False)
    monkeypatch.setattr("pruncam.datasets.images._BATCH_VALUES", 784 * 9)
    pieces = list(scoring.stream(baseline, {"pruned": pruned}, digits, progress=False))
    assert [len(piece) for piece in pieces] == [27, 27, 27, 27, 12]
    assert_same(scoring.score(baseline, pruned, digits, progress=False), rows)


def test_batches_of_another_size_of_image_are_scored_too(baseline, pruned, digits):
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    model.extend([nn.Flatten(), nn.Linear(4, 10)])
    small, large = digits.images[:4], digits.images[4:8].repeat(1, 1, 2, 2)
    batches = [(small, digits.labels[:4]), (large, digits.labels[4:8])]
    changed = pruning.global_unstructured(model, 0.5)
    rows = scoring.score(model, changed, batches, progress=False)
    alone = scoring.score(model, changed, large / 255, digits.labels[4:8], progress=False)
    second = rows[rows["image"] >= 4].reset_index(drop=True)
    assert_same(second.assign(image=alone["image"]), alone)


def test_a_stream_holds_one_piece_at_a_time(baseline, pruned, digits):
    x, requested = digits.images.float() / 255, []

    def endless():
        while True:
            requested.append(len(requested))
            yield x, digits.labels

    pieces = scoring.stream(baseline, {"pruned": pruned}, endless(), **CAM)
    received = [next(pieces) for _ in range(3)]
    assert len(requested) == 3
    assert [piece["image"].min() for piece in received] == [0, 40, 80]


def small_resnet():
    torch.manual_seed(3)
    model = torchvision.models.resnet18(num_classes=10)
    with torch.no_grad():  # statistics of a network that has seen something
        model.train()(torch.rand(16, 3, 32, 32))
    return model.eval()


def cut_by_torch_pruning(model, images):
    tp = pytest.importorskip("torch_pruning")
    model = copy.deepcopy(model)
    ignored = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    pruner = tp.pruner.MagnitudePruner(
        model,
        images[:1],
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=ignored,
    )
    pruner.step()
    return model.eval()


def held_by_pytorch(model, images):
    model = copy.deepcopy(model)
    layers = [
        (layer, "weight") for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=0.6)
    return model


MADE = {
    "torch.nn.utils.prune": held_by_pytorch,
    "Torch-Pruning": cut_by_torch_pruning,
    "float64": lambda model, images: pruning.global_unstructured(model, 0.6).double(),
    "bfloat16": lambda model, images: pruning.global_unstructured(model, 0.6).bfloat16(),
}


@pytest.mark.parametrize(
    "network", [small_resnet, lambda: networks.cifar_net(width=8).eval()], ids=["resnet18", "cifar"]
)
@pytest.mark.parametrize("way", MADE)
def test_models_pruned_elsewhere_are_scored_as_the_library_sees_them(network, way, colour):
    baseline, (images, labels) = network(), colour
    pruned = MADE[way](baseline, images)
    # Of the labels: where two classes are almost equal, rounding decides which one is on top.
    rows = scoring.score(baseline, pruned, images, labels, target_class="label", **CAM)
    x = heatmaps(baseline, images, method="grad-cam", targets=labels, engine="grad-cam")
    # The library has no bfloat16: it gets the rounded weights in float32, which compute with more
    # digits.
    rounded, tolerance = (pruned.float(), 0.1) if way == "bfloat16" else (pruned, 1e-4)
    y = heatmaps(rounded, images, method="grad-cam", targets=labels, engine="grad-cam")
    assert not cams.is_empty(x).all() and not cams.is_empty(y).all()
    assert np.allclose(rows["soft_iou"], metrics.soft_iou(x, y), atol=tolerance)
    assert rows[list(metrics.SCORES)].notna().all().all()


def test_models_pruned_by_pytorch_equal_the_same_masks_of_ours(colour):
    model, (images, labels) = networks.cifar_net(width=8).eval(), colour
    theirs, ours = held_by_pytorch(model, images), pruning.global_unstructured(model, 0.6)
    assert_same(
        scoring.score(model, theirs, images, labels, progress=False),
        scoring.score(model, ours, images, labels, progress=False),
    )


# ---------------------------------------------------------------- summaries


@pytest.fixture(scope="module")
def rows(baseline):
    test = catalog.load("digits", "test")
    others = {f"{rate} %": pruning.global_unstructured(baseline, rate / 100) for rate in (60, 90)}
    return scoring.score_many(
        baseline, others, test, methods=["grad-cam", "grad-cam++"], progress=False
    )


def cell(summary, group, score="pe", model="90 %", method="grad-cam"):
    key = {"group": group, "score": score, "model": model, "method": method}
    matches = [summary[name] == value for name, value in key.items()]
    row = summary[np.logical_and.reduce(matches)]
    assert len(row) == 1
    return row.iloc[0]


def test_a_summary_has_the_means_of_every_group(rows):
    summary = scoring.summarize(rows, samples=200)
    part = rows[(rows["model"] == "90 %") & (rows["method"] == "grad-cam")]
    correct = part["label"] == part["pruned_prediction"]
    groups = {
        "all": correct | ~correct,
        "correct": correct,
        "incorrect": ~correct,
        "class 3": part["label"] == 3,
    }
    for group, chosen in groups.items():
        row = cell(summary, group)
        assert row["images"] == chosen.sum() > 0
        assert row["mean"] == pytest.approx(part.loc[chosen, "pe"].mean(), abs=1e-6)
        assert row["low"] <= row["mean"] <= row["high"] and row["low"] < row["high"]
    assert len(summary) == 2 * 2 * 7 * (4 + 10)
    assert cell(summary, "class weighted")["mean"] == pytest.approx(part["pe"].mean(), abs=1e-6)


def test_the_class_weighting_is_the_pe_papers(rows):
    counts = [100, 50, 100, 100, 200, 50, 50, 100, 150, 100]  # the paper's M
    part = rows[(rows["model"] == "90 %") & (rows["method"] == "grad-cam")]
    weights = [0.1, 0.05, 0.1, 0.1, 0.2, 0.05, 0.05, 0.1, 0.15, 0.1]  # and its W
    expected = sum(w * part.loc[part["label"] == k, "pe"].mean() for k, w in enumerate(weights))
    row = cell(scoring.summarize(rows, counts=counts, samples=100), "class weighted")
    assert row["mean"] == pytest.approx(expected, abs=1e-6)


def test_the_interval_of_all_images_is_that_of_a_plain_bootstrap(rows):
    part = rows[(rows["model"] == "60 %") & (rows["method"] == "grad-cam++")]
    expected = statistics.bootstrap_mean(part["sp2ps"], samples=300, seed=4)
    row = cell(scoring.summarize(rows, samples=300, seed=4), "all", "sp2ps", "60 %", "grad-cam++")
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))


def test_rows_of_one_model_are_summarized_without_its_name(rows):
    one = rows[rows["model"] == "60 %"].drop(columns="model")
    assert scoring.summarize(one, samples=100).columns.tolist()[:3] == ["method", "group", "images"]


# ---------------------------------------------------------------- empty maps


def last_weights(*values):
    """Return a network of one ReLU'd channel, the image itself, and two classes.

    A class of negative weight has no positive evidence: its Grad-CAM map is all zero.
    """
    convolution, linear = nn.Conv2d(1, 1, 1), nn.Linear(1, 2)
    with torch.no_grad():
        convolution.weight.fill_(1)
        convolution.bias.zero_()
        linear.weight.copy_(torch.tensor(values)[:, None])
        linear.bias.copy_(torch.tensor([1.0, 0.0]))  # class 0 has the higher logit: below 1
    return nn.Sequential(
        convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear
    ).eval()


@pytest.fixture(scope="module")
def partly_empty():
    """Rows of four images, two of them constant, of two networks.

    The map of an image is the image itself, and empty where it is constant; in "blind" all are.
    """
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[2:] = 0.5
    models = {"same": last_weights(0.5, 0.0), "blind": last_weights(-0.5, 0.0)}
    labels = torch.tensor([0, 1, 1, 1])
    return scoring.score_many(last_weights(0.5, 0.0), models, images, labels, **CAM)


def test_rows_say_which_maps_are_empty(partly_empty):
    of_model = partly_empty.groupby("model", observed=True)
    assert of_model["baseline_empty"].apply(list).to_dict() == {
        "same": [False, False, True, True],
        "blind": [False, False, True, True],
    }
    assert of_model["pruned_empty"].apply(list).to_dict() == {
        "same": [False, False, True, True],
        "blind": [True] * 4,
    }
    # The defined scores: two empty maps 1, one empty 0.
    assert partly_empty["soft_iou"].tolist() == [1, 1, 1, 1, 0, 0, 1, 1]
    columns = partly_empty.columns.tolist()
    assert columns[columns.index("pe") + 1 :][:2] == list(scoring.EMPTY_COLUMNS)


def test_a_summary_counts_empty_maps_and_has_the_mean_without_them(partly_empty):
    # In "same", the scores of the two images with maps are made different.
    rows = partly_empty.assign(s=[0.2, 0.6, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    summary = scoring.summarize(rows, scores=["s"], samples=100)

    def values(model, group):
        row = cell(summary, group, "s", model)
        return [row[name] for name in ("mean", "mean_nonempty", *scoring.EMPTY_COLUMNS)]

    assert values("same", "all") == pytest.approx([0.7, 0.4, 0.5, 0.5])
    assert values("same", "class 0") == pytest.approx([0.2, 0.2, 0, 0])
    assert values("same", "class 1") == pytest.approx([2.6 / 3, 0.6, 2 / 3, 2 / 3])
    assert values("blind", "all") == pytest.approx([0.5, math.nan, 0.5, 1], nan_ok=True)


def test_the_class_weighted_group_weighs_empty_maps_too(partly_empty):
    rows = partly_empty.assign(s=[0.2, 0.6, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    summary = scoring.summarize(rows, scores=["s"], counts=[20, 80], samples=100)
    row = cell(summary, "class weighted", "s", "same")
    # Each image of class 1 stands for 0.8 / 3 of the test set, the one of class 0 for 0.2.
    share = 0.8 / 3
    assert row["mean"] == pytest.approx(0.2 * 0.2 + share * 2.6)
    assert row["mean_nonempty"] == pytest.approx((0.2 * 0.2 + share * 0.6) / (0.2 + share))
    assert row["baseline_empty"] == pytest.approx(2 * share)


def test_the_controls_carry_their_empty_maps(partly_empty):
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    baseline = last_weights(0.5, 0.0)
    floor = scoring.noise_floor(baseline, lambda model, seed: model, images, seeds=[1], **CAM)
    chance = scoring.chance_level(baseline, images, seeds=range(20), **CAM)
    assert not floor[list(scoring.EMPTY_COLUMNS)].any().any()
    assert not chance["baseline_empty"].any()
    assert 0 < chance["pruned_empty"].mean() < 1


def test_a_custom_map_that_is_constant_is_empty():
    model, images = last_weights(0.5, 0.0), torch.rand(2, 1, 8, 8)
    constant = {"grey": lambda model, images, layer, targets: torch.full((2, 8, 8), 0.5)}
    rows = scoring.score(model, copy.deepcopy(model), images, custom_methods=constant, **CAM)
    empty = rows.groupby("method", observed=True)["pruned_empty"].all()
    assert empty.to_dict() == {"grad-cam": False, "grey": True}


# ---------------------------------------------------------------- controls


def test_fine_tuning_that_changes_nothing_leaves_every_score_at_its_best(baseline, digits):
    rows = scoring.noise_floor(baseline, lambda model, seed: None, digits, seeds=[1, 2], **CAM)
    names = ["fine-tuned, not pruned 1", "fine-tuned, not pruned 2"]
    assert rows["model"].cat.categories.tolist() == names
    assert np.allclose(rows["sp2ps"], 1, atol=1e-6)


def test_the_noise_floor_lies_above_the_chance_level(baseline, digits):
    before = copy.deepcopy(baseline.state_dict())
    train = catalog.load("digits", "train").first(200)
    recipe, seeds = Recipe(((1, 0.001),), 32), []

    def finetune(model, seed):
        seeds.append(seed)
        fit(model, train.images, train.labels, recipe, Inputs(), seed=seed)

    floor = scoring.noise_floor(baseline, finetune, digits, seeds=[5, 6], **CAM)
    chance = scoring.chance_level(baseline, digits, seeds=[5, 6], **CAM)
    assert seeds == [5, 6]
    assert floor["soft_iou"].mean() > chance["soft_iou"].mean() + 0.2
    by_seed = floor.groupby("model", observed=True)["soft_iou"].mean()
    assert by_seed.iloc[0] != by_seed.iloc[1] and by_seed.max() < 1
    assert all(torch.equal(value, before[name]) for name, value in baseline.state_dict().items())
    again = scoring.chance_level(baseline, digits, seeds=[5, 6], **CAM)
    assert_same(chance, again, 0)


def test_the_chance_level_scores_the_random_controls(baseline, digits):
    models = scoring.random_controls(baseline, [5, 6])
    assert list(models) == ["random weights 5", "random weights 6"]
    assert not any(model.training for model in models.values())
    chance = scoring.chance_level(baseline, digits, seeds=[5, 6], **CAM)
    assert_same(scoring.score_many(baseline, models, digits, **CAM), chance, 0)
    one = scoring.random_control(baseline, 6)
    assert torch.equal(one.conv1.weight, models["random weights 6"].conv1.weight)
    assert not torch.equal(one.conv1.weight, models["random weights 5"].conv1.weight)


def test_shuffled_maps_are_compared_with_those_of_another_image_each(baseline, digits):
    images = digits.images.float() / 255
    maps = heatmaps(baseline, images, method="grad-cam")
    with_maps = ~cams.is_empty(maps)  # empty maps are all alike
    maps = maps[with_maps]
    rows = scoring.shuffled_level(baseline, images[with_maps], seed=3, **CAM)
    assert rows["model"].unique().tolist() == ["maps of other images"]
    assert rows["image"].tolist() == list(range(len(maps)))
    distances = []
    for image, row in enumerate(rows.itertuples()):
        here = maps[image].expand_as(maps)
        pairs = torch.stack([metrics.ssim(here, maps), metrics.soft_iou(here, maps)])
        distances.append((pairs - torch.tensor([[row.ssim], [row.soft_iou]])).abs().sum(0))
    cost = torch.stack(distances).fill_diagonal_(torch.inf)  # no map is compared with itself
    assert (cost < 1e-5).any(dim=1).all()
    # Alike maps may stand for each other, but every map is used once.
    assignment = linear_sum_assignment(cost.clamp(max=10))
    assert cost[assignment].max() < 1e-5


def test_shuffled_maps_leave_predictions_and_confidences_of_the_image(baseline, digits):
    rows = scoring.shuffled_level(baseline, digits, seed=3, **CAM)
    unchanged = scoring.score(baseline, copy.deepcopy(baseline), digits, **CAM)
    columns = ["label", "baseline_prediction", "pruned_prediction", "baseline_confidence"]
    pd.testing.assert_frame_equal(rows[columns], unchanged[columns])
    assert (rows["confidence_variation"] == 0).all()
    assert rows["sp2ps"].mean() < unchanged["sp2ps"].mean() - 0.2


def test_two_images_exchange_their_maps(baseline, digits):
    pair = digits.first(2)
    rows = scoring.shuffled_level(baseline, pair, seed=0, **CAM)
    x = heatmaps(baseline, pair.images.float() / 255, method="grad-cam")
    assert rows["ssim"].tolist() == pytest.approx(metrics.ssim(x, x.flip(0)).tolist(), abs=1e-5)
    assert rows["iou"].tolist() == pytest.approx(metrics.iou(x, x.flip(0)).tolist(), abs=1e-5)


def test_the_seed_alone_decides_which_maps_are_shuffled(baseline, digits):
    rows = scoring.shuffled_level(baseline, digits, seed=3, **CAM)
    in_batches = scoring.shuffled_level(baseline, digits, seed=3, batch_size=7, **CAM)
    assert_same(rows, in_batches)
    other = scoring.shuffled_level(baseline, digits, seed=4, **CAM)
    assert not np.allclose(rows["ssim"], other["ssim"])


def test_one_image_has_no_other_to_be_compared_with(baseline, digits):
    with pytest.raises(ValueError, match="shuffled maps need two images or more, got fewer"):
        scoring.shuffled_level(baseline, digits.first(1), seed=0, **CAM)


def test_fine_tuned_controls_are_trained_one_by_one_or_by_another_map(baseline):
    seeds = []

    def finetune(model, seed):
        seeds.append(seed)
        model.fc.bias.data.add_(seed)

    def backwards(function, tasks):
        return [function(task) for task in reversed(tasks)][::-1]

    models = scoring.fine_tuned_controls(baseline, finetune, [3, 4])
    others = scoring.fine_tuned_controls(baseline, finetune, [3, 4], run=backwards)
    assert seeds == [3, 4, 4, 3]
    assert list(models) == ["fine-tuned, not pruned 3", "fine-tuned, not pruned 4"]
    for name, seed in zip(models, (3, 4), strict=True):
        for model in (models[name], others[name]):
            assert torch.equal(model.fc.bias, baseline.fc.bias + seed)


def test_a_randomised_network_has_nothing_of_the_old_one():
    model = pruning.global_unstructured(small_resnet(), 0.5)
    state = torch.random.get_rng_state()
    fresh, other = networks.randomized(model, 1), networks.randomized(model, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not pruning.masks(fresh) and pruning.masks(model)
    assert fresh.bn1.running_mean.eq(0).all() and not model.bn1.running_mean.eq(0).all()
    for layer in ("conv1", "fc"):
        weights = [getattr(m, layer).weight for m in (model, fresh, other)]
        assert all(
            (a != b).float().mean() > 0.9
            for a, b in zip(weights, weights[1:] + weights[:1], strict=True)
        )
    torch.manual_seed(0)
    like_new = nn.Conv2d(3, 64, 7, bias=False).weight
    assert fresh.conv1.weight.std().item() == pytest.approx(like_new.std().item(), rel=0.05)


def test_parameters_without_a_rule_get_their_own_values_in_random_order():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.values = nn.Parameter(torch.arange(60.0).view(1, 20, 3))

    model = nn.Sequential(nn.Conv2d(1, 1, 3), Positions())
    fresh, again, other = (networks.randomized(model, seed)[1].values for seed in (1, 1, 2))
    assert torch.equal(fresh, again) and fresh.shape == (1, 20, 3)
    for values in (fresh, other):
        assert torch.equal(values.flatten().sort().values, torch.arange(60.0))
        assert (values != model[1].values).float().mean() > 0.9
    assert (fresh != other).float().mean() > 0.9
    assert torch.equal(model[1].values.flatten(), torch.arange(60.0))


# ---------------------------------------------------------------- what is refused

NET = networks.mnist_net()
SAME = copy.deepcopy(NET)
SMALL = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(9, 2))
X = torch.rand(4, 1, 28, 28)


def outputs_of(count, *last):
    """Return two networks with this number of outputs, as the arguments of `score`."""
    layers = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(32, count), *last)
    return model, copy.deepcopy(model), X


REFUSED = {
    "one network twice": (
        (NET, NET, X),
        {},
        ValueError,
        "the baseline and 'pruned' are the same object, .* prune a copy",
    ),
    "one network twice, once in a wrapper": (
        (NET, nn.DataParallel(NET), X),
        {},
        ValueError,
        "the baseline and 'pruned' are the same object",
    ),
    "labels that do not exclude each other": (
        outputs_of(3, nn.Sigmoid()),
        {},
        ValueError,
        r"ends in a sigmoid over 3 labels .*two_classes\(p\[:, k\].logit\(\)\)",
    ),
    "such labels, frozen, under a flattening": (
        [net.requires_grad_(False) for net in outputs_of(3, nn.Sigmoid(), nn.Flatten())],
        {},
        ValueError,
        "ends in a sigmoid over 3 labels",
    ),
    "a single logit": (
        outputs_of(1),
        {},
        ValueError,
        "a single output, .* score both classes, with output=cams.two_classes",
    ),
    "the sigmoid of a single logit": (
        outputs_of(1, nn.Sigmoid()),
        {},
        ValueError,
        r"a single output, .* with output=lambda p: cams.two_classes\(p.logit\(\)\)",
    ),
    "a tensor of another shape": (
        (NET, SAME, X[0]),
        {},
        ValueError,
        "images must be a tensor \\(N, C, H, W\\)",
    ),
    "no image": ((NET, SAME, X[:0]), {}, ValueError, "not empty, got \\(0, 1, 28, 28\\)"),
    "a pair instead of two arguments": (
        (NET, SAME, (X, torch.zeros(4))),
        {},
        TypeError,
        "are two arguments, got",
    ),
    "an array": ((NET, SAME, X.numpy()), {}, TypeError, "got ndarray: use torch.as_tensor"),
    "labels that are words": (
        (NET, SAME, X, "abcd"),
        {},
        TypeError,
        "labels must be class indices, got 'abcd'",
    ),
    "labels below 0": (
        (NET, SAME, X, torch.tensor([0, 1, -1, 2])),
        {},
        ValueError,
        "class indices from 0, got -1",
    ),
    "labels beyond the classes, unasked": (
        (NET, SAME, X, torch.full((4,), 100)),
        {},
        ValueError,
        "labels must be classes 0 to 9 of the models, got 100",
    ),
    "a method instead of a list": (
        (NET, SAME, X),
        {"methods": "grad-cam"},
        ValueError,
        "methods must be a list of",
    ),
    "no method": (
        (NET, SAME, X),
        {"methods": None},
        ValueError,
        "methods must be a list of one or more",
    ),
    "a method twice": (
        (NET, SAME, X),
        {"methods": ["grad-cam"] * 2},
        ValueError,
        "methods must be different",
    ),
    "an unknown option": (
        (NET, SAME, X),
        {"method": "grad-cam"},
        TypeError,
        "unknown option method: choose",
    ),
    "a loader without the labels that are needed": (
        (NET, SAME, [X]),
        {"target_class": "label"},
        ValueError,
        "target_class='label' requires labels",
    ),
    "an empty loader": ((NET, SAME, []), {}, ValueError, "there is no image to score"),
    "a batch of something else": (
        (NET, SAME, [("a", "b")]),
        {},
        ValueError,
        "batch 0 must be images .* got str",
    ),
    "a number": ((NET, SAME, 5), {}, TypeError, "images must be a tensor .* got int"),
    "labels of another length": (
        (NET, SAME, X, torch.zeros(3).long()),
        {},
        ValueError,
        "4 images, got .*\\(3,\\)",
    ),
    "labels that are no indices": (
        (NET, SAME, X, torch.zeros(4)),
        {},
        ValueError,
        "one class index .* torch.float32",
    ),
    "labels beside a loader": (
        (NET, SAME, [X], torch.zeros(4).long()),
        {},
        TypeError,
        "labels go with a tensor",
    ),
    "labels beyond the classes": (
        (NET, SAME, X, torch.full((4,), 10)),
        {"confidence_class": "label"},
        ValueError,
        "labels must be classes 0 to 9",
    ),
    "no labels to take the class from": (
        (NET, SAME, X),
        {"target_class": "label"},
        ValueError,
        "target_class='label' requires labels",
    ),
    "no labels to take the confidence from": (
        (NET, SAME, X),
        {"confidence_class": "label"},
        ValueError,
        "confidence_class='label' requires labels",
    ),
    "an unknown class": (
        (NET, SAME, X),
        {"target_class": "true"},
        ValueError,
        "unknown target class 'true'",
    ),
    "an unknown confidence": (
        (NET, SAME, X),
        {"confidence_class": "x"},
        ValueError,
        "unknown confidence class 'x'",
    ),
    "an unknown method": ((NET, SAME, X), {"methods": ["cam"]}, ValueError, "'cam'"),
    "an unknown layer": ((NET, SAME, X), {"target_layer": "conv9"}, ValueError, "no layer 'conv9'"),
    "a layer object": (
        (NET, SAME, X),
        {"target_layer": NET.conv1},
        TypeError,
        "target_layer must be a dotted name",
    ),
    "a transform that is none": (
        (NET, SAME, X),
        {"transform": 3},
        TypeError,
        "transform must be a function",
    ),
    "a transform that loses images": (
        (NET, SAME, X),
        {"transform": lambda x: x[:2]},
        ValueError,
        "transform must give a batch of as many images",
    ),
    "no baseline": (
        ("vgg11", NET, X),
        {},
        TypeError,
        "baseline must be a torch.nn.Module, got str",
    ),
    "no pruned model": (
        (NET, {"a": NET}, X),
        {},
        TypeError,
        "pruned must be a torch.nn.Module, got dict",
    ),
    "images too small for SSIM": (
        (SMALL, copy.deepcopy(SMALL), X[..., :5, :5]),
        {},
        ValueError,
        "7",
    ),
    "other classes": (
        (NET, nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(676, 2)), X),
        {},
        ValueError,
        "the same classes, got 10 and 2",
    ),
    "images that are not finite": ((NET, SAME, X * math.nan), {}, ValueError, "finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_refused_in_one_sentence(case):
    arguments, options, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as caught:
        scoring.score(*arguments, **(CAM | options))
    assert "\n" not in str(caught.value)


def test_a_label_among_several_is_scored_as_two_classes():
    plain, sigmoid = (outputs_of(3, *last)[0] for last in ((), (nn.Sigmoid(),)))
    sigmoid.load_state_dict(plain.state_dict())
    with torch.no_grad():
        expected = plain(X)[:, 1].sigmoid()
    tables = [
        scoring.score(model, copy.deepcopy(model), X, **CAM, output=output)
        for model, output in (
            (plain, lambda z: cams.two_classes(z[:, 1])),
            (sigmoid, lambda p: cams.two_classes(p[:, 1].logit())),
        )
    ]
    for rows in tables:
        confidences = torch.maximum(expected, 1 - expected)
        assert np.allclose(rows["baseline_confidence"], confidences, atol=1e-6)
        assert rows["baseline_prediction"].tolist() == (expected > 0.5).long().tolist()


def test_a_network_that_ends_in_softmax_has_its_own_probabilities():
    plain, _, _ = outputs_of(3)
    plain[4].weight.data.mul_(40)
    pruned = pruning.global_unstructured(plain, 0.5)
    rows = scoring.score(*(nn.Sequential(*net, nn.Softmax(1)) for net in (plain, pruned)), X, **CAM)
    with torch.no_grad():
        before, after = plain(X).softmax(1), pruned(X).softmax(1)
    confidence, top = before.max(1)
    assert confidence.max() > 0.6, "a second softmax of three classes gives 0.58 at most"
    assert np.allclose(rows["baseline_confidence"], confidence, atol=1e-5)
    assert np.allclose(rows["pruned_confidence"], after.gather(1, top[:, None])[:, 0], atol=1e-5)


def test_several_models_must_be_a_dict_of_models():
    cases = (
        ({}, "not empty"),
        ([NET], "dict of models"),
        ({None: NET}, "by name"),
        ({"a": 1}, "pruned model 'a' must"),
    )
    for models_, message in cases:
        with pytest.raises(TypeError, match=message):
            scoring.score_many(NET, models_, X, **QUIET)


def test_folders_that_do_not_hold_classes_of_pictures_are_refused(tmp_path):
    with pytest.raises(
        DataError, match="nowhere does not exist: give a folder, zip or tar of images"
    ):
        scoring.score(NET, SAME, tmp_path / "nowhere", **CAM)
    (tmp_path / "a").mkdir()
    with pytest.raises(
        DataError, match="holds no images .*: it must have one sub-folder for each class"
    ):
        scoring.score(NET, SAME, str(tmp_path), **CAM)
    for k, size in enumerate((28, 30)):
        Image.new("RGB", (size, size)).save(tmp_path / "a" / f"{k}.png")
    with pytest.raises(
        ValueError, match="must have one size, got 28x28 and 30x30 .*a/1.png.: pass DataLoader"
    ):
        scoring.score(NET, SAME, tmp_path, **CAM)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"a.0.png cannot be read as an image .*: repair, replace or remove it"
    ):
        scoring.score(NET, SAME, tmp_path, **CAM)
    with pytest.raises(DataError, match="must be a path, got an empty one"):
        scoring.score(NET, SAME, "", **CAM)


def test_what_does_not_fit_is_refused_before_anything_is_fine_tuned(baseline, digits):
    def finetune(model, seed):
        pytest.fail("something was trained")

    for images, options in (
        (None, {}),
        (digits, {"target_class": "zz"}),
        (digits, {"methods": "grad-cam"}),
    ):
        with pytest.raises((TypeError, ValueError)):
            scoring.noise_floor(baseline, finetune, images, seeds=[1, 2], **options)
    with pytest.raises(
        TypeError, match="finetune must be a function of a model and a seed, got int"
    ):
        scoring.noise_floor(baseline, 3, digits, seeds=[1])


def test_a_fine_tuned_model_may_be_returned(baseline, digits):
    other = networks.randomized(baseline, 3)
    rows = scoring.noise_floor(baseline, lambda model, seed: other, digits, seeds=[1], **CAM)
    assert rows["soft_iou"].mean() < 0.99


def test_a_model_that_pytorch_holds_masks_on_says_how_to_go_on(colour):
    model = held_by_pytorch(networks.cifar_net(width=8).eval(), colour[0])
    model(colour[0])  # from now on it cannot be copied
    for call in (
        lambda: scoring.chance_level(model, *colour, seeds=[1], **CAM),
        lambda: scoring.noise_floor(model, lambda *_: None, *colour, seeds=[1], **CAM),
        lambda: pruning.global_unstructured(model, 0.5),
        lambda: pruning.lottery_step(model),
        lambda: pruning.make_permanent(model),
    ):
        with pytest.raises(
            ValueError, match="prune holds the weights of 'features.0': make them permanent first"
        ):
            call()
    assert pruning.masks(model) == {} and pruning.sparsity(model) == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("seeds", [[], [1, 1], 3, [[1]], [2**70], [-1]])
def test_seeds_must_be_different_numbers(seeds, baseline, digits):
    with pytest.raises(
        ValueError, match=r"seeds must be different whole numbers from 0 to .*, one or more"
    ):
        scoring.chance_level(baseline, digits, seeds=seeds, **CAM)


def test_a_summary_needs_rows_and_counts_that_fit(rows):
    with pytest.raises(ValueError, match="these have no column method, pe"):
        scoring.summarize(rows.drop(columns=["method", "pe"]))
    with pytest.raises(ValueError, match="these have no row"):
        scoring.summarize(rows.iloc[:0])
    for counts in ([1] * 9, [1] * 11, [0] + [1] * 9):
        with pytest.raises(ValueError, match="a number for every class"):
            scoring.summarize(rows, counts=counts, samples=100)
    for counts in ([math.inf] * 10, ["a"] * 10, {1: 2}):
        with pytest.raises(ValueError, match="counts must be the number of images of each class"):
            scoring.summarize(rows, counts=counts, samples=100)
    with pytest.raises(TypeError, match="a DataFrame, got list"):
        scoring.summarize([1])
    with pytest.raises(ValueError, match="pe has NaN or infinite rows"):
        scoring.summarize(rows.assign(pe=math.nan))
    with pytest.raises(ValueError, match="needs whole labels, .* got float64"):
        scoring.summarize(rows.assign(label=1.5))
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to .*, got -1"):
        scoring.summarize(rows, seed=-1)
