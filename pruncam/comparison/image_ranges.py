"""The unit of work of a comparison: the scores of a range of its images.

A range begins and ends where a batch does, so that the batches, and with them all numbers, are
those of the whole comparison. Its rows depend on the job and on the range alone: any process that
has the files may compute them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from torch import nn

from pruncam import scoring
from pruncam.cams import CustomMethod
from pruncam.comparison.pair import Pair
from pruncam.comparison.settings import Normalisation, Settings
from pruncam.datasets import ImageSet
from pruncam.scoring import CustomScore


@dataclass(frozen=True)
class ScoreJob:
    """Everything that the scores of an image depend on.

    `models` are all networks that are scored against the baseline of `pair`, by their names in the
    rows.
    """

    pair: Pair
    models: Mapping[str, nn.Module]
    settings: Settings
    normalisation: Normalisation
    custom_methods: Mapping[str, CustomMethod] = field(default_factory=dict)
    custom_scores: Mapping[str, CustomScore] = field(default_factory=dict)

    @property
    def takes_user_functions(self) -> bool:
        """Return whether functions of the user take part in the scores."""
        selects = self.pair.reshape is not None or callable(self.pair.output)
        return bool(self.custom_methods or self.custom_scores) or selects


def score_range(job: ScoreJob, numbers: range) -> pd.DataFrame:
    """Return the rows of `scoring.score_many` of a range of the images of a comparison.

    `numbers` begins and ends at a multiple of `images.batch_length`, or with the last image. The
    column `image` has the numbers of the images in the whole comparison. This is a pure function:
    the same job and range give the same rows in every process on the same kind of machine.
    """
    rows = score_images(job, job.pair.images.part(numbers))
    rows["image"] += numbers.start
    return rows


def score_images(job: ScoreJob, images: ImageSet, progress: bool = False) -> pd.DataFrame:
    """Return the rows of images in memory, which are numbered from 0."""
    return scoring.score_many(
        job.pair.baseline,
        job.models,
        images,
        methods=job.settings.methods,
        custom_methods=job.custom_methods,
        custom_scores=job.custom_scores,
        target_layer=job.settings.target_layer,
        reshape=job.pair.reshape,
        output=job.pair.output,
        transform=job.normalisation,
        progress=progress,
    )


def joined_rows(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all ranges as those of one, with names of models and CAMs as text.

    Models and CAMs keep the order of the first table.
    """
    rows = pd.concat(tables, ignore_index=True)
    names = ("model", "method")
    ordered = {name: pd.Categorical(rows[name], rows[name].unique()) for name in names}
    rows = rows.assign(**ordered)
    rows = rows.sort_values([*names, "image"], kind="stable", ignore_index=True)
    return rows.astype(dict.fromkeys(names, str))


def split_range(numbers: range, length: int) -> list[range]:
    """Return a range of images cut at the multiples of `length`, in order.

    Examples
    --------
    >>> split_range(range(3, 11), 4)
    [range(3, 4), range(4, 8), range(8, 11)]
    """
    first = numbers.start - numbers.start % length
    cuts = [max(cut, numbers.start) for cut in range(first, numbers.stop, length)]
    return [range(*pair) for pair in zip(cuts, [*cuts[1:], numbers.stop], strict=True)]


def shard_ranges(total: int, batch: int, shards: int) -> list[range]:
    """Return the images of every shard, in order: ranges of whole batches, as even as can be.

    Raises ValueError if there are more shards than batches.

    Examples
    --------
    >>> shard_ranges(total=10, batch=2, shards=3)
    [range(0, 2), range(2, 6), range(6, 10)]
    """
    batches = -(-total // batch)
    if shards > batches:
        raise ValueError(
            f"{total:,} images are scored in {_count(batches, 'batch', 'batches')} of up to "
            f"{batch:,}, and a shard holds whole batches: use at most "
            f"{_count(batches, 'shard', 'shards')}, not {shards:,}"
        )
    cuts = [min(batch * (batches * number // shards), total) for number in range(shards + 1)]
    return [range(*pair) for pair in zip(cuts, cuts[1:], strict=False)]


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
