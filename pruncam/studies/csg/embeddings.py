"""Pictures as points: pixels as they are, principal components, t-SNE, an autoencoder's code, a network's features.

None of the papers says which it took. Everything here runs on one thread and follows one seed.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruncam import models
from pruncam.datasets import ImageSet
from pruncam.seeds import derive, generator
from pruncam.training import Inputs, Recipe, fit

SIDE = 32  # of the pictures that the networks take
_BATCH = 500  # pictures that are encoded at once
_ALONE = Lock()


def pixels(images: ImageSet) -> Tensor:
    """Raw pixels as whole numbers (N, D), so that distances are exact; CSG does not depend on their unit."""
    return images.images.flatten(1)


def principal_components(points: Tensor, dimensions: int, seed: int) -> Tensor:
    """The first principal components (N, dimensions), as many as there are; found from random projections."""
    from sklearn.decomposition import PCA  # here: the import alone takes seconds

    count = min(dimensions, *points.shape)
    return _fitted(PCA(count, svd_solver="randomized", random_state=seed % 2**32), points)


def plane(points: Tensor, seed: int) -> Tensor:
    """t-SNE (van der Maaten and Hinton 2008) of points (N, D) in a plane (N, 2), perplexity 30, by scikit-learn."""
    from sklearn.manifold import TSNE

    perplexity = min(30, (len(points) - 1) / 3)
    return _fitted(TSNE(2, init="pca", perplexity=perplexity, random_state=seed % 2**32, n_jobs=1), points)


def _fitted(method: Any, points: Tensor) -> Tensor:
    """What scikit-learn's `method` makes of the points, always summed up in the same order.

    That wants one thread. How many there are is a setting of the process, so embeddings wait for each other: who ended
    first would hand the threads back while the others still count on one.
    """
    from threadpoolctl import threadpool_limits

    with _ALONE, threadpool_limits(1):
        return torch.from_numpy(np.ascontiguousarray(method.fit_transform(points.float().numpy())))


class Autoencoder(nn.Module):
    """Three convolutions of stride 2, a code, and the way back, for pictures of 32x32 pixels."""

    def __init__(self, channels: int, code: int):
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(channels, 16, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(64 * 16, code)),
        )
        self.decoder = nn.Sequential(
            *(nn.Linear(code, 64 * 16), nn.ReLU(), nn.Unflatten(1, (64, 4, 4))),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(64, 32, 3, padding=1), nn.ReLU()),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(32, 16, 3, padding=1), nn.ReLU()),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(16, channels, 3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def train_autoencoder(
    model: Autoencoder,
    images: ImageSet,
    schedule: tuple[int, float],
    batch: int,
    *,
    seed: int,
    after_epoch: Callable[[], None] = lambda: None,
) -> float:
    """Train `model` in place to give back its input (mean squared error, Adam); returns the last epoch's mean loss."""
    models.initialize(model, "pytorch", derive(seed, "weights"))
    epochs, rate = schedule
    optimizer, pictures, loss = torch.optim.Adam(model.parameters(), lr=rate), images.images, 0.0
    for epoch in range(epochs):
        order, losses = torch.randperm(len(pictures), generator=generator(seed, "order", epoch)), []
        for rows in order.split(batch):
            x = _input(pictures[rows])
            error = functional.mse_loss(model(x), x)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            losses.append(error.item())
        loss = float(np.mean(losses))
        after_epoch()
    return loss


@torch.no_grad()
def encoded(model: Autoencoder, images: ImageSet) -> Tensor:
    """The codes (N, code) of pictures."""
    return torch.cat([model.encoder(_input(part)) for part in images.images.split(_BATCH)])


def train_network(
    model: nn.Module,
    images: ImageSet,
    recipe: Recipe,
    inputs: Inputs,
    *,
    seed: int,
    after_epoch: Callable[[], None] = lambda: None,
) -> float:
    """Train a classifier in place on pictures in three channels of 32x32; returns the last epoch's mean loss."""
    models.initialize(model, "pytorch", derive(seed, "weights"))
    ready = images.coloured().resized(SIDE)
    return fit(model, ready.images, ready.labels, recipe, inputs, seed=seed, after_epoch=after_epoch)


@torch.no_grad()
def features(model: nn.Module, images: ImageSet, inputs: Inputs) -> Tensor:
    """What a trained network's last FC layer is given, (N, D)."""
    (last,) = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1:]
    found = []
    handle = last.register_forward_pre_hook(lambda layer, given: found.append(given[0]))
    try:
        ready = images.coloured().resized(SIDE)
        for part in ready.images.split(_BATCH):
            model.eval()(inputs.normalised(part))
    finally:
        handle.remove()
    return torch.cat(found)


def _input(pictures: Tensor) -> Tensor:
    """uint8 pictures as the autoencoder takes them: in [0, 1], 32x32."""
    x = pictures.float() / 255
    return (
        x if x.shape[-2:] == (SIDE, SIDE) else functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
    )
