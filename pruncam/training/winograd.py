"""Training of wide 3x3 convolutions on a CPU with a quarter of the multiplications.

Output and gradients are computed in tiles (`pruncam._nn.tiled_convolution`): the gradients use the
transposed transforms, so the weights' gradient needs a quarter of the multiplications as well. Maps
of a few cells go through `pruncam.training.small_maps`. All equal those of PyTorch's convolution up
to rounding. Like a change of processor, that is not part of the key of a stored training.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pruncam._nn.tiled_convolution import (
    Tiling,
    channels_last,
    convolve,
    is_wide_3x3,
    is_worthwhile,
    kernel_matrix,
    kernel_products,
)
from pruncam._nn.wrappers import COMPILED
from pruncam.training import small_maps


def applies(model: nn.Module) -> bool:
    """Return whether `model` is on a CPU and has a convolution for `fast_convolutions`.

    A model in `torch.compile` keeps its own code.
    """
    return not _is_compiled(model) and len(_wide_layers(model)) > 0


@contextmanager
def fast_convolutions(model: nn.Module) -> Iterator[None]:
    """Compute the wide 3x3 convolutions of `model` faster in this context."""
    layers = _wide_layers(model)
    for layer in layers:
        ways = is_wide_3x3(layer), small_maps.is_supported(layer)
        vars(layer)["forward"] = functools.partial(_forward, layer, *ways)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _is_compiled(model: nn.Module) -> bool:
    return any(
        hasattr(module, COMPILED) or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )


def _wide_layers(model: nn.Module) -> list[nn.Conv2d]:
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    return [layer for layer in layers if is_wide_3x3(layer) or small_maps.is_supported(layer)]


def _forward(layer: nn.Conv2d, for_tiles: bool, for_small_maps: bool, inputs: Tensor) -> Tensor:
    """Return the output of a layer, computed in the fastest of the ways that can do it."""
    in_tiles = for_tiles and is_worthwhile(layer, inputs)
    if for_small_maps and small_maps.is_worthwhile(layer, inputs, in_tiles=in_tiles):
        return small_maps.convolve(inputs, layer)
    if in_tiles:
        return _Convolution.apply(inputs, layer.weight, layer.bias, layer.padding[0])
    return nn.Conv2d.forward(layer, inputs)


class _Convolution(torch.autograd.Function):
    """A 3x3 convolution with stride 1."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: int,
    ) -> Tensor:
        """Return the output, with channels last in memory."""
        maps, kernels = channels_last(inputs), kernel_products(weight)
        ctx.save_for_backward(maps, weight, kernels)
        ctx.padding = padding
        return convolve(maps, kernels, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of inputs, weights and bias."""
        maps, weight, kernels = ctx.saved_tensors
        filters, channels = weight.shape[:2]
        tiling = Tiling(maps, filters, ctx.padding)
        gradients = channels_last(gradient)
        needs_inputs, needs_weight, needs_bias, _ = ctx.needs_input_grad
        of_inputs = torch.zeros_like(maps) if needs_inputs else None
        of_kernels = torch.zeros_like(kernels) if needs_weight else None
        transposed = kernels.transpose(1, 2).contiguous()
        for images in tiling.chunks:
            count = len(maps[images])
            output_products = tiling.empty(count, filters)
            tiling.to_product_gradients(gradients[images], output_products)
            products = tiling.empty(count, channels)
            if of_kernels is not None:
                tiling.to_products(maps[images], products)
                of_kernels.baddbmm_(products.transpose(1, 2), output_products)
            if of_inputs is not None:
                torch.bmm(output_products, transposed, out=products)
                tiling.add_from_products(products, of_inputs[images])
        return (
            None if of_inputs is None else of_inputs.permute(0, 3, 1, 2),
            None if of_kernels is None else _kernel_gradient(of_kernels, weight),
            gradients.sum((0, 1, 2)) if needs_bias else None,
            None,
        )


def _kernel_gradient(products: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of `weight` from that of `kernel_products`, laid out like it."""
    gradient = kernel_matrix().T @ products.flatten(1)
    gradient = gradient.view(3, 3, *products.shape[1:]).permute(3, 2, 0, 1)
    return torch.empty_like(weight).copy_(gradient)
