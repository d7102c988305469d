"""Explore the models of the studies: one image, two networks, every score, any pruning rate."""

from pruncam.explorer.session import Explorer, open_explorer
from pruncam.explorer.view import Selection, View

__all__ = ["Explorer", "Selection", "View", "open_explorer"]
