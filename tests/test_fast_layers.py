"""Wide convolutions before the target layer, computed in tiles: the maps stay the library's."""

import copy

import pytest
import torch
from torch import nn

from pruncam import cams, pruning
from pruncam.cams import fast_layers
from pruncam.networks import initialize

METHODS = ("grad-cam", "grad-cam++", "ablation-cam")


def wide_net():
    """A network with two convolutions for tiles, one of them on maps of 13x10."""
    layers = (
        nn.Conv2d(3, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 72, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(72, 64, 3), nn.BatchNorm2d(64)),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 5),
    )
    return initialize(nn.Sequential(*layers), "pytorch", 0).eval()


@pytest.fixture
def images():
    return torch.randn(5, 3, 13, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tiled(monkeypatch):
    """The shapes of all maps that are convolved in tiles."""
    shapes = []
    convolve = fast_layers.convolve

    def record(maps, *arguments):
        shapes.append(tuple(maps.shape))
        return convolve(maps, *arguments)

    monkeypatch.setattr(fast_layers, "convolve", record)
    return shapes


def assert_as_the_library(model, images, explainer=None, target_layer="6"):
    options = {"methods": METHODS, "target_layer": target_layer}
    explainer = explainer or cams.ModelExplainer(model, images, **options)
    explanation = explainer.explain(images)
    expected = cams.explain(model, images, engine="grad-cam", **options)
    for method in METHODS:
        torch.testing.assert_close(
            explanation.maps[method], expected.maps[method], atol=1e-5, rtol=0
        )
        assert expected.maps[method].amax((1, 2)).median() > 0.5, "most maps are empty"


@pytest.mark.parametrize("prune", [copy.deepcopy, lambda model: pruning.lottery_step(model, 0.5)])
def test_maps_after_convolutions_in_tiles_are_those_of_the_library(images, tiled, prune):
    model = prune(wide_net())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = [set(vars(module)) for module in model.modules()]
    assert_as_the_library(model, images)
    assert set(tiled) >= {(5, 13, 10, 64), (5, 13, 10, 72)}, "the two convolutions"
    assert [set(vars(module)) for module in model.modules()] == attributes
    assert all(type(model.get_submodule(name)) is nn.Conv2d for name in ("3", "5.0"))
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_only_layers_before_the_target_layer_are_convolved_in_tiles(images, tiled):
    assert_as_the_library(wide_net(), images, target_layer="4")
    assert {shape[3] for shape in tiled} == {64}


@torch.no_grad()
def test_weights_may_change_between_two_calls(images, tiled):
    model = wide_net()
    explainer = cams.ModelExplainer(model, images, methods=METHODS, target_layer="6")
    assert_as_the_library(model, images, explainer)
    model[3].weight.data[:20] *= -1  # unseen by autograd's count of changes
    assert_as_the_library(model, images, explainer)
    model[3].weight = nn.Parameter(model[3].weight.flip(0))
    assert_as_the_library(model, images, explainer)
    assert tiled


def test_hooks_of_the_layers_are_kept(images, tiled):
    model = wide_net()
    model[3].register_forward_pre_hook(lambda layer, inputs: (inputs[0].flip(1),))
    model[5].register_forward_hook(lambda layer, inputs, output: output.abs())
    assert_as_the_library(model, images)
    assert {shape[3] for shape in tiled} == {64}, "a block with a hook is run as it is"
    assert type(model[5][0]) is nn.Conv2d


def test_a_layer_used_alone_and_in_a_block_with_a_hook_stays_the_models(images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
            self.first = nn.Conv2d(3, 64, 3, padding=1)
            self.last, self.fc = nn.ReLU(), nn.Linear(64, 5)

        def forward(self, x):
            x = self.block(self.first(x).relu())
            return self.fc(self.last(self.block[0](x)).mean((2, 3)))

    model = initialize(Twice(), "pytorch", 0).eval()
    model.block.register_forward_hook(lambda layer, inputs, output: output + 1)
    assert_as_the_library(model, images, target_layer="last")
    assert type(model.block[0]) is nn.Conv2d


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_other_precisions_are_computed_by_pytorch(images, tiled, precision):
    model = wide_net()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        if precision == torch.float64:
            model, images = model.double(), images.double()
        cams.explain(model, images, methods=METHODS, target_layer="6")
    assert not tiled


def test_nothing_is_convolved_in_tiles_without_numba(images, tiled, monkeypatch):
    monkeypatch.setattr(fast_layers, "can_import", lambda package: False)
    assert_as_the_library(wide_net(), images)
    assert not tiled
