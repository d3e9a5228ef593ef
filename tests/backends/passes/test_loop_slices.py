"""Zeros but for slices are added to what a loop carries where they are not zeros."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.passes.carries import Carry
from funcflow.backends.passes.loop_slices import loop_slices
from funcflow.core.evaluate import eval_closed
from funcflow.core.typecheck import check_jaxpr

C, U, V, AT = np.arange(12, dtype="f4").reshape(6, 2), np.ones((1, 2), "f4"), np.ones(2, "f4"), 4


def updated(c, u, v, i):
    return lax.dynamic_update_slice(fnp.zeros_like(c), u, (i, 0))


def scattered(c, u, v, i):
    return fnp.zeros_like(c).at[fnp.stack([i, i])].add(v)


def rewritten(f):
    closed = ff.jit(f).lower(C, U, V, AT).jaxpr
    found = loop_slices(closed, [Carry(0, 0)])
    check_jaxpr(found)
    expected, got = (eval_closed(x, C, U, V, AT) for x in (closed, found))
    for x, y in zip(expected, got, strict=True):
        np.testing.assert_array_equal(x, y)
    return found, closed


REWRITTEN = {
    "a slice": lambda *a: a[0] + updated(*a),
    "the other way round": lambda *a: updated(*a) + a[0],
    "a scatter": lambda *a: a[0] + scattered(*a),
    "both": lambda *a: a[0] + (updated(*a) + scattered(*a)),
    "with something else": lambda *a: a[0] + (a[0] * 2 + updated(*a)),
    "to what takes its place": lambda *a: a[0].at[1].set(0) + updated(*a),
}


@pytest.mark.parametrize("f", REWRITTEN.values(), ids=REWRITTEN)
def test_only_slices_are_touched(f):
    found, _ = rewritten(f)
    for eqn in found.eqns:
        if eqn.primitive.name == "broadcast_in_dim":
            assert eqn.outvars[0].aval.shape != C.shape


KEPT = {
    "zeros that others read": lambda *a: (a[0] + (u := updated(*a)), u),
    "not zeros": lambda *a: a[0] + lax.dynamic_update_slice(fnp.ones_like(a[0]), a[1], (a[3], 0)),
    "nothing else": lambda *a: updated(*a) + scattered(*a),
    "no sum": lambda *a: a[0] * updated(*a),
    "repeated": lambda *a: a[0][:1] + updated(*a),
}


@pytest.mark.parametrize("f", KEPT.values(), ids=KEPT)
def test_what_stays(f):
    found, closed = rewritten(f)
    assert found is closed
