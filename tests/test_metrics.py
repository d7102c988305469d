"""Scores of two heatmaps: definitions written out, worked examples, properties, bad input."""

import math
from functools import partial
from statistics import harmonic_mean

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.metrics import structural_similarity
from sklearn import metrics as sklearn_metrics

from pruncam import cams, metrics
from pruncam.metrics import _ssim
from pruncam.networks import mnist_net

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

OVERLAPS = [metrics.iou, metrics.soft_iou, metrics.pixel_iou]
ANGLES = {over: partial(metrics.spectral_angle, over=over) for over in ("image", "pixel", "band")}
SSIMS = {
    "uniform": metrics.ssim,
    "uniform 3": partial(metrics.ssim, size=3),
    "gaussian": partial(metrics.ssim, window="gaussian"),
    "Wang et al.": partial(metrics.ssim, window="gaussian", sample_covariance=False),
}
SCIKIT_IMAGE = {
    "uniform": {},
    "uniform 3": {"win_size": 3},
    "gaussian": {"gaussian_weights": True},
    "Wang et al.": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
}
GOOD = torch.full((2, 3, 3), 0.5)
PAIR_METRICS = [*OVERLAPS, *ANGLES.values(), *SSIMS.values(), metrics.sp2ps]


def random_pair(seed=0, shape=(12, 9, 7)):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)


@st.composite
def pairs(draw, smallest=1):
    shape = draw(st.tuples(st.integers(1, 4), *[st.integers(smallest, smallest + 4)] * 2))
    levels = st.floats(0, 1, width=32)
    maps = arrays.arrays(np.float32, shape, elements=levels, fill=st.sampled_from([0.0, 1.0]))
    return torch.from_numpy(draw(maps)), torch.from_numpy(draw(maps))


def salient_pixels(maps):
    """Per image, the positions strictly above the map's own mean."""
    return [
        {position for position in np.ndindex(m.shape) if m[position] > m.mean()}
        for m in maps.double().numpy()
    ]


# ---------------------------------------------------------------- definitions, by hand


def test_iou_equals_its_definition_on_sets_of_pixels():
    x, y = random_pair()
    expected = [
        len(a & b) / len(a | b) for a, b in zip(salient_pixels(x), salient_pixels(y), strict=True)
    ]
    assert metrics.iou(x, y).tolist() == pytest.approx(expected)


def test_soft_iou_equals_its_definition_pixel_by_pixel():
    x, y = random_pair()
    expected, ratios = [], []
    for a, b in zip(x.double().tolist(), y.double().tolist(), strict=True):
        pixels = [
            (p, q) for row, other in zip(a, b, strict=True) for p, q in zip(row, other, strict=True)
        ]
        expected.append(sum(map(min, pixels)) / sum(map(max, pixels)))
        ratios.append(sum(min(pair) / max(pair) for pair in pixels) / len(pixels))
    assert metrics.soft_iou(x, y).tolist() == pytest.approx(expected, rel=1e-5)
    assert metrics.pixel_iou(x, y).tolist() == pytest.approx(ratios, rel=1e-5)


def test_soft_iou_of_binary_maps_is_the_jaccard_index_of_scikit_learn():
    from sklearn.metrics import jaccard_score

    x, y = ((maps > 0.6).float() for maps in random_pair())
    expected = [
        jaccard_score(a.flatten(), b.flatten()) for a, b in zip(x.int(), y.int(), strict=True)
    ]
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


# ---------------------------------------------------------------- SSIM against scikit-image


def smooth(maps, size):
    """Few large blobs instead of noise, as heatmaps are."""
    coarse = torch.nn.functional.interpolate(
        maps[:, None, :4, :4], size=(size, size), mode="bilinear"
    )[:, 0]
    return (coarse - coarse.amin((1, 2), keepdim=True)) / 2


KINDS = {
    "random": lambda maps, size: maps,
    "smooth": smooth,
    "sharp": lambda maps, size: (maps > 0.8).float(),
    "bright": lambda maps, size: 0.9 + smooth(maps, size) / 10,
    "constant": lambda maps, size: maps[:, :1, :1].expand_as(maps),
    "steps": lambda maps, size: (smooth(maps, size) * 5).round() / 5,
}


