"""The public functions and records that are called with drawn arguments, and what they promise."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import pruncam
from benchmarks.torture import call_values as of
from benchmarks.torture.call_values import Kind, constants, flag, name, names, number, series
from pruncam import (
    cams,
    comparison,
    complexity,
    cost,
    datasets,
    metrics,
    networks,
    profiles,
    pruning,
    scoring,
    statistics,
    studies,
    training,
)
from pruncam.datasets import noise
from pruncam.report import claims
from pruncam.studies import csg, mnist_iou, pe_score, sp2ps, sweeps

assert studies  # its packages are imported one by one


@dataclass(frozen=True)
class Function:
    """A public function: the kinds of its arguments, and what must hold for its result.

    `promise` returns what is wrong with a result, None if nothing is. A function of a smaller
    `weight`, such as a slow one, is drawn less often.
    """

    name: str
    call: Callable[..., Any]
    arguments: Mapping[str, Kind]
    promise: Callable[[Any], str | None] = lambda result: None
    weight: int = 4

    @cached_property
    def optional(self) -> frozenset[str]:
        """Return the arguments that a call may leave out."""
        parameters = inspect.signature(self.call).parameters
        required = {name for name, each in parameters.items() if each.default is each.empty}
        return frozenset(self.arguments) - required


# ---------------------------------------------------------------- promises


def within(low: float, high: float, *, may_be_nan: bool = False) -> Callable[[Any], str | None]:
    """Return a check that all numbers of a tensor, number or dict of tensors are in [low, high]."""

    def check(result: Any) -> str | None:
        if isinstance(result, Mapping):
            faults = [check(value) for value in result.values()]
            return next((fault for fault in faults if fault), None)
        if isinstance(result, Tensor):
            if result.is_meta or result.is_complex():
                return f"{result.dtype} on {result.device}"
            result = result.detach().double()
        values = np.asarray(result, dtype=float)
        if np.isnan(values).any():
            return None if may_be_nan else "NaN"
        if values.size and not (low - 1e-6 <= values.min() and values.max() <= high + 1e-6):
            return f"outside [{low}, {high}]: {values.min():g} to {values.max():g}"
        return None

    return check


def _maps(explanation: cams.Explanation) -> str | None:
    return within(0, 1)(explanation.maps)


def _rows(rows: pd.DataFrame) -> str | None:
    scores = [column for column in metrics.SCORES if column in rows]
    return within(-1, 1)(rows[scores].to_numpy())


def _finite_means(table: pd.DataFrame) -> str | None:
    numbers = table[["mean", "low", "high"]].to_numpy(dtype=float)
    return None if np.isfinite(numbers).all() else "NaN or infinite means"


def _interval(interval: statistics.Interval) -> str | None:
    if math.isnan(interval.value) or math.isinf(interval.value):
        return f"the estimate {interval.value}"
    return "bounds in the wrong order" if interval.low > interval.high else None


def _intervals(intervals: list[statistics.Interval]) -> str | None:
    return next((fault for fault in map(_interval, intervals) if fault), None)


def _not_none(result: Any) -> str | None:
    return "None" if result is None else None


UNIT = within(0, 1)

# ---------------------------------------------------------------- the rooms


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function without its progress bar."""

    @wraps(function)
    def call(**arguments: Any) -> Any:
        return function(**arguments, progress=False)

    return call


@wraps(scoring.stream)
def _streamed(**arguments: Any) -> pd.DataFrame:
    return pd.concat(scoring.stream(**arguments, progress=False))


def _explained(
    model: Any,
    images: Any,
    methods: Any,
    *,
    images_later: Any,
    targets: Any = None,
    **options: Any,
) -> cams.Explanation:
    explainer = cams.ModelExplainer(model, images, methods=methods, **options)
    return explainer.explain(images_later, targets)


def _vgg11(width: Any, classifier_width: Any, **options: Any) -> Any:  # its defaults are slow
    return networks.vgg11(width=width, classifier_width=classifier_width, **options)


@wraps(comparison.Files)
def _loaded(**arguments: Any) -> comparison.Pair:
    return comparison.load(comparison.Files(**arguments))


