"""Options of a comparison: faithfulness, objects, outputs with more than logits, other layers."""

import json
import math
import shlex
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pruncam import cams, comparison, metrics, pruning, scoring
from pruncam.cli import main
from pruncam.comparison import (
    faithfulness,
    files,
    measuring,
    on_objects,
    other_layers,
    scored_parts,
    summary_text,
    user_code,
)
from pruncam.comparison.titles import shortened
from pruncam.datasets import DataError, object_masks, streamed_images
from pruncam.datasets.decoding import Decoder

pytestmark = pytest.mark.usefixtures("coarse_figures")

NETWORKS = """
from torch import nn


class Plain(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class Named(Plain):
    def forward(self, x):
        features = self.features(x)
        return {"features": features, "logits": self.head(features.mean((2, 3)))}


class Second(Plain):
    def forward(self, x):
        features = self.features(x)
        return features, self.head(features.mean((2, 3)))


class Tokens(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 3, stride=3)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(tokens).mean(1))


def plain(num_classes=2): return Plain(num_classes)
def named(num_classes=2): return Named(num_classes)
def second(num_classes=2): return Second(num_classes)
def tokens(num_classes=2): return Tokens(num_classes)
def logits(value): return value["logits"]
def grid(tokens): return tokens.transpose(1, 2).unflatten(2, (4, 4))
def flat(tokens): return tokens.flatten(1)
"""
SETTINGS = comparison.Settings(
    methods=("grad-cam", "layer-cam"), mean=(0.5,), std=(0.25,), seeds=(1,), bootstrap=100
)


@pytest.fixture(scope="module")
def user(tmp_path_factory, ants_and_bees):
    """A user's folder: networks, images of two classes, and checkpoints of each network."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(NETWORKS)
    (folder / "test").symlink_to(ants_and_bees)
    image = torch.zeros(1, 3, 12, 12)
    for name, classes in (("plain", 2), ("tokens", 2), ("plain", 1)):
        torch.manual_seed(3)
        network = user_code.load_function(f"{folder}/mine.py:{name}", "model")(classes)
        network.head.weight.data.mul_(20)
        pruned = pruning.global_unstructured(network, 0.5)
        if name == "plain":
            pruned = pruning.remove_filters(network, 0.5, example_input=image)
        torch.save(network.state_dict(), folder / f"{name}{classes}_a.pt")
        torch.save(pruned.state_dict(), folder / f"{name}{classes}_b.pt")
    return folder


def files_of(user, model, checkpoint="plain2", **others):
    return comparison.Files(
        baseline=user / f"{checkpoint}_a.pt",
        pruned=user / f"{checkpoint}_b.pt",
        model=f"{user}/mine.py:{model}",
        data=user / "test",
        **others,
    )


def compared(user, model, checkpoint="plain2", settings=SETTINGS, **others):
    pair = comparison.load(files_of(user, model, checkpoint, **others))
    return comparison.compare(pair, settings=settings, progress=False)


def on_command_line(user, out, model, *options, checkpoint="plain2"):
    """Run `pruncam compare` on the user's files and return its exit status."""
    arguments = ["--baseline", user / f"{checkpoint}_a.pt", "--pruned", user / f"{checkpoint}_b.pt"]
    arguments += ["--model", f"{user}/mine.py:{model}", "--data", user / "test", "--out", out]
    numbers = ["--mean", "0.5", "--std", "0.25", "--seeds", "1", "--methods", "grad-cam"]
    return main(["compare", *map(str, arguments), *numbers, *options])


# ---------------------------------------------------------------- faithfulness


def test_a_report_has_the_means_of_road(user, tmp_path, capsys):
    status = on_command_line(user, tmp_path / "r", "plain", "--faithfulness", "4", "--json")
    printed = json.loads(capsys.readouterr().out)
    pair = comparison.load(files_of(user, "plain"))
    images = pair.images.pixels(torch.tensor([0, 1, 3, 4]))  # two of each class
    x = (images.float() / 255 - 0.5) / 0.25
    rows = {row["model"]: row for row in printed["faithfulness"]}
    assert status == 0 and list(rows) == ["baseline", "pruned"]
    for name, network in (("baseline", pair.baseline), ("pruned", pair.pruned)):
        explanation = cams.explain(network, x, methods=["grad-cam"])
        scores = cams.road(network, x, explanation.maps["grad-cam"])
        assert not scores.combined.isnan().any(), "this test is not about empty maps"
        for column in ("most_relevant_first", "least_relevant_first", "combined"):
            expected = float(getattr(scores, column).mean())
            assert rows[name][column] == pytest.approx(expected, abs=1e-6)
            assert rows[name][f"{column}_low"] <= expected <= rows[name][f"{column}_high"]
        assert (rows[name]["images"], rows[name]["empty"]) == (4, 0)
    assert abs(rows["baseline"]["combined"]) > 1e-3
    table = pd.read_csv(tmp_path / "r" / "table_faithfulness.csv")
    assert table["combined"].tolist() == pytest.approx([row["combined"] for row in rows.values()])
    (sentence,) = [text for text in printed["sentences"] if text.startswith("Faithfulness (ROAD, ")]
    page = (tmp_path / "r" / "report.html").read_text()
    assert sentence in page and "Are the maps faithful?" in page
    assert "Faithfulness (ROAD, 4 images)" in (tmp_path / "r" / "model_card.md").read_text()


