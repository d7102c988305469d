"""Compare two networks: scores, noise floor, chance level, tables, figures and their summary."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import __version__, cams, metrics, scoring
from pruncam._core.machine import Machine
from pruncam._nn.outputs import Output
from pruncam.cams import CustomMethod
from pruncam.cams.map_layout import Reshape
from pruncam.cams.target_layer import TargetLayer
from pruncam.comparison import figures
from pruncam.comparison.controls import check_trainable, fine_tuned_baselines
from pruncam.comparison.explainer import Explainer
from pruncam.comparison.faithfulness import faithfulness_table
from pruncam.comparison.on_objects import objects_table
from pruncam.comparison.other_layers import SLOW, other_layers_table
from pruncam.comparison.pair import Pair, check_pair
from pruncam.comparison.preprocessing import of_network
from pruncam.comparison.report import Report
from pruncam.comparison.scored_parts import PartScorer
from pruncam.comparison.settings import Normalisation, Settings
from pruncam.comparison.summary_text import paragraphs
from pruncam.comparison.tables import ALSO_PRUNED, PRUNED, RETRAINED, build_tables
from pruncam.datasets import ImageSet, object_masks
from pruncam.datasets.image_folder import LabelledImages
from pruncam.datasets.object_masks import ObjectMasks
from pruncam.datasets.streamed_images import StreamedImages
from pruncam.report import manifest
from pruncam.scoring import CustomScore

_PATIENCE = 120  # seconds of Ablation-CAM after which a warning is given before it starts
Images = ImageSet | StreamedImages | LabelledImages


def compare(
    baseline: nn.Module | Pair,
    pruned: nn.Module | None = None,
    images: Images | None = None,
    *,
    train_images: Images | None = None,
    output: Output | None = None,
    reshape: Reshape | None = None,
    settings: Settings | None = None,
    custom_methods: Mapping[str, CustomMethod] | None = None,
    custom_scores: Mapping[str, CustomScore] | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    masks: Tensor | ObjectMasks | None = None,
) -> Report:
    """Compare where a pruned network and its baseline look.

    The pruned network is scored against the baseline, next to fine-tuned copies of the baseline
    (the noise floor) and networks with random weights (the chance level).

    Parameters
    ----------
    baseline, pruned, images : the two networks and labelled images, in memory
        Or a `Pair` alone, as returned by `load`. The networks stay on their device.
    train_images : images of the same classes to fine-tune on; None: no noise floor
    output : position, key or attribute, or function that selects the logits
        For networks that return more than logits, see `cams.heatmaps`.
    reshape : function from the output of the target layer to maps (N, C, h, w)
        For target layers whose layout is not known, see `cams.heatmaps`.
    settings : see `Settings`
    custom_methods, custom_scores : dict of functions by name
        The user's CAMs and scores, see `scoring.score_many`. They appear in every table and figure.
    machine : gives the number of copies that are fine-tuned in parallel; copies are stored
    progress : show progress bars
    masks : bool tensor (N, H, W), True on the object of each image, or the result of
        `datasets.object_masks.read`
        How much of the heatmaps is on the objects.

    Returns
    -------
    Report
        Summary in plain sentences, tables, figures and manifest.

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit each other.
    """
    comparison = _Comparison(
        pair=_as_pair(baseline, pruned, images, train_images, output, reshape, masks),
        settings=settings or Settings(),
        custom_methods=dict(custom_methods or {}),
        custom_scores=dict(custom_scores or {}),
        machine=machine or Machine(),
        progress=progress,
    )
    return comparison.report()


def _as_pair(
    baseline: nn.Module | Pair,
    pruned: nn.Module | None,
    images: Images | None,
    train_images: Images | None,
    output: Output | None,
    reshape: Reshape | None,
    masks: Tensor | ObjectMasks | None,
) -> Pair:
    if isinstance(baseline, Pair):
        others = (pruned, images, train_images, output, reshape, masks)
        if any(argument is not None for argument in others):
            raise TypeError("pass either a Pair, or two networks and images")
        return baseline
    if pruned is None or images is None:
        raise TypeError("pass a Pair, or a baseline, a pruned network and images")
    files = images.files if isinstance(images, LabelledImages) else None
    if masks is not None and not isinstance(masks, ObjectMasks):
        masks = object_masks.in_memory(masks)
    return Pair(
        baseline,
        pruned,
        images=_image_set(images, "images"),
        train_images=None if train_images is None else _in_memory(train_images),
        files=files,
        preprocessing=of_network(baseline),
        output=output,
        reshape=reshape,
        masks=masks,
    )


def _image_set(images: Images, name: str) -> ImageSet | StreamedImages:
    image_set = images.images if isinstance(images, LabelledImages) else images
    if not isinstance(image_set, ImageSet | StreamedImages):
        raise TypeError(
            f"{name} must be a datasets.ImageSet or the result of datasets.image_folder.read, "
            f"got {type(images).__name__}"
        )
    return image_set


def _in_memory(images: Images) -> ImageSet:
    train_images = _image_set(images, "train_images")
    if not isinstance(train_images, ImageSet):
        raise TypeError("train_images must be in memory: read them without a limit of memory")
    return train_images


@dataclass(frozen=True)
class _Comparison:
    """The steps of one comparison."""

    pair: Pair
    settings: Settings
    custom_methods: Mapping[str, CustomMethod]
    custom_scores: Mapping[str, CustomScore]
    machine: Machine
    progress: bool

    def report(self) -> Report:
        """Run all steps."""
        start = time.perf_counter()
        layers = self.check()
        random_networks = scoring.random_controls(self.pair.baseline, self.settings.seeds)
        fine_tuned = fine_tuned_baselines(
            self.pair, self.settings, self.normalisation, self.machine, self.progress
        )
        self.warn_if_slow(len(fine_tuned) + len(random_networks))
        models = {PRUNED: self.pair.pruned, **self.others(), **fine_tuned, **random_networks}
        rows = self.score(models)
        scores = (*metrics.SCORES, *self.custom_scores)
        tables = build_tables(self.pair, layers, rows, scores, self.settings)
        explainer = Explainer(self.pair, self.settings, self.normalisation, self.custom_methods)
        if self.settings.layer_images:
            other_layers = other_layers_table(explainer, models, rows, PRUNED)
            if len(other_layers):
                tables["other_layers"] = other_layers
        if self.settings.faithfulness_images:
            tables["faithfulness"] = faithfulness_table(explainer, self.progress)
        masks = self.pair.masks
        if masks is not None:
            tables["objects"] = objects_table(explainer, masks, models, self.progress)
        moved = figures.moved_images(explainer, tables["moved"])
        return Report(
            summary=paragraphs(tables, masks),
            tables=tables,
            drawings=figures.drawings(tables, scores, moved),
            manifest=self.describe(layers, time.perf_counter() - start),
        )

    def others(self) -> dict[str, nn.Module]:
        """Return further pruned networks and further trainings, by their names in the rows."""
        pruned = enumerate(self.pair.also_pruned.values(), start=1)
        retrained = enumerate(self.pair.also_baseline.values(), start=1)
        return {
            **{f"{ALSO_PRUNED} {number}": network for number, network in pruned},
            **{f"{RETRAINED} {number}": network for number, network in retrained},
        }

    def warn_if_slow(self, controls: int) -> None:
        """Warn before Ablation-CAM takes minutes, as it may at a layer far from the end."""
        if SLOW not in self.settings.methods:
            return
        x = Explainer(self.pair, self.settings, self.normalisation, {}).inputs(torch.arange(1))
        explainer = cams.ModelExplainer(
            self.pair.baseline,
            x,
            methods=[SLOW],
            target_layer=self.settings.target_layer,
            reshape=self.pair.reshape,
            output=self.pair.output,
        )
        explainer.explain(x)  # the first pass warms up
        start = time.perf_counter()
        explainer.explain(x)
        elapsed = time.perf_counter() - start
        networks = 2 + len(self.others()) + controls
        if self.pair.masks is not None:
            networks *= 2
        seconds = elapsed * networks * len(self.pair.images)
        if seconds > _PATIENCE:
            title = cams.METHODS[SLOW].title
            warnings.warn(
                f"{title} at this target layer will take some {seconds / 60:.0f} minutes: leave it "
                "out of the methods, or choose a later target_layer or fewer images, if that is "
                "too long",
                stacklevel=4,
            )

    @property
    def normalisation(self) -> Normalisation:
        """Return the module that turns pixels in [0, 1] into network input."""
        channels = self.pair.images.shape[0]
        return self.settings.normalisation(channels, self.pair.preprocessing)

    def check(self) -> dict[str, TargetLayer]:
        """Return the target layers of both networks.

        Two images are scored, so that unsuitable arguments are rejected before any fine-tuning.
        """
        if self.pair.train_images is not None:
            check_trainable(self.pair.baseline)
        layers = check_pair(self.pair, self.normalisation, self.settings.target_layer)
        few = self.pair.images.first(min(2, len(self.pair.images)))
        self.score({PRUNED: self.pair.pruned}, few, progress=False)
        return layers

    def score(
        self,
        models: Mapping[str, nn.Module],
        images: ImageSet | None = None,
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """Return the rows of `scoring.score_many` of models against the baseline.

        Those of streamed images are stored, unless functions of the user take part in them.
        """
        images = self.pair.images if images is None else images
        progress = self.progress if progress is None else progress
        score = partial(
            scoring.score_many,
            self.pair.baseline,
            models,
            methods=self.settings.methods,
            custom_methods=self.custom_methods,
            custom_scores=self.custom_scores,
            target_layer=self.settings.target_layer,
            reshape=self.pair.reshape,
            output=self.pair.output,
            transform=self.normalisation,
        )
        if isinstance(images, ImageSet) or self.takes_user_functions:
            rows = score(images, progress=progress)
        else:
            everyone = {"baseline": self.pair.baseline, **models}
            score_part = partial(score, progress=False)
            scorer = PartScorer(self.pair, everyone, self.normalisation, self.settings, score_part)
            rows = scorer.rows(progress)
        return rows.astype({"model": str, "method": str})

    @property
    def takes_user_functions(self) -> bool:
        """Return whether functions of the user take part in the scores."""
        selects = self.pair.reshape is not None or callable(self.pair.output)
        return bool(self.custom_methods or self.custom_scores) or selects

    def resolved(self, layers: Mapping[str, TargetLayer]) -> Settings:
        """Return the settings with the target layer, mean and deviation that were used."""
        mean, std = self.settings.mean_and_std(self.pair.images.shape[0], self.pair.preprocessing)
        return replace(self.settings, target_layer=layers["baseline"].name, mean=mean, std=std)

    def describe(self, layers: Mapping[str, TargetLayer], seconds: float) -> dict[str, Any]:
        """Return the manifest of the report."""
        sets = [self.pair.images, self.pair.train_images]
        return manifest.describe(
            self.resolved(layers),
            self.machine,
            [images for images in sets if images is not None],
            **(self.pair.origin or {}),
            pruncam=__version__,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            size=list(self.pair.images.shape[1:]),
            target_layers={model: layer.name for model, layer in layers.items()},
            normalisation=self._normalisation_text(),
            output=_name(self.pair.output),
            reshape=_name(self.pair.reshape),
            custom_methods=list(self.custom_methods),
            custom_scores=list(self.custom_scores),
            wall_seconds=round(seconds, 1),
        )

    def _normalisation_text(self) -> str:
        """Return the mean and std of the images, and who says so, in words."""
        normalisation = self.normalisation
        mean, std = normalisation.mean.flatten().tolist(), normalisation.std.flatten().tolist()
        known = self.pair.preprocessing
        is_known = self.settings.mean is None and known is not None
        origin = known.origin if is_known else "the settings"
        numbers = [", ".join(f"{value:.4g}" for value in values) for values in (mean, std)]
        return f"mean {numbers[0]}; std {numbers[1]} ({origin})"


def _name(value: object) -> str | None:
    """Return a position, a key or the name of a function as text; None for None."""
    return None if value is None else str(getattr(value, "__name__", value))
