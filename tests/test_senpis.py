"""SeNPIS against a literal oracle: zero a filter, run the network, read each class's loss."""

import copy
import threading

import numpy as np
import pytest
import torch
import torchvision
from skimage.metrics import structural_similarity
from torch import nn
from torch.nn import functional as F

from pruncam import pruning
from pruncam.networks import cifar_net, stl_net, vgg11
from pruncam.pruning import fast_conv, senpis
from pruncam.pruning.filter_removal import importances


def chain(seed=0, batch_norm=False, inplace=True):
    """Return a chain of three convolutions and two hidden FC layers.

    One convolution is strided and padded by reflection, one reads pooled maps.
    """
    torch.manual_seed(seed)

    def norm(filters):
        return [settled(nn.BatchNorm2d(filters))] if batch_norm else []

    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        *norm(6),
        nn.ReLU(inplace),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 7, 3, stride=2, padding=1, padding_mode="reflect"),
        *norm(7),
        nn.LeakyReLU(0.1, inplace),
        nn.Conv2d(7, 8, 2, bias=False),
        *norm(8),
        nn.ReLU(inplace),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 9),
        nn.ReLU(inplace),
        nn.Dropout(),
        nn.Linear(9, 5),
        nn.Tanh(),
        nn.Linear(5, 3),
    )


def settled(norm):
    """A BatchNorm in which nothing is 0 or 1 by default."""
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        if tensor is not None:
            tensor.data.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def batch(size=16, classes=3, channels=3, per_class=(3, 5, 2)):
    labels = torch.tensor(
        [label for label in range(classes) for _ in range(per_class[label % len(per_class)])]
    )
    images = torch.randn(
        len(labels), channels, size, size, generator=torch.Generator().manual_seed(7)
    )
    return images.double(), labels[
        torch.randperm(len(labels), generator=torch.Generator().manual_seed(8))
    ]


class Oracle:
    """SeNPIS as its source describes it, on the prunable layers and BatchNorms in this order."""

    def __init__(self, model, layers, rate, batch, attenuate=False):
        self.model, self.rate, self.attenuate = copy.deepcopy(model).eval(), rate, attenuate
        self.images, self.labels = batch
        self.importances = {}
        for names in layers:
            self._treat(names)

    def _treat(self, names):
        modules = [self.model.get_submodule(name) for name in names.split(", ")]
        before = self._class_losses()
        rows = []
        for index in range(
            len(modules[0].weight if modules[0].weight is not None else modules[0].running_mean)
        ):
            saved = copy.deepcopy(self.model.state_dict())
            self._zero(modules, index)
            rows.append([abs(a - b) for a, b in zip(self._class_losses(), before, strict=True)])
            self.model.load_state_dict(saved)
        per_class = np.array(rows).T  # (classes, filters)
        if self.attenuate:
            per_class = self._attenuated(modules[0], per_class)
        scores = per_class.mean(axis=0)
        self.importances[names] = torch.tensor(scores)
        for index in np.argsort(scores, kind="stable")[: round(self.rate * len(scores))]:
            self._zero(modules, int(index))

    @staticmethod
    def _zero(modules, index):
        for module in modules:
            for name in ("weight", "bias", "running_mean"):
                if getattr(module, name, None) is not None:
                    getattr(module, name).data[index] = 0

    @torch.no_grad()
    def _class_losses(self):
        logits = self.model(self.images)
        return [
            float(F.cross_entropy(logits[self.labels == label], self.labels[self.labels == label]))
            for label in self.labels.unique()
        ]

    @torch.no_grad()
    def _attenuated(self, layer, per_class):
        seen = []
        handle = layer.register_forward_hook(lambda m, i, output: seen.append(output.clone()))
        self.model(self.images)
        handle.remove()
        if seen[0].ndim != 4 or min(seen[0].shape[2:]) < 3:
            return per_class
        result = per_class.copy()
        for row, label in enumerate(self.labels.unique()):
            maps = seen[0][self.labels == label].mean(dim=0).numpy()
            maps = [
                (m - m.min()) / (m.max() - m.min()) if m.max() > m.min() else 0 * m for m in maps
            ]
            size = max(s for s in (3, 5, 7) if s <= min(maps[0].shape))
            pairs = [(i, j) for i in range(len(maps)) for j in range(i + 1, len(maps))]
            alike = [
                structural_similarity(maps[i], maps[j], data_range=1, win_size=size)
                for i, j in pairs
            ]
            for (i, j), value in zip(pairs, alike, strict=True):
                if value > np.mean(alike) + np.std(alike):
                    result[row, i if per_class[row, i] <= per_class[row, j] else j] *= 0.9
        return result


