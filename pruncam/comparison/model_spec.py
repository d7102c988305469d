"""Build networks by name: torchvision's, pruncam's, or a function of the user."""

import importlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from pruncam import networks, pruning
from pruncam._core.validation import check_choice
from pruncam.comparison import checkpoints
from pruncam.comparison.checkpoints import Checkpoint

_PRUNCAM_NETWORKS = ("mnist_net", "cifar_net", "stl_net", "vgg11")
_FUNCTION_SPECS = "package.module:function or FILE.py:function"
_NETWORK_SPECS = f"torchvision:resnet18, pruncam:vgg11, {_FUNCTION_SPECS}"


def load_network(
    spec: str, checkpoint: str | os.PathLike | None = None, *, image_size: int = 224
) -> nn.Module:
    """Return a network in eval mode, with the weights of a checkpoint.

    Parameters
    ----------
    spec : name of the network, see `build`
    checkpoint : file written by `torch.save`, see `checkpoints.read`; None: newly initialized
        weights, and the default number of classes
    image_size : side of the images in pixels, for networks whose layers depend on it

    Raises
    ------
    ValueError, OSError
        If there is no such network or file, or the weights do not match the network.

    Examples
    --------
    >>> sum(weight.numel() for weight in load_network("pruncam:mnist_net").parameters())
    2346
    """
    if checkpoint is None:
        network = _create(spec, {"image_size": image_size})
    else:
        network = build(spec, checkpoints.read(checkpoint), image_size)
    return network.eval()


def build(spec: str, checkpoint: Checkpoint, image_size: int) -> nn.Module:
    """Return the network of a checkpoint, with its weights.

    `spec` is "torchvision:resnet18" (or another torchvision classifier), "pruncam:vgg11", or a
    function that returns the network, "package.module:function" or "FILE.py:function"; its code is
    run. The number of classes is that of the checkpoint's last layer. A function is called with
    those of `classes`, `num_classes`, `in_channels`, `image_size` and `batch_norm` that are its
    parameters. A checkpoint with fewer filters, as left by `pruning.remove_filters`, matches too.

    Raises ValueError or OSError if there is no such network or the weights do not match it.
    """
    facts = {
        "classes": checkpoint.classes,
        "num_classes": checkpoint.classes,
        "in_channels": checkpoint.channels,
        "image_size": image_size,
        "batch_norm": any(name.endswith("running_mean") for name in checkpoint.state),
    }
    network = _create(spec, facts)
    try:
        return pruning.load_state(network, checkpoint.state)
    except ValueError as error:
        raise ValueError(f"{checkpoint.name} does not fit {spec}: {error}") from error


def load_function(spec: str, kind: str) -> Callable[..., Any]:
    """Import the function named "package.module:function" or "FILE.py:function".

    `kind` says in error messages what the function is for, such as "custom score". Importing runs
    the module's code. Raises ValueError or OSError if there is no such function.
    """
    return _import_function(*_split(spec, kind, _FUNCTION_SPECS))


def _create(spec: str, facts: Mapping[str, Any]) -> nn.Module:
    """Call the constructor that `spec` names with those of `facts` that it takes."""
    constructor = _constructor(spec)
    try:
        parameters = inspect.signature(constructor).parameters
        arguments = {name: value for name, value in facts.items() if name in parameters}
        network = constructor(**arguments)
    except Exception as error:  # code of the user may raise any exception
        raise ValueError(f"{spec} cannot build a network ({_one_line(error)})") from error
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise ValueError(f"{spec} must return a torch.nn.Module, got {kind}")
    return network


def _constructor(spec: str) -> Callable[..., Any]:
    family, name = _split(spec, "model", _NETWORK_SPECS)
    if family == "torchvision":
        return _torchvision_constructor(name)
    if family == "pruncam":
        check_choice("pruncam network", name, _PRUNCAM_NETWORKS)
        return getattr(networks, name)
    return _import_function(family, name)


def _torchvision_constructor(name: str) -> Callable[..., nn.Module]:
    from torchvision import models  # the import takes seconds

    check_choice("torchvision classifier", name, models.list_models(module=models))

    def construct(num_classes: int = 1000) -> nn.Module:
        return models.get_model(name, weights=None, num_classes=num_classes)

    return construct


def _split(spec: str, kind: str, expected: str) -> tuple[str, str]:
    """Return the parts of `spec` before and after its last colon."""
    before, _, name = str(spec).rpartition(":")
    if not (before and name):
        raise ValueError(f"{kind} must be {expected}, got {spec!r}")
    return before, name


def _import_function(module_name: str, name: str) -> Callable[..., Any]:
    function = getattr(_import_module(module_name), name, None)
    if not callable(function):
        raise ValueError(f"{module_name} has no function {name!r}")
    return function


def _import_module(name: str) -> ModuleType:
    """Import a module by its dotted name or by its file."""
    file = Path(name).expanduser()
    if file.suffix == ".py" and not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    try:
        return _run_file(file) if file.suffix == ".py" else importlib.import_module(name)
    except Exception as error:  # code of the user may raise any exception
        raise ValueError(f"{name} cannot be imported ({_one_line(error)})") from error


def _run_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None  # a .py file has a loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[:200]
