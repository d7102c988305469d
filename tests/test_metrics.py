"""Scores of two heatmaps: against their definitions written slowly, worked examples, properties, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pruncam import metrics

PAIR_METRICS = [metrics.iou, metrics.soft_iou, metrics.pooled_soft_iou, metrics.pixel_iou]


def random_pair(seed=0, shape=(12, 9, 7)):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)


@st.composite
def pairs(draw):
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
    levels = st.floats(0, 1, width=32)
    maps = arrays.arrays(np.float32, shape, elements=levels, fill=st.sampled_from([0.0, 1.0]))
    return torch.from_numpy(draw(maps)), torch.from_numpy(draw(maps))


def salient_pixels(maps):
    """Per image, the positions strictly above the map's own mean."""
    return [{position for position in np.ndindex(m.shape) if m[position] > m.mean()} for m in maps.double().numpy()]


# ----------------------------------------------------------------------------------------- definitions, by hand


def test_iou_equals_its_definition_on_sets_of_pixels():
    x, y = random_pair()
    expected = [len(a & b) / len(a | b) for a, b in zip(salient_pixels(x), salient_pixels(y), strict=True)]
    assert metrics.iou(x, y).tolist() == pytest.approx(expected)


def test_soft_iou_equals_its_definition_pixel_by_pixel():
    x, y = random_pair()
    expected, ratios, minima, maxima = [], [], 0, 0
    for a, b in zip(x.double().tolist(), y.double().tolist(), strict=True):
        pixels = [(p, q) for row, other in zip(a, b, strict=True) for p, q in zip(row, other, strict=True)]
        expected.append(sum(map(min, pixels)) / sum(map(max, pixels)))
        ratios.append(sum(min(pair) / max(pair) for pair in pixels) / len(pixels))
        minima, maxima = minima + sum(map(min, pixels)), maxima + sum(map(max, pixels))
    assert metrics.soft_iou(x, y).tolist() == pytest.approx(expected, rel=1e-5)
    assert metrics.pixel_iou(x, y).tolist() == pytest.approx(ratios, rel=1e-5)
    assert metrics.pooled_soft_iou(x, y).item() == pytest.approx(minima / maxima, rel=1e-5)


def test_soft_iou_of_binary_maps_is_the_jaccard_index_of_scikit_learn():
    from sklearn.metrics import jaccard_score

    x, y = ((maps > 0.6).float() for maps in random_pair())
    expected = [jaccard_score(a.flatten(), b.flatten()) for a, b in zip(x.int(), y.int(), strict=True)]
    assert metrics.soft_iou(x, y).tolist() == pytest.approx(expected)
    assert metrics.iou(x, y).tolist() == pytest.approx(expected)


EMPTY, FULL, HALF = torch.zeros(1, 4, 4), torch.ones(1, 4, 4), torch.ones(1, 4, 4).tril() * 0.5


@pytest.mark.parametrize(
    ("x", "y", "iou", "soft_iou", "pixel_iou"),
    [
        (EMPTY, EMPTY, 1, 1, 1),
        (HALF, HALF, 1, 1, 1),
        (EMPTY, FULL, 1, 0, 0),  # neither has a pixel above its mean
        (EMPTY, HALF, 0, 0, 6 / 16),  # 6 of 16 pixels are zero in both
        (HALF, FULL, 0, 0.3125, 0.3125),  # 10 pixels of 0.5 over 16 of 1
        (HALF, HALF.flip(1) * (1 - HALF.sign()), 0, 0, 2 / 16),  # disjoint: 10 and 4 of 16 pixels
    ],
)
def test_edge_cases_have_their_documented_values(x, y, iou, soft_iou, pixel_iou):
    assert metrics.iou(x, y).item() == pytest.approx(iou)
    assert metrics.soft_iou(x, y).item() == pytest.approx(soft_iou)
    assert metrics.pooled_soft_iou(x, y).item() == pytest.approx(soft_iou)
    assert metrics.pixel_iou(x, y).item() == pytest.approx(pixel_iou)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.1, 0.3, 0.7, 1 / 3])
