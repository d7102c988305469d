"""Compare the heatmaps of an unpruned and a pruned model on a whole test set.

`score` compares two models, `score_many` one with several; `stream` gives the same rows in pieces.
`summarize` averages the rows. `noise_floor` and `chance_level` give the scale on which to read a
score: the effect of fine-tuning alone, and the scores of networks with random weights;
`shuffled_level` gives those of the baseline's maps of other images.
"""

from pruncam.scoring.controls import (
    CHANCE,
    FLOOR,
    SHUFFLED,
    chance_level,
    fine_tuned_controls,
    noise_floor,
    random_control,
    random_controls,
    shuffled_level,
)
from pruncam.scoring.options import CLASS_SOURCES, CustomScore, Options
from pruncam.scoring.rows import score, score_many, stream
from pruncam.scoring.summary import EMPTY_COLUMNS, MANY_EMPTY, summarize

__all__ = [
    "CHANCE",
    "CLASS_SOURCES",
    "EMPTY_COLUMNS",
    "FLOOR",
    "MANY_EMPTY",
    "SHUFFLED",
    "CustomScore",
    "Options",
    "chance_level",
    "fine_tuned_controls",
    "noise_floor",
    "random_control",
    "random_controls",
    "score",
    "score_many",
    "shuffled_level",
    "stream",
    "summarize",
]
