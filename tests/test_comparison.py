"""Tables that need two studies: made from saved results by the rule that the paper states."""

import pandas as pd
import pytest

from pruncam.report import comparison

MODELS = {  # rule, rate -> accuracy drop; out of order, and with models that the paper's rows do not have
    ("Weight", 0.35): 0.3,
    ("Weight", 0.5): 0.1,
    ("SeNPIS-Faster", 0.35): 0.2,
    ("SeNPIS-Faster", 0.5): 5.0,
    ("SeNPIS-Faster", 0.7): 4.0,
    ("SeNPIS-Faster", 0.8): 6.0,
    ("SeNPIS-Faster", 0.88): 7.0,
    ("SeNPIS-Faster", 0.96): 9.0,
}


def drops(models, half="CIFAR-10", **scores):
    rows = []
    for method in comparison.METHODS.values():
        for (rule, rate), drop in models.items():
            row = {"method": method, "rule": rule, "rate": rate, "seed": 1, "acc_drop": drop, "half": half, "place": 0}
            rows.append(row | {f"{score}_drop": 10 * drop for score in comparison.SCORES} | scores)
    return pd.DataFrame(rows)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_FIGURES", str(tmp_path))
    ours, other = drops(MODELS), drops(MODELS, half="COVID-19")
    plain = drops({("L1", rate): 10 * rate for rate in (0.2, 0.4, 0.6, 0.8)}, pe_drop=50.0)
    for study, table in {"pe_score": pd.concat([other, ours]), "sp2ps": plain}.items():
        (tmp_path / "laptop" / study).mkdir(parents=True)
        table.to_csv(tmp_path / "laptop" / study / "table_drops.csv", index=False)
    printed = {"place": range(1, 7), "acc_drop": 1.0, "sp2ps_drop": 2.0, "pe_paper_acc_drop": 3.0, "pe_drop": 4.0}
    printed |= {"flag": None, "acc_drop_ours": 5.0, "sp2ps_drop_ours": 6.0, "pe_drop_ours": 7.0}
    for study, name, table in (
        ("csg", "pe_3", {"half": ["MNIST", "CIFAR-10", "COVID-19"], "csg_test": [0.2, 4.0, 0.3]}),
        (
            "sweeps",
            "sweep",
            {"half": ["MNIST", "MNIST", "CIFAR-10"], "rate": [0.2, 0.3, 0.2], "baseline": [99, 99, 80]},
        ),
        ("pe_score", "models", {"half": ["CIFAR-10", "COVID-19"], "baseline": [85.0, 95.0]}),
    ):
        (tmp_path / "laptop" / study).mkdir(exist_ok=True)
        pd.DataFrame(table).to_csv(tmp_path / "laptop" / study / f"table_{name}.csv", index=False)
    for key in comparison.METHODS:
        pd.DataFrame(printed).to_csv(tmp_path / "laptop" / "sp2ps" / f"table_{key}.csv", index=False)
    return tmp_path


def test_the_pe_rows_are_the_papers_models_in_the_order_of_their_accuracy_drops(saved):
    found = comparison.compare("laptop")
    assert found.missing == []
    table = found.tables["2"]
    assert table["pe_rate"].tolist() == [0.35, 0.35, 0.7, 0.5, 0.8, 0.88]
    assert table["pe_rule"].tolist() == ["SeNPIS-Faster", "Weight", *["SeNPIS-Faster"] * 4]
    assert table["pe_drop_ours"].tolist() == [2.0, 3.0, 40.0, 50.0, 60.0, 70.0], "not the 7 of the Sp2PS models"
    assert table["sp2ps_drop_ours"].tolist() == [6.0] * 6 and table["pe_drop"].tolist() == [4.0] * 6


def test_scores_are_compared_on_the_same_models(saved):
    found = comparison.compare("laptop")
    same = found.tables["same_models"]
    assert same.groupby("network")["rate"].count().tolist() == [3 * 8, 3 * 4], "CIFAR-10's models alone"
    table = found.tables["agreement"]
    removed = table[(table["network"] == "VGG11, filters removed") & (table["method"] == "grad-cam")]
    assert len(removed) == 6 and (removed["models"] == 8).all()
    assert removed[["spearman", "kendall"]].to_numpy() == pytest.approx(1), "every score ranks them alike"
    assert table[table["network"] == "plain network, weights masked"]["spearman"].isna().all(), "four models are few"


def test_complexity_stands_beside_the_accuracy_of_our_own_networks(saved):
    table = comparison.compare("laptop").tables["pe_3"].set_index("half")
    assert table["accuracy_ours"].to_dict() == {"MNIST": 99, "CIFAR-10": 80, "COVID-19": 95}
    assert table["csg_test"].tolist() == [0.2, 4.0, 0.3]


def test_complexity_of_the_papers_profile_serves_the_laptop_as_well_and_the_manifest_says_so(saved):
    (saved / "paper").mkdir()
    (saved / "laptop" / "csg").rename(saved / "paper" / "csg")
    (saved / "paper" / "csg" / "manifest.json").write_text('{"profile": "paper", "git": "abc"}')
    found = comparison.compare("laptop")
    assert found.tables["pe_3"]["csg_test"].tolist() == [0.2, 4.0, 0.3] and found.missing == []
    assert found.manifest["made_of"]["csg"] == {"profile": "paper", "git": "abc"}
    assert len(comparison.compare("quick").missing) == 9, "and no other profile borrows"


def test_a_comparison_is_saved_beside_its_studies(saved):
    folder = comparison.compare("laptop").save()
    assert folder == saved / "laptop" / "comparison"
    names = {path.name for path in folder.iterdir()}
    assert {"table_1.csv", "table_same_models.csv", "figure_crossed.png", "figure_same_models.svg"} <= names
    assert len(pd.read_csv(folder / "table_3.csv")) == 6


def test_what_was_not_run_is_named_and_the_rest_is_compared(saved):
    (saved / "laptop" / "sp2ps" / "table_3.csv").unlink()
    found = comparison.compare("laptop")
    assert found.missing == ["table 3 needs `make reproduce PROFILE=laptop STUDY=sp2ps`"] and "2" in found.tables
    assert comparison.compare("paper").tables == {} and comparison.compare("paper").drawings == {}
    with pytest.raises(ValueError, match="unknown profile 'fast': choose one of quick, laptop, paper"):
        comparison.compare("fast")
