"""Errors that are no fault of the code."""


class PlainError(Exception):
    """An error whose sentence says what to do: a notebook shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows."""
        return [f"{type(self).__name__}: {self}"]
