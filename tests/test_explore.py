"""The explorer: a look is what the library gives, its words hold the same numbers, what is not there is not offered."""

import dataclasses
import html
import importlib
import io
import json
import re
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from matplotlib.colors import to_rgb

from pruncam import cams, explorer, places, scoring
from pruncam.datasets import DataError, catalog
from pruncam.explorer import collections, drawing, looking, speed, widgets
from pruncam.report import plots
from pruncam.studies import sp2ps, study
from pruncam.studies.half import Variant
from pruncam.studies.study import Machine

SMALL = {
    "halves": (("CIFAR-10", "generated-10", 32, 4),),
    "train_images": 60,
    "test_images": 20,
    "baseline": ((2, 0.005),),
    "finetuning": ((1, 0.003),),
    "bootstrap": 100,
}
CPU = Machine(device="cpu", jobs=1)


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """The quick profile with hardly any training, on folders of its own."""
    whole = sp2ps.configure
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PRUNCAM_FIGURES", str(tmp_path_factory.mktemp("figures")))
        patch.setattr(sp2ps, "configure", lambda profile: dataclasses.replace(whole("quick", **SMALL), profile=profile))
        yield


@pytest.fixture(scope="module")
def made(small):
    return collections.made(CPU, progress=False)


@pytest.fixture(scope="module")
def found(made):
    return explorer.Explorer({made.title: made})


@pytest.fixture
def saved(made, monkeypatch, tmp_path):
    """The folder of a finished run's result: what `sp2ps.run(...).save()` leaves of it."""
    monkeypatch.setenv("PRUNCAM_FIGURES", str(tmp_path))
    folder = places.figures_folder("laptop") / "sp2ps"
    folder.mkdir(parents=True)
    config = sp2ps.configure("laptop")
    sets = [made.half.train, made.half.test]
    (folder / "manifest.json").write_text(json.dumps(study.manifest(config, CPU, sets)))
    for name, table in made.curves.items():
        table.to_csv(folder / f"table_{name}.csv", index=False)
    return folder


def choice_of(found, **changes):
    return dataclasses.replace(found.first(), **changes)


# ---------------------------------------------------------------- a look


@pytest.mark.parametrize("method", scoring.METHODS)
@pytest.mark.parametrize("layer", ["features.21", "features.10"])
def test_a_look_is_what_scoring_and_cams_give_of_the_same_image(found, made, method, layer):
    look = found.look(choice_of(found, image=3, rule="Random", rate=0.4, method=method, layer=layer))
    half, image = made.half, made.half.test.images[3][None]
    pruned = half.model(Variant("Random", 0.4, 1))
    how = {"methods": [method], "target_layer": layer, "transform": half.prepared, "progress": False}
    row = scoring.score(half.baseline, pruned, image, half.test.labels[3:4], **how).iloc[0]
    assert look.scores == pytest.approx({name: row[name] for name in scoring.SCORES}, abs=1e-5)
    for mine, model in ((look.baseline, half.baseline), (look.pruned, pruned)):
        maps = cams.heatmaps(model, half.prepared(image.float() / 255), method=method, target_layer=layer)
        assert np.allclose(mine, maps[0], atol=1e-5)
    assert np.array_equal(look.difference, look.pruned - look.baseline)
    answers, classes = look.answers, half.test.classes
    assert [a.said for a in answers] == [classes[row["baseline_prediction"]], classes[row["pruned_prediction"]]]
    assert [a.shared for a in answers] == pytest.approx(
        [row["baseline_confidence"], row["pruned_confidence"]], abs=1e-6
    )
    assert look.label == classes[half.test.labels[3]]


def test_the_unpruned_network_against_itself_scores_1(found):
    for method in scoring.METHODS:
        look = found.look(choice_of(found, rate=0.0, method=method))
        assert look.scores["sp2ps"] == pytest.approx(1) and look.scores["pe"] == pytest.approx(1)
        assert not look.difference.any() and look.answers[0] == look.answers[1]
        assert "At rate 0 the second network is the same" in look.text


def test_the_text_and_the_page_hold_the_numbers_of_the_scores(found, made):
    look = found.look(choice_of(found, rate=0.8, method="grad-cam"))
    page = drawing.page(made, look)
    shown = dict(re.findall(r'<th scope="row"[^>]*>([^<]+)</th><td[^>]*>([-\d.]+)</td>', page))
    for key, name in looking.SCORES.items():
        assert f"{name} {look.scores[key]:.3f}" in look.text and float(shown[name]) == round(look.scores[key], 3)
    for answer in look.answers:
        assert f"says {answer.said} ({answer.confidence:.1%})" in look.text
    curves = made.curves["curves"]
    row = curves.query("rule == 'L1' and rate == 0.8 and method == 'grad-cam'").iloc[0]
    assert f"{row['sp2ps']:.3f} (95 % interval {row['sp2ps_low']:.3f} to {row['sp2ps_high']:.3f})" in look.text
    assert html.escape(look.text.splitlines()[0]) in drawing.words(look)


