"""The study of pruning sweeps (Lozano, Renza and Ballesteros 2024): complexity and pruning."""

from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.rate_selection import (
    SafeRate,
    largest_rates,
    safe_rate,
)
from pruncam.studies.sweeps.study import configure, run

__all__ = [
    "SafeRate",
    "SweepsConfig",
    "configure",
    "largest_rates",
    "run",
    "safe_rate",
]
