"""Reference networks: trained weights that come with the package, each with a card.

A card is a YAML file with the network, the images, the recipe and the seed, from which `make
weights` trains the network, and with the facts that it has written about the result. The weights
are a safetensors file in half precision, which changes a logit by about a thousandth.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml
from torch import nn

from pruncam._core import paths
from pruncam._core.commands import command
from pruncam._core.store import write_text_atomically
from pruncam._core.text_files import INSTALL_AGAIN, read_yaml
from pruncam._core.validation import check_choice
from pruncam.networks.architectures import cifar_net, stl_net, vgg11

_ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "cifar_net": cifar_net,
    "stl_net": stl_net,
    "vgg11": vgg11,
}


@dataclass(frozen=True)
class Card:
    """The card of a reference network.

    Parameters
    ----------
    name : name of the network; its files are <name>.yaml and <name>.safetensors
    title : one phrase for texts and captions
    network : name of the architecture and its arguments
    inputs : mean and std with which images in [0, 1] are normalised
    data : `source` in the catalogue of data sets, `size` of the images in pixels, and the numbers
        of `train_images` and `test_images` that are used, from the first one on (None: all)
    recipe : arguments of `training.Recipe`; `one_cycle` holds those of `training.OneCycle`, or a
        list of cycles, each of which starts from the weights of the one before, rounded to half
        precision
    seed : of initial weights, batch order and augmentation
    precision : "float32", "bfloat16" or "auto"
    result : facts of the training: accuracy on both splits in %, number of parameters, size and
        checksum of the weights, checksums of the images, device and versions; empty before it
    unfinished : facts of a training of which only the first cycles are done: their number, the key
        and precision of their training, the accuracy on the test images in %, and the checksum of
        the weights
    """

    name: str
    title: str
    network: Mapping[str, Any]
    inputs: Mapping[str, Any]
    data: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seed: int
    precision: str
    result: Mapping[str, Any] = field(default_factory=dict)
    unfinished: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Return the path of the weights."""
        return weights_folder() / f"{self.name}.safetensors"

    @property
    def unfinished_file(self) -> Path:
        """Return the path of the weights after the first cycles; `load` never returns them."""
        return weights_folder() / f"{self.name}.unfinished.safetensors"

    def build(self) -> nn.Module:
        """Return the network without its trained weights."""
        arguments = dict(self.network)
        architecture = arguments.pop("name")
        return _ARCHITECTURES[architecture](**arguments)

    def save(self) -> None:
        """Write the card into the package, as YAML."""
        keys = [entry.name for entry in fields(self) if entry.name != "name"]
        values = {key: getattr(self, key) for key in keys}
        for key in ("result", "unfinished"):
            if not values[key]:
                del values[key]
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
        write_text_atomically(_card_file(self.name), text)


def weights_folder() -> Path:
    """Return the folder of the package that holds weights and cards."""
    return paths.package_folder() / "weights"


def cards() -> tuple[str, ...]:
    """Return the names of all cards, with or without weights, in alphabetical order."""
    return tuple(sorted(path.stem for path in weights_folder().glob("*.yaml")))


def names() -> tuple[str, ...]:
    """Return the names that `load` accepts, in alphabetical order."""
    weights = {path.stem for path in weights_folder().glob("*.safetensors")}
    return tuple(name for name in cards() if name in weights)


def card(name: str) -> Card:
    """Return the card of a reference network. Raises ValueError if the name is unknown."""
    check_choice("reference network", name, cards())
    values = read_yaml(_card_file(name), INSTALL_AGAIN)
    return Card(name=name, **values)


def load(name: str) -> nn.Module:
    """Return a trained reference network in float32, in eval mode, on the CPU.

    Raises ValueError if the name is unknown or the weights are not those that the card describes.

    Examples
    --------
    >>> sorted(names()) == list(names())
    True
    """
    check_choice("reference network", name, names())
    description = card(name)
    content = description.file.read_bytes()
    if checksum(content) != description.result.get("sha256"):
        raise ValueError(
            f"{description.file.name} is not the file that its card describes: "
            f"install pruncam again or run {command('weights', NAME=name)}"
        )
    network = description.build()
    network.load_state_dict(safetensors.torch.load(content))  # half precision becomes float32
    return network.eval()


def checksum(content: bytes) -> str:
    """Return the SHA-256 (hex) of the content of a file."""
    return hashlib.sha256(content).hexdigest()


def _card_file(name: str) -> Path:
    return weights_folder() / f"{name}.yaml"
