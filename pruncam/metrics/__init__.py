"""Similarity of two heatmaps of the same image, from tensors of shape (N, H, W) in [0, 1].

Every score gives one number per pair. `pair_scores` computes all the scores that `SCORES` names.
`binary_accuracy` and `f1_score` are measures of classification, to compare with.
"""

from pruncam.metrics._composite import (
    class_weighted_mean,
    class_weights,
    combine_pe,
    combine_sp2ps,
    confidence_variation,
    pe_score,
    sp2ps,
)
from pruncam.metrics._confusion import binary_accuracy, f1_score
from pruncam.metrics._energy import energy_on
from pruncam.metrics._iou import iou, pixel_iou, soft_iou
from pruncam.metrics._pair import SCORES, pair_scores
from pruncam.metrics._sam import jet, spectral_angle
from pruncam.metrics._ssim import ssim

__all__ = [
    "SCORES",
    "binary_accuracy",
    "class_weighted_mean",
    "class_weights",
    "combine_pe",
    "combine_sp2ps",
    "confidence_variation",
    "energy_on",
    "f1_score",
    "iou",
    "jet",
    "pair_scores",
    "pe_score",
    "pixel_iou",
    "soft_iou",
    "sp2ps",
    "spectral_angle",
    "ssim",
]