SIZES = [
    (name, size)
    for name in SSIMS
    for size in (7, 11, 28, 32, 96, 224)
    if "uniform" in name or size >= 11
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "size"), SIZES)
def test_ssim_equals_scikit_image(name, size, kind):
    x, y = (KINDS[kind](maps, size) for maps in random_pair(size, (3, size, size)))
    pairs_of_arrays = zip(x.double().numpy(), y.double().numpy(), strict=True)
    expected = [
        structural_similarity(a, b, data_range=1, **SCIKIT_IMAGE[name]) for a, b in pairs_of_arrays
    ]
    assert SSIMS[name](x, y).tolist() == pytest.approx(expected, abs=1e-6)
    assert SSIMS[name](x.double(), y.double()).tolist() == pytest.approx(expected, abs=1e-9)


def test_ssim_equals_scikit_image_on_the_maps_of_a_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second, images = mnist_net(), mnist_net(), torch.rand(32, 1, 28, 28)
    x, y = (cams.heatmaps(model, images, method="grad-cam++") for model in (first, second))
    expected = [
        structural_similarity(a, b, data_range=1) for a, b in zip(x.numpy(), y.numpy(), strict=True)
    ]
    assert metrics.ssim(x, y).tolist() == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.1


def test_the_batched_ssim_of_other_devices_equals_the_compiled_one():
    x, y = (smooth(maps, 40) for maps in random_pair(3, (5, 40, 40)))
    for size in (3, 7, 11):
        weights, correction = _ssim._window_weights("uniform", size), size**2 / (size**2 - 1)
        result = _ssim._mean_ssim(x, y, weights, correction).float()
        torch.testing.assert_close(result, metrics.ssim(x, y, size=size), atol=1e-6, rtol=0)


def test_ssim_is_negative_where_structures_are_opposed():
    x, _ = random_pair(1, (4, 16, 16))
    assert (metrics.ssim(x, 1 - x) < -0.5).all()
    assert metrics.sp2ps(x, 1 - x).tolist() == [0] * 4
    assert metrics.pe_score(x, 1 - x, *torch.full((2, 4), 0.5)).tolist() == pytest.approx(
        [0] * 4, abs=1e-9
    )


# ---------------------------------------------------------------- spectral angle


@pytest.mark.parametrize("degrees", [0, 1e-3, 1, 30, 45, 60, 89, 90])
def test_the_angle_between_two_maps_by_hand(degrees):
    radians = math.radians(degrees)
    x, y = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[math.cos(radians), math.sin(radians)]]])
    assert metrics.spectral_angle(x, y).item() == pytest.approx(1 - degrees / 90, abs=1e-6)


def test_spectral_angle_equals_the_arc_cosine_of_eq_7():
    x, y = (maps.double() for maps in random_pair())
    cosine = (x * y).sum((1, 2)) / (x.norm(dim=(1, 2)) * y.norm(dim=(1, 2)))
    expected = 1 - cosine.arccos() / (math.pi / 2)
    torch.testing.assert_close(metrics.spectral_angle(x, y), expected, atol=1e-9, rtol=0)


def test_the_coloured_readings_of_spectral_angle_by_hand():
    # jet: 0 is (0, 0, 1/2), 1/2 is (1/2, 1, 1/2), 1 is (1/2, 0, 0).
    x, y = torch.tensor([[[0.0, 0.5]]]), torch.tensor([[[1.0, 0.5]]])
    assert metrics.spectral_angle(x, y, over="pixel").item() == pytest.approx((0 + 1) / 2)
    # Red: (0, 1/2) and (1/2, 1/2), 45 degrees; green: the same vector; blue: (1/2, 1/2) and (0,
    # 1/2), 45 degrees.
    assert metrics.spectral_angle(x, y, over="band").item() == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_jet_has_the_colours_of_opencv():
    cv2 = pytest.importorskip("cv2")
    levels = np.arange(256, dtype=np.uint8)[None]
    expected = cv2.applyColorMap(levels, cv2.COLORMAP_JET)[..., ::-1] / 255
    result = metrics.jet(torch.from_numpy(levels / 255)[None])[0]
    np.testing.assert_allclose(result, expected, atol=0.6 / 255)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (EMPTY, EMPTY, 1),
        (EMPTY, FULL, 0),
        (FULL, EMPTY, 0),
        (FULL, HALF * 0 + 0.25, 1),
        (HALF, HALF, 1),
    ],
)
def test_spectral_angle_of_empty_and_constant_maps(x, y, expected):
    assert metrics.spectral_angle(x, y).item() == expected


