"""A line that shows how far a notebook is."""

import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from pruncam._core.leftovers import temporary_folder


class StatusLine:
    """The progress of one notebook in one line, as a context manager.

    On a terminal the line is rewritten every second; elsewhere it is printed at the start, at the
    end and every minute. `file` is where the notebook writes its progress (`_core.progress`);
    `outcome` is the word for its end, such as "done".
    """

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self.label = label
        self.stream = stream or sys.stderr
        self.outcome = "interrupted"
        self._cell = ""
        self._is_terminal = self.stream.isatty()
        self._start = 0.0
        self._folder = temporary_folder("pruncam-progress")
        self.file = Path(self._folder.name) / "progress.txt"
        self._stopped = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "StatusLine":
        self._start = time.monotonic()
        if not self._is_terminal:
            print(self.label, "started", file=self.stream, flush=True)
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._ticker.join()
        self._folder.cleanup()
        if self._is_terminal:
            self.stream.write("\r\x1b[K")
        line = f"{self.label}  {self.outcome}  {self._elapsed()}"
        print(line, file=self.stream, flush=True)

    def show_cell(self, cell: int, cells: int) -> None:
        """Show the number of the cell that starts."""
        self._cell = f"cell {cell}/{cells}"

    def _tick(self) -> None:
        while not self._stopped.wait(1 if self._is_terminal else 60):
            parts = [self.label, self._cell, self._progress(), self._elapsed()]
            line = "  ".join(filter(None, parts))
            self.stream.write(f"\r{line}\x1b[K" if self._is_terminal else f"{line}\n")
            self.stream.flush()

    def _progress(self) -> str:
        return self.file.read_text() if self.file.is_file() else ""

    def _elapsed(self) -> str:
        return format_duration(time.monotonic() - self._start)


def format_duration(seconds: float) -> str:
    """Return a duration as MM:SS, from one hour on as H:MM:SS."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"
