"""Training recipes: optimiser, learning rates, augmentation, and the input of the network."""

import math
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from pruncam._core.validation import check_choice, check_number, is_number, short_repr
from pruncam.datasets import noise

_LEAST_STD, _MOST = 1e-6, 1e6  # of pixels, in whatever unit
OPTIMIZERS = ("sgd", "nesterov", "adam")


@dataclass(frozen=True)
class OneCycle:
    """A learning rate that rises once to a peak and falls to zero (Smith & Topin 2019).

    It rises linearly from zero during the first `warmup` of the training, then falls along half a
    cosine. It changes with every batch, to its value in the middle of the batch's time.

    Parameters
    ----------
    epochs : epochs of the whole training
    peak : the largest learning rate
    warmup : share of the training during which the rate rises, in (0, 1)
    cutout : side of a square of black pixels put on each image in every epoch, 0 for none
        Its centre is drawn from all pixels of the image, in every epoch again; what lies outside
        of the image is cut off (DeVries & Taylor 2017).
    """

    epochs: int
    peak: float
    warmup: float = 0.2
    cutout: int = 0

    def __post_init__(self) -> None:
        check_number("epochs", self.epochs, whole=True, at_least=1)
        check_number("peak", self.peak)
        check_number("warmup", self.warmup)
        check_number("cutout", self.cutout, whole=True, at_least=0)
        if not (0 < self.peak < math.inf and 0 < self.warmup < 1):
            raise ValueError(
                "a one-cycle schedule needs a finite peak above 0 and a warmup in (0, 1), "
                f"got {self.peak} and {self.warmup}"
            )

    def batch_rates(self, epoch: int, batches: int) -> list[float]:
        """Return the learning rate of every batch of an epoch; epochs count from 0."""
        total = self.epochs * batches
        start = epoch * batches
        return [self._rate((start + batch + 0.5) / total) for batch in range(batches)]

    def cutout_in(self, epoch: int) -> int:
        """Return the side of the square put on the images of an epoch; epochs count from 0."""
        return self.cutout

    def _rate(self, progress: float) -> float:
        """Return the learning rate after a share `progress` of the training."""
        if progress < self.warmup:
            return self.peak * progress / self.warmup
        fall = (progress - self.warmup) / (1 - self.warmup)
        return self.peak * (1 + math.cos(math.pi * fall)) / 2


@dataclass(frozen=True)
class WarmRestarts:
    """One-cycle schedules one after another (Loshchilov & Hutter 2017).

    Each cycle starts from the weights of the one before, without its momentum: the cycles of a long
    training may be run, and kept, one by one.
    """

    cycles: tuple[OneCycle, ...]

    def __post_init__(self) -> None:
        cycles = self.cycles
        are_cycles = isinstance(cycles, tuple) and all(isinstance(c, OneCycle) for c in cycles)
        if not are_cycles:
            raise TypeError(
                f"warm restarts need a tuple of OneCycle schedules, got {short_repr(cycles)}"
            )
        if not cycles:
            raise ValueError("warm restarts need at least one cycle, got none")

    @property
    def epochs(self) -> int:
        """Return the number of epochs of the whole training."""
        return sum(cycle.epochs for cycle in self.cycles)

    @property
    def starts(self) -> list[int]:
        """Return the first epoch of every cycle."""
        return [sum(cycle.epochs for cycle in self.cycles[:k]) for k in range(len(self.cycles))]

    def batch_rates(self, epoch: int, batches: int) -> list[float]:
        """Return the learning rate of every batch of an epoch; epochs count from 0."""
        number = self._cycle_of(epoch)
        return self.cycles[number].batch_rates(epoch - self.starts[number], batches)

    def cutout_in(self, epoch: int) -> int:
        """Return the side of the square put on the images of an epoch; epochs count from 0."""
        return self.cycles[self._cycle_of(epoch)].cutout

    def _cycle_of(self, epoch: int) -> int:
        return max(k for k, start in enumerate(self.starts) if start <= epoch)


@dataclass(frozen=True)
class Steps:
    """A learning rate that changes in steps, after whole epochs.

    `phases` are (epochs, learning rate) pairs: ((8, 0.01), (2, 0.001)) is ten epochs.
    """

    phases: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        if not _are_phases(self.phases):
            raise ValueError(
                "a schedule is (epochs, learning rate) pairs, both above 0 and epochs whole, "
                f"such as ((8, 0.01), (2, 0.001)), got {short_repr(self.phases)}"
            )

    @property
    def epochs(self) -> int:
        """Return the number of epochs of the whole training."""
        return sum(epochs for epochs, _ in self.phases)

    def batch_rates(self, epoch: int, batches: int) -> list[float]:
        """Return the learning rate of every batch of an epoch; epochs count from 0."""
        rates = [rate for epochs, rate in self.phases for _ in range(epochs)]
        return [rates[epoch]] * batches

    def cutout_in(self, epoch: int) -> int:
        """Return 0: the papers' recipes have no cutout."""
        return 0


