"""Shards of a comparison: 16 of them merged are the whole, and what does not fit is named."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pruncam import comparison, pruning
from pruncam.cli import main
from pruncam.comparison import files, shard_files, user_code
from pruncam.comparison.image_ranges import shard_ranges, split_range
from pruncam.comparison.shard_files import read_shard
from pruncam.datasets import DataError, examination, image_folder, streamed_images
from pruncam.datasets import images as image_sets

NETWORK = """
from torch import nn

def network(num_classes):
    features = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, num_classes)
    return nn.Sequential(*features, *head)

def agreement(x, y):
    return 1 - (x - y).abs().mean((1, 2))
"""
SIDE, EACH, CLASSES = 12, 12, ("ant", "bee", "cat")
BYTES = 3 * SIDE * SIDE  # of an image
SETTINGS = comparison.Settings(
    methods=("grad-cam",),
    mean=(0.5,),
    std=(0.25,),
    seeds=(1,),
    bootstrap=100,
    layer_images=5,
    faithfulness_images=2,
    learning_rate=0.05,
)


# ---------------------------------------------------------------- ranges


@given(total=st.integers(1, 500), batch=st.integers(1, 40), shards=st.integers(1, 60))
def test_shards_hold_every_image_once_in_order_and_whole_batches(total, batch, shards):
    if shards > -(-total // batch):
        with pytest.raises(ValueError, match="a shard holds whole batches: use at most"):
            shard_ranges(total, batch, shards)
        return
    ranges = shard_ranges(total, batch, shards)
    assert len(ranges) == shards
    assert [number for part in ranges for number in part] == list(range(total))
    assert all(part.start % batch == 0 for part in ranges)
    batches = [-(-len(part) // batch) for part in ranges]
    assert min(batches) >= 1 and max(batches) - min(batches) <= 1


@given(start=st.integers(0, 60), size=st.integers(1, 60), length=st.integers(1, 20))
def test_a_range_is_cut_at_the_multiples_of_a_length(start, size, length):
    parts = split_range(range(start, start + size), length)
    assert [number for part in parts for number in part] == list(range(start, start + size))
    assert all(len(part) and part.start // length == (part.stop - 1) // length for part in parts)
    assert all(part.start % length == 0 for part in parts[1:])


@given(side=st.integers(7, 2000), channels=st.sampled_from([1, 3]))
def test_a_part_of_streamed_images_holds_whole_batches(side, channels):
    """So streamed images go through a network in the batches of those in memory."""
    shape = (channels, side, side)
    part, batch = streamed_images.part_length(shape), image_sets.images_in_batch(shape)
    assert part % batch == 0 or part < batch


# ---------------------------------------------------------------- the whole, bit for bit


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A user's folder: networks, checkpoints, 36 images of noise and masks of some of them."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(NETWORK)
    random = np.random.default_rng(3)
    for name in CLASSES:
        for kind in ("test", "masks"):
            (folder / kind / name).mkdir(parents=True)
        for number in range(EACH):
            pixels = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "test" / name / f"{number}.png")
            if number % 3:
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[number // 2 : number // 2 + 5, 2:9] = 255
                Image.fromarray(mask).save(folder / "masks" / name / f"{number}.png")
    network = user_code.load_function(f"{folder}/mine.py:network", "model")
    torch.manual_seed(1)
    baseline = network(3)
    torch.save(baseline.state_dict(), folder / "a.pt")
    for name, rate in (("b.pt", 0.5), ("c.pt", 0.8)):
        torch.save(pruning.global_unstructured(baseline, rate).state_dict(), folder / name)
    torch.save(network(3).state_dict(), folder / "d.pt")
    return folder


@pytest.fixture
def two_images_a_batch(monkeypatch, tmp_path):
    """Batches of two images, so that 36 images are 18 batches, and an empty cache."""
    monkeypatch.setattr(image_sets, "_BATCH_VALUES", 2 * BYTES)
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "cache"))


def pair_of(user, **others):
    return comparison.load(
        comparison.Files(
            user / "a.pt", user / "b.pt", f"{user}/mine.py:network", user / "test", **others
        )
    )


def shards_of(pair, count, folder, **options):
    """Save every shard and return the folder that holds them."""
    for number in range(1, count + 1):
        shard = comparison.compare_shard(f"{number}/{count}", pair, progress=False, **options)
        comparison.save_shard(shard, folder)
    return folder


def assert_same_report(merged, whole):
    assert merged.tables.keys() == whole.tables.keys() and merged.summary == whole.summary
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(merged.tables[name], table, check_exact=True)
    timings = {"wall_seconds", "date", "shards"}
    manifests = [json.loads(json.dumps(report.manifest)) for report in (merged, whole)]
    merged_facts, facts = [
        {name: value for name, value in manifest.items() if name not in timings}
        for manifest in manifests
    ]
    assert merged_facts == facts


def test_sixteen_shards_are_the_whole_bit_for_bit(user, two_images_a_batch, tmp_path):
    """36 images are 18 batches: two of the shards hold two batches, the others one."""
    pair = pair_of(
        user,
        train=user / "test",
        masks=user / "masks",
        also_pruned=(user / "c.pt",),
        also_baseline=(user / "d.pt",),
    )
    scores = {"agreement": user_code.load_function(f"{user}/mine.py:agreement", "score")}
    options = {"settings": SETTINGS, "custom_scores": scores}
    folder = shards_of(pair, 16, tmp_path / "shards", **options)
    whole = comparison.compare(pair, progress=False, **options)
    merged = comparison.merge(folder)
    assert {"sweep", "objects", "other_layers", "faithfulness"} <= whole.tables.keys()
    assert whole.tables["summary"]["floor_low"].notna().all()
    assert_same_report(merged, whole)
    assert len(merged.manifest["shards"]) == 16
    assert sorted(path.name for path in folder.iterdir())[2] == "shard-03-of-16"
    with np.load(folder / "shard-03-of-16" / "rows.npz") as rows:
        assert set(rows["image"]) == set(shard_ranges(36, 2, 16)[2])


def test_shards_of_streamed_images_take_parts_from_the_store(
    user, two_images_a_batch, tmp_path, monkeypatch
):
    """Parts of four images: five shards of one to three, most of which are parts of the whole."""
    monkeypatch.setattr(files, "IN_MEMORY", 100)
    monkeypatch.setattr(streamed_images, "PART_BYTES", 4 * BYTES)
    pair = pair_of(user)
    in_memory = image_folder.read(user / "test")
    settings = comparison.Settings(**(vars(SETTINGS) | {"faithfulness_images": 0}))
    whole = comparison.compare(pair, settings=settings, progress=False)
    stored = tmp_path / "cache" / "compared-images"
    assert len(list(stored.iterdir())) == 9
    assert_same_report(
        comparison.merge(shards_of(pair, 5, tmp_path / "shards", settings=settings)), whole
    )
    cuts = {part.start for part in shard_ranges(36, 2, 5) if part.start % 4}
    assert len(list(stored.iterdir())) == 9 + 2 * len(cuts)
    same = comparison.compare(
        pair.baseline, pair.pruned, in_memory, settings=settings, progress=False
    )
    pd.testing.assert_frame_equal(same.tables["images"], whole.tables["images"], check_exact=True)


def test_streamed_images_are_examined_once(user, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(user / "test", tmp_path / "images")

    def checksums():
        return [image_folder.read(folder, memory=memory).images.checksum for memory in (0, None)]

    streamed, in_memory = checksums()
    assert streamed == in_memory
    with monkeypatch.context() as patch:
        patch.setattr(examination, "decode_files", lambda *_, **__: pytest.fail("decoded again"))
        assert image_folder.read(folder, memory=0).images.checksum == in_memory
    Image.new("RGB", (SIDE, SIDE)).save(folder / "bee" / "3.png")
    changed, expected = checksums()
    assert changed == expected != in_memory
    (folder / "bee" / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="bee/3.png"):
        image_folder.read(folder, memory=0)


# ---------------------------------------------------------------- what does not fit


@pytest.fixture(scope="module")
def three_shards(user, tmp_path_factory):
    """A folder of three shards, and a shard of the same number in another job."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_sets, "_BATCH_VALUES", 2 * BYTES)
        settings = vars(SETTINGS) | {"layer_images": 0, "faithfulness_images": 0}
        pair = pair_of(user)
        folder = tmp_path_factory.mktemp("three") / "shards"
        shards_of(pair, 3, folder, settings=comparison.Settings(**settings))
        other = comparison.Settings(**(settings | {"bootstrap": 200}))
        shard = comparison.compare_shard("2/3", pair, settings=other, progress=False)
        comparison.save_shard(shard, folder.with_name("other"))
        shard = comparison.compare_shard("2/4", pair, settings=other, progress=False)
        comparison.save_shard(shard, folder.with_name("four"))
    return folder


