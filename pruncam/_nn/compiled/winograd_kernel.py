"""Compiled transforms of Winograd's minimal filtering, and their adjoints for the gradients.

Maps have their channels last and are flat arrays: (N, H, W, C). Products are flat arrays
(36, tiles, C), with the tiles in the order of the images, rows and columns. The formulas are the
matrices of `pruncam._nn.minimal_filtering` along one axis, applied to both. Channels are taken
eight at a time.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from pruncam._nn.compiled.simd import broadcast, load, store

F32 = np.float32

_compile = njit(cache=True, nogil=True, error_model="numpy")
_inline = njit(nogil=True, error_model="numpy", forceinline=True)


# numba's disk cache refers to Maps and Tiles by name: delete the cache after renaming one.


class Maps(NamedTuple):
    """The shape of maps: height, width, channels, and padding on every side (outputs: 0)."""

    height: int
    width: int
    channels: int
    padding: int


class Tiles(NamedTuple):
    """The tiles of an image, rows and columns, and the distance of two products in memory."""

    rows: int
    columns: int
    stride: int


@_compile
def to_products(maps, shape, tiles, first, last, products):
    """Fill `products` with B inputs B^T of all tiles of the images from `first` to `last`."""
    channels, padding = shape.channels, shape.padding
    columns = np.empty(36 * 8, np.float32)
    patch = np.empty(36 * channels, np.float32)
    per_image = tiles.rows * tiles.columns
    for tile in range(first * per_image, last * per_image):
        image, top, left = _corner(tile, tiles)
        values, start, line = _square(maps, shape, image, top - padding, left - padding, 6, patch)
        for channel in range(0, channels, 8):
            for k in range(6):
                source = start + k * channels + channel
                _transform_inputs(values, source, line * channels, columns, 8 * k, 48)
            for k in range(6):
                target = 6 * k * tiles.stride + tile * channels + channel
                _transform_inputs(columns, 48 * k, 8, products, target, tiles.stride)


@_compile
def add_from_products(products, shape, tiles, first, last, maps):
    """Add the adjoint of `to_products` to `maps`: from the gradient of products to inputs'."""
    height, width, channels, padding = shape
    rows = np.empty(36 * 8, np.float32)
    sums = np.empty(6 * 8, np.float32)
    per_image = tiles.rows * tiles.columns
    for tile in range(first * per_image, last * per_image):
        image, top, left = _corner(tile, tiles)
        top -= padding
        left -= padding
        for channel in range(0, channels, 8):
            for k in range(6):
                source = 6 * k * tiles.stride + tile * channels + channel
                _transform_inputs_back(products, source, tiles.stride, rows, 48 * k, 8)
            for x in range(max(left, 0), min(left + 6, width)):
                _transform_inputs_back(rows, 8 * (x - left), 48, sums, 0, 8)
                for y in range(max(top, 0), min(top + 6, height)):
                    place = ((image * height + y) * width + x) * channels + channel
                    store(maps, place, load(maps, place) + load(sums, 8 * (y - top)))


@_compile
def from_products(products, shape, tiles, first, last, maps):
    """Fill `maps` with A products A^T of all tiles of the images from `first` to `last`."""
    height, width, channels, _ = shape
    rows = np.empty(24 * 8, np.float32)
    outputs = np.empty(4 * 8, np.float32)
    per_image = tiles.rows * tiles.columns
    for tile in range(first * per_image, last * per_image):
        image, top, left = _corner(tile, tiles)
        for channel in range(0, channels, 8):
            for k in range(6):
                source = k * tiles.stride + tile * channels + channel
                _transform_products(products, source, 6 * tiles.stride, rows, 8 * k, 48)
            for y in range(top, min(top + 4, height)):
                place = ((image * height + y) * width + left) * channels + channel
                if left + 4 <= width:
                    _transform_products(rows, 48 * (y - top), 8, maps, place, channels)
                else:
                    _transform_products(rows, 48 * (y - top), 8, outputs, 0, 8)
                    for x in range(width - left):
                        store(maps, place + x * channels, load(outputs, 8 * x))


@_compile
def to_product_gradients(gradients, shape, tiles, first, last, products):
    """Fill `products` with the adjoint of `from_products`: from outputs' gradient to products'."""
    channels = shape.channels
    columns = np.empty(24 * 8, np.float32)
    patch = np.empty(16 * channels, np.float32)
    per_image = tiles.rows * tiles.columns
    for tile in range(first * per_image, last * per_image):
        image, top, left = _corner(tile, tiles)
        values, start, line = _square(gradients, shape, image, top, left, 4, patch)
        for channel in range(0, channels, 8):
            for k in range(4):
                source, step = start + k * channels + channel, line * channels
                _transform_products_back(values, source, step, columns, 8 * k, 32)
            for k in range(6):
                target = 6 * k * tiles.stride + tile * channels + channel
                _transform_products_back(columns, 32 * k, 8, products, target, tiles.stride)


@_inline
def _corner(tile, tiles):
    """Return the image of a tile, and the row and column of its first output."""
    image, place = divmod(tile, tiles.rows * tiles.columns)
    row, column = divmod(place, tiles.columns)
    return image, 4 * row, 4 * column


