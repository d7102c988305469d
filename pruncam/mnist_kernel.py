"""The compiled loops behind `fused`: one image at a time, every layer forwards and backwards in the first-level cache.

Feature maps are kept with the row stride of their input (28 and 13), so that a convolution is one long vectorised
loop; the few values that wrap around the right edge are never read. Maximum pooling with ReLU keeps no positions: the
backward pass finds the first of the four values that equals the maximum, to which PyTorch sends the gradient too.
"""

import numpy as np
from numba import njit

from pruncam.datasets.noise import GOLDEN, MULTIPLIERS

F32, U64 = np.float32, np.uint64
STEP, FIRST, SECOND = U64(GOLDEN), U64(MULTIPLIERS[0]), U64(MULTIPLIERS[1])
ROW1, ROW2 = 28, 13  # row strides of the two convolutions' inputs
LONG1, LONG2 = 728, 128  # 26 rows of 28, and the 10 rows of 13 (less two) that the second pooling reads

# Not kept on disk: a process that loads the kept code links its functions otherwise than the one that compiled it, and
# sums in another order (numba 0.68). Compiled anew, some ten seconds a process, the same seed gives the same bits.
_compile = njit(fastmath=True, nogil=True, error_model="numpy")


@_compile
def _mix(z):
    z = (z ^ (z >> U64(30))) * FIRST
    z = (z ^ (z >> U64(27))) * SECOND
    return z ^ (z >> U64(31))


@_compile
def _prepare(image, stream, levels, scale, offset, x):
    """Noise on the zero pixels, then scale and offset; `datasets.noise.background` draws the same."""
    state = stream
    for k in range(392):
        state += STEP
        bits = _mix(state)
        x[2 * k] = F32(np.int32(((bits & U64(0xFFFFFFFF)) * levels) >> U64(32)))
        x[2 * k + 1] = F32(np.int32(((bits >> U64(32)) * levels) >> U64(32)))
    for k in range(784):
        pixel = image[k]
        x[k] = (F32(pixel) if pixel > 0 else x[k]) * scale + offset


@_compile
def _convolve1(x, w, b, a):
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    for k in range(LONG1):
        top = w0 * x[k] + w1 * x[k + 1] + w2 * x[k + 2]
        middle = w3 * x[k + ROW1] + w4 * x[k + ROW1 + 1] + w5 * x[k + ROW1 + 2]
        bottom = w6 * x[k + 2 * ROW1] + w7 * x[k + 2 * ROW1 + 1] + w8 * x[k + 2 * ROW1 + 2]
        a[k] = b + top + middle + bottom


@_compile
def _convolve2(x, w, b, a):
    for k in range(LONG2):
        a[k] = b
    for c in range(4):
        o = 9 * c
        w0, w1, w2, w3, w4, w5 = w[o], w[o + 1], w[o + 2], w[o + 3], w[o + 4], w[o + 5]
        w6, w7, w8 = w[o + 6], w[o + 7], w[o + 8]
        y = x[c]
        for k in range(LONG2):
            top = w0 * y[k] + w1 * y[k + 1] + w2 * y[k + 2]
            middle = w3 * y[k + ROW2] + w4 * y[k + ROW2 + 1] + w5 * y[k + ROW2 + 2]
            bottom = w6 * y[k + 2 * ROW2] + w7 * y[k + 2 * ROW2 + 1] + w8 * y[k + 2 * ROW2 + 2]
            a[k] += top + middle + bottom


@_compile
def _pool1(a, p):
    for r in range(13):
        o = 2 * ROW1 * r
        for q in range(13):
            i = o + 2 * q
            p[13 * r + q] = max(max(max(a[i], a[i + 1]), max(a[i + ROW1], a[i + ROW1 + 1])), F32(0))


@_compile
def _pool2(a, p):
    for r in range(5):
        o = 2 * ROW2 * r
        for q in range(5):
            i = o + 2 * q
            p[5 * r + q] = max(max(max(a[i], a[i + 1]), max(a[i + ROW2], a[i + ROW2 + 1])), F32(0))


@_compile
def _unpool1(a, p, dp, da):
    """Gradient before pooling and ReLU; returns its sum, the bias's gradient."""
    total = F32(0)
    for r in range(13):
        o = 2 * ROW1 * r
        for q in range(13):
            i = o + 2 * q
            top = p[13 * r + q]
            left = dp[13 * r + q] if top > 0 else F32(0)
            total += left
            here = left if a[i] == top else F32(0)
            left -= here
            da[i] = here
            here = left if a[i + 1] == top else F32(0)
            left -= here
            da[i + 1] = here
            here = left if a[i + ROW1] == top else F32(0)
            left -= here
            da[i + ROW1] = here
            da[i + ROW1 + 1] = left
    return total


@_compile
def _unpool2(a, p, dp, da):
    """As `_unpool1`; `da` begins with 28 zeros, so that `_input_gradient` may look back."""
    total = F32(0)
    for r in range(5):
        o = 2 * ROW2 * r
        for q in range(5):
            i = o + 2 * q
            top = p[5 * r + q]
            left = dp[5 * r + q] if top > 0 else F32(0)
            total += left
            here = left if a[i] == top else F32(0)
            left -= here
            da[28 + i] = here
            here = left if a[i + 1] == top else F32(0)
            left -= here
            da[28 + i + 1] = here
            here = left if a[i + ROW2] == top else F32(0)
            left -= here
            da[28 + i + ROW2] = here
            da[28 + i + ROW2 + 1] = left
    return total


