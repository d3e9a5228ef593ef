"""Folding is exact: it may not change a bit of any result."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax
from funcflow.backends.passes.fold import fold
from funcflow.core.evaluate import eval_closed

X = np.array([0.0, -0.0, 1.5, np.inf, -np.inf, np.nan, 1e-45], "f4")


def names(f, *args):
    return [eqn.primitive.name for eqn in fold(ff.make_jaxpr(f)(*args)).eqns]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: lax.mul(x, 1.0),
        lambda x: lax.mul(1.0, x),
        lambda x: lax.div(x, 1.0),
        lambda x: lax.sub(x, 0.0),
        lambda x: lax.add(x, -0.0),
        lambda x: lax.integer_pow(x, 1),
        lambda x: lax.mul(lax.div(lax.mul(x, 1.0), 1.0), lax.add(0.5, 0.5)),
    ],
)
def test_what_changes_no_bit_goes(f):
    assert names(f, X) == []
    (result,) = eval_closed(fold(ff.make_jaxpr(f)(X)), X)
    assert np.asarray(result).tobytes() == X.tobytes()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: lax.mul(x, 0.0),  # NaN for inf
        lambda x: lax.add(x, 0.0),  # 0.0 for -0.0
        lambda x: lax.sub(x, -0.0),  # likewise
        lambda x: lax.sub(0.0, x),
        lambda x: lax.div(1.0, x),
        lambda x: lax.sub(x, x),  # NaN for inf
        lambda x: lax.div(x, x),
    ],
)
def test_what_changes_a_bit_stays(f):
    assert len(names(f, X)) == 1


def test_complex_products_with_one_stay():
    """(inf + 0i) * (1 + 0i) has a NaN."""
    assert names(lambda x: lax.mul(x, 1.0), X.astype("c8")) == ["mul"]


def test_integers():
    x = np.arange(3)
    assert names(lambda x: lax.add(lax.mul(x, 1), 0), x) == []
    assert names(lambda x: lax.mul(x, 0), x) == ["mul"]


def test_broadcasting_operands_stay():
    assert names(lambda x: lax.mul(np.ones((2, 7), "f4"), x), X) == ["mul"]
    assert names(lambda x: lax.add(lax.broadcast_to(x, (2, 7)), -0.0), X) == ["broadcast_in_dim"]


def test_a_weak_operand_is_not_taken_for_a_strong_result():
    assert names(lambda x: lax.mul(x, np.float32(1)), 2.0) == ["mul"]


def test_scalars_are_computed():
    jaxpr = fold(ff.make_jaxpr(lambda x: lax.mul(x, lax.sqrt(lax.add(2.0, 7.0))))(X))
    assert [str(v.val) for eqn in jaxpr.eqns for v in eqn.invars[1:]] == ["3.0"]


def test_effects_and_results_of_several_stay():
    def f(x):
        ff.debug.print("{}", 1.0)
        return x

    assert names(f, X) == ["debug_callback"]
