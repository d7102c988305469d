"""Committed results against a new run: what holds, what is named as broken, what is recorded."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pruncam import cli
from pruncam._core import paths
from pruncam.report import claims as claim_report
from pruncam.report.claims import Claim, Finding, Statement
from pruncam.reproduce import tolerances, verification, verify
from pruncam.reproduce.table_check import check_tables
from pruncam.reproduce.verification import Committed
from pruncam.statistics import Interval
from pruncam.studies import mnist_iou
from pruncam.studies.mnist_iou.study import MnistIouStudy

EXPECTED = Path(__file__).parent / "expected" / "quick"
SMALL = mnist_iou.configure(
    "quick",
    train_images=200,
    test_images=40,
    levels=2,
    seeds=[1, 2],
    pretraining=[[2, 0.02]],
    retraining=[[1, 0.02]],
    bootstrap=100,
)
CONFIG = dataclasses.replace(SMALL, profile="paper")


@pytest.fixture(scope="module")
def result(run_study):
    return run_study(CONFIG).result


@pytest.fixture
def committed(result, tmp_path, monkeypatch):
    """A project in which that result is committed, as one of the profile `paper`."""
    folder = tmp_path / "figures" / "paper" / "mnist_iou"
    folder.mkdir(parents=True)
    for stem, table in result.table_files.items():
        table.to_csv(folder / f"{stem}.csv", index=False)
    (folder / "manifest.json").write_text(json.dumps(result.manifest))
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    monkeypatch.setattr(MnistIouStudy, "configure", lambda profile: CONFIG)
    monkeypatch.setattr(verify, "missing_data", lambda *_: [])
    return folder


def run_verify(*arguments):
    return cli.main(["verify", "--profile", "paper", *arguments])


def breaks(folder, result):
    """Return all breaks of a committed folder against a result, as "table: break"."""
    checks = verification.compare(Committed.read(folder), result).checks
    return [f"{check.table}: {text}" for check in checks for text in check.breaks]


def edit(folder, stem, change):
    """Replace a committed table by what `change` makes of it."""
    table = change(pd.read_csv(folder / f"{stem}.csv"))
    table.to_csv(folder / f"{stem}.csv", index=False)


# ---------------------------------------------------------------- the command


def test_an_unchanged_result_holds_and_is_recorded_in_the_gallery(committed, capsys):
    before = {path.name: path.read_bytes() for path in committed.iterdir()}
    assert run_verify("--study", "mnist_iou", "--record") == 0
    assert "1 of 1 committed results hold" in capsys.readouterr().out
    record = json.loads((committed / "verified.json").read_text())
    assert record["largest_movement"] == 0 and record["packages"]["torch"]
    assert record["numbers"] > 100 and len(record["date"]) == len("2026-01-31")
    after = {path.name: path.read_bytes() for path in committed.iterdir()}
    assert {name: after[name] for name in before} == before
    page = (committed.parents[1] / "README.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("Verified by a new run on"))
    assert record["date"] in line and record["packages"]["torch"] in line and "0 %" in line


def test_older_settings_and_criteria_are_named_before_anything_runs(committed, monkeypatch, capsys):
    monkeypatch.setattr(MnistIouStudy, "run", lambda _: pytest.fail("it ran"))
    manifest = json.loads((committed / "manifest.json").read_text())
    manifest["config"]["levels"] = 5
    del manifest["config"]["more_datasets"]
    manifest["data"][0]["sha256"] = "0" * 64
    (committed / "manifest.json").write_text(json.dumps(manifest))
    edit(committed, "claims", lambda table: table.assign(limit=table["limit"] + 1))
    assert run_verify() == 1
    printed = capsys.readouterr().out
    assert "committed with other settings than the profile's: levels, more_datasets\n" in printed
    assert "committed with other images than those that are here: digits train\n" in printed
    assert "committed by older criteria of the claims I1, " in printed
    assert "`make reproduce PROFILE=paper STUDY=mnist_iou` makes a result to commit" in printed
    assert "0 of 1 committed results hold; broken: mnist_iou" in printed


def test_a_broken_result_is_not_recorded(committed, result, monkeypatch, capsys):
    monkeypatch.setattr(MnistIouStudy, "run", lambda _: result)
    edit(committed, "table_levels", lambda table: table.drop(columns="energy"))
    assert run_verify("--record") == 1
    assert not (committed / "verified.json").exists()
    expected = "broken: table_levels: committed by an older version, without the columns energy\n"
    assert expected in capsys.readouterr().out


def test_an_interrupted_verification_continues_from_the_folder_that_is_named(
    committed, monkeypatch, tmp_path, capsys
):
    def interrupted(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MnistIouStudy, "run", interrupted)
        assert run_verify() == 130
        assert "nothing is kept: --keep names a folder" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(MnistIouStudy, "measure", interrupted)
        assert run_verify("--keep", str(tmp_path / "kept")) == 130
        assert "continue from the stored steps" in capsys.readouterr().err
    (kept,) = (tmp_path / "kept").iterdir()
    assert len(list(kept.rglob("*.pt"))) > 10
    taken = []
    compare = verification.compare

    def note(committed, result):
        taken.append(result.manifest["steps_from_cache"] / result.manifest["steps"])
        return compare(committed, result)

    monkeypatch.setattr(verification, "compare", note)
    assert run_verify("--keep", str(tmp_path / "kept")) == 0
    assert taken == [1.0] and not kept.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--study", "sp2ps"], "no results of study 'sp2ps' are committed for profile 'paper': ch"),
        (["--profile", "overnight"], "no results of profile 'overnight' are committed in "),
        (["--profile", "quick", "--record"], "no results of profile 'quick' are committed in "),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(committed, capsys, arguments, message):
    assert run_verify(*arguments) == 2
    assert message in capsys.readouterr().err


def test_missing_data_are_named_before_anything_runs(committed, monkeypatch, capsys):
    monkeypatch.setattr(verify, "missing_data", lambda *_: ["mnist", "covid19"])
    monkeypatch.setattr(MnistIouStudy, "load", lambda _: pytest.fail("it ran"))
    assert run_verify() == 2
    error = capsys.readouterr().err
    assert "mnist_iou needs mnist: `make download NAME=mnist`; mnist_iou needs " in error
    assert "mnist_iou needs covid19: put its files into <folder>/" in error
    assert error.count("\n") == 1


# ---------------------------------------------------------------- what breaks


def test_a_count_an_estimate_a_table_and_a_row_that_differ_are_named(committed, result):
    assert breaks(committed, result) == []

    def change_levels(table):
        table.loc[2, "remaining"] += 1
        return table

    def change_seeds(table):  # to the other end of the scale, with the interval it would have
        moved = {"accuracy_level_0": 0.5, "accuracy_level_0_low": 0.1, "accuracy_level_0_high": 1.0}
        table.loc[0, list(moved)] = list(moved.values())
        return table

    edit(committed, "table_levels", change_levels)
    edit(committed, "table_seeds", change_seeds)
    edit(committed, "table_fits", lambda table: table.drop(index=0))
    (committed / "table_sanity.csv").unlink()
    found = breaks(committed, result)
    rows = len(result.tables["fits"])
    assert f"table_fits: {rows - 1} rows are committed, now there are {rows}" in found
    assert "table_sanity: not committed: the result is of an older version" in found
    cell = "remaining (variant as configured, seed 1, level 2, density"
    count = [text for text in found if text.startswith(f"table_levels: {cell}")]
    assert len(count) == 1 and count[0].endswith("): 1486 -> 1485")
    estimate = [text for text in found if text.startswith("table_seeds: accuracy_level_0 (seed 1")]
    assert len(estimate) == 1 and estimate[0].endswith(" of what is allowed")
    assert len(found) == 4


def claim_of(value, points):
    statement = Statement(
        claim="I1",
        sentence="It drifts",
        source="thesis",
        criterion="the mean",
        relation="at least",
        limit=0.5,
    )
    interval = Interval(value, value - 0.02, value + 0.02)
    finding = Finding(estimate=interval, evidence="", points=points)
    return Claim(statement=statement, finding=finding)


@pytest.mark.parametrize(("points", "is_broken"), [(20, True), (3, False)])
def test_a_firm_verdict_that_differs_is_a_break(committed, result, points, is_broken):
    claim_report.table([claim_of(0.55, points)]).to_csv(committed / "claims.csv", index=False)
    claim = claim_of(0.45, points)
    new = dataclasses.replace(result, judged=[claim], claims=claim_report.table([claim]))
    found = [text for text in breaks(committed, new) if "verdict" in text]
    expected = "claims: I1: the firm verdict 'reproduced' is now 'not reproduced'"
    assert found == ([expected] if is_broken else [])


# ---------------------------------------------------------------- tolerances, by hand


def model_rows(**columns):
    rows = {"dataset": ["CIFAR-10"] * 2, "rule": ["L1"] * 2, "rate": [0.2, 0.9]}
    return pd.DataFrame(rows | columns)


def check_one(committed, new, stem="table_models"):
    (check,) = check_tables({stem: committed}, {stem: new})
    return check


def test_an_estimate_must_lie_in_the_others_interval():
    committed = model_rows(iou=[0.5, 0.5], iou_low=[0.4, 0.4], iou_high=[0.6, 0.6])
    new = model_rows(iou=[0.55, 0.5], iou_low=[0.53, 0.4], iou_high=[0.65, 0.6])
    check = check_one(committed, new)
    # 0.55 is half-way to 0.6, but 0.5 is 2.5 times as far from 0.55 as the end of its interval.
    assert check.largest.share == pytest.approx(2.5) and check.held == 2
    assert check.breaks == [
        "iou (dataset CIFAR-10, rule L1, rate 0.2): 0.5 -> 0.55, 2.5 of what is allowed"
    ]
    check = check_one(committed, new.assign(iou_low=[0.45, 0.4]))
    assert check.largest.share == pytest.approx(0.5) and not check.breaks


@pytest.mark.parametrize(
    ("column", "value", "moved", "share"),
    [
        ("acc_drop", 4.0, 5.5, 0.5),  # of 3 points
        ("pearson", 0.2, 0.25, 0.5),  # of 0.1
        ("energy", 0.5, 0.51, 0.2),  # of 0.05
        ("csg_relative", 4.0, 4.1, 0.5),  # of 5 % of 4
        ("energy", np.nan, np.nan, 0.0),
        ("energy", 0.5, np.nan, np.inf),
    ],
)
def test_a_number_without_an_interval_has_a_tolerance_by_its_kind(column, value, moved, share):
    committed, new = model_rows(**{column: [value] * 2}), model_rows(**{column: [value, moved]})
    check = check_one(committed, new)
    assert (check.largest.share if check.largest else 0.0) == pytest.approx(share)


def test_collapsed_models_and_timings_are_not_held():
    committed = model_rows(collapsed=[False, True], iou=[0.5, 0.1])
    new = model_rows(collapsed=[False, True], iou=[0.5, 0.9])
    assert check_one(committed, new).held == 1
    # A model has collapsed in every table that has its row.
    tables = {"table_models": committed, "table_hits": committed.drop(columns="collapsed")}
    moved = {"table_models": new, "table_hits": new.drop(columns="collapsed")}
    assert not any(check.breaks for check in check_tables(tables, moved))
    times = {"table_times": model_rows(milliseconds=[1.0, 2.0])}
    assert check_tables(times, {"table_times": model_rows(milliseconds=[5.0, 9.0])}) == []


def test_another_choice_is_noted_and_another_order_of_a_ranking_is_none():
    committed = pd.DataFrame({"place": [1, 2], "rate": [0.2, 0.4], "acc_drop_ours": [1.0, 9.0]})
    new = pd.DataFrame({"place": [1, 2], "rate": [0.2, 0.6], "acc_drop_ours": [1.0, 30.0]})
    check = check_one(committed, new, "table_1")
    assert not check.breaks and check.notes == ["1 rows chose another rate"]
    ranks = pd.DataFrame({"reading": ["a", "b"], "layer": ["x", "y"], "rank": [1, 2]})
    swapped = ranks.loc[[1, 0]].reset_index(drop=True).assign(rank=[1, 2])
    check = check_one(ranks, swapped, "table_reading_ranks")
    assert not check.breaks and check.notes == ["rank: 2 of 2 rows differ"]


def test_every_name_with_a_rule_is_a_column_of_a_table():
    tables: dict[str, set[str]] = {}
    for path in EXPECTED.glob("*/*.csv"):
        tables.setdefault(path.stem, set()).update(pd.read_csv(path))
    named = tolerances._DECIDED | tolerances._NOT_HELD
    assert not named - set().union(*tables.values())
    for stem, names in (tolerances._CHOSEN | tolerances.ROW_NAMES).items():
        assert set(names) <= tables[stem], stem
    assert set(tolerances._COUNTING) | set(tolerances.TIMINGS) <= tables.keys()


def test_settings_and_counts_of_the_expected_tables_are_exact_and_scores_are_held():
    table = pd.read_csv(EXPECTED / "sp2ps" / "table_curves.csv")
    exact = [name for name in table if tolerances.is_exact("table_curves", name, table[name])]
    assert exact == ["dataset", "rule", "rate", "method", "seeds"]
    held = [name for name in table if tolerances.is_held("table_curves", name, table[name])]
    assert {"baseline", "accuracy", "acc_drop", "ssim", "sp2ps", "pe", "pruned_empty"} < set(held)
    assert not {"collapsed", "pe_low", "pe_sd"} & set(held)
    assert tolerances.interval_columns("pe", list(table)) == ("pe_low", "pe_high")
    assert tolerances.interval_columns("same_prediction", list(table)) is None
