"""How hard a data set is to tell apart: the cumulative spectral gradient, from features and labels alone."""

from pruncam.complexity.measure import CSG, Neighbourhoods, csg, neighbourhoods

__all__ = ["CSG", "Neighbourhoods", "csg", "neighbourhoods"]
