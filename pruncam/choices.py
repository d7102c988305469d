"""What a caller may choose or pass, and the one sentence that answers anything else; imports no torch by itself."""

import numbers
import reprlib
from collections.abc import Iterable

PROFILES = ("quick", "laptop", "paper")
DEVICES = ("auto", "cpu", "cuda", "mps")


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Raise ValueError, naming the choices, if `value` is not among them."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}: choose one of {', '.join(choices)}")


def check_number(what: str, value: object, *, whole: bool = False, at_least: int | None = None) -> None:
    """Raise TypeError if `value` is no number (a bool is none), ValueError if it is not whole or too small."""
    wanted = f"a {'whole ' if whole else ''}number" + ("" if at_least is None else f" of at least {at_least}")
    if not is_number(value):
        raise TypeError(f"{what} must be {wanted}, got {shown(value)}")
    if whole and not is_number(value, whole=True):
        raise ValueError(f"{what} must be {wanted}, got {value}")
    if at_least is not None and value < at_least:
        raise ValueError(f"{what} must be at least {at_least}, got {value}")


def is_number(value: object, *, whole: bool = False) -> bool:
    """Whether `value` is a real number, Python's or NumPy's; a bool is none."""
    return isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)


def check_model(model: object, what: str = "model") -> None:
    """Raise TypeError if `model` is not a network."""
    from torch import nn

    if not isinstance(model, nn.Module):
        raise TypeError(f"{what} must be a torch.nn.Module, got {type(model).__name__}")


def shown(value: object) -> str:
    """A value as one short line for a message."""
    return " ".join(reprlib.repr(value).split())
