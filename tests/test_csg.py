"""The CSG study: searches, embeddings against their definitions, claims on made-up draws."""

import dataclasses
import math
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits
from spectral_metric.estimator import CumulativeGradientEstimator
from threadpoolctl import threadpool_info
from torch import nn

from pruncam import complexity, networks
from pruncam._core import paths
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress
from pruncam._core.store import Store
from pruncam.datasets import DataError, ImageSet, catalog
from pruncam.profiles import DatasetSpec
from pruncam.report.claims import judge, read_statements
from pruncam.statistics import Interval
from pruncam.studies import csg
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.csg import (
    analysis,
    claims,
    class_charts,
    embeddings,
    encoders,
    experiment,
    pool_tables,
    pools,
    published,
)
from pruncam.studies.csg.config import (
    AUTOENCODER,
    DEEP_TSNE,
    EMBEDDINGS,
    INPUTS,
    NETWORK,
    PCA,
    RAW,
    TSNE,
)
from pruncam.studies.csg.embedder import View
from pruncam.studies.csg.experiment import CsgExperiment
from pruncam.studies.csg.overlap import overlap_rows
from pruncam.studies.csg.ranking import nearest_settings
from pruncam.studies.csg.raw_draws import RawDraws
from pruncam.studies.csg.study import CsgStudy
from pruncam.studies.original_data import original_datasets, shown_names, stands_in
from pruncam.training import Recipe

SMALL = {
    "datasets": [
        {"paper": "MNIST", "source": "digits"},
        {"paper": "CIFAR-10", "source": "digits", "size": 8},
        {"paper": "STL-10", "source": "digits", "size": 12},
    ],
    "draws": 3,
    "samples_per_class": 20,
    "ks": [1, 5],
    "samples": [10, 20],
    "pools": [20, 60],
    "pool_draws": 2,
    "embedded": ["MNIST"],
    "pca_dimensions": 10,
    "tsne_images": 60,
    "training_images": 60,
    "code": 4,
    "autoencoding": [1, 0.003],
    "width": 2,
    "training": [[1, 0.005]],
    "batch": 20,
}
TRAIN = "train"


def run(cache, **overrides):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(cache))
        config = csg.configure("quick", **(SMALL | overrides))
        return csg.run(config, False, machine=Machine("cpu", jobs=1))


@pytest.fixture(scope="module")
def small(cache):
    return run(cache)


@pytest.fixture(scope="module")
def digits(cache, small):
    """The first data set of `small`, whose searches are all in the cache."""
    return experiment_of(small.config, cache)


def trainer_in(folder):
    return CachedTrainer(Store(folder), torch.device("cpu"), Progress("", "", False))


def experiment_of(config, folder):
    train, test = (catalog.load("digits", split) for split in ("train", "test"))
    return CsgExperiment(config, "MNIST", train, test, trainer_in(folder))


# ---------------------------------------------------------------- one search for many CSGs


@pytest.mark.parametrize(("dimensions", "volume"), [(2, False), (2, True), (30, False)])
def test_one_search_equals_single_searches(dimensions, volume):
    generator = np.random.default_rng(0)
    features = generator.integers(0, 6, (200, dimensions))  # with ties and duplicates
    labels = np.array(list("abc"))[generator.integers(3, size=200)]
    counted = []
    search = complexity.neighbourhoods(features, labels, k=12, after_rows=counted.append)
    assert sum(counted) == 200
    for options in ({"k": 1}, {"k": 12, "seed": 3}, {"k": 5, "samples_per_class": 20, "seed": 7}):
        ours = search.csg(volume=volume, **options)
        single = complexity.csg(features, labels, volume=volume, **options)
        for field in dataclasses.fields(single):
            name = field.name
            if name in ("classes", "samples", "indices"):
                assert np.array_equal(getattr(ours, name), getattr(single, name)), name
            else:  # ties are summed up in another order
                np.testing.assert_allclose(
                    getattr(ours, name), getattr(single, name), rtol=1e-12, atol=1e-12
                )


def test_the_result_does_not_depend_on_the_blocks_of_a_search(monkeypatch):
    features, labels = load_digits(return_X_y=True)
    in_one = complexity.neighbourhoods(features, labels, k=3).neighbours.indices
    monkeypatch.setattr("pruncam.complexity._neighbours._SCORES", 700 * len(labels))
    counted = []
    search = complexity.neighbourhoods(features, labels, k=3, after_rows=counted.append)
    assert torch.equal(search.neighbours.indices, in_one)
    assert counted == [700, 700, 397]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 4}, "k must be at most 3, the number of neighbours searched, got 4"),
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"volume": True, "k": 2}, "volume is for at most 3 dimensions: leave it off"),
        ({"samples_per_class": 0, "k": 2}, "samples_per_class must be at least 1, got 0"),
    ],
)
def test_options_beyond_a_search_are_rejected(options, message):
    search = complexity.neighbourhoods(np.eye(6), [0, 1] * 3, k=3)
    with pytest.raises(ValueError, match=message):
        search.csg(**options)


# ---------------------------------------------------------------- a run


def test_a_run_returns_every_table_figure_and_claim(small, tmp_path, coarse_figures):
    assert {"1", "method", "eigenvalues", "k_and_M", "pools", "embeddings"} <= set(small.drawings)
    assert {
        f"{kind}_{dataset}" for kind in ("classes", "overlap") for dataset in ("MNIST", "STL-10")
    } <= set(small.drawings)
    assert small.claims["claim"].tolist() == ["C3a", "C3b", "C3c", "C3d", "C7a", "C7b"]
    verdicts = small.claims.set_index("claim")["verdict"]
    # Claims about named data sets are not tested on other images.
    assert set(verdicts[["C3a", "C3b", "C3c", "C3d"]]) == {"not tested here"}
    assert set(verdicts[["C7a", "C7b"]]) <= {"holds on stand-in", "fails on stand-in", "undecided"}
    estimated = small.claims["value"].notna()
    assert np.isfinite(small.claims.loc[estimated, ["at_floor", "at_chance"]]).all(axis=None)
    folder = small.save(tmp_path)
    assert {"table_complexity_1.csv", "table_pe_3.csv", "table_published.csv"} <= {
        p.name for p in folder.iterdir()
    }
    assert len(list(folder.glob("figure_*.png"))) == len(small.drawings)


def test_the_steps_of_a_run_are_known_before_it(small, cache, planned_epochs):
    study = CsgStudy(small.config, machine=Machine("cpu"), progress=False)
    assert planned_epochs(study, small, cache) == 0  # its progress counts images


def test_every_sample_of_the_plan_runs_on_its_fewest_images(small):
    study = CsgStudy(small.config, machine=Machine("cpu"), progress=False)
    study.load()
    samples = {id(work.sample): work.sample for work in study.work()}
    assert "t-SNE" in {sample.title for sample in samples.values()}
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for sample in samples.values():
            sample.run(sample.fewest)


