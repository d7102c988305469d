"""Heatmaps per second against pytorch-grad-cam, side by side in one process.

Ratios are of one-thread processor time, interleaved, because wall clock on a shared machine stalls by several times;
wall clock with all threads stands beside them. The library's Ablation-CAM takes hundreds of forward passes per image,
so it gets fewer images; rates are per image.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import pandas as pd
import torch
import torchvision
from sklearn.datasets import load_digits
from torch import Tensor, nn

from pruncam import cams
from pruncam.models import cifar_net, mnist_net

METHODS = ("grad-cam", "grad-cam++", "ablation-cam")


@dataclass(frozen=True)
class Case:
    """A trained network and images for it; `batch` is the plain forward pass's and the library's best."""

    model: nn.Module
    images: Tensor
    batch: int
    library_images: dict[str, int]  # by method
    rounds: int = 2


def run() -> pd.DataFrame:
    """One row per network and method: heatmaps per second of both engines, their ratio, and the plain forward pass."""
    return pd.concat([_compare(name, make()) for name, make in NETWORKS.items()], ignore_index=True)


def _compare(network: str, case: Case) -> pd.DataFrame:
    model, images = case.model, case.images
    sides = {"forward": lambda: forward(model, images, case.batch)}
    counts = {"forward": len(images), "all three": len(images)}
    for method in METHODS:
        library = "library " + method
        counts |= {method: len(images), library: case.library_images[method]}
        sides[method] = lambda m=method: cams.heatmaps(model, images, method=m)
        sides[library] = lambda m=method, n=counts[library]: _library(model, images[:n], m, case.batch)
    sides["all three"] = lambda: cams.explain(model, images, methods=METHODS)
    processor = interleaved(sides, case.rounds, clock=time.process_time, threads=1)
    wall = interleaved(sides, 1, clock=time.perf_counter, threads=torch.get_num_threads())
    for seconds in (processor, wall):  # from here on per image
        seconds.update({side: [t / counts[side] for t in times] for side, times in seconds.items()})
    rows = []
    for method in (*METHODS, "all three"):
        row = {"network": network, "method": method, "images/s": 1 / median(processor[method])}
        row["forward passes"] = median(ratios(processor[method], processor["forward"]))
        row["wall images/s"] = 1 / wall[method][0]
        if method in METHODS:
            against = ratios(processor["library " + method], processor[method])
            row["pytorch-grad-cam images/s"] = 1 / median(processor["library " + method])
            row |= {"ratio": median(against), "lowest ratio": min(against), "highest ratio": max(against)}
            row["wall ratio"] = wall["library " + method][0] / wall[method][0]
        rows.append(row)
    return pd.DataFrame(rows)


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """The ratio of every round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def interleaved(
    sides: dict[str, Callable[[], object]], repeats: int, *, clock: Callable[[], float], threads: int
) -> dict[str, list[float]]:
    """Seconds of each side in each of `repeats` rounds, one side after the other, after a round that is thrown away."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seconds = {side: [] for side in sides}
    try:
        for _ in range(repeats + 1):
            for side, work in sides.items():
                start = clock()
                work()
                seconds[side].append(clock() - start)
    finally:
        torch.set_num_threads(before)
    return {side: times[1:] for side, times in seconds.items()}


@torch.no_grad()
def forward(model: nn.Module, images: Tensor, batch: int) -> None:
    """The plain eager forward pass, the floor of everything here."""
    for part in images.split(batch):
        model(part)


def _library(model: nn.Module, images: Tensor, method: str, batch: int) -> None:
    cams.heatmaps(model, images, method=method, engine="grad-cam", batch_size=batch)


def _mnist() -> Case:
    """The thesis's network, 28x28."""
    model, images = _trained(mnist_net(), size=28, channels=1, steps=280)
    images = images.repeat(6, 1, 1, 1)[:10_000]
    noisy = torch.where(images == 0, 0.2 * torch.rand_like(images), images)
    return Case(model, noisy, 256, {"grad-cam": 2_000, "grad-cam++": 2_000, "ablation-cam": 500}, rounds=5)


def _cifar() -> Case:
    """The Sp2PS paper's network for CIFAR-10, 32x32."""
    model = cifar_net()
    model, images = _trained(model, size=32, channels=3, steps=10)
    return Case(model, images[:128], 16, {"grad-cam": 64, "grad-cam++": 64, "ablation-cam": 1})


def _vgg11_bn() -> Case:
    """VGG11 with BatchNorm and one linear layer as head, 32x32."""
    widths = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
    model = nn.Sequential(nn.Sequential(*_convolutions(widths)), nn.Flatten(), nn.Linear(512, 10))
    model, images = _trained(model, size=32, channels=3, steps=20)
    return Case(model, images[:512], 64, {"grad-cam": 128, "grad-cam++": 128, "ablation-cam": 2})


def _vgg11() -> Case:
    """torchvision's VGG11, 64x64: no BatchNorm, in-place ReLU, a head of three linear layers."""
    model = torchvision.models.vgg11(weights=None, num_classes=10)
    model, images = _trained(model, size=64, channels=3, steps=3)
    return Case(model, images[:64], 32, {"grad-cam": 16, "grad-cam++": 16, "ablation-cam": 1})


def _convolutions(widths: list[int | str]) -> list[nn.Module]:
    layers, width = [], 3
    for new in widths:
        if new == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(width, new, 3, padding=1), nn.BatchNorm2d(new), nn.ReLU(inplace=True)]
            width = new
    return layers


def _trained(model: nn.Module, size: int, channels: int, steps: int) -> tuple[nn.Module, Tensor]:
    """The model after some steps on scikit-learn's handwritten digits, scaled up, and the digits in random order."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    images = nn.functional.interpolate(images, size=(size, size), mode="bilinear").expand(-1, channels, -1, -1)
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(steps):
        batch = order.roll(-32 * step)[:32]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
    return model.eval(), images[order].contiguous()


NETWORKS = {
    "MNIST network, 28x28": _mnist,
    "CIFAR network, 32x32": _cifar,
    "VGG11-BN, one linear layer, 32x32": _vgg11_bn,
    "VGG11, three linear layers, 64x64": _vgg11,
}
