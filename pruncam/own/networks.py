"""Networks by name: torchvision's, pruncam's, or a function of the user's own."""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from pruncam import models, pruning
from pruncam.choices import check_choice
from pruncam.own.checkpoints import Checkpoint

_OURS = ("mnist_net", "cifar_net", "stl_net", "vgg11")
_KINDS = "torchvision:resnet18, pruncam:vgg11, package.module:function or FILE.py:function"


def build(spec: str, checkpoint: Checkpoint, image_size: int) -> nn.Module:
    """The network of a checkpoint, with its weights.

    `spec` names it: "torchvision:resnet18" (any of its classifiers), "pruncam:vgg11", or a function that makes it, as
    "package.module:function" or "FILE.py:function", whose code is run. The number of classes is that of the
    checkpoint's last layer; a function is called with those of `classes`, `num_classes`, `in_channels`, `image_size`
    and `batch_norm` that are its parameters. A checkpoint with fewer filters, as `pruning.remove_filters` leaves,
    fits too.

    Raises ValueError or OSError in one sentence where there is no such network or the weights are of another one.
    """
    facts = {
        "classes": checkpoint.classes,
        "num_classes": checkpoint.classes,
        "in_channels": checkpoint.channels,
        "image_size": image_size,
        "batch_norm": any(name.endswith("running_mean") for name in checkpoint.state),
    }
    make = function(spec, "model", torchvision=_torchvision, pruncam=_pruncam)
    try:
        taken = inspect.signature(make).parameters
        model = make(**{name: value for name, value in facts.items() if name in taken})
    except Exception as error:  # the user's own code, which may fail in any way
        raise ValueError(f"{spec} makes no network ({_reason(error)})") from error
    if not isinstance(model, nn.Module):
        raise ValueError(f"{spec} must give a torch.nn.Module, got {type(model).__name__}")
    try:
        return pruning.load_state(model, checkpoint.state)
    except ValueError as error:
        raise ValueError(f"{checkpoint.name} does not fit {spec}: {error}") from error


def function(spec: str, what: str, **families: Callable[[str], Callable[..., Any]]) -> Callable[..., Any]:
    """The function that "package.module:function" or "FILE.py:function" names; running the module is the user's will.

    `families` are names before the colon that mean something else, each with a function of what stands behind it;
    `what` is for the message. Raises ValueError or OSError in one sentence.
    """
    place, colon, name = str(spec).rpartition(":")
    if not (colon and place and name):
        raise ValueError(f"{what} must be {_KINDS if families else _KINDS.partition('11, ')[2]}, got {spec!r}")
    if place in families:
        return families[place](name)
    found = getattr(_module(place), name, None)
    if not callable(found):
        raise ValueError(f"{place} has no function {name!r}")
    return found


def _module(place: str) -> Any:
    """A module by its dotted name, or by its file."""
    file = Path(place).expanduser()
    if file.suffix == ".py" and not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    try:
        if file.suffix != ".py":
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code, which may fail in any way
        raise ValueError(f"{place} cannot be imported ({_reason(error)})") from error
    return module


def _reason(error: Exception) -> str:
    """An error as one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _torchvision(name: str) -> Callable[..., nn.Module]:
    from torchvision import models as theirs  # here: the import alone takes seconds

    check_choice("torchvision classifier", name, theirs.list_models(module=theirs))

    def make(num_classes: int) -> nn.Module:
        return theirs.get_model(name, weights=None, num_classes=num_classes)

    return make


def _pruncam(name: str) -> Callable[..., nn.Module]:
    check_choice("network of pruncam", name, _OURS)
    return getattr(models, name)