@_compile
def _weight_gradient1(x, da, dw):
    for i in range(3):
        left, centre, right = F32(0), F32(0), F32(0)
        for k in range(LONG1):
            left += da[k] * x[k + ROW1 * i]
            centre += da[k] * x[k + ROW1 * i + 1]
            right += da[k] * x[k + ROW1 * i + 2]
        dw[3 * i] += left
        dw[3 * i + 1] += centre
        dw[3 * i + 2] += right


@_compile
def _weight_gradient2(x, da, dw, o):
    for i in range(3):
        left, centre, right = F32(0), F32(0), F32(0)
        for k in range(LONG2):
            left += da[k + 28] * x[k + ROW2 * i]
            centre += da[k + 28] * x[k + ROW2 * i + 1]
            right += da[k + 28] * x[k + ROW2 * i + 2]
        dw[o + 3 * i] += left
        dw[o + 3 * i + 1] += centre
        dw[o + 3 * i + 2] += right


@_compile
def _input_gradient(da, w, o, dx):
    w0, w1, w2, w3, w4, w5 = w[o], w[o + 1], w[o + 2], w[o + 3], w[o + 4], w[o + 5]
    w6, w7, w8 = w[o + 6], w[o + 7], w[o + 8]
    for k in range(160):
        top = w0 * da[k + 28] + w1 * da[k + 27] + w2 * da[k + 26]
        middle = w3 * da[k + 15] + w4 * da[k + 14] + w5 * da[k + 13]
        bottom = w6 * da[k + 2] + w7 * da[k + 1] + w8 * da[k]
        dx[k] += top + middle + bottom


@_compile
def _classify(features, w, b, label, probabilities):
    """Softmax of the linear layer's logits; returns the cross-entropy."""
    highest = F32(-np.inf)
    for t in range(10):
        logit = b[t]
        for k in range(200):
            logit += w[t, k] * features[k]
        probabilities[t] = logit
        highest = max(highest, logit)
    total = F32(0)
    at_label = probabilities[label]
    for t in range(10):
        probabilities[t] = np.exp(probabilities[t] - highest)
        total += probabilities[t]
    for t in range(10):
        probabilities[t] /= total
    return np.log(total) + highest - at_label


@_compile
def epoch(
    images, labels, order, key, levels, scale, offset,
    w1, b1, w2, b2, w3, b3, dw1, db1, dw2, db2, dw3, db3,
    weights, gradient, velocity, mask, learning_rate, momentum, weight_decay, batch_size,
):  # fmt: skip
    """One epoch of masked stochastic gradient descent with momentum; returns the mean loss.

    `w1` to `b3` are views of `weights` and `dw1` to `db3` of `gradient`: all flat arrays, updated in place.
    """
    x = np.zeros(784 + 16, np.float32)
    a1, p1, dp1 = np.zeros((4, 744), np.float32), np.zeros((4, 177), np.float32), np.zeros((4, 177), np.float32)
    a2, p2, dp2 = np.zeros((8, 160), np.float32), np.zeros((8, 25), np.float32), np.zeros((8, 25), np.float32)
    da1, da2 = np.zeros(744, np.float32), np.zeros(216, np.float32)
    probabilities = np.zeros(10, np.float32)
    features, dfeatures = p2.reshape(200), dp2.reshape(200)
    loss = 0.0
    for start in range(0, order.shape[0], batch_size):
        stop = min(start + batch_size, order.shape[0])
        gradient[:] = 0
        for s in range(start, stop):
            image, label = order[s], labels[order[s]]
            _prepare(images[image], _mix(key + U64(image) * STEP), levels, scale, offset, x)
            for c in range(4):
                _convolve1(x, w1[c], b1[c], a1[c])
                _pool1(a1[c], p1[c])
            for f in range(8):
                _convolve2(p1, w2[f], b2[f], a2[f])
                _pool2(a2[f], p2[f])
            loss += _classify(features, w3, b3, label, probabilities)

            dfeatures[:] = 0
            for t in range(10):
                d = probabilities[t] - (F32(1) if t == label else F32(0))
                db3[t] += d
                for k in range(200):
                    dw3[t, k] += d * features[k]
                    dfeatures[k] += d * w3[t, k]
            dp1[:] = 0
            for f in range(8):
                db2[f] += _unpool2(a2[f], p2[f], dp2[f], da2)
                for c in range(4):
                    _weight_gradient2(p1[c], da2, dw2[f], 9 * c)
                    _input_gradient(da2, w2[f], 9 * c, dp1[c])
            for c in range(4):
                db1[c] += _unpool1(a1[c], p1[c], dp1[c], da1)
                _weight_gradient1(x, da1, dw1[c])
        share = F32(1.0 / (stop - start))
        for k in range(weights.shape[0]):
            velocity[k] = momentum * velocity[k] + gradient[k] * share + weight_decay * weights[k]
            weights[k] = (weights[k] - learning_rate * velocity[k]) * mask[k]
    return loss / order.shape[0]
