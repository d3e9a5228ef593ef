"""Loops made of `scan` and `while_loop`: `fori_loop`, `map`, `associative_scan`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import SCALARS, ConcreteArray, aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError, TreeStructureError
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import flatten_arguments, name_of
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.pytree import tree_flatten, tree_structure
from funcflow.core.staging import stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax import arithmetic
from funcflow.lax.carry import trace_body
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import lt
from funcflow.lax.creation import iota
from funcflow.lax.forms import add
from funcflow.lax.joining import concatenate
from funcflow.lax.linear import canonical_axis
from funcflow.lax.progress import check_label, shown_while
from funcflow.lax.scan import bind_scan, scan, scan_of
from funcflow.lax.shape import moveaxis, reshape
from funcflow.lax.slicing import pad, rev, slice_in_dim
from funcflow.lax.while_binding import bind_while
from funcflow.lax.while_loop import carries_kept


@hides_internal_frames
def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
    checkpoint: str | int | None = None,
    progress: str | None = None,
) -> Any:
    """`for i in range(lower, upper): val = body_fun(i, val)`.

    With bounds that are known while tracing it is a `scan`, otherwise a `while_loop`. The index has
    the dtype of the bounds, and like these it is weakly typed if they are Python numbers.

    Args:
        lower: the first index, an integer scalar.
        upper: where to stop, an integer scalar.
        body_fun: from the index and the value to the next value.
        init_val: the first value, a pytree of arrays.
        unroll: accepted for compatibility.
        checkpoint: which values the reverse pass saves: as in `scan`, or as in `while_loop`.
        progress: a label for a bar on stderr, as in `scan`.

    Raises:
        ArgumentError: `checkpoint` is neither a positive number nor "sqrt", or "log" where a bound
            is not known while tracing; `progress` is no label.
        DtypeError: a bound is no integer.
        CarryTypeError: the body changes the value's type.

    Example:
        >>> ff.lax.fori_loop(0, 5, lambda i, x: x + i, 0)
        Array(10, dtype=int32, weak_type=True)
    """
    del unroll
    _check_function("fori_loop", "body_fun", body_fun)
    for what, bound in (("lower", lower), ("upper", upper)):
        aval = aval_of(bound)
        if aval.shape != () or not dtypes.is_integer(aval.dtype):
            raise DtypeError(
                f"fori_loop: {what} must be an integer scalar, got {aval}",
                mend="convert the bound to an integer",
            )
    dtype, weak = dtypes.promote(
        *((aval_of(b).dtype, aval_of(b).weak_type) for b in (lower, upper))
    )
    index = ShapedArray((), dtype, weak)

    def step(value: Any, i: Any) -> Any:
        return body_fun(i, value)

    step.__name__ = name_of(body_fun)
    values, in_tree = flatten_arguments("fori_loop", (init_val, np.zeros((), dtype)), {})
    tree = tree_structure(init_val)
    closed, flat, values = trace_body(
        "fori_loop", step, in_tree, tree, values[:-1], [index], lambda result: result
    )
    if _is_known(lower) and _is_known(upper):
        start, length = int(lower), max(int(upper) - int(lower), 0)
        run = scan_of("fori_loop", length, checkpoint, progress)
        if run is bind_scan:
            indices = add(iota(dtype, length), np.asarray(start, dtype))
            indices = convert_element_type(indices, dtype, weak)
            outs = run(closed, [], values, [indices], length, False)
        else:  # pieces of an array of indices would keep all of it in memory
            first = convert_element_type(np.asarray(start, dtype), dtype, weak)
            outs = run(_counting(closed, index), [], [first, *values], [], length, False)[1:]
    else:
        kept = carries_kept("fori_loop, with bounds that tracing does not know", checkpoint)
        check_label("fori_loop", progress)
        outs = _counted_loop(closed, index, lower, upper, values, kept, progress)
    return flat.out_tree.unflatten(outs)


def _counting(body: ClosedJaxpr, index: ShapedArray) -> ClosedJaxpr:
    """From (index, carry) to the next of both; `body` maps (carry, index) to the carry."""

    def step(i: Any, *values: Any) -> list[Any]:
        return [add(i, 1), *eval_closed(body, *values, i)]

    return stage_out(step, [index, *body.in_avals[:-1]])


def _counted_loop(
    body: ClosedJaxpr,
    index: ShapedArray,
    lower: Any,
    upper: Any,
    values: list[Any],
    kept: int | None,
    label: str | None,
) -> list[Any]:
    """A while loop of `body`, which maps (carry, index) to the carry."""

    def before_the_end(upper: Any, i: Any, *values: Any) -> list[Any]:
        return [lt(i, upper)]

    avals = [index, *(aval_of(x) for x in values)]
    lower, upper = (
        convert_element_type(bound, index.dtype, index.weak_type) for bound in (lower, upper)
    )
    cond = stage_out(before_the_end, [index, *avals])
    run = partial(bind_while, checkpoint=kept)
    if label is not None:
        run = shown_while(run, label, _distance(lower, upper))
    return run(cond, _counting(body, index), [upper], [], [lower, *values])[1:]


def _distance(lower: Any, upper: Any) -> Any:
    """How many steps lead from one bound to the other."""
    lower, upper = (convert_element_type(bound, np.dtype("int64")) for bound in (lower, upper))
    return arithmetic.max(arithmetic.sub(upper, lower), np.int64(0))


def _check_function(function: str, argument: str, f: Any) -> None:
    if not callable(f):
        raise ArgumentError(
            f"{function}: {argument} must be a function, got {f!r}",
            mend="pass a function, not its result",
        )


def _is_known(bound: Any) -> bool:
    return type(bound) in SCALARS or isinstance(bound, ConcreteArray | np.ndarray | np.generic)


@hides_internal_frames
def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """Apply `f` to each element of `xs` along the leading axis, one after the other.

    Args:
        f: a function of one element.
        xs: a pytree of arrays with a common leading axis.

    Example:
        >>> ff.lax.map(lambda x: x * x, fnp.arange(3))
        Array([0, 1, 4], dtype=int32)
    """
    _check_function("map", "f", f)
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


@hides_internal_frames
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
        AxisError: an array has no such axis.
        ShapeError: the extents differ, or `fn` changes shapes or dtypes.
        TreeStructureError: `fn` returns another number of arrays.

    Example:
        >>> ff.lax.associative_scan(fnp.add, fnp.arange(4))
        Array([0, 1, 3, 6], dtype=int32)

    Source: Blelloch, "Prefix sums and their applications", 1990.
    """
    _check_function("associative_scan", "fn", fn)
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

        given = to_axis(a)
        result = tree_flatten(fn(given, to_axis(b)))[0]
        _check_combined(name_of(fn), tree_flatten(given)[0], result)
        return [moveaxis(x, k, 0) for x, k in zip(result, axes, strict=True)]

    outs = _prefixes(combine, front)
    if reverse:
        outs = [rev(x, (0,)) for x in outs]
    return treedef.unflatten(moveaxis(x, 0, a) for x, a in zip(outs, axes, strict=True))


def _check_combined(name: str, given: list[Any], result: list[Any]) -> None:
    if len(given) != len(result):
        raise TreeStructureError(
            f"associative_scan: {name} is given elements of {len(given)} arrays, it returned "
            f"{len(result)}",
            mend="combine two elements into one of the same structure",
        )
    for a, b in ((aval_of(x), aval_of(y)) for x, y in zip(given, result, strict=True)):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ShapeError(
                f"associative_scan: {name} must return the types that it is given, but it made "
                f"{b} of {a}",
                mend="combine elementwise along the axis, and keep the dtype",
            )


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
