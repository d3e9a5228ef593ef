"""Factored averages of squares: which axes, and what they are exact for."""

import numpy as np
import pytest

import funcflow.numpy as fnp
from funcflow import optim

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "row", "column", "whole"),
    [
        ((4, 6), (4,), (6,), (1,)),
        ((6, 4), (4,), (6,), (1,)),
        ((3, 6, 2, 4), (3, 2, 4), (3, 6, 2), (1,)),
        ((6,), (1,), (1,), (6,)),
        ((3, 6), (1,), (1,), (3, 6)),
        ((), (1,), (1,), ()),
    ],
)
def test_shapes_of_the_memory(shape, row, column, whole):
    state = optim.scale_by_factored_rms(min_dim_size_to_factor=4).init(fnp.zeros(shape))
    assert (state.v_row.shape, state.v_col.shape, state.v.shape) == (row, column, whole)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (2, 5, 3), (4,), (4, 4)])
@pytest.mark.parametrize("factored", [True, False])
def test_products_of_rows_and_columns_are_exact(shape, factored):
    """A gradient whose square is such a product becomes its sign."""
    g = np.ones(shape)
    for axis, n in enumerate(shape):
        g = g * RNG.uniform(0.5, 2.0, n).reshape(
            [-1 if i == axis else 1 for i in range(len(shape))]
        )
    g *= np.sign(RNG.standard_normal(shape))
    tx = optim.scale_by_factored_rms(factored, min_dim_size_to_factor=2)
    state = tx.init(fnp.asarray(g))
    for _ in range(3):
        updates, state = tx.update(fnp.asarray(g), state)
        np.testing.assert_allclose(updates, np.sign(g), rtol=1e-12)
    assert state.count == 3


def test_without_factors_it_is_an_average_with_a_growing_memory():
    tx = optim.scale_by_factored_rms(factored=False, decay_rate=1.0, epsilon=0.0)
    gradients = RNG.standard_normal((5, 2, 2))
    state = tx.init(fnp.asarray(gradients[0]))
    for g in gradients:
        updates, state = tx.update(fnp.asarray(g), state)
    mean = np.mean(gradients**2, axis=0)  # with 1 - 1/t, all have one weight
    np.testing.assert_allclose(updates, gradients[-1] / np.sqrt(mean), rtol=1e-12)


def test_the_first_step_may_have_another_number():
    tx = optim.scale_by_factored_rms(factored=False, step_offset=-3)
    state = tx.init(fnp.zeros(1, "float64"))
    _, state = tx.update(fnp.array([2.0], "float64"), state)
    np.testing.assert_allclose(state.v, [4 * 4**-0.8], rtol=1e-12)
