"""One chain of models: pretrained, then pruned, rewound and retrained, level by level; and what each model is worth."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pruncam import cams, metrics, models, pruning
from pruncam.datasets import ImageSet
from pruncam.seeds import derive
from pruncam.store import Step
from pruncam.studies.mnist_iou.config import Config
from pruncam.studies.workshop import Workshop
from pruncam.training import accuracy

# Raised by hand when the code of a step changes what it makes.
PRETRAINED, LEVEL, SCORES, CHOICES = 2, 2, 3, 4

SLICE = 1000  # images
OTHER_LAYER = {"conv2": "the last convolution itself", "relu2": "the ReLU after the last convolution"}


@dataclass(frozen=True)
class Chain:
    """The models of one seed under one configuration, and the data they see."""

    config: Config
    seed: int
    variant: str
    train: ImageSet
    test: ImageSet
    workshop: Workshop
    models: list[nn.Module] = field(default_factory=list)  # of every level, filled by `run`

    @property
    def epochs(self) -> int:
        """How many epochs the whole chain trains."""
        pretraining, retraining = (len(self.config.recipe(p).learning_rates) for p in ("pretraining", "retraining"))
        return pretraining + retraining * (self.config.levels + (self.config.level_zero == "retrained"))

    def run(self) -> list[dict[str, Any]]:
        """The scores of every level, from unpruned to sparsest; every model and score table is kept in the store."""
        start = self._pretrained()
        scores = []
        for level in range(self.config.levels + 1):
            self.models.append(self._level(level, start, self.models[-1] if level else start))
            scores.append(self._scores(level, self.models[-1]) | {"remaining": remaining(self.models[-1])})
        return scores

    def choices(self) -> list[dict[str, float]]:
        """Mean IoU of every level under other choices of target layer and target class; after `run`."""
        return [self._choices(level, model) for level, model in enumerate(self.models)]

    @cached_property
    def clean(self) -> Tensor:
        """The test images (N, H, W) in [0, 1]: what a heatmap should look like."""
        return self.test.images[:, 0].float() / 255

    @cached_property
    def noisy(self) -> Tensor:
        """The test images (N, 1, H, W) with this seed's noise, uint8."""
        indices = torch.arange(len(self.test), device=self.workshop.device)
        return self.config.inputs.noisy(self.test.images, indices, derive(self.seed, "test noise"))

    def _pretrained(self) -> nn.Module:
        def make():
            model = models.initialize(models.mnist_net(), self.config.initial_weights, derive(self.seed, "weights"))
            return self._trained(model, "pretraining", derive(self.seed, "pretraining"))

        return self._model(Step("mnist-iou-pretrained", PRETRAINED, self._training()), "pretraining", make)

    def _level(self, level: int, start: nn.Module, previous: nn.Module) -> nn.Module:
        if level == 0 and self.config.level_zero == "pretrained":
            return start

        def make():
            pruned = previous if level else start
            pruned = pruning.lottery_step(pruned, self.config.fraction) if level else pruned
            model = pruning.rewind(pruned, start)
            return self._trained(model, "retraining", derive(self.seed, "retraining", level))

        inputs = {
            "level": level,
            "fraction": self.config.fraction,
            "level_zero": self.config.level_zero,
            "retraining": self.config.retraining,
        }
        return self._model(Step("mnist-iou-level", LEVEL, self._training() | inputs), "retraining", make)

    def _model(self, step: Step, phase: str, make: Callable[[], dict[str, Tensor]]) -> nn.Module:
        return self.workshop.model(step, models.mnist_net(), self.config.recipe(phase), make)

    def _trained(self, model: nn.Module, phase: str, seed: int) -> dict[str, Tensor]:
        return self.workshop.train(model, self.train, self.config.recipe(phase), self.config.inputs, seed)

    def _training(self) -> dict[str, Any]:
        """Whatever the pretrained model depends on."""
        c = self.config
        names = ("pretraining", "batch_size", "momentum", "weight_decay", "noise", "mean", "std", "initial_weights")
        facts = {"seed": self.seed, "train": self.train.checksum, "engine": self.workshop.engine}
        return {name: getattr(c, name) for name in names} | facts

    def _scoring(self, level: int) -> dict[str, Any]:
        c = self.config
        names = ("fraction", "level_zero", "retraining", "method")
        return self._training() | {name: getattr(c, name) for name in names} | {
            "level": level,
            "test": self.test.checksum,
        }  # fmt: skip

    def _scores(self, level: int, model: nn.Module) -> dict[str, Any]:
        inputs = self._scoring(level) | {"target_layer": self.config.target_layer}
        return self.workshop.keep(Step("mnist-iou-scores", SCORES, inputs), lambda: self._score(model))

    def _score(self, model: nn.Module) -> dict[str, Any]:
        """Everything there is to say of one model's heatmaps: a value per image, and over all images."""
        method, layer = self.config.method, self.config.target_layer
        parts = []
        for rows in self._slices():
            found = cams.explain(model, self._input(self.noisy, rows), methods=[method], target_layer=layer)
            seen = fits(found.maps[method], self.clean[rows])
            seen["correct"] = found.targets == self.test.labels[rows]
            parts.append({name: values.cpu() for name, values in seen.items()})
        images = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        mean, pixels = images.pop("mean").double(), self.clean[0].numel()
        squares = images.pop("mean_square").double().mean() * pixels * len(mean)
        variance = (squares - pixels * len(mean) * mean.mean() ** 2) / (pixels * len(mean) - 1)
        return images | {
            "accuracy_noisy": 100 * images["correct"].double().mean().item(),
            "accuracy_clean": self._accuracy_clean(model),
            "pooled_iou": _share(images.pop("minima"), images.pop("maxima")),
            "heatmap_mean": mean.mean().item(),
            "heatmap_std": variance.clamp(min=0).sqrt().item(),
        }

    def _accuracy_clean(self, model: nn.Module) -> float:
        correct = [
            accuracy(model, self._input(self.test.images, rows), self.test.labels[rows]) * len(self.test.labels[rows])
            for rows in self._slices()
        ]
        return sum(correct) / len(self.test)

    def _input(self, images: Tensor, rows: slice) -> Tensor:
        return self.config.inputs.normalised(images[rows])

    def _slices(self) -> list[slice]:
        """The test set in pieces: memory does not grow with the number of images."""
        self.workshop.progress.check()
        return [slice(start, start + SLICE) for start in range(0, len(self.test), SLICE)]

    def _choices(self, level: int, model: nn.Module) -> dict[str, Any]:
        inputs = self._scoring(level) | {"target_layer": self.config.target_layer}
        return self.workshop.keep(Step("mnist-iou-choices", CHOICES, inputs), lambda: self._choose(model))

    def _choose(self, model: nn.Module) -> dict[str, float]:
        iou: dict[str, list[Tensor]] = {}
        other = "relu2" if self.config.target_layer == "conv2" else "conv2"
        for rows in self._slices():
            x, labels = self._input(self.noisy, rows), self.test.labels[rows]
            options = {
                f"target layer: {other} ({OTHER_LAYER[other]})": {"target_layer": other},
                "target class: the true one": {"target_layer": self.config.target_layer, "targets": labels},
            }
            for name, given in options.items():
                maps = cams.heatmaps(model, x, method=self.config.method, **given)
                iou.setdefault(name, []).append(metrics.soft_iou(maps, self.clean[rows]).cpu())
        return {name: torch.cat(values).double().mean().item() for name, values in iou.items()}