def test_without_the_option_nothing_is_tested(user, tmp_path):
    report = compared(user, "plain")
    assert "faithfulness" not in report.tables and "faithfulness" not in report.as_json()
    assert not any("Faithfulness" in text for text in report.summary)
    page = report.save(tmp_path / "r").read_text()
    assert "Are the maps faithful?" not in page


def test_cams_of_the_user_are_tested_too(user):
    pair = comparison.load(files_of(user, "plain"))
    custom = {"nothing": lambda model, images, layer, targets: torch.zeros(len(images), 12, 12)}
    settings = comparison.Settings(
        methods=("layer-cam",), mean=(0,), std=(1,), bootstrap=100, faithfulness_images=99
    )
    report = comparison.compare(pair, settings=settings, custom_methods=custom, progress=False)
    table = report.tables["faithfulness"].set_index(["model", "method"])
    assert len(table) == 4 and (table["images"] == 6).all(), "there are no more images"
    assert (table.xs("nothing", level="method")["empty"] == 1).all()
    assert table.xs("nothing", level="method")["combined"].isna().all()
    assert report.as_json()["faithfulness"][1]["combined"] is None


def row_of(model, method, combined, low, high):
    bounds = {"combined": combined, "combined_low": low, "combined_high": high}
    return {"model": model, "method": method, "images": 8, **bounds}


def test_the_sentence_names_maps_that_mark_nothing():
    table = pd.DataFrame(
        [
            row_of("baseline", "grad-cam", 0.2, 0.1, 0.3),
            row_of("pruned", "grad-cam", 0.1, 0.0, 0.2),
            row_of("pruned", "mine", math.nan, math.nan, math.nan),
        ]
    )
    text = faithfulness.faithfulness_sentence(table)
    assert "Grad-CAM 0.200 [0.100, 0.300] in the baseline, 0.100 [0.000, 0.200] in the" in text
    assert "mine none in the pruned network, where every map is empty" in text
    assert text.endswith("Not shown to mark pixels that matter: Grad-CAM of the pruned network.")
    assert "Not shown" not in faithfulness.faithfulness_sentence(table[:1])


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.5, ValueError)])
def test_the_number_of_images_must_be_whole(value, error):
    with pytest.raises(error, match="faithfulness_images"):
        comparison.Settings(faithfulness_images=value)


# ---------------------------------------------------------------- masks of the objects


@pytest.fixture
def masks(tmp_path):
    """A folder with a mask of each image: a rectangle, stored in several ways."""
    random = np.random.default_rng(5)
    for name in ("ant", "bee"):
        (tmp_path / "masks" / name).mkdir(parents=True)
        for number, mode in enumerate(("L", "1", "RGB")):
            pixels = random.integers(0, 128, (12, 12)).astype(np.uint8)  # none is above half
            top, left, height, width = random.integers(2, 7, 4)
            light = random.integers(128, 256, (height, width))
            pixels[top : top + height, left : left + width] = light[: 12 - top, : 12 - left]
            if mode == "1":
                pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(tmp_path / "masks" / name / f"{number}.bmp")
    return tmp_path / "masks"


def expected_hits(pair, network, method, masks):
    """Return area, energy, pointing (n, 3) of the images that have a mask, with NumPy alone."""
    x = (pair.images.images.float() / 255 - 0.5) / 0.25
    with torch.no_grad():
        targets = pair.baseline(x).argmax(1)
    maps = cams.heatmaps(network, x, method=method, targets=targets).double().numpy()
    hits = []
    for heatmap, name in zip(maps, pair.file_names, strict=True):
        file = masks / name.replace(".png", ".bmp")
        if file.exists():
            mask = np.array(Image.open(file).convert("L")) > 127.5
            energy = heatmap[mask].sum() / heatmap.sum()
            hits.append((mask.mean(), energy, mask.flat[heatmap.argmax()]))
    return np.array(hits, dtype=float)


