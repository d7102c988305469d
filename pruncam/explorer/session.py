"""One image in an unpruned and a pruned network: heatmaps, predictions, scores and a text."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pruncam import cams, metrics
from pruncam._core.machine import Machine
from pruncam._core.validation import PROFILES, check_choice, check_number
from pruncam.explorer.sources import STUDIES, StudySource, finished_sources, quick_source
from pruncam.report import plots
from pruncam.studies import samples


@dataclass(frozen=True)
class Selection:
    """A source by its title, a test image, a pruned network, a CAM and a target layer.

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
    label: str
    image: np.ndarray | None  # (H, W, 3) in [0, 1]; None if it may not be published
    credit: str  # sentence to print beneath the image; may be empty
    baseline: np.ndarray  # heatmap of the unpruned network, (H, W) in [0, 1]
    pruned: np.ndarray  # heatmap of the pruned network
    predictions: tuple[Prediction, Prediction]  # of the unpruned and the pruned network
    scores: dict[str, float]  # by the names of `metrics.SCORES`
    cells: tuple[int, int]  # height and width of the target layer's map
    study_text: str  # the study's mean score at this rate, in words

    @property
    def difference(self) -> np.ndarray:
        """Return the pruned minus the unpruned heatmap, (H, W) in [-1, 1]."""
        return self.pruned - self.baseline

    @property
    def network(self) -> str:
        """Return a short name of the pruned network."""
        rate = self.selection.rate
        return f"{self.selection.rule}, {100 * rate:g} %" if rate else "rate 0"

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
        empty = [plots.is_empty(heatmap) for heatmap in (self.baseline, self.pruned)]
        if all(empty):
            return (
                "Both heatmaps are empty: that they score as equal is a definition and says "
                "nothing about where the networks look."
            )
        if any(empty):
            return (
                "One heatmap is empty: that the scores are low is a definition and says nothing "
                "about where the networks look."
            )
        return ""

    def _image_line(self) -> str:
        sentences = [f"Test image {self.selection.image}, class {self.label}."]
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


