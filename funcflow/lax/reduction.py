"""Reductions over axes: maximum, minimum, product, bitwise operations, and any other monoid.

`reduce_sum` is in `lax.shape`, since it is the transpose of repeating.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import ArgumentError, DtypeError
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_structure, tree_unflatten
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, Absent, Rule, define
from funcflow.lax.arithmetic import add, add_p, div_p, max_p, min_p, mul, mul_p
from funcflow.lax.bitwise import and_p, or_p, xor_p
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, select_n
from funcflow.lax.forms import ANY, BITS, NUMBERS, check_dtype
from funcflow.lax.linear import canonical_axes, canonical_axis
from funcflow.lax.monoid import (
    Combine,
    fold,
    is_identity,
    max_identity,
    min_identity,
    monoid,
    on_arrays,
    trace_computation,
)
from funcflow.lax.shape import (
    batched_axes,
    broadcast_in_dim,
    broadcast_to,
    reduce_sum,
    reduced_aval,
    reshape,
)


def _reduction(
    name: str, takes: str, impl: Callable[..., Any], jvp: Callable[[Primitive], Rule] | Absent
) -> Primitive:
    """A primitive that combines all elements along its parameter `axes`."""
    primitive = Primitive(name)

    def abstract(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
        check_dtype(name, x, takes)
        return reduced_aval(x, axes=axes)

    def batch(ctx: Any, args: Any, dims: Any, *, axes: tuple[int, ...]) -> Any:
        moved, out = batched_axes(axes, dims[0])
        return primitive.bind(args[0], axes=moved), out

    define(
        primitive,
        abstract=abstract,
        impl=impl,
        jvp=jvp if isinstance(jvp, Absent) else jvp(primitive),
        transpose=NONLINEAR,
        batch=batch,
    )
    return primitive


def _bind(primitive: Primitive, operand: Any, axes: Sequence[int]) -> Any:
    axes = canonical_axes(axes, ndim_of(operand), primitive.name)
    return primitive.bind(operand, axes=tuple(sorted(axes))) if axes else operand


def _reduced(x: ShapedArray, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The extents along the reduced axes."""
    return tuple(x.shape[a] for a in axes)


# --- maximum and minimum ----------------------------------------------------------------------


