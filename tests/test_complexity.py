"""CSG against spectral_metric and values by hand, neighbours against all distances, traps."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.datasets import load_digits
from spectral_metric.estimator import CumulativeGradientEstimator

from pruncam import complexity
from pruncam.complexity import _neighbours
from pruncam.complexity._neighbours import join, search
from pruncam.complexity._places import fill_places

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def clouds(classes=4, size=60, dimensions=2, spread=1.0, seed=0):
    """Overlapping normal clouds; classes of different size."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), size + 3 * np.arange(classes))
    centers = generator.normal(size=(classes, dimensions)) * 2 / math.sqrt(dimensions)
    return spread * (centers[labels] + generator.normal(size=(len(labels), dimensions))), labels


def reference(features, labels, k, indices=None):
    """spectral_metric on all points, or on the samples that we drew."""
    estimator = CumulativeGradientEstimator(M_sample=len(labels), k_nearest=k)
    if indices is None:
        return estimator.fit(features, labels)
    estimator.n_class = labels.max() + 1
    estimator.class_indices = {c: indices[labels[indices] == c] for c in np.unique(labels)}
    samples = {c: features[drawn] for c, drawn in estimator.class_indices.items()}
    estimator.compute(features, labels, samples)
    return estimator


def nearest(points, rows, k):
    """Return the indices of the neighbours, (Q, k)."""
    return join(search(points, rows, k)).indices


def assert_same(ours, theirs):
    assert ours.value == pytest.approx(float(theirs.csg[0]), abs=1e-9)
    np.testing.assert_allclose(ours.eigenvalues, theirs.evals, atol=1e-9)
    np.testing.assert_allclose(ours.similarity, theirs.W, atol=1e-9)
    np.testing.assert_allclose(ours.difference, theirs.difference, atol=1e-9)
    np.testing.assert_allclose(ours.neighbours, theirs.S, atol=1e-9)


# ---------------------------------------------------------------- against spectral_metric

# Above the floor of 1e-4, astride it, and below; in many dimensions it is always at the floor where
# differences are small, so that there it has no effect.
SPREADS = {"above": 1000.0, "astride": {1: 1e-3, 2: 0.03, 3: 0.1}, "below": 1e-6}


@pytest.mark.parametrize("where", SPREADS)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_with_volume_it_is_spectral_metric_on_all_points(k, dimensions, where):
    spread = SPREADS[where] if where != "astride" else SPREADS[where][dimensions]
    features, labels = clouds(dimensions=dimensions, spread=spread)
    ours = complexity.csg(features, labels, samples_per_class=None, k=k, volume=True)
    assert_same(ours, reference(features, labels, k))
    plain = complexity.csg(features, labels, samples_per_class=None, k=k).value
    assert (abs(plain - ours.value) > 1e-3) == (where != "below")


@pytest.mark.parametrize(("dimensions", "k"), [(4, 3), (8, 5), (9, 5), (64, 3), (300, 10)])
def test_without_volume_it_is_spectral_metric_where_the_volume_is_at_the_floor(dimensions, k):
    features, labels = clouds(dimensions=dimensions, spread=0.01)
    ours = complexity.csg(features, labels, samples_per_class=1000, k=k)
    assert_same(ours, reference(features, labels, k))
    assert 0.01 < ours.relative < 0.99


@pytest.mark.parametrize(("dimensions", "volume"), [(2, True), (30, False)])
def test_it_is_spectral_metric_on_the_same_samples(dimensions, volume):
    features, labels = clouds(dimensions=dimensions, spread=1 if volume else 0.1)
    ours = complexity.csg(features, labels, samples_per_class=20, volume=volume, seed=3)
    assert_same(ours, reference(features, labels, 5, ours.indices))
    assert (
        abs(
            ours.value
            - complexity.csg(features, labels, samples_per_class=None, volume=volume).value
        )
        > 1e-3
    )


def test_it_is_spectral_metric_on_handwritten_digits():
    digits = load_digits()
    features = digits.data / 16 + np.random.default_rng(0).normal(
        scale=1e-5, size=digits.data.shape
    )  # no ties
    ours = complexity.csg(features, digits.target, samples_per_class=50)
    assert_same(ours, reference(features, digits.target, 5, ours.indices))
    assert 0 < ours.value < 0.5


