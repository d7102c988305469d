"""Weights of the methods that need the gradients at the target layer."""

import numpy as np
import torch
from torch import Tensor

from pruncam.cams.layer_pass import LayerPass

# pytorch-grad-cam's constant. It is not negligible: it exceeds a tenth of 2 g^2 for some gradients
# of the papers' networks.
_EPSILON = 1e-6
_HUGE = 1e30  # sums of activations that may overflow when multiplied by a cube


def grad_cam_weights(layer: LayerPass) -> Tensor:
    """Return the mean gradient of each channel, (N, K).

    Selvaraju et al. 2017, Eq. 1; thesis, Eq. 2.4.
    """
    return layer.gradients.mean(dim=(2, 3))


def grad_cam_plusplus_weights(layer: LayerPass) -> Tensor:
    """Return the weighted sum of each channel's positive gradients, (N, K).

    Chattopadhay et al. 2018, Eq. 19; thesis, Eq. 2.6. As in pytorch-grad-cam, the gradient is that
    of the logit, not of its exponential. Where activations may be negative (before a ReLU) the
    denominator can nearly vanish: there, the maps of two equally accurate float32 computations
    differ by about 1e-4.
    """
    activations, gradients = layer.activations, layer.gradients
    sums = _channel_sums(activations)
    weights = _plusplus(sums, gradients)
    if sums.abs().amax() < _HUGE and weights.isfinite().all():
        return weights
    # Products beyond the range of float32: on the CPU, since not every device has float64.
    sums = activations.cpu().double().sum(dim=(2, 3), keepdim=True)
    return _plusplus(sums, gradients.cpu().double()).float().to(activations.device)


def _plusplus(activation_sum: Tensor, gradients: Tensor) -> Tensor:
    positive = gradients.relu()  # negative gradients do not count, nor divide by zero
    square = positive * positive
    cube = square * positive
    # alpha g = g^3 / (2 g^2 + sum(A) g^3 + 1e-6), in the library's order: the sum may cancel.
    denominator = (activation_sum * cube).add_(square.mul_(2)).add_(_EPSILON)
    return cube.div_(denominator).sum(dim=(2, 3))


def hires_cam_weights(layer: LayerPass) -> Tensor:
    """Return the gradient of every activation, (N, K, h, w).

    HiResCAM, Draelos & Carin 2020: the map is the sum over channels of gradient times activation.
    """
    return layer.gradients


def layer_cam_weights(layer: LayerPass) -> Tensor:
    """Return the positive gradient of every activation, (N, K, h, w).

    LayerCAM, Jiang et al. 2021.
    """
    return layer.gradients.relu()


def _channel_sums(activations: Tensor) -> Tensor:
    if activations.device.type != "cpu":
        return activations.sum(dim=(2, 3), keepdim=True)
    # NumPy sums in the order of the library; a vanishing denominator magnifies the last bit.
    with np.errstate(over="ignore"):
        return torch.from_numpy(activations.numpy().sum(axis=(2, 3), keepdims=True))
