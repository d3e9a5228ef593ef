"""Comparisons, and the choice between arrays: `select_n`, `select`, `clamp`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core.array import Array, aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import DtypeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.bitwise import and_p
from funcflow.lax.forms import (
    ANY,
    check_same_dtypes,
    elementwise,
    elementwise_batch,
    same_dtype,
    to_bool,
)
from funcflow.lax.shape import broadcast_shapes_of, broadcast_to, unbroadcast

# --- comparisons ----------------------------------------------------------------------------

ORDERED = "biuf"

eq_p = elementwise("eq", lambda xp, x, y: xp.equal(x, y), takes=ANY, out_dtype=to_bool)
ne_p = elementwise("ne", lambda xp, x, y: xp.not_equal(x, y), takes=ANY, out_dtype=to_bool)
lt_p = elementwise("lt", lambda xp, x, y: xp.less(x, y), takes=ORDERED, out_dtype=to_bool)
le_p = elementwise("le", lambda xp, x, y: xp.less_equal(x, y), takes=ORDERED, out_dtype=to_bool)
gt_p = elementwise("gt", lambda xp, x, y: xp.greater(x, y), takes=ORDERED, out_dtype=to_bool)
ge_p = elementwise("ge", lambda xp, x, y: xp.greater_equal(x, y), takes=ORDERED, out_dtype=to_bool)


def eq(x: Any, y: Any) -> Array:
    """Whether `x == y`, elementwise: a boolean array. NaN equals nothing."""
    return eq_p.bind(*same_dtype(x, y))


def ne(x: Any, y: Any) -> Array:
    """Whether `x != y`, elementwise: a boolean array. NaN differs from everything."""
    return ne_p.bind(*same_dtype(x, y))


def lt(x: Any, y: Any) -> Array:
    """Whether `x < y`, elementwise: a boolean array. Complex numbers have no order."""
    return lt_p.bind(*same_dtype(x, y))


def le(x: Any, y: Any) -> Array:
    """Whether `x <= y`, elementwise: a boolean array. Complex numbers have no order."""
    return le_p.bind(*same_dtype(x, y))


def gt(x: Any, y: Any) -> Array:
    """Whether `x > y`, elementwise: a boolean array. Complex numbers have no order."""
    return gt_p.bind(*same_dtype(x, y))


def ge(x: Any, y: Any) -> Array:
    """Whether `x >= y`, elementwise: a boolean array. Complex numbers have no order."""
    return ge_p.bind(*same_dtype(x, y))


# --- select_n -------------------------------------------------------------------------------

select_n_p = Primitive("select_n")


def select_n(which: Any, *cases: Any) -> Array:
    """Take each element from the case that `which` names.

    Args:
        which: bool (two cases: False takes the first) or int32, as many cases as there are;
            numbers outside `[0, len(cases))` take the nearest case.
        *cases: arrays of one dtype; their shapes and `which`'s broadcast.

    Returns:
        An array of the cases' dtype. Where a case is not taken, its derivative is zero, whatever
        its value there.

    Raises:
        DtypeError: `which` is neither bool nor int32, or the cases' dtypes differ.

    Example:
        >>> ff.lax.select_n(fnp.array([True, False]), fnp.zeros(2), fnp.ones(2))
        Array([1., 0.], dtype=float32)
    """
    return select_n_p.bind(which, *same_dtype(*cases))


def select(pred: Any, on_true: Any, on_false: Any) -> Array:
    """`on_true` where `pred` holds, else `on_false`; see `select_n`.

    Example:
        >>> ff.lax.select(fnp.array([True, False]), fnp.ones(2), fnp.zeros(2))
        Array([1., 0.], dtype=float32)
    """
    return select_n_p.bind(pred, *same_dtype(on_false, on_true))


def _select_n_abstract(which: ShapedArray, *cases: ShapedArray) -> ShapedArray:
    if len(cases) == 0:
        raise DtypeError("select_n: no cases given", mend="pass at least one case")
    if which.dtype != bool and which.dtype != np.int32:
        raise DtypeError(
            f"select_n: `which` must be bool or int32, got {which}",
            mend="compare it (which != 0), or convert it with .astype('int32')",
        )
    if which.dtype == bool and len(cases) > 2:
        raise DtypeError(
            f"select_n: a boolean `which` chooses between 2 cases, got {len(cases)}",
            mend="pass an int32 `which`",
        )
    check_same_dtypes("select_n", cases)
    shape = broadcast_shapes_of("select_n", [which.shape, *[case.shape for case in cases]])
    return ShapedArray(shape, cases[0].dtype, all(case.weak_type for case in cases))


def _select_n_impl(xp: Any, which: Any, *cases: Any) -> Any:
    if which.dtype == bool and len(cases) == 2:
        return xp.where(which, cases[1], cases[0])
    out = xp.broadcast_to(cases[0], np.broadcast_shapes(which.shape, *[c.shape for c in cases]))
    for number, case in enumerate(cases[1:], 1):
        out = xp.where(which >= number, case, out)
    return out


def _select_n_jvp(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    which, *_ = primals
    out = select_n_p.bind(*primals)
    aval = out.aval
    if all(type(t) is Zero for t in tangents[1:]):
        return out, Zero(aval)
    zero = np.zeros((), aval.dtype)
    tangent = select_n_p.bind(which, *[zero if type(t) is Zero else t for t in tangents[1:]])
    return out, tangent if tangent.shape == aval.shape else broadcast_to(tangent, aval.shape)


def _select_n_transpose(ctx: Any, ct: Any, which: Any, *cases: Any) -> Any:
    zero = np.zeros((), aval_of(ct).dtype)

    def share(number: int, case: Any) -> Any:
        if not is_undefined(case):
            return None
        masked = [ct if i == number else zero for i in range(len(cases))]
        return unbroadcast(select_n_p.bind(which, *masked), case.aval)

    return [None, *[share(number, case) for number, case in enumerate(cases)]]


define(
    select_n_p,
    abstract=_select_n_abstract,
    impl=_select_n_impl,
    jvp=_select_n_jvp,
    transpose=_select_n_transpose,
    batch=elementwise_batch(select_n_p),
)

# --- clamp ----------------------------------------------------------------------------------


def _where(pred: Any, t: Any) -> Any:
    return select_n_p.bind(pred, np.zeros((), t.dtype), t)


clamp_p = elementwise(
    "clamp",
    lambda xp, low, x, high: xp.minimum(xp.maximum(x, low), high),
    takes=ORDERED,
    partials=[
        lambda t, out, low, x, high: _where(and_p.bind(gt_p.bind(low, x), lt_p.bind(low, high)), t),
        lambda t, out, low, x, high: _where(and_p.bind(gt_p.bind(x, low), lt_p.bind(x, high)), t),
        lambda t, out, low, x, high: _where(gt_p.bind(x, high), t),
    ],
)


def clamp(min: Any, x: Any, max: Any) -> Array:
    """`x` limited to the interval from `min` to `max`: `min(max(x, min), max)`, elementwise.

    The arguments have one dtype and shapes that broadcast. NaN stays NaN. The derivative with
    respect to `x` is 1 inside the interval and 0 on its ends and beyond.

    Example:
        >>> ff.lax.clamp(0.0, fnp.array([-1.0, 0.5, 2.0]), 1.0)
        Array([0. , 0.5, 1. ], dtype=float32)
    """
    return clamp_p.bind(*same_dtype(min, x, max))
