"""The record that a profile holds for each data set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSpec:
    """A data set of a paper, and the images and network used for it.

    Raises ValueError if a number is out of range.
    """

    paper: (
        str  # the paper's name of the data set, or a name of ours for a data set it does not have
    )
    source: str  # name of the images in `datasets.catalog`
    size: int | None = None  # side of the images in pixels; None keeps their size
    width: int | None = None  # filters of the network's first convolution
    min_accuracy: float = 0.0  # baseline accuracy in % below which no claim is tested
    weights: str | None = None  # reference network that is the baseline; None trains one
    target_layer: str | None = None  # dotted name of the layer whose maps are read; None: default

    def __post_init__(self):
        if self.size is not None and self.size < 1:
            raise ValueError(f"{self.paper}: size must be at least 1 pixel, got {self.size}")
        if self.width is not None and self.width < 1:
            raise ValueError(f"{self.paper}: width must be at least 1 filter, got {self.width}")
        if not 0 <= self.min_accuracy <= 100:
            raise ValueError(
                f"{self.paper}: min_accuracy is a percentage from 0 to 100, got {self.min_accuracy}"
            )
