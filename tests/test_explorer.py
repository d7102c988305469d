"""The explorer: a view is what the library computes, its text has the same numbers."""

import base64
import dataclasses
import html
import importlib
import io
import json
import re
import sys
import urllib.request
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import sklearn.datasets
import torch
from matplotlib.colors import to_rgb
from torchvision import transforms

from pruncam import cams, explorer, metrics, scoring
from pruncam._core import paths
from pruncam._core.machine import Machine
from pruncam.datasets import DataError, catalog
from pruncam.explorer import drawing, page, ranking, sources, speed, widgets
from pruncam.explorer import session as view_session
from pruncam.profiles import DatasetSpec
from pruncam.report import manifest
from pruncam.studies.experiment import Variant
from pruncam.studies.sp2ps.study import Sp2psStudy

CPU = Machine(device="cpu", jobs=1)


def small_config(profile):
    """Return a configuration with hardly any training, under the name of a profile."""
    config = configure(
        "quick",
        datasets=(DatasetSpec("CIFAR-10", "generated-10", 32, 8),),
        train_images=200,  # enough for maps that are not empty
        test_images=20,
        baseline=((4, 0.005),),
        baseline_batch=50,
        finetuning=((1, 0.003),),
        bootstrap=100,
    )
    return dataclasses.replace(config, profile=profile)


configure = Sp2psStudy.configure  # replaced by `small_config` in all tests


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """Replace the profiles by a small one, and all folders by temporary ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PRUNCAM_FIGURES", str(tmp_path_factory.mktemp("figures")))
        patch.setattr(Sp2psStudy, "configure", small_config)
        yield


@pytest.fixture(scope="module")
def quick(small):
    return sources.quick_source(CPU, progress=False)


@pytest.fixture(scope="module")
def session(quick):
    return explorer.Explorer({quick.title: quick})


@pytest.fixture
def saved(quick, monkeypatch, tmp_path):
    """The folder of a finished study's result, as `StudyResult.save` writes it."""
    monkeypatch.setenv("PRUNCAM_FIGURES", str(tmp_path))
    folder = paths.figures_folder("overnight") / "sp2ps"
    folder.mkdir(parents=True)
    image_sets = [quick.experiment.train, quick.experiment.test]
    facts = manifest.describe(small_config("overnight"), CPU, image_sets)
    (folder / "manifest.json").write_text(json.dumps(facts))
    for name, table in quick.tables.items():
        table.to_csv(folder / f"table_{name}.csv", index=False)
    return folder


def select(session, **changes):
    return dataclasses.replace(session.first_selection(), **changes)


# ---------------------------------------------------------------- a view


@pytest.mark.parametrize("method", cams.DEFAULT_METHODS)
@pytest.mark.parametrize("layer", ["features.21", "features.19"])
def test_a_view_agrees_with_scoring_and_cams_on_the_same_image(session, quick, method, layer):
    view = session.view(
        select(session, image=3, rule="Random", rate=0.4, method=method, layer=layer)
    )
    experiment, image = quick.experiment, quick.experiment.test.images[3][None]
    pruned = experiment.model(Variant("Random", 0.4, 1))
    row = scoring.score(
        experiment.baseline,
        pruned,
        image,
        experiment.test.labels[3:4],
        methods=[method],
        target_layer=layer,
        transform=experiment.prepare,
        progress=False,
    ).iloc[0]
    assert view.scores == pytest.approx({name: row[name] for name in metrics.SCORES}, abs=1e-5)
    x = experiment.network_input(image)
    for heatmap, model in ((view.baseline, experiment.baseline), (view.pruned, pruned)):
        maps = cams.heatmaps(model, x, method=method, target_layer=layer)
        assert np.allclose(heatmap, maps[0], atol=1e-5)
    assert np.array_equal(view.difference, view.pruned - view.baseline)
    classes = experiment.test.classes
    predicted = [classes[row["baseline_prediction"]], classes[row["pruned_prediction"]]]
    confidences = [row["baseline_confidence"], row["pruned_confidence"]]
    assert [p.class_name for p in view.predictions] == predicted
    shared = [p.shared_confidence for p in view.predictions]
    assert shared == pytest.approx(confidences, abs=1e-6)
    assert view.label == classes[experiment.test.labels[3]]