def _extremum_impl(function: str, identity: Callable[..., Any]) -> Callable[..., Any]:
    def impl(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
        if x.size:
            return getattr(xp, function)(x, axis=axes)
        shape = [extent for i, extent in enumerate(x.shape) if i not in axes]
        return xp.full(shape, identity(x.dtype), dtype=x.dtype)

    return impl


def _extremum_jvp(primitive: Primitive) -> Rule:
    """The tangent is shared equally by the elements that attain the extremum."""

    def rule(ctx: Any, primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> Any:
        (x,), (t,) = primals, tangents
        out = primitive.bind(x, axes=axes)
        aval = aval_of(x)
        if type(t) is Zero or 0 in _reduced(aval, axes):
            return out, Zero(out.aval)
        kept = tuple(i for i in range(aval.ndim) if i not in axes)
        attained = eq(x, broadcast_in_dim(out, aval.shape, kept))
        count = reduce_sum(convert_element_type(attained, aval.dtype), axes)
        masked = select_n(attained, np.zeros((), aval.dtype), t)
        return out, div_p.bind(reduce_sum(masked, axes), count)

    return rule


reduce_max_p = _reduction("reduce_max", ANY, _extremum_impl("max", max_identity), _extremum_jvp)
reduce_min_p = _reduction("reduce_min", ANY, _extremum_impl("min", min_identity), _extremum_jvp)


def reduce_max(operand: Any, axes: Sequence[int]) -> Any:
    """The maximum over `axes`, which disappear.

    NaN if there is a NaN; complex numbers are compared by real part, then imaginary part. The
    maximum of nothing is -inf, or the dtype's least integer. The derivative is shared equally by
    all elements that attain the maximum.

    Raises:
        AxisError: an axis is out of range or named twice.

    Example:
        >>> ff.lax.reduce_max(fnp.array([[1.0, 4.0], [3.0, 2.0]]), (1,))
        Array([4., 3.], dtype=float32)
    """
    return _bind(reduce_max_p, operand, axes)


def reduce_min(operand: Any, axes: Sequence[int]) -> Any:
    """The minimum over `axes`, which disappear; otherwise as `reduce_max`."""
    return _bind(reduce_min_p, operand, axes)


# --- product ----------------------------------------------------------------------------------


def _reduce_prod_jvp(primitive: Primitive) -> Rule:
    """Multiply pairs (value, tangent) up by the product rule.

    That is exact at zeros, where dividing the product by the elements would fail.
    """

    def rule(ctx: Any, primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> Any:
        (x,), (t,) = primals, tangents
        out = primitive.bind(x, axes=axes)
        if type(t) is Zero or 0 in _reduced(aval_of(x), axes):
            return out, Zero(out.aval)
        _, tangent = fold(multiply_pairs, [_flatten_in_front(y, axes) for y in (x, t)])
        return out, tangent

    return rule


def multiply_pairs(left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
    """The product of two values with tangents, as a value with a tangent."""
    (x, dx), (y, dy) = left, right
    return [mul(x, y), add(mul_p.bind(dx, y), mul_p.bind(dy, x))]


def _flatten_in_front(x: Any, axes: Sequence[int]) -> Any:
    """`x` with the given axes merged into one, the first."""
    shape = shape_of(x)
    kept = [i for i in range(len(shape)) if i not in axes]
    return reshape(
        x, (math.prod(shape[a] for a in axes), *[shape[i] for i in kept]), (*axes, *kept)
    )


def _reduce_prod_impl(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    product = xp.prod(x, axis=axes, dtype=dtypes.accumulator(x.dtype))
    return product.astype(x.dtype, copy=False)


reduce_prod_p = _reduction("reduce_prod", NUMBERS, _reduce_prod_impl, _reduce_prod_jvp)


def reduce_prod(operand: Any, axes: Sequence[int]) -> Any:
    """The product over `axes`, which disappear, of a number dtype, which is kept.

    The derivative is exact where elements are zero. 16-bit floats are multiplied in float32.
    """
    return _bind(reduce_prod_p, operand, axes)


# --- bitwise operations -----------------------------------------------------------------------


def _bitwise_impl(function: str, identity: int, of_bools: str = "") -> Callable[..., Any]:
    """Combine halves until one element is left: CuPy's ufuncs of bits have no `reduce`."""

    def impl(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
        if of_bools and x.dtype == bool:
            return getattr(xp, of_bools)(x, axis=axes)
        combine = getattr(xp, function)
        kept = [i for i in range(x.ndim) if i not in axes]
        shape = [x.shape[i] for i in kept]
        x = x.transpose(*axes, *kept).reshape(math.prod(_reduced(x, axes)), *shape)
        if not len(x):
            return xp.full(shape, np.asarray(identity).astype(x.dtype), dtype=x.dtype)
        while len(x) > 1:
            half = len(x) // 2
            rest = x[2 * half :]
            x = xp.concatenate([combine(x[:half], x[half : 2 * half]), rest])
        return x[0]

    return impl


reduce_and_p = _reduction(
    "reduce_and", BITS, _bitwise_impl("bitwise_and", -1, "all"), NONDIFFERENTIABLE
)
reduce_or_p = _reduction(
    "reduce_or", BITS, _bitwise_impl("bitwise_or", 0, "any"), NONDIFFERENTIABLE
)
reduce_xor_p = _reduction("reduce_xor", BITS, _bitwise_impl("bitwise_xor", 0), NONDIFFERENTIABLE)


def reduce_and(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise "and" of booleans or integers over `axes`, which disappear; all ones of nothing."""
    return _bind(reduce_and_p, operand, axes)


def reduce_or(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise "or" of booleans or integers over `axes`, which disappear; zero of nothing."""
    return _bind(reduce_or_p, operand, axes)


def reduce_xor(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise "exclusive or" of booleans or integers over `axes`; zero of nothing."""
    return _bind(reduce_xor_p, operand, axes)


# --- place of the extremum --------------------------------------------------------------------


def _arg_extremum(name: str) -> Primitive:
    primitive = Primitive(name)

    def abstract(
        x: ShapedArray, *, axes: tuple[int, ...], index_dtype: np.dtype[Any]
    ) -> ShapedArray:
        check_dtype(name, x, "biuf")
        return ShapedArray(reduced_aval(x, axes=axes).shape, index_dtype)

    def impl(xp: Any, x: Any, *, axes: tuple[int, ...], index_dtype: np.dtype[Any]) -> Any:
        return getattr(xp, name)(x, axis=axes[0]).astype(index_dtype)

    def batch(
        ctx: Any, args: Any, dims: Any, *, axes: tuple[int, ...], index_dtype: np.dtype[Any]
    ) -> Any:
        moved, out = batched_axes(axes, dims[0])
        return primitive.bind(args[0], axes=moved, index_dtype=index_dtype), out

    define(
        primitive,
        abstract=abstract,
        impl=impl,
        jvp=NONDIFFERENTIABLE,
        transpose=NONLINEAR,
        batch=batch,
    )
    return primitive


argmax_p = _arg_extremum("argmax")
argmin_p = _arg_extremum("argmin")


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first maximum along `axis`, which disappears.

    The first NaN counts as the maximum. The operand is real or boolean; `index_dtype` is an
    integer dtype.

    Raises:
        AxisError: the axis is out of range.
        ArgumentError: the axis is empty.
        DtypeError: the operand is complex, or `index_dtype` no integer dtype.

    Example:
        >>> ff.lax.argmax(fnp.array([1.0, 3.0, 3.0]), 0, "int32")
        Array(1, dtype=int32)
    """
    return _bind_arg(argmax_p, operand, axis, index_dtype)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first minimum along `axis`; otherwise as `argmax`."""
    return _bind_arg(argmin_p, operand, axis, index_dtype)


def _bind_arg(primitive: Primitive, operand: Any, axis: int, index_dtype: Any) -> Any:
    name, aval = primitive.name, aval_of(operand)
    axis = canonical_axis(axis, aval.ndim, name)
    if aval.shape[axis] == 0:
        raise ArgumentError(
            f"{name}: axis {axis} of an array of shape {aval.shape} has no elements",
            mend="pass an axis of extent 1 or more",
        )
    index_dtype = dtypes.as_dtype(index_dtype)
    if not dtypes.is_integer(index_dtype):
        raise DtypeError(
            f"{name}: index_dtype must be an integer dtype, got {index_dtype.name}",
            mend="use 'int32'",
        )
    check_dtype(name, aval, "biuf")
    return primitive.bind(operand, axes=(axis,), index_dtype=index_dtype)


# --- any monoid -------------------------------------------------------------------------------

_REDUCTIONS = {
    add_p: reduce_sum,
    mul_p: reduce_prod,
    max_p: reduce_max,
    min_p: reduce_min,
    and_p: reduce_and,
    or_p: reduce_or,
    xor_p: reduce_xor,
}


def reduce(
    operands: Any,
    init_values: Any,
    computation: Callable[[Any, Any], Any],
    dimensions: Sequence[int],
) -> Any:
    """Combine all elements along `dimensions`, which disappear, with any associative function.

    Sums, products, extrema and bitwise operations are recognised. Other functions are applied to
    whole arrays, in a number of steps that grows with the logarithm of the number of elements.
    The order in which neighbours are combined is not specified.

    Args:
        operands: an array, or a pytree of arrays of one shape.
        init_values: a scalar for each of them, normally the neutral element of `computation`.
        computation: an associative function of two scalars, or of two pytrees of scalars.
        dimensions: the axes to reduce.

    Returns:
        Arrays of the operands' structure and dtypes.

    Raises:
        TreeStructureError: operands, initial values and results differ in structure.
        ShapeError: the operands differ in shape, or an initial value is no scalar.
        DtypeError: an initial value's or a result's dtype is not its operand's.
        AxisError: an axis is out of range or named twice.

    Example:
        >>> ff.lax.reduce(fnp.array([3, 5, 2]), 0, lambda x, y: x + y, (0,))
        Array(10, dtype=int32)
    """
    closed, leaves, inits = trace_computation("reduce", computation, operands, init_values)
    aval = aval_of(leaves[0])
    axes = tuple(sorted(canonical_axes(dimensions, aval.ndim, "reduce")))
    treedef = tree_structure(operands)
    found = monoid(closed)
    if found is None:
        return tree_unflatten(treedef, _fold_axes(on_arrays(closed), leaves, inits, axes))
    operation, identity = found
    out = _REDUCTIONS[operation](leaves[0], axes)
    if not is_identity(inits[0], identity):
        out = operation.bind(inits[0], out)
    return tree_unflatten(treedef, [out])


def _fold_axes(
    combine: Combine, operands: Sequence[Any], inits: Sequence[Any], axes: tuple[int, ...]
) -> Sequence[Any]:
    shape = reduced_aval(aval_of(operands[0]), axes=axes).shape
    starts = [broadcast_to(init, shape) for init in inits]
    if 0 in _reduced(aval_of(operands[0]), axes):
        return starts
    return combine(starts, fold(combine, [_flatten_in_front(x, axes) for x in operands]))