@dataclass(frozen=True, eq=False)
class Explorer:
    """The sources that can be explored, by their titles."""

    sources: dict[str, StudySource]
    notes: tuple[str, ...] = ()  # what is not available, and how to get it

    def first_selection(self, title: str | None = None) -> Selection:
        """Return where to start in a source (None: the first source).

        This is the middle rate of the first pruning rule, the last layer with maps of at least 6x6
        cells, and the correctly classified image with the highest confidence of the unpruned
        network, preferably one whose heatmaps are not empty in either network.
        """
        title = title or next(iter(self.sources))
        check_choice("data set", title, self.sources)
        source = self.sources[title]
        methods = source.methods
        selection = Selection(
            source=title,
            image=0,
            rule=source.rules[0],
            rate=source.rates[len(source.rates) // 2],
            method="grad-cam++" if "grad-cam++" in methods else methods[0],
            layer=source.first_layer,
        )
        image = source.cached("first image", lambda: _image_with_maps(source, selection))
        return replace(selection, image=image)

    def three_rates(self, title: str | None = None, *, layer: str | None = None) -> list[Selection]:
        """Return the first selection at the lowest, the middle and the highest rate."""
        first = self.first_selection(title)
        rates = self.sources[first.source].rates
        distinct = dict.fromkeys((rates[1], first.rate, rates[-1]))
        return [replace(first, rate=rate, layer=layer or first.layer) for rate in distinct]

    def view(self, selection: Selection) -> View:
        """Return heatmaps, predictions and scores of one image in both networks.

        Raises ValueError or TypeError for a selection that does not exist, DataError if a stored
        model can no longer be read.
        """
        self._check(selection)
        source = self.sources[selection.source]
        test = source.experiment.test
        baseline, pruned = _explain_both(source, selection)
        predictions = (
            _prediction(baseline.logits, baseline.logits, test.classes),
            _prediction(pruned.logits, baseline.logits, test.classes),
        )
        baseline_map = baseline.maps[selection.method]
        pruned_map = pruned.maps[selection.method]
        credit = test.credit(selection.image)
        pixels = test.images[selection.image].permute(1, 2, 0).cpu().numpy() / 255
        return View(
            selection=selection,
            label=test.classes[int(test.labels[selection.image])],
            image=None if credit is None else pixels,
            credit=f"Picture: {credit}" if credit else "",
            baseline=baseline_map[0].cpu().numpy(),
            pruned=pruned_map[0].cpu().numpy(),
            predictions=predictions,
            scores=_scores(baseline_map, pruned_map, predictions),
            cells=source.layers[selection.layer],
            study_text=_study_text(source, selection),
        )

    def table(self, selections: list[Selection]) -> pd.DataFrame:
        """Return predictions and scores, a row per selection."""
        return pd.DataFrame([_row(self.view(selection)) for selection in selections])

    def stable(self) -> None:
        """Print what the first source offers; it is the same on every machine."""
        source = next(iter(self.sources.values()))
        test = source.experiment.test
        rates = ", ".join(f"{100 * rate:g}" for rate in source.rates)
        methods = [cams.METHODS[method].title for method in source.methods]
        layers = [source.layer_text(name) for name in source.layers]
        print(source.title)
        print(f"{len(test)} test images of {len(test.classes)} classes")
        print(f"pruned by {', '.join(source.rules)} at {rates} %")
        print(f"CAMs: {', '.join(methods)}")
        print(f"target layers: {'; '.join(layers)}")

    def _check(self, selection: Selection) -> None:
        check_choice("data set", selection.source, self.sources)
        source = self.sources[selection.source]
        check_number("image", selection.image, whole=True, at_least=0)
        last = len(source.experiment.test) - 1
        if selection.image > last:
            raise ValueError(f"image must be 0 to {last}, got {selection.image}")
        check_choice("pruning rule", selection.rule, source.rules)
        if selection.rate not in source.rates:
            options = ", ".join(f"{rate:g}" for rate in source.rates)
            raise ValueError(f"unknown rate {selection.rate!r}: choose one of {options}")
        check_choice("CAM", selection.method, source.methods)
        check_choice("target layer", selection.layer, source.layers)


def open_explorer(
    profile: str = "quick",
    *,
    device: str = "auto",
    data_dir: str | None = None,
    progress: bool = True,
) -> Explorer:
    """Return all sources available on this machine, those of `profile` first.

    A data set of a finished study is available if its models are in the store and its images can be
    loaded. The first data set of sp2ps in the profile quick is always available: if its models are
    not in the store, they are trained, which takes some ten seconds on two cores.

    Raises ValueError for an unknown profile or device.
    """
    check_choice("profile", profile, PROFILES)
    machine = Machine(device=device, data_dir=data_dir)
    available = [quick_source(machine, progress)]
    for source in finished_sources(machine):
        if source.title != available[0].title:
            available.append(source)
    ordered = sorted(available, key=lambda source: source.profile != profile)
    return Explorer({source.title: source for source in ordered}, _notes(available))


def _notes(available: list[StudySource]) -> tuple[str, ...]:
    """Return how to get the studies that are not available."""
    present = {(source.study, source.profile) for source in available}
    return tuple(
        f"{study}, profile {profile}: not available; "
        f"`make reproduce PROFILE={profile} STUDY={study}` trains its models"
        for profile in PROFILES
        for study in STUDIES
        if (study, profile) not in present
    )


def _image_with_maps(source: StudySource, selection: Selection) -> int:
    """Return the image to open first: the most confident one with heatmaps in both networks."""

    def has_maps(image: int) -> bool:
        of_image = replace(selection, image=image)
        for explanation in _explain_both(source, of_image):
            if cams.is_empty(explanation.maps[selection.method]).any():
                return False
        return True

    return samples.most_confident(source.experiment, has_maps)


def _explain_both(
    source: StudySource, selection: Selection
) -> tuple[cams.Explanation, cams.Explanation]:
    """Return the explanations of the unpruned (cached) and of the pruned network."""
    key = (selection.image, selection.method, selection.layer)
    with _one_thread():
        unpruned = replace(selection, rate=0.0)
        baseline = source.cached(key, lambda: _explain(source, unpruned))
        pruned = _explain(source, selection) if selection.rate else baseline
    return baseline, pruned


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: for a single image, more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _explain(source: StudySource, selection: Selection) -> cams.Explanation:
    experiment = source.experiment
    x = experiment.network_input(experiment.test.images[selection.image][None])
    model = source.model(selection.rule, selection.rate)
    return cams.explain(model, x, methods=[selection.method], target_layer=selection.layer)


def _prediction(logits: Tensor, baseline_logits: Tensor, classes: tuple[str, ...]) -> Prediction:
    probabilities = logits[0].float().softmax(0)
    top = int(probabilities.argmax())
    baseline_top = int(baseline_logits[0].argmax())
    return Prediction(classes[top], float(probabilities[top]), float(probabilities[baseline_top]))


def _scores(
    baseline_map: Tensor, pruned_map: Tensor, predictions: tuple[Prediction, Prediction]
) -> dict[str, float]:
    """Return every score of one pair of heatmaps, (1, H, W) each."""
    unpruned, pruned = predictions
    scores = metrics.pair_scores(
        baseline_map,
        pruned_map,
        baseline_map.new_tensor([unpruned.shared_confidence]),
        baseline_map.new_tensor([pruned.shared_confidence]),
    )
    return {name: float(values[0]) for name, values in scores.items()}


def _row(view: View) -> dict[str, Any]:
    _, pruned = view.predictions
    facts = {
        "image": view.selection.image,
        "class": view.label,
        "network": view.network,
        "prediction": pruned.class_name,
        "confidence": pruned.confidence,
        "in the unpruned network's class": pruned.shared_confidence,
    }
    return facts | {title: view.scores[name] for name, title in metrics.SCORES.items()}


def _study_text(source: StudySource, selection: Selection) -> str:
    """Return the study's mean score at this rate in words; it refers to the study's layer."""
    name = source.kind.score
    title = metrics.SCORES[name]
    if not selection.rate:
        return f"The study's curve starts here: compared with itself, a network has {title} 1."
    row = source.curve_point(selection.rule, selection.rate, selection.method)
    interval = f"95 % interval {row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}"
    layer = "" if selection.layer == source.study_layer else f", at layer {source.study_layer}"
    return (
        f"Mean {title} of all test images at this rate{layer}: {row[name]:.3f} ({interval}); "
        f"accuracy {row['accuracy']:.1f} %."
    )
