"""What a comparison measures on its images, or on a range of them, before it is a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pruncam.comparison.figures import Picture
from pruncam.comparison.image_ranges import joined_rows
from pruncam.comparison.settings import Settings


@dataclass(frozen=True)
class Facts:
    """What a report tells besides measurements, the same for every range of the images.

    `classes` are the names of the classes, `scores` the columns of the rows that hold scores.
    `networks` has the names that further checkpoints have in the tables, by those in the rows, and
    `parameters` the number of parameters that are not zero of every pruned network. `costs` and
    `layers` are the tables of these names. `left_out` names the images without a usable mask; None:
    there are no masks.
    """

    settings: Settings
    classes: tuple[str, ...]
    scores: tuple[str, ...]
    networks: Mapping[str, str]
    parameters: Mapping[str, int]
    costs: pd.DataFrame
    layers: pd.DataFrame
    left_out: str | None
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Measurements:
    """The measurements on a range of the images of a comparison.

    `numbers` are those of the images and `files` their names. `rows` are the scores of all networks
    and CAMs, `hits` the shares of the maps on objects, `pictures` the images whose maps moved most,
    by their numbers. Measurements on images that are spread over all are made with the first range:
    `layer_rows` are the scores at other layers, `faithfulness` is the table of this name.
    """

    numbers: range
    files: tuple[str, ...]
    rows: pd.DataFrame
    hits: pd.DataFrame | None
    pictures: Mapping[int, Picture]
    layer_rows: pd.DataFrame | None
    faithfulness: pd.DataFrame | None
    facts: Facts


def joined(parts: Sequence[Measurements]) -> Measurements:
    """Return the measurements on adjacent ranges, in their order, as those on one."""
    hits = [part.hits for part in parts if part.hits is not None and len(part.hits)]
    return replace(
        parts[0],
        numbers=range(parts[0].numbers.start, parts[-1].numbers.stop),
        files=tuple(name for part in parts for name in part.files),
        rows=joined_rows([part.rows for part in parts]),
        hits=joined_rows(hits) if hits else None,
        pictures={n: picture for part in parts for n, picture in part.pictures.items()},
    )
