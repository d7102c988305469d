"""One half of the Sp2PS study: the networks with 3x3 convolutions, pruned by masks."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from pruncam import models, pruning
from pruncam.seeds import derive
from pruncam.studies import half
from pruncam.studies.half import Variant
from pruncam.studies.sp2ps.config import INPUTS, NETWORKS, Config

L1, RANDOM = "L1", "Random"
_METHODS = {L1: "l1", RANDOM: "random"}
_PRUNE = {"weights": pruning.global_unstructured, "filters": pruning.global_structured}


@dataclass(frozen=True, eq=False)
class Half(half.Half):
    """A data set of the paper, and the models and scores made for it."""

    study = "sp2ps"
    versions = {"baseline": 1, "tuned": 1, "scores": 1}
    inputs = INPUTS

    config: Config
    width: int

    @property
    def rules(self) -> dict[str, tuple[int, ...]]:
        """L1 has one seed, Random several."""
        return {L1: (self.config.seed,), RANDOM: self.config.random_seeds}

    def network(self) -> nn.Module:
        """The paper's network for images of this size."""
        build = getattr(models, NETWORKS[self.test.images.shape[-1]])
        return build(len(self.test.classes), width=self.width)

    def pruned(self, variant: Variant) -> nn.Module:
        """The baseline with masks on single weights or on whole filters."""
        model, seed = pruning.drop_masks(self.baseline), derive(variant.seed, "pruning", self.paper)
        return _PRUNE[self.config.pruning](model, variant.rate, method=_METHODS[variant.rule], seed=seed)

    def training(self) -> dict[str, Any]:
        """Whatever the baseline depends on."""
        c = self.config
        return {
            "train": self.train.checksum,
            "width": self.width,
            "baseline": c.baseline,
            "batch": c.baseline_batch,
            "seed": c.seed,
            "half": self.paper,
        }

    def tuning(self, variant: Variant) -> dict[str, Any]:
        """Whatever pruning and fine-tuning depend on."""
        c = self.config
        structured = {"pruning": c.pruning} if c.pruning != "weights" and variant.rule in _METHODS else {}
        return {"finetuning": c.finetuning, "finetuning_batch": c.finetuning_batch} | structured
