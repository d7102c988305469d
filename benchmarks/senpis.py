"""SeNPIS-Faster's importances of a whole VGG11 at 32x32 against the literal loop, one-thread processor time.

Every filter and hidden neuron (3,776), 100 digits, ten per class, half of every layer going before the next is treated.
The literal loop zeroes a filter, runs the network on the batch, reads each class's loss and restores the filter. All of
it takes half an hour, so it is measured on 8 filters of every layer, drawn by a fixed seed, and scaled by the layer's
filters. Sides are interleaved, after a round that is thrown away.
"""

import time
from statistics import median

import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.heatmaps import interleaved, ratios
from pruncam.models import initialize, vgg11
from pruncam.pruning.structured import importances

RATE = 0.5
SAMPLE = 8  # filters per layer that the literal loop gets


def run(repeats: int = 1) -> pd.DataFrame:
    """One row: seconds of both sides, and their ratio."""
    model, images, labels = _trained()
    layers = {
        name: layer for name, layer in list(model.named_modules())[:-1] if isinstance(layer, nn.Conv2d | nn.Linear)
    }
    sides = {name: lambda layer=layer: _literally(model, layer, images, labels) for name, layer in layers.items()}
    arguments = {"importance": "senpis-faster", "example_input": images[:1], "batch": (images, labels)}
    sides["pruncam"] = lambda: importances(model, RATE, **arguments)
    seconds = interleaved(sides, repeats, clock=time.process_time, threads=1)
    per_filter = {name: [t / SAMPLE for t in seconds[name]] for name in layers}
    literal = [
        sum(len(layer.weight) * per_filter[name][turn] for name, layer in layers.items()) for turn in range(repeats)
    ]
    against = ratios(literal, seconds["pruncam"])
    row = {
        "network": "VGG11, 32x32",
        "images": len(images),
        "filters": sum(len(layer.weight) for layer in layers.values()),
        "s": median(seconds["pruncam"]),
        f"literal s, scaled from {SAMPLE} filters per layer": median(literal),
    }
    return pd.DataFrame([row | {"ratio": median(against), "lowest ratio": min(against), "highest ratio": max(against)}])


@torch.no_grad()
def _literally(model: nn.Module, layer: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Each class's loss without each of a few filters of one layer."""
    losses = []
    drawn = torch.randperm(len(layer.weight), generator=torch.Generator().manual_seed(0))[:SAMPLE]
    for index in drawn:
        kept = layer.weight[index].clone(), layer.bias[index].clone()
        layer.weight[index], layer.bias[index] = 0, 0
        loss = functional.cross_entropy(model(images), labels, reduction="none")
        losses.append(torch.stack([loss[labels == label].mean() for label in labels.unique()]))
        layer.weight[index], layer.bias[index] = kept
    return torch.stack(losses)


def _trained(steps: int = 30) -> tuple[nn.Module, Tensor, Tensor]:
    """VGG11 after some steps on scikit-learn's handwritten digits, scaled up, and ten digits of each class."""
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    images = functional.interpolate(images, size=(32, 32), mode="bilinear").expand(-1, 3, -1, -1).contiguous()
    labels = torch.tensor(digits.target)
    model = initialize(vgg11(image_size=32, classifier_width=512), "kaiming-normal", 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for _ in range(steps):
        batch = torch.randperm(len(images))[:32]
        optimizer.zero_grad()
        functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
    chosen = torch.cat([(labels == label).nonzero()[:10, 0] for label in range(10)])
    return model.eval(), images[chosen], labels[chosen]
