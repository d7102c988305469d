"""A whole test set through an unpruned and a pruned model: one row per image and CAM method, with every score.

`score` compares two models, `score_many` one with several, `stream` the same piece by piece, for sets whose rows should
not be held together; `summarize` makes a table of the rows. `noise_floor` and `chance_level` say what a score is worth:
what fine-tuning alone produces, and what a network that has learned nothing gets.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, metrics, models, statistics
from pruncam.cams.checks import check_methods
from pruncam.cams.own import OwnMethod, own_heatmaps
from pruncam.choices import check_choice, check_model, check_number, is_number, shown
from pruncam.datasets.batches import UNKNOWN, Batches, Images
from pruncam.progress import Progress
from pruncam.pruning.masks import refuse_pytorchs

METHODS = ("grad-cam", "grad-cam++", "ablation-cam")
SCORES = ("ssim", "spectral_angle", "sp2ps", "iou", "soft_iou", "confidence_variation", "pe")
CLASSES_OF = ("own", "baseline", "label")
_FACTS = ("baseline_prediction", "pruned_prediction", "baseline_confidence", "pruned_confidence")
_COLUMNS = ("model", "method", "image", "label", *SCORES, *_FACTS)  # no score of a user may have these names

OwnScore = Callable[[Tensor, Tensor], Tensor]  # heatmaps (n, H, W) of the same n images by two models -> (n,)

_NO_LABELS = "the class of the label is asked for, but there are no labels: pass them"


class Options(TypedDict, total=False):
    """How models are compared; `score_many` says what each option means, `_DEFAULTS` has their defaults."""

    methods: Sequence[str]
    own_methods: Mapping[str, OwnMethod]
    own_scores: Mapping[str, OwnScore]
    target_layer: str | None
    target_class: str
    confidence_class: str
    transform: Callable[[Tensor], Tensor] | None
    batch_size: int | None
    progress: bool


_DEFAULTS = {
    "methods": METHODS,
    "own_methods": {},
    "own_scores": {},
    "target_layer": None,
    "target_class": "own",
    "confidence_class": "baseline",
    "transform": None,
    "batch_size": None,
    "progress": True,
}


def score(
    baseline: nn.Module, pruned: nn.Module, images: Images, labels: Tensor | None = None, **options: Unpack[Options]
) -> pd.DataFrame:
    """Compare where two models look, image by image: the rows of `score_many` without the column `model`.

    Takes and refuses what `score_many` does.

    Examples
    --------
    >>> from pruncam import pruning
    >>> from pruncam.datasets import catalog
    >>> digits, model = catalog.load("digits", "test"), models.initialize(models.mnist_net(), "pytorch", 0)
    >>> rows = score(model, pruning.global_unstructured(model, 0.5), digits, methods=["grad-cam"], progress=False)
    >>> len(rows), bool(rows["sp2ps"].between(0, 1).all())
    (355, True)
    """
    check_model(pruned, "pruned")
    return score_many(baseline, {"pruned": pruned}, images, labels, **options).drop(columns="model")


def score_many(
    baseline: nn.Module,
    pruned: Mapping[str, nn.Module],
    images: Images,
    labels: Tensor | None = None,
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Compare where one model and each of several others look; the baseline's heatmaps are computed once.

    Parameters
    ----------
    baseline : classifier; pruned : dict of classifiers by name
        Of the same classes; on any device, of any floating-point type and number of channels; left exactly as found.
    images : what the models are shown
        A tensor (N, C, H, W), an `ImageSet`, a folder with a sub-folder of pictures per class, or any iterable of
        (images, labels) batches, such as a DataLoader. uint8 pixels are scaled to [0, 1]. A folder's pictures are read
        as RGB and its classes numbered in the order of their names; `transform` may make them grey.
    labels : (N,) class indices, only with a tensor
    methods : CAM methods, see `cams.heatmaps`
    own_methods : dict of functions by name, beside `methods`: (model, images (n, C, H, W), target layer (the module),
        targets (n,) class indices) -> heatmaps (n, H, W) in [0, 1], tensor or array; the model is in eval mode
    own_scores : dict of functions by name: the heatmaps of two models, (n, H, W) each -> (n,) finite numbers, tensor or
        array; each becomes a column of its name
    target_layer : dotted name of the target layer in every model, or None for each one's last convolution
    target_class : the class that a heatmap explains: the model's "own" top class (pytorch-grad-cam's default), the
        "baseline"'s or the "label"
    confidence_class : the class whose probability the models are compared in: the "baseline"'s top class, the "label",
        or each model's "own" top class (PE-score, Eq. 4 leaves it open)
    transform : function of a batch of images, applied before the models: normalisation, resizing
    batch_size : images per pass, None for what the memory budget of `cams` holds
    progress : whether to show a bar

    Returns
    -------
    DataFrame with a row per model, method and image
        `model`, `method`, `image` (position), `label` (-1 where none is known), the scores `ssim` (raw),
        `spectral_angle`, `sp2ps`, `iou` (binary), `soft_iou`, `confidence_variation`, `pe`; `baseline_prediction`,
        `pruned_prediction`, `baseline_confidence`, `pruned_confidence`. Own scores stand after `pe`.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, images are smaller than SSIM's window of 7x7, or the models have other classes.
    """
    rows = pd.concat(stream(baseline, pruned, images, labels, **options), ignore_index=True)
    return rows.sort_values(["model", "method", "image"], kind="stable", ignore_index=True)


