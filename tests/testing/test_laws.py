"""`check_laws` accepts functions that obey the laws and names the law that one breaks."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hst

from funcflow.core import rules
from funcflow.core.array import ConcreteArray, wrap
from funcflow.core.dtypes import bfloat16
from funcflow.core.rules import NONDIFFERENTIABLE
from funcflow.core.staging import StagedTracer
from funcflow.lax.arithmetic import div, mul, neg
from funcflow.lax.forms import INEXACT, add, unary
from funcflow.lax.shape import reduce_sum, transpose
from funcflow.testing import check_laws
from funcflow.testing import strategies as st
from funcflow.testing.compare import assert_close, count
from funcflow.transforms.batching import BatchTracer

X = np.array([[0.5, 1.5, 2.5], [1.0, 2.0, 3.0]], np.float32)


@given(hst.data())
def test_smooth_functions_obey(data):
    dtype = data.draw(st.dtypes("fc"))
    shapes = data.draw(st.broadcastable_shapes(2, max_side=3))
    x, y = (data.draw(st.arrays(dtype, s, smooth=True, min_value=0.5)) for s in shapes)
    check_laws(lambda x, y: div(x, mul(y, y)), (x, y))


def test_trees_scalars_and_integers_obey():
    def f(tree, n):
        total = add(tree["x"], mul(tree["y"][0], 2.0))
        return {"total": transpose(total, (1, 0)), "n": add(n, 1), "x": tree["x"], "c": 1.5}

    check_laws(f, ({"x": X, "y": (3.0,)}, np.arange(4)))


@pytest.mark.parametrize("args", [(), (3,), (True, np.arange(3)), (np.ones((0, 2), np.float32),)])
def test_edge_cases_obey(args):
    check_laws(lambda *xs: tuple(reversed(xs)), args)
    check_laws(lambda *xs: (), args)


def test_functions_with_constants_of_their_own_obey():
    weights = wrap(X)
    check_laws(lambda x: mul(x, weights), (X,))


def test_values_that_are_not_finite_obey():
    check_laws(lambda x: mul(x, x), (np.array([np.nan, np.inf, -0.0, 1.0]),))


def test_modes_and_order_limit_the_work():
    def cases(**options):
        before = count.cases
        check_laws(lambda x: mul(x, x), (X,), **options)
        return count.cases - before

    assert cases(modes=()) == 0
    assert cases(modes=("jit",)) == 2
    assert cases(modes=("jit", "vmap")) > cases(modes=("jit",))
    assert cases(order=0) < cases(order=1) < cases(order=2)
    assert cases(order=0) == cases(modes=("jit", "vmap", "pmap"))
    assert cases(modes=("fwd",)) + cases(modes=("rev",)) < cases(modes=("fwd", "rev"))


# --- functions that break a law -------------------------------------------------------------


def breaks(law, f, args=(X,), **options):
    with pytest.raises(AssertionError, match=law):
        check_laws(f, args, **options)


def when(tracer, otherwise):
    """A function that does something else when its argument is traced by `tracer`."""
    return lambda x: otherwise(x) if isinstance(x, tracer) else mul(x, x)


def test_another_value_in_jit():
    breaks(r"law 'jit\(f\) == f' fails for output of f", when(StagedTracer, neg))


def test_another_shape_in_jit():
    f = when(StagedTracer, lambda x: reduce_sum(x, (0,)))
    breaks(r"got type f32\[3\], expected f32\[2,3\]", f)


def test_another_weak_flag_in_jit():
    def f(x):
        return wrap(np.float32(2.0)) if isinstance(x, ConcreteArray) else 2.0

    breaks(r"got type f32\[\]\*, expected f32\[\] \(\* marks a weak type\)", f)


def test_another_structure_in_jit():
    breaks("the structures differ", when(StagedTracer, lambda x: (x, x)))


def test_another_value_in_vmap():
    breaks(r"law 'vmap\(f\) == stacked f'", when(BatchTracer, neg), modes=("vmap",))


@pytest.fixture
def define(request) -> Iterator:
    """Define a primitive for one test."""
    defined = []

    def define_unary(name, impl, **options):
        defined.append(unary(name, impl, takes=INEXACT, **options))
        return defined[-1].bind

    yield define_unary
    for table in rules.TABLES:
        for primitive in defined:
            table.pop(primitive, None)


def test_a_batch_rule_that_mixes_lanes(define):
    def flipped(xp, x):
        return x[::-1] if x.ndim > 2 else x

    breaks(r"law 'vmap\(f\) == stacked f'", define("flipped", flipped))


def test_a_wrong_derivative(define):
    f = define("wrong", lambda xp, x: x * x, derivative=lambda t, out, x: mul(t, x))
    breaks(r"law 'jvp\(f\) == difference quotient'", f, order=1)
    breaks(r"<vjp\(f\) ct, t> == <ct, difference quotient>", f, order=1, modes=("rev",))


def test_a_wrong_second_derivative(define):
    # right to first order; a rule that is not differentiated makes the second one vanish
    twice = define("twice", lambda xp, x: 2 * x, derivative=NONDIFFERENTIABLE)
    f = define("square", lambda xp, x: x * x, derivative=lambda t, out, x: mul(t, twice(x)))
    check_laws(f, (X,), order=1)
    breaks(r"jvp\(jvp\(f\)\)", f, modes=("fwd",))
    breaks(r"vjp\(vjp\(f\)\)", f, modes=("rev",))


def test_a_wrong_transpose(define):
    double = define(
        "double",
        lambda xp, x: 2 * x,
        derivative=lambda t, out, x: double(t),
        transpose=lambda ctx, ct, x: [ct],
    )
    check_laws(double, (X,), modes=("jit", "vmap", "fwd"))
    breaks("<vjp", double, modes=("rev",))


def test_a_gradient_that_is_nan(define):
    f = define(
        "safe", lambda xp, x: x * x, derivative=lambda t, out, x: mul(t, div(mul(x, x), mul(x, x)))
    )
    breaks("nan instead of", f, (np.zeros(2, np.float32),), order=1)


def test_a_derivative_of_another_dtype_is_refused(define):
    half = wrap(np.float16(1))
    f = define("mixed", lambda xp, x: x * x, derivative=lambda t, out, x: half)
    breaks("got type f16", f, order=1)


def test_an_implementation_of_another_dtype_is_refused(define):
    f = define("doubled", lambda xp, x: x.astype("float64"))
    breaks(
        r"(?s)the equations of f keep their types.*= doubled a\n"
        r".*abstract promises f32\[2,3\], impl gives f64\[2,3\]",
        f,
    )


def test_the_message_shows_the_arguments():
    with pytest.raises(AssertionError) as caught:
        check_laws(when(StagedTracer, neg), (X,))
    message = str(caught.value)
    assert "argument 0: f32[2,3]: [[0.5, 1.5, 2.5]" in message
    assert "6 of 6 elements differ; first at index (0, 0): -0.5 instead of 0.25" in message


# --- comparing ------------------------------------------------------------------------------


def close(got, expected, tolerance=0.1, **options):
    names = ["float32", "float64", "complex64", bfloat16]
    tolerances = {np.dtype(name): tolerance for name in names}
    assert_close("a law", got, expected, tolerances=tolerances, **options)


def test_what_counts_as_close():
    close(np.array([1.0, np.nan, np.inf]), np.array([1.05, np.nan, np.inf]))
    close(np.array([100.0, 0.0]), np.array([100.0, 5.0]))  # relative to the largest
    close(np.array([1], bfloat16), np.array([1.05], bfloat16))
    close(np.array([1.0]), np.array([3.0]), atol=2.0)
    close(np.array([1.0]), np.array([np.inf]), skip_nonfinite=True)
    close({"a": 1, "b": [None]}, {"a": 1, "b": [None]})
    close(np.array([1 + 1j], "complex64"), np.array([1.05 + 1j], "complex64"))


@pytest.mark.parametrize(
    ("got", "expected", "options"),
    [
        (np.array([1.0]), np.array([1.3]), {}),
        (np.array([1.0]), np.array([1.05]), {"atol": 0.0, "rtol": 0.0}),
        (np.array([np.nan]), np.array([1.0]), {}),
        (np.array([np.nan]), np.array([1.0]), {"skip_nonfinite": True}),
        (np.array([1.0]), np.array([np.nan]), {}),
        (np.array([1e300]), np.array([np.inf]), {}),
        (np.array([np.inf]), np.array([-np.inf]), {}),
        (np.array([1]), np.array([2]), {}),
        (np.array([True]), np.array([False]), {}),
        (np.array([1.0]), np.array([1.0], "float32"), {}),
        (np.ones(2), np.ones(3), {}),
        ([1.0], (1.0,), {}),
        ([1.0], [1.0, 2.0], {}),
    ],
)
def test_what_does_not(got, expected, options):
    with pytest.raises(AssertionError, match="a law"):
        close(got, expected, **options)
