"""vmap in chunks gives what vmap gives."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

X = np.linspace(-1, 1, 21).reshape(7, 3)


def f(x, w):
    return fnp.tanh(w @ x), {"norm": fnp.sum(x * x), "w": w}


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("axis", [0, 1])
def test_equals_vmap(chunk, axis):
    w = np.eye(X.shape[1 - axis])
    options = {"in_axes": (axis, None), "out_axes": (1, {"norm": 0, "w": None})}
    got = ff.vmap(f, **options, chunk=chunk)(X, w)
    expected = ff.vmap(f, **options)(X, w)
    np.testing.assert_allclose(got[0], expected[0])
    np.testing.assert_allclose(got[1]["norm"], expected[1]["norm"])
    np.testing.assert_array_equal(got[1]["w"], w)


@pytest.mark.parametrize("chunk", [2, 3])
def test_derivatives(chunk):
    def total(x, w, **options):
        return fnp.sum(ff.vmap(f, (0, None), (0, {"norm": 0, "w": None}), **options)(x, w)[0] ** 2)

    w = np.arange(9.0).reshape(3, 3) / 10
    whole = ff.value_and_grad(total, (0, 1))(X, w)
    parts = ff.value_and_grad(lambda x, w: total(x, w, chunk=chunk), (0, 1))(X, w)
    for a, b in zip(ff.tree.leaves(parts), ff.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b)
    inside = ff.vmap(ff.grad(lambda x: fnp.sum(x**3)), chunk=chunk)(X)
    np.testing.assert_allclose(inside, 3 * X**2)


def test_nests():
    once = ff.vmap(ff.vmap(lambda x: x * x, chunk=2), chunk=3)
    np.testing.assert_allclose(once(X), X * X)
    np.testing.assert_allclose(ff.jit(once)(X), X * X)
    np.testing.assert_allclose(ff.vmap(ff.vmap(lambda x: x * x), chunk=3)(X), X * X)


def test_loops_inside():
    g = lambda x: lax.fori_loop(0, 3, lambda _, v: v * x, x)  # noqa: E731
    np.testing.assert_allclose(ff.vmap(g, chunk=4)(X), X**4)


def test_no_more_lanes_at_a_time():
    sizes = []

    def lane(x):
        out = ff.ShapeDtypeStruct(x.shape, x.dtype)
        see = lambda rows: sizes.append(rows.shape[0]) or rows  # noqa: E731
        return ff.pure_callback(see, out, x, vmap_method="broadcast_all")

    np.testing.assert_array_equal(ff.vmap(lane, chunk=3)(X), X)
    assert sizes == [3, 3, 1]


def test_errors():
    with pytest.raises(errors.ArgumentError, match="chunk=0"):
        ff.vmap(f, chunk=0)
    with pytest.raises(errors.ArgumentError, match="axis_name"):
        ff.vmap(f, axis_name="i", chunk=2)
    with pytest.raises(errors.ArgumentError, match="out_axes is None"):
        ff.vmap(lambda x: x, out_axes=None, chunk=2)(X)
