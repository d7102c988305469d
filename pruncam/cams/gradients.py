"""The weights that Grad-CAM and Grad-CAM++ give to the channels of a layer, from one gradient."""

import torch
from torch import Tensor

# pytorch-grad-cam's constant; not negligible: over a tenth of 2 g^2 for some gradients of the papers' networks.
_EPSILON = 1e-6


def of_targets(logits: Tensor, targets: Tensor, activations: Tensor) -> Tensor:
    """Gradient of each image's target logit with respect to its activations, (N, K, h, w)."""
    score = logits.gather(1, targets[:, None]).sum()
    if not score.requires_grad:
        raise ValueError("the logits do not depend on the target layer: name a layer on the way to the output")
    (gradient,) = torch.autograd.grad(score, activations, allow_unused=True)
    if gradient is None:
        raise ValueError("the logits do not depend on the target layer: name a layer on the way to the output")
    return gradient


def grad_cam_weights(activations: Tensor, gradient: Tensor) -> Tensor:
    """Mean gradient of each channel, (N, K) (Selvaraju et al. 2017, Eq. 1; thesis, Eq. 2.4)."""
    return gradient.mean(dim=(2, 3))


def grad_cam_plusplus_weights(activations: Tensor, gradient: Tensor) -> Tensor:
    """Sum of each channel's positive gradients, each with its own weight, (N, K) (Chattopadhay et al. 2018, Eq. 19).

    As in pytorch-grad-cam the gradient is that of the logit, not of its exponential. Where activations may be negative
    (before a ReLU) the denominator can nearly vanish: there the maps of two equally good float32 computations differ
    by some 1e-4.
    """
    total = _channel_sums(activations)
    positive = gradient.relu()  # the others count for nothing, and must not divide by zero
    square = positive * positive
    cube = square * positive
    # alpha = g^2 / (2 g^2 + sum(A) g^3 + 1e-6), times g; in the library's order, since the sum may cancel.
    return cube.div_((total * cube).add_(square.mul_(2)).add_(_EPSILON)).sum(dim=(2, 3))


def _channel_sums(activations: Tensor) -> Tensor:
    if activations.device.type != "cpu":
        return activations.sum(dim=(2, 3), keepdim=True)
    # NumPy's order of summation is the library's: the last bit of this sum is what a vanishing denominator magnifies.
    return torch.from_numpy(activations.numpy().sum(axis=(2, 3), keepdims=True))


WEIGHTS = {"grad-cam": grad_cam_weights, "grad-cam++": grad_cam_plusplus_weights}
