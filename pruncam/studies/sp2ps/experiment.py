"""The experiment of the Sp2PS study: networks of 3x3 convolutions, pruned by masks."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from pruncam import pruning
from pruncam._core.seeds import derive
from pruncam.studies.experiment import PlainExperiment, Variant
from pruncam.studies.sp2ps.config import Sp2psConfig

L1, RANDOM = "L1", "Random"
_METHODS = {L1: "l1", RANDOM: "random"}
_PRUNE = {"weights": pruning.global_unstructured, "filters": pruning.global_structured}


@dataclass(frozen=True, eq=False)
class Sp2psExperiment(PlainExperiment):
    """A data set of the Sp2PS paper with its models: pruned by L1 or Random, then fine-tuned."""

    study = "sp2ps"
    versions = {"baseline": 1, "tuned": 1, "scores": 1}

    config: Sp2psConfig

    @property
    def rules(self) -> dict[str, tuple[int, ...]]:
        """L1 with one seed, Random with several."""
        return {L1: (self.config.seed,), RANDOM: self.config.random_seeds}

    def pruned(self, variant: Variant) -> nn.Module:
        """Return the baseline with masks on single weights or on whole filters."""
        prune = _PRUNE[self.config.pruning]
        seed = derive(variant.seed, "pruning", self.dataset)
        model = pruning.drop_masks(self.baseline)
        return prune(model, variant.rate, method=_METHODS[variant.rule], seed=seed)

    def variant_inputs(self, variant: Variant) -> dict[str, Any]:
        """Return what pruning and fine-tuning depend on."""
        inputs: dict[str, Any] = {
            "finetuning": self.recipe("finetuning").schedule,
            "finetuning_batch": self.config.finetuning_batch,
        }
        if self.config.pruning != "weights" and variant.rule in _METHODS:
            inputs["pruning"] = self.config.pruning
        return inputs