# ---------------------------------------------------------------- the papers' worked examples


def test_identical_maps_and_confidences_give_a_score_of_1():  # PE-score, Section 3
    x, _ = random_pair(0, (4, 16, 16))
    confidence = torch.tensor([1.0, 0.7, 0.2, 0.01])
    assert metrics.pe_score(x, x, confidence, confidence).tolist() == pytest.approx([1] * 4)
    assert metrics.sp2ps(x, x).tolist() == pytest.approx([1] * 4)


def test_pe_of_two_fifths_two_fifths_and_a_fifth_is_0_48():  # PE-score, Section 3
    assert metrics.combine_pe(*torch.tensor([[0.4], [0.4], [0.2]])).item() == pytest.approx(0.48)


def test_class_shares_are_those_of_the_paper():  # PE-score, Section 3: M and W
    images = torch.tensor([100, 50, 100, 100, 200, 50, 50, 100, 150, 100])
    expected = [0.1, 0.05, 0.1, 0.1, 0.2, 0.05, 0.05, 0.1, 0.15, 0.1]
    assert metrics.class_weights(images).tolist() == pytest.approx(expected)


UNPRUNED = {"tp": 850, "tn": 850, "fp": 150, "fn": 150}
UNBIASED = {"tp": 800, "tn": 800, "fp": 200, "fn": 200}
BIASED = {"tp": 950, "tn": 650, "fp": 350, "fn": 50}


@pytest.mark.parametrize(("counts", "accuracy"), [(UNPRUNED, 0.85), (UNBIASED, 0.8), (BIASED, 0.8)])
def test_accuracy_of_two_classes_is_that_of_the_paper(counts, accuracy):  # PE-score, Eq. 1
    assert metrics.binary_accuracy(**counts) == accuracy


@pytest.mark.parametrize("counts", [UNPRUNED, UNBIASED, BIASED])
def test_accuracy_and_f1_of_counts_are_those_of_scikit_learn(counts):
    labels = np.repeat([1, 0, 0, 1], list(counts.values()))
    predictions = np.repeat([1, 0, 1, 0], list(counts.values()))
    expected = sklearn_metrics.accuracy_score(labels, predictions)
    assert metrics.binary_accuracy(**counts) == pytest.approx(expected, abs=1e-12)
    tp, tn, fp, fn = counts.values()
    by_class = sklearn_metrics.f1_score(labels, predictions, average=None)
    assert metrics.f1_score(tp, fp, fn) == pytest.approx(by_class[1], abs=1e-12)
    assert metrics.f1_score(tn, fn, fp) == pytest.approx(by_class[0], abs=1e-12)


def test_the_f1_of_a_biased_model_may_be_the_higher_one():
    """By hand: 1900/2300 beside 1600/2000 at equal accuracy (the paper expects a sharp drop)."""
    biased, unbiased = (metrics.f1_score(c["tp"], c["fp"], c["fn"]) for c in (BIASED, UNBIASED))
    assert (biased, unbiased) == (pytest.approx(1900 / 2300), 0.8)


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ((0, 0, 0, 0), ValueError, "tp, tn, fp, fn must be finite and not all of them 0"),
        ((1, -1, 0, 0), ValueError, "tn must be at least 0, got -1"),
        ((1, math.inf, 0, 0), ValueError, "must be finite"),
        (("1", 0, 0, 0), TypeError, "tp must be a number of at least 0"),
    ],
)
def test_counts_that_make_no_accuracy_are_refused(counts, error, message):
    with pytest.raises(error, match=message):
        metrics.binary_accuracy(*counts)


