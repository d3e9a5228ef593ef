"""Simplification before fusion: fewer equations, the same bits.

Values that only repeat a smaller array are computed and read small (elementwise primitives repeat
their operands as NumPy does), arrangements of arrangements become one, and operations that
differentiation leaves behind go. Every rule holds for NaN (its sign and payload too), infinities,
-0.0, subnormal numbers and integers that wrap around.

Rules that look as harmless and are not:
- `x * 0`, `x - x`, `x / x`: NaN for infinities; `x + 0.0`: turns -0.0 into 0.0.
- `x * -1` for `-x`, `x + -y` for `x - y`, `-x / c` for `x / -c`: a NaN gets another sign.
- `x / c` by a reciprocal that is rounded, `(x * a) * b` as `x * (a * b)`, sums in another order,
  the sum of n equal values as a product: rounded otherwise.
- The sum along an axis of extent 1 as a reshape: sums start from 0.0, so none of them is -0.0.
- Transposed operands in the dimension numbers of `dot_general`, or operands exchanged to transpose
  its result: the sums may be taken in another order. Lowerings read transposed views anyway.

Some that would be exact are missing since traces of real programs do not contain what they need:
`-(-x)`, a conversion to a wider dtype and back.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from funcflow.backends.passes.fold import folded
from funcflow.backends.passes.padding import joined_padding, with_zero_added
from funcflow.backends.passes.rewriter import Rewriter, Rewritten, rewrite
from funcflow.core import dtypes
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var
from funcflow.core.primitive import Primitive
from funcflow.lax.arithmetic import add_p, div_p, max_p, min_p, mul_p, sub_p
from funcflow.lax.bitwise import and_p, not_p, or_p
from funcflow.lax.casting import convert_element_type_p, copy_p, stop_gradient_p
from funcflow.lax.comparison import select_n_p
from funcflow.lax.forms import ELEMENTWISE
from funcflow.lax.reduction import reduce_max_p, reduce_min_p, reduce_prod_p
from funcflow.lax.shape import (
    broadcast_in_dim_p,
    broadcast_shapes,
    reduce_sum_p,
    reshape_p,
    transpose_p,
)

Rule: TypeAlias = Callable[[Rewriter, JaxprEqn], Rewritten]


def simplify(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same jaxpr with fewer equations, constants folded. Dead equations are left to `dce`."""
    return rewrite(closed, _simplified)


