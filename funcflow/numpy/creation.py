"""Making arrays: from Python objects, from shapes and from ranges."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import SCALARS, Array, as_buffer, aval_of, is_array_like, wrap
from funcflow.core.errors import ArgumentError, LeafTypeError, ShapeError
from funcflow.core.trace import Tracer
from funcflow.numpy.arguments import is_known, known, static_int, static_shape
from funcflow.numpy.promotion import as_array

# --- from Python objects --------------------------------------------------------------------


def array(
    object: Any, dtype: Any = None, copy: bool = True, order: str | None = "K", ndmin: int = 0
) -> Array:
    """An array with the values of `object`.

    Args:
        object: a number, an array of any library that speaks `__array__`, or nested lists,
            tuples and ranges of those; traced values may be among them.
        dtype: the result's dtype. By default NumPy's dtypes are kept, Python numbers get the
            default of their kind, and mixtures are promoted.
        copy: accepted for NumPy's sake; memory that others may write to is always copied.
        order: "K", "C" or "A", which mean the same here.
        ndmin: the least number of dimensions; further ones are put in front.

    Raises:
        ShapeError: the nested sequences are ragged.
        LeafTypeError: an element is neither an array nor a number.

    Example:
        >>> fnp.array([[1, 2], [3, 4]])
        Array([[1, 2],
               [3, 4]], dtype=int32)
        >>> fnp.array(np.ones(2))
        Array([1., 1.], dtype=float64)
    """
    del copy
    if order not in ("K", "C", "A", None):
        raise ArgumentError(
            f"array: order={order!r} is not available; the memory layout is not visible",
            mend="leave out order=, and transpose the array where the order of axes matters",
        )
    out = _convert(object, None if dtype is None else dtypes.as_dtype(dtype))
    missing = ndmin - out.ndim
    return lax.reshape(out, (1,) * missing + out.shape) if missing > 0 else out


def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: bool | None = None
) -> Array:
    """`a` as an array; an `Array` of the right dtype is returned as it is. See `array`."""
    if isinstance(a, Array) and dtype is None:
        return a
    return array(a, dtype, bool(copy), order)


def copy(a: Any, order: str | None = None) -> Array:
    """A copy of `a`; since arrays are immutable, an `Array` is its own copy."""
    return array(a, order=order)


def astype(x: Any, dtype: Any, /, *, copy: bool = False) -> Array:
    """`x` converted to another dtype. Complex values lose their imaginary part."""
    del copy
    target = dtypes.default_float() if dtype is None else dtypes.as_dtype(dtype)
    return lax.convert_element_type(as_array("astype", x), target)


def _convert(x: Any, dtype: np.dtype[Any] | None) -> Array:
    if type(x) in SCALARS:
        if dtype is None:
            return wrap(_filled(x, dtypes.scalar_dtype(type(x))), type(x) is not bool)
        return wrap(_filled(x, dtype))
    if isinstance(x, list | tuple | range):
        return _from_sequence(x, dtype)
    if isinstance(x, np.ndarray | np.generic):
        x = wrap(np.array(x, dtypes.as_dtype(x.dtype)))
    elif hasattr(x, "__jax_array__"):
        x = _convert(x.__jax_array__(), None)
    elif not isinstance(x, Array):
        x = _convert(_foreign(x), None)
    return x if dtype is None else lax.convert_element_type(x, dtype)


def _foreign(x: Any) -> Any:
    """An array of another library, or anything else with a buffer, as a NumPy array."""
    if not hasattr(x, "__array__"):
        try:
            x = memoryview(x)
        except TypeError:
            raise LeafTypeError(
                f"array: {x!r} of type {type(x).__name__} is neither an array nor a number",
                mend="pass numbers, arrays, or nested lists of them",
            ) from None
    return np.asarray(x)


def _filled(values: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Python numbers as a NumPy array."""
    try:
        return np.array(values, dtype)
    except (OverflowError, TypeError) as error:
        raise ArgumentError(
            f"array: the values do not fit into {dtype.name}: {error}",
            mend="ask for a wider dtype, e.g. dtype='int64'",
        ) from None


