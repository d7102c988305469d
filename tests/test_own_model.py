"""Your own model: files read safely, a torchvision network's scores against the metrics called directly, the report."""

import base64
import copy
import dataclasses
import io
import json
import os
import pickle
import re
import shutil
import sys
import tarfile
import zipfile
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn.utils import prune
from torchvision.datasets import ImageFolder

from pruncam import cams, metrics, models, own, pruning, scoring, training
from pruncam.__main__ import main
from pruncam.datasets import DataError
from pruncam.own import checkpoints, networks, pictures

NETWORK = """
import torch
from torch import nn

def network(num_classes, in_channels=3):
    return nn.Sequential(nn.Conv2d(in_channels, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(6, num_classes))

def needy(depth):
    pass

def nothing():
    return 3

def agreement(x, y):
    return 1 - (x - y).abs().mean((1, 2))

def brightness(model, images, layer, targets):
    return images.mean(1).sigmoid()
"""
CLASSES = ("ant", "bee", "cat")


def draw(folder, classes=CLASSES, each=4, size=(16, 16), mode="RGB", ending="png"):
    """Pictures of noise, the same for the same arguments."""
    random = np.random.default_rng(len(classes) + each)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            pixels = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{number}.{ending}")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A user's folder: code, pictures, and checkpoints of two small networks."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(NETWORK)
    draw(folder / "test")
    draw(folder / "train", each=5)
    torch.manual_seed(1)
    baseline = networks.function(f"{folder}/mine.py:network", "model")(3)
    torch.save(baseline.state_dict(), folder / "a.pt")
    torch.save(pruning.global_unstructured(baseline, 0.5).state_dict(), folder / "b.pt")
    return folder


def files(place, **others):
    own_network = f"{place}/mine.py:network"
    return {"baseline": place / "a.pt", "pruned": place / "b.pt", "model": own_network, "data": place / "test"} | others


@pytest.fixture(scope="module")
def report(place, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        pair = own.load(**files(place, train=place / "train"))
        mine = {"own_scores": {"agreement": lambda x, y: 1 - (x - y).abs().mean((1, 2))}}
        return own.compare(pair, SETTINGS, **mine, progress=False)


SETTINGS = own.Settings(mean=(0.5,), std=(0.25,), seeds=(3, 4), bootstrap=100, learning_rate=0.05, moved=5)


# ---------------------------------------------------------------- checkpoints


def resnet(classes=3):
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=classes).eval()


def same_output(one, other):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return torch.allclose(one.eval()(x), other.eval()(x), atol=1e-5)


def as_data_parallel(model):
    return {"epoch": 3, "state_dict": nn.DataParallel(model).state_dict(), "best": 0.9}


def pruned_by_pytorch(model):
    for layer in (module for module in model.modules() if isinstance(module, nn.Conv2d)):
        prune.random_unstructured(layer, "weight", 0.4)
    return model.state_dict()


WAYS = {
    "plain": lambda model: model.state_dict(),
    "under model": lambda model: {"model": model.state_dict(), "optimizer": {"lr": 0.1}},
    "under model_state_dict": lambda model: {"model_state_dict": model.state_dict()},
    "DataParallel": as_data_parallel,
    "torch.compile": lambda model: {f"_orig_mod.{name}": value for name, value in model.state_dict().items()},
    "torch.nn.utils.prune": pruned_by_pytorch,
}


@pytest.mark.parametrize("way", WAYS)
def test_torchvisions_weights_come_back_however_they_were_wrapped(way, tmp_path):
    torch.manual_seed(0)
    model = torchvision.models.squeezenet1_1(num_classes=7).eval()
    torch.save(WAYS[way](model), tmp_path / "a.pt")
    found = checkpoints.read(tmp_path / "a.pt")
    assert (found.classes, found.channels) == (7, 3)
    assert same_output(networks.build("torchvision:squeezenet1_1", found, 64), model)


def test_a_network_with_fewer_filters_fits_its_unpruned_spec(tmp_path):
    torch.manual_seed(0)
    whole = models.vgg11(5, image_size=64, width=4, classifier_width=8, batch_norm=True)
    small = pruning.remove_filters(whole, 0.5, example_input=torch.zeros(1, 3, 64, 64))
    torch.save(small.state_dict(), tmp_path / "b.pt")
    found = networks.build("pruncam:vgg11", checkpoints.read(tmp_path / "b.pt"), 64)
    assert [len(m.weight) for m in pruning.prunable(found).values()] == [2, 4, 8, 8, 16, 16, 16, 16, 4, 4, 5]
    assert same_output(found, small)


