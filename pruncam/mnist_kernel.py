"""The compiled loops behind `fused`: one image at a time, every layer forwards and backwards in the first-level cache.

Feature maps are kept with the row stride of their input (28 and 13), so that a convolution is one long vectorised
loop; the few values that wrap around the right edge are never read. Maximum pooling with ReLU keeps no positions: the
backward pass finds the first of the four values that equals the maximum, to which PyTorch sends the gradient too.

Every sum has a written order and no product is fused into a sum (no `fastmath`), and the exponential is our own: the
same seed trains to the same weights, to the bit, on every processor. It matters, because training amplifies rounding:
another order of the same sums has moved the mean IoU of a level by up to 0.03 in the MNIST IoU study.
"""

import numpy as np
from numba import njit

from pruncam.datasets.noise import GOLDEN, MULTIPLIERS
from pruncam.lanes import evens, everywhere, folded, larger, load, odds, store, where_equal, woven_first, woven_second

F32, U64 = np.float32, np.uint64
STEP, FIRST, SECOND = U64(GOLDEN), U64(MULTIPLIERS[0]), U64(MULTIPLIERS[1])
ROW1, ROW2 = 28, 13  # row strides of the two convolutions' inputs
LONG1, LONG2 = 728, 128  # 26 rows of 28, and the 10 rows of 13 (less two) that the second pooling reads
BEFORE = 28  # zeros before the second convolution's gradient, so that its input's gradient may look back
LOG2E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.693147180369123816490, 1.90821492927058770002e-10
POWERS = 2.0 ** np.arange(-160, 1)

_compile = njit(cache=True, nogil=True, error_model="numpy")


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
def _correlate(x, row, w, o, a, length):
    """Add the 3x3 correlation of `x` with the nine weights from w[o] on to a[:length]."""
    w0, w1, w2 = everywhere(w[o]), everywhere(w[o + 1]), everywhere(w[o + 2])
    w3, w4, w5 = everywhere(w[o + 3]), everywhere(w[o + 4]), everywhere(w[o + 5])
    w6, w7, w8 = everywhere(w[o + 6]), everywhere(w[o + 7]), everywhere(w[o + 8])
    for k in range(0, length, 8):
        top = w0 * load(x, k) + w1 * load(x, k + 1) + w2 * load(x, k + 2)
        middle = w3 * load(x, k + row) + w4 * load(x, k + row + 1) + w5 * load(x, k + row + 2)
        bottom = w6 * load(x, k + 2 * row) + w7 * load(x, k + 2 * row + 1) + w8 * load(x, k + 2 * row + 2)
        store(a, k, load(a, k) + (top + middle + bottom))


@_compile
def _pool(a, start, row, p, place):
    """Eight outputs of maximum pooling (2x2, step 2) with ReLU: from a[start] and the row below into p[place]."""
    top, below = larger(load(a, start), load(a, start + row)), larger(load(a, start + 8), load(a, start + row + 8))
    store(p, place, larger(larger(evens(top, below), odds(top, below)), everywhere(F32(0))))


@_compile
def _unpool(a, start, row, p, dp, place, valid, da, to):
    """Gradient before `_pool`, of its outputs that are `valid` (1, not 0), into da[to] and the row below.

    Returns the gradient that came in.
    """
    maximum, come = load(p, place) * valid, load(dp, place)
    left = come - where_equal(maximum, everywhere(F32(0)), come)
    total = left
    first, second = load(a, start), load(a, start + 8)
    even = where_equal(evens(first, second), maximum, left)
    left -= even
    odd = where_equal(odds(first, second), maximum, left)
    left -= odd
    store(da, to, woven_first(even, odd))
    store(da, to + 8, woven_second(even, odd))
    below = where_equal(evens(load(a, start + row), load(a, start + row + 8)), maximum, left)
    left -= below
    store(da, to + row, woven_first(below, left))
    store(da, to + row + 8, woven_second(below, left))
    return total


@_compile
def _pool1(a, p):
    for r in range(13):
        _pool(a, 2 * ROW1 * r, ROW1, p, 13 * r)
        _pool(a, 2 * ROW1 * r + 16, ROW1, p, 13 * r + 8)


@_compile
def _unpool1(a, p, dp, five, da):
    """Gradient before pooling and ReLU; returns its sum, the bias's gradient.

    The right block comes first: its upper row runs over into the row below, which the left block then writes.
    """
    sums = everywhere(F32(0))
    for r in range(13):
        o = 2 * ROW1 * r
        sums += _unpool(a, o + 16, ROW1, p, dp, 13 * r + 8, five, da, o + 16)
        sums += _unpool(a, o, ROW1, p, dp, 13 * r, everywhere(F32(1)), da, o)
    return folded(sums)


@_compile
def _pool2(a, p, o):
    for r in range(5):
        _pool(a, 2 * ROW2 * r, ROW2, p, o + 5 * r)


