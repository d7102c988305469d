"""What a caller can get wrong, module by module: refused with the right type of error, in one sentence."""

import copy

import pytest
import torch
from torch import nn

from pruncam import cams, pruning, statistics, training
from pruncam.datasets import noise
from pruncam.models import initialize, mnist_net
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


CASES = {
    "heatmaps: channels": (lambda: explain(3), ValueError, r"cannot take images of shape \(3, 28, 28\): Given groups"),
    "heatmaps: size": (lambda: explain(1, 14), ValueError, r"cannot take images of shape \(1, 14, 14\): .*mat1"),
    "heatmaps: no targets": (lambda: explain(targets=[None] * 4), TypeError, r"integer class indices, .* got \[None"),
    "heatmaps: text targets": (lambda: explain(targets=["a"] * 4), TypeError, r"integer class indices, .* got \['a'"),
    "heatmaps: ragged": (lambda: explain(targets=[[1], [1, 2]]), TypeError, "integer class indices"),
    "heatmaps: methods": (lambda: explain(methods=5), ValueError, "methods must be a list of one or more .* got 5"),
    "heatmaps: batch_size": (lambda: explain(batch_size="8"), TypeError, "whole number of at least 1, got '8'"),
    "prune: text amount": (
        lambda: pruning.global_unstructured(NET, "0.5"), TypeError, "amount must be a number, got '0.5'"
    ),
    "prune: no amount": (lambda: pruning.global_unstructured(NET, None), TypeError, "must be a number, got None"),
    "prune: seed": (lambda: pruning.global_unstructured(NET, 0.5, seed=1.5), ValueError, "seed must be a whole number"),
    "prune: fraction": (lambda: pruning.lottery_step(NET, "x"), TypeError, "fraction must be a number, got 'x'"),
    "prune: model": (lambda: pruning.global_unstructured("net", 0.5), TypeError, NO_MODEL),
    "lottery: model": (lambda: pruning.lottery_step("net"), TypeError, NO_MODEL),
    "sparsity: model": (lambda: pruning.sparsity("net"), TypeError, NO_MODEL),
    "masks: model": (lambda: pruning.masks("net"), TypeError, NO_MODEL),
    "apply: model": (lambda: pruning.apply_masks("net"), TypeError, NO_MODEL),
    "drop: model": (lambda: pruning.drop_masks("net"), TypeError, NO_MODEL),
    "load: model": (lambda: pruning.load_state("net", {}), TypeError, NO_MODEL),
    "rewind: pruned": (lambda: pruning.rewind("net", NET), TypeError, f"pruned {NO_MODEL}"),
    "rewind: origin": (lambda: pruning.rewind(PRUNED, "net"), TypeError, f"origin {NO_MODEL}"),
    "rewind: another network": (
        lambda: pruning.rewind(PRUNED, OTHER), ValueError, "the model has no weight named 'conv1.weight': masks must be"
    ),
    "load: no state": (lambda: pruning.load_state(NET, None), TypeError, "state must be a dict .* got NoneType"),
    "load: unknown name": (
        lambda: pruning.load_state(NET, {"a": torch.zeros(1)}), ValueError,
        "of another network than Sequential: the state has no 'conv1.weight'$",
    ),
    "load: extra name": (
        lambda: pruning.load_state(OTHER, OTHER.state_dict() | {"a": torch.zeros(1)}), ValueError,
        "another network than Sequential: the model has no 'a'$",
    ),
    "load: shape": (
        lambda: pruning.load_state(OTHER, OTHER.state_dict() | {"0.bias": torch.zeros(3)}), ValueError,
        r"'0.bias' has the shape \(3,\), the model's has \(2,\)$",
    ),
    "load: no tensor": (
        lambda: pruning.load_state(OTHER, OTHER.state_dict() | {"0.bias": [1]}), ValueError, "another .*'?0.bias"
    ),
    "attach: no masks": (lambda: pruning.attach_masks(OTHER, [1]), TypeError, "masks must be a dict .* got list"),
    "attach: no tensor": (
        lambda: pruning.attach_masks(NET, {"conv1.weight": [1]}), TypeError,
        "mask of conv1.weight must be a tensor of 0 and 1, got list",
    ),
    "fit: no model": (lambda: train(None), TypeError, "must be a torch.nn.Module, got NoneType"),
    "fit: no tensors": (lambda: train(images=IMAGES.numpy()), TypeError, "as tensors, got ndarray and Tensor"),
    "recipe: one pair": (lambda: Recipe((10, 0.1), 16), ValueError, r"schedule is \(epochs, .* got \(10, 0.1\)"),
    "recipe: text": (lambda: Recipe("abc", 16), ValueError, "schedule is .* got 'abc'"),
    "recipe: half an epoch": (lambda: Recipe(((1.5, 0.1),), 16), ValueError, r"epochs whole, .* got \(\(1.5, 0.1\),\)"),
    "recipe: text rate": (lambda: Recipe(((1, "0.1"),), 16), ValueError, "schedule is"),
    "recipe: batch_size": (lambda: Recipe(((1, 0.1),), "16"), TypeError, "batch_size must be a whole .* got '16'"),
    "recipe: momentum": (lambda: Recipe(((1, 0.1),), 16, "a"), TypeError, "momentum must be a number, got 'a'"),
    "inputs: noise": (lambda: Inputs(noise=10.5), ValueError, "noise must be a whole number, got 10.5"),
    "inputs: text": (lambda: Inputs(mean="0.1"), TypeError, "mean must be a number, got '0.1'"),
    "accuracy: batch_size": (
        lambda: accuracy(NET, IMAGES.float(), LABELS, batch_size=0), ValueError, "batch_size must be at least 1, got 0"
    ),
    "t: confidence": (lambda: statistics.t_interval([1.0, 2.0], confidence=95), ValueError, r"in \(0, 1\), .* got 95"),
    "t: text": (lambda: statistics.t_interval([1.0], confidence="0.9"), TypeError, "confidence must be a number"),
    "bootstrap: confidence": (
        lambda: statistics.bootstrap_mean([1.0], samples=100, seed=0, confidence=1), ValueError, r"\(0, 1\), .* got 1"
    ),
    "machine: text": (lambda: mnist_iou.Machine(jobs="2"), TypeError, "jobs must be a whole number .* got '2'"),
    "machine: bool": (lambda: mnist_iou.Machine(jobs=True), TypeError, "jobs must be a whole number .* got True"),
    "initialize: seed": (
        lambda: initialize(mnist_net(), "pytorch", "a"), TypeError, "seed must be a whole number, got 'a'"
    ),
    "study: no config": (
        lambda: mnist_iou.run("quick"), TypeError, r"^config must be a Config: use mnist_iou.configure\('quick'\)$"
    ),
}  # fmt: skip


