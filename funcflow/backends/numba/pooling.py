"""Reductions over sliding windows as kernels: pooling, the places of its maxima, its gradients.

The loops run over the windows, the innermost with vectors, so that in the layout NHWC a vector
holds the features of one window. The elements of a window are unrolled: where they are, and whether
that is inside the array, is computed once for each window, outside the innermost loop if it can be.

Where there are no holes between the array's elements, those of a window lie at fixed distances from
the operand's strided element, and loads beyond the array's ends are masked. With holes (in the
gradient of a sum over windows) only some positions hold an element, found by division.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.loop_ir import ANY, FIXED, INDEX, UNIT, Builder, Kernel, Operand, Value
from funcflow.backends.places import parameters
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import Step, View, dense_strides
from funcflow.backends.schedule import grain
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.monoid import max_identity, min_identity
from funcflow.lax.window import (
    reduce_window_max_p,
    reduce_window_min_p,
    reduce_window_sum_p,
    window_winners_p,
)
from funcflow.lax.window_shapes import Window

# Windows of more elements are reduced along one axis after the other.
_MAX_UNROLLED = 64
_VECTOR_BYTES = 64
_MOST_LANES = 16  # masks and indices have 64 bits per lane

Fold = Callable[["_Writer", Sequence["_Element"]], Value]


# --- lowerings --------------------------------------------------------------------------------


def _lower_reduction(reduction: "_Reduction", plan: Planner, eqn: JaxprEqn) -> None:
    window, x = Window(**eqn.params), plan.operand(eqn.invars[0])
    reason = _unsuitable(x, window, max(window.window_dimensions, default=1))
    if reason:
        plan.host(eqn, reason)
        return
    parts = _separated(window) if prod(window.window_dimensions) > _MAX_UNROLLED else [window]
    for part in parts[:-1]:
        target = plan.temporary(part.shape(x.shape), dtypes.accumulator(x.dtype))
        plan.steps.append(_Writer(part, x, target).step(reduction.fold, eqn))
        x = target
    target = plan.result(eqn.outvars[0])
    plan.steps.append(_Writer(parts[-1], x, target).step(reduction.fold, eqn))


def _lower_winners(plan: Planner, eqn: JaxprEqn) -> None:
    params = dict(eqn.params)
    beats = {"max": "gt", "min": "lt"}[params.pop("select")]
    batch_dims = params.pop("batch_dims")
    window, x = Window(**params), plan.operand(eqn.invars[0])
    reason = _unsuitable(x, window, prod(window.window_dimensions))
    if reason or x.dtype == np.bool_:
        plan.host(eqn, reason or "the place of a maximum of truth values")
        return
    writer = _Writer(window, x, plan.result(eqn.outvars[0]), batch_dims)
    plan.steps.append(writer.step(partial(_winner, beats), eqn))


def _unsuitable(x: View, window: Window, unrolled: int) -> str:
    """Why there is no kernel for these windows, if there is none."""
    if x.size == 0 or 0 in window.shape(x.shape) or not x.shape:
        return "no windows"
    if dtypes.is_complex(x.dtype):
        return "complex numbers"
    return f"a window of {unrolled} elements" if unrolled > _MAX_UNROLLED else ""


def _separated(window: Window) -> list[Window]:
    """Windows along one axis at a time, the last axis first, as the reference does it."""
    rank = len(window.window_dimensions)
    trivial = (1, 1, (0, 0), 1, 1)
    parts = []
    for axis in reversed(range(rank)):
        own = tuple(field[axis] for field in window)
        if own != trivial:
            fields: Any = (
                tuple(f if i == axis else t for i in range(rank))
                for f, t in zip(own, trivial, strict=True)
            )
            parts.append(Window(*fields))
    return parts


# --- what is done with the elements of a window -------------------------------------------------


class _Element(NamedTuple):
    """An element of a window: how much further on it lies, and whether it is there.

    `index` is its place in the flat array, but for the axes along which windows are one element.
    None means 0, and true.
    """

    offset: Value | None = None
    mask: Value | None = None
    index: Value | None = None


class _Reduction(NamedTuple):
    """A reduction of windows: the last axis is folded first, and each from its first element on.

    That is the order of the reference but for long, overlapping windows, which it folds by doubling
    (`lax.window.fold_windows`): sums of those may differ in their last bits.
    """

    op: str
    op_of_bools: str
    identity: Callable[[np.dtype[Any]], Any]

    def fold(self, write: "_Writer", elements: Sequence[_Element]) -> Value:
        """The reduction of a window's elements."""
        build, dtype, result = write.build, write.x.dtype, write.out.dtype
        wide = dtypes.accumulator(dtype)
        values = [self._load(build, element, dtype, wide) for element in elements]
        combine = partial(build.let, self.op_of_bools if dtype == np.bool_ else self.op)
        for size in reversed(write.window.window_dimensions):
            rows = [values[i : i + size] for i in range(0, len(values), size)]
            values = [reduce(combine, row) for row in rows]
        (total,) = values
        return total if wide == result else build.let("convert", total, dtype=result)

    def _load(self, build: Builder, element: _Element, dtype: Any, wide: Any) -> Value:
        value = build.load(0, dtype, element.offset, element.mask)
        if wide != dtype:
            value = build.let("convert", value, dtype=wide)
        if element.mask is None:
            return value
        return build.let("select", element.mask, value, build.const(self.identity(wide), wide))


