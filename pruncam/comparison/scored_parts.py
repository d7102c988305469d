"""Scores of images that are streamed: part by part, each kept in the store.

An interrupted comparison of many images goes on with the first part that is not in the store.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import nn

from pruncam._core.progress import Progress
from pruncam._core.store import Step, Store
from pruncam.comparison.controls import digest, first_logits_of
from pruncam.comparison.image_ranges import ScoreJob, joined_rows, score_images, split_range
from pruncam.datasets import ImageSet
from pruncam.studies.cached_trainer import CachedTrainer

_VERSION = 1  # raise when code changes the scores


@dataclass(frozen=True)
class PartScorer:
    """Scores of the images of a job; those of streamed images part by part."""

    job: ScoreJob
    progress: bool

    def rows(self, numbers: range) -> pd.DataFrame:
        """Return the rows of a range of images, from the store or computed now.

        Those of streamed images are stored, unless functions of the user take part in them.
        """
        images = self.job.pair.images
        if isinstance(images, ImageSet):
            rows = score_images(self.job, images.part(numbers), self.progress)
            return joined_rows([_numbered_from(numbers.start, rows)])
        bar = Progress("score", "image", self.progress)
        bar.expect(len(numbers))
        score = partial(score_images, self.job)
        if not self.job.takes_user_functions:
            score = self._stored(bar)
        tables = []
        try:
            for part in split_range(numbers, images.part_length):
                tables.append(_numbered_from(part.start, score(images.part(part))))
                bar.advance(len(part))
        finally:
            bar.close()
        return joined_rows(tables)

    def _stored(self, bar: Progress) -> Callable[[ImageSet], pd.DataFrame]:
        """Return a function that gives the rows of a part from the store, or computes them."""
        store = CachedTrainer(Store(), torch.device("cpu"), bar)
        inputs = self._inputs()

        def rows(part: ImageSet) -> pd.DataFrame:
            step = Step("compared-images", _VERSION, {**inputs, "images": part.checksum})
            return store.cached_rows(step, partial(score_images, self.job, part))

        return rows

    def _inputs(self) -> dict[str, Any]:
        """Return everything that the scores of a part depend on, besides its images."""
        job = self.job
        pair, normalisation, settings = job.pair, job.normalisation, job.settings
        first = pair.images.first(min(4, len(pair.images))).images
        models = {}
        for name, model in {"baseline": pair.baseline, **job.models}.items():
            device = next(model.parameters()).device
            network = nn.Sequential(normalisation.to(device), pair.classifier(model))
            # The logits distinguish networks with equal weights whose forward code differs.
            logits = first_logits_of(network, first.to(device))
            models[name] = [digest(model.state_dict()), digest({"first": logits})]
        output = {} if pair.output is None else {"output": pair.output}
        return {
            "models": models,
            "methods": list(settings.methods),
            "target_layer": settings.target_layer,
            "mean": normalisation.mean.flatten().tolist(),
            "std": normalisation.std.flatten().tolist(),
            **output,
        }


def _numbered_from(start: int, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose images are numbered from `start` instead of 0."""
    return rows.assign(image=rows["image"] + start)
