"""Derivatives checked against difference quotients, in both modes and to any order.

The quotients are central differences with one Richardson step:
`(4 D(h/2) - D(h)) / 3` where `D(h) = (f(x + h t) - f(x - h t)) / 2h`, so the error is of order
h**4 and double precision leaves about ten digits.

Complex arguments are moved along complex directions, so no function needs to be holomorphic. The
vector-Jacobian product is not conjugated: `Re(sum(ct * J t)) == Re(sum(vjp(ct) * t))`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of, is_array_like, wrap
from funcflow.core.pytree import tree_flatten, tree_leaves, tree_map
from funcflow.testing.compare import (
    DIFFERENCES,
    as_arrays,
    assert_close,
    concrete,
    is_inexact,
    show,
)
from funcflow.transforms.jvp import jvp
from funcflow.transforms.linearize import vjp

# Steps of the difference quotients, by the precision of the function's values.
_STEPS = {
    dtypes.bfloat16: 2.0**-3,
    np.dtype("float16"): 2.0**-4,
    np.dtype("float32"): 2.0**-7,
    np.dtype("float64"): 2.0**-13,
}


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check derivatives of `f` at `args` against difference quotients.

    Each order is taken in each mode of each lower order, so order 2 checks forward over forward,
    reverse over forward, forward over reverse and reverse over reverse.

    Args:
        f: a function of trees of arrays to a tree of arrays.
        args: its arguments; integers and booleans among their leaves are held fixed.
        order: how often to differentiate.
        modes: "fwd" (jvp), "rev" (vjp), or both.
        atol: absolute tolerance; by default that of the coarsest dtype, times the largest value.
        rtol: relative tolerance; by default that of the coarsest dtype.
        eps: the step of the difference quotients; by default chosen for the coarsest dtype.

    Raises:
        AssertionError: a derivative is wrong; the message names it.

    Example:
        >>> from funcflow.testing import check_grads
        >>> check_grads(fnp.sin, (fnp.array([0.5, 1.0]),), order=2)
    """
    flat, leaves = differentiable_part(f, args)
    if leaves and tree_leaves(flat(*leaves)):
        _check_grads(flat, leaves, order, modes, (atol, rtol, eps), "f")


def _check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str],
    options: tuple[float | None, float | None, float | None],
    name: str,
) -> None:
    for mode, (check, transform, derivative_of) in _MODES.items():
        if mode in modes:
            derivative_name = f"{transform.__name__}({name})"
            check(f, partial(transform, f), args, *options, err_msg=derivative_name)
            if order > 1:
                derivative, inputs = derivative_of(f, args)
                _check_grads(derivative, inputs, order - 1, modes, options, derivative_name)


def forward_derivative(f: Callable[..., Any], args: Sequence[Any]) -> Any:
    """`(primals, tangents) -> (out, tangent out)` as a function of flat arrays, and a point."""

    def derivative(*inputs: Any) -> Any:
        return jvp(f, inputs[: len(args)], inputs[len(args) :])

    return derivative, (*args, *directions(args))


def reverse_derivative(f: Callable[..., Any], args: Sequence[Any]) -> Any:
    """`(primals, cotangents) -> (out, cotangents)` as a function of flat arrays, and a point."""
    cotangents, treedef = tree_flatten(directions(f(*args)))

    def derivative(*inputs: Any) -> Any:
        out, pullback = vjp(f, *inputs[: len(args)])
        return out, pullback(treedef.unflatten(inputs[len(args) :]))

    return derivative, (*args, *cotangents)


