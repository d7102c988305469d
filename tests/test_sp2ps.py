"""The Sp2PS study against hand-made counts, plain formulas and made-up scores."""

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from pruncam import cams, metrics, networks, pruning, scoring
from pruncam._core import paths
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress
from pruncam._core.store import Store
from pruncam._nn.probe import profile_forward
from pruncam.datasets import ImageSet, catalog
from pruncam.datasets.marks import mark_mask, plant_marks, relabel_by_marks
from pruncam.profiles import DatasetSpec
from pruncam.report import claims as claim_report
from pruncam.scoring.controls import SHUFFLED
from pruncam.studies import cached_trainer, diagnostics, figures, samples, sp2ps
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.experiment import CHANCE, FLOOR, Variant
from pruncam.studies.original_data import stands_in
from pruncam.studies.sp2ps import figure_images, highlights, published
from pruncam.studies.sp2ps.experiment import L1, RANDOM, Sp2psExperiment
from pruncam.studies.sp2ps.shortcut import CONTROL, MISLED, UNMOVED, Shortcut
from pruncam.studies.sp2ps.study import Sp2psStudy

SMALL = {
    "datasets": [
        {"paper": "CIFAR-10", "source": "generated-10", "size": 32, "width": 4},
        {"paper": "STL-10", "source": "generated-10-96", "size": 96, "width": 2},
    ],
    "train_images": 60,
    "test_images": 20,
    "baseline": [[2, 0.005]],
    "finetuning": [[1, 0.01]],
    "random_seeds": [1, 2],
    "shortcut": {"paper": "CIFAR-10", "source": "generated-10", "size": 32, "width": 4},
    "misleading": [[2, 0.005]],
    "sensitivity_images": 5,
    "bootstrap": 100,
}
MODELS = {L1: 4, RANDOM: 8, FLOOR: 1, CHANCE: 1}  # of one half under SMALL


def run(cache, **overrides):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(cache))
        return sp2ps.run(
            sp2ps.configure("quick", **(SMALL | overrides)), False, machine=Machine("cpu", jobs=2)
        )


@pytest.fixture(scope="module")
def small(cache):
    return run(cache)


@pytest.fixture(scope="module")
def cifar(cache, small):
    """The first half with the models of `small`, which are all in the cache."""
    config = small.config
    splits = {"train": 60, "test": 20}
    sets = [catalog.load("generated-10", split, at_most=n) for split, n in splits.items()]
    return Sp2psExperiment(config, config.datasets[0], *sets, trainer_in(cache))


def trainer_in(folder):
    return CachedTrainer(Store(folder), torch.device("cpu"), Progress("", "epoch", False))


# ---------------------------------------------------------------- a run


def test_the_steps_of_a_run_are_known_before_it(small, cache, planned_epochs):
    study = Sp2psStudy(small.config, machine=Machine("cpu"), progress=False)
    # Both data sets: two epochs of the baseline; four L1 and eight random models, and fine-tuning
    # alone. Then two epochs each of the shortcut and its control.
    assert planned_epochs(study, small, cache) == 2 * (2 + 12 + 1) + 2 * 2


def test_a_run_gives_every_table_figure_and_claim(small):
    numbered = [str(number) for number in range(1, 14)]
    assert list(small.drawings) == [*numbered, "shortcut"]
    named = {"curves", "drops", "controls", "sensitivity", "costs", "times"}
    named |= {"object_hits", "shortcut", "highlights", "score_agreement"}
    assert {"1", "2", "3", *named} <= set(small.tables)
    assert small.claims["claim"].tolist() == list(claim_report.read_statements("sp2ps"))
    estimated = small.claims[small.claims["value"].notna()]
    assert estimated[["at_floor", "at_chance"]].notna().all(axis=None)
    assert set(small.claims["verdict"]) <= {
        "holds on stand-in",
        "fails on stand-in",
        "undecided",
        "not tested here",
    }
    assert small.stable_lines == [
        f"{name}: a baseline and 14 models "
        "(4 L1, 8 Random, 1 fine-tuned, not pruned, 1 random weights), 20 test images"
        for name in ("generated-10 (for CIFAR-10)", "generated-10-96 (for STL-10)")
    ]


def test_every_model_is_in_the_tables_once(small):
    table = small.tables["models"]
    assert len(table) == 2 * sum(MODELS.values()) and (table["images"] == 20).all()
    for rule, count in MODELS.items():
        assert (table["rule"] == rule).sum() == 2 * count
    assert np.allclose(table["baseline"] - table["accuracy"], table["acc_drop"])
    curves = small.tables["curves"]
    assert len(curves) == 2 * 3 * (4 + 4 + 1 + 1)
    assert (curves["sp2ps_low"] <= curves["sp2ps"]).all() and (
        curves["sp2ps"] <= curves["sp2ps_high"]
    ).all()
    assert curves["sp2ps_sd"].notna().sum() == 2 * 3 * 4, "only Random has several seeds"


