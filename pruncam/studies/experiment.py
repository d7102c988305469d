"""A data set, its network, and every pruned, fine-tuned or random variant of that network."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar

import pandas as pd
from torch import Tensor, nn

from pruncam import networks, pruning
from pruncam._core.seeds import derive
from pruncam._core.store import Step
from pruncam.datasets import ImageSet
from pruncam.profiles import DatasetSpec
from pruncam.scoring.controls import CHANCE, FLOOR, random_control
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.config import PruningConfig
from pruncam.training import Inputs, Recipe

# The network by the size of the images (Sp2PS, Figure 3; complexity paper, Figures 2 and 3).
PLAIN_NETWORKS = {32: networks.cifar_net, 96: networks.stl_net}


@dataclass(frozen=True)
class Variant:
    """A model that is compared with the baseline: pruning rule, rate and seed."""

    rule: str  # a pruning rule of the study, FLOOR or CHANCE
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Rule, rate and seed in one string."""
        return f"{self.rule} {self.rate:g} {self.seed}"


BASELINE = Variant("unpruned", 0.0, 0)


@dataclass(frozen=True, eq=False)
class Experiment(ABC):
    """A data set with its network: a trained baseline and the variants compared with it.

    A study defines the network, the pruning rules and what the results depend on. The `versions` of
    its steps are raised by hand whenever a change of the code changes their results.
    """

    study: ClassVar[str]
    versions: ClassVar[dict[str, int]]  # of the steps "baseline", "tuned" and "scores"
    inputs: ClassVar[Inputs]

    config: PruningConfig
    spec: DatasetSpec
    train: ImageSet
    test: ImageSet
    trainer: CachedTrainer
    models: dict[Variant, nn.Module] = field(default_factory=dict, init=False)
    _baseline_lock: Any = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def dataset(self) -> str:
        """The paper's name of the data set."""
        return self.spec.paper

    @property
    @abstractmethod
    def rules(self) -> dict[str, tuple[int, ...]]:
        """The pruning rules with their seeds, in the order of the figures."""

    @abstractmethod
    def network(self) -> nn.Module:
        """Return a new, untrained network for these images."""

    @abstractmethod
    def pruned(self, variant: Variant) -> nn.Module:
        """Return a pruned copy of the baseline, not yet fine-tuned."""

    @abstractmethod
    def baseline_inputs(self) -> dict[str, Any]:
        """Return everything the trained baseline depends on."""

    @abstractmethod
    def variant_inputs(self, variant: Variant) -> dict[str, Any]:
        """Return what pruning and fine-tuning depend on, besides the variant and the baseline."""

    @cached_property
    def variants(self) -> list[Variant]:
        """All models except the baseline, in the order of the figures."""
        rates = self.config.rates
        pruned = [
            Variant(rule, rate, seed)
            for rule, seeds in self.rules.items()
            for seed in seeds
            for rate in rates
        ]
        floor = [Variant(FLOOR, 0.0, seed) for seed in self.config.floor_seeds]
        chance = [Variant(CHANCE, 0.0, seed) for seed in self.config.chance_seeds]
        return pruned + floor + chance

    @property
    def trained_variants(self) -> list[Variant]:
        """The variants that are fine-tuned."""
        return [variant for variant in self.variants if variant.rule != CHANCE]

    def of_rule(self, rule: str) -> list[Variant]:
        """Return the variants of a rule with its first seed, in order of rate."""
        seed = self.rules[rule][0]
        return [v for v in self.variants if (v.rule, v.seed) == (rule, seed)]

    @property
    def epochs(self) -> int:
        """The number of epochs that training the baseline and all variants takes."""
        baseline = len(self.recipe("baseline").learning_rates)
        finetuning = len(self.recipe("finetuning").learning_rates)
        return baseline + finetuning * len(self.trained_variants)

    @property
    def description(self) -> str:
        """The numbers of models and images, in words."""
        rules = [variant.rule for variant in self.variants]
        counts = ", ".join(f"{rules.count(rule)} {rule}" for rule in dict.fromkeys(rules))
        models = f"a baseline and {len(rules)} models ({counts})"
        return f"{self.dataset}: {models}, {len(self.test)} test images"

    @property
    def baseline(self) -> nn.Module:
        """The trained, unpruned network."""
        # No cached_property: until Python 3.12 all experiments would share its lock.
        with self._baseline_lock:
            if BASELINE not in self.models:
                self.models[BASELINE] = self.trainer.load_or_train(
                    self.step(BASELINE),
                    self.network(),
                    self.recipe("baseline"),
                    self._train_baseline,
                )
            return self.models[BASELINE]

    def model(self, variant: Variant) -> nn.Module:
        """Return the model of a variant: pruned and fine-tuned, only fine-tuned, or random."""
        if variant not in self.models:
            self.models[variant] = self._build(variant)
        return self.models[variant]

    def step(self, variant: Variant) -> Step:
        """Return the step under which a trained model is stored."""
        if variant == BASELINE:
            name, version = f"{self.study}-baseline", self.versions["baseline"]
            return Step(name, version, self.baseline_inputs())
        name, version = f"{self.study}-tuned", self.versions["tuned"]
        return Step(name, version, self.model_inputs(variant))

    def model_inputs(self, variant: Variant) -> dict[str, Any]:
        """Return everything a variant's model depends on."""
        tuning = {} if variant.rule == CHANCE else self.variant_inputs(variant)
        identity = {"variant": [variant.rule, variant.rate, variant.seed]}
        return self.baseline_inputs() | tuning | identity

    def recipe(self, phase: str) -> Recipe:
        """Return how the "baseline" is trained, or a variant in "finetuning"."""
        return self.config.recipe(phase)

    def prepare(self, images: Tensor) -> Tensor:
        """Return images in [0, 1] normalised for the network."""
        return (images - self.inputs.mean) / self.inputs.std

    def network_input(self, images: Tensor) -> Tensor:
        """Return uint8 images as network input."""
        return self.prepare(images.float() / 255)

    def initial(self) -> nn.Module:
        """Return the network with its initial weights."""
        seed = derive(self.config.seed, "weights", self.dataset)
        return networks.initialize(self.network(), "pytorch", seed)

    def few_test_images(self) -> ImageSet:
        """Return the test images used for the more expensive measurements."""
        return self.test.first(min(self.config.sensitivity_images, len(self.test)))

    def scores(self) -> pd.DataFrame:
        """Return a row per model, CAM method and test image with every score.

        The columns `dataset`, `rule`, `rate` and `seed` tell the variant.
        """
        tables = [self._scores_of(group) for group in self._groups()]
        rows = pd.concat(tables, ignore_index=True)
        rows.insert(0, "dataset", self.dataset)
        return rows

    def _scores_of(self, group: list[Variant]) -> pd.DataFrame:
        """Return the rows of variants that are scored in one pass."""
        step = Step(f"{self.study}-scores", self.versions["scores"], self._score_inputs(group))
        rows = self.trainer.scores(
            step,
            self.baseline,
            {variant.name: partial(self.model, variant) for variant in group},
            self.test,
            methods=self.config.methods,
            transform=self.prepare,
        )
        # As objects: the map of a categorical column is categorical, and its numbers have no order.
        names = rows["model"].astype(object)
        rows["rule"] = names.map({variant.name: variant.rule for variant in group})
        rows["rate"] = names.map({variant.name: variant.rate for variant in group})
        rows["seed"] = names.map({variant.name: variant.seed for variant in group})
        return rows

    def _groups(self) -> Iterator[list[Variant]]:
        """Iterate over the variants by rule and seed; the baseline's maps serve a whole group."""
        for key in dict.fromkeys((v.rule, v.seed) for v in self.variants):
            yield [v for v in self.variants if (v.rule, v.seed) == key]

    def _score_inputs(self, group: list[Variant]) -> dict[str, Any]:
        return {
            "test": self.test.checksum,
            "methods": list(self.config.methods),
            "variants": [self.model_inputs(variant) for variant in group],
        }

    def _build(self, variant: Variant) -> nn.Module:
        if variant.rule == CHANCE:
            return random_control(self.baseline, variant.seed).to(self.trainer.device)
        return self.trainer.load_or_train(
            self.step(variant),
            self.network(),
            self.recipe("finetuning"),
            partial(self._fine_tune, variant),
        )

    def _train_baseline(self) -> dict[str, Tensor]:
        seed = derive(self.config.seed, "baseline", self.dataset)
        return self._train(self.initial(), "baseline", seed)

    def _fine_tune(self, variant: Variant) -> dict[str, Tensor]:
        is_floor = variant.rule == FLOOR
        model = pruning.drop_masks(self.baseline) if is_floor else self.pruned(variant)
        seed = derive(variant.seed, "finetuning", variant.rule, self.dataset)
        return self._train(model, "finetuning", seed)

    def _train(self, model: nn.Module, phase: str, seed: int) -> dict[str, Tensor]:
        return self.trainer.train(model, self.train, self.recipe(phase), self.inputs, seed)


@dataclass(frozen=True, eq=False)
class PlainExperiment(Experiment):
    """An experiment with the plain network of the Sp2PS and complexity papers.

    It has 3x3 convolutions, BatchNorm and ReLU; `spec.width` filters in its first convolution.
    """

    inputs = Inputs(mean=0.5, std=0.5)

    def network(self) -> nn.Module:
        """Return the papers' network for images of this size."""
        build = PLAIN_NETWORKS[self.test.images.shape[-1]]
        return build(len(self.test.classes), width=self.spec.width)

    def baseline_inputs(self) -> dict[str, Any]:
        """Return everything the trained baseline depends on."""
        return {
            "train": self.train.checksum,
            "width": self.spec.width,
            "baseline": self.config.baseline,
            "batch": self.config.baseline_batch,
            "seed": self.config.seed,
            "half": self.dataset,  # the key of existing stores
        }