def test_a_second_run_searches_and_trains_nothing(small, cache, monkeypatch):
    def fail(*_, **__):
        pytest.fail("something was measured again")

    for module, name in ((complexity, "neighbourhoods"), (complexity, "csg"), (encoders, "fit")):
        monkeypatch.setattr(module, name, fail)
    again = run(cache)
    for name, table in small.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)
    assert again.manifest["steps"] == again.manifest["steps_from_cache"] == small.manifest["steps"]


def test_the_stages_hold_every_step_of_a_run(small, cache, steps_outside_stages):
    # The draws of a first run store the neighbours that they search.
    assert steps_outside_stages(CsgStudy, small.config, cache) == {"csg-neighbours"}


def test_a_run_on_a_fresh_cache_is_bit_identical(small, tmp_path):
    again = run(tmp_path)
    assert again.manifest["steps_from_cache"] == 0
    for name, table in small.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)


def test_the_tables_equal_spectral_metric_for_the_same_samples(small, digits):
    features, labels = digits.train.images.flatten(1).numpy() / 255, digits.train.labels.numpy()
    values = []
    for drawn in digits.raw_csgs(TRAIN):
        estimator = CumulativeGradientEstimator(M_sample=20, k_nearest=5)
        estimator.n_class = 10
        estimator.class_indices = {c: drawn.indices[labels[drawn.indices] == c] for c in range(10)}
        estimator.compute(
            features, labels, {c: features[rows] for c, rows in estimator.class_indices.items()}
        )
        values.append(float(estimator.csg[0]))
    row = small.tables["sets"].query("dataset == 'MNIST' and split == 'train'").iloc[0]
    assert row["csg"] == pytest.approx(np.mean(values), abs=1e-9)
    assert row["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert row["relative"] == pytest.approx(row["csg"] / 9)
    interval = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (row["low"], row["high"]) == pytest.approx(interval, abs=1e-9)
    third = small.tables["pe_3"].set_index("dataset").loc["MNIST"]
    assert (third["csg_train"], third["low_train"], third["high_train"]) == (
        row["csg"],
        row["low"],
        row["high"],
    )
    agreed = small.tables["agreement"].query("dataset == 'MNIST' and split == 'train'").iloc[0]
    assert (agreed["low"], agreed["high"], agreed["draws"]) == (row["low"], row["high"], 3)
    first = small.tables["complexity_1"].query("dataset == 'CIFAR-10' and split == 'test'").iloc[0]
    ours = small.tables["sets"].query("dataset == 'CIFAR-10' and split == 'test'").iloc[0]
    assert (first["published"], first["label"], first["data"]) == (4.50, "medium", "digits")
    assert first["pixels"] == third["pixels"] == "other images"
    assert first["low"] == ours["low"] < first["csg"] < first["high"] == ours["high"]


def test_a_pool_has_the_same_number_of_images_of_every_class(digits, monkeypatch):
    calls = []

    def record(features, labels, **options):
        calls.append((features, labels))
        return complexity.csg(features, labels, **options)

    monkeypatch.setattr(pools, "complexity", type("", (), {"csg": staticmethod(record)}))
    values = pools.draw_pools(digits.config, digits.train, 20, "own", lambda: None)
    assert len(values) == len(calls) == 2
    assert all(torch.bincount(labels).tolist() == [20] * 10 for _, labels in calls)
    assert not torch.equal(calls[0][0], calls[1][0])
    # In pools of 20 all images are samples: the value does not depend on the draw.
    assert values[0] == complexity.csg(*calls[0], samples_per_class=None, k=5).value
    own, calls[:] = list(calls), []
    chance = pools.draw_pools(digits.config, digits.train, 20, "shuffled", lambda: None)
    for (features, labels), (own_features, own_labels) in zip(calls, own, strict=True):
        assert torch.equal(features, own_features)
        assert torch.equal(labels.sort().values, own_labels.sort().values)
        assert (labels != own_labels).float().mean() > 0.7  # nine of ten, were it exact
    assert chance.min() > 4 > values.max()


def test_shuffled_labels_tell_nothing(digits):
    chance = digits.shuffled_draws(TRAIN)
    settings = digits.config.tried_settings
    assert settings[0] == (5, 20) and set(settings) == {(5, 20), (1, 20), (5, 10)}
    assert chance.shape == (len(settings), digits.config.draws)
    own = torch.tensor([drawn.value for drawn in digits.raw_csgs(TRAIN)])
    assert chance[0].min() > 10 * own.max()
    assert len(set(chance[0].tolist())) == digits.config.draws  # shuffled anew in each draw
    # By hand: the same searches with other labels.
    seed = pools.draw_seed(digits.config, 1)
    labels = pools.shuffled(digits.train.labels, seed)
    search = complexity.neighbourhoods(digits.train.images.flatten(1), labels, k=5)
    assert chance[1, 1] == search.csg(samples_per_class=20, k=settings[1][0], seed=seed).value


def test_the_gap_of_the_splits_is_compared_with_pools_of_one_size(small, cache, monkeypatch):
    # The test split has 36 images of a digit: training pools of that size, beside its 3 draws.
    digits = experiment_of(dataclasses.replace(small.config, pools=(36,)), cache)
    draws = analysis.of_raw_pixels(analysis.draws([digits]))
    at_settings = draws.query("k == 5 and samples == 20")
    train, test = (
        at_settings.query(f"split == '{s}'")["csg"].to_numpy() for s in ("train", "test")
    )
    values = np.array([0.30, 0.34])
    monkeypatch.setitem(digits._measured, ("train", 36, "own"), torch.from_numpy(values))
    row = pool_tables.gaps(small.config, draws, [digits]).iloc[0]
    assert row["gap"] == pytest.approx(test.mean() - train.mean()) and row["pool"] == 36
    margin = stats.t.ppf(0.975, 2) * stats.sem(test - train)
    bounds = (row["gap"] - margin, row["gap"] + margin)
    assert (row["gap_low"], row["gap_high"]) == pytest.approx(bounds)
    a, b = test.var(ddof=1) / 3, values.var(ddof=1) / 2  # Welch's interval, by hand
    margin = stats.t.ppf(0.975, (a + b) ** 2 / (a**2 / 2 + b**2 / 1)) * math.sqrt(a + b)
    assert row["left"] == pytest.approx(test.mean() - 0.32)
    bounds = (row["left"] - margin, row["left"] + margin)
    assert (row["left_low"], row["left_high"]) == pytest.approx(bounds)
    # If every image is a sample, only the pools vary.
    constant = draws.assign(drawn=False, csg=draws["csg"].where(draws["split"] == "train", 0.5))
    row = pool_tables.gaps(small.config, constant, [digits]).iloc[0]
    margin = stats.t.ppf(0.975, 1) * stats.sem(values)
    bounds = row[["left", "left_low", "left_high"]].tolist()
    assert bounds == pytest.approx([0.18, 0.18 - margin, 0.18 + margin])


def test_the_splits_are_compared_at_the_size_of_the_smaller_one(small, cache):
    digits = experiment_of(dataclasses.replace(small.config, pools=()), cache)
    assert digits.pools == [("train", 36)] == digits.shuffled_pools
    assert digits.common_pool == 36
    turned = CsgExperiment(small.config, "MNIST", digits.test, digits.train, digits.trainer)
    assert turned.pools == [("train", 20), ("test", 20), ("test", 36), ("test", 60)]
    # The whole training split is a pool; so the gap is that of the other order, turned round.
    draws = analysis.of_raw_pixels(analysis.draws([digits]))
    of_turned = draws.assign(split=draws["split"].map({"train": "test", "test": "train"}))
    row = pool_tables.gaps(small.config, draws, [digits]).iloc[0]
    turned_row = pool_tables.gaps(small.config, of_turned, [turned]).iloc[0]
    assert turned_row["left"] == pytest.approx(-row["left"])
    bounds = [-turned_row["left_high"], -turned_row["left_low"]]
    assert bounds == pytest.approx([row["left_low"], row["left_high"]])


def test_the_intervals_follow_from_the_table_of_draws(small):
    draws = small.tables["draws"]
    own = draws.query("k == 5 and samples == 20")
    sets = small.tables["sets"].set_index(["dataset", "split"])
    for key, part in own[own["whole"]].groupby(["dataset", "split"]):
        interval = stats.t.interval(0.95, 2, part["csg"].mean(), stats.sem(part["csg"]))
        assert sets.loc[key, ["low", "high"]].tolist() == pytest.approx(interval)
        assert sets.loc[key, "shuffled_labels"] == pytest.approx(part["shuffled_labels"].mean())
    gaps = small.tables["gaps"].set_index("dataset")
    for dataset, row in gaps.iterrows():
        of_size = own.query(f"dataset == '{dataset}' and pool == {row['pool']}").groupby("split")
        csg = of_size["csg"].agg(list)
        interval = stats.ttest_ind(csg["test"], csg["train"], equal_var=False)
        bounds = row["left_low"], row["left_high"]
        assert bounds == pytest.approx(interval.confidence_interval(0.95))
    tried = draws[draws["whole"]].groupby(["dataset", "split"]).size()
    assert tried.eq(9).all()  # three settings, three draws


def test_splits_without_pools_of_one_size_have_a_gap_but_nothing_left(small, cache):
    # One class has fewer training images than the test split has on average.
    digits = experiment_of(small.config, cache)
    rare = digits.train.labels == 8
    keep = (~rare | (rare.cumsum(0) <= 25)).nonzero().flatten()
    fewer = dataclasses.replace(
        digits.train, images=digits.train.images[keep], labels=digits.train.labels[keep]
    )
    uneven = CsgExperiment(small.config, "MNIST", fewer, digits.test, digits.trainer)
    assert ("train", 36) not in uneven.pools
    draws = analysis.of_raw_pixels(analysis.draws([digits]))
    row = pool_tables.gaps(small.config, draws, [uneven]).iloc[0]
    assert row[["train_pools", "test_pools", "left", "left_low"]].isna().all()
    assert row["gap"] == pytest.approx(row["test"] - row["train"])


def test_splits_of_which_every_image_is_a_sample_differ_without_spread():
    same, other = np.full(5, 2.0), np.full(9, 1.5)
    assert pool_tables.difference_of_pools(same, other) == Interval(0.5, 0.5, 0.5)
    drawn = np.array([1.0, 2.0, 3.0])
    expected = stats.t.interval(0.95, 2, 0.5, stats.sem(drawn))
    for x, y, sign in ((drawn, other, 1), (other, drawn, -1)):
        gap = pool_tables.difference_of_pools(x, y)
        assert gap.value == pytest.approx(sign * 0.5)
        assert sorted([sign * gap.low, sign * gap.high]) == pytest.approx(expected)


def test_views_follow_the_configuration(digits):
    assert digits.views[:2] == [
        View(split, RAW, 0, len(digits.images(split))) for split in ("train", "test")
    ]
    assert View("train", RAW, 0, 60) in digits.views  # to compare with t-SNE of as many images
    assert {view.images for view in digits.views if view.embedding in (TSNE, DEEP_TSNE)} == {60}
    assert digits.trained_networks == [(AUTOENCODER, 0), (NETWORK, 0)]
    config = dataclasses.replace(digits.config, repeats=2, embeddings=(PCA, NETWORK))
    twice = CsgExperiment(config, "MNIST", digits.train, digits.test, digits.trainer)
    assert [v.repeat for v in twice.views if v.split == "train" and v.embedding != RAW] == [0, 0, 1]
    assert twice.trained_networks == [(NETWORK, 0), (NETWORK, 1)]
    not_embedded = CsgExperiment(config, "CIFAR-10", digits.train, digits.test, digits.trainer)
    assert len(not_embedded.views) == 2 and not not_embedded.trained_networks


# ---------------------------------------------------------------- embeddings


def test_principal_components_are_those_of_the_singular_value_decomposition():
    points = torch.from_numpy(load_digits().data[:300]).float()
    components = embeddings.principal_components(points, 5, seed=1)
    centred = points.double() - points.double().mean(0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    expected = u[:, :5] * s[:5]
    torch.testing.assert_close(components.abs().double(), expected.abs(), atol=1e-2, rtol=1e-3)
    assert embeddings.principal_components(points[:4], 50, seed=1).shape == (4, 4)


def test_t_sne_keeps_clusters_apart_and_follows_its_seed():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(60, 5, generator=generator) + 50 * (torch.arange(60) % 2)[:, None]
    plane = embeddings.plane(points, seed=3)
    assert plane.shape == (60, 2)
    search = complexity.neighbourhoods(plane, torch.arange(60) % 2, k=3)
    neighbours = search.neighbours.indices
    assert (neighbours % 2 == (torch.arange(60) % 2)[:, None]).all()
    assert torch.equal(embeddings.plane(points, seed=3), plane)


class Slow:
    """A method that counts the threads of the BLAS library at its start and at its end."""

    def __init__(self, seconds):
        self.seconds, self.threads = seconds, []

    def fit_transform(self, points):
        for pause in (0, self.seconds):
            time.sleep(pause)
            self.threads += [
                info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"
            ]
        return points


def test_an_embedding_that_ends_does_not_restore_threads_while_another_runs():
    methods = [Slow(0.1), Slow(0.3)]
    before = [info["num_threads"] for info in threadpool_info()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda method: embeddings._fit_transform(method, torch.zeros(2, 2)), methods))
    assert [set(method.threads) for method in methods] == [{1}, {1}]
    assert [info["num_threads"] for info in threadpool_info()] == before


def test_an_autoencoder_learns_to_reconstruct_its_images():
    images, losses = catalog.load("digits", "train").first(60), []
    for epochs in (1, 6, 6):
        model = encoders.Autoencoder(1, 8)
        losses.append(encoders.train_autoencoder(model, images, (epochs, 0.003), 20, seed=1))
    x = images.images.float() / 255
    assert losses[1] == losses[2] < losses[0]
    assert losses[1] < x.var().item()  # better than the mean grey
    codes = encoders.encode(model, images)
    assert codes.shape == (60, 8)
    enlarged = nn.functional.interpolate(x[:3], (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(enlarged), codes[:3])


def test_features_are_the_input_of_the_last_layer():
    images = catalog.load("digits", "train").first(40)
    model = networks.cifar_net(10, width=2)
    recipe = Recipe(((1, 0.01),), 20, optimizer="adam")
    encoders.train_classifier(model, images, recipe, INPUTS, seed=1)
    features = encoders.features(model, images, INPUTS)
    inputs = INPUTS.normalize(images.as_rgb().resized(32).images)
    with torch.no_grad():
        torch.testing.assert_close(model.classifier(features), model.eval()(inputs))
    assert features.shape == (40, 16)
    assert not model.classifier._forward_pre_hooks


def test_every_embedding_has_a_step_of_its_own(digits):
    views = [View("train", name, 0, 60) for name in (RAW, *EMBEDDINGS)]
    views.append(View("train", TSNE, 1, 60))
    inputs = [str(sorted(digits._draws_inputs(view).items(), key=str)) for view in views]
    assert len(set(inputs)) == len(views)


# ---------------------------------------------------------------- printed numbers


def test_printed_numbers_are_those_of_the_papers():
    table = published.printed_values()
    first = table[table["place"] == 1].pivot_table(index="dataset", columns="split", values="value")
    assert first["train"].to_dict() == {"CIFAR-10": 3.76, "CIFAR-100": 26.08, "STL-10": 3.48}
    assert first["test"].to_dict() == {"CIFAR-10": 4.50, "CIFAR-100": 29.64, "STL-10": 3.67}
    third = table[table["place"] == 3].set_index("dataset")
    assert third["value"].to_dict() == {
        "MNIST": 0.1306,
        "COVID-19": 0.1938,
        "Fashion-MNIST": 0.5424,
        "CIFAR-10": 4.0676,
    }
    assert third["accuracy"].tolist() == [99.68, 99.50, 96.91, 95.55]
    longest = published.longest_values().query("dataset == 'CIFAR-10'")
    longest = longest.set_index("split")["value"]
    assert longest.to_dict() == {"": 4.0676, "train": 3.766834, "test": 4.50780272}


def test_the_images_that_stand_in_for_a_data_set_are_named(small):
    quantities = small.tables["published"].set_index("quantity")
    assert quantities.loc["CSG of STL-10, test (ours: digits)", "published"] == 3.67
    assert math.isnan(quantities.loc["CSG of CIFAR-100, train", "ours"].iloc[0])
    row = quantities.loc["CSG of MNIST, train (split not stated; ours: digits)"]
    assert row["difference"] == pytest.approx(row["ours"] - 0.1306)


def blank_images(source, split, count, original):
    labels = torch.zeros(count, dtype=torch.int64)
    images = torch.zeros(count, 1, 1, 1, dtype=torch.uint8)
    return ImageSet(source, split, images, labels, ("a",), "blank", original=original)


@pytest.mark.parametrize(
    ("dataset", "source", "counts", "original", "pixels"),
    [
        ("MNIST", "mnist", (60_000, 10_000), True, "original"),
        ("CIFAR-10", "cifar10", (50_000, 10_000), True, "original"),
        ("CIFAR-10", "cifar10", (50_000, 10_000), False, "re-encoded"),
        ("CIFAR-10", "cifar10", (20_000, 10_000), True, "other images"),  # not all of them
        ("STL-10", "tiny-imagenet-10", (5_000, 500), False, "other images"),
        ("COVID-19", "covid19", (1_226, 308), False, "other images"),  # not the paper's X-rays
    ],
)
def test_only_the_original_pixels_of_the_whole_data_set_are_no_stand_in(
    digits, dataset, source, counts, original, pixels
):
    splits = zip(("train", "test"), counts, strict=True)
    train, test = (blank_images(source, split, count, original) for split, count in splits)
    blank = CsgExperiment(digits.config, dataset, train, test, digits.trainer)
    assert analysis.pixels(blank) == pixels
    assert analysis.same_data(blank) == (pixels != "other images")
    assert stands_in(dataset, train, test) == (pixels != "original")


def test_a_stand_in_gives_way_if_the_data_set_itself_is_there(tmp_path, monkeypatch):
    monkeypatch.delenv("PRUNCAM_DATA", raising=False)
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / "project")
    config = csg.configure(
        "quick",
        datasets=[
            {"paper": "CIFAR-100", "source": "cifar100"},
            {"paper": "MNIST", "source": "digits"},
        ],
        stand_ins=[{"paper": "CIFAR-100", "source": "generated-10", "size": 8}],
        embedded=[],
    )
    study = CsgStudy(config, machine=Machine(data_dir=str(tmp_path)), progress=False)
    assert [study.available(spec) for spec in config.datasets] == [
        DatasetSpec("CIFAR-100", "generated-10", 8),
        DatasetSpec("MNIST", "digits"),
    ]
    for split in ("train", "test"):
        folder = tmp_path / "cifar100" / split / "apple"
        folder.mkdir(parents=True)
        PIL.Image.new("RGB", (32, 32)).save(folder / "1.png")
    assert study.available(config.datasets[0]) == DatasetSpec("CIFAR-100", "cifar100")
    alone = dataclasses.replace(config, stand_ins=())
    empty = Machine(data_dir=str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="CIFAR-100 is missing: run `make download NAME=cifar100`"):
        csg.run(alone, False, machine=empty)


def test_figures_bear_the_name_of_the_images_that_were_loaded(digits):
    study = CsgStudy(digits.config, machine=Machine("cpu"), progress=False)
    study.experiments = [dataclasses.replace(digits, dataset="CIFAR-100")]
    assert study.shown_names == {"CIFAR-100": "digits (for CIFAR-100)"}


def test_csg_relative_to_the_number_of_classes_reverses_the_printed_order(small):
    table = small.tables["complexity_1"].query("split == 'train'").set_index("dataset")
    assert table["published"].sort_values().index.tolist() == ["STL-10", "CIFAR-10", "CIFAR-100"]
    assert table["published_relative"].sort_values().index.tolist() == [
        "CIFAR-100",
        "STL-10",
        "CIFAR-10",
    ]


def setting_row(setting, dataset, split, csg, sd=0.1, same=True):
    """Return a row of the table of settings, for raw pixels of a whole split."""
    k, samples = setting
    return {
        "dataset": dataset,
        "split": split,
        "embedding": RAW,
        "volume": False,
        "k": k,
        "samples": samples,
        "csg": csg,
        "low": csg - sd,
        "high": csg + sd,
        "measurements": 20,
        "drawn": True,
        "images": 60000,
        "sd": sd,
        "whole": True,
        "same_data": same,
    }


def distances(rows):
    return published.distances(pd.DataFrame(rows))


def test_the_nearest_setting_is_the_one_with_the_smallest_factor():
    rows = []
    for setting, factor in {(5, 250): 1.1, (1, 50): 0.5}.items():
        rows += [
            setting_row(setting, "MNIST", "train", 0.1306 * factor),
            setting_row(setting, "MNIST", "test", 0.1306 * 9),
            setting_row(setting, "STL-10", "train", 3.48 / factor),
            setting_row(setting, "STL-10", "test", 3.67),
        ]
    rows.append(setting_row((3, 50), "MNIST", "train", 0.1306))  # lacks a value: not compared
    rows.append(setting_row((5, 250), "COVID-19", "train", 50.0, same=False))
    datasets = ["MNIST", "STL-10", "COVID-19"]
    table = nearest_settings(distances(rows), datasets, few=100)
    assert table["k"].tolist() == [5, 1] and table["values"].tolist() == [3, 3]
    assert table["off"].tolist() == pytest.approx([1.1 ** (2 / 3), 2 ** (2 / 3)])
    assert table["off_train"].tolist() == pytest.approx([1.1, 2])
    assert table["off_test"].tolist() == pytest.approx([3, 3])
    assert table["within_2_sd"].tolist() == [2, 2]  # all but STL-10's training split
    assert table["rank"].tolist() == [1, 2] and set(table["pool"]) == {"whole splits"}


def test_settings_are_ranked_among_those_of_as_many_images():
    rows = []
    for setting, factor in {(5, 250): 1.1, (1, 50): 1.2}.items():
        few = {"images": 2000, "whole": False}
        for split in ("train", "test"):
            rows += [
                setting_row(setting, "MNIST", split, 0.1306 * factor),
                setting_row(setting, "MNIST", split, 0.1306 * 3 / factor) | few,
                setting_row(setting, "MNIST", split, 0.1306 * 2) | few | {"embedding": TSNE},
            ]
    table = nearest_settings(distances(rows), ["MNIST"], few=2000).set_index("pool")
    assert table.loc["whole splits", "k"].tolist() == [5, 1]
    fewer = table.loc["first 2,000 images"]
    assert fewer["embedding"].tolist() == [TSNE, TSNE, RAW, RAW]
    assert fewer["off"].round(3).tolist() == [2.0, 2.0, 2.5, 2.727]
    assert fewer["rank"].tolist() == [1, 2, 3, 4]


def test_samples_beyond_all_images_are_no_other_setting():
    rows = [
        setting_row((5, m), "MNIST", "train", 0.2) | {"drawn": m < 200} for m in (100, 200, 250)
    ]
    rows += [setting_row((3, m), "MNIST", "train", 0.3) | {"drawn": False} for m in (250, 1000)]
    table = nearest_settings(distances(rows), ["MNIST"], few=100)
    settings = list(zip(table["k"], table["samples"], strict=True))
    assert settings == [(5, 100), (5, 200), (3, 250)]


def setting_of(values, drawn):
    """Return the row of `analysis.settings` for values by repeat and draw."""
    rows = [
        {
            "dataset": "MNIST",
            "split": "train",
            "embedding": NETWORK,
            "volume": False,
            "images": 90,
            "whole": True,
            "same_data": True,
            "classes": 10,
            "k": 5,
            "samples": 25,
            "drawn": drawn,
            "repeat": repeat,
            "draw": draw,
            "csg": value,
        }
        for repeat, row in enumerate(values)
        for draw, value in enumerate(row)
    ]
    return analysis.settings(pd.DataFrame(rows)).iloc[0]


def test_draws_of_one_training_are_no_independent_trainings():
    # Two trainings that differ more than their draws: the interval is of two values, not of six.
    row = setting_of([[4.0, 4.1, 3.9], [4.4, 4.5, 4.3]], drawn=True)
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, 1, 4.2, 0.2))
    assert row["csg"] == pytest.approx(4.2) and row["measurements"] == 6
    assert row["sd"] == pytest.approx(np.std([4.0, 4.1, 3.9, 4.4, 4.5, 4.3], ddof=1))
    # And the other way round: the draws scatter, in the same way in both trainings.
    row = setting_of([[4.0, 5.0, 6.0], [4.1, 5.1, 6.1]], drawn=True)
    expected = stats.t.interval(0.95, 2, 5.05, 1 / math.sqrt(3))
    assert (row["low"], row["high"]) == pytest.approx(expected)


