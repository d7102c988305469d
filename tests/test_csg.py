"""The CSG study: one search for many CSGs, embeddings against their definitions, claims on made-up draws."""

import dataclasses
import math
import time
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

from pruncam import complexity, models, places
from pruncam.complexity.neighbours import nearest
from pruncam.datasets import DataError, ImageSet, catalog
from pruncam.progress import Progress
from pruncam.report import plots_csg
from pruncam.statistics import Interval
from pruncam.store import Store
from pruncam.studies import csg
from pruncam.studies.csg import claims, collection, embeddings, overlap, printed, tables
from pruncam.studies.csg.collection import Collection, View
from pruncam.studies.csg.config import AUTOENCODER, DEEP_TSNE, EMBEDDINGS, INPUTS, NETWORK, PCA, RAW, TSNE
from pruncam.studies.study import Machine
from pruncam.studies.workshop import Workshop
from pruncam.training import Recipe

SMALL = {
    "halves": [["MNIST", "digits", 0], ["CIFAR-10", "digits", 8], ["STL-10", "digits", 12]],
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
        return csg.run(csg.configure("quick", **(SMALL | overrides)), False, machine=Machine("cpu", jobs=1))


@pytest.fixture(scope="module")
def small(cache):
    return run(cache)


@pytest.fixture(scope="module")
def digits(cache, small):
    """The first data set of `small`, whose searches are all in the cache."""
    return collection_of(small.config, cache)


def collection_of(config, folder, name="digits"):
    sets = [catalog.load(name, split) for split in ("train", "test")]
    return Collection(config, "MNIST", *sets, Workshop(Store(folder), torch.device("cpu"), Progress("", "", False)))


# ---------------------------------------------------------------- one search for many CSGs


@pytest.mark.parametrize(("dimensions", "volume"), [(2, False), (2, True), (30, False)])
def test_one_search_gives_what_every_single_one_gives(dimensions, volume):
    generator = np.random.default_rng(0)
    features = generator.integers(0, 6, (200, dimensions))  # with ties and duplicates
    labels = np.array(list("abc"))[generator.integers(3, size=200)]
    counted = []
    found = complexity.neighbourhoods(features, labels, k=12, after_rows=counted.append)
    assert sum(counted) == 200
    for how in ({"k": 1}, {"k": 12, "seed": 3}, {"k": 5, "samples_per_class": 20, "seed": 7}):
        ours, single = found.csg(volume=volume, **how), complexity.csg(features, labels, volume=volume, **how)
        for field in dataclasses.fields(single):
            assert np.array_equal(getattr(ours, field.name), getattr(single, field.name)), field.name


def test_blocks_of_a_search_do_not_show(monkeypatch):
    features, labels = load_digits(return_X_y=True)
    whole = complexity.neighbourhoods(features, labels, k=3).nearest
    monkeypatch.setattr("pruncam.complexity.measure._ROWS", 700)
    assert torch.equal(complexity.neighbourhoods(features, labels, k=3).nearest, whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 4}, "k must be at most 3, the neighbours that were searched, got 4"),
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"volume": True, "k": 2}, "volume is for at most 3 dimensions: leave it off"),
        ({"samples_per_class": 0, "k": 2}, "samples_per_class must be at least 1, got 0"),
    ],
)
def test_what_a_search_does_not_hold_is_refused(options, message):
    found = complexity.neighbourhoods(np.eye(6), [0, 1] * 3, k=3)
    with pytest.raises(ValueError, match=message):
        found.csg(**options)


# ---------------------------------------------------------------- a run


def test_a_run_gives_every_table_figure_and_claim(small, tmp_path):
    assert {"1", "method", "eigenvalues", "k_and_M", "pools", "embeddings"} <= set(small.drawings)
    assert {f"{kind}_{half}" for kind in ("classes", "overlap") for half in ("MNIST", "STL-10")} <= set(small.drawings)
    assert small.claims["claim"].tolist() == ["C3a", "C3b", "C3c", "C3d", "C7a", "C7b"]
    assert set(small.claims["verdict"]) <= {"holds on stand-in", "fails on stand-in", "undecided", "not tested here"}
    assert small.claims["verdict"][1] == "not tested here"  # there is no CIFAR-100
    folder = small.save(tmp_path)
    assert {"table_complexity_1.csv", "table_pe_3.csv", "table_published.csv"} <= {p.name for p in folder.iterdir()}
    assert len(list(folder.glob("figure_*.png"))) == len(small.drawings)


