"""What can be looked at: the data sets of finished runs, and one that is made here, in seconds, where need be."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pruncam import places
from pruncam.choices import PROFILES
from pruncam.datasets import DataError, ImageSet, catalog
from pruncam.progress import Progress
from pruncam.store import Kept, Step, Store
from pruncam.studies import pe_score, sp2ps, tables
from pruncam.studies.half import BASELINE, Half, Variant
from pruncam.studies.pe_score.half import Half as PeHalf
from pruncam.studies.sp2ps.choices import last_convolutions
from pruncam.studies.sp2ps.half import Half as Sp2psHalf
from pruncam.studies.study import Machine, in_threads
from pruncam.studies.workshop import Workshop

IMAGES = 100  # of a finished run's test split that can be chosen
COARSE = 16  # cells across; a finer heatmap of a picture that may not be shown would draw its outlines


@dataclass(frozen=True)
class Kind:
    """A study whose models can be looked at."""

    study: Any  # its module
    half: type[Half]
    pruning: str  # what it does to a network, in words
    score: tuple[str, str]  # the score of its curves: column and name
    rate: str  # what its rate is of, on the axis of its curves


KINDS = {
    "sp2ps": Kind(sp2ps, Sp2psHalf, "weights set to zero", ("sp2ps", "Sp2PS"), "weights set to zero, %"),
    "pe_score": Kind(pe_score, PeHalf, "filters removed", ("pe", "PE"), "filters removed in every layer, %"),
}


@dataclass(frozen=True)
class Recorded:
    """An image set of a finished run that is not loaded: its checksum tells which models it made."""

    checksum: str


@dataclass(frozen=True, eq=False)
class Collection:
    """A data set of a study: its pictures, its models, each read when it is first asked for, and its curves."""

    study: str
    profile: str
    entry: tuple[str, str, int, Any]  # as in the configuration's `halves`
    unloaded: Half  # without its pictures, where they are read on demand
    curves: Mapping[str, pd.DataFrame]  # the study's tables "curves" and "ends"
    data_dir: str | None = None
    seen: dict[tuple, Any] = field(default_factory=dict, init=False)  # what was worked out before, by what it is of

    @property
    def kind(self) -> Kind:
        """The study that it is of."""
        return KINDS[self.study]

    @property
    def title(self) -> str:
        """Its name in the list of choices."""
        _, ours, side, _ = self.entry
        return f"{ours}, {side}x{side}: {self.kind.pruning} ({self.study}, profile {self.profile})"

    @cached_property
    def half(self) -> Half:
        """The models, and the test images that can be chosen.

        Raises DataError where a file has gone or been damaged since the collection was found.
        """
        if isinstance(self.unloaded.test, ImageSet):
            return self.unloaded
        _, ours, side, _ = self.entry
        found = catalog.load(ours, "test", data_dir=self.data_dir, at_most=IMAGES)
        shown = found.coloured().resized(side).to(self.unloaded.workshop.device)
        return dataclasses.replace(self.unloaded, test=shown)

    @property
    def rates(self) -> tuple[float, ...]:
        """The rates that can be chosen; 0 is the unpruned network."""
        return (0.0, *self.unloaded.config.rates)

    @cached_property
    def layers(self) -> dict[str, tuple[int, int]]:
        """The last convolution of every spatial size of more than a pixel, with that size, from large to small.

        Only coarse ones where a picture may not be shown.
        """
        test = self.half.test
        found = last_convolutions(self.half.baseline, self.half.prepared(test.images[:1].float() / 255))
        finest = test.images.shape[-1] if all(test.credit(n) is not None for n in range(len(test))) else COARSE
        return {name: size for name, size in found.items() if 1 < max(size) <= finest}

    def once(self, key: tuple, make: Callable[[], Any]) -> Any:
        """What `make` gives, made when it is first asked for."""
        if key not in self.seen:
            self.seen[key] = make()
        return self.seen[key]

    def model(self, rule: str, rate: float) -> torch.nn.Module:
        """The unpruned network at rate 0, else the rule's model of its first seed."""
        return self.half.model(Variant(rule, rate, self.half.rules[rule][0])) if rate else self.half.baseline