def _winner(beats: str, write: "_Writer", elements: Sequence[_Element]) -> Value:
    """The flat index of the first NaN, else of the first extremum, else -1."""
    build, dtype, place = write.build, write.x.dtype, write.out.dtype
    nothing, zero = build.const(-1, place), build.const(0, place)
    found: list[tuple[Value, Value]] = []
    for element in elements:
        value = build.load(0, dtype, element.offset, element.mask)
        index = zero if element.index is None else element.index
        if element.mask is not None:
            index = build.let("select", element.mask, index, nothing)
        if found:
            best, where = found.pop()
            won = _wins(build, beats, value, best)
            if element.mask is not None:
                won = build.let("and", won, element.mask)
                won = build.let("or", won, build.let("lt", where, zero))
            value = build.let("select", won, value, best)
            index = build.let("select", won, index, where)
        found.append((value, index))
    ((_, where),) = found
    total = build.let("add", where, write.common_index())
    if all(element.mask is None for element in elements):
        return total
    return build.let("select", build.let("lt", where, zero), nothing, total)


def _wins(build: Builder, beats: str, y: Value, x: Value) -> Value:
    """Whether `y` is better than `x`, which comes before it. A NaN is best."""
    better = build.let(beats, y, x)
    if not dtypes.is_inexact(y.dtype):
        return better
    only = build.let("and", build.let("ne", y, y), build.let("eq", x, x))
    return build.let("or", better, only)


# --- the kernel -------------------------------------------------------------------------------


