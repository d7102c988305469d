"""Scoring two models end to end, and the memory it takes.

Images per second of `scoring.score` (both models, three CAMs, seven scores), beside
pytorch-grad-cam with a scikit-image loop, and beside plain forward passes of both models, in
one-thread CPU time. Memory is the growth of a fresh process's peak after its first pieces of rows,
or, for image files that are streamed, beyond the peak of a process with 100 of them.
"""

import io
import multiprocessing
import re
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import pandas as pd
import torch
from PIL import Image
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from benchmarks._networks import NETWORKS, digits, forward
from benchmarks._timing import cpu_times, per_item, ratio_columns, ratios
from pruncam import cams, metrics, networks, pruning, scoring
from pruncam.datasets import image_folder
from pruncam.datasets.decoding import Decoder

# Network, layer whose maps are read, and numbers of images, for pruncam and for the library. Of
# VGG11-BN at the default layer every channel runs two more convolutions.
CASES = (
    ("MNIST network, 28x28", "default", 5000, 250),
    ("CIFAR network, 32x32", "default", 128, 1),
    ("CIFAR network, 32x32", "last convolution", 128, 1),
    ("VGG11-BN, one linear layer, 32x32", "default", 128, 1),
    ("VGG11-BN, one linear layer, 32x32", "last convolution", 512, 1),
)
STREAMED = (10_000, 100_000)
FILES = (100, 50_000)
PIECE = 1000  # images per piece of rows
Task = TypeVar("Task")
CONTROL = 100  # MB that a control process keeps in addition


def run(rounds: int = 3) -> pd.DataFrame:
    """Return a row per network for speed, and one per number of images for memory."""
    speed = [_compare(*case, rounds) for case in CASES]
    memory = [_memory(images) for images in STREAMED]
    return pd.DataFrame([*speed, *memory, _file_memory(*FILES)])


def _compare(
    network: str, layer: str, own_images: int, library_images: int, rounds: int
) -> dict[str, object]:
    case = NETWORKS[network]()
    baseline = case.model
    target = None if layer == "default" else _last_convolution(baseline)
    pruned = pruning.global_unstructured(baseline, 0.5)
    images = case.images[:own_images]
    few = images[:library_images]

    def forward_both() -> None:
        for model in (baseline, pruned):
            forward(model, images, case.batch)

    sides = {
        "pruncam": lambda: scoring.score(
            baseline, pruned, images, target_layer=target, progress=False
        ),
        "library": lambda: _score_by_libraries(baseline, pruned, few, target),
        "forward": forward_both,
    }
    counts = {"pruncam": len(images), "library": len(few), "forward": len(images)}
    times = per_item(cpu_times(sides, rounds), counts)
    return {
        "scored": f"{network}, {layer}",
        "images/s": 1 / median(times["pruncam"]),
        "libraries images/s": 1 / median(times["library"]),
        **ratio_columns(times["library"], times["pruncam"]),
        "forward passes": median(ratios(times["pruncam"], times["forward"])),
    }


def _last_convolution(model: nn.Module) -> str:
    """Return the name of the last convolution in the order of definition."""
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)][-1]


def _score_by_libraries(
    baseline: nn.Module, pruned: nn.Module, images: Tensor, layer: str | None
) -> None:
    for method in cams.DEFAULT_METHODS:
        x = _library_heatmaps(baseline, images, method, layer)
        y = _library_heatmaps(pruned, images, method, layer)
        for a, b in zip(x.numpy(), y.numpy(), strict=True):
            structural_similarity(a, b, data_range=1)
        metrics.spectral_angle(x, y)
        metrics.iou(x, y)
        metrics.soft_iou(x, y)


def _library_heatmaps(model: nn.Module, images: Tensor, method: str, layer: str | None) -> Tensor:
    return cams.heatmaps(
        model, images, method=method, target_layer=layer, engine="grad-cam", batch_size=32
    )


def _memory(images: int) -> dict[str, object]:
    """Return how much the peak of a fresh process grows.

    Raises RuntimeError if the measurement does not see what a control process keeps on purpose.
    """
    growth, control = _in_fresh_processes(_growth, [(images, 0), (10_000, CONTROL)])
    if control < 0.9 * CONTROL:
        raise RuntimeError(f"the measurement sees only {control:.0f} of {CONTROL} MB")
    return {
        "scored": f"memory, {images:,} images of 28x28",
        "images": images,
        "peak growth MB": growth,
    }


def _file_memory(few: int, many: int) -> dict[str, object]:
    """Return how much more a process with many image files needs than one with few."""
    with tempfile.TemporaryDirectory() as folder:
        _write_images(Path(folder), many)
        small, large = _in_fresh_processes(_file_peak, [(folder, few), (folder, many)])
    return {
        "scored": f"memory, {many:,} JPEG files of 28x28 after {few}",
        "images": many,
        "peak growth MB": large - small,
    }


def _write_images(folder: Path, count: int) -> None:
    """Write JPEG files of digits, by class; each image is repeated under other names."""
    images, labels = digits(28, 1)
    encoded = []
    for image in (255 * images[:, 0]).byte().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG")
        encoded.append(file.getvalue())
    for label in labels.unique().tolist():
        (folder / str(label)).mkdir()
    for number in range(count):
        position = number % len(encoded)
        path = folder / str(int(labels[position])) / f"{number:05d}.jpg"
        path.write_bytes(encoded[position])


def _file_peak(task: tuple[str, int]) -> float:
    """Return this process's peak in MB after scoring the first images of a folder, streamed."""
    folder, count = task
    torch.set_num_threads(1)
    selection = image_folder.Selection(limit=count)
    images = image_folder.read(folder, Decoder(channels=1), selection, memory=0).images
    model = networks.initialize(networks.mnist_net(), "kaiming-normal", 0)
    pruned = pruning.global_unstructured(model, 0.5)
    for _ in scoring.stream(model, {"pruned": pruned}, images, progress=False):
        pass
    return _peak()


def _in_fresh_processes(measure: Callable[[Task], float], tasks: list[Task]) -> list[float]:
    """Return a measurement of every task, each in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.map(measure, tasks, chunksize=1)


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
