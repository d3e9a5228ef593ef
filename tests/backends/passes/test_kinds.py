"""What kernels can do with an equation."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax
from funcflow.backends.passes.kinds import (
    is_elementwise,
    is_empty,
    is_reduction,
    is_virtual,
    only_adds_ones,
)
from funcflow.core.jaxpr import JaxprEqn


def equation(f, *args) -> JaxprEqn:
    """The only equation of a function."""
    (eqn,) = ff.make_jaxpr(f)(*args).eqns
    return eqn


X = np.ones((2, 3), "f4")
Z = np.ones((2, 3), "c8")


@pytest.mark.parametrize(
    "f, x, expected",
    [
        (lax.exp, X, True),
        (lambda x: lax.bitcast_convert_type(x, np.int32), X, True),
        (lambda x: lax.bitcast_convert_type(x, np.int16), X, False),  # elements become several
        (lambda x: lax.convert_element_type(x, np.float64), X, True),
        (lax.neg, Z, False),
        (lax.real, Z, False),
        (lambda x: lax.reshape(x, (3, 2)), X, False),
        (lambda x: lax.cumsum(x, axis=0), X, False),
    ],
)
def test_elementwise(f, x, expected):
    assert is_elementwise(equation(f, x)) is expected


def test_reductions():
    assert is_reduction(equation(lambda x: lax.reduce_max(x, (0,)), X))
    assert not is_reduction(equation(lambda x: lax.reduce_sum(x, (0,)), Z))


def test_empty():
    assert is_empty(equation(lambda x: lax.reduce_sum(x, (0,)), X[:0]))
    assert not is_empty(equation(lax.neg, X))


def test_constants_are_computed_again_unless_that_is_dear():
    closed = ff.make_jaxpr(lambda: lax.exp(lax.neg(lax.iota(np.float32, 3))))()
    iota, neg, exp = closed.eqns
    known = {iota.outvars[0]: iota}
    assert is_virtual(iota, {}) and is_virtual(neg, known) and not is_virtual(neg, {})
    assert not is_virtual(exp, known | {neg.outvars[0]: neg})


def test_reshapes_that_only_add_ones():
    assert only_adds_ones(equation(lambda x: lax.reshape(x, (2, 1, 3)), X))
    assert not only_adds_ones(equation(lambda x: lax.reshape(x, (3, 2)), X))
