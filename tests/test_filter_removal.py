"""Removed filters against zeroed ones, known counts and built networks; VGG11."""

import ast
import copy
import re

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from pruncam import pruning
from pruncam.networks import cifar_net, stl_net, vgg11
from pruncam.pruning.filter_removal import importances

RATES = [0, 0.35, 0.5, 0.7, 0.8, 0.88, 0.96]  # 0 and the PE-score paper's


def vgg(**arguments):
    torch.manual_seed(0)
    return settled(vgg11(5, image_size=32, width=4, classifier_width=30, **arguments))


def plain(make):
    torch.manual_seed(0)
    return settled(make(5, width=6))


def resnet18():
    torch.manual_seed(0)
    return settled(torchvision.models.resnet18(num_classes=5))


def settled(model):
    """BatchNorm as after training: nothing in it is 0 or 1 by default."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            if norm.affine:
                norm.weight.data.normal_()
                norm.bias.data.normal_()
    return model


class DenseStep(nn.Module):
    """Maps side by side, as in a DenseNet, and a depthwise convolution."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.norm, self.c = nn.BatchNorm2d(11), nn.Conv2d(11, 8, 3, padding=1)
        self.depthwise, self.fc = nn.Conv2d(8, 8, 3, groups=8), nn.Linear(8, 5)
        settled(self)

    def forward(self, x):
        x = F.relu(self.a(x))
        x = torch.cat([x, F.relu(self.b(x))], dim=1)
        x = F.relu(self.depthwise(F.relu(self.c(self.norm(x)))))
        return self.fc(x.mean(dim=(2, 3)))


NETWORKS = {
    "vgg11": vgg,
    "vgg11_bn": lambda: vgg(batch_norm=True),
    "cifar_net": lambda: plain(cifar_net),
    "stl_net": lambda: plain(stl_net),
    "resnet18": resnet18,
}
SIZES = {"stl_net": 96}


def images(name="", count=3):
    size = SIZES.get(name, 32)
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def weighty(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def zeroed(model, scores, rate):
    """Return a copy whose filters of lowest score have weight, bias and BatchNorm terms of 0."""
    model = copy.deepcopy(model)
    modules = [
        (name, m)
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)
    ]
    following = {name: after for (name, _), (_, after) in zip(modules, modules[1:], strict=False)}
    for names, values in scores.items():
        gone = values.argsort(stable=True)[: min(round(rate * len(values)), len(values) - 1)]
        for name in names.split(", "):
            silent = [model.get_submodule(name)]
            after = following.get(name)
            silent += [after] if isinstance(after, nn.BatchNorm2d) else []
            for module in silent:
                for key in ("weight", "bias", "running_mean"):
                    if getattr(module, key, None) is not None:
                        getattr(module, key).data[gone] = 0
    return model


