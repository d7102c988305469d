"""Every family of classifiers in torchvision and timm, at the layers that explain it.

References: the pytorch-grad-cam library, called by hand at the layer that its README names, with
its own functions for tokens; networks are small, with random weights and one image.
"""

import copy
import dataclasses
import re
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from benchmarks import _families
from benchmarks._families import FAMILIES, reference_maps
from pruncam import cams
from pruncam.cams.target_layer import find_target_layer

TOLERANCE = 1e-4  # largest difference from the library in any pixel
GRADIENT_METHODS = ("grad-cam", "grad-cam++", "hires-cam", "layer-cam")


@cache
def network(title):
    """Return a family, its network and one image."""
    family = next(family for family in FAMILIES if family.title == title)
    return family, *family.network()


def outputs_of(model, image, *names):
    """Return the outputs of layers at their first calls."""
    outputs = {}
    handles = []
    for name in names:

        def record(module, inputs, output, name=name):
            outputs.setdefault(name, output.clone())

        handles.append(model.get_submodule(name).register_forward_hook(record))
    with torch.no_grad():
        model(image)
    for handle in handles:
        handle.remove()
    return [outputs[name] for name in names]


# ---------------------------------------------------------------------- every family

TITLES = [family.title for family in FAMILIES]


@pytest.mark.parametrize("title", TITLES)
def test_the_default_layer_is_the_one_that_the_field_names(title):
    family, model, image = network(title)
    ours, expected = outputs_of(model, image, cams.default_layer(model, image), family.layer)
    assert torch.equal(ours, expected)


@pytest.mark.parametrize("title", TITLES)
def test_maps_at_the_default_layer_equal_the_library_called_by_hand(title):
    family, model, image = network(title)
    maps = cams.explain(model, image, methods=GRADIENT_METHODS).maps
    assert not all(cams.is_empty(values).any() for values in maps.values())
    for method in GRADIENT_METHODS:
        expected = reference_maps(family, model, image, method)
        assert (maps[method] - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize(
    "title",
    [
        "torchvision ViT",
        "torchvision Swin",
        "torchvision ConvNeXt",
        "torchvision DenseNet",
        "timm deit_tiny_distilled_patch16_224",
    ],
)
@pytest.mark.parametrize("method", ["ablation-cam", "ablation-cam-zero"])
def test_ablation_maps_equal_the_library(title, method):
    _, model, image = network(title)
    options = {"method": method, "targets": [0, 1, 2]}  # the map of one class may be empty
    images = image.expand(3, -1, -1, -1)
    ours = cams.heatmaps(model, images, **options)
    library = cams.heatmaps(model, images, **options, engine="grad-cam")
    assert ours.amax() > 0.9
    assert (ours - library).abs().max() < TOLERANCE


@pytest.mark.parametrize("title", ["timm mobilenetv4_conv_small_035", "torchvision ResNet"])
@pytest.mark.parametrize("size", [32, 64])
def test_two_unrelated_networks_have_maps_of_several_cells_that_differ(title, size):
    family, model, _ = network(title)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        other = family.build().eval()
        images = torch.rand(4, 3, size, size)
    assert min(find_target_layer(model, images[:1], None).map_size) >= 4
    x, y = (cams.heatmaps(net, images, method="grad-cam") for net in (model, other))
    assert not cams.is_empty(x).any()
    assert (x - y).abs().mean() > 0.05


# ---------------------------------------------------------------------- channels last, tokens


@pytest.mark.parametrize(
    ("title", "layer", "transform"),
    [
        ("torchvision Swin", "norm", lambda output: output.permute(0, 3, 1, 2)),
        ("torchvision Swin", "features.5.0.norm2", lambda output: output.permute(0, 3, 1, 2)),
        ("torchvision Swin", "features.7.1.mlp.0", lambda output: output.permute(0, 3, 1, 2)),
        ("torchvision ConvNeXt", "features.5.0.block.2", lambda output: output.permute(0, 3, 1, 2)),
        ("torchvision ConvNeXt", "features.5.0.block.0", None),
        ("torchvision ConvNeXt", "features.6.0", None),
        ("timm convnext_atto", "stages.2.blocks.0.norm", None),
        ("timm swin_tiny_patch4_window7_224", "norm", lambda output: output.permute(0, 3, 1, 2)),
        ("timm mixer_s32_224", "blocks.0", lambda t: t.unflatten(1, (4, 4)).permute(0, 3, 1, 2)),
        (
            "torchvision ViT",
            "encoder.layers.encoder_layer_1",
            lambda t: t[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2),
        ),
    ],
)
@pytest.mark.parametrize("method", ["grad-cam", "layer-cam"])
def test_a_layer_of_any_layout_is_read_as_the_library_reads_it(title, layer, transform, method):
    family, model, image = network(title)
    family = dataclasses.replace(family, layer=layer, transform=transform)
    ours = cams.heatmaps(model, image, method=method, target_layer=layer)
    assert (ours - reference_maps(family, model, image, method)).abs().max() < TOLERANCE


@pytest.mark.parametrize(
    ("title", "layer"),
    [
        ("timm vit_tiny_patch16_224", "blocks.1.attn.q_norm"),
        ("timm vit_tiny_patch16_224", "head"),
        ("torchvision MaxViT", "blocks.0.layers.0.layers.window_attention.attn_layer.0"),
    ],
)
def test_an_output_that_is_no_map_is_refused(title, layer):
    _, model, image = network(title)
    with pytest.raises(ValueError, match="height and width are not known: pass reshape"):
        cams.heatmaps(model, image, method="grad-cam", target_layer=layer)


class Block(nn.Module):
    """A block of a transformer, normalised before attention."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(12), nn.LayerNorm(12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))

    def forward(self, x):
        tokens = self.norm1(x)
        x = x + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    """A vision transformer of no library: patches in tokens, with the class token at the end."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 12, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.block = Block()
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 5)

    def forward(self, x):
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([patches, self.token.expand(len(x), -1, -1)], 1)
        return self.head(self.norm(self.block(tokens))[:, -1])


