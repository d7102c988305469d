"""Noise equals its definition in plain integers; it is uniform, independent and on zeros only."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pruncam._core.seeds import derive
from pruncam.datasets import noise

LOW = 2**64 - 1
STRIDE = 0x9E3779B97F4A7C15  # the constants of SplitMix64, from Steele, Lea and Flood (2014)


def splitmix64(seed):
    """Yield the numbers of the published generator, in Python's integers."""
    while True:
        seed = (seed + STRIDE) & LOW
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & LOW
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & LOW
        yield z ^ (z >> 31)


def noisy_pixels(pixels, index, key, level):
    """Return pixels with noise on the zeros.

    An image's stream starts at draw `index` of the key's stream. Two pixels share a draw, the low
    half first.
    """
    seed = next(splitmix64((key + (index - 1) * STRIDE) & LOW))
    words = []
    for bits in islice(splitmix64(seed), len(pixels) // 2):
        words += [bits & 0xFFFFFFFF, bits >> 32]
    levels = [word * (level + 1) // 2**32 for word in words]
    return [pixel or noise_level for pixel, noise_level in zip(pixels, levels, strict=True)]


def random_images(count, height=28, width=28):
    """Return random images (count, 1, height, width), about 80 % of their pixels zero."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, 1, height, width)
    pixels = torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)
    return pixels * (torch.rand(shape, generator=generator) > 0.8)


def blank(count):
    return torch.zeros(count, 1, 28, 28, dtype=torch.uint8)


def test_the_generator_in_this_file_gives_the_published_numbers_of_splitmix64():
    # Seed 1234567: the test values that many implementations of SplitMix64 are checked with.
    assert list(islice(splitmix64(1234567), 3)) == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@settings(max_examples=40, deadline=None)
@given(
    key=st.integers(0, 2**63 - 1),
    level=st.integers(1, 255),
    indices=st.lists(st.integers(0, 2**31), min_size=1, max_size=3),
    shape=st.sampled_from([(4, 6), (1, 2), (28, 28)]),
)
def test_noise_equals_its_definition_in_plain_integers(key, level, indices, shape):
    images = random_images(len(indices), *shape)
    noisy_images = noise.background(images, torch.tensor(indices), key=key, level=level)
    for image, index, noisy in zip(images, indices, noisy_images, strict=True):
        expected = noisy_pixels(image.flatten().tolist(), index, key, level)
        assert noisy.flatten().tolist() == expected


def test_noise_does_not_depend_on_batches_or_their_order():
    images = random_images(10)
    indices = torch.arange(100, 110)
    together = noise.background(images, indices, key=7, level=51)
    order = torch.tensor([3, 9, 0, 1, 8, 2, 7, 4, 6, 5])
    batches = [
        noise.background(images[batch], indices[batch], key=7, level=51) for batch in order.split(3)
    ]
    assert torch.equal(torch.cat(batches), together[order])


def test_only_pixels_of_exactly_zero_change_and_the_input_is_left_alone():
    images = random_images(20)
    before = images.clone()
    noisy = noise.background(images, torch.arange(20), key=1, level=51)
    assert torch.equal(images, before)
    assert noisy.dtype == torch.uint8 and noisy.shape == images.shape
    assert torch.equal(noisy[images > 0], images[images > 0])
    added = noisy[images == 0]
    assert added.max() == 51 and (added > 0).float().mean() > 0.9


def test_level_zero_leaves_images_as_they_are():
    images = random_images(3)
    assert torch.equal(noise.background(images, torch.arange(3), key=1, level=0), images)


@pytest.mark.parametrize("level", [1, 51, 255])
@pytest.mark.parametrize("key", [0, derive(333, "noise", 4)])
def test_every_grey_level_is_equally_likely(key, level):
    draws = noise.background(blank(200), torch.arange(200), key=key, level=level)
    counts = np.bincount(draws.flatten().numpy(), minlength=level + 1)
    assert len(counts) == level + 1
    assert stats.chisquare(counts).pvalue > 1e-3


def draw(key, count=200):
    return noise.background(blank(count), torch.arange(count), key=key, level=255).double()


DRAWS = draw(key=5, count=201)
PAIRS = {
    "keys": (DRAWS[:200], draw(key=6)),
    "images": (DRAWS[:200], DRAWS[1:]),
    "neighbours": (DRAWS[:200], DRAWS[:200].roll(1, dims=3)),
    "epochs of a seed": (draw(derive(333, "noise", 0)), draw(derive(333, "noise", 1))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_draws_with_different_coordinates_are_uncorrelated(name):
    first, second = PAIRS[name]
    pair = torch.stack([first.flatten(), second.flatten()])
    assert abs(torch.corrcoef(pair)[0, 1]) < 4 / (200 * 784) ** 0.5  # four standard errors


@pytest.mark.parametrize(
    ("images", "indices", "level", "message"),
    [
        (blank(1), [0], 256, "grey level from 0 to 255, got 256"),
        (blank(1), [0], -1, "grey level from 0 to 255, got -1"),
        (blank(1).float(), [0], 51, "uint8 images .* got torch.float32"),
        (torch.zeros(1, 1, 3, 3, dtype=torch.uint8), [0], 51, "even number of pixels"),
        (blank(3), [0], 51, "one index for each image, got \\(1,\\) for 3"),
        (blank(1), [0, 1], 51, "one index for each image, got \\(2,\\) for 1"),
    ],
)
def test_invalid_arguments_are_rejected(images, indices, level, message):
    with pytest.raises(ValueError, match=message):
        noise.background(images, torch.tensor(indices), key=0, level=level)
