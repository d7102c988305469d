"""The two networks of a comparison and their images, from files or from memory."""

import os
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import torch
from torch import nn

from pruncam._core.machine import Machine
from pruncam._core.validation import check_model
from pruncam.cams.target_layer import TargetLayer, find_target_layer
from pruncam.comparison import checkpoints, model_spec
from pruncam.comparison.checkpoints import Checkpoint
from pruncam.comparison.settings import Normalisation, option
from pruncam.datasets import ImageSet, image_folder


@dataclass(frozen=True)
class Files:
    """Two checkpoints and their images, as `load` reads them.

    `model` names the network of both, see `model_spec.build`; the pruned one may have masks, zeros
    or fewer filters. `data` and `train` are folders, zips or tars with one sub-folder of images per
    class, see `datasets.image_folder`.
    """

    baseline: str | os.PathLike = field(
        metadata={"metavar": "A.pt", "help": "weights of the unpruned network"}
    )
    pruned: str | os.PathLike = field(
        metadata={
            "metavar": "B.pt",
            "help": "weights of the pruned network: with zeros, masks or fewer filters",
        }
    )
    model: str = field(
        metadata={
            "metavar": "MODEL",
            "help": "torchvision:NAME, pruncam:NAME, module:function or FILE.py:function "
            "(its code is run)",
        }
    )
    data: str | os.PathLike = field(
        metadata={
            "metavar": "FOLDER",
            "help": "images as <class>/*, in a folder, zip or tar; classes in order of their names",
        }
    )
    train: str | os.PathLike | None = option(
        None, metavar="FOLDER", help="training images of the same classes, for the noise floor"
    )
    size: int | None = option(
        None, metavar="PIXELS", help="resize and crop images to this side (default: unchanged)"
    )
    images: int | None = option(
        None, metavar="N", help="use at most N images, balanced over the classes (default: all)"
    )


@dataclass(frozen=True, eq=False)
class Pair:
    """A baseline and a pruned network with the same classes, and the images they are compared on.

    `train_images` are for the noise floor; without them there is none. `files` are the names of
    the images in the tables. `origin` describes the networks in the manifest.
    """

    baseline: nn.Module
    pruned: nn.Module
    images: ImageSet
    train_images: ImageSet | None = None
    files: tuple[str, ...] | None = None
    origin: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_model(self.baseline, "baseline")
        check_model(self.pruned, "pruned")
        if self.files is not None and len(self.files) != len(self.images):
            raise ValueError(
                f"there must be one file name per image, got {len(self.files)} names "
                f"for {len(self.images)} images"
            )
        train = self.train_images
        if train is not None and train.classes != self.classes:
            raise ValueError(
                f"the classes of the training images ({_first_names(train.classes)}) are not those "
                f"of the images to score ({_first_names(self.classes)}): use the same sub-folders"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        return self.images.classes

    @property
    def file_names(self) -> tuple[str, ...]:
        """Return the names of the images' files; without files, numbered names."""
        numbered = (f"image {number}" for number in range(len(self.images)))
        return self.files or tuple(numbered)

    @property
    def device(self) -> torch.device:
        """Return the device of the networks."""
        return next(self.baseline.parameters()).device


def load(files: Files, *, machine: Machine | None = None) -> Pair:
    """Read two checkpoints and their images; the networks are placed on the device of `machine`.

    Raises ValueError, TypeError, OSError or DataError if something is missing, damaged, or does not
    fit the rest.
    """
    baseline = checkpoints.read(files.baseline)
    pruned = checkpoints.read(files.pruned)
    if baseline.classes != pruned.classes:
        raise ValueError(
            "the checkpoints must have the same number of classes, "
            f"{baseline.name} has {baseline.classes}, {pruned.name} {pruned.classes}"
        )
    channels, size = baseline.channels, files.size
    test = image_folder.read(files.data, channels=channels, size=size, limit=files.images)
    train_images = None
    if files.train is not None:
        train = image_folder.read(files.train, channels=channels, size=size, split="train")
        train_images = train.images
    device = (machine or Machine()).torch_device
    side = test.images.images.shape[-1]
    return Pair(
        baseline=model_spec.build(files.model, baseline, side).to(device).eval(),
        pruned=model_spec.build(files.model, pruned, side).to(device).eval(),
        images=test.images,
        train_images=train_images,
        files=test.files,
        origin=_origin(files.model, [baseline, pruned]),
    )


def check_pair(
    pair: Pair, normalisation: Normalisation, target_layer: str | None
) -> dict[str, TargetLayer]:
    """Return the target layers of the "baseline" and the "pruned" network.

    Raises ValueError if the networks do not fit the images: they must have as many classes, and a
    target layer whose maps have more than one pixel.
    """
    x = normalisation(pair.images.images[:1].cpu().float() / 255)
    return {
        "baseline": _checked_layer("baseline", pair.baseline, pair, x, target_layer),
        "pruned": _checked_layer("pruned network", pair.pruned, pair, x, target_layer),
    }


def _checked_layer(
    name: str, network: nn.Module, pair: Pair, x: torch.Tensor, target_layer: str | None
) -> TargetLayer:
    layer = find_target_layer(network, x, target_layer)
    if layer.classes != len(pair.classes):
        raise ValueError(
            f"the {name} has {layer.classes} classes, the images have {len(pair.classes)} "
            f"({_first_names(pair.classes)}): there must be one sub-folder per class"
        )
    if layer.map_size == (1, 1):
        size = "x".join(map(str, x.shape[2:]))
        raise ValueError(
            f"target layer {layer.name} of the {name} has maps of one pixel for images of {size}: "
            "choose an earlier target layer or a larger image size"
        )
    return layer


def _origin(model: str, read: list[Checkpoint]) -> dict[str, Any]:
    module, _, name = model.rpartition(":")
    files = [
        {"name": checkpoint.name, "bytes": checkpoint.size, "sha256": checkpoint.sha256}
        for checkpoint in read
    ]
    return {"model": f"{PurePath(module).name}:{name}", "checkpoints": files}


def _first_names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
