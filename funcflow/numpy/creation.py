"""Making arrays: from Python objects, from shapes and from ranges."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import (
    SCALARS,
    Array,
    ConcreteArray,
    as_buffer,
    aval_of,
    is_array_like,
    wrap,
)
from funcflow.core.errors import ArgumentError, LeafTypeError, ShapeError
from funcflow.core.memory import aligned_copy
from funcflow.core.trace import EVAL, Tracer, current_trace
from funcflow.numpy.arguments import at_once, cast, static_shape
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
    """A copy of `a`, in memory of its own.

    Arrays are immutable, so that matters only where one is donated (`donate_argnums`): a copy
    stays. Traced values are returned as they are.

    Example:
        >>> x = fnp.ones(3)
        >>> y = ff.jit(lambda x: 2 * x, donate_argnums=0)(fnp.copy(x))
        >>> x
        Array([1., 1., 1.], dtype=float32)
    """
    x = array(a, order=order)
    return wrap(as_buffer(x).copy(), x.weak_type) if isinstance(x, ConcreteArray) else x


# From and to which kinds NumPy converts as we do: it saturates no floats and warns of complex ones.
_AS_NUMPY_CONVERTS = (("biu", "biufc"), ("f", "fc"), ("c", "c"))


def astype(x: Any, dtype: Any, /, *, copy: bool = False) -> Array:
    """`x` converted to another dtype. Complex values lose their imaginary part."""
    del copy
    target = dtypes.default_float() if dtype is None else dtypes.as_dtype(dtype)
    for kinds, targets in _AS_NUMPY_CONVERTS:
        if target.kind in targets:
            converted = at_once(np.ndarray.astype, x, target, kinds=kinds)
            if converted is not None:
                return converted
    return lax.convert_element_type(as_array("astype", x), target)


def _convert(x: Any, dtype: np.dtype[Any] | None) -> Array:
    if type(x) in SCALARS:
        if dtype is None:
            return wrap(_filled(x, dtypes.scalar_dtype(type(x))), type(x) is not bool)
        return wrap(_filled(x, dtype))
    if isinstance(x, list | tuple | range):
        return _from_sequence(x, dtype)
    if isinstance(x, np.ndarray | np.generic):
        native = dtypes.as_dtype(x.dtype.newbyteorder("="))
        x = wrap(aligned_copy(np.asarray(x, native)))
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
            dtype = common_dtype([(dtypes.scalar_dtype(t), t is not bool) for t in types])
        return wrap(_filled(leaves, dtype).reshape(shape))
    for position, leaf in enumerate(leaves):
        if not is_array_like(leaf):
            _refuse_element(shape, position, leaf)
    avals = [aval_of(leaf) for leaf in leaves]
    if any(aval.shape != avals[0].shape for aval in avals):
        raise ShapeError(
            f"array: the elements have different shapes, {few(aval.shape for aval in avals)}",
            mend="pass elements of one shape, or pad them",
        )
    if dtype is None:
        dtype = common_dtype([(aval.dtype, aval.weak_type) for aval in avals])
    shape = (*shape, *avals[0].shape)
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        rows = [cast("array", leaf, dtype) for leaf in leaves]
        rows = [lax.reshape(row, (1, *row.shape)) for row in rows]
        return lax.reshape(lax.concatenate(rows, 0), shape)
    with np.errstate(all="ignore"):
        rows = [as_buffer(leaf).astype(dtype) for leaf in leaves]
    return wrap(np.stack(rows).reshape(shape))


def common_dtype(types: list[tuple[np.dtype[Any], bool]]) -> np.dtype[Any]:
    """The dtype of a sequence's elements from their (dtype, weak) pairs."""
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
                f"{few(sorted(lengths))}",
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


def few(items: Any) -> str:
    """The first few distinct items, for messages."""
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
        return _constant(shape, fill_value, target)
    return lax.broadcast_to(asarray(fill_value, target), shape)


def _constant(shape: tuple[int, ...], value: Any, dtype: np.dtype[Any] | None) -> Array:
    """`lax.full`, but an eager array gets memory of its own.

    `lax.full` repeats its value by strides of 0, which BLAS does not take.
    """
    if dtype is None or type(value) not in SCALARS or current_trace.get() is not EVAL:
        return lax.full(shape, value, dtype)
    if not value:
        return wrap(np.zeros(shape, dtype))
    with np.errstate(all="ignore"):
        filled = np.asarray(value).astype(dtype)
    return wrap(np.full(shape, filled))


def zeros(shape: Any, dtype: Any = None) -> Array:
    """An array of zeros, of the default float dtype unless another is given.

    Example:
        >>> fnp.zeros((2, 3)).dtype
        dtype('float32')
    """
    return _constant(static_shape("zeros", shape), 0, _float_unless(dtype))


def ones(shape: Any, dtype: Any = None) -> Array:
    """An array of ones, of the default float dtype unless another is given."""
    return _constant(static_shape("ones", shape), 1, _float_unless(dtype))


def empty(shape: Any, dtype: Any = None) -> Array:
    """An array whose values do not matter; they are zero."""
    return zeros(shape, dtype)


def _float_unless(dtype: Any) -> np.dtype[Any]:
    return dtypes.default_float() if dtype is None else dtypes.as_dtype(dtype)


def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Array:
    """`full` with the shape and dtype of `a` unless given."""
    aval = aval_of(a)
    out = full(aval.shape if shape is None else shape, fill_value, dtype or aval.dtype)
    weak = dtype is None and aval.weak_type
    return lax.convert_element_type(out, out.dtype, weak_type=True) if weak else out


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
