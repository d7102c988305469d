"""`python -m benchmarks.torture`: run all parts, or some, and write `benchmarks/torture.md`.

A part is a module of this package with a function `run(seconds) -> list[Outcome]`, which takes
about `seconds`. Exits with 1 if a trial failed.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Sequence

from benchmarks.torture.outcome import Outcome
from benchmarks.torture.table import write_table

SHARES = {"kills": 6, "concurrency": 2, "damage": 3, "surroundings": 1, "calls": 3}


def main(arguments: Sequence[str]) -> int:
    """Run the parts that are asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SHARES, metavar="PART", default=list(SHARES))
    parser.add_argument("--seconds", type=float, default=420, help="for all parts together")
    options = parser.parse_args(arguments)
    total = sum(SHARES[name] for name in options.only)
    failures = 0
    for name in options.only:
        outcomes = _run(name, options.seconds * SHARES[name] / total)
        write_table(name, outcomes)
        failures += sum(len(outcome.failures) for outcome in outcomes)
    return int(failures > 0)


def _run(name: str, seconds: float) -> list[Outcome]:
    """Run one part and print what came of it."""
    start = time.monotonic()
    outcomes = importlib.import_module(f"benchmarks.torture.{name}").run(seconds)
    print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    for outcome in outcomes:
        print(f"  {outcome.passed:,} of {outcome.total:,}  {outcome.name}", flush=True)
        for failure in outcome.failures:
            print(f"      {failure}", flush=True)
    return outcomes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