def test_the_unpruned_network_against_itself_scores_1(session):
    for method in cams.DEFAULT_METHODS:
        view = session.view(select(session, rate=0.0, method=method))
        assert view.scores["sp2ps"] == pytest.approx(1) and view.scores["pe"] == pytest.approx(1)
        assert not view.difference.any() and view.predictions[0] == view.predictions[1]
        assert "At rate 0 the second network is the same" in view.text


def test_the_text_and_the_page_hold_the_numbers_of_the_scores(session, quick):
    view = session.view(select(session, rate=0.8, method="grad-cam"))
    text = page.view_html(quick, view)
    cells = dict(re.findall(r'<th scope="row"[^>]*>([^<]+)</th><td[^>]*>([-\d.]+)</td>', text))
    for name, title in metrics.SCORES.items():
        assert f"{title} {view.scores[name]:.3f}" in view.text
        assert float(cells[title]) == round(view.scores[name], 3)
    for prediction in view.predictions:
        assert f"predicts {prediction.class_name} ({prediction.confidence:.1%})" in view.text
        assert f"{view.predictions[1].shared_confidence:.1%}" in view.text
    curves = quick.tables["curves"]
    row = curves.query("rule == 'L1' and rate == 0.8 and method == 'grad-cam'").iloc[0]
    interval = f"95 % interval {row['sp2ps_low']:.3f} to {row['sp2ps_high']:.3f}"
    assert f"{row['sp2ps']:.3f} ({interval})" in view.text
    assert html.escape(view.text.splitlines()[0]) in page.status_html(view.text)


def test_an_empty_heatmap_is_called_empty(session, quick):
    view = session.view(session.first_selection())
    full, empty = np.eye(32), np.zeros((32, 32))
    one = dataclasses.replace(view, baseline=full, pruned=empty)
    assert "The heatmap of the pruned network is empty: nothing at this layer supports" in one.text
    assert "heatmap of the unpruned network is empty" not in one.text
    assert "One heatmap is empty: that the scores are low is a definition" in one.text
    without = dataclasses.replace(view, pruned=full, baseline=full)
    assert "empty" not in without.text and not without.empty_text
    text = page.view_html(quick, one)
    assert text.count("(no positive evidence)") == 1 and html.escape(one.empty_text) in text
    assert "no positive evidence" not in page.view_html(quick, without)


def test_two_empty_heatmaps_do_not_score_1_in_silence(session, quick):
    view = session.view(session.first_selection())
    empty = np.zeros((32, 32))
    both = dataclasses.replace(view, baseline=empty, pruned=empty + 0.5)  # constant is empty, too
    sentence = "Both heatmaps are empty: that they score as equal is a definition"
    assert sentence in both.text and sentence in page.view_html(quick, both)
    figure = drawing.figure([view, both])
    marked = [number for number, axes in enumerate(figure.axes) if axes.texts]
    assert marked[-2:] == [5, 6]  # the second row: unpruned and pruned


def test_the_first_view_is_at_the_last_layer_of_6x6_cells_and_not_empty(session, quick):
    assert quick.first_layer == "features.19"
    assert quick.layers[quick.first_layer] == (8, 8)
    view = session.view(session.first_selection())
    assert view.selection.layer == "features.19" and view.cells == (8, 8)
    assert not view.empty_text and "(8 x 8 cells)" in view.text


