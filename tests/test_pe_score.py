"""The PE-score study: sizes of what is left, Section 5 on the paper's own numbers, claims on made-up scores."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from pruncam import cams, metrics, places, pruning, scoring
from pruncam.datasets import DataError, ImageSet, catalog
from pruncam.progress import Progress
from pruncam.store import Store
from pruncam.studies import pe_score, workshop
from pruncam.studies.half import CHANCE, FLOOR, Variant
from pruncam.studies.pe_score import claims, marks, printed
from pruncam.studies.pe_score.choice import choose_rate
from pruncam.studies.pe_score.config import FASTER, FULL, WEIGHT
from pruncam.studies.pe_score.half import Half
from pruncam.studies.study import Machine
from pruncam.studies.workshop import Workshop

SMALL = {
    "train_images": 60,
    "test_images": 20,
    "width": 4,
    "classifier_width": 12,
    "baseline": [[2, 0.02]],
    "finetuning": [[1, 0.01]],
    "rates": [0.5, 0.96],
    "samples_per_class": 2,
    "sensitivity_images": 10,
    "bootstrap": 100,
}


def run(cache, **overrides):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(cache))
        return pe_score.run(pe_score.configure("quick", **(SMALL | overrides)), False, machine=Machine("cpu", jobs=2))


@pytest.fixture(scope="module")
def small(cache):
    return run(cache)


def half_of(config, folder, name="generated-10", counts=(60, 20)):
    sets = [catalog.load(name, split).first(count) for split, count in zip(("train", "test"), counts, strict=True)]
    bench = Workshop(Store(folder), torch.device("cpu"), Progress("", "epoch", False))
    return Half(config, "CIFAR-10", *sets, bench, 0.0)


@pytest.fixture(scope="module")
def cifar(cache, small):
    """The first half with the models of `small`, which are all in the cache."""
    return half_of(small.config, cache)


# ---------------------------------------------------------------- a run


def test_a_run_gives_every_table_figure_and_claim(small, tmp_path):
    assert list(small.drawings) == [str(number) for number in range(1, 10)]
    assert {"published", "curves", "choice", "inspect", "costs", "times", "marks", "truth"} <= set(small.tables)
    names = small.claims["claim"].tolist()
    assert names == ["P1a", "P1b", "P2a", "P2b", "P3", "P4", "P5a", "P5b", "P6", "P7a", "P7b", "P7c", "P8"]
    assert set(small.claims["verdict"]) <= {"holds on stand-in", "fails on stand-in", "undecided", "not tested here"}
    curves = small.tables["curves"]
    assert len(curves) == 2 * 3 * (2 * 2 + 1 + 1) and set(curves["rule"]) == {WEIGHT, FASTER, FLOOR, CHANCE}
    folder = small.save(tmp_path)
    assert len(list(folder.glob("figure_*.png"))) == 9 and len(list(folder.glob("table_*.csv"))) == len(small.tables)


def test_a_second_run_trains_removes_and_scores_nothing(small, cache, monkeypatch):
    monkeypatch.setattr(workshop, "fit", lambda *_, **__: pytest.fail("a model was trained again"))
    monkeypatch.setattr(pruning, "remove_filters", lambda *_, **__: pytest.fail("filters were removed again"))
    monkeypatch.setattr(scoring, "stream", lambda *_, **__: pytest.fail("a model was scored again"))
    again = run(cache)
    for name, table in small.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)
    assert again.manifest["steps"] == again.manifest["steps_from_cache"]


def test_a_run_on_a_fresh_cache_gives_the_same_to_the_bit(small, tmp_path):
    again = run(tmp_path)
    assert again.manifest["steps_from_cache"] == 0
    for name in small.tables.keys() - {"times"}:  # a stopwatch never shows the same twice
        pd.testing.assert_frame_equal(again.tables[name], small.tables[name], check_exact=True)


def test_a_small_data_set_may_be_trained_on_for_more_epochs(small, tmp_path):
    config = pe_score.configure("quick", **(SMALL | {"prolonged": [["CIFAR-10", 3, 2]]}))
    longer, plain = half_of(config, tmp_path), half_of(small.config, tmp_path)
    assert longer.recipe("baseline").schedule == ((6, 0.02),) and longer.recipe("finetuning").schedule == ((2, 0.01),)
    assert plain.recipe("baseline") == small.config.recipe("baseline")
    variant = Variant(WEIGHT, 0.5, 1)
    assert longer.training() != plain.training() and longer.tuning(variant) != plain.tuning(variant)
    with pytest.raises(ValueError, match="unknown prolonged data set 'MNIST': choose one of CIFAR-10, COVID-19"):
        pe_score.configure("quick", prolonged=[["MNIST", 2, 2]])
    with pytest.raises(ValueError, match="COVID-19's factor must be at least 1, got 0"):
        pe_score.configure("quick", prolonged=[["COVID-19", 2, 0]])


@pytest.mark.parametrize("rule", [WEIGHT, FASTER])
def test_every_layer_but_the_last_loses_the_same_share(cifar, rule):
    whole = [len(layer.weight) for layer in pruning.prunable(cifar.baseline).values()]
    assert whole == [4, 8, 16, 16, 32, 32, 32, 32, 12, 12, 10]
    for rate in (0.5, 0.96):
        left = [len(layer.weight) for layer in pruning.prunable(cifar.model(Variant(rule, rate, 1))).values()]
        assert left == [n - min(round(rate * n), n - 1) for n in whole[:-1]] + [10]


def test_weight_keeps_the_filters_with_the_largest_norms(cifar):
    model, first = cifar.pruned(Variant(WEIGHT, 0.5, 1)), next(iter(pruning.prunable(cifar.baseline).values()))
    kept = first.weight.flatten(1).norm(dim=1).argsort(descending=True)[:2].sort().values
    assert (model.features[0].weight == first.weight[kept]).all()


def test_a_smaller_model_is_smaller_on_disk_and_in_flops(small):
    for _, part in small.tables["costs"].groupby(["half", "rule"]):
        part = part.sort_values("rate")
        for column in ("parameters", "flops", "bytes"):
            assert part[column].is_monotonic_decreasing and part[column].iloc[-1] < 0.5 * part[column].iloc[0]
        assert (part["sparsity"] < 0.01).all(), "filters are gone, not zero"


def test_pe_is_the_harmonic_mean_of_ssim_iou_and_confidence(cifar, small):
    model, x = cifar.model(Variant(WEIGHT, 0.5, 1)), cifar.prepared(cifar.test.images.float() / 255)
    a, b = (cams.heatmaps(m, x, method="grad-cam++") for m in (cifar.baseline, model))
    with torch.no_grad():
        before, after = (m(x).softmax(1) for m in (cifar.baseline, model))
    top = before.argmax(1, keepdim=True)
    expected = metrics.pe_score(a, b, before.gather(1, top)[:, 0], after.gather(1, top)[:, 0]).mean().item()
    curves = small.tables["curves"]
    chosen = (curves["half"] == "CIFAR-10") & (curves["rule"] == WEIGHT) & (curves["rate"] == 0.5)
    assert curves[chosen & (curves["method"] == "grad-cam++")]["pe"].item() == pytest.approx(expected, abs=1e-5)


def test_the_class_of_the_map_and_of_the_confidence_are_crossed(cifar, small):
    first = cifar.test.first(cifar.config.sensitivity_images)
    model, x = cifar.model(Variant(WEIGHT, 0.5, 1)), cifar.prepared(first.images.float() / 255)
    a, b = (cams.heatmaps(m, x, method="grad-cam", targets=first.labels) for m in (cifar.baseline, model))
    with torch.no_grad():
        before, after = (m(x).softmax(1).amax(1) for m in (cifar.baseline, model))
    expected = metrics.pe_score(a, b, before, after).mean().item()
    table = small.tables["sensitivity_to_the_class"]
    table = table[(table["half"] == "CIFAR-10") & (table["rate"] == 0.5) & (table["method"] == "grad-cam")]
    found = table.set_index(["map of", "confidence of"])["pe"]
    assert len(found) == 9
    assert found["the true class", "each model's top class"] == pytest.approx(expected, abs=1e-5)
    configured = scoring.score(cifar.baseline, model, first, methods=["grad-cam"], transform=cifar.prepared)["pe"]
    assert found["each model's top class", "the baseline's top class"] == pytest.approx(configured.mean(), abs=1e-5)


def test_filters_alone_can_go(cache, tmp_path):
    config = pe_score.configure("quick", **(SMALL | {"layers": ["conv"]}))
    model = half_of(config, tmp_path).pruned(Variant(WEIGHT, 0.5, 1))
    assert [len(layer.weight) for layer in pruning.prunable(model).values()] == [2, 4, 8, 8, 16, 16, 16, 16, 12, 12, 10]


def test_senpis_sees_as_many_images_of_every_class(cifar):
    images, labels = cifar.batch
    assert labels.bincount().tolist() == [2] * 10 and len(images) == 20
    assert len({tuple(image.flatten()[:50].tolist()) for image in images}) == 20, "an image twice"


def test_a_study_may_have_neither_floor_nor_chance(tmp_path):
    found = run(tmp_path, halves=[["CIFAR-10", "generated-10", 32, 0.0]], floor_seeds=[], chance_seeds=[])
    assert set(found.tables["curves"]["rule"]) == {WEIGHT, FASTER} and found.tables["ends"].empty


@pytest.mark.parametrize(("original", "side", "expected"), [(True, 224, False), (False, 224, True), (True, 96, True)])
def test_the_papers_own_pictures_at_its_own_size_are_no_stand_in(small, cifar, original, side, expected):
    def made(count):
        images = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, 3, side, side)
        return ImageSet("cifar10", "test", images, torch.zeros(count).long(), ("x",), "not the original")

    own = Half(small.config, "CIFAR-10", made(50_000), made(10_000), cifar.workshop, 0.0, original)
    assert pe_score._stands_in(own) is expected


# ---------------------------------------------------------------- weights to start from


def test_a_checkpoint_may_be_the_start(tmp_path):
    config = pe_score.configure("quick", **SMALL)
    state = half_of(config, tmp_path).initial().state_dict()
    torch.save(state, tmp_path / "start.pt")
    other = half_of(dataclasses.replace(config, seed=9, initial=str(tmp_path / "start.pt")), tmp_path)
    assert all((value == other.initial().state_dict()[name]).all() for name, value in state.items())
    assert other.training()["file"] is not None
    (tmp_path / "broken.pt").write_bytes(b"no file of torch's")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, message in (("broken.pt", "cannot be read as a state dict"), ("list.pt", "holds a list, a state dict")):
        with pytest.raises(DataError, match=message):
            half_of(dataclasses.replace(config, initial=str(tmp_path / name)), tmp_path).initial()
    with pytest.raises(DataError, match="cannot be read as a state dict \\(FileNotFoundError"):
        half_of(dataclasses.replace(config, initial=str(tmp_path / "none.pt")), tmp_path).initial()


def test_imagenets_weights_fill_the_convolutions_or_are_refused(tmp_path, monkeypatch):
    from torchvision.models import vgg11

    state = vgg11(weights=None).state_dict()
    monkeypatch.setattr("pruncam.studies.pe_score.half.imagenet", lambda batch_norm: state)
    wide = {"initial": "imagenet", "width": 64, "classifier_width": 8, "batch_norm": False}
    made = half_of(pe_score.configure("quick", **(SMALL | wide)), tmp_path).initial()
    assert (made.features[0].weight == state["features.0.weight"]).all()
    assert made.classifier[6].weight.shape == (10, 8)
    with pytest.raises(ValueError, match="those of a VGG11 of width 64: set width=64"):
        half_of(pe_score.configure("quick", **(SMALL | wide | {"width": 8})), tmp_path).initial()


# ---------------------------------------------------------------- which rate (Section 5)


def as_published(half, rule, pe):
    table = printed.published()
    table = table[(table["half"] == half) & (table["quantity"] == "accuracy")]
    baseline = table.loc[table["rate"] == 0, "value"].item()
    own = table[(table["criterion"] == rule) & (table["rate"] > 0)]
    return pd.DataFrame({"rate": own["rate"], "acc_drop": baseline - own["value"], "pe": pe})


FALLING = [0.90, 0.88, 0.86, 0.84, 0.83, 0.81]


@pytest.mark.parametrize(("rule", "four_points"), [(WEIGHT, 0.7), (FASTER, 0.8)])
def test_the_papers_cifar_models_are_trusted_up_to_half_the_filters(rule, four_points):
    """The paper: a UPR of up to 50 % loses less than 1 %."""
    choice = choose_rate(as_published("CIFAR-10", rule, FALLING))
    assert (choice.rate, choice.verdict) == (0.5, "trust") and "at most 1 points" in choice.why
    assert choose_rate(as_published("CIFAR-10", rule, FALLING), 0.04).rate == four_points
    assert choose_rate(as_published("CIFAR-10", rule, FALLING), 0.001).verdict == "prune less"


@pytest.mark.parametrize("rule", [WEIGHT, FASTER])
def test_the_papers_x_ray_models_must_be_inspected(rule):
    """Their accuracy rises at 35 % already, so the maps decide."""
    rows = pd.DataFrame({"rate": np.repeat([0.35, 0.96], 8), "image": [*range(8)] * 2, "label": 0})
    rows["pe"] = np.linspace(0.1, 0.8, 16)[::-1]
    choice = choose_rate(as_published("COVID-19", rule, [0.95, 0.92, 0.85, 0.8, 0.63, 0.5]), rows=rows)
    assert (choice.rate, choice.verdict) == (0.5, "inspect the maps") and "accuracy rises at 35" in choice.why
    assert set(choice.images["rate"]) == {0.96} and choice.images["image"].tolist() == [7, 6, 5, 4, 3]


def test_no_rate_is_good_where_every_one_costs_too_much():
    table = pd.DataFrame({"rate": [0.2, 0.5], "acc_drop": [3.0, 5.0], "pe": [0.8, 0.7]})
    choice = choose_rate(table)
    assert (choice.rate, choice.verdict) == (0.0, "prune less") and "3.00 points are lost at 20%" in choice.why
    rising = choose_rate(table.assign(acc_drop=[3.0, 1.0]))
    assert (rising.rate, rising.verdict) == (0.0, "inspect the maps") and "PE is under 0.9 from 20% on" in rising.why


def test_pe_that_rises_again_makes_no_rate_trustworthy():
    table = pd.DataFrame({"rate": [0.8, 0.2, 0.5], "acc_drop": [3.0, 0.1, 0.5], "pe": [0.95, 0.95, 0.7]})
    choice = choose_rate(table)
    assert (choice.rate, choice.verdict) == (0.2, "inspect the maps") and "PE rises at 80 %" in choice.why


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        ({"rate": [0.5], "pe": [1.0]}, {}, "needs a table with the columns rate, acc_drop and pe"),
        ({"rate": [0.5], "acc_drop": [math.nan], "pe": [1.0]}, {}, "a number in every cell"),
        ({"rate": [0.5, 0.5], "acc_drop": [1, 2], "pe": [1, 0.9]}, {}, "different rates in \\[0, 1\\)"),
        ({"rate": [1.0], "acc_drop": [1], "pe": [1]}, {}, "different rates in \\[0, 1\\)"),
        ({"rate": [0.0], "acc_drop": [0], "pe": [1]}, {}, "there is no pruned model in the table"),
        ({"rate": [0.5], "acc_drop": [1], "pe": [1]}, {"max_accuracy_drop": 5}, "max_accuracy_drop must be a fraction"),
    ],
)
def test_tables_that_tell_nothing_are_refused(table, arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_rate(pd.DataFrame(table), **arguments)


# ---------------------------------------------------------------- what is printed


def test_the_printed_numbers_are_those_of_the_paper():
    table = printed.published()
    assert table.groupby("quantity").size().to_dict() == {"accuracy": 26, "pe": 18}
    by = table.set_index(["half", "criterion", "rate", "method"])["value"]
    assert by["CIFAR-10", WEIGHT, 0.88, ""] == 87.85 and by["COVID-19", FASTER, 0.88, ""] == 97.39
    assert by["CIFAR-10", WEIGHT, 0.35, "grad-cam"] == 0.79 and by["CIFAR-10", FASTER, 0.88, "grad-cam++"] == 0.83
    # 88 %: 1.31 points above the baseline, as the text says
    assert by["COVID-19", FASTER, 0.88, ""] - by["COVID-19", "", 0.0, ""] == pytest.approx(1.31)


def test_ours_stand_beside_the_printed_ones(small):
    table = small.tables["published"].set_index("quantity")
    curves = small.tables["curves"]
    own = curves[(curves["half"] == "COVID-19") & (curves["rule"] == FASTER) & (curves["rate"] == 0.96)].iloc[0]
    assert table.loc["COVID-19, SeNPIS-Faster 96 %: accuracy", "ours"] == own["accuracy"]
    assert table.loc["COVID-19: accuracy", "ours"] == pytest.approx(own["accuracy"] + own["acc_drop"])
    assert math.isnan(table.loc["CIFAR-10, Weight 35 %: PE, grad-cam", "ours"]), "this profile has no such model"


# ---------------------------------------------------------------- the distractor


def test_a_network_that_only_sees_the_mark_is_found_out(cache):
    config = pe_score.configure("quick", **SMALL)
    made = half_of(config, cache, "generated-10-marked")

    class SeesTheMark(torch.nn.Module):
        """Logits from the mark alone: its colour against those of the ten marks."""

        def __init__(self, colours):
            super().__init__()
            self.conv, self.colours = torch.nn.Conv2d(3, 3, 1, bias=False), colours
            self.conv.weight.data = torch.eye(3)[:, :, None, None]

        def forward(self, x):
            seen = self.conv(x)[:, :, :4, :4].mean((2, 3))
            return -((seen[:, None] - self.colours) ** 2).sum(2)

    agreeing = marks.planted(made.test, 1.0)
    x = made.prepared(agreeing.images.float() / 255)
    colours = torch.stack([x[agreeing.labels == k][0, :, 0, 0] for k in range(10)])
    model = SeesTheMark(colours)
    assert marks._accuracy(made, model, agreeing) == 100
    assert marks._accuracy(made, model, marks.planted(made.test, 0.0)) == 0


def test_marks_are_looked_for_where_they_are_known(small):
    table = small.tables["marks"]
    assert set(table["half"]) == {"COVID-19"} and len(table) == 3 * (1 + 2 * 2 + 1)
    assert np.allclose(table["from_marks"], table["accuracy_agreeing"] - table["accuracy_lying"])
    assert (table["mark_area"] == 16 / 1024).all()


# ---------------------------------------------------------------- claims

RATES = (0.35, 0.5, 0.7, 0.8, 0.88, 0.96)
LOSSES = {"CIFAR-10": (0, 1, 3, 4, 6, 10), "COVID-19": (-2, -2, 0, 0, -3, 1)}  # images of 100
PES = (0.90, 0.88, 0.86, 0.84, 0.83, 0.81)
OF_CAM = {"grad-cam": -0.1, "grad-cam++": 0.0, "ablation-cam": -0.05}


def made_up(losses=LOSSES, pes=PES, of_cam=OF_CAM, iou=None, rules=(WEIGHT, FASTER), better=0):
    """Rows of scores of models that lose and keep what is asked for; `better` images more with full SeNPIS."""
    iou, rows = iou or {"CIFAR-10": 0.8, "COVID-19": 0.3}, []
    for half, lost in losses.items():
        for rule in rules:
            for rate, loss, pe in zip(RATES, lost, pes, strict=True):
                right = 90 - loss + (better if rule == FULL else 0)
                part = {"half": half, "rule": rule, "rate": rate, "seed": 1, "image": range(100), "label": 0}
                part |= {"baseline_prediction": (np.arange(100) >= 90).astype(int)}
                part |= {"pruned_prediction": (np.arange(100) >= right).astype(int), "iou": iou[half]}
                low = 0.2 if half == "COVID-19" else 0.0
                rows += [pd.DataFrame(part | {"method": m, "pe": pe + d - low}) for m, d in of_cam.items()]
    return pd.concat(rows, ignore_index=True)


def judged(rows, weak=None, stand_ins=()):
    config = pe_score.configure("quick", bootstrap=200)
    return {claim.claim: claim for claim in claims.judge(config, rows, weak or {}, stand_ins)}


def test_models_that_behave_as_the_paper_says_reproduce_its_claims():
    found = judged(made_up())
    verdicts = {name: claim.verdict for name, claim in found.items()}
    # Of 100 images a fall of no point is no certain fall, and a rise of three no certain rise.
    assert verdicts.pop("P5a") in ("reproduced", "undecided") and verdicts.pop("P7a") in ("reproduced", "undecided")
    assert verdicts.pop("P8") == "not tested here"
    assert set(verdicts.values()) == {"reproduced"}, {name: claim.evidence for name, claim in found.items()}
    assert "SeNPIS-Faster 96% 0.810" in found["P4"].evidence and "Weight 35% 0.900" in found["P3"].evidence
    assert found["P5a"].estimate.value == pytest.approx(3), "from 0 points lost to 3 gained"


CHANGES = {
    "P1a": {"pes": (0.90, 0.88, 0.86, 0.84, 0.70, 0.81)},
    "P2a": {"of_cam": {"grad-cam": -0.1, "grad-cam++": -0.06, "ablation-cam": 0.0}},
    "P2b": {"of_cam": {"grad-cam": -0.02, "grad-cam++": 0.0, "ablation-cam": -0.1}},
    "P3": {"pes": (0.80, 0.78, 0.76, 0.74, 0.73, 0.71)},
    "P4": {"pes": (0.90, 0.88, 0.86, 0.84, 0.83, 0.6)},
    "P5a": {"losses": LOSSES | {"COVID-19": (1, 2, 3, 4, 5, 6)}},
    "P5b": {"pes": (0.90, 0.88, 0.86, 0.84, 0.5, 0.4)},
    "P7a": {"losses": LOSSES | {"CIFAR-10": (0, -20, 3, 4, 6, 10)}},
    "P7b": {"iou": {"CIFAR-10": 0.3, "COVID-19": 0.3}},
    "P7c": {"iou": {"CIFAR-10": 0.8, "COVID-19": 0.8}},
    "P8": {"better": 5, "rules": (WEIGHT, FASTER, FULL)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_claim_falls_with_the_models_that_it_speaks_of(name):
    assert judged(made_up(**CHANGES[name]))[name].verdict == "not reproduced"


def test_a_weak_baseline_tests_nothing():
    found = judged(made_up(), weak={"CIFAR-10": "the baseline's 40.0 % are under the 80 % that claims need"})
    assert found["P1a"].verdict == "not tested here" and "under the 80 %" in found["P1a"].evidence
    assert found["P1b"].verdict == "reproduced"


def test_on_other_data_nothing_is_reproduced():
    found = judged(made_up(), stand_ins=["COVID-19"])
    assert found["P1b"].verdict == "holds on stand-in" and found["P1a"].verdict == "reproduced"


def test_what_a_profile_lacks_is_not_tested():
    rows = made_up(rules=(FASTER,))
    found = judged(rows[rows["half"] == "CIFAR-10"])
    assert {found[name].verdict for name in ("P1b", "P5a", "P5b", "P7c", "P8")} == {"not tested here"}
    assert found["P2a"].verdict == "reproduced"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"halves": []}, "halves must be different data sets, one or more"),
        ({"halves": [["A", "generated-10", 16, 50.0]]}, "A: VGG11 takes images of 32 pixels or more, got 16"),
        ({"halves": [["A", "generated-10", 32, 150.0]]}, "A: the accuracy that claims need is in %"),
        ({"rates": [0.5, 1.0]}, "rates must rise within \\(0, 1\\)"),
        ({"criteria": ["Taylor"]}, "unknown criterion 'Taylor': choose one of Weight, SeNPIS-Faster"),
        ({"criteria": ["Weight", "Weight"]}, "criteria must be different"),
        ({"methods": ["cam"]}, "methods must be taken from"),
        ({"max_accuracy_drop": 1.0}, "max_accuracy_drop is a fraction in \\[0, 1\\)"),
        ({"samples_per_class": 0}, "samples_per_class must be at least 1"),
        ({"bootstrap": 10}, "bootstrap must be 100 resamples or more, got 10"),
        ({"finetuning": [[0, 0.1]]}, "a schedule is"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        pe_score.configure("quick", **overrides)


def test_what_is_no_configuration_is_refused():
    with pytest.raises(TypeError, match="config must be a Config: use pe_score.configure\\('quick'\\)"):
        pe_score.run("quick")


def test_grey_pictures_are_shown_in_three_channels():
    grey = catalog.load("digits", "test").first(3)
    coloured = grey.coloured().resized(32)
    assert coloured.images.shape == (3, 3, 32, 32)
    assert (coloured.images[:, 0] == coloured.images[:, 2]).all()
    two = ImageSet("two", "test", torch.zeros(1, 2, 4, 4, dtype=torch.uint8), torch.zeros(1).long(), ("x",), "made")
    with pytest.raises(ValueError, match="pictures have 1 channel or 3, two has 2"):
        two.coloured()


def test_every_profile_is_a_configuration():
    for profile in ("quick", "laptop", "paper"):
        config = pe_score.configure(profile)
        assert config.rates == RATES and len(config.methods) == 3
    assert (places.package_folder() / "published" / "pe_score.csv").is_file()


EXPECTED = places.project_root() / "tests" / "expected" / "quick" / "pe_score"


def test_the_expected_tables_are_of_this_study(small):
    """Shape and claims; the notebook's own test runs the profile whole."""
    for path in EXPECTED.glob("table_*.csv"):
        assert list(pd.read_csv(path)) == list(small.tables[path.stem.removeprefix("table_")]), path.name
    assert len(list(EXPECTED.glob("table_*.csv"))) == len(small.tables)
    named = ["claim", "sentence", "limit"]
    pd.testing.assert_frame_equal(small.claims[named], pd.read_csv(EXPECTED / "claims.csv")[named])
    costs = pd.read_csv(EXPECTED / "table_costs.csv").groupby("rate")["parameters"].first()
    # By hand: the first layer's 8 filters of 3 channels lose round(0.35 * 8) = 3, and so on through the network.
    left = [n - min(round(0.35 * n), n - 1) for n in (8, 16, 32, 32, 64, 64, 64, 64, 32, 32)]
    fans = [27, *(9 * n for n in left[:7]), left[7], left[8], left[9]]
    weights = sum(out * fan + out for out, fan in zip([*left, 10], fans, strict=True))
    assert costs[0.35] == weights + 2 * sum(left[:8])  # and BatchNorm's two per filter
