"""Settings of a comparison, and the normalisation of its images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pruncam import cams
from pruncam._core.validation import check_number, check_seed, check_seeds, is_number, short_repr
from pruncam.cams.validation import check_methods
from pruncam.comparison.preprocessing import Preprocessing
from pruncam.training import Recipe

_MOST = 1e6  # of mean and deviation of pixels, whatever the unit
_LEAST_DEVIATION = 1e-6


def option(default: Any, **metadata: str) -> Any:
    """Return a dataclass field that the command line offers as an option.

    `metadata` are the `help` text, the `metavar`, and `option`, the option's name if it is not the
    field's.
    """
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Settings of a comparison of two networks.

    `mean` and `std` normalise pixels in [0, 1], by one number or one per channel; None: those of
    the network's library, if it is torchvision's or timm's. ROAD tells on `faithfulness_images`
    images whether the maps of both networks are faithful; 0: not tested. On `layer_images` images
    the maps are read at other layers, too; 0: at none. `epochs`, `learning_rate`
    and `batch_size` describe how the pruned network was fine-tuned (SGD, momentum 0.9). The noise
    floor fine-tunes the unpruned baseline in the same way, once per seed in `seeds`; each seed also
    gives a network with random weights. `moved` is the number of images listed per CAM in the table
    of that name.

    Raises ValueError or TypeError for invalid values.
    """

    methods: tuple[str, ...] = option(cams.DEFAULT_METHODS, metavar="CAM", help="CAM methods")
    target_layer: str | None = option(
        None,
        metavar="NAME",
        help="name of the target layer (default: the last one with maps of at least 4x4 cells)",
    )
    mean: tuple[float, ...] | None = option(
        None,
        metavar="X",
        help="mean of the pixels in [0, 1], as in training (default: that of the network's "
        "library; required for other networks)",
    )
    std: tuple[float, ...] | None = option(
        None, metavar="X", help="standard deviation of the pixels, likewise"
    )
    faithfulness_images: int = option(
        0,
        metavar="N",
        option="--faithfulness",
        help="test on N images whether the maps mark pixels that matter (ROAD; some 3 s for each "
        "map at 224 pixels)",
    )
    layer_images: int = option(
        64,
        metavar="N",
        option="--layers",
        help="compare up to two other target layers on N images; 0: none",
    )
    epochs: int = option(1, metavar="N", help="epochs of the fine-tuning, used with --train")
    learning_rate: float = option(
        0.001, metavar="X", help="learning rate of the fine-tuning", option="--lr"
    )
    batch_size: int = option(32, metavar="N", help="batch size of the fine-tuning")
    seeds: tuple[int, ...] = option(
        (1, 2), metavar="SEED", help="seeds of the fine-tuned and random networks"
    )
    seed: int = 0  # of the bootstrap
    bootstrap: int = 1000  # samples
    moved: int = 12

    def __post_init__(self) -> None:
        check_methods(self.methods)
        if not isinstance(self.target_layer, str | None):
            kind = type(self.target_layer).__name__
            raise TypeError(f"target_layer must be a dotted name or None, got {kind}")
        self._check_normalisation()
        check_number("faithfulness_images", self.faithfulness_images, whole=True, at_least=0)
        check_number("layer_images", self.layer_images, whole=True, at_least=0)
        check_number("moved", self.moved, whole=True, at_least=1)
        object.__setattr__(self, "seed", check_seed(self.seed))
        check_number("bootstrap", self.bootstrap, whole=True, at_least=100)
        object.__setattr__(self, "seeds", check_seeds(self.seeds))
        _ = self.recipe  # raises an error for an invalid recipe

    def _check_normalisation(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together: pass both or neither")
        if self.mean is None or self.std is None:
            return
        for name, values in (("mean", self.mean), ("std", self.std)):
            is_list = isinstance(values, Sequence) and not isinstance(values, str | bytes)
            if not is_list or not values or not all(is_number(value) for value in values):
                raise TypeError(
                    f"{name} must be one number, or one per channel, in a tuple, "
                    f"got {short_repr(values)}"
                )
            if not all(abs(value) <= _MOST for value in values):  # NaN fails, too
                raise ValueError(f"{name} must be finite, got {short_repr(values)}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {min(self.std)}")
        if min(self.std) < _LEAST_DEVIATION:
            raise ValueError(f"std must be at least {_LEAST_DEVIATION:g}, got {min(self.std):g}")

    @property
    def recipe(self) -> Recipe:
        """Return the recipe of the fine-tuning."""
        return Recipe(((self.epochs, self.learning_rate),), self.batch_size)

    def normalisation(self, channels: int, known: Preprocessing | None = None) -> "Normalisation":
        """Return the module that turns pixels in [0, 1] into network input.

        Raises what `mean_and_std` does.
        """
        return Normalisation(*self.mean_and_std(channels, known))

    def mean_and_std(
        self, channels: int, known: Preprocessing | None = None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and deviation of pixels in [0, 1], for one or for each channel.

        `known` is the preprocessing of the network's library, which `mean` and `std` override.
        Raises ValueError if neither gives mean and std, or they do not fit the number of channels.
        """
        if self.mean is not None and self.std is not None:
            mean, std = self.mean, self.std
        elif known is not None and len(known.mean) == channels:
            mean, std = known.mean, known.std
        else:
            raise ValueError(
                f"it is not known how the {channels} channels of the images are normalised for "
                "this network: pass mean and std as in its training (0 and 1 for pixels in [0, 1])"
            )
        for name, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, channels):
                raise ValueError(
                    f"{name} must have 1 or {channels} numbers, one per channel, got {len(values)}"
                )
        return tuple(mean), tuple(std)


class Normalisation(nn.Module):
    """Normalisation of images (N, C, H, W) in [0, 1] by the mean and deviation of each channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images."""
        return (images - self.mean) / self.std
