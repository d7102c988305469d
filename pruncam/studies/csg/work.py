"""The steps that the CSG study would compute."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from pruncam import complexity, networks
from pruncam.complexity import Neighbourhoods
from pruncam.datasets import ImageSet
from pruncam.studies.csg import embeddings, encoders
from pruncam.studies.csg.config import AUTOENCODER, INPUTS, PLANAR, RAW
from pruncam.studies.csg.embedder import View
from pruncam.studies.csg.experiment import SPLITS, CsgExperiment
from pruncam.studies.work import Sample, Work, searching

_LARGEST = 5000  # images of a sample: what is searched grows with their square
_FEWEST = 10  # images of which t-SNE makes a map
_SMALL_RATE = 1e-4  # a learning rate at which no network diverges in a sample
_BYTES_OF_IMAGE = 60  # in the store, for its nearest neighbours


@dataclass(frozen=True, eq=False)
class CsgSamples:
    """Samples of the work on images of one size."""

    experiment: CsgExperiment

    @cached_property
    def pixels(self) -> Sample:
        """The search for neighbours by raw pixels."""
        return searching(embeddings.pixels(self._images), max(self.experiment.config.ks))

    @cached_property
    def components(self) -> Sample:
        """The search for neighbours in few dimensions."""
        shape = len(self._images), self.experiment.config.pca_dimensions
        points = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        return searching(points, max(self.experiment.config.ks))

    @cached_property
    def draw(self) -> Sample:
        """Draws of samples, as many as there are images in the other samples."""
        return Sample("CSG of a draw", self._draw, 10_000)

    @cached_property
    def plane(self) -> Sample:
        """An embedding in a plane."""
        largest = min(self.experiment.config.tsne_images, _LARGEST)
        return Sample("t-SNE", self._embed, largest, fewest=_FEWEST)

    @cached_property
    def autoencoder(self) -> Sample:
        """One epoch of the autoencoder."""
        batch, count = self.experiment.config.batch, len(self._images)
        return Sample("autoencoder", self._train_autoencoder, count, batch=batch)

    @cached_property
    def classifier(self) -> Sample:
        """One epoch of the network whose features are measured."""
        batch, count = self.experiment.config.batch, len(self._images)
        return Sample("training", self._train_classifier, count, batch=batch)

    @cached_property
    def _images(self) -> ImageSet:
        train = self.experiment.train
        return train.first(min(_LARGEST, len(train)))

    @cached_property
    def _neighbourhoods(self) -> Neighbourhoods:
        images = self._images.first(min(1000, len(self._images)))
        labels = torch.arange(len(images)) % len(images.classes)
        points = embeddings.pixels(images)
        return complexity.neighbourhoods(points, labels, k=max(self.experiment.config.ks))

    def _draw(self, count: int) -> None:
        config = self.experiment.config
        for draw in range(count):
            self._neighbourhoods.csg(
                samples_per_class=config.samples_per_class, k=config.k, seed=draw
            )

    def _embed(self, count: int) -> None:
        points = embeddings.pixels(self.experiment.train.first(count))
        dimensions = min(self.experiment.config.pca_dimensions, count)
        embeddings.plane(embeddings.principal_components(points, dimensions, 1), 1)

    def _train_autoencoder(self, count: int) -> None:
        config, images = self.experiment.config, self._images.first(count)
        model = encoders.Autoencoder(images.images.shape[1], config.code)
        encoders.train_autoencoder(model, images, (1, _SMALL_RATE), config.batch, seed=1)

    def _train_classifier(self, count: int) -> None:
        config, images = self.experiment.config, self._images.first(count)
        model = networks.cifar_net(len(images.classes), width=config.width)
        recipe = replace(config.recipe(), schedule=((1, _SMALL_RATE),))
        encoders.train_classifier(model, images, recipe, INPUTS, seed=1)


def of_experiments(experiments: Iterable[CsgExperiment]) -> list[Work]:
    """Return the steps of all data sets; those with images of one size share their samples."""
    shared: dict[tuple[int, ...], CsgSamples] = {}
    works: list[Work] = []
    for experiment in experiments:
        shape = tuple(experiment.train.images.shape[1:])
        samples = shared.setdefault(shape, CsgSamples(experiment))
        plane = next(iter(shared.values())).plane  # of a few dimensions, whatever the images
        works += _trainings(experiment, samples)
        works += (_of_view(experiment, samples, plane, view) for view in experiment.views)
        works += _pools(experiment, samples)
        works += (_shuffled(experiment, samples, split) for split in SPLITS)
    return works


def _trainings(experiment: CsgExperiment, samples: CsgSamples) -> Iterator[Work]:
    config = experiment.config
    images = min(config.training_images, len(experiment.train))
    epochs, _ = config.autoencoding
    for name, repeat in experiment.trained_networks:
        step = experiment.embedder.training_step(name, repeat)
        if name == AUTOENCODER:
            yield Work(step, samples.autoencoder, epochs * images)
        else:
            yield Work(step, samples.classifier, config.recipe().epochs * images)


def _of_view(experiment: CsgExperiment, samples: CsgSamples, plane: Sample, view: View) -> Work:
    """Return the step of a view's draws; in a plane the embedding takes longest."""
    step, stored = experiment.draws_step(view), view.images * _BYTES_OF_IMAGE
    if view.embedding in PLANAR:
        return Work(step, plane, view.images, stored=stored)
    sample = samples.pixels if view.embedding == RAW else samples.components
    return Work(step, sample, view.images**2 / sample.largest, stored=stored)


def _pools(experiment: CsgExperiment, samples: CsgSamples) -> Iterator[Work]:
    config = experiment.config
    classes = len(experiment.train.classes)
    pools = [(pool, "own") for pool in experiment.pools]
    pools += [(pool, "shuffled") for pool in experiment.shuffled_pools]
    for (split, size), labels in pools:
        searched = classes * min(size, config.samples_per_class)
        amount = config.pool_draws * searched * size * classes / samples.pixels.largest
        step = experiment.pool_step(split, size, labels=labels)
        yield Work(step, samples.pixels, amount, config.pool_draws)


def _shuffled(experiment: CsgExperiment, samples: CsgSamples, split: str) -> Work:
    draws = experiment.config.draws * len(experiment.config.tried_settings)
    return Work(experiment.shuffled_step(split), samples.draw, draws)