_MAP_PAIR = {"x": of.MAPS, "y": of.OTHER_MAPS}
_METRICS = (
    Function(
        "metrics.ssim",
        metrics.ssim,
        {
            **_MAP_PAIR,
            "window": name("uniform", "gaussian"),
            "size": number(None, 7),
            "sample_covariance": flag(True),
        },
        within(-1, 1),
    ),
    Function(
        "metrics.spectral_angle",
        metrics.spectral_angle,
        {**_MAP_PAIR, "over": name("image", "pixel", "band")},
        UNIT,
    ),
    Function("metrics.iou", metrics.iou, _MAP_PAIR, UNIT),
    Function("metrics.soft_iou", metrics.soft_iou, _MAP_PAIR, UNIT),
    Function("metrics.pixel_iou", metrics.pixel_iou, _MAP_PAIR, UNIT),
    Function("metrics.sp2ps", metrics.sp2ps, _MAP_PAIR, UNIT),
    Function(
        "metrics.pe_score",
        metrics.pe_score,
        {**_MAP_PAIR, "c_x": of.VECTOR, "c_y": of.OTHER_VECTOR},
        UNIT,
    ),
    Function(
        "metrics.pair_scores",
        metrics.pair_scores,
        {**_MAP_PAIR, "confidence_x": of.VECTOR, "confidence_y": of.OTHER_VECTOR},
        within(-1, 1),
    ),
    Function(
        "metrics.confidence_variation",
        metrics.confidence_variation,
        {"c_x": of.VECTOR, "c_y": of.OTHER_VECTOR},
        UNIT,
    ),
    Function(
        "metrics.combine_sp2ps",
        metrics.combine_sp2ps,
        {"structure": of.VECTOR, "spectrum": of.OTHER_VECTOR},
        UNIT,
    ),
    Function(
        "metrics.combine_pe",
        metrics.combine_pe,
        {"structure": of.VECTOR, "overlap": of.OTHER_VECTOR, "variation": of.THIRD_VECTOR},
        UNIT,
    ),
    Function("metrics.class_weights", metrics.class_weights, {"counts": of.CLASS_COUNTS}, UNIT),
    Function(
        "metrics.class_weighted_mean",
        metrics.class_weighted_mean,
        {
            "values": of.VECTOR,
            "labels": of.LABELS,
            "counts": Kind(constants(None), of.CLASS_COUNTS.usual | of.CLASS_COUNTS.likely),
        },
        within(-1, 1),
    ),
    Function(
        "metrics.energy_on",
        metrics.energy_on,
        {"maps": of.MAPS, "pixels": of.PIXELS},
        within(0, 1, may_be_nan=True),
    ),
    Function("metrics.jet", metrics.jet, {"maps": of.MAPS}, UNIT),
    Function(
        "metrics.binary_accuracy",
        metrics.binary_accuracy,
        dict.fromkeys(("tp", "tn", "fp", "fn"), number(5, 3)),
        UNIT,
    ),
    Function(
        "metrics.f1_score", metrics.f1_score, dict.fromkeys(("tp", "fp", "fn"), number(5, 3)), UNIT
    ),
)

_CAM_OPTIONS = {
    "target_layer": of.LAYER,
    "targets": of.TARGETS,
    "batch_size": of.BATCH_SIZE,
    "engine": of.ENGINE,
    "reshape": of.RESHAPE,
    "output": of.OUTPUT,
}
_SHARED_OPTIONS = {
    key: _CAM_OPTIONS[key] for key in ("target_layer", "batch_size", "reshape", "output")
}
_CAMS = (
    Function(
        "cams.heatmaps",
        cams.heatmaps,
        {"model": of.MODEL, "images": of.IMAGES, "method": of.CAM_METHOD, **_CAM_OPTIONS},
        UNIT,
        weight=8,
    ),
    Function(
        "cams.explain",
        cams.explain,
        {"model": of.MODEL, "images": of.IMAGES, "methods": of.CAM_METHODS, **_CAM_OPTIONS},
        _maps,
        weight=8,
    ),
    Function(
        "cams.custom_heatmaps",
        cams.custom_heatmaps,
        {
            "model": of.MODEL,
            "images": of.IMAGES,
            "methods": of.CUSTOM_CAMS,
            "targets": Kind(of.LABELS.usual, of.LABELS.likely),
            **_SHARED_OPTIONS,
        },
        UNIT,
    ),
    Function(
        "cams.explain_with_custom",
        cams.explain_with_custom,
        {
            "model": of.MODEL,
            "images": of.IMAGES,
            "methods": of.CAM_METHODS,
            "custom_methods": of.CUSTOM_CAMS,
            **_SHARED_OPTIONS,
            "targets": of.TARGETS,
        },
        _maps,
    ),
    Function(
        "cams.ModelExplainer",
        _explained,
        {
            "model": of.MODEL,
            "images": of.IMAGES,
            "methods": of.CAM_METHODS,
            **{key: kind for key, kind in _CAM_OPTIONS.items() if key != "targets"},
            "images_later": of.IMAGES,
            "targets": of.TARGETS,
        },
        _maps,
    ),
    Function(
        "cams.default_layer",
        cams.default_layer,
        {"model": of.MODEL, "image": of.IMAGE, "min_cells": number(4, 2)},
        _not_none,
    ),
    Function("cams.readings", cams.readings, {"model": of.MODEL, "image": of.IMAGE}, _not_none),
    Function(
        "cams.road",
        cams.road,
        {
            "model": of.MODEL,
            "images": of.IMAGES,
            "maps": of.MAPS,
            "targets": of.TARGETS,
            "percentiles": Kind(
                constants((20, 50)),
                constants(
                    (),
                    (0,),
                    (100,),
                    (101,),
                    (-1,),
                    (0.5,),
                    (math.nan,),
                    ("a",),
                    50,
                    None,
                    (50, 20),
                    (50, 50),
                ),
            ),
            "noise": number(0.01),
            "seed": of.SEED,
            "batch_size": number(32, 2),
            "output": of.OUTPUT,
        },
    ),
    Function("cams.is_empty", cams.is_empty, {"maps": of.MAPS}),
    Function("cams.class_probabilities", cams.class_probabilities, {"outputs": of.LOGITS}, UNIT),
    Function("cams.two_classes", cams.two_classes, {"logit": of.tensor_kind(of.COUNT, 1)}),
)

