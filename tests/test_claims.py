"""Claims: the verdict for every place that an interval can take beside its limit."""

import math

import pytest

from pruncam.report.claims import VERDICTS, Claim, table
from pruncam.statistics import Interval

INF = math.inf


def claim(estimate, relation="at least", limit=0.5, on_stand_in=False, points=26):
    estimate = Interval(*estimate) if isinstance(estimate, tuple) else estimate
    return Claim(
        claim="X1",
        sentence="It rises.",
        source="thesis, Section 4",
        criterion="rise",
        relation=relation,
        limit=limit,
        estimate=estimate,
        evidence="it was seen",
        points=points,
        on_stand_in=on_stand_in,
    )


PLACES = [  # estimate (value, low, high), verdict of "at least 0.5", verdict of "at most 0.5"
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


@pytest.mark.parametrize(("estimate", "at_least", "at_most"), PLACES)
def test_the_verdict_is_that_of_the_whole_interval(estimate, at_least, at_most):
    assert claim(estimate).verdict == at_least
    assert claim(estimate, "at most").verdict == at_most


@pytest.mark.parametrize(("estimate", "at_least", "at_most"), PLACES)
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
def test_a_verdict_is_firm_where_an_interval_twice_as_wide_gives_it_too(estimate, firm, on_stand_in):
    assert claim(estimate, on_stand_in=on_stand_in).firm is firm
    assert claim(estimate, "at most", on_stand_in=on_stand_in).firm is firm


def test_every_verdict_is_one_of_the_known():
    found = {
        claim(estimate, relation, on_stand_in=stand_in).verdict
        for estimate, _, _ in PLACES
        for relation in ("at least", "at most")
        for stand_in in (False, True)
    }
    assert found == set(VERDICTS)


def test_the_table_shows_the_numbers_that_decided():
    found = table([claim((0.8, 0.7, 0.9)), claim(None, "at most", 2.0)])
    columns = ["claim", "sentence", "source", "verdict", "evidence", "criterion", "relation", "limit"]
    assert list(found) == [*columns, "value", "low", "high"]
    assert found["verdict"].tolist() == ["reproduced", "not tested here"]
    assert found.loc[0, ["relation", "limit", "value", "low", "high"]].tolist() == ["at least", 0.5, 0.8, 0.7, 0.9]
    assert found.loc[1, ["value", "low", "high"]].isna().all()


def test_a_table_of_no_claims_has_its_columns_all_the_same():
    assert list(table([])) == list(table([claim(None)]))


def test_a_verdict_over_a_few_seeds_is_never_firm():
    assert claim((0.9, 0.89, 0.91), points=26).firm and not claim((0.9, 0.89, 0.91), points=3).firm
