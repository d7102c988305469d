"""Packages that only parts of the project need, and the extra of pruncam that brings each."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from pruncam._core.errors import PlainError


class MissingExtra(PlainError, ImportError):
    """A package of an extra is not installed; the message says what to run."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed: "
            f'run `pip install "pruncam[{extra}]"`',
            name=package,
        )


@contextmanager
def needed_for(purpose: str, extra: str) -> Iterator[None]:
    """Turn the failed import of a package into MissingExtra, which names the extra to install.

    Examples
    --------
    >>> with needed_for("a forecast", "notebooks"):  # doctest: +ELLIPSIS
    ...     import crystal_ball
    Traceback (most recent call last):
    ...
    pruncam._core.extras.MissingExtra: a forecast needs ... run `pip install "pruncam[notebooks]"`
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "pruncam"):  # a fault of ours
            raise
        raise MissingExtra(purpose, package, extra) from None


def can_import(package: str) -> bool:
    """Return whether a package is installed and not damaged; it is imported to find out."""
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True