def test_pe_and_sp2ps_are_made_of_the_other_metrics():
    x, y = (smooth(maps, 20) for maps in random_pair(5, (6, 20, 20)))
    before, after = torch.linspace(0.2, 1, 6), torch.linspace(1, 0.2, 6)
    retained = 1 - metrics.confidence_variation(before, after)
    parts = [metrics.ssim(x, y).clamp(min=0), metrics.iou(x, y), retained]
    expected = [
        harmonic_mean(values) for values in zip(*(part.tolist() for part in parts), strict=True)
    ]
    assert metrics.pe_score(x, y, before, after).tolist() == pytest.approx(expected, rel=1e-5)
    parts = [metrics.ssim(x, y).clamp(min=0), metrics.spectral_angle(x, y)]
    expected = [
        harmonic_mean(values) for values in zip(*(part.tolist() for part in parts), strict=True)
    ]
    assert metrics.sp2ps(x, y).tolist() == pytest.approx(expected, rel=1e-5)


def test_class_weighted_mean_of_all_images_is_their_mean_and_of_a_sample_is_not():
    values, labels = (
        torch.rand(50, generator=torch.Generator().manual_seed(0)),
        torch.arange(50) % 4,
    )
    assert metrics.class_weighted_mean(values, labels).item() == pytest.approx(values.mean().item())
    counts = torch.tensor([10, 0, 0, 30])
    sampled = labels.eq(0) | labels.eq(3)
    expected = 0.25 * values[labels == 0].mean() + 0.75 * values[labels == 3].mean()
    result = metrics.class_weighted_mean(values[sampled], labels[sampled], counts)
    assert result.item() == pytest.approx(expected.item())


# ---------------------------------------------------------------- all scores of a pair


def test_all_scores_of_a_pair_are_those_of_the_single_functions_in_the_order_of_the_table():
    x, y = (smooth(maps, 20) for maps in random_pair(5, (6, 20, 20)))
    confidences = torch.linspace(0.2, 1, 6), torch.linspace(1, 0.2, 6)
    expected = {
        "ssim": metrics.ssim(x, y),
        "spectral_angle": metrics.spectral_angle(x, y),
        "sp2ps": metrics.sp2ps(x, y),
        "iou": metrics.iou(x, y),
        "soft_iou": metrics.soft_iou(x, y),
        "confidence_variation": metrics.confidence_variation(*confidences),
        "pe": metrics.pe_score(x, y, *confidences),
    }
    scores = metrics.pair_scores(x, y, *confidences)
    assert list(scores) == list(expected) == list(metrics.SCORES)
    assert all(torch.equal(scores[name], values) for name, values in expected.items())


def test_all_scores_of_a_pair_have_the_type_of_the_maps():
    x, y = (maps.double() for maps in random_pair(shape=(3, 9, 9)))
    scores = metrics.pair_scores(x, y, *torch.rand(2, 3))
    assert {values.dtype for values in scores.values()} == {torch.float64}


# ---------------------------------------------------------------- energy on pixels


def test_energy_is_the_share_of_the_map_on_the_pixels():
    maps, other = random_pair()
    pixels = other > 0.5
    expected = [float(m[p].sum() / m.sum()) for m, p in zip(maps, pixels, strict=True)]
    assert metrics.energy_on(maps, pixels).tolist() == pytest.approx(expected, rel=1e-5)
    same = metrics.energy_on(maps, pixels[0])
    assert torch.equal(same, metrics.energy_on(maps, pixels[:1].expand_as(pixels)))


def test_the_energy_of_an_empty_map_is_undefined():
    maps = torch.cat([EMPTY, FULL])
    energy = metrics.energy_on(maps, torch.ones(4, 4, dtype=torch.bool))
    assert energy[0].isnan() and energy[1] == 1