def test_the_unpruned_networks_accuracy_has_an_interval_in_table_and_figure(small):
    curves = small.tables["curves"]
    row = curves[(curves["dataset"] == "CIFAR-10") & (curves["rule"] == L1)].iloc[0]
    test = stats.binomtest(round(20 * row["baseline"] / 100), 20)
    interval = test.proportion_ci(method="wilson")
    expected = [100 * interval.low, 100 * interval.high]
    assert row[["baseline_low", "baseline_high"]].tolist() == pytest.approx(expected)
    bars = small.drawings["10"].figure.axes[0].containers[0].lines[2][0].get_segments()
    (rate, low), (_, high) = bars[0]
    assert (rate, low, high) == pytest.approx((0, *expected))
    assert len(bars) == 5 and all(top > bottom for (_, bottom), (_, top) in bars)


def test_a_second_run_trains_and_scores_nothing(small, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(
        cached_trainer, "fit", lambda *_, **__: pytest.fail("a model was trained again")
    )
    monkeypatch.setattr(scoring, "stream", lambda *_, **__: pytest.fail("a model was scored again"))
    monkeypatch.setenv("PRUNCAM_PROGRESS", str(tmp_path / "progress"))
    again = run(cache)
    for name, table in small.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)
    assert again.manifest["steps"] == again.manifest["steps_from_cache"]
    # For each data set two for the baseline and one per fine-tuned model; then two moved models.
    epochs = 2 * (2 + 4 + 8 + 1) + 2 * 2
    assert (tmp_path / "progress").read_text() == f"sp2ps: {epochs}/{epochs} epochs"


def test_the_stages_hold_every_step_of_a_run(small, cache, steps_outside_stages):
    assert steps_outside_stages(Sp2psStudy, small.config, cache) == {"sp2ps-times"}


def test_a_data_set_alone_on_a_fresh_cache_gives_the_same_to_the_bit(small, tmp_path):
    again = run(tmp_path, datasets=SMALL["datasets"][:1])
    assert again.manifest["steps_from_cache"] == 0
    # Timings differ, and numbers of both data sets stand beside the published ones.
    for name in small.tables.keys() - {"times", "published"}:
        table = small.tables[name]
        if "dataset" in table:
            table = table[table["dataset"] == "CIFAR-10"].reset_index(drop=True)
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)


def test_pruned_models_keep_their_zeros_through_fine_tuning(cifar):
    for variant in cifar.variants:
        model = cifar.model(variant)
        assert pruning.sparsity(model) == pytest.approx(variant.rate, abs=1e-3)
        weights = [layer.weight for layer in pruning.prunable(model).values()]
        before = [layer.weight for layer in pruning.prunable(cifar.baseline).values()]
        moved = sum(int((a != b).sum()) for a, b in zip(weights, before, strict=True))
        assert moved > 0.9 * (1 - variant.rate) * sum(w.numel() for w in weights), (
            "nothing was fine-tuned"
        )


def test_the_first_seed_of_random_prunes_others_than_the_second(cifar):
    one, other = (pruning.masks(cifar.model(Variant(RANDOM, 0.6, seed))) for seed in (1, 2))
    assert any((one[name] != other[name]).any() for name in one)


def test_rows_are_what_scoring_gives_of_the_same_models(cifar, small):
    variant = Variant(L1, 0.8, 1)
    x = (cifar.test.images.float() / 255 - 0.5) / 0.5
    a, b = (
        cams.heatmaps(m, x, method="grad-cam++") for m in (cifar.baseline, cifar.model(variant))
    )
    drops = small.tables["drops"]
    chosen = (drops["dataset"] == "CIFAR-10") & (drops["rule"] == L1) & (drops["rate"] == 0.8)
    row = drops[chosen & (drops["method"] == "grad-cam++")].iloc[0]
    assert row["sp2ps_drop"] == pytest.approx(
        100 * (1 - metrics.sp2ps(a, b).mean().item()), abs=1e-3
    )
    with torch.no_grad():
        right = [
            (m(x).argmax(1) == cifar.test.labels).float().mean().item()
            for m in (cifar.baseline, cifar.model(variant))
        ]
    assert row["acc_drop"] == pytest.approx(100 * (right[0] - right[1]), abs=1e-3)


def test_saving_writes_every_figure_and_table(small, tmp_path, coarse_figures):
    folder = small.save(tmp_path)
    assert len(list(folder.glob("figure_*.png"))) == 14
    assert len(list(folder.glob("table_*.csv"))) == len(small.tables)


# ---------------------------------------------------------------- printed values beside ours


