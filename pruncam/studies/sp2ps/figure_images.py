"""The image that figures show: a test image, or a photograph if none may be published."""

from dataclasses import dataclass, replace

import torch

from pruncam._core.extras import needed_for
from pruncam.datasets import ImageSet
from pruncam.studies import samples
from pruncam.studies.samples import Sample
from pruncam.studies.sp2ps.experiment import Sp2psExperiment

_CATS = ("cat", "tabby_cat")  # names of the class that the photograph shows
_CREDIT = "scikit-image's `chelsea`, by Stefan van der Walt, CC0"
_FACE = slice(60, 360)  # columns of the square around the face


@dataclass(frozen=True)
class FigureImage:
    """The image of a data set's figures, with its heatmaps, and what it is, for captions."""

    sample: Sample
    description: str


def figure_image(experiment: Sp2psExperiment, class_name: str) -> FigureImage:
    """Return a test image of a class or, if none may be published, a photograph.

    The photograph is of a cat: it serves if the data set has a class of cats. Otherwise the test
    image is left blank.
    """
    index = samples.choose_of_class(experiment, class_name)
    sample = samples.sample(experiment, index)
    if sample.image is None:
        of_photograph = _photograph_of(experiment)
        if of_photograph is not None:
            return of_photograph
    return FigureImage(sample, f"test image {index} (class {sample.label})")


def _photograph_of(experiment: Sp2psExperiment) -> FigureImage | None:
    """Return the photograph with its heatmaps; None if no class is one of cats."""
    classes = experiment.test.classes
    name = next((name for name in _CATS if name in classes), None)
    if name is None:
        return None
    image = _cat(name, classes, experiment.test.images.shape[-1]).to(experiment.test.images.device)
    of_image = replace(experiment, test=image)
    of_image.models.update(experiment.models)  # trained already
    description = f"a photograph that is not of the data set (class {name}"
    predicted = classes[_predicted(of_image)]
    if predicted != name:
        description += f", for the unpruned network {predicted}"
    return FigureImage(samples.sample(of_image, 0), f"{description})")


@torch.no_grad()
def _predicted(experiment: Sp2psExperiment) -> int:
    """Return the class that the baseline predicts for the first test image."""
    inputs = experiment.network_input(experiment.test.images[:1])
    return int(experiment.baseline(inputs).argmax(1))


def _cat(name: str, classes: tuple[str, ...], side: int) -> ImageSet:
    """Return the photograph as an image set of one, `side` pixels wide."""
    with needed_for("showing the photograph of a cat", "studies"):
        from skimage import data

    pixels = torch.from_numpy(data.chelsea()[:, _FACE].copy()).permute(2, 0, 1)
    return ImageSet(
        name="chelsea",
        split="test",
        images=pixels[None],
        labels=torch.tensor([classes.index(name)]),
        classes=classes,
        provenance="photograph of a cat",
        credits=(_CREDIT,),
    ).resized(side)
