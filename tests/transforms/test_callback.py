"""Callbacks: called with what, how often and in which order."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

X = np.linspace(0, 1, 3)
SCALAR = ff.ShapeDtypeStruct((), "float64")


class Recorder:
    """A callback that returns its first argument and remembers all."""

    def __init__(self):
        self.calls = []

    def __call__(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        return args[0]


@pytest.mark.parametrize("transform", [lambda f: f, ff.jit])
def test_the_callback_gets_numpy_arrays_in_their_structure(transform):
    seen = Recorder()
    f = transform(lambda p: ff.pure_callback(seen, SCALAR, p["x"], [p], k=p["n"]))
    assert float(f({"x": np.float64(2), "n": 3})) == 2
    ((x, (tree,)), kwargs), = seen.calls  # fmt: skip
    assert isinstance(x, np.ndarray) and not x.flags.writeable
    assert set(tree) == {"x", "n"} and int(kwargs["k"]) == 3


def test_results_are_trees_and_are_converted_safely():
    out = {"a": ff.ShapeDtypeStruct((3,), "float32"), "n": ff.ShapeDtypeStruct((), "int32")}
    got = ff.jit(lambda x: ff.pure_callback(lambda x: {"a": x, "n": 3}, out, x))(X)
    assert got["a"].dtype == np.float32 and int(got["n"]) == 3


def test_a_result_may_be_a_buffer_that_the_callback_keeps():
    buffer = np.ones(3)
    got = ff.pure_callback(lambda: buffer, ff.ShapeDtypeStruct((3,), "float64"))
    buffer[:] = 7
    np.testing.assert_array_equal(got, np.ones(3))


@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        ("sequential", [((), ())] * 3),
        ("expand_dims", [((3,), (1,))]),
        ("broadcast_all", [((3,), (3,))]),
    ],
)
@pytest.mark.parametrize("transform", [lambda f: f, ff.jit])
def test_under_vmap(method, shapes, transform):
    seen = Recorder()
    f = lambda x, y: ff.pure_callback(seen, SCALAR, x, y, vmap_method=method)  # noqa: E731
    got = transform(ff.vmap(f, (0, None)))(X, 2.0)
    np.testing.assert_array_equal(got, X)
    assert [tuple(np.shape(a) for a in args) for args, _ in seen.calls] == shapes


def test_derivatives_are_those_of_a_rule_around_it():
    f = ff.custom_jvp(lambda x: ff.pure_callback(np.sin, x, x, vmap_method="expand_dims"))
    f.defjvp(lambda p, t: (f(*p), fnp.cos(p[0]) * t[0]))
    np.testing.assert_allclose(ff.jit(ff.vmap(ff.grad(f)))(X), np.cos(X))
    with pytest.raises(errors.NotDifferentiableError, match="custom_jvp"):
        ff.grad(lambda x: ff.pure_callback(np.sin, SCALAR, x))(np.float64(1))


def test_unused_pure_callbacks_are_dropped_and_others_are_not():
    pure, impure, printed = Recorder(), Recorder(), Recorder()

    @ff.jit
    def f(x):
        ff.pure_callback(pure, SCALAR, x)
        ff.io_callback(impure, SCALAR, x, ordered=True)
        ff.debug.callback(lambda x: printed(x) and None, x)
        return x

    f(np.float64(1))
    assert [len(r.calls) for r in (pure, impure, printed)] == [0, 1, 1]


def test_io_callbacks_in_loops_and_maps_come_in_order():
    seen = Recorder()

    def f(x):
        return lax.map(lambda v: ff.io_callback(seen, SCALAR, v), x)

    np.testing.assert_array_equal(ff.jit(f)(X), X)
    ff.vmap(lambda v: ff.io_callback(seen, SCALAR, v))(X)
    assert [float(args[0]) for args, _ in seen.calls] == [*X, *X]
    assert float(ff.grad(lambda x: x * ff.io_callback(seen, SCALAR, x))(np.float64(3))) == 3


def test_debug_print(capsys):
    def f(x):
        ff.debug.print("{} {x}", 1, x=x, ordered=True)
        return x * x

    f(2.0)
    ff.jit(f)(3.0)
    ff.vmap(f)(np.arange(2))
    ff.grad(f)(4.0)
    ff.jit(ff.vmap(ff.grad(f)))(np.array([5.0, 6.0]))
    lax.fori_loop(0, 2, lambda i, x: f(i) + x, 0)
    expected = "1 2.0\n1 3.0\n1 0\n1 1\n1 4.0\n1 5.0\n1 6.0\n1 0\n1 1\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("callback", "match"),
    [
        (lambda x: 1 / 0, "raised ZeroDivisionError"),
        (lambda x: (x, x), "structure"),
        (lambda x: np.ones(2), r"float64\[2\], it promised f64\[\]"),
        (lambda x: 1j * x, "complex128"),
        (lambda x: "text", "returned"),
    ],
)
@pytest.mark.parametrize("transform", [lambda f: f, ff.jit])
def test_callbacks_are_checked(callback, match, transform):
    with pytest.raises(errors.CallbackError, match=match):
        transform(lambda x: ff.pure_callback(callback, SCALAR, x))(np.float64(1))


def test_errors():
    with pytest.raises(errors.ArgumentError, match="vmap_method='magic'"):
        ff.pure_callback(np.sin, SCALAR, 1.0, vmap_method="magic")
    with pytest.raises(errors.ArgumentError, match="vmap_method='sequential'"):
        ff.vmap(lambda x: ff.pure_callback(np.sin, SCALAR, x))(X)


def test_golden_text(golden):
    def f(x):
        ff.debug.print("{}", x)
        ff.io_callback(np.sin, x, x)
        return ff.pure_callback(np.sin, x, x, vmap_method="expand_dims")

    texts = [ff.make_jaxpr(g)(fnp.ones(3)) for g in (f, ff.vmap(f))]
    golden("transform_callback.txt", "\n".join(map(str, texts)) + "\n")