@pytest.mark.parametrize("k", [3, 5])
def test_on_tied_digits_it_is_the_mean_of_spectral_metric_over_ways_to_break_the_ties(k):
    # Of 1,797 digits with 17 grey levels, some neighbours are equally far. Jitter breaks the ties
    # at random. The rows of the shares are linear in the ties, so their mean is known.
    digits = load_digits()
    features, labels = digits.data / 16, digits.target
    ours = complexity.csg(features, labels, samples_per_class=None, k=k)
    generator = np.random.default_rng(0)
    theirs = [
        reference(features + generator.normal(scale=1e-9, size=features.shape), labels, k)
        for _ in range(10)
    ]
    shares = np.array([estimator.S for estimator in theirs])
    assert shares.std(axis=0).max() > 1e-4, "no ties, so nothing is tested"
    error = shares.std(axis=0, ddof=1) / math.sqrt(len(shares))
    assert (np.abs(ours.neighbours - shares.mean(axis=0)) <= 5 * error + 1e-12).all()
    csgs = [float(estimator.csg[0]) for estimator in theirs]
    assert min(csgs) < ours.value < max(csgs)


# ---------------------------------------------------------------- values by hand


def test_classes_far_apart_have_no_complexity():
    features, labels = clouds()
    result = complexity.csg(features + 1000 * labels[:, None], labels)
    assert (result.value, result.relative) == (0, 0)
    assert (result.similarity == np.eye(4)).all()
    assert not result.foreign.any()


@pytest.mark.parametrize("dimensions", [2, 20])
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_copies_of_one_cloud(classes, dimensions):
    # The K - 1 nearest of each point are its copies, one of every other class. Rows of the shares
    # differ in two of K places, by 1/(K-1) each: similarity w = (K-2)/(K-1), eigenvalues 0, Kw, ..,
    # Kw, so CSG = (K-1) w = K - 2.
    cloud = np.random.default_rng(0).normal(size=(50, dimensions))
    features, labels = np.tile(cloud, (classes, 1)), np.repeat(np.arange(classes), len(cloud))
    result = complexity.csg(features, labels, samples_per_class=30, k=classes - 1)
    w = (classes - 2) / (classes - 1)
    assert result.value == pytest.approx(classes - 2, abs=1e-9)
    np.testing.assert_allclose(result.neighbours, (1 - np.eye(classes)) / (classes - 1), atol=1e-12)
    np.testing.assert_allclose(
        result.similarity, np.eye(classes) + w * (1 - np.eye(classes)), atol=1e-12
    )
    np.testing.assert_allclose(result.eigenvalues, [0] + [classes * w] * (classes - 1), atol=1e-9)
    assert (result.foreign == 1).all()


@pytest.mark.parametrize("classes", [2, 5])
def test_labels_that_tell_nothing_come_near_the_upper_end(classes):
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(4000, 2)), generator.integers(classes, size=4000)
    result = complexity.csg(features, labels, samples_per_class=None, k=50)
    assert 0.95 < result.relative <= 1
    assert result.value == pytest.approx(result.relative * (classes - 1))


def test_four_points_on_a_line():
    # The nearest of 0, 1, 3, 7 are 1, 0, 1, 3: shares of a (1, 0), of b (1/2, 1/2), so that
    # similarity is 1/2. The boxes of b's samples are 4 and 8 wide, so with volume its shares are
    # (2/3, 1/3): similarity 2/3. Of two classes CSG is their similarity. A million times smaller,
    # all boxes are at the floor and weigh the same.
    features, labels = np.array([0.0, 1, 3, 7]), list("aabb")
    plain = complexity.csg(features, labels, k=1)
    weighed = complexity.csg(features, labels, k=1, volume=True)
    assert plain.value == pytest.approx(1 / 2)
    assert weighed.value == pytest.approx(2 / 3)
    assert complexity.csg(features / 1e6, labels, k=1, volume=True).value == pytest.approx(1 / 2)
    assert plain.foreign.tolist() == weighed.foreign.tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(plain.eigenvalues, [0, 1], atol=1e-12)
    np.testing.assert_allclose(weighed.neighbours, [[1, 0], [2 / 3, 1 / 3]])


