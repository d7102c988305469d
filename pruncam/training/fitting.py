"""Training of a classifier on images held in memory."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruncam import pruning
from pruncam._core.allocator import kept_memory
from pruncam._core.seeds import derive, generator
from pruncam._core.validation import (
    check_function,
    check_layers,
    check_number,
    check_seed,
    check_tensor,
    first_line,
)
from pruncam._nn.operations import BATCH_NORMS
from pruncam._nn.probe import LayerCall, check_fit, profile_forward
from pruncam.training.augmentation import draw_augmentation
from pruncam.training.checkpoint import Checkpoint, checksum
from pruncam.training.dropout import seeded_dropout
from pruncam.training.engines import CompiledEngine, Engine, TorchEngine, continued_engine
from pruncam.training.memory_layout import channels_last
from pruncam.training.precision import resolve_precision
from pruncam.training.recipes import Inputs, Recipe

# Far above the loss of any untrained network on normalised images.
_DIVERGED_LOSS = 1e4
_STATISTICS = ("running_mean", "running_var")


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    inputs: Inputs,
    *,
    seed: int,
    engine: str = "auto",
    precision: str = "float32",
    first_epoch: int = 0,
    checkpoint: Checkpoint | None = None,
    after_epoch: Callable[[], None] = lambda: None,
) -> float:
    """Train `model` in place by cross-entropy and return the mean loss of the last epoch.

    Pruned weights stay zero. Batch order, noise, augmentation and dropout depend only on `seed` and
    the epoch; all but dropout are the same on every device and engine. The compiled engine gives
    the same weights to the bit on every processor. Dropout draws from PyTorch's global random
    state, which is restored: models with dropout should not be trained in several threads at once.
    Where a BatchNorm sees one value per channel and image, a single last image is trained with the
    batch before. A training that continues from a checkpoint ends with the same weights to the bit.

    Parameters
    ----------
    model : classifier on the images' device, with or without masks (`pruncam.pruning`)
        PyTorch trains it with channels last in memory, if its forward pass allows that.
    images : uint8 tensor of shape (N, C, H, W)
    labels : int64 tensor of shape (N,)
    recipe : optimiser, learning rates and augmentation
    inputs : noise and normalisation
    seed : of batch order, noise, augmentation and dropout
    engine : "torch", "winograd", "fused" or "auto"
        "torch" runs on the model's device; "winograd" is the same on a CPU, in float32, with fewer
        multiplications in wide 3x3 convolutions, equal up to rounding; "fused" is compiled code for
        the MNIST network, on the CPU whatever the model's device; "auto" is the fastest one that
        applies, or the one that began the training of the checkpoint.
    precision : "float32", "bfloat16" or "auto"
        "bfloat16" is mixed precision: convolutions and FC layers compute in bfloat16, weights stay
        in float32. "auto" is bfloat16 where the hardware has it (`resolve_precision`), but float32
        if the compiled engine trains the model.
    first_epoch : epoch of the recipe at which to begin, if the model has been trained before
    checkpoint : file from which an interrupted training continues
        The state is written there after an epoch. The file is removed when the training is
        complete.
    after_epoch : function called after every epoch
        A training that continues calls it at once for every epoch that was trained before. An
        exception that it raises ends the training.

    Raises
    ------
    ValueError
        If engine or precision is unknown or cannot train this model, images and labels are not as
        above or do not fit the model, a BatchNorm would see a single value, the checkpoint belongs
        to another training, a weight or a statistic of BatchNorm is not finite, or the training
        diverges.
    OSError
        If the file of the checkpoint cannot be replaced.
    TypeError
        If an argument has the wrong type.
    """
    _check_data(model, images, labels)
    _check_settings(inputs, checkpoint, after_epoch)
    seed = check_seed(seed)
    unfinished = None if checkpoint is None else checkpoint.read()
    begun = None if unfinished is None else unfinished.training.get("engine")
    engine = continued_engine(model, engine, recipe, precision, begun)
    first_epoch = _check_first_epoch(first_epoch, recipe)
    precision = "float32" if engine == "fused" else resolve_precision(precision, images.device)
    examples = inputs.normalize(images[:2])
    check_fit(model, examples, labels)
    smallest_batch = _smallest_batch(model, examples, recipe)
    pruning.apply_masks(model)
    _check_finite(model, "before the training")
    identity: dict[str, Any] = {}
    if checkpoint is not None:
        identity = {
            "recipe": repr(recipe),
            "inputs": repr(inputs),
            "seed": seed,
            "engine": engine,
            "precision": precision,
            "initial weights": checksum([*model.parameters(), *model.buffers()]),
            "images": checksum([images]),
            "labels": checksum([labels]),
        }
        if first_epoch > 0:
            identity["first epoch"] = first_epoch
        if unfinished is not None:
            checkpoint.check_same(unfinished.training, identity)
    _put_into_training_mode(model)
    with kept_memory(), channels_last(model, examples) as layout:
        runner: Engine
        if engine == "fused":
            runner = CompiledEngine(model, images, labels, recipe, inputs)
        else:
            runner = TorchEngine(
                model,
                images,
                labels,
                recipe,
                inputs,
                precision=precision,
                layout=layout,
                smallest_batch=smallest_batch,
                fast_convolutions=engine == "winograd",
            )
        training = _Training(model, runner, recipe, seed, len(images), first_epoch)
        state = None if unfinished is None else unfinished.state
        loss = training.run(state, checkpoint, identity, after_epoch)
    if checkpoint is not None:
        checkpoint.remove()
    return loss


@dataclass(frozen=True)
class _Training:
    """A training of `model` by an engine, on a number of images."""

    model: nn.Module
    engine: Engine
    recipe: Recipe
    seed: int
    image_count: int
    first_epoch: int

    def run(
        self,
        state: dict[str, Any] | None,
        checkpoint: Checkpoint | None,
        identity: dict[str, Any],
        after_epoch: Callable[[], None],
    ) -> float:
        """Train for all epochs, or from `state` for the rest; return the last one's mean loss."""
        epochs, loss = self.first_epoch, math.nan
        if state is not None:
            epochs, loss = state["epochs"], state["loss"]
            self.engine.restore(state["engine"])
            for _ in range(self.first_epoch, epochs):
                after_epoch()
        for epoch in range(epochs, self.recipe.epochs):
            if epoch in self.recipe.restarts:
                self.engine.restart()
            loss = self._epoch(epoch)
            if checkpoint is not None and checkpoint.is_due:
                state = {"epochs": epoch + 1, "loss": loss, "engine": self.engine.state()}
                checkpoint.write(identity, state)
            after_epoch()
        return loss

    def _epoch(self, epoch: int) -> float:
        """Train for one epoch; return the mean loss. Raises ValueError if the training diverges."""
        order = torch.randperm(self.image_count, generator=generator(self.seed, "order", epoch))
        moves = generator(self.seed, "moves", epoch)
        augmentation = draw_augmentation(self.recipe, epoch, self.image_count, moves)
        batches = math.ceil(self.image_count / self.recipe.batch_size)
        rates = self.recipe.rates.batch_rates(epoch, batches)
        noise_key = derive(self.seed, "noise", epoch)
        with seeded_dropout(self.model, derive(self.seed, "dropout", epoch)):
            loss = self.engine.epoch(order, rates, noise_key, augmentation)
        advice = f"lower the learning rate ({max(rates):g})"
        if not loss < _DIVERGED_LOSS:
            raise ValueError(f"the loss became {loss:g} in epoch {epoch + 1}: {advice}")
        _check_finite(self.model, f"after epoch {epoch + 1}: {advice}")
        return loss


