"""The experiment of the pruning sweeps: weights pruned, with and without fine-tuning."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import pruning
from pruncam._core.store import Step
from pruncam.complexity import csg
from pruncam.datasets import ImageSet
from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.studies.experiment import BASELINE, PlainExperiment, Variant
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.correctness import Correctness
from pruncam.training import predictions

# Versions of the steps, raised by hand when their code changes the result.
_CORRECTNESS_VERSION = 1
_CSG_VERSION = 2

L1 = "L1"  # not fine-tuned
DROPPED = "L1, masks dropped"  # in fine-tuning: pruned weights may grow back
KEPT = "L1, masks kept"  # in fine-tuning: pruned weights stay zero
_BATCH_SIZE = 50  # images classified at a time: few, so that feature maps stay in the CPU cache


@dataclass(frozen=True, eq=False)
class SweepsExperiment(PlainExperiment):
    """A data set of the complexity paper with its models: only pruned, or also fine-tuned."""

    study = "sweeps"
    versions = {"baseline": 1, "tuned": 1, "scores": 1}

    config: SweepsConfig
    pool: ImageSet = field(kw_only=True)  # training images in which complexity is measured

    @property
    def rules(self) -> dict[str, tuple[int, ...]]:
        """L1 without fine-tuning and with both ways of it; all three prune the same weights."""
        return dict.fromkeys((L1, DROPPED, KEPT), (self.config.seed,))

    @property
    def trained_variants(self) -> list[Variant]:
        """The variants that are fine-tuned: all but random ones and those that are only pruned."""
        return [variant for variant in super().trained_variants if variant.rule != L1]

    def scoring_tasks(self) -> list[Callable[[], pd.DataFrame]]:
        """Return the tasks that score the first test images: heatmaps cost more than accuracies."""
        return PlainExperiment.scoring_tasks(self.on_first_images())

    def shuffled_scores(self) -> pd.DataFrame:
        """Return the scores of the same images at chance: maps of other images."""
        return PlainExperiment.shuffled_scores(self.on_first_images())

    def on_first_images(self) -> "SweepsExperiment":
        """Return the same models with only the test images that heatmaps are computed for."""
        experiment = dataclasses.replace(self, test=self.few_test_images())
        experiment.models.update(self.models)
        return experiment

    def pruned(self, variant: Variant) -> nn.Module:
        """Return the baseline without its smallest convolution weights.

        With the rule DROPPED there are no masks: in fine-tuning, pruned weights may grow back.
        """
        if variant.rule == L1:
            model = pruning.drop_masks(self.baseline)
            return pruning.global_unstructured(model, variant.rate, layers=("conv",))
        masked = self.model(_only_pruned(variant))
        # Always a copy: fine-tuning changes it.
        return pruning.drop_masks(masked) if variant.rule == DROPPED else copy.deepcopy(masked)

    def variant_inputs(self, variant: Variant) -> dict[str, Any]:
        """Return what fine-tuning depends on; nothing for models that are only pruned."""
        if variant.rule == L1:
            return {}
        return {
            "finetuning": self.recipe("finetuning").schedule,
            "finetuning_batch": self.config.finetuning_batch,
        }

    def correctness(self) -> Correctness:
        """Return which test images each model classifies correctly, with a single training."""
        models: dict[Variant, np.ndarray] = {}
        for group in self.groups():
            models |= self._correctness_of(group)
        labels = self.test.labels.cpu().numpy()
        arrays = {variant: is_correct[None] for variant, is_correct in models.items()}
        return Correctness(
            dataset=self.dataset,
            baseline=arrays.pop(BASELINE),
            variants=arrays,
            guess=100 * np.bincount(labels).max() / len(labels),
        )

    def _correctness_of(self, group: list[Variant]) -> dict[Variant, np.ndarray]:
        """Return which test images the baseline and some variants classify correctly."""
        step = self.correctness_step(group)
        rows = self.trainer.cached(step, partial(self._classify, group)).numpy()
        return dict(zip((BASELINE, *group), rows, strict=True))

    def correctness_step(self, group: list[Variant]) -> Step:
        """Return the step of the correctness of the baseline and some variants."""
        inputs = {
            "test": self.test.checksum,
            "variants": [self.model_inputs(variant) for variant in group],
        }
        return Step("sweeps-answers", _CORRECTNESS_VERSION, inputs)

    def _classify(self, group: list[Variant]) -> Tensor:
        models = [self.baseline, *(self.model(variant) for variant in group)]
        return torch.stack([self._is_correct(model) for model in models])

    def _is_correct(self, model: nn.Module) -> Tensor:
        predicted = predictions(
            model,
            self.test.images,
            prepare=self._checked_input,
            batch_size=_BATCH_SIZE,
        )
        return (predicted == self.test.labels).cpu()

    def _checked_input(self, images: Tensor) -> Tensor:
        """Return images as network input, unless the run is to stop."""
        self.trainer.progress.check()
        return self.network_input(images)

    def complexity(self, images: ImageSet) -> list[float]:
        """Return the CSG of training images in raw pixels, one value per draw of samples."""
        return self.trainer.cached(self.complexity_step(images), partial(self._csg, images))

    def complexity_step(self, images: ImageSet) -> Step:
        """Return the step of the complexity of training images."""
        settings = {
            "samples_per_class": self.config.csg_samples,
            "k": self.config.csg_neighbours,
        }
        seeds = list(self.config.csg_seeds)
        inputs = {"images": images.checksum, "seeds": seeds, **settings}
        return Step("sweeps-csg", _CSG_VERSION, inputs)

    def _csg(self, images: ImageSet) -> list[float]:
        features = images.images.float() / 255
        values = []
        for seed in self.config.csg_seeds:
            complexity = csg(
                features,
                images.labels,
                samples_per_class=self.config.csg_samples,
                k=self.config.csg_neighbours,
                seed=seed,
            )
            values.append(complexity.value)
        return values

    def connections(self) -> pd.DataFrame:
        """Return how many of the pruned weights are still zero in each model.

        `zero_unpruned_share` is the share of the same weights that are zero in the unpruned
        network.
        """
        pruned = [variant for variant in self.variants if variant.rule not in (FLOOR, CHANCE)]
        return pd.DataFrame([self._connections_of(variant) for variant in pruned])

    def _connections_of(self, variant: Variant) -> dict[str, Any]:
        masks = pruning.masks(self.model(_only_pruned(variant)))
        pruned = {name: mask == 0 for name, mask in masks.items()}
        count = _count(pruned.values())
        still_zero = _zeros(self.model(variant), pruned)
        return {
            "dataset": self.dataset,
            "rule": variant.rule,
            "rate": variant.rate,
            "weights": sum(mask.numel() for mask in masks.values()),
            "pruned": count,
            "still_zero": still_zero,
            "still_zero_share": still_zero / count if count else math.nan,
            "zero_unpruned_share": _zeros(self.baseline, pruned) / count if count else math.nan,
        }

    def _build(self, variant: Variant) -> nn.Module:
        if variant.rule == L1:
            return self.pruned(variant).to(self.trainer.device).eval()
        return super()._build(variant)


def _count(masks: Iterable[Tensor]) -> int:
    """Return the number of true entries."""
    return sum(int(mask.sum()) for mask in masks)


def _zeros(model: nn.Module, selected: Mapping[str, Tensor]) -> int:
    """Return how many of the selected weights of a model are zero; `selected` are masks."""
    weights = dict(model.named_parameters())
    return _count(mask & (weights[name] == 0) for name, mask in selected.items())


def _only_pruned(variant: Variant) -> Variant:
    """Return the variant of the same rate and seed that is not fine-tuned."""
    return dataclasses.replace(variant, rule=L1)
