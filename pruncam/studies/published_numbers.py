"""The table of printed numbers beside ours, the same in every study."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

_COLUMNS = ["quantity", "unit", "published", "source", "ours", "sd", "seeds", "difference"]


@dataclass(frozen=True, kw_only=True)
class PublishedNumber:
    """A printed number and ours; NaN where the profile does not produce one.

    `sd` is the standard deviation of our value over `seeds` seeds or draws.
    """

    quantity: str
    published: float
    source: str
    unit: str = ""
    ours: float = math.nan
    sd: float = math.nan
    seeds: int = 1


def published_table(numbers: Sequence[PublishedNumber]) -> pd.DataFrame:
    """Return a row per printed number with ours and the difference (ours minus published)."""
    table = pd.DataFrame([dataclasses.asdict(number) for number in numbers])
    table = table.astype({"published": float, "ours": float})
    return table.assign(difference=table["ours"] - table["published"])[_COLUMNS]
