"""Data sets: files are verified, parsed as written, and rejected by name if not intact."""

import dataclasses
import functools
import gzip
import hashlib
import http.server
import os
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from pruncam._core import paths
from pruncam.datasets import DataError, ImageSet, catalog, digits, idx

BESIDE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL_DATA = os.environ.get("PRUNCAM_DATA") or BESIDE_CHECKOUT
MNIST_COUNTS = {  # of the digits 0 to 9 in the original files
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}
TRAIN_IMAGES, TRAIN_LABELS = idx.FILES["train"]


@pytest.fixture(autouse=True)
def only_the_folders_of_the_test(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / "project")
    monkeypatch.delenv("PRUNCAM_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def contents(monkeypatch) -> dict[str, bytes]:
    """Return four small files in the original format that pass for MNIST."""
    files = small_idx_files()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    monkeypatch.setitem(idx.CHECKSUMS, "MNIST", sums)
    return files


@pytest.fixture
def raw(contents, tmp_path) -> Path:
    """Return a data folder's MNIST/raw with all four files as .gz."""
    folder = tmp_path / "sets" / "MNIST" / "raw"
    write(folder, contents)
    return folder


@pytest.fixture
def mirror(contents, monkeypatch, tmp_path):
    """Let torchvision download MNIST from a local server; yield the folder that it serves."""
    from torchvision import datasets

    served = tmp_path / "served"
    write(served, contents)
    paths_served = sorted(served.iterdir())
    sums = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in paths_served]
    handler = functools.partial(QuietHandler, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(datasets.MNIST, "resources", sums)
        yield served
        server.shutdown()


@pytest.fixture
def no_network(monkeypatch):
    from torchvision import datasets

    with socket.socket() as closed:  # bound but not listening: every connection is refused
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{port}/"])
        yield


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def small_idx_files() -> dict[str, bytes]:
    random = np.random.RandomState(0)
    files = {}
    for split, n in {"train": 30, "test": 20}.items():
        images, labels = idx.FILES[split]
        pixels = random.bytes(n * 28 * 28)
        classes = random.permutation(np.arange(n) % 10)
        files[images] = struct.pack(">4i", 0x803, n, 28, 28) + pixels
        files[labels] = struct.pack(">2i", 0x801, n) + bytes(classes.tolist())
    return files


def write(folder: Path, files: dict[str, bytes], packed: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


def unpacked(raw: Path, name: str) -> bytes:
    plain = raw / name
    if plain.is_file():
        return plain.read_bytes()
    return gzip.decompress((raw / f"{name}.gz").read_bytes())


def parsed_by_hand(raw: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    images_file, labels_file = idx.FILES[split]
    images = unpacked(raw, images_file)
    labels = unpacked(raw, labels_file)
    magic, n, height, width = struct.unpack(">4i", images[:16])
    assert (magic, struct.unpack(">2i", labels[:8])) == (0x803, (0x801, n))
    pixels = np.frombuffer(images[16:], np.uint8).reshape(n, 1, height, width)
    return pixels, np.frombuffer(labels[8:], np.uint8)


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    states = {path: path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in states.items()}


def image_set(**changes) -> ImageSet:
    values = {
        "name": "squares",
        "split": "test",
        "images": torch.arange(3 * 2 * 4 * 4, dtype=torch.uint8).reshape(3, 2, 4, 4),
        "labels": torch.tensor([0, 1, 0]),
        "classes": ("dark", "bright"),
        "provenance": "counted up by the test",
    }
    return ImageSet(**values | changes)


# The set in memory


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": torch.zeros(3, 2, 4, 4)},
            r"images must be a uint8 tensor .* got torch.float32 \(3, 2, 4, 4\)",
        ),
        (
            {"images": torch.zeros(3, 4, 4, dtype=torch.uint8)},
            r"of shape \(N, C, H, W\), got torch.uint8 \(3, 4, 4\)",
        ),
        (
            {"labels": torch.tensor([0, 1])},
            r"labels must be .* of shape \(3,\), .* got torch.int64 \(2,\)",
        ),
        (
            {"labels": torch.tensor([0, 1, 0], dtype=torch.uint8)},
            "labels must be an int64 tensor .* got torch.uint8",
        ),
        ({"labels": torch.tensor([0, 2, 0])}, "labels must index the 2 classes, got 0 to 2"),
        ({"labels": torch.tensor([0, -1, 0])}, "labels must index the 2 classes, got -1 to 0"),
        (
            {
                "images": torch.zeros(0, 1, 4, 4, dtype=torch.uint8),
                "labels": torch.zeros(0, dtype=torch.int64),
            },
            "empty",
        ),
    ],
)
def test_an_image_set_rejects_parts_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        image_set(**changes)


