"""Putting arrays together and taking them apart."""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, ConcreteArray
from funcflow.core.eager import is_eager
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axis
from funcflow.numpy.arguments import is_sequence, static, static_int, to_arrays
from funcflow.numpy.manipulation import atleast_1d, atleast_2d, atleast_3d, ravel
from funcflow.numpy.promotion import as_array, promote, refuse_out

# --- together -------------------------------------------------------------------------------


def _prepared(function: str, arrays: Any, dtype: Any) -> list[Any]:
    """The arrays in their common dtype, or the one asked for."""
    listed = to_arrays(function, arrays)
    if not listed:
        raise ArgumentError(f"{function}: needs at least one array", mend="pass one or more")
    if dtype is None:
        return list(promote(function, *listed))
    target = dtypes.as_dtype(dtype)
    return [lax.convert_element_type(x, target) for x in listed]


def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Array:
    """Arrays one after the other along an existing axis.

    Args:
        arrays: a sequence of arrays whose shapes agree except along `axis`.
        axis: the axis; None joins the raveled arrays.
        dtype: the result's dtype; the arrays' promoted dtype by default.

    Raises:
        ShapeError: the shapes do not fit together, or an array has no axis.

    Example:
        >>> fnp.concatenate([fnp.arange(2), fnp.array([5.0])])
        Array([0., 1., 5.], dtype=float32)
    """
    out = _joined_at_once(np.concatenate, arrays, axis, dtype)
    if out is not None:
        return out
    parts = _prepared("concatenate", arrays, dtype)
    if axis is None:
        parts, axis = [ravel(x) for x in parts], 0
    shapes = [x.shape for x in parts]
    if not all(shapes) or len({len(shape) for shape in shapes}) > 1:
        raise ShapeError(
            f"concatenate: takes arrays of one rank, at least 1, got shapes "
            f"{', '.join(map(str, shapes))}",
            mend="add axes with fnp.expand_dims, or use fnp.stack",
        )
    axis = canonical_axis(axis, parts[0].ndim, "concatenate")
    return parts[0] if len(parts) == 1 else lax.concatenate(parts, axis)


def _joined_at_once(
    function: Callable[..., Any], arrays: Any, axis: Any, dtype: Any
) -> ConcreteArray | None:
    """NumPy's function if nothing is traced and the arrays have one dtype, or None."""
    if dtype is not None or not isinstance(arrays, list | tuple) or not all(map(is_eager, arrays)):
        return None
    buffers = [x._value for x in arrays]
    if len({buffer.dtype for buffer in buffers}) != 1:
        return None
    try:
        return ConcreteArray(function(buffers, axis))
    except (ValueError, TypeError):
        return None


def concat(arrays: Any, /, *, axis: int | None = 0) -> Array:
    """`concatenate`, under its name in the array API standard."""
    return concatenate(arrays, axis)


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Array:
    """Arrays of one shape one after the other along a new axis."""
    refuse_out("stack", out)
    stacked = _joined_at_once(np.stack, arrays, axis, dtype)
    if stacked is not None:
        return stacked
    parts = _prepared("stack", arrays, dtype)
    shapes = [x.shape for x in parts]
    if len(set(shapes)) > 1:
        raise ShapeError(
            f"stack: takes arrays of one shape, got {', '.join(map(str, shapes))}",
            mend="broadcast or pad the arrays first",
        )
    axis = canonical_axis(axis, len(shapes[0]) + 1, "stack")
    return lax.concatenate([lax.expand_dims(x, (axis,)) for x in parts], axis)


def vstack(tup: Any, dtype: Any = None) -> Array:
    """Arrays below each other: along the first axis; vectors are rows."""
    return concatenate([atleast_2d(x) for x in to_arrays("vstack", tup)], 0, dtype)


def hstack(tup: Any, dtype: Any = None) -> Array:
    """Arrays beside each other: along the second axis; vectors along their only one."""
    parts = [atleast_1d(x) for x in to_arrays("hstack", tup)]
    return concatenate(parts, 0 if parts and parts[0].ndim == 1 else 1, dtype)


def dstack(tup: Any, dtype: Any = None) -> Array:
    """Arrays behind each other: along the third axis."""
    return concatenate([atleast_3d(x) for x in to_arrays("dstack", tup)], 2, dtype)


def column_stack(tup: Any) -> Array:
    """Vectors as columns beside each other; matrices as they are."""
    parts = to_arrays("column_stack", tup)
    return concatenate([lax.reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in parts], 1)


