"""Progress of long work: a bar, also seen when a notebook runs without a screen, and a way to stop in between."""

import os
import threading
from pathlib import Path

from tqdm.auto import tqdm


class Interrupted(Exception):
    """The work was asked to stop."""


class Progress:
    """Counts units of work done by several threads, and tells them to stop.

    Shows a tqdm bar; with PRUNCAM_PROGRESS set to a file (as the runner does), writes one line there instead.
    """

    def __init__(self, description: str, unit: str, show: bool = True):
        self._file = os.environ.get("PRUNCAM_PROGRESS")
        self._lock, self._stopped = threading.Lock(), threading.Event()
        hidden = not show or bool(self._file)
        self._bar = tqdm(total=0, desc=description, unit=unit, disable=hidden, smoothing=0.05, leave=False)
        self._total, self._done, self._description, self._unit = 0, 0, description, unit

    def expect(self, units: int) -> None:
        """Add units to what is to be done."""
        self._total += units
        self._bar.total = self._total
        self._bar.refresh()

    def advance(self, units: int = 1) -> None:
        """Count units as done."""
        with self._lock:
            self._done += units
            self._bar.update(units)
            if self._file:
                Path(self._file).write_text(f"{self._description}: {self._done}/{self._total} {self._unit}s")

    def stop(self) -> None:
        """Ask all threads to stop at their next `check`."""
        self._stopped.set()

    def check(self) -> None:
        """Raise Interrupted if the work was asked to stop."""
        if self._stopped.is_set():
            raise Interrupted

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