def test_an_image_set_is_frozen_and_counts_its_images():
    images = image_set()
    assert len(images) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        images.labels = torch.zeros(3)


def test_the_checksum_follows_pixels_labels_and_shape_and_nothing_else():
    images = image_set()
    changed_pixel = images.images.clone()
    changed_pixel[2, 1, 3, 3] += 1
    variants = [
        images,
        image_set(images=changed_pixel),
        image_set(labels=torch.tensor([0, 1, 1])),
        image_set(images=images.images.reshape(3, 1, 8, 4)),
    ]
    assert len({variant.checksum for variant in variants}) == 4
    renamed = image_set(name="other", provenance="elsewhere")
    strided = image_set(images=images.images.to(memory_format=torch.channels_last))
    assert images.checksum == renamed.checksum == strided.checksum == images.to("cpu").checksum


def test_the_first_images_say_so_in_their_provenance():
    images = image_set()
    two = images.first(2)
    assert two.images.equal(images.images[:2]) and two.labels.tolist() == [0, 1]
    assert two.provenance == "counted up by the test; the first 2 of 3 test images"
    assert images.first(3) is images
    for n in (0, 4, -1):
        message = f"n must be 1 to 3, the test images of squares, got {n}"
        with pytest.raises(ValueError, match=message):
            images.first(n)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_set_on_the_gpu_keeps_its_checksum():
    images = image_set()
    assert images.to("cuda").images.is_cuda and images.to("cuda").checksum == images.checksum


# Names


def test_the_catalogue_names_its_sets_and_rejects_others():
    assert catalog.names()[:3] == ("mnist", "fashion-mnist", "digits")
    load_train = functools.partial(catalog.load, split="train")
    message = "unknown data set 'emnist': choose one of mnist, fashion-mnist, digits"
    for function in (catalog.find, catalog.download, catalog.ensure, load_train):
        with pytest.raises(ValueError, match=message):
            function("emnist")


def test_an_unknown_split_is_rejected():
    with pytest.raises(ValueError, match="unknown split 'validation': choose one of train, test"):
        catalog.load("mnist", "validation")


# IDX files


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_come_back_as_they_were_written(contents, tmp_path, split, packed):
    write(tmp_path / "sets" / "MNIST" / "raw", contents, packed)
    loaded = catalog.load("mnist", split, data_dir=tmp_path / "sets")
    images, labels = parsed_by_hand(tmp_path / "sets" / "MNIST" / "raw", split)
    assert np.array_equal(loaded.images, images) and np.array_equal(loaded.labels, labels)
    assert (loaded.name, loaded.split) == ("mnist", split)
    assert loaded.original, "the files were verified"
    assert loaded.classes == tuple("0123456789")
    assert str(tmp_path) not in loaded.provenance


def test_the_source_folder_may_be_read_only_and_stays_as_it_was(raw):
    folders = [raw, raw.parent, raw.parents[1]]
    before = state(raw.parents[1])
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert len(catalog.load("mnist", "train", data_dir=raw.parents[1])) == 30
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert state(raw.parents[1]) == before  # the administrator may write in spite of the mode


