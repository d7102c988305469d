"""A data set with the plain network of the Sp2PS and complexity papers: 3x3 convolutions, BatchNorm, ReLU."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from pruncam import models
from pruncam.studies import half
from pruncam.training import Inputs

NETWORKS = {32: "cifar_net", 96: "stl_net"}  # by the images' side (Sp2PS, Figure 3; complexity paper, Figures 2 and 3)


class PlainConfig(half.StudyConfig, Protocol):
    """What the configuration of a study of these networks offers."""

    baseline: tuple[tuple[int, float], ...]
    baseline_batch: int


@dataclass(frozen=True, eq=False)
class PlainHalf(half.Half):
    """A data set and the models made of its plain network with `width` first filters."""

    inputs = Inputs(mean=0.5, std=0.5)

    config: PlainConfig
    width: int

    def network(self) -> nn.Module:
        """The papers' network for images of this size."""
        build = getattr(models, NETWORKS[self.test.images.shape[-1]])
        return build(len(self.test.classes), width=self.width)

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