def test_if_every_image_is_a_sample_there_is_no_interval():
    row = setting_of([[2.0, 2.0, 2.0]], drawn=False)
    assert row["csg"] == 2.0 and row[["sd", "low", "high"]].isna().all()
    assert row["measurements"] == 1
    # But two trainings are two values.
    row = setting_of([[2.0, 2.0, 2.0], [2.1, 2.1, 2.1]], drawn=False)
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, 1, 2.05, 0.05))
    assert row["sd"] == pytest.approx(np.std([2.0, 2.1], ddof=1)) and row["measurements"] == 2
    row = setting_of([[0.1], [8.9]], drawn=False)  # of 10 classes CSG is 0 to 9
    assert (row["low"], row["high"]) == (0.0, 9.0)
    assert claims.interval_text(Interval(0.5, 0.5, 0.5)) == "0.500 (no spread)"


def test_draws_that_all_agree_are_no_measure_of_distance():
    table = distances([setting_row((5, 250), "MNIST", "train", 0.0, sd=0.0)])
    assert table["sds"].isna().all() and table["factor"].tolist() == [0.0]


def test_a_draw_of_all_images_is_marked_as_not_drawn(small, cache):
    # The most frequent digit has 145 training images.
    config = dataclasses.replace(small.config, samples=(20, 150))
    draws = analysis.of_raw_pixels(analysis.draws([experiment_of(config, cache)]))
    train = draws[draws["split"] == "train"]
    drawn = train.groupby("samples")["drawn"].unique().map(list).to_dict()
    assert drawn == {20: [True], 150: [False]}
    assert train[~train["drawn"]].groupby("k")["csg"].nunique().eq(1).all()


