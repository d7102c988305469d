"""Heatmaps per second against pytorch-grad-cam, side by side in one process.

Ratios are of one-thread processor time, interleaved, because wall clock on a shared machine stalls by several times;
wall clock with all threads stands beside them.
"""

import time
from collections.abc import Callable
from statistics import median

import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from pruncam import cams
from pruncam.models import mnist_net


def run(repeats: int = 5) -> pd.DataFrame:
    """One row per network and method: heatmaps per second of both engines, their ratio, and the plain forward pass."""
    rows = []
    for network, make in NETWORKS.items():
        model, images, library_images = make()
        for method in cams.METHODS:
            rows.append(
                {"network": network, "method": method} | _compare(model, images, library_images, method, repeats)
            )
    return pd.DataFrame(rows)


def _compare(model: nn.Module, images: Tensor, library_images: int, method: str, repeats: int) -> dict[str, float]:
    """Rates of `images` through our engine and of the first `library_images` of them through the library."""
    sides = {
        "pruncam": lambda: cams.heatmaps(model, images, method=method),
        "library": lambda: cams.heatmaps(
            model, images[:library_images], method=method, engine="grad-cam", batch_size=_BATCH
        ),
        "forward": lambda: _forward(model, images),
    }
    counts = {"pruncam": len(images), "library": library_images, "forward": len(images)}
    processor = interleaved(sides, repeats, clock=time.process_time, threads=1)
    wall = interleaved(sides, repeats, clock=time.perf_counter, threads=torch.get_num_threads())
    per_image = {side: [t / counts[side] for t in times] for side, times in processor.items()}
    ratios = [slow / fast for slow, fast in zip(per_image["library"], per_image["pruncam"], strict=True)]
    forwards = [ours / plain for ours, plain in zip(per_image["pruncam"], per_image["forward"], strict=True)]
    return {
        "images": len(images),
        "pruncam images/s": 1 / median(per_image["pruncam"]),
        "pytorch-grad-cam images/s": 1 / median(per_image["library"]),
        "ratio": median(ratios),
        "lowest ratio": min(ratios),
        "highest ratio": max(ratios),
        "forward passes": median(forwards),
        "wall pruncam images/s": len(images) / median(wall["pruncam"]),
        "wall pytorch-grad-cam images/s": library_images / median(wall["library"]),
    }


_BATCH = 256  # of the library and of the plain forward pass: the best for the MNIST network on the machine measured


def interleaved(
    sides: dict[str, Callable[[], object]], repeats: int, *, clock: Callable[[], float], threads: int
) -> dict[str, list[float]]:
    """Seconds of each side in each of `repeats` rounds, one after the other, after one round that is thrown away."""
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
def _forward(model: nn.Module, images: Tensor) -> None:
    for batch in images.split(_BATCH):
        model(batch)


def _mnist() -> tuple[nn.Module, Tensor, int]:
    """The thesis's network, trained on scikit-learn's digits at 28x28; 10,000 noisy images, 2,000 for the library."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    images = nn.functional.interpolate(images, size=(28, 28), mode="bilinear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _trained(mnist_net(), images, torch.tensor(digits.target))
        many = images.repeat(6, 1, 1, 1)[:10_000]
        return model, torch.where(many == 0, 0.2 * torch.rand_like(many), many), 2_000


def _trained(model: nn.Module, images: Tensor, labels: Tensor, epochs: int = 10) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return model.eval()


NETWORKS = {"MNIST network, 28x28": _mnist}