# ---------------------------------------------------------------- neighbours


def by_all_distances(points, rows, k):
    """Every distance in float64, sorted by distance and index."""
    points, everyone = points.double().numpy(), np.arange(len(points))
    result = []
    for row in rows.tolist():
        distances = ((points - points[row]) ** 2).sum(1)
        distances[row] = np.inf
        result.append(np.lexsort((everyone, distances))[:k])
    return torch.tensor(np.array(result))


def set_of_points(kind, dimensions, dtype):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2000, dimensions, generator=generator, dtype=torch.float64)
    if kind == "grid":
        points = (points / 2).round()
    elif kind == "copies":
        points = points[torch.randint(500, (2000,), generator=generator)]
    elif kind == "one point":
        points = points[:1].repeat(2000, 1)
    elif kind == "tight clusters":  # float32 cannot tell their members apart by products
        points = points[torch.arange(2000) % 20].round() * 2**10 + points.round() / 2**9
    elif kind == "outliers":  # the products of all others vanish beside theirs
        points[[7, 8]] = torch.tensor([[2.0**100], [-(2.0**100)]], dtype=torch.float64)
    elif kind == "large":
        points = points.round() * 2.0**100
    elif kind == "small":
        points = points.round() * 2.0**-100
    return points.to(dtype)


