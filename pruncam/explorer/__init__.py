"""Look around in the studies' models: one image, two networks, every score, and a slider for the pruning rate."""

from pruncam.explorer.looking import Choice, Explorer, Look, open_explorer

__all__ = ["Choice", "Explorer", "Look", "open_explorer"]
