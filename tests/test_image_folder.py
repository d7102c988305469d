"""Folders and archives of images, `<class>/*`: read as torchvision does, and nothing else."""

import itertools
import os
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from pruncam.datasets import DataError, file_tree, image_folder
from pruncam.datasets.batches import Batches
from pruncam.datasets.decoding import Decoder


def write_image(path, seed, size=(12, 10), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the irregularities that torchvision's ImageFolder accepts."""
    root = tmp_path / "images"
    write_image(root / "b" / "1.png", 1)
    write_image(root / "b" / "0.JPG", 2)
    write_image(root / "b" / "deeper" / "2.bmp", 3, mode="L")
    write_image(root / "10" / "0.png", 4, mode="RGBA")
    write_image(root / "9" / "z.png", 5)
    write_image(root / "9" / "a.png", 6)
    write_image(tmp_path / "elsewhere" / "0.png", 8)
    (root / "b" / "notes.txt").write_text("not an image")
    (root / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    return root


def pack(folder, archive, top=""):
    """Write the files of a folder to a zip or tar, in reverse order, below a folder `top`."""
    paths = sorted(folder.rglob("*"), reverse=True)
    names = {path: f"{top}{path.relative_to(folder)}" for path in paths if path.is_file()}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path, name in names.items():
                packed.write(path, name)
    else:
        with tarfile.open(archive, "w:gz") as packed:
            for path, name in names.items():
                packed.add(path, name)
    return archive


def test_iterating_gives_the_images_and_labels_of_torchvisions_image_folder(folder):
    expected = ImageFolder(str(folder), transform=functional.pil_to_tensor)
    batches = list(image_folder.iterate(folder, batch_size=3))
    assert [len(images) for images, _ in batches] == [3, 3, 1]
    images = torch.cat([images for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    assert len(expected) == len(images) == image_folder.count_images(folder) == 7
    for image, label, (expected_image, expected_label) in zip(
        images, labels, expected, strict=True
    ):
        assert torch.equal(image, expected_image) and label == expected_label


@pytest.mark.parametrize("name", ["images.zip", "images.tar.gz"])
@pytest.mark.parametrize("top", ["", "set/v1/"])
def test_an_archive_gives_the_images_of_its_folder(folder, tmp_path, name, top):
    (folder / "linked").unlink()
    archive = pack(folder, tmp_path / name, top)
    packed = image_folder.read(archive, Decoder(size=8))
    unpacked = image_folder.read(folder, Decoder(size=8))
    assert packed.images.checksum == unpacked.images.checksum
    assert packed.files == unpacked.files
    batches = zip(image_folder.iterate(archive), image_folder.iterate(folder), strict=True)
    for (images, labels), (expected_images, expected_labels) in batches:
        assert torch.equal(images, expected_images) and torch.equal(labels, expected_labels)


def test_a_path_is_scored_class_by_class_and_as_often_as_it_is_iterated(folder):
    batches = Batches(str(folder))
    assert batches.total == 7 and batches.labelled
    for _ in range(2):
        ((images, labels),) = batches
        assert images.shape == (7, 3, 12, 10) and images.dtype == torch.float32
        assert images.max() <= 1 and labels.tolist() == [0, 1, 1, 2, 2, 2, 3]


def test_hidden_files_and_what_macos_adds_are_left_out(tmp_path):
    write_image(tmp_path / "images" / "a" / "0.png", 0)
    for hidden in (".git/x.png", "a/._0.png", ".DS_Store", "__MACOSX/a/0.png"):
        path = tmp_path / "images" / hidden
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not an image")
    for source in (tmp_path / "images", pack(tmp_path / "images", tmp_path / "images.zip")):
        assert image_folder.read(source).files == ("a/0.png",)
        assert image_folder.count_images(source) == 1


def test_every_reader_rejects_a_class_without_images(folder):
    (folder / "empty").mkdir()
    for reader in (image_folder.read, image_folder.count_images, Batches):
        with pytest.raises(DataError, match="the class 'empty' has no image .*: add some, or"):
            reader(folder)


def test_an_image_outside_of_the_classes_is_rejected_by_name(folder):
    write_image(folder / "overview.png", 7)
    for reader in (image_folder.read, image_folder.count_images, Batches):
        with pytest.raises(DataError, match="holds overview.png outside of the class folders"):
            reader(folder)


def test_a_missing_file_behind_a_link_is_rejected_by_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").symlink_to(tmp_path / "missing.png")
    with pytest.raises(DataError, match="a/0.png cannot be read as an image .*No such file"):
        image_folder.read(tmp_path)


def test_an_encrypted_or_bogus_image_in_an_archive_is_rejected_by_name(tmp_path):
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a/0.png", b"not an image")
    with pytest.raises(DataError, match="images.zip/a/0.png cannot be read as an image"):
        image_folder.read(archive)
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted member
    archive.write_bytes(content)
    with pytest.raises(DataError, match="images.zip/a/0.png cannot be read .*encrypted"):
        image_folder.read(archive)


@pytest.mark.parametrize("name", ["images.zip", "images.tar.gz"])
def test_an_archive_with_a_huge_member_is_rejected(tmp_path, monkeypatch, name):
    write_image(tmp_path / "images" / "a" / "0.png", 0)
    archive = pack(tmp_path / "images", tmp_path / name)
    monkeypatch.setattr(file_tree, "_MAX_BYTES", 10)
    with pytest.raises(DataError, match="holds 'a/0.png' of 0 MiB, too large for an image"):
        image_folder.read(archive)


def test_the_files_of_a_tar_are_read_in_the_order_in_which_they_are_stored(tmp_path, monkeypatch):
    for number, name in enumerate(("a/0.png", "b/0.png", "a/1.png", "b/1.png")):
        write_image(tmp_path / "images" / name, number)
    archive = pack(tmp_path / "images", tmp_path / "images.tar.gz")
    order = []
    original_read = file_tree._TarMember.read

    def read(file):
        order.append(file.name)
        return original_read(file)

    monkeypatch.setattr(file_tree._TarMember, "read", read)
    images = image_folder.read(archive)
    assert images.files == ("a/0.png", "b/0.png", "a/1.png", "b/1.png")
    assert order[0] == "a/0.png"  # for the size of the images
    assert order[1:] == ["b/1.png", "b/0.png", "a/1.png", "a/0.png"]


def test_a_tree_lists_files_folders_and_fingerprints(tmp_path):
    write_image(tmp_path / "a" / "b" / "0.png", 0)
    with file_tree.open_tree(tmp_path) as tree:
        assert tree.folders == {("a",), ("a", "b")}
        file = tree.find("a/b/0.png")
        assert tree.find("a/b/1.png") is None
        assert file.read() == (tmp_path / "a" / "b" / "0.png").read_bytes()
        below = tree.below("a")
        assert below.folders == {("b",)} and below.images[0].name == "b/0.png"
        before = file.fingerprint()
        os.utime(tmp_path / "a" / "b" / "0.png", ns=(1, 1))
        assert file.fingerprint() != before


def test_a_truncated_archive_is_rejected(tmp_path):
    for number in range(20):
        write_image(tmp_path / "images" / "a" / f"{number}.png", number)
    archive = pack(tmp_path / "images", tmp_path / "images.tar.gz")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="images.tar.gz cannot be read"):
        image_folder.read(archive)


def test_no_flipped_bit_of_a_compressed_tar_goes_unnoticed(folder, tmp_path):
    """gzip has a checksum; a bit of its own header, such as the time, says nothing of images."""
    archive = pack(folder, tmp_path / "images.tar.gz")
    content, undamaged = archive.read_bytes(), image_folder.read(archive).images.checksum
    positions = range(0, len(content), 7)
    noticed = 0
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        archive.write_bytes(damaged)
        try:
            assert image_folder.read(archive).images.checksum == undamaged
        except DataError:
            noticed += 1
    assert noticed > 0.8 * len(positions)


@pytest.fixture
def cats_and_dogs(tmp_path):
    """Return a zip of three images, and the place of each in its directory."""
    names = ("cat/0000000000.png", "dog/0000000001.png", "été/2.png")
    for number, name in enumerate(names):
        write_image(tmp_path / "files" / name, number, (4, 4))
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in names:
            packed.write(tmp_path / "files" / name, name)
    content = archive.read_bytes()
    places = [content.rindex(name.encode()) - 46 for name in names]
    return archive, places


def outcome(archive):
    """Return all that is read of an archive, or the message of the DataError."""
    try:
        images = image_folder.read(archive).images
    except DataError as error:
        return str(error)
    return images.checksum, images.classes, images.labels.tolist()


def edited(archive, position, value):
    """Write a zip again with another value of two bytes."""
    content = bytearray(archive.read_bytes())
    content[position : position + 2] = struct.pack("<H", value)
    archive.write_bytes(content)


def test_a_zip_whose_directory_hides_an_image_is_refused(cats_and_dogs):
    archive, (first, second, third) = cats_and_dogs
    edited(archive, first + 32, third - second)  # the length of the comment of the first entry
    with zipfile.ZipFile(archive) as packed:
        assert len(packed.namelist()) == 2  # zipfile sees no fault
    with pytest.raises(
        DataError, match=r"images.zip cannot be read \(.*lists 2 entries, the record at its end 3\)"
    ):
        image_folder.read(archive)


def test_a_zip_whose_directory_renames_a_class_is_refused(cats_and_dogs):
    archive, (_, second, _) = cats_and_dogs
    edited(archive, second + 46, int.from_bytes(b"fo", "little"))
    with pytest.raises(DataError, match=r"\(its directory lists 'fog/0000000001.png', which it"):
        image_folder.read(archive, selection=image_folder.Selection(limit=1))  # it is not read


def test_a_zip_of_a_version_to_come_is_refused(cats_and_dogs):
    archive, (first, *_) = cats_and_dogs
    edited(archive, first + 6, 84)
    with pytest.raises(DataError, match=r"images.zip cannot be read \(zip file version 8.4\)"):
        image_folder.read(archive)


def test_zips_of_other_programs_are_read(cats_and_dogs, monkeypatch):
    """With something before, a comment after, folders, and the count in the longer record."""
    archive, _ = cats_and_dogs
    expected = outcome(archive)
    archive.write_bytes(b"#!/bin/sh\n" + archive.read_bytes())
    assert outcome(archive) == expected
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # more are counted in 64 bits
    with zipfile.ZipFile(archive, "a") as packed:
        packed.mkdir("dog/")
        packed.comment = b"PK\6\6 is how such a record begins"
    end = archive.read_bytes().rindex(b"PK\5\6")
    edited(archive, end + 10, 2**16 - 1)
    assert outcome(archive) == expected
    edited(archive, end - 20 - 56 + 32, 5)
    assert "lists 4 entries, the record at its end 5" in outcome(archive)


def test_no_flipped_bit_in_the_directory_of_a_zip_changes_what_is_read(cats_and_dogs):
    archive, (first, second, _) = cats_and_dogs
    content, undamaged = archive.read_bytes(), outcome(archive)
    header, entry, end = range(50), range(first, second), range(len(content) - 22, len(content))
    places = [*header, *entry, *end]
    refused = 0
    for position, bit in itertools.product(places, range(8)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << bit
        archive.write_bytes(damaged)
        result = outcome(archive)
        if result != undamaged:
            assert isinstance(result, str) and "images.zip" in result and "\n" not in result
            refused += 1
    assert refused > 4 * len(places)
