"""The files of a comparison: two checkpoints, the network, images."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

from pruncam._core.machine import Machine
from pruncam._core.text import printable
from pruncam._core.validation import check_number, check_path, short_repr
from pruncam._nn.outputs import Output
from pruncam.comparison import checkpoints, model_spec
from pruncam.comparison.checkpoints import Checkpoint
from pruncam.comparison.constructors import Constructor, find_constructor
from pruncam.comparison.model_spec import LoadedNetwork
from pruncam.comparison.pair import Pair
from pruncam.comparison.preprocessing import Preprocessing, of_torchvision
from pruncam.comparison.settings import option
from pruncam.comparison.user_code import load_function
from pruncam.datasets import image_folder, object_masks
from pruncam.datasets.class_map import ClassMap, read_class_map
from pruncam.datasets.decoding import Decoder
from pruncam.datasets.image_folder import LabelledImages, Selection
from pruncam.datasets.object_masks import ObjectMasks

IN_MEMORY = 2**28  # bytes of pixels; larger sets of images are streamed


@dataclass(frozen=True)
class Files:
    """Two checkpoints and their images, as `load` reads them.

    `model` names the network of both, see `constructors.find_constructor`; the pruned one may have
    masks, zeros or fewer filters. `data` and `train` are folders, zips or tars with one sub-folder
    of images per class, see `datasets.image_folder`. `class_map` is a file that names the network's
    classes, of which the folders may be some, see `datasets.class_map`. `also_pruned` are further
    pruned checkpoints, `also_baseline` those of further trainings of the baseline. `output` and
    `reshape` are those of `cams.heatmaps`, functions by their names. `masks` is a folder, zip or
    tar with the masks of objects in the images, or a CSV file of boxes, see `datasets.object_masks`
    and `datasets.object_boxes`.

    Raises TypeError or ValueError if a path is empty or no path, or a number is below 1.
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
            "help": "torchvision:NAME, timm:NAME, pruncam:NAME, module:function or "
            "FILE.py:function (its code is run)",
        }
    )
    data: str | os.PathLike = field(
        metadata={
            "metavar": "FOLDER",
            "help": "images as <class>/*, in a folder, zip or tar; classes in order of their names",
        }
    )
    train: str | os.PathLike | None = option(
        None,
        metavar="FOLDER",
        help="training images of the same classes, for the fine-tuning reference",
    )
    size: int | None = option(
        None,
        metavar="PIXELS",
        help="resize and crop images to this side (default: that of published weights, else "
        "unchanged)",
    )
    images: int | None = option(
        None, metavar="N", help="use at most N images, balanced over the classes (default: all)"
    )
    resize: int | None = option(
        None, metavar="PIXELS", help="shorter side before the crop (default: the size)"
    )
    class_map: str | os.PathLike | None = option(
        None,
        metavar="FILE",
        help="the network's classes, one on each line, or as JSON, if the folders are only some of "
        "them or in another order",
    )
    weights: str | None = option(
        None,
        metavar="NAME",
        help="which weights to use if checkpoints hold several, such as state_dict_ema",
    )
    output: str | int | None = option(
        None,
        metavar="NAME",
        help="position or name of the logits in what the networks return, if that is more, or "
        "FILE.py:function (a single logit: pruncam.cams:two_classes)",
    )
    reshape: str | None = option(
        None,
        metavar="FILE.py:function",
        help="turns the output of --target-layer into maps (N, C, h, w), where its layout is not "
        "known",
    )
    also_pruned: tuple[str, ...] = option(
        (), metavar="C.pt", help="more pruned networks, such as a sweep over rates: one table"
    )
    also_baseline: tuple[str, ...] = option(
        (),
        metavar="D.pt",
        help="unpruned networks of other trainings: how far apart their maps are is a yardstick",
    )
    masks: str | os.PathLike | None = option(
        None,
        metavar="FOLDER",
        help="grey masks of the objects, light on the object, named as the images of --data, in a "
        "folder, zip or tar, or boxes as a CSV file (file,left,top,right,bottom in pixels): how "
        "much of the heatmaps is on the object",
    )

    def __post_init__(self) -> None:
        for name in ("baseline", "pruned", "data"):
            check_path(name, getattr(self, name))
        for name in ("train", "class_map", "masks"):
            if getattr(self, name) is not None:
                check_path(name, getattr(self, name))
        for name in ("also_pruned", "also_baseline"):
            paths = getattr(self, name)
            if not isinstance(paths, tuple | list):
                raise TypeError(f"{name} must be a tuple of paths, got {short_repr(paths)}")
            for path in paths:
                check_path(name, path)
        if not isinstance(self.model, str):
            raise TypeError(f"model must be the name of a network, got {short_repr(self.model)}")
        for name in ("size", "images", "resize"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), whole=True, at_least=1)


