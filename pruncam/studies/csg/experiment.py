"""A data set of the papers, and the CSG of its images as points or in pools; draws are stored."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruncam._core.store import Step
from pruncam.complexity import CSG, Neighbourhoods
from pruncam.datasets import ImageSet
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.csg.config import PLANAR, RAW, SEEDED, CsgConfig
from pruncam.studies.csg.embedder import Embedder, View
from pruncam.studies.csg.neighbour_search import NeighbourSearch
from pruncam.studies.csg.pools import draw_pools, draw_seed, shuffled

# Versions of the steps, raised by hand when their code changes the result.
_DRAWS_VERSION, _POOLS_VERSION, _SHUFFLED_VERSION = 2, 2, 1

SPLITS = ("train", "test")
_STORED_NAMES = {"plain": False, "weighed": True}  # of CSG without and with volume


@dataclass(frozen=True, eq=False)
class CsgExperiment:
    """A data set of the papers and its complexities.

    `dataset` is the paper's name; other images may stand in for it. The progress of the trainer
    counts images whose neighbours are searched.
    """

    config: CsgConfig
    dataset: str
    train: ImageSet
    test: ImageSet
    trainer: CachedTrainer
    # What was measured before, by view, or by split and more.
    _measured: dict[Any, Any] = field(default_factory=dict, init=False)

    @cached_property
    def embedder(self) -> Embedder:
        """The embeddings of this data set."""
        return Embedder(self.config, self.train, self.trainer)

    @cached_property
    def search(self) -> NeighbourSearch:
        """The searches for neighbours in this data set."""
        return NeighbourSearch(self.embedder, max(self.config.ks), self.trainer)

    def images(self, split: str) -> ImageSet:
        """Return a split."""
        return {"train": self.train, "test": self.test}[split]

    def class_counts(self, split: str) -> Tensor:
        """Return the number of images of each class, (K,)."""
        labels = self.images(split).labels
        return torch.bincount(labels, minlength=len(self.train.classes))

    def images_per_class(self, split: str) -> int:
        """Return the mean number of images of a class, rounded."""
        return round(self.class_counts(split).float().mean().item())

    # ------------------------------------------------------------ what is measured

    @property
    def embeddings(self) -> tuple[str, ...]:
        """The embeddings that are tried on this data set, beside raw pixels."""
        return self.config.embeddings if self.dataset in self.config.embedded else ()

    @cached_property
    def views(self) -> list[View]:
        """All representations: raw pixels of each split first, then the embeddings."""
        views = []
        for split in SPLITS:
            total = len(self.images(split))
            views.append(View(split, RAW, 0, total))
        for split in SPLITS:
            views += self._embedded_views(split)
        return views

    def _embedded_views(self, split: str) -> list[View]:
        total = len(self.images(split))
        few = min(self.config.tsne_images, total)
        views = []
        if few < total and set(PLANAR) & set(self.embeddings):
            # To compare with t-SNE, since CSG depends on the number of images.
            views.append(View(split, RAW, 0, few))
        for embedding in self.embeddings:
            repeats = self.config.repeats if embedding in SEEDED else 1
            count = few if embedding in PLANAR else total
            views += [View(split, embedding, repeat, count) for repeat in range(repeats)]
        return views

    @property
    def trained_networks(self) -> list[tuple[str, int]]:
        """The networks that the views need, with the number of each training."""
        return self.embedder.networks(set(self.embeddings))

    @property
    def pools(self) -> list[tuple[str, int]]:
        """Splits, and the numbers of images per class of pools smaller than the split."""
        pools = []
        for split in SPLITS:
            smallest_class = int(self.class_counts(split).min())
            sizes = {size for size in self.config.pools if size < smallest_class}
            if self.common_pool < smallest_class:
                sizes.add(self.common_pool)
            pools += [(split, size) for size in sorted(sizes)]
        return pools

    @property
    def common_pool(self) -> int:
        """The number of images per class at which the splits are compared: the smaller split's."""
        return min(self.images_per_class(split) for split in SPLITS)

    @property
    def searched_images(self) -> int:
        """The number of images whose neighbours are searched."""
        classes = len(self.train.classes)
        in_views = sum(view.images for view in self.views)
        in_pools = sum(size * classes for _, size in [*self.pools, *self.shuffled_pools])
        return in_views + in_pools * self.config.pool_draws

    # ------------------------------------------------------------ CSG of views

    def draws(self, view: View) -> dict[bool, Tensor]:
        """Return CSG by k, M and draw, (ks, samples, draws): without volume (False) and with it.

        The volume is used in a plane only.
        """
        if view not in self._measured:
            searched: list[int] = []
            draw = partial(self._draw, view, searched.append)
            stored = self.trainer.cached(self.draws_step(view), draw)
            self.trainer.progress.advance(view.images - sum(searched))
            self._measured[view] = {_STORED_NAMES[name]: csg for name, csg in stored.items()}
        return self._measured[view]

    def draws_step(self, view: View) -> Step:
        """Return the step of the draws of a view."""
        return Step("csg-draws", _DRAWS_VERSION, self._draws_inputs(view))

    def shuffled_step(self, split: str) -> Step:
        """Return the step of the draws with shuffled labels."""
        return Step("csg-shuffled", _SHUFFLED_VERSION, self._draws_inputs(self._raw_view(split)))

    def _draws_inputs(self, view: View) -> dict[str, Any]:
        """Return everything the draws of a view depend on."""
        return {
            **self.search.inputs(self._images_of(view), view),
            "ks": self.config.ks,
            "samples": self.config.samples,
            "draws": self.config.draws,
            "draw_seed": self.config.seed,
        }

    def _draw(
        self,
        view: View,
        after_rows: Callable[[int], None],
    ) -> dict[str, Tensor]:
        """Return the draws of a view by `_STORED_NAMES`."""
        images = self._images_of(view)
        neighbourhoods = self.search.neighbourhoods(images, view, after_rows)
        stored = {"plain": self._draw_all(neighbourhoods, volume=False)}
        if view.embedding in PLANAR:
            stored["weighed"] = self._draw_all(neighbourhoods, volume=True)
        return stored

    def _draw_all(self, neighbourhoods: Neighbourhoods, *, volume: bool) -> Tensor:
        config = self.config
        values = []
        draws = range(config.draws)
        for k, samples, draw in product(config.ks, config.samples, draws):
            self.trainer.progress.check()
            csg = neighbourhoods.csg(
                samples_per_class=samples,
                k=k,
                volume=volume,
                seed=draw_seed(config, draw),
            )
            values.append(csg.value)
        shape = len(config.ks), len(config.samples), config.draws
        return torch.tensor(values, dtype=torch.float64).view(shape)

    def shuffled_draws(self, split: str) -> Tensor:
        """Return the CSG of raw pixels with shuffled labels, (tried settings, draws).

        Each draw shuffles the labels anew: what CSG is where labels tell nothing.
        """
        if (split, "shuffled") not in self._measured:
            draw = partial(self._draw_shuffled, split)
            self._measured[split, "shuffled"] = self.trainer.cached(self.shuffled_step(split), draw)
        return self._measured[split, "shuffled"]

    def _draw_shuffled(self, split: str) -> Tensor:
        config, neighbourhoods = self.config, self._raw(split)
        by_draw = []
        for draw in range(config.draws):
            self.trainer.progress.check()
            seed = draw_seed(config, draw)
            labels = shuffled(self.images(split).labels, seed).numpy()
            relabelled = replace(neighbourhoods, labels=labels)
            csgs = [
                relabelled.csg(samples_per_class=samples, k=k, seed=seed)
                for k, samples in config.tried_settings
            ]
            by_draw.append([csg.value for csg in csgs])
        return torch.tensor(by_draw, dtype=torch.float64).T.contiguous()

    def raw_csgs(self, split: str) -> list[CSG]:
        """Return the CSGs of raw pixels at the study's own settings, one per draw."""
        neighbourhoods = self._raw(split)
        return [
            neighbourhoods.csg(
                samples_per_class=self.config.samples_per_class,
                k=self.config.k,
                seed=draw_seed(self.config, draw),
            )
            for draw in range(self.config.draws)
        ]

    def csg_of_all(self, split: str) -> CSG:
        """Return the CSG of raw pixels from all images: without a draw, so equal everywhere."""
        return self._raw(split).csg(samples_per_class=None, k=self.config.k)

    def raw_neighbours(self, split: str) -> Tensor:
        """Return every image's neighbours by raw pixels, (N, largest k), the nearest first."""
        return self._raw(split).neighbours.indices

    def _raw(self, split: str) -> Neighbourhoods:
        view = self._raw_view(split)
        return self.search.neighbourhoods(self._images_of(view), view)

    def _raw_view(self, split: str) -> View:
        return self.views[SPLITS.index(split)]

    def _images_of(self, view: View) -> ImageSet:
        return self.images(view.split).first(view.images)

    # ------------------------------------------------------------ CSG of pools

    @property
    def shuffled_pools(self) -> list[tuple[str, int]]:
        """The pools that are measured with shuffled labels too: those that compare the splits."""
        return [(split, size) for split, size in self.pools if size == self.common_pool]

    def pool(self, split: str, size: int, *, labels: str = "own") -> Tensor:
        """Return the CSG of pools of `size` images per class, (pool draws,).

        Every pool, and its samples, are another draw; `labels` are the images' "own" or
        "shuffled".
        """
        if (split, size, labels) not in self._measured:
            config, images = self.config, self.images(split)
            step = self.pool_step(split, size, labels=labels)
            check = self.trainer.progress.check
            draw = partial(draw_pools, config, images, size, labels, check)
            self._measured[split, size, labels] = self.trainer.cached(step, draw)
            drawn_images = size * len(images.classes) * config.pool_draws
            self.trainer.progress.advance(drawn_images)
        return self._measured[split, size, labels]

    def pool_step(self, split: str, size: int, *, labels: str = "own") -> Step:
        """Return the step of the CSG of pools."""
        inputs = {
            "images": self.images(split).checksum,
            "size": size,
            "draws": self.config.pool_draws,
            "seed": self.config.seed,
            "k": self.config.k,
            "samples": self.config.samples_per_class,
            "labels": labels,
        }
        return Step("csg-pools", _POOLS_VERSION, inputs)


def mean_over_draws(csgs: list[CSG], name: str) -> np.ndarray:
    """Return the mean over draws of an array that every CSG has, such as "similarity"."""
    arrays = [getattr(csg, name) for csg in csgs]
    return np.mean(arrays, axis=0)