def test_a_second_run_searches_and_trains_nothing(small, cache, monkeypatch):
    for place, name in ((complexity, "neighbourhoods"), (complexity, "csg"), (embeddings, "fit")):
        monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("something was measured again"))
    again = run(cache)
    for name, table in small.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)
    assert again.manifest["steps"] == again.manifest["steps_from_cache"] == small.manifest["steps"]


def test_a_run_on_a_fresh_cache_gives_the_same_to_the_bit(small, tmp_path):
    again = run(tmp_path)
    assert again.manifest["steps_from_cache"] == 0
    for name, table in small.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)


def test_the_tables_hold_what_spectral_metric_gives_for_the_same_samples(small, digits):
    features, labels = digits.train.images.flatten(1).numpy() / 255, digits.train.labels.numpy()
    values = []
    for measured in digits.measured(TRAIN):
        estimator = CumulativeGradientEstimator(M_sample=20, k_nearest=5)
        estimator.n_class = 10
        estimator.class_indices = {c: measured.indices[labels[measured.indices] == c] for c in range(10)}
        estimator.compute(features, labels, {c: features[rows] for c, rows in estimator.class_indices.items()})
        values.append(float(estimator.csg[0]))
    row = small.tables["sets"].query("half == 'MNIST' and split == 'train'").iloc[0]
    assert row["csg"] == pytest.approx(np.mean(values), abs=1e-9)
    assert row["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert row["relative"] == pytest.approx(row["csg"] / 9)
    interval = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (row["low"], row["high"]) == pytest.approx(interval, abs=1e-9)
    third = small.tables["pe_3"].set_index("half").loc["MNIST"]
    assert (third["csg_train"], third["low_train"], third["high_train"]) == (row["csg"], row["low"], row["high"])
    agreed = small.tables["agreement"].query("half == 'MNIST' and split == 'train'").iloc[0]
    assert (agreed["low"], agreed["high"], agreed["draws"]) == (row["low"], row["high"], 3)
    first = small.tables["complexity_1"].query("half == 'CIFAR-10' and split == 'test'").iloc[0]
    own = small.tables["sets"].query("half == 'CIFAR-10' and split == 'test'").iloc[0]
    assert (first["published"], first["label"], first["data"]) == (4.50, "medium", "digits")
    assert first["pixels"] == third["pixels"] == "other pictures"
    assert first["low"] == own["low"] < first["csg"] < first["high"] == own["high"]


def test_a_pool_has_as_many_images_of_every_class(digits, monkeypatch):
    seen = []

    def noted(features, labels, **how):
        seen.append((features, labels))
        return complexity.csg(features, labels, **how)

    monkeypatch.setattr(collection, "complexity", type("", (), {"csg": staticmethod(noted)}))
    values = digits._pooled(digits.train, 20)
    assert len(values) == len(seen) == 2
    assert all(torch.bincount(labels).tolist() == [20] * 10 for _, labels in seen)
    assert not torch.equal(seen[0][0], seen[1][0])
    # Of pools of 20 all are samples: the same value whatever the draw.
    assert values[0] == complexity.csg(*seen[0], samples_per_class=None, k=5).value


def test_the_gap_of_the_splits_is_held_against_pools_of_one_size(small, cache, monkeypatch):
    # The test split has 36 images of a digit: training pools of so many, beside its 3 draws.
    found = collection_of(dataclasses.replace(small.config, pools=(36,)), cache)
    own = tables.own(tables.draws([found]))
    train, test = (
        own.query(f"split == '{split}' and k == 5 and samples == 20")["csg"].to_numpy() for split in ("train", "test")
    )
    pools = np.array([0.30, 0.34])
    monkeypatch.setitem(found.made, ("train", 36), torch.from_numpy(pools))
    row = tables.gaps(small.config, own, [found]).iloc[0]
    assert row["gap"] == pytest.approx(test.mean() - train.mean()) and row["pool"] == 36
    half = stats.t.ppf(0.975, 2) * stats.sem(test - train)
    assert (row["gap_low"], row["gap_high"]) == pytest.approx((row["gap"] - half, row["gap"] + half))
    a, b = test.var(ddof=1) / 3, pools.var(ddof=1) / 2  # Welch's interval, by hand
    half = stats.t.ppf(0.975, (a + b) ** 2 / (a**2 / 2 + b**2 / 1)) * math.sqrt(a + b)
    assert row["left"] == pytest.approx(test.mean() - 0.32)
    assert (row["left_low"], row["left_high"]) == pytest.approx((row["left"] - half, row["left"] + half))
    still = tables.gaps(
        small.config, own.assign(drawn=False, csg=own["csg"].where(own["split"] == "train", 0.5)), [found]
    )
    half = stats.t.ppf(0.975, 1) * stats.sem(pools)  # every image was a sample: of the two only the pools vary
    bounds = still.loc[0, ["left", "left_low", "left_high"]].tolist()
    assert bounds == pytest.approx([0.18, 0.18 - half, 0.18 + half])
    without = tables.gaps(small.config, own, [collection_of(small.config, cache)]).iloc[0]
    assert without[["train_pools", "left", "left_low"]].isna().all() and without["gap"] == row["gap"]


def test_views_follow_the_configuration(digits):
    assert digits.views[:2] == [View(split, RAW, 0, len(digits.pictures(split))) for split in ("train", "test")]
    assert View("train", RAW, 0, 60) in digits.views  # beside t-SNE, of as many images
    assert {view.images for view in digits.views if view.embedding in (TSNE, DEEP_TSNE)} == {60}
    assert digits.trained == [(AUTOENCODER, 0), (NETWORK, 0)]
    twice = dataclasses.replace(digits.config, repeats=2, embeddings=(PCA, NETWORK))
    other = Collection(twice, "MNIST", digits.train, digits.test, digits.workshop)
    assert [v.repeat for v in other.views if v.split == "train" and v.embedding != RAW] == [0, 0, 1]
    assert other.trained == [(NETWORK, 0), (NETWORK, 1)]
    elsewhere = Collection(twice, "CIFAR-10", digits.train, digits.test, digits.workshop)
    assert len(elsewhere.views) == 2 and not elsewhere.trained


# ---------------------------------------------------------------- embeddings


def test_principal_components_are_those_of_the_singular_value_decomposition():
    points = torch.from_numpy(load_digits().data[:300]).float()
    found = embeddings.principal_components(points, 5, seed=1)
    centred = points.double() - points.double().mean(0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    wanted = u[:, :5] * s[:5]
    torch.testing.assert_close(found.abs().double(), wanted.abs(), atol=1e-2, rtol=1e-3)
    assert embeddings.principal_components(points[:4], 50, seed=1).shape == (4, 4)


def test_t_sne_keeps_clusters_apart_and_follows_its_seed():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(60, 5, generator=generator) + 50 * (torch.arange(60) % 2)[:, None]
    found = embeddings.plane(points, seed=3)
    assert found.shape == (60, 2)
    neighbours = nearest(found, torch.arange(60), 3)
    assert (neighbours % 2 == (torch.arange(60) % 2)[:, None]).all()
    assert torch.equal(embeddings.plane(points, seed=3), found)


class Slow:
    """Counts the threads of NumPy's library of linear algebra when it begins and when it ends."""

    def __init__(self, seconds):
        self.seconds, self.threads = seconds, []

    def fit_transform(self, points):
        for pause in (0, self.seconds):
            time.sleep(pause)
            self.threads += [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]
        return points


def test_an_embedding_that_ends_does_not_hand_threads_back_to_one_that_counts_on_one():
    methods = [Slow(0.1), Slow(0.3)]
    before = [info["num_threads"] for info in threadpool_info()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda method: embeddings._fitted(method, torch.zeros(2, 2)), methods))
    assert [set(method.threads) for method in methods] == [{1}, {1}]
    assert [info["num_threads"] for info in threadpool_info()] == before


def test_an_autoencoder_learns_to_give_back_its_pictures():
    images, losses = catalog.load("digits", "train").first(60), []
    for epochs in (1, 6, 6):
        model = embeddings.Autoencoder(1, 8)
        losses.append(embeddings.train_autoencoder(model, images, (epochs, 0.003), 20, seed=1))
    x = images.images.float() / 255
    assert losses[1] == losses[2] < losses[0]
    assert losses[1] < x.var().item()  # better than the mean grey
    codes = embeddings.encoded(model, images)
    assert codes.shape == (60, 8)
    enlarged = nn.functional.interpolate(x[:3], (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(enlarged), codes[:3])


def test_features_are_what_the_last_layer_is_given():
    images = catalog.load("digits", "train").first(40)
    model = models.cifar_net(10, width=2)
    embeddings.train_network(model, images, Recipe(((1, 0.01),), 20, optimizer="adam"), INPUTS, seed=1)
    found = embeddings.features(model, images, INPUTS)
    ready = images.coloured().resized(32)
    with torch.no_grad():
        torch.testing.assert_close(model.classifier(found), model.eval()(INPUTS.normalised(ready.images)))
    assert found.shape == (40, 16)
    assert not model.classifier._forward_pre_hooks


def test_every_embedding_has_a_step_of_its_own(digits):
    views = [View("train", name, 0, 60) for name in (RAW, *EMBEDDINGS)] + [View("train", TSNE, 1, 60)]
    made = [str(sorted(digits._made_by(view).items(), key=str)) for view in views]
    assert len(set(made)) == len(views)


# ---------------------------------------------------------------- printed numbers


def test_printed_numbers_are_those_of_the_papers():
    table = printed.published()
    first = table[table["place"] == 1].pivot_table(index="half", columns="split", values="value")
    assert first["train"].to_dict() == {"CIFAR-10": 3.76, "CIFAR-100": 26.08, "STL-10": 3.48}
    assert first["test"].to_dict() == {"CIFAR-10": 4.50, "CIFAR-100": 29.64, "STL-10": 3.67}
    third = table[table["place"] == 3].set_index("half")
    assert third["value"].to_dict() == {
        "MNIST": 0.1306, "COVID-19": 0.1938, "Fashion-MNIST": 0.5424, "CIFAR-10": 4.0676,
    }  # fmt: skip
    assert third["accuracy"].tolist() == [99.68, 99.50, 96.91, 95.55]
    longest = printed.longest("CIFAR-10").set_index("split")["value"]
    assert longest.to_dict() == {"": 4.0676, "train": 3.766834, "test": 4.50780272}


def test_what_stands_in_for_a_data_set_is_named(small):
    quantities = small.tables["published"].set_index("quantity")
    assert quantities.loc["CSG of STL-10, test (ours: digits)", "published"] == 3.67
    assert math.isnan(quantities.loc["CSG of CIFAR-100, train", "ours"].iloc[0])
    row = quantities.loc["CSG of MNIST, train (split not stated; ours: digits)"]
    assert row["difference"] == pytest.approx(row["ours"] - 0.1306)


@pytest.mark.parametrize(
    ("paper", "name", "original", "same", "stands_in"),
    [
        ("MNIST", "mnist", False, True, False),
        ("CIFAR-10", "cifar10", True, True, False),
        ("CIFAR-10", "cifar10", False, True, True),  # encoded anew
        ("STL-10", "tiny-imagenet-10", False, False, True),
        ("COVID-19", "covid19", False, False, True),  # the paper's own pictures are nowhere to be had
    ],
)
def test_only_the_publishers_own_pixels_are_no_stand_in(digits, paper, name, original, same, stands_in):
    images = dataclasses.replace(digits.test, name=name, original=original)
    found = Collection(digits.config, paper, images, images, digits.workshop)
    assert (tables.same_data(found), tables.stands_in(found)) == (same, stands_in)
    assert tables.pixels(found) == ("other pictures" if not same else "encoded anew" if stands_in else "original")


def test_a_stand_in_gives_way_where_the_data_set_itself_is_there(tmp_path, monkeypatch):
    monkeypatch.delenv("PRUNCAM_DATA", raising=False)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path / "project")
    entries, stand_ins = [["CIFAR-100", "cifar100", 0], ["MNIST", "digits", 0]], [["CIFAR-100", "generated-10", 8]]
    config = csg.configure("quick", halves=entries, stand_ins=stand_ins, embedded=[])
    machine = Machine("cpu", data_dir=str(tmp_path))
    assert [csg._at_hand(config, machine, entry) for entry in config.halves] == [
        ("CIFAR-100", "generated-10", 8), ("MNIST", "digits", 0),
    ]  # fmt: skip
    for split in ("train", "test"):
        (tmp_path / "cifar100" / split / "apple").mkdir(parents=True)
        PIL.Image.new("RGB", (32, 32)).save(tmp_path / "cifar100" / split / "apple" / "1.png")
    assert csg._at_hand(config, machine, config.halves[0]) == ("CIFAR-100", "cifar100", 0)
    alone = dataclasses.replace(config, stand_ins=())
    elsewhere = Machine("cpu", data_dir=str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="CIFAR-100 is missing: run `make download NAME=cifar100`"):
        csg.run(alone, False, machine=elsewhere)


def test_csg_by_classes_turns_the_printed_order_round(small):
    table = small.tables["complexity_1"].query("split == 'train'").set_index("half")
    assert table["published"].sort_values().index.tolist() == ["STL-10", "CIFAR-10", "CIFAR-100"]
    assert table["published_relative"].sort_values().index.tolist() == ["CIFAR-100", "STL-10", "CIFAR-10"]


def measured(setting, half, split, value, sd=0.1, same=True):
    k, samples = setting
    row = {"half": half, "split": split, "embedding": RAW, "volume": False, "k": k, "samples": samples, "csg": value}
    row |= {"low": value - sd, "high": value + sd, "measurements": 20, "drawn": True, "images": 60000}
    return row | {"sd": sd, "whole": True, "same_data": same}


def test_the_nearest_setting_is_the_one_with_the_smallest_factor():
    rows = []
    for setting, factor in {(5, 250): 1.1, (1, 50): 0.5}.items():
        rows += [measured(setting, "MNIST", split, 0.1306 * f) for split, f in (("train", factor), ("test", 9))]
        rows += [measured(setting, "STL-10", "train", 3.48 / factor), measured(setting, "STL-10", "test", 3.67)]
    rows.append(measured((3, 50), "MNIST", "train", 0.1306))  # lacks a value: not compared
    rows.append(measured((5, 250), "COVID-19", "train", 50.0, same=False))
    found = printed.nearest(printed.distances(pd.DataFrame(rows)), ["MNIST", "STL-10", "COVID-19"], few=100)
    assert found["k"].tolist() == [5, 1] and found["values"].tolist() == [3, 3]
    assert found["off"].tolist() == pytest.approx([1.1 ** (2 / 3), 2 ** (2 / 3)])
    assert found["off_train"].tolist() == pytest.approx([1.1, 2]) and found["off_test"].tolist() == pytest.approx(
        [3, 3]
    )
    assert found["within_2_sd"].tolist() == [2, 2]  # all but STL-10's training split
    assert found["rank"].tolist() == [1, 2] and set(found["pool"]) == {"whole splits"}


def test_settings_are_ranked_among_those_of_as_many_images():
    rows = []
    for setting, factor in {(5, 250): 1.1, (1, 50): 1.2}.items():
        whole, few = {"images": 60000}, {"images": 2000, "whole": False}
        for split in ("train", "test"):
            rows.append(measured(setting, "MNIST", split, 0.1306 * factor) | whole)
            rows.append(measured(setting, "MNIST", split, 0.1306 * 3 / factor) | few)
            rows.append(measured(setting, "MNIST", split, 0.1306 * 2) | few | {"embedding": TSNE})
    found = printed.nearest(printed.distances(pd.DataFrame(rows)), ["MNIST"], few=2000).set_index("pool")
    assert found.loc["whole splits", "k"].tolist() == [5, 1]
    fewer = found.loc["first 2,000 images"]
    assert list(zip(fewer["embedding"], fewer["off"].round(3), strict=True)) == [
        (TSNE, 2.0), (TSNE, 2.0), (RAW, 2.5), (RAW, 2.727),
    ]  # fmt: skip
    assert fewer["rank"].tolist() == [1, 2, 3, 4]


def test_samples_beyond_all_images_make_no_setting_of_their_own():
    rows = [measured((5, m), "MNIST", "train", 0.2) | {"drawn": m < 200} for m in (100, 200, 250)]
    rows += [measured((3, m), "MNIST", "train", 0.3) | {"drawn": False} for m in (250, 1000)]
    found = printed.nearest(printed.distances(pd.DataFrame(rows)), ["MNIST"], few=100)
    assert list(zip(found["k"], found["samples"], strict=True)) == [(5, 100), (5, 200), (3, 250)]


def made_of(values, drawn):
    """A setting's draws: values by repeat and draw."""
    about = {"half": "MNIST", "split": "train", "embedding": NETWORK, "volume": False, "images": 90, "whole": True}
    about |= {"same_data": True, "classes": 10, "k": 5, "samples": 25, "drawn": drawn}
    rows = [
        about | {"repeat": repeat, "draw": draw, "csg": value}
        for repeat, row in enumerate(values)
        for draw, value in enumerate(row)
    ]
    return tables.settings(pd.DataFrame(rows)).iloc[0]


def test_draws_of_one_training_do_not_pass_for_trainings():
    # Two trainings that differ more than their draws: the interval is of two values, not of six.
    found = made_of([[4.0, 4.1, 3.9], [4.4, 4.5, 4.3]], drawn=True)
    assert (found["low"], found["high"]) == pytest.approx(stats.t.interval(0.95, 1, 4.2, 0.2))
    assert found["csg"] == pytest.approx(4.2) and found["measurements"] == 6
    assert found["sd"] == pytest.approx(np.std([4.0, 4.1, 3.9, 4.4, 4.5, 4.3], ddof=1))
    # And the other way round: the draws scatter, in both trainings alike.
    found = made_of([[4.0, 5.0, 6.0], [4.1, 5.1, 6.1]], drawn=True)
    assert (found["low"], found["high"]) == pytest.approx(stats.t.interval(0.95, 2, 5.05, 1 / math.sqrt(3)))


def test_where_every_image_is_a_sample_there_is_no_interval():
    found = made_of([[2.0, 2.0, 2.0]], drawn=False)
    assert found["csg"] == 2.0 and found[["sd", "low", "high"]].isna().all()
    assert found["measurements"] == 1
    found = made_of([[2.0, 2.0, 2.0], [2.1, 2.1, 2.1]], drawn=False)  # but two trainings are two values
    assert (found["low"], found["high"]) == pytest.approx(stats.t.interval(0.95, 1, 2.05, 0.05))
    assert found["sd"] == pytest.approx(np.std([2.0, 2.1], ddof=1)) and found["measurements"] == 2
    found = made_of([[0.1], [8.9]], drawn=False)  # of 10 classes CSG is 0 to 9
    assert (found["low"], found["high"]) == (0.0, 9.0)
    assert claims.spell(Interval(0.5, 0.5, 0.5)) == "0.500 (no spread)"


def test_draws_that_all_agree_are_no_measure_of_distance():
    found = printed.distances(pd.DataFrame([measured((5, 250), "MNIST", "train", 0.0, sd=0.0)]))
    assert found["sds"].isna().all() and found["factor"].tolist() == [0.0]


def test_a_draw_of_all_images_is_known_for_none(small, cache):
    config = dataclasses.replace(small.config, samples=(20, 150))  # 145 training images of the most frequent digit
    found = tables.draws([collection_of(config, cache)])
    whole = found[(found["embedding"] == RAW) & found["whole"] & (found["split"] == "train")]
    assert whole.groupby("samples")["drawn"].unique().map(list).to_dict() == {20: [True], 150: [False]}
    assert whole[~whole["drawn"]].groupby("k")["csg"].nunique().eq(1).all()


def test_agreement_says_what_it_is_worth():
    rows = [measured((5, 250), half, "train", 1.0) for half in ("MNIST", "Fashion-MNIST")]
    rows.append(measured((5, 250), "COVID-19", "train", 1.0, sd=math.nan, same=False))
    found = printed.agreement(printed.distances(pd.DataFrame(rows)), 5, 250).set_index("half")
    assert found["worth"].to_dict() == {
        "COVID-19": "other pictures: no test", "Fashion-MNIST": "test", "MNIST": "settings were chosen on it",
    }  # fmt: skip
    assert found.loc["Fashion-MNIST", "sds"] == pytest.approx((1 - 0.5424) / 0.1)
    assert math.isnan(found.loc["COVID-19", "sds"])  # nothing was drawn, so there is no spread to measure in


# ---------------------------------------------------------------- claims on made-up draws

CSGS = {"STL-10": (3.4, 3.45), "CIFAR-10": (3.8, 3.9), "CIFAR-100": (26.0, 29.0)}
BY_K = {1: 0.9, 5: 1.0, 10: 1.1}
BY_M = {100: 0.95, 250: 1.0, 500: 1.02}


def made_up(csgs=CSGS, by_k=BY_K, by_m=BY_M, sd=0.1, draws=20):
    """Draws of raw pixels about the given CSGs of (train, test)."""
    noise = np.random.default_rng(0).normal(0, sd, draws)
    rows = []
    for half, values in csgs.items():
        for split, value in zip(("train", "test"), values, strict=True):
            for k, samples in {(k, 250) for k in by_k} | {(5, m) for m in by_m}:
                found = value * by_k[k] * by_m[samples] * (1 + noise / values[0])
                about = {
                    "half": half,
                    "split": split,
                    "k": k,
                    "samples": samples,
                    "classes": 10 if half[-1] == "0" else 2,
                }
                rows += [about | {"draw": draw, "csg": csg} for draw, csg in enumerate(found)]
    return pd.DataFrame(rows)


POOLS = pd.DataFrame({"half": "CIFAR-10", "split": ["train", "test"], "pool": 1000, "csg": [4.4, 4.5]})


def judged(own, stand_ins=(), **settings):
    config = csg.configure("paper", ks=sorted(set(own["k"])), samples=sorted(set(own["samples"])), **settings)
    return {claim.claim: claim for claim in claims.judge(config, own, POOLS, stand_ins)}


def test_claims_hold_where_the_numbers_are_the_papers():
    found = judged(made_up())
    assert {claim.verdict for claim in found.values()} == {"reproduced"}
    assert "in pools of 1,000 images of a class 4.40 (train) and 4.50 (test)" in found["C3d"].evidence
    assert found["C3a"].estimate.value == pytest.approx(0.4, abs=0.1)
    assert "from k = 5 to 1" in found["C7a"].evidence or "from k = 5 to 10" in found["C7a"].evidence
    assert found["C7a"].estimate.value == pytest.approx(0.1)


CHANGES = {
    "C3a": {"csgs": CSGS | {"STL-10": (4.0, 4.1)}},
    "C3b": {"csgs": CSGS | {"CIFAR-100": (2.0, 29.0)}},
    "C3c": {"csgs": CSGS | {"STL-10": (3.4, 3.3)}},
    "C3d": {"csgs": CSGS | {"CIFAR-10": (3.8, 4.5)}},
    "C7a": {"by_k": BY_K | {10: 1.5}},
    "C7b": {"by_m": BY_M | {100: 0.5}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_claim_falls_with_the_numbers_that_it_speaks_of(name):
    found = judged(made_up(**CHANGES[name]))
    assert found.pop(name).verdict == "not reproduced"
    assert {claim.verdict for claim in found.values()} == {"reproduced"}


def test_settings_are_judged_on_the_papers_own_data_where_there_are_any():
    own = made_up(by_k=BY_K)
    wild = own.assign(csg=own["csg"].where((own["half"] != "STL-10") | (own["k"] == 5), 99.0))
    assert judged(wild)["C7a"].verdict == "not reproduced"
    assert judged(wild, stand_ins=["STL-10"])["C7a"].verdict == "reproduced"
    assert judged(wild, stand_ins=list(CSGS))["C7a"].verdict == "fails on stand-in"
    assert judged(own, stand_ins=["STL-10"])["C3a"].verdict == "holds on stand-in"


def test_what_a_profile_lacks_is_not_tested():
    found = judged(made_up(csgs={"MNIST": (0.1, 0.2)}, by_k={5: 1.0}, by_m={250: 1.0}, sd=0.01))
    assert {claim.verdict for claim in found.values()} == {"not tested here"}
    still = judged(made_up(sd=0.0))
    assert still["C3d"].verdict == "not tested here" and "nothing fluctuates" in still["C3d"].evidence


# ---------------------------------------------------------------- figures


def test_a_plane_shows_the_distances_that_fit_into_one():
    points = np.array([[0.0, 0], [3, 0], [0, 4], [1, 1]])
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    found = plots_csg.plane(distances)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found, axis=2), distances, atol=1e-9)
    circle = plots_csg.plane(1 - np.eye(5))
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 1)