def test_the_share_of_the_maps_on_the_objects(user, masks, tmp_path, capsys):
    options = "--masks", str(masks), "--train", str(user / "test"), "--json"
    assert on_command_line(user, tmp_path / "r", "plain", *options) == 0
    printed = json.loads(capsys.readouterr().out)
    rows = {row["model"]: row for row in printed["objects"]}
    assert list(rows) == ["baseline", "pruned", "fine-tuned, not pruned 1", "random weights 1"]
    pair = comparison.load(files_of(user, "plain"))
    before = expected_hits(pair, pair.baseline, "grad-cam", masks)
    for name, network in (("baseline", pair.baseline), ("pruned", pair.pruned)):
        hits = expected_hits(pair, network, "grad-cam", masks)
        row = rows[name]
        assert not np.isnan(hits).any(), "this test is not about empty maps"
        assert (row["images"], row["empty"]) == (6, 0)
        columns = dict(zip(("area", "energy", "pointing"), hits.T, strict=True))
        columns["above_area"] = hits[:, 1] - hits[:, 0]
        if name == "pruned":
            columns["change"] = hits[:, 1] - before[:, 1]
        for column, values in columns.items():
            assert row[column] == pytest.approx(values.mean(), abs=1e-6)
            assert row[f"{column}_low"] <= values.mean() <= row[f"{column}_high"]
    assert rows["baseline"]["change"] is None and abs(rows["pruned"]["change"]) > 1e-3
    assert rows["random weights 1"]["energy"] not in (None, rows["baseline"]["energy"])
    table = pd.read_csv(tmp_path / "r" / "table_objects.csv")
    assert table["energy"].tolist() == pytest.approx([row["energy"] for row in rows.values()])
    (sentence,) = [text for text in printed["sentences"] if text.startswith("On the object")]
    assert sentence.startswith("On the object (6 images): Grad-CAM has ")
    assert f"{rows['pruned']['energy']:.2f} [" in sentence and "fine-tuning alone" in sentence
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Are the maps on the object?" in page and "energy minus area" in page
    command = json.loads((tmp_path / "r" / "manifest.json").read_text())["command"]
    assert "--masks masks" in command and str(masks) not in command


def test_without_masks_there_is_nothing_about_objects(user, tmp_path):
    report = compared(user, "plain")
    assert "objects" not in report.tables and "objects" not in report.as_json()
    assert not any("On the object" in text for text in report.summary)
    assert "Are the maps on the object?" not in report.save(tmp_path / "r").read_text()


def test_images_without_a_usable_mask_are_named_and_left_out(user, masks):
    (masks / "ant" / "1.bmp").unlink()
    report = compared(user, "plain", masks=masks)
    pair = comparison.load(files_of(user, "plain"))
    for method in SETTINGS.methods:
        rows = report.tables["objects"].set_index(["model", "method"])
        hits = expected_hits(pair, pair.pruned, method, masks)
        assert len(hits) == 5 and rows.loc[("pruned", method), "images"] == 5
        energy = rows.loc[("pruned", method), "energy"]
        assert energy == pytest.approx(hits[:, 1].mean(), abs=1e-6)
    Image.new("L", (12, 12), 127).save(masks / "bee" / "2.bmp")
    report = compared(user, "plain", masks=masks)
    assert (report.tables["objects"]["images"] == 4).all()
    (sentence,) = [text for text in report.summary if text.startswith("On the object")]
    assert sentence.startswith(
        "On the object (4 images; left out: 1 without a mask (ant/1.png) and 1 whose mask marks no "
        "pixel (bee/2.png)): Grad-CAM has "
    )


def draw_nothing(masks):
    for file in masks.rglob("*.bmp"):
        Image.new("L", (12, 12), 1).save(file)  # 1 for the object, in a mask of class numbers


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda masks: Image.new("L", (8, 12), 255).save(masks / "ant" / "1.bmp"),
            "1 of 6 masks have another size than their image (",
        ),
        (
            lambda masks: Image.new("L", (8, 12), 255).save(masks / "ant" / "1.bmp"),
            "1.bmp is 12x8, its image 12x12): a mask must have the size of the image's file",
        ),
        (
            lambda masks: Image.new("RGB", (12, 12), (200, 0, 0)).save(masks / "ant" / "1.bmp"),
            "1.bmp is in colour: a mask must be grey, light on the object",
        ),
        (
            lambda masks: Image.new("L", (12, 12), 255).save(masks / "ant" / "1.png"),
            "2 masks are named ant/1, apart from the suffix",
        ),
        (lambda masks: (masks / "ant" / "1.bmp").write_bytes(b"BM"), "cannot be read as an image"),
        (draw_nothing, "marks a pixel: those of the object must lie above half of the range"),
        (
            lambda masks: (masks / "ant").rename(masks / "ants") and (masks / "bee").rename("bees"),
            "holds no mask of the images: that of ant/0.png must be named as it, such as ant/0.png",
        ),
        (lambda masks: masks.rename(masks.with_name("others")), "does not exist"),
    ],
)
def test_masks_that_do_not_fit_are_refused(
    user, masks, tmp_path, capsys, monkeypatch, spoil, message
):
    monkeypatch.chdir(tmp_path)
    spoil(masks)
    assert on_command_line(user, tmp_path / "r", "plain", "--masks", str(masks)) != 0
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error and not (tmp_path / "r").exists()