@pytest.mark.parametrize("importance", ["l2", "random"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_with_filters_removed_gives_what_it_gives_with_them_zeroed(name, importance):
    model, x = NETWORKS[name]().eval(), images(name)
    arguments = {"importance": importance, "example_input": x[:1], "seed": 3}
    small = pruning.remove_filters(model, 0.6, **arguments)
    expected = zeroed(model, importances(model, 0.6, **arguments), 0.6)(x)
    assert not torch.allclose(expected, model(x), atol=1e-3), "what was zeroed must matter"
    scale = float(expected.abs().max().detach())
    torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", ["vgg11", "cifar_net"])
def test_every_layer_but_the_last_loses_the_same_share(name, rate):
    model = NETWORKS[name]()
    small = pruning.remove_filters(model, rate, example_input=images()[:1])
    before, after = weighty(model), weighty(small)
    for layer in list(before)[:-1]:
        filters = len(before[layer].weight)
        assert len(after[layer].weight) == max(1, filters - round(rate * filters))
    assert len(list(after.values())[-1].weight) == 5
    for one, other in zip(list(after.values()), list(after.values())[1:], strict=False):
        inputs = one.weight.shape[0]
        assert other.weight.shape[1] == inputs
    for module in after.values():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (module.out_channels, module.in_channels)
        else:
            assert module.weight.shape == (module.out_features, module.in_features)
    assert small(images()).shape == (3, 5)


def test_channel_counts_of_a_pruned_resnet18():
    small = pruning.remove_filters(resnet18(), 0.35, example_input=images()[:1])
    left = {
        64: 64 - 22,
        128: 128 - 45,
        256: 256 - 90,
        512: 512 - 179,
    }  # round(.35 n): 22.4, 44.8, 89.6, 179.2
    for name, module in resnet18().named_modules():
        if isinstance(module, nn.Conv2d):
            assert small.get_submodule(name).out_channels == left[module.out_channels], name
    assert (small.fc.in_features, small.fc.out_features) == (left[512], 5)


@settings(max_examples=15, deadline=None)
@given(filters=st.integers(1, 12), hidden=st.integers(1, 12), rate=st.floats(0, 0.999))
def test_any_rate_leaves_what_round_says_and_one_at_least(filters, hidden, rate):
    model = nn.Sequential(
        nn.Conv2d(2, filters, 3), nn.Flatten(), nn.Linear(4 * filters, hidden), nn.Linear(hidden, 3)
    )
    small = pruning.remove_filters(model, rate, example_input=torch.zeros(1, 2, 4, 4))
    assert small[0].out_channels == max(1, filters - round(rate * filters))
    assert small[2].in_features == 4 * small[0].out_channels
    assert small[2].out_features == small[3].in_features == max(1, hidden - round(rate * hidden))
    assert small[3].out_features == 3


def built(strengths=(3.0, 1.0, 2.0, 4.0)):
    """Return filters of norms `strengths`, then hidden neurons of norms 2, 1 and 3.

    Biases are large where norms are small.
    """
    model = nn.Sequential(
        nn.Conv2d(1, len(strengths), 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(len(strengths), 3),
        nn.Linear(3, 2),
    )
    model[0].weight.data = torch.tensor(strengths)[:, None, None, None]
    model[0].bias.data = 10 / torch.tensor(strengths)
    model[3].weight.data = torch.tensor([[2.0], [1.0], [3.0]]) * torch.eye(3, len(strengths))
    return model


def test_the_least_important_filters_of_a_built_network_go():
    model = built()
    small = pruning.remove_filters(model, 0.5, example_input=torch.zeros(1, 1, 1, 1))
    assert small[0].weight.flatten().tolist() == [3, 4], (
        "1 and 2 are the smallest norms; biases do not count"
    )
    assert torch.equal(small[0].bias, model[0].bias[[0, 3]])
    assert torch.equal(
        small[3].weight,
        model[3].weight[:, [0, 3]][[2]] if len(small[3].weight) == 1 else small[3].weight,
    )
    assert small[3].out_features == 1 and torch.equal(small[4].weight, model[4].weight[:, [2]])


def test_norms_are_those_before_any_removal():
    """Neuron 1 reads mostly the removed filter; the paper's Weight depends on the neuron alone."""
    model = built((4.0, 0.1))
    model[3].weight.data = torch.tensor([[1.0, 0], [0.5, 9], [2, 0]])
    small = pruning.remove_filters(model, 0.5, example_input=torch.zeros(1, 1, 1, 1))
    assert small[0].weight.flatten().tolist() == [4] and small[3].weight.flatten().tolist() == [0.5]


def test_of_equal_filters_the_first_go():
    small = pruning.remove_filters(
        built((1.0, 2.0, 1.0, 1.0)), 0.5, example_input=torch.zeros(1, 1, 1, 1)
    )
    assert small[0].weight.flatten().tolist() == [2, 1]
    assert torch.equal(small[3].weight[0, 1], built()[3].weight[0, 3]), (
        "the last of the three stays"
    )


def test_layers_added_together_lose_the_same_filters_by_their_mean_norm():
    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.fc = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 1), nn.Linear(3, 2)
            self.a.weight.data = torch.tensor([5.0, 1, 3])[:, None, None, None]
            self.b.weight.data = torch.tensor([1.0, 6, 2])[:, None, None, None]

        def forward(self, x):
            return self.fc(F.relu(self.a(x) + self.b(x)).mean(dim=(2, 3)))

    arguments = {"example_input": torch.zeros(1, 1, 2, 2)}
    small = pruning.remove_filters(Added(), 0.34, **arguments)
    assert importances(Added(), 0.34, **arguments)["a, b"].tolist() == [3, 3.5, 2.5]
    assert small.a.weight.flatten().tolist() == [5, 1] and small.b.weight.flatten().tolist() == [
        1,
        6,
    ]


def test_layers_whose_outputs_are_added_to_the_networks_output_are_kept():
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 3)

        def forward(self, x):
            x = F.relu(self.hidden(x.flatten(1)))
            return self.a(x) + self.b(x)

    small = pruning.remove_filters(TwoHeads(), 0.5, example_input=torch.zeros(1, 1, 2, 2))
    assert (small.hidden.out_features, small.a.out_features, small.b.out_features) == (4, 3, 3)


def test_a_convolution_as_last_layer_is_kept():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    small = pruning.remove_filters(model, 0.5, example_input=images()[:1])
    assert (small[0].out_channels, small[2].in_channels, small[2].out_channels) == (4, 4, 4)


@pytest.mark.parametrize("importance", ["l2", "senpis-faster"])
def test_maps_side_by_side_and_depthwise_convolutions_lose_their_filters(importance):
    model, x = DenseStep().eval(), images()
    arguments = {
        "importance": importance,
        "example_input": x[:1],
        "batch": (x, torch.tensor([0, 1, 2])),
    }
    small = pruning.remove_filters(model, 0.5, **arguments)
    assert (small.a.out_channels, small.b.out_channels, small.c.out_channels) == (3, 3, 4)
    assert (small.depthwise.groups, small.depthwise.in_channels, small.fc.in_features) == (4, 4, 4)
    scores, expected = importances(model, 0.5, **arguments), copy.deepcopy(model)
    assert list(scores) == ["a", "b", "c, depthwise"]
    gone = {
        name: values.argsort(stable=True)[: round(0.5 * len(values))]
        for name, values in scores.items()
    }
    silent = {
        "a": gone["a"],
        "b": gone["b"],
        "c": gone["c, depthwise"],
        "depthwise": gone["c, depthwise"],
    }
    for name, filters in (silent | {"norm": torch.cat([gone["a"], 6 + gone["b"]])}).items():
        for key in ("weight", "bias", "running_mean"):
            if hasattr(expected.get_submodule(name), key):
                getattr(expected.get_submodule(name), key).data[filters] = 0
    torch.testing.assert_close(small(x), expected(x), rtol=0, atol=1e-5)


def test_filters_alone_or_neurons_alone():
    filters = pruning.remove_filters(vgg(), 0.5, layers=("conv",), example_input=images()[:1])
    neurons = pruning.remove_filters(vgg(), 0.5, layers=("linear",), example_input=images()[:1])
    assert [m.out_features for m in filters.classifier if isinstance(m, nn.Linear)] == [30, 30, 5]
    assert [m.out_channels for m in filters.features if isinstance(m, nn.Conv2d)] == [
        2,
        4,
        8,
        8,
        16,
        16,
        16,
        16,
    ]
    assert [m.out_features for m in neurons.classifier if isinstance(m, nn.Linear)] == [15, 15, 5]
    assert [m.out_channels for m in neurons.features if isinstance(m, nn.Conv2d)] == [
        4,
        8,
        16,
        16,
        32,
        32,
        32,
        32,
    ]


def test_a_callable_decides_by_name_and_layer():
    shapes = {}

    def last_first(name, layer):
        shapes[name] = layer.weight.shape
        return -torch.arange(len(layer.weight))

    model = vgg()
    small = pruning.remove_filters(model, 0.5, importance=last_first, example_input=images()[:1])
    assert shapes == {name: m.weight.shape for name, m in list(weighty(model).items())[:-1]}
    assert torch.equal(small.features[0].weight, model.features[0].weight[:2])
    assert torch.equal(small.classifier[3].weight, model.classifier[3].weight[:15, :15])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (torch.zeros(3), ValueError, r"finite numbers in shape \(4,\) for features.0, got \(3,\)"),
        (torch.full((4,), torch.nan), ValueError, "must return finite numbers in shape"),
        ([1, 2, 3, 4], TypeError, "importance must return a tensor, got list for features.0"),
    ],
)
def test_what_a_callable_returns_is_checked(values, error, message):
    with pytest.raises(error, match=message):
        pruning.remove_filters(
            vgg(), 0.5, importance=lambda name, layer: values, example_input=images()[:1]
        )