class Runs:
    """What would run when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("content", [Runs(), {"state_dict": Runs()}])
def test_a_checkpoint_that_would_run_code_does_not(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "a.pt")
    with pytest.raises(ValueError, match="a.pt holds a .*mkdir, and only weights are loaded: save model.state_dict()"):
        checkpoints.read("a.pt")
    assert not os.path.exists("ran")


# ---------------------------------------------------------------- pictures


def test_classes_are_numbered_and_pixels_read_as_torchvisions_folder_does(tmp_path):
    draw(tmp_path, ("b", "a", "10", "9"), size=(20, 12))
    found, reference = pictures.read(tmp_path), ImageFolder(str(tmp_path))
    assert list(found.images.classes) == reference.classes
    theirs = {os.path.relpath(path, tmp_path): (path, label) for path, label in reference.samples}
    assert len(theirs) == len(found.files) == 16
    for file, image, label in zip(found.files, found.images.images, found.images.labels, strict=True):
        path, expected = theirs[file]
        assert int(label) == expected
        assert torch.equal(image, torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1))


def test_the_first_pictures_are_balanced_and_a_limit_takes_them(tmp_path):
    draw(tmp_path)
    found, all_of_them = pictures.read(tmp_path, limit=6), pictures.read(tmp_path)
    assert found.images.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(found.images.images, all_of_them.images.images[:6]) and found.files == all_of_them.files[:6]


def test_a_picture_is_resized_as_torchvision_does_and_its_middle_taken(tmp_path):
    y, x = np.mgrid[:40, :60]
    smooth = np.stack([4 * x, 6 * y, 2 * (x + y)], axis=-1).astype(np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(smooth).save(tmp_path / "a" / "0.png")
    from torchvision.transforms import functional

    expected = functional.center_crop(functional.resize(Image.fromarray(smooth), 20), 20)
    found = pictures.read(tmp_path, size=20).images.images[0].permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - np.asarray(expected).astype(int)).max() <= 1


def packed(folder, archive, top=""):
    """The folder's files in a zip or tar, below a folder `top`."""
    entries = [(path, f"{top}{path.relative_to(folder)}") for path in sorted(folder.rglob("*")) if path.is_file()]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path, name in entries:
                file.write(path, name)
    else:
        with tarfile.open(archive, "w:gz") as file:
            for path, name in entries:
                file.add(path, name)
    return archive


@pytest.mark.parametrize("name", ["p.zip", "p.tar.gz"])
@pytest.mark.parametrize("top", ["", "set/v1/"])
def test_archives_hold_what_the_folder_holds_and_nothing_is_unpacked(name, top, tmp_path):
    folder = draw(tmp_path / "test")
    (folder / ".DS_Store").write_bytes(b"x")
    archive = packed(folder, tmp_path / name, top)
    before = sorted(tmp_path.rglob("*"))
    found, expected = pictures.read(archive), pictures.read(folder)
    assert found.images.checksum == expected.images.checksum and found.files == expected.files
    assert sorted(tmp_path.rglob("*")) == before


def hostile_zip(path, name):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, b"x")


