"""Calls drawn from a fixed seed end in a result or a clear sentence; nonsense is refused."""

import io
import math
import zipfile
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.torture import calls
from benchmarks.torture.call_catalogue import FUNCTIONS, Function, within
from benchmarks.torture.call_values import (
    MODEL,
    Kind,
    constants,
    network,
    rate_table,
    score_rows,
)
from pruncam import (
    Machine,
    cams,
    comparison,
    complexity,
    metrics,
    networks,
    profiles,
    pruning,
    scoring,
    training,
)
from pruncam.cams.gradients import grad_cam_plusplus_weights
from pruncam.cams.postprocess import to_heatmaps
from pruncam.datasets import DataError, find, image_folder
from pruncam.studies import sweeps
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
CALLBACK = partial(comparison.CompareCallback, network(), IMAGES)
LOAD_NETWORK = partial(comparison.load_network, "pruncam:mnist_net")
LOAD_STATE = partial(pruning.load_state, network(), network().state_dict())
CUSTOM_MAPS = cams.custom_heatmaps
SPEC = partial(profiles.DatasetSpec, "CIFAR-10", "digits")
SWEEPS = partial(sweeps.configure, "quick")
PRECISION = partial(training.resolve_precision, "float32")


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


# ---------------------------------------------------------------- lazy layers and TorchScript

LAZY = [name for name in MODEL.likely if "lazy" in name]
TORCHSCRIPT = [name for name in MODEL.likely if "scripted" in name or "traced" in name]
# These call a model and read its buffers, which TorchScript allows.
RUN_TORCHSCRIPT = {
    "cams.road",
    "pruning.apply_masks",
    "pruning.masks",
    "training.accuracy",
    "training.predictions",
}
USUAL_MODELS = MODEL.usual.keys() | {"a pruned network"}
TAKE_MODELS = [
    (function, argument)
    for function in FUNCTIONS
    for argument, kind in function.arguments.items()
    if kind.usual.keys() & USUAL_MODELS
]


def verdicts_on(name):
    """Return what comes of a model, by function and argument; other arguments are usual ones."""
    model, verdicts = MODEL.likely[name](), {}
    for function, argument in TAKE_MODELS:
        usual = {each: min(kind.usual.items()) for each, kind in function.arguments.items()}
        call = calls.Call(function, usual | {argument: (name, lambda: model)}, is_likely=True)
        verdicts[function.name, argument] = calls.judge(call)
    return verdicts


@pytest.mark.parametrize("model", LAZY)
def test_every_function_refuses_weights_that_are_not_there_yet(model):
    for place, verdict in verdicts_on(model).items():
        assert verdict.kind == calls.CLEAR, (place, verdict)
        assert "has lazy layers, whose weights are not there yet: run it on" in verdict.text


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("model", TORCHSCRIPT)
def test_torchscript_is_run_or_refused(model):
    for place, verdict in verdicts_on(model).items():
        if place[0] in RUN_TORCHSCRIPT:
            assert verdict.kind == calls.ACCEPTED, (place, verdict)
        else:
            assert verdict.kind == calls.CLEAR, (place, verdict)
            assert "has TorchScript layers, which cannot be read or changed: " in verdict.text


def test_an_exported_program_is_not_trained():
    class Exported(nn.Sequential):
        def train(self, mode=True):
            raise NotImplementedError("Calling train() is not supported yet.")  # as torch.export's

    images, recipe = IMAGES.mul(255).to(torch.uint8), training.Recipe(((1, 0.1),), 2)
    with pytest.raises(ValueError, match="cannot be trained .* from which it was exported"):
        training.fit(Exported(network()), images, LABELS, recipe, training.Inputs(), seed=0)


def test_a_class_in_the_place_of_a_function_is_refused():
    class Training:
        def __init__(self, model, seed):
            """Keep the arguments and train nothing."""

    message = "finetune must be a function of a model and a seed, got the class Training: pass"
    with pytest.raises(TypeError, match=message):
        scoring.fine_tuned_controls(network(), Training, seeds=(1,))
    with pytest.raises(TypeError, match="after_epoch must be a function of no argument, got the c"):
        training.fit(
            network(),
            IMAGES.mul(255).to(torch.uint8),
            LABELS,
            training.Recipe(((1, 0.1),), 2),
            training.Inputs(),
            seed=0,
            after_epoch=list,
        )


def test_any_error_inside_a_function_of_the_user_is_one_sentence():
    for argument in ("reshape", "transform"):
        options = {argument: lambda tensor: tensor.missing}
        with pytest.raises(ValueError, match=f"{argument} cannot take .* has no attribute"):
            scoring.score(
                network(), network(1), IMAGES, LABELS, target_layer="4", progress=False, **options
            )
    with pytest.raises(ValueError, match="prepare cannot take images of shape .* no attribute"):
        training.predictions(network(), IMAGES, prepare=lambda images: images.missing)


