"""The operations of random programs that take functions: calls, loops, branches, transforms."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.evaluate import eval_closed
from funcflow.core.rewrite import hoist
from funcflow.core.staging import stage_out
from funcflow.testing.operations import EXACT as SIMPLE_EXACT
from funcflow.testing.operations import INEXACT as SIMPLE_INEXACT
from funcflow.testing.writer import Operation, Writer
from funcflow.transforms.checkpoint import checkpoint
from funcflow.transforms.custom_jvp import custom_jvp
from funcflow.transforms.grad import vjp
from funcflow.transforms.jit import jit
from funcflow.transforms.jvp import jvp
from funcflow.transforms.vmap import vmap

_DEEPEST = 2


def _deep(w: Writer) -> bool:
    return w.depth >= _DEEPEST


def _called(w: Writer) -> Any:
    """A function within the program, with or without a derivative rule of its own."""
    if _deep(w):
        return None
    count = w.integer(1, 5)

    def f(*args: Any) -> list[Any]:
        return w.body(args, count).values[-2:]

    args = [w.pick(), w.pick()]
    chosen = w.integer(0, 2)
    if chosen == 0:
        return jit(f)(*args)
    if chosen == 1:
        return checkpoint(f)(*args)
    # such a function may not close over traced values
    written, consts = hoist(stage_out(f, [aval_of(x) for x in args]))
    g = partial(eval_closed, written)
    rule = custom_jvp(g)
    rule.defjvp(lambda primals, tangents: jvp(g, primals, [_tangent(t) for t in tangents]))
    return rule(*consts, *args)


def _tangent(t: Any) -> Any:
    return t if dtypes.is_inexact(t.dtype) else np.zeros(t.shape, dtypes.float0)


def _scanned(w: Writer) -> Any:
    if _deep(w):
        return None
    x = w.pick(ndim=1)
    carry = w.pick(room=4)
    if x.shape[0] > 12:
        return None
    rows = w.chance(0.6)
    count = w.integer(1, 5)

    def step(state: Any, row: Any) -> Any:
        i, c = state
        inner = w.body([i, c, *([row] if rows else [])], count)
        result = inner.like(inner.values[-1], c.shape, c.dtype)
        found = inner.values[-2]
        return (lax.add(i, np.int32(1)), result), found if found.size * 12 <= w.limit else i

    start = (np.int32(w.integer(-2, 2)), carry)
    length = None if rows else w.choose([0, 1, 2, 5])
    (i, c), ys = lax.scan(step, start, x if rows else None, length=length, reverse=w.chance(0.3))
    return [i, c, ys]


def _repeated(w: Writer) -> Any:
    """A `while_loop` of a few iterations: a counter ends it, often a value before that."""
    if _deep(w):
        return None
    start = w.pick()
    other = w.pick("biuf")
    last, count, early = w.integer(0, 6), w.integer(1, 4), w.chance(0.4)

    def goes_on(state: Any) -> Any:
        i, x = state
        go = lax.lt(i, np.int32(last))
        if early:
            first = w.like(x, (), np.dtype(np.float32))
            go = lax.bitwise_and(go, lax.lt(lax.abs(first), np.float32(100)))
        return go

    def body(state: Any) -> Any:
        i, x = state
        inner = w.body([other, i, x], count)
        return lax.add(i, np.int32(1)), inner.like(inner.values[-1], x.shape, x.dtype)

    return list(lax.while_loop(goes_on, body, (np.int32(0), start)))


def _branched(w: Writer) -> Any:
    if _deep(w):
        return None
    x, y = w.pick(), w.pick()
    counts = [w.integer(0, 4) for _ in range(w.choose([2, 2, 3]))]

    def branch(count: int) -> Any:
        def f(a: Any, b: Any) -> list[Any]:
            inner = w.body([a, b], count)
            return [
                inner.like(inner.values[-1], x.shape, y.dtype),
                inner.like(inner.values[-2], y.shape, x.dtype),
            ]

        return f

    branches = [branch(n) for n in counts]
    if len(branches) == 2:
        condition = w.like(w.choose(w.values), (), np.dtype(bool))
        return list(lax.cond(condition, branches[0], branches[1], x, y))
    return list(lax.switch(w.index(len(branches) - 1), branches, x, y))


def _mapped(w: Writer) -> Any:
    """A function of lanes, which may go to ends of their own in loops and take branches."""
    if _deep(w):
        return None
    args = [w.pick(ndim=1), w.pick(), w.pick()]
    lanes = args[0].shape[:1]
    if not 0 < lanes[0] <= 12:
        return None
    count = w.integer(1, 5)
    axes = tuple(0 if x.shape[:1] == lanes else None for x in args)
    return vmap(lambda *xs: w.body(xs, count).values[-2:], in_axes=axes)(*args)


def _differentiated(w: Writer) -> Any:
    """The gradient of a function of some floating values, with its results."""
    if w.depth:
        return None
    args = [w.pick("f") for _ in range(2)]
    count = w.integer(1, 8)

    def f(*xs: Any) -> Any:
        inner = w.body(xs, count)
        results = [v for v in inner.values if dtypes.kind(v.dtype) == "f"]
        return results[-2:]

    results, pullback = vjp(f, *args)
    cotangents = [w.like(w.choose(w.values), r.shape, r.dtype) for r in results]
    return [*results, *pullback(cotangents)]


_CALLS: Sequence[tuple[Operation, float]] = [
    *((_called, 0.8), (_scanned, 0.6), (_repeated, 0.4), (_branched, 0.5)),
]
LANES: Sequence[tuple[Operation, float]] = [(_mapped, 3.0)]
EXACT: Sequence[tuple[Operation, float]] = [*SIMPLE_EXACT, *_CALLS]
INEXACT: Sequence[tuple[Operation, float]] = [*SIMPLE_INEXACT, *_CALLS, (_differentiated, 1.5)]
