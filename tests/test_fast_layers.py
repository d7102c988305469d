"""Wide convolutions in tiles or by a matrix: the maps stay the library's."""

import copy

import pytest
import torch
from torch import nn

from pruncam import cams, pruning
from pruncam._nn import dense_convolution, tiled_convolution
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
    convolve = tiled_convolution.convolve

    def record(maps, *arguments):
        shapes.append(tuple(maps.shape))
        return convolve(maps, *arguments)

    monkeypatch.setattr(tiled_convolution, "convolve", record)
    return shapes


@pytest.fixture
def dense(monkeypatch):
    """The sizes of all maps that are convolved by a matrix."""
    sizes = set()
    convolve = dense_convolution.convolve

    def record(maps, *arguments):
        sizes.add(tuple(maps.shape[1:3]))
        return convolve(maps, *arguments)

    monkeypatch.setattr(dense_convolution, "convolve", record)
    return sizes


def block(channels, filters):
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolutions = nn.Sequential(block(128, 128), block(128, 128))

    def forward(self, x):
        return x + self.convolutions(x)


HEADS = {
    "plain": (block(128, 136), block(136, 128)),
    "residual": (Residual(), Residual()),
}


def deep_net(head):
    """A network whose layer "2" is followed by wide convolutions of maps of 4x4 to 1x1 cells."""
    layers = (
        nn.Conv2d(3, 128, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *HEADS[head],
        nn.MaxPool2d(2),
        block(128, 128),
        block(128, 128),
        nn.MaxPool2d(2),
        block(128, 128),
        nn.Flatten(),
        nn.Linear(128, 5),
    )
    model = initialize(nn.Sequential(*copy.deepcopy(layers)), "pytorch", 0).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0)
            module.running_var.uniform_(0.02, 0.2)  # or the logits would hardly change
    return model


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


def test_the_layer_after_the_target_layer_follows_in_closed_form(images, tiled):
    assert_as_the_library(wide_net(), images, target_layer="4")
    assert {shape[3] for shape in tiled} == {64}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("prune", [copy.deepcopy, lambda model: pruning.lottery_step(model, 0.5)])
def test_maps_before_convolutions_of_small_maps_are_those_of_the_library(head, prune, tiled, dense):
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    model = prune(deep_net(head))
    options = {"methods": METHODS, "target_layer": "2"}
    ours = cams.explain(model, images, **options).maps
    library = cams.explain(model, images, engine="grad-cam", **options).maps
    exact = cams.explain(
        copy.deepcopy(model).double(), images.double(), engine="grad-cam", **options
    ).maps
    for method in METHODS:
        error, rounding = ((maps[method] - exact[method]).abs() for maps in (ours, library))
        # A logit changes little without one channel, so rounding counts; the library rounds too.
        assert error.mean() < 3 * rounding.mean()
        assert error.max() < 1e-3
    assert {shape[1:3] for shape in tiled} == {(4, 4)}
    assert dense == {(2, 2), (1, 1)}


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_matrix_gives_what_the_convolution_of_small_maps_gives(size, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 7, 3, padding=1, bias=bias, dtype=torch.float64)
    maps = torch.randn(4, 5, *size, dtype=torch.float64)
    matrix = dense_convolution.dense_matrix(layer.weight.float(), maps.shape[2:]).double()
    layer.weight.data = layer.weight.data.float().double()
    actual = dense_convolution.convolve(tiled_convolution.channels_last(maps), matrix, layer.bias)
    torch.testing.assert_close(actual, layer(maps))


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