def ours(model, rate, batch, importance="senpis-faster", **arguments):
    return importances(
        model, rate, importance=importance, example_input=batch[0][:1], batch=batch, **arguments
    )


def names_of(model):
    """Return every prunable layer but the last, with the BatchNorm behind it."""
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d)
    ]
    names = []
    for name, module in layers[:-1]:
        if isinstance(module, nn.BatchNorm2d):
            names[-1] += ", " + name
        else:
            names.append(name)
    return names


def agrees(scores, oracle, tolerance):
    assert list(scores) == [names.split(", ")[0] for names in oracle]
    for values, expected in zip(scores.values(), oracle.values(), strict=True):
        assert expected.any(), "a layer in which nothing matters shows nothing"
        torch.testing.assert_close(values, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("importance", ["senpis-faster", "senpis"])
@pytest.mark.parametrize("rate", [0, 0.4, 0.75])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_chain_of_layers_gets_the_literal_importances(importance, rate, batch_norm):
    model, data = chain(1, batch_norm).double(), batch()
    oracle = Oracle(
        model, names_of(model), rate, data, attenuate=importance == "senpis"
    ).importances
    scores = ours(model, rate, data, importance)
    agrees(scores, oracle, 1e-12)
    for values, expected in zip(scores.values(), oracle.values(), strict=True):
        assert torch.equal(values.argsort(stable=True), expected.argsort(stable=True))


@pytest.mark.parametrize("make", [cifar_net, stl_net], ids=["cifar", "stl"])
def test_the_papers_plain_networks_get_the_literal_importances(make):
    torch.manual_seed(3)
    model = make(4, width=4).double()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            settled(norm)
    data = batch(32 if make is cifar_net else 96, classes=4, per_class=(2, 1))
    oracle = Oracle(model, names_of(model), 0.5, data).importances
    agrees(ours(model, 0.5, data), oracle, 1e-12)


def test_vgg11_gets_the_literal_importances_also_in_single_precision():
    torch.manual_seed(4)
    model = vgg11(3, image_size=32, width=4, classifier_width=12)
    images, labels = batch(32)
    for parameter in model.parameters():
        parameter.data *= (
            1.5  # PyTorch's own initial weights leave nothing of a picture after eleven layers
        )
    oracle = Oracle(model.double(), names_of(model), 0.5, (images, labels)).importances
    agrees(ours(model.double(), 0.5, (images, labels)), oracle, 1e-12)
    single = ours(model.float(), 0.5, (images.float(), labels))
    agrees(single, oracle, 1e-5)


class Functional(nn.Module):
    """A chain written with functions; `trick` makes it need a forward pass per filter."""

    def __init__(self, trick=None):
        super().__init__()
        torch.manual_seed(5)
        self.trick = trick
        self.first, self.second = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 6, 3)
        self.hidden, self.last = nn.Linear(6 * 9, 7), nn.Linear(7, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = torch.relu(self.second(x))
        if self.trick == "channels meet":
            x = x * x.sum(dim=1, keepdim=True)
        if self.trick == "a branch":
            x = x + x.abs().sqrt()
        if self.trick == "python":
            x = x * 2 if bool(x.sum() > 0) else x
        x = F.max_pool2d(x, 1) if self.trick else F.avg_pool2d(x, 1)
        x = F.relu(self.hidden(x.view(x.size(0), -1)))
        return self.last(F.dropout(x, 0.5, self.training))


@pytest.mark.parametrize("trick", [None, "channels meet", "a branch", "python"])
def test_forward_passes_written_as_functions_get_the_literal_importances(trick):
    model, data = Functional(trick).double(), batch(12)
    oracle = Oracle(model, names_of(model), 0.4, data).importances
    agrees(ours(model, 0.4, data), oracle, 1e-12)


@pytest.mark.parametrize("importance", ["senpis-faster", "senpis"])
def test_coupled_layers_of_a_resnet_get_the_literal_importances(importance):
    """The stem, the last convolution of a residual block and both BatchNorms go together."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(6)
            self.stem, self.bn0 = nn.Conv2d(3, 5, 3, padding=1), settled(nn.BatchNorm2d(5))
            self.a, self.bn1 = nn.Conv2d(5, 4, 3, padding=1), settled(nn.BatchNorm2d(4))
            self.b, self.bn2 = nn.Conv2d(4, 5, 3, padding=1), settled(nn.BatchNorm2d(5))
            self.fc = nn.Linear(5, 3)

        def forward(self, x):
            x = F.relu(self.bn0(self.stem(x)))
            y = self.bn2(self.b(F.relu(self.bn1(self.a(x)))))
            return self.fc(F.relu(x + y).mean(dim=(2, 3)))

    model, data = Block().double(), batch(8)
    oracle = Oracle(
        model, ["stem, bn0, b, bn2", "a, bn1"], 0.4, data, attenuate=importance == "senpis"
    ).importances
    scores = ours(model, 0.4, data, importance)
    assert list(scores) == ["stem, b", "a"]
    for values, expected in zip(scores.values(), oracle.values(), strict=True):
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


def test_importances_of_a_network_that_can_be_worked_out_by_hand():
    """Each filter gives one mean of the input as a logit: filter 0 that of class 0."""
    model = nn.Sequential(
        nn.Conv2d(2, 3, 1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 2),
    )
    model[0].weight.data = torch.tensor([[1.0, 0], [0, 1], [0, 0]])[:, :, None, None]
    model[4].weight.data, model[4].bias.data = (
        torch.tensor([[1.0, 0, 5], [0, 1, 5]]),
        torch.zeros(2),
    )
    images = torch.tensor([[3.0, 0], [0, 2], [0, 4]])[:, :, None, None].expand(-1, -1, 4, 4).clone()
    labels = torch.tensor([0, 1, 1])
    scores = ours(model, 0.3, (images, labels))["0"]

    def loss(logit):
        return float(np.log1p(np.exp(-logit)))

    first = (np.log(2) - loss(3)) / 2
    second = (np.log(2) - (loss(2) + loss(4)) / 2) / 2
    torch.testing.assert_close(scores, torch.tensor([first, second, 0]), rtol=1e-6, atol=1e-7)
    small = pruning.remove_filters(
        model, 0.3, importance="senpis-faster", example_input=images, batch=(images, labels)
    )
    assert torch.equal(small[0].weight, model[0].weight[:2]), "the filter that no class needs goes"


def test_a_repeated_filter_is_attenuated_and_goes_before_a_less_important_one_of_its_own_kind():
    """Filters 0 and 1 are alike and 1 is slightly better, so 0 alone falls below filter 2."""
    model = nn.Sequential(
        nn.Conv2d(2, 3, 1, bias=False), nn.Flatten(), nn.Linear(3 * 64, 2, bias=False)
    )
    model[0].weight.data = torch.tensor([[1.0, 0], [1, 0], [0, 1]])[:, :, None, None]
    images = torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(2))
    images[1::2, 0], images[1::2, 1] = images[::2, 0].flip(1), images[::2, 1].flip(1)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    data = (images.double(), labels)
    model.double()
    read = torch.zeros(2, 3, 64, dtype=torch.float64)
    read[0, 0], read[0, 1] = 0.010, 0.011
    model[2].weight.data = read.flatten(1)
    faster = ours(model, 0.3, data)["0"]
    read[0, 2] = 0.0098 * images[:, 0].sum() / images[:, 1].sum()
    model[2].weight.data = read.flatten(1)
    faster, full = (ours(model, 0.3, data, name)["0"] for name in ("senpis-faster", "senpis"))
    assert faster.argsort()[0] == 2 and full.argsort()[0] == 0
    torch.testing.assert_close(full, faster * torch.tensor([0.9, 1, 1], dtype=torch.float64))


def test_neither_the_model_nor_its_batch_is_changed():
    model, (images, labels) = chain(2, batch_norm=True).train(), batch()
    images, precision = images.float(), torch.backends.cudnn.conv.fp32_precision
    before, kept = copy.deepcopy(model.state_dict()), images.clone()
    small = pruning.remove_filters(
        model, 0.5, importance="senpis", example_input=images[:2], batch=(images, labels)
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(images, kept) and torch.backends.cudnn.conv.fp32_precision == precision
    assert all(module.training for module in (*model.modules(), *small.modules()))
    assert all(
        parameter.requires_grad and parameter.grad is None for parameter in small.parameters()
    )


def test_memory_bounds_how_much_runs_at_once(monkeypatch):
    """The smallest budget (a row at a time) and the largest give the same."""
    from pruncam._nn import memory

    model, data = chain(3).double(), batch(12)
    values = []
    for budget in (1, 2**30):
        monkeypatch.setitem(memory.MEMORY_BUDGET, "cpu", budget)
        values.append(ours(model, 0.4, data, "senpis"))
    for one, other in zip(*(v.values() for v in values), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_chain_is_run_far_less_than_once_per_filter():
    model, data = vgg11(3, image_size=32, width=8, classifier_width=16), batch(32)
    seen = []
    handle = model.features[0].register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0]))
    )
    images = data[0].float()
    ours(model, 0.5, (images, data[1]))  # a network with hooks is run literally
    literal = sum(seen)
    handle.remove()
    assert literal > 300 * len(images)
    calls = []
    original = torch.nn.Conv2d._conv_forward

    def counted(self, value, weight, bias):
        calls.append(len(value) if value.shape[1] == 3 else 0)
        return original(self, value, weight, bias)

    torch.nn.Conv2d._conv_forward = counted
    try:
        ours(model, 0.5, (images, data[1]))
    finally:
        torch.nn.Conv2d._conv_forward = original
    assert 0 < sum(calls) < 10 * len(images)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"batch": None},
            ValueError,
            "senpis-faster measures losses: it requires batch=",
        ),
        ({"batch": 3}, TypeError, "batch must be images and labels, two tensors, got 3"),
        ({"labels": torch.zeros(10)}, TypeError, "got torch.float32 and torch.float32"),
        (
            {"labels": torch.zeros(9, dtype=torch.int64)},
            ValueError,
            r"a label per image, got \(9,\) for \(10, 3, 16, 16\)",
        ),
        (
            {"labels": torch.full((10,), 3)},
            ValueError,
            "the network has classes 0 to 2, got labels from 3 to 3",
        ),
        (
            {"images": torch.zeros(10, 1, 16, 16)},
            ValueError,
            r"the model cannot take images of shape \(1, 16, 16\)",
        ),
        (
            {"images": torch.full((10, 3, 16, 16), torch.nan)},
            ValueError,
            "images that are nan or infinite",
        ),
    ],
)
def test_batches_that_make_no_sense_are_refused(change, error, message):
    images, labels = batch()
    parts = {"images": images.float(), "labels": labels} | change
    pair = parts.get("batch", (parts["images"], parts["labels"]))
    with pytest.raises(error, match=message):
        pruning.remove_filters(
            chain(),
            0.5,
            importance="senpis-faster",
            example_input=torch.zeros(1, 3, 16, 16),
            batch=pair,
        )


def test_a_loss_that_overflows_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 196, 3))
    model[2].weight.data *= 100
    images, labels = torch.full((10, 3, 16, 16), 3e38), batch()[1]
    with pytest.raises(
        ValueError,
        match="the loss without one of the filters of 0 is not finite",
    ):
        pruning.remove_filters(
            model,
            0.5,
            importance="senpis",
            example_input=torch.zeros(1, 3, 16, 16),
            batch=(images, labels),
        )


@pytest.mark.parametrize(
    ("size", "arguments", "kind"),
    [
        ((4, 4), {"kernel_size": 3, "padding": 1}, "_WinogradConvolution"),
        ((8, 8), {"kernel_size": 3, "padding": 1, "bias": False}, "_WinogradConvolution"),
        ((2, 2), {"kernel_size": 3, "padding": 1}, "_MatrixConvolution"),
        (
            (1, 2),
            {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False},
            "_MatrixConvolution",
        ),
        ((3, 5), {"kernel_size": 5, "padding": "same", "dilation": 2}, "_MatrixConvolution"),
        ((4, 8), {"kernel_size": 3, "padding": 1}, "Conv2d"),
        ((12, 12), {"kernel_size": 3, "padding": 1}, "Conv2d"),
        ((8, 8), {"kernel_size": 3, "padding": 1, "stride": 2}, "Conv2d"),
        ((8, 8), {"kernel_size": 3, "padding": 2, "dilation": 2}, "Conv2d"),
        ((8, 8), {"kernel_size": 3}, "Conv2d"),
        ((4, 4), {"kernel_size": 3, "padding": 1, "padding_mode": "circular"}, "Conv2d"),
        ((2, 2), {"kernel_size": 3, "padding": 1, "groups": 2}, "Conv2d"),
    ],
)
def test_convolutions_of_small_maps_are_convolutions(size, arguments, kind):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(6, 4, **arguments).double(), torch.randn(5, 6, *size).double()
    quick = fast_conv.faster(layer, x[:1])
    assert type(quick).__name__ == kind
    torch.testing.assert_close(quick(x), layer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_convolutions_of_small_maps_round_about_as_pytorchs_do(size):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(256, 64, 3, padding=1), torch.randn(8, 256, size, size).relu()
    quick = fast_conv.faster(layer, x[:1])(x)
    exact = layer.double()(x.double()).detach()
    assert float((quick.detach() - exact).abs().max() / exact.abs().max()) < 6e-6


def test_full_precision_lasts_until_the_last_thread_has_left():
    convolutions, inside, leave = torch.backends.cudnn.conv, threading.Barrier(2), threading.Event()
    before = convolutions.fp32_precision

    def stays():
        with senpis._full_precision:
            inside.wait(60)
            leave.wait(60)

    try:
        convolutions.fp32_precision = "tf32"
        other = threading.Thread(target=stays)
        with senpis._full_precision:
            other.start()
            inside.wait(60)
        assert convolutions.fp32_precision == "ieee"
        leave.set()
        other.join()
        assert convolutions.fp32_precision == "tf32"
    finally:
        convolutions.fp32_precision = before


def test_resnet18_is_ranked_too():
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=3)
    for module in model.modules():  # few filters, so that a pass per filter is quick
        if isinstance(module, nn.BatchNorm2d):
            settled(module)
    model = pruning.remove_filters(
        model, 0.95, importance="random", example_input=torch.zeros(1, 3, 32, 32)
    )
    images, labels = batch(32)
    small = pruning.remove_filters(
        model,
        0.5,
        importance="senpis-faster",
        example_input=images[:1].float(),
        batch=(images.float(), labels),
    )
    assert small.fc.in_features == round(model.fc.in_features * 0.5) and small(
        images.float()
    ).shape == (10, 3)
