"""How alike two heatmaps of the same image are: one number per pair, from tensors of shape (N, H, W) in [0, 1]."""

from pruncam.metrics.overlap import iou, pixel_iou, pooled_soft_iou, soft_iou
from pruncam.metrics.scores import (
    class_weighted_mean,
    class_weights,
    combine_pe,
    combine_sp2ps,
    confidence_variation,
    pe_score,
    sp2ps,
)
from pruncam.metrics.spectral import jet, spectral_angle
from pruncam.metrics.structure import ssim

__all__ = [
    "class_weighted_mean",
    "class_weights",
    "combine_pe",
    "combine_sp2ps",
    "confidence_variation",
    "iou",
    "jet",
    "pe_score",
    "pixel_iou",
    "pooled_soft_iou",
    "soft_iou",
    "sp2ps",
    "spectral_angle",
    "ssim",
]