def load(files: Files, *, machine: Machine | None = None, progress: bool = False) -> Pair:
    """Read two checkpoints and their images; the networks are placed on the device of `machine`.

    Images that take more than 256 MiB are streamed. Raises ValueError, TypeError, OSError or
    DataError if something is missing, damaged, or does not fit the rest.
    """
    reading = _Reading(files, find_constructor(files.model), _output(files.output), progress)
    reshape = None if files.reshape is None else load_function(files.reshape, "reshape")
    paths = (files.baseline, files.pruned, *files.also_pruned, *files.also_baseline)
    read = [checkpoints.read(path) for path in paths]
    decoder = reading.first_decoder(read[0])
    networks = reading.networks(read, decoder)
    baseline, pruned, *others = networks
    decoder = replace(
        decoder, channels=baseline.channels, interpolation=_interpolation(baseline.preprocessing)
    )
    test = reading.images(files.data, decoder, baseline)
    train = files.train and reading.images(files.train, decoder, baseline, split="train")
    device = (machine or Machine()).torch_device
    names = _different_names([checkpoint.name for checkpoint in read[2:]])
    placed = {name: other.network.to(device) for name, other in zip(names, others, strict=True)}
    sweep = names[: len(files.also_pruned)]
    return Pair(
        baseline=baseline.network.to(device),
        pruned=pruned.network.to(device),
        images=test.images,
        train_images=train and train.images,
        also_pruned={name: placed[name] for name in sweep},
        also_baseline={name: placed[name] for name in names if name not in sweep},
        files=test.files,
        origin=_origin(files, decoder, read, networks),
        preprocessing=baseline.preprocessing,
        output=reading.output,
        reshape=reshape,
        masks=reading.masks(test.files, decoder),
    )


def _output(text: str | int | None) -> Output | None:
    """Return the position, the name or the function that a text stands for."""
    if isinstance(text, str) and ":" in text:
        return load_function(text, "output")
    is_number = isinstance(text, str) and text.removeprefix("-").isdecimal()
    return int(text) if is_number else text


@dataclass(frozen=True)
class _Reading:
    """The steps of `load`."""

    files: Files
    constructor: Constructor
    output: Output | None
    progress: bool

    def first_decoder(self, checkpoint: Checkpoint) -> Decoder:
        """Return the size that images are brought to, for networks that depend on it."""
        size, shorter_side = self.files.size, self.files.resize
        if size is None and shorter_side is None and self.constructor.library == "torchvision":
            known = of_torchvision(self.constructor.name, checkpoint)
            if known is not None and known.exact:
                size, shorter_side = known.size, known.shorter_side
        return Decoder(size=size, shorter_side=shorter_side)

    def networks(self, read: list[Checkpoint], decoder: Decoder) -> list[LoadedNetwork]:
        """Return the networks of all checkpoints.

        Raises ValueError if they differ in their classes or input channels.
        """
        _, height, width = image_folder.first_shape(self.files.data, decoder)
        options = {"location": self.files.weights, "output": self.output}
        networks = [
            model_spec.build(self.constructor, checkpoint, (height, width), **options)
            for checkpoint in read
        ]
        for fact in ("classes", "channels"):
            before = getattr(networks[0], fact)
            for checkpoint, network in zip(read, networks, strict=True):
                if getattr(network, fact) != before:
                    raise ValueError(
                        f"the checkpoints must have the same number of {fact}, "
                        f"{read[0].name} has {before}, {checkpoint.name} {getattr(network, fact)}"
                    )
        return networks

    def images(
        self,
        path: str | os.PathLike,
        decoder: Decoder,
        network: LoadedNetwork,
        split: str = "test",
    ) -> LabelledImages:
        """Read the images of a split; training images are held in memory."""
        known = network.preprocessing
        selection = Selection(
            class_map=self.class_map,
            limit=self.files.images if split == "test" else None,
            split=split,
            hint="pass the size to resize them to" + (known.size_hint() if known else ""),
        )
        memory = IN_MEMORY if split == "test" else None
        labelled = image_folder.read(
            path, decoder, selection, memory=memory, progress=self.progress
        )
        if self.class_map is None:
            return labelled
        if self.class_map.count > network.classes:
            raise ValueError(
                f"the class map has {self.class_map.count} classes, the network {network.classes}"
            )
        names = self.class_map.class_names(network.classes)
        return replace(labelled, images=replace(labelled.images, classes=names))

    def masks(self, names: Sequence[str], decoder: Decoder) -> ObjectMasks | None:
        """Read the masks of the test images of these names; None without a folder of them."""
        path, images = self.files.masks, self.files.data
        if path is None:
            return None
        return object_masks.read(path, names, images, decoder, progress=self.progress)

    @cached_property
    def class_map(self) -> ClassMap | None:
        """Return the class map, if there is a file of it."""
        return None if self.files.class_map is None else read_class_map(self.files.class_map)


def _interpolation(known: Preprocessing | None) -> str:
    return "bilinear" if known is None else known.interpolation


def _different_names(names: list[str]) -> list[str]:
    """Return names of files, numbered if two are equal."""
    counts = Counter(names)
    return [
        name if counts[name] == 1 else f"{name} ({number})"
        for number, name in enumerate(names, start=1)
    ]


def _origin(
    files: Files, decoder: Decoder, read: list[Checkpoint], loaded: list[LoadedNetwork]
) -> dict[str, Any]:
    """Return what the manifest says about networks, checkpoints and the size of images."""
    module, _, name = files.model.rpartition(":")
    further = ["also pruned"] * len(files.also_pruned) + ["also baseline"] * len(
        files.also_baseline
    )
    described = [
        {
            "role": role,
            "name": checkpoint.name,
            "bytes": checkpoint.size,
            "sha256": checkpoint.sha256,
            "verified": checkpoint.verified,
            "weights": network.weights.describe(),
        }
        for role, checkpoint, network in zip(
            ("baseline", "pruned", *further), read, loaded, strict=True
        )
    ]
    return {
        "model": printable(f"{PurePath(module).name}:{name}"),
        "checkpoints": described,
        "resizing": _resizing(decoder),
    }


def _resizing(decoder: Decoder) -> str:
    """Return how images were resized, in words."""
    if decoder.size is None:
        return "none"
    shorter = decoder.shorter_side or decoder.size
    return f"shorter side to {shorter} ({decoder.interpolation}), centre of {decoder.size} pixels"
