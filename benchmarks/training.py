"""Speed of training: the MNIST network by engine, wider networks by precision.

MNIST network: seconds per epoch of compiled code, of PyTorch in memory, and of a DataLoader with
transforms, scaled from fewer images to MNIST's 60,000. Wider networks: images per second of a loop
written out in PyTorch, and of `training.fit`. Ratios are of one-thread CPU time.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks._networks import digits, train_step
from benchmarks._timing import cpu_times, ratio_columns, wall_times
from pruncam import training
from pruncam.datasets import catalog
from pruncam.networks import cifar_net, initialize, mnist_net, vgg11

EPOCH = 60_000
IMAGES = 6_000
BATCH = 128
INPUTS = training.Inputs(noise=51, mean=0.1307, std=0.3081)
RECIPE = training.Recipe(((1, 0.01),), BATCH, 0.9, 1e-4)
LOADER = "DataLoader + torchvision"

WIDE_NETWORKS = {
    "CIFAR network of width 32": partial(cifar_net, width=32),
    "CIFAR network of width 64": partial(cifar_net, width=64),
    "VGG11-BN, 32x32": partial(vgg11, image_size=32, classifier_width=256, batch_norm=True),
}
WIDE_IMAGES = 512
WIDE_INPUTS = training.Inputs(mean=0.5, std=0.5)
Network = Callable[[], nn.Module]

PLAIN = "plain PyTorch, float32"


def run(rounds: int = 5) -> pd.DataFrame:
    """Return a row per way of training: its speed, and the ratio to the plain way."""
    rows = _mnist_rows(rounds)
    for name, network in WIDE_NETWORKS.items():
        rows += _wide_rows(rounds, name, network)
    return pd.DataFrame(rows)


def _mnist_rows(rounds: int) -> list[dict[str, object]]:
    images, labels = _images()
    sides = {
        "fused": _engine("fused", images, labels),
        "torch, in memory": _engine("torch", images, labels),
        LOADER: _data_loader(images, labels),
    }
    cpu = cpu_times(sides, rounds)
    wall = wall_times(sides, rounds)
    return [
        {
            "training": f"MNIST network, {side}",
            "s per epoch": median(cpu[side]) * EPOCH / IMAGES,
            **ratio_columns(cpu[LOADER], cpu[side]),
            "wall s per epoch": median(wall[side]) * EPOCH / IMAGES,
        }
        for side in sides
    ]


def _wide_rows(rounds: int, name: str, network: Network) -> list[dict[str, object]]:
    """Return a row per way of training; bfloat16 is not timed where it is emulated."""
    images, labels = digits(32, channels=3)
    pixels = (255 * images[:WIDE_IMAGES]).round().byte()
    labels = labels[:WIDE_IMAGES]
    with_torch = "pruncam, float32, PyTorch's convolutions"
    sides = {
        PLAIN: _plain_loop(pixels, labels, network),
        with_torch: _fit(pixels, labels, network, engine="torch"),
        "pruncam, float32": _fit(pixels, labels, network),
    }
    has_bfloat16 = training.resolve_precision("auto", "cpu") == "bfloat16"
    if has_bfloat16:
        sides["pruncam, bfloat16"] = _fit(pixels, labels, network, precision="bfloat16")
    times = cpu_times(sides, rounds)
    rows: list[dict[str, object]] = [
        {
            "training": f"{name}, {side}",
            "images/s": WIDE_IMAGES / median(times[side]),
            **ratio_columns(times[PLAIN], times[side]),
        }
        for side in sides
    ]
    if not has_bfloat16:
        rows.append({"training": f"{name}, pruncam: no bfloat16 hardware"})
    return rows


def _fit(
    images: Tensor,
    labels: Tensor,
    network: Network,
    **settings: str,
) -> Callable[[], object]:
    model = initialize(network(), "pytorch", 0)
    return lambda: training.fit(model, images, labels, RECIPE, WIDE_INPUTS, seed=0, **settings)


def _plain_loop(images: Tensor, labels: Tensor, network: Network) -> Callable[[], object]:
    """Return the same epoch as a loop in PyTorch, with its default layout of images."""
    model = initialize(network(), "pytorch", 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def epoch() -> None:
        for batch in torch.randperm(len(images)).split(BATCH):
            x = (images[batch] / 255 - WIDE_INPUTS.mean) / WIDE_INPUTS.std
            train_step(model, optimizer, x, labels[batch])

    return epoch


def _images() -> tuple[Tensor, Tensor]:
    train = catalog.load("digits", "train")
    copies = -(-IMAGES // len(train))
    images = train.images.repeat(copies, 1, 1, 1)
    labels = train.labels.repeat(copies)
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