@pytest.mark.parametrize(
    ("maps", "pixels", "error", "message"),
    [
        (GOOD, GOOD, TypeError, "pixels must be a bool tensor, got torch.float32"),
        (GOOD, [True], TypeError, "pixels must be a bool tensor, got list"),
        (GOOD, GOOD[:, :2] > 0, ValueError, r"\(2, 3, 3\) or \(3, 3\), .* got \(2, 2, 3\)"),
        (GOOD[0], GOOD[0] > 0, ValueError, r"must have shape \(N, H, W\), got \(3, 3\)"),
        (GOOD[:0], GOOD[:0] > 0, ValueError, "at least one image and one pixel"),
        (GOOD * 400, GOOD > 0, ValueError, "divide by 255"),
    ],
)
def test_energy_on_unsuitable_pixels_is_refused(maps, pixels, error, message):
    with pytest.raises(error, match=message):
        metrics.energy_on(maps, pixels)


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("metric", [*OVERLAPS, *ANGLES.values()])
@given(pair=pairs())
def test_similarities_lie_in_0_1_are_symmetric_and_1_for_a_map_with_itself(metric, pair):
    x, y = pair
    result = metric(x, y)
    assert result.ge(0).all()
    assert result.le(1).all()
    assert torch.equal(result, metric(y, x))
    assert torch.equal(metric(x, x), torch.ones_like(result))


@pytest.mark.parametrize("metric", [*SSIMS.values(), metrics.sp2ps])
@given(pair=pairs(smallest=11))
def test_structural_similarities_lie_in_their_range_are_symmetric_and_1_for_a_map_with_itself(
    metric, pair
):
    x, y = pair
    result = metric(x, y)
    assert result.ge(0 if metric is metrics.sp2ps else -1).all()
    assert result.le(1).all()
    torch.testing.assert_close(result, metric(y, x), atol=1e-6, rtol=0)
    torch.testing.assert_close(metric(x, x), torch.ones_like(result), atol=1e-6, rtol=0)


@given(pair=pairs(), factor=st.floats(0.01, 1))
def test_the_angle_of_a_map_and_its_multiple_is_none(pair, factor):
    x = pair[0]
    lit = x.flatten(1).amax(1) > 1e-3
    assert metrics.spectral_angle(x, x * factor)[lit].ge(1 - 1e-5).all()


SHARES = st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4)


@given(SHARES, SHARES, SHARES)
def test_pe_lies_between_its_parts_and_rises_with_each(structure, overlap, retained):
    parts = [torch.tensor(part) for part in (structure, overlap, retained)]
    result = metrics.combine_pe(parts[0], parts[1], 1 - parts[2])
    lowest, highest = torch.stack(parts).amin(0), torch.stack(parts).amax(0)
    assert (result >= lowest - 1e-6).all()
    assert (result <= highest + 1e-6).all()
    for index in range(3):
        better = [part.clone() for part in parts]
        better[index] = (better[index] + 0.1).clamp(max=1)
        assert (metrics.combine_pe(better[0], better[1], 1 - better[2]) >= result - 1e-6).all()


@given(SHARES, SHARES)
def test_sp2ps_is_the_harmonic_mean_of_its_parts(structure, spectrum):
    result = metrics.combine_sp2ps(torch.tensor(structure), torch.tensor(spectrum)).tolist()
    expected = [
        harmonic_mean([a, b]) if a and b else 0 for a, b in zip(structure, spectrum, strict=True)
    ]
    assert result == pytest.approx(expected, abs=1e-6)


@given(SHARES, SHARES)
def test_confidence_variation_is_a_loss_only(before, after):
    result = metrics.confidence_variation(torch.tensor(before), torch.tensor(after)).tolist()
    expected = [max(0, (a - b) / a) if a else 0 for a, b in zip(before, after, strict=True)]
    assert result == pytest.approx(expected, abs=1e-6)


@given(pair=pairs(), other=st.floats(0, 1, width=32))
def test_soft_iou_falls_when_the_larger_map_grows(pair, other):
    small, large = torch.minimum(*pair), torch.maximum(*pair)
    larger = torch.maximum(large, torch.tensor(other))
    assert (metrics.soft_iou(small, larger) <= metrics.soft_iou(small, large) + 1e-6).all()


