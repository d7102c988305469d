"""Searches for the nearest neighbours of all points of a view; they are stored."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pruncam import complexity
from pruncam._core.store import Step
from pruncam.complexity import Neighbourhoods, Neighbours
from pruncam.datasets import ImageSet
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.csg.embedder import Embedder, View

_VERSION = 2  # raised by hand when the code of the step changes its result


def _ignore(count: int) -> None:
    pass


@dataclass(frozen=True, eq=False)
class NeighbourSearch:
    """The search for the `largest_k` nearest neighbours in images of one data set."""

    embedder: Embedder
    largest_k: int
    trainer: CachedTrainer

    def inputs(
        self,
        images: ImageSet,
        view: View,
    ) -> dict[str, Any]:
        """Return everything the neighbours depend on."""
        return {
            "images": images.checksum,
            "k": self.largest_k,
            **self.embedder.inputs(view),
        }

    def neighbourhoods(
        self,
        images: ImageSet,
        view: View,
        after_rows: Callable[[int], None] = _ignore,
    ) -> Neighbourhoods:
        """Return the neighbours of every point, searched now or stored.

        `images` are those of the view; `after_rows` is called with the number of points that were
        searched now.
        """
        step = Step("csg-neighbours", _VERSION, self.inputs(images, view))
        search = partial(self._search, images, view, after_rows)
        # Not by `trainer.cached`: this runs inside another step, whose seconds include it.
        stored = self.trainer.store.get(step, search).value
        labels = images.labels.numpy()
        return Neighbourhoods(labels, _neighbours(stored), stored.get("points"))

    def _search(
        self,
        images: ImageSet,
        view: View,
        after_rows: Callable[[int], None],
    ) -> dict[str, Tensor]:
        def report(count: int) -> None:
            after_rows(count)
            self.trainer.progress.advance(count)
            self.trainer.progress.check()

        result = complexity.neighbourhoods(
            self.embedder.points(images, view),
            images.labels.numpy(),
            k=min(self.largest_k, len(images) - 1),
            after_rows=report,
        )
        neighbours = result.neighbours
        stored = {
            "nearest": neighbours.indices.int(),
            "tied": neighbours.tied,
            "rows": neighbours.rows.int(),
            "further": neighbours.further.int(),
        }
        if result.points is not None:
            stored["points"] = result.points
        return stored


def _neighbours(stored: dict[str, Tensor]) -> Neighbours:
    """Return the neighbours of all points from what was stored."""
    return Neighbours(
        points=torch.arange(len(stored["nearest"])),
        indices=stored["nearest"].long(),
        tied=stored["tied"],
        rows=stored["rows"].long(),
        further=stored["further"].long(),
    )
