"""The default target layer and the readings of a network; maps there against the library."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks._networks import NarrowResNet18
from pruncam import cams, networks
from pruncam.cams import model_explainer
from pruncam.cams.model_split import HookedModel, TracedModel, split_model

TOLERANCE = 1e-4  # largest difference from the library in any pixel
METHODS = cams.DEFAULT_METHODS


class ResidualNet(nn.Module):
    """A network whose last block is a sum with a functional ReLU."""

    class Block(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)
            self.norm = nn.BatchNorm2d(channels)

        def forward(self, x):
            return functional.relu(self.norm(self.conv(x)) + x)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.ReLU())
        self.block1, self.block2 = self.Block(12), self.Block(12)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        features = self.block2(self.block1(self.stem(x)))
        return self.fc(functional.adaptive_avg_pool2d(features, 1).flatten(1))


class DenseNet(nn.Module):
    """Two dense layers whose outputs are concatenated, a BatchNorm at the end, functional ReLU."""

    class Layer(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.norm = nn.BatchNorm2d(channels)
            self.conv = nn.Conv2d(channels, 8, 3, padding=1)

        def forward(self, x):
            return torch.cat([x, self.conv(functional.relu(self.norm(x)))], 1)

    def __init__(self):
        super().__init__()
        first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.features = nn.Sequential(first, self.Layer(8), self.Layer(16), nn.BatchNorm2d(24))
        self.fc = nn.Linear(24, 5)

    def forward(self, x):
        features = functional.relu(self.features(x), inplace=True)
        return self.fc(features.mean((2, 3)))


class BranchNet(nn.Module):
    """A network that applies a further layer to its features, which the logits do not depend on."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 6, 3, stride=2), nn.ReLU()
        self.auxiliary = nn.Conv2d(6, 2, 1)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        features = self.relu(self.conv(x))
        self.auxiliary(features)
        return self.fc(features.mean((2, 3)))