def test_an_empty_heatmap_is_said_to_be_empty(found):
    look = found.look(found.first())
    empty = dataclasses.replace(look, baseline=np.ones((32, 32)), pruned=np.zeros((32, 32)))
    sentence = "The pruned network's heatmap is empty: at this layer nothing spoke for its answer."
    assert sentence in empty.text and "unpruned network's heatmap is empty" not in empty.text
    assert "is empty" not in dataclasses.replace(look, pruned=np.ones((32, 32)), baseline=np.ones((32, 32))).text


def test_a_second_look_gives_the_same_and_leaves_threads_and_models_alone(found, made):
    choice, threads = choice_of(found, rate=0.6), torch.get_num_threads()
    before = {name: value.clone() for name, value in made.half.baseline.state_dict().items()}
    first = found.look(choice)
    made.seen.clear()
    second = found.look(choice)
    assert first.scores == second.scores and np.array_equal(first.pruned, second.pruned)
    assert torch.get_num_threads() == threads
    assert all(torch.equal(before[name], value) for name, value in made.half.baseline.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"collection": "mars"}, "unknown data set 'mars': choose one of generated-10, 32x32"),
        ({"image": 20}, "there are 20 images, numbered from 0: there is no 20"),
        ({"image": -1}, "image must be at least 0, got -1"),
        ({"rule": "L7"}, "unknown pruning rule 'L7': choose one of L1, Random"),
        ({"rate": 0.3}, "unknown rate 0.3: choose one of 0, 0.2, 0.4, 0.6, 0.8"),
        ({"method": "eye-cam"}, "unknown CAM 'eye-cam': choose one of grad-cam, grad-cam"),
        ({"layer": "features.0"}, "unknown target layer 'features.0': choose one of features.3, features.10"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_in_a_sentence(found, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        found.look(choice_of(found, **changes))
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- what is offered


def test_a_finished_run_is_offered_and_looks_the_same(found, made, saved):
    (offered,) = [c for c in collections.finished(CPU) if c.profile == "laptop"]
    other = explorer.Explorer({offered.title: offered})
    for method in scoring.METHODS:
        one = found.look(choice_of(found, image=5, method=method))
        two = other.look(dataclasses.replace(one.choice, collection=offered.title))
        assert one.scores == two.scores and one.text == two.text
    opened = explorer.open_explorer("laptop", device="cpu", progress=False)
    assert list(opened.collections) == [offered.title, made.title]
    assert not [note for note in opened.notes if note.startswith("sp2ps, profile laptop")]
    assert "pe_score, profile paper: not offered; `make reproduce PROFILE=paper STUDY=pe_score` makes its models" in (
        opened.notes
    )


def test_what_has_lost_its_pictures_models_settings_or_result_is_not_offered(made, saved, monkeypatch):
    def offered():
        return [c.title for c in collections.finished(CPU)]

    assert len(offered()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "find", lambda name, data_dir=None: None)
        assert offered() == []
    model = next((places.cache_folder() / "sp2ps-tuned").glob("*.pt"))
    tuned = [made.half.workshop.store.path(made.half.step(v)) for v in made.half.tuned]
    assert model in tuned, "the key that is asked for is the one that the study keeps its model under"
    pruned = next(path for path, v in zip(tuned, made.half.tuned, strict=True) if v.rule == "L1")
    aside = pruned.rename(pruned.with_suffix(".aside"))
    assert offered() == []
    aside.rename(pruned)
    manifest = json.loads((saved / "manifest.json").read_text())
    other = manifest | {"config": manifest["config"] | {"train_images": 61}}
    for text in (json.dumps(other), "{", json.dumps({"config": manifest["config"]})):
        (saved / "manifest.json").write_text(text)
        assert offered() == []


def test_a_model_that_is_damaged_meanwhile_is_reported_and_not_trained(saved, tmp_path, monkeypatch):
    (offered,) = collections.finished(CPU)
    half = offered.unloaded
    path = half.workshop.store.path(half.step(Variant("L1", 0.8, 1)))
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:500])
        other = explorer.Explorer({offered.title: offered})
        controls = widgets.Controls(other)
        with pytest.warns(UserWarning, match="cannot be read"):
            controls._parts["rate"].value = 0.8
        assert f"the stored model {path.name} is gone or damaged: run its study again" in controls._words.value
        with pytest.warns(UserWarning), pytest.raises(DataError, match="is gone or damaged"):
            other.look(dataclasses.replace(other.first(), rate=0.8))
    finally:
        path.write_bytes(whole)


# ---------------------------------------------------------------- pictures and controls


