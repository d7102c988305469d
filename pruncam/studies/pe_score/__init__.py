"""PE-score: can a model be trusted when filters are removed? (Big Data and Cognitive Computing 2023, 7, 111)"""

import time
from functools import partial
from typing import Any

import pandas as pd
from torch import nn

from pruncam import pruning
from pruncam.datasets import catalog
from pruncam.progress import Progress
from pruncam.report import claims as claim_report
from pruncam.report.claims import Claim
from pruncam.store import Store
from pruncam.studies import measures, samples, study, tables, workshop
from pruncam.studies.pe_score import claims, crossing, figures, marks, printed
from pruncam.studies.pe_score.choice import Choice, choose_rate
from pruncam.studies.pe_score.config import Config
from pruncam.studies.pe_score.half import Half
from pruncam.studies.study import Machine, StudyResult
from pruncam.studies.workshop import Workshop
from pruncam.training import drops_out

__all__ = ["Choice", "Config", "choose_rate", "configure", "run"]

SHOWN = {"CIFAR-10": "automobile", "COVID-19": "covid"}  # what the paper's figures show
WHOLE = {"CIFAR-10": ("cifar10", 50_000, 10_000), "COVID-19": ("covid19", 2_455, 613)}  # the paper's data, by counts


def configure(profile: str, **overrides: Any) -> Config:
    """The configuration of a profile ("quick", "laptop", "paper") with single values overridden."""
    return study.configure(Config, "pe_score", profile, **overrides)


def run(config: Config, progress: bool = True, *, machine: Machine | None = None) -> StudyResult:
    """Train, remove filters, fine-tune, explain, score and judge; finished steps are taken from the store.

    Raises ValueError or DataError in one sentence where the data do not fit the configuration or are missing.
    """
    if not isinstance(config, Config):
        raise TypeError("config must be a Config: use pe_score.configure('quick')")
    start, machine = time.perf_counter(), machine or Machine()
    bar = Progress("pe_score", "epoch", progress)
    halves = [_half(config, machine, entry, bar) for entry in config.halves]
    try:
        _train(halves, machine, bar)
        measured = study.in_threads(_measured, halves, machine.parallel(len(halves)), bar)
        rows = pd.concat([own["rows"] for own in measured], ignore_index=True)
        found = _tables(config, halves, rows, measured)
    finally:
        bar.close()
    shown = {half.paper: own["sample"] for half, own in zip(halves, measured, strict=True)}
    weak = _weak(halves, found["models"])
    judged = claims.judge(config, rows, weak, [half.paper for half in halves if _stands_in(half)])
    facts = {
        "profile": config.profile,
        "models": sum(1 + len(half.variants) for half in halves),
        **workshop.facts(half.workshop for half in halves),
        "wall_seconds": round(time.perf_counter() - start, 1),
    }
    return StudyResult(
        study="pe_score",
        config=config,
        tables=found,
        claims=claim_report.table(judged),
        drawings=figures.drawings(config, found, shown, {half.paper: half.test.provenance for half in halves}),
        manifest=study.manifest(config, machine, [s for half in halves for s in (half.train, half.test)], **facts),
        stable_lines=_stable(halves, judged),
    )


def _half(config: Config, machine: Machine, entry: tuple, bar: Progress) -> Half:
    paper, ours, side, needed = entry
    sets = []
    for split in ("train", "test"):
        found = catalog.load(ours, split, data_dir=machine.data_dir, at_most=getattr(config, f"{split}_images"))
        # The X-rays come as pictures, without a checksum: their names and counts must do.
        original = found.original or ours == "covid19"
        sets.append(found.coloured().resized(side).to(machine.torch_device))
    return Half(config, paper, *sets, Workshop(Store(), machine.torch_device, bar), needed, original)


def _train(halves: list[Half], machine: Machine, bar: Progress) -> None:
    """Make every model: those that do not wait for each other side by side, so that all cores have work."""
    tuned = [(half, variant) for half in halves for variant in half.tuned]
    phases = [(half, "baseline") for half in halves] + [(half, "finetuning") for half, _ in tuned]
    bar.expect(sum(len(half.recipe(phase).learning_rates) for half, phase in phases))
    # The baselines first: what is made from one waits for it, while others go on.
    tasks = [*(partial(getattr, half, "baseline") for half in halves), *(partial(h.model, v) for h, v in tuned)]
    # Dropout draws from the one random state of the process, and SeNPIS sets a GPU's precision for all of it.
    alone = drops_out(halves[0].network()) or machine.torch_device.type == "cuda"
    study.in_threads(lambda make: make(), tasks, 1 if alone else machine.parallel(len(tasks)), bar)


