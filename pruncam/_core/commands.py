"""The commands that messages tell the user to run."""

from pruncam._core import paths


def command(target: str, **variables: str) -> str:
    """Return a command of make as a message quotes it or, where a wheel is installed, pruncam's.

    `make download NAME=mnist` and `pruncam download mnist` do the same.
    """
    if paths.checkout() is None:
        return " ".join(("`pruncam", target, *variables.values())) + "`"
    assignments = [f"{name}={value}" for name, value in variables.items()]
    return " ".join(("`make", target, *assignments)) + "`"
