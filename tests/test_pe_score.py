"""The PE-score study: sizes after pruning, the choice of a rate, claims on artificial scores."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from pruncam import cams, cost, metrics, networks, pruning, scoring
from pruncam._core import paths
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress
from pruncam._core.store import Store
from pruncam.datasets import DataError, ImageSet, catalog
from pruncam.datasets.marks import plant_marks
from pruncam.profiles import DatasetSpec
from pruncam.scoring.controls import CHANCE, FLOOR, SHUFFLED
from pruncam.studies import cached_trainer, pe_score
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.experiment import BASELINE, Variant
from pruncam.studies.pe_score import cited, localisation, map_intensity, published, shortcut
from pruncam.studies.pe_score.config import FASTER, WEIGHT
from pruncam.studies.pe_score.experiment import PeScoreExperiment
from pruncam.studies.pe_score.initial_weights import read_state_dict
from pruncam.studies.pe_score.map_intensity import relative_intensity
from pruncam.studies.pe_score.rate_selection import choose_rate
from pruncam.studies.pe_score.study import PeScoreStudy, is_papers_data
from pruncam.studies.readings import ranking
from pruncam.training import OneCycle

LAYER = "features.13"  # the last ReLU with maps of 8x8 cells at 32x32 pixels
SPECS = [
    {"paper": "CIFAR-10", "source": "generated-10", "size": 32, "target_layer": LAYER},
    {"paper": "COVID-19", "source": "generated-10-marked", "size": 32, "target_layer": LAYER},
]
SMALL = {
    "datasets": SPECS,
    "train_images": 60,
    "test_images": 20,
    "width": 4,
    "classifier_width": 12,
    "baseline": [[2, 0.02]],
    "finetuning": [[1, 0.01]],
    "rates": [0.5, 0.96],
    "samples_per_class": 2,
    "sensitivity_images": 5,
    "bootstrap": 100,
}


def run(cache, **overrides):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(cache))
        return pe_score.run(
            pe_score.configure("quick", **(SMALL | overrides)),
            False,
            machine=Machine("cpu", jobs=2),
        )


@pytest.fixture(scope="module")
def small(cache):
    return run(cache)


def experiment_of(config, folder, source="generated-10", counts=(60, 20)):
    splits = dict(zip(("train", "test"), counts, strict=True))
    sets = [catalog.load(source, split, at_most=count) for split, count in splits.items()]
    spec = DatasetSpec(paper="CIFAR-10", source=source, size=32, target_layer=LAYER)
    trainer = CachedTrainer(Store(folder), torch.device("cpu"), Progress("", "epoch", False))
    return PeScoreExperiment(config, spec, *sets, trainer)


@pytest.fixture(scope="module")
def cifar(cache, small):
    """Return the first data set with the models of `small`, which are all in the cache."""
    return experiment_of(small.config, cache)


# ---------------------------------------------------------------- a run


def test_the_steps_of_a_run_are_known_before_it(small, cache, planned_epochs):
    study = PeScoreStudy(small.config, machine=Machine("cpu"), progress=False)
    # Both data sets: two epochs of the baseline; two criteria at two rates, and fine-tuning alone.
    assert planned_epochs(study, small, cache) == 2 * (2 + 2 * 2 + 1)


def test_a_run_gives_every_table_figure_and_claim(small, tmp_path, coarse_figures):
    assert list(small.drawings) == [str(number) for number in range(1, 10)]
    assert set(small.tables) == {
        "published",
        "curves",
        "models",
        "drops",
        "controls",
        "classes",
        "correctness",
        "rate_choice",
        "inspect",
        "costs",
        "cited",
        "intensity",
        "times",
        "object_hits",
        "marks",
        "sensitivity_to_the_class",
        "readings",
        "reading_ranks",
        "scale",
    }
    names = small.claims["claim"].tolist()
    assert names == [
        "P1a",
        "P1b",
        "P2a",
        "P2b",
        "P2c",
        "P3",
        "P4",
        "P5a",
        "P5b",
        "P5c",
        "P5d",
        "P6",
        "P7a",
        "P7b",
        "P7c",
        "P7d",
        "P7e",
        "P7f",
        "P8",
        "P9a",
        "P9b",
        "P10",
        "P11a",
        "P11b",
    ]
    assert set(small.claims["verdict"]) <= {
        "holds on stand-in",
        "fails on stand-in",
        "undecided",
        "not tested here",
    }
    curves = small.tables["curves"]
    assert len(curves) == 2 * 3 * (2 * 2 + 1 + 1) and set(curves["rule"]) == {
        WEIGHT,
        FASTER,
        FLOOR,
        CHANCE,
    }
    folder = small.save(tmp_path)
    assert len(list(folder.glob("figure_*.png"))) == 9 and len(
        list(folder.glob("table_*.csv"))
    ) == len(small.tables)


def test_a_second_run_trains_removes_and_scores_nothing(small, cache, monkeypatch):
    monkeypatch.setattr(
        cached_trainer, "fit", lambda *_, **__: pytest.fail("a model was trained again")
    )
    monkeypatch.setattr(
        pruning, "remove_filters", lambda *_, **__: pytest.fail("filters were removed again")
    )
    monkeypatch.setattr(scoring, "stream", lambda *_, **__: pytest.fail("a model was scored again"))
    again = run(cache)
    for name, table in small.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)
    assert again.manifest["steps"] == again.manifest["steps_from_cache"]


def test_the_stages_hold_every_step_of_a_run(small, cache, steps_outside_stages):
    assert steps_outside_stages(PeScoreStudy, small.config, cache) == {"pe_score-times"}


def test_a_data_set_alone_on_a_fresh_cache_gives_the_same_to_the_bit(small, tmp_path):
    again = run(tmp_path, datasets=SPECS[:1])
    assert again.manifest["steps_from_cache"] == 0
    # Timings differ, and numbers of both data sets stand beside the published ones.
    for name in again.tables.keys() - {"times", "published"}:
        table = small.tables[name]
        if "dataset" in table:
            table = table[table["dataset"] == "CIFAR-10"].reset_index(drop=True)
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)


def test_a_small_data_set_may_be_trained_on_for_more_epochs(small, tmp_path):
    factors = {"paper": "CIFAR-10", "baseline": 3, "finetuning": 2}
    config = pe_score.configure("quick", **SMALL, epoch_factors=[factors])
    longer, plain = experiment_of(config, tmp_path), experiment_of(small.config, tmp_path)
    assert longer.recipe("baseline").schedule == ((6, 0.02),)
    assert longer.recipe("finetuning").schedule == ((2, 0.01),)
    assert plain.recipe("baseline") == small.config.recipe("baseline")
    variant = Variant(WEIGHT, 0.5, 1)
    assert longer.baseline_inputs() != plain.baseline_inputs()
    assert longer.variant_inputs(variant) != plain.variant_inputs(variant)
    with pytest.raises(
        ValueError,
        match="unknown data set in epoch_factors 'MNIST': choose one of CIFAR-10, COVID-19",
    ):
        pe_score.configure("quick", epoch_factors=[factors | {"paper": "MNIST"}])
    with pytest.raises(
        ValueError, match="epoch_factors: CIFAR-10, finetuning must be at least 1, got 0"
    ):
        pe_score.configure("quick", epoch_factors=[factors | {"finetuning": 0}])


def test_trainings_that_share_a_random_state_are_run_one_at_a_time():
    for dropout, expected in ((0.0, None), (0.5, 1)):
        config = pe_score.configure("quick", **SMALL, dropout=dropout)
        study = PeScoreStudy(config, machine=Machine("cpu", jobs=2), progress=False)
        study.load()
        assert study.training_jobs == expected


@pytest.mark.parametrize("rule", [WEIGHT, FASTER])
def test_every_layer_but_the_last_loses_the_same_share(cifar, rule):
    full = [len(layer.weight) for layer in pruning.prunable(cifar.baseline).values()]
    assert full == [4, 8, 16, 16, 32, 32, 32, 32, 12, 12, 10]
    for rate in (0.5, 0.96):
        left = [
            len(layer.weight)
            for layer in pruning.prunable(cifar.model(Variant(rule, rate, 1))).values()
        ]
        assert left == [n - min(round(rate * n), n - 1) for n in full[:-1]] + [10]


def test_weight_keeps_the_filters_with_the_largest_norms(cifar):
    model = cifar.pruned(Variant(WEIGHT, 0.5, 1))
    first, *_ = pruning.prunable(cifar.baseline).values()
    norms = first.weight.flatten(1).norm(dim=1)
    largest = norms.argsort(descending=True)[:2].sort().values
    assert (model.features[0].weight == first.weight[largest]).all()


def test_a_smaller_model_is_smaller_on_disk_and_in_flops(small):
    for _, part in small.tables["costs"].groupby(["dataset", "rule"]):
        part = part.sort_values("rate")
        for column in ("parameters", "flops", "bytes"):
            assert (
                part[column].is_monotonic_decreasing
                and part[column].iloc[-1] < 0.5 * part[column].iloc[0]
            )
        assert (part["sparsity"] < 0.01).all(), "filters are gone, not zero"


def test_pe_is_the_harmonic_mean_of_ssim_iou_and_confidence(cifar, small):
    model, x = cifar.model(Variant(WEIGHT, 0.5, 1)), cifar.network_input(cifar.test.images)
    a, b = (
        cams.heatmaps(m, x, method="grad-cam++", target_layer=LAYER)
        for m in (cifar.baseline, model)
    )
    with torch.no_grad():
        before, after = (m(x).softmax(1) for m in (cifar.baseline, model))
    top = before.argmax(1, keepdim=True)
    expected = (
        metrics.pe_score(a, b, before.gather(1, top)[:, 0], after.gather(1, top)[:, 0])
        .mean()
        .item()
    )
    curves = small.tables["curves"]
    chosen = (
        (curves["dataset"] == "CIFAR-10") & (curves["rule"] == WEIGHT) & (curves["rate"] == 0.5)
    )
    assert curves[chosen & (curves["method"] == "grad-cam++")]["pe"].item() == pytest.approx(
        expected, abs=1e-5
    )


def test_the_class_of_the_map_and_of_the_confidence_are_crossed(cifar, small):
    first = cifar.test.first(cifar.config.sensitivity_images)
    model, x = cifar.model(Variant(WEIGHT, 0.5, 1)), cifar.network_input(first.images)
    a, b = (
        cams.heatmaps(m, x, method="grad-cam", targets=first.labels, target_layer=LAYER)
        for m in (cifar.baseline, model)
    )
    with torch.no_grad():
        before, after = (m(x).softmax(1).amax(1) for m in (cifar.baseline, model))
    expected = metrics.pe_score(a, b, before, after).mean().item()
    table = small.tables["sensitivity_to_the_class"]
    table = table[
        (table["dataset"] == "CIFAR-10") & (table["rate"] == 0.5) & (table["method"] == "grad-cam")
    ]
    pe = table.set_index(["map of", "confidence of"])["pe"]
    assert len(pe) == 9
    assert pe["the true class", "each model's top class"] == pytest.approx(expected, abs=1e-5)
    configured = scoring.score(
        cifar.baseline,
        model,
        first,
        methods=["grad-cam"],
        target_layer=LAYER,
        transform=cifar.prepare,
    )["pe"]
    assert pe["each model's top class", "the baseline's top class"] == pytest.approx(
        configured.mean(), abs=1e-5
    )


def test_filters_alone_can_go(cache, tmp_path):
    config = pe_score.configure("quick", **(SMALL | {"layers": ["conv"]}))
    model = experiment_of(config, tmp_path).pruned(Variant(WEIGHT, 0.5, 1))
    assert [len(layer.weight) for layer in pruning.prunable(model).values()] == [
        2,
        4,
        8,
        8,
        16,
        16,
        16,
        16,
        12,
        12,
        10,
    ]


def test_senpis_sees_as_many_images_of_every_class(cifar):
    images, labels = cifar.importance_batch
    assert labels.bincount().tolist() == [2] * 10 and len(images) == 20
    assert len({tuple(image.flatten()[:50].tolist()) for image in images}) == 20, "an image twice"


def test_a_study_may_have_neither_floor_nor_chance(cache):
    result = run(cache, datasets=SPECS[:1], floor_seeds=[], chance_seeds=[])
    assert set(result.tables["curves"]["rule"]) == {WEIGHT, FASTER}
    assert set(result.tables["controls"]["rule"]) == {SHUFFLED}
    evidence = result.claims.set_index("claim")["evidence"]
    assert evidence["P1a"].endswith("fine-tuning alone was not measured (floor_seeds)")


@pytest.mark.parametrize(
    ("original", "size", "expected"), [(True, 224, True), (False, 224, False), (True, 96, False)]
)
def test_only_the_papers_images_at_its_size_are_its_data(small, cifar, original, size, expected):
    def image_set(count):
        images = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, 3, size, size)
        return ImageSet("cifar10", "test", images, torch.zeros(count).long(), ("x",), "made here")

    experiment = PeScoreExperiment(
        small.config,
        cifar.spec,
        image_set(50_000),
        image_set(10_000),
        cifar.trainer,
        original=original,
    )
    assert is_papers_data(experiment) is expected


@pytest.mark.parametrize(
    ("source", "original", "expected"),
    [("cifar10", True, True), ("cifar10", False, False), ("covid19", False, True)],
)
def test_an_experiment_knows_if_its_images_were_original_before_resizing(
    monkeypatch, source, original, expected
):
    images = catalog.load("digits", "test").first(3)
    images = dataclasses.replace(images, original=original)
    monkeypatch.setattr(catalog, "load", lambda *_, **__: images)
    study = PeScoreStudy(pe_score.configure("quick", **SMALL), progress=False)
    experiment = study.load_experiment(DatasetSpec(paper="A", source=source, size=32))
    assert experiment.original is expected and not experiment.test.original


# ---------------------------------------------------------------- layers and baselines


def test_pe_is_read_at_every_output_of_the_last_convolutions(cifar, small):
    table = small.tables["readings"]
    assert set(table["layer"]) == {f"features.{k}" for k in (13, 18, 19, 20, 21, 25, 26, 27)}
    assert set(table.loc[table["configured"], "layer"]) == {LAYER}
    images = cifar.test.first(cifar.config.sensitivity_images)
    model, x = cifar.model(Variant(FASTER, 0.5, 1)), cifar.network_input(images.images)
    a, b = (
        cams.heatmaps(m, x, method="grad-cam", target_layer="features.20")
        for m in (cifar.baseline, model)
    )
    with torch.no_grad():
        before, after = (m(x).softmax(1) for m in (cifar.baseline, model))
    top = before.argmax(1, keepdim=True)
    pe = metrics.pe_score(a, b, before.gather(1, top)[:, 0], after.gather(1, top)[:, 0])
    is_empty = (a.amax((1, 2)) == 0) | (b.amax((1, 2)) == 0)
    row = table.set_index(["dataset", "layer", "rule", "rate", "method"])
    row = row.loc[("CIFAR-10", "features.20", FASTER, 0.5, "grad-cam")]
    assert row["pe"] == pytest.approx(pe.mean().item(), abs=1e-5)
    assert row["pe_nonempty"] == pytest.approx(pe[~is_empty].mean().item(), abs=1e-5, nan_ok=True)
    assert row["pruned_empty"] == pytest.approx((b.amax((1, 2)) == 0).double().mean().item())


def test_readings_are_ranked_by_their_distance_from_the_printed_pe(small):
    ranks = small.tables["reading_ranks"]
    assert ranks["rank"].tolist() == list(range(1, 9))
    assert (ranks["values"] == 3).all(), "SeNPIS-Faster at 50 % with three CAMs"
    readings = small.tables["readings"]
    is_printed = (readings["rule"] == FASTER) & (readings["rate"] == 0.5)
    ours = readings[is_printed & (readings["dataset"] == "CIFAR-10")]
    ours = ours[ours["layer"] == ranks["layer"].iloc[0]].set_index("method")["pe"]
    printed = {"ablation-cam": 0.83, "grad-cam": 0.76, "grad-cam++": 0.88}
    distances = [abs(ours[method] - value) for method, value in printed.items()]
    assert ranks["mean_distance"].iloc[0] == pytest.approx(np.mean(distances))


def test_a_profile_without_the_printed_models_ranks_no_reading(small):
    readings = small.tables["readings"]
    assert ranking(published.distances(readings[readings["dataset"] != "CIFAR-10"])).empty


def test_maps_are_read_at_the_configured_layer_and_the_scale_says_so(small):
    scale = small.tables["scale"].set_index("dataset")
    assert (scale["target_layer"] == LAYER).all() and (scale["map"] == 8).all()
    assert scale.loc["CIFAR-10", "paper_width"] == 64
    assert small.manifest["target_layers"] == {"CIFAR-10": LAYER, "COVID-19": LAYER}
    for name in ("curves", "drops", "controls", "classes", "correctness", "readings"):
        assert {"baseline_empty", "pruned_empty"} <= set(small.tables[name]), name


def study_from_a_reference_network(**overrides):
    """Return a loaded study whose baseline is a reference network."""
    config = pe_score.configure("quick", **(SMALL | overrides))
    spec = DatasetSpec(**(SPECS[0] | {"weights": "vgg11-generated-10"}))
    config = dataclasses.replace(config, datasets=(spec,))
    study = PeScoreStudy(config, machine=Machine("cpu"), progress=False)
    study.load()
    return study


def test_a_reference_network_without_weights_is_refused_by_name(monkeypatch):
    card = dataclasses.replace(networks.card("vgg11-generated-10"), result={})
    monkeypatch.setattr(networks, "card", lambda name: card)
    study = study_from_a_reference_network()
    message = (
        "CIFAR-10: the training of reference network 'vgg11-generated-10' is not finished: "
        "run .*weights"
    )
    with pytest.raises(ValueError, match=message):
        study.work()


def test_a_reference_network_is_the_baseline():
    study = study_from_a_reference_network()
    message = (
        "CIFAR-10: reference network 'vgg11-generated-10' is not the network that the profile"
        " describes"
    )
    with pytest.raises(ValueError, match=message):
        _ = study.experiments[0].baseline
    shipped = networks.load("vgg11-generated-10").state_dict()
    study = study_from_a_reference_network(width=8, classifier_width=32)
    baseline = study.experiments[0].baseline.state_dict()
    assert all(torch.equal(value, baseline[name]) for name, value in shipped.items())
    assert study.experiments[0].baseline_epochs == 0


def test_a_baseline_may_be_trained_in_one_cycle(tmp_path):
    factors = {"paper": "CIFAR-10", "baseline": 3, "finetuning": 1}
    cycle = {"epochs": 4, "peak": 0.1}
    overrides = SMALL | {"baseline": cycle, "epoch_factors": [factors]}
    experiment = experiment_of(pe_score.configure("quick", **overrides), tmp_path)
    assert experiment.baseline_recipe.schedule == OneCycle(12, 0.1)
    assert experiment.baseline_recipe.label_smoothing == 0, "PE compares confidences"
    stepped = experiment_of(pe_score.configure("quick", **SMALL), tmp_path)
    keys = {each.step(BASELINE).key for each in (experiment, stepped)}
    assert len(keys) == 2
    with pytest.raises(ValueError, match="no parameter top; known parameters are epochs, peak"):
        pe_score.configure("quick", baseline=cycle | {"top": 1})


# ---------------------------------------------------------------- weights to start from


def test_a_checkpoint_may_be_the_start(tmp_path):
    config = pe_score.configure("quick", **SMALL)
    state = experiment_of(config, tmp_path).initial().state_dict()
    torch.save(state, tmp_path / "start.pt")
    other = experiment_of(
        dataclasses.replace(config, seed=9, initial=str(tmp_path / "start.pt")), tmp_path
    )
    assert all((value == other.initial().state_dict()[name]).all() for name, value in state.items())
    assert other.baseline_inputs()["file"] is not None
    (tmp_path / "broken.pt").write_bytes(b"no file of torch's")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, message in (
        ("broken.pt", "initial weights: .*broken.pt cannot be loaded as weights"),
        ("list.pt", "holds a list, a state dict"),
    ):
        with pytest.raises(DataError, match=message):
            experiment_of(
                dataclasses.replace(config, initial=str(tmp_path / name)), tmp_path
            ).initial()
    with pytest.raises(DataError, match="initial weights: no checkpoint .*none.pt"):
        experiment_of(
            dataclasses.replace(config, initial=str(tmp_path / "none.pt")), tmp_path
        ).initial()


def test_a_flipped_bit_in_the_initial_weights_is_noticed(tmp_path):
    weights = torch.rand(50, 50)
    torch.save({"features.0.weight": weights}, tmp_path / "start.pt")
    content = bytearray((tmp_path / "start.pt").read_bytes())
    content[content.index(weights.numpy().tobytes()) + 7] ^= 1
    (tmp_path / "start.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"initial weights: .*start.pt is damaged \(the checksum"):
        read_state_dict(str(tmp_path / "start.pt"))


def test_imagenets_weights_fill_the_convolutions_or_are_refused(tmp_path, monkeypatch):
    from torchvision.models import vgg11

    state = vgg11(weights=None).state_dict()
    monkeypatch.setattr(
        "pruncam.studies.pe_score.experiment.imagenet_state_dict", lambda batch_norm: state
    )
    wide = {"initial": "imagenet", "width": 64, "classifier_width": 8, "batch_norm": False}
    network = experiment_of(pe_score.configure("quick", **(SMALL | wide)), tmp_path).initial()
    assert (network.features[0].weight == state["features.0.weight"]).all()
    assert network.classifier[6].weight.shape == (10, 8)
    with pytest.raises(ValueError, match="those of a VGG11 of width 64: set width=64"):
        experiment_of(
            pe_score.configure("quick", **(SMALL | wide | {"width": 8})), tmp_path
        ).initial()


# ---------------------------------------------------------------- which rate (Section 5)


def as_published(dataset, rule, pe):
    table = published.published()
    table = table[(table["dataset"] == dataset) & (table["quantity"] == "accuracy")]
    baseline = table.loc[table["rate"] == 0, "value"].item()
    of_rule = table[(table["criterion"] == rule) & (table["rate"] > 0)]
    losses = baseline - of_rule["value"]
    return pd.DataFrame({"rate": of_rule["rate"], "acc_drop": losses, "pe": pe})


FALLING = [0.90, 0.88, 0.86, 0.84, 0.83, 0.81]


@pytest.mark.parametrize(("rule", "four_points"), [(WEIGHT, 0.7), (FASTER, 0.8)])
def test_the_papers_cifar_models_are_trusted_up_to_half_the_filters(rule, four_points):
    """The paper: a UPR of up to 50 % loses less than 1 %."""
    choice = choose_rate(as_published("CIFAR-10", rule, FALLING))
    assert (choice.rate, choice.verdict) == (0.5, "trust") and "at most 1 point " in choice.why
    assert choose_rate(as_published("CIFAR-10", rule, FALLING), 0.04).rate == four_points
    assert choose_rate(as_published("CIFAR-10", rule, FALLING), 0.001).verdict == "prune less"


@pytest.mark.parametrize("rule", [WEIGHT, FASTER])
def test_the_papers_x_ray_models_must_be_inspected(rule):
    """Their accuracy rises at 35 % already, so the maps decide."""
    rows = pd.DataFrame({"rate": np.repeat([0.35, 0.96], 8), "image": [*range(8)] * 2, "label": 0})
    rows["pe"] = np.linspace(0.1, 0.8, 16)[::-1]
    choice = choose_rate(
        as_published("COVID-19", rule, [0.95, 0.92, 0.85, 0.8, 0.63, 0.5]), rows=rows
    )
    assert (choice.rate, choice.verdict) == (
        0.5,
        "inspect the maps",
    ) and "accuracy rises at 35" in choice.why
    assert set(choice.images["rate"]) == {0.96} and choice.images["image"].tolist() == [
        7,
        6,
        5,
        4,
        3,
    ]


def test_no_rate_is_good_where_every_one_costs_too_much():
    table = pd.DataFrame({"rate": [0.2, 0.5], "acc_drop": [3.0, 5.0], "pe": [0.8, 0.7]})
    choice = choose_rate(table)
    assert (choice.rate, choice.verdict) == (
        0.0,
        "prune less",
    ) and "3.00 points are lost at 20%" in choice.why
    rising = choose_rate(table.assign(acc_drop=[3.0, 1.0]))
    assert (rising.rate, rising.verdict) == (
        0.0,
        "inspect the maps",
    ) and "PE is under 0.9 from 20% on" in rising.why


def test_pe_that_rises_again_makes_no_rate_trustworthy():
    table = pd.DataFrame(
        {"rate": [0.8, 0.2, 0.5], "acc_drop": [3.0, 0.1, 0.5], "pe": [0.95, 0.95, 0.7]}
    )
    choice = choose_rate(table)
    assert (choice.rate, choice.verdict) == (
        0.2,
        "inspect the maps",
    ) and "PE rises at 80 %" in choice.why


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        ({"rate": [0.5], "pe": [1.0]}, {}, "needs a table with the columns rate, acc_drop and pe"),
        ({"rate": [0.5], "acc_drop": [math.nan], "pe": [1.0]}, {}, "a number in every cell"),
        (
            {"rate": [0.5, 0.5], "acc_drop": [1, 2], "pe": [1, 0.9]},
            {},
            "different rates in \\[0, 1\\), of one criterion and CAM method",
        ),
        ({"rate": [1.0], "acc_drop": [1], "pe": [1]}, {}, "different rates in \\[0, 1\\)"),
        ({"rate": [0.0], "acc_drop": [0], "pe": [1]}, {}, "there is no pruned model in the table"),
        (
            {"rate": [0.5], "acc_drop": [1], "pe": [1]},
            {"max_accuracy_drop": 5},
            "max_accuracy_drop must be a fraction",
        ),
    ],
)
def test_tables_without_an_answer_are_refused(table, arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_rate(pd.DataFrame(table), **arguments)


# ---------------------------------------------------------------- printed numbers


def test_the_printed_numbers_are_those_of_the_paper():
    table = published.published()
    assert table.groupby("quantity").size().to_dict() == {"accuracy": 26, "pe": 19}
    unnamed = table.query("quantity == 'pe' and method == ''")  # the CAM of P5b
    assert unnamed[["dataset", "criterion", "rate", "value"]].values.tolist() == [
        ["COVID-19", FASTER, 0.88, 0.63]
    ]
    table = table.drop(unnamed.index)
    by = table.set_index(["dataset", "criterion", "rate", "method"])["value"]
    assert by["CIFAR-10", WEIGHT, 0.88, ""] == 87.85 and by["COVID-19", FASTER, 0.88, ""] == 97.39
    assert (
        by["CIFAR-10", WEIGHT, 0.35, "grad-cam"] == 0.79
        and by["CIFAR-10", FASTER, 0.88, "grad-cam++"] == 0.83
    )
    # 88 %: 1.31 points above the baseline, as the text says
    assert by["COVID-19", FASTER, 0.88, ""] - by["COVID-19", "", 0.0, ""] == pytest.approx(1.31)


def test_ours_stand_beside_the_printed_ones(small):
    table = small.tables["published"].set_index("quantity")
    curves = small.tables["curves"]
    is_model = (curves["dataset"] == "COVID-19") & (curves["rule"] == FASTER)
    ours = curves[is_model & (curves["rate"] == 0.96)].iloc[0]
    baseline = ours["accuracy"] + ours["acc_drop"]
    assert table.loc["COVID-19, SeNPIS-Faster 96 %: accuracy", "ours"] == ours["accuracy"]
    assert table.loc["COVID-19: accuracy", "ours"] == pytest.approx(baseline)
    assert math.isnan(table.loc["CIFAR-10, Weight 35 %: PE, grad-cam", "ours"]), (
        "this profile has no such model"
    )


def test_the_figures_have_the_papers_points():
    points = published.printed_points("CIFAR-10", FASTER)
    rates, accuracies = points["accuracy"]
    assert rates == pytest.approx([0, 35, 50, 70, 80, 88, 96])
    assert accuracies == [92.8, 92.22, 92.09, 89.35, 89.17, 86.30, 81.91]
    assert points["grad-cam++"][1] == [0.90, 0.88, 0.86, 0.84, 0.83]
    assert published.printed_points("CIFAR-10", WEIGHT)["ablation-cam"][1] == [0.85]
    points = published.printed_points("COVID-19", FASTER)
    assert set(points) == {"accuracy", ""}, "no CAM is named"
    assert points[""] == ([88], [0.63])
    assert published.printed_points("A", FASTER) == {}


def test_the_printed_numbers_are_a_table_for_choosing_a_rate():
    # PE-score, captions of Figures 4 and 5: 92.8, 92.22, ... %; Sp2PS, Table 3: PE_drop 10 to 17.
    table = pe_score.printed_by_rate("CIFAR-10", "SeNPIS-Faster", "grad-cam++")
    assert table["rate"].tolist() == [0.35, 0.5, 0.7, 0.8, 0.88]
    assert table["acc_drop"].tolist() == pytest.approx([0.58, 0.71, 3.45, 3.63, 6.5])
    assert table["pe"].tolist() == [0.9, 0.88, 0.86, 0.84, 0.83]
    assert choose_rate(table).rate == 0.5 and choose_rate(table, 0.05).rate == 0.8
    for model in (("CIFAR-10", "Wight", "grad-cam"), ("COVID-19", "SeNPIS-Faster", "")):
        with pytest.raises(ValueError, match="no PE is printed for .*: choose CIFAR-10, Weight"):
            pe_score.printed_by_rate(*model)


def test_captions_name_the_images_that_are_shown(small):
    assert "on generated-10 (for CIFAR-10) with" in small.drawings["4"].caption
    assert "on generated-10-marked (for COVID-19) with" in small.drawings["8"].caption


def test_captions_say_which_networks_have_collapsed(small):
    curves = small.tables["curves"]
    is_drawn = (curves["dataset"] == "CIFAR-10") & (curves["rule"] == FASTER)
    rates = curves.loc[is_drawn & curves["collapsed"], "rate"].unique()
    for number in ("4", "6"):
        caption = small.drawings[number].caption
        assert ("has collapsed" in caption) == bool(len(rates))
        assert all(f"{100 * rate:g}" in caption for rate in rates)


def test_the_cited_networks_are_those_of_tables_1_and_2():
    table = cited.cited()
    assert table.groupby("source").size().to_dict() == {"Section 1": 1, "Table 1": 6, "Table 2": 4}
    senpis = table.set_index("method").loc["SeNPIS"]
    assert senpis[["accuracy", "flops_reduction", "parameter_reduction"]].tolist() == [
        93.74,
        50.74,
        51.05,
    ]
    # "The difference between them in accuracy is less than 1 %, in reductions over 25 %."
    first = table[table["source"] == "Table 1"]
    assert np.ptp(first["accuracy"]) < 1
    assert np.ptp(first["flops_reduction"]) > 25 and np.ptp(first["parameter_reduction"]) > 25


def test_the_cited_vgg16_is_that_of_torchvision_at_224_pixels():
    """So the papers' CIFAR-10 images were enlarged: at 32 pixels it has 0.6 GFLOPs."""
    from torchvision.models import vgg16

    with torch.device("meta"):  # without the seconds that random weights take
        network = vgg16(num_classes=10, init_weights=False)
    counts = cost.count(network.to_empty(device="cpu"), (3, 224, 224))
    unpruned = cited.cited().iloc[0]
    assert counts.parameters == pytest.approx(unpruned["parameters"], rel=0.005)
    assert counts.flops == pytest.approx(unpruned["flops"], rel=0.005)