def test_agreement_states_its_worth():
    rows = [setting_row((5, 250), dataset, "train", 1.0) for dataset in ("MNIST", "Fashion-MNIST")]
    rows.append(setting_row((5, 250), "COVID-19", "train", 1.0, sd=math.nan, same=False))
    config = csg.configure("paper")
    table = published.agreement(config, distances(rows)).set_index("dataset")
    assert table["worth"].to_dict() == {
        "COVID-19": "other images: no test",
        "Fashion-MNIST": "test",
        "MNIST": "settings were chosen on it",
    }
    assert table.loc["Fashion-MNIST", "sds"] == pytest.approx((1 - 0.5424) / 0.1)
    # Nothing was drawn, so there is no spread to measure in.
    assert math.isnan(table.loc["COVID-19", "sds"])


# ---------------------------------------------------------------- claims on made-up draws

CSGS = {"STL-10": (3.4, 3.45), "CIFAR-10": (3.8, 3.9), "CIFAR-100": (26.0, 29.0)}
# Pools of one size: as many images as the smaller split has.
POOLS = {"STL-10": (3.5, 3.7), "CIFAR-10": (4.2, 4.35), "CIFAR-100": (28.0, 29.0)}
CHANCE = {"STL-10": (8.5, 8.4), "CIFAR-10": (8.6, 8.7), "CIFAR-100": (90.0, 91.0)}
CLASSES = {"CIFAR-100": 100}
BY_K = {1: 0.95, 5: 1.0, 10: 1.05}
BY_M = {100: 0.97, 250: 1.0, 500: 1.02}
DRAWS = 20