def remaining(model: nn.Module) -> int:
    """How many convolution and FC weights are not pruned."""
    return sum(
        int(getattr(module, "weight_mask", torch.ones_like(module.weight)).sum())
        for module in pruning.prunable(model).values()
    )


def fits(maps: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Ways to say how well heatmaps (N, H, W) fit the clean images (N, H, W) in [0, 1], each of shape (N,).

    `iou` is the thesis's; `iou_other_image` pairs every map with the next image instead, which no true explanation
    should survive; `energy` is the share of the map that lies on the digit, nan for an empty map; `inverted` is whether
    the map is weaker on the digit than around it.
    """
    digit = clean > 0
    flat, inside = maps.flatten(1), digit.flatten(1)
    on = (flat * inside).sum(1) / inside.sum(1).clamp(min=1)
    off = (flat * ~inside).sum(1) / (~inside).sum(1).clamp(min=1)
    return {
        "iou": metrics.soft_iou(maps, clean),
        "iou_other_image": metrics.soft_iou(maps, clean.roll(-1, 0)),
        "iou_binary": metrics.iou(maps, clean),
        "energy": (flat * inside).sum(1) / flat.sum(1),
        "pixel_correlation": _pixel_correlation(flat, clean.flatten(1)),
        "inverted": on < off,
        "empty": flat.amax(1) == 0,
        "minima": torch.minimum(maps, clean).sum((1, 2)),
        "maxima": torch.maximum(maps, clean).sum((1, 2)),
        "mean": flat.mean(1),
        "mean_square": flat.square().mean(1),
    }


def _share(part: Tensor, whole: Tensor) -> float:
    """Sum over sum; 1 where both are empty, as for one image."""
    total = whole.double().sum().item()
    return part.double().sum().item() / total if total else 1.0


def _pixel_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson correlation over the pixels of each pair; 0 where one of the two is constant."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    scale = x.norm(dim=1) * y.norm(dim=1)
    return torch.where(scale > 0, (x * y).sum(1) / scale.clamp(min=1e-12), torch.zeros_like(scale))
