"""Eight float32 numbers as one value of compiled code, so that loops are vectorised and yet keep their order.

A compiler may only vectorise a sum if it may reorder it, and then every processor reorders it in its own way. With
`Lanes` the order is written down: eight partial sums, added in halves by `folded`. Every product and sum is rounded on
its own (none are fused), so the same loop gives the same bits wherever float32 follows IEEE 754.

numba's disk cache looks only at the file of the loops that use this: touch that after a change here.
"""

import operator

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, overload, register_model

_VECTOR = ir.VectorType(ir.FloatType(), 8)
_FIRST = ir.Constant(ir.IntType(32), 0)


class Lanes(types.Type):
    """The type of eight float32 numbers in compiled code."""

    def __init__(self):
        super().__init__(name="Lanes")


LANES = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def _shuffle(builder, a, b, *places: int):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places)))


def _place(context, builder, signature, args):
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), _VECTOR.as_pointer())


@intrinsic
def load(typing, array, index):
    """The eight numbers of a flat array that begin at `index`."""

    def code(context, builder, signature, args):
        return builder.load(_place(context, builder, signature, args), align=4)

    return LANES(array, types.intp), code


@intrinsic
def store(typing, array, index, lanes):
    """Write eight numbers into a flat array from `index` on."""

    def code(context, builder, signature, args):
        builder.store(args[2], _place(context, builder, signature, args), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), code


@intrinsic
def everywhere(typing, number):
    """One number in all eight lanes."""

    def code(context, builder, signature, args):
        empty = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(empty, args[0], _FIRST)
        return _shuffle(builder, first, empty, *[0] * 8)

    return LANES(types.float32), code


@intrinsic
def folded(typing, lanes):
    """The sum of the eight lanes: first lanes k and k + 4, then k and k + 2, then the last two."""

    def code(context, builder, signature, args):
        value = args[0]
        for half in (4, 2, 1):
            low, high = (_shuffle(builder, value, value, *range(start, start + half)) for start in (0, half))
            value = builder.fadd(low, high)
        return builder.extract_element(value, _FIRST)

    return types.float32(LANES), code


@intrinsic
def larger(typing, a, b):
    """The larger number of each lane."""

    def code(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return LANES(LANES, LANES), code


@intrinsic
def where_equal(typing, a, b, value):
    """`value` in the lanes where a == b, zero elsewhere."""

    def code(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("==", *args[:2]), args[2], ir.Constant(_VECTOR, [0.0] * 8))

    return LANES(LANES, LANES, LANES), code


def _pairwise(*places: int):
    @intrinsic
    def shuffle(typing, a, b):
        return LANES(LANES, LANES), lambda context, builder, signature, args: _shuffle(builder, *args, *places)

    return shuffle


# Of the sixteen numbers of two neighbours, every second one; and two times eight numbers woven into sixteen again.
evens, odds = _pairwise(*range(0, 16, 2)), _pairwise(*range(1, 16, 2))
woven_first, woven_second = _pairwise(0, 8, 1, 9, 2, 10, 3, 11), _pairwise(4, 12, 5, 13, 6, 14, 7, 15)


def _operator(instruction: str, *operators):
    @intrinsic
    def compute(typing, a, b):
        return LANES(LANES, LANES), lambda context, builder, signature, args: getattr(builder, instruction)(*args)

    for symbol in operators:
        overload(symbol)(lambda a, b: (lambda a, b: compute(a, b)) if a is LANES and b is LANES else None)


_operator("fadd", operator.add, operator.iadd)
_operator("fsub", operator.sub, operator.isub)
_operator("fmul", operator.mul)
