"""Compiled training loops of the MNIST network.

One image at a time passes through all layers, forwards and backwards, within the L1 cache. Feature
maps keep the row stride of their input (28 and 13), so that a convolution is one long vectorised
loop; the few values that wrap around the right edge are never read. Max pooling with ReLU stores no
positions: the backward pass finds the first of the four values that equals the maximum, which is
where PyTorch sends the gradient too.

Every sum has a written order, no product is fused into a sum (no `fastmath`), and the exponential
is computed here: the same seed trains to the same weights, to the bit, on every processor. This
matters because training amplifies rounding: another order of the same sums has moved the mean IoU
of a level by up to 0.03 in the MNIST IoU study.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from pruncam._nn.compiled.simd import (
    broadcast,
    even_elements,
    horizontal_sum,
    interleave_high,
    interleave_low,
    load,
    maximum,
    odd_elements,
    select_equal,
    store,
)
from pruncam.datasets.noise import GOLDEN, MULTIPLIERS

F32, U64 = np.float32, np.uint64

# numba's disk cache refers to the module of the vectors by name: change the first line of the
# compiled functions, as this comment did, or delete the cache after moving it.

# The hash of `datasets.noise`; two pixels share the halves of one 64-bit draw.
STEP = U64(GOLDEN)
MULTIPLIER1 = U64(MULTIPLIERS[0])
MULTIPLIER2 = U64(MULTIPLIERS[1])
LOW_BITS = U64(0xFFFFFFFF)
HALF_WORD = U64(32)

PIXELS = 28 * 28
CHANNELS1 = 4
CHANNELS2 = 8
FEATURES = 200
CLASSES = 10
ROW1, ROW2 = 28, 13  # row strides of the two convolutions' inputs
LENGTH1 = 728  # 26 rows of 28
LENGTH2 = 128  # the 10 rows of 13 (less two) that the second pooling reads
PADDING = 28  # zeros before the second convolution's gradient: its input's gradient looks back
POOLED1, POOLED2 = 13, 5  # rows and columns of the pooled maps

# A pooled row has 8 + 5 outputs in the first layer, 5 in the second: ones mark the valid elements.
FIVE_VALID = np.array([1, 1, 1, 1, 1, 0, 0, 0], np.float32)

# ln 2 in two parts, of which the first has few enough bits to be multiplied exactly
LOG2E = 1.4426950408889634
LN2_HIGH = 0.693147180369123816490
LN2_LOW = 1.90821492927058770002e-10
POWERS = 2.0 ** np.arange(-160, 1)

_compile = njit(cache=True, nogil=True, error_model="numpy")
# Called once per image: a call that passes a dozen arrays costs more than the inlined code.
_inline = njit(nogil=True, error_model="numpy", forceinline=True)


# numba's disk cache refers to these classes by name: delete it after renaming one.


class Samples(NamedTuple):
    """The training images (N, 784) uint8, their labels (N,), and the order of the epoch (N,)."""

    images: np.ndarray
    labels: np.ndarray
    order: np.ndarray


class InputTransform(NamedTuple):
    """Steps from uint8 pixels to network input: noise of stream `key`, then scale and offset."""

    key: np.uint64
    levels: np.uint64  # noise is drawn from 0 to levels - 1
    scale: np.float32
    offset: np.float32


class Layer(NamedTuple):
    """Weights, bias and their gradients, as views of the flat arrays of `SgdState`.

    Weights are (4, 9) and (8, 36) for the convolutions, (10, 200) for the linear layer.
    """

    weights: np.ndarray
    bias: np.ndarray
    weights_gradient: np.ndarray
    bias_gradient: np.ndarray


class SgdState(NamedTuple):
    """All parameters of the network as flat arrays, updated in place."""

    weights: np.ndarray
    gradient: np.ndarray
    velocity: np.ndarray
    mask: np.ndarray


class SgdSettings(NamedTuple):
    """Settings of stochastic gradient descent with momentum."""

    learning_rate: np.float32
    momentum: np.float32
    weight_decay: np.float32
    batch_size: int


class Maps(NamedTuple):
    """Output of a convolution and of its pooling for one image, and the gradients of both.

    There is room for the vectors that run over the end of a map.
    """

    output: np.ndarray
    pooled: np.ndarray
    output_gradient: np.ndarray
    pooled_gradient: np.ndarray


@_compile
def train_epoch(samples, transform, layers, state, settings):
    """Run one epoch of masked stochastic gradient descent; return the mean loss.

    `layers` are the two convolutions and the linear layer; they and `state` are updated in place.
    """
    layer1, layer2, linear = layers
    pixels = np.zeros(PIXELS + 16, np.float32)
    maps1 = _allocate_maps1()
    maps2 = _allocate_maps2()
    probabilities = np.zeros(CLASSES, np.float32)
    count = samples.order.shape[0]
    loss = 0.0
    for start in range(0, count, settings.batch_size):
        stop = min(start + settings.batch_size, count)
        state.gradient[:] = 0
        kernels = layer2.weights.reshape(CHANNELS2, CHANNELS1, 9)
        flipped = kernels[:, :, ::-1].copy().reshape(CHANNELS2, 9 * CHANNELS1)
        for position in range(start, stop):
            image = samples.order[position]
            label = samples.labels[image]
            stream = _mix(transform.key + U64(image) * STEP)
            _transform(samples.images[image], stream, transform, pixels)
            _forward1(pixels, layer1, maps1)
            _forward2(maps1.pooled, layer2, maps2)
            loss += _classify(maps2.pooled, linear, label, probabilities)
            probabilities[label] -= F32(1)
            _backward_linear(probabilities, linear, maps2)
            _backward2(maps1, layer2, flipped, maps2)
            _backward1(pixels, layer1, maps1)
        _update(state, settings, stop - start)
    return loss / count


@_compile
def _allocate_maps1():
    return Maps(
        np.zeros((CHANNELS1, 744), np.float32),
        np.zeros((CHANNELS1, 177), np.float32),
        np.zeros(744, np.float32),
        np.zeros((CHANNELS1, 177), np.float32),
    )


@_compile
def _allocate_maps2():
    """Return the second layer's maps; the pooled ones are one array, the features."""
    return Maps(
        np.zeros((CHANNELS2, 160), np.float32),
        np.zeros(208, np.float32),
        np.zeros(216, np.float32),
        np.zeros(208, np.float32),
    )