def stream(
    baseline: nn.Module,
    pruned: Mapping[str, nn.Module],
    images: Images,
    labels: Tensor | None = None,
    **options: Unpack[Options],
) -> Iterator[pd.DataFrame]:
    """The rows of `score_many` piece by piece: memory does not grow with the number of images."""
    unknown = sorted(options.keys() - Options.__annotations__.keys())
    if unknown:
        raise TypeError(f"unknown option {', '.join(unknown)}: choose from {', '.join(Options.__annotations__)}")
    options = _DEFAULTS | options
    _check(baseline, pruned, options)
    batches = Batches(images, labels, options["transform"])
    if not batches.labelled and "label" in (options["target_class"], options["confidence_class"]):
        raise ValueError(_NO_LABELS)
    return _Comparison(baseline, pruned, options).pieces(batches)


def _check(baseline: nn.Module, pruned: Mapping[str, nn.Module], options: Mapping[str, Any]) -> None:
    check_model(baseline, "baseline")
    if not isinstance(pruned, Mapping) or not pruned or not all(isinstance(name, str) for name in pruned):
        raise TypeError("pruned must be a dict of models by name, not empty (`score` takes a single model)")
    for name, model in pruned.items():
        check_model(model, f"pruned model {name!r}")
    check_methods(options["methods"], cams.METHODS, cams.ENGINES[0], cams.ENGINES)
    if len(set(options["methods"])) < len(options["methods"]):
        raise ValueError(f"methods must be different, got {shown(options['methods'])}")
    _check_own("own_methods", options["own_methods"], cams.METHODS)
    _check_own("own_scores", options["own_scores"], _COLUMNS)
    if not isinstance(options["target_layer"], str | None):
        raise TypeError(f"target_layer must be a dotted name or None, got {type(options['target_layer']).__name__}")
    check_choice("target class", options["target_class"], CLASSES_OF)
    check_choice("confidence class", options["confidence_class"], CLASSES_OF)


def _check_own(what: str, functions: Mapping[str, Callable], taken: Sequence[str]) -> None:
    """Refuse what is no dict of functions by a name that is still free."""
    if not isinstance(functions, Mapping) or not all(isinstance(name, str) and name for name in functions):
        raise TypeError(f"{what} must be a dict of functions by name, got {shown(functions)}")
    for name, function in functions.items():
        if name in taken:
            raise ValueError(f"{what}: the name {name!r} is taken, choose another")
        if not callable(function):
            raise TypeError(f"{what}: {name!r} must be a function, got {type(function).__name__}")