@pytest.mark.parametrize("metric", PAIR_METRICS)
def test_float64_gives_the_same_numbers_in_its_own_type(metric):
    x, y = random_pair(shape=(5, 12, 14))
    result = metric(x.double(), y.double())
    assert result.dtype == torch.float64
    assert metric(x, y).dtype == torch.float32
    torch.testing.assert_close(result.float(), metric(x, y), atol=1e-6, rtol=0)


@pytest.mark.parametrize("metric", PAIR_METRICS)
def test_an_image_is_scored_alone_as_in_a_batch(metric):
    x, y = random_pair(shape=(5, 12, 14))
    one_by_one = torch.cat([metric(a[None], b[None]) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(metric(x, y), one_by_one)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("metric", PAIR_METRICS)
@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (GOOD.numpy(), GOOD, TypeError, "heatmaps must be tensors, got ndarray"),
        (GOOD, GOOD.bool(), TypeError, "float32 or float64, got torch.bool: convert"),
        (GOOD, GOOD.half(), TypeError, "float32 or float64, got torch.float16: convert"),
        (
            GOOD,
            GOOD.double(),
            TypeError,
            "share type and device, got torch.float32 on cpu and torch.float64",
        ),
        (
            GOOD,
            GOOD[:1],
            ValueError,
            r"share one shape \(N, H, W\), got \(2, 3, 3\) and \(1, 3, 3\)",
        ),
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": "hamming"}, "unknown SSIM window 'hamming': choose one of uniform, gaussian"),
        ({"size": 4}, "must be odd and at least 3, got 4"),
        ({"size": 1}, "must be odd and at least 3, got 1"),
        ({"window": "gaussian", "size": 7}, "gaussian window is 11 pixels wide"),
        ({}, "window is 7 wide, larger than maps of 3x3 pixels"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        metrics.ssim(GOOD, GOOD, **options)


def test_an_unknown_reading_of_spectral_angle_is_refused():
    with pytest.raises(
        ValueError, match="unknown reading of SAM 'bands': choose one of image, pixel, band"
    ):
        metrics.spectral_angle(GOOD, GOOD, over="bands")


ONE = torch.tensor([0.5, 0.5])


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (
            metrics.confidence_variation,
            (ONE, ONE[:1]),
            r"one number per image, of one shape \(N,\)",
        ),
        (
            metrics.confidence_variation,
            (ONE * 100, ONE),
            r"confidences must lie in \[0, 1\], got \[50, 50\]",
        ),
        (
            metrics.confidence_variation,
            (ONE, ONE * torch.nan),
            "confidences must be numbers, got NaN",
        ),
        (metrics.confidence_variation, (ONE[:0], ONE[:0]), "with N > 0"),
        (metrics.combine_sp2ps, (ONE, ONE * 3), r"scores must lie in \[-1, 1\], got \[1.5, 1.5\]"),
        (metrics.combine_pe, (ONE, ONE, ONE[None]), r"got \(2,\) and \(2,\) and \(1, 2\)"),
        (metrics.pe_score, (GOOD, GOOD, ONE[:1], ONE[:1]), "got 2 maps and 1 confidences"),
        (metrics.class_weights, (torch.zeros(3),), "not all of them 0"),
        (metrics.class_weights, (torch.tensor([1, -1]),), "number of images of each class"),
        (metrics.class_weighted_mean, (ONE, torch.tensor([0])), r"shape \(2,\), got \(1,\)"),
        (metrics.class_weighted_mean, (ONE, torch.tensor([0, -1])), "class indices from 0"),
        (metrics.class_weighted_mean, (ONE, ONE), "class indices from 0"),
        (
            metrics.class_weighted_mean,
            (ONE, torch.tensor([0, 0]), torch.tensor([1, 1])),
            "needs a value",
        ),
        (
            metrics.class_weighted_mean,
            (ONE, torch.tensor([0, 2]), torch.tensor([1, 0])),
            "every label a count",
        ),
    ],
)
def test_bad_numbers_are_refused_in_one_sentence(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
