"""Decoding of image files to pixels of one form: uint8, RGB or grey, cropped to a size."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from pruncam._core.validation import check_choice, check_number
from pruncam.datasets.file_tree import File
from pruncam.datasets.images import DataError

# The formats that are decoded, whatever a file's name says. Others may start programs (EPS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

# What was done to an image besides decoding it, in words that follow a number of images.
ROTATED = "turned upright by their EXIF tag"
TRANSPARENT = "with transparency, which is ignored"
DEEP = "of more than 8 bits, scaled to 8"

_MODES = {1: "L", 3: "RGB"}  # Pillow's names, by number of channels
_INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "box", "hamming", "nearest")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of a TIFF


class SizeMismatch(DataError):
    """An error: images of several sizes."""


class DecodedImage(NamedTuple):
    """The pixels of an image, uint8 (C, H, W), and what was done to it, such as `ROTATED`."""

    pixels: Tensor
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Decoder:
    """Decodes image files to pixels of one form.

    Pixels are those of torchvision's ImageFolder (Pillow's conversion to RGB, which ignores
    transparency), with two exceptions: photographs are turned upright by their EXIF tag, and grey
    images of more than 8 bits are scaled by the range of their format, where Pillow clips them.

    Parameters
    ----------
    channels : 3, or 1 for grey
    size : int or None
        Side in pixels of the centre that is cropped; None: images stay as they are.
    shorter_side : int or None
        What the shorter side is resized to before, by default `size`.
    interpolation : str
        Of resizing, by Pillow's name; "bilinear" is torchvision's default.

    Raises DataError for other channels, ValueError or TypeError for other invalid values.
    """

    channels: int = 3
    size: int | None = None
    shorter_side: int | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.channels not in _MODES:
            raise DataError(f"images have 1 or 3 channels, the network expects {self.channels}")
        check_choice("interpolation", self.interpolation, _INTERPOLATIONS)
        if self.size is not None:
            check_number("size", self.size, whole=True, at_least=1)
        if self.shorter_side is not None:
            if self.size is None:
                raise ValueError("images that are resized are cropped, too: pass the size")
            check_number("shorter side", self.shorter_side, whole=True, at_least=self.size)

    def decode(self, content: bytes) -> DecodedImage:
        """Decode the content of a file.

        Raises one of many kinds of Exception if it is damaged or of another format, and ValueError
        if the range of its pixels is unknown.
        """
        Image.init()  # makes all formats known; does nothing from the second call on
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
            remarks = []
            upright = _upright(image)
            if upright is not image:
                remarks.append(ROTATED)
            shallow = _eight_bits(upright, image)
            if shallow is not upright:
                remarks.append(DEEP)
            if _is_transparent(shallow):
                remarks.append(TRANSPARENT)
            converted = _convert(shallow, _MODES[self.channels])
            pixels = np.array(self._resize_and_crop(converted))
        height, width = pixels.shape[:2]
        planes = torch.from_numpy(pixels).view(height, width, -1).permute(2, 0, 1)
        return DecodedImage(planes, tuple(remarks))

    def _resize_and_crop(self, image: Image.Image) -> Image.Image:
        """Resize the shorter side and return the centre, as torchvision's transforms do."""
        if self.size is None:
            return image
        shorter = self.shorter_side or self.size
        if min(image.size) != shorter:
            # torchvision rounds the longer side down.
            width = int(shorter * image.width / min(image.size))
            height = int(shorter * image.height / min(image.size))
            filter_name = Image.Resampling[self.interpolation.upper()]
            image = image.resize((width, height), filter_name)
        left = round((image.width - self.size) / 2)
        top = round((image.height - self.size) / 2)
        return image.crop((left, top, left + self.size, top + self.size))


class DecodedFiles(NamedTuple):
    """Decoded files: pixels (N, C, H, W), what was done to how many, and errors by position.

    The pixels of files with an error are arbitrary.
    """

    images: Tensor
    remarks: Counter[str]
    errors: dict[int, DataError]


def decode(files: Sequence[File], decoder: Decoder, *, hint: str) -> Tensor:
    """Decode image files, at least one, to a uint8 tensor (N, C, H, W) in the order of `files`.

    Raises DataError if a file cannot be decoded, and SizeMismatch, with the hint, if sizes differ.
    """
    decoded = decode_files(files, decoder, hint=hint)
    if decoded.errors:
        raise decoded.errors[min(decoded.errors)]
    return decoded.images