@_inline
def _square(maps, shape, image, top, left, size, patch):
    """Return an array, the position of a square of the maps in it, and the pixels of its lines.

    A square that reaches beyond the edges is copied into `patch`, with zeros there.
    """
    height, width, channels, _ = shape
    if top >= 0 and left >= 0 and top + size <= height and left + size <= width:
        return maps, ((image * height + top) * width + left) * channels, width
    _copy_patch(maps, shape, image, top, left, size, patch)
    return patch, 0, size


@_inline
def _copy_patch(maps, shape, image, top, left, size, patch):
    """Copy a square of the maps, with zeros beyond their edges."""
    height, width, channels, _ = shape
    for row in range(size):
        y = top + row
        for column in range(size):
            x = left + column
            target = (row * size + column) * channels
            # Assignments to slices would take numba several seconds to compile.
            if y < 0 or y >= height or x < 0 or x >= width:
                for channel in range(0, channels, 8):
                    store(patch, target + channel, broadcast(F32(0)))
            else:
                source = ((image * height + y) * width + x) * channels
                for channel in range(0, channels, 8):
                    store(patch, target + channel, load(maps, source + channel))


# Of the four transforms along one axis, the first two are B and its transpose, the last two are A
# and its transpose.


@_inline
def _transform_inputs(values, source, step, results, target, result_step):
    half, one_half, two_half = broadcast(F32(0.5)), broadcast(F32(1.5)), broadcast(F32(2.5))
    x0 = load(values, source)
    x1 = load(values, source + step)
    x2 = load(values, source + 2 * step)
    x3 = load(values, source + 3 * step)
    x4 = load(values, source + 4 * step)
    x5 = load(values, source + 5 * step)
    difference = x4 - x2
    store(results, target, x0 - (x2 + x2) + one_half * (x3 - x1) + x4)
    target += result_step
    store(results, target, x4 + two_half * x3 + half * x2 - x1)
    target += result_step
    store(results, target, x4 + half * x3 - two_half * x2 + x1)
    target += result_step
    store(results, target, difference + (x3 + x3) - (x1 + x1))
    target += result_step
    store(results, target, difference + half * (x1 - x3))
    target += result_step
    store(results, target, x1 - (x3 + x3) + one_half * difference + x5)


@_inline
def _transform_inputs_back(values, source, step, results, target, result_step):
    half, one_half, two_half = broadcast(F32(0.5)), broadcast(F32(1.5)), broadcast(F32(2.5))
    p0 = load(values, source)
    p1 = load(values, source + step)
    p2 = load(values, source + 2 * step)
    p3 = load(values, source + 3 * step)
    p4 = load(values, source + 4 * step)
    p5 = load(values, source + 5 * step)
    store(results, target, p0)
    target += result_step
    store(results, target, p2 - p1 - one_half * p0 - (p3 + p3) + half * p4 + p5)
    target += result_step
    rest = p3 + p4 + one_half * p5 + (p0 + p0)
    store(results, target, half * p1 - two_half * p2 - rest)
    target += result_step
    rest = half * p2 + (p3 + p3) - half * p4 - (p5 + p5)
    store(results, target, one_half * p0 + two_half * p1 + rest)
    target += result_step
    store(results, target, p0 + p1 + p2 + p3 + p4 + one_half * p5)
    target += result_step
    store(results, target, p5)


@_inline
def _transform_products(values, source, step, results, target, result_step):
    half, quarter, eighth = broadcast(F32(0.5)), broadcast(F32(0.25)), broadcast(F32(0.125))
    two, four, eight = broadcast(F32(2)), broadcast(F32(4)), broadcast(F32(8))
    p1 = load(values, source + step)
    p2 = load(values, source + 2 * step)
    p3 = load(values, source + 3 * step)
    p4 = load(values, source + 4 * step)
    even = p1 + p2
    odd = p1 - p2
    store(results, target, load(values, source) + even + p3 + p4)
    target += result_step
    store(results, target, odd + half * p3 - two * p4)
    target += result_step
    store(results, target, even + quarter * p3 + four * p4)
    target += result_step
    store(results, target, odd + eighth * p3 - eight * p4 + load(values, source + 5 * step))


@_inline
def _transform_products_back(values, source, step, results, target, result_step):
    half, quarter, eighth = broadcast(F32(0.5)), broadcast(F32(0.25)), broadcast(F32(0.125))
    two, four, eight = broadcast(F32(2)), broadcast(F32(4)), broadcast(F32(8))
    y0 = load(values, source)
    y1 = load(values, source + step)
    y2 = load(values, source + 2 * step)
    y3 = load(values, source + 3 * step)
    even = y0 + y2
    odd = y1 + y3
    store(results, target, y0)
    target += result_step
    store(results, target, even + odd)
    target += result_step
    store(results, target, even - odd)
    target += result_step
    store(results, target, y0 + half * y1 + quarter * y2 + eighth * y3)
    target += result_step
    store(results, target, y0 - two * y1 + four * y2 - eight * y3)
    target += result_step
    store(results, target, y3)
