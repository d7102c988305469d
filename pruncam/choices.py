"""Names that a user may choose from, and the one sentence that answers any other."""

from collections.abc import Iterable

PROFILES = ("quick", "laptop", "paper")
DEVICES = ("auto", "cpu", "cuda", "mps")


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Raise ValueError, naming the choices, if `value` is not among them."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}: choose one of {', '.join(choices)}")
