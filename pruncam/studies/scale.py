"""The scale of a study: network, images, training and accuracy, beside the paper's."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from torch import Tensor, nn

from pruncam._nn.probe import profile_forward
from pruncam.published import read_printed
from pruncam.statistics import Interval, accuracy_interval
from pruncam.studies.experiment import Experiment

_PAPER = ("width", "parameters", "size", "train_images", "test_images", "epochs")
_BESIDE = (*_PAPER, "finetuning_epochs", "accuracy")


def table(study: str, experiments: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per data set: the scale of this run, and the paper's in columns `paper_...`.

    Accuracies are in %, sizes the sides of images and maps in pixels. The paper's columns are empty
    for data sets that it does not have.
    """
    rows = pd.DataFrame([_row(experiment) for experiment in experiments])
    return beside_paper(study, rows)


def beside_paper(study: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the scale by data set, with the paper's in columns `paper_...`."""
    printed = read_printed("scale")
    printed = printed[printed["study"] == study].set_index("dataset")
    columns = {f"paper_{name}": rows["dataset"].map(printed[name]) for name in _BESIDE}
    return rows.assign(**columns)


def phrase(experiment: Experiment) -> str:
    """Return the scale in one phrase, for captions."""
    return network_phrase(
        parameters=parameter_count(experiment.baseline),
        accuracy=experiment.baseline_accuracy,
        target_layer=experiment.target_layer,
    )


def network_phrase(*, parameters: int, accuracy: float, target_layer: str) -> str:
    """Return a network's size, accuracy in % and target layer in one phrase."""
    unit = f"{parameters / 1e6:.2g} million" if parameters >= 1e6 else f"{parameters:,}"
    return f"network of {unit} parameters, {accuracy:.1f} % accuracy, maps read at {target_layer}"


def _row(experiment: Experiment) -> dict[str, Any]:
    spec, card = experiment.spec, experiment.reference
    train_images = len(experiment.train)
    if card is not None:
        train_images = card.result["train_images"]
    return {
        "dataset": experiment.dataset,
        "images": spec.source,
        "baseline": spec.weights if experiment.is_shipped else "trained in this run",
        "target_layer": experiment.target_layer,
        "map": map_size(
            experiment.baseline,
            experiment.network_input(experiment.test.images[:1]),
            experiment.target_layer,
        ),
        "width": first_width(experiment.baseline),
        "parameters": parameter_count(experiment.baseline),
        "size": experiment.test.images.shape[-1],
        "train_images": train_images,
        "finetuning_images": len(experiment.train),
        "test_images": len(experiment.test),
        "epochs": experiment.baseline_recipe.epochs,
        "finetuning_epochs": experiment.recipe("finetuning").epochs,
        "precision": experiment.trainer.precision,
        **_accuracy(experiment).columns("accuracy"),
        "least_accuracy": spec.min_accuracy,
    }


def _accuracy(experiment: Experiment) -> Interval:
    """Return the accuracy of the baseline on all test images in %, with its interval."""
    images = len(experiment.test)
    correct = round(experiment.baseline_accuracy * images / 100)
    return accuracy_interval(correct, images)


def parameter_count(model: nn.Module) -> int:
    """Return the number of parameters, biases included."""
    return sum(parameter.numel() for parameter in model.parameters())


def first_width(model: nn.Module) -> int:
    """Return the number of filters of the first convolution."""
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    return first.out_channels


def map_size(model: nn.Module, image: Tensor, target_layer: str) -> int:
    """Return the side of the maps of the target layer for an image (1, C, H, W), in cells."""
    calls = profile_forward(model, image).calls
    return next(call.output_shape[-1] for call in calls if call.name == target_layer)
