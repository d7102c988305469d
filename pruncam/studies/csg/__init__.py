"""CSG: how complex are the papers' data sets, and what does the number depend on? (complexity paper; PE-score, 4.1)"""

import time
from functools import partial
from typing import Any

import pandas as pd

from pruncam.datasets import catalog
from pruncam.progress import Progress
from pruncam.report import claims as claim_report
from pruncam.report.claims import Claim
from pruncam.store import Store
from pruncam.studies import study, workshop
from pruncam.studies.csg import claims, figures, overlap, printed, tables
from pruncam.studies.csg.collection import Collection
from pruncam.studies.csg.config import RAW, Config
from pruncam.studies.study import Machine, StudyResult
from pruncam.studies.workshop import Workshop

__all__ = ["Config", "configure", "run"]


def configure(profile: str, **overrides: Any) -> Config:
    """The configuration of a profile ("quick", "laptop", "paper") with single values overridden."""
    return study.configure(Config, "csg", profile, **overrides)


def run(config: Config, progress: bool = True, *, machine: Machine | None = None) -> StudyResult:
    """Search neighbours, measure, compare and judge; finished steps are taken from the store.

    Everything runs on the processor, whatever the machine's device. Raises ValueError or DataError in one sentence
    where the data do not fit the configuration or are missing.
    """
    if not isinstance(config, Config):
        raise TypeError("config must be a Config: use csg.configure('quick')")
    start, machine = time.perf_counter(), machine or Machine()
    machine = Machine("cpu", machine.data_dir, machine.jobs)
    bar = Progress("csg", "picture", progress)
    collections = [_collection(config, machine, _at_hand(config, machine, entry), bar) for entry in config.halves]
    try:
        _measure(collections, machine, bar)
        found = tables.draws(collections)
        measured = {c.paper: c.measured("train") for c in collections}
        whole = {c.paper: c.everything("train") for c in collections}
        shown = {c.paper: overlap.pictures(c) for c in collections if c.train.showable}
    finally:
        bar.close()
    made = _tables(config, collections, found) | {
        "confused": tables.confused(measured, {c.paper: c.train.classes for c in collections}),
        "classes": tables.by_class(whole, {c.paper: c.train.classes for c in collections}),
    }
    stand_ins = [c.paper for c in collections if tables.stands_in(c)]
    judged = claims.judge(config, tables.own(found), made["pools"], stand_ins)
    facts = {
        "profile": config.profile,
        "searches": sum(len(c.views) for c in collections),
        **workshop.facts(c.workshop for c in collections),
        "wall_seconds": round(time.perf_counter() - start, 1),
    }
    return StudyResult(
        study="csg",
        config=config,
        tables=made,
        claims=claim_report.table(judged),
        drawings=figures.drawings(config, made, measured, shown, {c.paper: c.train for c in collections}, stand_ins),
        manifest=study.manifest(config, machine, [s for c in collections for s in (c.train, c.test)], **facts),
        stable_lines=_stable(collections, judged),
    )


def _at_hand(config: Config, machine: Machine, entry: tuple) -> tuple:
    """What is there of a data set and its stand-ins, the set itself first; the set itself where nothing is."""
    known = [entry, *(other for other in config.stand_ins if other[0] == entry[0])]
    return next((one for one in known if catalog.find(one[1], machine.data_dir)), entry)


def _collection(config: Config, machine: Machine, entry: tuple, bar: Progress) -> Collection:
    paper, ours, side = entry
    sets = []
    for split in ("train", "test"):
        found = catalog.load(ours, split, data_dir=machine.data_dir)
        sets.append(found.resized(side) if side else found)
    return Collection(config, paper, *sets, Workshop(Store(), machine.torch_device, bar))


def _measure(collections: list[Collection], machine: Machine, bar: Progress) -> None:
    """Make what the tables are made of: raw pixels, then the networks, then what is seen through them."""
    bar.expect(sum(collection.work for collection in collections))
    views = [(collection, view) for collection in collections for view in collection.views]
    # The longest first, so that no core waits for one at the end.
    views.sort(key=lambda pair: pair[1].images * pair[0].train.images[0].numel(), reverse=True)
    raw, others = ([partial(c.draws, v) for c, v in views if (v.embedding == RAW) == own] for own in (True, False))
    pools = [partial(c.pool, *which) for c in collections for which in c.pools]
    trained = [partial(c.train_network, *which) for c in collections for which in c.trained]
    for tasks in (raw + pools, trained, others):
        study.in_threads(lambda task: task(), tasks, machine.parallel(len(tasks)), bar)


def _tables(config: Config, collections: list[Collection], found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    settings = tables.settings(found)
    sets = tables.sets(config, settings, collections)
    distances = printed.distances(settings)
    return {
        "complexity_1": printed.table_1(sets),
        "pe_3": printed.table_3(sets),
        "published": printed.beside(sets),
        "sets": sets,
        "pools": tables.pools(collections, sets),
        "gaps": tables.gaps(config, tables.own(found), collections),
        "settings": settings,
        "distances": distances,
        "nearest": printed.nearest(distances, config.embedded or [c.paper for c in collections], config.tsne_images),
        "agreement": printed.agreement(distances, config.k, config.samples_per_class),
    }


def _stable(collections: list[Collection], judged: list[Claim]) -> list[str]:
    """What is the same on every machine."""
    lines = []
    for collection in collections:
        found = collection.everything("train")
        lines.append(f"{collection.paper}: CSG of all {len(collection.train):,} training images {found.value:.2f}")
    return lines + [f"{claim.claim} {claim.verdict}" for claim in judged if claim.firm]