def test_random_filters_are_the_seeds():
    one, again, other = (
        pruning.remove_filters(
            vgg(), 0.5, importance="random", seed=seed, example_input=images()[:1]
        )
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not all(
        torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_given_model_and_all_modes_stay(training):
    model = vgg(batch_norm=True).train(training)
    model.features[1].train(not training)
    model.features[0].weight.requires_grad_(False)
    model(images()).sum().backward()
    before, grads = copy.deepcopy(model.state_dict()), [p.grad for p in model.parameters()]
    torch.manual_seed(5)
    following = torch.rand(1)
    torch.manual_seed(5)
    small = pruning.remove_filters(model, 0.5, example_input=images()[:1])
    assert torch.equal(torch.rand(1), following), "the global random state was used"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is g for p, g in zip(model.parameters(), grads, strict=True))
    for name, module in model.named_modules():
        assert small.get_submodule(name).training == module.training, name
        assert not module._forward_hooks and not small.get_submodule(name)._forward_hooks
    for name, parameter in model.named_parameters():
        assert small.get_parameter(name).requires_grad == parameter.requires_grad, name


def test_a_rate_of_zero_gives_an_equal_copy_that_shares_nothing():
    model = vgg()
    copied = pruning.remove_filters(model, 0, importance="random", example_input=images()[:1])
    assert all(
        torch.equal(a, b) for a, b in zip(copied.parameters(), model.parameters(), strict=True)
    )
    copied.features[0].weight.data.zero_()
    assert model.features[0].weight.any()


def test_masks_are_dropped_and_frozen_or_foreign_types_of_models_are_cut_too():
    masked = pruning.global_unstructured(vgg(), 0.5)
    small = pruning.remove_filters(masked, 0.5, example_input=images()[:1])
    assert not pruning.masks(small)
    assert torch.equal(
        small.classifier[6].weight == 0, (masked.classifier[6].weight == 0)[:, _kept(masked, small)]
    )
    frozen = pruning.remove_filters(
        vgg().double().requires_grad_(False), 0.5, example_input=images()[:1]
    )
    assert (
        not any(p.requires_grad for p in frozen.parameters())
        and frozen.features[0].weight.dtype == torch.float64
    )
    with torch.inference_mode():
        inside = pruning.remove_filters(vgg(), 0.5, example_input=images()[:1])
    assert inside.features[0].out_channels == 2 and not inside.features[0].weight.is_inference()


def _kept(model, small):
    """Return the neurons before the last layer that are left, recognised by their biases."""
    return torch.isin(model.classifier[3].bias, small.classifier[3].bias)


def test_a_pruned_network_can_be_trained_and_pruned_again():
    small = pruning.remove_filters(vgg(), 0.5, example_input=images()[:1])
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    before = [parameter.detach().clone() for parameter in small.parameters()]
    F.cross_entropy(small(images()), torch.tensor([0, 1, 2])).backward()
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, small.parameters(), strict=True))
    smaller = pruning.remove_filters(small, 0.5, example_input=images()[:1])
    assert [m.out_channels for m in smaller.features if isinstance(m, nn.Conv2d)] == [
        1,
        2,
        4,
        4,
        8,
        8,
        8,
        8,
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rate": 1}, ValueError, r"fraction .* filters to remove, in \[0, 1\), got 1"),
        ({"rate": -0.1}, ValueError, "got -0.1"),
        ({"rate": float("nan")}, ValueError, "got nan"),
        ({"rate": "0.5"}, TypeError, "rate must be a number, got '0.5'"),
        (
            {"importance": "l1"},
            ValueError,
            "unknown importance 'l1': choose one of l2, random, senpis-faster, senpis",
        ),
        ({"layers": ("norm",)}, ValueError, "layers must be taken from conv, linear"),
        ({"seed": 1.5}, ValueError, "seed must be a whole number"),
        (
            {"example_input": None},
            TypeError,
            "example_input must be images as a floating-point tensor, got None",
        ),
        (
            {"example_input": torch.zeros(1, 1, 32, 32)},
            ValueError,
            r"cannot take images of shape \(1, 32, 32\)",
        ),
        ({"model": "net"}, TypeError, "model must be a torch.nn.Module, got str"),
        (
            {"model": nn.Sequential(nn.ReLU())},
            ValueError,
            "nothing to prune: Sequential has no conv or linear layer",
        ),
        (
            {"model": nn.Sequential(nn.Linear(3, 2)), "layers": ("conv",)},
            ValueError,
            "Sequential has no conv layer",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        pruning.remove_filters(
            **({"model": vgg(), "rate": 0.5, "example_input": images()[:1]} | arguments)
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_cannot_be_ranked(value):
    model = vgg()
    model.classifier[0].weight.data[2, 5] = value
    with pytest.raises(ValueError, match="weights that are nan or infinite"):
        pruning.remove_filters(model, 0.5, example_input=images()[:1])


def test_pytorchs_masks_are_refused():
    model = vgg()
    prune.l1_unstructured(model.features[0], "weight", 0.5)
    with pytest.raises(ValueError, match="torch.nn.utils.prune holds the weights of 'features.0'"):
        pruning.remove_filters(model, 0.5, example_input=images()[:1])


# ---------------------------------------------------------------- what cannot be removed


class Between(nn.Module):
    """A convolution, something that `use` does to its maps, another convolution, FC layers."""

    def __init__(self, use, channels=8, inputs=8, **parts):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(3, channels, 3, padding=1)
        self.b = nn.Conv2d(inputs, 6, 3, padding=1)
        self.hidden, self.fc = nn.Linear(6, 10), nn.Linear(10, 3)
        self.use = use
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        x = F.relu(self.b(self.use(self, self.a(x))))
        return self.fc(F.relu(self.hidden(x.mean((2, 3)))))


def gated(net, x):
    x = F.relu(x)
    return x * torch.sigmoid(net.gate(x))


def chunked(net, x):
    first, second = F.relu(x).chunk(2, dim=1)
    return torch.cat([first, F.relu(net.partial(second))], dim=1)


def sliced(net, x):
    return F.relu(x)[:, 4:]


class Attention(nn.Module):
    """Attention between the cells of a map, added to the map."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class Mixer(nn.Module):
    """An FC layer over the 64 cells of a map, and one over its channels, normalised."""

    def __init__(self):
        super().__init__()
        self.cells, self.norm, self.channels = nn.Linear(64, 64), nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x):
        tokens = x.flatten(2)
        tokens = (tokens + self.cells(tokens)).transpose(1, 2)
        tokens = tokens + self.channels(self.norm(tokens))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class Scaled(nn.Module):
    """A learned factor for every channel, as in a ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.linspace(0.5, 2, 8).view(8, 1, 1))

    def forward(self, x):
        return self.factor * x


class SqueezeExcite(nn.Module):
    """A factor for every channel, computed from the means of all."""

    def __init__(self):
        super().__init__()
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)

    def forward(self, x):
        factors = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * factors[:, :, None, None]


FAULTY = {
    "GroupNorm of two groups": lambda: Between(
        lambda net, x: F.relu(net.norm(x)), norm=nn.GroupNorm(2, 8)
    ),
    "GroupNorm of one group": lambda: Between(
        lambda net, x: F.relu(net.norm(x)), norm=nn.GroupNorm(1, 8)
    ),
    "ChannelShuffle": lambda: Between(
        lambda net, x: net.shuffle(F.relu(x)), shuffle=nn.ChannelShuffle(2)
    ),
    "PixelShuffle": lambda: Between(
        lambda net, x: F.pixel_shuffle(F.relu(x), 2), channels=8, inputs=2
    ),
    "sigmoid": lambda: Between(lambda net, x: torch.sigmoid(x)),
    "attention gate": lambda: Between(gated, gate=nn.Conv2d(8, 1, 1)),
    "chunk": lambda: Between(chunked, partial=nn.Conv2d(4, 4, 1)),
    "attention": lambda: Between(lambda net, x: net.part(F.relu(x)), part=Attention()),
    "mixer": lambda: Between(lambda net, x: net.part(F.relu(x)), part=Mixer()),
    "learned shift": lambda: Between(lambda net, x: F.relu(x + net.part.factor), part=Scaled()),
    "broadcast": lambda: Between(lambda net, x: F.relu(x).mean(1, keepdim=True).expand_as(x)),
    "GLU": lambda: Between(lambda net, x: F.glu(x, dim=1), inputs=4),
    "numbered slice": lambda: Between(sliced, inputs=4),
    "grouped convolution": lambda: Between(
        lambda net, x: net.grouped(F.relu(x)), grouped=nn.Conv2d(8, 8, 3, padding=1, groups=2)
    ),
    "weight_norm": lambda: Between(
        lambda net, x: net.normed(F.relu(x)),
        normed=nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3, padding=1)),
    ),
}


