"""All-reduces along a named axis of a surrounding `vmap` or `pmap`: sums, means, extrema.

Under vmap the named axis is an array axis, so the batching rule reduces over it. Under pmap the
shards run in parallel, and `impl` combines the values that the axis' communicator gathers.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from funcflow.core.array import SCALARS, aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.axes import axis_size as size_of
from funcflow.core.axes import find_axis
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_map
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import div, mul
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq
from funcflow.lax.linear import linear_jvp
from funcflow.lax.named_axes import AxisName, axes_effects, axis_names, communicator_of
from funcflow.lax.reduction import reduce_max, reduce_min
from funcflow.lax.shape import reduce_sum


def _all_reduce(
    name: str,
    ufunc: str,
    reduce_axis: Callable[[Any, tuple[int, ...]], Any],
    repeated: Callable[[Any, int], Any],
) -> Primitive:
    """An all-reduce.

    Shards are combined by NumPy's `ufunc`; under vmap, lanes by `reduce_axis(x, axes)`, or
    `repeated(x, size)` for a value that is the same in every lane.
    """
    primitive = Primitive(name)

    def abstract(x: ShapedArray, *, axes: tuple[AxisName, ...]) -> ShapedArray:
        for axis in axes:
            find_axis(axis, name)
        return x.strip_weak_type()

    def impl(xp: Any, x: Any, *, axes: tuple[AxisName, ...]) -> Any:
        for axis in axes:
            shards = communicator_of(axis, name).all_gather(x)
            x = reduce(getattr(xp, ufunc), shards)  # by rank, so that timing changes nothing
        return x

    def batch(ctx: Any, args: Any, dims: Any, *, axes: tuple[AxisName, ...]) -> Any:
        (x,), (d,) = args, dims
        if ctx.axis_name in axes:
            x = repeated(x, ctx.size) if d is None else reduce_axis(x, (d,))
            axes, d = tuple(a for a in axes if a != ctx.axis_name), None
        return (primitive.bind(x, axes=axes) if axes else x), d

    define(
        primitive,
        abstract=abstract,
        impl=impl,
        jvp=linear_jvp(primitive) if name == "psum" else _extremum_jvp(primitive),
        transpose=_psum_transpose if name == "psum" else NONLINEAR,
        batch=batch,
        effects=axes_effects,
    )
    return primitive


def _psum_transpose(ctx: Any, ct: Any, x: Any, *, axes: tuple[AxisName, ...]) -> Any:
    return [psum_p.bind(ct, axes=axes)]


def _extremum_jvp(primitive: Primitive) -> Callable[..., Any]:
    """Like the derivative of a maximum over an array: ties share it."""

    def rule(ctx: Any, primals: Any, tangents: Any, *, axes: tuple[AxisName, ...]) -> Any:
        (x,), (t,) = primals, tangents
        out = primitive.bind(x, axes=axes)
        if type(t) is Zero:
            return out, Zero(out.aval)
        chosen = convert_element_type(eq(x, out), aval_of(t).dtype)
        count = psum_p.bind(chosen, axes=axes)
        return out, psum_p.bind(div(mul(t, chosen), count), axes=axes)

    return rule


def _times(x: Any, size: int) -> Any:
    return mul(x, np.asarray(size, aval_of(x).dtype))


psum_p = _all_reduce("psum", "add", reduce_sum, _times)
pmax_p = _all_reduce("pmax", "maximum", reduce_max, lambda x, n: x)
pmin_p = _all_reduce("pmin", "minimum", reduce_min, lambda x, n: x)


def psum(x: Any, axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The sum of `x` over the named axis (or axes), the same in every lane.

    Args:
        x: a pytree of arrays. Of a Python number the result is a Python number, so
            `psum(1, axis_name)` is the axis' size.
        axis_name: a name given to `vmap` or `pmap`, or several.

    Raises:
        UnboundAxisError: no surrounding `vmap` or `pmap` has the axis.

    Example:
        >>> ff.vmap(lambda x: x / ff.lax.psum(x, "i"), axis_name="i")(fnp.array([1.0, 3.0]))
        Array([0.25, 0.75], dtype=float32)
    """
    axes = axis_names(axis_name)

    def one(leaf: Any) -> Any:
        if type(leaf) in SCALARS:
            return leaf * size_of(axes, "psum")
        return psum_p.bind(leaf, axes=axes)

    return tree_map(one, x)


def pmean(x: Any, axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The mean of `x` over the named axis (or axes), the same in every lane."""
    size = size_of(axis_names(axis_name), "pmean")

    def one(total: Any) -> Any:
        if type(total) in SCALARS:
            return total / size
        return div(total, np.asarray(size, aval_of(total).dtype))

    return tree_map(one, psum(x, axis_name))


def pmax(x: Any, axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The maximum of `x` over the named axis (or axes), the same in every lane."""
    axes = axis_names(axis_name)
    return tree_map(lambda leaf: pmax_p.bind(leaf, axes=axes), x)


def pmin(x: Any, axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The minimum of `x` over the named axis (or axes), the same in every lane."""
    axes = axis_names(axis_name)
    return tree_map(lambda leaf: pmin_p.bind(leaf, axes=axes), x)