class _Writer:
    """Writes the kernel of one reduction over windows.

    `batch_dims`: where flat indices are wanted, how many axes they do not count.
    """

    def __init__(self, window: Window, x: View, out: View, batch_dims: int | None = None) -> None:
        self.window, self.x, self.out = window, x, out
        self.build = Builder()
        self._scalars: list[int] = []
        # Scalars are read at the root of the kernel, where they are the same for all lanes.
        self._axes = [self._axis(i) for i in range(len(x.shape))]
        # The flat index of an element grows by so much per position, or per window if that is one.
        self._flat: dict[int, Value] = {}
        if batch_dims is not None:
            for i, stride in enumerate(dense_strides(x.shape[batch_dims:]), batch_dims):
                steps = 1 if self._axes[i].shifts else window.window_strides[i]
                self._flat[i] = self._scalar(stride * steps)

    def step(self, fold: Fold, eqn: JaxprEqn) -> Step:
        """The step that runs the kernel."""
        x, out = self.x, self.out
        combinations = list(product(*map(range, self.window.window_dimensions)))
        self._write_loops(0, combinations, [self._fixed(k) for k in combinations], fold)
        strides = [
            0 if axis.holes else stride * step
            for axis, stride, step in zip(
                self._axes, x.strides, self.window.window_strides, strict=True
            )
        ]
        operands = (
            Operand(x.dtype, tuple(map(_kind, strides))),
            Operand(out.dtype, tuple(map(_kind, out.strides)), written=True),
        )
        scalars = (INDEX,) * len(self._scalars)
        kernel = Kernel(len(x.shape), operands, scalars, self.build.body, split=True)
        values = [np.int64(value) for value in self._scalars]
        return Step(
            kernel,
            (x,),
            (out,),
            parameters(kernel, out.shape, (strides, out.strides), values),
            out.shape[0],
            grain(out.shape),
            eqns=(eqn,),
            note=f"windows of {'x'.join(map(str, self.window.window_dimensions))}",
        )

    def _scalar(self, value: int) -> Value:
        self._scalars.append(value)
        return self.build.scalar(len(self._scalars) - 1, INDEX)

    def _axis(self, i: int) -> "_Axis":
        window = self.window
        size, stride = window.window_dimensions[i], window.window_strides[i]
        base, dilation = window.base_dilation[i], window.window_dilation[i]
        low, _ = window.padding[i]
        extent, apart = self.x.shape[i], self.x.strides[i]
        last = (self.out.shape[i] - 1) * stride + (size - 1) * dilation - low
        outside = low > 0 or last > (extent - 1) * base
        if size == 1 and base == 1 and low == 0 and not outside:
            return _Axis()
        holes = base > 1
        shifts = [k * dilation - low for k in range(size)]
        return _Axis(
            outside,
            holes,
            self._scalar(stride),
            [self._scalar(shift) for shift in shifts],
            [None if holes or not shift else self._scalar(shift * apart) for shift in shifts],
            self._scalar(extent),
            self._scalar(base) if holes else None,
            self._scalar(apart) if holes else None,
        )

    def _fixed(self, combination: Sequence[int]) -> "_Element":
        """An element, as far as it does not depend on which window it is in."""
        distances = [
            axis.distances[k]
            for axis, k in zip(self._axes, combination, strict=True)
            if axis.distances
        ]
        return _Element(self._both("add", *distances))

    def _write_loops(
        self,
        i: int,
        combinations: Sequence[Sequence[int]],
        elements: Sequence["_Element"],
        fold: Fold,
    ) -> None:
        if i == len(self._axes):
            self.build.store(1, fold(self, elements))
            return
        innermost = i == len(self._axes) - 1
        lanes = min(_MOST_LANES, _VECTOR_BYTES // dtypes.accumulator(self.x.dtype).itemsize)
        with self.build.loop(i, lanes if innermost else 1):
            if self._axes[i].shifts:
                places = [self._place(i, k) for k in range(len(self._axes[i].shifts))]
                joined = cache(self._joined)
                elements = [
                    joined(element, places[k[i]])
                    for element, k in zip(elements, combinations, strict=True)
                ]
            self._write_loops(i + 1, combinations, elements, fold)

    def _place(self, i: int, k: int) -> "_Element":
        """Element k of the window at the loop's index, along one axis."""
        axis, let = self._axes[i], self.build.let
        if not (axis.outside or axis.holes or i in self._flat):
            return _Element()
        zero = self.build.const(0, INDEX)
        position = let("add", let("mul", self.build.index(i), axis.stride), axis.shifts[k])
        mask: Any = None
        offset = None
        if axis.outside or axis.holes:
            mask = let("ge", position, zero)
        if axis.holes:
            filled = let("div", position, axis.base)
            mask = let("and", mask, let("eq", let("mul", filled, axis.base), position))
            position = filled
            offset = let("mul", position, axis.apart)
        if mask is not None:
            mask = let("and", mask, let("lt", position, axis.extent))
        index = None
        if i in self._flat:
            index = self._as_place(let("mul", position, self._flat[i]))
        return _Element(offset, mask, index)

    def common_index(self) -> Value:
        """The part of the flat index that all elements of a window share."""
        let = self.build.let
        terms = [
            self._as_place(let("mul", self.build.index(i), stride))
            for i, stride in self._flat.items()
            if not self._axes[i].shifts
        ]
        return self._both("add", *terms) or self.build.const(0, self.out.dtype)

    def _as_place(self, index: Value) -> Value:
        """An index in the dtype of the result."""
        dtype = self.out.dtype
        return index if dtype == INDEX else self.build.let("convert", index, dtype=dtype)

    def _joined(self, a: "_Element", b: "_Element") -> "_Element":
        """An element's places along two axes, as one."""
        return _Element(
            self._both("add", a.offset, b.offset),
            self._both("and", a.mask, b.mask),
            self._both("add", a.index, b.index),
        )

    def _both(self, op: str, *values: Value | None) -> Any:
        """Values joined; None is neutral."""
        given = [v for v in values if v is not None]
        return reduce(partial(self.build.let, op), given) if given else None


class _Axis(NamedTuple):
    """How windows lie along an axis, as values of the kernel; empty if they are one element.

    Element k of window i is at position i * stride + shifts[k] of the array with its holes, where
    only every `base`-th position is one of the array's elements, which lie `apart`. Without holes,
    it lies `distances[k]` from the operand's strided element. `outside`: some positions are not in
    the array.
    """

    outside: bool = False
    holes: bool = False
    stride: Any = None
    shifts: Sequence[Value] = ()
    distances: Sequence[Value | None] = ()
    extent: Any = None
    base: Any = None
    apart: Any = None


def _kind(stride: int) -> Any:
    return {0: FIXED, 1: UNIT}.get(stride, ANY)


LOWERINGS: dict[Primitive, Lowering] = {
    reduce_window_max_p: partial(_lower_reduction, _Reduction("max", "or", max_identity)),
    reduce_window_min_p: partial(_lower_reduction, _Reduction("min", "and", min_identity)),
    reduce_window_sum_p: partial(
        _lower_reduction, _Reduction("add", "or", lambda dtype: np.zeros((), dtype))
    ),
    window_winners_p: _lower_winners,
}
