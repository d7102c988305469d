"""Image files of every kind: pixels as other libraries read them, or one sentence."""

import dataclasses
import io
import json
import os
import zipfile

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from pruncam._core.text import printable
from pruncam.datasets import DataError, decoding, examination, image_folder, streamed_images
from pruncam.datasets.batches import Batches
from pruncam.datasets.class_map import read_class_map
from pruncam.datasets.decoding import DEEP, ROTATED, TRANSPARENT, Decoder
from pruncam.datasets.image_folder import Selection
from pruncam.datasets.streamed_images import StreamedImages

RAMP = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"


def noise(size=(12, 10), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def as_tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def draw(folder, classes=("ant", "bee"), each=3, size=(12, 10)):
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            pixels = noise(size, seed=10 * number + index)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_to_the_nearest_of_eight(kind):
    image = Decoder(channels=1).decode(encoded(RAMP, kind))
    assert np.array_equal(image.pixels[0], np.round(RAMP / 257))
    assert image.remarks == (DEEP,)


def test_sixteen_bits_are_those_of_opencv():
    content = encoded(RAMP)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    pixels = Decoder(channels=1).decode(content).pixels[0].numpy()
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_white_is_zero_in_a_tiff_that_says_so():
    pixels = Decoder(channels=1).decode(as_tiff(RAMP, photometric="miniswhite")).pixels[0]
    assert np.array_equal(pixels, 255 - np.round(RAMP / 257))


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint32, np.float32])
def test_pixels_of_unknown_range_are_refused(kind):
    with pytest.raises(ValueError, match="of unknown range: convert it to 8 or 16 bits"):
        Decoder().decode(as_tiff(RAMP.astype(kind)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(noise(), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    image = Decoder().decode(content)
    assert torch.equal(image.pixels, functional.pil_to_tensor(upright.convert("RGB")))
    assert image.remarks == ((ROTATED,) if orientation > 1 else ())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK"])
def test_other_modes_are_converted_as_torchvision_does(mode, tmp_path):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    content = encoded(Image.fromarray(noise()).convert(mode), kind)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"0.{kind.lower()}").write_bytes(content)
    expected = ImageFolder(str(tmp_path), transform=functional.pil_to_tensor)[0][0]
    assert torch.equal(image_folder.read(tmp_path).images.images[0], expected)


FORMATS = {
    "BMP": ["bmp"],
    "GIF": ["gif"],
    "JPEG": ["jpg", "jpeg", "JPG"],
    "PNG": ["png"],
    "PPM": ["ppm", "pgm"],
    "TIFF": ["tif", "tiff"],
    "WEBP": ["webp"],
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_as_by_its_own_library(kind, tmp_path):
    """Of all suffixes; those of another format say nothing."""
    assert sorted(FORMATS) == sorted(decoding.FORMATS)
    content = encoded(noise(), kind, **({"lossless": True} if kind == "WEBP" else {}))
    suffixes = [*FORMATS[kind], "png"]
    (tmp_path / "a").mkdir()
    for number, suffix in enumerate(suffixes):
        (tmp_path / "a" / f"{number}.{suffix}").write_bytes(content)
    read = image_folder.read(tmp_path)
    assert len(read.images) == len(suffixes)
    buffer = np.frombuffer(content, np.uint8)
    expected = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)
    if kind == "GIF":  # 256 colours
        expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    tolerance = 6 if kind == "JPEG" else 0
    for image in read.images.images:
        difference = image.permute(1, 2, 0).numpy().astype(int) - expected.astype(int)
        assert np.abs(difference).max() <= tolerance


def test_transparency_is_ignored_as_in_torchvision_and_counted(tmp_path):
    image = Image.fromarray(noise()).convert("RGBA")
    image.putalpha(Image.fromarray(noise()[..., 0]))
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "0.png")
    read = image_folder.read(tmp_path).images
    expected = ImageFolder(str(tmp_path), transform=functional.pil_to_tensor)[0][0]
    assert torch.equal(read.images[0], expected)
    assert read.provenance.endswith(f"; 1 {TRANSPARENT}")


@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 40), (20, 33), (9, 17)])
@pytest.mark.parametrize("shorter", [20, 23])
def test_an_image_is_resized_and_cropped_as_torchvision_does(height, width, shorter):
    image = Image.fromarray(noise((height, width)))
    resized = functional.resize(image, shorter)
    expected = functional.pil_to_tensor(functional.center_crop(resized, 20))
    decoder = Decoder(size=20, shorter_side=shorter)
    assert torch.equal(decoder.decode(encoded(image)).pixels, expected)


def test_a_decoder_refuses_what_it_cannot_do():
    with pytest.raises(DataError, match="images have 1 or 3 channels, the network expects 4"):
        Decoder(channels=4)
    with pytest.raises(ValueError, match="shorter side must be at least 20"):
        Decoder(size=20, shorter_side=16)
    with pytest.raises(ValueError, match="pass the size"):
        Decoder(shorter_side=16)


