"""Claims: the verdict for every position of an interval relative to its limit, and judging."""

import dataclasses
import math

import pytest

from pruncam.report.claims import (
    VERDICTS,
    Claim,
    Finding,
    Statement,
    judge,
    read_statements,
    table,
)
from pruncam.statistics import Interval

INF = math.inf
STUDIES = ("sp2ps", "pe_score", "sweeps", "csg", "mnist_iou")


def statement(relation="at least", limit=0.5, name="X1", datasets=()):
    return Statement(
        claim=name,
        sentence="It rises.",
        source="thesis, Section 4",
        criterion="rise",
        relation=relation,
        limit=limit,
        datasets=datasets,
    )


def finding(estimate=(0.8, 0.7, 0.9), points=26, datasets=()):
    estimate = Interval(*estimate) if isinstance(estimate, tuple) else estimate
    return Finding(estimate=estimate, evidence="it was seen", points=points, datasets=datasets)


def claim(estimate, relation="at least", limit=0.5, on_stand_in=False, points=26):
    return Claim(
        statement=statement(relation, limit),
        finding=finding(estimate, points),
        on_stand_in=on_stand_in,
    )


CASES = [  # estimate (value, low, high), verdict of "at least 0.5", verdict of "at most 0.5"
    ((0.8, 0.7, 0.9), "reproduced", "not reproduced"),
    ((0.2, 0.1, 0.3), "not reproduced", "reproduced"),
    ((0.6, 0.4, 0.8), "undecided", "undecided"),
    ((0.4, 0.2, 0.6), "undecided", "undecided"),
    ((0.5, 0.5, 0.5), "undecided", "undecided"),  # on the limit itself: neither side
    ((0.7, 0.5, 0.9), "reproduced", "not reproduced"),  # touches it from above
    ((0.3, 0.1, 0.5), "not reproduced", "reproduced"),  # and from below
    ((9.0, -INF, INF), "undecided", "undecided"),  # a single seed
    ((0.8, math.nan, math.nan), "undecided", "undecided"),
    ((math.nan, math.nan, math.nan), "not tested here", "not tested here"),
    (None, "not tested here", "not tested here"),
]


@pytest.mark.parametrize(("estimate", "at_least", "at_most"), CASES)
def test_the_verdict_is_that_of_the_whole_interval(estimate, at_least, at_most):
    assert claim(estimate).verdict == at_least
    assert claim(estimate, "at most").verdict == at_most


@pytest.mark.parametrize(("estimate", "at_least", "at_most"), CASES)
def test_on_a_stand_in_nothing_is_ever_reproduced(estimate, at_least, at_most):
    words = {"reproduced": "holds on stand-in", "not reproduced": "fails on stand-in"}
    assert claim(estimate, on_stand_in=True).verdict == words.get(at_least, at_least)
    assert claim(estimate, "at most", on_stand_in=True).verdict == words.get(at_most, at_most)


@pytest.mark.parametrize("on_stand_in", [False, True])
@pytest.mark.parametrize(
    ("estimate", "firm"),
    [
        ((0.8, 0.7, 0.9), True),  # twice as wide: 0.6 to 1.0
        ((0.8, 0.6, 0.9), False),  # 0.4 to 1.0: astride
        ((0.2, 0.1, 0.3), True),
        ((0.2, 0.1, 0.4), False),
        ((0.6, 0.4, 0.8), False),  # undecided is never firm
        ((0.9, -INF, INF), False),
        ((math.nan, math.nan, math.nan), False),
        (None, False),
    ],
)
def test_a_verdict_is_firm_if_an_interval_twice_as_wide_gives_it_too(estimate, firm, on_stand_in):
    assert claim(estimate, on_stand_in=on_stand_in).firm is firm
    assert claim(estimate, "at most", on_stand_in=on_stand_in).firm is firm


def test_every_verdict_is_one_of_the_known():
    verdicts = {
        claim(estimate, relation, on_stand_in=stand_in).verdict
        for estimate, _, _ in CASES
        for relation in ("at least", "at most")
        for stand_in in (False, True)
    }
    assert verdicts == set(VERDICTS)


def test_the_table_shows_the_numbers_that_decided():
    claims = table([claim((0.8, 0.7, 0.9)), claim(None, "at most", 2.0)])
    columns = [
        "claim",
        "sentence",
        "source",
        "verdict",
        "evidence",
        "criterion",
        "relation",
        "limit",
    ]
    numbers = ["value", "low", "high", "at_floor", "at_chance", "trainings", "changed"]
    assert list(claims) == [*columns, *numbers]
    assert claims["verdict"].tolist() == ["reproduced", "not tested here"]
    assert claims.loc[0, ["relation", "limit", "value", "low", "high"]].tolist() == [
        "at least",
        0.5,
        0.8,
        0.7,
        0.9,
    ]
    assert claims.loc[1, ["value", "low", "high"]].isna().all()


