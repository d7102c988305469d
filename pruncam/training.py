"""Training: recipes, the inputs a network sees, and one function that fits a classifier held in memory."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruncam import fused, pruning
from pruncam.choices import check_choice, check_model, check_number, is_number, shown
from pruncam.datasets import noise
from pruncam.forward import as_evaluated, check_fit, first_logits
from pruncam.seeds import derive, generator

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)

ENGINES = ("auto", "torch", "fused")
OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the learning rate falls in steps.

    `schedule` holds (epochs, learning rate) pairs, in order: ((8, 0.01), (2, 0.001)) is ten epochs. `optimizer` is
    "sgd", with momentum, or "adam", which has none. `shift` pads an image with so many black pixels and crops it
    anywhere to its size, `mirror` turns it from left to right half of the time: both anew in every epoch.
    """

    schedule: tuple[tuple[int, float], ...]
    batch_size: int
    momentum: float = 0.9
    weight_decay: float = 0.0
    optimizer: str = "sgd"
    shift: int = 0
    mirror: bool = False

    def __post_init__(self):
        phases = self.schedule
        if not isinstance(phases, tuple | list) or not phases or not all(_is_phase(phase) for phase in phases):
            raise ValueError(
                "a schedule is (epochs, learning rate) pairs, both above 0 and epochs whole, "
                f"such as ((8, 0.01), (2, 0.001)), got {shown(phases)}"
            )
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_number("batch_size", self.batch_size, whole=True, at_least=1)
        check_number("shift", self.shift, whole=True, at_least=0)
        if not isinstance(self.mirror, bool):
            raise TypeError(f"mirror must be True or False, got {shown(self.mirror)}")
        check_number("momentum", self.momentum)
        check_number("weight_decay", self.weight_decay)
        if not (0 <= self.momentum < 1 and 0 <= self.weight_decay < math.inf):
            raise ValueError(
                f"momentum must be in [0, 1) and weight_decay not negative, got {self.momentum}, {self.weight_decay}"
            )

    @property
    def learning_rates(self) -> list[float]:
        """The learning rate of each epoch."""
        return [rate for epochs, rate in self.schedule for _ in range(epochs)]


def _is_phase(phase: object) -> bool:
    """Whether this is one (epochs, learning rate) pair of a schedule."""
    if not isinstance(phase, tuple | list) or len(phase) != 2:
        return False
    epochs, rate = phase
    return is_number(epochs, whole=True) and epochs >= 1 and is_number(rate) and 0 < rate < math.inf