# ---------------------------------------------------------------- files that are refused


def test_a_file_of_another_format_starts_no_program(tmp_path):
    draw(tmp_path)
    (tmp_path / "ant" / "3.png").write_bytes(EPS)
    with pytest.raises(DataError, match="ant/3.png cannot .* none of the formats BMP, GIF, JPEG"):
        image_folder.read(tmp_path)


def test_a_pipe_and_a_device_are_no_images(tmp_path):
    draw(tmp_path)
    os.mkfifo(tmp_path / "ant" / "9.png")
    with pytest.raises(DataError, match=r"ant/9.png .*\(it is no regular file\)"):
        image_folder.read(tmp_path)
    (tmp_path / "ant" / "9.png").unlink()
    (tmp_path / "ant" / "9.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"ant/9.png .*\(it is no regular file\)"):
        image_folder.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe is no regular file: give a folder, zip or tar"):
        image_folder.read(tmp_path / "pipe")


def test_truncated_files_are_named_with_their_number(tmp_path):
    draw(tmp_path)
    for number in (0, 2):
        file = tmp_path / "bee" / f"{number}.png"
        file.write_bytes(file.read_bytes()[:-60])
    message = r"bee/0.png cannot be read .* \(1 more images cannot be read\)"
    with pytest.raises(DataError, match=message):
        image_folder.read(tmp_path)


def test_a_folder_that_links_to_itself_is_refused(tmp_path):
    draw(tmp_path)
    (tmp_path / "ant" / "again").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DataError, match="again is a link to a folder that contains it: remove"):
        image_folder.read(tmp_path)


@pytest.mark.parametrize("junk", [".ipynb_checkpoints", "@eaDir", "__MACOSX"])
def test_folders_of_other_programs_are_no_classes(junk, tmp_path):
    draw(tmp_path)
    draw(tmp_path / junk, each=1)
    assert image_folder.read(tmp_path).images.classes == ("ant", "bee")
    ((_, labels),) = Batches(tmp_path)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_splits_are_not_taken_for_classes(tmp_path):
    draw(tmp_path / "train")
    draw(tmp_path / "test")
    with pytest.raises(DataError, match=r"holds splits \(test, train\) instead of classes: pass"):
        image_folder.read(tmp_path)


def test_a_size_beyond_the_memory_is_refused_before_anything_is_decoded(tmp_path, monkeypatch):
    draw(tmp_path)
    monkeypatch.setattr(examination, "decode_file", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match="1000000x1000000 pixels, .* available: use a smaller"):
        image_folder.read(tmp_path, Decoder(size=1_000_000))


def test_images_beyond_the_memory_are_refused(tmp_path, monkeypatch):
    draw(tmp_path)
    monkeypatch.setattr(examination, "available_memory", lambda: 256 * 12 * 10)
    monkeypatch.setattr(examination, "_MEMORY_SHARE", 0.01)
    with pytest.raises(DataError, match="6 images need .* available: use fewer images"):
        image_folder.read(tmp_path)


def test_a_name_that_is_no_utf8_can_be_written(tmp_path):
    draw(tmp_path)
    odd = os.fsencode(tmp_path) + b"/ant/caf\xe9.png"
    try:
        os.rename(os.fsencode(tmp_path / "ant" / "0.png"), odd)
    except OSError:
        assert printable(os.fsdecode(b"caf\xe9")) == "caf\\xe9"  # a file system of UTF-8 alone
        return
    read = image_folder.read(tmp_path)
    assert "ant/caf\\xe9.png" in read.files
    assert all(name.encode("utf-8") for name in read.files) and len(read.images) == 6


# ---------------------------------------------------------------- class maps

MAPS = {
    "lines": ("m.txt", "cat\nbee\ndog\nant\n"),
    "a list": ("m.json", json.dumps(["cat", "bee", "dog", "ant"])),
    "numbers of names": ("m.json", json.dumps({"cat": 0, "bee": 1, "dog": 2, "ant": 3})),
    "names of numbers": ("m.json", json.dumps({"0": "cat", "1": "bee", "2": "dog", "3": "ant"})),
    "synonyms": ("m.json", json.dumps({"1": ["n2", "bee"], "3": ["n4", "ant"]})),
    "Hugging Face": ("m.json", json.dumps({"id2label": {"1": "bee", "3": "ant"}})),
}


@pytest.mark.parametrize("kind", MAPS)
def test_a_class_map_numbers_the_classes_as_the_network_does(kind, tmp_path):
    name, text = MAPS[kind]
    (tmp_path / name).write_text(text)
    class_map = read_class_map(tmp_path / name)
    folder = draw(tmp_path / "images", each=1)
    images = image_folder.read(folder, selection=Selection(class_map=class_map)).images
    assert images.labels.tolist() == [3, 1] and len(images.classes) == 4
    assert class_map.class_names(6)[4:] == ("class 4", "class 5")


