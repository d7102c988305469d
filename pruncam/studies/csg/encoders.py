"""Trained networks that turn images into points: an autoencoder and a classifier."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruncam import networks
from pruncam._core.seeds import derive, generator
from pruncam.datasets import ImageSet
from pruncam.training import Inputs, Recipe, fit
from pruncam.training.optimizers import Adam

SIDE = 32  # pixels of the images that the networks take
_BATCH = 500  # images encoded at once


def _do_nothing() -> None:
    pass


class Autoencoder(nn.Module):
    """An autoencoder of images (N, C, 32, 32): three convolutions of stride 2, a code, and back."""

    def __init__(self, channels: int, code: int):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 16, code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, 64 * 16),
            nn.ReLU(),
            nn.Unflatten(1, (64, 4, 4)),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(32, 16, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(16, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction of images (N, C, 32, 32)."""
        return self.decoder(self.encoder(x))


def train_autoencoder(
    model: Autoencoder,
    images: ImageSet,
    schedule: tuple[int, float],
    batch: int,
    *,
    seed: int,
    after_epoch: Callable[[], None] = _do_nothing,
) -> float:
    """Train `model` in place to reconstruct images, by Adam; return the last epoch's mean loss.

    The loss is the mean squared error; `schedule` is the number of epochs and the learning rate.
    """
    networks.initialize(model, "pytorch", derive(seed, "weights"))
    epochs, rate = schedule
    optimizer = Adam(model.parameters(), lr=rate)
    loss = 0.0
    for epoch in range(epochs):
        random = generator(seed, "order", epoch)
        order = torch.randperm(len(images), generator=random)
        losses = []
        for rows in order.split(batch):
            x = _autoencoder_input(images.images[rows])
            error = functional.mse_loss(model(x), x)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            losses.append(error.item())
        loss = float(np.mean(losses))
        after_epoch()
    return loss


@torch.no_grad()
def encode(model: Autoencoder, images: ImageSet) -> Tensor:
    """Return the codes (N, code) of images."""
    codes = []
    for batch in images.images.split(_BATCH):
        codes.append(model.encoder(_autoencoder_input(batch)))
    return torch.cat(codes)


def train_classifier(
    model: nn.Module,
    images: ImageSet,
    recipe: Recipe,
    inputs: Inputs,
    *,
    seed: int,
    after_epoch: Callable[[], None] = _do_nothing,
) -> float:
    """Train a classifier of RGB images of 32x32 in place; return the last epoch's mean loss."""
    networks.initialize(model, "pytorch", derive(seed, "weights"))
    images = images.as_rgb().resized(SIDE)
    return fit(
        model,
        images.images,
        images.labels,
        recipe,
        inputs,
        seed=seed,
        after_epoch=after_epoch,
    )


@torch.no_grad()
def features(model: nn.Module, images: ImageSet, inputs: Inputs) -> Tensor:
    """Return the input of a trained classifier's last FC layer, (N, D)."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    batches: list[Tensor] = []

    def record_input(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        batches.append(arguments[0])

    handle = layers[-1].register_forward_pre_hook(record_input)
    try:
        images = images.as_rgb().resized(SIDE)
        for batch in images.images.split(_BATCH):
            model.eval()(inputs.normalize(batch))
    finally:
        handle.remove()
    return torch.cat(batches)


def _autoencoder_input(images: Tensor) -> Tensor:
    """Return uint8 images as input of the autoencoder, (N, C, 32, 32) in [0, 1]."""
    x = images.float() / 255
    size = (SIDE, SIDE)
    if x.shape[-2:] == size:
        return x
    return functional.interpolate(x, size, mode="bilinear", antialias=True)
