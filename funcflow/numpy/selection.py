"""Choosing elements: by index along an axis, by condition, and where something is not zero."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array, wrap
from funcflow.core.errors import ArgumentError, ConcretizationTypeError, DtypeError, ShapeError
from funcflow.lax.linear import canonical_axis
from funcflow.numpy.arguments import buffer_of, index_dtype, is_known, refuse_inplace, static_int
from funcflow.numpy.creation import asarray, zeros
from funcflow.numpy.index_parsing import out_of_bounds, parse_index
from funcflow.numpy.indexing import default_mode, read
from funcflow.numpy.manipulation import ravel
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
    a, indices = as_array("take", a), _integers("take", indices)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim, "take")
    indices, mode = _with_mode("take", indices, a.shape[axis], mode)
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


def _integers(function: str, indices: Any) -> Array:
    indices = as_array(function, indices)
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"{function}: indices must be integers, got {indices.aval}",
            mend="convert them with .astype(int)",
        )
    return indices


def _with_mode(
    function: str, indices: Array, extent: int, mode: str | None
) -> tuple[Array, str | None]:
    """Do what the modes "clip" and "wrap" ask for, which `gather` does not know in this form."""
    if mode == "raise":
        if not is_known(indices):
            raise ConcretizationTypeError(
                f"{function}: mode='raise' needs the values of the indices {indices.aval}, "
                "which are traced",
                mend="use mode='clip', 'wrap' or 'fill'",
            )
        return indices, None
    if mode in ("clip", "wrap") and not extent:
        if indices.size:
            raise out_of_bounds(0, 0, 0)
        return indices, None
    if mode == "clip":
        return lax.clamp(0, _wide(indices), extent - 1), "promise_in_bounds"
    if mode == "wrap":
        remainder = lax.rem(_wide(indices), extent)
        wrapped = lax.select(lax.lt(remainder, 0), lax.add(remainder, extent), remainder)
        return wrapped, "promise_in_bounds"
    if mode not in (None, "fill", "drop", "promise_in_bounds"):
        raise ArgumentError(
            f"{function}: mode={mode!r}",
            mend="use 'fill', 'clip', 'wrap', 'raise' or 'promise_in_bounds'",
        )
    return indices, mode


def _wide(indices: Array) -> Array:
    """Indices in a dtype that holds any extent."""
    return lax.convert_element_type(indices, "int64" if indices.dtype.itemsize == 8 else "int32")


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
    arr, indices = as_array("take_along_axis", arr), _integers("take_along_axis", indices)
    if axis is None:
        arr, axis = ravel(arr), 0
    if arr.ndim != indices.ndim:
        raise ShapeError(
            f"take_along_axis: the indices have {indices.ndim} axes, the array {arr.ndim}",
            mend="add axes of extent 1 to the indices",
        )
    axis = canonical_axis(axis, arr.ndim, "take_along_axis")
    extent, count = arr.shape[axis], indices.shape[axis]
    indices, mode = _with_mode("take_along_axis", indices, extent, mode)
    parsed = parse_index((extent,), indices if indices.ndim else (indices,), mode)
    others = tuple(i for i in range(arr.ndim) if i != axis)
    common = lax.broadcast_shapes(_replaced(arr.shape, axis, 1), _replaced(indices.shape, axis, 1))
    arr = lax.broadcast_to(arr, _replaced(common, axis, extent))
    assert parsed.advanced is not None
    vectors = lax.broadcast_to(parsed.advanced.arrays[0], _replaced(common, axis, count))
    return lax.gather(
        arr,
        lax.expand_dims(asarray(vectors), (arr.ndim,)),
        lax.GatherDimensionNumbers((), (axis,), (axis,), others, others),
        (1,) * arr.ndim,
        mode=default_mode(parsed.advanced, mode, "fill"),
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
    arr, indices = as_array("put_along_axis", arr), _integers("put_along_axis", indices)
    if axis is None:
        return lax.reshape(put_along_axis(ravel(arr), indices, values, 0, False), arr.shape)
    if arr.ndim != indices.ndim:
        raise ShapeError(
            f"put_along_axis: the indices have {indices.ndim} axes, the array {arr.ndim}",
            mend="add axes of extent 1 to the indices",
        )
    axis = canonical_axis(axis, arr.ndim, "put_along_axis")
    common = lax.broadcast_shapes(
        _replaced(arr.shape, axis, indices.shape[axis]), indices.shape
    )
    places = [lax.broadcasted_iota(index_dtype(), common, i) for i in range(arr.ndim)]
    places[axis] = lax.broadcast_to(indices, common)
    return IndexUpdateRef(arr, tuple(places)).set(values, mode=mode)


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Array:
    """`a` with the elements at the flat indices `ind` replaced by `v`, repeated as needed.

    Arrays are immutable, so `inplace=False` must be given.
    """
    refuse_inplace("put", inplace)
    a, indices = as_array("put", a), ravel(_integers("put", ind))
    indices, mode = _with_mode("put", indices, a.size, mode)
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
    numbers = _integers("choose", a)
    listed = [choices[i] for i in range(len(choices))]
    cases = promote("choose", *listed)
    if not cases:
        raise ArgumentError("choose: needs at least one choice", mend="pass one or more")
    numbers, mode_left = _with_mode("choose", numbers, len(cases), mode)
    if mode_left is None:
        values = buffer_of(numbers)
        for bad in values[(values < 0) | (values >= len(cases))].ravel()[:1]:
            raise out_of_bounds(int(bad), len(cases), 0)
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


def piecewise(
    x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any
) -> Array:
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
        return lax.convert_element_type(as_array("piecewise", value), x.dtype)

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
    return compress(ravel(condition), ravel(arr), size=size, fill_value=fill_value)


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


# --- not zero -------------------------------------------------------------------------------


def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Array, ...]:
    """The indices of the elements that are not zero, one array for each axis.

    Args:
        a: an array; without `size` its values must be known.
        size: the length of the results: indices that are too many are left out, missing ones
            filled in.
        fill_value: what to fill in: 0 by default; a tuple has one value for each axis.

    Raises:
        ConcretizationTypeError: the array is traced and no size is given.

    Example:
        >>> fnp.nonzero(fnp.array([0, 3, 0, 4]))
        (Array([1, 3], dtype=int32),)
    """
    a = as_array("nonzero", a)
    if not a.ndim:
        a = lax.reshape(a, (1,))
    if size is None:
        if not is_known(a):
            raise ConcretizationTypeError(
                f"nonzero: the array {a.aval} is traced, so the number of results is unknown",
                mend="say how many there are: fnp.nonzero(x, size=n, fill_value=...)",
            )
        return tuple(wrap(i.astype(index_dtype())) for i in np.nonzero(buffer_of(a)))
    size = static_int("nonzero", "size", size)
    fills = fill_value if isinstance(fill_value, tuple) else (fill_value,) * a.ndim
    if len(fills) != a.ndim:
        raise ArgumentError(
            f"nonzero: {len(fills)} fill values for an array of {a.ndim} axes",
            mend="pass one for each axis",
        )
    if not a.size:
        return tuple(_filled(zeros(size, index_dtype()), 0, fill) for fill in fills)
    flat, count = _places(ravel(a), size)
    return tuple(
        _filled(i, count, fill) for i, fill in zip(_unraveled(flat, a.shape), fills, strict=True)
    )


def _places(flat: Array, size: int) -> tuple[Array, Array]:
    """The indices of the first `size` elements that are not zero, and how many there are."""
    holds = flat if flat.dtype == np.bool_ else lax.ne(flat, 0)
    rank = lax.cumsum(lax.convert_element_type(holds, index_dtype()), 0)
    # each writes its own index to its own place; what holds no value is out of bounds
    place = lax.select(holds, lax.sub(rank, 1), size)
    places = IndexUpdateRef(zeros(size, index_dtype()), place).set(
        lax.iota(index_dtype(), flat.size), mode="drop"
    )
    return places, lax.index_in_dim(rank, flat.size - 1, keepdims=False)


def _filled(indices: Array, count: Any, fill: Any) -> Array:
    fill = as_array("nonzero", 0 if fill is None else fill)
    present = lax.lt(lax.iota(index_dtype(), indices.size), count)
    return lax.select(present, indices, lax.convert_element_type(fill, indices.dtype))


def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The indices of the elements of the raveled array that are not zero; see `nonzero`."""
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The indices of the elements that are not zero, as rows; see `nonzero`."""
    a = as_array("argwhere", a)
    if not a.ndim:
        return zeros((nonzero(a, size=size, fill_value=fill_value)[0].size, 0), index_dtype())
    found = nonzero(a, size=size, fill_value=fill_value)
    return lax.concatenate([lax.expand_dims(i, (1,)) for i in found], 1)


# --- indices as numbers ---------------------------------------------------------------------


def unravel_index(indices: Any, shape: Any) -> tuple[Array, ...]:
    """Flat indices as indices for each axis of an array of the given shape.

    Negative indices count from the end; traced ones out of bounds are clipped.
    """
    indices = _integers("unravel_index", indices)
    shape = (shape,) if np.ndim(shape) == 0 else tuple(shape)
    extents = tuple(static_int("unravel_index", "shape", extent) for extent in shape)
    size = int(np.prod(extents, dtype=np.int64))
    if not size and indices.size:
        raise out_of_bounds(0, 0, 0)
    wide = _wide(indices)
    if is_known(wide):
        values = buffer_of(wide)
        for bad in values[(values < -size) | (values >= size)].ravel()[:1]:
            raise out_of_bounds(int(bad), size, 0)
    wide = lax.select(lax.lt(wide, 0), lax.add(wide, size), wide)
    return tuple(_unraveled(lax.clamp(0, wide, max(size - 1, 0)), extents))


def _unraveled(flat: Array, shape: tuple[int, ...]) -> list[Array]:
    found = []
    for extent in shape[::-1]:
        found.append(lax.rem(flat, max(extent, 1)))
        flat = lax.div(flat, max(extent, 1))
    return found[::-1]


def ravel_multi_index(
    multi_index: Sequence[Any],
    dims: Sequence[int],
    mode: str = "raise",
    order: str = "C",
) -> Array:
    """Indices for each axis of an array of shape `dims` as flat indices.

    Args:
        multi_index: one array of integers for each axis.
        dims: the shape.
        mode: what happens out of bounds: "raise" (known values only), "wrap" or "clip"; a tuple
            has one mode for each axis.
        order: "C" for row-major, "F" for column-major.
    """
    extents = [static_int("ravel_multi_index", "dims", extent) for extent in dims]
    arrays = [_integers("ravel_multi_index", i) for i in multi_index]
    if len(arrays) != len(extents) or order not in ("C", "F"):
        raise ArgumentError(
            f"ravel_multi_index: {len(arrays)} index arrays for {len(extents)} axes, "
            f"order={order!r}",
            mend="pass one array for each axis, and order 'C' or 'F'",
        )
    modes = mode if isinstance(mode, tuple) else (mode,) * len(extents)
    flat: Any = lax.full((), 0, index_dtype())
    axes = range(len(extents)) if order == "C" else range(len(extents))[::-1]
    for i in axes:
        indices, left = _with_mode("ravel_multi_index", arrays[i], extents[i], modes[i])
        if left is None:
            values = buffer_of(indices)
            for bad in values[(values < 0) | (values >= extents[i])].ravel()[:1]:
                raise out_of_bounds(int(bad), extents[i], i)
        indices = lax.convert_element_type(indices, index_dtype())
        flat = lax.add(lax.mul(flat, extents[i]), indices)
    return flat


def ix_(*args: Any) -> tuple[Array, ...]:
    """Vectors of indices such that `x[ix_(i, j)]` is the submatrix of rows `i`, columns `j`."""
    out = []
    for axis, x in enumerate(args):
        x = as_array("ix_", x)
        if x.ndim != 1:
            raise ShapeError(f"ix_: takes vectors, got shape {x.shape}", mend="ravel the array")
        if x.dtype == np.bool_:
            (x,) = nonzero(x)
        if not x.size:
            x = lax.convert_element_type(x, index_dtype())
        out.append(lax.reshape(x, tuple(x.size if i == axis else 1 for i in range(len(args)))))
    return tuple(out)
