"""Gradients: arguments, auxiliary values, dtypes, errors."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors


def product(x, y, z=4.0):
    return x * y * z


@pytest.mark.parametrize(
    ("argnums", "expected"), [(0, 12), (1, 8), (-1, 6), ((0, 2), (12, 6)), ([2, 0], (6, 12))]
)
def test_argnums(argnums, expected):
    got = ff.grad(product, argnums)(2.0, 3.0, 4.0)
    assert isinstance(got, tuple) == isinstance(expected, tuple)
    np.testing.assert_array_equal(got, expected)


def test_keywords_are_passed_on():
    assert float(ff.grad(product)(2.0, 3.0, z=10.0)) == 30
    assert float(ff.grad(product)(2.0, y=3.0)) == 12


def test_value_and_aux():
    f = lambda x: (x * x, {"x": x, "name": "text"})  # noqa: E731
    (value, aux), gradient = ff.value_and_grad(f, has_aux=True)(3.0)
    assert (float(value), float(aux["x"]), aux["name"], float(gradient)) == (9, 3, "text", 6)
    gradient, aux = ff.grad(f, has_aux=True)(3.0)
    assert (float(gradient), float(aux["x"])) == (6, 3)


def test_aux_of_nested_gradients():
    f = lambda x: (x**3, x * 10)  # noqa: E731
    second, aux = ff.grad(lambda x: ff.grad(f, has_aux=True)(x), has_aux=True)(2.0)
    assert (float(second), float(aux)) == (12, 20)


def test_pytrees():
    parameters = {"w": np.ones((2, 3)), "b": [np.zeros(2)]}
    x = np.arange(3.0)
    got = ff.grad(lambda p: fnp.sum(fnp.tanh(p["w"] @ x + p["b"][0])))(parameters)
    expected = (1 - np.tanh(3.0) ** 2) * np.ones(2)
    np.testing.assert_allclose(got["b"][0], expected)
    np.testing.assert_allclose(got["w"], np.outer(expected, x))


def test_grad_of_grad_of_grad():
    f = ff.grad(ff.grad(ff.grad(lambda x: x**5)))
    assert float(f(2.0)) == 240


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_gradient_has_the_arguments_dtype(dtype):
    x = fnp.ones(2, dtype)
    assert ff.grad(lambda x: fnp.sum(x * x))(x).dtype == x.dtype


def test_mixed_dtypes():
    got = ff.grad(lambda x, y: fnp.sum(x * y), (0, 1))(fnp.ones(2, "float32"), np.ones(2))
    assert [g.dtype.name for g in got] == ["float32", "float64"]


def test_holomorphic_functions():
    z = np.array(1 + 2j)
    np.testing.assert_allclose(ff.grad(lambda z: z**3 * 1j, holomorphic=True)(z), 3j * z**2)


def test_real_functions_of_complex_arguments():
    z = np.array([1 + 2j, -3j])
    f = lambda z: fnp.sum(fnp.abs(z) ** 2 + fnp.real(z * z))  # noqa: E731
    # with z = x + iy, f = 2 x**2, and the gradient is df/dx - i df/dy
    value, gradient = ff.value_and_grad(f)(z)
    np.testing.assert_allclose(value, 2)
    np.testing.assert_allclose(gradient, 4 * z.real + 0j)
    np.testing.assert_allclose(ff.grad(lambda z: fnp.sum(fnp.abs(z) ** 2))(z), 2 * z.conj())
    np.testing.assert_allclose(ff.jit(ff.grad(f))(z), gradient)


def test_integers():
    gradient = ff.grad(lambda n, x: n * x, (0, 1), allow_int=True)(3, 2.0)
    assert gradient[0].dtype == ff.float0 and float(gradient[1]) == 3


@pytest.mark.parametrize(
    ("f", "args", "options", "error", "match"),
    [
        (lambda x: x, (1,), {}, errors.NotDifferentiableError, r"args\[0\] is i32"),
        (lambda x: x, (1j,), {}, errors.NotDifferentiableError, "real floating-point"),
        (lambda x: x, (1.0,), {"holomorphic": True}, errors.NotDifferentiableError, "complex"),
        (lambda x: x * 1j, (1.0,), {}, errors.NotDifferentiableError, "real floating-point"),
        (lambda x: x > 0, (1.0,), {}, errors.NotDifferentiableError, "real floating-point"),
        (lambda x: x, (np.ones(2),), {}, errors.ShapeError, "must return a scalar"),
        (lambda x: (x, x), (1.0,), {}, errors.ShapeError, "one scalar"),
        (lambda x: x, (1.0,), {"has_aux": True}, errors.TreeStructureError, "has_aux"),
        (lambda x: x, (1.0,), {"argnums": 1}, errors.ArgumentError, "argnums=1"),
        (lambda x: x, ("text",), {}, errors.LeafTypeError, r"args\[0\]"),
        (lambda x: "text", (1.0,), {}, errors.LeafTypeError, "result"),
    ],
)
def test_errors(f, args, options, error, match):
    with pytest.raises(error, match=match):
        ff.grad(f, **options)(*args)


def test_a_leaked_tracer_raises():
    kept = []
    ff.grad(lambda x: kept.append(x) or x * x)(1.0)
    with pytest.raises(errors.UnexpectedTracerError):
        fnp.sin(kept[0])


def test_fwd_and_bwd():
    fwd, bwd = ff.fwd_and_bwd(lambda x, y: (x * y, x + y), argnums=(0, 1), has_aux=True)
    value, residuals, aux = fwd(2.0, 3.0)
    assert (float(value), float(aux)) == (6, 5)
    np.testing.assert_array_equal(bwd(residuals, 1.0), [3, 2])
    fwd, bwd = ff.fwd_and_bwd(product, 0, jitted=False)
    assert float(bwd(fwd(2.0, 3.0)[1], 10.0)) == 120


def test_golden_text(golden):
    f = ff.grad(lambda x: fnp.sum(fnp.tanh(x) ** 2))
    golden("transform_grad.txt", f"{ff.make_jaxpr(f)(fnp.ones(3))}\n")