# ---------------------------------------------------------------- nonsense that was accepted


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "methods must be a list", partial(CALLBACK, methods="")),
        (ValueError, "unknown target.class", partial(CALLBACK, target_class="")),
        (TypeError, "output must be a position", partial(LOAD_NETWORK, output=0.5)),
        (TypeError, "output must be a position", partial(LOAD_STATE, output=())),
        (TypeError, "example_input must be a tensor", partial(LOAD_STATE, example_input="")),
        (
            TypeError,
            "must be a torch.nn.Module, got bytes",
            partial(CUSTOM_MAPS, b"x", IMAGES, {}, targets=None),
        ),
        (TypeError, "target_layer must be a name or None", partial(SPEC, target_layer={"a": 1})),
        (TypeError, "weights must be a name or None, got 3", partial(SPEC, weights=3)),
        (ValueError, "csg_seeds must be different", partial(SWEEPS, csg_seeds=(2**64,))),
        (ValueError, "floor_seeds must be different", partial(SWEEPS, floor_seeds=(2**64,))),
        (ValueError, "seed must be a whole number from 0", partial(SWEEPS, seed=-1)),
        (ValueError, "device must be the name of a device", partial(PRECISION, math.nan)),
    ],
)
def test_arguments_are_checked_before_they_are_needed(error, message, call):
    with pytest.raises(error, match=message):
        call()


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


# ---------------------------------------------------------------- raw errors that there were


def of_type(value):
    return f"of type {type(value).__name__}: choose one of"


@pytest.mark.parametrize("value", [np.float64("nan"), None, 3, pd.Series([1.0]), ["image"]])
def test_what_is_no_name_is_refused_with_its_type(value):
    maps = torch.rand(2, 8, 8)
    with pytest.raises(ValueError, match=f"unknown reference network .*{of_type(value)} cifar"):
        networks.card(value)
    with pytest.raises(ValueError, match=f"unknown reading of SAM .*{of_type(value)} image"):
        metrics.spectral_angle(maps, maps, over=value)


@pytest.mark.parametrize("size", [np.int64(1), np.uint8(3), 4, 2**63, 10**30])
def test_a_batch_may_have_any_size_and_type_of_number(size):
    mine = {"mine": lambda model, images, layer, targets: images[:, 0]}
    options = {"methods": ["grad-cam"], "custom_methods": mine}
    expected = cams.explain_with_custom(network(), IMAGES, **options)
    found = cams.explain_with_custom(network(), IMAGES, **options, batch_size=size)
    assert torch.equal(found.maps["mine"], IMAGES[:, 0])
    torch.testing.assert_close(found.maps, expected.maps)


@pytest.mark.parametrize("methods", [torch.tensor(0.5), torch.tensor([1.0]), torch.empty(0)])
def test_a_tensor_is_no_list_of_methods(methods):
    with pytest.raises(ValueError, match="methods must be a list of one or more of"):
        cams.explain(network(), IMAGES, methods=methods)


def test_a_function_that_cannot_take_what_it_is_given_is_named():
    with pytest.raises(ValueError, match="after_rows cannot take a number of points: .*int"):
        complexity.neighbourhoods(
            torch.rand(6, 2), LABELS[[0, 1, 2, 0, 1, 2]], k=1, after_rows=nn.Linear(2, 2)
        )
    with pytest.raises(
        ValueError, match=r"transform cannot take .* shape \(4, 1, 12, 12\): .*mat1"
    ):
        scoring.score(
            network(), network(1), IMAGES, methods=["grad-cam"], transform=nn.Linear(2, 2)
        )
    with pytest.raises(ValueError, match=r"prepare cannot take images of shape \(4, 1, 12, 12\): "):
        training.predictions(network(), IMAGES, prepare=nn.Linear(2, 2))
    with pytest.raises(TypeError, match="transform must be a function of a batch of images: "):
        scoring.score(network(), network(1), IMAGES, transform=lambda images, labels: images)


def test_what_a_function_of_the_user_stops_a_search_with_passes_unchanged():
    class Stopped(Exception):
        pass

    def stop(count):
        raise Stopped

    with pytest.raises(Stopped):
        complexity.neighbourhoods(torch.rand(3, 2), LABELS[:3], k=1, after_rows=stop)


def test_a_data_folder_is_a_path_or_none():
    for value in (torch.empty(0), np.array(["a", "b"]), pd.Series(["a"]), pd.NA, 0):
        with pytest.raises(TypeError, match="data_dir must be a path, got "):
            Machine(data_dir=value)
        with pytest.raises(TypeError, match="data_dir must be a path, got "):
            find("digits", value)
    assert Machine(data_dir="").data_dir == ""


def test_maps_are_shuffled_among_images_of_one_size():
    batches = [IMAGES, torch.rand(2, 1, 9, 12)]
    with pytest.raises(ValueError, match="images must all have one size, got 9x12 and 12x12"):
        scoring.shuffled_level(network(), batches, methods=["grad-cam"], seed=1)
    with pytest.raises(ValueError, match="images must be two or more, got none"):
        scoring.shuffled_level(network(), [], methods=["grad-cam"], seed=1)


def test_the_f1_score_of_huge_numbers_is_that_of_small_ones():
    assert metrics.f1_score(1e308, 0.0, 0.0) == 1
    assert metrics.f1_score(2.0**1023, 2.0**1022, 0.0) == metrics.f1_score(2, 1, 0) == 0.8


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_a_network_of_complex_weights_is_refused_whatever_the_images(dtype):
    strange = nn.Sequential(nn.Conv2d(1, 3, 3, dtype=torch.complex64))
    expected = "must be floating point for gradients|cannot take images of shape"
    with pytest.raises((TypeError, ValueError), match=expected):
        scoring.score_many(strange, {"other": network()}, IMAGES.to(dtype), methods=["grad-cam"])


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
