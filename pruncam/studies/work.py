"""The steps that a study would compute, with the amount of work in each; nothing is computed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from pruncam import cams, complexity, networks, scoring
from pruncam._core.store import Step
from pruncam.datasets import ImageSet
from pruncam.studies import diagnostics, readings
from pruncam.studies.experiment import BASELINE, Experiment, Variant
from pruncam.training import fit, predictions

ExperimentType = TypeVar("ExperimentType", bound=Experiment)

_SEARCHED = 5000  # images among which a sample searches: enough, and few to prepare
_BYTES_OF_ROW = 70  # of a table of scores in the store, by image, model and CAM method
_SMALL_RATE = 1e-4  # a learning rate at which no network diverges in a sample


@dataclass(frozen=True, eq=False)
class Sample:
    """A small part of a study's work, to be timed.

    `run` does it for a number of images, from `fewest` to `largest`; its time is that of a start
    and grows with their number. `batch` is the number of images that are computed at once.
    """

    title: str
    run: Callable[[int], Any]
    largest: int
    fewest: int = 2
    batch: int = 1


@dataclass(frozen=True)
class Work:
    """A step that a study would compute.

    Parameters
    ----------
    step : the step, by which the store tells whether it is finished
    sample : work of the same kind, which can be timed
    amount : number of images of the sample that take as long as the step
    starts : how often it does what a sample does once, whatever the number of images
    epochs : of a training
    stored : bytes of the result in the store, about
    """

    step: Step
    sample: Sample
    amount: float
    starts: float = 1
    epochs: int = 0
    stored: int = 0


def searching(points: Tensor, k: int) -> Sample:
    """Return the search for the k nearest neighbours of images among the first few thousand."""
    points = points[:_SEARCHED]
    labels = torch.arange(len(points)) % 2  # the time does not depend on them

    def search(count: int) -> None:
        complexity.csg(points, labels, samples_per_class=max(count // 2, 1), k=k)

    return Sample("search for neighbours", search, len(points))


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of the work on one network and its images; the network is not trained."""

    experiment: Experiment

    @cached_property
    def training(self) -> Sample:
        """One epoch."""
        batch = self.experiment.recipe("finetuning").batch_size
        return Sample("training", self._train, len(self.experiment.train), batch=batch)

    @cached_property
    def scoring(self) -> Sample:
        """Heatmaps and scores of two networks."""
        return Sample("heatmaps and scores", self._score, len(self.experiment.test))

    @cached_property
    def classifying(self) -> Sample:
        """The classes that a network predicts."""
        return Sample("classification", self._classify, len(self.experiment.test))

    @cached_property
    def network_bytes(self) -> int:
        """The size of the weights."""
        tensors = self.experiment.network().state_dict().values()
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def network(self, seed: int = 1) -> nn.Module:
        """Return the network with random weights, in eval mode."""
        model = networks.initialize(self.experiment.network(), "pytorch", seed)
        return model.to(self.experiment.trainer.device).eval()

    def _train(self, count: int) -> None:
        experiment = self.experiment
        images = experiment.train.first(count)
        recipe = replace(experiment.recipe("finetuning"), schedule=((1, _SMALL_RATE),))
        fit(
            self.network().train(),
            images.images,
            images.labels,
            recipe,
            experiment.inputs,
            seed=1,
            engine=experiment.trainer.engine,
            precision=experiment.trainer.precision,
        )

    def _score(self, count: int) -> None:
        experiment = self.experiment
        scoring.score_many(
            self.network(1),
            {"other": self.network(2)},
            experiment.test.first(count),
            methods=experiment.config.methods,
            target_layer=experiment.spec.target_layer,
            transform=experiment.prepare,
            progress=False,
        )

    def _classify(self, count: int) -> None:
        experiment = self.experiment
        images = experiment.test.first(count).images
        predictions(self.network(), images, prepare=experiment.network_input, batch_size=50)