def made_up(csgs=CSGS, by_k=BY_K, by_m=BY_M, sd=0.1, pools=POOLS):
    """Return draws of raw pixels around these CSGs of (train, test), and pools of one size."""
    noise = np.random.default_rng(0).normal(0, sd, DRAWS)
    rows = []
    for dataset, values in csgs.items():
        for split, value in zip(("train", "test"), values, strict=True):
            for k, samples in {(k, 250) for k in by_k} | {(5, m) for m in by_m}:
                drawn = value * by_k[k] * by_m[samples] * (1 + noise / values[0])
                rows += [
                    {
                        "dataset": dataset,
                        "split": split,
                        "k": k,
                        "samples": samples,
                        "classes": CLASSES.get(dataset, 10),
                        "same_data": True,
                        "draw": draw,
                        "csg": csg,
                    }
                    for draw, csg in enumerate(drawn)
                ]
    config = csg.configure("paper", ks=sorted(by_k), samples=sorted(by_m))
    in_pools = {
        dataset: {
            split: value + np.random.default_rng(number).normal(0, sd, 40)
            for number, (split, value) in enumerate(zip(("train", "test"), values, strict=True))
        }
        for dataset, values in pools.items()
        if dataset in csgs
    }
    return RawDraws(config, pd.DataFrame(rows), in_pools)


