"""One half of the PE-score study: a VGG11 whose filters are physically removed."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruncam import models, pruning
from pruncam.datasets import DataError
from pruncam.seeds import derive, generator
from pruncam.studies import half
from pruncam.studies.half import Variant
from pruncam.studies.pe_score.config import CRITERIA, INPUTS, Config
from pruncam.training import Recipe


@dataclass(frozen=True, eq=False)
class Half(half.Half):
    """A data set of the paper, and the models and scores made for it."""

    study = "pe_score"
    versions = {"baseline": 1, "tuned": 1, "scores": 1}
    inputs = INPUTS

    config: Config
    needed: float  # baseline accuracy, %, below which claims are not tested
    original: bool = False  # whether the pictures are the publisher's, before they were resized

    @property
    def rules(self) -> dict[str, tuple[int, ...]]:
        """The criteria, each with the study's seed."""
        return dict.fromkeys(self.config.criteria, (self.config.seed,))

    @property
    def factors(self) -> dict[str, int]:
        """How many times as long as the configuration says each phase lasts here."""
        found = next((factors for paper, *factors in self.config.prolonged if paper == self.paper), (1, 1))
        return dict(zip(("baseline", "finetuning"), found, strict=True))

    def recipe(self, phase: str) -> Recipe:
        """The configuration's recipe, prolonged where the data set is small."""
        recipe = self.config.recipe(phase)
        return replace(recipe, schedule=tuple((self.factors[phase] * n, rate) for n, rate in recipe.schedule))

    def network(self) -> nn.Module:
        """A VGG11 for images of this size."""
        c = self.config
        how = {"width": c.width, "classifier_width": c.classifier_width, "batch_norm": c.batch_norm}
        side = self.test.images.shape[-1]
        return models.vgg11(len(self.test.classes), image_size=side, dropout=c.dropout, **how)

    def initial(self) -> nn.Module:
        """The network before training: from random weights, ImageNet's, or a file's."""
        seed = derive(self.config.seed, "weights", self.paper)
        network = models.initialize(self.network(), "kaiming-normal", seed)
        if self.config.initial == "none":
            return network
        if self.config.initial == "imagenet":
            return with_features(network, imagenet(self.config.batch_norm))
        return pruning.load_state(network, read_state(self.config.initial))

    @cached_property
    def batch(self) -> tuple[Tensor, Tensor]:
        """The training images that SeNPIS measures losses on, as the network takes them, and their labels."""
        labels, chosen = self.train.labels.cpu(), []
        for label in range(len(self.train.classes)):
            of_class = (labels == label).nonzero()[:, 0]
            order = torch.randperm(len(of_class), generator=generator(self.config.seed, "samples", self.paper, label))
            chosen.append(of_class[order[: self.config.samples_per_class]])
        rows = torch.cat(chosen).to(self.train.labels.device)
        return self.prepared(self.train.images[rows].float() / 255), self.train.labels[rows]

    def pruned(self, variant: Variant) -> nn.Module:
        """A smaller copy of the baseline."""
        return pruning.remove_filters(
            self.baseline,
            variant.rate,
            importance=CRITERIA[variant.rule],
            example_input=self.batch[0][:1],
            batch=self.batch,
            layers=self.config.layers,
            seed=derive(variant.seed, "pruning", self.paper),
        )

    def training(self) -> dict[str, Any]:
        """Whatever the baseline depends on."""
        c = self.config
        names = ("width", "classifier_width", "batch_norm", "dropout", "initial", "baseline_batch", "moves")
        facts = {name: getattr(c, name) for name in (*names, "weight_decay", "seed")}
        facts["baseline"] = self.recipe("baseline").schedule
        if c.initial not in ("none", "imagenet"):
            facts["file"] = Path(c.initial).stat().st_mtime_ns if Path(c.initial).is_file() else None
        return facts | {"train": self.train.checksum, "half": self.paper}

    def tuning(self, variant: Variant) -> dict[str, Any]:
        """Whatever pruning and fine-tuning depend on."""
        c = self.config
        measured = {"samples_per_class": c.samples_per_class} if variant.rule in CRITERIA else {}
        pruned = {"layers": c.layers} if variant.rule in CRITERIA else {}
        return (
            {"finetuning": self.recipe("finetuning").schedule, "finetuning_batch": c.finetuning_batch}
            | measured
            | pruned
        )


def read_state(path: str) -> dict[str, Tensor]:
    """A state dict from a file, weights only; DataError where there is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets in a damaged file
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(
            f"initial weights: {path} cannot be read as a state dict ({type(error).__name__}: {reason}): "
            "save one with torch.save(model.state_dict(), path), or use 'none' or 'imagenet'"
        ) from error
    if not isinstance(state, dict):
        raise DataError(f"initial weights: {path} holds a {type(state).__name__}, a state dict is needed")
    return state


def imagenet(batch_norm: bool) -> dict[str, Tensor]:
    """torchvision's VGG11 trained on ImageNet, which it downloads; DataError where it cannot."""
    from torchvision.models import vgg11, vgg11_bn  # here: the import alone takes seconds

    try:
        return (vgg11_bn if batch_norm else vgg11)(weights="IMAGENET1K_V1").state_dict()
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"VGG11's ImageNet weights could not be downloaded ({reason}): try again with a network, put their file "
            "into torch's hub folder, or use initial='none'"
        ) from error


def with_features(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """`network` with another's convolutions; its FC layers stay. ValueError where the widths differ."""
    own = network.state_dict()
    features = {name: value for name, value in state.items() if name.startswith("features.")}
    if any(name not in own or own[name].shape != value.shape for name, value in features.items()):
        raise ValueError("ImageNet's weights are those of a VGG11 of width 64: set width=64 or initial='none'")
    network.load_state_dict(own | features)
    return network
