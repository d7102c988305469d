"""Share of a heatmap that lies on given pixels, such as those of the object."""

import torch
from torch import Tensor

from pruncam._core.validation import check_tensor
from pruncam.metrics._validation import check_maps


def energy_on(maps: Tensor, pixels: Tensor) -> Tensor:
    """Return the share of each heatmap's sum that lies on the given pixels.

    Parameters
    ----------
    maps : tensor of shape (N, H, W), in [0, 1]
    pixels : bool tensor of shape (N, H, W) or (H, W), on the same device
        The pixels of each image, or the same pixels for all of them.

    Returns
    -------
    tensor of shape (N,), in [0, 1]
        NaN for an empty map (all zero): leave it out of a mean, and report how many there are.

    Raises
    ------
    TypeError, ValueError
        If `maps` are not floating-point heatmaps in [0, 1], or `pixels` is not a bool tensor of
        their shape.

    Examples
    --------
    >>> maps = torch.tensor([[[0.5, 0.0], [1.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]]])
    >>> energy_on(maps, torch.tensor([[True, False], [True, False]]))
    tensor([0.7500,    nan])
    """
    check_maps(maps)
    check_tensor("pixels", pixels, "a bool tensor")
    if pixels.dtype != torch.bool:
        raise TypeError(f"pixels must be a bool tensor, got {pixels.dtype}")
    if pixels.shape not in (maps.shape, maps.shape[1:]):
        raise ValueError(
            f"pixels must have shape {tuple(maps.shape)} or {tuple(maps.shape[1:])}, "
            f"as the heatmaps have, got {tuple(pixels.shape)}"
        )
    energy = (maps * pixels).sum(dim=(1, 2))
    return energy / maps.sum(dim=(1, 2))
