"""A pair of checkpoints and folders of pictures to try the comparison on, made in seconds and without a download."""

import os
import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from pruncam import models, places, pruning
from pruncam.datasets import ImageSet, catalog
from pruncam.own.pair import Files
from pruncam.progress import Progress
from pruncam.seeds import derive
from pruncam.studies.study import in_threads
from pruncam.training import Inputs, Recipe, fit

_VERSION = 1  # of the example, raised by hand
MODEL, RATE = "pruncam:mnist_net", 0.5
MEAN, STD = 0.1307, 0.3081
TRAINING, TUNING = Recipe(((20, 0.01), (5, 0.001)), 16), Recipe(((5, 0.005),), 16)


def example(folder: str | os.PathLike | None = None, seed: int = 0) -> Files:
    """Write handwritten digits as PNG files, a network that reads them, and the same with half of its filters removed.

    1,797 grey pictures that ship with scikit-learn, 28x28, normalised by 0.1307 and 0.3081. All is written under a
    temporary name and renamed; an example that is in `folder` (None: the cache) already is taken as it is.
    """
    folder = Path(folder or places.cache_folder() / f"own-example-{_VERSION}-{seed}")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".example-") as temporary:
            _write(Path(temporary) / "new", seed)
            os.replace(Path(temporary) / "new", folder)
    files = (folder / "baseline.pt", folder / "pruned.pt")
    return Files(*files, MODEL, folder / "test", folder / "train")


def named(
    baseline: str | os.PathLike | None,
    pruned: str | os.PathLike | None,
    model: str,
    data: str | os.PathLike | None,
    train: str | os.PathLike | None = None,
) -> Files:
    """The files that are named, or the example's where none is; ValueError where only some are."""
    asked = {"baseline": baseline, "pruned": pruned, "data": data}
    if not any((*asked.values(), train)):
        return example()
    missing = [name for name, value in asked.items() if not value]
    if missing:
        raise ValueError(
            "a pair of your own needs a baseline, a pruned network and data, and this is None: "
            f"{', '.join(missing)}; name all three, or leave all (train too) at None for the built-in example"
        )
    return Files(baseline, pruned, model, data, train)


def _write(folder: Path, seed: int) -> None:
    sets = {split: catalog.load("digits", split) for split in ("train", "test")}
    for split, images in sets.items():
        for number, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
            place = folder / split / images.classes[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(place / f"{number:04d}.png")
    bar = Progress("example", "model", show=False)
    # On one thread: the same weights, however many cores there are.
    (networks,) = in_threads(lambda train: _networks(train, seed), [sets["train"]], 1, bar)
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / f"{name}.pt")


def _networks(train: ImageSet, seed: int) -> dict[str, nn.Module]:
    """The baseline and its pruned copy, both trained."""
    baseline = models.initialize(models.mnist_net(), "kaiming-normal", derive(seed, "example", "weights"))
    _fit(baseline, train, TRAINING, derive(seed, "example", "baseline"))
    pruned = pruning.remove_filters(baseline, RATE, example_input=torch.zeros(1, *train.images.shape[1:]))
    _fit(pruned, train, TUNING, derive(seed, "example", "pruned"))
    return {"baseline": baseline, "pruned": pruned}


def _fit(model: nn.Module, train: ImageSet, recipe: Recipe, seed: int) -> None:
    fit(model, train.images, train.labels, recipe, Inputs(mean=MEAN, std=STD), seed=seed)