def test_the_printed_tables_are_those_of_the_paper():
    table = published.drops()
    assert table.groupby("method").size().to_dict() == {
        "ablation-cam": 6,
        "grad-cam": 6,
        "grad-cam++": 6,
    }
    by = table.set_index(["method", "place"])
    assert by.loc[("ablation-cam", 5), ["acc_drop", "sp2ps_drop"]].tolist() == [1.60, 35.01]
    assert by.loc[("grad-cam", 6), ["pe_paper_acc_drop", "pe_drop"]].tolist() == [6.50, 31]
    assert by.loc[("grad-cam++", 1), ["acc_drop", "sp2ps_drop"]].tolist() == [0.13, 2.30]
    # Two of the printed rows contradict the text, which says that Sp2PS_drop rises.
    fall = table.groupby("method")["sp2ps_drop"].apply(lambda values: (values.diff() < 0).sum())
    assert fall.to_dict() == {"ablation-cam": 1, "grad-cam": 1, "grad-cam++": 0}


def test_a_printed_row_stands_beside_our_model_of_the_nearest_accuracy_drop():
    ours = pd.DataFrame(
        {
            "method": "grad-cam",
            "rule": [L1, L1, L1, RANDOM],
            "rate": [0.2, 0.4, 0.6, 0.2],
            "acc_drop": [0.0, 0.7, 1.45, 8.0],
            "sp2ps_drop": [3.0, 11.0, 17.0, 60.0],
            "pe_drop": [1.0, 2.0, 3.0, 4.0],
        }
    )
    table = published.table_beside_ours(ours, "grad-cam")
    assert table["acc_drop"].tolist() == [0.19, 0.58, 0.8, 1.49, 1.6, 6.77]
    # The last is 1.23 points away from our nearest, too far.
    expected = [0.0, 0.7, 0.7, 1.45, 1.45, np.nan]
    np.testing.assert_array_equal(table["acc_drop_ours"], expected)
    np.testing.assert_array_equal(table["sp2ps_drop_ours"], [3, 11, 11, 17, 17, np.nan])
    assert table["rate"].tolist()[:5] == [0.2, 0.4, 0.4, 0.6, 0.6]
    none = published.table_beside_ours(ours.iloc[:0], "grad-cam")
    assert len(none) == 6 and none["sp2ps_drop_ours"].isna().all()


def test_our_drops_have_intervals_and_agree_with_the_table_of_models(small):
    table = small.tables["1"].dropna(subset="acc_drop_ours")
    models = small.tables["models"]
    of_cifar = models[(models["dataset"] == "CIFAR-10") & models["rule"].isin([L1, RANDOM])]
    by_model = of_cifar.groupby(["rule", "rate"])["acc_drop"].mean()
    for row in table.itertuples():
        assert row.acc_drop_ours == pytest.approx(by_model[row.rule, row.rate])
        assert abs(row.acc_drop_ours - row.acc_drop) <= published.NEAR
        assert row.acc_drop_low_ours <= row.acc_drop_ours <= row.acc_drop_high_ours


def test_every_printed_number_has_ours_beside_it(small):
    table = small.tables["published"].set_index("quantity")
    assert len(table) == 4 + 3 * 6 * 2
    baseline = small.tables["models"].groupby("dataset")["baseline"].first()
    cifar = table.loc["accuracy of the unpruned network, CIFAR-10"]
    assert cifar["published"].tolist() == [93.78, 91.82]
    assert (cifar["ours"] == baseline["CIFAR-10"]).all()
    third = table.loc["Sp2PS_drop, PR3, grad-cam++"]
    ours = small.tables["3"]["sp2ps_drop_ours"][2]
    assert third["published"] == 7.34
    assert third["ours"] == pytest.approx(ours, nan_ok=True)
    assert third["difference"] == pytest.approx(ours - 7.34, nan_ok=True)


def test_a_run_without_the_data_set_of_the_tables_has_empty_ones(cache):
    (_, of_stl) = SMALL["datasets"]
    result = run(cache, datasets=[of_stl])
    assert result.tables["1"]["acc_drop_ours"].isna().all()
    assert result.tables["reading_ranks"].empty
    of_cifar = result.claims["sentence"].str.contains("CIFAR-10")
    assert (result.claims.loc[of_cifar, "verdict"] == "not tested here").all()


def test_the_printed_accuracy_is_drawn_at_rate_zero():
    assert published.accuracy_of("CIFAR-10") == ([0.0], [93.78])
    assert published.accuracy_of("STL-10") == ([0.0], [77.59])
    assert published.accuracy_of("digits") == ([], [])


# ---------------------------------------------------------------- figures


