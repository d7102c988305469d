"""Weights from which VGG11 may start: those of a file, or torchvision's of ImageNet."""

from pathlib import Path

from torch import Tensor, nn

from pruncam._core import checkpoint_files
from pruncam.datasets import DataError


def read_state_dict(path: str) -> dict[str, Tensor]:
    """Return the state dict in a file, loaded as weights only; its checksums are tested.

    Raises DataError if the file is missing, damaged or something else.
    """
    try:
        checkpoint_files.verify(Path(path))
        state = checkpoint_files.load(Path(path))
    except (OSError, ValueError) as error:
        raise DataError(f"initial weights: {error}, or use 'none' or 'imagenet'") from error
    if not isinstance(state, dict):
        raise DataError(
            f"initial weights: {path} holds a {type(state).__name__}, a state dict is needed"
        )
    return state


def imagenet_state_dict(batch_norm: bool) -> dict[str, Tensor]:
    """Return the weights of torchvision's VGG11, trained on ImageNet.

    They are downloaded at the first call. Raises DataError if that fails.
    """
    from torchvision.models import (
        vgg11,
        vgg11_bn,
    )  # here: the import alone takes seconds

    build = vgg11_bn if batch_norm else vgg11
    try:
        return build(weights="IMAGENET1K_V1").state_dict()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"VGG11's ImageNet weights could not be downloaded ({_on_one_line(error)}): "
            "try again with a network connection, put their file into torch's hub folder, "
            "or use initial='none'"
        ) from error


def with_convolutions_of(state: dict[str, Tensor], network: nn.Module) -> nn.Module:
    """Return `network` with the convolutions of a state dict; its FC layers stay.

    Raises ValueError if the shapes differ.
    """
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    features = {name: value for name, value in state.items() if name.startswith("features.")}
    if any(shapes.get(name) != value.shape for name, value in features.items()):
        raise ValueError(
            "ImageNet's weights are those of a VGG11 of width 64: set width=64 or initial='none'"
        )
    network.load_state_dict(network.state_dict() | features)
    return network


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
