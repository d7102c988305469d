"""Calls drawn from a fixed seed end in a result or a clear sentence; nonsense is refused."""

import io
import math
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.torture import calls
from benchmarks.torture.call_catalogue import FUNCTIONS, Function, within
from benchmarks.torture.call_values import Kind, constants, network, rate_table, score_rows
from pruncam import cams, comparison, scoring, training
from pruncam.cams.gradients import grad_cam_plusplus_weights
from pruncam.cams.postprocess import to_heatmaps
from pruncam.datasets import DataError, image_folder
from pruncam.studies.pe_score import choose_rate
from pruncam.studies.sweeps import safe_rate

SLOW = (
    "comparison.",
    "scoring.noise_floor",
    "scoring.chance_level",
    "cams.road",
    "pruning.remove_filters",
    "training.fit",
)
FAST = [function for function in FUNCTIONS if not function.name.startswith(SLOW)]
IMAGES, LABELS = torch.rand(4, 1, 12, 12), torch.tensor([0, 1, 2, 1])


# ---------------------------------------------------------------- drawn calls


def test_a_few_hundred_drawn_calls_end_clearly():
    drawn = calls.drawn_calls(2026, 300, FAST)
    verdicts = {str(call): calls.judge(call) for call in drawn}
    faults = {
        text: verdict
        for text, verdict in verdicts.items()
        if verdict.kind not in (calls.CLEAR, calls.ACCEPTED)
    }
    assert not faults
    kinds = [verdict.kind for verdict in verdicts.values()]
    assert min(kinds.count(calls.CLEAR), kinds.count(calls.ACCEPTED)) > 60


def test_the_same_seed_draws_the_same_calls():
    first, again = (list(map(str, calls.drawn_calls(3, 20))) for _ in range(2))
    assert first == again


def judged(function, **promise):
    """Return the verdict on a call of a function of one argument, `size`."""
    call = Function("tried", function, {"size": Kind(constants(3), {})}, **promise)
    return calls.judge(calls.Call(call, {"size": ("3", lambda: 3)}, is_likely=True)).kind


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda size: training.Recipe(((1, 0.1),), size), calls.ACCEPTED),
        (lambda size: training.Recipe(size, 2), calls.CLEAR),  # "... such as (...), got 3"
        (lambda size: size.missing, calls.RAW),
        (lambda size: torch.zeros(size) @ torch.zeros(4), calls.RAW),
        (lambda size: math.sqrt(-size), calls.RAW),  # a ValueError, but not of pruncam
    ],
)
def test_errors_of_pruncam_are_told_from_those_of_libraries(function, kind):
    assert judged(function) == kind


def test_a_result_outside_its_range_is_wrong():
    assert judged(lambda size: torch.tensor([0.5]), promise=within(0, 1)) == calls.ACCEPTED
    assert judged(lambda size: torch.tensor([1.5]), promise=within(0, 1)) == calls.WRONG
    assert judged(lambda size: torch.tensor([math.nan]), promise=within(0, 1)) == calls.WRONG


# ---------------------------------------------------------------- nonsense that was accepted


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [-1, 0, 1, 2], [100, 0, 0, 0]])
def test_accuracy_refuses_labels_outside_the_classes(labels):
    with pytest.raises(ValueError, match=r"labels must be classes of the model, 0 to 2, got"):
        training.accuracy(network(), IMAGES, torch.tensor(labels))


def test_a_rate_is_not_chosen_from_pe_in_percent():
    table = rate_table()
    with pytest.raises(ValueError, match=r"needs pe in \[0, 1\], got 60 to 97: divide"):
        choose_rate(table.assign(pe=100 * table["pe"]))


@pytest.mark.parametrize("drop", [250.0, -1e6])
def test_a_rate_is_not_chosen_from_losses_beyond_100_points(drop):
    table = rate_table()
    with pytest.raises(ValueError, match="points of accuracy, from -100 to 100"):
        choose_rate(table.assign(acc_drop=[0.1, 0.5, drop]))
    sweep = table.assign(dataset="a", csg=1.0, acc_drop=[0.1, 0.5, drop])
    with pytest.raises(ValueError, match="points of accuracy, from -100 to 100"):
        safe_rate(sweep, csg=1.0)


def test_images_that_come_twice_do_not_count_twice():
    rows = score_rows()
    with pytest.raises(ValueError, match="image 0 comes twice, drop the duplicates or tell"):
        scoring.summarize(pd.concat([rows, rows]), samples=100)
    with pytest.raises(ValueError, match="'pe' comes twice"):
        scoring.summarize(pd.concat([rows, rows[["pe"]]], axis=1), samples=100)
    both = pd.concat([rows.assign(model="a"), rows.assign(model="b")])
    table = scoring.summarize(both, scores=["pe"], samples=100)
    assert table.query("group == 'all'")["images"].tolist() == [6, 6]


