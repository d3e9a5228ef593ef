"""Calls of known signatures: the direct way gives what the general way gives, or stands aside."""

import dataclasses
import threading
from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors
from funcflow.core.array import ConcreteArray


def jitted(function, *args):
    """A jitted function that was called, so that its direct way is open for such arguments."""
    f = ff.jit(function)
    f(*args)
    assert f._direct is not None and f._direct(args) is not None
    return f


def test_the_same_signature_again():
    f = jitted(lambda x, y: x * 2 + y, fnp.ones(3), np.ones(3, "float32"))
    for n in range(3):
        got = f(fnp.full(3, float(n), "float32"), np.full(3, 10 * n, "float32"))
        np.testing.assert_array_equal(got, np.full(3, 12 * n, "float32"))
    assert f.cache_info()[:2] == (3, 1)


X = fnp.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "other",
    [
        fnp.arange(6.0).reshape(3, 2),
        fnp.arange(6.0),
        fnp.arange(12.0).reshape(2, 2, 3),
        fnp.arange(6.0, dtype="float64").reshape(2, 3),
        fnp.arange(6, dtype="int32").reshape(2, 3),
        fnp.arange(6.0, dtype="bfloat16").reshape(2, 3),
        np.arange(6.0, dtype="float32").reshape(2, 3),
        np.ma.array(np.arange(6.0, dtype="float32").reshape(2, 3)),
        fnp.asarray(2.0),
        2.0,
        np.float32(2),
    ],
)
def test_another_signature(other):
    f = jitted(lambda x: x + 1, X)
    assert f._direct((other,)) is None
    expected = ff.jit(lambda x: x + 1)(other)
    got = f(other)
    assert got.aval == expected.aval
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(f(X), np.array(X) + 1)


def test_another_number_of_arguments():
    f = jitted(lambda *xs: sum(xs[1:], xs[0]), X, X)
    np.testing.assert_array_equal(f(X), X)
    np.testing.assert_array_equal(f(X, X, X), np.array(X) * 3)


def test_weak_types():
    weak = fnp.asarray(1.0)
    f = jitted(lambda x: x + fnp.ones((), "bfloat16"), weak)
    assert weak.weak_type and f(weak).dtype == fnp.bfloat16
    assert f(fnp.float32(1.0)).dtype == np.float32
    assert jitted(lambda x: x * 2, weak)(weak).weak_type


@pytest.mark.parametrize("make", [lambda x: x.T, lambda x: x[:, ::-1], lambda x: x[::2]])
def test_arrays_that_are_not_contiguous(make):
    x = make(np.arange(16.0, dtype="float32").reshape(4, 4))
    f = jitted(lambda x: x + 1, x.copy())
    assert f._direct((x,)) is None
    np.testing.assert_array_equal(f(x), x + 1)


def test_subclasses_take_the_general_way():
    class Mine(ConcreteArray):
        pass

    f = jitted(lambda x: x + 1, X)
    assert f._direct((Mine(np.array(X)),)) is None
    np.testing.assert_array_equal(f(Mine(np.array(X))), np.array(X) + 1)


def test_captured_arrays_and_several_results():
    w, state = fnp.arange(3.0), {"b": fnp.ones(3), "a": fnp.zeros(3)}
    f = jitted(lambda t, x: {"sum": t["a"] + w * x, "all": (t["b"] - x, x * 2)}, state, w)
    a, b = fnp.full(3, 7.0, "float32"), fnp.full(3, 5.0, "float32")
    got = f({"b": b, "a": a}, fnp.ones(3))
    np.testing.assert_array_equal(got["sum"], [7, 8, 9])
    np.testing.assert_array_equal(got["all"], [[4, 4, 4], [2, 2, 2]])
    # filled in another order, it is another structure to the direct way and the same to others
    assert f._direct(({"a": a, "b": b}, fnp.ones(3))) is None
    got = f({"a": a, "b": b}, fnp.ones(3))
    np.testing.assert_array_equal(got["sum"], [7, 8, 9])
    assert f.cache_info().misses == 1


@ff.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scale:
    factor: Any
    power: int = dataclasses.field(metadata={"static": True})


