"""Writing elements: `x.at[index].set(...)` and its kin, which return a changed copy."""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import SCALARS, Array, ConcreteArray, as_buffer
from funcflow.core.eager import quiet
from funcflow.core.errors import DtypeError, ShapeError
from funcflow.core.trace import EVAL, current_trace
from funcflow.numpy.arguments import broadcasts_to, cast, is_known
from funcflow.numpy.arithmetic import divide, power
from funcflow.numpy.index_parsing import AdvancedIndex, BasicIndex, ParsedIndex, parse_index
from funcflow.numpy.indexing import (
    backward_axes,
    default_mode,
    end_of,
    first_of,
    getitem,
    index_vectors,
    plain_index,
    read,
    take_slices,
    window_axes,
)
from funcflow.numpy.promotion import check_arraylike, lattice_type

_get_trace = current_trace.get


class IndexUpdateHelper:
    """`x.at`: index it to say which elements are meant."""

    __slots__ = ("array",)

    def __init__(self, array: Array) -> None:
        self.array = array

    def __getitem__(self, index: Any) -> "IndexUpdateRef":
        return IndexUpdateRef(self.array, index)

    def __repr__(self) -> str:
        return f"IndexUpdateHelper({self.array!r})"


class IndexUpdateRef:
    """`x.at[index]`: the methods return an array like `x` with the indexed elements changed.

    All of them take

    - `mode`: what happens to indices out of bounds: "drop" (or "fill") ignores them, "clip" takes
      the nearest element, "promise_in_bounds" promises that there are none. By default indices
      whose values are known are checked, and traced ones are dropped.
    - `unique_indices` and `indices_are_sorted`: promises that may make it faster.

    Values are converted to the array's dtype and broadcast to the shape of `x[index]`. Where
    several indices name one element, all values are added, multiplied, ...; `set` keeps the last.

    Example:
        >>> fnp.zeros(3).at[fnp.array([0, 2, 2])].add(1.0)
        Array([1., 0., 2.], dtype=float32)
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Array, index: Any) -> None:
        self.array = array
        self.index = index

    def __repr__(self) -> str:
        return f"IndexUpdateRef({self.array!r}, {self.index!r})"

    def get(self, *, fill_value: Any = None, mode: Any = None, **promises: bool) -> Array:
        """`x[index]`; `mode` "fill" gives `fill_value` (NaN by default) out of bounds."""
        if mode is None and fill_value is None:
            return getitem(self.array, self.index)
        if fill_value is not None and mode is None:
            mode = "fill"
        parsed = parse_index(self.array.shape, self.index, mode)
        return read(self.array, parsed, mode=mode, fill_value=fill_value, **promises)

    def set(self, values: Any, *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] = values`."""
        return _update("set", self.array, self.index, values, mode, promises)

    def add(self, values: Any, *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] += values`."""
        return _update("add", self.array, self.index, values, mode, promises)

    def subtract(self, values: Any, *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] -= values`."""
        return _update("subtract", self.array, self.index, values, mode, promises)

    sub = subtract

    def multiply(self, values: Any, *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] *= values`."""
        return _update("multiply", self.array, self.index, values, mode, promises)

    mul = multiply

    def min(self, values: Any, *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] = minimum(x[index], values)`."""
        return _update("min", self.array, self.index, values, mode, promises)

    def max(self, values: Any, *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] = maximum(x[index], values)`."""
        return _update("max", self.array, self.index, values, mode, promises)

    def divide(self, values: Any, *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] /= values`; integers become floats."""
        return divide(self.array, self._factors(values, mode, promises))

    def power(self, values: Any, *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] **= values`."""
        return power(self.array, self._factors(values, mode, promises))

    def _factors(self, values: Any, mode: Any, promises: dict[str, bool]) -> Array:
        """An array of ones with `values` multiplied in at the index."""
        ones = lax.full_like(self.array, 1)
        return _update("multiply", ones, self.index, values, mode, promises)

    def apply(self, func: Callable[[Any], Any], *, mode: Any = None, **promises: bool) -> Array:
        """`x[index] = func(x[index])`, elementwise; once for each time an element is named."""
        array = self.array
        parsed = parse_index(array.shape, self.index, mode)
        part = take_slices(array, parsed.basic)
        if parsed.advanced is None:
            changed = func(part)
        else:
            changed = lax.scatter_apply(
                part,
                index_vectors(parsed.advanced),
                func,
                _scatter_dims(parsed.advanced, part.ndim),
                update_shape=_update_shape(parsed),
                mode=default_mode(parsed.advanced, mode, "drop"),
                **promises,
            )
        return put_slices(array, parsed.basic, lax.convert_element_type(changed, array.dtype))


# How each update is written in NumPy, and in lax for slices and for integer arrays.
_UFUNC = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}
_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "set": lambda old, new: new,
    "add": lax.add,
    "subtract": lax.sub,
    "multiply": lax.mul,
    "min": lax.min,
    "max": lax.max,
}
_SCATTER: dict[str, Callable[..., Any]] = {
    "set": lax.scatter,
    "add": lax.scatter_add,
    "subtract": lax.scatter_sub,
    "multiply": lax.scatter_mul,
    "min": lax.scatter_min,
    "max": lax.scatter_max,
}


def _update(
    operation: str, x: Array, index: Any, values: Any, mode: Any, promises: dict[str, bool]
) -> Array:
    if isinstance(x, ConcreteArray) and _get_trace() is EVAL and mode is None:
        # a Python number that NumPy converts without loss may stay one
        simple = type(values) in SCALARS and np.can_cast(type(values), x.dtype, "same_kind")
        plain = values if simple else as_buffer(_converted(operation, values, x.dtype))
        try:
            return type(x)(quiet.run(_update_buffer, operation, x._value, index, plain))
        except (IndexError, TypeError, ValueError, OverflowError):
            pass  # the general way says better what is wrong
    values = _converted(operation, values, x.dtype)
    if _is_traced_mask(index, x.shape):
        return _update_mask(operation, x, index, values)
    return write(operation, x, parse_index(x.shape, index, mode), values, mode, promises)


def _converted(operation: str, values: Any, dtype: np.dtype[Any]) -> Any:
    """The values in the array's dtype; not where that would lose the fraction, say."""
    name = f"at[...].{operation}"
    check_arraylike(name, values)
    given, _ = lattice_type(values)
    if "biufc".index(dtypes.kind(given).replace("u", "i")) > "biufc".index(dtypes.kind(dtype)):
        raise DtypeError(
            f"{name}: values of dtype {given.name} do not fit into an array of dtype {dtype.name}",
            mend="convert the values, or the array, with .astype(...)",
        )
    return cast(name, values, dtype)


def _update_buffer(operation: str, buffer: Any, index: Any, values: Any) -> Any:
    """The update in NumPy, on a copy."""
    out = buffer.copy()
    index = plain_index(index)
    if operation == "set":
        out[index] = values
    else:
        _UFUNC[operation].at(out, index, values)
    return out


# --- masks ----------------------------------------------------------------------------------


def _is_traced_mask(index: Any, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(index, Array)
        and index.dtype == np.bool_
        and not is_known(index)
        and index.shape == shape[: index.ndim]
    )


def _update_mask(operation: str, x: Array, mask: Array, values: Array) -> Array:
    """An update of the elements where a traced mask holds.

    How many they are is unknown, so the values must not depend on it: they broadcast to the
    axes that the mask leaves.
    """
    rest = x.shape[mask.ndim :]
    if not broadcasts_to(values.shape, rest):
        raise ShapeError(
            f"at[mask].{operation}: with a traced mask, values of shape {values.shape} must "
            f"broadcast to {rest}",
            mend="use fnp.where(mask, values, x), with values of x's shape",
        )
    mask = lax.reshape(mask, (*mask.shape, *(1,) * len(rest)))
    return lax.select(mask, _COMBINE[operation](x, values), x)


# --- the general way ------------------------------------------------------------------------


def write(
    operation: str,
    x: Array,
    index: ParsedIndex,
    values: Array,
    mode: Any = None,
    promises: dict[str, bool] | None = None,
) -> Array:
    """Update the elements of `x` that a parsed index selects."""
    surplus = max(values.ndim - len(index.shape), 0)
    if values.shape[:surplus] == (1,) * surplus:  # NumPy drops leading axes of extent 1
        values = lax.reshape(values, values.shape[surplus:])
    if not broadcasts_to(values.shape, index.shape):
        raise ShapeError(
            f"at[...].{operation}: values of shape {values.shape} do not broadcast to the indexed "
            f"elements' shape {index.shape}",
            mend="pass values of that shape, or of one that broadcasts to it",
        )
    values = lax.broadcast_to(values, index.shape)
    if 0 in index.shape or not x.size:
        return x
    part = take_slices(x, index.basic) if _needs_old(operation, index) else None
    if index.advanced is None:
        values = lax.reshape(values, index.basic.shape)
        changed = _COMBINE[operation](part, values)
    else:
        advanced = index.advanced
        promises = dict(promises or {})
        promises.setdefault("unique_indices", _are_unique(advanced))
        changed = _SCATTER[operation](
            part,
            index_vectors(advanced),
            lax.reshape(values, _update_shape(index)),
            _scatter_dims(advanced, len(index.basic.shape)),
            mode=default_mode(advanced, mode, "drop"),
            **promises,
        )
    return put_slices(x, index.basic, changed)


def _needs_old(operation: str, index: ParsedIndex) -> bool:
    return operation != "set" or index.advanced is not None


def _update_shape(index: ParsedIndex) -> tuple[int, ...]:
    """The shape of the result without its new axes."""
    advanced = index.advanced
    assert advanced is not None
    kept = [e for i, e in enumerate(index.basic.shape) if i not in advanced.axes]
    return (*kept[: advanced.place], *advanced.shape, *kept[advanced.place :])


def _scatter_dims(advanced: AdvancedIndex, operand_ndim: int) -> Any:
    windows = window_axes(advanced, operand_ndim)
    return lax.ScatterDimensionNumbers(windows, advanced.axes, advanced.axes)


def _are_unique(advanced: AdvancedIndex) -> bool:
    """Whether no element is named twice, as far as that is known."""
    if np.prod(advanced.shape, dtype=int) <= 1:
        return True
    if not all(map(is_known, advanced.arrays)):
        return False
    vectors = index_vectors(advanced)._value.reshape(-1, len(advanced.axes))
    return len(np.unique(vectors, axis=0)) == len(vectors)


def put_slices(x: Array, basic: BasicIndex, part: Array) -> Array:
    """`x` with what the basic part of an index selects replaced by `part`."""
    if basic.is_whole:
        return lax.reshape(part, x.shape)
    if 0 in basic.shape:
        return x
    part = lax.reshape(part, tuple(s.length for s in basic.slices))
    part = lax.rev(part, backward_axes(basic))
    whole = lax.reshape(x, basic.operand_shape)
    starts = [first_of(s) for s in basic.slices]
    if all(abs(s.step) == 1 or s.length == 1 for s in basic.slices):
        whole = lax.dynamic_update_slice(whole, part, starts)
    else:
        gaps = [
            (first_of(s), extent - end_of(s), abs(s.step) - 1 if s.length > 1 else 0)
            for s, extent in zip(basic.slices, basic.operand_shape, strict=True)
        ]
        mask = lax.pad(lax.full(part.shape, True), False, gaps)
        whole = lax.select(mask, lax.pad(part, np.zeros((), part.dtype), gaps), whole)
    return lax.reshape(whole, x.shape)
