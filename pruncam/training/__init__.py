"""Training of classifiers on images held in memory: recipes, network inputs, fitting, accuracy."""

from pruncam.training.checkpoint import Checkpoint
from pruncam.training.dropout import has_dropout
from pruncam.training.engines import ENGINES, resolve_engine
from pruncam.training.fitting import fit
from pruncam.training.precision import PRECISIONS, resolve_precision
from pruncam.training.prediction import accuracy, predictions
from pruncam.training.recipes import OPTIMIZERS, Inputs, OneCycle, Recipe, WarmRestarts

__all__ = [
    "ENGINES",
    "OPTIMIZERS",
    "PRECISIONS",
    "Checkpoint",
    "Inputs",
    "OneCycle",
    "Recipe",
    "WarmRestarts",
    "accuracy",
    "fit",
    "has_dropout",
    "predictions",
    "resolve_engine",
    "resolve_precision",
]
