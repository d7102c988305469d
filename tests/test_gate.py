"""`pruncam compare` as a gate: status, JSON, model card, summary of a workflow's step; callback."""

import copy
import json
import math
import types

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from pruncam import comparison, metrics, networks, pruning, scoring
from pruncam.cli import main
from pruncam.comparison import callback as callback_module
from pruncam.comparison.gate import read_gate
from pruncam.comparison.model_card import model_card, step_summary
from pruncam.datasets import ImageSet

pytestmark = pytest.mark.usefixtures("coarse_figures")

NETWORK = """
from torch import nn

def network(num_classes=2):
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(4, num_classes))
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory, ants_and_bees):
    """A user's folder: code, images of two classes, and two checkpoints."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(NETWORK)
    (folder / "test").symlink_to(ants_and_bees)
    torch.manual_seed(0)
    names: dict = {}
    exec(NETWORK, names)
    baseline = names["network"]()
    torch.save(baseline.state_dict(), folder / "a.pt")
    torch.save(pruning.global_unstructured(baseline, 0.8).state_dict(), folder / "b.pt")
    return folder


def compare(user, out, *options):
    """Run `pruncam compare` on the user's files and return its exit status."""
    files = ["--baseline", user / "a.pt", "--pruned", user / "b.pt", "--data", user / "test"]
    network = ["--model", f"{user}/mine.py:network", "--mean", "0", "--std", "1", "--seeds", "1"]
    return main(["compare", *map(str, files), *network, "--out", str(out), *options])


def sp2ps(folder, method):
    """Return the mean Sp2PS of a CAM in a saved report."""
    table = pd.read_csv(folder / "table_summary.csv").set_index(["method", "score"])
    return table.loc[(method, "sp2ps"), "mean"]


# ---------------------------------------------------------------- the gate


