"""Statistics against SciPy, numbers worked out by hand, and the coverage of intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pruncam.statistics import (
    Interval,
    bootstrap_mean,
    bootstrap_means,
    correlation,
    crossed_means,
    distance_from,
    extreme,
    mean_difference,
    percentile_intervals,
    proportion_interval,
    rank_correlation,
    simultaneous_intervals,
    t_interval,
)
from pruncam.statistics.bootstrap import resampled_sums

REFERENCES = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


def series(seed, n, slope=1.0):
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return x, slope * x + random.normal(size=n)


@pytest.mark.parametrize("method", REFERENCES)
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(5, 60),
    slope=st.sampled_from([-3, 0, 0.5]),
    ties=st.booleans(),
)
def test_value_and_p_are_those_of_scipy(method, seed, n, slope, ties):
    x, y = series(seed, n, slope)
    if ties:
        x, y = x.round(1), y.round(1)
    result, expected = correlation(x, y, method), REFERENCES[method](x, y)
    assert (result.value, result.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert result.low - 1e-15 <= result.value <= result.high + 1e-15 and result.df == n - 2


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(5, 60), slope=st.sampled_from([-3, 0, 0.5]))
def test_pearsons_interval_is_that_of_scipy(seed, n, slope):
    x, y = series(seed, n, slope)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    result = correlation(x, y)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))


def test_intervals_of_rank_correlations_are_those_of_their_formulas():
    # Ranks 1 to 10 with two neighbours exchanged twice: sum of squared differences 4, two
    # discordant pairs of 45.
    x, y = range(1, 11), [2, 1, 3, 4, 5, 6, 7, 8, 10, 9]
    rho, tau = 1 - 6 * 4 / (10 * 99), (43 - 2) / 45
    spearman, kendall = correlation(x, y, "spearman"), correlation(x, y, "kendall")
    margin = 1.959964 * math.sqrt((1 + rho**2 / 2) / 7)  # Bonett and Wright (2000)
    expected = (rho, math.tanh(math.atanh(rho) - margin), math.tanh(math.atanh(rho) + margin))
    assert (spearman.value, spearman.low, spearman.high) == pytest.approx(expected, abs=1e-6)
    margin = 1.959964 * math.sqrt(0.437 / 6)  # Fieller, Hartley and Pearson (1957)
    expected = (tau, math.tanh(math.atanh(tau) - margin), math.tanh(math.atanh(tau) + margin))
    assert (kendall.value, kendall.low, kendall.high) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", REFERENCES)
def test_intervals_hold_the_true_correlation_in_95_of_100_samples(method):
    # Of a normal pair with Pearson's r: Spearman's is 6/pi asin(r/2), Kendall's 2/pi asin(r).
    r, random = 0.6, np.random.default_rng(1)
    truth = {
        "pearson": r,
        "spearman": 6 / math.pi * math.asin(r / 2),
        "kendall": 2 / math.pi * math.asin(r),
    }[method]
    hits = 0
    for x, noise in random.normal(size=(1000, 2, 26)):
        result = correlation(x, r * x + math.sqrt(1 - r**2) * noise, method)
        hits += result.low <= truth <= result.high
    assert (
        925 <= hits <= 980
    )  # 950 and more than three standard errors (7) around; Kendall's is known to be wide


def test_26_points_have_24_degrees_of_freedom():
    # The thesis prints 25 for its 26 levels (Table 3.1).
    result = correlation(*series(1, 26))
    assert result.df == 24
    t = result.value * math.sqrt(24 / (1 - result.value**2))
    assert result.p_value == pytest.approx(2 * stats.t.sf(t, 24))


@pytest.mark.parametrize("method", REFERENCES)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_correlation_is_one_and_its_interval_too(method, sign):
    result = correlation(range(9), [sign * (2 * k + 1) for k in range(9)], method)
    assert (result.value, result.low, result.high) == pytest.approx((sign, sign, sign))


@pytest.mark.parametrize("method", REFERENCES)
def test_a_constant_series_has_no_correlation(method):
    for result in (
        correlation([3] * 6, range(6), method),
        correlation(range(6), [0.1] * 6, method),
    ):
        assert all(
            math.isnan(value) for value in (result.value, result.low, result.high, result.p_value)
        )
        assert result.df == 4


@pytest.mark.parametrize(
    ("x", "y", "method", "message"),
    [
        (
            range(6),
            range(6),
            "cosine",
            "unknown correlation 'cosine': choose one of pearson, spearman, kendall",
        ),
        (range(4), range(4), "pearson", "same length, 5 or more, got \\(4,\\) and \\(4,\\)"),
        (range(6), range(7), "pearson", "same length, 5 or more, got \\(6,\\) and \\(7,\\)"),
        (np.ones((5, 2)), np.ones((5, 2)), "pearson", "two series"),
        ([1, 2, 3, 4, math.nan], range(5), "kendall", "finite values"),
        (range(5), [1, 2, 3, 4, math.inf], "spearman", "finite values"),
    ],
)
def test_series_without_a_correlation_are_refused(x, y, method, message):
    with pytest.raises(ValueError, match=message):
        correlation(x, y, method)


# ---------------------------------------------------------------- rank correlations of many rows


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), ties=st.booleans())
def test_rank_correlations_are_those_of_scipy(seed, n, ties):
    random = np.random.default_rng(seed)
    x, rows = random.normal(size=n), random.normal(size=(4, n))
    if ties and n > 4:
        x, rows = x.round(), rows.round()
    varies = (np.ptp(x) > 0) & (np.ptp(rows, axis=1) > 0)
    values = rank_correlation(x, rows)
    assert np.isnan(values).tolist() == (~varies).tolist()
    expected = [stats.spearmanr(x, row).statistic for row in rows[varies]]
    assert values[varies] == pytest.approx(expected)


def test_a_rank_correlation_without_an_order_is_undefined_or_what_the_caller_says():
    rows = [[3, 3, 3], [1, 3, 2]]
    assert rank_correlation([1, 2, 3], rows) == pytest.approx([math.nan, 0.5], nan_ok=True)
    assert rank_correlation([1, 2, 3], rows, undefined=0) == pytest.approx([0, 0.5])
    assert rank_correlation([2, 2, 2], rows, undefined=0).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("x", "rows", "message"),
    [
        ([1], [[1]], "n at least 2, got \\(1,\\) and \\(1, 1\\)"),
        ([1, 2, 3], [1, 2, 3], "got \\(3,\\) and \\(3,\\)"),
        ([1, 2, 3], [[1, 2]], "got \\(3,\\) and \\(1, 2\\)"),
        ([1, math.nan], [[1, 2]], "finite values"),
        ([1, 2], [[1, math.inf]], "finite values"),
    ],
)
def test_rank_correlations_of_unsuitable_series_are_refused(x, rows, message):
    with pytest.raises(ValueError, match=message):
        rank_correlation(x, rows)


# ---------------------------------------------------------------- intervals


def test_an_interval_is_written_in_one_way():
    assert Interval(0.1234, 0.1, 0.15).text() == "0.123 [0.100, 0.150]"
    assert Interval(-1.5, -2, 0).text(1) == "-1.5 [-2.0, 0.0]"
    assert Interval(0.5, -math.inf, math.inf).text(2) == "0.50 [-inf, inf]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, Interval(1.0, 0.5, 2.0)),  # below the interval
        (1.75, Interval(0.25, 0.0, 1.25)),  # within it
        (4, Interval(2.0, 1.0, 2.5)),  # above it
        (3, Interval(1.0, 0.0, 1.5)),  # on its upper end
    ],
)
def test_the_distance_of_an_estimate_from_a_number(value, expected):
    assert distance_from(Interval(2.0, 1.5, 3.0), value) == expected


def test_bootstrap_intervals_are_those_of_scipy():
    values = np.random.default_rng(0).exponential(size=400)
    result = bootstrap_mean(values, samples=8000, seed=1)
    settings = {"n_resamples": 8000, "method": "percentile", "random_state": 2}
    expected = stats.bootstrap((values,), np.mean, **settings).confidence_interval
    assert result.value == pytest.approx(values.mean())
    # Two draws of 8,000: the ends scatter by some 2 % of the interval's width.
    width = expected.high - expected.low
    assert (result.low, result.high) == pytest.approx(
        (expected.low, expected.high), abs=0.08 * width
    )


def test_bootstrap_intervals_hold_the_true_mean_in_95_of_100_samples():
    random = np.random.default_rng(3)
    result = [bootstrap_mean(random.normal(size=60), samples=200, seed=k) for k in range(400)]
    hits = sum(interval.low <= 0 <= interval.high for interval in result)
    assert (
        360 <= hits <= 392
    )  # 380, less some for the percentile's bias at 60 values; standard error 4.4


def test_a_bootstrap_is_a_function_of_its_seed_and_widens_with_its_confidence():
    values = np.arange(50.0)
    assert bootstrap_mean(values, samples=200, seed=1) == bootstrap_mean(
        values, samples=200, seed=1
    )
    assert bootstrap_mean(values, samples=200, seed=1) != bootstrap_mean(
        values, samples=200, seed=2
    )
    wide, narrow = (bootstrap_mean(values, samples=200, seed=1, confidence=c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert bootstrap_mean([4.0] * 9, samples=100, seed=0).low == 4.0


def test_a_t_interval_of_three_seeds_is_as_worked_out_by_hand():
    # Mean 2, standard deviation 1, standard error 1/sqrt(3), t(0.975; 2) = 4.302653 (any table)
    result = t_interval([1, 2, 3])
    assert (result.value, result.low, result.high) == pytest.approx(
        (2, 2 - 2.484138, 2 + 2.484138), abs=1e-6
    )
    result = t_interval([1, 2, 3], confidence=0.5)  # t(0.75; 2) = 0.816497
    assert (result.low, result.high) == pytest.approx((2 - 0.471405, 2 + 0.471405), abs=1e-6)


def test_one_seed_alone_says_nothing_about_its_scatter():
    result = t_interval([0.5])
    assert (result.value, result.low, result.high) == (0.5, -math.inf, math.inf)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0, 2.0]], [math.inf, 1.0]])
def test_intervals_need_finite_values_in_one_dimension(values):
    for interval in (t_interval, lambda v: bootstrap_mean(v, samples=100, seed=0)):
        with pytest.raises(
            ValueError, match="an interval needs 1 or more finite values in one dimension"
        ):
            interval(values)


def test_columns_are_resampled_together_and_each_has_the_interval_of_its_own():
    values = np.random.default_rng(3).normal(size=(80, 3))
    together = bootstrap_means(values, samples=300, seed=2)
    for k, result in enumerate(together):
        alone = bootstrap_mean(values[:, k], samples=300, seed=2)
        assert (result.value, result.low, result.high) == pytest.approx(
            (alone.value, alone.low, alone.high)
        )
    twice = bootstrap_means(np.c_[values[:, 0], 2 * values[:, 0]], samples=300, seed=2)
    assert twice[1].low == pytest.approx(2 * twice[0].low)


def test_rows_are_drawn_within_their_stratum():
    # Two strata that are constant: within them nothing varies, across them it would.
    values, strata = np.repeat([[1.0], [3.0]], [10, 30], axis=0), np.repeat([0, 1], [10, 30])
    (result,) = bootstrap_means(values, samples=100, seed=0, strata=strata, weights=[0.75, 0.25])
    assert (result.value, result.low, result.high) == (1.5, 1.5, 1.5)
    # The standard error of a stratified mean: sum of w^2 s^2 / n.
    random = (
        np.random.default_rng(1).normal(size=(400, 1)) * np.repeat([1.0, 5.0], [100, 300])[:, None]
    )
    strata = np.repeat([0, 1], [100, 300])
    (result,) = bootstrap_means(random, samples=4000, seed=0, strata=strata, weights=[0.5, 0.5])
    error = math.sqrt(sum(0.25 * random[strata == k].var() / (strata == k).sum() for k in (0, 1)))
    assert result.high - result.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    zeros = strata[:1].repeat(40)
    for wrong, message in (
        (
            {"strata": zeros, "weights": [0.5, 0.5]},
            "every stratum with a weight needs at least one row",
        ),
        ({"strata": zeros}, "strata and weights go together"),
        ({"weights": [1]}, "strata and weights go together"),
        ({"strata": zeros, "weights": [1, 2]}, "weights must be shares"),
        ({"strata": zeros, "weights": [math.nan]}, "weights must be shares"),
        ({"strata": zeros + 7, "weights": [1]}, "a row of stratum 7"),
        ({"strata": zeros[:2], "weights": [1]}, "one index from 0 for each of 400 rows"),
        ({"strata": zeros - 1, "weights": [1]}, "one index from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            rows = random if "400" in message else values
            bootstrap_means(rows, samples=100, seed=0, **wrong)


@pytest.mark.parametrize(("n", "samples"), [(3, 20_000), (250, 300), (40_000, 3), (1, 100)])
def test_resampled_sums_are_those_of_rows_picked_one_by_one(n, samples):
    values = (
        np.random.default_rng(n).integers(-9, 9, (n, 2)).astype(float)
    )  # whole numbers: their sums are exact
    result = resampled_sums(values, samples, np.random.default_rng(5))
    generator = np.random.default_rng(5)
    assert np.array_equal(
        result, [values[generator.integers(0, n, n)].sum(0) for _ in range(samples)]
    )


def test_a_bootstrap_of_few_samples_is_refused():
    with pytest.raises(ValueError, match="at least 100 samples, got 99"):
        bootstrap_mean([1.0, 2.0], samples=99, seed=0)


def test_a_difference_of_means_is_as_worked_out_by_hand():
    # Variances 1 and 4 of 3 and 2 values: the standard error is sqrt(1/3 + 2), Welch's degrees of
    # freedom 1.32.
    result = mean_difference([1, 2, 3], [4, 4 + 2 * math.sqrt(2)])
    error, freedom = math.sqrt(1 / 3 + 2), (1 / 3 + 2) ** 2 / ((1 / 3) ** 2 / 2 + 2**2 / 1)
    margin = stats.t.ppf(0.975, freedom) * error
    assert result.value == pytest.approx(2 - 4 - math.sqrt(2))
    assert (result.low, result.high) == pytest.approx(
        (result.value - margin, result.value + margin)
    )
    # One value that is known: Student's interval of the others' mean, turned round.
    known, others = mean_difference([5], [1, 2, 3]), t_interval([1, 2, 3])
    assert (known.value, known.low, known.high) == pytest.approx(
        (3, 5 - others.high, 5 - others.low)
    )
    for one, other in (([], [1, 2]), ([1, 2], [1]), ([1, math.nan], [1, 2])):
        with pytest.raises(ValueError, match="an interval needs"):
            mean_difference(one, other)


# ---------------------------------------------------------------- proportions


@settings(max_examples=40, deadline=None)
@given(trials=st.integers(1, 10_000), share=st.floats(0, 1))
def test_the_interval_of_a_proportion_is_wilsons(trials, share):
    # Its ends are where the score test just rejects: (p - k/n)^2 = z^2 p (1 - p) / n.
    successes = round(share * trials)
    result = proportion_interval(successes, trials)
    assert result.value == successes / trials
    for end in (result.low, result.high):
        squared_error = stats.norm.ppf(0.975) ** 2 * end * (1 - end) / trials
        assert (end - result.value) ** 2 == pytest.approx(squared_error, abs=1e-9)
    assert 0 <= result.low <= result.value <= result.high <= 1


def test_an_accuracy_without_an_error_still_has_an_interval():
    result = proportion_interval(10, 10)
    assert (result.value, result.high) == (1, 1)
    assert result.low == pytest.approx(1 / (1 + 1.959964**2 / 10))  # Wilson's formula at p = 1


@pytest.mark.parametrize(
    ("successes", "trials", "message"),
    [
        (3, 2, "3 successes in 2 trials"),
        (0, 0, "trials must be"),
        (-1, 5, "successes must be"),
        (1.5, 5, "successes must be"),
    ],
)
def test_proportions_that_cannot_be_are_refused(successes, trials, message):
    with pytest.raises((TypeError, ValueError), match=message):
        proportion_interval(successes, trials)


# ---------------------------------------------------------------- trainings and images


def spread(values, **options):
    """Return the standard error of the mean by the crossed bootstrap."""
    return crossed_means(values, samples=4000, seed=0, **options).std(axis=0)


def test_with_one_training_only_images_are_drawn():
    values = np.random.default_rng(1).normal(size=(1, 90, 2))
    means = crossed_means(values, samples=300, seed=4)
    intervals = percentile_intervals(values[0].mean(0), means)
    assert intervals == bootstrap_means(values[0], samples=300, seed=4)


@pytest.mark.parametrize("trainings", [2, 3, 10])
def test_the_spread_of_trainings_is_that_of_the_standard_error(trainings):
    # Nothing varies with the image: the error is the standard deviation over sqrt(trainings).
    levels = np.random.default_rng(trainings).normal(size=trainings)
    values = np.broadcast_to(levels[:, None, None], (trainings, 40, 1))
    expected = levels.std(ddof=1) / math.sqrt(trainings)
    assert spread(values)[0] == pytest.approx(expected, rel=0.05)


def test_the_spreads_of_trainings_and_images_add_up():
    # value = training + image, independent: the variances of the mean add.
    random = np.random.default_rng(5)
    trainings, images = random.normal(size=4), 3 * random.normal(size=50)
    values = trainings[:, None, None] + images[None, :, None]
    variance = trainings.var(ddof=1) / 4 + images.var() / 50
    assert spread(values)[0] == pytest.approx(math.sqrt(variance), rel=0.05)


def test_all_trainings_see_the_same_images():
    # The difference of two trainings is the same for every image: images add nothing to it.
    images = np.random.default_rng(2).normal(size=(1, 30, 1))
    values = np.concatenate([images, images], axis=2)
    difference = values[..., :1] - values[..., 1:]
    assert spread(difference)[0] == 0


@pytest.mark.parametrize(
    "values", [np.ones((3, 4)), np.ones((0, 4, 1)), np.full((2, 3, 1), np.nan)]
)
def test_crossed_means_need_trainings_images_and_columns(values):
    with pytest.raises(ValueError, match=r"need finite values \(trainings, images, columns\)"):
        crossed_means(values, samples=100, seed=0)


# ---------------------------------------------------------------- many estimates at once


def test_simultaneous_intervals_hold_all_true_means_in_95_of_100_samples():
    random = np.random.default_rng(9)
    hits = pointwise_hits = 0
    for seed in range(300):
        values = random.normal(size=(80, 10))
        means = crossed_means(values[None], samples=300, seed=seed)
        together = simultaneous_intervals(values.mean(0), means)
        alone = percentile_intervals(values.mean(0), means)
        hits += all(interval.low <= 0 <= interval.high for interval in together)
        pointwise_hits += all(interval.low <= 0 <= interval.high for interval in alone)
    # Expected 285, standard error 4; ten pointwise intervals: .95^10 of 300 is 180.
    assert 268 <= hits <= 297
    assert pointwise_hits < 220


def test_a_simultaneous_interval_of_one_estimate_is_that_of_the_normal_distribution():
    values = np.random.default_rng(3).normal(size=(1, 400, 1))
    (result,) = simultaneous_intervals(
        values.mean((0, 1)), crossed_means(values, samples=4000, seed=1)
    )
    assert result.high - result.value == pytest.approx(1.96 * values.std() / 20, rel=0.05)
    assert result.value - result.low == pytest.approx(result.high - result.value)


def test_an_estimate_that_does_not_vary_has_an_interval_of_no_width():
    resampled = np.column_stack([np.full(100, 2.0), np.random.default_rng(0).normal(size=100)])
    constant, _ = simultaneous_intervals([2.0, 0.0], resampled)
    assert constant == Interval(2.0, 2.0, 2.0)


def test_the_smallest_of_ten_equal_means_is_not_taken_for_smaller():
    # All true means are 0; the pointwise interval of the smallest one often excludes 0.
    random = np.random.default_rng(11)
    hits = 0
    for seed in range(200):
        values = random.normal(size=(60, 10))
        means = crossed_means(values[None], samples=200, seed=seed)
        smallest = extreme(simultaneous_intervals(values.mean(0), means), min)
        assert smallest.value == values.mean(0).min()
        hits += smallest.low <= 0 <= smallest.high
    assert hits >= 186  # 190 expected at least
