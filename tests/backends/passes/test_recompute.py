"""Values that are computed again where they are read."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.backends.passes.fuse import Fusion
from funcflow.backends.passes.recompute import recompute
from funcflow.backends.pipeline import prepare

X = np.linspace(-3, 3, 60, dtype=np.float32).reshape(12, 5)
W = np.linspace(-1, 1, 25, dtype=np.float32).reshape(5, 5)


def repeated(f, *args):
    """The names of the operations that are repeated."""
    *_, closed = prepare(ff.jit(f).lower(*args).jaxpr).values()
    return [eqn.primitive.name for eqn in recompute(Fusion(closed.jaxpr), closed.jaxpr).values()]


def dense(activation):
    return ff.grad(lambda w, x: fnp.sum((activation(x @ w) @ w) ** 2))


def test_many_results_of_one_operand_are_computed_again():
    names = repeated(dense(nn.gelu), W, X)
    assert names.count("tanh") == 1
    assert "mul" in names


def test_a_mask_is_stored_rather_than_what_it_is_of():
    """A bool takes a quarter of the operand's bytes."""
    assert repeated(dense(nn.relu), W, X) == []


def test_what_only_a_product_reads_is_stored():
    assert repeated(lambda w, x: fnp.tanh(x @ w) @ w, W, X) == []


def test_random_bits_are_not_drawn_twice():
    key = ff.random.key(0)

    def f(w, x):
        mask = ff.random.bernoulli(key, 0.5, (12, 5))
        return fnp.sum((fnp.where(mask, fnp.exp(x @ w), 0.0) @ w) ** 2)

    assert "threefry2x32" not in repeated(ff.grad(f), W, X)


@pytest.mark.parametrize("activation", [nn.gelu, nn.silu, nn.softplus, nn.relu, nn.softmax])
def test_results_stay(activation):
    f = dense(lambda x: activation(x) * activation(2 * x))
    with ff.config(backend="reference"):
        expected = ff.jit(f)(W, X)
    np.testing.assert_allclose(ff.jit(f)(W, X), expected, rtol=2e-5, atol=2e-5)


def test_gathers_compute_their_indices():
    x, i = np.ones((9, 4), np.float32), np.arange(6)
    assert "sub" in repeated(lambda x, i: x.at[i - 1].get(mode="clip"), x, i)


def test_indices_that_are_results_are_stored():
    x, i = np.ones((9, 4), np.float32), np.arange(6)
    assert "sub" not in repeated(lambda x, i: (x.at[i - 1].get(mode="clip"), i - 1), x, i)


def test_indices_of_several_components_are_stored():
    x, i = np.ones((9, 4), np.float32), np.arange(4)
    assert repeated(lambda x, i: x[i - 1, i], x, i) == []