def test_figure_3_shows_the_papers_networks_and_those_that_are_run(small):
    (axes,) = small.drawings["3"].figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("the paper") == 2
    ours = {"this run: generated-10 (for CIFAR-10)", "this run: generated-10-96 (for STL-10)"}
    assert ours | {"3 x 32 x 32", "3 x 96 x 96"} <= set(texts)
    assert {"128", "1024, max 2", "32, max 2", "256, max 2"} <= set(texts), "the paper's filters"
    assert {"4", "2, max 2", "16, max 2"} <= set(texts), "filters of widths 4 and 2"
    # The last convolutions are not padded (Sp2PS, Figure 3): maps end at one cell, not at 2 or 3.
    assert texts.count("1 x 1") == 4


def test_captions_name_the_images_that_are_shown(small):
    captions = [small.drawings[number].caption for number in ("10", "12")]
    assert "on generated-10 (for CIFAR-10) with L1" in captions[0]
    assert "on generated-10-96 (for STL-10) with L1" in captions[1]


def test_figure_1_has_every_heatmap_alone_and_over_the_image(small):
    panels = small.drawings["1"].figure.axes
    assert len(panels) == 2 * 4
    images = [np.asarray(panel.images[0].get_array()) for panel in panels]
    assert (images[4] == 1).all(), "the place under the image is blank"
    for alone, over in zip(images[1:4], images[5:8], strict=True):
        grey = images[0].mean(2, keepdims=True)
        assert np.allclose(over, (alone + grey) / 2)


def with_hidden_images(experiment):
    """Return the experiment with images that may not be published, the last class one of cats."""
    classes = (*experiment.test.classes[:-1], "cat")
    test = dataclasses.replace(experiment.test, showable=False, classes=classes)
    hidden = dataclasses.replace(experiment, test=test)
    hidden.models.update(experiment.models)
    return hidden


def test_a_photograph_stands_in_for_images_that_may_not_be_published(cifar, monkeypatch):
    hidden = with_hidden_images(cifar)
    cat = hidden.test.classes.index("cat")
    monkeypatch.setattr(figure_images, "_predicted", lambda *_: cat)
    image = figure_images.figure_image(hidden, "car")
    assert image.description == "a photograph that is not of the data set (class cat)"
    assert image.sample.image.shape == (32, 32, 3)
    assert "CC0" in image.sample.acknowledgement
    assert image.sample.maps["grad-cam"][L1].shape == (5, 32, 32)
    monkeypatch.setattr(figure_images, "_predicted", lambda *_: 0)
    description = figure_images.figure_image(hidden, "car").description
    assert description.endswith(f"(class cat, for the unpruned network {hidden.test.classes[0]})")


def test_without_a_class_of_cats_the_image_stays_blank(cifar):
    hidden = with_hidden_images(cifar)
    test = dataclasses.replace(hidden.test, classes=cifar.test.classes)
    without_cats = dataclasses.replace(hidden, test=test)
    without_cats.models.update(cifar.models)
    image = figure_images.figure_image(without_cats, "car")
    assert image.sample.image is None
    assert image.description == f"test image {image.sample.index} (class {image.sample.label})"


def test_images_that_may_not_be_published_are_not_shown(cifar):
    shown, hidden = (
        samples.sample(
            dataclasses.replace(cifar, test=dataclasses.replace(cifar.test, showable=showable)), 3
        )
        for showable in (True, False)
    )
    assert shown.image.shape == (32, 32, 3) and hidden.image is None
    assert hidden.maps["grad-cam"][L1].shape == (5, 32, 32)
    images = (
        figures.by_rate(hidden, cifar.config.rates, hidden.maps["grad-cam"])
        .axes[0]
        .images[0]
        .get_array()
    )
    assert (np.asarray(images) == 1).all(), "the place of the image must be blank"


def map_with_a_pixel(brightness):
    heatmap = np.zeros((1, 32, 32))
    heatmap[0, 3, 5] = brightness
    return heatmap


def test_an_image_with_an_empty_map_is_not_shown_where_there_is_another(cifar, monkeypatch):
    with torch.no_grad():
        predicted = cifar.baseline(cifar.network_input(cifar.test.images)).argmax(1)
    right = (predicted == cifar.test.labels).nonzero()[:, 0].tolist()
    label = max(
        range(10), key=lambda label: sum(cifar.test.labels[index] == label for index in right)
    )
    ours = [index for index in right if cifar.test.labels[index] == label]
    for empty, chosen in ((0, ours[0]), (1, ours[min(1, len(ours) - 1)]), (99, ours[0])):
        brightness = iter([0.0] * empty + [1.0] * 99)
        monkeypatch.setattr(
            samples, "_maps", lambda *_, of=brightness: {"grad-cam": map_with_a_pixel(next(of))}
        )
        assert samples.choose_of_class(cifar, cifar.test.classes[label]) == chosen


