"""Tracing in one thread while others run models: against torch.fx alone, and models alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import fx, nn

from pruncam import cams, pruning
from pruncam._nn.fx_tracer import Tracer
from pruncam.cams.model_split import TracedModel, split_model
from pruncam.networks import cifar_net, initialize, vgg11


class Scaled(nn.Module):
    """A module that reads parameters and a buffer, which a tracer sees through `__getattr__`."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("shift", torch.tensor(1.0))

    def forward(self, x):
        return self.net(x) * self.scale + self.shift


class Watched(Scaled):
    """A module whose forward pass lets other threads run a model."""

    def __init__(self, meanwhile):
        super().__init__()
        self._meanwhile = meanwhile

    def forward(self, x):
        self._meanwhile()
        return super().forward(x)


@pytest.mark.parametrize("same", [False, True], ids=["another model", "the traced model"])
def test_models_run_in_other_threads_as_if_none_were_traced(same):
    x, outputs, here = torch.rand(3, 4), [], threading.get_ident()

    def meanwhile():
        if threading.get_ident() == here:  # the other thread may come here too
            outputs.append(others.submit(lambda: runs(x)).result(timeout=60))

    traced = Watched(meanwhile)
    runs = traced if same else Scaled()
    expected = Scaled.forward(runs, x)
    with ThreadPoolExecutor(1) as others:
        graph = Tracer().trace(traced)
        assert len(outputs) == 1
        reference = fx.Tracer().trace(Scaled())
    assert torch.equal(outputs[0], expected)
    assert str(graph) == str(reference)


def test_a_model_is_split_at_the_output_of_its_own_thread():
    here = threading.get_ident()

    def meanwhile():
        if threading.get_ident() == here:
            others.submit(lambda: model(x)).result(timeout=60)

    model, x = Watched(meanwhile), torch.rand(1, 4)
    with ThreadPoolExecutor(1) as others:
        split = split_model(model, model.net[0], x)
        forward = split.forward(x, gradients=False)
    assert isinstance(split, TracedModel)
    assert torch.equal(forward.activations, model.net[0](x))


def test_several_threads_may_trace_and_leave_modules_unchanged():
    call, attribute = nn.Module.__call__, nn.Module.__getattr__
    nets = [Scaled(), cifar_net(width=4), vgg11(width=4)]
    expected = [str(fx.symbolic_trace(net).graph) for net in nets]
    with ThreadPoolExecutor(4) as pool:
        graphs = list(pool.map(lambda k: str(Tracer().trace(nets[k % 3])), range(60)))
    assert graphs == [expected[k % 3] for k in range(60)]
    assert nn.Module.__call__ is call
    assert nn.Module.__getattr__ is attribute


def test_filters_are_removed_in_threads_as_they_are_one_by_one():
    network = vgg11(image_size=32, width=4, classifier_width=8)
    model = initialize(network, "kaiming-normal", 1).eval()
    images = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(10)

    def removed(rate):
        pruned = pruning.remove_filters(
            model,
            rate,
            importance="senpis-faster",
            example_input=images[:1],
            batch=(images, labels),
        )
        return pruned.state_dict()

    rates = [0.2, 0.4, 0.6, 0.8] * 3
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(removed, rates))
    for rate, state in zip(rates, states, strict=True):
        alone = removed(rate)
        assert state.keys() == alone.keys()
        assert all(torch.equal(state[name], alone[name]) for name in alone)


def test_ablation_cam_gives_the_same_maps_in_threads():
    nets = [initialize(cifar_net(width=4), "kaiming-normal", seed).eval() for seed in range(4)]
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def ablation_maps(net):
        return cams.heatmaps(net, images, method="ablation-cam")

    expected = [ablation_maps(net) for net in nets]
    with ThreadPoolExecutor(4) as pool:
        in_threads = list(pool.map(ablation_maps, nets))
    assert all(torch.equal(maps, alone) for maps, alone in zip(in_threads, expected, strict=True))