@dataclass(frozen=True)
class _Comparison:
    """One model and several others, and how they are compared."""

    baseline: nn.Module
    pruned: Mapping[str, nn.Module]
    options: Mapping[str, Any]

    def pieces(self, batches: Batches) -> Iterator[pd.DataFrame]:
        """The rows of one batch and model at a time."""
        kinds = {"model": list(self.pruned), "method": [*self.options["methods"], *self.options["own_methods"]]}
        kinds = {column: pd.CategoricalDtype(values) for column, values in kinds.items()}
        bar = Progress("score", "image", self.options["progress"])
        if batches.total is not None:
            bar.expect(batches.total * len(self.pruned))
        seen = 0
        try:
            for x, labels in batches:
                if batches.total is None:
                    bar.expect(len(x) * len(self.pruned))
                first = self._explain(self.baseline, x, self._targets(None, labels))
                _check_labels(labels, first.logits.shape[1])
                facts = {"image": np.arange(seen, seen + len(x), dtype=np.int32), "label": labels.numpy()}
                targets = self._targets(first.logits.argmax(1), labels)
                for name, model in self.pruned.items():
                    second = self._explain(model, x, targets)
                    yield self._rows(first, second, labels, {"model": name} | facts).astype(kinds)
                    bar.advance(len(x))
                seen += len(x)
        finally:
            bar.close()
        if not seen:
            raise ValueError("there is no image to score: the loader gave no batch")

    def _explain(self, model: nn.Module, x: Tensor, targets: Tensor | None) -> cams.Explanation:
        how = {name: self.options[name] for name in ("target_layer", "batch_size")}
        found = cams.explain(model, x, methods=self.options["methods"], targets=targets, **how)
        own = own_heatmaps(model, x, self.options["own_methods"], targets=found.targets, **how)
        return found._replace(maps=found.maps | own)

    def _targets(self, top: Tensor | None, labels: Tensor) -> Tensor | None:
        """The classes that the heatmaps explain, None for the model's own."""
        return {"own": None, "baseline": top, "label": self._labels(labels)}[self.options["target_class"]]

    def _labels(self, labels: Tensor) -> Tensor:
        """The labels, refused if they are needed and not there."""
        if "label" in (self.options["target_class"], self.options["confidence_class"]) and (labels == UNKNOWN).any():
            raise ValueError(_NO_LABELS)
        return labels

    def _rows(self, first, second, labels: Tensor, facts: dict) -> pd.DataFrame:
        if first.logits.shape != second.logits.shape:
            classes = f"{first.logits.shape[1]} and {second.logits.shape[1]}"
            raise ValueError(f"the models must have the same classes, got {classes}: {facts['model']!r} does not fit")
        one, other = (found.logits.float().cpu() for found in (first, second))
        predicted = {"baseline_prediction": one.argmax(1), "pruned_prediction": other.argmax(1)}
        c_x, c_y = self._confidence(one, one, labels), self._confidence(other, one, labels)
        variation = metrics.confidence_variation(c_x, c_y)
        tables = []
        for method, x in first.maps.items():
            y = second.maps[method].to(x.device)
            found = {"ssim": metrics.ssim(x, y), "spectral_angle": metrics.spectral_angle(x, y)}
            found |= {"iou": metrics.iou(x, y), "soft_iou": metrics.soft_iou(x, y)}
            found = {name: values.cpu() for name, values in found.items()} | {"confidence_variation": variation}
            found["sp2ps"] = metrics.combine_sp2ps(found["ssim"], found["spectral_angle"])
            found["pe"] = metrics.combine_pe(found["ssim"], found["iou"], variation)
            found |= {name: _own(name, score, x, y) for name, score in self.options["own_scores"].items()}
            values = {name: found[name].numpy() for name in (*SCORES, *self.options["own_scores"])}
            values |= {name: top.numpy() for name, top in predicted.items()}
            values |= {"baseline_confidence": c_x.numpy(), "pruned_confidence": c_y.numpy()}
            tables.append(pd.DataFrame({"model": facts["model"], "method": method} | facts | values))
        return pd.concat(tables, ignore_index=True)

    def _confidence(self, logits: Tensor, of_baseline: Tensor, labels: Tensor) -> Tensor:
        """The probability that a model gives the class in question."""
        asked = {"own": logits.argmax(1), "baseline": of_baseline.argmax(1), "label": self._labels(labels)}
        return logits.softmax(1).gather(1, asked[self.options["confidence_class"]][:, None])[:, 0]


