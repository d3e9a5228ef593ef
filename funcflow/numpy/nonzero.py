"""Where arrays are not zero, and indices as numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array, wrap
from funcflow.core.errors import ArgumentError, ConcretizationTypeError, ShapeError
from funcflow.numpy.arguments import buffer_of, index_dtype, is_known, is_sequence, static_int
from funcflow.numpy.creation import zeros
from funcflow.numpy.index_modes import integers, wide_indices, with_mode
from funcflow.numpy.index_parsing import out_of_bounds
from funcflow.numpy.manipulation import ravel
from funcflow.numpy.promotion import as_array
from funcflow.numpy.updating import IndexUpdateRef

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
    if not a.size or not size:
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
    indices = integers("unravel_index", indices)
    shape = tuple(shape) if is_sequence(shape) else (shape,)
    extents = tuple(static_int("unravel_index", "shape", extent) for extent in shape)
    size = int(np.prod(extents, dtype=np.int64))
    if not size and indices.size:
        raise out_of_bounds(0, 0, 0, "unravel_index")
    wide = wide_indices(indices)
    if is_known(wide):
        values = buffer_of(wide)
        for bad in values[(values < -size) | (values >= size)].ravel()[:1]:
            raise out_of_bounds(int(bad), size, 0, "unravel_index")
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
    arrays = [integers("ravel_multi_index", i) for i in multi_index]
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
        indices, left = with_mode("ravel_multi_index", arrays[i], extents[i], modes[i])
        if left is None:
            values = buffer_of(indices)
            for bad in values[(values < 0) | (values >= extents[i])].ravel()[:1]:
                raise out_of_bounds(int(bad), extents[i], i, "ravel_multi_index")
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
