"""Following a forward pass in one thread while others run models: against torch.fx alone, and models alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import fx, nn

from pruncam import cams, pruning
from pruncam.cams.splitting import split
from pruncam.models import cifar_net, initialize, vgg11
from pruncam.tracing import Tracer


class Scaled(nn.Module):
    """Its forward pass uses parameters and a buffer itself, which a tracer sees through `__getattr__`."""

    def __init__(self):
        super().__init__()
        self.net, self.scale = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Parameter(torch.tensor(2.0))
        self.register_buffer("shift", torch.tensor(1.0))

    def forward(self, x):
        return self.net(x) * self.scale + self.shift


class Watched(Scaled):
    """Lets other threads run a model right in the middle of its own forward pass."""

    def __init__(self, meanwhile):
        super().__init__()
        self._meanwhile = meanwhile

    def forward(self, x):
        self._meanwhile()
        return super().forward(x)


@pytest.mark.parametrize("same", [False, True], ids=["another model", "the model that is followed"])
def test_models_run_in_other_threads_as_if_nobody_followed_one(same):
    x, found, here = torch.rand(3, 4), [], threading.get_ident()

    def meanwhile():
        if threading.get_ident() == here:  # the other thread may be in here itself
            found.append(others.submit(lambda: runs(x)).result(timeout=60))

    follows = Watched(meanwhile)
    runs = follows if same else Scaled()
    expected = Scaled.forward(runs, x)
    with ThreadPoolExecutor(1) as others:
        graph = Tracer().trace(follows)
        assert len(found) == 1
        reference = fx.Tracer().trace(Scaled())
    assert torch.equal(found[0], expected)
    assert str(graph) == str(reference)


def test_a_model_is_cut_at_what_its_own_thread_gives():
    here = threading.get_ident()

    def meanwhile():
        if threading.get_ident() == here:
            others.submit(lambda: follows(x)).result(timeout=60)

    follows, x = Watched(meanwhile), torch.rand(1, 4)
    with ThreadPoolExecutor(1) as others:
        cut = split(follows, follows.net[0], x)
        found = cut.cut(x, gradients=False)
    assert type(cut).__name__ == "Traced"
    assert torch.equal(found.activations, follows.net[0](x))


def test_several_follow_at_the_same_time_and_leave_modules_as_they_were():
    call, attribute, nets = nn.Module.__call__, nn.Module.__getattr__, [Scaled(), cifar_net(width=4), vgg11(width=4)]
    expected = [str(fx.symbolic_trace(net).graph) for net in nets]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: str(Tracer().trace(nets[k % 3])), range(60)))
    assert found == [expected[k % 3] for k in range(60)]
    assert nn.Module.__call__ is call
    assert nn.Module.__getattr__ is attribute


def test_filters_are_removed_in_threads_as_one_after_the_other():
    model = initialize(vgg11(image_size=32, width=4, classifier_width=8), "kaiming-normal", 1).eval()
    images, labels = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.arange(10)

    def removed(rate):
        how = {"importance": "senpis-faster", "example_input": images[:1], "batch": (images, labels)}
        return pruning.remove_filters(model, rate, **how).state_dict()

    rates = [0.2, 0.4, 0.6, 0.8] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(removed, rates))
    for rate, state in zip(rates, found, strict=True):
        alone = removed(rate)
        assert state.keys() == alone.keys()
        assert all(torch.equal(state[name], alone[name]) for name in alone)


def test_ablation_cam_in_threads_gives_the_maps_that_it_gives_alone():
    nets = [initialize(cifar_net(width=4), "kaiming-normal", seed).eval() for seed in range(4)]
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = [cams.heatmaps(net, images, method="ablation-cam") for net in nets]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: cams.heatmaps(nets[k], images, method="ablation-cam"), range(4)))
    assert all(torch.equal(maps, alone) for maps, alone in zip(found, expected, strict=True))
