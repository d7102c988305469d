"""The experiment of the PE-score study: VGG11, with filters physically removed."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruncam import networks, pruning
from pruncam._core.seeds import derive, generator
from pruncam.studies.config import plain_schedule
from pruncam.studies.experiment import Experiment, Variant
from pruncam.studies.pe_score.config import CRITERIA, PeScoreConfig
from pruncam.studies.pe_score.initial_weights import (
    imagenet_state_dict,
    read_state_dict,
    with_convolutions_of,
)
from pruncam.training import Inputs

_SETTINGS_OF_BASELINE = (
    "width",
    "classifier_width",
    "batch_norm",
    "dropout",
    "initial",
    "baseline_batch",
    "weight_decay",
    "seed",
)


@dataclass(frozen=True, eq=False)
class PeScoreExperiment(Experiment):
    """A data set of the PE-score paper with its models: filters removed, then fine-tuned."""

    study = "pe_score"
    versions = {"baseline": 1, "tuned": 1, "scores": 1}
    inputs = Inputs(mean=0.45, std=0.225)  # close to the means of ImageNet's three channels

    config: PeScoreConfig
    original: bool = field(default=False, kw_only=True)  # the publisher's pixels before resizing

    @property
    def rules(self) -> dict[str, tuple[int, ...]]:
        """The pruning criteria, each with the study's seed."""
        return dict.fromkeys(self.config.criteria, (self.config.seed,))

    def network(self) -> nn.Module:
        """Return VGG11 for images of this size."""
        return networks.vgg11(
            len(self.test.classes),
            image_size=self.test.images.shape[-1],
            width=self.config.width,
            classifier_width=self.config.classifier_width,
            batch_norm=self.config.batch_norm,
            dropout=self.config.dropout,
        )

    def initial(self) -> nn.Module:
        """Return the network with random weights, ImageNet's, or those of a file."""
        seed = self._derived_seed("weights")
        network = networks.initialize(self.network(), "kaiming-normal", seed)
        if self.config.initial == "none":
            return network
        if self.config.initial == "imagenet":
            return with_convolutions_of(imagenet_state_dict(self.config.batch_norm), network)
        return pruning.load_state(network, read_state_dict(self.config.initial))

    @cached_property
    def importance_batch(self) -> tuple[Tensor, Tensor]:
        """The training images on which SeNPIS measures losses, as network input, and labels.

        As many of every class, drawn at random.
        """
        labels = self.train.labels.cpu()
        rows = [self._draw_of_class(labels, label) for label in range(len(self.train.classes))]
        indices = torch.cat(rows).to(self.train.labels.device)
        return self.network_input(self.train.images[indices]), self.train.labels[indices]

    def _draw_of_class(self, labels: Tensor, label: int) -> Tensor:
        """Return the indices of the drawn images of a class."""
        of_class = (labels == label).nonzero()[:, 0]
        random = generator(self.config.seed, "samples", self.dataset, label)
        order = torch.randperm(len(of_class), generator=random)
        return of_class[order[: self.config.samples_per_class]]

    def pruned(self, variant: Variant) -> nn.Module:
        """Return a smaller copy of the baseline."""
        images, _ = self.importance_batch
        return pruning.remove_filters(
            self.baseline,
            variant.rate,
            importance=CRITERIA[variant.rule],
            example_input=images[:1],
            batch=self.importance_batch,
            layers=self.config.layers,
            seed=derive(variant.seed, "pruning", self.dataset),
        )

    def training_inputs(self) -> dict[str, Any]:
        """Return everything a baseline depends on that is trained by the configured recipe."""
        inputs = {name: getattr(self.config, name) for name in _SETTINGS_OF_BASELINE}
        inputs |= {
            "baseline": plain_schedule(self.recipe("baseline").schedule),
            "train": self.train.checksum,
            "moves": self.config.augmentation,  # this key and the next: of existing stores
            "half": self.dataset,
        }
        if self.config.initial not in ("none", "imagenet"):
            file = Path(self.config.initial)
            inputs["file"] = file.stat().st_mtime_ns if file.is_file() else None
        return inputs

    def variant_inputs(self, variant: Variant) -> dict[str, Any]:
        """Return what pruning and fine-tuning depend on."""
        inputs: dict[str, Any] = {
            "finetuning": self.recipe("finetuning").schedule,
            "finetuning_batch": self.config.finetuning_batch,
        }
        if variant.rule in CRITERIA:
            inputs["samples_per_class"] = self.config.samples_per_class
            inputs["layers"] = self.config.layers
        return inputs
