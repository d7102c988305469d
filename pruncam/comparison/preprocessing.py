"""How images are prepared for a network, where its library knows it."""

import math
import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from pruncam._core.extras import needed_for
from pruncam._nn.wrappers import unwrapped
from pruncam.comparison.checkpoints import Checkpoint

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# With pretrained weights, torchvision builds these networks so that they turn the normalisation of
# ImageNet into this one themselves. A checkpoint does not say whether it was made so.
_NORMALISING = ("googlenet", "inception_v3")
_HALF = (0.5, 0.5, 0.5)
_PUBLISHED_HASH = re.compile(r"-([0-9a-f]{8})\.pth$")  # the start of the SHA-256 of the file


@dataclass(frozen=True)
class Preprocessing:
    """The mean and std of pixels in [0, 1], and how a library resizes and crops images.

    `origin` names the library's transforms. `exact`: they are those of the very weights in the
    checkpoint, which the library has published.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str
    size: int | None = None
    shorter_side: int | None = None
    interpolation: str = "bilinear"
    exact: bool = False

    def size_hint(self) -> str:
        """Return which size the library uses, in words; empty if it is unknown."""
        if self.size is None:
            return ""
        return f" ({self.origin}: size {self.size} after resizing to {self.shorter_side})"


def of_torchvision(name: str, checkpoint: Checkpoint | None = None) -> Preprocessing | None:
    """Return the transforms of the published weights of a torchvision network.

    They are those of the checkpoint's weights if it is one of the published files, else those of
    the default weights; None if the published weights differ in mean or std, or if the network may
    normalise images itself.

    Raises ValueError if the checkpoint has the name of a published file, but another content.
    """
    from torchvision import models  # the import takes seconds

    published = list(models.get_model_weights(name))
    for weights in published if checkpoint is not None else ():
        if _is_published(checkpoint, weights.url):
            return _from_transforms(name, weights, exact=True)
    if name in _NORMALISING or not published:
        return None
    known = [_from_transforms(name, weights) for weights in published]
    default = _from_transforms(name, models.get_model_weights(name).DEFAULT)
    agree = all((entry.mean, entry.std) == (default.mean, default.std) for entry in known)
    return default if agree else None


def of_network(network: nn.Module) -> Preprocessing | None:
    """Return the preprocessing of a network of torchvision or timm in memory; None if unknown."""
    network = unwrapped(network)
    if isinstance(getattr(network, "pretrained_cfg", None), dict):
        return _from_timm(network)
    module, kind = type(network).__module__, type(network).__name__
    # Only one of torchvision's networks is normalised otherwise, an EfficientNet.
    if module.startswith("torchvision.models.") and kind != "EfficientNet":
        return Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "torchvision's networks")
    return None


def _is_published(checkpoint: Checkpoint, url: str) -> bool:
    """Return whether a checkpoint is the file at a library's URL."""
    match = _PUBLISHED_HASH.search(url)
    if match is None:
        return False
    is_same = checkpoint.sha256.startswith(match[1])
    if not is_same and url.endswith(f"/{checkpoint.name}"):
        raise ValueError(
            f"{checkpoint.name} is damaged: it has the name of a file of torchvision, but not its "
            "SHA-256: download it again"
        )
    return is_same


def _from_transforms(name: str, weights: Any, exact: bool = False) -> Preprocessing:
    transforms = weights.transforms()
    normalises = name in _NORMALISING
    return Preprocessing(
        mean=_HALF if normalises else tuple(transforms.mean),
        std=_HALF if normalises else tuple(transforms.std),
        origin=f"torchvision's transforms of {weights}",
        size=transforms.crop_size[0],
        shorter_side=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
        exact=exact,
    )


def _from_timm(network: nn.Module) -> Preprocessing:
    with needed_for("the preprocessing of a network of timm", "timm"):
        from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network)
    size = config["input_size"][-1]
    interpolation = config["interpolation"]
    return Preprocessing(
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        origin=f"timm's settings of {network.pretrained_cfg.get('architecture', 'this network')}",
        size=size,
        shorter_side=math.floor(size / config["crop_pct"]),
        interpolation="bilinear" if interpolation == "random" else interpolation,
    )
