"""Scoring two models end to end, and the memory it takes.

Images per second of `scoring.score` (both models, three CAMs, seven scores), beside
pytorch-grad-cam with a scikit-image loop, and beside plain forward passes of both models, in
one-thread CPU time. Memory is the growth of a fresh process's peak after its first pieces of rows.
"""

import multiprocessing
import re
import resource
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from benchmarks._networks import NETWORKS, forward
from benchmarks._timing import cpu_times, per_item, ratio_columns, ratios
from benchmarks.heatmaps import METHODS
from pruncam import cams, metrics, networks, pruning, scoring

LIBRARY_IMAGES = {"MNIST network, 28x28": 250, "CIFAR network, 32x32": 1}
STREAMED = (10_000, 100_000)
PIECE = 1000  # images per piece of rows
CONTROL = 100  # MB that a control process keeps in addition


def run(rounds: int = 3) -> pd.DataFrame:
    """Return a row per network for speed, and one per number of images for memory."""
    speed = [_compare(name, images, rounds) for name, images in LIBRARY_IMAGES.items()]
    memory = [_memory(images) for images in STREAMED]
    return pd.DataFrame([*speed, *memory])


def _compare(network: str, library_images: int, rounds: int) -> dict[str, object]:
    case = NETWORKS[network]()
    baseline = case.model
    pruned = pruning.global_unstructured(baseline, 0.5)
    images = case.images[:5000]
    few = images[:library_images]

    def forward_both() -> None:
        for model in (baseline, pruned):
            forward(model, images, case.batch)

    sides = {
        "pruncam": lambda: scoring.score(baseline, pruned, images, progress=False),
        "library": lambda: _score_by_libraries(baseline, pruned, few),
        "forward": forward_both,
    }
    counts = {"pruncam": len(images), "library": len(few), "forward": len(images)}
    times = per_item(cpu_times(sides, rounds), counts)
    return {
        "scored": network,
        "images/s": 1 / median(times["pruncam"]),
        "libraries images/s": 1 / median(times["library"]),
        **ratio_columns(times["library"], times["pruncam"]),
        "forward passes": median(ratios(times["pruncam"], times["forward"])),
    }


def _score_by_libraries(baseline: nn.Module, pruned: nn.Module, images: Tensor) -> None:
    for method in METHODS:
        x = _library_heatmaps(baseline, images, method)
        y = _library_heatmaps(pruned, images, method)
        for a, b in zip(x.numpy(), y.numpy(), strict=True):
            structural_similarity(a, b, data_range=1)
        metrics.spectral_angle(x, y)
        metrics.iou(x, y)
        metrics.soft_iou(x, y)


def _library_heatmaps(model: nn.Module, images: Tensor, method: str) -> Tensor:
    return cams.heatmaps(model, images, method=method, engine="grad-cam", batch_size=32)


def _memory(images: int) -> dict[str, object]:
    """Return how much the peak of a fresh process grows.

    Raises RuntimeError if the measurement does not see what a control process keeps on purpose.
    """
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        tasks = [(images, 0), (10_000, CONTROL)]
        growth, control = pool.map(_growth, tasks, chunksize=1)
    if control < 0.9 * CONTROL:
        raise RuntimeError(f"the measurement sees only {control:.0f} of {CONTROL} MB")
    return {
        "scored": f"memory, {images:,} images of 28x28",
        "images": images,
        "peak growth MB": growth,
    }


def _growth(task: tuple[int, int]) -> float:
    """Return the growth in MB of this process's peak after five pieces of rows.

    The task is the number of images, and how many MB to keep in addition.
    """
    images, extra = task
    torch.set_num_threads(1)
    model = networks.initialize(networks.mnist_net(), "kaiming-normal", 0)
    pruned = pruning.global_unstructured(model, 0.5)
    generator = torch.Generator().manual_seed(0)
    batches = (torch.rand(PIECE, 1, 28, 28, generator=generator) for _ in range(images // PIECE))
    pieces = scoring.stream(model, {"pruned": pruned}, batches, progress=False)
    for _ in range(5):
        next(pieces)
    start = _peak()
    ballast = torch.ones(extra * 2**18)
    for _ in pieces:
        pass
    growth = _peak() - start
    assert ballast.sum() == ballast.numel()  # it must live until here
    return growth


def _peak() -> float:
    """Return the highest resident size so far, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux `ru_maxrss` is inherited from the parent
        peak = re.search(r"VmHWM:\s*(\d+)", status.read_text())
        assert peak is not None
        return int(peak[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
