"""A cluster of dask workers: units of work go to it, their steps come back through the store.

dask.distributed is the extra `cluster`, imported when a cluster is used.
"""

import asyncio
import hashlib
import logging
import os
import platform
import socket
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from pruncam import __version__
from pruncam._core import paths
from pruncam._core.allocator import undo_trimming_of_dask
from pruncam._core.extras import needed_for
from pruncam._core.progress import Interrupted, Progress
from pruncam._core.validation import check_cluster

_PATIENCE = 15  # seconds to wait for the scheduler
_RETRIES = 2  # of a unit that raises an error, on any worker
_CODE = (".py", ".yaml", ".csv")  # files of the package that results depend on

Unit = TypeVar("Unit")
Result = TypeVar("Result")


class Cluster:
    """The workers of a dask scheduler, which share the cache folder with this process.

    A context: entering it connects and checks every worker. Raises ValueError in one sentence if
    dask.distributed is missing, no scheduler answers, or a worker does not fit.
    """

    def __init__(self, address: str) -> None:
        check_cluster(address)
        self.address = address
        self.workers = 0
        self._resources: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._client = _connect(self.address)
        self._needs = _Needs.of_this_process()
        try:
            self._needs.token.parent.mkdir(parents=True, exist_ok=True)
            self._needs.token.touch()
            self._check_workers()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._needs.token.unlink(missing_ok=True)
        self._client.close()

    def run(
        self, work: Callable[[Unit], Result], units: Sequence[Unit], progress: Progress
    ) -> list[Result]:
        """Return `work(unit)` for every unit, in order, computed by the workers.

        `work` is a function of a module, and units are plain values, since both are sent. A unit
        whose worker dies is sent to another one. After an error or Ctrl-C the other units are
        cancelled; those that run stop at their next `UnitProgress.check`.
        """
        run = uuid.uuid4().hex[:8]
        futures = self._client.map(
            self.call(work),
            units,
            key=[f"pruncam-{run}-{number}" for number in range(len(units))],
            retries=_RETRIES,
            resources=self._resources,
            pure=False,
        )
        try:
            for future in _distributed().as_completed(futures, loop=self._client.loop):
                future.result()
                progress.advance()
            return [future.result() for future in futures]
        except Exception as error:
            self._raise(error)
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.cancel(futures, force=True)

    def call(self, work: Callable[[Unit], Result]) -> Callable[[Unit], Result]:
        """Return the function that is sent to run `work`: in the folders of this process."""
        return partial(_run_unit, self._needs, work)

    def _check_workers(self) -> None:
        try:
            described = self._client.run(_describe, self._needs)
        except Exception as error:
            self._raise(error)
        if not described:
            raise ValueError(
                f"the scheduler at {self.address} has no workers: start some with "
                f"`dask worker {self.address} --nthreads 1`"
            )
        self.workers = len(described)
        if any("GPU" in resources for resources in described.values()):
            self._resources = {"GPU": 1}

    def _raise(self, error: Exception) -> NoReturn:
        """Raise an error of dask as a sentence, any other one as it is."""
        dask = _distributed()
        text = str(error)
        # dask passes on an error of unpickling as the text of one.
        if "deserialization" in text or text.startswith("ModuleNotFoundError("):
            sentence = (
                f"a worker or the scheduler at {self.address} cannot import pruncam "
                f"({_reason(error)}): start both from the environment of this process"
            )
        elif isinstance(error, dask.KilledWorker):
            sentence = (
                "a unit ended every worker that it was sent to, as too little memory does: give "
                "the workers more memory or fewer processes; finished steps are kept"
            )
        elif isinstance(
            error, dask.client.FutureCancelledError | dask.comm.CommClosedError | TimeoutError
        ):
            sentence = (
                f"the connection to the scheduler at {self.address} was lost: start it again and "
                "run the same command; finished steps are kept"
            )
        else:
            raise error
        raise ValueError(sentence) from error


class UnitProgress(Progress):
    """The progress of a unit on a worker: shows nothing, and stops the unit once it is cancelled.

    A unit is cancelled when the process that sent it is interrupted or gone.
    """

    def __init__(self) -> None:
        super().__init__("unit", "step", show=False)
        self._file = None

    def check(self) -> None:
        """Raise Interrupted if nobody waits for the unit any more."""
        task = _worker().state.tasks.get(_running.key)
        if task is None or task.state == "cancelled":
            raise Interrupted