_SCORE_OPTIONS = {
    "methods": of.CAM_METHODS,
    "custom_methods": of.CUSTOM_CAMS,
    "custom_scores": of.CUSTOM_SCORES,
    "target_layer": of.LAYER,
    "reshape": of.RESHAPE,
    "output": of.OUTPUT,
    "target_class": name("own", "baseline"),
    "confidence_class": name("baseline", "own", "label"),
    "transform": of.TRANSFORM,
    "batch_size": of.BATCH_SIZE,
}
_SCORED = {"images": of.ANY_IMAGES, "labels": of.LABELS, **_SCORE_OPTIONS}


def _scored(name: str, call: Callable, models: dict[str, Kind], weight: int = 2) -> Function:
    """Return a function of `scoring` that takes images and the options of scores as well."""
    return Function(f"scoring.{name}", call, {**models, **_SCORED}, _rows, weight=weight)


_SCORING = (
    _scored("score", _quiet(scoring.score), {"baseline": of.MODEL, "pruned": of.PRUNED}, weight=4),
    _scored(
        "score_many",
        _quiet(scoring.score_many),
        {"baseline": of.MODEL, "pruned": of.MODELS},
        weight=4,
    ),
    _scored("stream", _streamed, {"baseline": of.MODEL, "pruned": of.MODELS}),
    _scored(
        "chance_level", _quiet(scoring.chance_level), {"baseline": of.MODEL, "seeds": of.SEEDS}
    ),
    _scored(
        "noise_floor",
        _quiet(scoring.noise_floor),
        {"baseline": of.MODEL, "finetune": of.FINETUNE, "seeds": of.SEEDS},
    ),
    _scored(
        "shuffled_level", _quiet(scoring.shuffled_level), {"baseline": of.MODEL, "seed": of.SEED}
    ),
    Function(
        "scoring.random_control", scoring.random_control, {"baseline": of.MODEL, "seed": of.SEED}
    ),
    Function(
        "scoring.random_controls",
        scoring.random_controls,
        {"baseline": of.MODEL, "seeds": of.SEEDS},
    ),
    Function(
        "scoring.fine_tuned_controls",
        scoring.fine_tuned_controls,
        {"baseline": of.MODEL, "finetune": of.FINETUNE, "seeds": of.SEEDS},
    ),
    Function(
        "scoring.summarize",
        scoring.summarize,
        {
            "rows": of.frames(of.score_rows),
            "scores": names(("pe",), ("ssim", "pe")),
            "counts": Kind(constants(None, (20, 30, 40)), of.CLASS_COUNTS.likely),
            "samples": number(100),
            "seed": of.SEED,
        },
        _finite_means,
        weight=8,
    ),
)

