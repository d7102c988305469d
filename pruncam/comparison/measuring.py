"""Measure where a pruned network and its baseline look: on all images, or on a range of them."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import nn

from pruncam import __version__, cams, metrics, scoring
from pruncam._core.machine import Machine
from pruncam.cams import CustomMethod
from pruncam.cams.target_layer import TargetLayer
from pruncam.comparison import figures, tables
from pruncam.comparison.controls import check_trainable, fine_tuned_baselines
from pruncam.comparison.explainer import Explainer
from pruncam.comparison.faithfulness import faithfulness_table
from pruncam.comparison.image_ranges import ScoreJob, score_images
from pruncam.comparison.measurements import Facts, Measurements
from pruncam.comparison.on_objects import measure_objects
from pruncam.comparison.other_layers import SLOW, score_other_layers
from pruncam.comparison.pair import Pair, check_pair
from pruncam.comparison.scored_parts import PartScorer
from pruncam.comparison.settings import Normalisation, Settings
from pruncam.comparison.tables import ALSO_PRUNED, PRUNED, RETRAINED
from pruncam.report import manifest
from pruncam.scoring import CustomScore

_PATIENCE = 120  # seconds of Ablation-CAM after which a warning is given before it starts


@dataclass(frozen=True)
class Comparison:
    """A comparison of two networks, with the steps that measure it.

    The fields are as of `comparing.compare`.
    """

    pair: Pair
    settings: Settings = field(default_factory=Settings)
    custom_methods: Mapping[str, CustomMethod] = field(default_factory=dict)
    custom_scores: Mapping[str, CustomScore] = field(default_factory=dict)
    machine: Machine = field(default_factory=Machine)
    progress: bool = True

    def measure(self, numbers: range) -> Measurements:
        """Run all steps on a range of the images, which begins and ends where a batch does."""
        start = time.perf_counter()
        layers = self.check()
        models = self.models
        self.warn_if_slow(len(models), len(numbers))
        rows = PartScorer(self.job(models), self.progress).rows(numbers)
        layer_rows = faithfulness = hits = None
        if numbers.start == 0 and self.settings.layer_images:
            layer_rows = score_other_layers(self.explainer, models, PRUNED)
        if numbers.start == 0 and self.settings.faithfulness_images:
            faithfulness = faithfulness_table(self.explainer, self.progress)
        if self.pair.masks is not None:
            hits = measure_objects(self.explainer, models, numbers, self.progress)
        return Measurements(
            numbers=numbers,
            files=self.pair.file_names[numbers.start : numbers.stop],
            rows=rows,
            hits=hits,
            pictures=self.pictures(rows),
            layer_rows=layer_rows,
            faithfulness=faithfulness,
            facts=self.facts(layers, time.perf_counter() - start),
        )

    @cached_property
    def models(self) -> dict[str, nn.Module]:
        """Return all networks but the baseline by their names in the rows, controls included.

        Copies of the baseline are fine-tuned unless they are stored.
        """
        random_networks = scoring.random_controls(self.pair.baseline, self.settings.seeds)
        fine_tuned = fine_tuned_baselines(
            self.pair, self.settings, self.normalisation, self.machine, self.progress
        )
        return {PRUNED: self.pair.pruned, **self.others(), **fine_tuned, **random_networks}

    def job(self, models: Mapping[str, nn.Module]) -> ScoreJob:
        """Return the job of scoring these networks against the baseline."""
        return ScoreJob(
            self.pair,
            models,
            self.settings,
            self.normalisation,
            self.custom_methods,
            self.custom_scores,
        )

    @property
    def explainer(self) -> Explainer:
        """Return what computes the heatmaps of the networks."""
        return Explainer(self.pair, self.settings, self.normalisation, self.custom_methods)

    def pictures(self, rows: pd.DataFrame) -> dict[int, figures.Picture]:
        """Return the images whose maps by the first CAM moved most."""
        method = rows["method"].iloc[0]
        count = min(self.settings.moved, figures.MOVED_ROWS)
        lowest = tables.most_moved(rows[rows["model"] == PRUNED], method, count)
        return figures.pictures(self.explainer, lowest["image"].tolist(), method)

    def others(self) -> dict[str, nn.Module]:
        """Return further pruned networks and further trainings, by their names in the rows."""
        pruned = enumerate(self.pair.also_pruned.values(), start=1)
        retrained = enumerate(self.pair.also_baseline.values(), start=1)
        return {
            **{f"{ALSO_PRUNED} {number}": network for number, network in pruned},
            **{f"{RETRAINED} {number}": network for number, network in retrained},
        }

    def warn_if_slow(self, models: int, images: int) -> None:
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
        networks = 1 + models
        if self.pair.masks is not None:
            networks *= 2
        seconds = elapsed * networks * images
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
        score_images(self.job({PRUNED: self.pair.pruned}), few)
        return layers

    def facts(self, layers: Mapping[str, TargetLayer], seconds: float) -> Facts:
        """Return what the report tells besides measurements."""
        pair = self.pair
        further = dict(zip(self.others(), (*pair.also_pruned, *pair.also_baseline), strict=True))
        pruned = {PRUNED: pair.pruned, **self.others()}
        return Facts(
            settings=self.settings,
            classes=pair.classes,
            scores=(*metrics.SCORES, *self.custom_scores),
            networks=further,
            parameters={
                name: tables.nonzero_parameters(pair, network)
                for name, network in pruned.items()
                if further and not name.startswith(RETRAINED)
            },
            costs=tables.costs(pair),
            layers=tables.layers(layers),
            left_out=None if pair.masks is None else pair.masks.left_out(),
            manifest=self.describe(layers, seconds),
        )

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
            output=name_of(self.pair.output),
            reshape=name_of(self.pair.reshape),
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


def name_of(value: object) -> str | None:
    """Return a position, a key or the name of a function as text; None for None."""
    return None if value is None else str(getattr(value, "__name__", value))
