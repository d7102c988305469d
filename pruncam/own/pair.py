"""The two networks and the pictures of a comparison, from files or from memory."""

import os
from dataclasses import dataclass
from pathlib import PurePath

import torch
from torch import nn

from pruncam.cams.passes import placed_like, survey
from pruncam.choices import check_model
from pruncam.forward import as_evaluated, first_logits
from pruncam.own import checkpoints, networks, pictures
from pruncam.own.pictures import Pictures
from pruncam.own.settings import Normalisation
from pruncam.studies.study import Machine


@dataclass(frozen=True)
class Files:
    """Where two checkpoints and their pictures are, as `load` takes them: `load(**vars(files))`."""

    baseline: str | os.PathLike
    pruned: str | os.PathLike
    model: str
    data: str | os.PathLike
    train: str | os.PathLike | None = None


@dataclass(frozen=True, eq=False)
class Pair:
    """Two networks of the same classes, and the pictures they are compared on.

    `training` is for the noise floor, None: there is none. `origin` says where all came from, for the manifest.
    """

    baseline: nn.Module
    pruned: nn.Module
    pictures: Pictures
    training: Pictures | None = None
    origin: dict | None = None

    def __post_init__(self):
        check_model(self.baseline, "baseline")
        check_model(self.pruned, "pruned")
        if self.training is not None and self.training.images.classes != self.pictures.images.classes:
            raise ValueError(
                f"the training pictures have other classes ({_listed(self.training)}) than the pictures to score "
                f"({_listed(self.pictures)}): use the same sub-folders"
            )

    @property
    def device(self) -> torch.device:
        return next(self.baseline.parameters()).device


def load(
    baseline: str | os.PathLike,
    pruned: str | os.PathLike,
    model: str,
    data: str | os.PathLike,
    *,
    train: str | os.PathLike | None = None,
    size: int | None = None,
    images: int | None = None,
    machine: Machine | None = None,
) -> Pair:
    """Two checkpoints and a folder of pictures, ready to be compared.

    Parameters
    ----------
    baseline, pruned : files that `torch.save` wrote, see `checkpoints.read`; the pruned one may have masks, zeros or
        fewer filters
    model : the network of both, see `networks.build`
    data, train : folders, zips or tars with a sub-folder of pictures for each class, see `pictures.read`
    size : pixels of the pictures' side; None: as they are
    images : at most so many pictures of `data`, from every class in turn
    machine : where the networks are

    Raises
    ------
    ValueError, TypeError, OSError, DataError
        In one sentence, where something is missing, damaged or does not fit the rest.
    """
    device, found = (machine or Machine()).torch_device, [checkpoints.read(path) for path in (baseline, pruned)]
    one, other = found
    if one.classes != other.classes:
        raise ValueError(
            f"the checkpoints must have the same classes, {one.name} has {one.classes}, {other.name} {other.classes}"
        )
    how = {"channels": one.channels, "size": size}
    shown = pictures.read(data, limit=images, **how)
    training = None if train is None else pictures.read(train, split="train", **how)
    side = shown.images.images.shape[-1]
    made = [networks.build(model, checkpoint, side).to(device).eval() for checkpoint in found]
    place, _, name = model.rpartition(":")
    origin = {
        "model": f"{PurePath(place).name}:{name}",
        "checkpoints": [{"name": c.name, "bytes": c.size, "sha256": c.sha256} for c in found],
    }
    return Pair(*made, shown, training, origin)


def check(pair: Pair, normalisation: Normalisation, target_layer: str | None) -> None:
    """Refuse a pair that cannot be compared: other classes than the pictures, or a target layer without any extent.

    Raises ValueError in one sentence.
    """
    images = pair.pictures.images
    x = normalisation(images.images[:1].cpu().float() / 255)
    for name, model in (("baseline", pair.baseline), ("pruned network", pair.pruned)):
        classes, extent = _seen(model, x, target_layer)
        if classes != len(images.classes):
            raise ValueError(
                f"the {name} has {classes} classes, the pictures have {len(images.classes)} "
                f"({_listed(pair.pictures)}): there must be one sub-folder for each class"
            )
        if extent == (1, 1):
            raise ValueError(
                f"the {name}'s target layer {target_layer or '(its last convolution)'} gives maps of one pixel for "
                f"images of {x.shape[-2]}x{x.shape[-1]}: name an earlier one as target layer, or give a larger size"
            )


def _seen(model: nn.Module, x: torch.Tensor, target_layer: str | None) -> tuple[int, tuple[int, ...]]:
    """How many classes a network has, and the height and width of what its target layer gives."""
    extents = []
    with as_evaluated(model):
        x = placed_like(model, x)
        layout = survey(model, x, target_layer)
        handle = layout.layer.register_forward_hook(lambda module, inputs, output: extents.append(output.shape[2:]))
        try:
            first_logits(model, x)
        finally:
            handle.remove()
    return layout.classes, tuple(extents[0])


def _listed(pictures: Pictures) -> str:
    """The first names of the classes."""
    names = pictures.images.classes
    return ", ".join(names[:4]) + (", and so on" if len(names) > 4 else "")
