"""The two ways to run a training epoch: PyTorch, and compiled code for the MNIST network."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruncam import pruning
from pruncam._core.validation import check_choice
from pruncam.training.augmentation import Augmentation
from pruncam.training.compiled import trainer
from pruncam.training.recipes import Inputs, Recipe

ENGINES = ("auto", "torch", "fused")


class Engine(Protocol):
    """An engine with its optimiser's state."""

    def epoch(
        self,
        order: Tensor,
        learning_rate: float,
        noise_key: int,
        augmentation: Augmentation | None,
    ) -> float:
        """Train on all images once, in the given order; return the mean loss."""


def resolve_engine(
    model: nn.Module,
    engine: str,
    recipe: Recipe,
) -> str:
    """Return the engine that `fit` uses for this model and recipe: "fused" or "torch".

    Raises ValueError if the engine is unknown or cannot train this model by this recipe.
    """
    check_choice("engine", engine, ENGINES)
    plain_sgd = recipe.optimizer == "sgd" and not recipe.augments
    is_supported = plain_sgd and trainer.supports(model)
    if engine == "auto":
        return "fused" if is_supported and trainer.available() else "torch"
    if engine == "fused" and not is_supported:
        raise ValueError(
            "engine 'fused' trains only the MNIST network in float32, by SGD without augmentation: "
            "use engine 'torch'"
        )
    return engine


class TorchEngine:
    """Training epochs in PyTorch, on the images' device."""

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        recipe: Recipe,
        inputs: Inputs,
    ) -> None:
        self.model = model
        self.images = images
        self.labels = labels
        self.recipe = recipe
        self.inputs = inputs
        self.optimizer = _optimizer(model, recipe)

    def epoch(
        self,
        order: Tensor,
        learning_rate: float,
        noise_key: int,
        augmentation: Augmentation | None,
    ) -> float:
        """Train on all images once, in the given order; return the mean loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        total = torch.zeros((), device=self.images.device)
        for indices in order.split(self.recipe.batch_size):
            batch = indices.to(self.images.device)
            images = self.inputs.add_noise(self.images[batch], batch, noise_key)
            if augmentation is not None:
                images = augmentation.apply(images, indices)
            loss = self._step(self.inputs.normalize(images), self.labels[batch])
            total += loss * len(batch)
        return total.item() / len(order)

    def _step(self, x: Tensor, labels: Tensor) -> Tensor:
        loss = functional.cross_entropy(self.model(x), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        pruning.apply_masks(self.model)
        return loss.detach()


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters, decay = model.parameters(), recipe.weight_decay
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=1.0, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=1.0, momentum=recipe.momentum, weight_decay=decay)


class CompiledEngine:
    """Training epochs of the MNIST network in compiled code, on the CPU."""

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        recipe: Recipe,
        inputs: Inputs,
    ) -> None:
        self.images = images
        self.labels = labels
        self.trainer = trainer.Trainer(model, pruning.masks(model), recipe, inputs)

    def epoch(
        self,
        order: Tensor,
        learning_rate: float,
        noise_key: int,
        augmentation: Augmentation | None,
    ) -> float:
        """Train on all images once, in the given order; return the mean loss."""
        loss = self.trainer.epoch(self.images, self.labels, order, learning_rate, noise_key)
        self.trainer.finish()
        return loss
