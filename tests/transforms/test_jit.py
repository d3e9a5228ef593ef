"""jit: what is cached and what is not, static arguments, closures, methods, threads."""

import threading
from functools import partial

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax


def traced_times(f):
    """`f` and a list that grows by one each time the function is traced."""
    traces = []

    def g(*args, **kwargs):
        traces.append(None)
        return f(*args, **kwargs)

    return g, traces


# --- the cache --------------------------------------------------------------------------------


def test_hits_and_misses():
    g, traces = traced_times(lambda x: x * 2)
    f = ff.jit(g)
    for x in (fnp.ones(3), fnp.zeros(3), fnp.ones(3, "float64"), fnp.ones((3, 1)), np.ones(3)):
        f(x)
    assert f.cache_info()[:3] == (2, 3, 3)
    assert len(traces) == 3
    f.clear_cache()
    f(fnp.ones(3))
    assert len(traces) == 4


def test_weak_types_are_part_of_the_signature():
    f = ff.jit(lambda x: x + np.float64(1))
    assert f(1.0).dtype == np.float64
    assert f(fnp.float32(1.0)).dtype == np.float64
    assert f.cache_info().misses == 2
    g = ff.jit(lambda x: x * fnp.ones(2, "float16"))
    assert g(2.0).dtype == np.float16 and g(np.float32(2.0)).dtype == np.float32
    assert ff.jit(lambda x: x)(1).weak_type and not ff.jit(lambda x: x)(np.int32(1)).weak_type


def test_tree_structures_are_part_of_the_signature():
    f = ff.jit(lambda t: ff.tree.reduce(fnp.add, t))
    assert [float(f(t)) for t in ((1.0, 2.0), [1.0, 2.0], {"a": 1.0, "b": 2.0})] == [3, 3, 3]
    assert f.cache_info().misses == 3


def test_keywords_and_their_order():
    f = ff.jit(lambda x, *, a, b: x + 10 * a + 100 * b)
    assert int(f(1, a=2, b=3)) == int(f(1, b=3, a=2)) == 321
    assert f.cache_info().misses == 1


def test_a_change_of_settings_traces_again():
    f = ff.jit(lambda x: x + fnp.ones(()))
    assert f(1.0).dtype == np.float32
    with ff.config(default_float="float64"):
        assert f(1.0).dtype == np.float64
    assert f(1.0).dtype == np.float32
    assert f.cache_info().misses == 2


def test_axes_in_scope_are_part_of_the_signature():
    f = ff.jit(lambda x: lax.psum(x, "i"))
    for size in (2, 3):
        got = ff.vmap(f, axis_name="i")(np.ones(size))
        np.testing.assert_array_equal(got, np.full(size, size))


def test_equal_programs_share_one_executable():
    from funcflow.core.executables import compiled

    ff.clear_caches()
    first, second = (ff.jit(lambda x: fnp.sin(x) * 2).trace(np.ones(3)).jaxpr for _ in range(2))
    assert compiled(first) is compiled(second)


# --- static arguments -------------------------------------------------------------------------


def test_static_arguments_by_place_and_by_name():
    f = ff.jit(lambda x, n: x * n if isinstance(n, int) else None, static_argnums=1)
    assert float(f(2.0, 3)) == float(f(2.0, n=3)) == 6
    f = ff.jit(lambda x, n=4: x * n if isinstance(n, int) else None, static_argnames="n")
    assert float(f(2.0, 3)) == float(f(2.0, n=3)) == 6
    assert float(f(2.0)) == 8
    f = ff.jit(lambda x, n: x * n if isinstance(n, int) else None, static_argnums=-1)
    assert float(f(2.0, 3)) == 6


def test_static_arguments_are_compared_by_value_and_type():
    f = ff.jit(lambda x, s: x * s[0], static_argnums=1)
    assert f(2, (1,)).dtype == np.int32
    assert f(2, (1.0,)).dtype == np.float32
    assert f(2, (True,)).dtype == np.int32
    assert f.cache_info().misses == 3
    f(2, tuple([1]))
    assert f.cache_info().hits == 1
    g = ff.jit(lambda x, s: fnp.copysign(x, s), static_argnums=1)
    assert [float(g(2.0, s)) for s in (0.0, -0.0)] == [2, -2]


