"""One half of the study: a data set, its network, and everything made of them, kept in the store."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruncam import models, pruning, scoring
from pruncam.datasets import ImageSet
from pruncam.progress import Progress
from pruncam.seeds import derive
from pruncam.store import Step, Store
from pruncam.studies.sp2ps.config import INPUTS, NETWORKS, Config
from pruncam.training import fit

# Raised by hand when the code of a step changes what it makes.
BASELINE, TUNED, SCORES = 1, 1, 1

L1, RANDOM, FLOOR, CHANCE = "L1", "Random", "fine-tuned, not pruned", "random weights"


@dataclass(frozen=True)
class Variant:
    """One model that is compared with the baseline: how it was pruned, at which rate, from which seed."""

    rule: str  # L1, RANDOM, FLOOR or CHANCE
    rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.rule} {self.rate:g} {self.seed}"


@dataclass(frozen=True)
class Half:
    """A data set of the paper, and the models and scores made for it."""

    config: Config
    paper: str  # the paper's data set, in whose place `train` and `test` may stand in
    width: int
    train: ImageSet
    test: ImageSet
    store: Store
    device: torch.device
    progress: Progress  # in epochs
    steps: list[tuple[float, bool]] = field(default_factory=list)  # seconds when it was made, and whether just now
    made: dict[Variant, nn.Module] = field(default_factory=dict)  # what `model` has given before

    @cached_property
    def variants(self) -> list[Variant]:
        """Every model beside the baseline, in the order of the figures."""
        c = self.config
        found = [Variant(L1, rate, c.seed) for rate in c.rates]
        found += [Variant(RANDOM, rate, seed) for seed in c.random_seeds for rate in c.rates]
        found += [Variant(FLOOR, 0.0, seed) for seed in c.floor_seeds]
        return found + [Variant(CHANCE, 0.0, seed) for seed in c.chance_seeds]

    @property
    def epochs(self) -> int:
        """How many epochs are trained in all."""
        tuned = sum(variant.rule != CHANCE for variant in self.variants)
        phases = {"baseline": 1, "finetuning": tuned}
        return sum(len(self.config.recipe(phase).learning_rates) * count for phase, count in phases.items())

    @cached_property
    def baseline(self) -> nn.Module:
        """The unpruned network, trained."""
        return self._kept("sp2ps-baseline", BASELINE, self._training(), self._train_baseline, "baseline")

    def model(self, variant: Variant) -> nn.Module:
        """The model of a variant: pruned and fine-tuned, only fine-tuned, or random."""
        if variant not in self.made:
            self.made[variant] = self._made(variant)
        return self.made[variant]

    def _made(self, variant: Variant) -> nn.Module:
        if variant.rule == CHANCE:
            return models.randomized(self.baseline, derive(variant.seed, "chance")).to(self.device).eval()
        inputs = self._variant(variant)
        return self._kept("sp2ps-tuned", TUNED, inputs, lambda: self._tune(variant), "finetuning")

    def scores(self) -> pd.DataFrame:
        """A row per model, CAM method and test image: every score, with the variant's rule, rate and seed."""
        tables = []
        for group in self._groups():
            step = Step("sp2ps-scores", SCORES, self._scoring([self._variant(variant) for variant in group]))
            kept = self.store.get(step, lambda group=group: self._scored(group))
            self.steps.append((kept.seconds, kept.fresh))
            rows = _unpacked(kept.value)
            named = {variant.name: variant for variant in group}
            for column in ("rule", "rate", "seed"):
                rows[column] = rows["model"].map({name: getattr(v, column) for name, v in named.items()})
            tables.append(rows)
        return pd.concat(tables, ignore_index=True)

    def prepared(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as the networks take them."""
        return (images - INPUTS.mean) / INPUTS.std

    def _groups(self) -> Iterator[list[Variant]]:
        """The variants that are scored in one pass, so that the baseline's maps are computed once for each."""
        for rule in (L1, RANDOM, FLOOR, CHANCE):
            for seed in dict.fromkeys(v.seed for v in self.variants if v.rule == rule):
                yield [v for v in self.variants if (v.rule, v.seed) == (rule, seed)]

    def _scored(self, group: list[Variant]) -> dict[str, Any]:
        others = {variant.name: self.model(variant) for variant in group}
        how = {"methods": self.config.methods, "transform": self.prepared, "progress": False}
        pieces = []
        for piece in scoring.stream(self.baseline, others, self.test, **how):
            self.progress.check()
            pieces.append(piece)
        return _packed(pd.concat(pieces, ignore_index=True))

    def _network(self) -> nn.Module:
        build = getattr(models, NETWORKS[self.test.images.shape[-1]])
        return build(len(self.test.classes), width=self.width)

    def _train_baseline(self) -> dict[str, Tensor]:
        model = models.initialize(self._network(), "pytorch", derive(self.config.seed, "weights", self.paper))
        return self._trained(model, "baseline", derive(self.config.seed, "baseline", self.paper))

    def _tune(self, variant: Variant) -> dict[str, Tensor]:
        rules = {L1: "l1", RANDOM: "random"}
        model = pruning.drop_masks(self.baseline)
        if variant.rule in rules:
            seed = derive(variant.seed, "pruning", self.paper)
            model = pruning.global_unstructured(model, variant.rate, method=rules[variant.rule], seed=seed)
        return self._trained(model, "finetuning", derive(variant.seed, "finetuning", variant.rule, self.paper))

    def _trained(self, model: nn.Module, phase: str, seed: int) -> dict[str, Tensor]:
        model = model.to(self.device).requires_grad_(True)

        def after_epoch():
            self.progress.advance(1)
            self.progress.check()

        how = {"seed": seed, "after_epoch": after_epoch}
        fit(model, self.train.images, self.train.labels, self.config.recipe(phase), INPUTS, **how)
        return {name: value.cpu() for name, value in model.state_dict().items()}

    def _kept(self, name: str, version: int, inputs: dict, make: Callable, phase: str) -> nn.Module:
        self.progress.check()
        kept = self.store.get(Step(name, version, inputs), make)
        self.steps.append((kept.seconds, kept.fresh))
        if not kept.fresh:
            self.progress.advance(len(self.config.recipe(phase).learning_rates))
        return pruning.load_state(self._network(), kept.value).to(self.device).eval()

    def _training(self) -> dict[str, Any]:
        """Whatever the baseline depends on."""
        c = self.config
        return {
            "train": self.train.checksum,
            "width": self.width,
            "baseline": c.baseline,
            "batch": c.baseline_batch,
            "seed": c.seed,
            "half": self.paper,
        }

    def _variant(self, variant: Variant) -> dict[str, Any]:
        c = self.config
        tuned = {} if variant.rule == CHANCE else {"finetuning": c.finetuning, "finetuning_batch": c.finetuning_batch}
        return self._training() | tuned | {"variant": [variant.rule, variant.rate, variant.seed]}

    def _scoring(self, variants: list[dict]) -> dict[str, Any]:
        return {"test": self.test.checksum, "methods": list(self.config.methods), "variants": variants}


def resized(images: ImageSet, side: int) -> ImageSet:
    """The set at `side` x `side` pixels: bilinear, antialiased where it shrinks; the provenance says so."""
    if images.images.shape[-1] == side:
        return images
    parts = images.images.split(500)
    pixels = torch.cat([_interpolated(part, side) for part in parts])
    objects = images.objects
    if objects is not None:
        objects = torch.cat(
            [_interpolated(255 * part[:, None].byte(), side)[:, 0] > 127 for part in objects.split(500)]
        )
    provenance = f"{images.provenance}, resized from {images.images.shape[-1]} to {side} pixels"
    return replace(images, images=pixels, objects=objects, provenance=provenance)


def _interpolated(images: Tensor, side: int) -> Tensor:
    enlarged = functional.interpolate(images.float(), size=(side, side), mode="bilinear", antialias=True)
    return enlarged.round().clamp(0, 255).byte()


def _packed(rows: pd.DataFrame) -> dict[str, Any]:
    """Rows as the store keeps them: tensors, and the names behind categories."""
    names = {column: list(rows[column].cat.categories) for column in ("model", "method")}
    columns = {column: torch.from_numpy(rows[column].cat.codes.to_numpy().copy()) for column in names}
    columns |= {column: torch.from_numpy(rows[column].to_numpy().copy()) for column in rows if column not in names}
    return {"names": names, "columns": columns}


def _unpacked(kept: dict[str, Any]) -> pd.DataFrame:
    table = pd.DataFrame({column: values.numpy() for column, values in kept["columns"].items()})
    for column, names in kept["names"].items():
        table[column] = pd.Categorical.from_codes(table[column], names)
    return table
