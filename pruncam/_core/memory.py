"""The memory that this process may still use."""

import os
import sys
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CONTROL_GROUP = Path("/sys/fs/cgroup")  # of a container, or of a service with a limit


def available_memory() -> int | None:
    """Return the bytes of memory that are free, within the limit of a container; None: unknown."""
    amounts = [
        amount for amount in (_free_memory(), _left_in_control_group()) if amount is not None
    ]
    return min(amounts, default=None)


def peak_memory() -> int:
    """Return the largest number of bytes that this process has held so far; 0: unknown."""
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def gibibytes(amount: float) -> str:
    """Return an amount of bytes in words, such as "1.5 GiB"."""
    return f"{amount / 2**30:,.1f} GiB"


def _free_memory() -> int | None:
    """Return what Linux can give without swapping, elsewhere the size of the memory."""
    if _MEMINFO.is_file():
        for line in _MEMINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _left_in_control_group() -> int | None:
    """Return what is left of the limit of the process's control group; None without a limit."""
    try:
        limit = int((_CONTROL_GROUP / "memory.max").read_text())
        used = int((_CONTROL_GROUP / "memory.current").read_text())
        statistics = (_CONTROL_GROUP / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # "max": there is no limit
        return None
    cached = sum(int(line.split()[1]) for line in statistics if line.startswith("file "))
    return max(0, limit - used + cached)
