"""Tables that need two studies, made from saved results by the rule that the paper states."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pruncam.reproduce.cross_study import METHODS, SCORES, compare_studies

# Accuracy drop by rule and rate; out of order, and with models that the paper's rows do not have.
ACCURACY_DROPS = {
    ("Weight", 0.35): 0.3,
    ("Weight", 0.5): 0.1,
    ("SeNPIS-Faster", 0.35): 0.2,
    ("SeNPIS-Faster", 0.5): 5.0,
    ("SeNPIS-Faster", 0.7): 4.0,
    ("SeNPIS-Faster", 0.8): 6.0,
    ("SeNPIS-Faster", 0.88): 7.0,
    ("SeNPIS-Faster", 0.96): 9.0,
}
L1_DROPS = {("L1", 0.2): 2.0, ("L1", 0.4): 4.0, ("L1", 0.6): 6.0, ("L1", 0.8): 8.0}
PUBLISHED = {  # columns of Tables 1 to 3, of the many that the Sp2PS study saves
    "place": range(1, 7),
    "acc_drop": 1.0,
    "sp2ps_drop": 2.0,
    "pe_paper_acc_drop": 3.0,
    "pe_drop": 4.0,
    "flag": None,
    "rule": "L1",
    "rate": 0.4,
    "acc_drop_ours": 5.0,
    "sp2ps_drop_ours": [6.0, 6.0, 6.0, 6.0, None, None],
    "pe_drop_ours": 7.0,
}
OTHER_TABLES = {  # by study and name
    ("csg", "pe_3"): {
        "dataset": ["MNIST", "CIFAR-10", "COVID-19"],
        "csg_test": [0.2, 4.0, 0.3],
    },
    ("sweeps", "sweep"): {
        "dataset": ["MNIST", "MNIST", "CIFAR-10"],
        "rate": [0.2, 0.3, 0.2],
        "baseline": [99, 99, 80],
        "baseline_low": [98, 98, 76],
        "baseline_high": [99.5, 99.5, 83],
    },
    ("pe_score", "models"): {
        "dataset": ["CIFAR-10", "COVID-19"],
        "baseline": [85.0, 95.0],
        "baseline_low": [80.0, 91.0],
        "baseline_high": [89.0, 97.0],
    },
}


def drops(accuracy_drops, dataset="CIFAR-10", **constants):
    """Return a table of drops, in which every score drops ten times as much as accuracy."""
    rows = []
    for method in METHODS.values():
        for (rule, rate), drop in accuracy_drops.items():
            row = {
                "method": method,
                "rule": rule,
                "rate": rate,
                "seed": 1,
                "acc_drop": drop,
                "collapsed": False,
                "dataset": dataset,
                "place": 0,
            }
            score_drops = {f"{score}_drop": 10 * drop for score in (*SCORES, "ssim")}
            rows.append({**row, **score_drops, **constants})
    return pd.DataFrame(rows)


def save(root, study, name, table):
    folder = root / "overnight" / study
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_csv(folder / f"table_{name}.csv", index=False)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A figures folder with results of four studies under the profile `overnight`."""
    monkeypatch.setenv("PRUNCAM_FIGURES", str(tmp_path))
    covid = drops(ACCURACY_DROPS, dataset="COVID-19")
    save(tmp_path, "pe_score", "drops", pd.concat([covid, drops(ACCURACY_DROPS)]))
    save(tmp_path, "sp2ps", "drops", drops(L1_DROPS, pe_drop=50.0))
    for (study, name), table in OTHER_TABLES.items():
        save(tmp_path, study, name, table)
    for number in METHODS:
        save(tmp_path, "sp2ps", number, PUBLISHED)
    return tmp_path


