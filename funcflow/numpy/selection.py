"""Choosing elements: by index along an axis, by condition, and where something is not zero."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.eager import is_eager
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.lax.linear import canonical_axis
from funcflow.numpy.arguments import at_once, buffer_of, cast, index_dtype, is_known, refuse_inplace
from funcflow.numpy.creation import asarray
from funcflow.numpy.index_modes import integers, with_mode
from funcflow.numpy.index_parsing import from_front, out_of_bounds, parse_index
from funcflow.numpy.indexing import default_mode, read
from funcflow.numpy.logic import choose_where
from funcflow.numpy.manipulation import ravel
from funcflow.numpy.nonzero import nonzero
from funcflow.numpy.promotion import as_array, promote, refuse_out
from funcflow.numpy.updating import IndexUpdateRef

# --- along an axis --------------------------------------------------------------------------


def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Array:
    """The elements at the given indices of an axis.

    Args:
        a: an array.
        indices: integers; negative ones count from the end.
        axis: the axis; None takes from the raveled array.
        out: not supported.
        mode: what happens to indices out of bounds: "fill" gives `fill_value`, "clip" takes the
            nearest element (the first for negative indices), "wrap" counts on from the beginning.
            By default known indices are checked and traced ones filled.
        unique_indices: promises that no index is named twice.
        indices_are_sorted: promises that the indices increase.
        fill_value: for mode "fill"; by default NaN, or the smallest (unsigned: largest) integer.

    Returns:
        An array whose axes are those of `a` with `axis` replaced by the axes of `indices`.

    Raises:
        OutOfBoundsError: a known index is out of bounds and no mode is given.
    """
    refuse_out("take", out)
    if mode is None and is_eager(indices):
        taken = at_once(np.take, a, indices._value, axis)
        if taken is not None:
            return taken
    a, indices = as_array("take", a), integers("take", indices)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim, "take")
    indices, mode = with_mode("take", indices, a.shape[axis], mode)
    parsed = parse_index(a.shape, (*[slice(None)] * axis, indices), mode)
    if parsed.advanced is None:
        return read(a, parsed)
    return read(
        a,
        parsed,
        mode=default_mode(parsed.advanced, mode, "fill"),
        fill_value=fill_value,
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
    )


def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: str | None = None,
    fill_value: Any = None,
) -> Array:
    """Along an axis, the elements whose indices are given for each place.

    Args:
        arr: an array.
        indices: integers, of `arr`'s rank; the other axes broadcast. What `argsort` returns fits.
        axis: the axis; None takes from the raveled array.
        mode: as in `take`.
        fill_value: as in `take`.

    Example:
        >>> x = fnp.array([[3, 1], [2, 4]])
        >>> fnp.take_along_axis(x, fnp.argsort(x, axis=1), axis=1)
        Array([[1, 3],
               [2, 4]], dtype=int32)
    """
    arr, indices = as_array("take_along_axis", arr), integers("take_along_axis", indices)
    if axis is None:
        arr, axis = ravel(arr), 0
    if arr.ndim != indices.ndim:
        raise ShapeError(
            f"take_along_axis: the indices have {indices.ndim} axes, the array {arr.ndim}",
            mend="add axes of extent 1 to the indices",
        )
    axis = canonical_axis(axis, arr.ndim, "take_along_axis")
    extent, count = arr.shape[axis], indices.shape[axis]
    indices, mode = with_mode("take_along_axis", indices, extent, mode)
    places = from_front(indices, extent, axis, mode, "take_along_axis")
    if mode is None:
        mode = "promise_in_bounds" if is_known(indices) else "fill"
    others = tuple(i for i in range(arr.ndim) if i != axis)
    common = lax.broadcast_shapes(_replaced(arr.shape, axis, 1), _replaced(indices.shape, axis, 1))
    arr = lax.broadcast_to(arr, _replaced(common, axis, extent))
    vectors = asarray(lax.broadcast_to(places, _replaced(common, axis, count)))
    return lax.gather(
        arr,
        lax.expand_dims(vectors, (arr.ndim,)),
        lax.GatherDimensionNumbers((), (axis,), (axis,), others, others),
        (1,) * arr.ndim,
        mode=mode,
        fill_value=fill_value,
    )


def _replaced(shape: tuple[int, ...], axis: int, extent: int) -> tuple[int, ...]:
    return (*shape[:axis], extent, *shape[axis + 1 :])


def put_along_axis(
    arr: Any,
    indices: Any,
    values: Any,
    axis: int | None,
    inplace: bool = True,
    *,
    mode: str | None = None,
) -> Array:
    """`arr` with the elements that `take_along_axis` would take replaced by `values`.

    Arrays are immutable, so `inplace=False` must be given.
    """
    refuse_inplace("put_along_axis", inplace)
    arr, indices = as_array("put_along_axis", arr), integers("put_along_axis", indices)
    if axis is None:
        return lax.reshape(put_along_axis(ravel(arr), indices, values, 0, False), arr.shape)
    if arr.ndim != indices.ndim:
        raise ShapeError(
            f"put_along_axis: the indices have {indices.ndim} axes, the array {arr.ndim}",
            mend="add axes of extent 1 to the indices",
        )
    axis = canonical_axis(axis, arr.ndim, "put_along_axis")
    common = lax.broadcast_shapes(_replaced(arr.shape, axis, indices.shape[axis]), indices.shape)
    places = [lax.broadcasted_iota(index_dtype(), common, i) for i in range(arr.ndim)]
    places[axis] = lax.broadcast_to(indices, common)
    return IndexUpdateRef(arr, tuple(places)).set(values, mode=mode)


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Array:
    """`a` with the elements at the flat indices `ind` replaced by `v`, repeated as needed.

    Arrays are immutable, so `inplace=False` must be given.
    """
    refuse_inplace("put", inplace)
    a, indices = as_array("put", a), ravel(integers("put", ind))
    indices, mode = with_mode("put", indices, a.size, mode)
    values = ravel(as_array("put", v))
    if not indices.size or not values.size:
        return a
    repeats = -(-indices.size // values.size)
    values = lax.slice_in_dim(lax.tile(values, (repeats,)), 0, indices.size)
    return lax.reshape(IndexUpdateRef(ravel(a), indices).set(values, mode=mode), a.shape)


# --- by condition ---------------------------------------------------------------------------


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Array:
    """For each element of `a`, the element of the choice that it numbers.

    Args:
        a: integers.
        choices: a sequence of arrays, or the rows of one; they broadcast with `a`.
        out: not supported.
        mode: what happens to numbers out of range: "raise" (known values only), "clip", "wrap".
    """
    refuse_out("choose", out)
    numbers = integers("choose", a)
    listed = [choices[i] for i in range(len(choices))]
    cases = promote("choose", *listed)
    if not cases:
        raise ArgumentError("choose: needs at least one choice", mend="pass one or more")
    numbers, mode_left = with_mode("choose", numbers, len(cases), mode)
    if mode_left is None:
        values = buffer_of(numbers)
        for bad in values[(values < 0) | (values >= len(cases))].ravel()[:1]:
            raise out_of_bounds(int(bad), len(cases), 0, "choose")
    return lax.select_n(lax.convert_element_type(numbers, np.int32), *cases)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Array:
    """For each element, the choice whose condition is the first to hold, or `default`."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ArgumentError(
            f"select: {len(condlist)} conditions for {len(choicelist)} choices",
            mend="pass one condition for each choice, at least one",
        )
    *choices, out = promote("select", *choicelist, default)
    conditions = [_condition("select", c) for c in condlist]
    for condition, choice in zip(conditions[::-1], choices[::-1], strict=True):
        out = lax.select(condition, choice, out)
    return out


