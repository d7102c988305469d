"""Vectors of eight float32 numbers in compiled code.

They let loops be vectorised in a fixed order. A compiler may vectorise a sum only if it may reorder
it, and the order then depends on the processor. With `SimdVector` the order is written down: eight
partial sums, added up by `horizontal_sum`. Every product and every sum is rounded on its own (none
are fused), so the same loop gives the same bits wherever float32 follows IEEE 754.

numba's disk cache looks only at the file of the loops that use this: touch that file after a
change here.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, overload, register_model

_WIDTH = 8
_VECTOR = ir.VectorType(ir.FloatType(), _WIDTH)
_INT32 = ir.IntType(32)
_ZEROS = ir.Constant(_VECTOR, [0.0] * _WIDTH)


class SimdVector(types.Type):
    """The type of eight float32 numbers in compiled code."""

    def __init__(self) -> None:
        super().__init__(name="SimdVector")


SIMD_VECTOR = SimdVector()


@register_model(SimdVector)
class _SimdVectorModel(models.PrimitiveModel):
    def __init__(self, manager, frontend_type):
        super().__init__(manager, frontend_type, _VECTOR)


def _shuffle(builder, a, b, *indices: int):
    mask_type = ir.VectorType(_INT32, len(indices))
    mask = ir.Constant(mask_type, list(indices))
    return builder.shuffle_vector(a, b, mask)


def _address(context, builder, signature, array, index):
    """Return a pointer to the eight numbers of `array` that begin at `index`."""
    array_type = context.make_array(signature.args[0])
    data = array_type(context, builder, array).data
    pointer = builder.gep(data, [index])
    return builder.bitcast(pointer, _VECTOR.as_pointer())


@intrinsic
def load(typing, array, index):
    """Return the eight numbers of a flat array that begin at `index`."""

    def _generate(context, builder, signature, args):
        address = _address(context, builder, signature, *args)
        return builder.load(address, align=4)

    return SIMD_VECTOR(array, types.intp), _generate


@intrinsic
def store(typing, array, index, vector):
    """Write eight numbers into a flat array from `index` on."""

    def _generate(context, builder, signature, args):
        array, index, vector = args
        address = _address(context, builder, signature, array, index)
        builder.store(vector, address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, SIMD_VECTOR), _generate


@intrinsic
def broadcast(typing, number):
    """Return one number in all eight elements."""

    def _generate(context, builder, signature, args):
        empty = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(empty, args[0], ir.Constant(_INT32, 0))
        return _shuffle(builder, first, empty, *[0] * _WIDTH)

    return SIMD_VECTOR(types.float32), _generate


@intrinsic
def horizontal_sum(typing, vector):
    """Return the sum of the elements: first k and k + 4, then k and k + 2, then the last two."""

    def _generate(context, builder, signature, args):
        (value,) = args
        for width in (4, 2, 1):
            low = _shuffle(builder, value, value, *range(width))
            high = _shuffle(builder, value, value, *range(width, 2 * width))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(_INT32, 0))

    return types.float32(SIMD_VECTOR), _generate


@intrinsic
def maximum(typing, a, b):
    """Return the larger number of each pair of elements."""

    def _generate(context, builder, signature, args):
        a, b = args
        is_larger = builder.fcmp_ordered(">", a, b)
        return builder.select(is_larger, a, b)

    return SIMD_VECTOR(SIMD_VECTOR, SIMD_VECTOR), _generate


@intrinsic
def select_equal(typing, a, b, value):
    """Return `value` in the elements where a == b, zero elsewhere."""

    def _generate(context, builder, signature, args):
        a, b, value = args
        is_equal = builder.fcmp_ordered("==", a, b)
        return builder.select(is_equal, value, _ZEROS)

    return SIMD_VECTOR(SIMD_VECTOR, SIMD_VECTOR, SIMD_VECTOR), _generate


def _shuffle_pair(*indices: int) -> Callable[..., Any]:
    """Return an intrinsic that picks eight of the sixteen elements of two vectors."""

    @intrinsic
    def shuffle(typing, a, b):
        def _generate(context, builder, signature, args):
            return _shuffle(builder, *args, *indices)

        return SIMD_VECTOR(SIMD_VECTOR, SIMD_VECTOR), _generate

    return shuffle


# Every second element of two neighbouring vectors, and the reverse: two vectors interleaved.
even_elements = _shuffle_pair(*range(0, 16, 2))
odd_elements = _shuffle_pair(*range(1, 16, 2))
interleave_low = _shuffle_pair(0, 8, 1, 9, 2, 10, 3, 11)
interleave_high = _shuffle_pair(4, 12, 5, 13, 6, 14, 7, 15)


def _define_operator(instruction: str, *operators: Callable[..., Any]) -> None:
    """Let Python's operators on two vectors compile to this LLVM instruction."""

    @intrinsic
    def compute(typing, a, b):
        def _generate(context, builder, signature, args):
            return getattr(builder, instruction)(*args)

        return SIMD_VECTOR(SIMD_VECTOR, SIMD_VECTOR), _generate

    def implement(a, b):
        if a is SIMD_VECTOR and b is SIMD_VECTOR:
            return lambda a, b: compute(a, b)
        return None

    for symbol in operators:
        overload(symbol)(implement)


_define_operator("fadd", operator.add, operator.iadd)
_define_operator("fsub", operator.sub, operator.isub)
_define_operator("fmul", operator.mul)