KINDS = ["random", "grid", "copies", "one point", "tight clusters", "outliers", "large", "small"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [1, 2, 8, 9, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_equal_those_by_all_distances(kind, dimensions, dtype):
    points = set_of_points(kind, dimensions, dtype)
    scale = {"large": 2.0**-100, "small": 2.0**100}.get(kind, 1)
    for rows, k in [(torch.arange(0, 2000, 67), 5), (torch.tensor([7, 1999]), 1)]:
        assert torch.equal(
            nearest(points, rows, k), by_all_distances(points.double() * scale, rows, k)
        )


def test_float32_alone_would_order_tight_clusters_wrongly():
    points, rows = set_of_points("tight clusters", 40, torch.float64), torch.arange(0, 2000, 67)
    single = points.float()
    distances = (
        (single[rows] ** 2).sum(1)[:, None] + (single**2).sum(1) - 2 * single[rows] @ single.T
    )
    distances[torch.arange(len(rows)), rows] = torch.inf
    result = distances.topk(5 + _neighbours._EXTRA, largest=False).indices
    expected = by_all_distances(points, rows, 5)
    assert not all(
        set(w) <= set(f) for w, f in zip(expected.tolist(), result.tolist(), strict=True)
    )


@pytest.mark.parametrize("dimensions", [2, 20])
def test_neighbours_up_to_all_others(dimensions):
    points, rows = (
        torch.randn(30, dimensions, generator=torch.Generator().manual_seed(1)),
        torch.arange(30),
    )
    for k in (1, 20, 27, 28, 29):
        assert torch.equal(nearest(points, rows, k), by_all_distances(points, rows, k))


@pytest.mark.parametrize("dimensions", [3, 9])
@settings(max_examples=50)
@given(data=st.data())
def test_neighbours_among_few_values_equal_those_by_all_distances(dimensions, data):
    size = data.draw(st.integers(2, 40))
    points = torch.from_numpy(
        data.draw(arrays.arrays(np.float32, (size, dimensions), elements=st.integers(-2, 2)))
    )
    rows, k = torch.arange(size), data.draw(st.integers(1, size - 1))
    assert torch.equal(nearest(points, rows, k), by_all_distances(points, rows, k))


def ties_by_all_distances(points, rows, k):
    """Every row with every further point that is as far as the k-th neighbour, as pairs."""
    points, pairs = points.double().numpy(), []
    for place, row in enumerate(rows.tolist()):
        distances = ((points - points[row]) ** 2).sum(1)
        distances[row] = np.inf
        order = np.lexsort((np.arange(len(points)), distances))
        farthest = distances[order[k - 1]]
        pairs += [(place, int(other)) for other in order[k:] if distances[other] == farthest]
    return pairs


@pytest.mark.parametrize("dimensions", [2, 8, 9, 40])
@pytest.mark.parametrize("kind", ["grid", "copies", "one point", "random"])
def test_all_ties_at_the_last_place_are_found(kind, dimensions):
    points, rows = set_of_points(kind, dimensions, torch.float32), torch.arange(0, 2000, 97)
    for k in (1, 5):
        found = join(search(points, rows, k))
        expected = ties_by_all_distances(points, rows, k)
        assert sorted(zip(found.rows.tolist(), found.further.tolist(), strict=True)) == expected
        assert bool(expected) == (kind != "random")
        squared = (points[found.indices] - points[rows][:, None]).double().square().sum(2)
        assert torch.equal(found.tied[:, 1:], squared[:, 1:] == squared[:, :-1])
        assert not found.tied[:, 0].any()


def test_rounding_unties_no_neighbours():
    # Two sums of the same squares in another order, equal but for rounding.
    near = np.array([0.1, 0.2, 0.6])
    features = np.stack([np.zeros(3), near, near[::-1], np.full(3, 9.0), np.full(3, 8.0)])
    squares = torch.from_numpy(features).square().sum(1)
    assert squares[1] != squares[2], "no trap, so nothing is tested"
    assert complexity.csg(features, list("aabab"), k=1).foreign[0] == 1 / 2


def test_blocks_do_not_show(monkeypatch):
    rows = torch.arange(0, 2000, 3)
    sets = [set_of_points("grid", dimensions, torch.float32) for dimensions in (2, 12)]
    whole = [join(search(points, rows, 7)) for points in sets]
    sizes = {"_SCORES": 7000, "_TIES": 9000, "_PAIRS": 50, "_CHUNK": 17, "_ANEW": 3}
    for name, size in sizes.items():
        monkeypatch.setattr(_neighbours, name, size)
    for points, expected in zip(sets, whole, strict=True):
        blocks = list(search(points, rows, 7))
        assert len(blocks) > 100
        found = join(blocks)
        for name in ("points", "indices", "tied"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name
        pairs = [
            sorted(zip(f.rows.tolist(), f.further.tolist(), strict=True)) for f in (found, expected)
        ]
        assert pairs[0] == pairs[1]


def test_precision_that_the_user_lowered_changes_nothing_and_stays():
    points, rows = set_of_points("tight clusters", 40, torch.float32), torch.arange(100)
    expected = by_all_distances(points, rows, 5)
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (points[:9] @ points[:9].T).dtype == torch.bfloat16, (
                "autocast is off, so nothing is tested"
            )
            assert torch.equal(nearest(points, rows, 5), expected)
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dimensions", [2, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_finds_the_same(kind, dimensions):
    points, labels = set_of_points(kind, dimensions, torch.float32), torch.arange(2000) % 7
    ours, theirs = (
        complexity.csg(points.to(d), labels.to(d), samples_per_class=50) for d in ("cpu", "cuda")
    )
    assert theirs.value == ours.value
    assert (theirs.foreign == ours.foreign).all()


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("dimensions", [2, 10])
@settings(max_examples=25)
@given(data=st.data())
def test_only_who_is_near_whom_matters(dimensions, data):
    size = data.draw(st.integers(6, 40))
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))) % 4
    labels[:2] = 0, 3
    features = data.draw(
        arrays.arrays(np.float64, (size, dimensions), elements=st.integers(-20, 20))
    )
    k = data.draw(st.integers(1, 5))
    result = complexity.csg(features, labels, samples_per_class=None, k=k)

    names = np.array(data.draw(st.permutations(["zebra", "ape", "", "Ω"])))
    shift = data.draw(arrays.arrays(np.float64, dimensions, elements=st.integers(-1000, 1000)))
    changed = [
        complexity.csg(features, names[labels], samples_per_class=None, k=k),
        complexity.csg(features, labels * 5.5 - 7, samples_per_class=None, k=k),
        complexity.csg(8 * features + shift, labels, samples_per_class=None, k=k),
        complexity.csg(features[:, ::-1], labels, samples_per_class=None, k=k),
    ]
    assert [other.value for other in changed] == pytest.approx([result.value] * 4, abs=1e-9)
    assert -1e-12 <= result.value <= len(result.classes) - 1 + 1e-9
    assert np.allclose(result.neighbours.sum(1), 1)
    assert (result.similarity == result.similarity.T).all()
    assert result.eigenvalues[0] == pytest.approx(0, abs=1e-9)
    order = [list(result.classes).index(c) for c in np.argsort(names) if c in result.classes]
    np.testing.assert_allclose(
        changed[0].neighbours, result.neighbours[np.ix_(order, order)], atol=1e-12
    )
    # What `foreign` says of the samples, class by class, is what is off the diagonal.
    shares = [result.foreign[labels[result.indices] == c].mean() for c in result.classes]
    np.testing.assert_allclose(1 - result.neighbours.diagonal(), shares, atol=1e-12)