def _condition(function: str, condition: Any) -> Array:
    condition = as_array(function, condition)
    if condition.dtype != np.bool_:
        raise DtypeError(
            f"{function}: conditions must be boolean, got {condition.aval}",
            mend="compare the array, e.g. with `!= 0`",
        )
    return condition


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Array:
    """A function that is defined piece by piece.

    Args:
        x: an array.
        condlist: conditions of `x`'s shape; where several hold, the last one counts.
        funclist: for each condition a function or a number; one more is for where none holds
            (0 by default). Each function is applied to all of `x`.
        args: further arguments of the functions.
        kw: further keyword arguments of the functions.
    """
    x = as_array("piecewise", x)
    if isinstance(condlist, Array | np.ndarray) and condlist.ndim == x.ndim:
        condlist = [condlist]
    conditions = [_condition("piecewise", c) for c in condlist]
    functions = list(funclist)
    if len(functions) not in (len(conditions), len(conditions) + 1):
        raise ArgumentError(
            f"piecewise: {len(functions)} functions for {len(conditions)} conditions",
            mend="pass one function for each condition, and perhaps one for where none holds",
        )
    otherwise = functions.pop() if len(functions) > len(conditions) else 0

    def piece(function: Any) -> Any:
        value = function(x, *args, **kw) if callable(function) else function
        return cast("piecewise", value, x.dtype)

    out = lax.broadcast_to(piece(otherwise), x.shape)
    for condition, function in zip(conditions, functions, strict=True):
        out = lax.select(condition, piece(function), out)
    return out


