"""Networks with the weights of a checkpoint."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruncam import pruning
from pruncam._nn.outputs import Output, OutputError, advice_on_output, check_output
from pruncam._nn.probe import eval_mode, first_logits
from pruncam.comparison import checkpoints, preprocessing
from pruncam.comparison.checkpoints import Checkpoint
from pruncam.comparison.constructor_arguments import size_arguments
from pruncam.comparison.constructors import Constructor, find_constructor
from pruncam.comparison.folded_weights import make_plain
from pruncam.comparison.preprocessing import Preprocessing
from pruncam.comparison.weight_names import NamedWeights, find_weights

_AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")  # of torchvision's GoogLeNet and Inception


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with the weights of a checkpoint, in eval mode.

    `weights` say where in the checkpoint its weights are; `channels` and `classes` are those of a
    forward pass; `preprocessing` is that of its library, None if unknown.
    """

    network: nn.Module
    weights: NamedWeights
    channels: int
    classes: int
    preprocessing: Preprocessing | None


def load_network(
    spec: str,
    checkpoint: str | os.PathLike | None = None,
    *,
    image_size: int = 224,
    output: Output | None = None,
) -> nn.Module:
    """Return a network in eval mode, with the weights of a checkpoint.

    Parameters
    ----------
    spec : name of the network, see `constructors.find_constructor`
    checkpoint : file of torch.save or safetensors, see `build`; None: newly initialized weights,
        and the default number of classes
    image_size : side of the images in pixels, for networks whose layers depend on it
    output : selects the logits if the network returns more, see `cams.heatmaps`

    Raises
    ------
    ValueError, OSError
        If there is no such network or file, or the weights do not match the network.

    Examples
    --------
    >>> sum(weight.numel() for weight in load_network("pruncam:mnist_net").parameters())
    2346
    """
    check_output(output)
    constructor = find_constructor(spec)
    if checkpoint is None:
        return constructor.create({"image_size": image_size}).eval()
    image_shape = image_size, image_size
    return build(constructor, checkpoints.read(checkpoint), image_shape, output=output).network


def build(
    constructor: Constructor,
    checkpoint: Checkpoint,
    image_shape: tuple[int, int],
    location: str | None = None,
    output: Output | None = None,
) -> LoadedNetwork:
    """Return the network of a checkpoint, with its weights.

    The weights may be wrapped, averaged, masked or normalised, see `weight_names` and
    `folded_weights`. They may have fewer filters, as `pruning.remove_filters` leaves them. A
    constructor is called with those of `num_classes` (or `classes`), `in_channels` (or `in_chans`),
    `image_size` and `batch_norm` that are its parameters; the first two are those of the
    checkpoint.

    Parameters
    ----------
    constructor : see `constructors.find_constructor`
    checkpoint : see `checkpoints.read`
    image_shape : height and width of the images
    location : which of several weights to use, see `weight_names.find_weights`
    output : selects the logits if the network returns more, see `cams.heatmaps`

    Raises ValueError if the weights do not match the network, or the network cannot process such
    images.
    """
    facts = _facts(checkpoint, image_shape)
    try:
        facts |= size_arguments(constructor, checkpoint, facts, location)
        network = constructor.create(facts).eval()
        weights = find_weights(checkpoint, network.state_dict().keys(), location)
        example = _example_input(network, image_shape, output)
        state = _with_counters(weights.state, network)
        pruning.load_state(network, state, example_input=example, output=output)
    except ValueError as error:
        raise ValueError(f"{checkpoint.name} does not fit {constructor.spec}: {error}") from error
    return LoadedNetwork(
        network=make_plain(network),
        weights=weights,
        channels=example.shape[1],
        classes=_logits(network, example, output).shape[1],
        preprocessing=_preprocessing(constructor, network, checkpoint),
    )


def _facts(checkpoint: Checkpoint, image_shape: tuple[int, int]) -> dict[str, Any]:
    """Return the arguments of a constructor that are known before there is a network."""
    names = [name for tensors in checkpoint.groups.values() for name in tensors]
    heads = [head for head in _AUXILIARY_HEADS if any(head in name for name in names)]
    return {
        "image_size": image_shape[1],
        "batch_norm": any(name.endswith("running_mean") for name in names),
        "aux_logits": bool(heads),
    }


def _example_input(
    network: nn.Module, image_shape: tuple[int, int], output: Output | None
) -> Tensor:
    """Return an image (1, C, H, W) that the network can process, colour if it can, else grey.

    Raises ValueError if it can process neither.
    """
    errors = []
    for channels in (3, 1):
        generator = torch.Generator().manual_seed(0)
        image = torch.rand(1, channels, *image_shape, generator=generator)
        try:
            _logits(network, image, output)
        except OutputError:
            raise  # it takes such images
        except ValueError as error:
            errors.append(str(error).rstrip("."))
        else:
            return image
    raise ValueError(f"{errors[0]}; if it takes images of another size, pass that size")


def _logits(network: nn.Module, image: Tensor, output: Output | None) -> Tensor:
    with eval_mode(network), advice_on_output():
        return first_logits(network, image, output)


def _with_counters(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return the state with BatchNorm's counters of batches, which old checkpoints lack."""
    counters = {
        name: value
        for name, value in network.state_dict().items()
        if name.endswith("num_batches_tracked")
    }
    return counters | dict(state)


def _preprocessing(
    constructor: Constructor, network: nn.Module, checkpoint: Checkpoint
) -> Preprocessing | None:
    if constructor.library == "torchvision":
        return preprocessing.of_torchvision(constructor.name, checkpoint)
    return preprocessing.of_network(network)
