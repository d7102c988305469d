"""One data set of the sweeps: its network with the smallest convolution weights pruned, as it is and fine-tuned."""

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import pruning
from pruncam.complexity import csg
from pruncam.datasets import ImageSet
from pruncam.store import Step
from pruncam.studies import half
from pruncam.studies.half import CHANCE, FLOOR, Variant
from pruncam.studies.plain import PlainHalf
from pruncam.studies.sweeps.answers import Answers
from pruncam.studies.sweeps.config import Config

# Versions of the steps, raised by hand when their code changes what they make.
ANSWERS, COMPLEXITY = 1, 1

L1, DROPPED, KEPT = "L1", "L1, masks dropped", "L1, masks kept"  # not fine-tuned, and fine-tuned in two ways
BATCH = 50  # images that are classified at a time: few, so that their feature maps stay in the cache


@dataclass(frozen=True, eq=False)
class Half(PlainHalf):
    """A data set, and the models, answers and scores made for it."""

    study = "sweeps"
    versions = {"baseline": 1, "tuned": 1, "scores": 1}

    config: Config
    pool: ImageSet  # training images, whether trained on or not, that complexity is measured in
    needed: float  # baseline accuracy, %, below which claims are not tested

    @property
    def rules(self) -> dict[str, tuple[int, ...]]:
        """The same weights go in all three."""
        return dict.fromkeys((L1, DROPPED, KEPT), (self.config.seed,))

    @property
    def tuned(self) -> list[Variant]:
        """The variants that are trained: those that are only pruned are not."""
        return [variant for variant in super().tuned if variant.rule != L1]

    @property
    def explained(self) -> "Half":
        """The same models, asked about the first `sensitivity_images` test images."""
        count = min(self.config.sensitivity_images, len(self.test))
        few = dataclasses.replace(self, test=self.test.first(count))
        few.made.update(self.made)
        return few

    def pruned(self, variant: Variant) -> nn.Module:
        """The baseline without its smallest convolution weights; with DROPPED they may grow back."""
        if variant.rule == L1:
            return pruning.global_unstructured(pruning.drop_masks(self.baseline), variant.rate, layers=("conv",))
        masked = self.model(dataclasses.replace(variant, rule=L1))
        # A copy in any case: fine-tuning changes it.
        return pruning.drop_masks(masked) if variant.rule == DROPPED else copy.deepcopy(masked)

    def tuning(self, variant: Variant) -> dict[str, Any]:
        """Whatever fine-tuning depends on; nothing where there is none."""
        c = self.config
        return {} if variant.rule == L1 else {"finetuning": c.finetuning, "finetuning_batch": c.finetuning_batch}

    def answers(self) -> Answers:
        """Which test images the baseline and every other model get right."""
        rows = [self._answers(group) for group in self._groups()]
        labels = self.test.labels.cpu().numpy()
        right = {variant: row for group in rows for variant, row in group.items()}
        return Answers(self.paper, right.pop(half.BASELINE), right, np.bincount(labels).max() / len(labels))

    def complexity(self, images: ImageSet) -> list[float]:
        """CSG of these training images, raw pixels in [0, 1], a value for every draw of samples."""
        c = self.config
        how = {"samples_per_class": c.csg_samples, "k": c.csg_neighbours}
        inputs = {"images": images.checksum, "seeds": list(c.csg_seeds), **how}

        def make():
            features = images.images.float() / 255
            return [csg(features, images.labels, seed=seed, **how).value for seed in c.csg_seeds]

        return self.workshop.keep(Step("sweeps-csg", COMPLEXITY, inputs), make)

    def connections(self) -> pd.DataFrame:
        """How many of the weights that were pruned are still zero in each model."""
        rows = []
        for variant in (v for v in self.variants if v.rule not in (FLOOR, CHANCE)):
            first = pruning.masks(self.model(dataclasses.replace(variant, rule=L1)))
            weights = dict(self.model(variant).named_parameters())
            pruned = sum(int((mask == 0).sum()) for mask in first.values())
            zero = sum(int(((weights[name] == 0) & (mask == 0)).sum()) for name, mask in first.items())
            row = {"half": self.paper, "rule": variant.rule, "rate": variant.rate}
            row |= {"weights": sum(mask.numel() for mask in first.values()), "pruned": pruned, "still_zero": zero}
            rows.append(row | {"still_zero_share": zero / pruned if pruned else math.nan})
        return pd.DataFrame(rows)

    def _made(self, variant: Variant) -> nn.Module:
        if variant.rule == L1:
            return self.pruned(variant).to(self.workshop.device).eval()
        return super()._made(variant)

    def _answers(self, group: list[Variant]) -> dict[Variant, np.ndarray]:
        inputs = {"test": self.test.checksum, "variants": [self.made_by(variant) for variant in group]}

        def make():
            return torch.stack([self._right(model) for model in (self.baseline, *map(self.model, group))])

        found = self.workshop.keep(Step("sweeps-answers", ANSWERS, inputs), make).numpy()
        return dict(zip((half.BASELINE, *group), found, strict=True))

    @torch.no_grad()
    def _right(self, model: nn.Module) -> Tensor:
        pairs = zip(self.test.images.split(BATCH), self.test.labels.split(BATCH), strict=True)
        right = []
        for images, labels in pairs:
            self.workshop.progress.check()
            right.append(model(self.prepared(images.float() / 255)).argmax(1) == labels)
        return torch.cat(right).cpu()
