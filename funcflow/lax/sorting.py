"""Sorting by one or several keys, and the k greatest elements.

NaN is greater than everything, -0.0 and 0.0 are equal, and complex numbers are compared by real
part, then imaginary part. Derivatives follow the elements to their new places.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import neg
from funcflow.lax.creation import broadcasted_iota
from funcflow.lax.dimension_numbers import GatherDimensionNumbers
from funcflow.lax.forms import FLOATS, check_dtype
from funcflow.lax.indexing import gather
from funcflow.lax.linear import canonical_axis
from funcflow.lax.shape import expand_dims, zeros
from funcflow.lax.sorting_impl import places_of_greatest, stable_order


def _take_along(x: Any, indices: Any, axis: int) -> Any:
    """`x` at the given places along `axis`; all other axes run along with those of `indices`."""
    if not aval_of(x).size:  # windows of one element find no room
        return zeros(aval_of(x).update(shape=shape_of(indices)))
    others = tuple(i for i in range(ndim_of(x)) if i != axis)
    return gather(
        x,
        expand_dims(indices, (ndim_of(indices),)),
        GatherDimensionNumbers((), (axis,), (axis,), others, others),
        (1,) * ndim_of(x),
    )


# --- sort -------------------------------------------------------------------------------------

sort_p = Primitive("sort", multiple_results=True)


def sort(
    operand: Any | Sequence[Any], dimension: int = -1, is_stable: bool = True, num_keys: int = 1
) -> Any:
    """Sort along an axis, several arrays by the first of them.

    Args:
        operand: an array of any dtype, or a sequence of arrays of one shape.
        dimension: the axis to sort along.
        is_stable: whether elements with equal keys keep their order.
        num_keys: how many of the arrays are keys; later ones decide where earlier ones are equal.

    Returns:
        The sorted array, or a tuple of the arrays, all put in the order of the keys.

    Raises:
        ShapeError: the arrays differ in shape, or there are none.
        ArgumentError: `num_keys` is not between 1 and the number of arrays.
        AxisError: the axis is out of range.

    Example:
        >>> keys, values = fnp.array([2, 1, 2]), fnp.array([10.0, 20.0, 30.0])
        >>> ff.lax.sort((keys, values))
        (Array([1, 2, 2], dtype=int32), Array([20., 10., 30.], dtype=float32))
    """
    single = not isinstance(operand, tuple | list)
    operands = [operand] if single else list(operand)
    if not operands:
        raise ShapeError("sort: no operands given", mend="pass an array, or a tuple of arrays")
    shapes = [shape_of(x) for x in operands]
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(
            f"sort: the operands must have equal shapes, got {', '.join(map(str, shapes))}",
            mend="broadcast them to one shape",
        )
    if not 1 <= num_keys <= len(operands):
        raise ArgumentError(
            f"sort: num_keys={num_keys} for {len(operands)} operands",
            mend=f"use a number from 1 to {len(operands)}",
        )
    dimension = canonical_axis(dimension, len(shapes[0]), "sort")
    outs = sort_p.bind(
        *operands, dimension=dimension, is_stable=bool(is_stable), num_keys=int(num_keys)
    )
    return outs[0] if single else tuple(outs)


def sort_key_val(
    keys: Any, values: Any, dimension: int = -1, is_stable: bool = True
) -> tuple[Any, Any]:
    """Sort `keys` along an axis and put `values`, of the same shape, in the same order."""
    return sort((keys, values), dimension=dimension, is_stable=is_stable, num_keys=1)


def _sort_impl(
    xp: Any, *operands: Any, dimension: int, is_stable: bool, num_keys: int
) -> list[Any]:
    if len(operands) == 1 and operands[0].dtype.kind in "biuf":
        return [_sort_one(xp, operands[0], dimension, is_stable)]
    columns = [column for key in operands[:num_keys] for column in _columns(key)]
    order = None
    for column in reversed(columns):  # the first key is the last to be sorted by
        if order is None:
            order = stable_order(xp, column, dimension)
        else:
            column = xp.take_along_axis(column, order, axis=dimension)
            finer = stable_order(xp, column, dimension)
            order = xp.take_along_axis(order, finer, axis=dimension)
    return [xp.take_along_axis(x, order, axis=dimension) for x in operands]


def _sort_one(xp: Any, x: Any, axis: int, is_stable: bool) -> Any:
    """Sort values alone; of equal ones, only zeros of different sign can be told apart."""
    out = xp.sort(x, axis=axis)
    if is_stable and x.dtype.kind == "f" and (xp.signbit(x) & (x == 0)).any():
        lanes, sorted_lanes = xp.moveaxis(x, axis, -1), xp.moveaxis(out, axis, -1)
        sorted_lanes[sorted_lanes == 0] = lanes[lanes == 0]
    return out


def _columns(key: Any) -> list[Any]:
    """A key as arrays of real numbers."""
    return [key.real, key.imag] if key.dtype.kind == "c" else [key]


def _sort_jvp(
    ctx: Any,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    dimension: int,
    is_stable: bool,
    num_keys: int,
) -> Any:
    params = {"dimension": dimension, "is_stable": is_stable, "num_keys": num_keys}
    if all(type(t) is Zero for t in tangents):
        outs = sort_p.bind(*primals, **params)
        return outs, [Zero(out.aval) for out in outs]
    places = broadcasted_iota("int32", shape_of(primals[0]), dimension)
    *outs, order = sort_p.bind(*primals, places, **params)
    tangents_out = [
        Zero(out.aval) if type(t) is Zero else _take_along(t, order, dimension)
        for out, t in zip(outs, tangents, strict=True)
    ]
    return outs, tangents_out


def _sort_batch(ctx: Any, args: Any, dims: Any, *, dimension: int, **params: Any) -> Any:
    fronted = [ctx.to_front(x, d) for x, d in zip(args, dims, strict=True)]
    return sort_p.bind(*fronted, dimension=dimension + 1, **params), [0] * len(fronted)


define(
    sort_p,
    abstract=lambda *avals, dimension, is_stable, num_keys: list(avals),
    impl=_sort_impl,
    jvp=_sort_jvp,
    transpose=NONLINEAR,
    batch=_sort_batch,
)

# --- top_k ------------------------------------------------------------------------------------

top_k_p = Primitive("top_k", multiple_results=True)


def top_k(operand: Any, k: int, *, axis: int = -1) -> tuple[Any, Any]:
    """The `k` greatest elements along an axis, in descending order, and their indices.

    NaN counts as greatest; of equal elements the one with the lower index comes first.

    Args:
        operand: a real or boolean array.
        k: how many, at most the axis' extent.
        axis: the axis to search along.

    Returns:
        `(values, indices)`; the indices are int32.

    Raises:
        ArgumentError: `k` is negative or greater than the extent.
        DtypeError: the operand is complex.
        AxisError: the axis is out of range.

    Example:
        >>> ff.lax.top_k(fnp.array([1.0, 5.0, 3.0]), 2)
        (Array([5., 3.], dtype=float32), Array([1, 2], dtype=int32))
    """
    return _bind_top_k("top_k", operand, k, axis)


def _bind_top_k(function: str, operand: Any, k: int, axis: int) -> tuple[Any, Any]:
    aval = aval_of(operand)
    axis = canonical_axis(axis, aval.ndim, function)
    if not 0 <= k <= aval.shape[axis]:
        raise ArgumentError(
            f"{function}: k={k} for axis {axis} of an array of shape {aval.shape}",
            mend=f"use a number from 0 to {aval.shape[axis]}",
        )
    check_dtype(function, aval, "biuf")
    values, indices = top_k_p.bind(operand, k=int(k), axis=axis)
    return values, indices


def _top_k_abstract(x: ShapedArray, *, k: int, axis: int) -> list[ShapedArray]:
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return [x.update(shape=shape), ShapedArray(shape, np.dtype("int32"))]


def _top_k_impl(xp: Any, x: Any, *, k: int, axis: int) -> list[Any]:
    places = places_of_greatest(xp, x, k, axis)
    return [xp.take_along_axis(x, places, axis=axis), places.astype("int32")]


def _top_k_jvp(ctx: Any, primals: Any, tangents: Any, *, k: int, axis: int) -> Any:
    (x,), (t,) = primals, tangents
    values, indices = top_k_p.bind(x, k=k, axis=axis)
    tangent = Zero(values.aval) if type(t) is Zero else _take_along(t, indices, axis)
    return [values, indices], [tangent, Zero(indices.aval)]


def _top_k_batch(ctx: Any, args: Any, dims: Any, *, k: int, axis: int) -> Any:
    (d,) = dims
    return top_k_p.bind(args[0], k=k, axis=axis + (axis >= d)), [d, d]


define(
    top_k_p,
    abstract=_top_k_abstract,
    impl=_top_k_impl,
    jvp=_top_k_jvp,
    transpose=NONLINEAR,
    batch=_top_k_batch,
)


def approx_max_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Any, Any]:
    """The `k` greatest elements of a floating array along an axis, and their indices.

    The result is exact, whatever `recall_target` allows, and has `k` elements also where
    `aggregate_to_topk` is false; the last three arguments are accepted for compatibility.

    Example:
        >>> ff.lax.approx_max_k(fnp.array([1.0, 5.0, 3.0]), 2)
        (Array([5., 3.], dtype=float32), Array([1, 2], dtype=int32))
    """
    _check_floating("approx_max_k", operand)
    return _bind_top_k("approx_max_k", operand, k, reduction_dimension)


def approx_min_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Any, Any]:
    """The `k` least elements of a floating array along an axis, and their indices.

    Otherwise as `approx_max_k`.
    """
    _check_floating("approx_min_k", operand)
    values, indices = _bind_top_k("approx_min_k", neg(operand), k, reduction_dimension)
    return neg(values), indices


def _check_floating(function: str, operand: Any) -> None:
    check_dtype(function, aval_of(operand), FLOATS)