def _from_sequence(sequence: Sequence[Any], dtype: np.dtype[Any] | None) -> Array:
    shape, leaves = _unnest(sequence)
    types = set(map(type, leaves))
    if types.issubset(SCALARS):
        if dtype is None:
            dtype = _common_dtype([(dtypes.scalar_dtype(t), t is not bool) for t in types])
        return wrap(_filled(leaves, dtype).reshape(shape))
    for position, leaf in enumerate(leaves):
        if not is_array_like(leaf):
            _refuse_element(shape, position, leaf)
    avals = [aval_of(leaf) for leaf in leaves]
    if any(aval.shape != avals[0].shape for aval in avals):
        raise ShapeError(
            f"array: the elements have different shapes, {_few(aval.shape for aval in avals)}",
            mend="pass elements of one shape, or pad them",
        )
    if dtype is None:
        dtype = _common_dtype([(aval.dtype, aval.weak_type) for aval in avals])
    shape = (*shape, *avals[0].shape)
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        rows = [lax.convert_element_type(as_array("array", leaf), dtype) for leaf in leaves]
        rows = [lax.reshape(row, (1, *row.shape)) for row in rows]
        return lax.reshape(lax.concatenate(rows, 0), shape)
    with np.errstate(all="ignore"):
        rows = [as_buffer(leaf).astype(dtype) for leaf in leaves]
    return wrap(np.stack(rows).reshape(shape))


def _common_dtype(types: list[tuple[np.dtype[Any], bool]]) -> np.dtype[Any]:
    if not types:
        return dtypes.default_float()
    return dtypes.promote(*dict.fromkeys(types))[0]