def decode_files(files: Sequence[File], decoder: Decoder, *, hint: str) -> DecodedFiles:
    """Decode image files, at least one, and collect the errors of those that cannot be decoded.

    Raises SizeMismatch, with the hint, if sizes differ.
    """
    if not files:
        raise ValueError("there are no files to decode")
    images: Tensor | None = None
    remarks: Counter[str] = Counter()
    errors: dict[int, DataError] = {}
    for index in sorted(range(len(files)), key=lambda index: files[index].position):
        try:
            pixels, of_image = decode_file(files[index], decoder)
        except DataError as error:
            errors[index] = error
            continue
        if images is None:
            images = torch.empty((len(files), *pixels.shape), dtype=torch.uint8)
        check_size(pixels, images.shape[1:], files[index], hint)
        images[index] = pixels
        remarks.update(of_image)
    if images is None:
        images = torch.empty((len(files), decoder.channels, 0, 0), dtype=torch.uint8)
    return DecodedFiles(images, remarks, errors)


def decode_file(file: File, decoder: Decoder) -> DecodedImage:
    """Decode a file; raise DataError, with its name, if that is impossible."""
    try:
        return decoder.decode(file.read())
    except Exception as error:  # Pillow and the archives raise any kind of error on a damaged file
        raise DataError(
            f"{file.location} cannot be read as an image ({_reason(error)}): "
            "repair, replace or remove it"
        ) from error


def image_size(file: File) -> tuple[int, int]:
    """Return the height and width of an image file, turned upright, without decoding most files.

    Raises DataError as `decode_file` does.
    """
    try:
        with Image.open(io.BytesIO(file.read()), formats=FORMATS) as image:
            if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
                return image.height, image.width
    except Exception:  # of any kind, for a damaged file; decoding tells the reason
        pass
    height, width = decode_file(file, Decoder()).pixels.shape[1:]
    return height, width


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is none of the formats {', '.join(FORMATS)}, or damaged"
    return " ".join(str(error).split()) or type(error).__name__


def check_size(pixels: Tensor, shape: Sequence[int], file: File, hint: str) -> None:
    """Raise SizeMismatch, with the hint, unless the pixels of a file have this shape (C, H, W)."""
    if pixels.shape == tuple(shape):
        return
    sizes = f"{size_text(shape)} and {size_text(pixels.shape)}"
    raise SizeMismatch(f"images must have one size, got {sizes} ({file.location}): {hint}")


def size_text(shape: Sequence[int]) -> str:
    """Return the height and width of a shape (..., H, W), such as "32x48"."""
    height, width = shape[-2:]
    return f"{height}x{width}"


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned and mirrored by its EXIF tag; the image itself without one."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data do not damage the pixels
        return image
    # Pillow turns the pixels of a TIFF when it loads them, and removes the tag.
    return image if orientation == 1 else ImageOps.exif_transpose(image)


def _eight_bits(image: Image.Image, opened: Image.Image) -> Image.Image:
    """Return a grey image of more than 8 bits scaled to 8; the image itself if it has 8.

    `opened` is the image as it was opened, which knows its format. Raises ValueError if the format
    does not say which value is white.
    """
    if image.mode == "F":
        raise ValueError("its pixels are fractions of unknown range: convert it to 8 or 16 bits")
    is_wide = image.mode == "I"
    if not (is_wide or image.mode.startswith("I;16")):
        return image
    if is_wide and opened.format not in ("PNG", "PPM"):  # whose wide pixels have 16 bits
        raise ValueError("its pixels are integers of unknown range: convert it to 8 or 16 bits")
    white = 2 ** _bits(opened) - 1
    values = np.asarray(image).astype(np.int64)
    if _tag(opened, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = white - values
    scaled = (255 * values + white // 2) // white
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))


def _bits(image: Image.Image) -> int:
    """Return the bits of a pixel of a deep grey image."""
    bits = _tag(image, _BITS_PER_SAMPLE)
    return 16 if bits is None else int(np.ravel(bits)[0])


def _tag(image: Image.Image, number: int) -> Any:
    """Return the value of a tag of a TIFF, None for another format."""
    return image.tag_v2.get(number) if hasattr(image, "tag_v2") else None


def _is_transparent(image: Image.Image) -> bool:
    """Return whether some pixel is not opaque."""
    if not image.has_transparency_data:
        return False
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return bool(alpha.min() < 255)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to RGB or grey, as torchvision's loader does."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # without a warning, and to the same colours
    return image.convert(mode)