def test_the_surest_image_is_the_right_answer_of_the_highest_confidence(cifar, monkeypatch):
    with torch.no_grad():
        confidence, predicted = (
            cifar.baseline(cifar.network_input(cifar.test.images)).softmax(1).max(1)
        )
    right = (predicted == cifar.test.labels).nonzero()[:, 0].tolist()
    first, second, *_ = sorted(right, key=lambda index: -confidence[index])
    for empty, chosen in ((0, first), (1, second), (99, first)):
        brightness = iter([0.0] * empty + [1.0] * 99)
        monkeypatch.setattr(
            samples, "_maps", lambda *_, of=brightness: {"grad-cam": map_with_a_pixel(next(of))}
        )
        assert samples.most_confident(cifar) == chosen


# ---------------------------------------------------------------- choices, truth


def test_the_last_convolution_of_every_size_is_returned():
    profile = profile_forward(networks.cifar_net(width=4).eval(), torch.zeros(1, 3, 32, 32))
    assert profile.last_convolutions() == {
        "features.3": (32, 32),
        "features.10": (16, 16),
        "features.17": (8, 8),
        "features.21": (2, 2),
    }


def test_hits_by_hand():
    maps = torch.tensor([[[0.0, 1.0], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0]]])
    objects = torch.tensor([[[False, True], [True, False]], [[True, False], [False, False]]])
    hits = diagnostics.hits_by_image(maps, objects)
    assert hits["energy"][0] == 0.75 and hits["energy"][1].isnan()
    assert hits["pointing"][0] == 1 and hits["pointing"][1].isnan()
    assert hits["iou_object"].tolist() == [
        0.5,
        0.0,
    ]  # above the mean 0.5: one pixel, of two in the object
    assert hits["object_area"].tolist() == [0.5, 0.25]


def test_highlights_by_hand():
    baseline = torch.tensor([[[1.0, 0.5], [0.0, 0.2]], [[0.0, 0.0], [0.0, 0.0]]])
    maps = torch.tensor([[[0.6, 0.2], [1.0, 0.6]], [[0.0, 1.0], [0.0, 0.0]]])
    measured = highlights.measures(maps, baseline)
    assert measured["area"][0] == 0.75
    assert measured["intensity"][0] == pytest.approx(0.6)
    assert measured["intensity_within"][0] == pytest.approx(0.4)  # of 0.6 and 0.2
    assert all(values[1].isnan() for values in measured.values()), "an empty map has none"


def test_highlights_of_models_are_those_of_their_maps(cifar, small):
    x = cifar.network_input(cifar.few_test_images().images)
    variant = Variant(L1, 0.8, 1)
    before, after = (
        cams.heatmaps(model, x, method="ablation-cam")
        for model in (cifar.baseline, cifar.model(variant))
    )
    expected = highlights.measures(after, before)
    rows = highlights.highlights_by_image(cifar)
    is_model = (rows["rule"] == L1) & (rows["rate"] == 0.8) & (rows["method"] == "ablation-cam")
    for measure in highlights.MEASURES:
        values = rows.loc[is_model, measure].to_numpy()
        np.testing.assert_allclose(values, expected[measure].numpy(), atol=1e-6)
    table = small.tables["highlights"].set_index(["dataset", "rule", "rate", "method"])
    row = table.loc["CIFAR-10", L1, 0.8, "ablation-cam"]
    assert row["area"] == pytest.approx(np.nanmean(expected["area"]), abs=1e-6)
    assert row["images"] + round(row["empty"] * 5) == 5
    assert row["area_low"] <= row["area"] <= row["area_high"]
    unpruned = table.loc["CIFAR-10", "unpruned", 0.0, "ablation-cam"]
    assert unpruned["intensity_within"] >= 0.5


def test_highlights_are_paired_on_the_images_that_all_have_maps():
    values = {  # by rule: the area of four images
        L1: [0.1, 0.2, 0.3, np.nan],
        FLOOR: [0.2, np.nan, 0.4, 0.5],
        CHANCE: [np.nan, np.nan, np.nan, 0.9],
        SHUFFLED: [0.6, 0.6, 0.8, 0.8],
    }
    parts = []
    for rule, areas in values.items():
        key = {"dataset": "A", "rule": rule, "rate": 0.2 if rule == L1 else 0.0, "seed": 1}
        measured = dict.fromkeys(highlights.MEASURES, areas)
        parts.append(pd.DataFrame(key | {"method": "grad-cam", "image": range(4)} | measured))
    rows = pd.concat(parts, ignore_index=True)
    model = ("A", L1, 0.2)
    paired = highlights.Highlights([rows, rows]).paired([model], "grad-cam", "area")
    assert paired.models[model].tolist() == [[0.1, 0.3]] * 2
    assert paired.floor.tolist() == [[0.2, 0.4]] * 2
    assert paired.chance.tolist() == [[0.6, 0.8]] * 2, "most random networks have no maps"
    no_floor = highlights.Highlights([rows[rows["rule"] != FLOOR]])
    assert no_floor.paired([model], "grad-cam", "area") is None