_LAYERS = names(("conv", "linear"), ("conv",))
_EXAMPLE = of.IMAGE
_BATCH = Kind(
    {"a batch": lambda: (of.drawn(4, 1, of.SIDE, of.SIDE), torch.tensor([0, 1, 2, 1]))},
    constants(None, (), 5)
    | {
        "images": lambda: of.drawn(4, 1, of.SIDE, of.SIDE),
        "of fewer labels": lambda: (of.drawn(4, 1, of.SIDE, of.SIDE), torch.tensor([0, 1])),
        "of labels beyond": lambda: (of.drawn(4, 1, of.SIDE, of.SIDE), torch.tensor([0, 1, 9, 1])),
        "of one class": lambda: (of.drawn(4, 1, of.SIDE, of.SIDE), torch.tensor([0, 0, 0, 0])),
        "of float labels": lambda: (of.drawn(4, 1, of.SIDE, of.SIDE), torch.zeros(4)),
        "of NaN": lambda: (of.drawn(4, 1, of.SIDE, of.SIDE) * math.nan, torch.tensor([0, 1, 2, 1])),
        "of colours": lambda: (of.drawn(4, 3, of.SIDE, of.SIDE), torch.tensor([0, 1, 2, 1])),
        "of arrays": lambda: (np.zeros((4, 1, 12, 12)), np.zeros(4)),
        "empty": lambda: (of.drawn(0, 1, of.SIDE, of.SIDE), torch.zeros(0).long()),
        "of bytes": lambda: (
            torch.zeros(4, 1, of.SIDE, of.SIDE, dtype=torch.uint8),
            torch.tensor([0, 1, 2, 1]),
        ),
    },
)
_MASKED = Kind(of.PRUNED.usual, of.MODEL.usual | of.MODEL.likely)
_PRUNING = (
    Function(
        "pruning.global_unstructured",
        pruning.global_unstructured,
        {
            "model": of.MODEL,
            "amount": number(0.5, 0),
            "method": name("l1", "random"),
            "layers": _LAYERS,
            "seed": of.SEED,
        },
    ),
    Function(
        "pruning.global_structured",
        pruning.global_structured,
        {"model": of.MODEL, "amount": number(0.3), "method": name("l1", "random"), "seed": of.SEED},
    ),
    Function(
        "pruning.lottery_step", pruning.lottery_step, {"model": of.MODEL, "fraction": number(0.2)}
    ),
    Function("pruning.rewind", pruning.rewind, {"pruned": _MASKED, "origin": of.MODEL}),
    Function("pruning.sparsity", pruning.sparsity, {"model": _MASKED}, UNIT),
    Function("pruning.masks", pruning.masks, {"model": _MASKED}),
    Function("pruning.apply_masks", pruning.apply_masks, {"model": _MASKED}),
    Function("pruning.drop_masks", pruning.drop_masks, {"model": _MASKED}),
    Function("pruning.make_permanent", pruning.make_permanent, {"model": _MASKED}),
    Function("pruning.prunable", pruning.prunable, {"model": of.MODEL, "layers": _LAYERS}),
    Function("pruning.attach_masks", pruning.attach_masks, {"model": of.MODEL, "new": of.MASKS}),
    Function(
        "pruning.load_state",
        pruning.load_state,
        {
            "model": of.MODEL,
            "state": of.STATE,
            "example_input": Kind({"None": lambda: None}, _EXAMPLE.usual | _EXAMPLE.likely),
            "output": of.OUTPUT,
        },
    ),
    Function(
        "pruning.remove_filters",
        pruning.remove_filters,
        {
            "model": of.MODEL,
            "rate": number(0.3, 0),
            "importance": Kind(
                constants("l2", "random", "senpis-faster"),
                constants("L2", "", None, 5, ("l2",), "senpis")
                | {
                    "a function": lambda: lambda key, layer: torch.ones(len(layer.weight)),
                    "a function to None": lambda: lambda key, layer: None,
                    "a function of one": lambda: lambda layer: layer,
                    "a function to NaN": lambda: (
                        lambda key, layer: torch.full((len(layer.weight),), math.nan)
                    ),
                    "a function to a list": lambda: lambda key, layer: [1.0] * len(layer.weight),
                    "a function to one number": lambda: lambda key, layer: torch.tensor(1.0),
                    "a function to complex": lambda: (
                        lambda key, layer: torch.ones(len(layer.weight)) * 1j
                    ),
                    "a function to bools": lambda: (
                        lambda key, layer: torch.ones(len(layer.weight)) > 0
                    ),
                },
            ),
            "example_input": _EXAMPLE,
            "batch": _BATCH,
            "layers": _LAYERS,
            "ignored_layers": names((), ("4",)),
            "seed": of.SEED,
        },
        weight=3,
    ),
)

_TRAINING = (
    Function(
        "training.fit",
        training.fit,
        {
            "model": of.MODEL,
            "images": of.BYTE_IMAGES,
            "labels": of.LABELS,
            "recipe": of.RECIPE,
            "inputs": of.INPUTS,
            "seed": of.SEED,
            "engine": name("auto", "torch"),
            "precision": name("float32", "auto"),
            "checkpoint": of.CHECKPOINT,
            "after_epoch": Kind(
                {"a function": lambda: lambda: None},
                constants(None, 1) | {"a function of one": lambda: lambda epoch: None},
            ),
        },
        within(0, math.inf),
    ),
    Function(
        "training.accuracy",
        training.accuracy,
        {
            "model": of.MODEL,
            "images": of.IMAGES,
            "labels": of.LABELS,
            "prepare": of.TRANSFORM,
            "batch_size": number(256, 2),
        },
        UNIT,
    ),
    Function(
        "training.predictions",
        training.predictions,
        {
            "model": of.MODEL,
            "images": of.IMAGES,
            "prepare": of.TRANSFORM,
            "batch_size": number(256, 2),
        },
    ),
    Function("training.has_dropout", training.has_dropout, {"model": of.MODEL}),
    Function(
        "training.resolve_engine",
        training.resolve_engine,
        {
            "model": of.MODEL,
            "engine": name("auto", "torch", "winograd", "fused"),
            "recipe": of.RECIPE,
            "precision": name("float32", "auto", "bfloat16"),
        },
    ),
    Function(
        "training.resolve_precision",
        training.resolve_precision,
        {"precision": name("auto", "float32"), "device": name("cpu")},
    ),
    Function(
        "training.Recipe",
        training.Recipe,
        {
            "schedule": of.SCHEDULE,
            "batch_size": number(2),
            "momentum": number(0.9),
            "weight_decay": number(0.0),
            "optimizer": name("sgd", "adam"),
            "shift": number(0, 2),
            "mirror": flag(True),
            "label_smoothing": number(0.1),
        },
    ),
    Function(
        "training.OneCycle",
        training.OneCycle,
        {"epochs": number(2), "peak": number(0.1), "warmup": number(0.2)},
    ),
    Function(
        "training.Inputs",
        training.Inputs,
        {"noise": number(0, 51), "mean": number(0.5), "std": number(0.5)},
    ),
    Function("training.Checkpoint", training.Checkpoint, {"path": of.PATH, "pause": number(1.0)}),
    Function(
        "noise.background",
        noise.background,
        {"images": of.BYTE_IMAGES, "indices": of.LABELS, "key": of.SEED, "level": number(51, 0)},
    ),
)

