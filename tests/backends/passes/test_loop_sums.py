"""Sums of products leave loops, where nothing else needs them and memory allows it."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.passes.loop_sums import loop_sums
from funcflow.core import dtypes
from funcflow.core.evaluate import eval_closed
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.typecheck import check_jaxpr
from funcflow.lax.scan import scan_p

T, B, N, M = 5, 3, 4, 6
RNG = np.random.default_rng(0)


def integers(*shape: int) -> np.ndarray:
    """Numbers whose sums are exact in any order."""
    return RNG.integers(-4, 5, shape).astype("f4")


def moved(f, *args) -> ClosedJaxpr:
    """What the pass makes of a function; its values are compared, which are exact."""
    closed = ff.make_jaxpr(f)(*args)
    left = loop_sums(closed)
    check_jaxpr(left)
    expected, got = (eval_closed(c, *args) for c in (closed, left))
    for x, y in zip(expected, got, strict=True):
        np.testing.assert_array_equal(x, y)
    return left


def carried(closed: ClosedJaxpr) -> int:
    """How many values the only loop carries."""
    scans = [eqn for eqn in closed.eqns if eqn.primitive is scan_p]
    return sum(eqn.params["num_carry"] for eqn in scans)


def names(closed: ClosedJaxpr) -> list[str]:
    return [eqn.primitive.name for eqn in closed.eqns]


def outer(a, b):
    """`a^T @ b`"""
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())))


def test_a_sum_of_products_of_inputs():
    def f(c, a, b):
        return lax.scan(lambda c, ab: (c + outer(*ab), None), c, (a, b))[0]

    left = moved(f, integers(N, M), integers(T, B, N), integers(T, B, M))
    assert names(left) == ["dot_general", "add"]
    product, add = left.eqns
    assert product.invars == list(left.jaxpr.invars[1:])
    assert product.params["dimension_numbers"] == (((0, 1), (0, 1)), ((), ()))
    assert add.invars[0] is left.jaxpr.invars[0]


def test_batch_axes_stay():
    def f(c, a, b):
        numbers = (((2,), (1,)), ((0,), (0,)))
        return lax.scan(lambda c, ab: (lax.dot_general(*ab, numbers) + c, None), c, (a, b))[0]

    left = moved(f, integers(2, B, M), integers(T, 2, B, N), integers(T, 2, N, M))
    assert left.eqns[0].params["dimension_numbers"] == (((0, 3), (0, 2)), ((1,), (1,)))


def test_what_is_computed_in_the_loop_is_stacked_once():
    def f(c, a):
        def body(carry, x):
            total, other = carry
            y = x * x
            return (total + outer(y, y), other + outer(x, y)), y

        return lax.scan(body, (c, c), a)

    left = moved(f, integers(N, N), integers(T, 2, N))
    scan, *_ = left.eqns
    assert carried(left) == 0
    assert len(scan.outvars) == 1
    assert names(left) == ["scan", "dot_general", "add", "dot_general", "add"]


def test_sums_along_axes_follow_what_is_stacked():
    def f(weights, bias, a):
        def body(carry, x):
            weights, bias = carry
            y = lax.sin(x)
            return (weights + outer(x, y), bias + lax.reduce_sum(y, (0,))), None

        return lax.scan(body, (weights, bias), a)[0]

    left = loop_sums(ff.make_jaxpr(f)(integers(N, N), integers(N), integers(T, 2, N)))
    check_jaxpr(left)
    assert carried(left) == 0
    assert [e.params["axes"] for e in left.eqns if e.primitive.name == "reduce_sum"] == [(0, 1)]


def test_a_plain_sum_of_inputs():
    def f(c, a):
        return lax.scan(lambda c, x: (x + c, None), c, a)[0]

    assert names(moved(f, integers(N), integers(T, N))) == ["reduce_sum", "add"]


def test_several_terms_that_are_rearranged():
    def f(c, a, b):
        def body(c, ab):
            x, y = ab
            return c + (lax.transpose(outer(y, x), (1, 0)) + outer(x, y)), None

        return lax.scan(body, c, (a, b), reverse=True)[0]

    left = moved(f, integers(N, M), integers(T, B, N), integers(T, B, M))
    assert carried(left) == 0
    assert names(left).count("dot_general") == 2


def test_narrow_floats_are_converted_after_the_sum():
    def f(c, a):
        def body(c, x):
            product = lax.dot_general(
                x, x, (((0,), (0,)), ((), ())), preferred_element_type=np.float32
            )
            return c + lax.convert_element_type(product, fnp.float16), None

        return lax.scan(body, c, a)[0]

    left = moved(f, integers(N, N).astype("f2"), integers(T, B, N).astype("f2"))
    assert names(left) == ["dot_general", "convert_element_type", "add"]


@pytest.mark.parametrize("narrow, wide", [("f2", "f4"), ("f4", "f8"), ("f2", dtypes.bfloat16)])
def test_sums_in_a_wider_dtype_stay(narrow, wide):
    def f(c, a):
        def body(c, x):
            return c + lax.convert_element_type(outer(x, x), c.dtype), None

        return lax.scan(body, c, a)[0]

    largest = np.finfo(narrow).max / 4  # products of three steps overflow
    a = np.full((T, 2, N), np.sqrt(largest), narrow)
    left = moved(f, np.zeros((N, N), wide), a)
    assert carried(left) == 1


def test_calls_are_seen_through():
    product = ff.jit(outer)

    def f(c, a, b):
        return lax.scan(lambda c, ab: (c + product(*ab), None), c, (a, b))[0]

    assert carried(moved(f, integers(N, M), integers(T, B, N), integers(T, B, M))) == 0


STAY = {
    "the sum is used": lambda c, x: (c + outer(x, x), lax.reduce_sum(c, (0, 1))),
    "the sum is stacked": lambda c, x: ((d := c + outer(x, x)), d),
    "the sum decays": lambda c, x: (c * 0.5 + outer(x, x), None),
    "the sum is in the product": lambda c, x: (c + outer(x, lax.dot(x, c)), None),
    "a step subtracts": lambda c, x: (outer(x, x) - c, None),
    "the terms are broadcast": lambda c, x: (c + lax.reduce_sum(outer(x, x), (0,)), None),
    "an operand is a constant": lambda c, x: (c + outer(np.ones((B, N), "f4"), x), None),
    "a term is in no stack": lambda c, x: (c + lax.sin(outer(x, x)), None),
    "a term is a literal": lambda c, x: (c + np.float32(1), None),
    "nothing is added": lambda c, x: (c, None),
}


@pytest.mark.parametrize("why", STAY)
def test_other_sums_stay(why):
    closed = ff.make_jaxpr(lambda c, a: lax.scan(STAY[why], c, a))(
        integers(N, N), integers(T, B, N)
    )
    assert carried(loop_sums(closed)) == 1
    assert loop_sums(closed).eqns == closed.eqns


def test_one_step_is_no_sum():
    def f(c, a):
        return lax.scan(lambda c, x: (c + outer(x, x), None), c, a)[0]

    assert carried(moved(f, integers(N, N), integers(1, B, N))) == 1


@pytest.mark.parametrize(
    ("rows", "inputs", "carries"),
    [
        (N, 2, 0),  # as large as the sum, and as what is read
        (N + 1, 2, 1),  # larger than the sum
        (N, 0, 1),  # nothing is in stacks, so nothing may be added to them
    ],
)
def test_memory_sets_the_limit(rows, inputs, carries):
    def f(c, start, *xs):
        def body(carry, rows):
            total, x = carry
            for row in rows:
                x = x + row
            return (total + outer(x, x), lax.neg(x)), None

        return lax.scan(body, (c, start), xs, length=T)[0]

    xs = [integers(T, rows, N)] * inputs
    closed = loop_sums(ff.make_jaxpr(f)(integers(N, N), integers(rows, N), *xs))
    assert carried(closed) == 1 + carries


def test_the_gradient_of_a_recurrent_network(golden):
    def loss(weights, xs):
        def cell(state, x):
            return lax.tanh(lax.dot(state, weights["state"]) + lax.dot(x, weights["input"])), None

        state, _ = lax.scan(cell, fnp.zeros((2, N), "f4"), xs)
        return lax.reduce_sum(state, (0, 1))

    weights = {"state": integers(N, N) / 16, "input": integers(M, N) / 16}
    xs = integers(T, 2, M)
    gradient = ff.jit(ff.grad(loss))
    golden("loop_sums_recurrent.txt", f"{gradient.lower(weights, xs).as_text('loop sums')}\n")
    expected = ff.grad(loss)(weights, xs)
    for name, value in gradient(weights, xs).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)


def test_effects_stay():
    seen = []

    def f(c, a):
        def body(c, x):
            ff.debug.callback(lambda x: seen.append(float(x)), x[0, 0])
            return c + outer(x, x), None

        return lax.scan(body, c, a)[0]

    left = loop_sums(ff.make_jaxpr(f)(integers(N, N), integers(T, B, N)))
    assert names(left) == ["scan", "dot_general", "add"]
    eval_closed(left, integers(N, N), integers(T, B, N))
    assert len(seen) == T