@pytest.mark.filterwarnings("ignore::UserWarning:torch_pruning")
@pytest.mark.parametrize("name", FAULTY)
def test_layers_whose_filters_cannot_be_removed_are_named_and_may_stay_whole(name):
    model, x = FAULTY[name]().eval(), torch.randn(2, 3, 8, 8)
    with pytest.raises(ValueError, match="filters of some layers cannot be removed") as caught:
        pruning.remove_filters(model, 0.5, example_input=x[:1])
    named = ast.literal_eval(re.search(r"ignored_layers=(\[.*\])", str(caught.value))[1])
    assert named and len(set(named)) == len(named) and set(named) <= set(weighty(model))
    assert "hidden" not in named and "\n" not in str(caught.value)
    arguments = {"example_input": x[:1], "ignored_layers": named}
    small = pruning.remove_filters(model, 0.5, **arguments)
    assert small.hidden.out_features == 5
    expected = zeroed(model, importances(model, 0.5, **arguments), 0.5)(x)
    torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("part", [Scaled, SqueezeExcite])
def test_factors_of_channels_are_cut_with_their_filters(part):
    model, x = Between(lambda net, x: net.part(F.relu(x)), part=part()).eval(), images()
    arguments = {"example_input": x[:1]}
    small = pruning.remove_filters(model, 0.5, **arguments)
    assert (small.a.out_channels, small.b.in_channels) == (4, 4)
    expected = zeroed(model, importances(model, 0.5, **arguments), 0.5)(x)
    assert not torch.allclose(expected, model(x), atol=1e-3), "what was zeroed must matter"
    torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-5)


