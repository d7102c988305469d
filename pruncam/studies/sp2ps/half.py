"""One half of the study: a data set, its network, and everything made of them, kept in the store."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruncam import models, pruning
from pruncam.datasets import ImageSet
from pruncam.seeds import derive
from pruncam.store import Step
from pruncam.studies.sp2ps.config import INPUTS, NETWORKS, Config
from pruncam.studies.workshop import Workshop

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


@dataclass(frozen=True, eq=False)
class Half:
    """A data set of the paper, and the models and scores made for it."""

    config: Config
    paper: str  # the paper's data set, in whose place `train` and `test` may stand in
    width: int
    train: ImageSet
    test: ImageSet
    workshop: Workshop
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
    def tuned(self) -> list[Variant]:
        """The variants that are trained."""
        return [variant for variant in self.variants if variant.rule != CHANCE]

    @cached_property
    def baseline(self) -> nn.Module:
        """The unpruned network, trained."""
        step = Step("sp2ps-baseline", BASELINE, self.training())
        return self.workshop.model(step, self.network(), self.config.recipe("baseline"), self._train_baseline)

    def model(self, variant: Variant) -> nn.Module:
        """The model of a variant: pruned and fine-tuned, only fine-tuned, or random."""
        if variant not in self.made:
            self.made[variant] = self._made(variant)
        return self.made[variant]

    def _made(self, variant: Variant) -> nn.Module:
        if variant.rule == CHANCE:
            return models.randomized(self.baseline, derive(variant.seed, "chance")).to(self.workshop.device).eval()
        step, recipe = Step("sp2ps-tuned", TUNED, self._variant(variant)), self.config.recipe("finetuning")
        return self.workshop.model(step, self.network(), recipe, lambda: self._tune(variant))

    def scores(self) -> pd.DataFrame:
        """A row per model, CAM method and test image: every score, with the variant's rule, rate and seed."""
        how = {"methods": self.config.methods, "transform": self.prepared}
        tables = []
        for group in self._groups():
            step = Step("sp2ps-scores", SCORES, self._scoring([self._variant(variant) for variant in group]))
            others = {variant.name: partial(self.model, variant) for variant in group}
            rows = self.workshop.rows(step, self.baseline, others, self.test, **how)
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

    def network(self) -> nn.Module:
        """A new network for these images."""
        build = getattr(models, NETWORKS[self.test.images.shape[-1]])
        return build(len(self.test.classes), width=self.width)

    def _train_baseline(self) -> dict[str, Tensor]:
        model = models.initialize(self.network(), "pytorch", derive(self.config.seed, "weights", self.paper))
        return self._trained(model, "baseline", derive(self.config.seed, "baseline", self.paper))

    def _tune(self, variant: Variant) -> dict[str, Tensor]:
        rules = {L1: "l1", RANDOM: "random"}
        prune = {"weights": pruning.global_unstructured, "filters": pruning.global_structured}[self.config.pruning]
        model = pruning.drop_masks(self.baseline)
        if variant.rule in rules:
            seed = derive(variant.seed, "pruning", self.paper)
            model = prune(model, variant.rate, method=rules[variant.rule], seed=seed)
        return self._trained(model, "finetuning", derive(variant.seed, "finetuning", variant.rule, self.paper))

    def _trained(self, model: nn.Module, phase: str, seed: int) -> dict[str, Tensor]:
        return self.workshop.train(model, self.train, self.config.recipe(phase), INPUTS, seed)

    def training(self) -> dict[str, Any]:
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
        structured = {"pruning": c.pruning} if c.pruning != "weights" and variant.rule in (L1, RANDOM) else {}
        return self.training() | tuned | structured | {"variant": [variant.rule, variant.rate, variant.seed]}

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
