"""Ranges of numbers, and grids made of them."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, ConcreteArray, aval_of, wrap
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.core.trace import EVAL, Tracer, current_trace
from funcflow.lax.shape import moveaxis
from funcflow.numpy.arguments import is_known, known, static_int, static_shape
from funcflow.numpy.creation import common_dtype, few, zeros
from funcflow.numpy.promotion import as_array

# --- ranges ---------------------------------------------------------------------------------


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Array:
    """The numbers from `start` (0 if only one is given) up to, not including, `stop`.

    Raises:
        ConcretizationTypeError: an argument is traced; the result's length depends on it.

    Example:
        >>> fnp.arange(2, 8, 2)
        Array([2, 4, 6], dtype=int32)
    """
    given = [x for x in (start, stop, step) if x is not None]
    for x in given:
        if not is_known(x):
            static_int("arange", "each argument", x)
    avals = [aval_of(known(x)) for x in given]
    if dtype is None:
        target = common_dtype([(aval.dtype, aval.weak_type) for aval in avals])
    else:
        target = dtypes.as_dtype(dtype)
    if any(aval.shape for aval in avals):
        raise ShapeError(
            f"arange: takes numbers, got arrays {few(avals)}", mend="pass arrays of no dimension"
        )
    values = [_exact(known(x)).item() for x in given]
    first, last = (0, values[0]) if stop is None else values[:2]
    stride = 1 if step is None else values[-1]
    if stride == 0:
        raise ArgumentError("arange: step is 0", mend="pass a step other than 0")
    if not all(type(x) is int for x in (first, last, stride)) or dtypes.kind(target) not in "iu":
        return wrap(np.arange(first, last, stride).astype(target))
    if current_trace.get() is EVAL:
        return wrap(np.arange(first, last, stride).astype(target))
    counted = lax.iota(target, len(range(first, last, stride)))
    if stride != 1:
        counted = lax.mul(counted, np.asarray(stride).astype(target))
    return lax.add(counted, np.asarray(first).astype(target)) if first else counted


def _exact(x: Any) -> np.ndarray[Any, Any]:
    """A known value; Python floats in double precision."""
    return x._value if isinstance(x, ConcreteArray) else np.asarray(x)


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`.

    Args:
        start: first value; an array gives a range for each element.
        stop: last value; with `endpoint=False` the one that would follow the last.
        num: how many, known while tracing.
        endpoint: whether `stop` is among them.
        retstep: also return the spacing.
        dtype: the result's dtype; integers are rounded down. A floating dtype by default.
        axis: where the new axis goes.

    Returns:
        The array of shape `broadcast(start, stop)` with an axis of extent `num` inserted, or
        the pair of it and the spacing.
    """
    num = _count("linspace", num)
    intervals = num - 1 if endpoint else num
    bounds = [as_array("linspace", x) for x in (start, stop)]
    first, last, floating = _inexact_pair("linspace", *bounds)
    target = floating if dtype is None else dtypes.as_dtype(dtype)
    step = lax.div(lax.sub(last, first), np.asarray(intervals or np.nan, floating))
    if any(isinstance(x, Tracer) for x in bounds):
        out = _interpolated(first, last, num, intervals, target)
        out = moveaxis(out, 0, axis)
    else:  # NumPy's own numbers, computed in double precision
        numbers = np.linspace(_exact(start), _exact(stop), num, endpoint=endpoint, axis=axis)
        out = wrap(numbers)
    out = _rounded(out, target)
    return (out, step) if retstep else out


def _interpolated(
    first: Array, last: Array, num: int, intervals: int, target: np.dtype[Any]
) -> Array:
    """The ends weighted with complementary fractions, so that both are met exactly."""
    dtype = first.dtype
    if not dtypes.is_inexact(target):  # about to be rounded down: no room for rounding errors
        dtype = np.dtype("float64")
        first, last = (lax.convert_element_type(x, dtype) for x in (first, last))
    fraction = lax.div(lax.iota(dtype, num), np.asarray(max(intervals, 1), dtype))
    fraction = lax.reshape(fraction, (num, *[1] * first.ndim))
    return lax.add(lax.mul(first, lax.sub(1.0, fraction)), lax.mul(last, fraction))


def _rounded(x: Array, dtype: np.dtype[Any]) -> Array:
    if not dtypes.is_inexact(dtype) and dtypes.is_float(x.dtype):
        x = lax.floor(x)
    return lax.convert_element_type(x, dtype)


def _count(function: str, num: Any) -> int:
    num = static_int(function, "num", num)
    if num < 0:
        raise ArgumentError(f"{function}: num is {num}", mend="pass a number of at least 0")
    return num


def _inexact_pair(function: str, *args: Any) -> Any:
    """The arguments broadcast together in a common floating or complex dtype, and that dtype."""
    arrays = [as_array(function, x) for x in args]
    dtype = common_dtype([(x.dtype, x.weak_type) for x in arrays])
    if not dtypes.is_inexact(dtype):
        dtype = dtypes.default_float()
    shape = lax.broadcast_shapes(*[x.shape for x in arrays])
    cast = [lax.convert_element_type(lax.broadcast_to(x, shape), dtype) for x in arrays]
    return *cast, dtype


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """`num` numbers from `base**start` to `base**stop`, evenly spaced in their logarithm."""
    first, last, bottom, floating = _inexact_pair("logspace", start, stop, base)
    exponents = linspace(first, last, num, endpoint, dtype=floating, axis=axis)
    if bottom.ndim:
        bottom = lax.expand_dims(bottom, (axis % exponents.ndim,))
    out = lax.pow(lax.broadcast_to(bottom, exponents.shape), exponents)
    return _rounded(out, floating if dtype is None else dtypes.as_dtype(dtype))


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """`num` numbers from `start` to `stop` whose ratios are equal; neither may be 0.

    Both real bounds have the same sign; complex ones give a spiral.
    """
    num = _count("geomspace", num)
    first, last, floating = _inexact_pair("geomspace", start, stop)
    if dtypes.is_complex(floating):
        scale = first
        ratio = lax.div(last, first)
    else:
        scale, ratio = lax.sign(first), lax.abs(last)
        scale = lax.mul(scale, lax.abs(first))
        ratio = lax.div(ratio, lax.abs(first))
    exponents = linspace(lax.full_like(ratio, 0), lax.log(ratio), num, endpoint, axis=axis)
    place = (axis % exponents.ndim,)
    out = lax.mul(lax.expand_dims(scale, place), lax.exp(exponents))
    out = _set_ends(out, first, last, axis % exponents.ndim, endpoint)
    return _rounded(out, floating if dtype is None else dtypes.as_dtype(dtype))


