"""Two models' test set scored end to end, and the memory it takes.

Images per second of `scoring.score` (both models, three CAMs, seven scores) beside the same by pytorch-grad-cam and a
scikit-image loop, one-thread processor time, interleaved; and beside the plain forward passes of both models, the
floor. Memory is the growth of a fresh process's peak after its first pieces of rows.
"""

import multiprocessing
import re
import resource
import time
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from benchmarks.heatmaps import METHODS, NETWORKS, forward, interleaved, ratios
from pruncam import cams, metrics, models, pruning, scoring

SIDES = {"MNIST network, 28x28": 250, "CIFAR network, 32x32": 1}  # images that the library gets
STREAMED = (10_000, 100_000)


def run(repeats: int = 3) -> pd.DataFrame:
    """One row per network for speed, and one per number of images for memory."""
    speed = [_compare(name, library_images, repeats) for name, library_images in SIDES.items()]
    return pd.DataFrame(speed + [_memory(images) for images in STREAMED])


def _compare(network: str, library_images: int, repeats: int) -> dict[str, object]:
    case = NETWORKS[network]()
    pruned, images = pruning.global_unstructured(case.model, 0.5), case.images[:5000]
    sides = {
        "pruncam": lambda: scoring.score(case.model, pruned, images, progress=False),
        "library": lambda: _by_the_libraries(case.model, pruned, images[:library_images]),
        "forward": lambda: [forward(model, images, case.batch) for model in (case.model, pruned)],
    }
    counts = {"pruncam": len(images), "library": library_images, "forward": len(images)}
    seconds = interleaved(sides, repeats, clock=time.process_time, threads=1)
    seconds = {side: [t / counts[side] for t in times] for side, times in seconds.items()}
    against = ratios(seconds["library"], seconds["pruncam"])
    return {
        "scored": network,
        "images/s": 1 / median(seconds["pruncam"]),
        "libraries images/s": 1 / median(seconds["library"]),
        "ratio": median(against),
        "lowest ratio": min(against),
        "highest ratio": max(against),
        "forward passes": median(ratios(seconds["pruncam"], seconds["forward"])),
    }


def _by_the_libraries(baseline: nn.Module, pruned: nn.Module, images: Tensor) -> None:
    for method in METHODS:
        x, y = (
            cams.heatmaps(model, images, method=method, engine="grad-cam", batch_size=32)
            for model in (baseline, pruned)
        )
        for a, b in zip(x.numpy(), y.numpy(), strict=True):
            structural_similarity(a, b, data_range=1)
        metrics.spectral_angle(x, y), metrics.iou(x, y), metrics.soft_iou(x, y)


def _memory(images: int) -> dict[str, object]:
    """The growth of a fresh process's peak; a second one that keeps 100 MB on purpose must show them."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        grown, control = pool.map(_growth, [(images, 0), (10_000, 100)], chunksize=1)
    if control < 90:
        raise RuntimeError(f"the measurement is blind: it saw {control:.0f} of 100 MB")
    return {"scored": f"memory, {images:,} images of 28x28", "images": images, "peak growth MB": grown}


def _growth(task: tuple[int, int]) -> float:
    """How many MB the peak of this process grows after five pieces of 1,000 images, while it keeps `kept` MB more."""
    images, kept = task
    torch.set_num_threads(1)
    model = models.initialize(models.mnist_net(), "kaiming-normal", 0)
    pruned = pruning.global_unstructured(model, 0.5)
    generator = torch.Generator().manual_seed(0)
    batches = (torch.rand(1000, 1, 28, 28, generator=generator) for _ in range(images // 1000))
    pieces = scoring.stream(model, {"pruned": pruned}, batches, progress=False)
    for _ in range(5):
        next(pieces)
    start = _peak()
    held = torch.ones(kept * 2**18)
    for _ in pieces:
        pass
    return _peak() - start if held.sum() == held.numel() else 0.0


def _peak() -> float:
    """MB of the highest resident size so far. Linux: not `ru_maxrss`, which a child inherits from its parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
