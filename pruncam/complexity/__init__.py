"""How hard a data set is to tell apart: the cumulative spectral gradient, from features and labels alone."""

from pruncam.complexity.measure import CSG, csg

__all__ = ["CSG", "csg"]