def test_cited_networks_stand_beside_ours_of_the_nearest_flops(small):
    table = small.tables["cited"]
    costs = small.tables["costs"].query("dataset == 'CIFAR-10' and rule == 'Weight'")
    flops = costs.set_index("rate")["flops"]
    assert table["our_rate"].tolist()[0] == 0 and set(table["our_rate"][1:]) <= {0.5, 0.96}
    row = table.set_index("method").loc["LAP"]  # 76 %
    nearest = min((0.5, 0.96), key=lambda rate: abs(100 * (1 - flops[rate] / flops[0]) - 76))
    assert row["our_rate"] == nearest
    assert row["our_flops_reduction"] == pytest.approx(100 * (1 - flops[nearest] / flops[0]))
    models = small.tables["models"].query("dataset == 'CIFAR-10' and rule == 'Weight'")
    drop = models.set_index("rate")["acc_drop"][nearest]
    assert row["our_acc_drop Weight"] == pytest.approx(drop)


def test_without_cifar_nothing_stands_beside_the_cited_networks(small):
    costs = small.tables["costs"].query("dataset != 'CIFAR-10'")
    table = cited.cited_beside_ours(costs, small.tables["models"])
    assert len(table) == 11 and not any(column.startswith("our_") for column in table)


# ---------------------------------------------------------------- the distractor