_WIDTH = number(2, 4)
_NETWORKS = (
    Function("networks.cifar_net", networks.cifar_net, {"classes": number(10), "width": _WIDTH}),
    Function("networks.stl_net", networks.stl_net, {"classes": number(10), "width": _WIDTH}),
    Function(
        "networks.vgg11",
        _vgg11,
        {
            "classes": number(10),
            "image_size": number(32),
            "width": _WIDTH,
            "classifier_width": _WIDTH,
            "in_channels": number(3),
            "batch_norm": flag(True),
            "dropout": number(0.5),
        },
        weight=2,
    ),
    Function(
        "networks.initialize",
        networks.initialize,
        {"model": of.MODEL, "method": name("pytorch", "kaiming-normal"), "seed": of.SEED},
    ),
    Function("networks.randomized", networks.randomized, {"model": of.MODEL, "seed": of.SEED}),
    Function("networks.card", networks.card, {"name": name("cifar10")}),
    Function("networks.load", networks.load, {"name": name("cifar10")}, weight=1),
    Function(
        "cost.count",
        cost.count,
        {
            "model": of.MODEL,
            "input_shape": Kind(
                constants((1, 12, 12)),
                constants(
                    (12, 12),
                    (3, 12, 12),
                    (1, 12, -1),
                    (1, 0, 12),
                    12,
                    (),
                    None,
                    "1,12,12",
                    (1, 1.0, 12),
                    (True, 12, 12),
                    (1, 2, 2),
                    (1, 12, 10**12),
                    (1, 12, 12, 12),
                )
                | {
                    "an array": lambda: np.array([1, 12, 12]),
                    "a size": lambda: torch.Size([1, 12, 12]),
                    "a tensor": lambda: torch.tensor([1, 12, 12]),
                },
            ),
        },
    ),
    Function(
        "Machine",
        pruncam.Machine,
        {"device": name("cpu", "auto"), "data_dir": of.PATH, "jobs": number(None, 2)},
    ),
)

_DATASETS = (
    Function(
        "datasets.load",
        datasets.load,
        {
            "name": name("digits", "generated-10-easy"),
            "split": name("test"),
            "data_dir": of.PATH,
            "at_most": number(5),
        },
        weight=2,
    ),
    Function(
        "datasets.find",
        datasets.find,
        {"name": name("digits", "generated-10"), "data_dir": of.PATH},
    ),
    Function(
        "datasets.ImageSet",
        datasets.ImageSet,
        {
            "name": name("mine"),
            "split": name("test"),
            "images": of.BYTE_IMAGES,
            "labels": of.LABELS,
            "classes": names(("a", "b", "c")),
            "provenance": name("drawn"),
            "showable": flag(True),
            "credits": names(("", "", "", "me")),
            "original": flag(False),
            "objects": Kind({"None": lambda: None}, of.PIXELS.usual | of.PIXELS.likely),
        },
    ),
)

_FEATURES = of.tensor_kind(12, 3)
_POINT_LABELS = Kind(
    {"labels": lambda: np.arange(12) % 3, "names": lambda: ["a", "b", "c"] * 4},
    {key: value for key, value in of.LABELS.likely.items() if key != "fewer"}
    | {
        "a tensor": lambda: torch.arange(12) % 3,
        "a series": lambda: pd.Series(["a", "b", "c"] * 4),
        "categories": lambda: pd.Categorical(["a", "b", "c"] * 4),
        "bools": lambda: np.arange(12) % 2 == 0,
        "all different": lambda: np.arange(12),
        "all equal": lambda: np.zeros(12),
        "with NaN": lambda: np.where(np.arange(12) == 3, math.nan, np.arange(12) % 3),
        "mixed": lambda: [0, "a", None] * 4,
        "with pd.NA": lambda: pd.Series(["a", "b", pd.NA] * 4),
        "dates": lambda: pd.date_range("2020", periods=12).repeat(1),
        "one-hot": lambda: np.eye(3)[np.arange(12) % 3],
        "with gradient": lambda: (torch.arange(12) % 3).float().requires_grad_(),
        "bfloat16": lambda: (torch.arange(12) % 3).bfloat16(),
    },
)


def _csg_value(result: complexity.CSG) -> str | None:
    return within(0, math.inf)(result.value)