def test_folders_are_searched_in_order(raw, contents, monkeypatch, tmp_path):
    write(tmp_path / "project" / "data" / "MNIST" / "raw", contents)
    incomplete = tmp_path / "incomplete"
    write(incomplete / "MNIST" / "raw", {TRAIN_IMAGES: contents[TRAIN_IMAGES]})
    assert catalog.find("mnist") == tmp_path / "project" / "data"
    monkeypatch.setenv("PRUNCAM_DATA", str(raw.parents[1]))
    assert catalog.find("mnist") == catalog.find("mnist", incomplete) == raw.parents[1]
    monkeypatch.setenv("PRUNCAM_DATA", str(tmp_path / "nowhere"))
    assert catalog.ensure("mnist", raw.parents[1]) == raw.parents[1]
    assert catalog.find("fashion-mnist") is None


def cut_off(path: Path) -> None:
    packed = path.read_bytes()
    path.write_bytes(packed[: len(packed) // 2])


def flip_a_bit_of_the_content(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(content))


def flip_a_bit_of_the_archive(path: Path) -> None:
    packed = bytearray(path.read_bytes())
    packed[len(packed) // 2] ^= 1
    path.write_bytes(packed)


def change_the_magic_number(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(path.read_bytes())[4:]))


def replace_by_a_web_page(path: Path) -> None:
    path.write_bytes(b"<html>404 not found</html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_off, "is cut off"),
        (flip_a_bit_of_the_content, "is not the original file .* expected SHA-256"),
        (flip_a_bit_of_the_archive, "cannot be read|is not the original file"),
        (change_the_magic_number, "is not the original file .* expected SHA-256"),
        (replace_by_a_web_page, r"cannot be read \(Not a gzipped file"),
        (empty, "is not the original file .*0 bytes"),
    ],
)
@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS])
def test_a_damaged_archive_is_rejected_by_name_with_the_remedy(raw, damage, reason, name):
    damage(raw / f"{name}.gz")
    with pytest.raises(DataError, match=reason) as error:
        catalog.load("mnist", "train", data_dir=raw.parents[1])
    message = str(error.value)
    assert message.startswith(str(raw / f"{name}.gz"))
    assert message.endswith("delete it and get it again (`make download NAME=mnist`)")
    assert "\n" not in message
    other_split = catalog.load("mnist", "test", data_dir=raw.parents[1])
    assert len(other_split) == 20, "the other split is intact"


@pytest.mark.parametrize(
    "content", [lambda good: good[:-1], lambda good: good + b"\0", lambda good: good[::-1]]
)
def test_a_damaged_unpacked_file_is_rejected_by_name(raw, contents, content):
    (raw / f"{TRAIN_IMAGES}.gz").unlink()
    (raw / TRAIN_IMAGES).write_bytes(content(contents[TRAIN_IMAGES]))
    with pytest.raises(DataError, match=f"{TRAIN_IMAGES} is not the original file .* delete it"):
        catalog.load("mnist", "train", data_dir=raw.parents[1])


def test_an_intact_archive_is_used_beside_a_damaged_unpacked_file(raw, contents):
    intact = catalog.load("mnist", "train", data_dir=raw.parents[1])
    (raw / TRAIN_IMAGES).write_bytes(contents[TRAIN_IMAGES][:-1])
    assert catalog.load("mnist", "train", data_dir=raw.parents[1]).checksum == intact.checksum
    cut_off(raw / f"{TRAIN_IMAGES}.gz")
    message = f"{TRAIN_IMAGES} is not .*; .*{TRAIN_IMAGES}.gz is cut off: delete"
    with pytest.raises(DataError, match=message):
        catalog.load("mnist", "train", data_dir=raw.parents[1])


def test_the_files_of_another_set_are_rejected(contents, tmp_path):
    write(tmp_path / "FashionMNIST" / "raw", contents)
    problem = r"FashionMNIST.*train-images.* is not the original"
    with pytest.raises(DataError, match=f"{problem} .*make download NAME=fashion-mnist"):
        catalog.load("fashion-mnist", "train", data_dir=tmp_path)


