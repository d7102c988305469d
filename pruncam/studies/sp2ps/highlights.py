"""What heatmaps highlight: its area and its intensity, by model (Sp2PS, Section 4.1).

The paper describes both for single images; here they are measured on many.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from torch import Tensor, nn

from pruncam import cams
from pruncam._core.seeds import derive
from pruncam._core.store import Step
from pruncam.scoring.controls import CHANCE, FLOOR, SHUFFLED
from pruncam.statistics import crossed_means, percentile_intervals
from pruncam.studies.experiment import BASELINE, Experiment, Variant
from pruncam.studies.paired_scores import MOSTLY, Model

HIGHLIGHTED = 0.5  # share of a heatmap's maximum from which a pixel is highlighted
MEASURES = ("area", "intensity", "intensity_within")
_VERSION = 1  # raised by hand when the code of the step changes its result
_KEYS = ["dataset", "rule", "rate", "method"]


def measures(maps: Tensor, baseline: Tensor) -> dict[str, Tensor]:
    """Return what heatmaps (N, H, W) highlight, beside those of the baseline, (N,) each.

    `area`: share of the pixels that reach half of the maximum; `intensity`: mean value of all
    pixels; `intensity_within`: mean value of the pixels that the baseline highlights. NaN where
    either map is empty.
    """
    highlighted = baseline >= HIGHLIGHTED
    within = (maps * highlighted).sum((1, 2)) / highlighted.sum((1, 2))
    values = {
        "area": (maps >= HIGHLIGHTED).double().mean((1, 2)),
        "intensity": maps.double().mean((1, 2)),
        "intensity_within": within.double(),
    }
    is_empty = cams.is_empty(maps) | cams.is_empty(baseline)
    return {name: value.masked_fill(is_empty, np.nan) for name, value in values.items()}


def highlights_by_image(experiment: Experiment) -> pd.DataFrame:
    """Return a row per model, CAM method and image of the few test images, with all measures.

    Beside the variants there are the baseline itself (rule "unpruned") and its maps of the next
    image in turn (rule "maps of other images").
    """
    rows = experiment.trainer.cached_rows(step(experiment), lambda: _measured(experiment))
    by_name = {variant.name: variant for variant in _variants(experiment)}
    variants = [by_name[name] for name in rows["model"]]
    return rows.assign(
        dataset=experiment.dataset,
        rule=[variant.rule for variant in variants],
        rate=[variant.rate for variant in variants],
        seed=[variant.seed for variant in variants],
    )


def step(experiment: Experiment) -> Step:
    """Return the step of these measures."""
    inputs = experiment.heatmap_inputs(experiment.few_test_images(), experiment.variants)
    return Step(f"{experiment.study}-highlights", _VERSION, inputs)


def _variants(experiment: Experiment) -> list[Variant]:
    shuffled = Variant(SHUFFLED, 0.0, experiment.config.seed)
    return [BASELINE, *experiment.variants, shuffled]


def _measured(experiment: Experiment) -> pd.DataFrame:
    """Return the rows, with categories in the columns `model` and `method`."""
    baseline = _explain(experiment, experiment.baseline)
    rows = pd.concat(_tables(experiment, baseline), ignore_index=True)
    names = [variant.name for variant in _variants(experiment)]
    return rows.astype(
        {
            "model": pd.CategoricalDtype(names),
            "method": pd.CategoricalDtype(list(baseline)),
        }
    )


def _tables(experiment: Experiment, baseline: Mapping[str, Tensor]) -> Iterator[pd.DataFrame]:
    for variant in _variants(experiment):
        if variant == BASELINE:
            maps = baseline
        elif variant.rule == SHUFFLED:
            maps = {method: heatmaps.roll(1, 0) for method, heatmaps in baseline.items()}
        else:
            maps = _explain(experiment, experiment.model(variant))
        for method, heatmaps in maps.items():
            columns = {
                name: values.cpu().numpy()
                for name, values in measures(heatmaps, baseline[method]).items()
            }
            images = np.arange(len(heatmaps))
            yield pd.DataFrame({"model": variant.name, "method": method, "image": images} | columns)


def _explain(experiment: Experiment, model: nn.Module) -> dict[str, Tensor]:
    """Return the heatmaps of the few test images, by CAM method."""
    inputs = experiment.network_input(experiment.few_test_images().images)
    methods, layer = experiment.config.methods, experiment.spec.target_layer
    return cams.explain(model, inputs, methods=methods, target_layer=layer).maps


@dataclass(frozen=True)
class PairedHighlights:
    """A measure by model, floor and chance, on the same images: (trainings, images) each."""

    models: dict[Model, np.ndarray]
    floor: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True)
class Highlights:
    """The rows of `highlights_by_image` of all data sets, by training of the baseline."""

    trainings: Sequence[pd.DataFrame]

    @cached_property
    def _by_image(self) -> dict[tuple, np.ndarray]:
        """Every measure, (trainings, images), by (data set, rule, rate, CAM method, measure).

        The mean over seeds; NaN where all their maps are empty.
        """
        arrays: dict[tuple, list[np.ndarray]] = {}
        for rows in self.trainings:
            for key, part in rows.groupby(_KEYS, observed=True):
                means = part.groupby("image")[list(MEASURES)].mean()
                for measure in MEASURES:
                    arrays.setdefault((*key, measure), []).append(means[measure].to_numpy())
        return {key: np.stack(values) for key, values in arrays.items()}

    def table(self, samples: int, seed: int) -> pd.DataFrame:
        """Return the mean of every measure with its interval, by model, over images with maps.

        `empty` is the share of images whose map is empty in the model or in the baseline. The
        intervals come from `samples` draws of trainings and images.
        """
        rows = pd.concat(self.trainings, ignore_index=True)
        is_empty = rows["area"].isna()
        empty = is_empty.groupby([rows[key] for key in _KEYS], sort=False, observed=True).mean()
        table = [
            dict(zip(_KEYS, key, strict=True))
            | {"empty": share}
            | self._intervals(key, samples, derive(seed, "highlights", *key))
            for key, share in empty.items()
        ]
        return pd.DataFrame(table)

    def _intervals(self, key: tuple, samples: int, seed: int) -> dict[str, float]:
        """Return mean and interval of every measure of a model; none without images."""
        values = np.stack([self._by_image[*key, measure] for measure in MEASURES], axis=-1)
        values = values[:, np.isfinite(values).all(axis=(0, 2))]
        columns: dict[str, float] = {"images": values.shape[1], "trainings": len(values)}
        if values.shape[1]:
            resampled = crossed_means(values, samples=samples, seed=seed)
            intervals = percentile_intervals(values.mean(axis=(0, 1)), resampled)
            for measure, interval in zip(MEASURES, intervals, strict=True):
                columns[measure] = interval.value
                columns[f"{measure}_low"] = interval.low
                columns[f"{measure}_high"] = interval.high
        return columns

    def paired(self, models: Sequence[Model], method: str, measure: str) -> PairedHighlights | None:
        """Return a measure of models of one data set beside its floor and chance level.

        Only images for which all of them have maps count. The chance level is that of random
        networks, or of the baseline's maps of other images if most maps of theirs are empty. None
        if floor or chance was not measured, or no image is left.
        """
        dataset = models[0][0]
        floor = self._by_image.get((dataset, FLOOR, 0.0, method, measure))
        chance = self._chance(dataset, method, measure)
        if floor is None or chance is None:
            return None
        arrays = [self._by_image[*model, method, measure] for model in models]
        with_maps = np.isfinite([*arrays, floor, chance]).all(axis=(0, 1))
        if not with_maps.any():
            return None
        by_model = {m: a[:, with_maps] for m, a in zip(models, arrays, strict=True)}
        return PairedHighlights(by_model, floor[:, with_maps], chance[:, with_maps])

    def _chance(self, dataset: str, method: str, measure: str) -> np.ndarray | None:
        random_networks = self._by_image.get((dataset, CHANCE, 0.0, method, measure))
        if random_networks is not None and np.isnan(random_networks).mean() <= MOSTLY:
            return random_networks
        return self._by_image.get((dataset, SHUFFLED, 0.0, method, measure))