def hostile_tar(path, name, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w") as file:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        file.addfile(member)


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png", "C:\\evil.png"])
@pytest.mark.parametrize("make", [hostile_zip, hostile_tar])
def test_an_archive_with_members_outside_its_folder_is_refused(make, name, tmp_path):
    make(tmp_path / "evil", name)
    with pytest.raises(DataError, match="which lies outside its own folder: do not trust this archive"):
        pictures.read(tmp_path / "evil")
    assert [path.name for path in tmp_path.iterdir()] == ["evil"]


def test_a_tar_with_links_is_refused(tmp_path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        hostile_tar(tmp_path / "evil.tar", "a/link.png", kind)
        with pytest.raises(DataError, match="holds a/link.png, which is neither file nor folder"):
            pictures.read(tmp_path / "evil.tar")


# ---------------------------------------------------------------- the comparison


def test_the_scores_of_a_torchvision_network_are_the_metrics_of_its_heatmaps(tmp_path, place):
    draw(tmp_path / "test", each=2, size=(64, 64))
    baseline = resnet()
    pruned = copy.deepcopy(baseline)
    for layer in list(pruning.prunable(pruned).values())[:5]:
        layer.weight.data *= torch.rand(layer.weight.shape) > 0.5
    for name, model in (("a", baseline), ("b", pruned)):
        torch.save(model.state_dict(), tmp_path / f"{name}.pt")
    pair = own.load(tmp_path / "a.pt", tmp_path / "b.pt", "torchvision:resnet18", tmp_path / "test")
    found = own.compare(pair, own.Settings(methods=("grad-cam",), seeds=(1,), bootstrap=100), progress=False)
    x = torch.stack([torch.from_numpy(np.array(Image.open(tmp_path / "test" / f))) for f in pair.pictures.files])
    transform = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # ImageNet's
    x = transform(x.permute(0, 3, 1, 2) / 255)
    maps = [cams.heatmaps(model, x, method="grad-cam") for model in (baseline, pruned)]
    with torch.no_grad():
        one, other = baseline(x).softmax(1), pruned(x).softmax(1)
    top = one.argmax(1, keepdim=True)
    expected = {
        "sp2ps": metrics.sp2ps(*maps),
        "soft_iou": metrics.soft_iou(*maps),
        "pe": metrics.pe_score(*maps, one.gather(1, top)[:, 0], other.gather(1, top)[:, 0]),
    }
    for name, values in expected.items():
        assert np.allclose(found.tables["images"][name], values, atol=1e-4)
        row = found.tables["summary"].set_index("score").loc[name]
        assert row["mean"] == pytest.approx(values.mean().item(), abs=1e-4) and row["low"] <= row["mean"] <= row["high"]
    assert found.tables["images"]["file"].tolist() == list(pair.pictures.files)


def test_the_tables_say_what_the_rows_say(report):
    t = report.tables
    images = t["images"]
    once = images[images["method"] == "grad-cam"]
    accuracy = t["models"].set_index("model")["accuracy"]
    assert accuracy["baseline"] == pytest.approx(100 * (once["baseline_prediction"] == once["class"]).mean())
    assert accuracy["pruned"] == pytest.approx(100 * (once["pruned_prediction"] == once["class"]).mean())
    for row in t["classes"].itertuples():
        part = images[(images["method"] == row.method) & (images["class"] == row._2)]
        assert (row.images, row.sp2ps) == (len(part), pytest.approx(part["sp2ps"].mean(), abs=1e-6))
        assert row.agreement == pytest.approx(part["agreement"].mean())
    for method, part in t["moved"].groupby("method"):
        expected = images[images["method"] == method]["sp2ps"].nsmallest(5)
        assert part["sp2ps"].tolist() == pytest.approx(expected.tolist()) and part["place"].tolist() == [1, 2, 3, 4, 5]
    assert set(t["moved"].groupby("method").size()) == {5} and set(t["moved"]["file"]) <= set(images["file"])
    correct = t["correctness"].groupby("prediction")["images"].first().to_dict()
    assert correct.get("correct", 0) == (once["pruned_prediction"] == once["class"]).sum()
    cost = t["cost"].set_index("model")
    assert cost.loc["baseline", "parameters"] == 6 * 27 + 6 + 18 + 3  # conv 3->6 k3, FC 6->3
    assert cost.loc["pruned", "nonzero"] == 90 + 9 and cost.loc["pruned", "sparsity"] == 0.5  # half of 180 weights


def test_the_floor_is_the_baseline_fine_tuned_by_the_same_recipe(report, place, monkeypatch):
    pair = own.load(**files(place))
    tuned, train = copy.deepcopy(pair.baseline), pictures.read(place / "train")
    from pruncam.seeds import derive

    # mean 0.5 and std 0.25 of every channel: what `training.Inputs` knows by itself
    seed, inputs = derive(3, "own", "finetuning"), training.Inputs(mean=0.5, std=0.25)
    training.fit(tuned, train.images.images, train.images.labels, SETTINGS.recipe, inputs, seed=seed)
    rows = scoring.score(
        pair.baseline, tuned, pair.pictures.images, transform=lambda x: (x - 0.5) / 0.25, progress=False
    )
    expected = rows.groupby("method", observed=True)["sp2ps"].mean()
    ends = report.tables["ends"].set_index(["kind", "seed", "method", "score"])["mean"]
    for method, value in expected.items():
        assert ends["fine-tuned, not pruned", 3, method, "sp2ps"] == pytest.approx(value, abs=1e-3) and value < 1
    summary = report.tables["summary"].set_index(["method", "score"]).loc[("grad-cam", "sp2ps")]
    both = [ends["random weights", seed, "grad-cam", "sp2ps"] for seed in (3, 4)]
    assert summary["chance"] == pytest.approx(np.mean(both))
    assert summary["floor_low"] <= expected["grad-cam"] <= summary["floor_high"]


def test_a_network_against_itself_is_perfect_and_the_reading_warns_without_training_pictures(place):
    pair = own.load(**files(place, pruned=place / "a.pt"))
    found = own.compare(pair, SETTINGS, progress=False)
    summary = found.tables["summary"].set_index("score")
    assert np.allclose(summary.loc[["ssim", "sp2ps", "iou", "pe"], "mean"], 1, atol=1e-6)
    assert found.tables["summary"]["floor_low"].isna().all()
    text = " ".join(found.reading)
    assert "as many" in text and "100.0 %" in text and "How far fine-tuning alone moves the maps is not known" in text


READINGS = {
    "moved further": ((0.5, 0.4, 0.6), (0.7, 0.9), 0.1, "the maps moved further than fine-tuning moves them"),
    "inside": ((0.8, 0.7, 0.9), (0.7, 0.9), 0.1, "may be fine-tuning and not pruning"),
    "less": ((0.95, 0.94, 0.96), (0.7, 0.9), 0.1, "moved less than such fine-tuning"),
    "chance": ((0.2, 0.1, 0.3), (0.7, 0.9), 0.15, "are no closer to the baseline's than those"),
    "touching": ((0.6, 0.5, 0.7), (0.7, 0.9), 0.1, "may be fine-tuning and not pruning"),
}


@pytest.mark.parametrize("case", READINGS)
def test_the_reading_follows_from_the_intervals(report, case):
    (mean, low, high), (floor_low, floor_high), chance, words = READINGS[case]
    row = {"method": "grad-cam", "score": "sp2ps", "mean": mean, "low": low, "high": high}
    row |= {"floor_low": floor_low, "floor_high": floor_high, "chance": chance}
    found = own.reading.sentences(report.tables | {"summary": pd.DataFrame([row])})
    assert words in found[2] and "not known" not in " ".join(found)
    said = [entry[3] for entry in READINGS.values() if entry[3] in found[2]]
    assert len(set(said)) == (2 if case == "chance" else 1)


def test_the_same_comparison_gives_the_same_tables_whoever_made_the_copies(place, report, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path))
    pair = own.load(**files(place, train=place / "train"))
    mine = {"own_scores": {"agreement": lambda x, y: 1 - (x - y).abs().mean((1, 2))}}
    fresh = own.compare(pair, SETTINGS, **mine, progress=False)
    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr("pruncam.studies.workshop.fit", lambda *_, **__: pytest.fail("trained again"))
    kept = own.compare(pair, SETTINGS, **mine, progress=False)
    for name, table in report.tables.items():
        pd.testing.assert_frame_equal(fresh.tables[name], table, check_exact=True)
        pd.testing.assert_frame_equal(kept.tables[name], table, check_exact=True)


def test_a_layer_that_cannot_draw_new_weights_costs_the_chance_level_alone(place):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.factor * x

    pair = own.load(**files(place))
    networks_ = [nn.Sequential(copy.deepcopy(model), Scaled()) for model in (pair.baseline, pair.pruned)]
    found = own.compare(own.Pair(*networks_, pair.pictures), SETTINGS, progress=False)
    assert found.tables["summary"]["chance"].isna().all() and found.tables["ends"].empty
    assert "There is no chance level: cannot draw new weights for 1" in found.reading[-1]
    assert found.drawings["scale"].draw().axes


# ---------------------------------------------------------------- one's own score and CAM


def test_an_own_score_and_an_own_cam_stand_beside_ours(place):
    pair = own.load(**files(place))
    seen = []

    def half(model, images, layer, targets):
        seen.append((model.training, layer, targets.tolist()))
        return (images[:, 0].numpy() > 0).astype("float32")  # an array, as other libraries give

    mine = {"own_methods": {"half": half}, "own_scores": {"difference": lambda x, y: (x - y).abs().amax((1, 2))}}
    found = own.compare(pair, own.Settings(methods=("grad-cam",), seeds=(1,), bootstrap=100), **mine, progress=False)
    assert found.tables["summary"]["method"].unique().tolist() == ["grad-cam", "half"]
    assert "difference" in set(found.tables["summary"]["score"]) and "difference" in found.tables["classes"]
    rows = found.tables["images"]
    assert (rows.loc[rows["method"] == "half", "difference"] == 0).all(), "it looks at the images alone"
    with torch.no_grad():
        x = own.Settings().normalisation(3)(pair.pictures.images.images / 255)
        tops = pair.baseline(x).argmax(1).tolist()
    maps = [cams.heatmaps(model, x, method="grad-cam") for model in (pair.baseline, pair.pruned)]
    expected = (maps[0] - maps[1]).abs().amax((1, 2))
    assert np.allclose(rows.loc[rows["method"] == "grad-cam", "difference"], expected, atol=1e-6)
    assert (False, pair.baseline[0], tops) in seen and pair.baseline.training is False
    drawn = found.drawings["scale"].draw().axes
    titles, ticks = [axes.get_title() for axes in drawn], [label.get_text() for label in drawn[0].get_xticklabels()]
    assert titles == ["Sp2PS", "PE", "soft IoU", "difference"] and ticks == ["Grad-CAM", "half"]


def test_an_own_copy_of_our_cam_gives_our_scores_in_any_batch_size(place):
    pair = own.load(**files(place))

    def copied(model, images, layer, targets):
        return cams.heatmaps(model, images, method="grad-cam", target_layer=layer, targets=targets)

    x = pair.pictures.images.images / 255
    options = {"methods": ["grad-cam"], "own_methods": {"copied": copied}, "batch_size": 5, "progress": False}
    rows = scoring.score(pair.baseline, pair.pruned, x, **options)
    ours, copy_ = (rows.loc[rows["method"] == name, list(scoring.SCORES)].to_numpy() for name in ("grad-cam", "copied"))
    assert np.allclose(ours, copy_, atol=1e-6)


NET, X = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 2)), torch.rand(4, 1, 8, 8)
REFUSED = {
    "a score of all images": ({"own_scores": {"s": lambda x, y: x.mean()}}, r"'s' must give .*shape \(4,\), got \(\)"),
    "a score that is no number": ({"own_scores": {"s": lambda x, y: "high"}}, "'s' must give one .* got 'high'"),
    "a score that is NaN": ({"own_scores": {"s": lambda x, y: x.mean((1, 2)) * torch.nan}}, "'s' must give finite"),
    "a score of a taken name": ({"own_scores": {"pe": max}}, "own_scores: the name 'pe' is taken"),
    "a column's name": ({"own_scores": {"label": max}}, "own_scores: the name 'label' is taken"),
    "a CAM of a taken name": ({"own_methods": {"grad-cam": max}}, "own_methods: the name 'grad-cam' is taken"),
    "a CAM of one map": (
        {"own_methods": {"c": lambda m, x, *_: x[0]}},
        r"'c' must give .* \(4, 8, 8\), got \(1, 8, 8\)",
    ),
    "a CAM beyond 1": ({"own_methods": {"c": lambda m, x, *_: 2 + x[:, 0]}}, r"in \[0, 1\], got \[2.* scale them"),
    "a CAM with NaN": ({"own_methods": {"c": lambda m, x, *_: x[:, 0] * torch.nan}}, r"in \[0, 1\], got \[nan, nan\]"),
    "a CAM that gives nothing": ({"own_methods": {"c": lambda *_: None}}, "'c' must give a tensor .* got None"),
    "a list": ({"own_scores": [max]}, "own_scores must be a dict of functions by name"),
    "no function": ({"own_scores": {"s": 3}}, "own_scores: 's' must be a function, got int"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_own_functions_that_do_not_fit_are_refused_in_one_sentence(case):
    options, message = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        scoring.score(NET, NET, X, methods=["grad-cam"], progress=False, **options)
    assert "\n" not in str(caught.value)


def test_scores_of_a_summary_are_those_asked_for():
    rows = scoring.score(
        NET, NET, X, methods=["grad-cam"], own_scores={"s": lambda x, y: x.mean((1, 2))}, progress=False
    )
    assert scoring.summarize(rows, scores=["s", "pe"], samples=100)["score"].tolist() == ["s", "pe"]
    assert rows.columns.tolist().index("s") == rows.columns.tolist().index("pe") + 1
    for scores, message in (("pe", "must be a list"), ([], "must be a list"), (["t"], "these have no column t")):
        with pytest.raises(ValueError, match=message):
            scoring.summarize(rows, scores=scores)


# ---------------------------------------------------------------- the report


class Links(HTMLParser):
    """What a page asks for, the pictures in it, and its tags."""

    def __init__(self):
        super().__init__()
        self.asked, self.pictures, self.tags, self.open = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "data"):
                (self.pictures if value.startswith("data:image/png;base64,") else self.asked).append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    return report.save(tmp_path_factory.mktemp("saved") / "deep" / "report")


def test_the_page_needs_nothing_but_itself(report, page):
    text, links = page.read_text(encoding="utf-8"), Links()
    links.feed(text)
    assert links.asked == [] and links.open == [] and "script" not in links.tags
    assert not re.search(r"url\(|@import|https?://", text)
    assert len(links.pictures) == 4
    for picture, name in zip(links.pictures, ("scale", "moved", "distributions", "classes"), strict=True):
        packed_picture = base64.b64decode(picture.partition(",")[2])
        assert packed_picture == (page.parent / f"figure_{name}.png").read_bytes()
        assert Image.open(io.BytesIO(packed_picture)).size[0] > 300
    assert "prefers-color-scheme: dark" in text and all(sentence[:30] in text for sentence in report.reading)
    assert links.tags.count("table") == 7


def test_names_of_files_and_classes_cannot_break_the_page(report):
    evil = "<script>alert(1)</script>"
    tables = {name: table.replace({"ant": evil, "ant/0.png": evil}) for name, table in report.tables.items()}
    text = own.page.html(
        [evil], tables, dict.fromkeys(report.drawings, b""), dict.fromkeys(report.drawings, evil), report.manifest
    )
    assert evil not in text and "&lt;script&gt;" in text


def test_a_report_holds_every_table_and_how_it_came_about(report, page, place):
    names = {path.name for path in page.parent.iterdir()}
    assert names == {
        "report.html", "manifest.json", *(f"table_{name}.csv" for name in report.tables),
        *(f"figure_{name}.png" for name in ("scale", "moved", "distributions", "classes")),
    }  # fmt: skip
    table = pd.read_csv(page.parent / "table_summary.csv")
    assert np.allclose(table["mean"], report.tables["summary"]["mean"])
    manifest = json.loads((page.parent / "manifest.json").read_text())
    assert manifest["checkpoints"][0]["name"] == "a.pt" and manifest["own_scores"] == ["agreement"]
    assert [s["split"] for s in manifest["data"]] == ["test", "train"] and str(place) not in json.dumps(manifest)


def test_a_report_is_whole_or_not_there(report, page, tmp_path, monkeypatch):
    shutil.copytree(page.parent, tmp_path / "report")
    plain, before = dataclasses.replace(report, drawings={}), page.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(own.page, "html", lambda *_: 1 / 0)
        for folder in (tmp_path / "report", tmp_path / "new"):
            with pytest.raises(ZeroDivisionError):
                plain.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (tmp_path / "report" / "report.html").read_bytes() == before
    monkeypatch.setattr(own.page, "html", lambda *_: "another")
    (tmp_path / "report" / "figure_old.png").touch()
    assert plain.save(tmp_path / "report").read_text() == "another"
    assert not list((tmp_path / "report").glob("figure_*")) and len(list(tmp_path.iterdir())) == 1


# ---------------------------------------------------------------- the command line


def command(place, out, **others):
    given = {name: str(value) for name, value in files(place).items()} | {"out": str(out)} | others
    words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]
    return ["score", *words, "--seeds", "1", "--mean", "0.5", "--std", "0.25"]


