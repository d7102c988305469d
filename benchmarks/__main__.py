"""`python -m benchmarks [NAME ...]`: run all or the named benchmarks, print their tables, keep them.

A benchmark is a module of this folder with a function `run() -> pandas.DataFrame`. Tables are written to
`results/<device>.csv`, with the machine in `<device>.json`, and shown in this folder's README.md. A named benchmark
takes the place of its last table; those of another machine of the same name are dropped.
"""

import importlib
import json
import os
import pkgutil
import platform
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch

from pruncam.report import readme

RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all of them."""
    known = sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if not m.name.startswith("_"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"benchmarks: unknown {', '.join(unknown)}: choose from {', '.join(known)}", file=sys.stderr)
        return 2
    tables = {name: run(name) for name in names or known}
    page = RESULTS.parent / "README.md"
    print(f"written to {os.path.relpath(keep(tables, RESULTS))} and {os.path.relpath(page)}")
    readme.refresh(page, readme.SPEED, readme.speed(RESULTS))
    return 0


def run(name: str) -> pd.DataFrame:
    """Run one benchmark and print its table."""
    table = importlib.import_module(f"benchmarks.{name}").run()
    print(f"{name}\n{table.to_string(index=False)}\n", flush=True)
    return table


def keep(tables: dict[str, pd.DataFrame], folder: Path) -> Path:
    """Write the tables as one, a column telling them apart, and the machine beside it; others of this machine stay."""
    folder.mkdir(parents=True, exist_ok=True)
    described = machine()
    path = folder / f"{slug(described)}.csv"
    about = path.with_suffix(".json")
    if path.is_file() and about.is_file() and json.loads(about.read_text(encoding="utf-8")) == described:
        earlier = pd.read_csv(path).groupby("benchmark")
        tables = {name: part.drop(columns="benchmark").dropna(axis=1, how="all") for name, part in earlier} | tables
    joined = pd.concat(dict(sorted(tables.items())), names=["benchmark"]).reset_index(level=0)
    joined.to_csv(path, index=False)
    about.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, str | int | None]:
    """What the numbers depend on; nothing that tells whose machine it is."""
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }


def processor() -> str:
    """The processor's model, as far as the system tells."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()


def usable_cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slug(described: dict[str, str | int | None]) -> str:
    """A file name for the device: the GPU's name, else the number of cores."""
    name = described["gpu"] or f"cpu {described['cores']} core{'s' if described['cores'] != 1 else ''}"
    return re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
