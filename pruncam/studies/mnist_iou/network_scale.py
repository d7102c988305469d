"""The scale of the study: network, images, seeds, training and accuracy, beside the thesis's."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pruncam.datasets import ImageSet
from pruncam.statistics import Interval
from pruncam.studies import scale
from pruncam.studies.mnist_iou.analysis import accuracy_of_seeds, rows_of
from pruncam.studies.mnist_iou.lottery_run import LotteryRun
from pruncam.studies.original_data import original_datasets

_THESIS_DATASET = "MNIST"


def table(runs: Mapping[str, list[LotteryRun]], level_table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per data set with the columns of `studies.scale.table`, and the seeds.

    `runs` are those of each data set under the main configuration. `epochs` are those of
    pretraining, `finetuning_epochs` those of every level; `accuracy` is the mean of the thesis's
    seeds at full density on noisy images.
    """
    rows = pd.DataFrame([_row(of_dataset, level_table) for of_dataset in runs.values()])
    return scale.beside_paper("mnist_iou", rows)


def phrase(level_table: pd.DataFrame, run: LotteryRun) -> str:
    """Return the scale of the main data set in one phrase, for captions."""
    config = run.config
    network = scale.network_phrase(
        parameters=scale.parameter_count(run.models[0]),
        accuracy=_accuracy(level_table, run).value,
        target_layer=config.target_layer,
    )
    return f"{len(run.train):,} training and {len(run.test):,} test images, {network}"


def dataset_title(images: ImageSet) -> str:
    """Return the paper's name of a data set; images that no paper has stand in for MNIST."""
    table = original_datasets()
    names = table.index[table["source"] == images.name]
    return str(names[0]) if len(names) else _THESIS_DATASET


def _row(runs: list[LotteryRun], level_table: pd.DataFrame) -> dict[str, Any]:
    run = runs[0]
    config, model = run.config, run.models[0]
    layer = config.target_layer
    return {
        "dataset": dataset_title(run.test),
        "images": config.dataset,
        "baseline": "trained in this run",
        "target_layer": layer,
        "map": scale.map_size(model, run.noisy_input(slice(0, 1)), layer),
        "width": scale.first_width(model),
        "parameters": scale.parameter_count(model),
        "size": run.test.images.shape[-1],
        "train_images": len(run.train),
        "finetuning_images": len(run.train),
        "test_images": len(run.test),
        "seeds": len(runs),
        "epochs": config.recipe("pretraining").epochs,
        "finetuning_epochs": config.recipe("retraining").epochs,
        "precision": run.trainer.precision,
        **_accuracy(level_table, run).columns("accuracy"),
    }


def _accuracy(level_table: pd.DataFrame, run: LotteryRun) -> Interval:
    """Return the mean accuracy of the thesis's seeds at level 0, in %, with its interval."""
    rows = rows_of(level_table, run.variant, run.config.seeds)
    return accuracy_of_seeds(rows.loc[rows["level"] == 0, "accuracy_noisy"])
