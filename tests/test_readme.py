"""The results in README.md and benchmarks/README.md are those of the committed tables."""

import math
import re
import shlex
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from pruncam import comparison
from pruncam.cli import main
from pruncam.comparison.gate import read_gate
from pruncam.reproduce import readme

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "figures"
TORTURE = ROOT / "benchmarks" / "torture"


# ---------------------------------------------------------------- generated tables


@pytest.mark.parametrize(
    ("page", "markers", "content"),
    [
        ("README.md", readme.RESULTS, readme.results(FIGURES)),
        ("benchmarks/README.md", readme.SPEED, readme.speed(ROOT / "benchmarks" / "results")),
        ("README.md", readme.RELIABILITY, readme.reliability(TORTURE / "results.csv")),
    ],
)
def test_the_page_shows_the_committed_tables(page, markers, content):
    begin, end = markers
    section = (ROOT / page).read_text().partition(begin)[2].partition(end)[0]
    assert section.strip() == content.strip()


def test_the_page_of_make_torture_has_the_same_table():
    content = readme.reliability(TORTURE / "results.csv")
    assert (ROOT / "benchmarks" / "torture.md").read_text().endswith(f"\n{content}")


def test_the_rows_of_make_torture_are_counted(tmp_path):
    assert readme.reliability(tmp_path / "none.csv") == "No trial is committed yet.\n"
    (tmp_path / "rows.csv").write_text(
        'part,trials,passed,total,seconds\nkills,"a study, killed",1199,1200,61\n'
    )
    last = readme.reliability(tmp_path / "rows.csv").splitlines()[-1]
    assert last == "| a study, killed | 1,199 of 1,200 | 61 |"


def test_every_study_is_in_readme_with_its_verdicts_counted():
    lines = (ROOT / "README.md").read_text().splitlines()
    for folder in (FIGURES / "paper").iterdir():
        verdicts = pd.read_csv(folder / "claims.csv")["verdict"]
        line, *_ = [line for line in lines if line.startswith(f"| [`{folder.name}`]")]
        counts = [int(cell) for cell in line.strip("| ").split("|")[1:]]
        assert counts[0] == (verdicts == "reproduced").sum()
        assert counts[1] == (verdicts == "not reproduced").sum()
        assert sum(counts) == len(verdicts)