@pytest.fixture
def shards(three_shards, tmp_path):
    shutil.copytree(three_shards.parent, tmp_path / "all")
    return tmp_path / "all" / "shards"


def without(shards, *numbers):
    for number in numbers:
        shutil.rmtree(shards / f"shard-{number}-of-3")


def doubled(shards):
    shutil.copytree(shards / "shard-2-of-3", shards / "again")


def of_another_job(shards):
    without(shards, 2)
    shutil.copytree(shards.with_name("other") / "shard-2-of-3", shards / "shard-2-of-3")


def of_another_count(shards):
    shutil.copytree(shards.with_name("four") / "shard-2-of-4", shards / "shard-2-of-4")


def with_a_flipped_byte(shards, name="rows.npz"):
    file = shards / "shard-1-of-3" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def with_a_changed_number(shards):
    """A number in the JSON that nothing else would tell from the right one."""
    file = shards / "shard-1-of-3" / "shard.json"
    outer = json.loads(file.read_text())
    outer["shard"]["facts"]["costs"][0]["flops"] += 1
    file.write_text(json.dumps(outer))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: without(s, 2), "shard 2 of 3 is missing: run `pruncam compare --shard 2/3`"),
        (lambda s: without(s, 1, 3), "shards 1, 3 of 3 are missing"),
        (doubled, "shard 2 is there 2 times, in "),
        (of_another_job, "shard-2-of-3 is of another job than shard 1 of 3 in "),
        (of_another_job, "shard-1-of-3: different settings (bootstrap)"),
        (of_another_count, "different settings (bootstrap), number of shards"),
        (with_a_flipped_byte, "shard-1-of-3 is damaged or incomplete (rows.npz was changed)"),
        (lambda s: with_a_flipped_byte(s, "pictures.npz"), "(pictures.npz was changed)"),
        (with_a_changed_number, "is damaged or incomplete (shard.json was changed): remove it"),
        (
            lambda s: (s / "shard-1-of-3" / "shard.json").write_text("{"),
            "is damaged or incomplete (JSONDecodeError)",
        ),
        (lambda s: (s / "shard-1-of-3" / "rows.npz").unlink(), "(rows.npz is missing)"),
        (lambda s: shutil.rmtree(s), "does not exist: pass what `pruncam compare --shard` wrote"),
        (lambda s: without(s, 1, 2, 3), "is no shard and holds none"),
    ],
)
def test_shards_that_do_not_fit_are_named(shards, tmp_path, capsys, spoil, message):
    spoil(shards)
    assert main(["merge", str(shards), "--out", str(tmp_path / "report")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "report").exists()


def test_folders_may_be_passed_one_by_one_and_unfinished_ones_are_left_out(shards):
    whole = comparison.merge(shards)
    shutil.copytree(shards / "shard-2-of-3", shards / ".shard-2-of-3.7-7")
    folders = [shards / f"shard-{number}-of-3" for number in (3, 1, 2)]
    for passed in ([*folders, shards], folders, str(shards)):
        assert_same_report(comparison.merge(passed), whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shard", "0/16"], "a shard is NUMBER/COUNT, such as 3/16 for the third of sixteen"),
        (["--shard", "17/16"], "got '17/16'"),
        (["--shard", "a/b"], "got 'a/b'"),
        (["--shard", "3/37"], "36 images are scored in 18 batches of up to 2, and a shard holds"),
        (["--shard", "3/37"], "use at most 18 shards, not 37"),
        (["--shard", "1/2", "--json"], "--json is about the report of all shards: pass it to"),
        (["--shard", "1/2", "--fail-below", "sp2ps=0.5"], "--fail-below is about the report"),
        (["--shard", "1/2", "--method", "layer-cam"], "--method is about the report"),
    ],
)
def test_shards_that_cannot_be_are_refused(
    user, two_images_a_batch, tmp_path, capsys, options, message
):
    out = tmp_path / "shards"
    assert on_command_line(user, out, *options) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error and "Traceback" not in error and not out.exists()