def test_identifiers_of_imagenet_are_names_too(tmp_path):
    (tmp_path / "m.txt").write_text("n01440764 tench, Tinca tinca\nn02012849 crane\n")
    class_map = read_class_map(tmp_path / "m.txt")
    assert class_map.number("n02012849") == 1
    assert class_map.names[0] == "n01440764 tench, Tinca tinca"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.json", "{", "is no JSON"),
        ("m.json", "3", "is invalid: a class map is a text file with a class per line"),
        ("m.json", '{"cat": -1}', "has the number -1: they count from 0"),
        ("m.json", '["ant", "ant"]', "has no class 'ant', or several"),
        ("m.txt", "cat\ndog\n", "has no class 'ant', or several .it has cat, dog"),
        ("m.txt", "\n", "has no class"),
    ],
)
def test_a_class_map_that_does_not_fit_gets_one_sentence(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    folder = draw(tmp_path / "images", each=1)
    with pytest.raises(DataError, match=message):
        class_map = read_class_map(tmp_path / name)
        image_folder.read(folder, selection=Selection(class_map=class_map))


# ---------------------------------------------------------------- streaming


@pytest.fixture
def streamed(tmp_path, monkeypatch):
    """The same images in memory and streamed in parts of two."""
    monkeypatch.setattr(streamed_images, "PART_BYTES", 2 * 3 * 12 * 10)
    folder = draw(tmp_path / "images", each=4)
    return image_folder.read(folder), image_folder.read(folder, memory=0)


def test_streamed_images_are_those_in_memory(streamed):
    whole, parts = streamed
    assert isinstance(parts.images, StreamedImages) and parts.files == whole.files
    joined = list(parts.images.parts())
    assert [len(part) for part in joined] == [2, 2, 2, 2]
    assert torch.equal(torch.cat([part.images for part in joined]), whole.images.images)
    assert torch.equal(torch.cat([part.labels for part in joined]), whole.images.labels)
    assert parts.images.checksum == whole.images.checksum
    assert parts.images.shape == whole.images.shape and len(parts.images) == 8
    chosen = torch.tensor([5, 0])
    assert torch.equal(parts.images.pixels(chosen), whole.images.pixels(chosen))
    assert parts.images.first(3).checksum == whole.images.first(3).checksum


def test_small_images_are_decoded_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(streamed_images, "_PART_IMAGES", 3)
    images = image_folder.read(draw(tmp_path / "images", each=4), memory=0).images
    assert [len(part) for part in images.parts()] == [3, 3, 2]


def test_streamed_images_are_scored_like_those_in_memory(streamed):
    whole, parts = streamed
    batches = Batches(parts.images)
    assert batches.total == 8
    images = torch.cat([images for images, _ in batches])
    assert torch.equal(images, whole.images.images / 255)


def test_no_more_than_a_part_is_decoded_at_a_time(streamed, monkeypatch):
    _, parts = streamed
    sizes = []
    decode = streamed_images.decode

    def count(files, *arguments, **options):
        sizes.append(len(files))
        return decode(files, *arguments, **options)

    monkeypatch.setattr(streamed_images, "decode", count)
    for _ in parts.images:
        pass
    assert sizes == [2, 2, 2, 2]


def test_a_file_that_changes_its_size_while_streaming_is_named(streamed, tmp_path):
    _, parts = streamed
    Image.fromarray(noise((5, 5))).save(tmp_path / "images" / "bee" / "0.png")
    with pytest.raises(decoding.SizeMismatch, match="bee/0.png.*: the file was changed since"):
        list(parts.images)


def test_the_names_of_the_classes_can_be_replaced(streamed):
    for labelled in streamed:
        renamed = dataclasses.replace(labelled.images, classes=("a", "b", "c"))
        assert renamed.classes == ("a", "b", "c") and len(renamed) == 8


@pytest.mark.parametrize("name", [b"ant/1.tng", b"ant\x0f1.png", b"ant/.\x0fpng"])
def test_a_damaged_name_in_a_zip_does_not_hide_an_image(tmp_path, name):
    folder = draw(tmp_path / "images")
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for image in sorted(folder.rglob("*.png")):
            archive.write(image, image.relative_to(folder).as_posix())
        archive.writestr("ant/readme.txt", "no image")
    assert len(image_folder.read(path).images) == 6
    start, found, end = path.read_bytes().rpartition(b"ant/1.png")  # in the list of members
    assert found
    path.write_bytes(start + name + end)
    with pytest.raises(DataError, match="images.zip"):
        image_folder.read(path)
