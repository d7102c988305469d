"""The record that a profile holds for each data set."""

from dataclasses import dataclass

from pruncam._core.validation import check_number, short_repr


@dataclass(frozen=True)
class DatasetSpec:
    """A data set of a paper, and the images and network used for it.

    Raises TypeError or ValueError if a name is no text, or a number out of range.
    """

    paper: (
        str  # the paper's name of the data set, or a name of ours for a data set it does not have
    )
    source: str  # name of the images in `datasets.catalog`
    size: int | None = None  # side of the images in pixels; None keeps their size
    width: int | None = None  # filters of the network's first convolution
    min_accuracy: float = 0.0  # baseline accuracy in % below which no claim is tested
    weights: str | None = None  # reference network that is the baseline; None trains one
    replicate_cycles: int | None = None  # of its recipe, for further baselines; None: all
    target_layer: str | None = None  # dotted name of the layer whose maps are read; None: default

    def __post_init__(self):
        for name in ("paper", "source"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a name, got {short_repr(getattr(self, name))}")
        for name in ("weights", "target_layer"):
            if not isinstance(getattr(self, name), str | None):
                value = short_repr(getattr(self, name))
                raise TypeError(f"{self.paper}: {name} must be a name or None, got {value}")
        for name, unit in (("size", "pixel"), ("width", "filter"), ("replicate_cycles", "cycle")):
            value = getattr(self, name)
            if value is not None:
                check_number(f"{self.paper}: {name}", value, whole=True)
            if value is not None and value < 1:
                raise ValueError(f"{self.paper}: {name} must be at least 1 {unit}, got {value}")
        if self.replicate_cycles is not None and self.weights is None:
            raise ValueError(f"{self.paper}: replicate_cycles needs the weights of a network")
        check_number(f"{self.paper}: min_accuracy", self.min_accuracy)
        if not 0 <= self.min_accuracy <= 100:
            raise ValueError(
                f"{self.paper}: min_accuracy is a percentage from 0 to 100, got {self.min_accuracy}"
            )
