"""A model that is moved to a planted mark on purpose: which score sees it? (beyond the paper)

The baseline goes on training on pictures whose labels only a mark in the corner tells. On pictures where mark and
object agree it then keeps its accuracy, and looks elsewhere: what the papers fear, here with a known answer.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from pruncam import cams, pruning, scoring
from pruncam.datasets import ImageSet
from pruncam.datasets.generated import marked_pixels, planted, told_by_marks
from pruncam.seeds import derive
from pruncam.store import Step
from pruncam.studies.sp2ps.half import Half

# Raised by hand when the code of a step changes what it makes.
MOVED, SCORES = 1, 1

UNMOVED, CONTROL, MISLED = "baseline", "trained on, without marks", "moved to the mark"


@dataclass(frozen=True)
class Distractor:
    """The three models, and the pictures that they are asked about: the same ones, under marks that agree or lie."""

    half: Half
    made: dict[str, nn.Module] = field(default_factory=dict)  # what `moved` has given before

    @cached_property
    def agreeing(self) -> ImageSet:
        """The test images, each with the mark of its class."""
        return planted(self.half.test, 1.0)

    @cached_property
    def lying(self) -> ImageSet:
        """The test images, each with the mark of another class."""
        return planted(self.half.test, 0.0)

    @cached_property
    def models(self) -> dict[str, nn.Module]:
        """The baseline, and its copies that were trained on without marks, and to the mark."""
        return {UNMOVED: self.half.baseline} | {name: self.moved(name) for name in (CONTROL, MISLED)}

    def moved(self, name: str) -> nn.Module:
        """The model called CONTROL or MISLED."""
        if name not in self.made:
            self.made[name] = self._made(name)
        return self.made[name]

    def _made(self, name: str) -> nn.Module:
        workshop, recipe = self.half.workshop, self.half.config.recipe("misleading")
        seed = derive(self.half.config.seed, "misleading", name)

        def make():
            images = told_by_marks(self.half.train) if name == MISLED else self.half.train
            return workshop.train(pruning.drop_masks(self.half.baseline), images, recipe, self.half.inputs, seed)

        return workshop.model(
            Step("sp2ps-moved", MOVED, self._inputs() | {"model": name}), self.half.network(), recipe, make
        )

    def _inputs(self) -> dict:
        return self.half.training() | {"misleading": self.half.config.misleading}

    def table(self) -> pd.DataFrame:
        """A row per model and CAM: accuracy under every kind of mark, the map's share on object and mark, scores."""
        scores = self._scores()
        accuracy = {name: self._accuracies(model) for name, model in self.models.items()}
        rows = []
        for name, model in self.models.items():
            maps = cams.explain(model, self._input(self.agreeing), methods=self.half.config.methods).maps
            for method, found in maps.items():
                part = scores[(scores["model"] == name) & (scores["method"] == method)]
                row = {"model": name, "method": method, "images": len(self.agreeing)} | accuracy[name]
                row |= {"energy_object": self._energy(found, self.agreeing.objects)}
                row |= {"energy_mark": self._energy(found, marked_pixels(found.shape[-1]).to(found.device))}
                rows.append(row | {score: part[score].mean() for score in scoring.SCORES})
        return pd.DataFrame(rows)

    def sample(self) -> tuple[np.ndarray | None, dict[str, dict[str, np.ndarray]]]:
        """A test image under its agreeing mark, (H, W, 3) in [0, 1], and its maps by model and CAM.

        Of the first 50, the one whose map by the baseline (first CAM) lies least on the mark, of those that all models
        get right where there are any. No image where the set's pictures may not be published.
        """
        asked = self.agreeing.first(min(50, len(self.agreeing)))
        found = {
            name: cams.explain(model, self._input(asked), methods=self.half.config.methods)
            for name, model in self.models.items()
        }
        right = torch.stack([one.targets == asked.labels for one in found.values()]).all(0)
        first = found[UNMOVED].maps[self.half.config.methods[0]]
        share = self._shares(first, marked_pixels(first.shape[-1]).to(first.device)).nan_to_num(1.0)
        chosen = int((share.masked_fill(~right, math.inf) if right.any() else share).argmin())
        pictures = {
            name: {method: maps[chosen].cpu().numpy() for method, maps in one.maps.items()}
            for name, one in found.items()
        }
        public = asked.credit(chosen) is not None
        return asked.images[chosen].permute(1, 2, 0).cpu().numpy() / 255 if public else None, pictures

    def _scores(self) -> pd.DataFrame:
        inputs = self._inputs() | {"test": self.agreeing.checksum, "methods": list(self.half.config.methods)}
        how = {"methods": self.half.config.methods, "transform": self.half.prepared}
        others = {name: partial(self.models.get, name) for name in self.models}
        return self.half.workshop.rows(
            Step("sp2ps-moved-scores", SCORES, inputs), self.half.baseline, others, self.agreeing, **how
        )

    def _accuracies(self, model: nn.Module) -> dict[str, float]:
        """Accuracy in % without marks, with marks that agree with the class, and with marks of other classes."""
        kinds = {"accuracy_plain": self.half.test, "accuracy_agreeing": self.agreeing, "accuracy_lying": self.lying}
        found = {}
        for kind, images in kinds.items():
            with torch.no_grad():
                right = model(self._input(images)).argmax(1) == images.labels
            found[kind] = 100 * right.double().mean().item()
        return found

    def _input(self, images: ImageSet) -> torch.Tensor:
        return self.half.prepared(images.images.float() / 255)

    @staticmethod
    def _energy(maps: torch.Tensor, pixels: torch.Tensor | None) -> float:
        """The mean share of the maps on these pixels; nan where they are not known, empty maps left out."""
        if pixels is None:
            return float("nan")
        return Distractor._shares(maps, pixels).double().nanmean().item()

    @staticmethod
    def _shares(maps: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """The share of each map that lies on these pixels; NaN of an empty one."""
        return (maps * pixels).sum((1, 2)) / maps.sum((1, 2))