def check_jvp(
    f: Callable[..., Any],
    f_jvp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Check `f_jvp(primals, tangents) -> (out, tangent out)` against difference quotients of `f`.

    Elements where the difference quotient is not finite are left out.

    Raises:
        AssertionError: the values or the tangents differ.
    """
    args = as_arrays(tuple(args))
    name = err_msg or "jvp(f)"
    tangents = directions(args)
    out, tangent_out = f_jvp(args, tangents)
    expected = f(*args)
    precision = coarsest(args, expected)
    limits: dict[str, Any] = {"tolerances": _uniform(precision), "atol": atol, "rtol": rtol}
    assert_close(f"the value of {name} is that of the function", out, expected, **limits)
    quotients = difference_quotients(f, args, tangents, eps or _STEPS[precision])
    law = f"{name} == difference quotient"
    assert_close(law, tangent_out, quotients, skip_nonfinite=True, **limits)


def check_vjp(
    f: Callable[..., Any],
    f_vjp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Check `f_vjp(*args) -> (out, pullback)` against difference quotients of `f`.

    The inner products `<ct, J t>`, with J t a difference quotient, and `<pullback(ct), t>` must
    agree for random t and ct. Where a difference quotient is not finite there is nothing to check.

    Raises:
        AssertionError: the values, the inner products or the types of the cotangents differ.
    """
    args = as_arrays(tuple(args))
    name = err_msg or "vjp(f)"
    tangents = directions(args)
    out, pullback = f_vjp(*args)
    expected = f(*args)
    precision = coarsest(args, expected)
    limits: dict[str, Any] = {"tolerances": _uniform(precision), "atol": atol, "rtol": rtol}
    assert_close(f"the value of {name} is that of the function", out, expected, **limits)
    quotients = difference_quotients(f, args, tangents, eps or _STEPS[precision])
    if not all(np.isfinite(concrete(q)).all() for q in tree_leaves(quotients) if is_inexact(q)):
        return
    ct = directions(expected)
    ct_in = pullback(ct)
    law = f"<{name} ct, t> == <ct, difference quotient>"
    check_transpose(law, ct_in, tangents, ct, quotients, limits)


def check_transpose(
    law: str, ct_in: Any, tangents: Any, ct: Any, tangents_out: Any, limits: dict[str, Any]
) -> None:
    """Check `Re(sum(ct_in * tangents)) == Re(sum(ct * tangents_out))` up to rounding."""
    for got, given in zip(tree_leaves(ct_in), tree_leaves(tangents), strict=True):
        if is_inexact(given) and aval_of(got).strip_weak_type() != aval_of(given):
            raise AssertionError(
                f"law {law!r} fails: a cotangent is {aval_of(got)}, its primal {aval_of(given)}"
            )
    left, size_left = _inner_product(ct_in, tangents)
    right, size_right = _inner_product(ct, tangents_out)
    # the terms may cancel: rounding is relative to their size
    scale = max(1.0, size_left, size_right)
    try:
        assert_close(law, left / scale, right / scale, **limits)
    except AssertionError as error:
        trees = {"t": tangents, "ct": ct, "J t": tangents_out, "J^T ct": ct_in}
        shown = "".join(f"\n  {label:8} {_show(tree)}" for label, tree in trees.items())
        raise AssertionError(f"{error}\n  (both divided by {scale:.3g}){shown}") from None


def _show(tree: Any) -> str:
    return "; ".join(show(x) for x in tree_leaves(tree))


def _inner_product(xs: Any, ys: Any) -> tuple[np.float64, float]:
    """`Re(sum(x * y))` over all leaves, and the sum of the terms' magnitudes."""
    total, size = 0.0, 0.0
    for x, y in zip(tree_leaves(xs), tree_leaves(ys), strict=True):
        if is_inexact(y):
            terms = np.real(_wide(x) * _wide(y))
            total += terms.sum()
            size += np.abs(terms).sum()
    return np.float64(total), float(size)


def _wide(x: Any) -> np.ndarray[Any, Any]:
    value = concrete(x)
    return value.astype(np.complex128 if value.dtype.kind == "c" else np.float64)


def differentiable_part(
    f: Callable[..., Any], args: Sequence[Any]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """`f` as a function of its floating and complex leaves alone, to the list of such results."""
    leaves, treedef = tree_flatten(as_arrays(tuple(args)))
    places = [i for i, leaf in enumerate(leaves) if is_inexact(leaf)]

    def flat(*inexact: Any) -> tuple[Any, ...]:
        filled = list(leaves)
        for i, leaf in zip(places, inexact, strict=True):
            filled[i] = leaf
        return tuple(x for x in tree_leaves(f(*treedef.unflatten(filled))) if is_inexact(x))

    return flat, tuple(leaves[i] for i in places)


def directions(tree: Any) -> Any:
    """Normally distributed arrays of the tree's shapes and dtypes; float0 zeros for integers."""
    random = np.random.default_rng(0)
    return tree_map(lambda x: _direction(random, x), tree)


def _direction(random: np.random.Generator, x: Any) -> Any:
    aval = aval_of(x)
    if not dtypes.is_inexact(aval.dtype):
        return np.zeros(aval.shape, dtypes.float0)
    value = random.standard_normal(aval.shape)
    if dtypes.is_complex(aval.dtype):
        value = value + 1j * random.standard_normal(aval.shape)
    return wrap(np.asarray(value, aval.dtype))


def difference_quotients(
    f: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any], step: float
) -> Any:
    """The derivative of `f` at `args` along `tangents`, numerically; float0 zeros for integers."""

    def moved(amount: float) -> Any:
        return f(*tree_map(lambda x, t: _move(x, t, amount), tuple(args), tuple(tangents)))

    shifted = [moved(amount) for amount in (step, -step, step / 2, -step / 2)]
    return tree_map(lambda *ys: _richardson(step, *ys), *shifted)


def _move(x: Any, tangent: Any, amount: float) -> Any:
    if not is_inexact(x):
        return x
    aval = aval_of(x)
    with np.errstate(all="ignore"):
        return wrap(np.asarray(_wide(x) + amount * _wide(tangent), aval.dtype), aval.weak_type)


def _richardson(step: float, *shifted: Any) -> Any:
    aval = aval_of(shifted[0])
    if not dtypes.is_inexact(aval.dtype):
        return np.zeros(aval.shape, dtypes.float0)
    far_up, far_down, up, down = map(_wide, shifted)
    with np.errstate(all="ignore"):
        far, near = (far_up - far_down) / (2 * step), (up - down) / step
        return wrap(np.asarray((4 * near - far) / 3, aval.dtype))


def coarsest(*trees: Any) -> np.dtype[Any]:
    """The floating dtype of least precision among the leaves (float64 where there is none)."""
    leaves = [x for x in tree_leaves(trees) if is_array_like(x) and is_inexact(x)]
    found = {dtypes.real_of(aval_of(x).dtype) for x in leaves}
    return next((dtype for dtype in _STEPS if dtype in found), np.dtype("float64"))


def _uniform(precision: np.dtype[Any]) -> dict[np.dtype[Any], float]:
    """The tolerance of the coarsest dtype for all: its errors spread to every result."""
    return dict.fromkeys(DIFFERENCES, DIFFERENCES[precision])


_MODES: dict[str, tuple[Any, Any, Any]] = {
    "fwd": (check_jvp, jvp, forward_derivative),
    "rev": (check_vjp, vjp, reverse_derivative),
}