def on_command_line(user, out, *options):
    arguments = ["--baseline", user / "a.pt", "--pruned", user / "b.pt", "--data", user / "test"]
    arguments += ["--model", f"{user}/mine.py:network", "--out", out, "--methods", "grad-cam"]
    settings = ["--mean", "0.5", "--std", "0.25", "--seeds", "1"]
    return main(["compare", *map(str, arguments), *settings, *options])


def test_a_job_array_in_two_commands(user, two_images_a_batch, tmp_path, capsys):
    for number in (2, 1, 2):  # the second is started again
        out = tmp_path / "shards"
        assert on_command_line(user, out, "--shard", f"{number}/2") == 0
        assert f"the shard is {out}/shard-{number}-of-2" in capsys.readouterr().out
    merge = ["merge", str(tmp_path / "shards"), "--out", str(tmp_path / "report")]
    assert main([*merge, "--fail-below", "sp2ps=0.5", "--method", "layer-cam"]) == 2
    assert "CAM of the shards" in capsys.readouterr().err and not (tmp_path / "report").exists()
    assert main([*merge, "--fail-below", "sp2ps=0.999", "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith("pruncam: failed: Grad-CAM: Sp2PS is ")
    result = json.loads(printed.out)
    assert result["passed"] is False and result["report"] == f"{tmp_path}/report/report.html"
    page = (tmp_path / "report" / "report.html").read_text()
    assert "--shard 1/2" in page and "<dt>shards</dt><dd>1: 18 images, " in page


def test_a_folder_that_is_no_shard_is_not_replaced(user, two_images_a_batch, tmp_path, capsys):
    (tmp_path / "shards" / "shard-1-of-2").mkdir(parents=True)
    assert on_command_line(user, tmp_path / "shards", "--shard", "1/2") == 2
    assert "shard-1-of-2 exists and is not a shard" in capsys.readouterr().err
    assert not list((tmp_path / "shards" / "shard-1-of-2").iterdir())


def test_a_shard_is_written_completely_or_not_at_all(shards, tmp_path, monkeypatch):
    shard = read_shard(shards / "shard-1-of-3")
    with monkeypatch.context() as patch:
        patch.setattr(shard_files, "_plain_facts", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            comparison.save_shard(shard, tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    folder = comparison.save_shard(shard, tmp_path / "new")
    for file in (shards / "shard-1-of-3").iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
