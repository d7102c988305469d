"""The CAM methods: one entry for each, with its title, colour and function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from pruncam.cams import reference
from pruncam.cams.ablation import ablation_weights
from pruncam.cams.gradients import (
    grad_cam_plusplus_weights,
    grad_cam_weights,
    hires_cam_weights,
    layer_cam_weights,
)
from pruncam.cams.layer_pass import LayerPass
from pruncam.cams.reference import LibraryMethod


@dataclass(frozen=True)
class CamMethod:
    """A CAM method: how it weights the activations of the target layer.

    Parameters
    ----------
    name : the name by which `heatmaps` and `explain` select the method
    title : the name in figures and tables
    colour : the colour of the method in figures, as "#RRGGBB"
    weights : function of a `LayerPass` that returns the weights of the channels, (N, K), or of the
        single activations, (N, K, h, w); the heatmap is the positive part of the weighted sum over
        channels, scaled to [0, 1] and to the size of the image
    needs_gradients : whether `weights` reads the gradients of the pass
    reruns_head : whether `weights` runs the layers after the target layer again
    reference : function that returns the same method of the pytorch-grad-cam library, for
        `engine="grad-cam"`; None if the library does not have it
    """

    name: str
    title: str
    colour: str
    weights: Callable[[LayerPass], Tensor]
    needs_gradients: bool = False
    reruns_head: bool = False
    reference: Callable[[], LibraryMethod] | None = None


_METHODS = (
    CamMethod(
        name="grad-cam",
        title="Grad-CAM",
        colour="#D55E00",
        weights=grad_cam_weights,
        needs_gradients=True,
        reference=partial(reference.library_method, "GradCAM"),
    ),
    CamMethod(
        name="grad-cam++",
        title="Grad-CAM++",
        colour="#6E6E6E",
        weights=grad_cam_plusplus_weights,
        needs_gradients=True,
        reference=partial(reference.library_method, "GradCAMPlusPlus"),
    ),
    CamMethod(
        name="ablation-cam",
        title="Ablation-CAM",
        colour="#CC79A7",
        weights=partial(ablation_weights, to_zero=False),
        reruns_head=True,
        reference=partial(reference.library_ablation, to_zero=False),
    ),
    CamMethod(
        name="ablation-cam-zero",
        title="Ablation-CAM (zero)",
        colour="#56B4E9",
        weights=partial(ablation_weights, to_zero=True),
        reruns_head=True,
        reference=partial(reference.library_ablation, to_zero=True),
    ),
    CamMethod(
        name="hires-cam",
        title="HiResCAM",
        colour="#009E73",
        weights=hires_cam_weights,
        needs_gradients=True,
        reference=partial(reference.library_method, "HiResCAM"),
    ),
    CamMethod(
        name="layer-cam",
        title="LayerCAM",
        colour="#0072B2",
        weights=layer_cam_weights,
        needs_gradients=True,
        reference=partial(reference.library_method, "LayerCAM"),
    ),
)

METHODS: Mapping[str, CamMethod] = {method.name: method for method in _METHODS}
DEFAULT_METHODS = ("grad-cam", "grad-cam++", "ablation-cam")


def library_method(name: str) -> LibraryMethod:
    """Return the method `name` of the pytorch-grad-cam library.

    Raises ValueError if the library does not have it, ImportError if it is not installed.
    """
    load = METHODS[name].reference
    if load is None:
        raise ValueError(f"pytorch-grad-cam does not have {name!r}: use engine='fast'")
    return load()