def test_the_agreement_of_two_scores_within_ssim(small):
    table = small.tables["score_agreement"]
    assert len(table) == 2 * 3 * (4 + 4)
    assert (table["images"] == 20).all()
    assert table["spearman"].dropna().between(-1, 1).all()


def test_costs_count_what_is_left(small):
    table = small.tables["costs"]
    for _, part in table.groupby("dataset"):
        assert len(set(part["parameters"])) == 1 and len(set(part["flops"])) == 1
        assert part["nonzero"].is_monotonic_decreasing
        assert np.allclose(part["sparsity"], part["rate"], atol=1e-3)


def test_a_set_is_resized_with_its_objects():
    images = catalog.load("generated-10", "test", at_most=20)
    larger = images.resized(96)
    assert larger.images.shape == (20, 3, 96, 96) and larger.objects.shape == (20, 96, 96)
    assert "resized from 32 to 96 pixels" in larger.provenance
    assert (larger.images.float().mean((2, 3)) - images.images.float().mean((2, 3))).abs().max() < 2
    share = larger.objects.float().mean((1, 2)) / images.objects.float().mean((1, 2))
    assert (share - 1).abs().max() < 0.1
    assert images.resized(32) is images


def test_marks_agree_lie_or_tell_the_label():
    images = catalog.load("generated-10", "test", at_most=100)
    mark = mark_mask(32)
    agreeing, lying, told = (
        plant_marks(images, 1.0),
        plant_marks(images, 0.0),
        relabel_by_marks(images),
    )
    colours = {int(label): agreeing.images[k][:, 0, 0] for k, label in enumerate(images.labels)}
    assert len({tuple(colour.tolist()) for colour in colours.values()}) == 10
    for k, label in enumerate(images.labels.tolist()):
        assert (lying.images[k][:, 0, 0] != colours[label]).any()
        assert (told.images[k][:, 0, 0] == colours[int(told.labels[k])]).all()
    for marked in (agreeing, lying, told):
        assert (marked.images[..., ~mark] == images.images[..., ~mark]).all(), (
            "only the corner is painted"
        )
    assert (told.labels != images.labels).float().mean() > 0.7 and (
        lying.labels == images.labels
    ).all()
    half_of_them = plant_marks(images, 0.5).images[..., 0, 0] == agreeing.images[..., 0, 0]
    assert 30 < half_of_them.all(1).sum() < 70
    with pytest.raises(
        ValueError, match="agreement must be a share of the labels in \\[0, 1\\], got 2"
    ):
        plant_marks(images, 2)


def test_the_structured_reading_prunes_whole_filters(tmp_path):
    config = sp2ps.configure("quick", **(SMALL | {"pruning": "filters"}))
    sets = [catalog.load("generated-10", split, at_most=20) for split in ("train", "test")]
    made = Sp2psExperiment(config, config.datasets[0], *sets, trainer_in(tmp_path))
    for rule in (L1, RANDOM):
        model = made.model(Variant(rule, 0.4, 1))
        layers = list(pruning.prunable(model).values())
        zero = [(layer.weight == 0).flatten(1).all(1) for layer in layers]
        assert sum(int(rows.sum()) for rows in zero) == round(
            0.4 * sum(len(rows) for rows in zero[:-1])
        )
        assert not zero[-1].any() and not any(rows.all() for rows in zero)
        partly = [
            ((layer.weight == 0).flatten(1).any(1) & ~rows).any()
            for layer, rows in zip(layers, zero, strict=True)
        ]
        assert not any(partly)


def test_the_structured_reading_is_saved_beside_the_other(tmp_path):
    config = sp2ps.configure("quick", **(SMALL | {"pruning": "filters"}))
    assert Sp2psStudy(config, progress=False).result_name == "sp2ps-filters"
    assert Sp2psStudy(sp2ps.configure("quick", **SMALL), progress=False).result_name == "sp2ps"


def test_a_fifth_of_the_filters_of_the_papers_first_layer_leaves_102(tmp_path):
    layer = nn.Sequential(nn.Conv2d(3, 128, 3), nn.Flatten(), nn.Linear(4, 2))
    pruned = pruning.global_structured(layer, 0.2, method="l1", seed=0)
    left = (pruned[0].weight != 0).flatten(1).any(1).sum()
    assert left == 102  # Sp2PS, Section 3.3


def test_the_time_of_a_pass_is_measured_for_every_rate(small):
    table = small.tables["times"]
    assert table.groupby("dataset")["rate"].apply(list).tolist() == [[0.0, 0.2, 0.4, 0.6, 0.8]] * 2
    assert (table["milliseconds"] > 0).all()