@_inline
def _forward1(pixels, layer, maps):
    for c in range(CHANNELS1):
        output = maps.output[c]
        output[:LENGTH1] = layer.bias[c]
        _correlate(pixels, ROW1, layer.weights[c], 0, output, LENGTH1)
        _pool1(output, maps.pooled[c])


@_inline
def _forward2(inputs, layer, maps):
    for f in range(CHANNELS2):
        output = maps.output[f]
        output[:LENGTH2] = layer.bias[f]
        for c in range(CHANNELS1):
            _correlate(inputs[c], ROW2, layer.weights[f], 9 * c, output, LENGTH2)
        _pool2(output, maps.pooled, 25 * f)


@_inline
def _backward_linear(logits_gradient, layer, maps):
    features, features_gradient = maps.pooled, maps.pooled_gradient
    features_gradient[:FEATURES] = 0
    for t in range(CLASSES):
        gradient = logits_gradient[t]
        layer.bias_gradient[t] += gradient
        for k in range(FEATURES):
            layer.weights_gradient[t, k] += gradient * features[k]
            features_gradient[k] += gradient * layer.weights[t, k]


@_inline
def _backward2(inputs, layer, flipped, maps):
    """Add the second convolution's gradients; `flipped` are its weights, each kernel reversed."""
    gradient = maps.output_gradient
    inputs.pooled_gradient[:] = 0
    for f in range(CHANNELS2):
        output = maps.output[f]
        bias = _unpool2(output, maps.pooled, maps.pooled_gradient, 25 * f, gradient)
        layer.bias_gradient[f] += bias
        weights = layer.weights_gradient[f]
        for c in range(CHANNELS1):
            pooled = inputs.pooled[c]
            pooled_gradient = inputs.pooled_gradient[c]
            _weights_gradient(pooled, ROW2, gradient, PADDING, LENGTH2, weights, 9 * c)
            _correlate(gradient, ROW2, flipped[f], 9 * c, pooled_gradient, 160)


