"""Conversions between dtypes, and the operations that change nothing but what transforms see."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import Array, as_array, aval_of
from funcflow.core.aval import Shape, ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_flatten, tree_map
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, define
from funcflow.lax.complex import real
from funcflow.lax.forms import ANY, FLOATS, unary
from funcflow.lax.shape import moveaxis

# --- convert_element_type -------------------------------------------------------------------

convert_element_type_p = Primitive("convert_element_type")


def convert_element_type(operand: Any, new_dtype: Any = None, weak_type: bool = False) -> Array:
    """`operand` with its values converted to another dtype.

    Floating values become integers by dropping the fraction; those out of range become the nearest
    integer in range, and NaN becomes 0. Of complex values, real dtypes take the real part.

    Args:
        operand: an array or number.
        new_dtype: the result's dtype; None keeps the operand's.
        weak_type: whether the result is weakly typed, as Python scalars are.

    Example:
        >>> ff.lax.convert_element_type(fnp.array([1.7, -1.7, 1e10]), "int32")
        Array([         1,         -1, 2147483647], dtype=int32)
    """
    aval = aval_of(operand)
    dtype = aval.dtype if new_dtype is None else dtypes.as_dtype(new_dtype)
    if dtype == aval.dtype and weak_type == aval.weak_type:
        return as_array(operand)
    if aval.dtype.kind == "c" and dtype.kind != "c":
        operand = real(operand)
    return convert_element_type_p.bind(operand, new_dtype=dtype, weak_type=weak_type)


def _convert_abstract(x: ShapedArray, *, new_dtype: Any, weak_type: bool) -> ShapedArray:
    return ShapedArray(x.shape, new_dtype, weak_type)


def _convert_impl(xp: Any, x: Any, *, new_dtype: Any, weak_type: bool) -> Any:
    if new_dtype.kind in "iu" and dtypes.is_float(x.dtype):
        return _float_to_integer(xp, x, new_dtype)
    return x.astype(new_dtype)


def _float_to_integer(xp: Any, x: Any, dtype: np.dtype[Any]) -> Any:
    limits = np.iinfo(dtype)
    if x.dtype.itemsize < 4:
        x = x.astype(np.float32)  # the limits overflow float16
    # `limits.max` may round up to the first number that is out of range, hence `>=`
    low, high = x.dtype.type(limits.min), x.dtype.type(limits.max)
    inside = (x >= low) & (x < high)
    out = xp.where(inside, x, x.dtype.type(0)).astype(dtype)
    out = xp.where(x >= high, dtype.type(limits.max), out)
    return xp.where(x < low, dtype.type(limits.min), out)


def _convert_jvp(ctx: Any, primals: Any, tangents: Any, *, new_dtype: Any, weak_type: bool) -> Any:
    (x,), (t,) = primals, tangents
    out = convert_element_type_p.bind(x, new_dtype=new_dtype, weak_type=weak_type)
    if type(t) is Zero or not dtypes.is_inexact(new_dtype):
        return out, Zero(out.aval)
    return out, convert_element_type_p.bind(t, new_dtype=new_dtype, weak_type=False)


def _convert_transpose(ctx: Any, ct: Any, x: Any, *, new_dtype: Any, weak_type: bool) -> Any:
    return [convert_element_type(ct, x.aval.dtype)]


def _convert_batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    return convert_element_type_p.bind(args[0], **params), dims[0]


define(
    convert_element_type_p,
    abstract=_convert_abstract,
    impl=_convert_impl,
    jvp=_convert_jvp,
    transpose=_convert_transpose,
    batch=_convert_batch,
)

# --- bitcast_convert_type -------------------------------------------------------------------

bitcast_convert_type_p = Primitive("bitcast_convert_type")


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Array:
    """The bytes of `operand` read as another dtype.

    For a dtype `n` times narrower the result has a further last axis of extent `n`; for one `n`
    times wider the operand's last axis must have extent `n`, and disappears.

    Raises:
        DtypeError: one of the dtypes is bool or complex (unless they are equal).
        ShapeError: the last axis does not fit a wider dtype.

    Example:
        >>> ff.lax.bitcast_convert_type(fnp.array(1.0), "uint32")
        Array(1065353216, dtype=uint32)
    """
    return bitcast_convert_type_p.bind(operand, new_dtype=dtypes.as_dtype(new_dtype))


def _bitcast_abstract(x: ShapedArray, *, new_dtype: Any) -> ShapedArray:
    if x.dtype == new_dtype:
        return x.strip_weak_type()
    if dtypes.kind(x.dtype) in "bc" or new_dtype.kind in "bc":
        raise DtypeError(
            f"bitcast_convert_type: takes signed, unsigned, floating dtypes, got {x} and "
            f"new_dtype {new_dtype.name}",
            mend="use convert_element_type, or lax.real and lax.imag",
        )
    return ShapedArray(_bitcast_shape(x, new_dtype), new_dtype)


def _bitcast_shape(x: ShapedArray, new_dtype: Any) -> Shape:
    old, new = x.dtype.itemsize, new_dtype.itemsize
    if old == new:
        return x.shape
    if old > new:
        return (*x.shape, old // new)
    if not x.shape or x.shape[-1] != new // old:
        raise ShapeError(
            f"bitcast_convert_type: {new // old} elements of {x} make one of {new_dtype.name}, "
            f"so the last axis must have extent {new // old}",
            mend=f"reshape the operand to (..., {new // old})",
        )
    return x.shape[:-1]


def _bitcast_impl(xp: Any, x: Any, *, new_dtype: Any) -> Any:
    old, new = x.dtype.itemsize, new_dtype.itemsize
    if old == new:
        return x.view(new_dtype)
    if old > new:
        return xp.ascontiguousarray(x.reshape(*x.shape, 1)).view(new_dtype)
    if x.size == 0:  # an empty array has no bytes to view as wider elements
        return xp.empty(x.shape[:-1], new_dtype)
    return xp.ascontiguousarray(x).view(new_dtype)[..., 0]


def _bitcast_batch(ctx: Any, args: Any, dims: Any, *, new_dtype: Any) -> Any:
    return bitcast_convert_type_p.bind(moveaxis(args[0], dims[0], 0), new_dtype=new_dtype), 0


define(
    bitcast_convert_type_p,
    abstract=_bitcast_abstract,
    impl=_bitcast_impl,
    jvp=NONDIFFERENTIABLE,
    transpose=NONLINEAR,
    batch=_bitcast_batch,
)

# --- reduce_precision -----------------------------------------------------------------------

# Bits of exponent and mantissa of each floating dtype.
_LAYOUT = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52)}


def _reduce_precision_impl(xp: Any, x: Any, *, exponent_bits: int, mantissa_bits: int) -> Any:
    width = 8 * x.dtype.itemsize
    unsigned = np.dtype(f"uint{width}").type
    exponent, mantissa = _LAYOUT[x.dtype.name]
    bits = x.view(f"uint{width}")
    sign = bits & unsigned(1 << (width - 1))
    magnitude = bits ^ sign
    if mantissa_bits < mantissa:
        # round to nearest, ties to even: add half of the last kept place, less one if it is even
        drop = mantissa - mantissa_bits
        even = (magnitude >> drop) & unsigned(1)
        magnitude = magnitude + (unsigned((1 << (drop - 1)) - 1) + even)
        magnitude = magnitude & unsigned(~((1 << drop) - 1) % (1 << width))
    if exponent_bits < exponent:
        bias, new_bias = (1 << (exponent - 1)) - 1, (1 << (exponent_bits - 1)) - 1
        smallest, infinity = (1 - new_bias + bias), (1 << exponent) - 1
        # beyond the largest exponent lies infinity, below the smallest zero
        overflow = (new_bias + bias + 1) << mantissa
        magnitude = xp.where(magnitude >= overflow, unsigned(infinity << mantissa), magnitude)
        magnitude = xp.where(magnitude < (smallest << mantissa), unsigned(0), magnitude)
    return xp.where(xp.isnan(x), x, (magnitude | sign).view(x.dtype))


reduce_precision_p = unary(
    "reduce_precision",
    _reduce_precision_impl,
    takes=FLOATS,
    derivative=lambda t, out, x, **params: reduce_precision_p.bind(t, **params),
    transpose=lambda ctx, ct, x, **params: [reduce_precision_p.bind(ct, **params)],
)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Array:
    """`operand` rounded to what a narrower floating format can hold, in its own dtype.

    Values round to the nearest, ties to even; those too large become infinite, and those below
    the smallest normal number zero. Derivatives are rounded likewise.

    Args:
        operand: an array of a floating dtype.
        exponent_bits: bits of the format's exponent, at least 1.
        mantissa_bits: bits of the format's mantissa, the leading one not counted.

    Example:
        >>> ff.lax.reduce_precision(fnp.float32(3.14159), exponent_bits=5, mantissa_bits=3)
        Array(3.25, dtype=float32)
    """
    if exponent_bits < 1 or mantissa_bits < 0:
        raise ArgumentError(
            f"reduce_precision: a format of {exponent_bits} exponent_bits and {mantissa_bits} "
            "mantissa_bits",
            mend="use at least 1 exponent bit and 0 mantissa bits",
        )
    return reduce_precision_p.bind(
        operand, exponent_bits=int(exponent_bits), mantissa_bits=int(mantissa_bits)
    )


# --- stop_gradient, copy, optimization_barrier ------------------------------------------------


def _identity_transpose(ctx: Any, ct: Any, x: Any) -> Any:
    return [ct]


stop_gradient_p = unary("stop_gradient", lambda xp, x: x, takes=ANY)
copy_p = unary(
    "copy",
    lambda xp, x: x.copy(),
    takes=ANY,
    derivative=lambda t, out, x: copy_p.bind(t),
    transpose=_identity_transpose,
)


def stop_gradient(x: Any) -> Any:
    """The identity, on a pytree, whose derivative is zero.

    Example:
        >>> ff.grad(lambda x: x * ff.lax.stop_gradient(x))(3.0)
        Array(3., dtype=float32)
    """
    return tree_map(_stop_gradient, x)


def _stop_gradient(x: Any) -> Any:
    # integers have no derivative to stop
    return stop_gradient_p.bind(x) if dtypes.is_inexact(aval_of(x).dtype) else x


def copy(x: Any) -> Array:
    """An array of its own with the values of `x`."""
    return copy_p.bind(x)


optimization_barrier_p = Primitive("optimization_barrier", multiple_results=True)


def optimization_barrier(operand: Any) -> Any:
    """The identity on a pytree of arrays, across which no compiled backend moves operations."""
    leaves, treedef = tree_flatten(operand)
    return treedef.unflatten(optimization_barrier_p.bind(*leaves))


def _barrier_jvp(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    outs = optimization_barrier_p.bind(*primals)
    known = [t for t in tangents if type(t) is not Zero]
    moved = iter(optimization_barrier_p.bind(*known) if known else ())
    return outs, [t if type(t) is Zero else next(moved) for t in tangents]


def _barrier_transpose(ctx: Any, cts: Sequence[Any], *args: Any) -> Any:
    known = [ct for ct in cts if type(ct) is not Zero]
    moved = iter(optimization_barrier_p.bind(*known) if known else ())
    shared = [ct if type(ct) is Zero else next(moved) for ct in cts]
    return [ct if is_undefined(x) else None for x, ct in zip(args, shared, strict=True)]


def _barrier_batch(ctx: Any, args: Sequence[Any], dims: Sequence[int | None]) -> Any:
    return optimization_barrier_p.bind(*args), list(dims)


define(
    optimization_barrier_p,
    abstract=lambda *avals: list(avals),
    impl=lambda xp, *xs: list(xs),
    jvp=_barrier_jvp,
    transpose=_barrier_transpose,
    batch=_barrier_batch,
)