@pytest.mark.parametrize("right", [([1, 2, 3], [2, 3, 4], [0, 2, 3]), ([], [], [])])
def test_the_marked_image_is_the_one_whose_mark_the_baseline_looks_at_least(
    cifar, monkeypatch, right
):
    few = dataclasses.replace(cifar, test=cifar.test.first(6))
    moved = Shortcut(few, dict.fromkeys((CONTROL, MISLED)))
    names = iter(right)
    shares = [0.1, 0.0, 0.3, 0.2, 0.4, 0.0]  # of the mark; the last map is empty

    def explain(model, x, methods, target_layer):
        maps = torch.zeros(6, 32, 32)
        maps[:, 0, 0], maps[:, 20, 20] = torch.tensor(shares), 1 - torch.tensor(shares)
        maps[5] = 0
        wrong = [number not in here for number, here in enumerate([next(names)] * 6)]
        targets = (moved.agreeing.labels + torch.tensor(wrong)) % 10
        return cams.Explanation(dict.fromkeys(methods, maps), torch.zeros(6, 10), targets)

    monkeypatch.setattr(cams, "explain", explain)
    sample = moved.sample()
    chosen = 3 if any(right) else 1  # of 2 and 3, which all get right; of all where there are none
    assert np.array_equal(
        sample.image, moved.agreeing.images[chosen].permute(1, 2, 0).numpy() / 255
    )
    assert list(sample.maps) == [UNMOVED, CONTROL, MISLED] and sample.maps[MISLED]["grad-cam"][
        0, 0
    ] == pytest.approx(shares[chosen])


# ---------------------------------------------------------------- further baselines


def with_two_baselines(**spec):
    dataset = {"paper": "CIFAR-10", "source": "generated-10", "size": 32, **spec}
    return sp2ps.configure(
        "quick",
        datasets=[dataset],
        shortcut=dataset,
        train_images=60,
        test_images=40,
        rates=[0.5],
        baseline=[[1, 0.01]],
        baseline_seeds=[7],
        misleading=[[1, 0.01]],
        methods=["grad-cam"],
        sensitivity_images=3,
    )


def test_a_further_baseline_is_trained_with_its_own_seed_and_scored_against_itself(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(tmp_path))
        study = Sp2psStudy(with_two_baselines(width=4), machine=Machine("cpu"), progress=False)
        result = study.run()
    (first,), (second,) = study.experiments, study.replicates
    assert not torch.equal(first.baseline.classifier.weight, second.baseline.classifier.weight)
    table = result.tables["baselines"]
    assert set(table["baseline"]) == {1, 2}
    rows = second.scores()
    l1 = rows[rows["rule"] == "L1"]
    row = table[(table["baseline"] == 2) & (table["rule"] == "L1")].iloc[0]
    assert row["sp2ps"] == pytest.approx(l1["sp2ps"].mean())
    assert row["baseline_accuracy"] == pytest.approx(second.baseline_accuracy)
    assert result.manifest["models"] == 2 * (1 + len(first.variants)) + 2  # and the shortcut's two