def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
    out: None = None,
) -> Array:
    """The slices along an axis at which a vector of conditions holds.

    Args:
        condition: a vector; may be shorter than the axis.
        a: an array.
        axis: the axis; None works on the raveled array.
        size: how many slices the result has; needed if `condition` is traced.
        fill_value: stands in for slices that are not there.
        out: not supported.
    """
    refuse_out("compress", out)
    condition, a = as_array("compress", condition), as_array("compress", a)
    if condition.ndim != 1:
        raise ShapeError(
            f"compress: the condition must be a vector, got shape {condition.shape}",
            mend="ravel it, or use a boolean index",
        )
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim, "compress")
    (places,) = nonzero(condition, size=size, fill_value=a.shape[axis])
    mode = None if size is None else "fill"
    return take(a, places, axis, mode=mode, fill_value=fill_value)


def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Array:
    """The elements of the raveled `arr` where the raveled `condition` holds; see `compress`."""
    # raveled in NumPy where it is known, so that it stays known while tracing
    condition = buffer_of(condition).ravel() if is_known(condition) else ravel(condition)
    return compress(condition, ravel(arr), size=size, fill_value=fill_value)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Array:
    """`arr` with the elements where `mask` holds replaced by `vals` in turn, repeated as needed.

    Arrays are immutable, so `inplace=False` must be given.
    """
    refuse_inplace("place", inplace)
    arr, mask, vals = as_array("place", arr), as_array("place", mask), ravel(vals)
    if mask.size != arr.size:
        raise ShapeError(
            f"place: a mask of shape {mask.shape} for an array of shape {arr.shape}",
            mend="pass a mask of the array's size",
        )
    if not vals.size:
        raise ArgumentError("place: vals is empty", mend="pass at least one value")
    holds = lax.ne(mask, 0) if mask.dtype != np.bool_ else mask
    order = lax.cumsum(lax.convert_element_type(ravel(holds), np.int32), 0)
    turn = lax.rem(lax.sub(order, 1), vals.size)
    spread = take(lax.convert_element_type(vals, arr.dtype), turn, mode="clip")
    return lax.select(lax.reshape(holds, arr.shape), lax.reshape(spread, arr.shape), arr)


def where(
    condition: Any,
    x: Any = None,
    y: Any = None,
    /,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """`x` where the condition holds, else `y`; or the indices where it holds.

    Args:
        condition: booleans, or numbers, of which zeros are false.
        x: values to take where the condition holds.
        y: values to take elsewhere; promoted with `x` to one dtype. All three broadcast.
        size: with one argument, the number of indices to return; see `nonzero`.
        fill_value: with one argument, what to put behind too few indices.

    Returns:
        An array, differentiable in `x` and `y`: the derivative of what is not taken is 0. With
        `condition` alone, `nonzero(condition)`.

    Example:
        >>> fnp.where(fnp.array([True, False]), fnp.ones(2), 0.0)
        Array([1., 0.], dtype=float32)
    """
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None or size is not None or fill_value is not None:
        raise ArgumentError(
            "where: takes a condition alone (and size and fill_value), or with both x and y",
            mend="fnp.where(condition, x, y)",
        )
    return choose_where(condition, x, y)
