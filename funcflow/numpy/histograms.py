"""Counting: how often values occur, and how many fall into each bin."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, wrap
from funcflow.core.errors import ArgumentError, ConcretizationTypeError, ShapeError
from funcflow.numpy.arguments import buffer_of, cast, index_dtype, is_known, is_sequence, static_int
from funcflow.numpy.creation import ones, zeros
from funcflow.numpy.differences import diff
from funcflow.numpy.manipulation import ravel
from funcflow.numpy.promotion import as_array, inexact, promote
from funcflow.numpy.ranges import linspace
from funcflow.numpy.sorting import searchsorted
from funcflow.numpy.updating import IndexUpdateRef


def bincount(
    x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None
) -> Array:
    """How often each of the numbers 0, 1, 2, ... occurs.

    Args:
        x: a vector of integers, none negative.
        weights: what each of them counts; 1 by default.
        minlength: the least length of the result.
        length: the length of the result; needed if `x` is traced. Greater numbers are dropped,
            negative ones count as 0.

    Raises:
        ArgumentError: `x` is known to have negative elements, and no length is given.
        ConcretizationTypeError: `x` is traced and no length is given.
    """
    x = as_array("bincount", x)
    if x.ndim != 1 or x.dtype.kind not in "iub":
        raise ShapeError(
            f"bincount: takes a vector of integers, got {x.aval}", mend="ravel and convert it"
        )
    if length is None:
        if not is_known(x):
            raise ConcretizationTypeError(
                f"bincount: the numbers {x.aval} are traced, so the length is unknown",
                mend="fnp.bincount(x, length=n)",
            )
        values = buffer_of(x)
        if values.size and values.min() < 0:
            raise ArgumentError(
                f"bincount: negative number {values.min()}", mend="count numbers of at least 0"
            )
        found = int(values.max()) + 1 if values.size else 0
        length = max(found, static_int("bincount", "minlength", minlength))
    places = lax.max(lax.convert_element_type(x, index_dtype()), 0)
    if weights is None:
        return IndexUpdateRef(zeros(length, index_dtype()), places).add(1, mode="drop")
    weights = as_array("bincount", weights)
    if weights.shape != x.shape:
        raise ShapeError(
            f"bincount: weights of shape {weights.shape} for numbers of shape {x.shape}",
            mend="pass one weight for each number",
        )
    return IndexUpdateRef(zeros(length, weights.dtype), places).add(weights, mode="drop")


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Array:
    """The edges of the bins that `histogram` uses.

    Args:
        a: values.
        bins: how many bins of one width; or the edges themselves; or, for known values, the name
            of one of NumPy's rules.
        range: the first and the last edge; by default the least and the greatest value.
        weights: not used.
    """
    del weights
    values = ravel(inexact("histogram_bin_edges", a))
    if isinstance(bins, str):
        if not is_known(values):
            raise ConcretizationTypeError(
                f"histogram_bin_edges: bins={bins!r} needs the values of {values.aval}",
                mend="pass the number of bins",
            )
        edges = np.histogram_bin_edges(buffer_of(values), bins, range)
        return wrap(edges.astype(values.dtype))
    if is_sequence(bins):
        return as_array("histogram_bin_edges", bins)
    count = static_int("histogram_bin_edges", "bins", bins)
    if count < 1:
        raise ArgumentError(f"histogram_bin_edges: {count} bins", mend="ask for at least one")
    if range is not None:
        low, high = (cast("histogram", x, values.dtype) for x in range)
    elif values.size:
        low, high = lax.reduce_min(values, (0,)), lax.reduce_max(values, (0,))
    else:
        low, high = lax.full((), 0, values.dtype), lax.full((), 1, values.dtype)
    single = lax.eq(low, high)
    low = lax.select(single, lax.sub(low, 0.5), low)
    high = lax.select(single, lax.add(high, 0.5), high)
    return linspace(low, high, count + 1, dtype=values.dtype)


def histogram(
    a: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Array, Array]:
    """How many values fall into each bin.

    Args:
        a: values.
        bins: see `histogram_bin_edges`. Bins include their left edge, the last both.
        range: see `histogram_bin_edges`.
        weights: what each value counts; 1 by default.
        density: divide by the total and the bins' widths, so that the integral is 1.

    Returns:
        The counts, in a floating dtype, and the edges.
    """
    values = ravel(inexact("histogram", a))
    weights = ones(values.size, values.dtype) if weights is None else ravel(weights)
    points = lax.reshape(values, (values.size, 1))
    counts, edges = histogramdd(points, [bins], [range], weights, density)
    return counts, edges[0]


def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool | None = None,
) -> tuple[Array, Array, Array]:
    """How many points fall into each bin of the plane; see `histogramdd`.

    Returns:
        The counts, the edges along `x`, and those along `y`.
    """
    if is_sequence(bins) and len(bins) != 2:  # edges for both
        bins = [bins, bins]
    points = lax.stack(promote("histogram2d", ravel(x), ravel(y)), 1)
    counts, edges = histogramdd(points, bins, range, weights, density)
    return counts, edges[0], edges[1]


def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool | None = None,
) -> tuple[Array, list[Array]]:
    """How many points fall into each bin of a grid.

    Args:
        sample: points, one in each row; or a list of the coordinates' vectors.
        bins: how many bins along each axis, or a sequence with one entry (a number, or edges) for
            each axis.
        range: for each axis the first and last edge, or None.
        weights: what each point counts; 1 by default.
        density: divide by the total and the bins' volumes.

    Returns:
        The counts, integers unless there are weights or `density` is asked for, and the edges
        for each axis.
    """
    if isinstance(sample, list | tuple):
        sample = lax.stack(promote("histogramdd", *map(ravel, sample)), 1)
    points = as_array("histogramdd", inexact("histogramdd", sample))
    if points.ndim != 2:
        raise ShapeError(
            f"histogramdd: takes points as rows, got shape {points.shape}",
            mend="pass an array of shape (points, axes)",
        )
    count, ndim = points.shape
    per_axis = list(bins) if is_sequence(bins) else [bins] * ndim
    ranges: Sequence[Any] = [None] * ndim if range is None else range
    if len(per_axis) != ndim or len(ranges) != ndim:
        raise ArgumentError(
            f"histogramdd: {len(per_axis)} bins and {len(ranges)} ranges for {ndim} axes",
            mend="pass one entry for each axis",
        )
    columns = [lax.index_in_dim(points, i, 1, keepdims=False) for i in builtin_range(ndim)]
    edges = [
        histogram_bin_edges(x, b, r) for x, b, r in zip(columns, per_axis, ranges, strict=True)
    ]
    shape = [edge.size - 1 for edge in edges]
    places, inside = _bins(columns, edges)
    if weights is None:
        weights = ones(count, points.dtype if density else index_dtype())
    else:
        weights = _weights(weights, points)
    counts = zeros(int(np.prod(shape, dtype=int)), weights.dtype)
    counts = IndexUpdateRef(counts, places).add(lax.select(inside, weights, 0), mode="drop")
    counts = lax.reshape(counts, shape)
    if density:
        total = lax.reduce_sum(counts, builtin_range(ndim))
        counts = lax.div(counts, total)
        for i, edge in enumerate(edges):
            widths = lax.convert_element_type(diff(edge), counts.dtype)
            counts = lax.div(counts, lax.expand_dims(widths, _all_but(i, ndim)))
    return counts, edges


builtin_range = range


def _all_but(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(i for i in range(ndim) if i != axis)


def _bins(columns: Sequence[Array], edges: Sequence[Array]) -> tuple[Array, Array]:
    """For each point the flat number of its bin, and whether it lies in any."""
    flat: Any = lax.full(columns[0].shape, 0, index_dtype())
    inside: Any = lax.full(columns[0].shape, True)
    for x, edge in zip(columns, edges, strict=True):
        x, edge = promote("histogram", x, edge)
        count = edge.size - 1
        number = lax.sub(searchsorted(edge, x, "right"), 1)
        last = lax.eq(x, lax.index_in_dim(edge, count, keepdims=False))
        number = lax.select(last, count - 1, number)
        within = lax.bitwise_and(lax.ge(number, 0), lax.lt(number, count))
        inside = lax.bitwise_and(inside, within)
        flat = lax.add(lax.mul(flat, count), lax.clamp(0, number, count - 1))
    return flat, inside


def _weights(weights: Any, points: Array) -> Array:
    weights = as_array("histogram", weights)
    if weights.shape != points.shape[:1]:
        raise ShapeError(
            f"histogram: weights of shape {weights.shape} for {points.shape[0]} values",
            mend="pass one weight for each value",
        )
    dtype, _ = dtypes.promote((weights.dtype, False), (points.dtype, False))
    return lax.convert_element_type(weights, dtype)
