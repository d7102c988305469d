"""`python -m benchmarks [NAME ...]`: run all or the named benchmarks and store their tables.

A benchmark is a module of this folder with a function `run() -> pandas.DataFrame`. Tables are
written to `results/<device>.csv`, with the machine in `<device>.json`, and shown in README.md of
this folder. A benchmark that runs again replaces its table; the tables of another machine with the
same name are dropped.
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

from pruncam.reproduce import readme

HERE = Path(__file__).parent
RESULTS = HERE / "results"

Machine = dict[str, str | int | None]


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all of them; return the exit status."""
    modules = [module.name for module in pkgutil.iter_modules([str(HERE)]) if not module.ispkg]
    known = sorted(name for name in modules if not name.startswith("_"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(
            f"benchmarks: unknown {', '.join(unknown)}: choose from {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    page = HERE / "README.md"
    for name in names or known:
        path = save({name: run(name)}, RESULTS)
        readme.refresh(page, readme.SPEED, readme.speed(RESULTS))
        print(f"{name}: written to {os.path.relpath(path)} and {os.path.relpath(page)}")
    return 0


def run(name: str) -> pd.DataFrame:
    """Run one benchmark, print its table and return it."""
    table = importlib.import_module(f"benchmarks.{name}").run()
    print(f"{name}\n{table.to_string(index=False)}\n", flush=True)
    return table


def save(tables: dict[str, pd.DataFrame], folder: Path) -> Path:
    """Write the tables of this machine as one CSV, with the machine beside it.

    Earlier tables of other benchmarks on the same machine are kept. Returns the CSV's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    description = machine()
    path = folder / f"{slug(description)}.csv"
    tables = _earlier_tables(path, description) | tables
    joined = pd.concat(dict(sorted(tables.items())), names=["benchmark"]).reset_index(level=0)
    joined.to_csv(path, index=False)
    text = json.dumps(description, indent=2) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")
    return path


def _earlier_tables(path: Path, description: Machine) -> dict[str, pd.DataFrame]:
    """Return the stored tables by benchmark, none if they are of another machine."""
    about = path.with_suffix(".json")
    if not (path.is_file() and about.is_file()):
        return {}
    if json.loads(about.read_text(encoding="utf-8")) != description:
        return {}
    return {
        name: rows.drop(columns="benchmark").dropna(axis=1, how="all")
        for name, rows in pd.read_csv(path).groupby("benchmark")
    }


def machine() -> Machine:
    """Return what the numbers depend on, but nothing that identifies the machine."""
    has_gpu = torch.cuda.is_available()
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if has_gpu else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if has_gpu else None,
    }


def processor() -> str:
    """Return the model of the CPU as the system reports it."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    try:
        model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        model = None
    return model[1].strip() if model else platform.processor()


def usable_cores() -> int:
    """Return the cores that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slug(description: Machine) -> str:
    """Return a file name for the device: the GPU's name, else the number of cores."""
    cores = description["cores"]
    name = description["gpu"] or f"cpu {cores} core{'' if cores == 1 else 's'}"
    return re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