def _simplified(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    primitive, small = eqn.primitive, rewriter.small
    if small and (primitive in ELEMENTWISE or primitive is convert_element_type_p):
        for v in eqn.invars:
            if type(v) is Var and v in small:
                return _narrowed(rewriter, eqn)
    rule = _RULES.get(primitive)
    found = rule(rewriter, eqn) if rule is not None else None
    if isinstance(found, JaxprEqn):
        return found
    if found is not None and found.aval == eqn.outvars[0].aval:  # not so if one is weakly typed
        return found
    return folded(eqn)


# --- values that repeat a smaller array -----------------------------------------------------------


def _narrowed(rewriter: Rewriter, eqn: JaxprEqn) -> JaxprEqn:
    """An elementwise equation of the arrays that its operands repeat."""
    (out,) = eqn.outvars
    invars = [rewriter.small.get(v, v) if type(v) is Var else v for v in eqn.invars]
    shape = broadcast_shapes(*(v.aval.shape for v in invars))
    if shape == out.aval.shape:
        return eqn.replace(invars=invars)
    value = rewriter.emit(eqn.primitive, invars, eqn.params, out.aval.update(shape=shape), eqn)
    return _repeated(eqn, value, out.aval.shape)


def _repeated(eqn: JaxprEqn, v: Atom, shape: tuple[int, ...]) -> JaxprEqn:
    """An equation that broadcasts a value as NumPy does: axes are aligned at the end."""
    axes = tuple(range(len(shape) - v.aval.ndim, len(shape)))
    params = {"shape": shape, "broadcast_dimensions": axes}
    return eqn.replace(primitive=broadcast_in_dim_p, invars=[v], params=params)


def _broadcast(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    (x,) = eqn.invars
    shape, axes = eqn.params["shape"], eqn.params["broadcast_dimensions"]
    if x.aval.shape == shape:
        return x
    inner = rewriter.maker(x, broadcast_in_dim_p)
    if inner is not None:
        axes = tuple(axes[i] for i in inner.params["broadcast_dimensions"])
        params = {"shape": shape, "broadcast_dimensions": axes}
        return eqn.replace(invars=inner.invars, params=params)
    if axes == tuple(range(len(shape) - len(axes), len(shape))):
        rewriter.small[eqn.outvars[0]] = x
        return None
    extents = [1] * (len(shape) - axes[0])
    for n, axis in zip(x.aval.shape, axes, strict=True):
        extents[axis - axes[0]] = n
    aval = x.aval.update(shape=tuple(extents))
    aligned = rewriter.emit(reshape_p, [x], {"new_sizes": aval.shape}, aval, eqn)
    return _repeated(eqn, aligned, shape)


# --- arrangements ---------------------------------------------------------------------------------


def _reshape(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    (x,) = eqn.invars
    if x.aval.shape == eqn.params["new_sizes"]:
        return x
    inner = rewriter.maker(x, reshape_p)
    return None if inner is None else eqn.replace(invars=inner.invars)


def _transpose(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    (x,) = eqn.invars
    order = eqn.params["permutation"]
    if order == tuple(range(len(order))):
        return x
    inner = rewriter.maker(x, transpose_p)
    if inner is None:
        return None
    order = tuple(inner.params["permutation"][i] for i in order)
    return eqn.replace(invars=inner.invars, params={"permutation": order})


def _reduction(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    """Along axes of extent 1 a reduction only drops them, but that sums start from 0.0."""
    (x,), (out,) = eqn.invars, eqn.outvars
    kind = dtypes.kind(x.aval.dtype)
    if any(x.aval.shape[axis] != 1 for axis in eqn.params["axes"]) or kind == "c":
        return None
    if eqn.primitive is reduce_sum_p and kind == "f":
        x = with_zero_added(rewriter, x, eqn)
    return eqn.replace(primitive=reshape_p, invars=[x], params={"new_sizes": out.aval.shape})


# --- values ---------------------------------------------------------------------------------------


def _same(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    return eqn.invars[0]


def _extremum(neutral: float) -> Rule:
    """`max(x, -inf)` and `min(x, inf)`: x, also for NaN."""

    def rule(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
        x, y = eqn.invars
        if isinstance(y, Literal) and y.val == neutral:
            return x
        return y if isinstance(x, Literal) and x.val == neutral else None

    return rule


def _quotient(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    """Half of a value is its product with 0.5: the same real number, rounded once.

    That holds for any power of two. But other divisors are parameters of a kernel, often numbers
    of elements, and one for those that are powers of two would be compiled in the middle of a run.
    """
    x, y = eqn.invars
    if not isinstance(y, Literal) or not dtypes.is_float(y.aval.dtype):
        return _of_choices(rewriter, eqn)
    if y.val != 2:
        return None
    return eqn.replace(primitive=mul_p, invars=[x, Literal(np.asarray(0.5, y.aval.dtype), y.aval)])


# --- choices --------------------------------------------------------------------------------------


def _choice(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    """`select_n(p, False, True)` is p."""
    which, *cases = eqn.invars
    if which.aval.dtype != np.bool_ or cases[0].aval.dtype != np.bool_:
        return None
    chosen = [v.val.item() for v in cases if isinstance(v, Literal)]
    return which if chosen == [False, True] else None


def _of_choices(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    """An operation on two values that are chosen by the same condition, chosen afterwards.

    Only where one of the results is known: the derivative of `where(p, x / c, 0)` divides
    `select_n(p, 0, t)` by `select_n(p, 1, c)`, which is `select_n(p, 0, t / c)`.
    """
    first, second = (rewriter.maker(v, select_n_p) for v in eqn.invars)
    if first is None or second is None or first.invars[0] is not second.invars[0]:
        return None
    (out,) = eqn.outvars
    which, cases = first.invars[0], [*zip(first.invars[1:], second.invars[1:], strict=True)]
    if not any(isinstance(x, Literal) and isinstance(y, Literal) for x, y in cases):
        return None
    shapes = [broadcast_shapes(x.aval.shape, y.aval.shape) for x, y in cases]
    if broadcast_shapes(which.aval.shape, *shapes) != out.aval.shape:
        return None
    results = [
        rewriter.emit(eqn.primitive, pair, {}, _result_aval(out.aval, pair, shape), eqn)
        for pair, shape in zip(cases, shapes, strict=True)
    ]
    return eqn.replace(primitive=select_n_p, invars=[which, *results])


def _result_aval(like: ShapedArray, pair: tuple[Atom, Atom], shape: tuple[int, ...]) -> ShapedArray:
    return ShapedArray(shape, like.dtype, all(v.aval.weak_type for v in pair))


def _either(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    """`(a & ~b) | (a & b)` is a; conditions on where derivatives go have this form."""
    first, second = (rewriter.maker(v, and_p) for v in eqn.invars)
    if first is None or second is None:
        return None
    for a, b in (first.invars, first.invars[::-1]):
        for c, d in (second.invars, second.invars[::-1]):
            if a is c and (_opposite(rewriter, b, d) or _opposite(rewriter, d, b)):
                return a
    return None


def _opposite(rewriter: Rewriter, a: Atom, b: Atom) -> bool:
    inner = rewriter.maker(a, not_p)
    return inner is not None and inner.invars[0] is b


def _sum(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    found = joined_padding(rewriter, eqn)
    return _of_choices(rewriter, eqn) if found is None else found


_RULES: Mapping[Primitive, Rule] = {
    broadcast_in_dim_p: _broadcast,
    reshape_p: _reshape,
    transpose_p: _transpose,
    **dict.fromkeys((reduce_sum_p, reduce_prod_p, reduce_max_p, reduce_min_p), _reduction),
    copy_p: _same,
    stop_gradient_p: _same,
    max_p: _extremum(-np.inf),
    min_p: _extremum(np.inf),
    add_p: _sum,
    sub_p: _of_choices,
    mul_p: _of_choices,
    div_p: _quotient,
    select_n_p: _choice,
    or_p: _either,
}