def test_a_page_without_markers_is_refused(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("no markers here")
    with pytest.raises(ValueError, match=r"README.md must contain the lines"):
        readme.refresh(page, readme.RESULTS, "new")
    assert page.read_text() == "no markers here"


def test_text_outside_the_markers_is_left_alone(tmp_path):
    page = tmp_path / "README.md"
    begin, end = readme.SPEED
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    readme.refresh(page, readme.SPEED, readme.speed(tmp_path))
    content = "No benchmark is committed yet."
    assert page.read_text() == f"before\n{begin}\n\n{content}\n\n{end}\nafter\n"


def test_speed_tables_have_a_row_per_measurement_and_the_spread_of_every_ratio(tmp_path):
    (tmp_path / "cpu.json").write_text(
        '{"gpu": null, "processor": "Abacus", "cores": 2, "torch": "2.15.0+cpu"}'
    )
    (tmp_path / "cpu.csv").write_text(
        "benchmark,size,pairs/s,ratio,lowest ratio,highest ratio,method\n"
        "ssim,32x32,12345.6,8.0123,7.5,9.01,\nheatmaps,,0.12345,,,,grad-cam\n"
    )
    assert readme.speed(tmp_path).splitlines() == [
        "## Abacus, 2 cores, PyTorch 2.15.0",
        "",
        "**ssim**",
        "",
        "| size   | pairs/s   | ratio           |",
        "|:-------|:----------|:----------------|",
        "| 32x32  | 12,346    | 8.01 (7.5-9.01) |",
        "",
        "**heatmaps**",
        "",
        "| method   | pairs/s   |",
        "|:---------|:----------|",
        "| grad-cam | 0.123     |",
    ]


# ---------------------------------------------------------------- commands in the text


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a language in a page of the repository."""
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def workflow() -> dict:
    (block,) = blocks("README.md", "yaml")
    assert len(block.splitlines()) <= 8
    return yaml.safe_load(block)


def compare_commands() -> list[str]:
    lines = [line for block in blocks("README.md", "sh") for line in joined_lines(block)]
    lines += [step["run"] for step in workflow()["jobs"]["heatmaps"]["steps"] if "run" in step]
    return [line.partition("pruncam ")[2] for line in lines if "pruncam compare " in line]


def joined_lines(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def test_the_commands_on_ones_own_model_are_understood(monkeypatch):
    passed = []

    def command(files, settings, options):
        passed.append(options)
        read_gate(options.fail_below, options.method)
        return types.SimpleNamespace(page="report.html", failures=None, exit_status=0)

    monkeypatch.setattr(comparison, "command", command)
    assert [main(shlex.split(line)) for line in compare_commands()] == [0, 0]
    assert [bool(options.fail_below) for options in passed] == [False, True]
    assert passed[1].method == "grad-cam++"


# ---------------------------------------------------------------- numbers in the text


@pytest.fixture(scope="module")
def text():
    """The section "What the runs say" in one line."""
    page = (ROOT / "README.md").read_text()
    section = page.partition("## What the runs say")[2].partition("<!--")[0]
    assert section
    return " ".join(section.split())


def table(path: str) -> pd.DataFrame:
    return pd.read_csv(FIGURES / f"{path}.csv")


def with_interval(row: pd.Series, digits: int = 2) -> str:
    """Return a number of a table as README prints it, with its interval."""
    value, low, high = (f"{row[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def test_the_correlations_of_the_thesis_are_those_of_the_claims(text):
    claims = table("paper/mnist_iou/claims").set_index("claim")
    assert claims.loc["I1", "verdict"] == "reproduced"
    assert f"pruning levels: {with_interval(claims.loc['I1'])}, the mean of 30 seeds" in text
    assert claims.loc["I1", "trainings"] == 30
    assert f"it is {claims.loc['I1', 'at_chance']:.2f} when every heatmap is held against" in text
    assert claims.loc["I1c", "verdict"] == "not reproduced"
    assert f"Of IoU above chance it is {with_interval(claims.loc['I1c'])}" in text
    assert claims.loc["I3a", "verdict"] == "not reproduced"
    assert f"does not reproduce: {with_interval(claims.loc['I3a'], 0)} points" in text
    assert "Without any one of the seeds these verdicts are the same" in text
    for name in ("I1", "I1c", "I3a"):
        assert "left out the same verdict in 30 of 30 cases" in claims.loc[name, "evidence"]


def test_the_correlation_of_levels_that_still_classify_is_that_of_the_levels(text):
    levels = table("paper/mnist_iou/table_levels").query("variant == 'as configured'")
    assert f"{mean_correlation(levels, 'iou', 90)} over the levels above 90 % accuracy" in text
    # pandas leaves out levels at which every map is empty.
    assert f"{mean_correlation(levels, 'iou_nonempty')} without empty heatmaps" in text
    at_start = levels.query("level == 0 and iou_above_chance > 0")["seed"]
    above = levels[levels["seed"].isin(at_start)]
    correlation = mean_correlation(above, "iou_above_chance")
    assert f"of the {len(at_start)} seeds that start above chance {correlation}." in text


def mean_correlation(levels: pd.DataFrame, score: str, above: float = 0.0) -> str:
    """Return the mean over seeds of Pearson's correlation with accuracy, with its interval.

    Over the levels above an accuracy in %.
    """
    accurate = levels[levels["accuracy_noisy"] > above]
    by_seed = [rows[score].corr(rows["accuracy_noisy"]) for _, rows in accurate.groupby("seed")]
    mean, error = np.mean(by_seed), stats.sem(by_seed)
    low, high = stats.t.interval(0.95, len(by_seed) - 1, mean, error)
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def test_the_correlations_of_complexity_and_loss_are_those_of_the_table(text):
    rows = table("laptop/sweeps/table_correlations").query("rate.str.startswith('mean')")
    rows = rows.set_index(["source", "reading", "loss"]).sort_index()
    assert (rows.loc["ours", "low"] < 0).all() and (rows.loc["ours", "high"] > 0).all()
    assert "every interval includes 0" in text

    def correlation(source: str, reading: str, loss: str) -> float:
        return rows.loc[(source, reading, loss), "spearman"]

    csg, share = "CSG", "CSG / (K - 1)"
    points, above_chance = "points", "share of what was above chance"
    printed = correlation("printed", csg, points), correlation("printed", share, points)
    assert f"correlation {printed[0]:.1f}), CSG/(K-1)" in text
    assert f"does not ({printed[1]:.1f})" in text
    ours = correlation("ours", csg, points), correlation("ours", share, points)
    assert f"Over eight sets of ours it is {ours[0]:.2f} and {ours[1]:.2f}" in text
    ours = correlation("ours", csg, above_chance), correlation("ours", share, above_chance)
    assert f"as shares of what was above chance {ours[0]:.2f} and {ours[1]:.2f}" in text


def test_the_gaps_between_splits_are_those_of_the_table(text):
    gaps = table("paper/csg/table_gaps").set_index("dataset")
    cifar, fashion, mnist = gaps.loc["CIFAR-10"], gaps.loc["Fashion-MNIST"], gaps.loc["MNIST"]
    assert f"test split has a CSG of {cifar['test']:.2f}" in text
    assert f"its training split {cifar['train']:.2f}" in text
    assert f"but {cifar['train_pools']:.2f} in pools as small" in text
    draws = table("paper/csg/table_draws").query("dataset == 'CIFAR-10' and pool == 1000")
    at_settings = draws.query("k == 5 and samples == 250").groupby("split")["csg"]
    two_sd = 2 * math.sqrt(at_settings.var().sum())
    assert cifar["left_high"] < two_sd
    within = f"within two standard deviations of a difference of two draws ({two_sd:.2f})"
    assert f"What is left, {what_is_left(cifar)}, is {within}" in text
    assert f"difference of {fashion['gap']:.2f}, {what_is_left(fashion)} is left" in text
    assert mnist["gap"] > 0 > mnist["left_high"] and "MNIST's changes its sign" in text


def what_is_left(gap: pd.Series) -> str:
    return f"{gap['left']:.2f} [{gap['left_low']:.2f}, {gap['left_high']:.2f}]"