def _own(name: str, score: OwnScore, x: Tensor, y: Tensor) -> Tensor:
    """What a user's score says of these pairs of heatmaps, refused where it is no finite number for each."""
    found = score(x, y)
    try:
        values = torch.as_tensor(found).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"own score {name!r} must give one number per image, got {shown(found)}") from None
    if values.shape != (len(x),):
        raise ValueError(
            f"own score {name!r} must give one number per image, shape ({len(x)},), got {tuple(values.shape)}"
        )
    if not values.isfinite().all():
        raise ValueError(f"own score {name!r} must give finite numbers, got NaN or infinity")
    return values


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.max() >= classes:
        raise ValueError(f"labels must be classes 0 to {classes - 1} of the models, got {int(labels.max())}")


def summarize(
    rows: pd.DataFrame,
    *,
    scores: Sequence[str] = SCORES,
    counts: Sequence[int] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Means of every score with their bootstrap intervals over images, over all images and by group.

    Parameters
    ----------
    rows : what `score`, `score_many` or `stream` gave
    scores : columns to summarize, own scores among them
    counts : images of each class in the whole test set, where the rows are a part of it; the shares of the class
        weighting (PE-score, Section 3); None takes those of the rows, so that the weighted mean is the plain one
    samples, seed : of the bootstrap; within classes for the class-weighted mean

    Returns
    -------
    DataFrame: `model` (if the rows have it), `method`, `group`, `images`, `score`, `mean`, `low`, `high` (95 %)
        Groups: "all"; where labels are known also "class weighted", "correct" and "incorrect" (by the pruned model's
        prediction) and "class 0", "class 1", and so on. A group without images has no row.

    Raises
    ------
    ValueError
        If there are no rows, a column is missing, or there are labels without a count or counts without an image.
    """
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"summarize needs the rows that `score` gave, a DataFrame, got {type(rows).__name__}")
    if isinstance(scores, str) or not scores:
        raise ValueError(f"scores must be a list of one or more columns of the rows, got {shown(scores)}")
    missing = sorted({"method", "label", "pruned_prediction", *scores} - set(rows.columns))
    if missing or rows.empty:
        what = f"no column {', '.join(missing)}" if missing else "no row"
        raise ValueError(f"summarize needs the rows that `score` gave: these have {what}")
    check_number("seed", seed, whole=True, at_least=0)
    labels = rows["label"].to_numpy()
    if labels.dtype.kind not in "iu" or labels.min() < UNKNOWN:
        raise ValueError(f"summarize needs whole labels, from 0 or -1 where none is known, got {labels.dtype}")
    absent = [name for name in scores if not np.isfinite(rows[name].to_numpy(dtype=float)).all()]
    if absent:
        raise ValueError(f"summarize needs finite scores: {', '.join(absent)} has NaN or infinite rows, leave them out")
    keys = [name for name in ("model", "method") if name in rows]
    tables = []
    for key, part in rows.groupby(keys, observed=True, sort=False):
        found = [_interval(part.loc[chosen, list(scores)], group, samples, seed) for group, chosen in _groups(part)]
        if (part["label"] != UNKNOWN).all():
            found.insert(1, _weighted(part[list(scores)], part["label"].to_numpy(), counts, samples, seed))
        table = pd.concat(found, ignore_index=True)
        for place, (name, value) in enumerate(zip(keys, key, strict=True)):
            table.insert(place, name, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _groups(rows: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Name and members of every group that has some."""
    labels = rows["label"].to_numpy()
    yield "all", np.ones(len(rows), dtype=bool)
    if (labels == UNKNOWN).any():
        return
    correct = rows["pruned_prediction"].to_numpy() == labels
    groups = {"correct": correct, "incorrect": ~correct}
    groups |= {f"class {label}": labels == label for label in np.unique(labels)}
    yield from ((name, chosen) for name, chosen in groups.items() if chosen.any())


def _interval(scores: pd.DataFrame, group: str, samples: int, seed: int) -> pd.DataFrame:
    found = statistics.bootstrap_means(scores.to_numpy(dtype=float), samples=samples, seed=seed)
    return _summary(group, scores, found)


def _weighted(
    scores: pd.DataFrame, labels: np.ndarray, counts: Sequence[int] | None, samples: int, seed: int
) -> pd.DataFrame:
    counts = np.bincount(labels) if counts is None else np.asarray(counts)
    if counts.dtype.kind not in "iuf" or counts.ndim != 1:
        raise ValueError(f"counts must be the number of images of each class, got {shown(counts)}")
    weights = metrics.class_weights(torch.as_tensor(counts)).numpy()
    without = [k for k, weight in enumerate(weights) if weight > 0 and k not in labels]
    if labels.max() >= len(weights) or (weights[labels] == 0).any() or without:
        raise ValueError("counts must hold a number for every class of the labels, and no other class")
    values = scores.to_numpy(dtype=float)
    found = statistics.bootstrap_means(values, samples=samples, seed=seed, strata=labels, weights=weights)
    return _summary("class weighted", scores, found)


def _summary(group: str, scores: pd.DataFrame, found: list[statistics.Interval]) -> pd.DataFrame:
    rows = [
        {"group": group, "images": len(scores), "score": name, "mean": i.value, "low": i.low, "high": i.high}
        for name, i in zip(scores, found, strict=True)
    ]
    return pd.DataFrame(rows)


def noise_floor(
    baseline: nn.Module,
    finetune: Callable[[nn.Module, int], object],
    images: Images,
    labels: Tensor | None = None,
    *,
    seeds: Sequence[int],
    **options: Unpack[Options],
) -> pd.DataFrame:
    """What fine-tuning alone does to the scores: the unpruned baseline against fine-tuned copies of itself.

    `finetune(copy, seed)` trains a copy as pruned models are fine-tuned, in place or returning the trained model;
    `model` is "seed <seed>" in the rows. A pruned model's score within the spread of these says nothing about its
    pruning. Otherwise as `score_many`.
    """
    if not callable(finetune):
        raise TypeError(f"finetune must be a function of a model and a seed, got {type(finetune).__name__}")
    stream(baseline, {"baseline": baseline}, images, labels, **options)  # refuses what does not fit before it trains
    refuse_pytorchs(baseline)
    tuned = {}
    for seed in _distinct(seeds):
        model = copy.deepcopy(baseline)
        returned = finetune(model, seed)
        tuned[f"seed {seed}"] = returned if isinstance(returned, nn.Module) else model
    return score_many(baseline, tuned, images, labels, **options)


def chance_level(
    baseline: nn.Module,
    images: Images,
    labels: Tensor | None = None,
    *,
    seeds: Sequence[int],
    **options: Unpack[Options],
) -> pd.DataFrame:
    """What a network that has learned nothing gets: the baseline against itself with random weights, by seed.

    The other end of the scale (the sanity check of Adebayo et al. 2018): a score that a random network reaches says
    nothing about attention. Weights are drawn by `models.randomized`. Otherwise as `score_many`.
    """
    random = {f"seed {seed}": models.randomized(baseline, seed) for seed in _distinct(seeds)}
    return score_many(baseline, random, images, labels, **options)


def _distinct(seeds: Sequence[int]) -> list[int]:
    is_several = isinstance(seeds, Sequence) and len(seeds) > 0 and all(is_number(seed, whole=True) for seed in seeds)
    if not is_several or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**63 for seed in seeds):
        raise ValueError(f"seeds must be different whole numbers from 0, one or more, got {shown(seeds)}")
    return list(seeds)
