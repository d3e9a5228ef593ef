"""Kernels that go forth and back through a loop: what they take, and what is refused."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.families.tapes import taped_kernel
from funcflow.backends.straight.arrays import NotStraight
from funcflow.lax.while_reverse import reverse_while_p


def reverse_of(function, *args):
    """The equation of the way back through the loop of a function."""
    lowered = ff.jit(ff.grad(function, 1)).lower(*args)
    (eqn,) = [e for e in lowered.jaxpr.jaxpr.eqns if e.primitive is reverse_while_p]
    return eqn


def loop(step):
    def f(n, x):
        out = lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, step(s[1])), (0, x))[1]
        return fnp.sum(out)

    return f


def test_rows_and_operands():
    kernel = taped_kernel(reverse_of(loop(fnp.sin), 3, np.ones(3)))
    assert kernel.row_bytes == (24,) and kernel.lanes == 1
    assert len(kernel.program.steps) == 1
    *_, tape = kernel.program.outputs
    assert tape.buffer.nbytes == 24


def test_lanes_that_count_together_have_a_row_each():
    def total(n, xs):
        return fnp.sum(ff.vmap(loop(fnp.sin), (None, 0))(n, xs))

    kernel = taped_kernel(reverse_of(total, 3, np.ones((100, 2), np.float32)))
    assert kernel.row_bytes == (8,) and kernel.lanes == 100


@pytest.mark.parametrize(
    ("step", "x", "reason"),
    [
        (fnp.sin, np.ones((100, 100)), "more than 64 elements"),
        (lambda x: fnp.sin(x) + fnp.sum(x), np.ones((2, 100)), "more than 64 elements"),
        (lambda x: fnp.sin(x * 1j).real * x, np.ones(3), "several parts"),
    ],
)
def test_refused(step, x, reason):
    with pytest.raises(NotStraight, match=reason):
        taped_kernel(reverse_of(loop(step), 3, x))