def test_the_curve_of_the_eigenvalues_ends_at_csg(digits):
    for found in digits.measured(TRAIN):
        assert plots_csg.cumulated(found.eigenvalues)[-1] == pytest.approx(found.value)


def test_the_overlap_shows_the_most_foreign_picture_of_each_class(tmp_path):
    # On a line: a a b | b a | b b b, so that of k = 2 the picture at 10 is among strangers.
    places_, labels = [0, 1, 10, 100, 101, 11, 12, 102], [0, 0, 0, 1, 1, 1, 1, 1]
    images = torch.tensor(places_, dtype=torch.uint8).view(-1, 1, 1, 1)
    line = ImageSet("line", "train", images, torch.tensor(labels), ("a", "b"), "made")
    config = csg.configure("quick", **(SMALL | {"k": 2, "ks": [2]}))
    bench = Workshop(Store(tmp_path), torch.device("cpu"), Progress("", "", False))
    first, second = overlap.pictures(Collection(config, "MNIST", line, line, bench))
    assert first.names == ["a", "b", "b"] and [round(255 * p[0, 0]) for p in first.pictures] == [10, 11, 12]
    assert second.names == ["b", "a", "b"]


def test_class_tables_name_pairs_and_strangers(small, digits):
    similarity = collection.mean_of(digits.measured(TRAIN), "similarity")
    row = small.tables["confused"].query("half == 'MNIST'").iloc[0]
    off = similarity - 2 * np.eye(10)
    assert row["similarity"] == off.max() == similarity[int(row["class"]), int(row["like"])]
    everything = digits.everything(TRAIN)
    share = small.tables["classes"].query("half == 'MNIST'")["foreign"].to_numpy()
    labels = digits.train.labels.numpy()[everything.indices]
    np.testing.assert_allclose(share, [everything.foreign[labels == c].mean() for c in range(10)], atol=1e-12)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"halves": []}, "halves must be different data sets, one or more"),
        ({"halves": [["A", "digits", 0], ["A", "digits", 8]]}, "halves must be different data sets"),
        ({"halves": [["A", "digits", -1]]}, "A: a side is in pixels, or 0 for the pictures' own, got -1 for digits"),
        ({"draws": 1}, "draws must be at least 2, got 1"),
        ({"ks": [5, 1]}, "ks must rise from 1 or more"),
        ({"k": 4}, "k must be among ks, got 4"),
        ({"samples_per_class": 15}, "samples_per_class must be among samples, got 15"),
        ({"pools": [1, 5]}, "pools must rise from 2 or more images of a class"),
        ({"embedded": ["COVID-19"]}, "unknown data set to embed 'COVID-19': choose one of MNIST, CIFAR-10, STL-10"),
        (
            {"stand_ins": [["COVID-19", "digits", 0]]},
            "unknown data set to stand in for 'COVID-19': choose one of MNIST",
        ),
        ({"stand_ins": [["MNIST", "digits", -1]]}, "MNIST: a side is in pixels"),
        ({"embeddings": ["UMAP"]}, "unknown embedding 'UMAP': choose one of PCA, t-SNE"),
        ({"autoencoding": [0, 0.1]}, "autoencoding is \\(epochs, learning rate\\)"),
        ({"training": [[0, 0.1]]}, "a schedule is"),
        ({"tsne_images": 10}, "tsne_images must be at least 50, got 10"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        csg.configure("quick", **(SMALL | overrides))


def test_what_is_no_configuration_is_refused():
    with pytest.raises(TypeError, match="config must be a Config: use csg.configure\\('quick'\\)"):
        csg.run("quick")


def test_every_profile_is_a_configuration():
    for profile in ("quick", "laptop", "paper"):
        assert csg.configure(profile).embeddings == EMBEDDINGS
    paper = csg.configure("paper")
    assert (paper.k, paper.samples_per_class, paper.draws) == (5, 250, 20)  # PAPERS.md: at least 20 draws
    assert {half[0] for half in paper.halves} == set(printed.published()["half"])
    assert (places.package_folder() / "published" / "csg.csv").is_file()
    assert set(tables.ORIGINAL) <= set(printed.published()["half"])
