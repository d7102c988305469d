"""Complexity of a labelled data set: the cumulative spectral gradient (CSG) of its features."""

from pruncam.complexity._csg import CSG, csg
from pruncam.complexity._neighbourhoods import Neighbourhoods, neighbourhoods
from pruncam.complexity._neighbours import Neighbours

__all__ = ["CSG", "Neighbourhoods", "Neighbours", "csg", "neighbourhoods"]