def places_by_hand(features, labels, k):
    """Foreign shares (N,) and class shares (K, K) in fractions; features are integers."""
    classes = sorted(set(labels.tolist()))
    foreign, shares = [], np.full((len(classes), len(classes)), Fraction(0))
    for own, label in enumerate(labels):
        squared = ((features - features[own]) ** 2).sum(1).tolist()
        others = [(squared[i], c) for i, c in enumerate(labels) if i != own]
        farthest = sorted(d for d, _ in others)[k - 1]
        nearer = [c for d, c in others if d < farthest]
        tied = [c for d, c in others if d == farthest]
        share = Fraction(k - len(nearer), len(tied))
        of_class = [nearer.count(c) + share * tied.count(c) for c in classes]
        shares[classes.index(label)] += of_class
        foreign.append(1 - of_class[classes.index(label)] / k)
    return foreign, shares / shares.sum(axis=1, keepdims=True)


@st.composite
def tied_sets(draw, dimensions):
    """Integer features with many ties and duplicates, labels of two classes or more, and k."""
    size = draw(st.integers(4, 30))
    few_values = st.integers(0, draw(st.integers(0, 3)))
    features = draw(arrays.arrays(np.int64, (size, dimensions), elements=few_values))
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    labels[:2] = 0, 1
    return features, labels, draw(st.integers(1, min(size - 1, 12)))


@pytest.mark.parametrize("dimensions", [2, 10])
@settings(max_examples=60)
@given(data=st.data())
def test_tied_neighbours_share_the_places_that_are_left(dimensions, data):
    features, labels, k = data.draw(tied_sets(dimensions))
    result = complexity.csg(features, labels, samples_per_class=None, k=k)
    foreign, shares = places_by_hand(features, labels, k)
    expected = np.array(foreign, dtype=float)[result.indices]
    np.testing.assert_allclose(result.foreign, expected, atol=1e-12)
    np.testing.assert_allclose(result.neighbours, shares.astype(float), atol=1e-12)


@pytest.mark.parametrize(("dimensions", "volume"), [(2, False), (2, True), (10, False)])
@settings(max_examples=60)
@given(data=st.data())
def test_the_order_of_the_points_changes_nothing_even_among_duplicates(dimensions, volume, data):
    features, labels, k = data.draw(tied_sets(dimensions))
    features = features / 100 if data.draw(st.booleans()) else features  # below the least volume
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    options = {"samples_per_class": None, "volume": volume}
    result = complexity.csg(features, labels, k=k, **options)
    shuffled = complexity.csg(features[order], labels[order], k=k, **options)
    assert shuffled.value == pytest.approx(result.value, abs=1e-9)
    np.testing.assert_allclose(shuffled.neighbours, result.neighbours, atol=1e-12)
    by_point = np.empty(len(labels))
    by_point[order[shuffled.indices]] = shuffled.foreign
    np.testing.assert_allclose(by_point[result.indices], result.foreign, atol=1e-12)
    search = complexity.neighbourhoods(features[order], labels[order], k=min(12, len(labels) - 1))
    assert search.csg(k=k, **options).value == pytest.approx(result.value, abs=1e-9)