def test_the_pe_rows_are_the_models_of_the_same_rule_and_rate_as_the_papers(saved):
    result = compare_studies("overnight")
    assert result.missing == []
    table = result.tables["2"]
    assert table["pe_rate"].tolist() == [0.35, 0.35, 0.5, 0.7, 0.8, 0.88]
    assert table["pe_rule"].tolist() == ["Weight", *["SeNPIS-Faster"] * 5]
    # Not the 7 of the Sp2PS models; not in the order of our accuracy drops.
    assert table["pe_drop_ours"].tolist() == [3.0, 2.0, 50.0, 40.0, 60.0, 70.0]
    assert table["pe_paper_acc_drop_ours"].tolist() == [0.3, 0.2, 5.0, 4.0, 6.0, 7.0]
    assert table["sp2ps_drop_ours"].tolist()[:4] == [6.0] * 4
    assert table["pe_drop"].tolist() == [4.0] * 6


def test_a_model_that_the_pe_study_lacks_leaves_its_row_empty(saved):
    few = {model: drop for model, drop in ACCURACY_DROPS.items() if model[1] != 0.7}
    save(saved, "pe_score", "drops", drops(few))
    table = compare_studies("overnight").tables["1"]
    assert table["pe_drop_ours"].isna().tolist() == [False, False, False, True, False, False]
    assert table["pe_rate"].tolist()[3] == 0.7


@pytest.mark.parametrize(
    ("profile", "images"), [("quick", "generated-10 (for CIFAR-10)"), ("overnight", "CIFAR-10")]
)
def test_captions_name_the_images_that_were_used(saved, profile, images):
    (saved / "overnight").rename(saved / profile)
    drawings = compare_studies(profile).drawings
    assert set(drawings) == {"crossed", "same models"}
    for drawing in drawings.values():
        assert f"{images}, profile {profile}." in drawing.caption


def test_scores_are_compared_on_the_same_models(saved):
    tables = compare_studies("overnight").tables
    models = tables["same_models"].groupby("network")["rate"].count()
    assert models.tolist() == [3 * 8, 3 * 4], "only the models of CIFAR-10"
    agreement = tables["agreement"].set_index(["network", "method"]).sort_index()
    removed = agreement.loc[("VGG11, filters removed", "grad-cam")]
    assert len(removed) == 10 and (removed["models"] == 8).all()
    correlations = removed[["spearman", "kendall"]].to_numpy()
    assert correlations == pytest.approx(1), "every score ranks the models alike"
    assert removed["without_ssim"].isna().all(), "and as SSIM does, so nothing is left"
    masked = agreement.loc["plain network, weights masked"]
    assert masked["spearman"].isna().all(), "four models are too few"
    assert masked["without_ssim"].isna().all()


def pair_of_scores(agreement, first="sp2ps_drop", second="pe_drop"):
    is_pair = (agreement["of"] == first) & (agreement["and"] == second)
    is_row = (agreement["network"] == "VGG11, filters removed") & (
        agreement["method"] == "grad-cam"
    )
    (row,) = agreement[is_pair & is_row].itertuples()
    return row


def test_two_scores_that_agree_only_through_ssim_are_told_from_others(saved):
    table = drops(ACCURACY_DROPS)
    generator = np.random.default_rng(0)
    ssim = np.tile(np.arange(8.0), 3)
    first, second = ssim + generator.normal(0, 2, (2, 24))
    table = table.assign(ssim_drop=ssim, sp2ps_drop=first, pe_drop=second)
    save(saved, "pe_score", "drops", table)
    row = pair_of_scores(compare_studies("overnight").tables["agreement"])
    of_cam = table[table["method"] == "grad-cam"]
    ranks = {name: stats.rankdata(of_cam[f"{name}_drop"]) for name in ("sp2ps", "pe", "ssim")}
    left = {  # what is left of the ranks when those of SSIM predict them
        name: ranks[name] - np.polyval(np.polyfit(ranks["ssim"], ranks[name], 1), ranks["ssim"])
        for name in ("sp2ps", "pe")
    }
    expected = stats.pearsonr(left["sp2ps"], left["pe"]).statistic
    assert row.without_ssim == pytest.approx(expected)
    assert row.spearman == pytest.approx(stats.spearmanr(ranks["sp2ps"], ranks["pe"]).statistic)


