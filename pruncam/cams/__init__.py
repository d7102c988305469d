"""Class activation maps: which pixels of an image a classifier looks at.

`heatmaps` returns the maps of one method, `explain` the maps of several methods and the logits from
one pass. Both agree with the pytorch-grad-cam library (1.5.7) to 1e-4 and leave the model
unchanged.
"""

from pruncam._nn.outputs import class_probabilities, two_classes
from pruncam.cams.custom import CustomMethod, custom_heatmaps, explain_with_custom
from pruncam.cams.explanation import explain, heatmaps
from pruncam.cams.faithfulness import RoadScores, road
from pruncam.cams.layer_pass import LayerPass
from pruncam.cams.layer_readings import readings
from pruncam.cams.model_explainer import Explanation, ModelExplainer
from pruncam.cams.postprocess import is_empty
from pruncam.cams.registry import DEFAULT_METHODS, METHODS, CamMethod
from pruncam.cams.target_layer import default_layer
from pruncam.cams.validation import ENGINES

__all__ = [
    "DEFAULT_METHODS",
    "ENGINES",
    "METHODS",
    "CamMethod",
    "CustomMethod",
    "Explanation",
    "LayerPass",
    "ModelExplainer",
    "RoadScores",
    "class_probabilities",
    "custom_heatmaps",
    "default_layer",
    "explain",
    "explain_with_custom",
    "heatmaps",
    "is_empty",
    "readings",
    "road",
    "two_classes",
]
