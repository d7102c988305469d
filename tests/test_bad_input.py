"""Invalid arguments, module by module: each is refused with one sentence and the right error."""

import copy
from functools import partial

import pandas as pd
import pytest
import torch
from torch import nn

from pruncam import cams, pruning, scoring, statistics, training
from pruncam._core.machine import Machine
from pruncam.datasets import noise
from pruncam.networks import initialize, mnist_net
from pruncam.studies import mnist_iou
from pruncam.training import Inputs, Recipe, accuracy, fit

NET, OTHER = mnist_net(), nn.Sequential(nn.Linear(4, 2))
PRUNED = pruning.lottery_step(NET)
IMAGES, LABELS = torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 1, 2, 3])
RECIPE = Recipe(((1, 0.1),), 2)
NO_MODEL = "must be a torch.nn.Module, got str"


def explain(channels=1, size=28, methods=("grad-cam",), **arguments):
    return cams.explain(NET, torch.rand(4, channels, size, size), methods=methods, **arguments)


def train(model=NET, images=IMAGES, labels=LABELS, engine="auto"):
    return fit(model, images, labels, RECIPE, Inputs(), seed=0, engine=engine)


def case(name, error, message, function, *arguments, **options):
    """Return a call that must be refused, the type of the error, and a pattern of its message."""
    return pytest.param(partial(function, *arguments, **options), error, message, id=name)