def test_models_that_collapsed_do_not_count_for_the_agreement(saved):
    table = drops(ACCURACY_DROPS)
    is_worst = table["rate"] == 0.96
    table.loc[is_worst, "sp2ps_drop"] = 0.0  # as in two empty maps
    table["collapsed"] = is_worst
    save(saved, "pe_score", "drops", table)
    row = pair_of_scores(compare_studies("overnight").tables["agreement"])
    assert row.models == 7
    assert row.spearman == pytest.approx(1)


def test_the_figure_of_the_printed_tables_ends_where_they_do(saved):
    far = {model: 40.0 if model[1] == 0.88 else drop for model, drop in ACCURACY_DROPS.items()}
    save(saved, "pe_score", "drops", drops(far).assign(pe_drop=30.0))
    panel, *_ = compare_studies("overnight").drawings["crossed"].figure.axes
    assert panel.get_xlim() == (-0.5, 7.5)
    lines = {line.get_label(): line for line in panel.lines}
    assert all(line.get_linestyle() == "None" for line in lines.values())
    assert len(lines["PE, ours"].get_xdata()) == 5
    (arrow,) = panel.texts
    assert arrow.xy == (7.5, 30.0)
    assert len(lines["Sp2PS, ours"].get_xdata()) == 4


def test_models_are_drawn_by_rule_without_lines_between_them(saved):
    table = drops(ACCURACY_DROPS)
    table["collapsed"] = table["rate"] == 0.96
    save(saved, "pe_score", "drops", table)
    figure = compare_studies("overnight").drawings["same models"].figure
    panel = figure.axes[3]  # of the second network: 2 rules and 3 scores, one part collapsed
    assert len(panel.lines) == 3 * 3
    assert {line.get_linestyle() for line in panel.lines} == {"None"}
    assert len({line.get_marker() for line in panel.lines}) == 2
    faces = [line.get_markerfacecolor() for line in panel.lines]
    assert faces.count("none") == 3


def test_complexity_is_shown_with_the_accuracy_of_our_networks(saved):
    table = compare_studies("overnight").tables["pe_3"].set_index("dataset")
    assert table["accuracy_ours"].to_dict() == {"MNIST": 99, "CIFAR-10": 80, "COVID-19": 95}
    assert table["accuracy_ours_low"].tolist() == [98, 76, 91]
    assert table["accuracy_ours_high"].tolist() == [99.5, 83, 97]
    assert table["csg_test"].tolist() == [0.2, 4.0, 0.3]


def test_complexity_of_the_profile_paper_also_serves_laptop(saved):
    (saved / "paper").mkdir()
    (saved / "overnight" / "csg").rename(saved / "paper" / "csg")
    (saved / "paper" / "csg" / "manifest.json").write_text('{"profile": "paper", "git": "abc"}')
    result = compare_studies("overnight")
    assert result.tables["pe_3"]["csg_test"].tolist() == [0.2, 4.0, 0.3] and result.missing == []
    assert result.manifest["made_of"]["csg"] == {"profile": "paper", "git": "abc"}
    assert len(compare_studies("quick").missing) == 9, "no other profile uses it"


def test_a_comparison_is_saved_beside_its_studies(saved, coarse_figures):
    folder = compare_studies("overnight").save()
    assert folder == saved / "overnight" / "comparison"
    names = {path.name for path in folder.iterdir()}
    assert {"table_1.csv", "table_same_models.csv"} <= names
    assert {"figure_crossed.png", "figure_same_models.svg"} <= names
    assert len(pd.read_csv(folder / "table_3.csv")) == 6


def test_a_missing_result_is_named_and_the_others_are_compared(saved):
    (saved / "overnight" / "sp2ps" / "table_3.csv").unlink()
    result = compare_studies("overnight")
    command = "make reproduce PROFILE=overnight STUDY=sp2ps"
    assert result.missing == [f"table 3 needs `{command}`"]
    assert "2" in result.tables
    empty = compare_studies("paper")
    assert empty.tables == {} and empty.drawings == {}


def test_an_unknown_profile_is_refused():
    message = "unknown profile 'fast': choose one of quick, overnight, paper"
    with pytest.raises(ValueError, match=message):
        compare_studies("fast")
