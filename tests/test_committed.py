"""Committed results, as notebooks show them."""

import json

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from scipy import stats

from pruncam._core import paths
from pruncam.datasets import DataError
from pruncam.report import committed


def test_every_table_of_the_committed_csg_run_is_there():
    tables = committed.tables("paper", "csg")
    assert {"complexity_1", "pe_3", "agreement", "nearest", "claims"} <= set(tables)
    assert tables["claims"]["claim"].tolist() == ["C3a", "C3b", "C3c", "C3d", "C7a", "C7b"]
    # The 20 draws on the real data that were to confirm the settings of the papers.
    agreement = tables["agreement"].set_index(["dataset", "split"])
    row = agreement.loc[("Fashion-MNIST", "train")]
    assert row["draws"] == 20 and row["low"] < row["csg"] < row["high"] and row["worth"] == "test"


def test_the_verdicts_on_the_papers_images_follow_from_the_committed_draws():
    tables = committed.tables("paper", "csg")
    sets, draws = tables["sets"], tables["draws"]
    claims = tables["claims"].set_index("claim")
    papers = list(dict.fromkeys(sets.loc[sets["same_data"], "dataset"]))
    assert papers == ["MNIST", "Fashion-MNIST", "CIFAR-10"]  # the last one re-encoded
    own = draws.query("k == 5 and samples == 250")
    csg = own.query("dataset == 'CIFAR-10' and pool == 1000").groupby("split")["csg"].agg(list)
    gap = np.mean(csg["test"]) - np.mean(csg["train"])
    sd = np.sqrt(np.var(csg["test"], ddof=1) + np.var(csg["train"], ddof=1))
    assert claims.loc[["C3c", "C3d"], "value"].tolist() == pytest.approx([gap, gap / sd])
    interval = stats.ttest_ind(csg["test"], csg["train"], equal_var=False).confidence_interval()
    bounds = claims.loc["C3d", ["low", "high"]].tolist()
    assert bounds == pytest.approx([interval.low / sd, interval.high / sd])
    whole = draws[draws["whole"] & draws["dataset"].isin(papers)]
    means = whole.groupby(["dataset", "split", "k", "samples"])["csg"].mean()
    means = means.unstack(["k", "samples"]) / 9  # ten classes
    change = means.sub(means[5, 250], axis=0).abs()
    by_k, by_m = change.xs(250, axis=1, level="samples"), change.xs(5, axis=1, level="k")
    largest = [by_k.max(axis=None), by_m.max(axis=None)]
    assert claims.loc[["C7a", "C7b"], "value"].tolist() == pytest.approx(largest)


def test_the_best_results_are_those_of_the_largest_profile(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    (tmp_path / "figures" / "paper" / "sweeps").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no tables in figures/\*/sweeps: restore the folder"):
        committed.best("sweeps")
    for profile in ("laptop", "overnight", "paper"):
        folder = tmp_path / "figures" / profile / "sweeps"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table_2.csv").write_text(f"profile\n{profile}\n")
        best, tables = committed.best("sweeps")
        assert (best, tables["2"]["profile"].tolist()) == (profile, [profile])


def test_the_figures_folder_of_the_environment_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_FIGURES", str(tmp_path))
    assert "pe_3" in committed.tables("paper", "csg")


@pytest.mark.parametrize("content", ["", 'a,b\n1,2,3\n4,"5', "\udcff\n"])
def test_a_broken_table_is_named(content, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    folder = tmp_path / "figures" / "paper" / "csg"
    folder.mkdir(parents=True)
    (folder / "table_pe_3.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    message = r"figures/paper/csg/table_pe_3.csv cannot be read .*: run .* or restore the file"
    with pytest.raises(DataError, match=message):
        committed.tables("paper", "csg")


def test_missing_tables_are_reported_with_the_command_that_makes_them(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    message = "no tables in figures/overnight/csg: .* `make reproduce PROFILE=overnight STUDY=csg`"
    with pytest.raises(DataError, match=message):
        committed.tables("overnight", "csg")
    with pytest.raises(ValueError, match="unknown profile 'huge'"):
        committed.tables("huge", "csg")


def test_the_images_behind_committed_results_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    folder = tmp_path / "figures" / "paper" / "sp2ps"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match="figures/paper/sp2ps/manifest.json cannot be read"):
        committed.images("paper", "sp2ps")
    facts = {"name": "cifar10", "images": 2000, "provenance": "re-encoded"}
    data = [facts | {"split": split} for split in ("train", "test")]
    (folder / "manifest.json").write_text(json.dumps({"data": data}))
    assert committed.images("paper", "sp2ps") == ["cifar10: 2,000 test images, re-encoded"]


def test_a_committed_figure_is_shown_with_its_caption(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    profile, _ = committed.best("sp2ps")
    committed.show(profile, "sp2ps", "10")
    picture, caption = shown
    file = paths.project_root() / "figures" / profile / "sp2ps" / "figure_10.png"
    assert picture.data == file.read_bytes()
    assert caption.data.startswith("*Figure 10.* Accuracy") and f"Profile {profile}" in caption.data
    with pytest.raises(ValueError, match="unknown figure 'figure_99'"):
        committed.show(profile, "sp2ps", "99")


@pytest.mark.parametrize("study", ["sp2ps", "pe_score"])
def test_what_notebooks_03_and_04_show_is_committed(study):
    profile, tables = committed.best(study)
    assert committed.images(profile, study)
    assert {"claim", "verdict", "evidence"} <= set(tables["claims"])
    assert {"quantity", "published", "ours", "difference"} <= set(tables["published"])
    shown = {"dataset", "rule", "rate", "method", "accuracy", "sp2ps", "pe"}
    assert shown <= set(tables["curves"])


def test_what_notebook_05_shows_is_committed():
    _, tables = committed.best("mnist_iou")
    assert {"quantity", "published", "ours", "difference"} <= set(tables["published"])
    assert {"claim", "verdict", "evidence"} <= set(tables["claims"])


def test_without_a_checkout_a_cell_ends_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "checkout", lambda: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell(user_ns={"committed": committed})
    assert shell.run_cell("profile, real = committed.best('csg')").success
    assert capsys.readouterr().out == ""
    show = "committed.show(profile, 'csg', '1')"
    for cell in ("real['claims']", show, "committed.images(profile, 'csg')"):
        assert isinstance(shell.run_cell(cell).error_in_exec, committed.NeedsCheckout)
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("NeedsCheckout: these results on real data come with a checkout")
