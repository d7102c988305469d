"""The explorer: what can be selected, and the view of a selection."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from pruncam import cams, metrics
from pruncam._core.machine import Machine
from pruncam._core.validation import PROFILES, check_choice, check_number
from pruncam.explorer import ranking, view_codes
from pruncam.explorer.pictures import picture
from pruncam.explorer.sources import (
    STUDIES,
    StudySource,
    digits_source,
    finished_sources,
    quick_source,
)
from pruncam.explorer.view import Prediction, Selection, View
from pruncam.studies import samples

_UPLOAD = "a picture of your own must be uploaded first"


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

    def every_rate(self, selection: Selection) -> list[Selection]:
        """Return a selection at every rate of its source, the unpruned network first."""
        return [replace(selection, rate=rate) for rate in self.sources[selection.source].rates]

    def every_method(self, selection: Selection) -> list[Selection]:
        """Return a selection by every CAM of its source."""
        methods = self.sources[selection.source].methods
        return [replace(selection, method=method) for method in methods]

    def images(self, selection: Selection, shown: str = ranking.ALL) -> list[int]:
        """Return the test images that `shown` asks for, see `ranking.images`."""
        self._check(selection)
        check_choice("choice of images", shown, ranking.SHOWN)
        return ranking.images(self.sources[selection.source], selection, shown)

    def add_picture(self, name: str, content: bytes) -> None:
        """Add a picture of one's own, the content of an image file, after all test images.

        Raises DataError if it cannot be read as an image.
        """
        added = picture(name, content)
        for source in self.sources.values():
            source.pictures.append(added)

    def code(self, selection: Selection) -> str:
        """Return a short text that stands for a selection: `selection(code)` restores it."""
        self._check(selection)
        return view_codes.write(self.sources[selection.source], selection)

    def selection(self, code: str) -> Selection:
        """Return the selection of a code that `code` has written.

        Raises ValueError if it is no code, or stands for a view that does not exist here.
        """
        selection = view_codes.read(self.sources, code)
        self._check(selection)
        return selection

    def view(self, selection: Selection) -> View:
        """Return heatmaps, predictions and scores of one image in both networks.

        Raises ValueError or TypeError for a selection that does not exist, DataError if a stored
        model can no longer be read.
        """
        self._check(selection)
        source = self.sources[selection.source]
        classes = source.experiment.test.classes
        baseline, pruned = _explain_both(source, selection)
        predictions = (
            _prediction(baseline.logits, baseline.logits, classes),
            _prediction(pruned.logits, baseline.logits, classes),
        )
        baseline_map = baseline.maps[selection.method]
        pruned_map = pruned.maps[selection.method]
        credit = source.credit(selection.image)
        pixels = source.pixels(selection.image).permute(1, 2, 0).cpu().numpy() / 255
        return View(
            selection=selection,
            label=source.label(selection.image),
            image=None if credit is None else pixels,
            credit=f"Picture: {credit}" if credit else "",
            baseline=baseline_map[0].cpu().numpy(),
            pruned=pruned_map[0].cpu().numpy(),
            predictions=predictions,
            scores=_scores(baseline_map, pruned_map, predictions),
            cells=source.layers[selection.layer],
            study_text=_study_text(source, selection),
            file=source.file(selection.image),
        )

    def table(self, selections: list[Selection]) -> pd.DataFrame:
        """Return predictions and scores, a row per selection.

        The column "empty heatmaps" names the network whose heatmap is empty: such scores are a
        definition.
        """
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
        last = source.image_count - 1
        if selection.image > last:
            raise ValueError(f"image must be 0 to {last}, got {selection.image}: {_UPLOAD}")
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
    not in the store, they are trained, which takes some ten seconds on two cores. So are
    handwritten digits, whose models are trained when they are first selected.

    Raises ValueError for an unknown profile or device.
    """
    check_choice("profile", profile, PROFILES)
    machine = Machine(device=device, data_dir=data_dir)
    available = [quick_source(machine, progress), digits_source(machine)]
    for source in finished_sources(machine):
        if source.title not in {other.title for other in available}:
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
    x = experiment.network_input(source.pixels(selection.image)[None])
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
        "image": view.file or view.selection.image,
        "class": view.label or "not known",
        "network": view.network,
        "prediction": pruned.class_name,
        "confidence": pruned.confidence,
        "in the unpruned network's class": pruned.shared_confidence,
        "empty heatmaps": view.empty_maps,
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