def test_the_command_line_gives_what_the_function_gives(place, tmp_path, capsys):
    mine = {"own_score": f"{place}/mine.py:agreement", "own_cam": f"{place}/mine.py:brightness", "images": "7"}
    arguments = command(place, tmp_path / "report", **mine) + ["--methods", "grad-cam"]
    assert main(arguments) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f"the report is {tmp_path / 'report' / 'report.html'}"
    found = pd.read_csv(tmp_path / "report" / "table_summary.csv")
    pair = own.load(**files(place), images=7)
    settings = own.Settings(methods=("grad-cam",), mean=(0.5,), std=(0.25,), seeds=(1,))
    functions = {name: networks.function(f"{place}/mine.py:{name}", "") for name in ("agreement", "brightness")}
    expected = own.compare(
        pair, settings, own_scores={"agreement": functions["agreement"]},
        own_methods={"brightness": functions["brightness"]}, progress=False,
    ).tables["summary"]  # fmt: skip
    assert found["images"].unique().tolist() == [7]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["score", "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    for option in (
        "baseline",
        "pruned",
        "model",
        "data",
        "out",
        "train",
        "size",
        "mean",
        "std",
        "target-layer",
        "epochs",
    ):
        assert f"--{option} " in text


@pytest.fixture(scope="module")
def wrong(place, tmp_path_factory):
    """Files that are wrong in one way each, beside good ones."""
    folder = tmp_path_factory.mktemp("wrong")
    torch.save(resnet(3).state_dict(), folder / "resnet.pt")
    torch.save(networks.function(f"{place}/mine.py:network", "")(5).state_dict(), folder / "five.pt")
    torch.save([1, 2], folder / "list.pt")
    torch.save({"epoch": 3, "weights": torch.zeros(1)}, folder / "other.pt")
    torch.save(nn.Linear(3, 2).state_dict(), folder / "linear.pt")
    (folder / "text.pt").write_text("hello")
    (folder / "pickle.pt").write_bytes(pickle.dumps({"a": 1}))
    (folder / "empty").mkdir()
    draw(folder / "two", ("ant", "bee"))
    draw(folder / "large", size=(24, 24), each=1)
    draw(folder / "mixed")
    Image.new("RGB", (9, 9)).save(folder / "mixed" / "bee" / "9.png")
    draw(folder / "corrupt")
    (folder / "corrupt" / "bee" / "2.png").write_bytes(b"no picture")
    draw(folder / "hollow")
    (folder / "hollow" / "dog").mkdir()
    draw(folder / "loose")
    Image.new("RGB", (16, 16)).save(folder / "loose" / "x.png")
    (folder / "broken.py").write_text("import nowhere_at_all")
    (folder / "zip.zip").write_bytes(packed(folder / "two", folder / "whole.zip").read_bytes()[:300])
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("keep me")
    return folder


