"""Parameters and FLOPs against the Sp2PS paper's examples, counts by hand, PyTorch's counter."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from pruncam import cost, networks, pruning


def layer_cost(total, name):
    return total.layers.set_index("layer").loc[name]


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def test_the_first_layer_of_the_papers_network():
    total = cost.count(networks.cifar_net(), (3, 32, 32))
    first = layer_cost(total, "features.0")
    assert (first["parameters"], first["flops"]) == (3584, 7_077_888)


def test_the_first_layer_with_102_of_its_128_filters():
    model = nn.Sequential(nn.Conv2d(3, 102, 3, padding=1), nn.Flatten())
    first = layer_cost(cost.count(model, (3, 32, 32)), "0")
    assert (first["parameters"], first["flops"]) == (2856, 5_640_192)


def test_the_papers_network_has_9_3_million_parameters_and_needs_1_3_gigaflops():
    network = networks.cifar_net()
    total = cost.count(network, (3, 32, 32))
    assert round(total.parameters / 1e6, 1) == 9.3
    assert round(total.flops / 1e9, 1) == 1.3
    assert total.parameters == sum(p.numel() for p in network.parameters())
    # A uniform float32 draw is exactly 0 about once in 2^24.
    assert 0 <= total.parameters - total.nonzero < 20
    assert total.parameters == total.layers["parameters"].sum()
    assert total.flops == total.layers["flops"].sum()


@pytest.mark.parametrize("classes", [10, 100])
def test_the_networks_end_in_one_pixel_and_a_linear_layer(classes):
    for network, size, widths in (
        (networks.cifar_net(classes), 32, [128, 128, 256, 256, 512, 512, 1024]),
        (networks.stl_net(classes), 96, [32, 64, 128, 128, 256, 256]),
    ):
        assert [layer.out_channels for layer in convolutions(network)] == widths
        assert network(torch.zeros(2, 3, size, size)).shape == (2, classes)
        assert network.classifier.in_features == widths[-1]
    assert convolutions(networks.cifar_net(width=32))[-1].out_channels == 256


def test_every_layer_by_hand():
    model = nn.Sequential(
        nn.Conv2d(4, 6, (3, 5), stride=2, groups=2, bias=False),  # 9x9 -> 4x3
        nn.BatchNorm2d(6),
        nn.AvgPool2d(2, stride=1),  # -> 3x2
        nn.Flatten(),
        nn.Linear(36, 5),
    )
    layers = cost.count(model, (4, 9, 9)).layers
    assert layers["kind"].tolist() == ["Conv2d", "BatchNorm2d", "AvgPool2d", "Linear"]
    assert layers["output"].tolist() == ["6x4x3", "6x4x3", "6x3x2", "5"]
    assert layers["parameters"].tolist() == [6 * 3 * 5 * 2, 12, 0, 36 * 5 + 5]
    convolution = 2 * (3 * 5 * 2) * (6 * 4 * 3)
    assert layers["flops"].tolist() == [convolution, 0, 6 * 3 * 2, 2 * 36 * 5]


def test_pooling_divides_by_its_stride_as_printed():
    # Eq. 5 divides the layer's output by the stride once more: 8x8x2 pooled by 2 is 4x4x2, and
    # (4/2)(4/2)2 = 8.
    total = cost.count(nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), (2, 8, 8))
    assert (total.flops, total.parameters) == (8, 0)


@pytest.mark.parametrize(
    "network", [networks.cifar_net(width=8), networks.mnist_net()], ids=["cifar", "mnist"]
)
def test_convolutions_and_fc_layers_equal_pytorchs_counter(network):
    shape = (1, 28, 28) if isinstance(network[0], nn.Conv2d) else (3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, *shape))
    layers = cost.count(network, shape).layers
    counted = layers[layers["kind"].isin(["Conv2d", "Linear"])]
    assert counted["flops"].sum() == counter.get_total_flops()


def test_masks_lower_the_nonzero_parameters_and_nothing_else():
    model = networks.initialize(networks.mnist_net(), "kaiming-normal", 0)
    dense = cost.count(model, (1, 28, 28))
    sparse = cost.count(pruning.global_unstructured(model, 0.75), (1, 28, 28))
    assert (dense.parameters, dense.flops) == (sparse.parameters, sparse.flops)
    assert dense.nonzero - sparse.nonzero == round(0.75 * 2324)


def test_masks_of_pytorch_are_counted_too():
    model = networks.initialize(networks.mnist_net(), "kaiming-normal", 0)
    prune.l1_unstructured(model.fc, "weight", amount=500)
    total = cost.count(model, (1, 28, 28))
    assert (total.parameters, total.nonzero) == (2346, 1846)


def test_a_layer_applied_twice_has_twice_the_flops_and_once_the_parameters():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x)).mean((2, 3))

    total = cost.count(Twice(), (2, 5, 5))
    assert total.parameters == 38
    assert total.flops == 2 * 2 * 18 * 50


def test_parameters_that_no_layer_call_shows_are_counted_and_shared_ones_once():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2)
            self.first = nn.Linear(8, 8)
            self.second = nn.Linear(8, 8)
            self.second.weight = self.first.weight
            self.unused = nn.Linear(3, 3)

        def forward(self, x):
            x = x.flatten(2).permute(2, 0, 1)
            return self.second(self.first(self.attention(x, x, x)[0].mean(0)))

    model = Attending()
    total = cost.count(model, (8, 3, 3))
    # PyTorch lists every parameter once.
    assert total.parameters == sum(p.numel() for p in model.parameters())
    assert total.flops == 2 * 2 * 8 * 8
    statistics = nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)
    )
    assert cost.count(statistics, (1, 2, 2)).parameters == 8 + 10


def test_the_model_is_left_unchanged():
    model = networks.cifar_net(width=4).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cost.count(model, (3, 32, 32))
    assert model.training and not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("shape", [(), (3, 0, 32), (3.0, 32, 32), 32, "32"])
def test_an_invalid_shape_is_refused(shape):
    message = r"input_shape must be one image's shape, such as \(3, 32, 32\), got"
    with pytest.raises(ValueError, match=message):
        cost.count(networks.mnist_net(), shape)


def test_a_shape_that_does_not_fit_and_a_wrong_type_are_refused():
    with pytest.raises(ValueError, match="the model cannot take images of shape \\(3, 32, 32\\)"):
        cost.count(networks.mnist_net(), (3, 32, 32))
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got str"):
        cost.count("vgg11", (3, 32, 32))
