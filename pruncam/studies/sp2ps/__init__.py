"""The Sp2PS study (Informatics 2023, 10, 72): do heatmaps of a pruned network still match?"""

from pruncam.studies.sp2ps.config import Sp2psConfig
from pruncam.studies.sp2ps.study import configure, run

__all__ = ["Sp2psConfig", "configure", "run"]
