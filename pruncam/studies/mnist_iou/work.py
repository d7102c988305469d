"""The steps that the MNIST IoU study would compute."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from torch import nn

from pruncam import networks
from pruncam.studies.mnist_iou import readings
from pruncam.studies.mnist_iou.level_scores import LevelScorer
from pruncam.studies.mnist_iou.lottery_run import LotteryRun
from pruncam.studies.work import Sample, Work
from pruncam.training import fit

_NETWORK_BYTES = 20_000  # of a model of a level with its masks, in the store
_READING_SHARE = 0.8  # of the time of a level's scores that another reading takes


def of_runs(runs: Sequence[LotteryRun], of_thesis: Sequence[LotteryRun]) -> list[Work]:
    """Return the steps of all runs, and of every reading for those of the thesis."""
    first = runs[0]
    batch = first.config.recipe("retraining").batch_size
    training = Sample("training", partial(_train, first), len(first.train), batch=batch)
    scoring = Sample("heatmaps and scores", partial(_score, first), len(first.test))
    works = [work for run in runs for work in _of_run(run, training, scoring)]
    for reading in readings.possible_readings(first):
        for run in of_thesis:
            levels = _READING_SHARE * (run.config.levels + 1)
            step = readings.step(run, reading)
            works.append(Work(step, scoring, levels * len(run.test), levels))
    return works


def _of_run(run: LotteryRun, training: Sample, scoring: Sample) -> Iterator[Work]:
    """Iterate over the trainings and scores of all levels of a run."""
    epochs = run.config.recipe("pretraining").epochs
    steps = [(run.pretraining_step, epochs)]
    epochs = run.config.recipe("retraining").epochs
    levels = range(run.config.levels + 1)
    steps += [(step, epochs) for step in map(run.level_step, levels) if step is not None]
    for step, epochs in steps:
        amount = epochs * len(run.train)
        yield Work(step, training, amount, epochs=epochs, stored=_NETWORK_BYTES)
    for level in levels:
        yield Work(LevelScorer(run).step(level), scoring, len(run.test))


def _network(run: LotteryRun) -> nn.Module:
    network = networks.initialize(networks.mnist_net(), run.config.initial_weights, 1)
    return network.to(run.trainer.device)


def _train(run: LotteryRun, count: int) -> None:
    images = run.train.first(count)
    recipe = replace(run.config.recipe("retraining"), schedule=((1, 1e-4),))
    engine = run.trainer.engine
    network = _network(run)
    fit(network, images.images, images.labels, recipe, run.config.inputs, seed=1, engine=engine)


def _score(run: LotteryRun, count: int) -> None:
    on_few = replace(run, test=run.test.first(count))
    LevelScorer(on_few).score(_network(run).eval())