@_inline
def _backward1(pixels, layer, maps):
    gradient = maps.output_gradient
    for c in range(CHANNELS1):
        output = maps.output[c]
        bias = _unpool1(output, maps.pooled[c], maps.pooled_gradient[c], gradient)
        layer.bias_gradient[c] += bias
        weights = layer.weights_gradient[c]
        _weights_gradient(pixels, ROW1, gradient, 0, LENGTH1, weights, 0)


@_inline
def _update(state, settings, images):
    """Take one step with momentum and weight decay; masked weights stay zero."""
    weights, velocity = state.weights, state.velocity
    share = F32(1.0 / images)
    for k in range(weights.shape[0]):
        step = settings.momentum * velocity[k] + state.gradient[k] * share
        velocity[k] = step + settings.weight_decay * weights[k]
        weight = weights[k] - settings.learning_rate * velocity[k]
        weights[k] = weight * state.mask[k]


@_compile
def _mix(z):
    z = (z ^ (z >> U64(30))) * MULTIPLIER1
    z = (z ^ (z >> U64(27))) * MULTIPLIER2
    return z ^ (z >> U64(31))


@_inline
def _transform(image, stream, transform, x):
    """Write network input to `x`: noise on zero pixels, then scale and offset.

    The noise is that of `datasets.noise.background`.
    """
    levels, state = transform.levels, stream
    for k in range(PIXELS // 2):
        state += STEP
        bits = _mix(state)
        low, high = bits & LOW_BITS, bits >> HALF_WORD
        x[2 * k] = F32(np.int32((low * levels) >> HALF_WORD))
        x[2 * k + 1] = F32(np.int32((high * levels) >> HALF_WORD))
    for k in range(PIXELS):
        pixel = F32(image[k]) if image[k] > 0 else x[k]
        x[k] = pixel * transform.scale + transform.offset


@_compile
def _correlate(x, row, weights, first, output, length):
    """Add the 3x3 correlation of `x` with the nine weights from `first` on to output[:length]."""
    w0 = broadcast(weights[first])
    w1 = broadcast(weights[first + 1])
    w2 = broadcast(weights[first + 2])
    w3 = broadcast(weights[first + 3])
    w4 = broadcast(weights[first + 4])
    w5 = broadcast(weights[first + 5])
    w6 = broadcast(weights[first + 6])
    w7 = broadcast(weights[first + 7])
    w8 = broadcast(weights[first + 8])
    for k in range(0, length, 8):
        top = w0 * load(x, k)
        top += w1 * load(x, k + 1)
        top += w2 * load(x, k + 2)
        middle = w3 * load(x, k + row)
        middle += w4 * load(x, k + row + 1)
        middle += w5 * load(x, k + row + 2)
        bottom = w6 * load(x, k + 2 * row)
        bottom += w7 * load(x, k + 2 * row + 1)
        bottom += w8 * load(x, k + 2 * row + 2)
        total = top + middle + bottom
        store(output, k, load(output, k) + total)


@_compile
def _weights_gradient(x, row, output_gradient, start, length, gradient, first):
    """Add the gradient of the nine weights of a correlation with `x`, from gradient[first] on."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = broadcast(F32(0))
    for k in range(0, length, 8):
        d = load(output_gradient, start + k)
        s0 += d * load(x, k)
        s1 += d * load(x, k + 1)
        s2 += d * load(x, k + 2)
        s3 += d * load(x, k + row)
        s4 += d * load(x, k + row + 1)
        s5 += d * load(x, k + row + 2)
        s6 += d * load(x, k + 2 * row)
        s7 += d * load(x, k + 2 * row + 1)
        s8 += d * load(x, k + 2 * row + 2)
    gradient[first] += horizontal_sum(s0)
    gradient[first + 1] += horizontal_sum(s1)
    gradient[first + 2] += horizontal_sum(s2)
    gradient[first + 3] += horizontal_sum(s3)
    gradient[first + 4] += horizontal_sum(s4)
    gradient[first + 5] += horizontal_sum(s5)
    gradient[first + 6] += horizontal_sum(s6)
    gradient[first + 7] += horizontal_sum(s7)
    gradient[first + 8] += horizontal_sum(s8)


@_compile
def _pool(x, start, row, pooled, position):
    """Write eight outputs of 2x2 max pooling with ReLU, from x[start] and the row below."""
    below = start + row
    left = maximum(load(x, start), load(x, below))
    right = maximum(load(x, start + 8), load(x, below + 8))
    largest = maximum(even_elements(left, right), odd_elements(left, right))
    store(pooled, position, maximum(largest, broadcast(F32(0))))


@_compile
def _pool1(x, pooled):
    for r in range(POOLED1):
        start = 2 * ROW1 * r
        _pool(x, start, ROW1, pooled, POOLED1 * r)
        _pool(x, start + 16, ROW1, pooled, POOLED1 * r + 8)


@_compile
def _pool2(x, pooled, first):
    for r in range(POOLED2):
        _pool(x, 2 * ROW2 * r, ROW2, pooled, first + POOLED2 * r)


@_compile
def _unpool(x, start, row, largest, incoming, gradient, target):
    """Write the gradient before `_pool` to gradient[target] and the row below; return what came in.

    `largest` are eight pooled outputs (0 where not valid), `incoming` their gradients. The first of
    the four inputs that equals the maximum gets the gradient.
    """
    rest = incoming - select_equal(largest, broadcast(F32(0)), incoming)
    total = rest
    left = load(x, start)
    right = load(x, start + 8)
    even = select_equal(even_elements(left, right), largest, rest)
    rest -= even
    odd = select_equal(odd_elements(left, right), largest, rest)
    rest -= odd
    store(gradient, target, interleave_low(even, odd))
    store(gradient, target + 8, interleave_high(even, odd))
    left = load(x, start + row)
    right = load(x, start + row + 8)
    even = select_equal(even_elements(left, right), largest, rest)
    rest -= even
    store(gradient, target + row, interleave_low(even, rest))
    store(gradient, target + row + 8, interleave_high(even, rest))
    return total


@_compile
def _unpool1(x, pooled, pooled_gradient, gradient):
    """Write the gradient before pooling and ReLU; return its sum, the bias's gradient.

    The right block comes first: its upper row runs over into the row below, which the left block
    then writes.
    """
    sums = broadcast(F32(0))
    for r in range(POOLED1):
        start = 2 * ROW1 * r
        left = POOLED1 * r
        right = left + 8
        largest = load(pooled, right) * load(FIVE_VALID, 0)
        incoming = load(pooled_gradient, right)
        sums += _unpool(x, start + 16, ROW1, largest, incoming, gradient, start + 16)
        largest = load(pooled, left)
        incoming = load(pooled_gradient, left)
        sums += _unpool(x, start, ROW1, largest, incoming, gradient, start)
    return horizontal_sum(sums)


@_compile
def _unpool2(x, pooled, pooled_gradient, first, gradient):
    """Do the same for the second layer, after the zeros with which `gradient` begins."""
    sums = broadcast(F32(0))
    for r in range(POOLED2):
        start = 2 * ROW2 * r
        position = first + POOLED2 * r
        largest = load(pooled, position) * load(FIVE_VALID, 0)
        incoming = load(pooled_gradient, position)
        sums += _unpool(x, start, ROW2, largest, incoming, gradient, PADDING + start)
    return horizontal_sum(sums)


@_compile
def _exponential(x):
    """Return exp(x) of a float32 not above 0, computed in float64 and rounded once.

    The system's own exponential differs between systems.
    """
    if not x > -110:
        return x * F32(0)  # NaN stays NaN
    power = int(np.floor(x * LOG2E + 0.5))
    rest = (np.float64(x) - power * LN2_HIGH) - power * LN2_LOW
    value = 1.0
    for n in range(12, 0, -1):
        value = 1.0 + value * rest / n
    return F32(value * POWERS[power + 160])


@_inline
def _classify(features, layer, label, probabilities):
    """Compute the softmax of the linear layer's logits; return the cross-entropy."""
    highest = F32(-np.inf)
    for t in range(CLASSES):
        products = broadcast(F32(0))
        for k in range(0, FEATURES, 8):
            products += load(layer.weights[t], k) * load(features, k)
        probabilities[t] = layer.bias[t] + horizontal_sum(products)
        highest = max(highest, probabilities[t])
    total = F32(0)
    at_label = probabilities[label]
    for t in range(CLASSES):
        probabilities[t] = _exponential(probabilities[t] - highest)
        total += probabilities[t]
    for t in range(CLASSES):
        probabilities[t] /= total
    return np.log(total) + highest - at_label
