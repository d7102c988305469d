"""The class of every study by its name, imported when it is asked for."""

from importlib import import_module
from typing import Any

from pruncam._core.validation import check_choice
from pruncam.studies.study import Study

_CLASSES = {
    "csg": "CsgStudy",
    "sweeps": "SweepsStudy",
    "sp2ps": "Sp2psStudy",
    "pe_score": "PeScoreStudy",
    "mnist_iou": "MnistIouStudy",
}


def study_class(name: str) -> type[Study[Any]]:
    """Return the class of a study; raise ValueError for an unknown name."""
    check_choice("study", name, _CLASSES)
    module = import_module(f"pruncam.studies.{name}.study")
    return getattr(module, _CLASSES[name])
