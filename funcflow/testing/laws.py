"""The laws that every function of arrays obeys, whatever transform it passes through.

    jit:   jit(f) == f, with the same dtypes, shapes and weak flags; each equation of the jaxpr
           has the types that tracing promises
    vmap:  vmap(f) == stacked f, for mapped subsets of the arguments and other axes, also jitted
    pmap:  pmap(f) == vmap(f)
    fwd:   jvp == difference quotient == linearize, and jvp itself obeys the laws of jit and vmap
    rev:   <ct, J t> == <J^T ct, t>, and vjp itself obeys the laws of jit and vmap

Derivatives are compared with difference quotients in double precision where the function takes
it, and the derivatives in the dtypes given with those.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from funcflow.core.array import Array, aval_of, wrap
from funcflow.core.config import config
from funcflow.core.errors import FuncflowError
from funcflow.core.pytree import tree_flatten, tree_leaves, tree_map
from funcflow.testing.compare import (
    DIFFERENCES,
    REORDERED,
    WIDENED,
    as_arrays,
    assert_close,
    concrete,
    is_inexact,
    show,
    widen,
)
from funcflow.testing.gradients import (
    check_grads,
    check_transpose,
    differentiable_part,
    directions,
    forward_derivative,
    reverse_derivative,
)
from funcflow.testing.typed import check_types
from funcflow.transforms.devices import device_count
from funcflow.transforms.jit import jit
from funcflow.transforms.jvp import jvp
from funcflow.transforms.linearize import linearize, vjp
from funcflow.transforms.pmap import pmap
from funcflow.transforms.vmap import vmap

_Function = Callable[..., Any]
_DERIVATIVES = {"fwd": forward_derivative, "rev": reverse_derivative}
# How many single arguments are mapped alone; the rest would repeat the same.
_SINGLES = 4


def check_laws(
    f: Callable[..., Any],
    args: Sequence[Any],
    *,
    order: int = 2,
    modes: Sequence[str] = ("jit", "vmap", "pmap", "fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
) -> None:
    """Check that `f` obeys the laws of the transforms at `args`.

    Args:
        f: a function of trees of arrays to a tree of arrays.
        args: its arguments; integers and booleans among their leaves are held fixed where
            derivatives are taken. Choose a point where `f` is smooth.
        order: how often to differentiate (0: not at all).
        modes: which transforms to check.
        atol: absolute tolerance of all comparisons; by default chosen for the dtype.
        rtol: relative tolerance of all comparisons; by default chosen for the dtype.

    Raises:
        AssertionError: naming the law that failed, with the values.

    Example:
        >>> from funcflow.testing import check_laws
        >>> check_laws(fnp.sin, (fnp.array([0.5, 1.0]),))
    """
    args = as_arrays(tuple(args))
    leaves, treedef = tree_flatten(args)
    limits = {"atol": atol, "rtol": rtol}

    def flat(*inputs: Any) -> tuple[Any, ...]:
        return tuple(tree_leaves(as_arrays(f(*treedef.unflatten(inputs)))))

    try:
        if "jit" in modes:
            _check_jit(f, args, "f", limits)
        if "vmap" in modes:
            _check_vmap(flat, leaves, "f", limits)
            _check_vmap_axes(flat, leaves, limits)
        if "pmap" in modes:
            _check_pmap(flat, leaves, limits)
        if order > 0:
            _check_derivatives(f, args, order, modes, limits)
    except AssertionError as error:
        shown = "".join(f"\n  argument {i}: {show(x)}" for i, x in enumerate(leaves))
        raise AssertionError(f"{error}{shown}") from None


# --- jit ------------------------------------------------------------------------------------


def _check_jit(f: _Function, args: Sequence[Any], name: str, limits: dict[str, Any]) -> None:
    check_types(name, f, args)
    law = f"jit({name}) == {name}"
    expected = as_arrays(f(*args))
    assert_close(law, jit(f)(*args), expected, tolerances=REORDERED, weak_types=True, **limits)


# --- vmap -----------------------------------------------------------------------------------


def _check_vmap(f: _Function, leaves: Sequence[Any], name: str, limits: dict[str, Any]) -> None:
    """All arguments mapped along their first axis, eagerly and jitted either way."""
    if not leaves:
        return
    lanes = [_lanes(x, _lane_count(leaves)) for x in leaves]
    stacked = [_stack(lane, 0) for lane in lanes]
    expected = _stacked_results(f, zip(*lanes, strict=True))
    check = partial(assert_close, expected=expected, tolerances=REORDERED, **limits)
    check(f"vmap({name}) == stacked {name}", vmap(f)(*stacked))
    check(f"jit(vmap({name})) == stacked {name}", jit(vmap(f))(*stacked))
    check(f"vmap(jit({name})) == stacked {name}", vmap(jit(f))(*stacked))


def _check_pmap(f: _Function, leaves: Sequence[Any], limits: dict[str, Any]) -> None:
    """One device per lane."""
    if not leaves:
        return
    size = _lane_count(leaves)
    stacked = [_stack(_lanes(x, size), 0) for x in leaves]
    with config(num_cpu_devices=max(size, device_count())):
        got = pmap(f)(*stacked)
    assert_close("pmap(f) == vmap(f)", got, vmap(f)(*stacked), tolerances=REORDERED, **limits)


def _check_vmap_axes(f: _Function, leaves: Sequence[Any], limits: dict[str, Any]) -> None:
    """Other axes, and arguments of which only one is mapped."""
    choices: list[list[int | None]] = [
        [np.ndim(x) for x in leaves],  # behind the last axis
        [i % (np.ndim(x) + 1) for i, x in enumerate(leaves)],
    ]
    if len(leaves) > 1:
        for i in range(min(len(leaves), _SINGLES)):
            choices.append([0 if i == j else None for j in range(len(leaves))])
    size = _lane_count(leaves)
    for number, axes in enumerate(choices if leaves else []):
        lanes = [
            _lanes(x, size) if axis is not None else [x] * size
            for x, axis in zip(leaves, axes, strict=True)
        ]
        mapped = [
            _stack(lane, axis) if axis is not None else lane[0]
            for lane, axis in zip(lanes, axes, strict=True)
        ]
        expected = _stacked_results(f, zip(*lanes, strict=True))
        out_axes = 0
        if number % 2 == 0:
            out_axes = -1
            expected = tuple(wrap(np.moveaxis(concrete(y), 0, -1)) for y in expected)
        law = f"vmap(f, in_axes={tuple(axes)}, out_axes={out_axes}) == stacked f"
        got = vmap(f, in_axes=tuple(axes), out_axes=out_axes)(*mapped)
        assert_close(law, got, expected, tolerances=REORDERED, **limits)


def _lane_count(leaves: Sequence[Any]) -> int:
    """A number of lanes that is no extent of an argument, so that axes are not mixed up unseen."""
    extents = {extent for x in leaves for extent in np.shape(x)}
    return next(n for n in (3, 2, 4, 5, 6, *range(7, 1000)) if n not in extents)


def _lanes(x: Any, size: int) -> list[Any]:
    """`x` and variations of it that stay in the domain of most functions.

    Floating values shrink a little, each by another factor; integers and booleans keep their values
    and change places along the first axis; single integers move towards zero.
    """
    aval = aval_of(x)
    value = concrete(x)
    random = np.random.default_rng(0)
    lanes = [value]
    for k in range(1, size):
        if is_inexact(x):
            with np.errstate(all="ignore"):
                lanes.append(value * random.uniform(0.8, 1.0, value.shape))
        elif value.ndim:
            lanes.append(np.roll(value, k, axis=0))
        elif value.dtype.kind == "b":
            lanes.append(value ^ bool(k % 2))
        else:
            lanes.append(np.sign(value) * np.maximum(np.abs(value), k) - np.sign(value) * k)
    return [wrap(np.asarray(lane, aval.dtype), aval.weak_type) for lane in lanes]


def _stack(lanes: Sequence[Any], axis: int) -> Array:
    stacked = np.stack([concrete(lane) for lane in lanes], axis)
    return wrap(stacked, aval_of(lanes[0]).weak_type)


def _stacked_results(f: _Function, arguments: Any) -> tuple[Array, ...]:
    results = [f(*lane) for lane in arguments]
    return tuple(_stack(column, 0) for column in zip(*results, strict=True))


# --- derivatives ----------------------------------------------------------------------------


def _check_derivatives(
    f: _Function, args: Sequence[Any], order: int, modes: Sequence[str], limits: dict[str, Any]
) -> None:
    g, primals = differentiable_part(f, args)
    modes = [mode for mode in _DERIVATIVES if mode in modes]
    if not modes or not primals or not tree_leaves(g(*primals)):
        return
    wide = _in_double_precision(f, args)
    if wide is None:
        check_grads(f, args, order, modes, **limits)
    else:
        check_grads(*wide, order, modes, **limits)
    for mode in modes:
        _check_precision(f, args, wide, mode, limits)
        derivative, point = _DERIVATIVES[mode](g, primals)
        flat = partial(_flat_result, derivative)
        name = {"fwd": "jvp(f)", "rev": "vjp(f)"}[mode]
        _check_jit(flat, point, name, limits)
        _check_vmap(flat, point, name, limits)
    if "fwd" in modes:
        _check_linearize(g, primals, limits)
        if "rev" in modes:
            _check_transposed(g, primals, limits)


def _flat_result(f: _Function, *args: Any) -> tuple[Any, ...]:
    return tuple(tree_leaves(f(*args)))


def _in_double_precision(f: _Function, args: Sequence[Any]) -> tuple[_Function, Any] | None:
    """`f` and its arguments in double precision, or None where it does not take them."""
    wide = tree_map(lambda x: widen(x) if is_inexact(x) else x, args)
    try:
        f(*wide)
    except FuncflowError:  # strict about its dtypes: it meets arrays of its own
        return None
    return f, wide


def _check_precision(
    f: _Function, args: Sequence[Any], wide: Any, mode: str, limits: dict[str, Any]
) -> None:
    """The derivative in the dtypes given has these dtypes, and the values of the wide one."""
    g, primals = differentiable_part(f, args)
    derivative, point = _DERIVATIVES[mode](g, primals)
    name = {"fwd": "jvp(f)", "rev": "vjp(f)"}[mode]
    outs, derivatives = derivative(*point)
    expected_types = outs if mode == "fwd" else primals
    for got, like in zip(derivatives, expected_types, strict=True):
        if aval_of(got).strip_weak_type() != aval_of(like).strip_weak_type():
            raise AssertionError(
                f"law '{name} has the types of f' fails: got {aval_of(got)} for {aval_of(like)}"
            )
    if wide is None:
        return
    wide_derivative, wide_point = _DERIVATIVES[mode](*differentiable_part(*wide))
    expected = wide_derivative(*map(_in_dtype_of, point, wide_point))
    got = (outs, derivatives)
    narrowed = tree_map(_in_dtype_of, expected, got)
    law = f"{name} in the dtypes given == {name} in double precision"
    assert_close(law, got, narrowed, tolerances=WIDENED, **limits)


def _in_dtype_of(x: Any, like: Any) -> Array:
    with np.errstate(all="ignore"):
        return wrap(concrete(x).astype(aval_of(like).dtype))


def _check_linearize(g: _Function, primals: Sequence[Any], limits: dict[str, Any]) -> None:
    tangents = directions(tuple(primals))
    out, tangent_out = jvp(g, tuple(primals), tangents)
    lin_out, pushforward = linearize(g, *primals)
    check = partial(assert_close, tolerances=REORDERED, **limits)
    check("the value of linearize(f) is that of f", lin_out, out)
    check("linearize(f) == jvp(f)", pushforward(*tangents), tangent_out)


def _check_transposed(g: _Function, primals: Sequence[Any], limits: dict[str, Any]) -> None:
    tangents = directions(tuple(primals))
    out, tangent_out = jvp(g, tuple(primals), tangents)
    ct = directions(out)
    if all(np.isfinite(concrete(t)).all() for t in tangent_out):
        ct_in = vjp(g, *primals)[1](ct)
        tolerances = dict.fromkeys(DIFFERENCES, _rounding(primals, out))
        law = "<vjp(f) ct, t> == <ct, jvp(f) t>"
        check_transpose(law, ct_in, tangents, ct, tangent_out, {"tolerances": tolerances, **limits})


def _rounding(*trees: Any) -> float:
    return max(WIDENED[aval_of(x).dtype] for x in tree_leaves(trees))