@dataclass(frozen=True)
class Recipe:
    """Optimiser, learning rates and augmentation of a training.

    Parameters
    ----------
    schedule : (epochs, learning rate) pairs in order, a `OneCycle`, or `WarmRestarts`
        ((8, 0.01), (2, 0.001)) is ten epochs with a learning rate that changes in steps.
    batch_size : images per step
    momentum : of "sgd" and "nesterov", in [0, 1); "adam" has none
    weight_decay : L2 penalty on all parameters
    optimizer : "sgd", "nesterov" (SGD with Nesterov's momentum) or "adam"
    shift : largest shift of an image, in pixels
        Each image is padded with this many black pixels on every side and cropped to its size at a
        random position, in every epoch again.
    mirror : whether each image is flipped from left to right with probability 1/2 in every epoch
    label_smoothing : share of the target probability spread over all classes, in [0, 1)
    """

    schedule: tuple[tuple[int, float], ...] | OneCycle | WarmRestarts
    batch_size: int
    momentum: float = 0.9
    weight_decay: float = 0.0
    optimizer: str = "sgd"
    shift: int = 0
    mirror: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _ = self.rates  # checks the schedule
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_number("batch_size", self.batch_size, whole=True, at_least=1)
        check_number("shift", self.shift, whole=True, at_least=0)
        if not isinstance(self.mirror, bool):
            raise TypeError(f"mirror must be True or False, got {short_repr(self.mirror)}")
        check_number("momentum", self.momentum)
        check_number("weight_decay", self.weight_decay)
        if not (0 <= self.momentum < 1 and 0 <= self.weight_decay < math.inf):
            raise ValueError(
                "momentum must be in [0, 1) and weight_decay not negative, "
                f"got {self.momentum}, {self.weight_decay}"
            )
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise ValueError("optimizer 'nesterov' needs a momentum above 0, got 0")
        check_number("label_smoothing", self.label_smoothing)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")

    @cached_property
    def rates(self) -> Steps | OneCycle | WarmRestarts:
        """Return the learning rates by epoch and batch."""
        if isinstance(self.schedule, OneCycle | WarmRestarts):
            return self.schedule
        return Steps(self.schedule)

    @property
    def restarts(self) -> list[int]:
        """Return the epochs before which the optimiser forgets its momentum."""
        return self.rates.starts[1:] if isinstance(self.rates, WarmRestarts) else []

    @property
    def epochs(self) -> int:
        """Return the number of epochs of the whole training."""
        return self.rates.epochs

    @property
    def moves(self) -> bool:
        """Return whether images are shifted or mirrored."""
        return self.shift > 0 or self.mirror


def _are_phases(phases: object) -> bool:
    if not isinstance(phases, tuple | list):
        return False
    return len(phases) > 0 and all(_is_phase(phase) for phase in phases)


def _is_phase(phase: object) -> bool:
    """Return whether `phase` is one (epochs, learning rate) pair."""
    if not isinstance(phase, tuple | list) or len(phase) != 2:
        return False
    epochs, rate = phase
    if not is_number(epochs, whole=True) or not is_number(rate):
        return False
    return epochs >= 1 and 0 < rate < math.inf


@dataclass(frozen=True)
class Inputs:
    """The steps from uint8 images to network input: background noise, [0, 1], normalisation.

    Parameters
    ----------
    noise : the largest grey level that a zero pixel may get, 0 for no noise
        51 is a fifth of the range.
    mean, std : of the images in [0, 1]; the network gets (image - mean) / std
    """

    noise: int = 0
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        check_number("noise", self.noise, whole=True)
        check_number("mean", self.mean)
        check_number("std", self.std)
        is_grey_level = 0 <= self.noise <= 255
        is_scale = _LEAST_STD <= self.std <= _MOST and abs(self.mean) <= _MOST
        if not (is_grey_level and is_scale):
            got = ", ".join(map(short_repr, (self.noise, self.mean, self.std)))
            raise ValueError(
                "noise must be a grey level from 0 to 255, mean finite and std positive, "
                f"neither of them huge nor the latter tiny, got {got}"
            )

    def add_noise(
        self,
        images: Tensor,
        indices: Tensor,
        key: int,
    ) -> Tensor:
        """Return the images (N, 1, H, W) with noise from stream `key`, still uint8.

        `indices` (N,) are their positions in the data set.
        """
        return noise.background(images, indices, key=key, level=self.noise)

    def normalize(self, images: Tensor) -> Tensor:
        """Return uint8 images as float32 network input."""
        return images.float() * self.scale + self.offset

    @property
    def scale(self) -> float:
        """Return the factor from a grey level to network input."""
        return 1 / (255 * self.std)

    @property
    def offset(self) -> float:
        """Return the network input of a black pixel."""
        return -self.mean / self.std
