"""Images as points: raw pixels, principal components, t-SNE.

The papers do not say which they used. All computations run on one thread and follow one seed.
"""

from threading import Lock
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from pruncam._core.extras import needed_for
from pruncam.datasets import ImageSet

_ONE_AT_A_TIME = Lock()


def pixels(images: ImageSet) -> Tensor:
    """Return raw pixels as integers (N, D), so that distances are exact.

    CSG does not depend on their unit.
    """
    return images.images.flatten(1)


def principal_components(points: Tensor, dimensions: int, seed: int) -> Tensor:
    """Return the first principal components (N, dimensions), or as many as there are.

    They are found by randomised projections.
    """
    with needed_for("finding principal components", "studies"):
        from sklearn.decomposition import PCA  # the import takes seconds

    count = min(dimensions, *points.shape)
    method = PCA(count, svd_solver="randomized", random_state=seed % 2**32)
    return _fit_transform(method, points)


def plane(points: Tensor, seed: int) -> Tensor:
    """Return the t-SNE (van der Maaten and Hinton 2008) of points (N, D) in a plane, (N, 2).

    By scikit-learn, with perplexity 30 (less for fewer than 91 points).
    """
    with needed_for("t-SNE", "studies"):
        from sklearn.manifold import TSNE

    perplexity = min(30, (len(points) - 1) / 3)
    random_state = seed % 2**32
    method = TSNE(
        2,
        init="pca",
        perplexity=perplexity,
        random_state=random_state,
        n_jobs=1,
    )
    return _fit_transform(method, points)


def _fit_transform(method: Any, points: Tensor) -> Tensor:
    """Return the points transformed by a method of scikit-learn, with sums in a fixed order.

    The fixed order requires one thread. The number of threads is a setting of the whole process, so
    embeddings wait for each other: otherwise the first one to finish would restore the threads
    while the others still need one.
    """
    with _ONE_AT_A_TIME, threadpool_limits(1):
        transformed = method.fit_transform(points.float().numpy())
    return torch.from_numpy(np.ascontiguousarray(transformed))
