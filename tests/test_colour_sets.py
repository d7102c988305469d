"""CIFAR, STL-10 and sets of image files: small files in the same formats are read as written."""

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

from pruncam._core import paths
from pruncam.datasets import DataError, ImageSet, catalog, folder_set

BESIDE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL_DATA = Path(os.environ.get("PRUNCAM_DATA") or BESIDE_CHECKOUT)


@pytest.fixture(autouse=True)
def only_the_folders_of_the_test(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / "project")
    monkeypatch.delenv("PRUNCAM_DATA", raising=False)
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "cache"))


def pixels(count, size, channels=3, seed=0):
    shape = (count, channels, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# ---------------------------------------------------------------- the original files


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(folder, monkeypatch, kind="CIFAR10"):
    """Write small files in CIFAR's format, which torchvision accepts; return images and labels."""
    original = getattr(datasets, kind)
    label = "labels" if kind == "CIFAR10" else "fine_labels"
    names = ["b", "a", "c"]
    base = folder / original.base_folder
    base.mkdir(parents=True)
    written = {}
    lists = {}
    for split, listed in (("train", original.train_list), ("test", original.test_list)):
        images = []
        labels = []
        sums = []
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
    written = {}
    lists = {}
    for split in ("train", "test"):
        images = pixels(3, 96, seed=len(split))
        column_by_column = images.transpose(0, 1, 3, 2)
        labels = np.array([1, 2, 2], np.uint8)  # STL-10 counts from 1
        contents = {f"{split}_X.bin": column_by_column, f"{split}_y.bin": labels}
        for name, values in contents.items():
            (base / name).write_bytes(values.tobytes())
        lists[split] = [[name, md5(base / name)] for name in contents]
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
    loaded = catalog.load(name, split, data_dir=tmp_path)
    assert torch.equal(loaded.images, torch.from_numpy(images))
    assert loaded.labels.tolist() == list(labels)
    assert loaded.images.is_contiguous() and "original binary files" in loaded.provenance
    assert loaded.original, "the files were verified"


@pytest.mark.parametrize(
    ("name", "file"), [("cifar10", "data_batch_3"), ("cifar100", "test"), ("stl10", "test_y.bin")]
)
def test_a_damaged_original_file_is_rejected_by_name(name, file, tmp_path, monkeypatch):
    WRITERS[name](tmp_path, monkeypatch)
    (path,) = tmp_path.rglob(file)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"not intact \({file}\): .*make download NAME={name}"):
        catalog.load(name, "test", data_dir=tmp_path)


def test_a_missing_set_says_where_its_files_belong(tmp_path):
    message = "CIFAR-10 is missing: .*cifar-10-batches-py or cifar10/<split>/<class>"
    with pytest.raises(DataError, match=message):
        catalog.load("cifar10", "train", data_dir=tmp_path)


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(datasets.CIFAR10, "download", fail)
    message = "CIFAR-10 could not be downloaded .*no network.*PRUNCAM_DATA"
    with pytest.raises(DataError, match=message):
        catalog.download("cifar10", tmp_path / "sets")
    with pytest.raises(DataError, match="Chest X-rays.* cannot be downloaded: put covid19"):
        catalog.download("covid19", tmp_path / "sets")


def test_the_original_files_win_over_re_encoded_ones(tmp_path, monkeypatch):
    write_images(tmp_path / "cifar10", {"train": {"a": 1}, "test": {"a": 1}})
    images = catalog.load("cifar10", "test", data_dir=tmp_path)
    assert "re-encoded" in images.provenance and not images.original
    write_cifar(tmp_path, monkeypatch)
    images = catalog.load("cifar10", "test", data_dir=tmp_path)
    assert "original binary files" in images.provenance and images.original


# ---------------------------------------------------------------- image files


def write_images(folder, counts, size=16):
    """Write `counts[split][class]` images; return their pixels by name."""
    written = {}
    for split, classes in counts.items():
        for name, count in classes.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                image = pixels(1, size, seed=len(written))[0]
                path = folder / split / name / f"{number:04d}.png"
                Image.fromarray(image.transpose(1, 2, 0)).save(path)
                written[f"{split}/{name}/{number:04d}"] = image
    return written


def pack(folder, archive):
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*"), reverse=True):  # in another order than they are read
            packed.write(path, path.relative_to(folder.parent))


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_images_are_read_one_of_each_class_in_turn(packed, tmp_path):
    counts = {"train": {"cat": 1, "bird": 3}, "test": {"cat": 1, "bird": 1}}
    written = write_images(tmp_path / "cifar10", counts)
    if packed:
        pack(tmp_path / "cifar10", tmp_path / "cifar10-jpeg.zip")
        shutil.rmtree(tmp_path / "cifar10")
    loaded = catalog.load("cifar10", "train", data_dir=tmp_path)
    order = ["bird/0000", "cat/0000", "bird/0001", "bird/0002"]
    expected = np.stack([written[f"train/{name}"] for name in order])
    assert torch.equal(loaded.images, torch.from_numpy(expected))
    assert loaded.classes == ("bird", "cat") and loaded.labels.tolist() == [0, 1, 0, 0]
    source = "cifar10-jpeg.zip" if packed else "cifar10"
    about = f"re-encoded, not the original pixels (.png files of {source})"
    assert loaded.provenance == f"CIFAR-10: {about}"


