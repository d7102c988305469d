"""Argument validation."""

import inspect
import math
import numbers
import os
import re
import reprlib
import sys
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import TypeGuard, get_args

PROFILES = ("quick", "overnight", "paper")
DEVICES = ("auto", "cpu", "cuda", "mps")
_SCHEDULER = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^\s/:\[\]]+):\d{1,5}")

_LARGEST_FLOAT = int(sys.float_info.max)
_LONGEST_NAME = 255  # bytes of a file's name
_LONGEST_REPR = 200  # characters of a value in a message
_abbreviate = reprlib.Repr()
_abbreviate.maxlevel = 3


def check_choice(name: str, value: object, options: Iterable[str]) -> None:
    """Raise ValueError, listing the options, unless `value` is one of `options`."""
    options = tuple(options)
    if not isinstance(value, str) or value not in options:
        kind = type(value).__name__
        text = repr(value) if isinstance(value, str) else f"{short_repr(value)} of type {kind}"
        raise ValueError(f"unknown {name} {text}: choose one of {', '.join(options)}")


def check_cluster(address: object) -> None:
    """Raise ValueError unless `address` is that of a dask scheduler, such as tcp://host:port."""
    if not isinstance(address, str) or not _SCHEDULER.fullmatch(address):
        raise ValueError(
            f"the cluster must be tcp://host:port or tls://host:port, got {address!r}: the "
            "scheduler prints its address when it starts"
        )


def check_number(
    name: str,
    value: object,
    *,
    whole: bool = False,
    at_least: int | None = None,
) -> None:
    """Raise TypeError unless `value` is a number, ValueError unless it is whole and large enough.

    A bool does not count as a number, NaN as one that is not large enough. A number that need not
    be whole must be one that a float holds.
    """
    kind = "a whole number" if whole else "a number"
    expected = kind if at_least is None else f"{kind} of at least {at_least}"
    if not is_number(value):
        raise TypeError(f"{name} must be {expected}, got {short_repr(value)}")
    if not whole and isinstance(value, numbers.Integral) and abs(int(value)) > _LARGEST_FLOAT:
        raise ValueError(f"{name} must be {expected} that a float holds, got {short_repr(value)}")
    if whole and not is_number(value, whole=True):
        raise ValueError(f"{name} must be {expected}, got {short_repr(value)}")
    if at_least is not None and not value >= at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {short_repr(value)}")


def is_number(value: object, *, whole: bool = False) -> TypeGuard[float]:
    """Return whether `value` is a real number of Python or NumPy; a bool is not."""
    kind = numbers.Integral if whole else numbers.Real
    return isinstance(value, kind) and not isinstance(value, bool)


