"""Image sets by name, in memory: `catalog.load("mnist", "train")`."""

from pruncam.datasets.catalog import download, ensure, find, load, names
from pruncam.datasets.images import DataError, ImageSet

__all__ = ["DataError", "ImageSet", "download", "ensure", "find", "load", "names"]