# Where labels tell nothing, CSG nears K - 1, the less so the fewer neighbours are counted.
SHUFFLED = {"csgs": CHANCE, "by_k": {1: 0.93, 5: 1.0, 10: 1.02}, "pools": CHANCE}


def judged(draws, shuffled=None, stand_ins=()):
    statements = read_statements("csg")
    findings = claims.findings(statements, draws, shuffled or made_up(**SHUFFLED))
    judged_claims = judge(statements, findings, stand_ins=stand_ins)
    return {claim.statement.claim: claim for claim in judged_claims}


def test_claims_hold_for_numbers_like_the_papers():
    by_name = judged(made_up())
    assert {claim.verdict for claim in by_name.values()} == {"reproduced"}
    evidence = {name: claim.finding.evidence for name, claim in by_name.items()}
    estimate = {name: claim.finding.estimate for name, claim in by_name.items()}
    assert "of the whole splits 0.7" in evidence["C3d"]  # 0.1 over the square root of 2 times 0.1
    assert estimate["C3a"].value == pytest.approx(0.4, abs=0.1)
    assert estimate["C3c"].value == pytest.approx(0.15, abs=0.1)
    assert "from k = 5 to 1" in evidence["C7a"] or "from k = 5 to 10" in evidence["C7a"]
    assert estimate["C7a"].value == pytest.approx(0.05 * 3.9 / 9, abs=0.001)
    assert "as a share of CSG itself at most 5%" in evidence["C7a"]
    order = "the 3 data sets keep their order by CSG in 3 of 3 settings, by CSG/(K-1) in 3 of 3"
    assert order in evidence["C7a"] and order in evidence["C7b"]


