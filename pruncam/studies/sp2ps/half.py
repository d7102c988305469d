"""One half of the Sp2PS study: the networks with 3x3 convolutions, pruned by masks."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from pruncam import pruning
from pruncam.seeds import derive
from pruncam.studies.half import Variant
from pruncam.studies.plain import PlainHalf
from pruncam.studies.sp2ps.config import Config

L1, RANDOM = "L1", "Random"
_METHODS = {L1: "l1", RANDOM: "random"}
_PRUNE = {"weights": pruning.global_unstructured, "filters": pruning.global_structured}


@dataclass(frozen=True, eq=False)
class Half(PlainHalf):
    """A data set of the paper, and the models and scores made for it."""

    study = "sp2ps"
    versions = {"baseline": 1, "tuned": 1, "scores": 1}

    config: Config

    @property
    def rules(self) -> dict[str, tuple[int, ...]]:
        """L1 has one seed, Random several."""
        return {L1: (self.config.seed,), RANDOM: self.config.random_seeds}

    def pruned(self, variant: Variant) -> nn.Module:
        """The baseline with masks on single weights or on whole filters."""
        model, seed = pruning.drop_masks(self.baseline), derive(variant.seed, "pruning", self.paper)
        return _PRUNE[self.config.pruning](model, variant.rate, method=_METHODS[variant.rule], seed=seed)

    def tuning(self, variant: Variant) -> dict[str, Any]:
        """Whatever pruning and fine-tuning depend on."""
        c = self.config
        structured = {"pruning": c.pruning} if c.pruning != "weights" and variant.rule in _METHODS else {}
        return {"finetuning": c.finetuning, "finetuning_batch": c.finetuning_batch} | structured
