"""A view: one image in an unpruned and a pruned network, in heatmaps, scores and words."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pruncam import cams, metrics
from pruncam.report import plots


@dataclass(frozen=True)
class Selection:
    """A source by its title, an image, a pruned network, a CAM and a target layer.

    `image` is the number of a test image, or of a picture of one's own, which come after them.
    `rate` 0 is the unpruned network itself; `layer` is the dotted name of the target layer.
    """

    source: str
    image: int
    rule: str
    rate: float
    method: str
    layer: str


@dataclass(frozen=True)
class Prediction:
    """The predicted class of a network with its confidence, in [0, 1].

    `shared_confidence` is its confidence in the class that the unpruned network predicts.
    """

    class_name: str
    confidence: float
    shared_confidence: float


@dataclass(frozen=True, eq=False)
class View:
    """One image, seen by the unpruned and a pruned network."""

    selection: Selection
    label: str  # the image's class; empty for a picture of one's own
    image: np.ndarray | None  # (H, W, 3) in [0, 1]; None if it may not be published
    credit: str  # sentence to print beneath the image; may be empty
    baseline: np.ndarray  # heatmap of the unpruned network, (H, W) in [0, 1]
    pruned: np.ndarray  # heatmap of the pruned network
    predictions: tuple[Prediction, Prediction]  # of the unpruned and the pruned network
    scores: dict[str, float]  # by the names of `metrics.SCORES`
    cells: tuple[int, int]  # height and width of the target layer's map
    study_text: str  # the study's mean score at this rate, in words
    file: str = ""  # the file of a picture of one's own

    @property
    def difference(self) -> np.ndarray:
        """Return the pruned minus the unpruned heatmap, (H, W) in [-1, 1]."""
        return self.pruned - self.baseline

    @property
    def network(self) -> str:
        """Return a short name of the pruned network."""
        rate = self.selection.rate
        return f"{self.selection.rule}, {100 * rate:g} %" if rate else "rate 0"

    @property
    def image_name(self) -> str:
        """Return the image in words: its number and class, or its file."""
        if self.file:
            return f"your picture {self.file}"
        return f"test image {self.selection.image}, class {self.label}"

    @property
    def network_in_words(self) -> str:
        """Return the pruned network in words."""
        selection = self.selection
        if not selection.rate:
            return "the unpruned network"
        return f"the network pruned by {selection.rule} at {100 * selection.rate:g} %"

    @property
    def empty_maps(self) -> str:
        """Return the network whose heatmap is empty: "none", "unpruned", "pruned" or "both"."""
        empty = [plots.is_empty(heatmap) for heatmap in (self.baseline, self.pruned)]
        if all(empty):
            return "both"
        return "unpruned" if empty[0] else "pruned" if empty[1] else "none"

    def pixel_text(self, row: int, column: int) -> str:
        """Return the values of both heatmaps at a pixel, counted from 0 at the top left."""
        unpruned, pruned = self.baseline[row, column], self.pruned[row, column]
        return (
            f"Pixel in row {row}, column {column}: unpruned {unpruned:.2f}, pruned {pruned:.2f}, "
            f"difference {pruned - unpruned:+.2f}."
        )

    @cached_property
    def text(self) -> str:
        """Return all that the images show, in words and numbers, one line per fact."""
        unpruned, _ = self.predictions
        lines = [
            self._image_line(),
            f"The unpruned network predicts {unpruned.class_name} ({unpruned.confidence:.1%}).",
            self._pruned_line(),
            self._scores_line(),
        ]
        for name, heatmap in (("unpruned", self.baseline), ("pruned", self.pruned)):
            if plots.is_empty(heatmap):
                lines.append(
                    f"The heatmap of the {name} network is empty: "
                    "nothing at this layer supports its prediction."
                )
        if self.empty_text:
            lines.append(self.empty_text)
        return "\n".join([*lines, self.study_text])

    @property
    def empty_text(self) -> str:
        """Return what the scores of empty heatmaps mean, in words; empty if both have contrast."""
        empty = self.empty_maps
        if empty == "both":
            return (
                "Both heatmaps are empty: that they score as equal is a definition and says "
                "nothing about where the networks look."
            )
        if empty != "none":
            return (
                "One heatmap is empty: that the scores are low is a definition and says nothing "
                "about where the networks look."
            )
        return ""

    def _image_line(self) -> str:
        name = self.image_name
        sentences = [f"{name[0].upper()}{name[1:]}."]
        if self.image is None:
            sentences.append("Its licence does not allow the image to be shown.")
        if self.credit:
            sentences.append(f"{self.credit}.")
        return " ".join(sentences)

    def _pruned_line(self) -> str:
        _, pruned = self.predictions
        network = f"The network pruned by {self.selection.rule} at {100 * self.selection.rate:g} %"
        if not self.selection.rate:
            network = "At rate 0 the second network is the same: it"
        return (
            f"{network} predicts {pruned.class_name} ({pruned.confidence:.1%}); its confidence in "
            f"the class predicted by the unpruned network is {pruned.shared_confidence:.1%}."
        )

    def _scores_line(self) -> str:
        method = cams.METHODS[self.selection.method].title
        height, width = self.cells
        scores = [f"{title} {self.scores[name]:.3f}" for name, title in metrics.SCORES.items()]
        return (
            f"{method} at layer {self.selection.layer} ({height} x {width} cells): "
            f"{', '.join(scores)}."
        )
