"""linearize and vjp against jvp and closed forms."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors

X = np.linspace(0.2, 1.4, 3)


def f(x):
    return fnp.sin(x) * x


def derivative(x):
    return np.sin(x) + x * np.cos(x)


def test_linearize():
    out, push = ff.linearize(f, X)
    np.testing.assert_allclose(out, np.sin(X) * X)
    for t in (np.ones(3), X):
        np.testing.assert_allclose(push(t), derivative(X) * t)


def test_the_linear_function_computes_nothing_again(count):
    _, push = ff.linearize(lambda x: fnp.exp(fnp.sin(x)), X)
    jaxpr = ff.make_jaxpr(push)(X)
    assert count(jaxpr, "sin") == count(jaxpr, "cos") == count(jaxpr, "exp") == 0


def test_linearize_with_aux_integers_and_constants():
    out, push, aux = ff.linearize(lambda x, n: ((x * n, n, 1.0), x), 2.0, 3, has_aux=True)
    assert [float(v) for v in out] == [6, 3, 1] and float(aux) == 2
    tangents = push(1.0, np.zeros((), ff.float0))
    assert float(tangents[0]) == 3 and tangents[1].dtype == ff.float0 and float(tangents[2]) == 0


def test_the_linear_function_checks_its_argument():
    _, push = ff.linearize(f, X)
    with pytest.raises(errors.ShapeError, match="f_jvp"):
        push(np.ones(2))
    with pytest.raises(errors.TreeStructureError, match="f_jvp"):
        push(X, X)


def test_vjp():
    out, pull = ff.vjp(lambda x, y: (f(x), x * y), X, 2.0)
    np.testing.assert_allclose(out[1], 2 * X)
    ct_x, ct_y = pull((np.ones(3), X))
    np.testing.assert_allclose(ct_x, derivative(X) + 2 * X)
    np.testing.assert_allclose(ct_y, np.sum(X * X), rtol=1e-6)
    assert ct_y.dtype == np.float32


def test_the_pullback_can_be_called_again():
    _, pull = ff.vjp(f, X)
    np.testing.assert_allclose(pull(X)[0], derivative(X) * X)
    np.testing.assert_allclose(pull(2 * X)[0], derivative(X) * 2 * X)


def test_vjp_with_aux():
    out, pull, aux = ff.vjp(lambda x: (x * x, (x, "text")), 3.0, has_aux=True)
    assert (float(out), float(pull(1.0)[0]), float(aux[0]), aux[1]) == (9, 6, 3, "text")


def test_integers_have_float0_cotangents():
    _, pull = ff.vjp(lambda x, n: (x * n, n), 2.0, np.arange(3))
    ct_x, ct_n = pull((np.ones(3, "float32"), np.zeros(3, ff.float0)))
    assert float(ct_x) == 3
    assert ct_n.dtype == ff.float0 and ct_n.shape == (3,)


def test_unused_arguments_have_zero_cotangents():
    ct = ff.vjp(lambda x, y: x, X, X)[1](X)[1]
    np.testing.assert_array_equal(ct, np.zeros(3))


def test_the_transpose_is_not_conjugated():
    a = 2 + 3j
    ct = ff.vjp(lambda z: a * z, np.array(1j))[1](np.array(1 + 0j))[0]
    np.testing.assert_allclose(ct, a)
    ct = ff.vjp(fnp.real, np.array(1 + 2j))[1](np.array(1.0))[0]
    np.testing.assert_allclose(ct, 1)


@pytest.mark.parametrize(
    ("cotangent", "error"),
    [
        (1.0, errors.TreeStructureError),
        ((np.ones(3), np.ones(3), np.ones(3)), errors.TreeStructureError),
        ((np.ones(3), np.ones(2)), errors.ShapeError),
        ((np.ones(3), np.ones(3, "float32")), errors.ShapeError),
    ],
)
def test_the_cotangent_must_match(cotangent, error):
    _, pull = ff.vjp(lambda x: (x, x), X)
    with pytest.raises(error, match="f_vjp"):
        pull(cotangent)


def test_linear_functions_pass_through_jit():
    out, pull = ff.jit(lambda x: ff.vjp(f, x))(X)
    np.testing.assert_allclose(out, np.sin(X) * X)
    np.testing.assert_allclose(pull(X)[0], derivative(X) * X)
    apply = ff.jit(lambda pull, ct: pull(ct))
    np.testing.assert_allclose(apply(pull, X)[0], derivative(X) * X)
    _, push = ff.jit(lambda x: ff.linearize(f, x))(X)
    np.testing.assert_allclose(push(X), derivative(X) * X)


def test_a_pullback_from_a_cached_jit_call_does_not_retrace():
    forward, backward = ff.jit(lambda x: ff.vjp(f, x)), ff.jit(lambda pull, ct: pull(ct))
    for x in (X, 2 * X):
        np.testing.assert_allclose(backward(forward(x)[1], X)[0], derivative(x) * X)
    assert backward.cache_info().misses == 1


def test_linear_functions_pass_through_vmap():
    _, pulls = ff.vmap(lambda x: ff.vjp(f, x))(X)
    np.testing.assert_allclose(ff.vmap(lambda pull, ct: pull(ct))(pulls, X)[0], derivative(X) * X)


def test_linear_functions_tell_what_they_belong_to():
    _, pushforward = ff.linearize(fnp.sin, 1.0)
    _, pullback = ff.vjp(lambda x: x, 1.0)
    assert repr(pushforward).startswith("Partial(<pushforward of sin>, ")
    assert repr(pullback).startswith("Partial(<pullback of <lambda>>, ")


def test_leaked_tracers_raise():
    kept = []
    ff.vjp(lambda x: kept.append(x) or x * x, 1.0)
    with pytest.raises(errors.UnexpectedTracerError):
        kept[0] + 1


def test_golden_text(golden):
    _, push = ff.linearize(f, fnp.ones(3))
    _, pull = ff.vjp(f, fnp.ones(3))
    texts = [ff.make_jaxpr(g)(fnp.ones(3)) for g in (f, push, pull)]
    golden("transform_linearize.txt", "\n".join(map(str, texts)) + "\n")