def _distributed() -> Any:
    with needed_for("a cluster", "cluster"):
        import distributed

        return distributed


def _connect(address: str) -> Any:
    dask = _distributed()
    for name in ("distributed", "distributed.client"):  # or dask too would say what goes wrong
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with ThreadPoolExecutor(1) as pool:  # a notebook's own thread runs an event loop already
            pool.submit(asyncio.run, _open_and_close(address)).result()
        return dask.Client(address, timeout=_PATIENCE, set_as_default=False)
    except Exception as error:  # sockets, certificates and dask raise any kind of error
        raise ValueError(
            f"no scheduler answers at {address}: start one with `dask scheduler`, or correct host "
            f"and port ({_reason(error)})"
        ) from error


async def _open_and_close(address: str) -> None:
    """Open a connection, which raises what is wrong; a `Client` that fails would hang at exit."""
    dask = _distributed()
    arguments = dask.security.Security().get_connection_args("client")
    connection = await dask.comm.connect(address, timeout=_PATIENCE, **arguments)
    await connection.close()


def _reason(error: BaseException) -> str:
    first_line = str(error).splitlines()[:1]
    return first_line[0] if first_line else type(error).__name__


# ---------------------------------------------------------------- on a worker


@dataclass(frozen=True)
class _Needs:
    """What a worker needs to have in common with the process that sends units."""

    versions: tuple[tuple[str, str], ...]
    folders: tuple[tuple[str, str], ...]  # the environment variables that name them
    working_folder: str  # where relative paths begin
    token: Path  # a file in the cache folder

    @classmethod
    def of_this_process(cls) -> Self:
        cache_folder = paths.cache_folder().resolve()
        data_folder = paths.data_folders()[0].resolve()
        folders = {"PRUNCAM_CACHE": str(cache_folder), "PRUNCAM_DATA": str(data_folder)}
        token = cache_folder / f".cluster-{uuid.uuid4().hex}"
        return cls(tuple(_versions().items()), tuple(folders.items()), os.getcwd(), token)


class _Running:
    """The unit that this process runs."""

    key: Any = None


_running = _Running()


def _run_unit(needs: _Needs, work: Callable[[Unit], Result], unit: Unit) -> Result:
    """Run one unit in the folders of the process that sent it."""
    worker = _worker()
    _check(needs, worker)
    undo_trimming_of_dask()
    os.environ.update(needs.folders)
    if Path(needs.working_folder).is_dir():
        os.chdir(needs.working_folder)
    _running.key = worker.get_current_task()
    return work(unit)


def _describe(needs: _Needs, dask_worker: Any = None) -> dict[str, float]:
    """Return the resources of a worker; raise ValueError if it does not fit.

    `Client.run` passes the worker.
    """
    _check(needs, dask_worker)
    return dask_worker.state.total_resources


@cache
def _check(needs: _Needs, worker: Any) -> None:
    """Raise ValueError unless this worker has the same code and cache, and runs a unit at a time.

    Once per process, so that workers which join later are checked too.
    """
    name = f"the worker {worker.address} on {socket.gethostname()}"
    here = _versions()
    for package, version in needs.versions:
        if here[package] != version:
            raise ValueError(
                f"{name} has {package} {here[package]}, this process {version}: start the worker "
                "again, from the same environment"
            )
    if worker.state.nthreads != 1:
        raise ValueError(
            f"{name} runs {worker.state.nthreads} units at a time in one process, which would "
            "disturb each other: start it with --nthreads 1, and more of them with --nworkers"
        )
    if not needs.token.is_file():
        raise ValueError(
            f"{name} does not see the cache folder {needs.token.parent}: set PRUNCAM_CACHE to a "
            "folder that all machines share under the same path"
        )


def _worker() -> Any:
    return _distributed().get_worker()


@cache
def _versions() -> dict[str, str]:
    """Return the versions of what results depend on; that of pruncam names its code as well."""
    digest = hashlib.sha256()
    for path in sorted(paths.package_folder().rglob("*")):
        if path.suffix in _CODE:
            digest.update(path.read_bytes())
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "PyTorch": metadata.version("torch"),
        "pruncam": f"{__version__} (code {digest.hexdigest()[:8]})",
    }
