"""Child processes of trials: forked after the slow imports, each with its own folders."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

_CONTEXT = multiprocessing.get_context("forkserver")
_IMPORTS = [
    "torch",
    "torchvision.datasets",
    "pruncam.cli",
    "pruncam.comparison",
    "pruncam.studies.mnist_iou",
    "pruncam.training.compiled.kernel",
    "sklearn.datasets",
    "benchmarks.torture.programs",
]
_PATIENCE = 300  # seconds after which a process counts as hanging


class Child:
    """A process that calls `function(*arguments)` with environment variables of its own.

    What it prints is in `log`.
    """

    def __init__(
        self, function: Callable[..., Any], *arguments: Any, log: Path, **environment: str
    ) -> None:
        _CONTEXT.set_forkserver_preload(_IMPORTS)
        self.log = log
        self._process = _CONTEXT.Process(
            target=_run, args=(function, arguments, str(log), environment)
        )
        self._process.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def wait(self, seconds: float = _PATIENCE) -> int | None:
        """Wait until the process ends, at most `seconds`; return its exit status, None if it runs.

        A negative status is the number of a signal.
        """
        self._process.join(seconds)
        return self._process.exitcode

    def result(self) -> str | None:
        """Wait for the end; return None if the exit status is 0, else what was printed last."""
        status = self.wait()
        if status is None:
            self.send(signal.SIGKILL)
            self._process.join()
            return f"it hung for {_PATIENCE} s"
        return None if status == 0 else f"exit status {status}: {self.last_line()}"

    def last_line(self) -> str:
        """Return the last line that the process has printed."""
        text = self.log.read_text(errors="replace").strip() if self.log.exists() else ""
        return text.splitlines()[-1] if text else "nothing printed"


def _run(
    function: Callable[..., Any], arguments: tuple, log: str, environment: Mapping[str, str]
) -> None:
    os.environ.update(environment)
    tqdm.set_lock(threading.RLock())  # its own are semaphores of the system, which a kill leaves
    with open(log, "w", buffering=1) as stream:
        sys.stdout = sys.stderr = stream
        signal.signal(signal.SIGINT, signal.default_int_handler)
        warnings.simplefilter("always")
        try:
            status = function(*arguments)
        except KeyboardInterrupt:
            print("interrupted")
            status = 130
        except Exception:
            traceback.print_exc()
            status = 1
        stream.flush()
        os._exit(status or 0)