def test_shuffled_digits_have_the_same_complexity():
    digits = load_digits()
    order = np.random.default_rng(1).permutation(len(digits.target))
    for k in (1, 3, 5):
        result = complexity.csg(digits.data, digits.target, samples_per_class=None, k=k)
        shuffled = complexity.csg(
            digits.data[order], digits.target[order], samples_per_class=None, k=k
        )
        assert shuffled.value == pytest.approx(result.value, abs=1e-12)


# ---------------------------------------------------------------- samples


def test_samples_are_of_their_class_and_follow_the_seed():
    features, labels = clouds()
    first, again, other = (
        complexity.csg(features, labels, samples_per_class=62, seed=s) for s in (0, 0, 1)
    )
    assert first.samples.tolist() == [60, 62, 62, 62]  # the first class has no more
    assert labels[first.indices].tolist() == np.repeat(first.classes, first.samples).tolist()
    assert len(set(first.indices)) == 60 + 3 * 62
    assert (first.indices == again.indices).all()
    assert first.value == again.value
    assert set(first.indices[60:]) != set(other.indices[60:])


def test_every_point_of_a_class_is_as_likely_to_be_drawn():
    features, labels = np.arange(20.0), np.repeat([0, 1], 10)
    drawn = [
        complexity.csg(features, labels, samples_per_class=3, k=1, seed=s).indices
        for s in range(400)
    ]
    often = np.bincount(
        np.concatenate(drawn), minlength=20
    )  # binomial, mean 120, standard deviation 9
    assert often.min() > 80
    assert often.max() < 160


def test_as_many_samples_as_there_are_is_all_of_them_whatever_the_seed():
    features, labels = clouds()
    everything = complexity.csg(features, labels, samples_per_class=None)
    capped = complexity.csg(features, labels, samples_per_class=69, seed=5)
    assert (capped.indices == everything.indices).all()
    assert sorted(everything.indices) == list(range(len(labels)))
    assert capped.value == everything.value


def test_a_class_draws_the_same_whatever_the_others_are():
    features, labels = clouds()
    coarse = np.where(labels == 0, 0, 1)
    drawn = [
        complexity.csg(features, y, samples_per_class=10).indices[:10].tolist()
        for y in (labels, coarse)
    ]
    assert drawn[0] == drawn[1]


def random_states():
    return np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002


def test_no_global_random_state_is_touched():
    features, labels = clouds()
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = random_states()
    complexity.csg(features, labels, samples_per_class=10)
    assert random_states() == before


# ---------------------------------------------------------------- traps of spectral_metric


def test_labels_with_gaps_or_below_zero_count_as_the_classes_that_they_are():
    features, labels = clouds(spread=1e-6)  # so small that volumes do not count
    result = complexity.csg(features, labels, samples_per_class=None)
    renamed = complexity.csg(features, np.array([-3, 0, 5, 90])[labels], samples_per_class=None)
    assert (renamed.value, renamed.relative) == (result.value, result.relative)
    assert renamed.classes.tolist() == [-3, 0, 5, 90]
    with np.errstate(invalid="ignore"):
        gaps, negative = (
            reference(features, np.array(names)[labels], 5)
            for names in ([0, 1, 2, 5], [-1, 0, 1, 2])
        )
    assert np.isnan(gaps.csg), "no trap, so nothing is tested"
    assert abs(float(negative.csg[0]) - result.value) > 1e-3, "no trap, so nothing is tested"


def test_a_point_is_not_its_own_neighbour_but_its_duplicate_is():
    # Two points lie at 0, one of each class. spectral_metric drops whichever it sorts first, for
    # both of them.
    features, labels = np.array([0.0, 0, 1, 5, 6]), np.array([0, 1, 0, 1, 1])
    result = complexity.csg(features, labels, k=1)
    assert result.indices.tolist() == [0, 2, 1, 3, 4]
    # The two at 0 are equally far from 1 and share its place.
    assert result.foreign.tolist() == [1, 1 / 2, 1, 0, 0]