@pytest.mark.parametrize("side", [3, 7, 28, 224])
def test_a_constant_map_has_no_salient_pixel_whatever_its_rounded_mean(level, side, dtype):
    constant = torch.full((1, side, side), level, dtype=dtype)
    peak = torch.zeros_like(constant)
    peak[0, 0, 0] = 1
    assert metrics.iou(constant, constant).item() == 1
    assert metrics.iou(constant, peak).item() == 0


# ------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("metric", PAIR_METRICS)
@given(pair=pairs())
def test_similarities_lie_in_0_1_are_symmetric_and_1_for_a_map_with_itself(metric, pair):
    x, y = pair
    found = metric(x, y)
    assert found.ge(0).all()
    assert found.le(1).all()
    assert torch.equal(found, metric(y, x))
    assert torch.equal(metric(x, x), torch.ones_like(found))


@given(pair=pairs(), other=st.floats(0, 1, width=32))
def test_soft_iou_falls_when_the_larger_map_grows(pair, other):
    small, large = torch.minimum(*pair), torch.maximum(*pair)
    larger = torch.maximum(large, torch.tensor(other))
    assert (metrics.soft_iou(small, larger) <= metrics.soft_iou(small, large) + 1e-6).all()


@pytest.mark.parametrize("metric", PAIR_METRICS)
def test_float64_gives_the_same_numbers_in_its_own_type(metric):
    x, y = random_pair()
    found = metric(x.double(), y.double())
    assert found.dtype == torch.float64
    assert metric(x, y).dtype == torch.float32
    torch.testing.assert_close(found.float(), metric(x, y), atol=1e-6, rtol=0)


@pytest.mark.parametrize("metric", [metrics.iou, metrics.soft_iou, metrics.pixel_iou])
def test_an_image_is_scored_alone_as_in_a_batch(metric):
    x, y = random_pair()
    one_by_one = torch.cat([metric(a[None], b[None]) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(metric(x, y), one_by_one)


# ------------------------------------------------------------------------------------------------- bad input


GOOD = torch.full((2, 3, 3), 0.5)


@pytest.mark.parametrize("metric", PAIR_METRICS)
@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (GOOD.numpy(), GOOD, TypeError, "must be tensors .* got ndarray"),
        (GOOD, GOOD.bool(), TypeError, "float32 or float64, got torch.bool: convert"),
        (GOOD, GOOD.half(), TypeError, "float32 or float64, got torch.float16: convert"),
        (GOOD, GOOD.double(), TypeError, "share type and device, got torch.float32 on cpu and torch.float64"),
        (GOOD, GOOD[:1], ValueError, r"share one shape \(N, H, W\), got \(2, 3, 3\) and \(1, 3, 3\)"),
        (GOOD[0], GOOD[0], ValueError, r"share one shape \(N, H, W\), got \(3, 3\)"),
        (GOOD[:0], GOOD[:0], ValueError, "at least one image and one pixel"),
        (GOOD, GOOD * torch.nan, ValueError, "must be numbers, got NaN"),
        (GOOD * 400, GOOD, ValueError, r"must lie in \[0, 1\], got \[200, 200\]: divide by 255"),
        (GOOD, GOOD - 0.6, ValueError, r"must lie in \[0, 1\], got \[-0.1, -0.1\]$"),
        (GOOD, GOOD / 0, ValueError, r"must lie in \[0, 1\], got \[inf, inf\]$"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(metric, x, y, error, message):
    with pytest.raises(error, match=message):
        metric(x, y)


def test_a_rounding_outside_0_1_is_no_error_and_stays_no_error():
    x = GOOD * 2 + 1e-7
    assert metrics.soft_iou(x, x - 1 - 2e-7).tolist() == [0, 0]
