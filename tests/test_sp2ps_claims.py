"""The claims of the Sp2PS paper, judged on made-up scores with known answers."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from pruncam import cams, metrics
from pruncam.report import claims as claim_report
from pruncam.scoring.controls import CHANCE, FLOOR, SHUFFLED
from pruncam.studies import sp2ps
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.sp2ps import claims
from pruncam.studies.sp2ps.experiment import L1, RANDOM
from pruncam.studies.sp2ps.highlights import Highlights

IMAGES = 200
GRAD, PLUS, ABLATION = range(3)  # positions of the CAMs in the tuples below
RATES = (0.2, 0.4, 0.6, 0.8)
BASELINE = 90.0  # accuracy in %


class Level(NamedTuple):
    """A made-up model: accuracy in %, and by CAM mean Sp2PS, binary IoU and highlights.

    PE is `pe_above` more than Sp2PS.
    """

    accuracy: float
    sp2ps: tuple[float, float, float]
    iou: tuple[float, float, float]
    area: float = 0.3
    intensity: float = 0.8
    pe_above: float = 0.1


FLOOR_LEVEL = Level(90, (0.96, 0.98, 0.96), (0.9, 0.9, 0.9), pe_above=0.0)
CHANCE_LEVEL = Level(10, (0.2, 0.3, 0.2), (0.4, 0.4, 0.4), 0.6, 0.4, pe_above=-0.1)


def curve(accuracies, sp2ps, by_cam, area=(0.3, 0.3, 0.3, 0.3), intensity=(0.8, 0.8, 0.8, 0.8)):
    """Return levels by rate; Grad-CAM++ scores 0.02 above the others, `by_cam` are IoUs by rate."""
    levels = {}
    for number, rate in enumerate(RATES):
        value = sp2ps[number]
        levels[rate] = Level(
            accuracies[number],
            (value - 0.02, value, value - 0.03),
            tuple(ious[number] for ious in by_cam),
            area[number],
            intensity[number],
        )
    return levels


def as_printed():
    """Return models that behave as the paper says, by data set, rule and rate."""
    kept = (0.85, 0.83, 0.82, 0.8)
    moved = (0.5, 0.5, 0.45, 0.45)
    to_40, to_60 = (0.8, 0.75, 0.5, 0.45), (0.85, 0.8, 0.75, 0.5)
    from_40 = (0.75, 0.5, 0.45, 0.45)
    curves = {
        ("CIFAR-10", L1): curve(
            (90, 90, 88.5, 84),
            (0.95, 0.94, 0.8, 0.6),
            ((0.85, 0.55, 0.5, 0.45), kept, to_60),
            area=(0.3, 0.25, 0.2, 0.15),
        ),
        ("CIFAR-10", RANDOM): curve(
            (89.5, 88.5, 87, 85),
            (0.75, 0.55, 0.45, 0.4),
            (from_40, moved, from_40),
            area=(0.3, 0.3, 0.2, 0.15),
        ),
        ("STL-10", L1): curve(
            (90, 90, 90, 89),
            (0.96, 0.955, 0.95, 0.8),
            (to_60, kept, kept),
            intensity=(0.8,) * 3 + (0.7,),
        ),
        ("STL-10", RANDOM): curve((89, 88, 86, 85), (0.75, 0.6, 0.5, 0.4), (to_40, kept, to_40)),
    }
    levels = {(*key, rate): level for key, of in curves.items() for rate, level in of.items()}
    for dataset in ("CIFAR-10", "STL-10"):
        levels[dataset, FLOOR, 0.0] = FLOOR_LEVEL
        levels[dataset, CHANCE, 0.0] = CHANCE_LEVEL
        levels[dataset, SHUFFLED, 0.0] = CHANCE_LEVEL
    return levels


def rows_of(levels):
    """Return rows of scores with the given means; every image differs from the mean alike."""
    noise = np.random.default_rng(0).normal(0, 0.02, IMAGES)
    noise -= noise.mean()
    labels = np.arange(IMAGES) % 10
    tables = []
    for (dataset, rule, rate), level in levels.items():
        for number, method in enumerate(cams.DEFAULT_METHODS):
            columns = dict.fromkeys([*metrics.SCORES], 0.5)
            columns |= {
                "dataset": dataset,
                "rule": rule,
                "rate": rate,
                "seed": 1,
                "method": method,
                "image": np.arange(IMAGES),
                "label": labels,
                "sp2ps": level.sp2ps[number] + noise,
                "pe": level.sp2ps[number] + level.pe_above + noise[::-1],
                "iou": level.iou[number] + noise,
                "pruned_empty": False,
                "baseline_prediction": predictions(labels, BASELINE),
                "pruned_prediction": predictions(labels, level.accuracy),
            }
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def predictions(labels, accuracy):
    """Return predictions of which the first `accuracy` percent are correct."""
    is_correct = np.arange(IMAGES) < round(IMAGES * accuracy / 100)
    return np.where(is_correct, labels, (labels + 1) % 10)


def highlights_of(levels):
    noise = np.random.default_rng(1).normal(0, 0.01, 50)
    noise -= noise.mean()
    tables = []
    for (dataset, rule, rate), level in levels.items():
        for method in cams.DEFAULT_METHODS:
            columns = {
                "dataset": dataset,
                "rule": rule,
                "rate": rate,
                "seed": 1,
                "method": method,
                "image": range(50),
                "area": level.area + noise,
                "intensity": 0.3,
                "intensity_within": level.intensity + noise,
            }
            tables.append(pd.DataFrame(columns))
    return Highlights([pd.concat(tables, ignore_index=True)])


STATEMENTS = claim_report.read_statements("sp2ps")
NAMES = list(STATEMENTS)


def judged(levels, *names, stand_ins=(), **overrides):
    """Return the judged claims by number: all, or those named."""
    config = sp2ps.configure("quick", bootstrap=100, **overrides)
    statements = {name: STATEMENTS[name] for name in names or STATEMENTS}
    scores = PairedScores(config, [rows_of(levels)])
    findings = claims.findings(statements, scores, highlights_of(levels))
    judgements = claim_report.judge(statements, findings, stand_ins=stand_ins)
    return {claim.statement.claim: claim for claim in judgements}


@pytest.fixture(scope="module")
def printed():
    return judged(as_printed())


@pytest.mark.parametrize("name", NAMES)
def test_models_that_behave_as_the_paper_says_reproduce_its_claims(printed, name):
    assert printed[name].verdict == "reproduced", printed[name].finding


def replaced(levels, source):
    """Return the levels with every pruned model scoring like a control; accuracies stay."""
    return {
        (dataset, rule, rate): level
        if rule in (FLOOR, CHANCE, SHUFFLED)
        else levels[dataset, source, 0.0]._replace(accuracy=level.accuracy)
        for (dataset, rule, rate), level in levels.items()
    }


@pytest.fixture(scope="module")
def at_floor():
    return judged(replaced(as_printed(), FLOOR))


@pytest.fixture(scope="module")
def at_chance():
    levels = replaced(as_printed(), CHANCE)
    for dataset in ("CIFAR-10", "STL-10"):  # so that thresholds, too, are held against chance
        levels[dataset, FLOOR, 0.0] = FLOOR_LEVEL
    return judged(levels)


@pytest.mark.parametrize("name", NAMES)
def test_every_finding_tells_its_value_if_nothing_is_pruned(printed, at_floor, name):
    assert at_floor[name].finding.estimate.value == pytest.approx(printed[name].finding.at_floor)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("S8")])
def test_every_finding_tells_its_value_at_chance(printed, at_chance, name):
    assert at_chance[name].finding.estimate.value == pytest.approx(printed[name].finding.at_chance)


def test_a_threshold_of_trust_tells_the_score_at_chance(printed):
    values = [printed[name].finding.at_chance for name in ("S8a", "S8b", "S8c")]
    assert values == pytest.approx([0.3, 0.2, 0.2])


def test_no_claim_of_change_holds_where_nothing_is_pruned(at_floor):
    changes = ["S1b", "S2", "S3b", "S4", "S6", "S7", "S9a", "S9b", "S9c", "S10a", "S10b"]
    changes += [f"S11.{number}" for number in (2, 4, 6, 10, 12, 14, 16)] + ["S12a", "S12b", "S12c"]
    assert not [name for name in changes if at_floor[name].verdict == "reproduced"]


def test_no_claim_of_constancy_holds_at_chance(at_chance):
    constancy = ["S1a", "S3a", *(f"S11.{number}" for number in (1, 3, 5, 7, 8, 9, 11, 13, 15))]
    assert {at_chance[name].verdict for name in constancy} == {"not reproduced"}


def score_everywhere(level, value):
    return level._replace(sp2ps=(value - 0.02, value, value - 0.03))


CHANGES = {  # by claim: the model, and the Sp2PS at which the claim does not hold
    "S1a": (("CIFAR-10", L1, 0.4), 0.8),
    "S1b": (("CIFAR-10", L1, 0.6), 0.94),
    "S2": (("CIFAR-10", RANDOM, 0.2), 0.96),
    "S3a": (("STL-10", L1, 0.6), 0.8),
    "S3b": (("STL-10", L1, 0.8), 0.95),
    "S4": (("STL-10", RANDOM, 0.2), 0.96),
    "S6": (("STL-10", RANDOM, 0.6), 0.96),
    "S8b": (("CIFAR-10", FLOOR, 0.0), 0.9),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_claim_falls_with_the_model_that_it_speaks_of(name):
    levels = as_printed()
    model, value = CHANGES[name]
    levels[model] = score_everywhere(levels[model], value)
    assert judged(levels, name)[name].verdict == "not reproduced"


def test_both_readings_of_the_threshold_are_judged():
    levels = as_printed()
    levels["STL-10", FLOOR, 0.0] = FLOOR_LEVEL._replace(sp2ps=(0.93, 0.97, 0.95))
    by_number = judged(levels, "S8a", "S8c")
    assert by_number["S8a"].verdict == "reproduced"
    assert by_number["S8c"].verdict == "not reproduced"
    evidence = by_number["S8c"].finding.evidence
    assert "fine-tuned by another recipe than the paper's" in evidence
    assert "L1 below it from 20%, Random below it from 20%" in evidence


def test_the_papers_recipe_is_recognised():
    recipe = {"finetuning": [[10, 0.001]], "finetuning_batch": 32, "train_images": None}
    by_number = judged(as_printed(), "S8a", **recipe)
    assert "recipe" not in by_number["S8a"].finding.evidence


def test_a_single_model_in_which_another_cam_is_higher_is_noticed():
    levels = as_printed()
    model = ("STL-10", L1, 0.8)
    levels[model] = levels[model]._replace(sp2ps=(0.7, 0.75, 0.85))
    by_number = judged(levels, "S5a", "S5b")
    assert by_number["S5a"].verdict == "not reproduced"
    assert by_number["S5b"].verdict == "not reproduced"
    evidence = by_number["S5a"].finding.evidence
    assert "over ablation-cam on STL-10 at 80% with L1; highest in 15 of 16 models" in evidence


def test_attention_that_follows_accuracy_refutes_s7():
    levels = as_printed()
    for model in (("CIFAR-10", RANDOM, 0.4), ("STL-10", RANDOM, 0.4)):
        levels[model] = score_everywhere(levels[model], 0.8)
    claim = judged(levels, "S7")["S7"]
    assert claim.verdict == "not reproduced"
    assert "of 30 models and CAMs" in claim.finding.evidence
    fallen = {key: level._replace(accuracy=80) for key, level in as_printed().items()}
    assert judged(fallen, "S7")["S7"].verdict == "not tested here"


@pytest.mark.parametrize(
    ("pe_above", "verdict"),
    [
        (0.102, "reproduced"),
        (0.0, "not reproduced"),
        (-0.1, "not reproduced"),
        (0.3, "not reproduced"),
    ],
)
def test_a_gap_between_the_scores_is_held_against_the_printed_one_from_both_sides(
    pe_above, verdict
):
    levels = {key: level._replace(pe_above=pe_above) for key, level in as_printed().items()}
    by_number = judged(levels, "S9a", "S9b", "S9c")
    assert [by_number[name].verdict for name in ("S9a", "S9b", "S9c")] == [verdict] * 3
    assert f"{100 * pe_above:.1f}" in by_number["S9a"].finding.evidence


def test_a_score_that_does_not_follow_accuracy_refutes_s10():
    levels = as_printed()
    values = iter(np.linspace(0.6, 0.95, 8))
    of_cifar = [key for key in levels if key[0] == "CIFAR-10" and key[1] in (L1, RANDOM)]
    for key in sorted(of_cifar, key=lambda key: -levels[key].accuracy):
        levels[key] = score_everywhere(levels[key], next(values))
    by_number = judged(levels, "S10a", "S10b")
    for name in ("S10a", "S10b"):
        assert by_number[name].verdict == "not reproduced"
        assert by_number[name].finding.estimate.value < -0.9


def test_a_collapsed_model_judges_nothing_about_heatmaps():
    levels = as_printed()
    for key, level in levels.items():
        if key[1] == RANDOM and key[2] >= 0.4:
            levels[key] = level._replace(accuracy=30, sp2ps=(0.1, 0.05, 0.0), iou=(0.0,) * 3)
    by_number = judged(levels)
    for name in ("S11.5", "S11.6", "S11.12", "S11.13", "S11.14", "S11.15", "S11.16", "S12b"):
        assert by_number[name].verdict == "not tested here"
    assert by_number["S11.6"].finding.evidence == (
        "accuracy has collapsed on STL-10 at 60% with Random"
    )
    for name in ("S5a", "S6", "S10a"):
        assert by_number[name].verdict == "reproduced"
        assert "without 6 collapsed models" in by_number[name].finding.evidence


@pytest.mark.parametrize(
    ("name", "change"),
    [("S12a", {"area": 0.35}), ("S12b", {"area": 0.35}), ("S12c", {"intensity": 0.79})],
)
def test_an_area_that_grows_and_an_intensity_that_stays_refute_s12(name, change):
    levels = {key: level._replace(**change) for key, level in as_printed().items()}
    for dataset in ("CIFAR-10", "STL-10"):
        levels[dataset, FLOOR, 0.0] = FLOOR_LEVEL
        levels[dataset, CHANCE, 0.0] = CHANCE_LEVEL
    assert judged(levels, name)[name].verdict == "not reproduced"


def test_what_a_profile_lacks_is_not_tested():
    levels = {
        key: value for key, value in as_printed().items() if key[0] == "CIFAR-10" and key[2] != 0.4
    }
    by_number = judged(levels)
    for name in ("S1a", "S1b", "S3a", "S4", "S11.2", "S11.3", "S12a", "S12c"):
        assert by_number[name].verdict == "not tested here"
    assert by_number["S11.1"].verdict == "reproduced"
    without_floor = {key: value for key, value in as_printed().items() if key[1] != FLOOR}
    by_number = judged(without_floor)
    for name in ("S1a", "S7", "S8a", "S9a", "S11.1", "S12a", "S12c"):
        assert by_number[name].verdict == "not tested here"


def test_floor_and_chance_that_are_alike_make_no_scale():
    levels = as_printed()
    levels["CIFAR-10", CHANCE, 0.0] = FLOOR_LEVEL
    by_number = judged(levels, "S1a", "S11.1", "S3a")
    reason = "fine-tuning alone and chance cannot be told apart"
    assert by_number["S1a"].finding.evidence == reason
    assert by_number["S11.1"].finding.evidence == reason
    assert by_number["S3a"].verdict == "reproduced"


def test_on_other_data_than_the_papers_nothing_is_reproduced():
    by_number = judged(as_printed(), "S1a", "S3a", "S5a", stand_ins=["STL-10"])
    assert by_number["S3a"].verdict == "holds on stand-in"
    assert by_number["S1a"].verdict == "reproduced"
    assert by_number["S5a"].verdict == "holds on stand-in", "it is about both data sets"