def test_models_with_static_fields():
    f = jitted(lambda m, x: m.factor * x**m.power, Scale(fnp.ones(3), 2), X)
    np.testing.assert_array_equal(f(Scale(fnp.arange(3.0), 2), X), np.arange(3) * np.array(X) ** 2)
    assert f._direct((Scale(fnp.ones(3), 3), X)) is None
    np.testing.assert_array_equal(f(Scale(fnp.ones(3), 3), X), np.array(X) ** 3)
    assert f.cache_info().misses == 2


def test_donated_arguments():
    w = fnp.arange(3000.0)
    f = ff.jit(
        lambda state, x: ({"n": state["n"] + 1, "w": state["w"] * x + w}, x.sum()), donate_argnums=0
    )
    x, before = np.full(3000, 2.0, "float32"), {"n": fnp.int32(0), "w": fnp.zeros(3000)}
    state = before
    f({"n": fnp.int32(0), "w": fnp.zeros(3000)}, x)
    for _ in range(3):
        given, address = state, np.asarray(state["w"]).ctypes.data
        state, _ = f._direct((given, x))
        assert np.asarray(state["w"]).ctypes.data == address
        assert given["w"].is_deleted()
    np.testing.assert_array_equal(state["w"], 7 * np.arange(3000.0))
    assert state["n"] == 3
    # what was given away, and other arguments, go the general way
    assert f._direct((before, x)) is None
    with pytest.raises(errors.DeletedArrayError):
        f(before, x)
    assert f._direct((state, x[:1])) is None
    assert f._direct((state, fnp.asarray(x))) is None
    assert f._direct(({**state, "n": fnp.float32(0)}, x)) is None
    np.testing.assert_array_equal(f(state, x[:1])[0]["w"], 15 * np.arange(3000.0))


@pytest.mark.parametrize("n", [30, 30_000])  # with an arena of its own, and with the pool's
def test_programs_that_need_an_arena(n):
    def function(tree, x):
        scaled = x * tree["scale"]
        return scaled - scaled[::-1].cumsum() + tree["shift"]

    rng = np.random.default_rng(0)
    tree = {"shift": fnp.array(rng.random(n)), "scale": fnp.array(rng.random(n))}
    x = fnp.array(rng.random(n))
    assert ff.jit(function).lower(tree, x).memory().temporaries
    f = jitted(function, tree, x)
    for _ in range(3):
        with ff.config(disable_jit=True):
            expected = f(tree, x)
        np.testing.assert_allclose(f(tree, x), expected, rtol=1e-4, atol=1e-3)
        x = x + 1


def test_signatures_that_take_turns():
    f = ff.jit(lambda x: x * 2)
    for _ in range(3):
        for shape in ((2,), (3,), (2, 2)):
            np.testing.assert_array_equal(f(fnp.ones(shape)), np.full(shape, 2.0))
    assert f.cache_info()[:2] == (6, 3)


def test_settings_and_transforms_are_heeded():
    f = jitted(lambda x: x + fnp.ones(3), fnp.ones(3))
    x = fnp.ones(3)
    with ff.config(default_float="float64"):
        assert f(x).dtype == np.float64
    assert f(x).dtype == np.float32
    with ff.config(disable_jit=True):
        np.testing.assert_array_equal(f(x), [2, 2, 2])
    np.testing.assert_array_equal(ff.grad(lambda x: f(x).sum())(x), np.ones(3))
    np.testing.assert_array_equal(ff.vmap(f)(fnp.ones((2, 3))), np.full((2, 3), 2.0))
    # an array that is not mapped, while a transform is at work
    jaxpr = ff.make_jaxpr(lambda y: f(x) + y)(x)
    assert any(eqn.primitive.name == "jit" for eqn in jaxpr.jaxpr.eqns)


def test_deleted_arrays_raise():
    f = jitted(lambda x: x + 1, fnp.ones(3000))
    x = fnp.ones(3000)
    ff.jit(lambda x: x * 2, donate_argnums=0)(x)
    with pytest.raises(errors.DeletedArrayError):
        f(x)


def test_clearing_the_cache_forgets_the_direct_way():
    f = jitted(lambda x: x + 1, X)
    f.clear_cache()
    f(X)
    assert f.cache_info()[:2] == (0, 2)


def test_threads():
    f = ff.jit(lambda x: x * 2)
    wrong = []

    def work(n):
        x = fnp.full(n, float(n))
        wrong.extend(1 for _ in range(500) if float(f(x)[-1]) != 2 * n)

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 4, 3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
