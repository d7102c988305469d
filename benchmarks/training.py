"""Seconds per epoch of the MNIST network: fused, PyTorch in memory, and a DataLoader with torchvision transforms.

Ratios are of one-thread processor time, interleaved, as in `benchmarks.heatmaps`. An epoch is scaled from fewer images
to MNIST's 60,000.
"""

import time
from collections.abc import Callable
from statistics import median

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.heatmaps import interleaved
from pruncam import training
from pruncam.datasets import catalog
from pruncam.models import initialize, mnist_net

EPOCH = 60_000
IMAGES = 6_000
BATCH = 128
INPUTS = training.Inputs(noise=51, mean=0.1307, std=0.3081)
RECIPE = training.Recipe(((1, 0.01),), BATCH, 0.9, 1e-4)


def run(repeats: int = 5) -> pd.DataFrame:
    """One row per way of training: seconds per epoch of 60,000 images, and how much slower the DataLoader is."""
    digits = catalog.load("digits", "train")
    copies = -(-IMAGES // len(digits))
    images, labels = digits.images.repeat(copies, 1, 1, 1)[:IMAGES], digits.labels.repeat(copies)[:IMAGES]
    sides = {
        "fused": _engine("fused", images, labels),
        "torch, in memory": _engine("torch", images, labels),
        "DataLoader + torchvision": _data_loader(images, labels),
    }
    processor = interleaved(sides, repeats, clock=time.process_time, threads=1)
    wall = interleaved(sides, repeats, clock=time.perf_counter, threads=torch.get_num_threads())
    rows = []
    for side, seconds in processor.items():
        ratios = [slow / ours for slow, ours in zip(processor["DataLoader + torchvision"], seconds, strict=True)]
        row = {"training": side, "s per epoch": median(seconds) * EPOCH / IMAGES, "ratio": median(ratios)}
        row |= {"lowest ratio": min(ratios), "highest ratio": max(ratios)}
        rows.append(row | {"wall s per epoch": median(wall[side]) * EPOCH / IMAGES})
    return pd.DataFrame(rows)


def _engine(engine: str, images: Tensor, labels: Tensor) -> Callable[[], float]:
    model = initialize(mnist_net(), "kaiming-normal", 0)
    return lambda: training.fit(model, images, labels, RECIPE, INPUTS, seed=0, engine=engine)


class _Pictures(Dataset):
    """Images one by one through torchvision's transforms, as the papers' code reads them."""

    def __init__(self, images: Tensor, labels: Tensor):
        self.images, self.labels = [v2.functional.to_pil_image(image) for image in images], labels.tolist()
        steps = [v2.ToImage(), _noise, v2.ToDtype(torch.float32, scale=True), v2.Normalize([INPUTS.mean], [INPUTS.std])]
        self.transform = v2.Compose(steps)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def _noise(image: Tensor) -> Tensor:
    return torch.where(image == 0, torch.randint(0, INPUTS.noise + 1, image.shape, dtype=torch.uint8), image)


def _data_loader(images: Tensor, labels: Tensor) -> Callable[[], None]:
    model = initialize(mnist_net(), "kaiming-normal", 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(_Pictures(images, labels), BATCH, shuffle=True)

    def epoch() -> None:
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return epoch
