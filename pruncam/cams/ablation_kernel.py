"""Compiled ablation of channels before a convolution: no map of an ablated channel is stored."""

import numpy as np
from numba import njit

# NaN and infinity must stay what they are, so of fastmath only what changes the order of sums.
_compile = njit(
    cache=True, fastmath={"contract", "reassoc", "nsz"}, nogil=True, error_model="numpy"
)


@_compile
def ablated_logits(
    lost, hidden, weight, taps, windows, mean, scale, shift, readout, bias, targets, logits
):
    """Fill `logits` (N, K) with each image's target logit without each channel.

    `lost` (N, K, cells) is what the input of the convolution loses with each channel, and `hidden`
    (N, positions, C) its output. `weight` is (K, taps, C), and `taps` (positions, taps) the cell
    that each tap reads, -1 in the padding. Then follow `scale` and `shift` (C,), a ReLU, and a
    pool: the mean or the maximum of the positions in `windows` (W, size). `readout`
    (classes, W, C) and `bias` are the FC layer.
    """
    images, channels = lost.shape[:2]
    positions, filters = hidden.shape[1:]
    per_window = windows.shape[1]
    remaining = np.empty((positions, filters), np.float32)
    pooled = np.empty(filters, np.float32)
    total = np.empty(filters, np.float32)
    for image in range(images):
        target = targets[image]
        for channel in range(channels):
            _copy(remaining, hidden[image])
            _subtract(remaining, lost[image, channel], weight[channel], taps)
            total[:] = 0
            for window in range(windows.shape[0]):
                pooled[:] = 0
                for index in range(per_window):
                    row = remaining[windows[window, index]]
                    if mean:
                        _add_rectified(pooled, row, scale, shift)
                    else:
                        _raise_to_rectified(pooled, row, scale, shift)
                _add_product(total, pooled, readout[target, window])
            logit = np.float64(bias[target])
            for c in range(filters):
                logit += total[c]
            logits[image, channel] = logit


@_compile
def _copy(target, source):
    # An assignment to a slice would take numba several seconds to compile.
    for position in range(target.shape[0]):
        for c in range(target.shape[1]):
            target[position, c] = source[position, c]


@_compile
def _subtract(remaining, lost, weight, taps):
    """Subtract what the convolution gives for `lost` (cells,) from `remaining` (positions, C)."""
    for position in range(taps.shape[0]):
        row = remaining[position]
        for tap in range(taps.shape[1]):
            cell = taps[position, tap]
            if cell < 0:
                continue
            value = lost[cell]
            if value == 0:
                continue
            filters = weight[tap]
            for c in range(row.shape[0]):
                row[c] -= value * filters[c]


@_compile
def _add_rectified(pooled, row, scale, shift):
    for c in range(row.shape[0]):
        value = scale[c] * row[c] + shift[c]
        pooled[c] += value if value > 0 else np.float32(0)


@_compile
def _raise_to_rectified(pooled, row, scale, shift):
    for c in range(row.shape[0]):
        value = scale[c] * row[c] + shift[c]
        pooled[c] = value if value > pooled[c] else pooled[c]


@_compile
def _add_product(total, pooled, readout):
    for c in range(total.shape[0]):
        total[c] += pooled[c] * readout[c]
