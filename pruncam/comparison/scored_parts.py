"""Scores of images that are streamed: part by part, each kept in the store.

An interrupted comparison of many images goes on with the first part that is not in the store.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import nn

from pruncam._core.progress import Progress
from pruncam._core.store import Step, Store
from pruncam.comparison.controls import digest, first_logits_of
from pruncam.comparison.pair import Pair
from pruncam.comparison.settings import Normalisation, Settings
from pruncam.datasets import ImageSet
from pruncam.studies.cached_trainer import CachedTrainer

_VERSION = 1  # raise when code changes the scores


@dataclass(frozen=True)
class PartScorer:
    """Scores of the streamed images of a pair by models, against a baseline.

    `models` are all of them by name, the baseline included. `score` returns the rows of a part.
    """

    pair: Pair
    models: Mapping[str, nn.Module]
    normalisation: Normalisation
    settings: Settings
    score: Callable[[ImageSet], pd.DataFrame]

    def rows(self, progress: bool) -> pd.DataFrame:
        """Return the rows of all images, from the store or computed now."""
        images = self.pair.images
        bar = Progress("score", "image", progress)
        bar.expect(len(images))
        store = CachedTrainer(Store(), torch.device("cpu"), bar)
        inputs = self._inputs()
        tables = []
        start = 0
        try:
            for part in images.parts():
                step = Step("compared-images", _VERSION, {**inputs, "images": part.checksum})
                rows = store.cached_rows(step, partial(self.score, part))
                rows["image"] += start
                tables.append(rows)
                start += len(part)
                bar.advance(len(part))
        finally:
            bar.close()
        rows = pd.concat(tables, ignore_index=True)
        return rows.sort_values(["model", "method", "image"], kind="stable", ignore_index=True)

    def _inputs(self) -> dict[str, Any]:
        """Return everything that the scores of a part depend on, besides its images."""
        images = self.pair.images
        first = images.first(min(4, len(images))).images
        models = {}
        for name, model in self.models.items():
            device = next(model.parameters()).device
            network = nn.Sequential(self.normalisation.to(device), self.pair.classifier(model))
            # The logits distinguish networks with equal weights whose forward code differs.
            logits = first_logits_of(network, first.to(device))
            models[name] = [digest(model.state_dict()), digest({"first": logits})]
        output = {} if self.pair.output is None else {"output": self.pair.output}
        return {
            "models": models,
            "methods": list(self.settings.methods),
            "target_layer": self.settings.target_layer,
            "mean": self.normalisation.mean.flatten().tolist(),
            "std": self.normalisation.std.flatten().tolist(),
            **output,
        }