def block(arrays: Any) -> Array:
    """An array put together from nested lists of blocks.

    Innermost lists are joined along the last axis, the next along the last but one, and so on.
    """
    depth = _depth(arrays)
    ndim = max(depth, *_ranks(arrays)) if depth else 0
    return _block(arrays, depth, ndim)


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ArgumentError("block: a list is empty", mend="leave it out")
    depths = {_depth(x) for x in arrays}
    if len(depths) > 1:
        raise ArgumentError(
            f"block: the lists are nested to different depths, {sorted(depths)}",
            mend="put each block at the same depth",
        )
    return 1 + depths.pop()


def _ranks(arrays: Any) -> list[int]:
    if not isinstance(arrays, list):
        return [as_array("block", arrays).ndim]
    return [rank for x in arrays for rank in _ranks(x)]


def _block(arrays: Any, depth: int, ndim: int) -> Array:
    if not depth:
        x = as_array("block", arrays)
        return lax.reshape(x, (*(1,) * (ndim - x.ndim), *x.shape))
    return concatenate([_block(x, depth - 1, ndim) for x in arrays], -depth)


def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    """`values` after the elements of `arr`, along `axis` or as vectors."""
    return concatenate([arr, values], axis)


# --- apart ----------------------------------------------------------------------------------


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Cut an array along an axis.

    Args:
        ary: an array.
        indices_or_sections: how many parts of one extent, or the indices to cut at.
        axis: the axis.

    Raises:
        ArgumentError: the axis does not divide into parts of one extent; see `array_split`.
    """
    ary = as_array("split", ary)
    axis = canonical_axis(axis, ary.ndim, "split")
    if not is_sequence(indices_or_sections):
        sections = _sections("split", indices_or_sections)
        if ary.shape[axis] % sections:
            raise ArgumentError(
                f"split: axis {axis} of extent {ary.shape[axis]} does not divide into {sections} "
                "parts of one extent",
                mend="use fnp.array_split, which allows parts of different extents",
            )
    return array_split(ary, indices_or_sections, axis)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """`split` whose parts may differ in extent by 1, the longer ones first."""
    ary = as_array("array_split", ary)
    axis = canonical_axis(axis, ary.ndim, "array_split")
    extent = ary.shape[axis]
    if not is_sequence(indices_or_sections):
        sections = _sections("array_split", indices_or_sections)
        short, longer = divmod(extent, sections)
        sizes = [short + 1] * longer + [short] * (sections - longer)
        return list(lax.split(ary, sizes, axis))
    if isinstance(indices_or_sections, Array):
        indices_or_sections = static("array_split", "the indices", indices_or_sections)
    cuts = [slice(None, static_int("split", "each index", i)) for i in indices_or_sections]
    ends = [cut.indices(extent)[1] for cut in cuts]
    starts = [0, *ends]
    return [
        lax.slice_in_dim(ary, start, max(start, end), axis=axis)
        for start, end in zip(starts, [*ends, extent], strict=True)
    ]


def _sections(function: str, sections: Any) -> int:
    count = static_int(function, "the number of sections", sections)
    if count < 1:
        raise ArgumentError(f"{function}: {count} sections", mend="ask for at least one")
    return count


def vsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along the first axis."""
    return split(ary, indices_or_sections, 0)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along the second axis; of a vector along its only one."""
    return split(ary, indices_or_sections, 0 if np.ndim(ary) == 1 else 1)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along the third axis."""
    return split(ary, indices_or_sections, 2)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices along an axis, which disappears."""
    x = as_array("unstack", x)
    return tuple(lax.unstack(x, canonical_axis(axis, x.ndim, "unstack")))


# --- repeated -------------------------------------------------------------------------------


def tile(A: Any, reps: Any) -> Array:
    """`A` laid out `reps[i]` times along each axis `i`; missing axes are put in front."""
    A = as_array("tile", A)
    counts = list(reps) if is_sequence(reps) else [reps]
    counts = [static_int("tile", "reps", count) for count in counts]
    if any(count < 0 for count in counts):
        raise ArgumentError(f"tile: negative reps {counts}", mend="repeat at least 0 times")
    ndim = max(A.ndim, len(counts))
    A = lax.reshape(A, (*(1,) * (ndim - A.ndim), *A.shape))
    return lax.tile(A, (*(1,) * (ndim - len(counts)), *counts))