def test_the_layers_are_the_readings_of_the_network(session, quick):
    experiment = quick.experiment
    x = experiment.network_input(experiment.test.images[:1])
    readings = cams.readings(experiment.baseline, x)
    assert list(quick.layers) == list(readings.values())
    assert quick.layer_text("features.19") == "its ReLU, 8 x 8 cells (features.19)"
    assert quick.layer_text("features.21") == "last convolution, 2 x 2 cells (features.21)"
    controls = widgets.Controls(session)
    offered = [name for _, name in controls._controls["layer"].options]
    assert offered == list(quick.layers)


def test_the_first_image_has_maps_in_both_networks(quick, monkeypatch):
    source = dataclasses.replace(quick)
    session = explorer.Explorer({source.title: source})
    first = session.first_selection().image
    real = view_session._explain_both

    def explain_both(source, selection):
        baseline, pruned = real(source, selection)
        if selection.image == first:
            maps = {name: torch.zeros_like(values) for name, values in pruned.maps.items()}
            pruned = pruned._replace(maps=maps)
        return baseline, pruned

    monkeypatch.setattr(view_session, "_explain_both", explain_both)
    source._cache.clear()
    assert session.first_selection().image != first
    # With no image that has maps, the most confident one is left.
    empty = {name: torch.zeros(1, 32, 32) for name in cams.METHODS}
    monkeypatch.setattr(
        view_session,
        "_explain_both",
        lambda source, selection: [
            explanation._replace(maps=empty) for explanation in real(source, selection)
        ],
    )
    source._cache.clear()
    assert session.first_selection().image == first