def test_a_further_baseline_needs_the_images_of_the_reference_network(tmp_path):
    config = with_two_baselines(width=12, weights="cifar-net-generated-10")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(tmp_path))
        with pytest.raises(ValueError, match="all of them: set train_images to null"):
            sp2ps.run(config, False, machine=Machine("cpu"))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"datasets": []}, "datasets must be different data sets, one or more"),
        (
            {"datasets": [{"paper": "A", "source": "generated-10", "size": 64, "width": 4}]},
            "A: the networks take images of 32 or 96 pixels, got 64",
        ),
        (
            {"datasets": [{"paper": "A", "source": "generated-10", "size": 32, "width": 0}]},
            "A: width must be at least 1 filter, got 0",
        ),
        (
            {"datasets": [{"paper": "A", "source": "generated-10", "replicate_cycles": 1}]},
            "A: replicate_cycles needs the weights of a network",
        ),
        (
            {"datasets": [{"paper": "A", "source": "generated-10", "replicate_cycles": 0}]},
            "A: replicate_cycles must be at least 1 cycle, got 0",
        ),
        ({"rates": [0.4, 0.2]}, "rates must rise within \\(0, 1\\)"),
        ({"rates": [0.5, 1.0]}, "rates must rise within \\(0, 1\\)"),
        ({"random_seeds": []}, "random_seeds must be different .* one or more"),
        ({"methods": ["cam"]}, "methods must be taken from grad-cam, grad-cam\\+\\+, ablation-cam"),
        ({"bootstrap": 10}, "bootstrap must be 100 resamples or more, got 10"),
        ({"finetuning": [[0, 0.1]]}, "a schedule is"),
        ({"pruning": "layers"}, "unknown pruning 'layers'"),
        ({"misleading": [[1, 0.0]]}, "a schedule is"),
        (
            {"shortcut": {"paper": "A", "source": "generated-10", "size": 48, "width": 4}},
            "A: the networks take images of 32 or 96 pixels, got 48",
        ),
        ({"hlaves": []}, "sp2ps: no parameter hlaves"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        sp2ps.configure("quick", **overrides)


def test_grey_images_get_three_equal_channels():
    study = Sp2psStudy(sp2ps.configure("quick", **SMALL), progress=False)
    spec = DatasetSpec(paper="CIFAR-10", source="digits", size=32, width=4)
    images = study.load_split(spec, "test").images
    assert images.shape[1:] == (3, 32, 32)
    assert (images == images[:, :1]).all()


def test_another_type_of_configuration_is_refused():
    message = "config must be a Sp2psConfig: use sp2ps.configure\\('quick'\\)"
    with pytest.raises(TypeError, match=message):
        sp2ps.run("quick")


@pytest.mark.parametrize(
    ("name", "original", "counts", "expected"),
    [
        ("cifar10", True, (50_000, 10_000), False),
        ("cifar10", False, (50_000, 10_000), True),  # all images, but re-encoded
        ("cifar10", True, (20_000, 10_000), True),
        ("generated-10", True, (50_000, 10_000), True),
    ],
)
def test_a_set_of_other_pixels_or_size_stands_in(name, original, counts, expected):
    def made(count):
        images = torch.zeros(count, 3, 2, 2, dtype=torch.uint8)
        return ImageSet(
            name,
            "test",
            images,
            torch.zeros(count).long(),
            ("x",),
            "not the original",
            original=original,
        )

    train, test = map(made, counts)
    assert stands_in("CIFAR-10", train, test) is expected
    assert not made(4).resized(3).original, "resized pixels are others"


def test_every_profile_is_a_configuration():
    for profile in ("quick", "overnight", "paper"):
        config = sp2ps.configure(profile)
        assert config.rates == (0.2, 0.4, 0.6, 0.8) and len(config.methods) == 3
    assert (paths.package_folder() / "published" / "sp2ps.csv").is_file()
    assert isinstance(networks.stl_net(), nn.Module)


# ---------------------------------------------------------------- the quick profile

EXPECTED = paths.project_root() / "tests" / "expected" / "quick" / "sp2ps"


def test_the_quick_profile_agrees_with_the_expected_tables(tmp_path):
    """Compare the data set of small images: counts exactly, trained values within limits.

    Another processor adds in another order, which training amplifies.
    """
    spec, *_ = sp2ps.configure("quick").datasets
    with pytest.MonkeyPatch.context() as patch:
        # The fresh cache of `make test`, which the notebook shares: each step is computed once.
        patch.setenv("PRUNCAM_CACHE", os.environ.get("PRUNCAM_CACHE", str(tmp_path)))
        result = sp2ps.run(
            sp2ps.configure("quick", datasets=(spec,)), False, machine=Machine("cpu")
        )

    def expected(name):
        table = pd.read_csv(EXPECTED / f"{name}.csv")
        return (
            table[table["dataset"] == spec.paper].reset_index(drop=True)
            if "dataset" in table
            else table
        )

    ours, exact = result.tables["models"], ["dataset", "rule", "rate", "seed", "images"]
    pd.testing.assert_frame_equal(ours[exact], expected("table_models")[exact], check_exact=True)
    # The shipped network: the same on every processor, but for an image at the edge of two classes.
    assert ours["baseline"][0] >= 95
    assert abs(ours["baseline"][0] - expected("table_models")["baseline"][0]) <= 1
    for name in ("costs", "curves"):
        table = expected(f"table_{name}")
        assert list(table) == list(result.tables[name]) and len(table) == len(result.tables[name])
    costs, ours = expected("table_costs"), result.tables["costs"]
    pd.testing.assert_frame_equal(
        ours.drop(columns="nonzero"), costs.drop(columns="nonzero"), rtol=1e-3
    )
    assert (ours["nonzero"] - costs["nonzero"]).abs().max() <= 3  # a weight may be trained to zero
    moved = result.tables["shortcut"]
    moved = moved[moved["method"] == "grad-cam"].set_index("model")
    assert moved.loc[MISLED, "accuracy_agreeing"] > 80 and moved.loc[MISLED, "accuracy_lying"] < 15
    assert moved.loc[MISLED, "energy_mark"] > 2 * moved.loc[CONTROL, "energy_mark"]
    assert moved.loc[MISLED, "sp2ps"] < moved.loc[CONTROL, "sp2ps"] - 0.1
    assert moved.loc[UNMOVED, "sp2ps"] == pytest.approx(1, abs=1e-6)
    named = ["claim", "sentence", "limit"]
    pd.testing.assert_frame_equal(result.claims[named], expected("claims")[named])
