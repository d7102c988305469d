"""An example for the comparison: two checkpoints and images, generated without any download."""

import os
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from pruncam import networks, pruning
from pruncam._core import paths
from pruncam._core.executor import run_tasks
from pruncam._core.progress import Progress
from pruncam._core.seeds import derive
from pruncam._core.store import write_folder_once
from pruncam.comparison.files import Files
from pruncam.datasets import ImageSet, catalog
from pruncam.training import Inputs, Recipe, fit

EXAMPLE_MEAN, EXAMPLE_STD = 0.1307, 0.3081
_MODEL = "pruncam:mnist_net"
_PRUNING_RATE = 0.5
_TRAINING = Recipe(((20, 0.01), (5, 0.001)), 16)
_FINE_TUNING = Recipe(((5, 0.005),), 16)
_VERSION = 1  # raise when the code changes the example


def example_files(folder: str | os.PathLike | None = None, seed: int = 0) -> Files:
    """Return the files of an example: a digit classifier, and the same with half of its filters.

    The images are the 1,797 handwritten digits of scikit-learn, grey, 28x28 pixels, to be
    normalised by `EXAMPLE_MEAN` and `EXAMPLE_STD`. The files are written to `folder` (None: a
    folder in the cache) unless it exists.
    """
    folder = Path(folder or paths.cache_folder() / f"own-example-{_VERSION}-{seed}")
    write_folder_once(folder, lambda new_folder: _write(new_folder, seed))
    return Files(
        baseline=folder / "baseline.pt",
        pruned=folder / "pruned.pt",
        model=_MODEL,
        data=folder / "test",
        train=folder / "train",
    )


def files_or_example(
    baseline: str | os.PathLike | None,
    pruned: str | os.PathLike | None,
    model: str,
    data: str | os.PathLike | None,
    train: str | os.PathLike | None = None,
    size: int | None = None,
) -> Files:
    """Return the given files, or those of the example if all files are None.

    Raises ValueError if only some of `baseline`, `pruned` and `data` are given.
    """
    required = {"baseline": baseline, "pruned": pruned, "data": data}
    missing = [name for name, path in required.items() if path is None]
    if len(missing) == len(required) and train is None:
        return example_files()
    if missing:
        raise ValueError(
            f"{', '.join(missing)} is None: pass baseline, pruned and data, "
            "or leave all files at None for the built-in example"
        )
    return Files(baseline, pruned, model, data, train, size)


def _write(folder: Path, seed: int) -> None:
    """Write images and checkpoints."""
    train, test = catalog.load("digits", "train"), catalog.load("digits", "test")
    for images in (train, test):
        _write_images(folder / images.split, images)
    bar = Progress("example", "model", show=False)
    # In one thread: the weights must not depend on the number of cores.
    (trained,) = run_tasks(lambda images: _train_networks(images, seed), [train], 1, bar)
    for name, network in trained.items():
        torch.save(network.state_dict(), folder / f"{name}.pt")


def _write_images(folder: Path, images: ImageSet) -> None:
    for number, (pixels, label) in enumerate(
        zip(images.images, images.labels.tolist(), strict=True)
    ):
        class_folder = folder / images.classes[label]
        class_folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0].numpy()).save(class_folder / f"{number:04d}.png")


def _train_networks(train: ImageSet, seed: int) -> dict[str, nn.Module]:
    """Return the baseline and its pruned copy, both trained."""
    weight_seed = derive(seed, "example", "weights")
    baseline = networks.initialize(networks.mnist_net(), "kaiming-normal", weight_seed)
    _fit(baseline, train, _TRAINING, derive(seed, "example", "baseline"))
    example_input = torch.zeros(1, *train.images.shape[1:])
    pruned = pruning.remove_filters(baseline, _PRUNING_RATE, example_input=example_input)
    _fit(pruned, train, _FINE_TUNING, derive(seed, "example", "pruned"))
    return {"baseline": baseline, "pruned": pruned}


def _fit(model: nn.Module, train: ImageSet, recipe: Recipe, seed: int) -> None:
    inputs = Inputs(mean=EXAMPLE_MEAN, std=EXAMPLE_STD)
    fit(model, train.images, train.labels, recipe, inputs, seed=seed)