@dataclass(frozen=True, eq=False)
class ExperimentWork(Generic[ExperimentType]):
    """The work of an experiment, measured by samples of a network of the same size."""

    experiment: ExperimentType
    samples: Samples

    def trainings(self) -> list[Work]:
        """Return the training of the baseline, unless it is shipped, and of all variants."""
        experiment = self.experiment
        finetuning = experiment.recipe("finetuning").epochs
        variants = [
            self.training(experiment.step(variant), finetuning)
            for variant in experiment.trained_variants
        ]
        return variants if experiment.is_shipped else [self.baseline(), *variants]

    def baseline(self) -> Work:
        """Return the training of the baseline."""
        return self.training(self.experiment.step(BASELINE), self.experiment.baseline_epochs)

    def training(self, step: Step, epochs: int, copies: int = 1) -> Work:
        """Return a training on the training images, or on several copies of them."""
        return Work(
            step,
            self.samples.training,
            amount=copies * epochs * len(self.experiment.train),
            epochs=epochs,
            stored=2 * self.samples.network_bytes,  # a weight may have a mask
        )

    def scorings(self) -> list[Work]:
        """Return the scores of all variants on the test images."""
        test = self.experiment.test
        return [
            self.scoring(self.experiment.scores_step(group), len(group), test)
            for group in self.experiment.groups()
        ]

    def shuffled(self) -> Work:
        """Return the scores of the baseline's maps of other images."""
        return self.scoring(self.experiment.shuffled_step, 1, self.experiment.test)

    def scoring(self, step: Step, models: int, images: ImageSet) -> Work:
        """Return the scores of some models beside the baseline."""
        rows = models * len(images) * len(self.experiment.config.methods)
        runs = (models + 1) / 2  # the sample has two networks
        stored = rows * _BYTES_OF_ROW
        return Work(step, self.samples.scoring, len(images) * runs, runs, stored=stored)

    def explaining(self, step: Step, models: int, images: ImageSet) -> Work:
        """Return a measurement of the heatmaps of some models, which keeps a row per model."""
        runs = models / 2
        return Work(step, self.samples.scoring, len(images) * runs, runs)

    def object_hits(self) -> list[Work]:
        """Return the hits of all models on the object, if its pixels are known."""
        images = self.experiment.few_test_images()
        if images.objects is None:
            return []
        step = diagnostics.hits_step(self.experiment)
        return [self.explaining(step, 1 + len(self.experiment.variants), images)]

    def readings(self, variants: Sequence[Variant]) -> list[Work]:
        """Return the scores of some variants at every reading of the network."""
        experiment, network = self.experiment, self.samples.network()
        images = experiment.few_test_images()
        image = experiment.network_input(images.images[:1])
        configured = experiment.spec.target_layer or cams.default_layer(network, image)
        layers = dict.fromkeys([*cams.readings(network, image).values(), configured])
        return [
            self.scoring(readings.step(experiment, variants, layer), len(variants), images)
            for layer in layers
        ]

    def times(self, rules: Iterable[str]) -> list[Work]:
        """Return the times of a forward pass of the models of some rules."""
        experiment = self.experiment
        passes = diagnostics.TIMED_PASSES + 1  # one to warm up
        images = passes * min(diagnostics.TIMED_IMAGES, len(experiment.test))
        return [
            Work(
                diagnostics.times_step(experiment, rule),
                self.samples.classifying,
                amount=images * (1 + len(experiment.of_rule(rule))),
                starts=1 + len(experiment.of_rule(rule)),
            )
            for rule in rules
        ]


def of_experiments(experiments: Iterable[Experiment]) -> list[ExperimentWork]:
    """Return the work of experiments; those with networks of one size share their samples."""
    shared: dict[tuple[int, ...], Samples] = {}
    works = []
    for experiment in experiments:
        new = Samples(experiment)
        size = (new.network_bytes, *experiment.test.images.shape[1:])
        works.append(ExperimentWork(experiment, shared.setdefault(size, new)))
    return works