_COMPLEXITY = (
    Function(
        "complexity.csg",
        complexity.csg,
        {
            "features": _FEATURES,
            "labels": _POINT_LABELS,
            "samples_per_class": number(4, None),
            "k": number(2, 5),
            "volume": flag(True),
            "seed": of.SEED,
        },
        _csg_value,
        weight=8,
    ),
    Function(
        "complexity.neighbourhoods",
        complexity.neighbourhoods,
        {
            "features": _FEATURES,
            "labels": _POINT_LABELS,
            "k": number(2, 5),
            "after_rows": Kind({"a function": lambda: lambda rows: None}, constants(None, 5)),
        },
    ),
)

_SAMPLES = Kind(
    constants(100, 200), {key: value for key, value in number(1).likely.items() if key != "1000000"}
)
_CONFIDENCE = number(0.95, 0.9)
_STRATA = Kind(
    constants(None),
    series(8).usual
    | series(8).likely
    | {
        "strata": lambda: np.arange(8) % 2,
        "negative": lambda: np.arange(8) - 1,
        "huge": lambda: np.arange(8) * 10**12,
    },
)
_STRATUM_WEIGHTS = Kind(
    constants(None),
    series(2).usual
    | series(2).likely
    | {"shares": lambda: [0.5, 0.5], "negative": lambda: [1.5, -0.5], "percent": lambda: [50, 50]},
)
_INTERVALS = Kind(
    {"two": lambda: [statistics.Interval(2.0, 1.0, 3.0), statistics.Interval(1.0, 0.0, 3.0)]},
    constants((), None, [None], [1.0], [(1.0, 0.0, 2.0)])
    | {
        "an interval": lambda: statistics.Interval(2.0, 1.0, 3.0),
        "NaN": lambda: [statistics.Interval(math.nan, 1.0, 3.0)],
    },
)
_STATISTICS = (
    Function(
        "statistics.bootstrap_mean",
        statistics.bootstrap_mean,
        {"values": series(), "samples": _SAMPLES, "seed": of.SEED, "confidence": _CONFIDENCE},
        _interval,
    ),
    Function(
        "statistics.bootstrap_means",
        statistics.bootstrap_means,
        {
            "values": of.matrix(8, 3),
            "samples": _SAMPLES,
            "seed": of.SEED,
            "confidence": _CONFIDENCE,
            "strata": _STRATA,
            "weights": _STRATUM_WEIGHTS,
        },
        _intervals,
    ),
    Function(
        "statistics.crossed_means",
        statistics.crossed_means,
        {
            "values": Kind(
                {"numbers": lambda: np.random.default_rng(0).random((2, 4, 3))},
                of.matrix().usual | of.matrix().likely,
            ),
            "samples": _SAMPLES,
            "seed": of.SEED,
        },
    ),
    Function(
        "statistics.percentile_intervals",
        statistics.percentile_intervals,
        {"estimates": series(8), "resampled": of.matrix(20, 8), "confidence": _CONFIDENCE},
    ),
    Function(
        "statistics.simultaneous_intervals",
        statistics.simultaneous_intervals,
        {"estimates": series(8), "resampled": of.matrix(20, 8), "confidence": _CONFIDENCE},
    ),
    Function(
        "statistics.extreme",
        statistics.extreme,
        {"intervals": _INTERVALS, "select": Kind(constants(min, max), constants("min", None, sum))},
    ),
    Function(
        "statistics.distance_from",
        statistics.distance_from,
        {"interval": of.INTERVAL, "value": number(0.5)},
    ),
    Function(
        "statistics.t_interval",
        statistics.t_interval,
        {"values": series(), "confidence": _CONFIDENCE},
        _interval,
    ),
    Function(
        "statistics.mean_difference",
        statistics.mean_difference,
        {"x": series(), "y": series(seed=1), "confidence": _CONFIDENCE},
        _interval,
    ),
    Function(
        "statistics.proportion_interval",
        statistics.proportion_interval,
        {"successes": number(5), "trials": number(9), "confidence": _CONFIDENCE},
        _interval,
    ),
    Function(
        "statistics.accuracy_interval",
        statistics.accuracy_interval,
        {"correct": number(5), "images": number(9)},
        _interval,
    ),
    Function(
        "statistics.correlation",
        statistics.correlation,
        {"x": series(), "y": series(seed=1), "method": name("pearson", "spearman", "kendall")},
    ),
    Function(
        "statistics.rank_correlation",
        statistics.rank_correlation,
        {"x": series(), "rows": of.matrix(), "undefined": number(0.0)},
    ),
    Function(
        "statistics.partial_rank_correlation",
        statistics.partial_rank_correlation,
        {"x": series(), "y": series(seed=1), "control": series(seed=2)},
        within(-1, 1, may_be_nan=True),
    ),
)