CASES = [
    case(
        "heatmaps: channels",
        ValueError,
        r"cannot take images of shape \(3, 28, 28\): Given groups",
        explain,
        3,
    ),
    case(
        "heatmaps: size",
        ValueError,
        r"cannot take images of shape \(1, 14, 14\): .*mat1",
        explain,
        1,
        14,
    ),
    case(
        "heatmaps: no targets",
        TypeError,
        r"integer class indices, .* got \[None",
        explain,
        targets=[None] * 4,
    ),
    case(
        "heatmaps: text targets",
        TypeError,
        r"integer class indices, .* got \['a'",
        explain,
        targets=["a"] * 4,
    ),
    case("heatmaps: ragged", TypeError, "integer class indices", explain, targets=[[1], [1, 2]]),
    case(
        "heatmaps: methods",
        ValueError,
        "methods must be a list of one or more .* got 5",
        explain,
        methods=5,
    ),
    case(
        "heatmaps: batch_size",
        TypeError,
        "whole number of at least 1, got '8'",
        explain,
        batch_size="8",
    ),
    case(
        "heatmaps: maps of one cell",
        ValueError,
        "no layer with a feature map .* of more than one cell .*: pass larger images, or target_",
        cams.heatmaps,
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2)),
        torch.rand(1, 1, 3, 3),
        method="grad-cam",
    ),
    case(
        "heatmaps: no convolution",
        ValueError,
        r"applies no Conv2d layer: pass target_layer, .* whose output is \(N, C, H, W\)$",
        cams.heatmaps,
        nn.Sequential(nn.Flatten(), nn.Linear(9, 2)),
        torch.rand(1, 1, 3, 3),
        method="grad-cam",
    ),
    case("readings: no model", TypeError, NO_MODEL, cams.readings, "net", torch.rand(1, 1, 3, 3)),
    case(
        "readings: size",
        ValueError,
        r"cannot take images of shape \(1, 14, 14\)",
        cams.readings,
        NET,
        torch.rand(1, 1, 14, 14),
    ),
    case(
        "default layer: cells",
        ValueError,
        "min_cells must be at least 1, got 0",
        cams.default_layer,
        NET,
        torch.rand(1, 1, 28, 28),
        min_cells=0,
    ),
    case(
        "default layer: one image shape",
        ValueError,
        r"cannot take images of shape \(3, 28, 28\)",
        cams.default_layer,
        NET,
        torch.rand(1, 3, 28, 28),
    ),
    case(
        "summarize: rows without empty maps",
        ValueError,
        "these have no column baseline_empty, pruned_empty",
        scoring.summarize,
        pd.DataFrame({"method": ["a"], "label": [0], "pruned_prediction": [0], "pe": [1.0]}),
        scores=["pe"],
    ),
    case(
        "prune: text amount",
        TypeError,
        "amount must be a number, got '0.5'",
        pruning.global_unstructured,
        NET,
        "0.5",
    ),
    case(
        "prune: no amount",
        TypeError,
        "must be a number, got None",
        pruning.global_unstructured,
        NET,
        None,
    ),
    case(
        "prune: seed",
        ValueError,
        "seed must be a whole number",
        pruning.global_unstructured,
        NET,
        0.5,
        seed=1.5,
    ),
    case(
        "prune: fraction",
        TypeError,
        "fraction must be a number, got 'x'",
        pruning.lottery_step,
        NET,
        "x",
    ),
    case("prune: model", TypeError, NO_MODEL, pruning.global_unstructured, "net", 0.5),
    case("lottery: model", TypeError, NO_MODEL, pruning.lottery_step, "net"),
    case("sparsity: model", TypeError, NO_MODEL, pruning.sparsity, "net"),
    case("masks: model", TypeError, NO_MODEL, pruning.masks, "net"),
    case("apply: model", TypeError, NO_MODEL, pruning.apply_masks, "net"),
    case("drop: model", TypeError, NO_MODEL, pruning.drop_masks, "net"),
    case("load: model", TypeError, NO_MODEL, pruning.load_state, "net", {}),
    case("rewind: pruned", TypeError, f"pruned {NO_MODEL}", pruning.rewind, "net", NET),
    case("rewind: origin", TypeError, f"origin {NO_MODEL}", pruning.rewind, PRUNED, "net"),
    case(
        "rewind: another network",
        ValueError,
        "the model has no weight named 'conv1.weight': masks must be",
        pruning.rewind,
        PRUNED,
        OTHER,
    ),
    case(
        "load: no state",
        TypeError,
        "state must be a dict .* got NoneType",
        pruning.load_state,
        NET,
        None,
    ),
    case(
        "load: unknown name",
        ValueError,
        "state_dict does not match Sequential: the state has no 'conv1.weight'$",
        pruning.load_state,
        NET,
        {"a": torch.zeros(1)},
    ),
    case(
        "load: extra name",
        ValueError,
        "state_dict does not match Sequential: the model has no 'a'$",
        pruning.load_state,
        OTHER,
        OTHER.state_dict() | {"a": torch.zeros(1)},
    ),
    case(
        "load: shape",
        ValueError,
        r"'0.bias' has the shape \(3,\), the model's has \(2,\)$",
        pruning.load_state,
        OTHER,
        OTHER.state_dict() | {"0.bias": torch.zeros(3)},
    ),
    case(
        "load: no tensor",
        ValueError,
        "does not match .*'?0.bias",
        pruning.load_state,
        OTHER,
        OTHER.state_dict() | {"0.bias": [1]},
    ),
    case(
        "attach: no masks",
        TypeError,
        "masks must be a dict .* got list",
        pruning.attach_masks,
        OTHER,
        [1],
    ),
    case(
        "attach: no tensor",
        TypeError,
        "mask of conv1.weight must be a tensor of 0 and 1, got list",
        pruning.attach_masks,
        NET,
        {"conv1.weight": [1]},
    ),
    case("fit: no model", TypeError, "must be a torch.nn.Module, got NoneType", train, None),
    case(
        "fit: no tensors",
        TypeError,
        "as tensors, got ndarray and Tensor",
        train,
        images=IMAGES.numpy(),
    ),
    case(
        "recipe: one pair",
        ValueError,
        r"schedule is \(epochs, .* got \(10, 0.1\)",
        Recipe,
        (10, 0.1),
        16,
    ),
    case("recipe: text", ValueError, "schedule is .* got 'abc'", Recipe, "abc", 16),
    case(
        "recipe: half an epoch",
        ValueError,
        r"epochs whole, .* got \(\(1.5, 0.1\),\)",
        Recipe,
        ((1.5, 0.1),),
        16,
    ),
    case("recipe: text rate", ValueError, "schedule is", Recipe, ((1, "0.1"),), 16),
    case(
        "recipe: batch_size",
        TypeError,
        "batch_size must be a whole .* got '16'",
        Recipe,
        ((1, 0.1),),
        "16",
    ),
    case(
        "recipe: momentum",
        TypeError,
        "momentum must be a number, got 'a'",
        Recipe,
        ((1, 0.1),),
        16,
        "a",
    ),
    case("inputs: noise", ValueError, "noise must be a whole number, got 10.5", Inputs, noise=10.5),
    case("inputs: text", TypeError, "mean must be a number, got '0.1'", Inputs, mean="0.1"),
    case(
        "accuracy: batch_size",
        ValueError,
        "batch_size must be at least 1, got 0",
        accuracy,
        NET,
        IMAGES.float(),
        LABELS,
        batch_size=0,
    ),
    case(
        "t: confidence",
        ValueError,
        r"in \(0, 1\), .* got 95",
        statistics.t_interval,
        [1.0, 2.0],
        confidence=95,
    ),
    case(
        "t: text",
        TypeError,
        "confidence must be a number",
        statistics.t_interval,
        [1.0],
        confidence="0.9",
    ),
    case(
        "bootstrap: confidence",
        ValueError,
        r"\(0, 1\), .* got 1",
        statistics.bootstrap_mean,
        [1.0],
        samples=100,
        seed=0,
        confidence=1,
    ),
    case("machine: text", TypeError, "jobs must be a whole number .* got '2'", Machine, jobs="2"),
    case("machine: bool", TypeError, "jobs must be a whole number .* got True", Machine, jobs=True),
    case(
        "initialize: seed",
        TypeError,
        "seed must be a whole number from 0 to .*, got 'a'",
        initialize,
        mnist_net(),
        "pytorch",
        "a",
    ),
    case(
        "study: no config",
        TypeError,
        r"^config must be a MnistIouConfig: use mnist_iou.configure\('quick'\)$",
        mnist_iou.run,
        "quick",
    ),
]