class FinishedStore(Store):
    """A store that is only read: what is not there any more is not made anew."""

    def get(self, step: Step, make: Callable[[], Any]) -> Kept:
        """The step's result; DataError where it cannot be read."""

        def refuse():
            raise DataError(f"the stored model {self.path(step).name} is gone or damaged: run its study again")

        return super().get(step, refuse)


def made(machine: Machine, progress: bool = True) -> Collection:
    """The first data set of sp2ps in the profile quick, its models trained and scored where they are not in the store.

    It needs no download; the first time takes some ten seconds on two cores.
    """
    config = sp2ps.configure("quick")
    entry = config.halves[0]
    paper, ours, side, width = entry
    bar = Progress("explorer", "epoch", progress)
    workshop = Workshop(Store(), machine.torch_device, bar)
    counts = {"train": config.train_images, "test": config.test_images}
    sets = [
        catalog.load(ours, split, at_most=count).resized(side).to(machine.torch_device)
        for split, count in counts.items()
    ]
    half = Sp2psHalf(config, paper, *sets, workshop, width)
    tuned = half.tuned
    epochs = {phase: len(config.recipe(phase).learning_rates) for phase in ("baseline", "finetuning")}
    bar.expect(epochs["baseline"] + epochs["finetuning"] * len(tuned))
    try:
        in_threads(lambda half: half.baseline, [half], 1, bar)
        in_threads(half.model, tuned, machine.parallel(len(tuned)), bar)
        rows = half.scores()
    finally:
        bar.close()
    curves = {"curves": tables.curves(config, rows, tables.accuracies(config, rows)), "ends": tables.ends(rows)}
    return Collection("sp2ps", "quick", entry, half, curves)


def finished(machine: Machine) -> list[Collection]:
    """The data sets of runs whose result is saved, whose models are all in the store and whose pictures are found."""
    return [
        collection
        for profile in PROFILES
        for study in KINDS
        if (saved := _saved(places.figures_folder(profile) / study))
        for collection in _of_run(study, profile, saved, machine)
    ]


def _saved(folder: Path) -> dict[str, Any] | None:
    """Manifest and curves of a saved result; None where there is none that can be read."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        curves = {name: pd.read_csv(folder / f"table_{name}.csv") for name in ("curves", "ends")}
        return {"config": manifest["config"], "data": manifest["data"], "curves": curves}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of_run(study: str, profile: str, saved: dict[str, Any], machine: Machine) -> list[Collection]:
    config = KINDS[study].study.configure(profile)
    # A result of other settings has other models, and its curves are not theirs.
    if json.loads(json.dumps(dataclasses.asdict(config))) != saved["config"]:
        return []
    workshop = Workshop(FinishedStore(), machine.torch_device, Progress("explorer", "epoch", show=False))
    found = []
    for entry in config.halves:
        paper, ours, _, own = entry
        trained = [Recorded(s["sha256"]) for s in saved["data"] if (s["name"], s["split"]) == (ours, "train")]
        if trained and catalog.find(ours, machine.data_dir):
            half = KINDS[study].half(config, paper, trained[0], Recorded(""), workshop, own)
            if _stored(half):
                found.append(Collection(study, profile, entry, half, saved["curves"], machine.data_dir))
    return found


def _stored(half: Half) -> bool:
    """Whether the baseline and the first seed's model of every rule and rate are in the store."""
    rules, rates = half.rules, half.config.rates
    wanted = [BASELINE, *(Variant(rule, rate, seeds[0]) for rule, seeds in rules.items() for rate in rates)]
    return all(half.workshop.store.path(half.step(variant)).is_file() for variant in wanted)