def test_neighbours_at_equal_distances_share_places():
    features, labels = np.array([0.0, 1, -1, 1, 9, 0.5]), np.array([0, 1, 0, 0, 1, 1])
    # 0.5 is the nearest to 0; of 1, -1 and 1 one is of the other class.
    assert complexity.csg(features, labels, k=1).foreign[0] == 1
    assert complexity.csg(features, labels, k=2).foreign[0] == pytest.approx((1 + 1 / 3) / 2)
    assert complexity.csg(features, labels, k=3).foreign[0] == pytest.approx((1 + 2 / 3) / 3)
    assert complexity.csg(features, labels, k=4).foreign[0] == 2 / 4


def test_the_box_holds_all_that_share_a_place():
    # (1, 0) is the nearest to (0, 0); (0, 2) and (2, 0) share the second place: 4 x 4, a quarter of
    # which is 1 x 1. With k = 1 it reaches only to (1, 0), with k = 4 also to (3, 0).
    points = torch.tensor([[0.0, 0], [2, 0], [1, 0], [0, 2], [3, 0]])
    for listed in (1, 2, 3, 4):  # the ties are in the list or beyond it
        found = join(search(points, torch.tensor([0]), listed))
        expected = {1: [0.5, 0], 2: [1, 1], 3: [1, 1], 4: [1.5, 1]}
        for k in range(1, listed + 1):
            places = fill_places(found, np.zeros(5, int), k, points.numpy() / 2)
            assert places.quarters.tolist() == [expected[k]]


def test_bytes_do_not_wrap_round():
    generator = np.random.default_rng(0)
    features, labels = (
        generator.integers(0, 256, (200, 2), dtype=np.uint8),
        generator.integers(3, size=200),
    )
    ours = complexity.csg(features, labels, samples_per_class=None, volume=True)
    assert (
        ours.value
        == complexity.csg(features.astype(float), labels, samples_per_class=None, volume=True).value
    )
    assert abs(ours.value - float(reference(features, labels, 5).csg[0])) > 1e-3, (
        "no trap, so nothing is tested"
    )