CHANGES = {
    "C3a": {"csgs": CSGS | {"STL-10": (4.0, 4.1)}},
    "C3b": {"csgs": CSGS | {"CIFAR-100": (2.0, 29.0)}},
    "C3c": {"pools": POOLS | {"STL-10": (3.7, 3.4)}},
    "C3d": {"pools": POOLS | {"CIFAR-10": (4.2, 4.9)}},
    "C7a": {"by_k": BY_K | {10: 1.5}},
    "C7b": {"by_m": BY_M | {100: 0.5}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_claim_fails_with_the_numbers_it_is_about(name):
    by_name = judged(made_up(**CHANGES[name]))
    assert by_name.pop(name).verdict == "not reproduced"
    assert {claim.verdict for claim in by_name.values()} == {"reproduced"}


def test_every_finding_says_its_value_at_floor_and_chance():
    draws, shuffled = made_up(), made_up(**SHUFFLED)
    findings = {name: claim.finding for name, claim in judged(draws, shuffled).items()}
    chance = {name: finding.at_chance for name, finding in findings.items()}
    gap = [
        shuffled.values("CIFAR-100", s) - shuffled.values("CIFAR-10", s) for s in ("train", "test")
    ]
    assert chance["C3b"] == pytest.approx(min(gap[0].mean(), gap[1].mean()))
    train, test = (shuffled.pools["CIFAR-10"][split] for split in ("train", "test"))
    sd = math.sqrt(train.var(ddof=1) + test.var(ddof=1))
    assert chance["C3d"] == pytest.approx(abs(test.mean() - train.mean()) / sd)
    mean = shuffled.values("CIFAR-10", "test").mean()
    assert chance["C7a"] == pytest.approx(0.07 * mean / 9)  # k = 1, where labels tell nothing
    pools = shuffled.pools["STL-10"]
    assert chance["C3c"] == pytest.approx(pools["test"].mean() - pools["train"].mean())
    # Two halves of the draws of the same images.
    floor = {name: finding.at_floor for name, finding in findings.items()}
    halves = {
        (dataset, split): values[::2].mean() - values[1::2].mean()
        for dataset in CSGS
        for split in ("train", "test")
        for values in [draws.values(dataset, split)]
    }
    assert floor["C3a"] == pytest.approx(min(halves["CIFAR-10", s] for s in ("train", "test")))
    pool = draws.pools["CIFAR-10"]["train"]
    half = abs(pool[::2].mean() - pool[1::2].mean())
    assert floor["C3d"] == pytest.approx(half / (math.sqrt(2) * pool.std(ddof=1)))
    largest = max(abs(d) / (CLASSES.get(n, 10) - 1) for (n, _), d in halves.items())
    assert floor["C7a"] == floor["C7b"] == pytest.approx(largest)
    # The criteria that are no signs of differences lie between the two.
    assert floor["C7a"] < read_statements("csg")["C7a"].limit < chance["C7a"]
    assert {finding.trainings for finding in findings.values()} == {0}


def test_the_smallest_of_several_estimates_gets_intervals_that_hold_for_all():
    draws = made_up()
    interval = judged(draws)["C3a"].finding.estimate
    margins = [draws.values("CIFAR-10", s) - draws.values("STL-10", s) for s in ("train", "test")]
    means = [margin.mean() for margin in margins]
    lows = [
        stats.t.interval(0.975, DRAWS - 1, margin.mean(), stats.sem(margin))[0]
        for margin in margins
    ]
    assert (interval.value, interval.low) == pytest.approx((min(means), min(lows)))


def test_a_gap_of_whole_splits_is_no_fluctuation_nor_more_complex():
    # CSG falls as the number of images grows: only pools of one size are compared.
    draws = made_up(csgs=CSGS | {"CIFAR-10": (3.8, 4.5)})
    apart = judged(draws)
    assert apart["C3c"].verdict == apart["C3d"].verdict == "reproduced"
    train, test = (draws.values("CIFAR-10", split) for split in ("train", "test"))
    of_whole = (test - train).mean() / math.sqrt(train.var(ddof=1) + test.var(ddof=1))
    assert of_whole > 4
    assert f"of the whole splits {of_whole:.3f} [" in apart["C3d"].finding.evidence
    pools = draws.pools["CIFAR-10"]
    sd = math.sqrt(pools["train"].var(ddof=1) + pools["test"].var(ddof=1))
    difference = stats.ttest_ind(pools["test"], pools["train"], equal_var=False)
    interval = difference.confidence_interval(0.95)
    estimate = apart["C3d"].finding.estimate
    assert estimate.value == pytest.approx((pools["test"].mean() - pools["train"].mean()) / sd)
    assert (estimate.low, estimate.high) == pytest.approx((interval.low / sd, interval.high / sd))


def with_wild_k(draws, dataset):
    """Return draws in which another k changes the CSG of one data set a lot."""
    table = draws.table
    is_kept = (table["dataset"] != dataset) | (table["k"] == 5)
    return dataclasses.replace(draws, table=table.assign(csg=table["csg"].where(is_kept, 9.0)))


def with_other_images(draws, *datasets):
    """Return draws in which other images stand in for some data sets."""
    is_other = draws.table["dataset"].isin(datasets)
    return dataclasses.replace(draws, table=draws.table.assign(same_data=~is_other))


def test_settings_are_judged_on_the_papers_images_if_there_are_any():
    wild = with_wild_k(made_up(), "STL-10")
    assert judged(wild)["C7a"].verdict == "not reproduced"
    others_left_out = judged(with_other_images(wild, "STL-10"), stand_ins=["STL-10"])["C7a"]
    assert others_left_out.verdict == "reproduced"
    assert "with stand-ins most on STL-10" in others_left_out.finding.evidence
    nothing_else = judged(with_other_images(wild, *CSGS), stand_ins=list(CSGS))["C7a"]
    assert nothing_else.verdict == "fails on stand-in"


def test_re_encoded_images_are_the_papers_in_every_claim_about_a_data_set_itself():
    stand_ins = ["STL-10", "CIFAR-10"]  # CIFAR-10 is re-encoded
    draws = with_other_images(made_up(), "STL-10")
    names = ("C3c", "C7a", "C7b")
    tame = judged(draws, stand_ins=stand_ins)
    assert {tame[name].finding.datasets for name in names} == {("CIFAR-10", "CIFAR-100")}
    assert tame["C3d"].finding.datasets == ("CIFAR-10",)
    assert {tame[name].verdict for name in (*names, "C3d")} == {"holds on stand-in"}
    wild = judged(with_wild_k(draws, "CIFAR-10"), stand_ins=stand_ins)["C7a"]
    assert wild.verdict == "fails on stand-in"


def test_the_order_of_data_sets_is_counted_by_csg_and_by_its_share_of_the_largest():
    # At k = 10 CIFAR-100 has a larger share of 99 than STL-10 has of 9; its CSG is largest anyway.
    draws = made_up()
    is_raised = (draws.table["dataset"] == "CIFAR-100") & (draws.table["k"] == 10)
    raised = draws.table.assign(csg=draws.table["csg"].where(~is_raised, 40.0))
    evidence = judged(dataclasses.replace(draws, table=raised))["C7a"].finding.evidence
    assert "by CSG in 3 of 3 settings, by CSG/(K-1) in 2 of 3 settings" in evidence


def test_claims_about_named_data_sets_are_not_tested_on_other_images():
    draws = made_up()
    named = {"C3a", "C3b", "C3c", "C3d"}
    others = with_other_images(draws, *CSGS)
    verdicts = {n: claim.verdict for n, claim in judged(others, stand_ins=list(CSGS)).items()}
    assert {name for name, verdict in verdicts.items() if verdict == "not tested here"} == named
    # Re-encoded images of CIFAR-10: their splits are compared with each other, not with other sets.
    by_name = judged(with_other_images(draws, "STL-10"), stand_ins=["STL-10", "CIFAR-10"])
    assert by_name["C3a"].verdict == by_name["C3b"].verdict == "not tested here"


def test_claims_that_a_profile_has_no_data_for_are_not_tested():
    lone = {"csgs": {"MNIST": (0.1, 0.2)}, "by_k": {5: 1.0}, "by_m": {250: 1.0}, "sd": 0.01}
    shuffled = made_up(**lone | {"csgs": {"MNIST": (8.5, 8.6)}})
    verdicts = {claim.verdict for claim in judged(made_up(**lone), shuffled).values()}
    assert verdicts == {"not tested here"}
    constant = judged(made_up(sd=0.0))["C3d"]
    assert constant.verdict == "not tested here"
    assert "nothing fluctuates" in constant.finding.evidence


# ---------------------------------------------------------------- figures


def test_scaling_to_a_plane_keeps_distances_that_fit_into_one():
    points = np.array([[0.0, 0], [3, 0], [0, 4], [1, 1]])
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    scaled = class_charts.scaled_to_plane(distances)
    np.testing.assert_allclose(
        np.linalg.norm(scaled[:, None] - scaled, axis=2), distances, atol=1e-9
    )
    circle = class_charts.scaled_to_plane(1 - np.eye(5))
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 1)


def test_of_many_classes_the_most_similar_pairs_are_named():
    generator = np.random.default_rng(0)
    similarity = generator.uniform(0, 0.5, (30, 30))
    similarity = (similarity + similarity.T) / 2
    similarity[3, 17] = similarity[17, 3] = 0.9
    similarity[5, 3] = similarity[3, 5] = 0.8
    np.fill_diagonal(similarity, 1)
    assert class_charts.most_similar_pairs(similarity, 2) == [
        (3, 17, 1.0),
        (3, 5, pytest.approx(0.8 / 0.9)),
    ]
    figure = class_charts.similarity_of_classes(similarity, [f"class {n}" for n in range(30)])
    texts = {text.get_text() for text in figure.axes[1].texts}
    assert {"class 3", "class 17", "class 5"} <= texts
    assert len(texts) <= 2 * 8


def test_captions_name_the_images_and_count_the_draws(small, cache):
    caption = small.drawings["classes_CIFAR-10"].caption
    named = "scikit-learn's handwritten digits (in the place of CIFAR-10) are alike"
    assert f"Which classes of {named}: mean of 3 draws of samples" in caption
    everything = run(cache, samples=[10, 500], samples_per_class=500, embedded=[], pools=[])
    caption = everything.drawings["classes_MNIST"].caption
    assert "every training image is a sample, one draw" in caption


def test_figures_have_legends(small):
    figure = small.drawings["embeddings"].draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "ours, training split",
        "ours, test split",
        "printed, split not stated",
    ]
    figure = small.drawings["k_and_M"].draw()
    lines = [line for line in figure.axes[0].lines if line.get_marker() not in ("None", "_", "|")]
    assert len({line.get_marker() for line in lines}) == len(small.config.datasets)


