"""CSG of pools: subsets with the same number of images of every class."""

from collections.abc import Callable

import torch
from torch import Tensor

from pruncam import complexity
from pruncam._core.seeds import derive, generator
from pruncam.datasets import ImageSet
from pruncam.studies.csg.config import CsgConfig
from pruncam.studies.csg.embeddings import pixels


def draw_pools(
    config: CsgConfig,
    images: ImageSet,
    size: int,
    labels: str,
    before_draw: Callable[[], None],
) -> Tensor:
    """Return the CSG of pools of `size` images per class, (pool draws,), by raw pixels.

    `labels` are the images' "own" or "shuffled" within each pool. `before_draw` is called before
    each; an error that it raises ends the computation.
    """
    points = pixels(images)
    values = []
    for draw in range(config.pool_draws):
        before_draw()
        seed = derive(config.seed, "pool", size, draw)
        rows = _balanced_rows(images.labels, size, seed)
        pool_labels = images.labels[rows]
        if labels == "shuffled":
            pool_labels = shuffled(pool_labels, seed)
        csg = complexity.csg(
            points[rows],
            pool_labels,
            samples_per_class=config.samples_per_class,
            k=config.k,
            seed=draw_seed(config, draw),
        )
        values.append(csg.value)
    return torch.tensor(values, dtype=torch.float64)


def shuffled(labels: Tensor, seed: int) -> Tensor:
    """Return the labels (N,) in a random order."""
    order = torch.randperm(len(labels), generator=generator(seed, "shuffled labels"))
    return labels[order]


def draw_seed(config: CsgConfig, draw: int) -> int:
    """Return the seed of a draw of samples."""
    return derive(config.seed, "draw", draw)


def _balanced_rows(labels: Tensor, size: int, seed: int) -> Tensor:
    """Return the ascending indices of `size` random images of each class."""
    rows = []
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator(seed, label))
        rows.append(members[order[:size]])
    return torch.cat(rows).sort().values
