"""The CSG study: how complex are the papers' data sets, and what does the number depend on?

Complexity paper, Table 1; PE-score, Section 4.1 and Table 3.
"""

from pruncam.studies.csg.config import CsgConfig
from pruncam.studies.csg.study import configure, run

__all__ = ["CsgConfig", "configure", "run"]
