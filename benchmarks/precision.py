"""Accuracy after training in bfloat16 beside float32, of the CIFAR network on generated scenes.

Both trainings of a seed start from the same weights and see the same batches. Half of the training
images are kept for testing, with the test images.
"""

import pandas as pd
import torch
from torch import Tensor

from pruncam import networks, training
from pruncam.datasets import catalog

SOURCE = "generated-10"
WIDTH = 8  # filters of the first layer
SEEDS = (0, 1, 2)
INPUTS = training.Inputs(mean=0.5, std=0.5)
RECIPE = training.Recipe(
    training.OneCycle(epochs=12, peak=0.1),
    batch_size=64,
    optimizer="nesterov",
    weight_decay=5e-4,
    shift=2,
    mirror=True,
)


def run(emulated: bool = False) -> pd.DataFrame:
    """Return the accuracies in % by seed, and their means.

    Without bfloat16 hardware the table only says so, unless `emulated` is true: it takes minutes.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not emulated and training.resolve_precision("auto", device) == "float32":
        return pd.DataFrame([{"training": "no bfloat16 hardware"}])
    train, test = catalog.load(SOURCE, "train"), catalog.load(SOURCE, "test")
    count = len(train) // 2
    images = torch.cat([train.images, test.images]).to(device)
    labels = torch.cat([train.labels, test.labels]).to(device)
    rows = []
    for seed in SEEDS:
        first = _accuracy(images, labels, count, seed, "float32")
        second = _accuracy(images, labels, count, seed, "bfloat16")
        rows.append(
            {
                "training": f"seed {seed}",
                "float32 accuracy %": first,
                "bfloat16 accuracy %": second,
                "difference in points": second - first,
            }
        )
    table = pd.DataFrame(rows)
    table.loc[len(table)] = {"training": "mean", **table.mean(numeric_only=True)}
    return table


def _accuracy(images: Tensor, labels: Tensor, count: int, seed: int, precision: str) -> float:
    """Train on the first `count` images; return the accuracy on the others, in %."""
    model = networks.initialize(networks.cifar_net(width=WIDTH), "pytorch", seed)
    model.to(images.device)
    training.fit(
        model,
        images[:count],
        labels[:count],
        RECIPE,
        INPUTS,
        seed=seed,
        precision=precision,
    )
    share = training.accuracy(model, images[count:], labels[count:], prepare=INPUTS.normalize)
    return 100 * share