def test_figures_and_texts_name_the_images_and_tables_the_papers_data_set(small):
    names = ["digits (for MNIST)", "digits (for CIFAR-10)", "digits (for STL-10)"]
    for figure in ("k_and_M", "pools", "eigenvalues"):
        (legend,) = small.drawings[figure].draw().legends
        assert [text.get_text() for text in legend.get_texts()][:3] == names
    panels = small.drawings["embeddings"].draw().axes
    assert [axes.get_title() for axes in panels] == names[:1]
    assert small.tables["gaps"]["dataset"].tolist() == ["MNIST", "CIFAR-10", "STL-10"]
    assert small.named("gaps")["dataset"].tolist() == names
    with pytest.raises(ValueError, match="unknown table 'gap'"):
        small.named("gap")


def test_only_images_that_stand_in_for_a_papers_data_set_have_its_name_in_brackets():
    specs = csg.configure("paper").datasets
    shown = shown_names([*specs, DatasetSpec("MNIST", "digits"), DatasetSpec("mine", "digits")])
    assert shown["CIFAR-10"] == "CIFAR-10"  # re-encoded or not
    assert (shown["MNIST"], shown["mine"]) == ("digits (for MNIST)", "mine")


def test_the_curve_of_the_eigenvalues_ends_at_csg(digits):
    for drawn in digits.raw_csgs(TRAIN):
        assert class_charts.cumulated(drawn.eigenvalues)[-1] == pytest.approx(drawn.value)


def test_the_overlap_shows_the_image_of_each_class_with_the_most_foreign_neighbours(tmp_path):
    # On a line: a a b | b a | b b b, so that with k = 2 the image at 10 has foreign neighbours.
    positions, labels = [0, 1, 10, 100, 101, 11, 12, 102], [0, 0, 0, 1, 1, 1, 1, 1]
    images = torch.tensor(positions, dtype=torch.uint8).view(-1, 1, 1, 1)
    line = ImageSet("line", "train", images, torch.tensor(labels), ("a", "b"), "made")
    config = csg.configure("quick", **(SMALL | {"k": 2, "ks": [2]}))
    first, second = overlap_rows(CsgExperiment(config, "MNIST", line, line, trainer_in(tmp_path)))
    assert first.names == ["a", "b", "b"]
    assert [round(255 * image[0, 0]) for image in first.images] == [10, 11, 12]
    assert second.names == ["b", "a", "b"]


def test_class_tables_name_similar_pairs_and_foreign_neighbours(small, digits):
    similarity = experiment.mean_over_draws(digits.raw_csgs(TRAIN), "similarity")
    row = small.tables["confused"].query("dataset == 'MNIST'").iloc[0]
    off_diagonal = similarity - 2 * np.eye(10)
    pair = similarity[int(row["class"]), int(row["like"])]
    assert row["similarity"] == off_diagonal.max() == pair
    of_all = digits.csg_of_all(TRAIN)
    share = small.tables["classes"].query("dataset == 'MNIST'")["foreign"].to_numpy()
    labels = digits.train.labels.numpy()[of_all.indices]
    expected = [of_all.foreign[labels == c].mean() for c in range(10)]
    np.testing.assert_allclose(share, expected, atol=1e-12)


# ---------------------------------------------------------------- invalid configurations


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"datasets": []}, "datasets must be different data sets, one or more"),
        (
            {"datasets": [{"paper": "A", "source": "digits"}] * 2},
            "datasets must be different data sets, one or more",
        ),
        (
            {"datasets": [{"paper": "A", "source": "digits", "size": -1}]},
            "A: size must be at least 1 pixel, got -1",
        ),
        ({"draws": 1}, "draws must be at least 2, got 1"),
        ({"ks": [5, 1]}, "ks must rise from 1 or more"),
        ({"k": 4}, "k must be among ks, got 4"),
        ({"samples_per_class": 15}, "samples_per_class must be among samples, got 15"),
        ({"pools": [1, 5]}, "pools must rise from 2 or more images per class"),
        (
            {"embedded": ["COVID-19"]},
            "unknown data set to embed 'COVID-19': choose one of MNIST, CIFAR-10, STL-10",
        ),
        (
            {"stand_ins": [{"paper": "COVID-19", "source": "digits"}]},
            "unknown data set to replace 'COVID-19': choose one of MNIST",
        ),
        (
            {"stand_ins": [{"paper": "MNIST", "source": "digits", "size": -1}]},
            "MNIST: size must be at least 1 pixel",
        ),
        ({"embeddings": ["UMAP"]}, "unknown embedding 'UMAP': choose one of PCA, t-SNE"),
        ({"autoencoding": [0, 0.1]}, "autoencoding is \\(epochs, learning rate\\)"),
        ({"training": [[0, 0.1]]}, "a schedule is"),
        ({"tsne_images": 10}, "tsne_images must be at least 50, got 10"),
    ],
)
def test_configurations_that_make_no_sense_are_rejected(overrides, message):
    with pytest.raises(ValueError, match=message):
        csg.configure("quick", **(SMALL | overrides))


def test_other_types_than_a_configuration_are_rejected():
    message = "config must be a CsgConfig: use csg.configure\\('quick'\\)"
    with pytest.raises(TypeError, match=message):
        csg.run("quick")


def test_every_profile_is_a_configuration():
    for profile in ("quick", "overnight", "paper"):
        assert csg.configure(profile).embeddings == EMBEDDINGS
    paper = csg.configure("paper")
    assert (paper.k, paper.samples_per_class) == (5, 250)
    assert paper.draws == 20  # PAPERS.md: at least 20 draws
    assert {spec.paper for spec in paper.datasets} == set(published.printed_values()["dataset"])
    assert (paths.package_folder() / "published" / "csg.csv").is_file()
    assert set(published.printed_values()["dataset"]) <= set(original_datasets().index)