def test_a_table_without_claims_has_the_same_columns():
    assert list(table([])) == list(table([claim(None)]))


def test_a_verdict_over_a_few_seeds_is_never_firm():
    assert claim((0.9, 0.89, 0.91), points=26).firm and not claim((0.9, 0.89, 0.91), points=3).firm


# ---------------------------------------------------------------- judging statements by findings


def test_a_claim_about_a_replaced_data_set_holds_on_the_stand_in_only():
    statements = {
        "X1": statement(datasets=("A",)),
        "X2": statement(name="X2", datasets=("B",)),
        "X3": statement(name="X3"),
    }
    findings = {"X1": finding(), "X2": finding(), "X3": finding(datasets=("A", "B"))}
    claims = judge(statements, findings, stand_ins=["A"])
    verdicts = [each.verdict for each in claims]
    assert verdicts == ["holds on stand-in", "reproduced", "holds on stand-in"]


def test_the_data_sets_of_a_finding_come_before_those_of_the_statement():
    statements = {"X1": statement(datasets=("A", "B"))}
    (claim_on_b,) = judge(statements, {"X1": finding(datasets=("B",))}, stand_ins=["A"])
    assert claim_on_b.verdict == "reproduced"


def test_a_network_that_is_too_weak_tests_no_claim():
    statements = {"X1": statement(datasets=("A",))}
    (weak,) = judge(statements, {"X1": finding()}, too_weak={"A": "A: baseline at 20 %"})
    assert weak.verdict == "not tested here"
    assert weak.finding.evidence == "A: baseline at 20 %; else: it was seen"


def test_a_sentence_about_the_named_data_is_not_tested_on_other_images():
    about = dataclasses.replace(statement(datasets=("A", "B")), named_data=True)
    (replaced,) = judge({"X1": about}, {"X1": finding()}, stand_ins=["B"])
    assert replaced.verdict == "not tested here"
    evidence = "about B, for which other images stand in; else: it was seen"
    assert replaced.finding.evidence == evidence
    (original,) = judge({"X1": about}, {"X1": finding()})
    assert original.verdict == "reproduced"


def test_a_sentence_may_need_a_better_baseline_than_the_others():
    needs = dataclasses.replace(statement(datasets=("A",)), min_accuracy=60.0)
    accuracies = {"A": 27.4, "B": 10.0}
    (weak,) = judge({"X1": needs}, {"X1": finding()}, accuracies=accuracies)
    assert weak.verdict == "not tested here"
    assert weak.finding.evidence.startswith("A: the baseline's 27.4 % are under the 60 %")
    (good,) = judge({"X1": needs}, {"X1": finding()}, accuracies={"A": 60.0})
    assert good.verdict == "reproduced"
    (other,) = judge({"X1": statement(datasets=("A",))}, {"X1": finding()}, accuracies=accuracies)
    assert other.verdict == "reproduced"


def test_the_table_shows_floor_chance_trainings_and_an_earlier_criterion():
    changed = dataclasses.replace(statement(), changed="was: at least 0.1; chance reaches it")
    between = dataclasses.replace(finding(), at_floor=0.9, at_chance=0.2, trainings=3)
    row = table(judge({"X1": changed}, {"X1": between})).loc[0]
    assert (row["at_floor"], row["at_chance"], row["trainings"]) == (0.9, 0.2, 3)
    assert row["changed"] == "was: at least 0.1; chance reaches it"


def test_claims_come_in_the_order_of_the_statements_and_none_is_missing():
    statements = {name: statement(name=name) for name in ("X2", "X1")}
    claims = judge(statements, {"X1": finding(), "X2": finding()})
    assert [each.statement.claim for each in claims] == ["X2", "X1"]
    with pytest.raises(ValueError, match="statement or finding missing for X2"):
        judge(statements, {"X1": finding()})


@pytest.mark.parametrize("study", STUDIES)
def test_every_paper_has_statements_with_a_criterion_that_can_be_judged(study):
    statements = read_statements(study)
    assert statements
    for name, each in statements.items():
        assert each.claim == name and each.sentence and each.source and each.criterion
        assert each.relation in ("at least", "at most") and isinstance(each.limit, int | float)


def test_entries_of_a_statement_that_are_no_field_are_its_parameters():
    parameters = read_statements("mnist_iou")["I2"].parameters
    assert parameters == {"column": "iou", "levels": [0, 6]}