def test_streamed_images_have_the_same_shares(user, masks, monkeypatch):
    (masks / "bee" / "0.bmp").unlink()
    expected = compared(user, "plain", masks=masks).tables["objects"]
    monkeypatch.setattr(files, "IN_MEMORY", 100)
    monkeypatch.setattr(streamed_images, "PART_BYTES", 2 * 3 * 12 * 12)
    pair = comparison.load(files_of(user, "plain", masks=masks))
    assert type(pair.images).__name__ == "StreamedImages"
    table = comparison.compare(pair, settings=SETTINGS, progress=False).tables["objects"]
    pd.testing.assert_frame_equal(table, expected, rtol=1e-5)


def test_masks_in_memory_and_in_a_zip_are_those_of_the_folder(user, masks, tmp_path):
    expected = compared(user, "plain", masks=masks).tables["objects"]
    archive = shutil.make_archive(str(tmp_path / "zipped"), "zip", masks.parent, "masks")
    pd.testing.assert_frame_equal(
        compared(user, "plain", masks=archive).tables["objects"], expected
    )
    pair = comparison.load(files_of(user, "plain"))
    pictures = [Image.open(masks / name.replace(".png", ".bmp")) for name in pair.file_names]
    pixels = torch.stack([torch.tensor(np.array(p.convert("L")) > 127) for p in pictures])
    networks = pair.baseline, pair.pruned, pair.images
    report = comparison.compare(*networks, settings=SETTINGS, progress=False, masks=pixels)
    pd.testing.assert_frame_equal(report.tables["objects"], expected)
    for wrong, error, message in (
        (pixels[:5], ValueError, "masks must have the shape"),
        (pixels[:, :8], ValueError, "masks must have the shape"),
        (pixels[0], ValueError, "masks must have the shape"),
        (pixels.float(), TypeError, "masks must be a bool tensor"),
        (pixels & False, ValueError, "they mark no pixel"),
    ):
        with pytest.raises(error, match=message):
            comparison.compare(*networks, settings=SETTINGS, progress=False, masks=wrong)
    with pytest.raises(TypeError, match="either a Pair, or two networks"):
        comparison.compare(pair, progress=False, masks=pixels)


def test_boxes_are_masks(user, masks, tmp_path):
    """Of two boxes of an image, the second has a fraction of a pixel too little to add one."""
    pair = comparison.load(files_of(user, "plain"))
    lines = ["file,left,top,right,bottom"]
    for number, name in enumerate(pair.file_names[:5]):
        pixels = np.zeros((12, 12), np.uint8)
        pixels[1 : 5 + number, 2:9] = 255
        Image.fromarray(pixels).save(masks / name.replace(".png", ".bmp"))
        lines += [f"{name},2,1,9,{5 + number}", f"{name},8,1,9.4,{4 + number}"]
    (masks / pair.file_names[5].replace(".png", ".bmp")).unlink()
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(lines))
    expected = compared(user, "plain", masks=masks)
    report = compared(user, "plain", masks=boxes)
    assert (report.tables["objects"]["images"] == 5).all()
    pd.testing.assert_frame_equal(report.tables["objects"], expected.tables["objects"])
    assert report.summary == expected.summary


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,left,top,right\nant/0.png,1,1,5", "there is no column 'bottom'"),
        ("file,left,top,right,bottom\nant/0.png,1,1,5", "its first line must be file,left"),
        ("file,left,top,right,bottom\nant/0.png,1,x,5,5", "could not convert string to float: 'x'"),
        ("file,left,top,right,bottom\nant/0.png,5,1,5,5", "box 1 has no area: 5, 1, 5, 5"),
        ("file,left,top,right,bottom\nant/9.png,1,1,5,5", "has no box of the images, such as ant"),
        (
            "file,left,top,right,bottom\nant/0.png,1,1,5,13",
            "the box 1, 1, 5, 13 reaches beyond the 12x12 pixels of its image",
        ),
        ("", "has no box of the images"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(user, tmp_path, capsys, text, message):
    (tmp_path / "boxes.csv").write_text(text)
    options = "--masks", str(tmp_path / "boxes.csv")
    assert on_command_line(user, tmp_path / "r", "plain", *options) != 0
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_masks_are_resized_and_cropped_as_torchvision_does(tmp_path):
    transforms = pytest.importorskip("torchvision.transforms.v2")
    random = np.random.default_rng(1)
    for name, shape in (("a", (20, 33)), ("b", (41, 18))):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "masks" / name).mkdir(parents=True)
        Image.new("RGB", shape[::-1]).save(tmp_path / "images" / name / "1.jpg")
        pixels = random.integers(0, 2, shape).astype(np.uint8) * 255
        Image.fromarray(pixels).save(tmp_path / "masks" / name / "1.png")
    names = ["a/1.jpg", "b/1.jpg"]
    folders = tmp_path / "masks", names, tmp_path / "images"
    found = object_masks.read(*folders, Decoder(size=12, shorter_side=15))
    nearest = transforms.InterpolationMode.NEAREST
    steps = transforms.Compose([transforms.Resize(15, nearest), transforms.CenterCrop(12)])
    expected = [
        np.array(steps(Image.open(tmp_path / "masks" / name / "1.png"))) > 127 for name in "ab"
    ]
    assert found.shape == (2, 12, 12) and found.numbers.tolist() == [0, 1]
    assert np.array_equal(found.pixels(torch.tensor([1, 0])).numpy(), expected[::-1])
    Image.new("L", (18, 41), 255).save(tmp_path / "masks" / "a" / "1.png")
    with pytest.raises(DataError, match="1 of 2 masks have another size"):
        object_masks.read(*folders, Decoder(size=12))