_TEXTS = names((), ("a.pt",))
_FILES = {
    "baseline": of.PATH,
    "pruned": of.PATH,
    "model": name("pruncam:mnist_net", "torchvision:resnet18"),
    "data": of.PATH,
    "train": Kind(constants(None), of.PATH.usual | of.PATH.likely),
    "size": number(None, 28),
    "images": number(None, 4),
    "resize": number(None, 28),
    "class_map": Kind(constants(None), of.PATH.usual | of.PATH.likely),
    "weights": Kind(constants(None), name("state_dict").likely),
    "output": Kind(constants(None), of.OUTPUT.likely),
    "reshape": Kind(constants(None), name("a.py:f").likely),
    "also_pruned": _TEXTS,
    "also_baseline": _TEXTS,
    "masks": Kind(constants(None), of.PATH.usual | of.PATH.likely),
}
_SETTINGS = {
    "methods": of.CAM_METHODS,
    "target_layer": of.LAYER,
    "mean": Kind(
        constants(None, (0.5,)),
        constants(0.5, (), ("0.5",), (math.nan,), (math.inf,), [0.5], (True,), (1e308,), (0.5, 0.5))
        | {"an array": lambda: np.array([0.5])},
    ),
    "std": Kind(
        constants(None, (0.5,)),
        constants(
            0.5, (), ("0.5",), (math.nan,), (math.inf,), (0,), (-1,), [0.5], (5e-324,), (0.5, 0.5)
        )
        | {"an array": lambda: np.array([0.5])},
    ),
    "faithfulness_images": number(0, 2),
    "layer_images": number(0, 2),
    "epochs": number(1),
    "learning_rate": number(0.01),
    "batch_size": number(2),
    "seeds": of.SEEDS,
    "seed": of.SEED,
    "bootstrap": number(100),
    "moved": number(3),
}
_COMPARISON = (
    Function("comparison.Settings", comparison.Settings, _SETTINGS, weight=8),
    Function("comparison.load", _loaded, _FILES),
    Function(
        "comparison.load_network",
        comparison.load_network,
        {
            "spec": name("pruncam:mnist_net"),
            "checkpoint": Kind(constants(None), of.PATH.usual | of.PATH.likely),
            "image_size": number(28),
            "output": of.OUTPUT,
        },
    ),
    Function(
        "comparison.files_or_example",
        comparison.files_or_example,
        {key: _FILES[key] for key in ("baseline", "pruned", "model", "data", "train", "size")},
    ),
    Function(
        "comparison.compare",
        _quiet(comparison.compare),
        {
            "baseline": of.MODEL,
            "pruned": of.PRUNED,
            "images": of.IMAGE_SET,
            "train_images": Kind(constants(None), of.IMAGE_SET.usual | of.IMAGE_SET.likely),
            "output": of.OUTPUT,
            "reshape": of.RESHAPE,
            "settings": of.SETTINGS,
            "custom_methods": of.CUSTOM_CAMS,
            "custom_scores": of.CUSTOM_SCORES,
            "machine": Kind(constants(None), constants("cpu", 1)),
            "masks": Kind(constants(None), of.PIXELS.usual | of.PIXELS.likely),
        },
        weight=2,
    ),
    Function(
        "comparison.CompareCallback",
        comparison.CompareCallback,
        {
            "baseline": of.MODEL,
            "images": of.ANY_IMAGES,
            "log_dir": Kind(constants(None), {}),
            "every": number(1),
            **{key: _SCORE_OPTIONS[key] for key in ("methods", "target_class")},
        },
    ),
)

_RATES = Kind(
    constants((0.2, 0.5), [0.5]),
    constants((), (0,), (1,), (0.5, 0.2), (0.5, 0.5), (50, 80), (math.nan,), ("0.5",), 0.5, None),
)
_SEED_TUPLES = of.SEEDS
_PRUNING_FIELDS = {
    "datasets": of.DATASETS,
    "train_images": number(None, 10),
    "test_images": number(None, 10),
    "seed": of.SEED,
    "baseline": of.SCHEDULE,
    "baseline_batch": number(2),
    "finetuning": of.SCHEDULE,
    "finetuning_batch": number(2),
    "rates": _RATES,
    "floor_seeds": _SEED_TUPLES,
    "chance_seeds": _SEED_TUPLES,
    "methods": of.CAM_METHODS,
    "sensitivity_images": number(2),
    "bootstrap": number(100),
    "baseline_seeds": _SEED_TUPLES,
    "precision": name("float32", "auto"),
    "epoch_factors": Kind(
        constants(()),
        constants(None, (1,), [{"paper": "x", "baseline": 1, "finetuning": 1}], [{"paper": "x"}]),
    ),
    "sead": number(1),
}
_PROFILE = name("quick", "overnight", "paper")


def _configure(module: Any, study: str, **own: Kind) -> Function:
    shared = _PRUNING_FIELDS if study not in ("csg", "mnist_iou") else {}
    fields = {**shared, **own}
    label = f"studies.{study}.configure"
    return Function(label, module.configure, {"profile": _PROFILE, **fields})


