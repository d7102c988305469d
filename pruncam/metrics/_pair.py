"""All scores of a pair of heatmaps, under the names that tables and figures use."""

from collections.abc import Mapping

from torch import Tensor

from pruncam.metrics._composite import combine_pe, combine_sp2ps, confidence_variation
from pruncam.metrics._iou import iou, soft_iou
from pruncam.metrics._sam import spectral_angle
from pruncam.metrics._ssim import ssim

# Column name -> title. The order is that of the columns in tables.
SCORES: Mapping[str, str] = {
    "ssim": "SSIM",
    "spectral_angle": "spectral angle",
    "sp2ps": "Sp2PS",
    "iou": "binary IoU",
    "soft_iou": "soft IoU",
    "confidence_variation": "confidence variation",
    "pe": "PE",
}


def pair_scores(
    x: Tensor, y: Tensor, confidence_x: Tensor, confidence_y: Tensor
) -> dict[str, Tensor]:
    """Return every score of `SCORES` for each pair of heatmaps.

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images by the baseline and by the pruned model, at least 7x7.
    confidence_x, confidence_y : tensor of shape (N,), in [0, 1]
        Probability of one class for each image, by the same two models; on any device.

    Returns
    -------
    dict of tensors of shape (N,), of the heatmaps' type and device, in the order of `SCORES`
        SSIM is not clamped, so it may be negative. Undefined cases are those of the single scores.

    Raises
    ------
    TypeError, ValueError
        If `ssim` or `confidence_variation` rejects its arguments, or there is not one confidence
        per heatmap.

    Examples
    --------
    >>> import torch
    >>> x, confidence = torch.eye(8)[None], torch.tensor([0.9])
    >>> pair_scores(x, x, confidence, confidence)["pe"]
    tensor([1.])
    """
    structure = ssim(x, y)
    spectrum = spectral_angle(x, y)
    overlap = iou(x, y)
    variation = confidence_variation(confidence_x, confidence_y).to(structure)
    return {
        "ssim": structure,
        "spectral_angle": spectrum,
        "sp2ps": combine_sp2ps(structure, spectrum),
        "iou": overlap,
        "soft_iou": soft_iou(x, y),
        "confidence_variation": variation,
        "pe": combine_pe(structure, overlap, variation),
    }