@pytest.mark.parametrize(
    ("change", "above", "words"),
    [
        ((-0.2, -0.1), 0.1, "(less than before, by 0.15)"),
        ((0.1, 0.2), 0.1, "(more than before, by 0.15)"),
        ((0.001, 0.002), 0.1, "(more than before, by less than 0.01)"),
        ((-0.1, 0.2), 0.1, "(no clear change)"),
        ((-0.2, -0.1), -0.1, "by 0.15; not more than their area in the pruned network)"),
    ],
)
def test_the_sentence_says_whether_maps_are_still_on_the_object(change, above, words):
    shared = {"method": "mine", "images": 1, "energy": 0.5, "energy_low": 0.4, "energy_high": 0.6}
    shared |= {"area": 0.2, "area_low": 0.1, "area_high": 0.3, "above_area_low": 0.1}
    pruned = {"change": sum(change) / 2, "change_low": change[0], "change_high": change[1]}
    rows = [
        {"model": "baseline", **shared},
        {"model": "pruned", **shared, **pruned, "above_area_low": above},
    ]
    text = on_objects.objects_sentence(pd.DataFrame(rows), "")
    assert text.startswith("On the object (1 image): mine has 0.50 [0.40, 0.60] of its energy")
    assert words in text and text.endswith(".")


def test_maps_that_are_all_empty_have_no_share(user, masks):
    pair = comparison.load(files_of(user, "plain", masks=masks))
    custom = {"nothing": lambda model, images, layer, targets: torch.zeros(len(images), 12, 12)}
    report = comparison.compare(pair, settings=SETTINGS, custom_methods=custom, progress=False)
    rows = report.tables["objects"].set_index(["model", "method"]).xs("nothing", level="method")
    assert (rows["empty"] == 1).all() and rows["energy"].isna().all()
    (sentence,) = [text for text in report.summary if text.startswith("On the object")]
    assert sentence.endswith("every nothing map of the baseline is empty.")


# ---------------------------------------------------------------- outputs


def same_scores(one, other):
    columns = ["mean", "low", "high", "chance", "baseline_empty"]
    for table in (one, other):
        assert table["mean"].notna().all()
    pd.testing.assert_frame_equal(one[columns], other[columns])


@pytest.mark.parametrize(
    ("model", "output"), [("named", "logits"), ("second", "1"), ("second", 1), ("named", "mine")]
)
def test_the_logits_are_selected_from_what_networks_return(user, model, output):
    """The pruned network has fewer filters, so that its checkpoint cuts the network too."""
    output = f"{user}/mine.py:logits" if output == "mine" else output
    settings = comparison.Settings(
        **(vars(SETTINGS) | {"epochs": 1, "faithfulness_images": 2, "batch_size": 3})
    )
    expected = compared(user, "plain", settings=settings, train=user / "test")
    report = compared(user, model, settings=settings, train=user / "test", output=output)
    same_scores(report.tables["summary"], expected.tables["summary"])
    floors = [table.tables["summary"]["floor_low"] for table in (report, expected)]
    pd.testing.assert_series_equal(*floors)
    assert floors[0].notna().all()
    for name in ("cost", "layers", "faithfulness"):
        pd.testing.assert_frame_equal(report.tables[name], expected.tables[name])
    assert report.manifest["output"] == ("logits" if model == "named" else "1")