def check_finite(name: str, value: float) -> None:
    """Raise TypeError unless `value` is a number, ValueError if it is NaN or infinite."""
    check_number(name, value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {short_repr(value)}")


def check_flag(name: str, value: object) -> None:
    """Raise TypeError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {short_repr(value)}")


def check_function(name: str, value: object, arguments: Iterable[str]) -> None:
    """Raise TypeError unless `value` is a function that can take these positional arguments.

    `arguments` says in words what they are.
    """
    arguments = list(arguments)
    parts = [", ".join(arguments[:-1]), *arguments[-1:]]
    expected = f"{name} must be a function of {' and '.join(filter(None, parts)) or 'no argument'}"
    if isinstance(value, type):
        advice = "pass a function, or an object that can be called"
        raise TypeError(f"{expected}, got the class {value.__name__}: {advice}")
    if not callable(value):
        raise TypeError(f"{expected}, got {type(value).__name__}")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # some functions in C have none
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(f"{expected}: {error}") from None


@contextmanager
def calling(name: str, arguments: str, *errors: type[Exception]) -> Iterator[None]:
    """Say of an error that a function of the user raises inside which function it was.

    `name` is that of the function as an argument, `arguments` says in words what it takes.
    """
    try:
        yield
    except errors as error:
        message = f"{name} cannot take {arguments}: {first_line(error)}"
        raise ValueError(message) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if there is none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def check_functions(
    name: str,
    functions: object,
    arguments: Iterable[str],
    reserved: Container[str] = (),
) -> None:
    """Raise TypeError or ValueError unless `functions` are functions by names not reserved.

    `arguments` says in words what they take.
    """
    if not isinstance(functions, Mapping) or not all(
        isinstance(key, str) and key for key in functions
    ):
        raise TypeError(f"{name} must be a dict of functions by name, got {short_repr(functions)}")
    for key, function in functions.items():
        if key in reserved:
            raise ValueError(f"{name}: the name {key!r} is taken, choose another")
        check_function(f"{name}: {key!r}", function, arguments)


def check_names(name: str, values: object, options: Collection[str] | None = None) -> None:
    """Raise ValueError unless `values` is a list of different names, taken from the options."""
    names = [""]
    if isinstance(values, Sequence | Set) and not isinstance(values, str | bytes):
        names = [value if isinstance(value, str) else "" for value in values]
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"{name} must be a list of different names, got {short_repr(values)}")
    unknown = [value for value in names if options is not None and value not in options]
    if unknown:
        raise ValueError(
            f"{name} must be taken from {', '.join(options or ())}, got {short_repr(values)}"
        )


def check_record(name: str, value: object, record: type | UnionType) -> None:
    """Raise TypeError unless `value` is an instance of this class, or of one of several."""
    if not isinstance(value, record):
        kinds = get_args(record) or (record,)
        expected = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be a {expected}, got {short_repr(value)}")


def check_path(name: str, value: object) -> None:
    """Raise TypeError unless `value` is a path, ValueError if it is empty or no path at all.

    An empty path would stand for the working folder.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be a path, got {short_repr(value)}")
    if not os.fspath(value):
        raise ValueError(f"{name} must be a path, got an empty one: pass '.' for this folder")
    parts = os.fspath(value).split(os.sep)
    if "\0" in os.fspath(value) or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        raise ValueError(f"{name} must be a path that a file can have, got {short_repr(value)}")


def check_data_folder(value: object) -> None:
    """Raise as `check_path` does unless `data_dir` is a path, or none: None or an empty text."""
    if value is not None and not (isinstance(value, str) and not value):
        check_path("data_dir", value)


def check_seed(value: object, name: str = "seed") -> int:
    """Return a seed as an int of Python, which all generators of random numbers take.

    Raises TypeError unless `value` is a number of Python or NumPy, ValueError unless it is a whole
    one from 0 to 2**63 - 1.
    """
    expected = f"{name} must be a whole number from 0 to 2**63 - 1"
    if not is_number(value):
        raise TypeError(f"{expected}, got {short_repr(value)}")
    if not (is_number(value, whole=True) and 0 <= value < 2**63):
        raise ValueError(f"{expected}, got {short_repr(value)}")
    return int(value)


def check_seeds(values: object, name: str = "seeds") -> tuple[int, ...]:
    """Return one or more different seeds as `check_seed` does; raise ValueError if they are not."""
    expected = f"{name} must be different whole numbers from 0 to 2**63 - 1, one or more"
    try:
        seeds = tuple(check_seed(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        seeds = ()
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"{expected}, got {short_repr(values)}")
    return seeds


def check_model(model: object, name: str = "model") -> None:
    """Raise TypeError unless `model` is a torch.nn.Module, ValueError if it holds no weights."""
    from torch import nn  # torch takes seconds to import
    from torch.nn.modules.lazy import LazyModuleMixin

    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(model).__name__}")
    lazy = [module for module in model.modules() if isinstance(module, LazyModuleMixin)]
    if any(module.has_uninitialized_params() for module in lazy):
        raise ValueError(
            f"{name} has lazy layers, whose weights are not there yet: run it on an image first"
        )
    first = next(model.parameters(), None)
    if first is not None and first.is_meta:
        raise ValueError(
            f"{name} is on the meta device, where weights have no values: "
            "build it on another device, or load weights"
        )


def check_layers(model: object, name: str = "model") -> None:
    """Raise as `check_model` does, and TypeError if layers are TorchScript.

    Such layers are no `nn.Conv2d` or `nn.Linear`, take no hooks and keep their parameters.
    """
    import torch

    check_model(model, name)
    assert isinstance(model, torch.nn.Module)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TypeError(
            f"{name} has TorchScript layers, which cannot be read or changed: "
            "pass the torch.nn.Module from which it was made"
        )


def check_tensor(name: str, value: object, expected: str) -> None:
    """Raise TypeError unless `value` is a dense tensor that holds values, as `expected` says."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be {expected}, got {type(value).__name__}")
    if value.layout is not torch.strided or value.is_meta:
        kind = "on the meta device" if value.is_meta else "that is sparse"
        raise TypeError(f"{name} must be {expected}, got one {kind}, whose values cannot be read")


def short_repr(value: object) -> str:
    """Return an abbreviated repr on one line, for error messages."""
    if isinstance(value, numbers.Number) and hasattr(value, "item"):
        value = value.item()  # of NumPy: 1.5, not np.float64(1.5)
    if isinstance(value, int) and abs(value) >= 10**40:  # Python prints at most 4,300 digits
        return f"a number of {value.bit_length()} bits"
    text = " ".join(_abbreviate.repr(value).split())
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}..."