def _unnest(sequence: Sequence[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """The shape that the nested sequences span, and their elements in order."""
    level: list[Any] = [sequence]
    shape: tuple[int, ...] = ()
    while any(isinstance(item, list | tuple | range) for item in level):
        if not all(isinstance(item, list | tuple | range) for item in level):
            # lists beside arrays: make them all arrays
            level = [x if type(x) in SCALARS else _convert(x, None) for x in level]
            break
        lengths = {len(item) for item in level}
        if len(lengths) > 1:
            raise ShapeError(
                f"array: the sequences at depth {len(shape)} have different lengths, "
                f"{_few(sorted(lengths))}",
                mend="pass sequences of one length, or pad them",
            )
        shape = (*shape, lengths.pop())
        level = list(chain.from_iterable(level))
    return shape, level


def _refuse_element(shape: tuple[int, ...], position: int, leaf: Any) -> NoReturn:
    where = "".join(f"[{i}]" for i in np.unravel_index(position, shape))
    raise LeafTypeError(
        f"array: the element {where} is {leaf!r} of type {type(leaf).__name__}, "
        "which is neither an array nor a number",
        mend="pass numbers, arrays, or nested lists of them",
    )


def _few(items: Any) -> str:
    distinct = list(dict.fromkeys(items))
    return ", ".join(map(str, distinct[:4])) + (", ..." if len(distinct) > 4 else "")


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Array:
    """The bytes of `buffer`, read as values of `dtype`."""
    return wrap(np.frombuffer(buffer, dtypes.as_dtype(dtype), count, offset).copy())


def fromiter(iterable: Any, dtype: Any, count: int = -1) -> Array:
    """The numbers that an iterable yields."""
    return wrap(np.fromiter(iterable, dtypes.as_dtype(dtype), count))


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Array:
    """The numbers written in a text, separated by `sep`."""
    return wrap(np.fromstring(string, dtypes.as_dtype(dtype), count, sep=sep))


def from_dlpack(x: Any, /, *, copy: bool | None = None) -> Array:
    """An array of another library, through the DLPack protocol. The values are copied."""
    del copy
    return wrap(np.from_dlpack(x).copy())


# --- from shapes ----------------------------------------------------------------------------


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Array:
    """An array of the given shape with one value (or one row of values that broadcasts).

    The dtype is that of `fill_value` unless given.
    """
    shape = static_shape("full", shape)
    target = None if dtype is None else dtypes.as_dtype(dtype)
    if np.ndim(fill_value) == 0:
        return lax.full(shape, fill_value, target)
    return lax.broadcast_to(asarray(fill_value, target), shape)


def zeros(shape: Any, dtype: Any = None) -> Array:
    """An array of zeros, of the default float dtype unless another is given.

    Example:
        >>> fnp.zeros((2, 3)).dtype
        dtype('float32')
    """
    return lax.full(static_shape("zeros", shape), 0, _float_unless(dtype))


def ones(shape: Any, dtype: Any = None) -> Array:
    """An array of ones, of the default float dtype unless another is given."""
    return lax.full(static_shape("ones", shape), 1, _float_unless(dtype))


def empty(shape: Any, dtype: Any = None) -> Array:
    """An array whose values do not matter; they are zero."""
    return zeros(shape, dtype)


def _float_unless(dtype: Any) -> np.dtype[Any]:
    return dtypes.default_float() if dtype is None else dtypes.as_dtype(dtype)


def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Array:
    """`full` with the shape and dtype of `a` unless given."""
    aval = aval_of(a)
    return full(aval.shape if shape is None else shape, fill_value, dtype or aval.dtype)


def zeros_like(a: Any, dtype: Any = None, shape: Any = None) -> Array:
    """Zeros with the shape and dtype of `a` unless given."""
    return full_like(a, 0, dtype, shape)


def ones_like(a: Any, dtype: Any = None, shape: Any = None) -> Array:
    """Ones with the shape and dtype of `a` unless given."""
    return full_like(a, 1, dtype, shape)


def empty_like(prototype: Any, dtype: Any = None, shape: Any = None) -> Array:
    """An array like `prototype` whose values do not matter; they are zero."""
    return full_like(prototype, 0, dtype, shape)


def eye(N: int, M: int | None = None, k: Any = 0, dtype: Any = None) -> Array:
    """The N x M matrix with ones on the k-th diagonal and zeros elsewhere."""
    rows, columns = _grid("eye", N, M)
    return lax.convert_element_type(lax.eq(rows + k, columns), _float_unless(dtype))


def identity(n: int, dtype: Any = None) -> Array:
    """The n x n identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: Any = 0, dtype: Any = None) -> Array:
    """The N x M matrix with ones at and below the k-th diagonal, zeros above it."""
    rows, columns = _grid("tri", N, M)
    return lax.convert_element_type(lax.ge(rows + k, columns), _float_unless(dtype))


def _grid(function: str, N: Any, M: Any) -> tuple[Any, Any]:
    """Row and column numbers of an N x M matrix."""
    shape = static_shape(function, (N, N if M is None else M))
    index = dtypes.default_int()
    return lax.broadcasted_iota(index, shape, 0), lax.broadcasted_iota(index, shape, 1)


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
        target = _common_dtype([(aval.dtype, aval.weak_type) for aval in avals])
    else:
        target = dtypes.as_dtype(dtype)
    if any(aval.shape for aval in avals):
        raise ShapeError(
            f"arange: takes numbers, got arrays {_few(avals)}", mend="pass arrays of no dimension"
        )
    values = [as_buffer(known(x)).item() for x in given]
    first, last = (0, values[0]) if stop is None else values[:2]
    stride = 1 if step is None else values[-1]
    if stride == 0:
        raise ArgumentError("arange: step is 0", mend="pass a step other than 0")
    if not all(type(x) is int for x in (first, last, stride)) or dtypes.kind(target) not in "iu":
        return wrap(np.arange(first, last, stride).astype(target))
    counted = lax.iota(target, len(range(first, last, stride)))
    if stride != 1:
        counted = lax.mul(counted, np.asarray(stride).astype(target))
    return lax.add(counted, np.asarray(first).astype(target)) if first else counted


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
        out = lax.moveaxis(out, 0, axis)
    else:  # NumPy's own numbers, computed in double precision
        ends = [as_buffer(x) for x in bounds]
        out = wrap(np.linspace(*ends, num, endpoint=endpoint, axis=axis))
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
    dtype = _common_dtype([(x.dtype, x.weak_type) for x in arrays])
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
    *bounds, bottom, floating = _inexact_pair("logspace", start, stop, base)
    exponents = linspace(*bounds, num, endpoint, dtype=floating, axis=axis)
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
            f"meshgrid: takes vectors, got shapes {_few(x.shape for x in vectors)}",
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
