"""assert_compiles."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.testing import assert_compiles


def test_programs_are_counted_once():
    f = ff.jit(lambda x: fnp.sin(x) * 11.25)
    with assert_compiles(max=1) as compiled:
        for _ in range(3):
            f(np.ones(3))
    (text,) = compiled
    assert text == "jit of <lambda>: first call"
    with assert_compiles(max=0, kernels=0):
        f(np.ones(3))
        ff.jit(lambda x: fnp.sin(x) * 11.25)(np.ones(3))  # another function, but equal


def test_a_new_shape_compiles_no_kernel():
    f = ff.jit(lambda x, y: fnp.cos(x) * 12.5 + y)
    f(np.ones((3, 5)), np.ones((3, 5)))
    with assert_compiles(max=2, kernels=0):
        f(np.ones((4, 6)), np.ones((4, 6)))
        f(np.ones((5, 7)), np.ones((5, 7)))


def test_too_many_programs():
    f = ff.jit(lambda x: x * 13.25)
    two = pytest.raises(AssertionError, match="2 programs were compiled, at most 1")
    with two as info, assert_compiles(max=1):
        f(np.ones(3))
        f(np.ones(4))
    assert "  jit of <lambda>: args[0]: float64[3] became float64[4]" in str(info.value)


def test_derivatives_count():
    f = ff.jit(lambda x: fnp.sin(x) * 14.25)
    with assert_compiles(max=2) as compiled:
        ff.grad(f)(1.0)
    assert all("in a transformation" in text for text in compiled) and compiled


def test_too_many_kernels(monkeypatch):
    """A kernel that no other test has: its text has the number."""
    f = ff.jit(lambda x: ff.lax.reduce_max(fnp.sinh(x) - fnp.cosh(x) * fnp.arctan(x), (1,)))
    some = pytest.raises(AssertionError, match="kernels were compiled, at most -1")
    with some, assert_compiles(max=1, kernels=-1):
        f(np.ones((3, 4), "f2"))


def test_errors_pass():
    with pytest.raises(ZeroDivisionError), assert_compiles(max=0):
        raise ZeroDivisionError