def test_a_repeated_view_is_the_same_and_leaves_threads_and_models_alone(session, quick):
    selection, threads = select(session, rate=0.6), torch.get_num_threads()
    baseline = quick.experiment.baseline
    before = {name: value.clone() for name, value in baseline.state_dict().items()}
    first = session.view(selection)
    quick._cache.clear()
    second = session.view(selection)
    assert first.scores == second.scores and np.array_equal(first.pruned, second.pruned)
    assert torch.get_num_threads() == threads
    for name, value in baseline.state_dict().items():
        assert torch.equal(before[name], value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "mars"}, "unknown data set 'mars': choose one of generated-10, 32x32"),
        ({"image": 20}, "image must be 0 to 19, got 20: a picture of your own must be uploaded"),
        ({"image": -1}, "image must be at least 0, got -1"),
        ({"rule": "L7"}, "unknown pruning rule 'L7': choose one of L1, Random"),
        ({"rate": 0.3}, "unknown rate 0.3: choose one of 0, 0.2, 0.4, 0.6, 0.8"),
        ({"method": "eye-cam"}, "unknown CAM 'eye-cam': choose one of grad-cam, grad-cam"),
        (
            {"layer": "features.0"},
            "unknown target layer 'features.0': choose one of features.21, features.22",
        ),
    ],
)
def test_a_selection_that_does_not_exist_is_rejected_in_a_sentence(session, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        session.view(select(session, **changes))
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- available sources


def test_a_finished_study_is_available_and_gives_the_same_views(session, quick, saved):
    (finished,) = [
        source for source in sources.finished_sources(CPU) if source.profile == "overnight"
    ]
    other = explorer.Explorer({finished.title: finished})
    for method in cams.DEFAULT_METHODS:
        view = session.view(select(session, image=5, method=method))
        same = other.view(dataclasses.replace(view.selection, source=finished.title))
        assert view.scores == same.scores and view.text == same.text
    opened = explorer.open_explorer("overnight", device="cpu", progress=False)
    digits = "digits, 32x32: weights set to zero (sp2ps, profile quick)"
    assert list(opened.sources) == [finished.title, quick.title, digits]
    assert not [note for note in opened.notes if note.startswith("sp2ps, profile overnight")]
    assert (
        "pe_score, profile paper: not available; "
        "`make reproduce PROFILE=paper STUDY=pe_score` trains its models"
    ) in opened.notes


def test_a_study_without_its_images_models_settings_or_result_is_not_available(
    quick, saved, monkeypatch
):
    def available():
        return [source.title for source in sources.finished_sources(CPU)]

    assert len(available()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "find", lambda name, data_dir=None: None)
        assert available() == []
    experiment, store = quick.experiment, quick.experiment.trainer.store
    models = {store.path(experiment.step(v)): v for v in experiment.trained_variants}
    stored = set((paths.cache_folder() / "sp2ps-tuned").glob("*.pt"))
    assert set(models) <= stored, "the keys are not those of the study's models"
    pruned = next(path for path, variant in models.items() if variant.rule == "L1")
    aside = pruned.rename(pruned.with_suffix(".aside"))
    assert available() == []
    aside.rename(pruned)
    facts = json.loads((saved / "manifest.json").read_text())
    other = facts | {"config": facts["config"] | {"train_images": 61}}
    for text in (json.dumps(other), "{", json.dumps({"config": facts["config"]})):
        (saved / "manifest.json").write_text(text)
        assert available() == []


def test_a_model_that_is_damaged_later_is_reported_and_not_retrained(saved):
    (finished,) = sources.finished_sources(CPU)
    experiment = finished.lazy_experiment
    path = experiment.trainer.store.path(experiment.step(Variant("L1", 0.8, 1)))
    content = path.read_bytes()
    try:
        path.write_bytes(content[:500])
        session = explorer.Explorer({finished.title: finished})
        controls = widgets.Controls(session)
        with pytest.warns(UserWarning, match="cannot be read"):
            controls._controls["rate"].value = 0.8
        message = f"the stored model {path.name} is missing or damaged: run its study again"
        assert message in controls._status.value
        with pytest.warns(UserWarning), pytest.raises(DataError, match="is missing or damaged"):
            session.view(select(session, rate=0.8))
    finally:
        path.write_bytes(content)


# ---------------------------------------------------------------- images and controls


def test_an_image_that_may_not_be_shown_appears_nowhere(session, quick, monkeypatch):
    hidden_images = dataclasses.replace(quick.experiment.test, showable=False)
    hidden = dataclasses.replace(quick.experiment, test=hidden_images)
    source = dataclasses.replace(quick, lazy_experiment=hidden)
    monkeypatch.setattr(sources, "COARSE", 4)
    coarse = [name for name, (height, _) in quick.layers.items() if height <= 4]
    assert list(source.layers) == coarse, "finer cells would draw its outlines"
    assert source.first_layer == "features.20"
    selection = select(session, layer="features.20")
    view = explorer.Explorer({quick.title: source}).view(selection)
    panels = drawing.panels(view)
    assert view.image is None and (panels["image"] == 1).all()
    assert session.view(selection).image is not None
    assert np.array_equal(panels["unpruned"], drawing.overlay(None, view.baseline))
    assert np.array_equal(panels["pruned"], drawing.overlay(None, view.pruned))
    assert "does not allow the image to be shown" in view.text
    assert "not shown" in page.view_html(source, view)


def test_the_difference_is_red_where_the_pruned_network_has_more(session):
    view = session.view(select(session, rate=0.8, layer="features.17"))
    red, _, blue = drawing.panels(view)["pruned minus unpruned"].transpose(2, 0, 1)
    more, less = view.difference > 0.1, view.difference < -0.1
    assert more.any() or less.any()
    assert (red[more] > blue[more]).all() and (blue[less] > red[less]).all()


def test_rows_of_a_figure_are_labelled_by_what_distinguishes_them(session):
    def labels(*selections):
        figure = drawing.figure([session.view(selection) for selection in selections])
        return [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]

    first = select(session, rule="L1", rate=0.4, method="grad-cam")
    higher_rate = dataclasses.replace(first, rate=0.8)
    assert labels(first, higher_rate) == ["L1, 40 %", "L1, 80 %"]
    other_method = dataclasses.replace(first, method="grad-cam++")
    assert labels(first, other_method) == ["Grad-CAM", "Grad-CAM++"]
    other = dataclasses.replace(first, rule="Random", layer="features.20")
    assert labels(first, other) == ["L1, 40 %\nfeatures.19", "Random, 40 %\nfeatures.20"]
    assert labels(first, first) == ["L1, 40 %", "L1, 40 %"]


def test_the_diamond_lies_where_the_curve_has_that_score(quick):
    curve, curves = page.curve(quick, "L1"), quick.tables["curves"]
    pixels = np.asarray(PIL.Image.open(io.BytesIO(curve.png)).convert("RGB")) / 255
    colour = to_rgb(cams.METHODS["ablation-cam"].colour)  # drawn last, over the others
    for row in curves.query("rule == 'L1' and method == 'ablation-cam'").itertuples():
        left, top = curve.position(row.rate, row.sp2ps)
        point = pixels[round(top * pixels.shape[0]), round(left * pixels.shape[1])]
        assert np.abs(point - colour).max() < 0.1


def test_controls_change_text_and_images(session):
    controls = widgets.Controls(session)
    assert controls.selection == session.first_selection()
    assert controls.view.text.splitlines()[0] in controls._status.value
    before = controls._images.value
    changes = {
        "rate": 0.8,
        "image": 4,
        "rule": "Random",
        "method": "grad-cam",
        "layer": "features.20",
    }
    for name, value in changes.items():
        controls._controls[name].value = value
        assert getattr(controls.view.selection, name) == value
        assert getattr(controls.selection, name) == value
        assert controls._images.value != before
        before = controls._images.value
    assert controls._status.value == page.status_html(controls.view.text)
    bundle = controls._repr_mimebundle_()
    assert bundle["text/plain"] == widgets.STATIC_NOTE
    kind = "application/vnd.jupyter.widget-view+json"
    assert bundle[kind] == controls._box._repr_mimebundle_()[kind]


def test_another_data_set_brings_its_own_options(quick):
    fewer = dataclasses.replace(quick.experiment, test=quick.experiment.test.first(5))
    second = dataclasses.replace(quick, profile="overnight", lazy_experiment=fewer)
    session = explorer.Explorer({source.title: source for source in (quick, second)})
    controls = widgets.Controls(session)
    controls._controls["image"].value = 19
    controls._controls["source"].value = second.title
    assert len(controls._controls["image"].options) == 5
    assert controls.view.selection.source == second.title
    controls._controls["source"].value = quick.title
    assert len(controls._controls["image"].options) == 20
    assert controls.view.selection.source == quick.title


# ---------------------------------------------------------------- one's own picture


def photo(width=60, height=40, kind="PNG"):
    """Return the content of an image file of random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def test_a_picture_is_prepared_as_by_torchvision_and_explained_like_a_test_image(quick):
    source = dataclasses.replace(quick)
    session = explorer.Explorer({source.title: source})
    session.add_picture("mine.png", photo())
    selection = select(session, image=20, rate=0.4, method="grad-cam")
    view = session.view(selection)
    opened = PIL.Image.open(io.BytesIO(photo()))
    crop = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(32)])
    pixels = np.asarray(crop(opened)) / 255
    assert np.allclose(view.image, pixels)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    x = quick.experiment.prepare(x)
    with torch.no_grad():
        predicted = int(quick.experiment.baseline(x).argmax())
    assert view.predictions[0].class_name == quick.experiment.test.classes[predicted]
    maps = cams.heatmaps(
        quick.experiment.baseline, x, method="grad-cam", target_layer=selection.layer
    )
    assert np.allclose(view.baseline, maps[0], atol=1e-5)
    assert view.text.startswith("Your picture mine.png.") and view.label == ""
    assert session.table([selection])["image"].tolist() == ["mine.png"]
    with pytest.raises(ValueError, match="image must be 0 to 20, got 21"):
        session.view(select(session, image=21))


@pytest.mark.parametrize(
    ("name", "content"), [("notes.txt", b"hello"), ("half.png", photo()[:400]), ("none.png", b"")]
)
def test_a_file_that_is_no_picture_is_refused_in_a_sentence(session, quick, name, content):
    controls = widgets.Controls(session)
    shown = controls.selection
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    controls._on_upload({"new": (file | {"last_modified": None},)})
    assert f"{name} cannot be read as an image" in controls._status.value
    assert "<br>" not in controls._status.value, "one sentence"
    assert controls.selection == shown and not quick.pictures


def test_an_uploaded_picture_is_shown_in_every_data_set(quick):
    first, second = (dataclasses.replace(quick, profile=name) for name in ("quick", "overnight"))
    controls = widgets.Controls(
        explorer.Explorer({source.title: source for source in (first, second)})
    )
    file = {"name": "mine.jpg", "content": memoryview(photo(kind="JPEG"))}
    controls._on_upload({"new": (file,)})
    assert controls.view.file == "mine.jpg" and controls._controls["image"].value == 20
    controls._controls["source"].value = second.title
    controls._controls["image"].value = 20
    assert controls.view.file == "mine.jpg"


# ---------------------------------------------------------------- which images


def test_images_are_filtered_by_the_prediction_and_sorted_by_the_score(session, quick):
    selection = select(session, rule="Random", rate=0.8)
    test = quick.experiment.test
    x = quick.experiment.network_input(test.images)
    with torch.no_grad():
        predicted = quick.experiment.model(Variant("Random", 0.8, 1))(x).argmax(1)
    right = (predicted == test.labels).nonzero().flatten().tolist()
    wrong = (predicted != test.labels).nonzero().flatten().tolist()
    assert right and wrong
    assert session.images(selection, ranking.RIGHT) == right
    assert session.images(selection, ranking.WRONG) == wrong
    assert session.images(selection) == list(range(20))
    views = [session.view(dataclasses.replace(selection, image=image)) for image in range(20)]
    moved = session.images(selection, ranking.MOVED)
    expected = sorted(views, key=lambda view: (view.empty_maps != "none", view.scores["sp2ps"]))
    keys = [(view.empty_maps != "none", round(view.scores["sp2ps"], 4)) for view in expected]
    found = [views[image] for image in moved]
    assert [(v.empty_maps != "none", round(v.scores["sp2ps"], 4)) for v in found] == keys
    same = session.images(select(session, rate=0.0), ranking.MOVED)
    assert sorted(same) == list(range(20))
    with pytest.raises(ValueError, match="unknown choice of images 'blue'"):
        session.images(selection, "blue")


def test_the_controls_offer_the_images_of_the_filter(session, monkeypatch):
    controls = widgets.Controls(session)
    controls._controls["rule"].value, controls._controls["rate"].value = "Random", 0.8
    controls._controls["shown"].value = ranking.WRONG
    offered = [image for _, image in controls._controls["image"].options]
    assert offered == session.images(controls.selection, ranking.WRONG)
    assert controls.view.selection.image in offered
    assert controls.view.predictions[1].class_name != controls.view.label
    controls._controls["shown"].value = ranking.MOVED
    assert controls.view.selection.image == session.images(controls.selection, ranking.MOVED)[0]
    monkeypatch.setattr(ranking, "images", lambda source, selection, shown: [])
    controls._controls["shown"].value = ranking.RIGHT
    assert "no test image for &#x27;pruned network right&#x27;" in controls._status.value
    assert len(controls._controls["image"].options) == 20


# ---------------------------------------------------------------- codes, strips, files


def test_a_code_restores_the_view(session, quick):
    selection = select(session, image=7, rule="Random", rate=0.6, method="grad-cam")
    code = session.code(selection)
    assert code == "sp2ps/quick/generated-10/32/7/Random/0.6/grad-cam/features.19"
    assert session.selection(f" {code}\n") == selection
    controls = widgets.Controls(session, code=code)
    assert controls.selection == selection and controls._controls["code"].value == code
    controls._controls["rate"].value = 0.2
    assert controls._controls["code"].value == code.replace("0.6", "0.2")
    controls._controls["code"].value = code  # as pasted
    assert controls.view.selection == selection
    controls._controls["code"].value = "nonsense"
    assert "a view has the form STUDY/PROFILE/" in controls._status.value
    for text, message in {
        code.replace("quick", "paper"): "is not available: sp2ps/quick/generated-10/32 are",
        code.replace("/7/", "/seven/"): "image and rate of a view are numbers, got 'seven', '0.6'",
        code.replace("0.6", "0.7"): "unknown rate 0.7",
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            session.selection(text)


class Links(HTMLParser):
    """The links and images of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.images = {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "a":
            self.links[values["download"]] = urllib.request.urlopen(values["href"]).read()
        elif tag == "img":
            self.images.append(values)


def test_the_files_of_a_view_are_in_their_links(session):
    controls = widgets.Controls(session)
    controls._controls["save"].click()
    files = Links(controls._links.value).links
    figure, scores, heatmaps = files.values()
    assert PIL.Image.open(io.BytesIO(figure)).format == "PNG"
    row = pd.read_csv(io.BytesIO(scores)).iloc[0]
    assert row["Sp2PS"] == pytest.approx(controls.view.scores["sp2ps"])
    assert row["view"] == session.code(controls.selection) and row["empty heatmaps"] == "none"
    table = pd.read_csv(io.BytesIO(heatmaps))
    assert table[["row", "column"]].iloc[33].tolist() == [1, 1]
    view = controls.view
    for name, values in {"pruned": view.pruned, "difference": view.difference}.items():
        assert np.allclose(table[name].to_numpy().reshape(32, 32), values, atol=1e-6)
    controls._controls["rate"].value = 0.8
    assert controls._links.value == "", "the files are those of another view"


def test_cams_and_rates_stand_side_by_side(session):
    controls = widgets.Controls(session)
    for beside, count in ((widgets.METHODS, 2 * 3), (widgets.RATES, 5), (widgets.ONE, 0)):
        controls._controls["beside"].value = beside
        images = Links(controls._strip.value).images
        assert len(images) == count
        if beside == widgets.RATES:
            assert images[0]["alt"] == "Grad-CAM++ of the unpruned network"
            for rate, view in zip(
                (0, 20, 40, 60, 80),
                map(session.view, session.every_rate(controls.selection)),
                strict=True,
            ):
                caption = f"{rate} %: {view.predictions[1].class_name}, Sp2PS "
                assert f"{caption}{view.scores['sp2ps']:.3f}" in controls._strip.value
    rows = [
        [session.view(rate) for rate in session.every_rate(method)]
        for method in session.every_method(controls.selection)
    ]
    figure = drawing.film_strip(rows)
    assert [axes.get_title() for axes in figure.axes[:6]] == [
        "image",
        "0 %",
        "20 %",
        "40 %",
        "60 %",
        "80 %",
    ]
    shown = figure.axes[3].images[0].get_array()
    assert np.allclose(shown, drawing.panels(rows[0][2])["pruned"])


def test_the_player_moves_the_rate(session):
    controls = widgets.Controls(session)
    player = controls._controls["play"]
    assert (player.max, player.value) == (4, 2)
    player.value = 3
    assert controls.view.selection.rate == 0.6
    controls._controls["rate"].value = 0.2
    assert player.value == 1


def test_a_pixel_has_the_values_of_the_heatmaps(session, quick):
    controls = widgets.Controls(session)
    controls._controls["row"].value, controls._controls["column"].value = 5, 30
    view = controls.view
    text = f"unpruned {view.baseline[5, 30]:.2f}, pruned {view.pruned[5, 30]:.2f}, difference "
    assert f"row 5, column 30: {text}" in controls._pixel.value
    # What the browser reads under the mouse.
    attributes = re.search(r'data-unpruned="([^"]*)"', controls._images.value)
    values = np.frombuffer(base64.b64decode(attributes[1]), np.uint8).reshape(32, 32)
    assert np.abs(values / 255 - view.baseline).max() <= 0.5 / 255 + 1e-6
    coarse = dataclasses.replace(view, baseline=np.eye(2), pruned=np.zeros((2, 2)))
    assert coarse.pixel_text(1, 1) == (
        "Pixel in row 1, column 1: unpruned 1.00, pruned 0.00, difference -1.00."
    )


def test_a_diamond_stands_only_on_curves_of_the_same_layer_and_names_its_cam(session, quick):
    first = select(session, method="ablation-cam", layer=quick.study_layer)
    view = session.view(first)
    text = page.view_html(quick, view)
    colour = cams.METHODS["ablation-cam"].colour
    assert f"border:2.5px solid {colour}" in text and "of this image by Ablation-CAM" in text
    curves = len(drawing.curve_figure(quick, first.rule).axes[1].lines)
    marked = drawing.curve_with_marker(quick, view).axes[1].lines
    assert len(marked) == curves + 1
    assert marked[-1].get_xydata().tolist() == [[40, view.scores["sp2ps"]]]
    assert marked[-1].get_color() == colour
    elsewhere = session.view(dataclasses.replace(first, layer="features.19"))
    text = page.view_html(quick, elsewhere)
    assert "pruncam-diamond" not in text
    assert "No diamond: this image is read at layer features.19" in text
    assert len(drawing.curve_with_marker(quick, elsewhere).axes[1].lines) == curves


def test_a_table_names_the_networks_with_an_empty_heatmap(session, monkeypatch):
    selections = [select(session, rate=rate) for rate in (0.4, 0.8)]
    views = [session.view(selection) for selection in selections]
    empty = np.zeros((32, 32))
    views = [
        dataclasses.replace(views[0], pruned=empty),
        dataclasses.replace(views[1], baseline=empty, pruned=empty),
    ]
    monkeypatch.setattr(type(session), "view", lambda self, selection: views.pop(0))
    assert session.table(selections)["empty heatmaps"].tolist() == ["pruned", "both"]


def test_handwritten_digits_are_trained_when_they_are_first_used(monkeypatch):
    fewer = dataclasses.replace(small_config("quick"), rates=(0.4,), test_images=5)
    monkeypatch.setattr(Sp2psStudy, "configure", lambda profile: fewer)
    source = sources.digits_source(CPU)
    assert not source.lazy_experiment.models
    session = explorer.Explorer({source.title: source})
    view = session.view(session.first_selection())
    digits = sklearn.datasets.load_digits()
    assert view.label in map(str, digits.target_names)
    assert view.predictions[0].class_name == view.label and view.cells == (8, 8)
    assert set(source.tables) == {"curves", "controls"}


def test_a_walk_visits_every_combination_once_and_is_timed(session, quick):
    walk = speed.walk(session, quick.title)
    assert len(set(walk)) == len(walk) == 2 * 5 * 3 * len(quick.layers)
    table = speed.measure(session, walk[:3])
    assert (table[["looking, ms", "drawing, ms"]] > 0).all(axis=None)
    assert np.allclose(table["move, ms"], table["looking, ms"] + table["drawing, ms"])


def test_the_explorer_is_imported_without_ipywidgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    importlib.reload(widgets)
    with pytest.raises(ImportError, match=r'run `pip install "pruncam\[notebooks\]"`'):
        widgets.Controls(explorer.Explorer({}))


def test_an_unknown_profile_is_rejected():
    with pytest.raises(
        ValueError, match="unknown profile 'slow': choose one of quick, overnight, paper"
    ):
        explorer.open_explorer("slow")
