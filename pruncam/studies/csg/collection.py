"""A data set of the papers, the ways to see it, and what is measured of each; searches and trainings are kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruncam import complexity, models
from pruncam.complexity import CSG, Neighbourhoods
from pruncam.datasets import ImageSet
from pruncam.seeds import derive, generator
from pruncam.store import Step
from pruncam.studies.csg import embeddings
from pruncam.studies.csg.config import (
    AUTOENCODER,
    DEEP_TSNE,
    FLAT,
    INPUTS,
    NETWORK,
    PCA,
    RAW,
    REPEATED,
    TSNE,
    Config,
)
from pruncam.studies.workshop import Workshop

TRAINED, SEARCHED, DRAWN, POOLED = 1, 1, 1, 1  # versions of the steps, raised by hand


@dataclass(frozen=True)
class View:
    """One way to see a split: as which points, from which training, and how many of its images."""

    split: str
    embedding: str
    repeat: int
    images: int


@dataclass(frozen=True, eq=False)
class Collection:
    """A data set of the papers, in whose place `train` and `test` may stand in, and its complexities."""

    config: Config
    paper: str
    train: ImageSet
    test: ImageSet
    workshop: Workshop  # its progress is in pictures
    made: dict[View | tuple[str, int], Any] = field(default_factory=dict, init=False)  # what was measured before

    def pictures(self, split: str) -> ImageSet:
        """One split."""
        return {"train": self.train, "test": self.test}[split]

    def counts(self, split: str) -> Tensor:
        """Images of each class."""
        return torch.bincount(self.pictures(split).labels, minlength=len(self.train.classes))

    # ------------------------------------------------------------------------------------------------ what is measured

    @cached_property
    def views(self) -> list[View]:
        """Raw pixels of each split first, then what else is tried."""
        c, found = self.config, [View(split, RAW, 0, len(self.pictures(split))) for split in ("train", "test")]
        for split in ("train", "test") if self.paper in c.embedded else ():
            whole = len(self.pictures(split))
            few = min(c.tsne_images, whole)
            if few < whole and set(FLAT) & set(c.embeddings):
                found.append(View(split, RAW, 0, few))  # beside t-SNE: CSG depends on how many images there are
            for embedding in c.embeddings:
                repeats = range(c.repeats if embedding in REPEATED else 1)
                found += [View(split, embedding, r, few if embedding in FLAT else whole) for r in repeats]
        return found

    @property
    def trained(self) -> list[tuple[str, int]]:
        """The networks that the views need, with their repeats."""
        needed = {embedding for embedding in self.config.embeddings if self.paper in self.config.embedded}
        needed = [AUTOENCODER] * bool(needed & {AUTOENCODER, DEEP_TSNE}) + [NETWORK] * (NETWORK in needed)
        return [(name, repeat) for name in needed for repeat in range(self.config.repeats)]

    @property
    def pools(self) -> list[tuple[str, int]]:
        """Splits, and the images of a class in pools smaller than the split."""
        splits = {split: int(self.counts(split).min()) for split in ("train", "test")}
        return [(split, size) for split, most in splits.items() for size in self.config.pools if size < most]

    @property
    def work(self) -> int:
        """Pictures whose neighbours are searched."""
        pools = sum(size * len(self.train.classes) for _, size in self.pools)
        return sum(view.images for view in self.views) + pools * self.config.pool_draws

    def draws(self, view: View) -> dict[bool, Tensor]:
        """CSG by k, M and draw, (ks, samples, draws), without volume and, in a plane, with it."""
        if view not in self.made:
            c, done = self.config, []
            inputs = self._made_by(view) | {"ks": c.ks, "samples": c.samples, "draws": c.draws, "draw_seed": c.seed}
            kept = self.workshop.keep(Step("csg-draws", DRAWN, inputs), lambda: self._drawn(view, done.append))
            self.workshop.progress.advance(view.images - sum(done))
            self.made[view] = {name == "weighed": values for name, values in kept.items()}
        return self.made[view]

    def _drawn(self, view: View, after_rows: Callable[[int], None]) -> dict[str, Tensor]:
        c, found, made = self.config, self._search(view, after_rows), {}
        for volume in [False, True][: 1 + (view.embedding in FLAT)]:
            values = []
            for k, samples, draw in product(c.ks, c.samples, range(c.draws)):
                self.workshop.progress.check()
                how = {"k": k, "volume": volume, "seed": self._draw_seed(draw)}
                values.append(found.csg(samples_per_class=samples, **how).value)
            shape = len(c.ks), len(c.samples), c.draws
            made["weighed" if volume else "plain"] = torch.tensor(values, dtype=torch.float64).view(shape)
        return made

    def pool(self, split: str, size: int) -> Tensor:
        """CSG of pools of `size` images of each class, (pool draws,); every pool and its samples are drawn anew."""
        if (split, size) not in self.made:
            c, images = self.config, self.pictures(split)
            inputs = {"images": images.checksum, "size": size, "draws": c.pool_draws, "seed": c.seed}
            step = Step("csg-pools", POOLED, inputs | {"k": c.k, "samples": c.samples_per_class})
            self.made[split, size] = self.workshop.keep(step, lambda: self._pooled(images, size))
            self.workshop.progress.advance(size * len(images.classes) * c.pool_draws)
        return self.made[split, size]

    def _pooled(self, images: ImageSet, size: int) -> Tensor:
        c, values = self.config, []
        for draw in range(c.pool_draws):
            self.workshop.progress.check()
            rows = _balanced(images.labels, size, derive(c.seed, "pool", size, draw))
            how = {"samples_per_class": c.samples_per_class, "k": c.k, "seed": self._draw_seed(draw)}
            values.append(complexity.csg(embeddings.pixels(images)[rows], images.labels[rows], **how).value)
        return torch.tensor(values, dtype=torch.float64)

    def measured(self, split: str) -> list[CSG]:
        """CSG of raw pixels at the study's own settings, one per draw."""
        c, found = self.config, self._raw(split)
        how = {"samples_per_class": c.samples_per_class, "k": c.k}
        return [found.csg(**how, seed=self._draw_seed(draw)) for draw in range(c.draws)]

    def everything(self, split: str) -> CSG:
        """CSG of raw pixels from all images at once: no draw, the same on every machine."""
        return self._raw(split).csg(samples_per_class=None, k=self.config.k)

    def neighbours(self, split: str) -> Tensor:
        """Every image's neighbours by raw pixels, (N, largest k), the nearest first."""
        return self._raw(split).nearest

    # ------------------------------------------------------------------------------------------------- how it is made

    def train_network(self, name: str, repeat: int) -> None:
        """Train the autoencoder or the classifier of a repeat, unless its weights are kept."""
        self.workshop.keep(self._step(name, repeat), partial(self._weights, name, repeat))

    def network(self, name: str, repeat: int) -> nn.Module:
        """The autoencoder or the classifier of a repeat, trained on the first training images."""
        model = self._untrained(name)
        # Past the workshop, as every step inside another: its seconds count once.
        model.load_state_dict(
            self.workshop.store.get(self._step(name, repeat), partial(self._weights, name, repeat)).value
        )
        return model.eval()

    def _untrained(self, name: str) -> nn.Module:
        if name == AUTOENCODER:
            return embeddings.Autoencoder(self.train.images.shape[1], self.config.code)
        return models.cifar_net(len(self.train.classes), width=self.config.width)

    def _weights(self, name: str, repeat: int) -> dict[str, Tensor]:
        c, model = self.config, self._untrained(name)
        how = {"seed": derive(c.seed, name, repeat), "after_epoch": self.workshop.progress.check}
        if name == AUTOENCODER:
            embeddings.train_autoencoder(model, self._studied, c.autoencoding, c.batch, **how)
        else:
            embeddings.train_network(model, self._studied, c.recipe(), INPUTS, **how)
        return model.state_dict()

    @cached_property
    def _studied(self) -> ImageSet:
        """The training images that networks see."""
        return self.train.first(min(self.config.training_images, len(self.train)))

    def _step(self, name: str, repeat: int) -> Step:
        return Step("csg-trained", TRAINED, self._training(name, repeat))

    def points(self, view: View) -> Tensor:
        """The split's images as a view sees them, (N, D)."""
        c, images = self.config, self.pictures(view.split).first(view.images)
        seed = derive(c.seed, view.embedding, view.repeat)
        if view.embedding == PCA:
            return embeddings.principal_components(embeddings.pixels(images), c.pca_dimensions, seed)
        if view.embedding == TSNE:
            # The way of its authors: t-SNE of the first components, which is faster and less noisy.
            components = embeddings.principal_components(embeddings.pixels(images), c.pca_dimensions, seed)
            return embeddings.plane(components, seed)
        if view.embedding in (AUTOENCODER, DEEP_TSNE):
            codes = embeddings.encoded(self.network(AUTOENCODER, view.repeat), images)
            return embeddings.plane(codes, seed) if view.embedding == DEEP_TSNE else codes
        if view.embedding == NETWORK:
            return embeddings.features(self.network(NETWORK, view.repeat), images, INPUTS)
        return embeddings.pixels(images)

    def _raw(self, split: str) -> Neighbourhoods:
        return self._search(self.views[0 if split == "train" else 1])

    def _search(self, view: View, after_rows: Callable[[int], None] = lambda count: None) -> Neighbourhoods:
        """The neighbours of every point of a view, found now or before."""
        labels = self.pictures(view.split).labels[: view.images].numpy()

        def report(count: int) -> None:
            after_rows(count)
            self.workshop.progress.advance(count)
            self.workshop.progress.check()

        def make() -> dict[str, Tensor]:
            most = min(max(self.config.ks), len(labels) - 1)
            found = complexity.neighbourhoods(self.points(view), labels, k=most, after_rows=report)
            kept = {"nearest": found.nearest.int()}
            return kept if found.points is None else kept | {"points": found.points}

        kept = self.workshop.store.get(Step("csg-neighbours", SEARCHED, self._made_by(view)), make).value
        return Neighbourhoods(labels, kept["nearest"], kept.get("points"))

    def _draw_seed(self, draw: int) -> int:
        return derive(self.config.seed, "draw", draw)

    def _made_by(self, view: View) -> dict[str, Any]:
        """Whatever the neighbours of a view depend on."""
        c = self.config
        made = {"images": self.pictures(view.split).first(view.images).checksum, "k": max(c.ks)}
        if view.embedding != RAW:
            made |= {"embedding": view.embedding, "repeat": view.repeat, "seed": c.seed}
        if view.embedding in (PCA, TSNE):
            made["dimensions"] = c.pca_dimensions
        needs = {AUTOENCODER: AUTOENCODER, DEEP_TSNE: AUTOENCODER, NETWORK: NETWORK}.get(view.embedding)
        return made | ({"trained": self._training(needs, view.repeat)} if needs else {})

    def _training(self, name: str, repeat: int) -> dict[str, Any]:
        """Whatever a trained network depends on."""
        c = self.config
        own = (
            {"code": c.code, "schedule": c.autoencoding}
            if name == AUTOENCODER
            else {"width": c.width, "schedule": c.training}
        )
        return own | {
            "network": name,
            "train": self._studied.checksum,
            "batch": c.batch,
            "seed": c.seed,
            "repeat": repeat,
        }


def _balanced(labels: Tensor, size: int, seed: int) -> Tensor:
    """Ascending places of `size` random images of each class."""
    found = []
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero().flatten()
        found.append(members[torch.randperm(len(members), generator=generator(seed, label))[:size]])
    return torch.cat(found).sort().values


def mean_of(measured: list[CSG], name: str) -> np.ndarray:
    """The mean over draws of an array that every CSG has, such as "similarity"."""
    return np.mean([getattr(each, name) for each in measured], axis=0)