def test_missing_data_names_both_ways_and_every_folder(raw, contents, monkeypatch, tmp_path):
    (raw / f"{TRAIN_LABELS}.gz").unlink()
    monkeypatch.setenv("PRUNCAM_DATA", str(tmp_path))
    with pytest.raises(DataError) as error:
        catalog.load("mnist", "test", data_dir=raw.parents[1])
    message = str(error.value)
    start = "MNIST is missing: run `make download NAME=mnist`, or put its files into "
    assert message.startswith(start)
    second_way = "<folder>/MNIST/raw and name that folder with DATA=<folder> or PRUNCAM_DATA"
    assert second_way in message
    assert f"{raw.parents[1]} (no {TRAIN_LABELS} in its MNIST/raw)" in message
    assert f"{tmp_path} (no MNIST/raw in it)" in message
    assert f"{tmp_path / 'project' / 'data'} (no such folder)" in message
    assert "\n" not in message


# Downloading


def test_a_download_has_the_layout_of_torchvision_and_loads(mirror, contents, tmp_path):
    folder = catalog.download("mnist")
    assert folder == tmp_path / "project" / "data" == catalog.ensure("mnist")
    assert [path.name for path in folder.iterdir()] == ["MNIST"]
    names = {path.name for path in (folder / "MNIST" / "raw").iterdir()}
    assert names == {*contents, *(f"{name}.gz" for name in contents)}
    images, labels = parsed_by_hand(folder / "MNIST" / "raw", "train")
    loaded = catalog.load("mnist", "train")
    assert np.array_equal(loaded.images, images) and np.array_equal(loaded.labels, labels)


def test_a_download_replaces_what_is_damaged(mirror, raw, contents):
    (raw / TRAIN_IMAGES).write_bytes(contents[TRAIN_IMAGES][:-1])
    empty(raw / f"{TRAIN_IMAGES}.gz")
    catalog.download("mnist", raw.parents[1])
    assert len(catalog.load("mnist", "train", data_dir=raw.parents[1])) == 30
    assert (raw / TRAIN_IMAGES).read_bytes() == contents[TRAIN_IMAGES]


def test_what_is_there_and_intact_is_not_downloaded_again(no_network, raw):
    before = state(raw.parents[1])
    assert catalog.download("mnist", raw.parents[1]) == raw.parents[1]
    assert state(raw.parents[1]) == before


