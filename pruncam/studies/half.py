"""One half of a pruning study: a data set, its network, and the models that are compared with it, kept in the store."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar, Protocol

import pandas as pd
from torch import Tensor, nn

from pruncam import models, pruning
from pruncam.datasets import ImageSet
from pruncam.seeds import derive
from pruncam.store import Step
from pruncam.studies.workshop import Workshop
from pruncam.training import Inputs, Recipe


class StudyConfig(Protocol):
    """What the configuration of a pruning study offers to what the studies share."""

    seed: int
    rates: tuple[float, ...]
    floor_seeds: tuple[int, ...]  # of the unpruned baseline, fine-tuned
    chance_seeds: tuple[int, ...]  # of networks with random weights
    methods: tuple[str, ...]
    sensitivity_images: int
    bootstrap: int

    def recipe(self, phase: str) -> Recipe: ...


FLOOR, CHANCE = "fine-tuned, not pruned", "random weights"


@dataclass(frozen=True)
class Variant:
    """One model that is compared with the baseline: how it was pruned, at which rate, from which seed."""

    rule: str  # a rule of the study, FLOOR or CHANCE
    rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.rule} {self.rate:g} {self.seed}"


BASELINE = Variant("unpruned", 0.0, 0)


@dataclass(frozen=True, eq=False)
class Half(ABC):
    """A data set of the paper with its network: a baseline, and everything pruned, fine-tuned or random beside it.

    A study says how its network looks and is pruned; `versions` of the steps are raised by hand when its code changes
    what they make.
    """

    study: ClassVar[str]
    versions: ClassVar[dict[str, int]]  # of "baseline", "tuned" and "scores"
    inputs: ClassVar[Inputs]

    config: StudyConfig
    paper: str  # the paper's data set, in whose place `train` and `test` may stand in
    train: ImageSet
    test: ImageSet
    workshop: Workshop
    made: dict[Variant, nn.Module] = field(default_factory=dict, init=False)  # models that were asked for before
    _turn: Any = field(default_factory=threading.RLock, init=False, repr=False)  # who needs the baseline waits for it

    @property
    @abstractmethod
    def rules(self) -> dict[str, tuple[int, ...]]:
        """The ways of pruning, with their seeds, in the order of the figures."""

    @abstractmethod
    def network(self) -> nn.Module:
        """A new network for these images."""

    @abstractmethod
    def pruned(self, variant: Variant) -> nn.Module:
        """A copy of the baseline, pruned and not yet fine-tuned."""

    @abstractmethod
    def training(self) -> dict[str, Any]:
        """Whatever the baseline depends on."""

    @abstractmethod
    def tuning(self, variant: Variant) -> dict[str, Any]:
        """Whatever pruning and fine-tuning depend on, beside the variant and the baseline."""

    @cached_property
    def variants(self) -> list[Variant]:
        """Every model beside the baseline, in the order of the figures."""
        c = self.config
        found = [Variant(rule, rate, seed) for rule, seeds in self.rules.items() for seed in seeds for rate in c.rates]
        found += [Variant(FLOOR, 0.0, seed) for seed in c.floor_seeds]
        return found + [Variant(CHANCE, 0.0, seed) for seed in c.chance_seeds]

    @property
    def tuned(self) -> list[Variant]:
        """The variants that are trained."""
        return [variant for variant in self.variants if variant.rule != CHANCE]

    @property
    def baseline(self) -> nn.Module:
        """The unpruned network, trained."""
        # No cached_property: until Python 3.12 those of all halves share a lock, and would wait for each other.
        with self._turn:
            if BASELINE not in self.made:
                step, recipe = self.step(BASELINE), self.recipe("baseline")
                self.made[BASELINE] = self.workshop.model(step, self.network(), recipe, self._train_baseline)
            return self.made[BASELINE]

    def step(self, variant: Variant) -> Step:
        """What keeps the weights of a trained model in the store."""
        if variant == BASELINE:
            return Step(f"{self.study}-baseline", self.versions["baseline"], self.training())
        return Step(f"{self.study}-tuned", self.versions["tuned"], self.made_by(variant))

    def model(self, variant: Variant) -> nn.Module:
        """The model of a variant: pruned and fine-tuned, only fine-tuned, or random."""
        if variant not in self.made:
            self.made[variant] = self._made(variant)
        return self.made[variant]

    def scores(self) -> pd.DataFrame:
        """A row per model, CAM method and test image: every score, with the half and the variant's rule, rate, seed."""
        how = {"methods": self.config.methods, "transform": self.prepared}
        tables = []
        for group in self._groups():
            step = Step(f"{self.study}-scores", self.versions["scores"], self._scoring(group))
            others = {variant.name: partial(self.model, variant) for variant in group}
            rows = self.workshop.rows(step, self.baseline, others, self.test, **how)
            named = {variant.name: variant for variant in group}
            for column in ("rule", "rate", "seed"):
                # object: a categorical's map is categorical again, and its numbers have no order
                rows[column] = rows["model"].astype(object).map({n: getattr(v, column) for n, v in named.items()})
            tables.append(rows)
        rows = pd.concat(tables, ignore_index=True)
        rows.insert(0, "half", self.paper)
        return rows

    @property
    def description(self) -> str:
        """How many models and images there are, in words."""
        rules = dict.fromkeys(variant.rule for variant in self.variants)
        counts = ", ".join(f"{sum(v.rule == rule for v in self.variants)} {rule}" for rule in rules)
        models = f"a baseline and {len(self.variants)} models ({counts})"
        return f"{self.paper}: {models}, {len(self.test)} test images"

    def recipe(self, phase: str) -> Recipe:
        """How the "baseline" is trained here, or another model in "finetuning"."""
        return self.config.recipe(phase)

    def prepared(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as the networks take them."""
        return (images - self.inputs.mean) / self.inputs.std

    def initial(self) -> nn.Module:
        """The network before training."""
        return models.initialize(self.network(), "pytorch", derive(self.config.seed, "weights", self.paper))

    def _made(self, variant: Variant) -> nn.Module:
        if variant.rule == CHANCE:
            return models.randomized(self.baseline, derive(variant.seed, "chance")).to(self.workshop.device).eval()
        recipe = self.recipe("finetuning")
        return self.workshop.model(self.step(variant), self.network(), recipe, partial(self._tune, variant))

    def _train_baseline(self) -> dict[str, Tensor]:
        return self._trained(self.initial(), "baseline", derive(self.config.seed, "baseline", self.paper))

    def _tune(self, variant: Variant) -> dict[str, Tensor]:
        model = pruning.drop_masks(self.baseline) if variant.rule == FLOOR else self.pruned(variant)
        return self._trained(model, "finetuning", derive(variant.seed, "finetuning", variant.rule, self.paper))

    def _trained(self, model: nn.Module, phase: str, seed: int) -> dict[str, Tensor]:
        return self.workshop.train(model, self.train, self.recipe(phase), self.inputs, seed)

    def _groups(self) -> Iterator[list[Variant]]:
        """The variants that are scored in one pass, so that the baseline's maps are computed once for each."""
        for key in dict.fromkeys((v.rule, v.seed) for v in self.variants):
            yield [v for v in self.variants if (v.rule, v.seed) == key]

    def made_by(self, variant: Variant) -> dict[str, Any]:
        """Whatever a variant's model depends on."""
        tuning = {} if variant.rule == CHANCE else self.tuning(variant)
        return self.training() | tuning | {"variant": [variant.rule, variant.rate, variant.seed]}

    def _scoring(self, group: list[Variant]) -> dict[str, Any]:
        variants = [self.made_by(variant) for variant in group]
        return {"test": self.test.checksum, "methods": list(self.config.methods), "variants": variants}