def _put_into_training_mode(model: nn.Module) -> None:
    """Put `model` into training mode. Raises ValueError if it has none, as an exported program."""
    try:
        model.train()
    except NotImplementedError as error:
        raise ValueError(
            f"the model cannot be trained ({first_line(error)}): "
            "pass the torch.nn.Module from which it was exported"
        ) from error


def _smallest_batch(model: nn.Module, examples: Tensor, recipe: Recipe) -> int:
    """Return how many images a batch needs at least: two if a BatchNorm sees 1x1 maps or vectors.

    Raises ValueError if there are not as many.
    """
    if not any(isinstance(module, BATCH_NORMS) for module in model.modules()):
        return 1
    calls = profile_forward(model, examples).calls
    single = [call.name for call in calls if _sees_single_values(call)]
    if not single:
        return 1
    if min(len(examples), recipe.batch_size) < 2:
        raise ValueError(
            f"{single[0]} is a BatchNorm that sees one value per channel and image: "
            "training needs at least two images and a batch_size of at least 2"
        )
    return 2


def _sees_single_values(call: LayerCall) -> bool:
    """Return whether a call is that of a BatchNorm in training on maps of one cell."""
    if not isinstance(call.module, BATCH_NORMS) or call.input_shape is None:
        return False
    return call.input_shape[2:].numel() == 1