def test_the_status_says_whether_the_mean_reaches_the_limit(user, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    cam = ("--methods", "grad-cam", "--method", "grad-cam++")
    assert compare(user, tmp_path / "first", *cam, "--fail-below", "sp2ps=0") == 0
    mean = sp2ps(tmp_path / "first", "grad-cam++")
    assert 0.05 < mean < 0.999, "neither limit would tell anything"
    low, high = (f"sp2ps={mean + change:.6f}" for change in (-0.001, 0.001))
    assert compare(user, tmp_path / "low", *cam, "--fail-below", low) == 0
    capsys.readouterr()
    assert compare(user, tmp_path / "high", *cam, "--fail-below", high, "pe=0") == 1
    captured = capsys.readouterr()
    assert f"the report is {tmp_path / 'high' / 'report.html'}" in captured.out
    (reason,) = [line for line in captured.err.splitlines() if line.startswith("pruncam: ")]
    assert reason.startswith(f"pruncam: failed: Grad-CAM++: Sp2PS is {mean:.3f}, below 0.")
    steps = (tmp_path / "step.md").read_text()
    assert steps.count("**Passed**") == 2 and steps.count("**Failed** the gate:") == 1
    assert steps.count("## Heatmaps before and after pruning") == 3


def test_json_is_all_that_is_printed(user, tmp_path, capsys):
    status = compare(user, tmp_path / "r", "--fail-below", "sp2ps=1.5", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert (status, printed["passed"], len(printed["failures"])) == (1, False, 3)
    assert printed["report"] == str(tmp_path / "r" / "report.html")
    assert printed["layers"][0]["layer"] == "1" and printed["layers"][0]["channels"] == 4
    rows = {(row["method"], row["score"]): row for row in printed["summary"]}
    assert rows["grad-cam", "sp2ps"]["mean"] == pytest.approx(sp2ps(tmp_path / "r", "grad-cam"))
    assert rows["grad-cam", "sp2ps"]["floor_low"] is None, "no training images"
    assert compare(user, tmp_path / "r", "--methods", "grad-cam", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["passed"] is None and printed["failures"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fail-below", "sp2ps"), "--fail-below takes SCORE=NUMBER, such as sp2ps=0.8"),
        (("--fail-below", "sp2ps=high"), "got 'sp2ps=high'"),
        (("--fail-below", "sp2ps=nan"), "got 'sp2ps=nan'"),
        (("--fail-below", "sp2=0.8"), "unknown score 'sp2': choose one of ssim"),
        (("--fail-below", "confidence_variation=0.1"), "unknown score 'confidence_variation'"),
        (("--fail-below", "sp2ps=0.8", "--method", "cam"), "unknown CAM method 'cam'"),
        (("--method", "grad-cam"), "--method names the CAM of --fail-below, which is missing"),
    ],
)
def test_a_gate_that_makes_no_sense_is_wrong_use(user, tmp_path, capsys, options, message):
    assert compare(user, tmp_path / "r", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def summary_row(mean, mean_nonempty=None, method="grad-cam", score="sp2ps"):
    nonempty = mean if mean_nonempty is None else mean_nonempty
    return {"method": method, "score": score, "mean": mean, "mean_nonempty": nonempty}


def test_empty_maps_cannot_pass_a_gate():
    gate = read_gate(["sp2ps=0.8"], None)
    failures = {
        "all empty": gate.judge(pd.DataFrame([summary_row(1.0, math.nan)])),
        "hidden by pairs of empty maps": gate.judge(pd.DataFrame([summary_row(0.9, 0.5)])),
        "one map of each pair empty": gate.judge(pd.DataFrame([summary_row(0.1, 0.95)])),
        "good": gate.judge(pd.DataFrame([summary_row(0.9, 0.85)])),
    }
    assert failures["all empty"] == ["Grad-CAM: Sp2PS means nothing, every image has an empty map"]
    assert failures["hidden by pairs of empty maps"] == [
        "Grad-CAM: Sp2PS is without empty maps 0.500, below 0.8"
    ]
    assert failures["one map of each pair empty"] == ["Grad-CAM: Sp2PS is 0.100, below 0.8"]
    assert failures["good"] == []


def test_a_gate_judges_one_cam_or_all_and_custom_scores_too():
    rows = [summary_row(0.5, method=cam) for cam in ("grad-cam", "grad-cam++")]
    rows.append(summary_row(0.79999, score="mine"))
    table = pd.DataFrame(rows)
    assert len(read_gate(["sp2ps=0.8"], None).judge(table)) == 2
    assert len(read_gate(["sp2ps=0.8"], "grad-cam++").judge(table)) == 1
    assert read_gate(["mine=0.8"], None, ["mine"]).judge(table) == [
        "Grad-CAM: mine is 0.79999, below 0.8"
    ]
    assert read_gate([], None) is None


# ---------------------------------------------------------------- the model card


@pytest.fixture(scope="module")
def report():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (6, 1, 28, 28), generator=generator, dtype=torch.uint8)
    images = ImageSet("noise", "test", pixels, torch.arange(6) % 10, tuple("0123456789"), "noise")
    baseline = networks.initialize(networks.mnist_net(), "pytorch", 0)
    settings = comparison.Settings(mean=(0.0,), std=(1.0,), seeds=(1,), bootstrap=100)
    return comparison.compare(
        baseline,
        pruning.global_unstructured(baseline, 0.5),
        images,
        settings=settings,
        custom_scores={"a|b": lambda x, y: (x - y).abs().mean((1, 2))},
        progress=False,
    )


def test_the_model_card_has_the_numbers_of_the_report(report, tmp_path):
    card = report.model_card()
    lines = card.splitlines()
    assert lines[0] == "## Heatmaps before and after pruning"
    header = next(line for line in lines if line.startswith("| CAM"))
    columns = header.replace(r"\|", "/").split("|")
    assert " a/b " in [f" {column.strip()} " for column in columns]
    row = next(line for line in lines if line.startswith("| Grad-CAM++"))
    assert row.replace(r"\|", "/").count("|") == header.replace(r"\|", "/").count("|")
    table = report.tables["summary"].set_index(["method", "score"])
    expected = table.loc[("grad-cam++", "sp2ps")]
    interval = f"{expected['mean']:.2f} [{expected['low']:.2f}, {expected['high']:.2f}]"
    assert interval in row and f"{expected['chance']:.2f}" in row and "not measured" in row
    assert "Means over 6 images" in card
    report.save(tmp_path / "report")
    assert (tmp_path / "report" / "model_card.md").read_text() == card


def test_names_cannot_break_the_markdown(report):
    evil = "# x <b>*y*</b> [z](http://a) | `c`"
    tables = report.tables | {
        "summary": report.tables["summary"].replace({"method": {"grad-cam": evil}})
    }
    card = model_card([evil], tables, report.manifest)
    assert r"\# x \<b>\*y\*\</b> \[z](http://a) \| \`c\`" in card
    assert "<b>" not in card.replace(r"\<b>", "")


def test_a_step_summary_says_passed_or_failed_only_with_a_gate():
    assert step_summary("card", None) == "card"
    assert step_summary("card", []).startswith("**Passed**")
    failed = step_summary("card", ["Grad-CAM: Sp2PS is 0.1, below 0.8"])
    assert failed.startswith("**Failed** the gate:\n\n- Grad-CAM: Sp2PS is 0.1, below 0.8")


# ---------------------------------------------------------------- the callback


def loader_of(count=5):
    generator = torch.Generator().manual_seed(1)
    return [(torch.rand(count, 1, 28, 28, generator=generator), torch.arange(count))]


def test_a_callback_scores_the_network_in_training_against_the_first_one():
    model = networks.initialize(networks.mnist_net(), "pytorch", 0)
    before, images = copy.deepcopy(model), loader_of()
    callback = comparison.CompareCallback(model, images, methods=["grad-cam", "grad-cam++"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(2):
        model.train()
        optimizer.zero_grad()
        functional.cross_entropy(model(images[0][0]), images[0][1]).backward()
        optimizer.step()
        means = callback.on_epoch_end(model, epoch)
        assert model.training, "the model stays as it is"
    rows = scoring.score(before, model, images, methods=["grad-cam", "grad-cam++"], progress=False)
    for method, part in rows.groupby("method", observed=True):
        for score in metrics.SCORES:
            assert means[f"{method}/{score}"] == pytest.approx(part[score].mean())
    history = callback.history
    assert len(history) == 2 * 2 * len(metrics.SCORES)
    last = history[(history["epoch"] == 1) & (history["method"] == "grad-cam++")]
    assert last.set_index("score")["mean"]["sp2ps"] == pytest.approx(means["grad-cam++/sp2ps"])
    assert {"baseline_empty", "pruned_empty"} <= set(history.columns)


def test_a_callback_leaves_epochs_out():
    model = networks.initialize(networks.mnist_net(), "pytorch", 0)
    callback = comparison.CompareCallback(model, loader_of(), every=2)
    means = [callback.on_epoch_end(model, epoch) for epoch in range(4)]
    assert [bool(values) for values in means] == [False, True, False, True]
    assert callback.history["epoch"].unique().tolist() == [1, 3]
    assert comparison.CompareCallback(model, loader_of()).history.empty
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        comparison.CompareCallback(model, loader_of(), every=0)


def test_a_lightning_training_logs_the_means():
    class Module(nn.Module):  # what a callback sees of a LightningModule
        def __init__(self):
            super().__init__()
            self.network = networks.initialize(networks.mnist_net(), "pytorch", 0)
            self.logged = {}

        def forward(self, x):
            return self.network(x)

        def log_dict(self, values):
            self.logged.update(values)

    module = Module()
    callback = comparison.CompareCallback(module, loader_of())
    module.network.fc.weight.data.mul_(-1)
    callback.on_train_epoch_end(types.SimpleNamespace(current_epoch=0), module)
    assert module.logged["heatmaps/grad-cam/sp2ps"] < 0.999
    assert callback.history["epoch"].tolist() == [0] * len(metrics.SCORES)


def test_tensorboard_is_used_where_it_is_installed(tmp_path, monkeypatch):
    written = []
    writer = types.SimpleNamespace(add_scalar=lambda *arguments: written.append(arguments))
    model = networks.initialize(networks.mnist_net(), "pytorch", 0)
    monkeypatch.setattr(callback_module, "_tensorboard_writer", lambda folder: writer)
    callback = comparison.CompareCallback(model, loader_of(), log_dir=tmp_path)
    means = callback.on_epoch_end(pruning.global_unstructured(model, 0.5), 3)
    expected = [(f"heatmaps/{name}", value, 3) for name, value in means.items()]
    assert written == expected and len(written) == len(metrics.SCORES)


def test_without_tensorboard_a_warning_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    model = networks.initialize(networks.mnist_net(), "pytorch", 0)
    with pytest.warns(UserWarning, match="nothing is logged to TensorBoard: pip install"):
        callback = comparison.CompareCallback(model, loader_of(), log_dir=tmp_path)
    assert callback.on_epoch_end(model, 0)["grad-cam/sp2ps"] == pytest.approx(1)
    assert not list(tmp_path.iterdir())
