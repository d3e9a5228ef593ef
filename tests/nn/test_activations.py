"""The activation functions against JAX's values, where those are right, and the laws."""

import math

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import AxisError, ShapeError
from funcflow.testing import check_laws

NAMES = [
    "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
    "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softplus",
    "sparse_plus", "sparse_sigmoid", "squareplus", "tanh",
]  # fmt: skip
DTYPES = ["float16", "bfloat16", "float32", "float64"]

# Where JAX's single precision loses digits: differences of nearly equal numbers.
INEXACT_THERE = {"gelu", "squareplus", "tanh"}


@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives(name, recorded):
    function = getattr(nn, name)
    x = np.asarray(recorded["x"], "float32")
    value, derivative = recorded["activations"][name]
    moderate = np.abs(x) < 50 if name in INEXACT_THERE else np.full(x.shape, True)
    absolute = 3e-6 if name in INEXACT_THERE else 1e-30
    if derivative is None:
        np.testing.assert_allclose(function(x), np.asarray(value, float), rtol=1e-5)
        return
    got = np.asarray(function(x))
    assert got.dtype == np.float32
    expected = np.asarray(value, float)
    np.testing.assert_allclose(got[moderate], expected[moderate], rtol=1e-5, atol=absolute)
    got = np.asarray(ff.vmap(ff.grad(function))(x))
    expected = np.asarray(derivative, float)
    np.testing.assert_allclose(got[moderate], expected[moderate], rtol=1e-5, atol=absolute)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "glu"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_derivatives_at_extremes_are_finite(name, dtype):
    function = getattr(nn, name)
    limits = fnp.finfo(dtype)
    x = fnp.array([-limits.max, -limits.tiny, 0.0, limits.tiny, limits.max]).astype(dtype)
    assert function(x).dtype == x.dtype
    value, derivative = ff.vmap(ff.value_and_grad(function))(x)
    if name != "selu":  # whose scale is above 1
        assert fnp.all(fnp.isfinite(value))
    assert fnp.all(fnp.isfinite(derivative))


@pytest.mark.parametrize("name", NAMES)
def test_laws(name):
    check_laws(getattr(nn, name), (np.array([-2.3, -0.7, 0.4, 1.9], "float32"),))


@pytest.mark.parametrize("name", NAMES)
def test_integers_and_no_dimension(name):
    function = getattr(nn, name)
    x = np.array([-3, 0, 2, 5], "int32")
    expected = function(x.astype("float32"))
    np.testing.assert_allclose(function(x), expected, rtol=1e-6)
    if name != "glu":
        assert function(2.0).shape == ()
        assert function(fnp.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("name", ["relu", "hard_tanh", "identity"])
def test_integers_stay_integers(name):
    assert getattr(nn, name)(fnp.array([-2, 2])).dtype == np.int32


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays(name):
    assert fnp.all(fnp.isnan(getattr(nn, name)(fnp.array([np.nan, np.nan]))))


def test_derivatives_at_kinks():
    assert ff.grad(nn.relu)(0.0) == 0
    assert ff.grad(nn.relu6)(0.0) == ff.grad(nn.relu6)(6.0) == 0
    assert ff.grad(nn.leaky_relu)(0.0) == 1
    assert ff.grad(nn.elu, argnums=(0, 1))(-1.0, 2.0)[0] == pytest.approx(2 / math.e, rel=1e-6)


def test_exact_gelu():
    x = np.linspace(-9, 9, 19)
    expected = [t * 0.5 * math.erfc(-t / math.sqrt(2)) for t in x]
    np.testing.assert_allclose(nn.gelu(x, approximate=False), expected, rtol=1e-12)
    check_laws(lambda x: nn.gelu(x, approximate=False), (x[4:8],))


def test_squareplus_far_from_zero():
    x = np.array([-1e200, -1e10, 1e200])
    np.testing.assert_allclose(nn.squareplus(x), [1e-200, 1e-10, 1e200], rtol=1e-12)
    b = np.array([0.0, 0.5, 2.0])
    np.testing.assert_array_equal(nn.squareplus(np.array([-1.0, 0.0, 1.0]), 0.0), [0, 0, 1])
    check_laws(nn.squareplus, (np.array([-1.0, 0.3, 2.0]), b + 1))


def test_log1mexp():
    x = np.array([1e-20, 1e-3, 0.5, 1.0, 40.0, 800.0])
    expected = [*np.log(-np.expm1(-x[:3])), *np.log1p(-np.exp(-x[3:]))]
    np.testing.assert_allclose(nn.log1mexp(x), expected, rtol=1e-12)
    np.testing.assert_array_equal(nn.log1mexp(np.array([0.0, -1.0])), [-np.inf, np.nan])
    derivative = ff.vmap(ff.grad(nn.log1mexp))(x)
    np.testing.assert_allclose(
        derivative, 1 / np.expm1(np.minimum(x, 700)), rtol=1e-12, atol=1e-300
    )
    check_laws(nn.log1mexp, (x[2:4],))


def test_parameters_are_differentiable():
    x = np.array([-1.5, -0.2, 0.9], "float32")
    check_laws(nn.elu, (x, np.float32(0.8)))
    check_laws(nn.celu, (x, np.float32(0.8)))
    check_laws(nn.leaky_relu, (x, np.float32(0.1)))


def test_glu_along_an_axis():
    x = np.arange(12.0).reshape(4, 3)
    expected = x[:2] / (1 + np.exp(-x[2:]))
    np.testing.assert_allclose(nn.glu(x, axis=0), expected, rtol=1e-12)
    with pytest.raises(ShapeError, match="glu: the extent of axis 1 must be even, got 3"):
        nn.glu(x)
    with pytest.raises(AxisError, match="glu: axis 2"):
        nn.glu(x, axis=2)


def test_other_names():
    assert nn.swish is nn.silu
    assert nn.hard_swish is nn.hard_silu
    np.testing.assert_array_equal(nn.identity(np.arange(3)), [0, 1, 2])
