"""The ways to run a training epoch: PyTorch, with faster convolutions, and compiled code."""

from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruncam import pruning
from pruncam._core.validation import check_choice, check_layers
from pruncam.training import winograd
from pruncam.training.augmentation import Augmentation
from pruncam.training.compiled import trainer
from pruncam.training.optimizers import SGD, Adam
from pruncam.training.precision import PRECISIONS, autocast, resolve_precision
from pruncam.training.recipes import Inputs, Recipe, Steps

ENGINES = ("auto", "torch", "winograd", "fused")


class Engine(Protocol):
    """A training in progress: the model and the state of its optimiser."""

    def epoch(
        self,
        order: Tensor,
        rates: list[float],
        noise_key: int,
        augmentation: Augmentation | None,
    ) -> float:
        """Train on all images once, in this order; return the mean loss.

        `rates` are the learning rates of the batches.
        """

    def restart(self) -> None:
        """Forget the momentum."""

    def state(self) -> dict[str, Any]:
        """Return the weights and the state of the optimiser, which the next epoch overwrites."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state` returned."""


def resolve_engine(
    model: nn.Module,
    engine: str,
    recipe: Recipe,
    precision: str = "float32",
) -> str:
    """Return the engine that `fit` uses for this model and recipe: "fused", "winograd" or "torch".

    Raises ValueError if engine or precision is unknown, or the engine cannot train this model by
    this recipe.
    """
    check_layers(model)
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a training.Recipe, got {type(recipe).__name__}")
    check_choice("engine", engine, ENGINES)
    check_choice("precision", precision, PRECISIONS)
    is_plain = _is_plain_sgd(recipe) and precision != "bfloat16"
    is_supported = is_plain and trainer.supports(model)
    is_wide = winograd.applies(model) and _is_float32(model, precision)
    if engine == "auto":
        if is_supported and trainer.available():
            return "fused"
        return "winograd" if is_wide and trainer.available() else "torch"
    if engine == "winograd" and not is_wide:
        raise ValueError(
            "engine 'winograd' trains, in float32 and on a CPU, networks that are not compiled and "
            "have 3x3 convolutions of stride 1, padding 0 or 1, and many channels and filters (at "
            "least 64 and multiples of 8, or a product of 16,384): use engine 'torch'"
        )
    if engine == "fused" and not is_supported:
        raise ValueError(
            "engine 'fused' trains only the MNIST network in float32, by SGD with a learning rate "
            "that changes in steps, without augmentation or label smoothing: use engine 'torch'"
        )
    return engine


def continued_engine(
    model: nn.Module,
    engine: str,
    recipe: Recipe,
    precision: str,
    begun: str | None,
) -> str:
    """Return the engine as `resolve_engine` does, of a training that `begun` may have begun.

    "auto" keeps that engine, since another one would not end with the same weights. The fastest
    may be another one now, such as after numba was installed.
    """
    resolved = resolve_engine(model, engine, recipe, precision)
    if engine == "auto" and begun is not None:
        with suppress(ValueError):  # the first engine cannot train the model here
            return resolve_engine(model, begun, recipe, precision)
    return resolved


def _is_float32(model: nn.Module, precision: str) -> bool:
    """Return whether `fit` trains the model in float32 in this precision."""
    device = next(model.parameters()).device
    return resolve_precision(precision, device) == "float32"


def _is_plain_sgd(recipe: Recipe) -> bool:
    if recipe.optimizer != "sgd" or not isinstance(recipe.rates, Steps):
        return False
    return not recipe.moves and recipe.label_smoothing == 0


class TorchEngine:
    """Training epochs in PyTorch, on the images' device.

    `precision` is "float32" or "bfloat16", `layout` the layout of batches in memory. A last batch
    of fewer than `smallest_batch` images is trained with the one before. With `fast_convolutions`,
    wide convolutions are computed by `winograd`.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        recipe: Recipe,
        inputs: Inputs,
        *,
        precision: str,
        layout: torch.memory_format,
        smallest_batch: int = 1,
        fast_convolutions: bool = False,
    ) -> None:
        self.model = model
        self.images = images
        self.labels = labels
        self.recipe = recipe
        self.inputs = inputs
        self.smallest_batch = smallest_batch
        self.precision = precision
        self.layout = layout
        self.fast_convolutions = fast_convolutions
        self.optimizer = _optimizer(model, recipe)

    def epoch(
        self,
        order: Tensor,
        rates: list[float],
        noise_key: int,
        augmentation: Augmentation | None,
    ) -> float:
        """Train on all images once, in this order; return the mean loss."""
        total = torch.zeros((), device=self.images.device)
        batches = self._batches(order)
        with self._convolutions():
            for indices, rate in zip(batches, rates[: len(batches)], strict=True):
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                batch = indices.to(self.images.device)
                images = self.inputs.add_noise(self.images[batch], batch, noise_key)
                if augmentation is not None:
                    images = augmentation.apply(images, indices)
                loss = self._step(self.inputs.normalize(images), self.labels[batch])
                total += loss * len(batch)
        return total.item() / len(order)

    def restart(self) -> None:
        """Forget the momentum."""
        self.optimizer = _optimizer(self.model, self.recipe)

    def state(self) -> dict[str, Any]:
        """Return the weights and the state of the optimiser, which the next epoch overwrites."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _convolutions(self) -> AbstractContextManager[None]:
        """Return the context in which wide convolutions are computed as the engine says."""
        return winograd.fast_convolutions(self.model) if self.fast_convolutions else nullcontext()

    def _batches(self, order: Tensor) -> list[Tensor]:
        batches = list(order.split(self.recipe.batch_size))
        if len(batches) > 1 and len(batches[-1]) < self.smallest_batch:
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches

    def _step(self, x: Tensor, labels: Tensor) -> Tensor:
        x = x.contiguous(memory_format=self.layout)
        with autocast(self.precision, x.device):
            logits = self.model(x)
        # bfloat16 would round the loss to three digits.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        smoothing = self.recipe.label_smoothing
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        pruning.apply_masks(self.model)
        return loss.detach()


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters, decay = model.parameters(), recipe.weight_decay
    if recipe.optimizer == "adam":
        return Adam(parameters, lr=1.0, weight_decay=decay)
    return SGD(
        parameters,
        lr=1.0,
        momentum=recipe.momentum,
        weight_decay=decay,
        nesterov=recipe.optimizer == "nesterov",
        foreach=True,  # the same numbers from fewer calls: threads share Python's lock
    )


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
        rates: list[float],
        noise_key: int,
        augmentation: Augmentation | None,
    ) -> float:
        """Train on all images once, in this order, at the first of the rates (all are equal)."""
        loss = self.trainer.epoch(self.images, self.labels, order, rates[0], noise_key)
        self.trainer.finish()
        return loss

    def restart(self) -> None:
        """Forget the momentum. No recipe with restarts is trained by this engine."""
        self.trainer.velocity[:] = 0

    def state(self) -> dict[str, Any]:
        """Return the weights and the state of the optimiser, which the next epoch overwrites."""
        return {
            "weights": torch.from_numpy(self.trainer.weights),
            "velocity": torch.from_numpy(self.trainer.velocity),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state` returned."""
        self.trainer.weights[:] = state["weights"].numpy()
        self.trainer.velocity[:] = state["velocity"].numpy()
        self.trainer.finish()