def patches_first(output):
    """Return maps (N, C, 4, 5) of tokens whose last one is the class token."""
    return output[:, :-1].unflatten(1, (4, 5)).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def patches():
    """A network of no library, and five images that are not square."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Patches().eval(), 3 * torch.randn(5, 3, 32, 40)


def test_tokens_of_an_unknown_order_are_refused(patches):
    model, images = patches
    message = r"tokens of an unknown order, .* pass target_layer and reshape, .*'embed'"
    with pytest.raises(ValueError, match=message) as caught:
        cams.heatmaps(model, images, method="grad-cam")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"'block.norm1' .* got \(1, 21, 12\), .* pass reshape"):
        cams.heatmaps(model, images, method="grad-cam", target_layer="block.norm1")


@pytest.mark.parametrize("method", [*GRADIENT_METHODS, "ablation-cam", "ablation-cam-zero"])
def test_reshape_gives_the_maps_of_any_layer_as_in_the_library(patches, method):
    model, images = patches
    options = {"method": method, "target_layer": "block.norm1", "reshape": patches_first}
    options["targets"] = list(range(5))  # the map of one class may be empty
    ours = cams.heatmaps(model, images, **options)
    library = cams.heatmaps(model, images, **options, engine="grad-cam")
    assert ours.shape == (5, 32, 40)
    assert ours.amax() > 0.9
    assert (ours - library).abs().max() < TOLERANCE


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reshape": patches_first}, ValueError, "reshape needs target_layer, the layer whose"),
        (
            {"reshape": "14x14", "target_layer": "norm"},
            TypeError,
            "reshape must be a function from the output of the target layer .* got '14x14'",
        ),
        (
            {"reshape": lambda output: output.mean(2), "target_layer": "norm"},
            ValueError,
            r"reshape must return maps \(N, C, h, w\) of an output \(1, 21, 12\), got \(1, 21\)",
        ),
        (
            {"reshape": lambda output: output.view(1, 12, 4, 4), "target_layer": "norm"},
            ValueError,
            r"reshape cannot take the output \(1, 21, 12\) of the target layer: shape",
        ),
        (
            {
                "reshape": lambda t: (
                    t[:, :-1].unflatten(1, (4, 5)).repeat(1, 1, 1, 2).movedim(3, 1)
                ),
                "target_layer": "norm",
                "method": "ablation-cam",
            },
            ValueError,
            "Ablation-CAM needs a reshape that keeps the channels",
        ),
    ],
)
def test_a_reshape_that_does_not_fit_is_refused_in_one_sentence(patches, options, error, message):
    model, images = patches
    with pytest.raises(error, match=message) as caught:
        cams.heatmaps(model, images, **({"method": "grad-cam"} | options))
    assert "\n" not in str(caught.value)


class Wrapped(nn.Module):
    """A network of one's own around a backbone of timm."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.num_features, 3)

    def forward(self, x):
        return self.head(self.backbone(x))