def test_a_class_keeps_its_number_if_a_split_has_no_image_of_it(tmp_path):
    counts = {"train": {"bird": 1, "cat": 1, "dog": 1}, "test": {"bird": 1, "dog": 1}}
    write_images(tmp_path / "cifar10", counts)
    train = catalog.load("cifar10", "train", data_dir=tmp_path)
    test = catalog.load("cifar10", "test", data_dir=tmp_path)
    assert train.classes == test.classes == ("bird", "cat", "dog")
    assert train.labels.tolist() == [0, 1, 2] and test.labels.tolist() == [0, 2]


def test_images_are_decoded_once_and_again_when_a_file_changes(tmp_path, monkeypatch):
    write_images(tmp_path / "cifar10", {"test": {"a": 2}})
    first = catalog.load("cifar10", "test", data_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(folder_set, "decode", lambda *_, **__: pytest.fail("decoded again"))
        assert catalog.load("cifar10", "test", data_dir=tmp_path).checksum == first.checksum
    black = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    black.save(tmp_path / "cifar10" / "test" / "a" / "0001.png")
    assert catalog.load("cifar10", "test", data_dir=tmp_path).images[1].sum() == 0


def test_grey_images_have_one_channel(tmp_path):
    written = write_images(tmp_path / "covid19", {"train": {"covid": 1, "healthy": 1}})
    loaded = catalog.load("covid19", "train", data_dir=tmp_path)
    assert loaded.images.shape == (2, 1, 16, 16)
    red, green, blue = written["train/covid/0000"].astype(float)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R 601, as Pillow documents
    assert np.abs(loaded.images[0, 0].numpy() - luma).max() <= 1


def test_grey_images_of_16_bits_are_scaled(tmp_path):
    """As X-rays may be; Pillow alone makes all but the darkest white."""
    folder = tmp_path / "covid19" / "train" / "covid"
    folder.mkdir(parents=True)
    deep = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    Image.fromarray(deep).save(folder / "0000.png")
    loaded = catalog.load("covid19", "train", data_dir=tmp_path)
    assert np.array_equal(loaded.images[0, 0], np.round(deep / 257))


def test_an_image_is_shown_only_with_credit_and_if_its_source_allows_it(tmp_path):
    folder = tmp_path / "covid19"
    write_images(folder, {"test": {"covid": 2, "healthy": 2}})
    loaded = catalog.load("covid19", "test", data_dir=tmp_path)
    assert [loaded.credit(index) for index in range(4)] == [None] * 4, "no source is named"
    sources = {"covid/0000": "hannover", "covid/0001": "cxnet", "healthy/0000": "kermany"}
    lines = ["file,source", *(f"test/{name}.png,{source}" for name, source in sources.items())]
    (folder / "manifest.csv").write_text("\n".join(lines))
    loaded = catalog.load("covid19", "test", data_dir=tmp_path)
    names = [loaded.classes[label] for label in loaded.labels]
    assert names == ["covid", "healthy", "covid", "healthy"]
    assert "Hannover Medical School" in loaded.credit(0) and "CC BY 3.0" in loaded.credit(0)
    assert "Kermany" in loaded.credit(1) and "CC BY 4.0" in loaded.credit(1)
    assert loaded.credit(2) is None and loaded.credit(3) is None
    smaller = loaded.first(2).as_rgb().resized(32)
    assert smaller.credit(1) == loaded.credit(1) and len(smaller.credits) == 2


def test_boxes_become_the_pixels_of_the_object(tmp_path):
    folder = tmp_path / "tiny-imagenet-10"
    write_images(folder, {"test": {"dog": 1, "cat": 1}})

    def write_boxes(boxes):
        lines = ["file,wnid,original_file,xmin,ymin,xmax,ymax"]
        lines += [f"test/{name}/0000.png,n,o,{box}" for name, box in boxes.items()]
        (folder / "boxes.csv").write_text("\n".join(lines))

    write_boxes({"dog": "2,3,4,6"})
    message = "tiny-imagenet-10/boxes.csv has no box for test/cat/0000.png"
    with pytest.raises(DataError, match=message):
        catalog.load("tiny-imagenet-10", "test", data_dir=tmp_path)
    write_boxes({"dog": "2,3,4,6", "cat": "0,0,15,15"})
    loaded = catalog.load("tiny-imagenet-10", "test", data_dir=tmp_path)
    cat, dog = loaded.objects
    assert cat.sum() == 256 and dog.sum() == 3 * 4, "both corners belong to the box"
    assert dog[3:7, 2:5].all()
    assert loaded.first(1).objects.shape == (1, 16, 16)
    assert loaded.to("cpu").objects.shape == (2, 16, 16)
    message = "boxes.csv(: the box of| has no box for) .*test/cat/0000.png"
    for box in ("2,3,x,6", "2,3,4", "-3,3,4,6", "2,3,4,16", "4,3,2,6"):
        write_boxes({"dog": box, "cat": box})
        with pytest.raises(DataError, match=message):
            catalog.load("tiny-imagenet-10", "test", data_dir=tmp_path)
    (folder / "boxes.csv").unlink()
    with pytest.raises(DataError, match="lacks tiny-imagenet-10/boxes.csv"):
        catalog.load("tiny-imagenet-10", "test", data_dir=tmp_path)


def spoil(data):
    return data[: len(data) // 2]


def test_a_damaged_image_is_rejected_by_name(tmp_path):
    write_images(tmp_path / "cifar10", {"test": {"a": 2}})
    path = tmp_path / "cifar10" / "test" / "a" / "0001.png"
    path.write_bytes(spoil(path.read_bytes()))
    message = r"cifar10/test/a/0001.png cannot be read as an image \(.+\): repair, replace or"
    with pytest.raises(DataError, match=message):
        catalog.load("cifar10", "test", data_dir=tmp_path)
    assert not list((tmp_path / "cache").rglob("*.pt")), "a part of a damaged set was stored"


def test_a_damaged_zip_is_rejected_by_name(tmp_path):
    write_images(tmp_path / "cifar10", {"test": {"a": 2}})
    archive = tmp_path / "cifar10.zip"
    pack(tmp_path / "cifar10", archive)
    shutil.rmtree(tmp_path / "cifar10")
    intact = archive.read_bytes()
    archive.write_bytes(spoil(intact))
    with pytest.raises(DataError, match="cifar10.zip cannot be read"):
        catalog.load("cifar10", "test", data_dir=tmp_path)
    changed = bytearray(intact)
    changed[intact.index(b"IDAT") + 60] ^= 255
    archive.write_bytes(changed)
    message = "cifar10.zip/cifar10/test/a/000[01].png cannot be read as an image"
    with pytest.raises(DataError, match=message):
        catalog.load("cifar10", "test", data_dir=tmp_path)


def test_images_of_several_sizes_and_splits_without_images_are_rejected(tmp_path):
    write_images(tmp_path / "cifar10", {"test": {"a": 1}})
    write_images(tmp_path / "other", {"test": {"b": 1}}, size=20)
    shutil.move(tmp_path / "other" / "test" / "b", tmp_path / "cifar10" / "test" / "b")
    with pytest.raises(DataError, match="images must have one size, got 16x16 and 20x20"):
        catalog.load("cifar10", "test", data_dir=tmp_path)
    with pytest.raises(DataError, match="holds no images in cifar10/train/<class>/"):
        catalog.load("cifar10", "train", data_dir=tmp_path)


def test_objects_must_fit_the_images():
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    labels = torch.zeros(2, dtype=torch.int64)

    def with_objects(objects):
        return ImageSet("a", "test", images, labels, ("x",), "made here", objects=objects)

    message = r"objects must be a bool tensor of shape \(2, 4, 4\), got torch.bool \(2, 4\)"
    with pytest.raises(ValueError, match=message):
        with_objects(torch.zeros(2, 4, dtype=torch.bool))
    marked = with_objects(torch.zeros(2, 4, 4, dtype=torch.bool))
    assert with_objects(None).checksum != marked.checksum


@pytest.mark.skipif(
    not (REAL_DATA / "tiny-imagenet-10.zip").is_file(), reason="the real Tiny ImageNet is not here"
)
def test_the_real_tiny_imagenet_is_read_with_its_boxes():
    loaded = catalog.load("tiny-imagenet-10", "test", data_dir=REAL_DATA)
    assert loaded.images.shape == (500, 3, 64, 64)
    assert loaded.labels.bincount().tolist() == [50] * 10
    with zipfile.ZipFile(REAL_DATA / "tiny-imagenet-10.zip") as archive:
        content = archive.read("tiny-imagenet-10/test/african_elephant/0000.jpg")
    image = Image.open(io.BytesIO(content)).convert("RGB")
    expected = np.asarray(image).transpose(2, 0, 1)
    assert torch.equal(loaded.images[0], torch.from_numpy(expected.copy()))
    # Its line in boxes.csv ends in 8,11,47,63.
    assert loaded.objects[0].sum() == (47 - 8 + 1) * (63 - 11 + 1)
