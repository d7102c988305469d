"""Tables of committed results, as notebooks show them."""

import pytest

from pruncam import places
from pruncam.datasets import DataError
from pruncam.report import committed


def test_every_table_of_the_committed_csg_run_is_there():
    found = committed.tables("paper", "csg")
    assert {"complexity_1", "pe_3", "agreement", "nearest", "claims"} <= set(found)
    assert found["claims"]["claim"].tolist() == ["C3a", "C3b", "C3c", "C3d", "C7a", "C7b"]
    # The 20 draws that the settings of the papers were to be confirmed with, on the real data.
    row = found["agreement"].set_index(["half", "split"]).loc[("Fashion-MNIST", "train")]
    assert row["draws"] == 20 and row["low"] < row["csg"] < row["high"] and row["worth"] == "test"


def test_what_another_folder_holds_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_FIGURES", str(tmp_path))
    assert "pe_3" in committed.tables("paper", "csg")


@pytest.mark.parametrize("content", ["", 'a,b\n1,2,3\n4,"5', "\udcff\n"])
def test_a_broken_table_is_named(content, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    folder = tmp_path / "figures" / "paper" / "csg"
    folder.mkdir(parents=True)
    (folder / "table_pe_3.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"figures/paper/csg/table_pe_3.csv is no table: take the file from the repo"):
        committed.tables("paper", "csg")


def test_what_is_not_there_is_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    with pytest.raises(
        DataError, match="no tables in figures/laptop/csg: .* `make reproduce PROFILE=laptop STUDY=csg`"
    ):
        committed.tables("laptop", "csg")
    with pytest.raises(ValueError, match="unknown profile 'huge'"):
        committed.tables("huge", "csg")