CASES = {
    "no checkpoint": ({"baseline": "{w}/none.pt"}, "there is no checkpoint .*none.pt: give a file"),
    "a text": ({"pruned": "{w}/text.pt"}, "text.pt cannot be read as weights alone: save"),
    "a pickle": ({"pruned": "{w}/pickle.pt"}, "pickle.pt (holds no state dict|cannot be read)"),
    "a list": ({"pruned": "{w}/list.pt"}, "list.pt holds no weights but a list"),
    "no state dict": ({"pruned": "{w}/other.pt"}, "other.pt holds no state dict: epoch is no tensor"),
    "no convolution": ({"baseline": "{w}/linear.pt", "pruned": "{w}/linear.pt"}, "linear.pt holds no convolution"),
    "wrong keys": ({"pruned": "{w}/resnet.pt"}, "resnet.pt does not fit .*:network: this state is of another network"),
    "other class count": ({"pruned": "{w}/five.pt"}, "the same classes, a.pt has 3, five.pt 5"),
    "classes without folders": ({"data": "{w}/two"}, r"has 3 classes, the pictures have 2 \(ant, bee\)"),
    "other training classes": ({"train": "{w}/two"}, r"the training pictures have other classes \(ant, bee\)"),
    "no images": ({"data": "{w}/empty"}, "empty holds no pictures: it must have a sub-folder"),
    "no folder": ({"data": "{w}/none"}, "there is no folder or archive .*none"),
    "no archive": ({"data": "{w}/text.pt"}, "text.pt is no folder, zip or tar"),
    "half a zip": ({"data": "{w}/zip.zip"}, "zip.zip (is no folder, zip or tar|cannot be read)"),
    "a corrupt picture": ({"data": "{w}/corrupt"}, "corrupt/bee/2.png cannot be read as a picture .*: repair or"),
    "several sizes": ({"data": "{w}/mixed"}, "pictures of several sizes, .*9x9.*: give the size"),
    "an empty class": ({"data": "{w}/hollow"}, "the class 'dog' has no picture"),
    "pictures in no class": ({"data": "{w}/loose"}, "holds x.png in no class"),
    "no such layer": ({"target_layer": "conv9"}, "the model has no layer 'conv9': did you mean"),
    "a layer without extent": ({"target_layer": "4"}, "target layer '4' must give .* nothing to place"),
    "a layer of one pixel": ({"target_layer": "2"}, "target layer 2 gives maps of one pixel for images of 16x16"),
    "an unknown CAM": ({"methods": "cam"}, "unknown CAM method 'cam': choose one of grad-cam"),
    "an unknown family": ({"model": "resnet18"}, "model must be torchvision:resnet18, .* got 'resnet18'"),
    "an unknown network": ({"model": "torchvision:resnet19"}, "unknown torchvision classifier 'resnet19'"),
    "an unknown one of ours": ({"model": "pruncam:vgg12"}, "unknown network of pruncam 'vgg12': choose one of"),
    "no such file": ({"model": "{w}/none.py:network"}, "there is no file .*none.py"),
    "no such function": ({"model": "{p}/mine.py:net"}, "mine.py has no function 'net'"),
    "no such module": ({"model": "nowhere_at_all:net"}, "nowhere_at_all cannot be imported .ModuleNotFoundError"),
    "a file that fails": ({"model": "{w}/broken.py:net"}, "broken.py cannot be imported .*nowhere_at_all"),
    "a function that needs more": ({"model": "{p}/mine.py:needy"}, "mine.py:needy makes no network .*depth"),
    "a function of no network": ({"model": "{p}/mine.py:nothing"}, "nothing must give a torch.nn.Module, got int"),
    "no size": ({"size": "0"}, "size must be at least 1, got 0"),
    "no epochs": ({"epochs": "0"}, "a schedule is .epochs, learning rate. pairs"),
    "an own score that is none": ({"own_score": "agreement"}, "own score must be .*FILE.py:function, got 'agreement'"),
    "a folder of something else": ({"out": "{w}/mine"}, "mine is there and is no report: give another name"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_sentence_and_leaves_nothing(case, place, wrong, capsys):
    given, message = CASES[case]
    given = {name: value.format(w=wrong, p=place) for name, value in given.items()}
    out = wrong / "report"
    before = {path: path.stat().st_mtime_ns for path in wrong.rglob("*") if "__pycache__" not in str(path)}
    methods = given.pop("methods", None)
    arguments = command(place, given.pop("out", out), **given) + (["--methods", methods] if methods else [])
    assert main(arguments) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("pruncam: ")]
    assert re.search(message, line), line
    after = {path: path.stat().st_mtime_ns for path in wrong.rglob("*") if "__pycache__" not in str(path)}
    assert after == before and "Traceback" not in captured.err


def test_grey_pictures_need_their_own_mean_and_deviation():
    with pytest.raises(ValueError, match="ImageNet's mean and std are those of 3 channels, the pictures have 1: give"):
        own.Settings().normalisation(1)
    with pytest.raises(ValueError, match="mean must have 1 or 3 numbers, one for each channel, got 2"):
        own.Settings(mean=(0.5, 0.5), std=(1.0,)).normalisation(3)
    for bad in ({"mean": (0.5,)}, {"mean": (0.5,), "std": (0.0,)}, {"seeds": (1, 1)}, {"seeds": ()}, {"bootstrap": 3}):
        with pytest.raises(ValueError):
            own.Settings(**bad)


def test_columns_of_words_begin_on_the_left_and_those_of_numbers_end_on_the_right(page):
    text = page.read_text()
    found = re.findall(r'<table class="dataframe((?: words\d)*)">.*?<tbody>\s*<tr[^>]*>(.*?)</tr>', text, re.DOTALL)
    assert len(found) == text.count("<table") >= 5
    for classes, row in found:
        cells = enumerate(re.findall(r"<td>(.*?)</td>", row), start=1)
        words = [number for number, cell in cells if not re.fullmatch(r"-?[\d.e-]*", cell)]
        assert words and [f"words{number}" for number in words] == classes.split()
        assert all(f".words{number} :is(th, td):nth-child({number}) {{ text-align: left }}" in text for number in words)


# ---------------------------------------------------------------- the example of the notebook


def test_the_example_reads_digits_and_is_made_once(tmp_path):
    found = own.example(tmp_path / "example")
    pair = own.load(**vars(found))
    x = own.Settings(mean=(0.1307,), std=(0.3081,)).normalisation(1)(pair.pictures.images.images / 255)
    assert len(x) == 355 and len(pair.training.files) == 1442
    assert training.accuracy(pair.baseline, x, pair.pictures.images.labels) > 95
    assert [len(m.weight) for m in pruning.prunable(pair.pruned).values()] == [2, 4, 10]
    stamp = found.baseline.stat().st_mtime_ns
    assert own.example(tmp_path / "example") == found and found.baseline.stat().st_mtime_ns == stamp


def test_files_are_a_pair_of_ones_own_or_the_example_and_nothing_between(monkeypatch):
    monkeypatch.setattr(sys.modules[own.named.__module__], "example", lambda: "the example")
    assert own.named(None, None, "torchvision:resnet18", None) == "the example"
    whole = own.named("a.pt", "b.pt", "pruncam:vgg11", "pictures", "more")
    assert whole == own.Files("a.pt", "b.pt", "pruncam:vgg11", "pictures", "more")
    with pytest.raises(ValueError, match="this is None: baseline, data; name all three, or leave all"):
        own.named(None, "b.pt", "pruncam:vgg11", None)
    with pytest.raises(ValueError, match="this is None: baseline, pruned, data;"):
        own.named(None, None, "pruncam:vgg11", None, "more")
