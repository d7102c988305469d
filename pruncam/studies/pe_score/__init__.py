"""The PE-score study (Big Data and Cognitive Computing 2023, 7, 111): removing filters."""

from pruncam.studies.pe_score.config import PeScoreConfig
from pruncam.studies.pe_score.published import printed_by_rate
from pruncam.studies.pe_score.rate_selection import RateChoice, choose_rate
from pruncam.studies.pe_score.study import configure, run

__all__ = [
    "PeScoreConfig",
    "RateChoice",
    "choose_rate",
    "configure",
    "printed_by_rate",
    "run",
]
