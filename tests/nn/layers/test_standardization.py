import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.nn.layers.standardization import of_unit_size, standardized
from funcflow.testing import check_laws

X = ff.random.normal(ff.random.key(0), (3, 4), "float64")


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_the_derivatives_are_right_to_second_order(axes):
    check_laws(lambda x: standardized(x, axes, 1e-3), (X,))
    check_laws(lambda x: of_unit_size(x, axes, 1e-3), (X,))


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_the_derivative_is_that_of_the_definition(axes):
    def plain(x):
        mean = fnp.mean(x, axes, keepdims=True)
        var = fnp.mean((x - mean) ** 2, axes, keepdims=True)
        return (x - mean) * lax.rsqrt(var + 1e-3), mean, var

    got, expected = (ff.jacrev(f)(X) for f in (lambda x: standardized(x, axes, 1e-3), plain))
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-9, atol=1e-12)


def test_equal_elements_have_finite_derivatives():
    value, gradient = ff.value_and_grad(lambda x: standardized(x, (0,), 1e-5)[0][0])(fnp.ones(4))
    assert value == 0 and np.isfinite(gradient).all()