@dataclass(frozen=True)
class Inputs:
    """How uint8 images become a network's input: background noise, then [0, 1], then normalisation.

    `noise` is the largest grey level that a zero pixel may get (51 is a fifth of the range), 0 for none.
    """

    noise: int = 0
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        check_number("noise", self.noise, whole=True)
        check_number("mean", self.mean)
        check_number("std", self.std)
        if not (0 <= self.noise <= 255 and 0 < self.std < math.inf and math.isfinite(self.mean)):
            raise ValueError(
                "noise must be a grey level from 0 to 255, mean finite and std positive, "
                f"got {self.noise}, {self.mean}, {self.std}"
            )

    def noisy(self, images: Tensor, indices: Tensor, key: int) -> Tensor:
        """The images with the noise of stream `key`, still uint8."""
        return noise.background(images, indices, key=key, level=self.noise)

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 images as float32 network input."""
        return images.float() * self.scale + self.offset

    @property
    def scale(self) -> float:
        return 1 / (255 * self.std)

    @property
    def offset(self) -> float:
        return -self.mean / self.std


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
    """Train `model` in place by cross-entropy; pruned weights stay zero. Returns the last epoch's mean loss.

    Batch order, noise and dropout are functions of `seed` and the epoch alone, the first two on every device and
    engine; the fused engine gives the same weights to the bit on every processor. Dropout draws from PyTorch's global
    random state, which is put back: models that have it should not be trained in several threads at once.

    Parameters
    ----------
    model : classifier on the images' device, with or without masks (`pruncam.pruning`)
    images : uint8 tensor of shape (N, C, H, W); labels : int64 tensor of shape (N,)
    engine : "torch" (on the model's device), "fused" (the MNIST network, compiled; on the processor, whatever the
        model's device) or "auto", the faster that applies
    after_epoch : called after every epoch; what it raises ends the training

    Raises
    ------
    ValueError
        If the engine is unknown or cannot train this model, images and labels are not as above or do not fit the
        model, or the training diverges.
    TypeError
        If the model is no network, or images or labels are no tensors.
    """
    _check(model, images, labels)
    if not isinstance(recipe, Recipe) or not isinstance(inputs, Inputs) or not callable(after_epoch):
        got = ", ".join(type(given).__name__ for given in (recipe, inputs, after_epoch))
        raise TypeError(f"training needs a Recipe, an Inputs and a function to call after every epoch, got {got}")
    check_number("seed", seed, whole=True)
    engine = resolve_engine(model, engine, recipe)
    check_fit(model, inputs.normalised(images[:2]), labels)
    pruning.apply_masks(model)
    epoch = _epoch_function(model, recipe, inputs, engine)
    model.train()
    loss = float("nan")
    for number, learning_rate in enumerate(recipe.learning_rates):
        order = torch.randperm(len(images), generator=generator(seed, "order", number))
        moves = _moves(recipe, len(images), generator(seed, "moves", number))
        with _dropout(model, derive(seed, "dropout", number)):
            loss = epoch(images, labels, order, learning_rate, derive(seed, "noise", number), moves)
        if not math.isfinite(loss):
            raise ValueError(f"the loss became {loss} in epoch {number + 1}: lower the learning rate ({learning_rate})")
        after_epoch()
    return loss


def _check(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    check_model(model)
    if not (isinstance(images, Tensor) and isinstance(labels, Tensor)):
        raise TypeError(
            "training needs images and labels as tensors, "
            f"got {type(images).__name__} and {type(labels).__name__}: convert them with torch.as_tensor"
        )
    if images.ndim == 0 or labels.ndim == 0 or len(images) != len(labels) or len(images) == 0:
        images, labels = torch.atleast_1d(images), torch.atleast_1d(labels)
        raise ValueError(f"training needs as many labels as images and at least one, got {len(images)}, {len(labels)}")
    if images.dtype != torch.uint8 or images.ndim != 4 or labels.dtype != torch.int64 or labels.ndim != 1:
        raise ValueError(
            "training needs uint8 images (N, C, H, W) and int64 labels (N,), "
            f"got {images.dtype} {tuple(images.shape)} and {labels.dtype} {tuple(labels.shape)}"
        )
    if labels.min() < 0:
        raise ValueError(f"labels must be class indices from 0, got {int(labels.min())}")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("the model has nothing to train: its gradients are off (call model.requires_grad_())")


def resolve_engine(model: nn.Module, engine: str, recipe: Recipe) -> str:
    """The engine that `fit` uses for this model and recipe: "fused" or "torch"."""
    check_choice("engine", engine, ENGINES)
    fits = fused.supports(model) and recipe.optimizer == "sgd" and not (recipe.shift or recipe.mirror)
    if engine == "auto":
        return "fused" if fits and fused.available() else "torch"
    if engine == "fused" and not fits:
        raise ValueError(
            "engine 'fused' trains only the MNIST network in float32, by sgd, neither shifted nor mirrored: "
            "use engine 'torch'"
        )
    return engine


@dataclass(frozen=True)
class _Moves:
    """Where each image of an epoch is cropped from the padded one, (N, 2) rows and columns, and which are mirrored."""

    shift: int
    corners: Tensor
    mirrored: Tensor

    def applied(self, images: Tensor, indices: Tensor) -> Tensor:
        """The images (n, C, H, W) of these indices, moved."""
        (height, width), place = images.shape[2:], {"device": images.device}
        padded = functional.pad(images, (self.shift,) * 4)
        across = torch.arange(width, **place).repeat(len(images), 1)
        mirrored = self.mirrored[indices].to(**place)
        across = torch.where(mirrored[:, None], across.flip(1), across)
        corners = self.corners[indices].to(**place)
        rows = corners[:, :1] + torch.arange(height, **place)
        columns = corners[:, 1:] + across
        which = torch.arange(len(images), **place)
        return padded[which[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _moves(recipe: Recipe, count: int, random: torch.Generator) -> _Moves | None:
    """The moves of one epoch; drawn on the processor, so that they are the same on every device."""
    if not (recipe.shift or recipe.mirror):
        return None
    corners = torch.randint(0, 2 * recipe.shift + 1, (count, 2), generator=random)
    mirrored = torch.rand(count, generator=random) < (0.5 if recipe.mirror else 0)
    return _Moves(recipe.shift, corners, mirrored)


@contextmanager
def _dropout(model: nn.Module, seed: int) -> Iterator[None]:
    """PyTorch's random state set to `seed` inside, if the model draws from it, and put back after."""
    if not drops_out(model):
        yield
        return
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def drops_out(model: nn.Module) -> bool:
    """Whether the model leaves out neurons at random while it is trained."""
    return any(isinstance(module, _DROPOUTS) and module.p > 0 for module in model.modules())


def _epoch_function(model, recipe: Recipe, inputs: Inputs, engine: str) -> Callable[..., float]:
    if engine == "fused":
        trainer = fused.Trainer(model, pruning.masks(model), momentum=recipe.momentum, weight_decay=recipe.weight_decay)

        def compiled(images, labels, order, learning_rate, key, _moves) -> float:
            loss = trainer.epoch(
                images, labels, order, batch_size=recipe.batch_size, learning_rate=learning_rate, key=key,
                level=inputs.noise, scale=inputs.scale, offset=inputs.offset,
            )  # fmt: skip
            trainer.finish()
            return loss

        return compiled
    decay = {"lr": 1.0, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adam":
        optimizer = torch.optim.Adam(model.parameters(), **decay)
    else:
        optimizer = torch.optim.SGD(model.parameters(), momentum=recipe.momentum, **decay)

    def eager(images, labels, order, learning_rate, key, moves) -> float:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        return _eager_epoch(model, optimizer, recipe, inputs, images, labels, order, key, moves)

    return eager


def _eager_epoch(model, optimizer, recipe, inputs, images, labels, order, key, moves) -> float:
    total = torch.zeros((), device=images.device)
    for indices in order.split(recipe.batch_size):
        batch = indices.to(images.device)
        pixels = inputs.noisy(images[batch], batch, key)
        x = inputs.normalised(pixels if moves is None else moves.applied(pixels, indices))
        loss = functional.cross_entropy(model(x), labels[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        pruning.apply_masks(model)
        total += loss.detach() * len(batch)
    return total.item() / len(order)


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor, *, batch_size: int = 256) -> float:
    """Percentage of network inputs (N, C, H, W) whose highest logit is that of their label, in [0, 100].

    Raises ValueError or TypeError where inputs, labels and model do not fit each other or a logit is not a number.
    """
    check_model(model)
    check_number("batch_size", batch_size, whole=True, at_least=1)
    if not (isinstance(inputs, Tensor) and isinstance(labels, Tensor)):
        raise TypeError(f"accuracy needs tensors, got {type(inputs).__name__} and {type(labels).__name__}")
    if len(inputs) != len(labels) or len(inputs) == 0:
        raise ValueError(f"accuracy needs as many labels as images and at least one, got {len(inputs)}, {len(labels)}")
    if not inputs.is_floating_point() or labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            "accuracy needs float inputs (N, C, H, W) and class indices (N,), "
            f"got {inputs.dtype} and {labels.dtype} {tuple(labels.shape)}"
        )
    correct = 0
    with as_evaluated(model):
        first_logits(model, inputs[:1])
        for x, y in zip(inputs.split(batch_size), labels.split(batch_size), strict=True):
            logits = model(x)
            if logits.isnan().any():
                raise ValueError("the model's logits are not numbers: there is no accuracy to tell")
            correct += (logits.argmax(1) == y).sum()
    return 100 * int(correct) / len(labels)
