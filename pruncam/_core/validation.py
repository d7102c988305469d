"""Argument validation."""

import numbers
import reprlib
from collections.abc import Iterable
from typing import TypeGuard

PROFILES = ("quick", "overnight", "paper")
DEVICES = ("auto", "cpu", "cuda", "mps")


def check_choice(name: str, value: object, options: Iterable[str]) -> None:
    """Raise ValueError, listing the options, unless `value` is one of `options`."""
    options = tuple(options)
    if value not in options:
        raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(options)}")


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


def check_seed(value: object, name: str = "seed") -> int:
    """Return a seed as an int of Python, which all generators of random numbers take.

    Raises TypeError unless `value` is a number of Python or NumPy, ValueError unless it is a whole
    one from 0 to 2**63 - 1.
    """
    expected = f"{name} must be a whole number from 0 to 2**63 - 1"
    if not is_number(value):
        raise TypeError(f"{expected}, got {short_repr(value)}")
    if not (is_number(value, whole=True) and 0 <= value < 2**63):
        raise ValueError(f"{expected}, got {value}")
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
    """Raise TypeError unless `model` is a torch.nn.Module."""
    from torch import nn  # torch takes seconds to import

    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(model).__name__}")


def short_repr(value: object) -> str:
    """Return an abbreviated repr on one line, for error messages."""
    return " ".join(reprlib.repr(value).split())
