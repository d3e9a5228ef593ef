"""`check_grads` accepts right derivatives and refuses wrong ones."""

import numpy as np
import pytest

from funcflow.core.array import wrap
from funcflow.lax.arithmetic import abs as lax_abs
from funcflow.lax.arithmetic import div, integer_pow, mul
from funcflow.lax.complex import complex as lax_complex
from funcflow.lax.complex import conj, imag, real
from funcflow.lax.forms import add
from funcflow.lax.shape import reduce_sum
from funcflow.testing import check_grads, check_jvp, check_vjp
from funcflow.testing.gradients import coarsest, difference_quotients, directions
from funcflow.transforms.jvp import jvp
from funcflow.transforms.linearize import vjp

X = np.array([0.5, 1.5, 2.5])
DTYPES = ["float16", "float32", "float64", "complex64", "complex128"]


def array(dtype):
    return wrap((X + (0.25j if "complex" in dtype else 0)).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("modes", [("fwd",), ("rev",), ("fwd", "rev")])
def test_holomorphic_functions(dtype, modes):
    x = array(dtype)
    check_grads(lambda x, y: div(mul(x, x), y), (x, x), 2, modes)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(
    "f",
    [
        real,
        imag,
        conj,
        lambda x: mul(x, conj(x)),
        lambda x: mul(real(x), imag(x)),
        lambda x: integer_pow(lax_abs(x), 2),
        lambda x: lax_complex(imag(x), mul(real(x), real(x))),
    ],
)
def test_functions_that_are_not_holomorphic(dtype, f):
    check_grads(f, (array(dtype),), 2)


def test_real_functions_with_complex_values():
    check_grads(lambda x: mul(lax_complex(x, x), lax_complex(x, mul(x, x))), (wrap(X),), 2)


def test_third_order():
    check_grads(lambda x: integer_pow(x, 5), (wrap(X),), 3)


def test_trees_integers_and_scalars():
    def f(tree, n):
        return {"sum": add(tree["a"], tree["b"][0]), "n": n, "none": None, "i": tree["i"]}

    check_grads(f, ({"a": array("float32"), "b": (2.0,), "i": np.arange(3)}, 3), 2)


def test_nothing_to_differentiate():
    check_grads(lambda n: n, (3,), 2)
    check_grads(lambda x: 3, (1.0,), 2)
    check_grads(lambda: (), (), 2)


def test_empty_arrays():
    check_grads(lambda x: (mul(x, x), reduce_sum(x, (0,))), (np.ones((0, 2)),), 2)


def wrong_value(f, factor=1.0):
    def f_jvp(primals, tangents):
        out, tangent = jvp(f, primals, tangents)
        return add(out, factor), tangent

    return f_jvp


def square(x):
    return mul(x, x)


def jvp_off_by(factor):
    def f_jvp(primals, tangents):
        out, tangent = jvp(square, primals, tangents)
        return out, mul(tangent, factor)

    return f_jvp


def vjp_off_by(factor):
    def f_vjp(x):
        out, pullback = vjp(square, x)
        return out, lambda ct: (mul(pullback(ct)[0], factor),)

    return f_vjp


@pytest.mark.parametrize("dtype", DTYPES)
def test_wrong_derivatives_are_refused(dtype):
    x = array(dtype)
    check_jvp(square, jvp_off_by(1.0), (x,))
    check_vjp(square, vjp_off_by(1.0), (x,))
    with pytest.raises(AssertionError, match=r"jvp\(f\) == difference quotient"):
        check_jvp(square, jvp_off_by(1.5), (x,))
    with pytest.raises(AssertionError, match=r"<vjp\(f\) ct, t> == <ct, difference quotient>"):
        check_vjp(square, vjp_off_by(1.5), (x,))


def test_tolerances():
    check_jvp(square, jvp_off_by(1.5), (X,), atol=0.0, rtol=1.0)
    check_vjp(square, vjp_off_by(1.5), (X,), atol=2.0)
    with pytest.raises(AssertionError):
        check_jvp(square, jvp_off_by(1 + 1e-6), (X,), atol=0.0, rtol=1e-9)


def test_small_errors_are_found_in_double_precision():
    with pytest.raises(AssertionError):
        check_jvp(square, jvp_off_by(1.001), (X,))
    with pytest.raises(AssertionError):
        check_vjp(square, vjp_off_by(1.001), (X,))


def test_wrong_values_are_refused():
    with pytest.raises(AssertionError, match="the value of my function is that of the function"):
        check_jvp(square, wrong_value(square), (X,), err_msg="my function")
    with pytest.raises(AssertionError, match="the value of my function"):
        check_vjp(square, lambda x: (x, lambda ct: (x,)), (X,), err_msg="my function")


def test_types_of_cotangents():
    def f_vjp(x):
        out, pullback = vjp(square, x)
        return out, lambda ct: tuple(np.asarray(c).astype("float32") for c in pullback(ct))

    with pytest.raises(AssertionError, match=r"a cotangent is f32\[3\], its primal f64\[3\]"):
        check_vjp(square, f_vjp, (X,))


def test_a_nan_where_the_quotient_is_finite_is_refused():
    def f_jvp(primals, tangents):
        out, tangent = jvp(square, primals, tangents)
        return out, mul(tangent, np.array([1.0, np.nan, 1.0]))

    with pytest.raises(AssertionError, match="nan instead of"):
        check_jvp(square, f_jvp, (X,))


def test_the_conjugate_is_refused():
    x = array("complex128")

    def f_vjp(x):
        out, pullback = vjp(square, x)
        return out, lambda ct: (conj(pullback(ct)[0]),)

    with pytest.raises(AssertionError):
        check_vjp(square, f_vjp, (x,))


def test_difference_quotients_are_accurate():
    x, t = wrap(X), directions(wrap(X))
    quotient = difference_quotients(lambda x: integer_pow(x, 5), (x,), (t,), 2.0**-13)
    exact = 5 * X**4 * np.asarray(t)
    np.testing.assert_allclose(quotient, exact, rtol=1e-10)


def test_directions():
    tree = {"x": array("complex64"), "n": np.arange(3)}
    found = directions(tree)
    assert found["x"].dtype == np.complex64
    assert np.iscomplex(np.asarray(found["x"])).all()
    assert found["n"].dtype.names == ("float0",)
    np.testing.assert_array_equal(found["x"], directions(tree)["x"])


def test_the_coarsest_dtype_decides():
    assert coarsest(np.ones(2, "float64"), np.ones(2, "float16")) == np.float16
    assert coarsest(np.ones(2, "complex64"), np.ones(2, "float64")) == np.float32
    assert coarsest(np.arange(3)) == np.float64