def refused(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", CASES)
def test_what_makes_no_sense_is_refused_in_one_sentence(case):
    refused(*CASES[case])


@pytest.mark.parametrize("engine", ["torch", "fused"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"labels": LABELS * 4}, "^the network has classes 0 to 9, got labels from 0 to 12$"),
        ({"images": IMAGES.expand(-1, 3, -1, -1)}, r"^the model cannot take images of shape \(3, 28, 28\): "),
        ({"images": IMAGES[..., :14]}, r"^the model cannot take images of shape \(1, 28, 14\): "),
    ],
    ids=["labels", "channels", "size"],
)
def test_both_engines_refuse_data_that_do_not_fit_in_the_same_words(data, message, engine):
    refused(lambda: train(mnist_net(), **data, engine=engine), ValueError, message)


class Draws(nn.Module):
    """A layer that draws random numbers also in eval mode."""

    def forward(self, x):
        return x + torch.rand(1)


def test_the_look_at_the_first_images_leaves_no_trace():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), Draws(), nn.Linear(1352, 3)).train()
    model[1].eval()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    random = torch.random.get_rng_state()
    refused(lambda: train(model, engine="torch"), ValueError, "classes 0 to 2, got labels from 0 to 3")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), random)


def test_masks_that_do_not_fit_leave_the_model_as_it_was():
    model = mnist_net()
    masks = {"conv1.weight": torch.zeros(4, 1, 3, 3), "conv3.weight": torch.zeros(1)}
    refused(lambda: pruning.attach_masks(model, masks), ValueError, "no weight named 'conv3.weight'")
    assert not pruning.masks(model) and pruning.sparsity(model) == 0


@pytest.mark.parametrize("level", [0, 51])
def test_no_images_get_no_noise(level):
    none = noise.background(IMAGES[:0], LABELS[:0], key=1, level=level)
    assert none.shape == (0, 1, 28, 28) and none.dtype == torch.uint8


def test_the_choices_of_engine_are_still_checked_first():
    refused(lambda: train(images=IMAGES[..., :14], engine="jax"), ValueError, "unknown engine 'jax'")
    assert training.resolve_engine(NET, "torch", RECIPE) == "torch"
