"""A data set, its network, and every pruned, fine-tuned or random variant of that network."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Self

import pandas as pd
from torch import Tensor, nn

from pruncam import cams, networks, pruning
from pruncam._core.commands import command
from pruncam._core.seeds import derive
from pruncam._core.store import Step
from pruncam.datasets import ImageSet
from pruncam.profiles import DatasetSpec
from pruncam.scoring.controls import CHANCE, FLOOR, SHUFFLED, random_control, shuffled_level
from pruncam.studies.cached_trainer import CachedTrainer, weights_of
from pruncam.studies.config import PruningConfig, plain_schedule
from pruncam.studies.original_data import shown_names
from pruncam.training import Checkpoint, Inputs, Recipe, accuracy
from pruncam.training import reference as reference_training

# The network by the size of the images (Sp2PS, Figure 3; complexity paper, Figures 2 and 3).
PLAIN_NETWORKS = {32: networks.cifar_net, 96: networks.stl_net}

_SHUFFLED_VERSION = 1  # raised by hand when the code of the step changes its result


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
    baseline_seed: int | None = None  # of a further baseline; None: the first one
    models: dict[Variant, nn.Module] = field(default_factory=dict, init=False)
    _baseline_lock: Any = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def dataset(self) -> str:
        """The paper's name of the data set."""
        return self.spec.paper

    @cached_property
    def reference(self) -> networks.Card | None:
        """The card of the reference network that is the baseline; None if one is trained.

        Raises ValueError if that network has no weights yet.
        """
        if self.spec.weights is None:
            return None
        card = networks.card(self.spec.weights)
        if not card.result:
            raise ValueError(
                f"{self.dataset}: the training of reference network {card.name!r} is not finished: "
                f"run {command('weights', NAME=card.name)}"
            )
        return card

    @property
    def is_shipped(self) -> bool:
        """Whether the baseline comes with the package."""
        return self.reference is not None and self.baseline_seed is None

    def replicate(self, seed: int) -> Self:
        """Return the same experiment on a baseline that is trained with another seed."""
        return replace(self, baseline_seed=seed)

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
    def training_inputs(self) -> dict[str, Any]:
        """Return everything a baseline depends on that is trained by the configured recipe."""

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
    def baseline_epochs(self) -> int:
        """The number of epochs that training the baseline takes here."""
        return 0 if self.is_shipped else self.baseline_recipe.epochs

    @property
    def baseline_recipe(self) -> Recipe:
        """The recipe of the baseline: that of the reference network, or the configured one."""
        if self.reference is None:
            return self.recipe("baseline")
        return reference_training.recipe(self._training_card)

    @property
    def _training_card(self) -> networks.Card:
        """The card by which a baseline of the reference network's kind is trained."""
        card, cycles = self.reference, self.spec.replicate_cycles
        assert card is not None
        if self.is_shipped or cycles is None:
            return card
        return reference_training.with_first_cycles(card, cycles)

    @property
    def epochs(self) -> int:
        """The number of epochs that training the baseline and all variants takes."""
        finetuning = self.recipe("finetuning").epochs
        return self.baseline_epochs + finetuning * len(self.trained_variants)

    @property
    def description(self) -> str:
        """The numbers of models and images, in words."""
        rules = [variant.rule for variant in self.variants]
        counts = ", ".join(f"{rules.count(rule)} {rule}" for rule in dict.fromkeys(rules))
        models = f"a baseline and {len(rules)} models ({counts})"
        return f"{self.shown_name}: {models}, {len(self.test)} test images"

    @property
    def shown_name(self) -> str:
        """The name of the images, and of the paper's data set that they stand in for."""
        return shown_names([self.spec])[self.dataset]

    @property
    def baseline(self) -> nn.Module:
        """The trained, unpruned network.

        Raises ValueError if the reference network does not fit the configuration.
        """
        # No cached_property: until Python 3.12 all experiments would share its lock.
        with self._baseline_lock:
            if BASELINE not in self.models:
                self.models[BASELINE] = self._shipped() if self.is_shipped else self._trained()
            return self.models[BASELINE]

    def _shipped(self) -> nn.Module:
        """Return the reference network."""
        card = self.reference
        assert card is not None
        if Inputs(**card.inputs) != self.inputs:
            raise ValueError(
                f"{self.dataset}: reference network {card.name!r} normalises images by "
                f"{dict(card.inputs)}, the study by {self.inputs.mean} and {self.inputs.std}"
            )
        try:
            model = pruning.load_state(self.network(), networks.load(card.name).state_dict())
        except ValueError as error:
            raise ValueError(
                f"{self.dataset}: reference network {card.name!r} is not the network that the "
                f"profile describes: {error}"
            ) from error
        return model.to(self.trainer.device).eval()

    def _trained(self) -> nn.Module:
        """Return a baseline that is trained here, or was and is in the store."""
        return self.trainer.load_or_train(
            self.step(BASELINE), self.network(), self.baseline_recipe, self._train_baseline
        )

    def model(self, variant: Variant) -> nn.Module:
        """Return the model of a variant: pruned and fine-tuned, only fine-tuned, or random."""
        if variant not in self.models:
            self.models[variant] = self._build(variant)
        return self.models[variant]

    def step(self, variant: Variant) -> Step:
        """Return the step under which a trained model is stored."""
        if variant == BASELINE and self.reference is not None:
            seed = self.reference.seed if self.baseline_seed is None else self.baseline_seed
            # The name of the study is not among its inputs: all studies share it.
            card, device = self._training_card, self.trainer.device
            return reference_training.step(card, self.train, seed, device)
        if variant == BASELINE:
            name, version = f"{self.study}-baseline", self.versions["baseline"]
            return Step(name, version, self.baseline_inputs())
        name, version = f"{self.study}-tuned", self.versions["tuned"]
        return Step(name, version, self.model_inputs(variant))

    def baseline_inputs(self) -> dict[str, Any]:
        """Return everything the baseline depends on, and the images of further training."""
        if self.reference is None:
            inputs = self.training_inputs()
            if self.baseline_seed is not None:
                inputs["seed"] = self.baseline_seed
            return inputs | {"precision": self.trainer.precision}
        inputs = {"reference": self.reference.name, "train": self.train.checksum}
        if self.is_shipped:
            return inputs | {"weights": self.reference.result["sha256"]}
        return inputs | {"training": self.step(BASELINE).key}

    def model_inputs(self, variant: Variant) -> dict[str, Any]:
        """Return everything a variant's model depends on."""
        identity = {"variant": [variant.rule, variant.rate, variant.seed]}
        if variant.rule == CHANCE:
            return self.baseline_inputs() | identity
        tuning = self.variant_inputs(variant) | {"tuning_precision": self.trainer.precision}
        return self.baseline_inputs() | tuning | identity

    def heatmap_inputs(self, images: ImageSet, variants: Iterable[Variant]) -> dict[str, Any]:
        """Return everything that the heatmaps of variants on some images depend on."""
        return {
            "test": images.checksum,
            "methods": list(self.config.methods),
            "target_layer": self.spec.target_layer,
            "variants": [self.model_inputs(variant) for variant in variants],
        }

    def recipe(self, phase: str) -> Recipe:
        """Return how the "baseline" is trained, or a variant in "finetuning"."""
        return self.config.recipe_for(self.dataset, phase)

    def prepare(self, images: Tensor) -> Tensor:
        """Return images in [0, 1] normalised for the network."""
        return (images - self.inputs.mean) / self.inputs.std

    def network_input(self, images: Tensor) -> Tensor:
        """Return uint8 images as network input."""
        return self.prepare(images.float() / 255)

    def initial(self) -> nn.Module:
        """Return the network with its initial weights."""
        return networks.initialize(self.network(), "pytorch", self._derived_seed("weights"))

    @cached_property
    def baseline_accuracy(self) -> float:
        """The accuracy of the baseline on all test images, in %."""
        test = self.test
        share = accuracy(self.baseline, test.images, test.labels, prepare=self.network_input)
        return 100 * share

    @cached_property
    def target_layer(self) -> str:
        """The dotted name of the layer whose maps are read."""
        if self.spec.target_layer is not None:
            return self.spec.target_layer
        return cams.default_layer(self.baseline, self.network_input(self.test.images[:1]))

    def few_test_images(self) -> ImageSet:
        """Return the test images used for the more expensive measurements."""
        return self.test.first(min(self.config.sensitivity_images, len(self.test)))

    def scores(self) -> pd.DataFrame:
        """Return a row per model, CAM method and test image with every score.

        The columns `dataset`, `rule`, `rate` and `seed` tell the variant.
        """
        rows = pd.concat([task() for task in self.scoring_tasks()], ignore_index=True)
        rows.insert(0, "dataset", self.dataset)
        return rows

    def scoring_tasks(self) -> list[Callable[[], pd.DataFrame]]:
        """Return the tasks that score the models, one for those that are scored in one pass."""
        return [partial(self._scores_of, group) for group in self.groups()]

    def shuffled_scores(self) -> pd.DataFrame:
        """Return a row per CAM method and test image: its map against that of another image.

        The columns are those of `scores`.
        """
        rows = self.trainer.cached_rows(self.shuffled_step, self._score_shuffled)
        return rows.assign(dataset=self.dataset, rule=SHUFFLED, rate=0.0, seed=self.config.seed)

    @property
    def shuffled_step(self) -> Step:
        """The step of the scores of shuffled maps."""
        inputs = self.baseline_inputs() | {
            "test": self.test.checksum,
            "methods": list(self.config.methods),
            "target_layer": self.spec.target_layer,
            "seed": self.config.seed,
        }
        return Step(f"{self.study}-shuffled-maps", _SHUFFLED_VERSION, inputs)

    def _score_shuffled(self) -> pd.DataFrame:
        return shuffled_level(
            self.baseline,
            self.test,
            seed=self.config.seed,
            methods=self.config.methods,
            target_layer=self.spec.target_layer,
            transform=self.prepare,
            progress=False,
        )

    def _scores_of(self, group: list[Variant]) -> pd.DataFrame:
        """Return the rows of variants that are scored in one pass."""
        rows = self.trainer.scores(
            self.scores_step(group),
            self.baseline,
            {variant.name: partial(self.model, variant) for variant in group},
            self.test,
            methods=self.config.methods,
            target_layer=self.spec.target_layer,
            transform=self.prepare,
        )
        # As objects: the map of a categorical column is categorical, and its numbers have no order.
        names = rows["model"].astype(object)
        rows["rule"] = names.map({variant.name: variant.rule for variant in group})
        rows["rate"] = names.map({variant.name: variant.rate for variant in group})
        rows["seed"] = names.map({variant.name: variant.seed for variant in group})
        return rows

    def groups(self) -> Iterator[list[Variant]]:
        """Iterate over the variants that are scored together, so that the baseline is read once.

        They are those of a pruning rule and seed, all that are only fine-tuned, and all random
        ones.
        """
        keys = {v: (v.rule, None if v.rule in (FLOOR, CHANCE) else v.seed) for v in self.variants}
        for key in dict.fromkeys(keys.values()):
            yield [variant for variant, of_group in keys.items() if of_group == key]

    def scores_step(self, group: list[Variant]) -> Step:
        """Return the step of the scores of variants that are scored in one pass."""
        inputs = self.heatmap_inputs(self.test, group)
        return Step(f"{self.study}-scores", self.versions["scores"], inputs)

    def _build(self, variant: Variant) -> nn.Module:
        if variant.rule == CHANCE:
            return random_control(self.baseline, variant.seed).to(self.trainer.device)
        return self.trainer.load_or_train(
            self.step(variant),
            self.network(),
            self.recipe("finetuning"),
            partial(self._fine_tune, variant),
        )

    def _train_baseline(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        if self.reference is None:
            seed = self._derived_seed("baseline")
            return self._train(self.initial(), "baseline", seed, checkpoint)
        if self.train.checksum != self.reference.result["images_sha256"]["train"]:
            raise ValueError(
                f"{self.dataset}: a further baseline (baseline_seeds) is trained on the images of "
                f"reference network {self.reference.name!r}, all of them: set train_images to null"
            )
        model = reference_training.train(
            self._training_card,
            self.train,
            seed=self.baseline_seed,
            checkpoint=checkpoint,
            after_epoch=self.trainer.after_epoch,
        )
        return weights_of(model)

    def _derived_seed(self, phase: str) -> int:
        seed = self.config.seed if self.baseline_seed is None else self.baseline_seed
        return derive(seed, phase, self.dataset)

    def _fine_tune(self, variant: Variant, checkpoint: Checkpoint) -> dict[str, Tensor]:
        is_floor = variant.rule == FLOOR
        model = pruning.drop_masks(self.baseline) if is_floor else self.pruned(variant)
        seed = derive(variant.seed, "finetuning", variant.rule, self.dataset)
        return self._train(model, "finetuning", seed, checkpoint)

    def _train(
        self, model: nn.Module, phase: str, seed: int, checkpoint: Checkpoint
    ) -> dict[str, Tensor]:
        recipe = self.recipe(phase)
        return self.trainer.train(model, self.train, recipe, self.inputs, seed, checkpoint)


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

    def training_inputs(self) -> dict[str, Any]:
        """Return everything a baseline depends on that is trained by the configured recipe."""
        return {
            "train": self.train.checksum,
            "width": self.spec.width,
            "baseline": plain_schedule(self.recipe("baseline").schedule),
            "batch": self.config.baseline_batch,
            "seed": self.config.seed,
            "half": self.dataset,  # the key of existing stores
        }