def test_a_picture_that_may_not_be_shown_is_nowhere(found, made):
    hidden = dataclasses.replace(made.half, test=dataclasses.replace(made.half.test, showable=False))
    closed = dataclasses.replace(made, unloaded=hidden)
    assert list(closed.layers) == ["features.10", "features.17", "features.21"], "32 x 32 cells would draw its outlines"
    look = explorer.Explorer({made.title: closed}).look(found.first())
    panels = drawing.panels(look)
    assert look.image is None and (panels["image"] == 1).all()
    assert found.look(found.first()).image is not None
    for name in ("unpruned", "pruned"):
        assert np.array_equal(
            panels[name], drawing.overlay(None, getattr(look, {"unpruned": "baseline"}.get(name, name)))
        )
    assert "does not allow the picture to be shown" in look.text and "not shown" in drawing.page(closed, look)


def test_the_difference_is_red_where_the_pruned_network_looks_more(found):
    look = found.look(choice_of(found, rate=0.8, layer="features.17"))
    red, _, blue = drawing.panels(look)["pruned minus unpruned"].transpose(2, 0, 1)
    more, less = look.difference > 0.1, look.difference < -0.1
    assert more.any() or less.any()
    assert (red[more] > blue[more]).all() and (blue[less] > red[less]).all()


def test_rows_of_a_figure_are_named_by_what_tells_them_apart(found):
    def names(*choices):
        drawn = drawing.figure([found.look(choice) for choice in choices])
        return [axes.get_ylabel() for axes in drawn.axes if axes.get_ylabel()]

    one = choice_of(found, rule="L1", rate=0.4, method="grad-cam")
    assert names(one, dataclasses.replace(one, rate=0.8)) == ["L1, 40 %", "L1, 80 %"]
    assert names(one, dataclasses.replace(one, method="grad-cam++")) == ["Grad-CAM", "Grad-CAM++"]
    other = dataclasses.replace(one, rule="Random", layer="features.10")
    assert names(one, other) == ["L1, 40 %\nfeatures.21", "Random, 40 %\nfeatures.10"]


def test_the_diamond_lies_where_the_curve_has_that_score(made):
    drawn, curves = drawing.curve(made, "L1"), made.curves["curves"]
    pixels = np.asarray(PIL.Image.open(io.BytesIO(drawn.png)).convert("RGB")) / 255
    last = curves.query("rule == 'L1' and method == 'ablation-cam'")  # drawn over the others
    for row in last.itertuples():
        left, top = drawn.place(row.rate, row.sp2ps)
        point = pixels[round(top * pixels.shape[0]), round(left * pixels.shape[1])]
        assert np.abs(point - to_rgb(plots.PURPLE)).max() < 0.1


def test_controls_change_words_and_pictures(found, made):
    controls = widgets.Controls(found)
    assert controls.choice == found.first() and controls.look.text.splitlines()[0] in controls._words.value
    before = controls._pictures.value
    for name, value in {"rate": 0.8, "image": 4, "rule": "Random", "method": "grad-cam", "layer": "features.3"}.items():
        controls._parts[name].value = value
        assert getattr(controls.look.choice, name) == value == getattr(controls.choice, name)
        assert controls._pictures.value != before
        before = controls._pictures.value
    assert controls._words.value == drawing.words(controls.look)
    bundle = controls._repr_mimebundle_()
    assert bundle["text/plain"] == widgets.STILL and "application/vnd.jupyter.widget-view+json" in bundle


def test_another_data_set_brings_its_own_choices(made):
    fewer = dataclasses.replace(made.half, test=made.half.test.first(5))
    second = dataclasses.replace(made, profile="laptop", unloaded=fewer)
    controls = widgets.Controls(explorer.Explorer({c.title: c for c in (made, second)}))
    controls._parts["image"].value = 19
    controls._parts["collection"].value = second.title
    assert controls._parts["image"].max == 4 and controls.look.choice.collection == second.title
    controls._parts["collection"].value = made.title
    assert controls._parts["image"].max == 19 and controls.look.choice.collection == made.title


def test_a_walk_meets_every_combination_once_and_measures_it(found, made):
    walk = speed.choices(found, made.title)
    assert len(set(walk)) == len(walk) == 2 * 5 * 3 * 4
    table = speed.measure(found, walk[:3])
    assert (table[["looking, ms", "drawing, ms"]] > 0).all(axis=None)
    assert np.allclose(table["move, ms"], table["looking, ms"] + table["drawing, ms"])


def test_the_explorer_is_imported_without_ipywidgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    importlib.reload(widgets)
    with pytest.raises(ImportError):
        widgets.Controls(explorer.Explorer({}))


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="unknown profile 'slow': choose one of quick, laptop, paper"):
        explorer.open_explorer("slow")
