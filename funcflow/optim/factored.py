"""Adafactor's averages of squares: for a matrix, only those of its rows and columns."""

from typing import Any, NamedTuple

import numpy as np

import funcflow.numpy as fnp
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.pytree import tree_map
from funcflow.core.typing import PyTree, Shape
from funcflow.optim.base import GradientTransformation
from funcflow.optim.leaves import (
    first_count,
    increment,
    map_with_memory,
    scalar,
    scaled,
    squared,
    working,
)


class FactoredState(NamedTuple):
    """The number of updates; averages of squares over rows, over columns, or not factored.

    Where a parameter has no use for one of the three, an array of one element takes its place.
    """

    count: Array
    v_row: PyTree
    v_col: PyTree
    v: PyTree


def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: Any = 0.8,
    step_offset: Any = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: Any = 1e-30,
) -> GradientTransformation:
    """Divide by the root of averages of squares, kept as a product of a column and a row.

    N. Shazeer and M. Stern, "Adafactor: adaptive learning rates with sublinear memory cost" (2018),
    algorithms 1 and 2. The average of step t has the decay `1 - t**-decay_rate`.

    Args:
        factored: whether to keep products; the two longest axes are those of the matrices.
        decay_rate: see above.
        step_offset: the number of the first step, when a training goes on.
        min_dim_size_to_factor: if one of the two axes is shorter, there is no product.
        epsilon: is added to the squares.

    Example:
        >>> rms = ff.optim.scale_by_factored_rms(min_dim_size_to_factor=1)
        >>> state = rms.init(fnp.zeros((3, 5)))
        >>> state.v_row.shape, state.v_col.shape
        ((3,), (5,))
        >>> rms.update(fnp.full((3, 5), 7.0), state)[0][0]
        Array([1., 1., 1., 1., 1.], dtype=float32)
    """

    def axes(shape: Shape) -> tuple[int, int] | None:
        """The second longest axis and the longest one."""
        if not factored or len(shape) < 2:
            return None
        second, longest = (int(i) for i in np.argsort(shape, kind="stable")[-2:])
        return None if shape[second] < min_dim_size_to_factor else (second, longest)

    def init(params: PyTree) -> FactoredState:
        def memory(p: Any) -> tuple[Array, Array, Array]:
            p = fnp.asarray(p)
            found, none = axes(p.shape), (1,)
            if found is None:
                shapes = none, none, p.shape
            else:
                rows, columns = (_without(p.shape, axis) for axis in reversed(found))
                shapes = rows, columns, none
            dtype = dtypes.accumulator(dtypes.real_of(p.dtype))
            row, column, whole = (fnp.zeros(shape, dtype) for shape in shapes)
            return row, column, whole

        v_row, v_col, v = (tree_map(lambda p, i=i: memory(p)[i], params) for i in range(3))
        return FactoredState(first_count(), v_row, v_col, v)

    def update(
        updates: PyTree, state: FactoredState, params: PyTree = None
    ) -> tuple[PyTree, FactoredState]:
        number = fnp.float64(state.count - step_offset + 1)
        fresh = number**-decay_rate

        def blend(old: Array, new: Array) -> Array:
            return scaled(old, 1 - fresh) + scaled(new, fresh)

        def step(g: Any, v_row: Any, v_col: Any, v: Any) -> tuple[Array, Array, Array, Array]:
            g = working(g)
            squares = squared(g)
            squares = squares + scalar(epsilon, squares.dtype)
            found = axes(g.shape)
            if found is None:
                v = blend(v, squares)
                return g / fnp.sqrt(v), v_row, v_col, v
            second, longest = found
            v_row = blend(v_row, fnp.mean(squares, axis=longest))
            v_col = blend(v_col, fnp.mean(squares, axis=second))
            row_axis = second - 1 if second > longest else second
            rows = v_row / fnp.mean(v_row, axis=row_axis, keepdims=True)
            row_factor = fnp.expand_dims(1 / fnp.sqrt(rows), longest)
            column_factor = fnp.expand_dims(1 / fnp.sqrt(v_col), second)
            return g * row_factor * column_factor, v_row, v_col, v

        updates, *memory = map_with_memory(
            "scale_by_factored_rms", step, updates, state.v_row, state.v_col, state.v
        )
        return updates, FactoredState(increment(state.count), *memory)

    return GradientTransformation(init, update)


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])
