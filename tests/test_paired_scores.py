"""Paired scores of models: means, intervals over trainings and images, positions, collapse."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pruncam import metrics
from pruncam.scoring.controls import CHANCE, SHUFFLED
from pruncam.studies import sp2ps
from pruncam.studies.paired_scores import PairedScores

CONFIG = sp2ps.configure("quick", methods=["grad-cam", "grad-cam++"], bootstrap=2000)
RULE = "L1"


def part(values, *, rule=RULE, rate=0.5, dataset="A", seed=1, method="grad-cam", **columns):
    """Return rows of one model and CAM method; `values` are its Sp2PS by image."""
    count = len(values)
    labels = np.arange(count) % 4
    constant = dict.fromkeys(metrics.SCORES, 0.5)
    return pd.DataFrame(
        constant
        | {
            "dataset": dataset,
            "rule": rule,
            "rate": rate,
            "seed": seed,
            "method": method,
            "image": np.arange(count),
            "label": labels,
            "sp2ps": values,
            "pruned_empty": False,
            "baseline_prediction": labels,
            "pruned_prediction": labels,
        }
        | columns
    )


def both_methods(values, **options):
    parts = [part(values, method=method, **options) for method in CONFIG.methods]
    return pd.concat(parts)


def scores_of(*trainings):
    return PairedScores(CONFIG, [pd.concat(parts, ignore_index=True) for parts in trainings])


def noise(count, seed, spread=0.05):
    return np.random.default_rng(seed).normal(0, spread, count)


# ---------------------------------------------------------------- means


def test_seeds_are_averaged_and_methods_are_told_apart_by_hand():
    scores = scores_of(
        [
            part([0.2, 0.4], seed=1),
            part([0.4, 0.8], seed=2),
            part([1.0, 1.0], seed=1, method="grad-cam++"),
            part([1.0, 1.0], seed=2, method="grad-cam++"),
        ]
    )
    assert scores.of("A", RULE, 0.5, "grad-cam") == pytest.approx(np.array([[0.3, 0.6]]))
    assert scores.of("A", RULE, 0.5) == pytest.approx(np.array([[0.65, 0.8]]))
    assert scores.of("A", RULE, 0.5, score="correct").tolist() == [[100, 100]]
    assert scores.pruned_models == [("A", RULE, 0.5)]
    assert scores.has("A", RULE, 0.5) and not scores.has("A", RULE, 0.5, 0.7)


def test_every_training_is_a_row():
    first, second = both_methods([0.1, 0.3]), both_methods([0.5, 0.7])
    scores = scores_of([first], [second])
    assert scores.of("A", RULE, 0.5).tolist() == pytest.approx(np.array([[0.1, 0.3], [0.5, 0.7]]))
    assert scores.trainings_of(["A"]) == 2
    wrong = np.array([1, 1])  # the labels are 0 and 1
    scores = scores_of([both_methods([0.1, 0.3], baseline_prediction=wrong)])
    assert scores.baseline_correct("A").tolist() == [[0, 100]]


def test_floor_and_chance_are_none_where_they_were_not_measured():
    scores = scores_of([both_methods([0.1, 0.3])])
    assert scores.floor("A") is None and scores.chance("A") is None


def test_chance_falls_back_to_shuffled_maps_where_random_networks_have_no_maps():
    model = both_methods([0.9, 0.9])
    shuffled = both_methods([0.3, 0.5], rule=SHUFFLED, rate=0.0)
    for empty, expected in ((np.array([True, False]), 0.2), (np.array([True, True]), 0.4)):
        random = both_methods([0.1, 0.3], rule=CHANCE, rate=0.0, pruned_empty=empty)
        scores = scores_of([model, random, shuffled])
        assert scores.chance("A").mean() == pytest.approx(expected)
    only_one = part([0.1, 0.3], rule=CHANCE, rate=0.0, pruned_empty=True)
    other = part([0.1, 0.3], rule=CHANCE, rate=0.0, method="grad-cam++")
    scores = scores_of([model, only_one, other, shuffled])
    assert scores.chance("A", "grad-cam").mean() == pytest.approx(0.4)
    assert scores.chance("A", "grad-cam++").mean() == pytest.approx(0.2)


def test_a_model_has_collapsed_below_half_of_the_accuracy_above_guessing():
    labels = np.arange(40) % 4  # guessing is right on 25 %, so the cut is at 62.5 %

    def with_accuracy(correct, rate):
        predicted = np.where(np.arange(40) < correct, labels, (labels + 1) % 4)
        return both_methods(np.full(40, 0.5), rate=rate, pruned_prediction=predicted)

    scores = scores_of([with_accuracy(26, 0.2), with_accuracy(25, 0.4), with_accuracy(24, 0.6)])
    assert scores.guess("A") == 25
    assert scores.collapsed == {("A", RULE, 0.6)}


# ---------------------------------------------------------------- intervals


def test_the_interval_of_one_training_is_that_of_the_mean_over_images():
    values = 0.5 + noise(400, 0)
    interval = scores_of([both_methods(values)]).interval(values)
    margin = 1.96 * values.std(ddof=1) / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * margin, rel=0.1)


def test_with_two_trainings_the_interval_contains_both():
    first, second = 0.5 + noise(400, 0), 0.7 + noise(400, 1)
    scores = scores_of([both_methods(first)], [both_methods(second)])
    interval = scores.interval(scores.of("A", RULE, 0.5))
    assert interval.value == pytest.approx((first.mean() + second.mean()) / 2)
    assert interval.low < first.mean() and second.mean() < interval.high
    alone = scores.interval(first)
    assert interval.high - interval.low > 10 * (alone.high - alone.low)


def test_the_interval_over_many_trainings_has_the_width_of_their_spread():
    means = np.linspace(0.4, 0.8, 8)
    values = means[:, None] + noise(200, 0)[None]
    interval = scores_of([both_methods(values[0])]).interval(values)
    error = means.std(ddof=1) / np.sqrt(8)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_simultaneous_intervals_are_wider_and_hold_together():
    scores = scores_of([both_methods(noise(10, 0))])
    covered = 0
    for trial in range(60):
        values = {("A", name): noise(60, (trial, name), 0.1) for name in range(12)}
        intervals = scores.simultaneous(values)
        covered += all(each.low <= 0 <= each.high for each in intervals.values())
    assert covered / 60 > 0.85
    one = scores.interval(values["A", 0])
    together = intervals["A", 0]
    assert together.high - together.low > 1.2 * (one.high - one.low)
    assert together.value == pytest.approx(one.value)


def test_the_extreme_has_the_extreme_of_simultaneous_bounds():
    scores = scores_of([both_methods(noise(10, 0))])
    values = {
        ("A", 1): 0.5 + noise(50, 1),
        ("B", 2): 0.3 + noise(50, 2),
        ("A", 3): 0.9 * np.ones(50),
    }
    intervals = scores.simultaneous(values)
    key, interval = scores.extreme(values, min)
    assert key == ("B", 2)
    assert interval.low == min(each.low for each in intervals.values())
    assert interval.high == min(each.high for each in intervals.values())
    assert scores.extreme(values, max)[0] == ("A", 3)


def test_resampled_means_keep_arrays_paired():
    scores = scores_of([both_methods(noise(10, 0))])
    values = noise(100, 3)
    resampled = scores.resampled_means("A", [values, values + 1, -values])
    assert resampled.shape == (2000, 3)
    assert resampled[:, 1] == pytest.approx(resampled[:, 0] + 1)
    assert resampled[:, 2] == pytest.approx(-resampled[:, 0])
    assert resampled[:, 0].std() == pytest.approx(stats.sem(values), rel=0.1)


# ---------------------------------------------------------------- the scale


def test_positions_between_chance_and_floor_by_hand():
    common = noise(100, 0)
    floor, chance = 0.9 + common, 0.1 + common
    scores = scores_of([both_methods(floor)])
    for value, expected in ((0.9, 1.0), (0.1, 0.0), (0.5, 0.5), (0.7, 0.75), (0.05, -0.0625)):
        position = scores.position(value + common, floor=floor, chance=chance)
        assert position.value == pytest.approx(expected, abs=1e-9)
        # Floor, chance and score move together from image to image: nothing is left to vary.
        assert position.high - position.low < 1e-9


def test_a_position_is_as_uncertain_as_its_score():
    floor, chance = np.full(400, 0.9), np.full(400, 0.1)
    value = 0.5 + noise(400, 0)
    position = scores_of([both_methods(value)]).position(value, floor=floor, chance=chance)
    error = value.std(ddof=1) / 20 / 0.8
    assert position.high - position.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_without_a_distance_between_floor_and_chance_there_is_no_position():
    value, floor = 0.5 + noise(100, 0), 0.5 + noise(100, 1)
    scores = scores_of([both_methods(value)])
    assert scores.position(value, floor=floor, chance=0.5 + noise(100, 2)) is None
    assert scores.position(value, floor=floor, chance=floor + 0.1) is None
