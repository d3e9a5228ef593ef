"""Loops made of `scan` and `while_loop`: `fori_loop`, `map`, `associative_scan`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import SCALARS, ConcreteArray, aval_of, ndim_of, shape_of
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.core.pytree import tree_flatten
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import lt
from funcflow.lax.creation import iota
from funcflow.lax.forms import add
from funcflow.lax.joining import concatenate
from funcflow.lax.linear import canonical_axis
from funcflow.lax.scan import scan
from funcflow.lax.shape import moveaxis, reshape
from funcflow.lax.slicing import pad, rev, slice_in_dim
from funcflow.lax.while_loop import while_loop


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """`for i in range(lower, upper): val = body_fun(i, val)`.

    With bounds that are known while tracing it is a `scan`, otherwise a `while_loop`.

    Args:
        lower: the first index, an integer scalar.
        upper: where to stop, an integer scalar.
        body_fun: from the index and the value to the next value.
        init_val: the first value, a pytree of arrays.
        unroll: accepted for compatibility.

    Raises:
        DtypeError: a bound is no integer.
        CarryTypeError: the body changes the value's type.

    Example:
        >>> ff.lax.fori_loop(0, 5, lambda i, x: x + i, 0)
        Array(10, dtype=int32, weak_type=True)
    """
    del unroll
    for what, bound in (("lower", lower), ("upper", upper)):
        aval = aval_of(bound)
        if aval.shape != () or not dtypes.is_integer(aval.dtype):
            raise DtypeError(
                f"fori_loop: {what} must be an integer scalar, got {aval}",
                mend="convert the bound to an integer",
            )
    if _is_known(lower) and _is_known(upper):
        start, stop = int(lower), int(upper)

        def step(carry: Any, i: Any) -> tuple[Any, None]:
            return body_fun(i, carry), None

        step.__name__ = getattr(body_fun, "__name__", "body_fun")
        dtype = dtypes.promote(*((aval_of(b).dtype, aval_of(b).weak_type) for b in (lower, upper)))[
            0
        ]
        indices = add(iota(dtype, max(stop - start, 0)), np.asarray(start, dtype))
        return scan(step, init_val, indices)[0]

    dtype, _ = dtypes.promote(*((aval_of(b).dtype, aval_of(b).weak_type) for b in (lower, upper)))
    lower, upper = convert_element_type(lower, dtype), convert_element_type(upper, dtype)
    one = np.ones((), dtype)

    def cond(state: Any) -> Any:
        i, end, _ = state
        return lt(i, end)

    def body(state: Any) -> Any:
        i, end, value = state
        return add(i, one), end, body_fun(i, value)

    return while_loop(cond, body, (lower, upper, init_val))[2]


def _is_known(bound: Any) -> bool:
    return type(bound) in SCALARS or isinstance(bound, ConcreteArray | np.ndarray | np.generic)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """Apply `f` to each element of `xs` along the leading axis, one after the other.

    Args:
        f: a function of one element.
        xs: a pytree of arrays with a common leading axis.

    Example:
        >>> ff.lax.map(lambda x: x * x, fnp.arange(3))
        Array([0, 1, 4], dtype=int32)
    """
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """All prefixes of `elems` combined with an associative function, in O(log n) steps.

    Args:
        fn: combines two pytrees of arrays elementwise along `axis`; associative.
        elems: a pytree of arrays with a common extent along `axis`.
        reverse: combine suffixes instead.
        axis: the axis to combine along.

    Raises:
        ShapeError: the extents differ.

    Example:
        >>> ff.lax.associative_scan(fnp.add, fnp.arange(4))
        Array([0, 1, 3, 6], dtype=int32)

    Source: Blelloch, "Prefix sums and their applications", 1990.
    """
    if not callable(fn):
        raise ArgumentError(
            f"associative_scan: fn must be a function, got {fn!r}",
            mend="associative_scan(fn, elems)",
        )
    leaves, treedef = tree_flatten(elems)
    axes = [canonical_axis(axis, ndim_of(x), "associative_scan") for x in leaves]
    if len({shape_of(x)[a] for x, a in zip(leaves, axes, strict=True)}) > 1:
        raise ShapeError(
            f"associative_scan: the extents along axis {axis} differ: "
            f"{', '.join(str(aval_of(x)) for x in leaves)}",
            mend="give all arrays the same extent along the axis",
        )
    front = [moveaxis(x, a, 0) for x, a in zip(leaves, axes, strict=True)]
    if reverse:
        front = [rev(x, (0,)) for x in front]

    def combine(a: list[Any], b: list[Any]) -> list[Any]:
        def to_axis(xs: list[Any]) -> Any:
            return treedef.unflatten(moveaxis(x, 0, k) for x, k in zip(xs, axes, strict=True))

        result = tree_flatten(fn(to_axis(a), to_axis(b)))[0]
        return [moveaxis(x, k, 0) for x, k in zip(result, axes, strict=True)]

    outs = _prefixes(combine, front)
    if reverse:
        outs = [rev(x, (0,)) for x in outs]
    return treedef.unflatten(moveaxis(x, 0, a) for x, a in zip(outs, axes, strict=True))


def _prefixes(combine: Callable[[list[Any], list[Any]], list[Any]], xs: list[Any]) -> list[Any]:
    """Combine neighbours, scan the half-length result, and fill in the elements between."""
    n = shape_of(xs[0])[0] if xs else 0
    if n < 2:
        return xs

    def every_other(x: Any, start: int, stop: int) -> Any:
        return slice_in_dim(x, start, stop, 2)

    pairs = combine([every_other(x, 0, n - 1) for x in xs], [every_other(x, 1, n) for x in xs])
    odd = _prefixes(combine, pairs)
    if n % 2 == 0:
        before = [slice_in_dim(x, 0, shape_of(x)[0] - 1) for x in odd]
    else:
        before = odd
    between = combine(before, [every_other(x, 2, n) for x in xs])
    even = [concatenate([slice_in_dim(x, 0, 1), y], 0) for x, y in zip(xs, between, strict=True)]
    return [_interleave(a, b) for a, b in zip(even, odd, strict=True)]


def _interleave(a: Any, b: Any) -> Any:
    """a[0], b[0], a[1], b[1], ...; `a` is as long as `b`, or one longer."""
    n = shape_of(a)[0] + shape_of(b)[0]
    if shape_of(a)[0] > shape_of(b)[0]:
        config = [(0, 1, 0)] + [(0, 0, 0)] * (ndim_of(b) - 1)
        b = pad(b, np.zeros((), aval_of(b).dtype), config)
    rows = concatenate([reshape(x, (shape_of(x)[0], 1, *shape_of(x)[1:])) for x in (a, b)], 1)
    return slice_in_dim(reshape(rows, (2 * shape_of(a)[0], *shape_of(a)[1:])), 0, n)