_STUDIES = (
    _configure(
        sp2ps,
        "sp2ps",
        random_seeds=_SEED_TUPLES,
        pruning=name("weights", "filters"),
        misleading=of.SCHEDULE,
    ),
    _configure(
        pe_score,
        "pe_score",
        width=number(8),
        classifier_width=number(8),
        batch_norm=flag(True),
        dropout=number(0.0),
        initial=name("none"),
        augmentation=flag(True),
        weight_decay=number(0.0),
        criteria=names(("Weight",)),
        layers=names(("conv", "linear")),
        samples_per_class=number(2),
        max_accuracy_drop=number(0.01),
    ),
    _configure(
        sweeps,
        "sweeps",
        csg_seeds=_SEED_TUPLES,
        csg_samples=number(20),
        csg_neighbours=number(2),
        csg_images=number(None, 100),
        csg_pool=number(100),
        max_loss=number(1.0),
    ),
    _configure(
        csg,
        "csg",
        datasets=of.DATASETS,
        seed=of.SEED,
        draws=number(2),
        k=number(5),
        samples_per_class=number(20),
        ks=Kind(constants((2, 5)), constants((), (5, 2), (0,), None, (1.5,))),
        pools=Kind(constants((20, 40)), constants((), (40, 20), (0,), None, (1.5,))),
        repeats=number(1),
        code=number(2),
        autoencoding=Kind(
            constants((5, 0.002)), constants((0, 0.1), (5, 2.0), (5, math.nan), (5,), None, "5")
        ),
        training=of.SCHEDULE,
        batch=number(4),
        width=number(4),
    ),
    _configure(
        mnist_iou,
        "mnist_iou",
        dataset=name("mnist", "digits"),
        train_images=number(None, 10),
        test_images=number(None, 10),
        seeds=_SEED_TUPLES,
        more_seeds=_SEED_TUPLES,
        levels=number(2),
        fraction=number(0.2),
        pretraining=of.SCHEDULE,
        batch_size=number(2),
        momentum=number(0.9),
        weight_decay=number(0.0),
        noise=number(51),
        mean=number(0.5),
        std=number(0.5),
        initial_weights=name("pytorch"),
        level_zero=name("pretrained"),
        variants=names(()),
        method=of.CAM_METHOD,
        target_layer=name("conv1"),
        bootstrap=number(100),
    ),
    Function(
        "pe_score.choose_rate",
        pe_score.choose_rate,
        {
            "table": of.frames(of.rate_table),
            "max_accuracy_drop": number(0.01),
            "similar": number(0.9),
            "rows": Kind(
                {"None": lambda: None, "rows": of.rate_rows}, of.frames(of.rate_rows).likely
            ),
        },
        weight=8,
    ),
    Function(
        "pe_score.printed_by_rate",
        pe_score.printed_by_rate,
        {"dataset": name("CIFAR-10"), "criterion": name("Weight"), "method": name("grad-cam")},
    ),
    Function(
        "sweeps.safe_rate",
        sweeps.safe_rate,
        {"table": of.frames(of.sweep_table), "csg": number(1.0), "max_loss": number(1.0)},
        lambda choice: within(0, 1)(choice.rate),
        weight=8,
    ),
    Function(
        "sweeps.largest_rates",
        sweeps.largest_rates,
        {"table": of.frames(of.sweep_table), "max_loss": number(1.0)},
        lambda table: within(0, 1)(table["rate"].to_numpy()),
    ),
    Function(
        "profiles.DatasetSpec",
        profiles.DatasetSpec,
        {
            "paper": name("CIFAR-10"),
            "source": name("digits"),
            "size": number(None, 32),
            "width": number(None, 8),
            "min_accuracy": number(50.0),
            "weights": name(None, "cifar10"),
            "target_layer": name(None, "features.0"),
        },
    ),
    Function(
        "profiles.read_config",
        profiles.read_config,
        {
            "config_class": Kind(
                {"SweepsConfig": lambda: sweeps.SweepsConfig}, constants(None, "SweepsConfig")
            ),
            "study": name("sweeps"),
            "profile": _PROFILE,
            "overrides": Kind(
                {"{}": dict}, constants(None, [], {"seed": 2}, {1: 2}, {"seed": "2"})
            ),
        },
    ),
    Function("claims.read_statements", claims.read_statements, {"study": name("sweeps", "sp2ps")}),
)


def _run(module: Any) -> Callable[..., Any]:
    return lambda config: module.run(config, progress=False)


_NO_CONFIG = Kind({"a dict": lambda: {"seed": 1}}, constants(None, "quick", ()))
_RUNS = tuple(
    Function(f"studies.{label}.run", _run(module), {"config": _NO_CONFIG}, weight=1)
    for label, module in (
        ("sp2ps", sp2ps),
        ("pe_score", pe_score),
        ("sweeps", sweeps),
        ("csg", csg),
        ("mnist_iou", mnist_iou),
    )
)

FUNCTIONS = (
    *_METRICS,
    *_CAMS,
    *_SCORING,
    *_PRUNING,
    *_TRAINING,
    *_NETWORKS,
    *_DATASETS,
    *_COMPLEXITY,
    *_STATISTICS,
    *_COMPARISON,
    *_STUDIES,
    *_RUNS,
)
