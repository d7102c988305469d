"""Training of a classifier on images held in memory."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruncam import pruning
from pruncam._core.seeds import derive, generator
from pruncam._core.validation import check_model, check_number
from pruncam._nn.probe import check_fit
from pruncam.training.augmentation import draw_augmentation
from pruncam.training.dropout import seeded_dropout
from pruncam.training.engines import CompiledEngine, Engine, TorchEngine, resolve_engine
from pruncam.training.recipes import Inputs, Recipe


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    inputs: Inputs,
    *,
    seed: int,
    engine: str = "auto",
    after_epoch: Callable[[], None] = lambda: None,
) -> float:
    """Train `model` in place by cross-entropy and return the mean loss of the last epoch.

    Pruned weights stay zero. Batch order, noise, augmentation and dropout depend only on `seed` and
    the epoch; all but dropout are the same on every device and engine. The compiled engine gives
    the same weights to the bit on every processor. Dropout draws from PyTorch's global random
    state, which is restored: models with dropout should not be trained in several threads at once.

    Parameters
    ----------
    model : classifier on the images' device, with or without masks (`pruncam.pruning`)
    images : uint8 tensor of shape (N, C, H, W)
    labels : int64 tensor of shape (N,)
    recipe : optimiser, learning rates and augmentation
    inputs : noise and normalisation
    seed : of batch order, noise, augmentation and dropout
    engine : "torch", "fused" or "auto"
        "torch" runs on the model's device; "fused" is compiled code for the MNIST network, on the
        CPU whatever the model's device; "auto" is the faster one that applies.
    after_epoch : function called after every epoch
        An exception that it raises ends the training.

    Raises
    ------
    ValueError
        If the engine is unknown or cannot train this model, images and labels are not as above or
        do not fit the model, or the training diverges.
    TypeError
        If an argument has the wrong type.
    """
    _check_data(model, images, labels)
    _check_settings(recipe, inputs, seed, after_epoch)
    engine = resolve_engine(model, engine, recipe)
    check_fit(model, inputs.normalize(images[:2]), labels)
    pruning.apply_masks(model)
    engine_class = CompiledEngine if engine == "fused" else TorchEngine
    runner: Engine = engine_class(model, images, labels, recipe, inputs)
    model.train()
    loss = float("nan")
    for epoch, learning_rate in enumerate(recipe.learning_rates):
        order = torch.randperm(len(images), generator=generator(seed, "order", epoch))
        augmentation = draw_augmentation(recipe, len(images), generator(seed, "moves", epoch))
        noise_key = derive(seed, "noise", epoch)
        with seeded_dropout(model, derive(seed, "dropout", epoch)):
            loss = runner.epoch(order, learning_rate, noise_key, augmentation)
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss became {loss} in epoch {epoch + 1}: "
                f"lower the learning rate ({learning_rate})"
            )
        after_epoch()
    return loss


def _check_settings(
    recipe: Recipe,
    inputs: Inputs,
    seed: int,
    after_epoch: object,
) -> None:
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a training.Recipe, got {type(recipe).__name__}")
    if not isinstance(inputs, Inputs):
        raise TypeError(f"inputs must be a training.Inputs, got {type(inputs).__name__}")
    if not callable(after_epoch):
        raise TypeError(f"after_epoch must be a function, got {type(after_epoch).__name__}")
    check_number("seed", seed, whole=True)


def _check_data(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
) -> None:
    check_model(model)
    if not (isinstance(images, Tensor) and isinstance(labels, Tensor)):
        types = f"{type(images).__name__} and {type(labels).__name__}"
        raise TypeError(
            f"training needs images and labels as tensors, got {types}: "
            "convert them with torch.as_tensor"
        )
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
