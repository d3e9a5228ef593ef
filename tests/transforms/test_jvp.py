"""Forward mode against closed forms."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

X = np.linspace(0.2, 1.4, 3)


def test_value_and_tangent():
    out, tangent = ff.jvp(lambda x, y: fnp.sin(x) * y, (X, 2.0), (np.ones(3), 0.5))
    np.testing.assert_allclose(out, 2 * np.sin(X))
    np.testing.assert_allclose(tangent, 2 * np.cos(X) + 0.5 * np.sin(X))


def test_pytrees():
    out, tangent = ff.jvp(
        lambda p: {"s": p["a"] * p["b"][0]}, ({"a": 2.0, "b": [3.0]},), ({"a": 1.0, "b": [10.0]},)
    )
    assert float(out["s"]) == 6 and float(tangent["s"]) == 23


def test_a_result_that_does_not_depend_on_the_input_has_a_zero_tangent():
    out, tangent = ff.jvp(lambda x: fnp.ones((2,), "float64"), (X,), (X,))
    np.testing.assert_array_equal(out, np.ones(2))
    np.testing.assert_array_equal(tangent, np.zeros(2))
    assert tangent.dtype == np.float64


def test_python_control_flow_on_values():
    f = lambda x: x**2 if x > 0 else -x  # noqa: E731
    assert float(ff.jvp(f, (3.0,), (1.0,))[1]) == 6
    assert float(ff.jvp(f, (-3.0,), (1.0,))[1]) == -1


def test_higher_orders():
    f = fnp.exp
    for _ in range(4):
        f = lambda x, f=f: ff.jvp(f, (x,), (1.0,))[1]  # noqa: E731
    np.testing.assert_allclose(f(1.0), np.e, rtol=1e-6)


def test_perturbations_are_not_confused():
    inner = lambda x: ff.jvp(lambda y: x + y, (1.0,), (1.0,))[1]  # noqa: E731
    assert float(ff.jvp(lambda x: x * inner(x), (2.0,), (1.0,))[1]) == 1


def test_has_aux():
    out, tangent, aux = ff.jvp(lambda x: (x * x, {"x": x, "n": "text"}), (3.0,), (1.0,), True)
    assert (float(out), float(tangent), float(aux["x"]), aux["n"]) == (9, 6, 3, "text")


def test_integer_arguments_have_float0_tangents():
    zero = np.zeros((), ff.float0)
    out, tangent = ff.jvp(lambda x, n: (x * n, n + 1), (2.0, 3), (1.0, zero))
    assert [float(x) for x in out] == [6, 4]
    assert float(tangent[0]) == 3
    assert tangent[1].dtype == ff.float0 and tangent[1].shape == ()


def test_booleans_as_results():
    tangent = ff.jvp(lambda x: x > 0.5, (X,), (X,))[1]
    assert tangent.dtype == ff.float0 and tangent.shape == (3,)


def test_complex_functions():
    z = np.array(1 + 2j)
    out, tangent = ff.jvp(lambda z: z * z, (z,), (1j,))
    np.testing.assert_allclose(tangent, 2 * z * 1j)
    np.testing.assert_allclose(ff.jvp(fnp.abs, (z,), (1 + 0j,))[1], 1 / np.sqrt(5))
    assert out.dtype == tangent.dtype == np.complex128


def test_weak_tangents_take_the_primals_dtype():
    x = fnp.ones((), "float16")
    assert ff.jvp(fnp.sin, (x,), (1.0,))[1].dtype == np.float16


@pytest.mark.parametrize(
    ("primals", "tangents", "error"),
    [
        (1.0, (1.0,), errors.TreeStructureError),
        ((1.0,), 1.0, errors.TreeStructureError),
        ((1.0,), (1.0, 2.0), errors.TreeStructureError),
        (({"a": 1.0},), ({"b": 1.0},), errors.TreeStructureError),
        ((np.ones(2),), (np.ones(3),), errors.ShapeError),
        ((np.ones(2),), (np.ones(2, "float32"),), errors.DtypeError),
        ((1,), (1,), errors.DtypeError),
        (("text",), (1.0,), errors.LeafTypeError),
    ],
)
def test_primals_and_tangents_must_match(primals, tangents, error):
    with pytest.raises(error, match="jvp"):
        ff.jvp(lambda *args: args[0], primals, tangents)


def test_a_leaked_tracer_raises():
    kept = []
    ff.jvp(lambda x: kept.append(x) or x, (1.0,), (1.0,))
    with pytest.raises(errors.UnexpectedTracerError, match="outside the function"):
        kept[0] + 1


def test_jvp_of_loops_and_branches():
    def f(x):
        x = lax.fori_loop(0, 3, lambda _, v: v * x, x)
        return lax.cond(x[0] > 0, fnp.sin, fnp.cos, x)

    out, tangent = ff.jvp(f, (X,), (np.ones(3),))
    np.testing.assert_allclose(out, np.sin(X**4))
    np.testing.assert_allclose(tangent, 4 * X**3 * np.cos(X**4))


def test_golden_text(golden):
    f = lambda x, t: ff.jvp(lambda x: fnp.sin(x) * x, (x,), (t,))  # noqa: E731
    golden("transform_jvp.txt", f"{ff.make_jaxpr(f)(fnp.ones(3), fnp.ones(3))}\n")