def test_outputs_are_selected_for_networks_in_memory(user):
    pair = comparison.load(files_of(user, "named", output="logits"))
    networks = pair.baseline, pair.pruned, pair.images
    report = comparison.compare(*networks, output="logits", settings=SETTINGS, progress=False)
    same_scores(report.tables["summary"], compared(user, "plain").tables["summary"])
    with pytest.raises(ValueError, match="pass output='logits' to select the logits"):
        comparison.compare(*networks, settings=SETTINGS, progress=False)
    with pytest.raises(TypeError, match="either a Pair, or two networks"):
        comparison.compare(pair, output="logits", progress=False)


def test_a_single_network_takes_an_output(user):
    arguments = f"{user}/mine.py:named", user / "plain2_b.pt"
    network = comparison.load_network(*arguments, image_size=12, output="logits")
    x = torch.rand(2, 3, 12, 12)
    assert torch.equal(network(x)["logits"], comparison.load(files_of(user, "plain")).pruned(x))
    with pytest.raises(ValueError, match="pass output='logits'"):
        comparison.load_network(*arguments, image_size=12)


def test_streamed_images_take_the_same_output(user, monkeypatch):
    monkeypatch.setattr(files, "IN_MEMORY", 100)
    pair = comparison.load(files_of(user, "named", output="logits"))
    assert type(pair.images).__name__ == "StreamedImages"
    report = comparison.compare(pair, settings=SETTINGS, progress=False)
    same_scores(report.tables["summary"], compared(user, "plain").tables["summary"])


def test_an_interrupted_comparison_of_streamed_images_continues(user, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "IN_MEMORY", 100)
    monkeypatch.setattr(streamed_images, "PART_BYTES", 2 * 3 * 12 * 12)  # two images of six
    settings = comparison.Settings(**(vars(SETTINGS) | {"layer_images": 0}))
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "undisturbed"))
    expected = compared(user, "plain", settings=settings).tables["images"]
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "cache"))
    score, scored = scored_parts.score_images, []

    def score_two_parts(*arguments):
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(arguments)
        return score(*arguments)

    monkeypatch.setattr(scored_parts, "score_images", score_two_parts)
    with pytest.raises(KeyboardInterrupt):
        compared(user, "plain", settings=settings)
    scored.clear()
    images = compared(user, "plain", settings=settings).tables["images"]
    assert len(scored) == 1, "only the last part is left to be scored"
    pd.testing.assert_frame_equal(images, expected, check_exact=True)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "named",
            (),
            "mine.py:named: the model must return logits of shape (N, classes), got dict",
        ),
        ("named", (), "pass output='logits' to select the logits"),
        ("named", ("--output", "logit"), "output='logit' does not fit the model, which returns"),
        ("second", ("--output", "2"), "output=2 does not fit the model, which returns tuple"),
        ("named", ("--output", "mine.py:logits"), "there is no file mine.py"),
        ("tokens", ("--reshape", "grid"), "reshape must be package.module:function or FILE.py"),
    ],
)
def test_outputs_that_do_not_fit_are_wrong_use(user, tmp_path, capsys, model, options, message):
    checkpoint = "tokens2" if model == "tokens" else "plain2"
    status = on_command_line(user, tmp_path / "r", model, *options, checkpoint=checkpoint)
    assert status == 2 and message in capsys.readouterr().err


def test_a_network_of_another_image_size_asks_for_the_size(tmp_path, capsys):
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (12, 8)).save(tmp_path / "images" / name / "1.png")
    (tmp_path / "sized.py").write_text(
        "from torch import nn\n"
        "def network():\n"
        "    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(6 * 36, 2))\n"
    )
    network = user_code.load_function(f"{tmp_path}/sized.py:network", "model")()
    torch.save(network.state_dict(), tmp_path / "a.pt")
    arguments = ["--baseline", "a.pt", "--pruned", "a.pt", "--data", "images", "--out", "r"]
    places = [str(tmp_path / a) if not a.startswith("--") else a for a in arguments]
    options = ["--model", f"{tmp_path}/sized.py:network", "--mean", "0", "--std", "1"]
    assert main(["compare", *places, *options]) == 2
    error = capsys.readouterr().err
    assert error.strip().endswith("; if it takes images of another size, pass that size")


def test_a_single_logit_is_scored_with_both_classes(user, tmp_path, capsys):
    options = {"checkpoint": "plain1"}
    assert on_command_line(user, tmp_path / "r", "plain", **options) == 2
    assert "a single output, so the confidence in its only class" in capsys.readouterr().err
    two_classes = ("--output", "pruncam.cams:two_classes")
    assert on_command_line(user, tmp_path / "r", "plain", *two_classes, **options) == 0
    pair = comparison.load(files_of(user, "plain", "plain1", output=two_classes[1]))
    rows = scoring.score(
        pair.baseline,
        pair.pruned,
        pair.images,
        methods=["grad-cam"],
        output=cams.two_classes,
        transform=lambda x: (x - 0.5) / 0.25,
        progress=False,
    )
    table = pd.read_csv(tmp_path / "r" / "table_summary.csv").set_index("score")
    assert table.loc["pe", "mean"] == pytest.approx(rows["pe"].mean(), abs=1e-6)