@pytest.mark.parametrize(
    ("title", "layer"),
    [
        ("timm vit_tiny_patch16_224", "backbone.blocks.2.norm1"),
        ("timm swin_tiny_patch4_window7_224", "backbone.layers.3.blocks.1.norm1"),
        ("timm resnet18", "backbone.layer4.1.act2"),
    ],
)
def test_a_backbone_inside_another_network_is_known_too(title, layer):
    _, backbone, image = network(title)
    backbone = copy.deepcopy(backbone)
    backbone.reset_classifier(0)
    model = Wrapped(backbone).eval()
    assert cams.default_layer(model, image) == layer
    ours = cams.heatmaps(model, image, method="layer-cam")
    library = cams.heatmaps(model, image, method="layer-cam", engine="grad-cam")
    assert (ours - library).abs().max() < TOLERANCE


# ---------------------------------------------------------------------- branches


class TwoTowers(nn.Module):
    """Two convolutions side by side, whose means are concatenated; `joined` concatenates maps."""

    def __init__(self, joined):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 5, padding=2)
        self.join, self.head, self.joined = nn.Identity(), nn.Linear(8, 3), joined

    def forward(self, x):
        left, right = self.left(x).relu(), self.right(x).relu()
        if self.joined:
            return self.head(self.join(torch.cat([left, right], 1)).mean((2, 3)))
        means = [maps.mean((2, 3)) for maps in (left, right)]
        return self.head(torch.cat(means, 1))


def test_a_map_of_one_branch_is_never_the_default():
    image = torch.rand(1, 3, 12, 12)
    assert cams.default_layer(TwoTowers(joined=True), image) == "join"
    with pytest.raises(ValueError, match="no feature map through which all .* pass target_layer"):
        cams.default_layer(TwoTowers(joined=False), image)
    maps = cams.heatmaps(TwoTowers(joined=False), image, method="grad-cam", target_layer="left")
    assert maps.shape == (1, 12, 12)


class Multiscale(nn.Module):
    """A network that classifies the means of its last two sizes of map."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(14, 3)

    def forward(self, x):
        first = self.first(x)
        second = self.second(first)
        return self.head(torch.cat([first.mean((2, 3)), second.mean((2, 3))], 1))


def test_the_default_carries_all_that_the_logits_depend_on():
    assert cams.default_layer(Multiscale(), torch.rand(1, 3, 14, 14)) == "first.1"


class Frozen(nn.Module):
    """A network whose features are computed without gradients."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        with torch.no_grad():
            features = self.features(x)
        return self.head(functional.relu(features).mean((2, 3)))


def test_features_without_gradients_are_refused():
    image = torch.rand(1, 3, 12, 12)
    with pytest.raises(ValueError, match="do not depend on the image by any gradient"):
        cams.heatmaps(Frozen(), image, method="grad-cam")


def test_a_layer_with_maps_of_one_cell_is_refused():
    model, image = torchvision.models.resnet18(num_classes=3).eval(), torch.rand(1, 3, 32, 32)
    with pytest.raises(
        ValueError, match="'layer4' has maps of a single cell .* pass larger images"
    ):
        cams.heatmaps(model, image, method="grad-cam", target_layer="layer4")
    assert cams.default_layer(model, image) == "layer2.1"


def test_the_families_are_those_of_the_documentation():
    names = " ".join(TITLES).lower()
    families = (
        "alexnet vgg resnet resnext densenet googlenet inception mobilenet_v2 mobilenet_v3 "
        "mobilenetv4 efficientnet convnext regnet mnasnet shufflenet squeezenet vit deit swin "
        "maxvit mixer"
    )
    assert [name for name in families.split() if not re.search(rf"\b{name}", names)] == []


def test_the_committed_table_has_every_family_and_equals_the_library():
    table = pd.read_csv(Path(_families.__file__).with_name("families.csv"))
    assert [f"{row.library} {row.network}" for row in table.itertuples()] == TITLES
    assert (table[list(GRADIENT_METHODS)] < TOLERANCE).all(axis=None)