def test_static_arguments_may_be_functions_and_strings():
    f = ff.jit(lambda g, how, x: g(x) if how == "once" else g(g(x)), static_argnums=(0, 1))
    assert float(f(fnp.negative, "once", 1.0)) == -1
    assert float(f(fnp.negative, "twice", 1.0)) == 1


@pytest.mark.parametrize(
    ("options", "args", "error", "match"),
    [
        ({"static_argnums": 1}, (1.0, [2]), errors.UnhashableStaticError, r"static argument 1 is"),
        ({"static_argnums": 2}, (1.0, 2), errors.ArgumentError, "static argument 2 is not there"),
        ({"static_argnames": "z"}, (1.0, 2), errors.ArgumentError, "'z' is not there"),
        ({}, (1.0, "text"), errors.LeafTypeError, r"args\[1\] is 'text'"),
    ],
)
def test_errors(options, args, error, match):
    with pytest.raises(error, match=match):
        ff.jit(lambda x, y: x, **options)(*args)


def test_more_keywords_of_jax():
    f = ff.jit(lambda x: x, donate_argnums=0, donate_argnames="x", keep_unused=True, inline=True)
    assert float(f(1.0)) == 1
    g = ff.jit(static_argnames=["n"])(lambda x, n: x + n)
    assert float(g(1.0, n=2)) == 3


# --- what a function closes over --------------------------------------------------------------


def test_captured_arrays_are_arguments():
    table = np.arange(4.0)
    jaxpr = ff.jit(lambda x: x + table).trace(np.ones(4)).jaxpr
    assert len(jaxpr.jaxpr.constvars) == 1
    np.testing.assert_array_equal(jaxpr.consts[0], table)
    nested = ff.make_jaxpr(lambda x: ff.jit(lambda y: y + table)(x))(np.ones(4)).eqns[0]
    assert len(nested.invars) == 2 and not nested.params["jaxpr"].consts


def test_a_captured_array_is_copied():
    table = np.ones(2)
    f = ff.jit(lambda x: x + table)
    f(1.0)
    table[:] = 100
    np.testing.assert_array_equal(f(1.0), [2, 2])


def test_captured_tracers():
    def outer(x):
        inner = ff.jit(lambda y: x * y)
        return inner(2.0) + inner(x)

    assert float(ff.grad(outer)(3.0)) == 8
    assert float(ff.jit(ff.grad(outer))(3.0)) == 8
    np.testing.assert_array_equal(ff.vmap(outer)(np.arange(3.0)), [0, 3, 8])


def test_leaked_tracers_raise():
    kept = []
    ff.jit(lambda x: kept.append(x))(1.0)
    for use in (lambda: kept[0] + 1, lambda: ff.jit(lambda y: y + kept[0])(1.0)):
        with pytest.raises(errors.UnexpectedTracerError):
            use()


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (lambda x: x if x > 0 else -x, errors.TracerBoolConversionError),
        (lambda x: [1, 2][x.astype("int32")], errors.TracerIntegerConversionError),
        (lambda x: np.asarray(x), errors.TracerArrayConversionError),
        (lambda x: float(x), errors.ConcretizationTypeError),
    ],
)
def test_values_are_not_known_while_tracing(f, error):
    with pytest.raises(error):
        ff.jit(f)(1.0)


# --- stages, methods, contexts ----------------------------------------------------------------


def test_stages():
    f = ff.jit(lambda x, n: {"y": fnp.sin(x) + fnp.sin(x) * n}, static_argnums=1)
    struct = ff.ShapeDtypeStruct((3,), "float64")
    assert f.eval_shape(struct, 2) == {"y": struct}
    lowered = f.lower(struct, 2)
    assert lowered.as_text("traced").count("sin") == 2
    assert lowered.as_text().count("sin") == 1
    program = lowered.compile()
    np.testing.assert_allclose(program(np.ones(3))["y"], 3 * np.sin(np.ones(3)))
    assert "sin" in program.as_text()
    with pytest.raises(errors.ArgumentError, match="compiled for"):
        program(np.ones(4))
    with pytest.raises(errors.ArgumentError, match="stage"):
        lowered.as_text("cooked")