@pytest.mark.parametrize("damage", [cut_off, replace_by_a_web_page, Path.unlink])
def test_a_failed_download_leaves_nothing_half_written(mirror, tmp_path, damage):
    damage(mirror / f"{TRAIN_LABELS}.gz")  # the last of the four to be fetched
    with pytest.raises(DataError, match=f"MNIST could not be downloaded .*{TRAIN_LABELS}"):
        catalog.download("mnist", tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_without_a_network_a_download_ends_with_one_sentence(no_network, tmp_path):
    with pytest.raises(DataError) as error:
        catalog.ensure("mnist")
    message = str(error.value)
    folder = tmp_path / "project" / "data"
    assert message.startswith(f"MNIST could not be downloaded into {folder} (")
    second_way = "put them into <folder>/MNIST/raw and pass DATA=<folder> or PRUNCAM_DATA=<folder>"
    assert second_way in message
    assert f"looked in {folder} (" in message
    assert "\n" not in message
    assert catalog.find("mnist") is None
    assert socket.getdefaulttimeout() is None


def test_a_folder_that_cannot_be_written_ends_with_one_sentence(mirror, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"MNIST could not be downloaded into .*file"):
        catalog.download("mnist", tmp_path / "file")


# The original files, where they are


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_original_files_load_as_published(name, split):
    folder = catalog.find(name, REAL_DATA)
    if folder is None:
        pytest.skip(f"{name} is not here")
    loaded = catalog.load(name, split, data_dir=REAL_DATA)
    raw_folder = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}[name]
    images, labels = parsed_by_hand(folder / raw_folder, split)
    assert np.array_equal(loaded.images, images) and np.array_equal(loaded.labels, labels)
    counts = MNIST_COUNTS[split] if name == "mnist" else [len(loaded) // 10] * 10
    assert loaded.labels.bincount().tolist() == counts
    assert loaded.images.shape == ({"train": 60_000, "test": 10_000}[split], 1, 28, 28)


# scikit-learn's digits


def test_digits_are_scikit_learn_s_1797_images_split_without_overlap():
    from sklearn.datasets import load_digits

    counts, labels = load_digits(return_X_y=True)
    test = digits.held_out(labels)
    parts = {True: catalog.load("digits", "test"), False: catalog.load("digits", "train")}
    for held_out, part in parts.items():
        expected = digits.enlarge(counts.reshape(-1, 8, 8)[test == held_out])
        assert np.array_equal(part.images[:, 0], expected)
        assert part.labels.tolist() == labels[test == held_out].tolist()
    assert len(parts[True]) + len(parts[False]) == 1797
    pixels = {
        held_out: {image.numpy().tobytes() for image in part.images}
        for held_out, part in parts.items()
    }
    assert pixels[True].isdisjoint(pixels[False])


def test_digits_are_split_evenly_over_the_classes():
    train = catalog.load("digits", "train").labels.bincount()
    test = catalog.load("digits", "test").labels.bincount()
    share = test / (train + test)
    assert len(share) == len(catalog.load("digits", "train").classes) == 10
    assert share.min() > 0.19 and share.max() <= 0.2


@pytest.mark.parametrize("split", ["train", "test"])
def test_digits_look_like_mnist(split):
    images = catalog.load("digits", split).images
    background = (images == 0).float().mean((1, 2, 3))
    assert background.min() > 0.6 and background.max() < 0.9  # MNIST: 0.81 on average
    assert images.amax((1, 2, 3)).min() > 200
    frame = torch.ones(28, 28, dtype=torch.bool)
    frame[4:24, 4:24] = False
    assert not images[:, 0, frame].any()


def test_digits_are_the_same_on_every_machine():
    # Computed once with scikit-learn 1.9, from integers only: the same on every CPU and version.
    checksums = {split: catalog.load("digits", split).checksum for split in catalog.SPLITS}
    assert checksums == {
        "train": "278cbec2bfd74590cdc640ee67509c292283fd06805836f4c6a42bf0322600cb",
        "test": "dae80dc5c2dcb2511db8997e9ca53bc623a941fd525305d5661d38c4ccbebdc2",
    }


def test_digits_are_enlarged_as_pytorch_samples_between_pixels():
    counts = torch.randint(0, 17, (50, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    # Black beyond the border, not the border repeated.
    padded = torch.nn.functional.pad(counts.double(), (1, 1, 1, 1))
    # Centres of the new rows, in rows of the padded image.
    centres = (torch.arange(20, dtype=torch.float64) + 0.5) * 8 / 20 - 0.5 + 1
    axis = centres / 9 * 2 - 1
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    grid = torch.stack([x, y], -1).expand(50, 20, 20, 2)
    box = torch.nn.functional.grid_sample(padded, grid, mode="bilinear", align_corners=True)
    expected = ((box - 4) / 10).clamp(0, 1) * 255
    enlarged = torch.from_numpy(digits.enlarge(counts[:, 0].numpy()))[:, 4:24, 4:24]
    assert (enlarged - expected[:, 0]).abs().max() <= 0.5 + 1e-6


def test_digits_are_a_stand_in_and_need_no_download():
    loaded = catalog.load("digits", "test")
    assert "stand-in for MNIST" in loaded.provenance and not loaded.original
    home = catalog.find("digits")
    assert home == catalog.ensure("digits") == catalog.download("digits")
    assert home.name == "data" and home.parents[1].name == "sklearn" and home.is_dir()