def refused(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_an_invalid_argument_is_refused_in_one_sentence(call, error, message):
    refused(call, error, message)


@pytest.mark.parametrize("engine", ["torch", "fused"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"labels": LABELS * 4}, "^the network has classes 0 to 9, got labels from 0 to 12$"),
        (
            {"images": IMAGES.expand(-1, 3, -1, -1)},
            r"^the model cannot take images of shape \(3, 28, 28\): ",
        ),
        ({"images": IMAGES[..., :14]}, r"^the model cannot take images of shape \(1, 28, 14\): "),
    ],
    ids=["labels", "channels", "size"],
)
def test_both_engines_refuse_data_that_do_not_fit_in_the_same_words(data, message, engine):
    refused(lambda: train(mnist_net(), **data, engine=engine), ValueError, message)


class Draws(nn.Module):
    """A layer that draws random numbers in eval mode, too."""

    def forward(self, x):
        return x + torch.rand(1)


def test_the_check_of_the_first_images_leaves_the_model_unchanged():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), Draws(), nn.Linear(1352, 3)
    ).train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    random = torch.random.get_rng_state()
    refused(
        lambda: train(model, engine="torch"), ValueError, "classes 0 to 2, got labels from 0 to 3"
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), random)


def test_masks_that_do_not_fit_leave_the_model_unchanged():
    model = mnist_net()
    masks = {"conv1.weight": torch.zeros(4, 1, 3, 3), "conv3.weight": torch.zeros(1)}
    refused(
        lambda: pruning.attach_masks(model, masks), ValueError, "no weight named 'conv3.weight'"
    )
    assert not pruning.masks(model) and pruning.sparsity(model) == 0


@pytest.mark.parametrize("level", [0, 51])
def test_no_images_get_no_noise(level):
    noisy = noise.background(IMAGES[:0], LABELS[:0], key=1, level=level)
    assert noisy.shape == (0, 1, 28, 28)
    assert noisy.dtype == torch.uint8


def test_the_name_of_the_engine_is_checked_first():
    refused(
        lambda: train(images=IMAGES[..., :14], engine="jax"), ValueError, "unknown engine 'jax'"
    )
    assert training.resolve_engine(NET, "torch", RECIPE) == "torch"