class Model:
    def __init__(self, scale):
        self.scale = scale

    @partial(ff.jit, static_argnums=0)
    def scaled(self, x):
        """Scale x."""
        return self.scale * x


def test_methods():
    a, b = Model(2.0), Model(3.0)
    assert (float(a.scaled(1.0)), float(b.scaled(1.0))) == (2, 3)
    assert a.scaled.__doc__ == "Scale x."
    assert float(ff.grad(a.scaled)(1.0)) == 2
    assert float(ff.jit(b.scaled)(1.0)) == 3


def test_metadata():
    f = ff.jit(fnp.sin)
    assert f.__name__ == "sin" and f.__wrapped__ is fnp.sin
    assert repr(f) == "<jitted sin>"


def test_disable_jit():
    f = ff.jit(lambda x: -x if x < 0 else x)
    with ff.disable_jit():
        assert float(f(-2.0)) == 2
        with ff.disable_jit(False), pytest.raises(errors.TracerBoolConversionError):
            f(-2.0)


def test_ensure_compile_time_eval():
    @ff.jit
    def f(x):
        with ff.ensure_compile_time_eval():
            n = int(fnp.sum(fnp.arange(4)))
        return x * n

    assert float(f(2.0)) == 12


def test_results():
    assert ff.jit(lambda: None)() is None
    x = np.ones(2)
    y = ff.jit(lambda x: x)(x)
    x[:] = 5
    np.testing.assert_array_equal(y, np.ones(2))
    with pytest.raises(errors.LeafTypeError, match="result"):
        ff.jit(lambda: "text")()


def test_derivatives_of_jitted_functions_stay_jitted(count):
    f = ff.jit(lambda x: fnp.sum(fnp.sin(x) ** 2))
    jaxpr = ff.make_jaxpr(ff.grad(f))(np.ones(3))
    assert count(jaxpr, "jit") == 2  # forward and backward
    np.testing.assert_allclose(ff.grad(f)(np.ones(3)), np.sin(2 * np.ones(3)))


# --- threads ----------------------------------------------------------------------------------


def test_eight_threads_trace_at_the_same_time():
    shared = ff.jit(lambda x: fnp.sum(fnp.sin(x) * x))
    start = threading.Barrier(8)
    found, failed = {}, []

    def work(i):
        try:
            start.wait()
            for n in range(1, 6):
                x = np.linspace(0.1, 1, n + i % 2)
                own = ff.jit(ff.vmap(ff.grad(lambda x, s=float(i): fnp.cos(x * s)), 0))
                found[i, n] = (
                    np.asarray(ff.jit(ff.grad(shared))(x)),
                    np.asarray(own(x)),
                    float(shared(x)),
                )
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for (i, n), (gradient, own, value) in found.items():
        x = np.linspace(0.1, 1, n + i % 2)
        np.testing.assert_allclose(gradient, np.cos(x) * x + np.sin(x))
        np.testing.assert_allclose(own, -i * np.sin(x * i), atol=1e-15)
        np.testing.assert_allclose(value, np.sum(np.sin(x) * x))


def test_settings_and_traces_are_per_thread():
    inside, done = threading.Event(), threading.Event()
    found = []

    def other():
        inside.wait()
        found.append(fnp.ones(2).dtype)
        found.append(float(fnp.sin(0.0)))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()

    def f(x):
        inside.set()
        done.wait()
        return x * 2

    with ff.config(default_float="float64"):
        ff.jit(f)(1.0)
    thread.join()
    assert found == [np.dtype("float32"), 0.0]


def test_golden_text(golden):
    f = ff.jit(lambda x: fnp.sin(x) + fnp.sin(x) * 2)
    texts = [ff.make_jaxpr(g)(fnp.ones(3)) for g in (f, ff.grad(lambda x: fnp.sum(f(x))))]
    texts.append(f.lower(fnp.ones(3)).as_text())
    golden("transform_jit.txt", "\n".join(map(str, texts)) + "\n")
