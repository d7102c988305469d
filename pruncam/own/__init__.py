"""Your own model: two checkpoints and a folder of pictures in, the whole report out.

`load` reads the files, `compare` gives a `Report` of what it found, `example` makes a pair to try it on, and `named`
chooses between your files and those. Networks and pictures that are in memory go into a `Pair` directly.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pruncam import scoring
from pruncam.cams.own import OwnMethod
from pruncam.own import ends, figures, networks, reading, report, tables
from pruncam.own.example import example, named
from pruncam.own.pair import Files, Pair, check, load
from pruncam.own.pictures import Pictures
from pruncam.own.report import Report
from pruncam.own.settings import Settings
from pruncam.scoring import OwnScore
from pruncam.studies import study
from pruncam.studies.study import Machine

__all__ = ["Files", "Pair", "Pictures", "Report", "Settings", "compare", "example", "load", "named"]


def compare(
    pair: Pair,
    settings: Settings | None = None,
    *,
    own_methods: Mapping[str, OwnMethod] | None = None,
    own_scores: Mapping[str, OwnScore] | None = None,
    machine: Machine | None = None,
    progress: bool = True,
) -> Report:
    """Score the pruned network beside fine-tuned and random copies of the baseline, on the pair's pictures.

    `own_methods` and `own_scores` are CAMs and scores of yours by name, see `scoring.score_many`: they stand in every
    table and figure beside ours. `machine` says how many copies are fine-tuned at a time; the networks stay where they
    are. Fine-tuned copies are kept in the store.

    Raises ValueError or TypeError in one sentence where something does not fit.
    """
    start, settings, machine = time.perf_counter(), settings or Settings(), machine or Machine()
    own_methods, own_scores = dict(own_methods or {}), dict(own_scores or {})
    images = pair.pictures.images
    normalisation = settings.normalisation(images.images.shape[1])
    check(pair, normalisation, settings.target_layer)
    options = {"methods": settings.methods, "own_methods": own_methods, "own_scores": own_scores}
    options |= {"target_layer": settings.target_layer, "transform": normalisation, "progress": progress}
    # Two pictures first: what does not fit is refused before anything is fine-tuned.
    scoring.score(pair.baseline, pair.pruned, images.first(min(2, len(images))), **options | {"progress": False})
    others, no_chance = {}, ""
    try:
        others |= ends.random(pair, settings)
    except ValueError as error:
        no_chance = str(error)
    others = ends.fine_tuned(pair, settings, normalisation, machine, progress) | others
    rows = scoring.score_many(pair.baseline, {tables.PRUNED: pair.pruned} | others, images, **options)
    rows = rows.astype({"model": str, "method": str})
    scores = (*scoring.SCORES, *own_scores)
    found = tables.make(pair, rows, scores, settings)
    moved = figures.moved_most(pair, found["moved"], settings, normalisation, own_methods)
    facts = (pair.origin or {}) | {"own_methods": list(own_methods), "own_scores": list(own_scores)}
    sets = [each.images for each in (pair.pictures, pair.training) if each is not None]
    seconds = round(time.perf_counter() - start, 1)
    return Report(
        reading=reading.sentences(found, no_chance),
        tables=found,
        drawings=figures.drawings(found, scores, moved),
        manifest=study.manifest(settings, machine, sets, **facts, wall_seconds=seconds),
    )


def command(
    *,
    baseline: str,
    pruned: str,
    model: str,
    data: str,
    out: str | os.PathLike,
    device: str = "auto",
    own_cam: Sequence[str] = (),
    own_score: Sequence[str] = (),
    **options: Any,
) -> Path:
    """What `python -m pruncam score` does: load, compare, save; returns the page.

    `own_cam` and `own_score` name functions as "FILE.py:function"; `train`, `size` and `images` are options of `load`,
    all others of `Settings`. Raises what those raise.
    """
    report.check_free(Path(out).expanduser().absolute())
    machine, files = (
        Machine(device),
        {name: options.pop(name) for name in ("train", "size", "images") if name in options},
    )
    settings = Settings(**options)
    own = {
        kind: {spec.rpartition(":")[2]: networks.function(spec, what) for spec in specs}
        for kind, what, specs in (("own_methods", "own CAM", own_cam), ("own_scores", "own score", own_score))
    }
    if sum(map(len, own.values())) < len(own_cam) + len(own_score):
        raise ValueError("functions of yours must have different names: the last one would hide the others")
    pair = load(baseline, pruned, model, data, **files, machine=machine)
    return compare(pair, settings, **own, machine=machine).save(out)