def _measured(half: Half) -> dict[str, Any]:
    """What is asked of a data set's models once they are trained."""
    return {
        "rows": half.scores(),
        "sample": samples.sample(half, samples.choose(half, SHOWN.get(half.paper, ""))),
        "truth": measures.truth(half),
        "marks": marks.table(half),
        "sensitivity_to_the_class": crossing.table(half),
    }


def _weak(halves: list[Half], models: pd.DataFrame) -> dict[str, str]:
    """The halves whose baseline is too weak for the claims, and why."""
    accuracy = models.groupby("half")["baseline"].first()
    return {
        half.paper: f"the baseline's {accuracy[half.paper]:.1f} % are under the {half.needed:g} % that claims need"
        for half in halves
        if accuracy[half.paper] < half.needed
    }


def _stands_in(half: Half) -> bool:
    """Whether the data are not all of the paper's, in its own pixels, at the size that its code takes."""
    name, train, test = WHOLE.get(half.paper, (None, 0, 0))
    same = half.test.name == name and (len(half.train), len(half.test)) == (train, test)
    return not (same and half.original and half.test.images.shape[-1] == 224)


def _tables(
    config: Config, halves: list[Half], rows: pd.DataFrame, measured: list[dict[str, Any]]
) -> dict[str, pd.DataFrame]:
    accuracy = tables.accuracies(config, rows)
    drops = pd.concat([tables.drops(config, rows, accuracy, half.paper).assign(half=half.paper) for half in halves])
    curves = tables.curves(config, rows, accuracy)
    everywhere = {
        "costs": [measures.costs(half, rule) for half in halves for rule in config.criteria],
        "times": [measures.times(half, rule) for half in halves for rule in config.criteria],
    }
    everywhere |= {name: [own[name] for own in measured] for name in ("truth", "marks", "sensitivity_to_the_class")}
    parts = {name: [part for part in found if part is not None] for name, found in everywhere.items()}
    return {
        "published": printed.beside(curves),
        "curves": curves,
        "models": accuracy,
        "drops": drops,
        "ends": tables.ends(rows),
        "classes": tables.by_class(rows, {half.paper: half.test.classes for half in halves}),
        "correctness": tables.by_correctness(rows),
        **_choices(config, curves, rows),
        **{name: pd.concat(found, ignore_index=True) for name, found in parts.items() if found},
    }


def _choices(config: Config, curves: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rate to choose, by Section 5, for every half, criterion and CAM; and the images to inspect."""
    found, images = [], []
    for (half, rule, method), part in curves[curves["rule"].isin(config.criteria)].groupby(
        ["half", "rule", "method"], sort=False
    ):
        own = rows[(rows["half"] == half) & (rows["rule"] == rule) & (rows["method"] == method)]
        choice = choose_rate(part, config.max_accuracy_drop, rows=own)
        key = {"half": half, "rule": rule, "method": method}
        found.append(key | {"rate": choice.rate, "verdict": choice.verdict, "why": choice.why})
        images.append(choice.images.rename(columns={"rate": "at"}).assign(**key))
    return {"choice": pd.DataFrame(found), "inspect": pd.concat(images, ignore_index=True)}


def _stable(halves: list[Half], judged: list[Claim]) -> list[str]:
    """What is the same on every machine."""
    lines = []
    for half in halves:
        lines.append(half.description)
        filters = [layer.weight.shape[0] for layer in _layers(half)]
        lines.append(f"{half.paper}: filters and neurons left at {max(half.config.rates):.0%}: {filters}")
    return lines + [f"{claim.claim} {claim.verdict}" for claim in judged if claim.firm]


def _layers(half: Half) -> list[nn.Module]:
    """The layers of the first criterion's smallest model."""
    rule, highest = half.config.criteria[0], max(half.config.rates)
    variant = next(v for v in half.variants if (v.rule, v.rate) == (rule, highest))
    return list(pruning.prunable(half.model(variant)).values())
