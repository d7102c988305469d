"""The results in README.md and benchmarks/README.md are those of the committed tables."""

from pathlib import Path

import pandas as pd
import pytest

from pruncam.report import readme

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("page", "marks", "content"),
    [
        ("README.md", readme.RESULTS, readme.results(ROOT / "figures")),
        ("benchmarks/README.md", readme.SPEED, readme.speed(ROOT / "benchmarks" / "results")),
    ],
)
def test_the_page_shows_what_the_committed_tables_say(page, marks, content):
    begin, end = marks
    assert (ROOT / page).read_text().partition(begin)[2].partition(end)[0].strip() == content.strip()


def test_every_study_stands_in_readme_with_its_verdicts_counted():
    text = (ROOT / "README.md").read_text()
    for folder in (ROOT / "figures" / "paper").iterdir():
        claims = pd.read_csv(folder / "claims.csv")
        (line,) = [line for line in text.splitlines() if line.startswith(f"| [`{folder.name}`]")]
        counts = [int(cell) for cell in line.strip("| ").split("|")[1:]]
        assert counts[:2] == [(claims["verdict"] == verdict).sum() for verdict in ("reproduced", "not reproduced")]
        assert sum(counts) == len(claims)


def test_what_the_runs_say_is_what_the_tables_say():
    text = " ".join((ROOT / "README.md").read_text().partition("## What the runs say")[2].partition("<!--")[0].split())
    tables = {
        name: pd.read_csv(ROOT / "figures" / f"{name}.csv")
        for name in (
            "laptop/sweeps/table_moves", "laptop/sweeps/table_correlations", "laptop/sp2ps/table_curves",
            "laptop/comparison/table_agreement", "paper/mnist_iou/claims", "paper/csg/table_gaps",
        )
    }  # fmt: skip

    moves = tables["laptop/sweeps/table_moves"].set_index("half")["maps_move_first"]
    assert moves[["CIFAR-10", "CIFAR-100", "STL-10", "MNIST", "Fashion-MNIST"]].all() and "all five real" in text
    generated = moves[moves.index.str.startswith("generated")]
    assert len(generated) == 3 and not generated.any() and "on the three generated ones it is the other way" in text

    curves = tables["laptop/sp2ps/table_curves"].query("half == 'CIFAR-10' and method == 'grad-cam++'")
    little = curves.query("rule == 'L1' and rate <= 0.6")["sp2ps"]
    floor = curves.set_index("rule").loc["fine-tuned, not pruned", "sp2ps"]
    assert f"up to 60 % score {little.min():.2f} to {little.max():.2f}" in text
    assert f"only fine-tuned, not pruned, scores {floor:.2f}" in text

    agreement = tables["laptop/comparison/table_agreement"].set_index(["of", "and"]).loc[("sp2ps_drop", "pe_drop")]
    assert len(agreement) == 6 and f"correlation {int(100 * agreement['spearman'].min()) / 100:.2f} or more" in text

    claim = tables["paper/mnist_iou/claims"].set_index("claim").loc["I1"]
    assert claim["verdict"] == "reproduced" and "Pearson 0.96" in claim["evidence"]
    assert "above 90 % accuracy 0.24" in claim["evidence"] and "0.96 of IoU and accuracy reproduces" in text
    assert "still classify it is 0.24" in text

    mean = tables["laptop/sweeps/table_correlations"].query("rate.str.startswith('mean')")
    mean = mean.set_index(["source", "reading", "loss"]).sort_index()
    assert (mean.loc["ours", "low"] < 0).all() and (mean.loc["ours", "high"] > 0).all()
    assert "every interval includes 0" in text
    (printed, share), (ours, ours_share), (part, part_share) = (
        mean.loc[[(source, "CSG", loss), (source, "CSG / (K - 1)", loss)], "spearman"]
        for source, loss in (
            ("printed", "points"), ("ours", "points"), ("ours", "share of what was above chance"),
        )
    )  # fmt: skip
    assert f"correlation {printed:.1f}), CSG/(K-1)" in text and f"does not ({share:.1f})" in text
    assert f"Over eight sets of ours it is {ours:.2f} and {ours_share:.2f}" in text
    assert f"as shares of what was above chance {part:.2f} and {part_share:.2f}" in text

    gaps = tables["paper/csg/table_gaps"].set_index("half")
    cifar, fashion = gaps.loc["CIFAR-10"], gaps.loc["Fashion-MNIST"]
    assert f"test split has a CSG of {cifar['test']:.2f}, its training split {cifar['train']:.2f}" in text
    assert f"but {cifar['train_pools']:.2f} in pools as small" in text and 0 < cifar["left"] < cifar["gap"] / 2
    assert f"difference of {fashion['gap']:.2f} is {fashion['left']:.2f} left" in text
    assert gaps.loc["MNIST", "gap"] > 0 > gaps.loc["MNIST", "left_high"] and "MNIST's turns round" in text


def test_a_readme_without_its_marks_is_refused(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("no marks here")
    with pytest.raises(ValueError, match=r"README.md must hold the lines"):
        readme.refresh(page, readme.RESULTS, "new")
    assert page.read_text() == "no marks here"


def test_what_stands_outside_the_marks_is_left_alone(tmp_path):
    page = tmp_path / "README.md"
    begin, end = readme.SPEED
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    readme.refresh(page, readme.SPEED, readme.speed(tmp_path))
    assert page.read_text() == f"before\n{begin}\n\nNo benchmark is committed yet.\n\n{end}\nafter\n"


def test_speed_tables_have_a_row_per_measurement_and_the_spread_of_every_ratio(tmp_path):
    (tmp_path / "cpu.json").write_text('{"gpu": null, "processor": "Abacus", "cores": 2, "torch": "2.15.0+cpu"}')
    (tmp_path / "cpu.csv").write_text(
        "benchmark,size,pairs/s,ratio,lowest ratio,highest ratio,method\n"
        "ssim,32x32,12345.6,8.0123,7.5,9.01,\nheatmaps,,0.12345,,,,grad-cam\n"
    )
    assert readme.speed(tmp_path).splitlines() == [
        "### Abacus, 2 cores, PyTorch 2.15.0",
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
