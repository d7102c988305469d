"""CIFAR, STL-10 and sets of picture files: read as they were written, from small files in the same formats."""

import hashlib
import io
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from pruncam import places
from pruncam.datasets import DataError, ImageSet, catalog, folders

BESIDE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL_DATA = Path(os.environ.get("PRUNCAM_DATA") or BESIDE_CHECKOUT)


@pytest.fixture(autouse=True)
def only_the_folders_of_the_test(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "project_root", lambda: tmp_path / "project")
    monkeypatch.delenv("PRUNCAM_DATA", raising=False)
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "cache"))


def pixels(count, size, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


# ---------------------------------------------------------------- the original files


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(folder, monkeypatch, kind="CIFAR10"):
    """Small files in CIFAR's format, which torchvision takes for the original ones; returns images and labels."""
    original = getattr(datasets, kind)
    label = "labels" if kind == "CIFAR10" else "fine_labels"
    names = ["b", "a", "c"]
    base = folder / original.base_folder
    base.mkdir(parents=True)
    written, lists = {}, {}
    for split, listed in (("train", original.train_list), ("test", original.test_list)):
        images, labels, sums = [], [], []
        for number, (name, _) in enumerate(listed):
            part = pixels(2, 32, seed=number if split == "train" else 9)
            classes = [number % 3, 2]
            (base / name).write_bytes(pickle.dumps({"data": part.reshape(2, 3072), label: classes}))
            images.append(part)
            labels += classes
            sums.append([name, md5(base / name)])
        written[split], lists[split] = (np.concatenate(images), labels), sums
    meta = original.meta | {"md5": None}
    (base / meta["filename"]).write_bytes(pickle.dumps({meta["key"]: names}))
    monkeypatch.setattr(original, "train_list", lists["train"])
    monkeypatch.setattr(original, "test_list", lists["test"])
    monkeypatch.setattr(original, "meta", meta)
    return written


def write_stl(folder, monkeypatch):
    base = folder / "stl10_binary"
    base.mkdir(parents=True)
    written, lists = {}, {}
    for split in ("train", "test"):
        images, labels = pixels(3, 96, seed=len(split)), np.array([1, 2, 2], np.uint8)  # STL-10 counts from 1
        (base / f"{split}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())  # column by column
        (base / f"{split}_y.bin").write_bytes(labels.tobytes())
        lists[split] = [[f"{split}_{part}.bin", md5(base / f"{split}_{part}.bin")] for part in "Xy"]
        written[split] = images, [0, 1, 1]
    (base / "unlabeled_X.bin").write_bytes(b"")
    lists["train"].append(["unlabeled_X.bin", md5(base / "unlabeled_X.bin")])
    (base / "class_names.txt").write_text("airplane\nbird\n")
    (base / "fold_indices.txt").write_text("0 1 2\n" * 10)
    monkeypatch.setattr(datasets.STL10, "train_list", lists["train"])
    monkeypatch.setattr(datasets.STL10, "test_list", lists["test"])
    return written


WRITERS = {
    "cifar10": write_cifar,
    "cifar100": lambda folder, monkeypatch: write_cifar(folder, monkeypatch, "CIFAR100"),
    "stl10": write_stl,
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", WRITERS)
def test_original_files_are_read_as_they_were_written(name, split, tmp_path, monkeypatch):
    images, labels = WRITERS[name](tmp_path, monkeypatch)[split]
    found = catalog.load(name, split, data_dir=tmp_path)
    assert torch.equal(found.images, torch.from_numpy(images)) and found.labels.tolist() == list(labels)
    assert found.images.is_contiguous() and "original binary files" in found.provenance


@pytest.mark.parametrize(("name", "file"), [("cifar10", "data_batch_3"), ("cifar100", "test"), ("stl10", "test_y.bin")])
def test_a_damaged_original_file_is_refused_by_name(name, file, tmp_path, monkeypatch):
    WRITERS[name](tmp_path, monkeypatch)
    (path,) = tmp_path.rglob(file)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"not intact \({file}\): .*make download NAME={name}"):
        catalog.load(name, "test", data_dir=tmp_path)


def test_a_set_that_is_nowhere_says_where_its_files_belong(tmp_path):
    with pytest.raises(DataError, match="CIFAR-10 is missing: .*cifar-10-batches-py or cifar10/<split>/<class>"):
        catalog.load("cifar10", "train", data_dir=tmp_path)


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(datasets.CIFAR10, "download", refuse)
    with pytest.raises(DataError, match="CIFAR-10 could not be downloaded .*no network.*PRUNCAM_DATA"):
        catalog.download("cifar10", tmp_path / "sets")
    with pytest.raises(DataError, match="Chest X-rays.* cannot be downloaded: put covid19"):
        catalog.download("covid19", tmp_path / "sets")


def test_the_original_files_win_over_encoded_ones(tmp_path, monkeypatch):
    write_pictures(tmp_path / "cifar10", {"train": {"a": 1}, "test": {"a": 1}})
    assert "encoded anew" in catalog.load("cifar10", "test", data_dir=tmp_path).provenance
    write_cifar(tmp_path, monkeypatch)
    assert "original" in catalog.load("cifar10", "test", data_dir=tmp_path).provenance


# ---------------------------------------------------------------- picture files


def write_pictures(folder, counts, size=16, suffix="png"):
    """`counts[split][class]` pictures; returns their pixels by place."""
    written = {}
    for split, classes in counts.items():
        for group, count in classes.items():
            (folder / split / group).mkdir(parents=True)
            for number in range(count):
                image = pixels(1, size, seed=len(written))[0]
                Image.fromarray(image.transpose(1, 2, 0)).save(folder / split / group / f"{number:04d}.{suffix}")
                written[f"{split}/{group}/{number:04d}"] = image
    return written


def pack(folder, archive):
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*"), reverse=True):  # in another order than they are read
            packed.write(path, path.relative_to(folder.parent))


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_pictures_are_read_one_of_each_class_in_turn(packed, tmp_path):
    written = write_pictures(tmp_path / "cifar10", {"train": {"cat": 1, "bird": 3}, "test": {"cat": 1, "bird": 1}})
    if packed:
        pack(tmp_path / "cifar10", tmp_path / "cifar10-jpeg.zip")
        shutil.rmtree(tmp_path / "cifar10")
    found = catalog.load("cifar10", "train", data_dir=tmp_path)
    order = ["bird/0000", "cat/0000", "bird/0001", "bird/0002"]
    assert torch.equal(found.images, torch.from_numpy(np.stack([written[f"train/{place}"] for place in order])))
    assert found.classes == ("bird", "cat") and found.labels.tolist() == [0, 1, 0, 0]
    form = "cifar10-jpeg.zip" if packed else "cifar10"
    assert found.provenance == f"CIFAR-10: encoded anew, not the original pixels (.png files of {form})"


def test_a_class_keeps_its_number_where_a_split_has_no_picture_of_it(tmp_path):
    write_pictures(tmp_path / "cifar10", {"train": {"bird": 1, "cat": 1, "dog": 1}, "test": {"bird": 1, "dog": 1}})
    train, test = (catalog.load("cifar10", split, data_dir=tmp_path) for split in ("train", "test"))
    assert train.classes == test.classes == ("bird", "cat", "dog")
    assert train.labels.tolist() == [0, 1, 2] and test.labels.tolist() == [0, 2]


def test_pictures_are_decoded_once_and_again_when_a_file_changes(tmp_path, monkeypatch):
    write_pictures(tmp_path / "cifar10", {"test": {"a": 2}})
    first = catalog.load("cifar10", "test", data_dir=tmp_path)
    decode = folders.FolderSet._decoded
    monkeypatch.setattr(folders.FolderSet, "_decoded", lambda *_: pytest.fail("decoded again"))
    assert catalog.load("cifar10", "test", data_dir=tmp_path).checksum == first.checksum
    monkeypatch.setattr(folders.FolderSet, "_decoded", decode)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "cifar10" / "test" / "a" / "0001.png")
    assert catalog.load("cifar10", "test", data_dir=tmp_path).images[1].sum() == 0


def test_grey_pictures_have_one_channel(tmp_path):
    written = write_pictures(tmp_path / "covid19", {"train": {"covid": 1, "healthy": 1}})
    found = catalog.load("covid19", "train", data_dir=tmp_path)
    assert found.images.shape == (2, 1, 16, 16)
    # ITU-R 601: what Pillow's conversion documents
    red, green, blue = written["train/covid/0000"].astype(float)
    assert np.abs(found.images[0, 0].numpy() - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 1


def test_a_picture_is_shown_only_where_its_source_allows_it_and_with_credit(tmp_path):
    folder = tmp_path / "covid19"
    write_pictures(folder, {"test": {"covid": 2, "healthy": 2}})
    found = catalog.load("covid19", "test", data_dir=tmp_path)
    assert [found.credit(index) for index in range(4)] == [None] * 4, "no source is named"
    sources = {"covid/0000": "hannover", "covid/0001": "cxnet", "healthy/0000": "kermany"}
    lines = ["file,source", *(f"test/{place}.png,{source}" for place, source in sources.items())]
    (folder / "manifest.csv").write_text("\n".join(lines))
    found = catalog.load("covid19", "test", data_dir=tmp_path)
    names = [found.classes[label] for label in found.labels]
    assert names == ["covid", "healthy", "covid", "healthy"]
    assert "Hannover Medical School" in found.credit(0) and "CC BY 3.0" in found.credit(0)
    assert "Kermany" in found.credit(1) and "CC BY 4.0" in found.credit(1)
    assert found.credit(2) is None and found.credit(3) is None
    smaller = found.first(2).coloured().resized(32)
    assert smaller.credit(1) == found.credit(1) and len(smaller.credits) == 2


def test_boxes_become_the_pixels_of_the_object(tmp_path):
    folder = tmp_path / "tiny-imagenet-10"
    write_pictures(folder, {"test": {"dog": 1, "cat": 1}})
    lines = ["file,wnid,original_file,xmin,ymin,xmax,ymax", "test/dog/0000.png,n,o,2,3,4,6"]
    (folder / "boxes.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="tiny-imagenet-10/boxes.csv has no box for test/cat/0000.png"):
        catalog.load("tiny-imagenet-10", "test", data_dir=tmp_path)
    (folder / "boxes.csv").write_text("\n".join([*lines, "test/cat/0000.png,n,o,0,0,15,15"]))
    found = catalog.load("tiny-imagenet-10", "test", data_dir=tmp_path)
    assert found.objects.sum((1, 2)).tolist() == [256, 3 * 4]  # cat, dog; both corners belong to the box
    assert found.objects[1, 3:7, 2:5].all()
    assert found.first(1).objects.shape == (1, 16, 16) and found.to("cpu").objects.shape == (2, 16, 16)
    for box in ("2,3,x,6", "2,3,4", "-3,3,4,6", "2,3,4,16", "4,3,2,6"):
        (folder / "boxes.csv").write_text(
            "\n".join([lines[0], f"test/dog/0000.png,n,o,{box}", f"test/cat/0000.png,n,o,{box}"])
        )
        with pytest.raises(DataError, match="boxes.csv(: the box of| has no box for) .*test/cat/0000.png"):
            catalog.load("tiny-imagenet-10", "test", data_dir=tmp_path)
    (folder / "boxes.csv").unlink()
    with pytest.raises(DataError, match="lacks tiny-imagenet-10/boxes.csv"):
        catalog.load("tiny-imagenet-10", "test", data_dir=tmp_path)


def spoil(data):
    return data[: len(data) // 2]


def test_a_damaged_picture_is_refused_by_name(tmp_path):
    write_pictures(tmp_path / "cifar10", {"test": {"a": 2}})
    path = tmp_path / "cifar10" / "test" / "a" / "0001.png"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=r"cifar10/test/a/0001.png is damaged \(.+\): get the set again"):
        catalog.load("cifar10", "test", data_dir=tmp_path)
    assert not list((tmp_path / "cache").rglob("*.pt")), "something was kept of a damaged set"


def test_a_damaged_zip_is_refused_by_name(tmp_path):
    write_pictures(tmp_path / "cifar10", {"test": {"a": 2}})
    archive = tmp_path / "cifar10.zip"
    pack(tmp_path / "cifar10", archive)
    shutil.rmtree(tmp_path / "cifar10")
    whole = archive.read_bytes()
    archive.write_bytes(spoil(whole))
    with pytest.raises(DataError, match="cifar10.zip cannot be read"):
        catalog.load("cifar10", "test", data_dir=tmp_path)
    place = whole.index(b"IDAT") + 60
    archive.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    with pytest.raises(DataError, match="is damaged"):
        catalog.load("cifar10", "test", data_dir=tmp_path)


def test_pictures_of_several_sizes_and_splits_without_pictures_are_refused(tmp_path):
    write_pictures(tmp_path / "cifar10", {"test": {"a": 1}})
    write_pictures(tmp_path / "other", {"test": {"b": 1}}, size=20)
    shutil.move(tmp_path / "other" / "test" / "b", tmp_path / "cifar10" / "test" / "b")
    with pytest.raises(DataError, match="pictures of one size are needed, got 16x16 and 20x20"):
        catalog.load("cifar10", "test", data_dir=tmp_path)
    with pytest.raises(DataError, match="holds no pictures in cifar10/train/<class>/"):
        catalog.load("cifar10", "train", data_dir=tmp_path)


def test_objects_must_fit_the_images():
    images, labels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(
        ValueError, match=r"objects must be a bool tensor of shape \(2, 4, 4\), got torch.bool \(2, 4\)"
    ):
        ImageSet("a", "test", images, labels, ("x",), "made here", objects=torch.zeros(2, 4, dtype=torch.bool))
    plain, marked = (
        ImageSet("a", "test", images, labels, ("x",), "made here", objects=objects)
        for objects in (None, torch.zeros(2, 4, 4, dtype=torch.bool))
    )
    assert plain.checksum != marked.checksum


@pytest.mark.skipif(not (REAL_DATA / "tiny-imagenet-10.zip").is_file(), reason="the real Tiny ImageNet is not here")
def test_the_real_tiny_imagenet_is_read_with_its_boxes():
    found = catalog.load("tiny-imagenet-10", "test", data_dir=REAL_DATA)
    assert found.images.shape == (500, 3, 64, 64) and found.labels.bincount().tolist() == [50] * 10
    with zipfile.ZipFile(REAL_DATA / "tiny-imagenet-10.zip") as archive:
        content = archive.read("tiny-imagenet-10/test/african_elephant/0000.jpg")
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)
    assert torch.equal(found.images[0], torch.from_numpy(expected.copy()))
    assert found.objects[0].sum() == (47 - 8 + 1) * (63 - 11 + 1)  # its line in boxes.csv: 8,11,47,63