@pytest.mark.parametrize("seeds", [(1, 1), (1, np.int64(1)), [2, 3, 2]])
def test_a_seed_does_not_count_twice(seeds):
    for function in (
        lambda: comparison.Settings(seeds=seeds),
        lambda: scoring.random_controls(network(), seeds),
        lambda: scoring.fine_tuned_controls(network(), lambda model, seed: None, seeds),
    ):
        with pytest.raises(ValueError, match="seeds must be different whole numbers"):
            function()


@pytest.mark.parametrize("values", [(math.inf,), (math.nan,), (0.5, math.inf, 0.5), (1e30,)])
def test_images_are_not_divided_by_infinity(values):
    with pytest.raises(ValueError, match="std must be finite"):
        comparison.Settings(mean=(0.0,) * len(values), std=values)
    with pytest.raises(ValueError, match="mean must be finite"):
        comparison.Settings(mean=values, std=(1.0,) * len(values))


@pytest.mark.parametrize("name", ["baseline", "pruned", "data", "train", "masks", "class_map"])
def test_an_empty_path_is_not_the_working_folder(name):
    paths = {"baseline": "a.pt", "pruned": "b.pt", "data": "images", name: ""}
    with pytest.raises(ValueError, match=f"{name} must be a path, got an empty one"):
        comparison.Files(model="pruncam:mnist_net", **paths)


def test_an_empty_folder_name_is_not_the_working_folder(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(_made(tmp_path / "cat") / "0.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="must be a path, got an empty one"):
        image_folder.read("")
    assert len(image_folder.read(".").images) == 1


def _made(folder):
    folder.mkdir()
    return folder


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_two_files_of_one_name_is_refused(tmp_path):
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for colour in ("red", "blue"):
            content = io.BytesIO()
            Image.new("RGB", (8, 8), colour).save(content, "png")
            file.writestr("cat/0.png", content.getvalue())
    with pytest.raises(DataError, match="'cat/0.png' more than once: pack the images anew"):
        image_folder.read(archive)


def test_a_damaged_jpeg_that_can_be_decoded_changes_the_checksum(tmp_path):
    file = _made(tmp_path / "cat") / "0.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, quality=95)
    intact = image_folder.read(tmp_path).images
    content = bytearray(file.read_bytes())
    content[-40] ^= 0x10  # a bit of the compressed pixels
    file.write_bytes(content)
    damaged = image_folder.read(tmp_path).images
    assert not torch.equal(damaged.images, intact.images)
    assert damaged.checksum != intact.checksum


# ---------------------------------------------------------------- huge activations


def layer(activations, gradients):
    """Return what Grad-CAM++ reads of a layer."""
    parts = {"activations": activations, "gradients": gradients}
    return type("Layer", (), parts)()


@pytest.mark.parametrize("scale", [1e36, 1e38])
def test_the_map_of_huge_activations_is_that_of_float64(scale):
    generator = torch.Generator().manual_seed(0)
    activations = scale * torch.rand(2, 5, 6, 6, generator=generator)
    gradients = torch.randn(2, 5, 6, 6, generator=generator)
    weights = grad_cam_plusplus_weights(layer(activations, gradients))
    a, g = activations.double(), gradients.double().relu()
    alpha = g**2 / (2 * g**2 + a.sum((2, 3), keepdim=True) * g**3 + 1e-6)
    expected_weights = (alpha * g).sum((2, 3))
    torch.testing.assert_close(weights.double(), expected_weights, rtol=1e-5, atol=1e-44)
    for of_layer in (gradients.mean((2, 3)), gradients):  # Grad-CAM, HiResCAM
        maps = to_heatmaps(activations, of_layer, (12, 12))
        expected = to_heatmaps(activations / scale, of_layer, (12, 12))
        torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "hires-cam", "layer-cam"])
@pytest.mark.parametrize("size", [1e30, 3e38])
def test_no_map_is_nan_where_activations_are_huge(method, size):
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 3),
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator))
        net[0].weight.mul_(size / 36)
        net[4].weight.mul_(1e-3)
    maps = cams.heatmaps(net, torch.rand(2, 1, 12, 12, generator=generator), method=method)
    assert maps.isfinite().all()
    assert 0 <= maps.min() <= maps.max() <= 1
