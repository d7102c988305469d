"""One image, two networks: where each looks, how alike that is, and all of it in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from pruncam import cams, metrics
from pruncam.choices import PROFILES, check_choice, check_number
from pruncam.explorer.collections import KINDS, Collection, finished, made
from pruncam.studies import samples
from pruncam.studies.figures import TITLES
from pruncam.studies.study import Machine

SCORES = {
    "sp2ps": "Sp2PS",
    "ssim": "SSIM",
    "spectral_angle": "spectral angle",
    "iou": "IoU",
    "soft_iou": "soft IoU",
    "confidence_variation": "confidence lost",
    "pe": "PE",
}


@dataclass(frozen=True)
class Choice:
    """What is looked at: a collection by its title, a test image by its number, and how the network was pruned.

    `rate` 0 is the unpruned network itself; `method` is the CAM that asks, `layer` the target layer's dotted name.
    """

    collection: str
    image: int
    rule: str
    rate: float
    method: str
    layer: str


@dataclass(frozen=True)
class Answer:
    """What a network says of an image: the class, its probability, and that of the unpruned network's class."""

    said: str
    confidence: float
    shared: float


@dataclass(frozen=True, eq=False)
class Look:
    """What `Explorer.look` found of one image: heatmaps (H, W) in [0, 1], answers, and the scores of this image."""

    choice: Choice
    label: str
    image: np.ndarray | None  # (H, W, 3) in [0, 1]; None where the picture may not be published
    credit: str  # whom to name beneath the picture; empty where nobody need be
    baseline: np.ndarray
    pruned: np.ndarray
    answers: tuple[Answer, Answer]  # of the unpruned and of the pruned network
    scores: dict[str, float]  # by the columns of `scoring.score`
    cells: tuple[int, int]  # of the target layer's map, before it is enlarged
    study: str  # the study's own mean at this rate, in words

    @property
    def difference(self) -> np.ndarray:
        """Pruned minus unpruned, (H, W) in [-1, 1]."""
        return self.pruned - self.baseline

    @property
    def network(self) -> str:
        """The pruned network in short."""
        return f"{self.choice.rule}, {100 * self.choice.rate:g} %" if self.choice.rate else "rate 0"

    @cached_property
    def text(self) -> str:
        """Everything that the pictures show, with its numbers."""
        unpruned, pruned = self.answers
        scores = ", ".join(f"{name} {self.scores[key]:.3f}" for key, name in SCORES.items())
        asked = f"{TITLES[self.choice.method]} at layer {self.choice.layer}"
        shown = "" if self.image is not None else " Its licence does not allow the picture to be shown."
        second = f"The network pruned by {self.choice.rule} at {100 * self.choice.rate:g} %"
        lines = [
            f"Test image {self.choice.image}, class {self.label}.{shown}" + (f" {self.credit}." if self.credit else ""),
            f"The unpruned network says {unpruned.said} ({unpruned.confidence:.1%}).",
            f"{second if self.choice.rate else 'At rate 0 the second network is the same: it'} says {pruned.said} "
            f"({pruned.confidence:.1%}), and gives the unpruned network's class {pruned.shared:.1%}.",
            f"{asked}, which sees the image as {self.cells[0]} x {self.cells[1]} cells: {scores}.",
            *(
                f"The {name} network's heatmap is empty: at this layer nothing spoke for its answer."
                for name, found in (("unpruned", self.baseline), ("pruned", self.pruned))
                if not found.any()
            ),
            self.study,
        ]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Explorer:
    """Collections by their titles, and a look at any image of any of them."""

    collections: dict[str, Collection]
    notes: tuple[str, ...] = ()  # what is not offered, and how to get it

    def first(self, title: str | None = None) -> Choice:
        """Where to begin in a collection (None: the first): the middle rate of its first rule, the last layer.

        The image is the one that the unpruned network is surest of, of those that it gets right.
        """
        title = title or next(iter(self.collections))
        check_choice("data set", title, self.collections)
        of = self.collections[title]
        methods = of.half.config.methods
        method = "grad-cam++" if "grad-cam++" in methods else methods[0]
        image = of.once(("first",), lambda: samples.surest(of.half))
        rule, layer = next(iter(of.half.rules)), list(of.layers)[-1]
        return Choice(title, image, rule, of.rates[len(of.rates) // 2], method, layer)

    def settings(self, title: str | None = None, *, layer: str | None = None) -> list[Choice]:
        """Three choices for a page without controls: the lowest, the middle and the highest rate of one image."""
        first = self.first(title)
        rates = self.collections[first.collection].rates
        chosen = (rates[1], first.rate, rates[-1])
        return [replace(first, rate=rate, layer=layer or first.layer) for rate in dict.fromkeys(chosen)]

    def look(self, choice: Choice) -> Look:
        """One image through the unpruned and the pruned network.

        Raises ValueError or TypeError in one sentence for a choice that does not exist, DataError where a stored model
        cannot be read any more.
        """
        self._check(choice)
        of = self.collections[choice.collection]
        test = of.half.test
        with _one_thread():
            one = of.once(
                (choice.image, choice.method, choice.layer), lambda: _explained(of, replace(choice, rate=0.0))
            )
            other = _explained(of, choice) if choice.rate else one
        answers = tuple(_answer(found.logits, one.logits, test.classes) for found in (one, other))
        before, after = (found.maps[choice.method] for found in (one, other))
        credit = test.credit(choice.image)
        return Look(
            choice=choice,
            label=test.classes[int(test.labels[choice.image])],
            image=None if credit is None else test.images[choice.image].permute(1, 2, 0).cpu().numpy() / 255,
            credit=f"Picture: {credit}" if credit else "",
            baseline=before[0].cpu().numpy(),
            pruned=after[0].cpu().numpy(),
            answers=answers,
            scores=_scores(before, after, *answers),
            cells=of.layers[choice.layer],
            study=_of_study(of, choice),
        )

    def table(self, choices: list[Choice]) -> pd.DataFrame:
        """A row per choice: who says what, and every score."""
        rows = []
        for found in map(self.look, choices):
            pruned = found.answers[1]
            row = {"image": found.choice.image, "class": found.label, "network": found.network, "says": pruned.said}
            row |= {"confidence": pruned.confidence, "in the unpruned network's class": pruned.shared}
            rows.append(row | {name: found.scores[key] for key, name in SCORES.items()})
        return pd.DataFrame(rows)

    def stable(self) -> None:
        """Print what can be chosen of the first collection: the same on every machine."""
        of = next(iter(self.collections.values()))
        print(of.title)
        print(f"{len(of.half.test)} test images of {len(of.half.test.classes)} classes")
        print(f"pruned by {', '.join(of.half.rules)} at {', '.join(f'{100 * rate:g}' for rate in of.rates)} %")
        print(f"CAMs: {', '.join(TITLES[method] for method in of.half.config.methods)}")
        print("target layers: " + ", ".join(f"{name} ({h} x {w} cells)" for name, (h, w) in of.layers.items()))

    def _check(self, choice: Choice) -> None:
        check_choice("data set", choice.collection, self.collections)
        of = self.collections[choice.collection]
        check_number("image", choice.image, whole=True, at_least=0)
        if choice.image >= len(of.half.test):
            raise ValueError(f"there are {len(of.half.test)} images, numbered from 0: there is no {choice.image}")
        check_choice("pruning rule", choice.rule, of.half.rules)
        if choice.rate not in of.rates:
            raise ValueError(f"unknown rate {choice.rate!r}: choose one of {', '.join(f'{r:g}' for r in of.rates)}")
        check_choice("CAM", choice.method, of.half.config.methods)
        check_choice("target layer", choice.layer, of.layers)


def open_explorer(
    profile: str = "quick", *, device: str = "auto", data_dir: str | None = None, progress: bool = True
) -> Explorer:
    """Everything that can be looked at here, the data sets of `profile` first.

    Those of finished runs are offered where their models are in the store and their pictures are found. One is always
    there: its models are trained where they are not in the store, in some ten seconds on two cores.

    Raises ValueError for an unknown profile or device.
    """
    check_choice("profile", profile, PROFILES)
    machine = Machine(device=device, data_dir=data_dir)
    always = made(machine, progress)
    found = {always.title: always} | {c.title: c for c in finished(machine) if c.title != always.title}
    ordered = dict(sorted(found.items(), key=lambda item: item[1].profile != profile))
    missing = [
        f"{study}, profile {name}: not offered; `make reproduce PROFILE={name} STUDY={study}` makes its models"
        for name in PROFILES
        for study in KINDS
        if not any((c.study, c.profile) == (study, name) for c in found.values())
    ]
    return Explorer(ordered, tuple(missing))


@contextmanager
def _one_thread() -> Iterator[None]:
    """A single image is little work: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _explained(of: Collection, choice: Choice) -> cams.Explanation:
    x = of.half.prepared(of.half.test.images[choice.image][None].float() / 255)
    model = of.model(choice.rule, choice.rate)
    return cams.explain(model, x, methods=[choice.method], target_layer=choice.layer)


def _answer(logits: torch.Tensor, of_baseline: torch.Tensor, classes: tuple[str, ...]) -> Answer:
    probabilities = logits[0].float().softmax(0)
    top = int(probabilities.argmax())
    return Answer(classes[top], float(probabilities[top]), float(probabilities[int(of_baseline[0].argmax())]))


def _scores(x: torch.Tensor, y: torch.Tensor, unpruned: Answer, pruned: Answer) -> dict[str, float]:
    """Every score of one pair of heatmaps, (1, H, W) each; the confidence is that in the unpruned network's class."""
    structure, spectrum, overlap = metrics.ssim(x, y), metrics.spectral_angle(x, y), metrics.iou(x, y)
    c_x, c_y = (x.new_tensor([answer.shared]) for answer in (unpruned, pruned))
    variation = metrics.confidence_variation(c_x, c_y)
    found = {
        "ssim": structure,
        "spectral_angle": spectrum,
        "sp2ps": metrics.combine_sp2ps(structure, spectrum),
        "iou": overlap,
        "soft_iou": metrics.soft_iou(x, y),
        "confidence_variation": variation,
        "pe": metrics.combine_pe(structure, overlap, variation),
    }
    return {name: float(value[0]) for name, value in found.items()}


def _of_study(of: Collection, choice: Choice) -> str:
    """The study's mean at this rate, in words; the curves are of the last convolution."""
    column, name = of.kind.score
    if not choice.rate:
        return f"The study's curve begins here: the unpruned network against itself has a {name} of 1."
    table = of.curves["curves"]
    chosen = (table["half"] == of.entry[0]) & (table["rule"] == choice.rule) & (table["method"] == choice.method)
    row = table[chosen & (table["rate"] == choice.rate)].iloc[0]
    mean = f"{row[column]:.3f} (95 % interval {row[f'{column}_low']:.3f} to {row[f'{column}_high']:.3f})"
    layer = "" if choice.layer == list(of.layers)[-1] else f", at layer {list(of.layers)[-1]}"
    return f"Mean {name} of all test images at this rate{layer}: {mean}; accuracy {row['accuracy']:.1f} %."
