"""Pruning sweeps: does a complex data set forgive less pruning? (Lozano, Renza and Ballesteros 2024)"""

import time
from functools import partial
from typing import Any

import pandas as pd

from pruncam.datasets import ImageSet, catalog
from pruncam.progress import Progress
from pruncam.report import claims as claim_report
from pruncam.report.claims import Claim
from pruncam.store import Store
from pruncam.studies import study, workshop
from pruncam.studies.study import Machine, StudyResult
from pruncam.studies.sweeps import claims, figures, tables
from pruncam.studies.sweeps.answers import Answers
from pruncam.studies.sweeps.choice import SafeRate, largest_rates, safe_rate
from pruncam.studies.sweeps.config import Config
from pruncam.studies.sweeps.half import L1, Half
from pruncam.studies.workshop import Workshop

__all__ = ["Config", "SafeRate", "configure", "largest_rates", "run", "safe_rate"]

WHOLE = {  # the paper's data, by counts
    "CIFAR-10": ("cifar10", 50_000, 10_000),
    "CIFAR-100": ("cifar100", 50_000, 10_000),
    "STL-10": ("stl10", 5_000, 8_000),
}


def configure(profile: str, **overrides: Any) -> Config:
    """The configuration of a profile ("quick", "laptop", "paper") with single values overridden."""
    return study.configure(Config, "sweeps", profile, **overrides)


def run(config: Config, progress: bool = True, *, machine: Machine | None = None) -> StudyResult:
    """Train, prune, fine-tune, measure complexities, score and judge; finished steps are taken from the store.

    Raises ValueError or DataError in one sentence where the data do not fit the configuration or are missing.
    """
    if not isinstance(config, Config):
        raise TypeError("config must be a Config: use sweeps.configure('quick')")
    start, machine = time.perf_counter(), machine or Machine()
    bar = Progress("sweeps", "epoch", progress)
    halves = [_half(config, machine, entry, bar) for entry in config.halves]
    try:
        _train(halves, machine, bar)
        measured = study.in_threads(_measured, halves, machine.parallel(len(halves)), bar)
    finally:
        bar.close()
    answers = [found["answers"] for found in measured]
    rows = pd.concat([found["rows"] for found in measured], ignore_index=True)
    complexity = pd.concat([found["complexity"] for found in measured], ignore_index=True)
    connections = pd.concat([found["connections"] for found in measured], ignore_index=True)
    weak = _weak(halves, answers)
    found = tables.every(config, answers, rows, complexity, weak) | {"connections": connections}
    judged = claims.judge(config, answers, found, weak, [half.paper for half in halves if _stands_in(half)])
    facts = {
        "profile": config.profile,
        "models": sum(1 + len(half.variants) for half in halves),
        **workshop.facts(half.workshop for half in halves),
        "wall_seconds": round(time.perf_counter() - start, 1),
    }
    return StudyResult(
        study="sweeps",
        config=config,
        tables=found,
        claims=claim_report.table(judged),
        drawings=figures.drawings(config, found, {half.paper: half.test.provenance for half in halves}),
        manifest=study.manifest(config, machine, [s for half in halves for s in (half.train, half.test)], **facts),
        stable_lines=_stable(halves, connections, judged),
    )


def _half(config: Config, machine: Machine, entry: tuple, bar: Progress) -> Half:
    paper, ours, side, width, needed = entry
    counts = (config.train_images, config.csg_images)
    largest = _ready(ours, "train", None if None in counts else max(counts), side, machine)
    train, pool = (largest.first(min(count or len(largest), len(largest))) for count in counts)
    test = _ready(ours, "test", config.test_images, side, machine)
    return Half(config, paper, train, test, Workshop(Store(), machine.torch_device, bar), width, pool, needed)


def _ready(name: str, split: str, count: int | None, side: int, machine: Machine) -> ImageSet:
    """The first so many images, as the networks take them."""
    found = catalog.load(name, split, data_dir=machine.data_dir, at_most=count)
    if found.images.shape[2] != found.images.shape[3]:
        raise ValueError(f"the networks take square images, {name} has {tuple(found.images.shape[1:])}")
    return found.coloured().resized(side).to(machine.torch_device)


def _train(halves: list[Half], machine: Machine, bar: Progress) -> None:
    """Make every model: those that do not wait for each other side by side, so that all cores have work."""
    c = halves[0].config
    tuned = [partial(half.model, variant) for half in halves for variant in half.tuned]
    epochs = {phase: len(c.recipe(phase).learning_rates) for phase in ("baseline", "finetuning")}
    bar.expect(epochs["baseline"] * len(halves) + epochs["finetuning"] * len(tuned))
    # The baselines first: what is made from one waits for it, while others go on.
    tasks = [*(partial(getattr, half, "baseline") for half in halves), *tuned]
    study.in_threads(lambda make: make(), tasks, machine.parallel(len(tasks)), bar)


def _measured(half: Half) -> dict[str, Any]:
    """What is asked of a data set and its models once they are trained."""
    return {
        "answers": half.answers(),
        "complexity": tables.complexity(half),
        "connections": half.connections(),
        "rows": half.explained.scores(),
    }


def _weak(halves: list[Half], answers: list[Answers]) -> dict[str, str]:
    """The halves whose baseline is too weak for the claims, and why."""
    accuracy = {own.half: 100 * own.baseline.mean() for own in answers}
    return {
        half.paper: f"{half.paper}: the baseline's {accuracy[half.paper]:.1f} % are under the {half.needed:g} % that "
        "claims need"
        for half in halves
        if accuracy[half.paper] < half.needed
    }


def _stands_in(half: Half) -> bool:
    """Whether the data are not all of the paper's, in its own pixels."""
    name, train, test = WHOLE.get(half.paper, (None, 0, 0))
    same = half.test.name == name and (len(half.train), len(half.test)) == (train, test)
    return not (same and half.test.original)


def _stable(halves: list[Half], connections: pd.DataFrame, judged: list[Claim]) -> list[str]:
    """What is the same on every machine."""
    lines = []
    for half in halves:
        lines.append(half.description)
        part = connections[(connections["half"] == half.paper) & (connections["rule"] == L1)]
        counts = ", ".join(f"{count:,}" for count in part["pruned"])
        lines.append(f"{half.paper}: of {part['weights'].iloc[0]:,} convolution weights are pruned {counts}")
    return lines + [f"{claim.claim} {claim.verdict}" for claim in judged if claim.firm]