@pytest.mark.parametrize("scale", [2.0**600, 2.0**-600, 2.0**1020])
def test_volumes_beyond_float64_stay_finite(scale):
    features, labels = clouds()
    features = features.round(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = complexity.csg(features * scale, labels, samples_per_class=None, volume=True)
    # Above the floor the unit cancels; below it all weigh the same.
    expected = complexity.csg(features * 2**20, labels, samples_per_class=None, volume=scale > 1)
    assert result.value == pytest.approx(expected.value, rel=1e-9)


@pytest.mark.parametrize("dimensions", [2, 20])
def test_a_set_of_one_image_is_defined(dimensions):
    # All distances are 0, so the 11 others share the three places: 5 of the own class, 6 of the
    # other one. The rows of the shares differ by 1/11.
    features, labels = np.ones((12, dimensions), np.float32), np.repeat([0, 1], 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = complexity.csg(features, labels, k=3, volume=dimensions == 2)
    assert result.value == pytest.approx(10 / 11)
    assert result.foreign.tolist() == pytest.approx([6 / 11] * 12)


def test_a_class_of_one_point_gives_one_sample():
    features, labels = clouds()
    labels[0] = 9
    result = complexity.csg(features, labels, samples_per_class=20)
    assert result.samples.tolist() == [20, 20, 20, 20, 1]
    assert result.neighbours[4, 4] == 0
    assert math.isfinite(result.value)


# ---------------------------------------------------------------- what a caller may pass


FEATURES, LABELS = clouds(dimensions=12)
FEATURES = np.round(FEATURES * 8)
READ_ONLY = FEATURES.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (torch.from_numpy(FEATURES), torch.from_numpy(LABELS)),
        (torch.from_numpy(FEATURES).float().requires_grad_(), LABELS.astype(np.uint8)),
        (torch.from_numpy(FEATURES).half(), LABELS),
        (torch.from_numpy(FEATURES).to(torch.int8).view(-1, 3, 2, 2), LABELS),
        (FEATURES.tolist(), LABELS.tolist()),
        (FEATURES.astype(np.float16), pd.Series(LABELS)),
        (FEATURES.astype(">f4"), pd.Categorical(np.array(list("abcd"))[LABELS])),
        (FEATURES.astype(np.int16).reshape(-1, 4, 3), np.array(list("abcd"))[LABELS]),
        (np.asfortranarray(FEATURES), LABELS.astype(object)),
        (FEATURES[:, ::-1], LABELS / 3 - 5),
        (READ_ONLY, pd.to_datetime(LABELS, unit="D")),
        (pd.DataFrame(FEATURES), LABELS),
    ],
)
def test_any_numbers_and_any_labels_will_do(features, labels):
    expected = complexity.csg(FEATURES, LABELS, samples_per_class=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = complexity.csg(features, labels, samples_per_class=30)
    assert result.value == expected.value
    assert (result.indices == expected.indices).all()


def test_the_features_are_left_as_they_are():
    for features in (FEATURES[:, :2], FEATURES, FEATURES * 1e200):
        before = features.copy()
        complexity.csg(features, LABELS)
        assert (features == before).all()


BROKEN = FEATURES.copy()
BROKEN[3, 1] = np.nan


@pytest.mark.parametrize(
    ("features", "labels", "options", "error", "message"),
    [
        (BROKEN, LABELS, {}, ValueError, "must be finite, got NaN or infinity"),
        (
            np.full_like(FEATURES, -np.inf),
            LABELS,
            {},
            ValueError,
            "must be finite, got NaN or infinity",
        ),
        (
            FEATURES.astype(complex),
            LABELS,
            {},
            TypeError,
            "must be numbers, got an array of complex128",
        ),
        (
            torch.from_numpy(FEATURES).to(torch.complex64),
            LABELS,
            {},
            TypeError,
            "real numbers, got torch.complex64",
        ),
        ([["a"], ["b"]], [0, 1], {}, TypeError, "must be numbers, got an array of <U1"),
        (
            FEATURES[:0],
            LABELS[:0],
            {},
            ValueError,
            r"shape \(N, ...\) and not be empty, got \(0, 12\)",
        ),
        (FEATURES[:, :0], LABELS, {}, ValueError, r"and not be empty, got \(258, 0\)"),
        (3, LABELS, {}, ValueError, r"and not be empty, got \(\)"),
        (
            FEATURES,
            LABELS[1:],
            {},
            ValueError,
            "each point needs its label, got 258 points and 257 labels",
        ),
        (FEATURES, LABELS[:, None], {}, ValueError, r"one per point, shape \(N,\), got \(258, 1\)"),
        (
            FEATURES,
            [None, "a"] * 129,
            {},
            TypeError,
            "of one kind that can be sorted, got a mixture",
        ),
        (FEATURES, BROKEN[:, 1], {}, ValueError, "labels must not be NaN"),
        (FEATURES, ["cat"] * 258, {}, ValueError, "between classes, got only the label 'cat'"),
        (
            FEATURES[:5],
            [0, 1, 0, 1, 1],
            {},
            ValueError,
            "k must be below the number of points, which is 5, got 5",
        ),
        (FEATURES, LABELS, {"k": 0}, ValueError, "k must be at least 1, got 0"),
        (
            FEATURES,
            LABELS,
            {"k": 2.5},
            ValueError,
            "k must be a whole number of at least 1, got 2.5",
        ),
        (
            FEATURES,
            LABELS,
            {"k": "5"},
            TypeError,
            "k must be a whole number of at least 1, got '5'",
        ),
        (
            FEATURES,
            LABELS,
            {"samples_per_class": 0},
            ValueError,
            "samples_per_class must be at least 1, got 0",
        ),
        (
            FEATURES,
            LABELS,
            {"samples_per_class": 0.5},
            ValueError,
            "must be a whole number of at least 1, got 0.5",
        ),
        (
            FEATURES,
            LABELS,
            {"seed": None},
            TypeError,
            "seed must be a whole number from 0 to .*, got None",
        ),
        (
            FEATURES,
            LABELS,
            {"volume": True},
            ValueError,
            "volume is for at most 3 dimensions, got 12: leave it off",
        ),
        (FEATURES, LABELS, {"volume": "yes"}, TypeError, "volume must be True or False, got 'yes'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(features, labels, options, error, message):
    with pytest.raises(error, match=message) as raised:
        complexity.csg(features, labels, **options)
    assert "\n" not in str(raised.value)