def test_a_network_that_only_sees_the_mark_is_detected(cache):
    config = pe_score.configure("quick", **SMALL)
    experiment = experiment_of(config, cache, "generated-10-marked")

    class SeesTheMark(torch.nn.Module):
        """Logits from the mark alone: its colour against those of the ten marks."""

        def __init__(self, colours):
            super().__init__()
            self.conv, self.colours = torch.nn.Conv2d(3, 3, 1, bias=False), colours
            self.conv.weight.data = torch.eye(3)[:, :, None, None]

        def forward(self, x):
            colour = self.conv(x)[:, :, :4, :4].mean((2, 3))
            return -((colour[:, None] - self.colours) ** 2).sum(2)

    agreeing, lying = plant_marks(experiment.test, 1.0), plant_marks(experiment.test, 0.0)
    x = experiment.network_input(agreeing.images)
    colours = torch.stack([x[agreeing.labels == k][0, :, 0, 0] for k in range(10)])
    model = SeesTheMark(colours)
    assert shortcut.accuracy_on(experiment, model, agreeing).value == 100
    assert shortcut.accuracy_on(experiment, model, lying).value == 0


def test_reliance_on_marks_is_measured_if_their_place_is_known(small):
    table = small.tables["marks"]
    assert set(table["dataset"]) == {"COVID-19"} and len(table) == 3 * (1 + 2 * 2 + 1)
    assert np.allclose(table["from_marks"], table["accuracy_agreeing"] - table["accuracy_lying"])
    for name in ("accuracy_agreeing", "accuracy_lying"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
        assert (table[f"{name}_low"] < table[f"{name}_high"]).all(), "even without an error"
    assert (table["mark_area"] == 16 / 1024).all()


# ---------------------------------------------------------------- maps by image


def test_intensity_is_the_share_of_brightness_left_on_the_bright_pixels():
    baseline = torch.tensor([[[1.0, 0.6], [0.0, 0.0]]])  # bright: the first row
    model = torch.tensor([[[0.4, 0.4], [1.0, 1.0]]])
    assert relative_intensity(baseline, model).item() == pytest.approx(0.8 / 1.6)
    assert relative_intensity(baseline, baseline).item() == 1
    empty = torch.zeros(1, 2, 2)
    assert relative_intensity(baseline, empty).isnan() and relative_intensity(empty, model).isnan()


def test_intensities_are_those_of_the_models_maps(cifar, small):
    rows = map_intensity.by_image(cifar)
    images = cifar.test.first(cifar.config.sensitivity_images)
    x = cifar.network_input(images.images)
    a, b = (
        cams.heatmaps(model, x, method="grad-cam++", target_layer=LAYER)
        for model in (cifar.baseline, cifar.model(Variant(WEIGHT, 0.5, 1)))
    )
    bright = a > a.mean((1, 2), keepdim=True)
    expected = [(y[m].sum() / x[m].sum()).item() for x, y, m in zip(a, b, bright, strict=True)]
    is_model = (rows["rule"] == WEIGHT) & (rows["rate"] == 0.5)
    found = rows.loc[is_model, "intensity"]
    assert found.dropna().tolist() == pytest.approx(
        [value for value, map_ in zip(expected, b, strict=True) if map_.max() > 0], abs=1e-5
    )
    table = small.tables["intensity"]
    assert set(table["rule"]) == {WEIGHT, FASTER, FLOOR, SHUFFLED}
    of_model = table[(table["dataset"] == "CIFAR-10") & (table["rule"] == WEIGHT)]
    row = of_model[of_model["rate"] == 0.5].iloc[0]
    assert row["images"] == found.notna().sum()
    assert row["intensity"] == pytest.approx(found.mean())


def test_hits_by_image_are_those_of_the_table_of_hits(cifar, small):
    hits = localisation.by_image(cifar)
    assert set(hits["rule"]) == {BASELINE.rule, FLOOR, CHANCE}
    first = hits[hits["image"] < cifar.config.sensitivity_images]
    first = first[first["rule"] == BASELINE.rule].groupby("method")["iou_object"].mean()
    table = small.tables["object_hits"]
    table = table[(table["dataset"] == "CIFAR-10") & (table["model"] == "unpruned")]
    expected = table.set_index("method")["iou_object"]
    for method, value in first.items():
        assert value == pytest.approx(expected[method], abs=1e-5)


def test_without_grad_cam_plus_plus_or_objects_neither_is_measured(cifar):
    without = dataclasses.replace(cifar.config, methods=("grad-cam",))
    assert map_intensity.by_image(dataclasses.replace(cifar, config=without)) is None
    no_objects = dataclasses.replace(cifar.test, objects=None)
    assert localisation.by_image(dataclasses.replace(cifar, test=no_objects)) is None


# ---------------------------------------------------------------- claims


def test_a_baseline_below_the_required_accuracy_is_weak(cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(cache))
        specs = [SPECS[0] | {"min_accuracy": 100.0}, SPECS[1]]
        config = pe_score.configure("quick", **(SMALL | {"datasets": specs}))
        result = pe_score.run(config, False, machine=Machine("cpu", jobs=2))
    baseline = result.tables["models"]["baseline"].iloc[0]
    reason = f"CIFAR-10: the baseline's {baseline:.1f} % are under the 100 % that claims need"
    evidence = result.claims.set_index("claim")["evidence"]
    assert evidence["P1a"].startswith(f"{reason}; else: ")
    assert "claims need" not in evidence["P1b"]


def test_re_encoded_or_resized_images_are_still_those_of_the_data_set(small, cifar):
    study = PeScoreStudy(small.config, progress=False)
    named = dataclasses.replace(cifar.test, name="cifar10")
    study.experiments = [cifar, dataclasses.replace(cifar, test=named)]
    assert study.other_images == ["CIFAR-10"] and len(study.stand_ins) == 2


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"datasets": []}, "datasets must be different data sets, one or more"),
        (
            {"datasets": [{"paper": "A", "source": "generated-10", "size": 16}]},
            "A: VGG11 takes images of 32 pixels or more, got 16",
        ),
        (
            {"datasets": [{"paper": "A", "source": "generated-10"}]},
            "A: VGG11 takes images of 32 pixels or more, got None",
        ),
        (
            {"datasets": [{"paper": "A", "source": "generated-10", "size": 32, "width": 8}]},
            "A: width is a setting of all data sets",
        ),
        (
            {"datasets": [DatasetSpec("A", "generated-10", 32)] * 2},
            "datasets must be different data sets, one or more, got \\['A', 'A'\\]",
        ),
        ({"rates": [0.5, 1.0]}, "rates must rise within \\(0, 1\\)"),
        (
            {"criteria": ["Taylor"]},
            "unknown criterion 'Taylor': choose one of Weight, SeNPIS-Faster",
        ),
        ({"criteria": ["Weight", "Weight"]}, "criteria must be different"),
        ({"methods": ["cam"]}, "methods must be taken from"),
        ({"max_accuracy_drop": 1.0}, "max_accuracy_drop must be a fraction in \\[0, 1\\)"),
        ({"samples_per_class": 0}, "samples_per_class must be at least 1"),
        ({"bootstrap": 10}, "bootstrap must be 100 resamples or more, got 10"),
        ({"finetuning": [[0, 0.1]]}, "a schedule is"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        pe_score.configure("quick", **overrides)


def test_an_accuracy_above_100_percent_is_refused():
    with pytest.raises(ValueError, match="A: min_accuracy is a percentage from 0 to 100"):
        spec = {"paper": "A", "source": "generated-10", "size": 32, "min_accuracy": 150.0}
        pe_score.configure("quick", datasets=[spec])


def test_another_type_of_configuration_is_refused():
    message = "config must be a PeScoreConfig: use pe_score.configure\\('quick'\\)"
    with pytest.raises(TypeError, match=message):
        pe_score.run("quick")


def test_grey_images_get_three_equal_channels():
    grey = catalog.load("digits", "test").first(3)
    coloured = grey.as_rgb().resized(32)
    assert coloured.images.shape == (3, 3, 32, 32)
    assert (coloured.images[:, 0] == coloured.images[:, 2]).all()
    images = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
    two = ImageSet("two", "test", images, torch.zeros(1).long(), ("x",), "made here")
    with pytest.raises(ValueError, match="images must have 1 or 3 channels, two has 2"):
        two.as_rgb()


def test_every_profile_is_a_configuration():
    for profile in ("quick", "overnight", "paper"):
        config = pe_score.configure(profile)
        assert config.rates == (0.35, 0.5, 0.7, 0.8, 0.88, 0.96) and len(config.methods) == 3
    assert (paths.package_folder() / "published" / "pe_score.csv").is_file()


EXPECTED = paths.project_root() / "tests" / "expected" / "quick" / "pe_score"


def test_the_expected_tables_are_of_this_study(small):
    """Compare columns and claims; the notebook's test runs the full profile."""
    for path in EXPECTED.glob("table_*.csv"):
        assert list(pd.read_csv(path)) == list(small.tables[path.stem.removeprefix("table_")]), (
            path.name
        )
    assert len(list(EXPECTED.glob("table_*.csv"))) == len(small.tables)
    columns = ["claim", "sentence", "limit"]
    expected = pd.read_csv(EXPECTED / "claims.csv")
    pd.testing.assert_frame_equal(small.claims[columns], expected[columns])
    costs = pd.read_csv(EXPECTED / "table_costs.csv").groupby("rate")["parameters"].first()
    # By hand: the first layer's 8 filters of 3 channels lose round(0.35 * 8) = 3, and so on.
    left = [n - min(round(0.35 * n), n - 1) for n in (8, 16, 32, 32, 64, 64, 64, 64, 32, 32)]
    fans = [27, *(9 * n for n in left[:7]), left[7], left[8], left[9]]
    weights = sum(out * fan + out for out, fan in zip([*left, 10], fans, strict=True))
    assert costs[0.35] == weights + 2 * sum(left[:8])  # and BatchNorm's two per filter