# ---------------------------------------------------------------- reshape


def test_a_function_of_the_user_reshapes_the_target_layer(user, tmp_path):
    options = ("--target-layer", "norm", "--reshape", f"{user}/mine.py:grid")
    status = on_command_line(user, tmp_path / "r", "tokens", *options, checkpoint="tokens2")
    assert status == 0
    pair = comparison.load(files_of(user, "tokens", "tokens2"))
    rows = scoring.score(
        pair.baseline,
        pair.pruned,
        pair.images,
        methods=["grad-cam"],
        target_layer="norm",
        reshape=user_code.load_function(f"{user}/mine.py:grid", "reshape"),
        transform=lambda x: (x - 0.5) / 0.25,
        progress=False,
    )
    table = pd.read_csv(tmp_path / "r" / "table_summary.csv").set_index("score")
    assert table.loc["sp2ps", "mean"] == pytest.approx(rows["sp2ps"].mean(), abs=1e-6)
    layer = pd.read_csv(tmp_path / "r" / "table_layers.csv").iloc[0]
    assert (layer["layer"], layer["height"], layer["width"], layer["channels"]) == ("norm", 4, 4, 6)
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["reshape"] == "grid"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target-layer", "norm"), "whose height and width are not known: pass reshape"),
        (("--reshape", "grid"), "reshape needs target_layer, the layer whose output it reshapes"),
        (("--target-layer", "norm", "--reshape", "flat"), "reshape must return maps (N, C, h, w)"),
        (("--target-layer", "head", "--reshape", "grid"), "reshape cannot take the output (1, 2)"),
        (("--target-layer", "norm", "--reshape", "missing"), "has no function 'missing'"),
    ],
)
def test_a_reshape_that_does_not_fit_is_wrong_use(user, tmp_path, capsys, options, message):
    named = [f"{user}/mine.py:{o}" if o in ("grid", "flat", "missing") else o for o in options]
    status = on_command_line(user, tmp_path / "r", "tokens", *named, checkpoint="tokens2")
    assert status == 2 and message in capsys.readouterr().err


# ---------------------------------------------------------------- more checkpoints, other layers


@pytest.fixture(scope="module")
def more(user):
    """Further checkpoints: another training, and the baseline with most of its weights masked."""
    torch.manual_seed(9)
    network = user_code.load_function(f"{user}/mine.py:plain", "model")(2)
    network.head.weight.data.mul_(20)
    torch.save(network.state_dict(), user / "other_training.pt")
    masked = pruning.global_unstructured(network, 0.8)
    torch.save(masked.state_dict(), user / "masked.pt")
    return user


def test_further_checkpoints_get_their_own_scores(more, tmp_path, capsys):
    options = ["--also-pruned", more / "masked.pt", "--also-baseline", more / "other_training.pt"]
    status = on_command_line(more, tmp_path / "r", "plain", *map(str, options), "--json")
    printed = json.loads(capsys.readouterr().out)
    further = {"also_pruned": (more / "masked.pt",), "also_baseline": (more / "other_training.pt",)}
    pair = comparison.load(files_of(more, "plain", **further))
    x = (pair.images.images.float() / 255 - 0.5) / 0.25
    before = cams.heatmaps(pair.baseline, x, method="grad-cam")
    with torch.no_grad():
        targets = pair.baseline(x).argmax(1)

    def sp2ps(network):
        maps = cams.heatmaps(network, x, method="grad-cam", targets=targets)
        return metrics.sp2ps(before, maps).mean().item()

    masked, other = pair.also_pruned["masked.pt"], pair.also_baseline["other_training.pt"]
    assert status == 0
    first, second = printed["sweep"]
    assert (first["network"], second["network"]) == ("pruned", "masked.pt")
    with torch.no_grad():
        right = (masked(x).argmax(1) == pair.images.labels).double().mean().item()
    assert second["accuracy"] == pytest.approx(100 * right)
    assert second["parameters"] == sum(int(w.count_nonzero()) for w in masked.parameters())
    assert second["sp2ps"] == pytest.approx(sp2ps(masked), abs=1e-5)
    summary = next(row for row in printed["summary"] if row["score"] == "sp2ps")
    assert summary["mean"] == first["sp2ps"] == pytest.approx(sp2ps(pair.pruned), abs=1e-5)
    assert summary["retrained_low"] <= sp2ps(other) <= summary["retrained_high"]
    assert summary["retrained_low"] < summary["retrained_high"]
    assert any("another training of the baseline gives" in text for text in printed["sentences"])
    written = json.loads((tmp_path / "r" / "manifest.json").read_text())
    roles = [checkpoint["role"] for checkpoint in written["checkpoints"]]
    assert roles == ["baseline", "pruned", "also pruned", "also baseline"]
    words = shlex.split(written["command"])
    assert words[:4] == ["pruncam", "compare", "--baseline", "plain2_a.pt"]
    assert words[words.index("--also-pruned") + 1] == "masked.pt"
    assert words[words.index("--model") + 1] == "mine.py:plain" and "/" not in written["command"]
    page = (tmp_path / "r" / "report.html").read_text()
    assert "All pruned networks" in page and "another training" in page


