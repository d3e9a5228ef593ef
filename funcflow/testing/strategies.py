"""Hypothesis strategies for arrays, and for what operations on arrays are told.

    @given(st.arrays("float32", smooth=True))
    def test_sin(x):
        check_laws(fnp.sin, (x,))

Everything drawn is small, so that hundreds of examples cost little; shrinking leads to few
dimensions, small extents and values near zero.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from funcflow.core import dtypes as core_dtypes
from funcflow.core.array import Array, wrap
from funcflow.core.aval import Shape

Draw = st.DrawFn
DType = np.dtype[Any]

# Smooth values are odd multiples of this: at least so far from 0, 1/8, 1/4, ... where functions
# have kinks, steps and poles. Up to 8 in magnitude they are exact in every floating dtype.
GRID = 1 / 16


def dtypes(kinds: str = "biufc") -> st.SearchStrategy[DType]:
    """The supported dtypes of the given kinds ("b", "i", "u", "f", "c")."""
    return st.sampled_from([d for d in core_dtypes.ALL if core_dtypes.kind(d) in kinds])


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> st.SearchStrategy[Shape]:
    """Shapes of few dimensions and small extents; empty ones unless `min_side` is positive."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(
        tuple
    )


def broadcastable_shapes(
    count: int = 2, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """`count` shapes that broadcast with one another."""
    drawn = hnp.mutually_broadcastable_shapes(
        num_shapes=count, max_dims=max_dims, min_side=min_side, max_side=max_side
    )
    return drawn.map(lambda result: result.input_shapes)


@st.composite
def arrays(
    draw: Draw,
    dtype: Any = None,
    shape: Any = None,
    *,
    min_value: float | None = None,
    max_value: float | None = None,
    special: bool = False,
    smooth: bool = False,
    unique: bool = False,
) -> Array:
    """Arrays.

    Args:
        draw: supplied by Hypothesis.
        dtype: a dtype, or a strategy for one; any supported dtype by default.
        shape: a shape, or a strategy for one; `shapes()` by default.
        min_value: the least value; -8 (0 for unsigned integers) by default. It bounds both parts of
            complex numbers.
        max_value: the greatest value; 8 by default.
        special: whether to draw from all values of the dtype instead, NaNs of both signs,
            infinities, negative zero, subnormal numbers and the extreme integers included.
        smooth: whether floating values stay away from multiples of 1/8, where kinks are.
        unique: whether all values differ. The shape must leave enough of them.
    """
    if dtype is None:
        dtype = dtypes()
    if isinstance(dtype, st.SearchStrategy):
        dtype = draw(dtype)
    dtype = core_dtypes.as_dtype(dtype)
    if shape is None:
        shape = shapes()
    if isinstance(shape, st.SearchStrategy):
        shape = draw(shape)
    values = _elements(dtype, min_value, max_value, special, smooth)
    size = math.prod(shape)
    drawn = draw(st.lists(values, min_size=size, max_size=size, unique=unique))
    with np.errstate(all="ignore"):
        return wrap(np.array(drawn, _drawn_dtype(dtype)).astype(dtype).reshape(shape))


def _drawn_dtype(dtype: DType) -> DType:
    """A dtype that holds the drawn Python values of `dtype` without rounding them twice."""
    return np.dtype("float32") if dtype == core_dtypes.bfloat16 else dtype


def _elements(
    dtype: DType, least: float | None, greatest: float | None, special: bool, smooth: bool
) -> st.SearchStrategy[Any]:
    kind = core_dtypes.kind(dtype)
    if kind == "b":
        return st.booleans()
    if kind in "iu":
        return _integers(dtype, least, greatest, special)
    parts = _floats(core_dtypes.real_of(dtype), least, greatest, special, smooth)
    return st.builds(complex, parts, parts) if kind == "c" else parts


def _integers(
    dtype: DType, least: float | None, greatest: float | None, special: bool
) -> st.SearchStrategy[int]:
    info = np.iinfo(dtype)
    if special:
        extremes = [info.min, info.max, 0]
        return st.sampled_from(extremes) | st.integers(int(info.min), int(info.max))
    low = max(info.min, -8 if least is None else math.ceil(least))
    return st.integers(int(low), 8 if greatest is None else math.floor(greatest))


def _floats(
    dtype: DType, least: float | None, greatest: float | None, special: bool, smooth: bool
) -> st.SearchStrategy[float]:
    low = -8.0 if least is None else float(least)
    high = 8.0 if greatest is None else float(greatest)
    if smooth:
        # odd multiples of the grid between the bounds
        first, last = math.ceil((low / GRID - 1) / 2), math.floor((high / GRID - 1) / 2)
        return st.integers(first, last).map(lambda n: (2 * n + 1) * GRID)
    if special:
        extremes = [0.0, -0.0, math.inf, -math.inf, math.nan, -math.nan]
        return st.sampled_from(extremes) | st.floats(width=64 if dtype.itemsize == 8 else 32)
    widths: dict[int, Literal[16, 32, 64]] = {2: 16, 4: 32, 8: 64}
    return st.floats(low, high, width=widths[dtype.itemsize], allow_subnormal=False)


def axis(ndim: int) -> st.SearchStrategy[int]:
    """An axis of an array of `ndim` (at least one) dimensions, from either end."""
    return st.integers(-ndim, ndim - 1)


@st.composite
def axes(draw: Draw, ndim: int, min_size: int = 0, max_size: int | None = None) -> tuple[int, ...]:
    """Different axes of an array of `ndim` dimensions, in any order, from either end."""
    order = draw(st.permutations(range(ndim)))
    count = draw(st.integers(min_size, ndim if max_size is None else min(ndim, max_size)))
    return tuple(i - ndim if draw(st.booleans()) else i for i in order[:count])


def pytrees(leaves: st.SearchStrategy[Any], max_leaves: int = 6) -> st.SearchStrategy[Any]:
    """Nested tuples, lists, dictionaries and None with the given leaves."""
    keys = st.sampled_from("abcd")

    def nodes(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        lists = st.lists(children, max_size=3)
        return lists | lists.map(tuple) | st.dictionaries(keys, children, max_size=3)

    return st.recursive(leaves | st.none(), nodes, max_leaves=max_leaves)


@st.composite
def indices(draw: Draw, shape: Sequence[int], *, advanced: bool = True) -> tuple[Any, ...]:
    """What may stand in the brackets of an array of this shape, within its bounds.

    Integers, slices of either direction, None and an ellipsis; with `advanced`, also integer
    arrays and boolean masks.
    """
    places = len(shape)
    ellipsis = draw(st.booleans())
    indexed = draw(st.integers(0, places))
    # axes from the front, then those behind the ellipsis
    split = draw(st.integers(0, indexed)) if ellipsis else indexed
    used = [*range(split), *range(places - (indexed - split), places)]
    common = draw(shapes(max_dims=2, min_side=1, max_side=3))
    entries = [draw(_index(shape[i], common, advanced)) for i in used]
    if ellipsis:
        entries.insert(split, Ellipsis)
    for _ in range(draw(st.integers(0, 2))):
        entries.insert(draw(st.integers(0, len(entries))), None)
    return tuple(entries)


def _index(extent: int, common: Shape, advanced: bool) -> st.SearchStrategy[Any]:
    bounds = st.none() | st.integers(-extent - 2, extent + 2)
    steps = st.none() | st.sampled_from([1, 2, 3, -1, -2])
    choices: list[st.SearchStrategy[Any]] = [st.builds(slice, bounds, bounds, steps)]
    if extent:
        positions = st.integers(-extent, extent - 1)
        choices.append(positions)
        if advanced:
            choices.append(hnp.arrays(np.int32, common, elements=positions))
    return st.one_of(choices)


def masks(shape: Sequence[int]) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    """Boolean arrays of the given shape, to index with."""
    return hnp.arrays(bool, tuple(shape))


class DotGeneralProblem(NamedTuple):
    """Two shapes and the dimension numbers of a `dot_general` between them."""

    lhs_shape: Shape
    rhs_shape: Shape
    dimension_numbers: tuple[
        tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]
    ]


@st.composite
def dot_general_problems(draw: Draw, min_side: int = 0, max_side: int = 4) -> DotGeneralProblem:
    """Shapes of up to five dimensions with batch and contracting dimensions anywhere."""
    sides = st.integers(min_side, max_side)
    batch = draw(st.lists(sides, max_size=2))
    contracting = draw(st.lists(sides, max_size=2))
    shapes_, numbers = [], []
    for _ in range(2):
        free = draw(st.lists(sides, max_size=1))
        extents = [*batch, *contracting, *free]
        order = draw(st.permutations(range(len(extents))))
        shapes_.append(tuple(extents[i] for i in order))
        position = [order.index(i) for i in range(len(extents))]
        numbers.append(position)
    nb, nc = len(batch), len(contracting)
    batch_axes = tuple(tuple(p[:nb]) for p in numbers)
    contracting_axes = tuple(tuple(p[nb : nb + nc]) for p in numbers)
    return DotGeneralProblem(
        shapes_[0],
        shapes_[1],
        ((contracting_axes[0], contracting_axes[1]), (batch_axes[0], batch_axes[1])),
    )


class ConvolutionProblem(NamedTuple):
    """The shapes and the options of a `conv_general_dilated`."""

    lhs_shape: Shape
    rhs_shape: Shape
    window_strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    dimension_numbers: tuple[str, str, str]
    feature_group_count: int
    batch_group_count: int

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `conv_general_dilated`."""
        return dict(list(self._asdict().items())[2:])


@st.composite
def convolution_problems(draw: Draw, max_spatial: int = 2) -> ConvolutionProblem:
    """Convolutions of one or two spatial dimensions in any layout.

    Windows may stick out of the padded input, which then gives empty results.
    """
    n = draw(st.integers(1, max_spatial))

    def each(values: st.SearchStrategy[Any]) -> tuple[Any, ...]:
        return tuple(draw(values) for _ in range(n))

    groups = draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
    features, batch = groups
    per_group = draw(st.integers(1, 2))
    out_features = features * batch * draw(st.integers(1, 2))
    lhs = (batch * draw(st.integers(1, 2)), features * per_group, *each(st.integers(1, 5)))
    rhs = (out_features, per_group, *each(st.integers(1, 3)))
    spatial = "HW"[:n]
    layouts = [draw(st.permutations(letters + spatial)) for letters in ("NC", "OI", "NC")]
    pads = st.tuples(st.integers(-1, 2), st.integers(-1, 2))
    return ConvolutionProblem(
        _in_layout(lhs, "NC" + spatial, layouts[0]),
        _in_layout(rhs, "OI" + spatial, layouts[1]),
        window_strides=each(st.integers(1, 2)),
        padding=each(pads),
        lhs_dilation=each(st.integers(1, 2)),
        rhs_dilation=each(st.integers(1, 2)),
        dimension_numbers=("".join(layouts[0]), "".join(layouts[1]), "".join(layouts[2])),
        feature_group_count=features,
        batch_group_count=batch,
    )


def _in_layout(shape: Shape, letters: str, layout: Sequence[str]) -> Shape:
    return tuple(shape[letters.index(letter)] for letter in layout)


@st.composite
def padding_configs(draw: Draw, shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """What `lax.pad` is told: (low, high, interior) per axis; negative edges cut elements off."""
    return tuple(draw(_padding(extent)) for extent in shape)


@st.composite
def _padding(draw: Draw, extent: int) -> tuple[int, int, int]:
    interior = draw(st.integers(0, 2))
    dilated = extent + max(extent - 1, 0) * interior
    low = draw(st.integers(-min(2, dilated), 2))
    high = draw(st.integers(-min(2, dilated + low), 2))
    return low, high, interior
