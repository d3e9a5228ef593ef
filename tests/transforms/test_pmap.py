"""pmap over logical devices: vmap's results, collectives, errors in shards."""

import threading

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

X = np.linspace(-1, 1, 12).reshape(4, 3)


@pytest.fixture(autouse=True)
def _four_devices():
    with ff.config(num_cpu_devices=4):
        yield


def softmax(x):
    return fnp.exp(x) / lax.psum(fnp.exp(x), "i")


FUNCTIONS = {
    "no collective": lambda x: fnp.sin(x) * x,
    "psum": softmax,
    "pmax": lambda x: x - lax.pmax(x, "i"),
    "all_gather": lambda x: lax.all_gather(x, "i").sum(0) * x,
    "ppermute": lambda x: x * lax.ppermute(x, "i", [(k, (k + 1) % 4) for k in range(4)]),
    "axis_index": lambda x: x * lax.axis_index("i"),
    "loop": lambda x: lax.fori_loop(0, 3, lambda _, c: c - lax.pmean(c, "i") * x, x),
    "jit": ff.jit(softmax),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pmap_is_vmap(name):
    f = FUNCTIONS[name]
    mapped = [transform(f, axis_name="i") for transform in (ff.pmap, ff.vmap)]
    for apply in (
        lambda g: g(X),
        lambda g: ff.jit(g)(X),
        lambda g: ff.jvp(g, (X,), (X * X,)),
        lambda g: ff.grad(lambda x: fnp.sum(g(x) ** 2))(X),
        lambda g: ff.jit(ff.grad(lambda x: fnp.sum(g(x) ** 2)))(X),
        lambda g: ff.vmap(g, 2, 1)(np.stack([X, 2 * X], 2)),
        lambda g: ff.jacfwd(ff.grad(lambda x: fnp.sum(g(x) ** 2)))(X),
    ):
        got, expected = map(apply, mapped)
        for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_axes_and_unmapped_arguments():
    f = ff.pmap(lambda x, w, k: (x @ w, k), in_axes=(1, None, {"a": 0}), out_axes=(1, 0))
    w = np.arange(8.0).reshape(4, 2)
    out, k = f(X, w, {"a": np.arange(3.0)})
    np.testing.assert_allclose(out, (X.T @ w).T)
    np.testing.assert_array_equal(k["a"], np.arange(3.0))
    total = ff.pmap(lambda x: lax.psum(x, "i"), "i", out_axes=None)(X)
    np.testing.assert_allclose(total, X.sum(0))
    shared = ff.grad(lambda w: fnp.sum(f(X, w, {"a": np.arange(3.0)})[0]))(w)
    np.testing.assert_allclose(shared, np.repeat(X.sum(1)[:, None], 2, 1))


def test_static_arguments():
    f = ff.pmap(
        lambda x, how, y: x + y if how == "add" else x - y,
        in_axes=(0, None, 0),
        static_broadcasted_argnums=1,
    )
    np.testing.assert_array_equal(f(X, "add", X), 2 * X)
    np.testing.assert_array_equal(f(X, "sub", X), 0 * X)


def test_a_signature_is_traced_once():
    traces = []
    f = ff.pmap(lambda x: traces.append(None) or x * 2)
    for x in (X, X + 1, X[:2]):
        np.testing.assert_array_equal(f(x), 2 * x)
    assert len(traces) == 2
    with ff.config(num_cpu_devices=3), pytest.raises(errors.ArgumentError, match="3 devices"):
        f(X)


def test_shards_run_in_threads_of_their_own():
    names = set()
    out = ff.ShapeDtypeStruct((3,), "float64")
    note = lambda x: names.add(threading.current_thread().name) or x  # noqa: E731
    ff.pmap(lambda x: ff.pure_callback(note, out, x))(X)
    assert len(names) == 4


def test_nested_pmaps_with_collectives_over_both():
    grid = np.arange(6.0).reshape(2, 3)
    f = lambda x: (lax.psum(x, "i"), lax.psum(x, "j"), lax.psum(x, ("i", "j")))  # noqa: E731
    for _ in range(5):
        rows, columns, total = ff.pmap(ff.pmap(f, "j"), "i")(grid)
        np.testing.assert_array_equal(rows, np.broadcast_to(grid.sum(0), (2, 3)))
        np.testing.assert_array_equal(columns, np.broadcast_to(grid.sum(1)[:, None], (2, 3)))
        np.testing.assert_array_equal(total, np.full((2, 3), 15))


@pytest.mark.parametrize("nested", [False, True])
def test_an_error_in_one_shard_ends_all(nested):
    out = ff.ShapeDtypeStruct((), "float64")

    def fail(x, index):
        if index == 1:
            raise RuntimeError("shard 1 fails")
        return x

    def f(x):
        x = ff.pure_callback(fail, out, x, lax.axis_index("i"))
        return lax.psum(lax.psum(x, "i"), "j" if nested else "i")

    mapped = ff.pmap(f, "i")
    if nested:
        mapped = ff.pmap(mapped, "j")
    with pytest.raises(errors.CallbackError, match="shard 1 fails"):
        mapped(np.ones((2, 2) if nested else 2))


def test_errors():
    with pytest.raises(errors.ArgumentError, match="5, but there are 4 devices"):
        ff.pmap(lambda x: x)(np.ones(5))
    with pytest.raises(errors.UnboundAxisError, match="'j'"):
        ff.pmap(lambda x: lax.psum(x, "j"), "i")(X)
    with pytest.raises(errors.ShapeError, match="differ in size"):
        ff.pmap(lambda x, y: x)(X, np.ones(3))


def test_golden_text(golden):
    f = ff.pmap(softmax, axis_name="i")
    texts = [ff.make_jaxpr(g)(fnp.ones((4, 3))) for g in (f, lambda x: ff.jvp(f, (x,), (x,))[1])]
    golden("transform_pmap.txt", "\n".join(map(str, texts)) + "\n")