@torch.no_grad()
def _check_finite(model: nn.Module, moment: str) -> None:
    """Raise ValueError unless all weights and statistics of BatchNorm are finite.

    Other buffers may be infinite, such as the mask of an attention layer.
    """
    statistics = [entry for entry in model.named_buffers() if entry[0].endswith(_STATISTICS)]
    for name, values in (*model.named_parameters(), *statistics):
        if not values.isfinite().all():
            raise ValueError(f"{name} has NaN or infinite values {moment}")


def _check_first_epoch(first_epoch: int, recipe: Recipe) -> int:
    """Return the number of an epoch as an int. Raises TypeError or ValueError if there is none."""
    check_number("first_epoch", first_epoch, whole=True, at_least=0)
    if first_epoch not in range(recipe.epochs):
        raise ValueError(
            f"first_epoch must be below the recipe's number of epochs, {recipe.epochs}, "
            f"got {first_epoch}"
        )
    return int(first_epoch)


def _check_settings(
    inputs: Inputs,
    checkpoint: object,
    after_epoch: object,
) -> None:
    if not isinstance(inputs, Inputs):
        raise TypeError(f"inputs must be a training.Inputs, got {type(inputs).__name__}")
    if not isinstance(checkpoint, Checkpoint | None):
        kind = type(checkpoint).__name__
        raise TypeError(f"checkpoint must be a training.Checkpoint or None, got {kind}")
    if checkpoint is not None:
        checkpoint.check_place()
    check_function("after_epoch", after_epoch, [])


def _check_data(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
) -> None:
    check_layers(model)
    if not (isinstance(images, Tensor) and isinstance(labels, Tensor)):
        types = f"{type(images).__name__} and {type(labels).__name__}"
        raise TypeError(
            f"training needs images and labels as tensors, got {types}: "
            "convert them with torch.as_tensor"
        )
    check_tensor("images", images, "a uint8 tensor (N, C, H, W)")
    check_tensor("labels", labels, "an int64 tensor (N,)")
    if not _is_uint8_batch(images) or not _is_int64_vector(labels):
        raise ValueError(
            "training needs uint8 images (N, C, H, W) and int64 labels (N,), "
            f"got {images.dtype} {tuple(images.shape)} and {labels.dtype} {tuple(labels.shape)}"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"training needs one label per image, got {len(labels)} labels for {len(images)} images"
        )
    if len(images) == 0:
        raise ValueError("training needs at least one image")
    if labels.min() < 0:
        raise ValueError(f"labels must be class indices from 0, got {int(labels.min())}")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "no parameter of the model requires gradients: call model.requires_grad_() to train it"
        )


def _is_uint8_batch(images: Tensor) -> bool:
    return images.dtype == torch.uint8 and images.ndim == 4


def _is_int64_vector(labels: Tensor) -> bool:
    return labels.dtype == torch.int64 and labels.ndim == 1