class SharedReLU(nn.Module):
    """A network with one ReLU for all convolutions: the last one cannot be read by its name."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 8, 3)
        self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(8, 5)

    def forward(self, x):
        features = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.fc(features.mean((2, 3)))


BUILDERS = {
    "cifar": (lambda: networks.cifar_net(5, width=4), (3, 32, 32)),
    "stl": (lambda: networks.stl_net(5, width=4), (3, 96, 96)),
    "vgg": (lambda: networks.vgg11(5, image_size=64, width=4, classifier_width=8), (3, 64, 64)),
    "mnist": (networks.mnist_net, (1, 28, 28)),
    "resnet18": (lambda: NarrowResNet18(5), (3, 64, 64)),
    "residual": (ResidualNet, (3, 20, 20)),
    "dense": (DenseNet, (3, 20, 20)),
    "branch": (BranchNet, (3, 20, 20)),
    "shared": (SharedReLU, (3, 20, 20)),
}


@cache
def network(name):
    """Return a network with random weights and estimated statistics, and two images."""
    build, shape = BUILDERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the mean of all batches
        model.train()
        with torch.no_grad():
            for _ in range(4):
                model(torch.rand(8, *shape))
        return model.eval(), torch.rand(2, *shape)


def assert_equal_to_library(name, layer, method):
    model, images = network(name)
    ours = cams.heatmaps(model, images, method=method, target_layer=layer)
    library = cams.heatmaps(model, images, method=method, target_layer=layer, engine="grad-cam")
    assert (ours - library).abs().max() < TOLERANCE


# ---------------------------------------------------------------------- the default

DEFAULTS = {
    "cifar": ("features.20", (4, 4), "features.19"),
    "stl": ("features.18", (4, 4), "features.15"),
    "vgg": ("features.19", (4, 4), "features.14"),
    "mnist": ("pool2", (5, 5), "relu2"),
    "resnet18": ("layer3.1", (4, 4), "layer2.1"),
    "residual": ("block2", (10, 10), "block2"),
    "dense": ("features.3", (10, 10), "features.3"),
    "branch": ("relu", (9, 9), "relu"),
    "shared": ("conv2", (7, 7), "conv2"),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_is_the_last_map_of_a_fair_size(name):
    model, images = network(name)
    layer, size, six_cells = DEFAULTS[name]
    assert cams.default_layer(model, images[:1]) == layer
    assert cams.default_layer(model, images[:1], min_cells=6) == six_cells
    outputs = []
    hook = model.get_submodule(layer).register_forward_hook(lambda *call: outputs.append(call[2]))
    model(images)
    hook.remove()
    assert outputs[0].shape[2:] == size


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DEFAULTS)
def test_maps_at_the_default_layer_equal_the_library(name, method):
    assert_equal_to_library(name, None, method)


@pytest.mark.parametrize("name", DEFAULTS)
def test_none_and_the_name_of_the_default_layer_give_the_same_maps(name):
    model, images = network(name)
    default = cams.explain(model, images, methods=["grad-cam"])
    by_name = cams.explain(model, images, methods=["grad-cam"], target_layer=DEFAULTS[name][0])
    assert torch.equal(default.maps["grad-cam"], by_name.maps["grad-cam"])


@pytest.mark.parametrize("name", DEFAULTS)
def test_maps_at_the_default_layer_are_not_all_empty(name):
    model, images = network(name)
    maps = cams.explain(model, images, methods=METHODS).maps
    assert torch.cat(list(maps.values())).amax() > 0.9


@pytest.mark.parametrize("name", ["resnet18", "residual", "dense"])
def test_a_network_is_traced_at_a_block(name):
    model, images = network(name)
    block = model.get_submodule(DEFAULTS[name][0])
    split = split_model(model, block, images[:1])
    assert isinstance(split, TracedModel)
    torch.testing.assert_close(split.forward(images, gradients=False).logits, model(images))


@pytest.mark.parametrize("layer", ["features.17", "features.18", "features.19", "features.20"])
def test_ablation_before_a_convolution_is_in_closed_form(layer, monkeypatch):
    model, images = network("cifar")
    split = split_model(model, model.get_submodule(layer), images[:1])
    assert isinstance(split.channelwise.linear, nn.Conv2d)
    maps = cams.heatmaps(model, images, method="ablation-cam-zero", target_layer=layer)
    monkeypatch.setattr(
        model_explainer, "split_model", lambda model, layer, image: HookedModel(model, layer)
    )
    expected = cams.heatmaps(model, images, method="ablation-cam-zero", target_layer=layer)
    assert expected.amax() > 0.9
    assert (maps - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"padding": (1, 2)},
        {"dilation": 2},
        {"kernel_size": (1, 3)},
        {"bias": False},
        {"groups": 2},
        {"padding_mode": "circular", "padding": 1},
        {"padding": "same"},
    ],
    ids=str,
)
def test_ablation_before_any_kind_of_convolution_equals_the_library(options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        first = nn.Conv2d(3, 6, 3), nn.ReLU()
        second = nn.Conv2d(6, 4, **({"kernel_size": 3} | options))
        tail = nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
        model = nn.Sequential(*first, second, *tail).eval()
        images = torch.rand(4, 3, 12, 12)
    split = split_model(model, model[1], images[:1])
    is_plain = options.get("padding") != "same" and not {"groups", "padding_mode"} & set(options)
    assert (split.channelwise is not None) == is_plain
    ours = cams.heatmaps(model, images, method="ablation-cam", target_layer="1")
    library = cams.heatmaps(
        model, images, method="ablation-cam", target_layer="1", engine="grad-cam"
    )
    assert ours.amax() > 0.9
    assert (ours - library).abs().max() < TOLERANCE


def test_the_last_layer_of_a_container_is_named_at_its_innermost():
    body = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Dropout())
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert cams.default_layer(model, torch.rand(1, 3, 9, 9)) == "0.0.1"


def test_an_in_place_relu_is_the_layer_and_not_the_convolution_before_it():
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert cams.default_layer(model, torch.rand(1, 3, 9, 9)) == "1"


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(7), nn.AdaptiveMaxPool2d(4)])
def test_an_adaptive_pool_that_enlarges_a_map_is_no_layer(pool):
    cells = pool.output_size**2
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4 * cells, 2)
    )
    assert cams.default_layer(model, torch.rand(1, 3, 6, 6)) == "1"


@pytest.mark.parametrize(("size", "layer"), [(6, "1"), (5, "1"), (4, "1"), (34, "2")])
def test_a_small_map_is_the_layer_only_if_there_is_no_larger_one(size, layer):
    convolution = nn.Conv2d(3, 4, 3)
    model = nn.Sequential(
        convolution, nn.ReLU(), nn.MaxPool2d(8, ceil_mode=True), nn.Flatten(), nn.LazyLinear(2)
    )
    image = torch.rand(1, 3, size, size)
    model(image)
    assert cams.default_layer(model, image) == layer


def test_images_before_the_first_convolution_are_no_feature_map():
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 9), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="no layer with a feature map .* of more than one cell"):
        cams.default_layer(model, torch.rand(1, 3, 9, 9))


@pytest.mark.parametrize("min_cells", [0, 2.5])
def test_the_fewest_cells_are_a_whole_number(min_cells):
    model, images = network("mnist")
    with pytest.raises(ValueError, match="min_cells must be"):
        cams.default_layer(model, images[:1], min_cells=min_cells)


# ---------------------------------------------------------------------- the readings

READINGS = {
    "cifar": {
        "last convolution, 2x2": "features.21",
        "its BatchNorm, 2x2": "features.22",
        "its ReLU, 2x2": "features.23",
        "convolution before, 8x8": "features.17",
        "its BatchNorm, 8x8": "features.18",
        "its ReLU, 8x8": "features.19",
        "its pool, 4x4": "features.20",
    },
    "stl": {
        "last convolution, 2x2": "features.19",
        "its BatchNorm, 2x2": "features.20",
        "its ReLU, 2x2": "features.21",
        "convolution before, 4x4": "features.16",
        "its BatchNorm, 4x4": "features.17",
        "its ReLU, 4x4": "features.18",
    },
    "vgg": {
        "last convolution, 4x4": "features.18",
        "its ReLU, 4x4": "features.19",
        "its pool, 2x2": "features.20",
        "convolution before, 8x8": "features.13",
        "its ReLU, 8x8": "features.14",
        "its pool, 4x4": "features.15",
    },
    "mnist": {
        "last convolution, 11x11": "conv2",
        "its ReLU, 11x11": "relu2",
        "its pool, 5x5": "pool2",
        "convolution before, 26x26": "conv1",
        "its ReLU, 26x26": "relu1",
        "its pool, 13x13": "pool1",
    },
    "resnet18": {
        "last convolution, 2x2": "layer4.1.conv2",
        "its BatchNorm, 2x2": "layer4.1.bn2",
        "its ReLU, 2x2": "layer4.1",
        "convolution before, 4x4": "layer3.1.conv2",
        "its BatchNorm, 4x4": "layer3.1.bn2",
        "its ReLU, 4x4": "layer3.1",
    },
    "residual": {
        "last convolution, 10x10": "block2.conv",
        "its BatchNorm, 10x10": "block2.norm",
        "its block, 10x10": "block2",
    },
    "shared": {
        "last convolution, 7x7": "conv2",
        "convolution before, 9x9": "conv1",
        "its ReLU, 9x9": "relu",
    },
}


@pytest.mark.parametrize("name", READINGS)
def test_the_readings_are_the_layers_after_the_last_two_sizes(name):
    model, images = network(name)
    readings = cams.readings(model, images[:1])
    assert readings == READINGS[name]
    assert list(readings) == list(READINGS[name])


def reading_cases():
    """Iterate over networks, readings and methods, but for those that the library cannot do.

    It ablates a layer at all of its calls.
    """
    for name, layers in READINGS.items():
        for layer in layers.values():
            for method in METHODS:
                is_ablation = method == "ablation-cam"
                is_shared = (name, layer) == ("shared", "relu")
                if not (is_ablation and is_shared):
                    yield name, layer, method


@pytest.mark.parametrize(("name", "layer", "method"), list(reading_cases()))
def test_maps_at_every_reading_equal_the_library(name, layer, method):
    assert_equal_to_library(name, layer, method)


def test_a_network_without_a_map_of_several_cells_has_no_readings():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    assert cams.readings(model, torch.rand(1, 3, 3, 3)) == {}
