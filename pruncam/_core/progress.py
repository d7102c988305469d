"""A progress bar for work in several threads, with a way to stop them."""

import os
import threading
from contextlib import suppress
from pathlib import Path

from tqdm.auto import tqdm


class Interrupted(Exception):
    """Raised in a thread after all threads were asked to stop."""


class Progress:
    """A counter of units of work done by several threads, which it can also ask to stop.

    Shows a tqdm bar. If PRUNCAM_PROGRESS names a file, as it does when notebooks run in the
    background, one line is written there instead.
    """

    def __init__(self, description: str, unit: str, show: bool = True) -> None:
        self._description, self._unit = description, unit
        self._file = os.environ.get("PRUNCAM_PROGRESS")
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._total = self._done = 0
        hidden = not show or bool(self._file)
        self._bar = tqdm(
            total=0, desc=description, unit=unit, disable=hidden, smoothing=0.05, leave=False
        )

    def expect(self, units: int) -> None:
        """Add `units` to the total."""
        self._total += units
        self._bar.total = self._total
        self._bar.refresh()

    def advance(self, units: int = 1) -> None:
        """Count `units` as done."""
        with self._lock:
            self._done += units
            self._bar.update(units)
            if self._file:
                line = f"{self._description}: {self._done}/{self._total} {self._unit}s"
                with suppress(OSError):  # a full disk does not stop the work
                    Path(self._file).write_text(line)

    def stop(self) -> None:
        """Ask all threads to stop at their next `check`."""
        self._stopped.set()

    def check(self) -> None:
        """Raise Interrupted if the threads were asked to stop."""
        if self._stopped.is_set():
            raise Interrupted

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()
