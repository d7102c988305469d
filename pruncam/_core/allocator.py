"""Memory that the C library keeps between the steps of a computation."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt in glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_UNLIMITED = 2**31 - 1
# What glibc's own adjustment comes to once large blocks have been freed. Some versions accept no
# larger threshold for blocks of their own.
_USUAL_BLOCK, _USUAL_TRIM = 2**25, 2**26
_SETTINGS_OF_USER = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
_TRIM_OF_DASK = "65536"  # MALLOC_TRIM_THRESHOLD_ in the workers of dask, in bytes

_lock = threading.Lock()
_users = 0


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory within the process in this context, and return it at the end.

    glibc gives large blocks back to the system as soon as they are freed; new ones must then be
    cleared, page by page, in every step of a training. With another C library, or if environment
    variables set these thresholds, nothing changes. After the first context, blocks above 32 MiB
    are returned when they are freed, smaller ones once 64 MiB are free. Contexts may be nested and
    may run in several threads.
    """
    library = _glibc()
    if library is None or any(name in os.environ for name in _SETTINGS_OF_USER):
        yield
        return
    _enter(library)
    try:
        yield
    finally:
        _leave(library)


def undo_trimming_of_dask() -> None:
    """Let glibc keep freed memory in a worker of dask as it does in other processes.

    By default, dask's workers return freed memory above 64 KiB to the system at once, and small
    networks take two to three times as long. Another threshold is the user's and stays.
    """
    if os.environ.get("MALLOC_TRIM_THRESHOLD_") != _TRIM_OF_DASK:
        return
    del os.environ["MALLOC_TRIM_THRESHOLD_"]
    library = _glibc()
    if library is not None:
        _use_usual_thresholds(library)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _enter(library: ctypes.CDLL) -> None:
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            if not library.mallopt(_MMAP_THRESHOLD, _UNLIMITED):
                library.mallopt(_MMAP_THRESHOLD, _USUAL_BLOCK)
            library.mallopt(_TRIM_THRESHOLD, _UNLIMITED)


def _leave(library: ctypes.CDLL) -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            _use_usual_thresholds(library)
            library.malloc_trim(0)


def _use_usual_thresholds(library: ctypes.CDLL) -> None:
    library.mallopt(_MMAP_THRESHOLD, _USUAL_BLOCK)
    library.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM)
