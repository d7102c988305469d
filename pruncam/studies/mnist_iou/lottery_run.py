"""The models of one seed: pretrained, then pruned, rewound and retrained level by level.

The thesis prints its pruning rule in another way than its text describes it. As printed, Algorithm
2.1 prunes only positive weights (`W > 0`), below a threshold that shrinks by a fifth at every
iteration. The text says that a fifth of the remaining weights is pruned, by magnitude; so does the
library that it uses (OpenLTH), and so do we (`pruning.lottery_step`).
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from pruncam import networks, pruning
from pruncam._core.seeds import derive
from pruncam._core.store import Step
from pruncam.datasets import ImageSet
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.training import Checkpoint

# Versions of the steps, raised by hand when their code changes the result.
_PRETRAINED_VERSION, _LEVEL_VERSION = 2, 2
_BATCH = 1000  # images explained at once: memory does not grow with the test set
_TRAINING_FIELDS = (
    "pretraining",
    "batch_size",
    "momentum",
    "weight_decay",
    "noise",
    "mean",
    "std",
    "initial_weights",
)


@dataclass(frozen=True)
class LotteryRun:
    """The models of one seed under one configuration, with the images they see.

    `variant` names the configuration; `models` holds the model of every level once `train_levels`
    has run.
    """

    config: MnistIouConfig
    seed: int
    variant: str
    train: ImageSet
    test: ImageSet
    trainer: CachedTrainer
    models: list[nn.Module] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def epochs(self) -> int:
        """The number of epochs that training all levels takes."""
        pretraining = self.config.recipe("pretraining").epochs
        retraining = self.config.recipe("retraining").epochs
        retrained = self.config.levels + (self.config.level_zero == "retrained")
        return pretraining + retraining * retrained

    @cached_property
    def clean(self) -> Tensor:
        """The test images without noise, (N, H, W) in [0, 1]: what a heatmap should look like."""
        return self.test.images[:, 0].float() / 255

    @cached_property
    def noisy(self) -> Tensor:
        """The test images with the noise of this seed, (N, 1, H, W) uint8."""
        indices = torch.arange(len(self.test), device=self.trainer.device)
        key = derive(self.seed, "test noise")
        return self.config.inputs.add_noise(self.test.images, indices, key)

    def noisy_input(self, rows: slice) -> Tensor:
        """Return these test images, with noise, as network input."""
        return self.config.inputs.normalize(self.noisy[rows])

    def test_batches(self) -> Iterator[slice]:
        """Iterate over the rows of the test set, in batches."""
        for start in range(0, len(self.test), _BATCH):
            self.trainer.progress.check()
            yield slice(start, start + _BATCH)

    def train_levels(self) -> None:
        """Train the model of every level, from unpruned to sparsest; fills `models`, once.

        If another thread trains them, this waits until they are trained.
        """
        with self._lock:
            if not self.models:
                self.models.extend(self._trained_levels())

    def _trained_levels(self) -> list[nn.Module]:
        pretrained = self._pretrained()
        models: list[nn.Module] = []
        for level in range(self.config.levels + 1):
            previous = models[-1] if models else pretrained
            models.append(self._level(level, pretrained, previous))
        return models

    @property
    def pretraining_step(self) -> Step:
        """The step of the pretrained model."""
        return Step("mnist-iou-pretrained", _PRETRAINED_VERSION, self.training_inputs())

    def level_step(self, level: int) -> Step | None:
        """Return the step of the model of a level; None if that is the pretrained one."""
        if level == 0 and self.config.level_zero == "pretrained":
            return None
        inputs = {
            "level": level,
            "fraction": self.config.fraction,
            "level_zero": self.config.level_zero,
            "retraining": self.config.retraining,
        }
        return Step("mnist-iou-level", _LEVEL_VERSION, self.training_inputs() | inputs)

    def _pretrained(self) -> nn.Module:
        return self._load_or_train(self.pretraining_step, "pretraining", self._pretrain)

    def _pretrain(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        seed = derive(self.seed, "weights")
        model = networks.initialize(networks.mnist_net(), self.config.initial_weights, seed)
        return self._train(model, "pretraining", derive(self.seed, "pretraining"), checkpoint)

    def _level(
        self,
        level: int,
        pretrained: nn.Module,
        previous: nn.Module,
    ) -> nn.Module:
        """Return the model of a level; level 0 is not pruned."""
        step = self.level_step(level)
        if step is None:
            return pretrained
        retrain = partial(self._retrain, level, pretrained, previous)
        return self._load_or_train(step, "retraining", retrain)

    def _retrain(
        self,
        level: int,
        pretrained: nn.Module,
        previous: nn.Module,
        checkpoint: Checkpoint,
    ) -> dict[str, Tensor]:
        """Prune the previous level, rewind to the pretrained weights and train again."""
        pruned = pruning.lottery_step(previous, self.config.fraction) if level else pretrained
        model = pruning.rewind(pruned, pretrained)
        return self._train(model, "retraining", derive(self.seed, "retraining", level), checkpoint)

    def _load_or_train(
        self, step: Step, phase: str, train: Callable[[Checkpoint], dict[str, Tensor]]
    ) -> nn.Module:
        recipe = self.config.recipe(phase)
        return self.trainer.load_or_train(step, networks.mnist_net(), recipe, train)

    def _train(
        self,
        model: nn.Module,
        phase: str,
        seed: int,
        checkpoint: Checkpoint,
    ) -> dict[str, Tensor]:
        recipe = self.config.recipe(phase)
        return self.trainer.train(
            model,
            self.train,
            recipe,
            self.config.inputs,
            seed,
            checkpoint,
        )

    def training_inputs(self) -> dict[str, Any]:
        """Return everything the pretrained model depends on."""
        return {
            **{name: getattr(self.config, name) for name in _TRAINING_FIELDS},
            "seed": self.seed,
            "train": self.train.checksum,
            "engine": self.trainer.engine,
        }


def remaining_weights(model: nn.Module) -> int:
    """Return the number of convolution and FC weights that are not pruned."""
    masks = [
        getattr(module, "weight_mask", torch.ones_like(module.weight))
        for module in pruning.prunable(model).values()
    ]
    return sum(int(mask.sum()) for mask in masks)
