"""SeNPIS-Faster's importances of VGG11 at 32x32, beside the literal loop, in one-thread CPU time.

All 3,776 filters and hidden neurons, 100 digits, ten per class; half of each layer is removed
before the next one is treated. The literal loop zeroes a filter, runs the network on the batch,
reads the loss of each class and restores the filter. That would take half an hour, so it is
measured on 8 filters of each layer, drawn with a fixed seed, and scaled to the layer's filters.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks._networks import digits, train_step
from benchmarks._timing import cpu_times, ratio_columns
from pruncam.networks import initialize, vgg11
from pruncam.pruning.filter_removal import importances

RATE = 0.5
SAMPLE = 8  # filters per layer for the literal loop


def run(rounds: int = 1) -> pd.DataFrame:
    """Return one row: seconds of both sides, and their ratio."""
    model, images, labels = _trained()
    modules = list(model.named_modules())[:-1]
    layers = {name: layer for name, layer in modules if isinstance(layer, nn.Conv2d | nn.Linear)}
    sides: dict[str, Callable[[], object]] = {
        name: partial(_literal_losses, model, layer, images, labels)
        for name, layer in layers.items()
    }
    sides["pruncam"] = partial(_importances, model, images, labels)
    times = cpu_times(sides, rounds)
    filters = {name: len(layer.weight) for name, layer in layers.items()}
    literal = [_literal_seconds(times, filters, number) for number in range(rounds)]
    row = {
        "network": "VGG11, 32x32",
        "images": len(images),
        "filters": sum(filters.values()),
        "s": median(times["pruncam"]),
        f"literal s, scaled from {SAMPLE} filters per layer": median(literal),
        **ratio_columns(literal, times["pruncam"]),
    }
    return pd.DataFrame([row])


def _importances(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    importances(
        model,
        RATE,
        importance="senpis-faster",
        example_input=images[:1],
        batch=(images, labels),
    )


def _literal_seconds(times: dict[str, list[float]], filters: dict[str, int], number: int) -> float:
    """Return the seconds that the literal loop would take for all filters, in one round."""
    return sum(count * times[name][number] / SAMPLE for name, count in filters.items())


@torch.no_grad()
def _literal_losses(
    model: nn.Module, layer: nn.Conv2d | nn.Linear, images: Tensor, labels: Tensor
) -> Tensor:
    """Return the loss of each class without each of a few filters of one layer."""
    generator = torch.Generator().manual_seed(0)
    sample = torch.randperm(len(layer.weight), generator=generator)[:SAMPLE]
    losses = []
    for index in sample.tolist():
        parameters = [parameter[index] for parameter in layer.parameters()]
        before = [values.clone() for values in parameters]
        for values in parameters:
            values.zero_()
        loss = functional.cross_entropy(model(images), labels, reduction="none")
        by_class = [loss[labels == label].mean() for label in labels.unique()]
        losses.append(torch.stack(by_class))
        for values, original in zip(parameters, before, strict=True):
            values.copy_(original)
    return torch.stack(losses)


def _trained(steps: int = 30) -> tuple[nn.Module, Tensor, Tensor]:
    """Return VGG11, trained on digits for some steps, and ten digits of each class."""
    torch.manual_seed(0)
    images, labels = digits(size=32, channels=3)
    model = initialize(vgg11(image_size=32, classifier_width=512), "kaiming-normal", 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for _ in range(steps):
        batch = torch.randperm(len(images))[:32]
        train_step(model, optimizer, images[batch], labels[batch])
    selected = torch.cat([(labels == label).nonzero()[:10, 0] for label in range(10)])
    return model.eval(), images[selected], labels[selected]
