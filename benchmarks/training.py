"""Seconds per epoch of the MNIST network: compiled, PyTorch in memory, DataLoader and transforms.

Ratios are of one-thread CPU time. An epoch is scaled from fewer images to MNIST's 60,000.
"""

from collections.abc import Callable
from statistics import median

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks._networks import train_step
from benchmarks._timing import cpu_times, ratio_columns, wall_times
from pruncam import training
from pruncam.datasets import catalog
from pruncam.networks import initialize, mnist_net

EPOCH = 60_000
IMAGES = 6_000
BATCH = 128
INPUTS = training.Inputs(noise=51, mean=0.1307, std=0.3081)
RECIPE = training.Recipe(((1, 0.01),), BATCH, 0.9, 1e-4)
LOADER = "DataLoader + torchvision"


def run(rounds: int = 5) -> pd.DataFrame:
    """Return a row per way of training: seconds per epoch, and how much slower the loader is."""
    images, labels = _images()
    sides = {
        "fused": _engine("fused", images, labels),
        "torch, in memory": _engine("torch", images, labels),
        LOADER: _data_loader(images, labels),
    }
    cpu = cpu_times(sides, rounds)
    wall = wall_times(sides, rounds)
    rows = [
        {
            "training": side,
            "s per epoch": median(cpu[side]) * EPOCH / IMAGES,
            **ratio_columns(cpu[LOADER], cpu[side]),
            "wall s per epoch": median(wall[side]) * EPOCH / IMAGES,
        }
        for side in sides
    ]
    return pd.DataFrame(rows)


def _images() -> tuple[Tensor, Tensor]:
    digits = catalog.load("digits", "train")
    copies = -(-IMAGES // len(digits))
    images = digits.images.repeat(copies, 1, 1, 1)
    labels = digits.labels.repeat(copies)
    return images[:IMAGES], labels[:IMAGES]


def _engine(engine: str, images: Tensor, labels: Tensor) -> Callable[[], object]:
    model = initialize(mnist_net(), "kaiming-normal", 0)
    return lambda: training.fit(model, images, labels, RECIPE, INPUTS, seed=0, engine=engine)


def _data_loader(images: Tensor, labels: Tensor) -> Callable[[], object]:
    model = initialize(mnist_net(), "kaiming-normal", 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(_TransformedImages(images, labels), BATCH, shuffle=True)

    def epoch() -> None:
        for x, y in loader:
            train_step(model, optimizer, x, y)

    return epoch


class _TransformedImages(Dataset):
    """Single images through torchvision's transforms, as in the papers' code."""

    def __init__(self, images: Tensor, labels: Tensor):
        self.images = [v2.functional.to_pil_image(image) for image in images]
        self.labels = labels.tolist()
        self.transform = v2.Compose(
            [
                v2.ToImage(),
                _add_noise,
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([INPUTS.mean], [INPUTS.std]),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def _add_noise(image: Tensor) -> Tensor:
    noise = torch.randint(0, INPUTS.noise + 1, image.shape, dtype=torch.uint8)
    return torch.where(image == 0, noise, image)
