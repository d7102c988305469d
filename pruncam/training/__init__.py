"""Training of classifiers on images held in memory: recipes, network inputs, fitting, accuracy."""

from pruncam.training.dropout import has_dropout
from pruncam.training.engines import ENGINES, resolve_engine
from pruncam.training.fitting import fit
from pruncam.training.prediction import accuracy, predictions
from pruncam.training.recipes import OPTIMIZERS, Inputs, Recipe

__all__ = [
    "ENGINES",
    "OPTIMIZERS",
    "Inputs",
    "Recipe",
    "accuracy",
    "fit",
    "has_dropout",
    "predictions",
    "resolve_engine",
]