@_compile
def _unpool2(a, p, dp, o, five, da):
    """As `_unpool1`, after the zeros with which `da` begins."""
    sums = everywhere(F32(0))
    for r in range(5):
        sums += _unpool(a, 2 * ROW2 * r, ROW2, p, dp, o + 5 * r, five, da, BEFORE + 2 * ROW2 * r)
    return folded(sums)


@_compile
def _weight_gradient(x, row, da, start, length, dw, o):
    """Add to dw[o] and the eight after it how the nine weights of a correlation with `x` change the loss."""
    zero = everywhere(F32(0))
    s0, s1, s2, s3, s4, s5, s6, s7, s8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
    for k in range(0, length, 8):
        d = load(da, start + k)
        s0 += d * load(x, k)
        s1 += d * load(x, k + 1)
        s2 += d * load(x, k + 2)
        s3 += d * load(x, k + row)
        s4 += d * load(x, k + row + 1)
        s5 += d * load(x, k + row + 2)
        s6 += d * load(x, k + 2 * row)
        s7 += d * load(x, k + 2 * row + 1)
        s8 += d * load(x, k + 2 * row + 2)
    dw[o] += folded(s0)
    dw[o + 1] += folded(s1)
    dw[o + 2] += folded(s2)
    dw[o + 3] += folded(s3)
    dw[o + 4] += folded(s4)
    dw[o + 5] += folded(s5)
    dw[o + 6] += folded(s6)
    dw[o + 7] += folded(s7)
    dw[o + 8] += folded(s8)


@_compile
def _exponential(x):
    """exp(x) of a float32 not above 0, rounded once from float64: the system's own differs between systems."""
    if not x > -110:
        return x * F32(0)  # not a number stays what it is
    power = int(np.floor(x * LOG2E + 0.5))
    rest = (np.float64(x) - power * LN2_HIGH) - power * LN2_LOW
    value = 1.0
    for n in range(12, 0, -1):
        value = 1.0 + value * rest / n
    return F32(value * POWERS[power + 160])


@_compile
def _classify(features, w, b, label, probabilities):
    """Softmax of the linear layer's logits; returns the cross-entropy."""
    highest = F32(-np.inf)
    for t in range(10):
        products = everywhere(F32(0))
        for k in range(0, 200, 8):
            products += load(w[t], k) * load(features, k)
        probabilities[t] = b[t] + folded(products)
        highest = max(highest, probabilities[t])
    total = F32(0)
    at_label = probabilities[label]
    for t in range(10):
        probabilities[t] = _exponential(probabilities[t] - highest)
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
    a2, p2, dp2 = np.zeros((8, 160), np.float32), np.zeros(208, np.float32), np.zeros(208, np.float32)
    da1, da2 = np.zeros(744, np.float32), np.zeros(216, np.float32)
    probabilities = np.zeros(10, np.float32)
    features, dfeatures = p2[:200], dp2[:200]
    ones = np.zeros(8, np.float32)
    ones[:5] = 1
    five = load(ones, 0)  # a pooled row has 8 + 5 outputs in the first layer, 5 in the second
    loss = 0.0
    for start in range(0, order.shape[0], batch_size):
        stop = min(start + batch_size, order.shape[0])
        gradient[:] = 0
        turned = w2.reshape(8, 4, 9)[:, :, ::-1].copy().reshape(8, 36)
        for s in range(start, stop):
            image, label = order[s], labels[order[s]]
            _prepare(images[image], _mix(key + U64(image) * STEP), levels, scale, offset, x)
            for c in range(4):
                a1[c, :LONG1] = b1[c]
                _correlate(x, ROW1, w1[c], 0, a1[c], LONG1)
                _pool1(a1[c], p1[c])
            for f in range(8):
                a2[f, :LONG2] = b2[f]
                for c in range(4):
                    _correlate(p1[c], ROW2, w2[f], 9 * c, a2[f], LONG2)
                _pool2(a2[f], p2, 25 * f)
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
                db2[f] += _unpool2(a2[f], p2, dp2, 25 * f, five, da2)
                for c in range(4):
                    _weight_gradient(p1[c], ROW2, da2, BEFORE, LONG2, dw2[f], 9 * c)
                    _correlate(da2, ROW2, turned[f], 9 * c, dp1[c], 160)
            for c in range(4):
                db1[c] += _unpool1(a1[c], p1[c], dp1[c], five, da1)
                _weight_gradient(x, ROW1, da1, 0, LONG1, dw1[c], 0)
        share = F32(1.0 / (stop - start))
        for k in range(weights.shape[0]):
            velocity[k] = momentum * velocity[k] + gradient[k] * share + weight_decay * weights[k]
            weights[k] = (weights[k] - learning_rate * velocity[k]) * mask[k]
    return loss / order.shape[0]
