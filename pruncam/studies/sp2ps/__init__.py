"""Sp2PS: do heatmaps of a pruned and fine-tuned network still match the unpruned one's? (Informatics 2023, 10, 72)"""

import time
from functools import partial
from typing import Any

import pandas as pd

from pruncam.datasets import catalog, generated
from pruncam.progress import Progress
from pruncam.report import claims as claim_report
from pruncam.report.claims import Claim
from pruncam.store import Store
from pruncam.studies import measures, samples, study, tables, workshop
from pruncam.studies.sp2ps import choices, claims, figures, printed
from pruncam.studies.sp2ps.config import PHASES, Config
from pruncam.studies.sp2ps.distractor import CONTROL, MISLED, Distractor
from pruncam.studies.sp2ps.half import L1, Half
from pruncam.studies.study import Machine, StudyResult
from pruncam.studies.workshop import Workshop

__all__ = ["Config", "configure", "run"]

SHOWN = {"CIFAR-10": "automobile", "STL-10": "dog"}  # what the paper's figures show
ORIGINAL = {"CIFAR-10": "cifar10", "STL-10": "stl10"}  # the paper's data sets by the catalogue's names


def configure(profile: str, **overrides: Any) -> Config:
    """The configuration of a profile ("quick", "laptop", "paper") with single values overridden."""
    return study.configure(Config, "sp2ps", profile, **overrides)


def run(config: Config, progress: bool = True, *, machine: Machine | None = None) -> StudyResult:
    """Train, prune, fine-tune, explain, score and judge; finished steps are taken from the store.

    Raises ValueError or DataError in one sentence where the data do not fit the configuration or are missing.
    """
    if not isinstance(config, Config):
        raise TypeError("config must be a Config: use sp2ps.configure('quick')")
    start, machine = time.perf_counter(), machine or Machine()
    bar = Progress("sp2ps", "epoch", progress)
    halves = [_half(config, machine, entry, bar) for entry in config.halves]
    # The same half, where it is one of the study's: its baseline is trained once.
    shared = dict(zip(config.halves, halves, strict=True)).get(config.distractor)
    moved = Distractor(shared or _half(config, machine, config.distractor, bar))
    distinct = list(dict.fromkeys((*halves, moved.half)))
    generated.check_marks(moved.half.test)
    try:
        _train(halves, distinct, moved, machine, bar)
        rows = pd.concat([half.scores() for half in halves], ignore_index=True)
        found = _tables(config, halves, rows) | {"distractor": moved.table()}
        chosen = {half: samples.choose(half, SHOWN.get(half.paper, "")) for half in halves}
        shown = {half.paper: samples.sample(half, index) for half, index in chosen.items()}
        misled = moved.sample()
    finally:
        bar.close()
    stand_ins = [half.paper for half in halves if _stands_in(half)]
    judged = claims.judge(config, rows, found["drops"], stand_ins)
    data = {half.paper: half.test.provenance for half in halves}
    facts = {
        "profile": config.profile,
        "models": len(distinct) + sum(len(half.variants) for half in halves) + len(moved.models) - 1,
        **workshop.facts(half.workshop for half in distinct),
        "wall_seconds": round(time.perf_counter() - start, 1),
    }
    return StudyResult(
        study="sp2ps",
        config=config,
        tables=found,
        claims=claim_report.table(judged),
        drawings=figures.drawings(config, found, shown, data)
        | {"distractor": figures.distractor(config, misled, moved.half.test.provenance)},
        manifest=study.manifest(config, machine, [s for half in distinct for s in (half.train, half.test)], **facts),
        stable_lines=_stable(halves, judged),
    )


def _half(config: Config, machine: Machine, entry: tuple, bar: Progress) -> Half:
    paper, ours, side, width = entry
    sets = []
    for split in ("train", "test"):
        found = catalog.load(ours, split, data_dir=machine.data_dir, at_most=getattr(config, f"{split}_images"))
        if found.images.shape[1] != 3 or found.images.shape[2] != found.images.shape[3]:
            raise ValueError(f"the networks take square colour images, {ours} has {tuple(found.images.shape[1:])}")
        sets.append(found.resized(side).to(machine.torch_device))
    return Half(config, paper, *sets, Workshop(Store(), machine.torch_device, bar), width)


def _train(halves: list[Half], distinct: list[Half], moved: Distractor, machine: Machine, bar: Progress) -> None:
    """Make every model: those that do not wait for each other side by side, so that all cores have work."""
    c = moved.half.config
    tuned = [partial(half.model, variant) for half in halves for variant in half.tuned]
    misled = [partial(moved.moved, name) for name in (CONTROL, MISLED)]
    epochs = {phase: len(c.recipe(phase).learning_rates) for phase in PHASES}
    bar.expect(epochs["baseline"] * len(distinct) + epochs["finetuning"] * len(tuned) + epochs["misleading"] * 2)
    # The baselines first: what is made from one waits for it, while others go on.
    tasks = [*(partial(getattr, half, "baseline") for half in distinct), *tuned, *misled]
    study.in_threads(lambda make: make(), tasks, machine.parallel(len(tasks)), bar)


def _stands_in(half: Half) -> bool:
    """Whether the data are not all of the paper's, in its own pixels."""
    name = ORIGINAL.get(half.paper)
    whole = {"cifar10": (50_000, 10_000), "stl10": (5_000, 8_000)}.get(name)
    is_whole = (len(half.train), len(half.test)) == whole
    return half.test.name != name or not is_whole or not half.test.original


def _tables(config: Config, halves: list[Half], rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    accuracy = tables.accuracies(config, rows)
    drops = pd.concat([tables.drops(config, rows, accuracy, half.paper).assign(half=half.paper) for half in halves])
    first = drops[drops["half"] == claims.CIFAR]  # the paper's tables are of that half
    found = {n: printed.beside(first, method) for n, method in printed.METHODS.items() if method in config.methods}
    truth = [table for half in halves if (table := measures.truth(half)) is not None]
    return found | {
        "published": printed.numbers(accuracy, found),
        "curves": tables.curves(config, rows, accuracy),
        "models": accuracy,
        "drops": drops,
        "ends": tables.ends(rows),
        "classes": tables.by_class(rows, {half.paper: half.test.classes for half in halves}),
        "correctness": tables.by_correctness(rows),
        "sensitivity": pd.concat([choices.sensitivity(half) for half in halves], ignore_index=True),
        "costs": pd.concat([measures.costs(half, L1) for half in halves], ignore_index=True),
        "times": pd.concat([measures.times(half, L1) for half in halves], ignore_index=True),
        **({"truth": pd.concat(truth, ignore_index=True)} if truth else {}),
    }


def _stable(halves: list[Half], judged: list[Claim]) -> list[str]:
    """What is the same on every machine."""
    return [half.description for half in halves] + [f"{claim.claim} {claim.verdict}" for claim in judged if claim.firm]