def test_a_transformer_loses_hidden_features_beside_the_layers_that_are_named():
    torch.manual_seed(0)
    sizes = {"image_size": 16, "patch_size": 8, "num_layers": 2, "num_heads": 2}
    model = torchvision.models.VisionTransformer(
        **sizes, hidden_dim=16, mlp_dim=32, num_classes=5
    ).eval()
    nn.init.normal_(model.heads.head.weight)  # zeros before training
    x = torch.randn(2, 3, 16, 16)
    with pytest.raises(ValueError, match="filters of some layers cannot be removed") as caught:
        pruning.remove_filters(model, 0.5, example_input=x[:1])
    named = ast.literal_eval(re.search(r"ignored_layers=(\[.*\])", str(caught.value))[1])
    small = pruning.remove_filters(model, 0.5, example_input=x[:1], ignored_layers=named)
    hidden = [small.get_submodule(f"encoder.layers.encoder_layer_{k}.mlp.0") for k in (0, 1)]
    assert [layer.out_features for layer in hidden] == [16, 16]
    scores = importances(model, 0.5, example_input=x[:1], ignored_layers=named)
    expected = zeroed(model, scores, 0.5)(x)
    torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-5)


def test_a_flatten_after_a_permutation_is_not_cut_in_silence():
    class Permuted(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(24, 3)

        def forward(self, x):
            return self.fc(F.adaptive_avg_pool2d(self.a(x), 2).permute(0, 2, 3, 1).flatten(1))

    message = r"not those of zeroed filters .* with ignored_layers=\['a'\]"
    with pytest.raises(ValueError, match=message):
        pruning.remove_filters(Permuted(), 0.5, example_input=torch.randn(1, 3, 8, 8))


def test_a_branch_scaled_to_almost_nothing_is_checked_too():
    """As a ConvNeXt's before training: a wrong cut would change the output by a millionth."""
    model = Between(lambda net, x: F.relu(x)).eval()
    model.use = lambda net, x: 1e-6 * torch.sigmoid(x)
    with pytest.raises(ValueError, match=r"ignored_layers=\['a'\]"):
        pruning.remove_filters(model, 0.5, example_input=torch.randn(1, 3, 8, 8))


def test_senpis_refuses_the_same_layers_before_it_ranks_any():
    model, x = FAULTY["GroupNorm of two groups"](), torch.randn(2, 3, 8, 8)
    arguments = {"importance": "senpis-faster", "batch": (x, torch.tensor([0, 1]))}
    with pytest.raises(ValueError, match=r"ignored_layers=\['a'\]"):
        pruning.remove_filters(model, 0.5, example_input=x, **arguments)
    small = pruning.remove_filters(model, 0.5, example_input=x, ignored_layers=["a"], **arguments)
    assert (small.a.out_channels, small.b.out_channels) == (8, 3)


def test_a_rate_of_zero_has_nothing_to_refuse():
    model = FAULTY["grouped convolution"]()
    assert pruning.remove_filters(model, 0, example_input=torch.randn(1, 3, 8, 8)).a.out_channels


def test_networks_that_torch_pruning_cannot_follow_are_refused_in_a_sentence():
    model = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    with pytest.raises(ValueError, match="cannot follow the forward pass of ShuffleNetV2"):
        pruning.remove_filters(model, 0.5, example_input=torch.randn(1, 3, 32, 32))


def test_ignored_layers_must_exist():
    with pytest.raises(ValueError, match="names 'feature.0', .* did you mean features.0"):
        pruning.remove_filters(vgg(), 0.5, example_input=images()[:1], ignored_layers=["feature.0"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("importance", ["l2", "senpis"])
def test_a_model_on_a_gpu_loses_the_same_filters(importance):
    arguments = {
        "importance": importance,
        "example_input": images()[:1],
        "batch": (images(), torch.tensor([0, 1, 2])),
    }
    model = vgg(batch_norm=True).double()
    here, there = (
        pruning.remove_filters(m, 0.5, **arguments) for m in (model, copy.deepcopy(model).cuda())
    )
    assert all(
        torch.equal(a, b.cpu()) for a, b in zip(here.parameters(), there.parameters(), strict=True)
    )


# ---------------------------------------------------------------- VGG11


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg11_is_torchvisions(batch_norm):
    with torch.device("meta"):  # shapes alone: 133 million weights
        ours = vgg11(1000, batch_norm=batch_norm)
        theirs = (torchvision.models.vgg11_bn if batch_norm else torchvision.models.vgg11)()
    shapes = [
        {name: value.shape for name, value in model.state_dict().items()}
        for model in (ours, theirs)
    ]
    assert list(shapes[0].items()) == list(shapes[1].items())


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg11_computes_what_torchvisions_does(batch_norm):
    """Torchvision's class with the same layer plan, narrow; its head is cut to our width."""
    plan = [4, "M", 8, "M", 16, 16, "M", 32, 32, "M", 32, 32, "M"]
    theirs = torchvision.models.vgg.VGG(
        torchvision.models.vgg.make_layers(plan, batch_norm), num_classes=5
    )
    theirs.classifier[0], theirs.classifier[3] = nn.Linear(32 * 49, 20), nn.Linear(20, 20)
    theirs.classifier[6] = nn.Linear(20, 5)
    settled(theirs).eval()
    ours = vgg11(5, width=4, classifier_width=20, batch_norm=batch_norm).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 224, 224)
    assert torch.equal(ours(x), theirs(x)) and theirs(x).std() > 0


@pytest.mark.parametrize(("size", "grid"), [(32, 1), (48, 1), (96, 3), (224, 7), (256, 7)])
def test_vgg11_keeps_the_last_maps_own_size_up_to_seven(size, grid):
    model = vgg11(image_size=size, width=2, classifier_width=8, in_channels=1)
    assert model.classifier[0].in_features == 16 * grid**2
    x = torch.randn(1, 1, size, size)
    assert model(x).shape == (1, 10)
    if size < 224:
        assert torch.equal(model.avgpool(model.features(x)), model.features(x)), (
            "the pool must do nothing"
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image_size": 28}, ValueError, "image_size must be at least 32, got 28"),
        ({"image_size": 32.5}, ValueError, "image_size must be a whole number of at least 32"),
        ({"classes": 0}, ValueError, "classes must be at least 1, got 0"),
        ({"width": "64"}, TypeError, "width must be a whole number of at least 1, got '64'"),
        ({"in_channels": 0}, ValueError, "in_channels must be at least 1, got 0"),
    ],
)
def test_vgg11_refuses_sizes_that_are_none(arguments, error, message):
    with pytest.raises(error, match=message):
        vgg11(**arguments)
