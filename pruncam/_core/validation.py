"""Argument validation."""

import numbers
import re
import reprlib
from collections.abc import Iterable
from typing import TypeGuard

PROFILES = ("quick", "overnight", "paper")
DEVICES = ("auto", "cpu", "cuda", "mps")
_SCHEDULER = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^\s/:\[\]]+):\d{1,5}")


def check_choice(name: str, value: object, options: Iterable[str]) -> None:
    """Raise ValueError, listing the options, unless `value` is one of `options`."""
    options = tuple(options)
    if value not in options:
        raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(options)}")


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

    A bool does not count as a number.
    """
    kind = "a whole number" if whole else "a number"
    expected = kind if at_least is None else f"{kind} of at least {at_least}"
    if not is_number(value):
        raise TypeError(f"{name} must be {expected}, got {short_repr(value)}")
    if whole and not is_number(value, whole=True):
        raise ValueError(f"{name} must be {expected}, got {value}")
    if at_least is not None and value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")


def is_number(value: object, *, whole: bool = False) -> TypeGuard[float]:
    """Return whether `value` is a real number of Python or NumPy; a bool is not."""
    kind = numbers.Integral if whole else numbers.Real
    return isinstance(value, kind) and not isinstance(value, bool)


def check_model(model: object, name: str = "model") -> None:
    """Raise TypeError unless `model` is a torch.nn.Module."""
    from torch import nn  # torch takes seconds to import

    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(model).__name__}")


def short_repr(value: object) -> str:
    """Return an abbreviated repr on one line, for error messages."""
    return " ".join(reprlib.repr(value).split())
