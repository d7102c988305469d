"""The two networks of a comparison and their images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pruncam._core.validation import check_layers
from pruncam._nn.outputs import LogitsOf, Output
from pruncam._nn.wrappers import unwrapped
from pruncam.cams.map_layout import Reshape
from pruncam.cams.target_layer import TargetLayer, find_target_layer
from pruncam.comparison.preprocessing import Preprocessing
from pruncam.comparison.settings import Normalisation
from pruncam.datasets import ImageSet
from pruncam.datasets.object_masks import ObjectMasks
from pruncam.datasets.streamed_images import StreamedImages


@dataclass(frozen=True, eq=False)
class Pair:
    """A baseline and a pruned network with the same classes, and the images they are compared on.

    `train_images` are for the noise floor; without them there is none. `files` are the names of
    the images in the tables. `also_pruned` are further pruned networks and `also_baseline` further
    trainings of the baseline, by their names. `origin` describes the networks in the manifest.
    `preprocessing` is that of the networks' library, None if unknown. `output` and `reshape` are
    those of `cams.heatmaps`, for all networks. `masks` are the pixels of the objects in the images,
    where they are known.
    """

    baseline: nn.Module
    pruned: nn.Module
    images: ImageSet | StreamedImages
    train_images: ImageSet | None = None
    files: tuple[str, ...] | None = None
    origin: dict[str, Any] | None = None
    preprocessing: Preprocessing | None = None
    output: Output | None = None
    reshape: Reshape | None = None
    also_pruned: Mapping[str, nn.Module] = field(default_factory=dict)
    also_baseline: Mapping[str, nn.Module] = field(default_factory=dict)
    masks: ObjectMasks | None = None

    def __post_init__(self) -> None:
        check_layers(self.baseline, "baseline")
        check_layers(self.pruned, "pruned")
        _reject_one_network(self.baseline, self.pruned)
        for name, network in (*self.also_pruned.items(), *self.also_baseline.items()):
            check_layers(network, name)
            _reject_one_network(self.baseline, network)
        if self.files is not None and len(self.files) != len(self.images):
            raise ValueError(
                f"there must be one file name per image, got {len(self.files)} names "
                f"for {len(self.images)} images"
            )
        shape = (len(self.images), *self.images.shape[1:])
        if self.masks is not None and self.masks.shape != shape:
            raise ValueError(
                f"masks must have the shape {shape}, one mask of the size of each image, "
                f"got {self.masks.shape}"
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

    def classifier(self, network: nn.Module) -> nn.Module:
        """Return a network that gives the logits of `network` and nothing else."""
        return network if self.output is None else LogitsOf(network, self.output)


def check_pair(
    pair: Pair, normalisation: Normalisation, target_layer: str | None
) -> dict[str, TargetLayer]:
    """Return the target layers of the "baseline" and the "pruned" network.

    Raises ValueError if the networks do not fit the images, which must have as many classes.
    """
    x = normalisation(pair.images.first(1).images.cpu().float() / 255)
    return {
        "baseline": _checked_layer("baseline", pair.baseline, pair, x, target_layer),
        "pruned": _checked_layer("pruned network", pair.pruned, pair, x, target_layer),
    }


def _checked_layer(
    name: str, network: nn.Module, pair: Pair, x: torch.Tensor, target_layer: str | None
) -> TargetLayer:
    layer = find_target_layer(network, x, target_layer, reshape=pair.reshape, output=pair.output)
    # A single output, which has no class probabilities, is refused with what to do by `scoring`.
    if layer.classes not in (1, len(pair.classes)):
        raise ValueError(
            f"the {name} has {layer.classes} classes, the images have {len(pair.classes)} "
            f"({_first_names(pair.classes)}): there must be one sub-folder per class, "
            "or a class map"
        )
    return layer


def _first_names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _reject_one_network(baseline: nn.Module, pruned: nn.Module) -> None:
    """Raise ValueError if both names stand for the same weights, perhaps in a wrapper."""
    weights = {id(parameter) for parameter in unwrapped(baseline).parameters()}
    others = {id(parameter) for parameter in unwrapped(pruned).parameters()}
    if baseline is pruned or (others and others <= weights):
        raise ValueError(
            "baseline and pruned are one network with the same weights: "
            "prune a copy of the baseline (copy.deepcopy), and pass both"
        )