def test_without_further_checkpoints_there_is_nothing_about_them(user):
    report = compared(user, "plain")
    assert "sweep" not in report.tables and "retrained_low" not in report.tables["summary"]
    assert not any("another training" in text for text in report.summary)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.7, 0.8, "moved the maps less than another seed would"),
        (0.1, 0.2, "moved the maps further than another seed would"),
        (0.3, 0.55, "moved the maps about as far as another seed would"),
    ],
)
def test_another_training_is_a_yardstick(low, high, words):
    row = {"low": low, "high": high, "retrained_low": 0.5, "retrained_high": 0.6}
    assert words in summary_text._against_retrained(row)


def test_checkpoints_with_other_classes_are_refused(more, tmp_path, capsys):
    further = "--also-pruned", str(more / "plain1_b.pt")
    assert on_command_line(more, tmp_path / "r", "plain", *further) == 2
    message = "the same number of classes, plain2_a.pt has 2, plain1_b.pt 1"
    assert message in capsys.readouterr().err


def test_other_layers_are_read_on_some_images(user):
    settings = comparison.Settings(**(vars(SETTINGS) | {"layer_images": 4}))
    pair = comparison.load(files_of(user, "plain"))
    report = comparison.compare(pair, settings=settings, progress=False)
    table = report.tables["other_layers"].set_index(["method", "layer"])
    assert set(table.index.get_level_values("layer")) == {"features.0", "features.1"}
    assert (table["images"] == 4).all()
    chosen = torch.tensor([0, 1, 3, 4])  # of six, at equal distances
    x = (pair.images.pixels(chosen).float() / 255 - 0.5) / 0.25
    with torch.no_grad():
        targets = pair.baseline(x).argmax(1)
    for method, layer in table.index:
        maps = [
            cams.heatmaps(network, x, method=method, target_layer=layer, targets=targets)
            for network in (pair.baseline, pair.pruned)
        ]
        expected = metrics.sp2ps(*maps).mean().item()
        assert table.loc[(method, layer), "sp2ps"] == pytest.approx(expected, abs=1e-5)
    assert any(text.startswith("Other layers (4 images") for text in report.summary)
    none = comparison.Settings(**(vars(SETTINGS) | {"layer_images": 0}))
    assert "other_layers" not in comparison.compare(pair, settings=none, progress=False).tables


def test_a_verdict_that_depends_on_the_layer_is_said_to_flip():
    def sentence(*lows):
        rows = [
            {
                "method": "grad-cam",
                "layer": f"layer{number}",
                "images": 64,
                "sp2ps": low + 0.05,
                "low": low,
                "chance": 0.5,
            }
            for number, low in enumerate(lows)
        ]
        return other_layers.layer_sentence(pd.DataFrame(rows))

    assert "closer than random networks' at some layers only: the reading flips" in sentence(
        0.4, 0.8
    )
    assert "0.45 against 0.50 at layer0; 0.85 against 0.50 at layer1" in sentence(0.4, 0.8)
    assert "closer to the baseline's than random networks' at each layer" in sentence(0.7, 0.8)
    assert "no closer than random networks' at any layer" in sentence(0.4, 0.5)


def test_ablation_cam_warns_before_it_takes_minutes(user, monkeypatch):
    settings = comparison.Settings(**(vars(SETTINGS) | {"methods": ("ablation-cam",)}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compared(user, "plain", settings=settings)
    monkeypatch.setattr(measuring, "_PATIENCE", 0)
    with pytest.warns(UserWarning, match="Ablation-CAM at this target layer will take some 0 min"):
        compared(user, "plain", settings=settings)


def test_long_names_are_cut_in_their_middle():
    name = "a_class_with_a_long_name/img_0120.jpg"
    short = shortened(name, 20)
    start, end = short.split("…")
    assert len(short) == 20 and name.startswith(start) and name.endswith(end)
    assert end.endswith("_0120.jpg") and shortened("ant/1.png", 20) == "ant/1.png"
