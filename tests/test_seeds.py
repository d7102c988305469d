"""Seeds: every public function takes the same ones, also NumPy's, and refuses the same."""

import numpy as np
import pytest
import torch
from torch import nn

from pruncam import cams, complexity, pruning, statistics
from pruncam._core.validation import check_seed, check_seeds
from pruncam.comparison import Settings
from pruncam.networks import initialize, mnist_net
from pruncam.networks.initialization import randomized
from pruncam.training import Inputs, Recipe, fit

NET = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
)
IMAGES, LABELS = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
PIXELS = (255 * IMAGES).to(torch.uint8)


def weights(model):
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def road(seed):
    maps = IMAGES[:2, 0]
    return cams.road(NET, IMAGES[:2], maps, percentiles=[50], seed=seed).combined


def trained(seed):
    model = initialize(mnist_net(), "pytorch", 0)
    images = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    fit(model, images, LABELS[:4], Recipe(((1, 0.1),), 2), Inputs(), seed=seed, engine="torch")
    return weights(model)


FUNCTIONS = {
    "initialize": lambda seed: weights(initialize(mnist_net(), "kaiming-normal", seed)),
    "randomized": lambda seed: weights(randomized(NET, seed)),
    "fit": trained,
    "global_unstructured": lambda seed: weights(
        pruning.global_unstructured(NET, 0.5, method="random", seed=seed)
    ),
    "global_structured": lambda seed: weights(
        pruning.global_structured(NET, 0.5, method="random", seed=seed)
    ),
    "road": road,
    "csg": lambda seed: (
        complexity.csg(PIXELS.flatten(1).float(), LABELS, samples_per_class=2, k=2, seed=seed).value
    ),
    "bootstrap_means": lambda seed: (
        statistics.bootstrap_mean(np.arange(9.0), samples=100, seed=seed).low
    ),
    "crossed_means": lambda seed: statistics.crossed_means(
        np.arange(12.0).reshape(2, 3, 2), samples=100, seed=seed
    ),
    "Settings": lambda seed: float(Settings(seed=seed, seeds=(seed,)).seeds[0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_seed_of_numpy_is_the_same_seed_and_the_range_is_the_same_everywhere(name):
    call = FUNCTIONS[name]
    expected = call(5)
    for seed in (np.int64(5), np.uint8(5)):
        assert np.array_equal(call(seed), expected)
    call(2**63 - 1)
    for seed in (-1, 2**63, 2**64, np.uint64(2**63), 1.5):
        with pytest.raises(ValueError, match=r"seeds? must be .* from 0 to 2\*\*63 - 1"):
            call(seed)
    for seed in ("1", True, None):
        with pytest.raises((TypeError, ValueError), match=r" from 0 to 2\*\*63 - 1"):
            call(seed)


def test_seeds_become_integers_of_python():
    assert type(check_seed(np.int32(7))) is int
    assert check_seeds(np.arange(3)) == (0, 1, 2)
    assert all(type(seed) is int for seed in Settings(seeds=(np.int64(1),)).seeds)


@pytest.mark.parametrize("seeds", [[], [1, 1], 3, [[1]], [2**70], [-1], [np.int64(2), 2], "12"])
def test_several_seeds_are_different(seeds):
    with pytest.raises(ValueError, match=r"^seeds must be different .*, one or more, got "):
        check_seeds(seeds)


def test_the_removal_of_filters_refuses_the_same():
    for seed in (-1, 2**63, 1.5):
        with pytest.raises(ValueError, match=r"seed must be .* from 0 to 2\*\*63 - 1"):
            pruning.remove_filters(NET, 0.5, example_input=IMAGES[:1], seed=seed)