def _set_ends(x: Array, first: Array, last: Array, axis: int, endpoint: bool) -> Array:
    """Make the first and last values exactly the bounds."""
    num = x.shape[axis]
    position = lax.broadcasted_iota(dtypes.default_int(), x.shape, axis)
    for place, value, wanted in ((0, first, num > 0), (num - 1, last, endpoint and num > 1)):
        if wanted:
            value = lax.broadcast_to(lax.expand_dims(value, (axis,)), x.shape)
            x = lax.select(lax.eq(position, place), value, x)
    return x


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Array:
    """The Vandermonde matrix: column `j` holds the powers `x**(N - 1 - j)`, or `x**j`."""
    x = as_array("vander", x)
    if x.ndim != 1:
        raise ShapeError(f"vander: takes a vector, got shape {x.shape}", mend="ravel the array")
    columns = len(x) if N is None else _count("vander", N)
    powers = range(columns) if increasing else range(columns - 1, -1, -1)
    if not columns:
        return zeros((len(x), 0), x.dtype)
    return lax.concatenate([lax.expand_dims(lax.integer_pow(x, p), (1,)) for p in powers], 1)


# --- grids ----------------------------------------------------------------------------------


def indices(
    dimensions: Sequence[int], dtype: Any = None, sparse: bool = False
) -> Array | tuple[Array, ...]:
    """For each axis of an array of shape `dimensions`, each element's index along it.

    Returns one array of shape `(len(dimensions), *dimensions)`; with `sparse` a tuple of arrays
    that broadcast to `dimensions`.
    """
    shape = static_shape("indices", dimensions)
    target = dtypes.default_int() if dtype is None else dtypes.as_dtype(dtype)
    if sparse:
        ranges = [lax.iota(target, extent) for extent in shape]
        return tuple(_along(i, r, len(shape)) for i, r in enumerate(ranges))
    if not shape:
        return zeros((0,), target)
    grids = [lax.broadcasted_iota(target, (1, *shape), i + 1) for i in range(len(shape))]
    return lax.concatenate(grids, 0)


def _along(axis: int, x: Array, ndim: int) -> Array:
    return lax.reshape(x, tuple(x.shape[0] if i == axis else 1 for i in range(ndim)))


def fromfunction(
    function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any
) -> Array:
    """The array whose element at `(i, j, ...)` is `function(i, j, ...)`.

    The function is called once, with arrays of indices.
    """
    shape = static_shape("fromfunction", shape)
    grids = indices(shape, dtype)
    return function(*[grids[i] for i in range(len(shape))], **kwargs)


def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> list[Array]:
    """Coordinate arrays from vectors of coordinates.

    Args:
        xi: vectors.
        copy: accepted for NumPy's sake.
        sparse: leave the axes of extent 1 instead of broadcasting them.
        indexing: "ij": axis `i` belongs to the i-th vector; "xy": the first two are swapped.
    """
    del copy
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing={indexing!r}", mend="use 'xy' or 'ij'")
    vectors = [as_array("meshgrid", x) for x in xi]
    if any(x.ndim > 1 for x in vectors):
        raise ShapeError(
            f"meshgrid: takes vectors, got shapes {few(x.shape for x in vectors)}",
            mend="ravel the arrays",
        )
    axes = list(range(len(vectors)))
    if indexing == "xy" and len(axes) > 1:
        axes[:2] = [1, 0]
    vectors = [lax.reshape(x, (x.size,)) for x in vectors]
    grids = [_along(axis, x, len(vectors)) for axis, x in zip(axes, vectors, strict=True)]
    if sparse:
        return grids
    shape = lax.broadcast_shapes(*[grid.shape for grid in grids]) if grids else ()
    return [lax.broadcast_to(grid, shape) for grid in grids]


class _Grid:
    """`mgrid` and `ogrid`: coordinate arrays written as slices."""

    def __init__(self, name: str, make: Any) -> None:
        self._name = name
        self._make = make

    def __getitem__(self, key: Any) -> Any:
        try:
            grids = self._make[key]
        except TypeError:
            parts = [(s.start, s.stop, s.step) for s in (key if isinstance(key, tuple) else (key,))]
            for x in chain.from_iterable(parts):
                if not is_known(x):
                    static_int(self._name, "each bound", x)
            raise
        if isinstance(grids, np.ndarray):
            return _default_dtype(grids)
        return tuple(_default_dtype(grid) for grid in grids)

    def __repr__(self) -> str:
        return f"funcflow.numpy.{self._name}"


def _default_dtype(x: np.ndarray[Any, Any]) -> Array:
    return wrap(x.astype(dtypes.scalar_dtype({"i": int, "f": float, "c": complex}[x.dtype.kind])))


mgrid = _Grid("mgrid", np.mgrid)
ogrid = _Grid("ogrid", np.ogrid)
