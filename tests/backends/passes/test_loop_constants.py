"""Matrices that a loop multiplies by are transposed once, in front of it."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax
from funcflow.backends.passes.loop_constants import loop_constants
from funcflow.core.evaluate import eval_closed
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.typecheck import check_jaxpr
from funcflow.lax.scan import scan_p

T, N, M = 3, 4, 5
RNG = np.random.default_rng(0)


def integers(*shape: int) -> np.ndarray:
    """Numbers whose sums are exact in any order."""
    return RNG.integers(-2, 3, shape).astype("f4")


def changed(f, *args) -> ClosedJaxpr:
    """What the pass makes of a function; its values are compared, which are exact."""
    closed = ff.make_jaxpr(f)(*args)
    left = loop_constants(closed)
    check_jaxpr(left)
    for x, y in zip(eval_closed(closed, *args), eval_closed(left, *args), strict=True):
        np.testing.assert_array_equal(x, y)
    return left


def orders(closed: ClosedJaxpr) -> list[tuple[int, ...]]:
    """How constants are transposed in front of the loop."""
    found = [e.params["permutation"] for e in closed.eqns if e.primitive.name == "transpose"]
    assert [e.primitive for e in closed.eqns[len(found) :]] == [scan_p]
    return found


def numbers(closed: ClosedJaxpr):
    """The dimension numbers of the loop's products."""
    return [
        e.params["dimension_numbers"]
        for e in closed.eqns[-1].params["jaxpr"].eqns
        if e.primitive.name == "dot_general"
    ]


def products(*all_numbers):
    """A loop that stacks products of each row with each constant."""

    def f(xs, *constants):
        def body(c, x):
            pairs = zip(constants, all_numbers, strict=True)
            return c, [lax.dot_general(x, w, n) for w, n in pairs]

        return lax.scan(body, np.float32(0), xs)[1]

    return f


def test_a_second_factor_is_contracted_over_its_first_axis():
    f = products((((1,), (1,)), ((), ())))
    left = changed(f, integers(T, 2, N), integers(M, N))
    assert orders(left) == [(1, 0)]
    assert numbers(left) == [(((1,), (0,)), ((), ()))]
    assert left.eqns[-1].params["num_consts"] == 1


def test_a_first_factor_is_contracted_over_its_last_axis():
    def f(xs, w):
        def body(c, x):
            return c, lax.dot_general(w, x, (((0,), (0,)), ((), ())))

        return lax.scan(body, np.float32(0), xs)[1]

    left = changed(f, integers(T, N, 2), integers(N, M))
    assert orders(left) == [(1, 0)]
    assert numbers(left) == [(((1,), (0,)), ((), ()))]


def test_axes_of_batches_come_first():
    f = products((((3, 1), (3, 0)), ((0,), (2,))))
    left = changed(f, integers(T, 2, M, 6, N), integers(M, 3, 2, N))
    assert orders(left) == [(2, 3, 0, 1)]
    assert numbers(left) == [(((3, 1), (1, 2)), ((0,), (0,)))]


def test_one_transposed_constant_serves_all_products():
    def f(xs, w):
        def body(c, x):
            numbers = (((1,), (1,)), ((), ()))
            return c, (lax.dot_general(x, w, numbers), lax.dot_general(-x, w, numbers), x @ w)

        return lax.scan(body, np.float32(0), xs)[1]

    left = changed(f, integers(T, 2, N), integers(N, N))
    assert orders(left) == [(1, 0)]
    assert left.eqns[-1].params["num_consts"] == 2


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (products((((1,), (0,)), ((), ()))), [integers(T, 2, N), integers(N, M)]),
        (products((((0,), (1,)), ((), ()))), [integers(T, N), integers(M, N)]),
        (products((((1,), (1,)), ((), ()))), [integers(T, 1, N), integers(M, N)]),
        (products((((1,), (1,)), ((), ()))), [integers(T, 2, N), integers(1, N)]),
        (products((((1,), (1,)), ((), ()))), [integers(T, 2, 1), integers(M, 1)]),
        (lambda xs: lax.scan(lambda c, x: (c, x @ x.T), 0, xs), [integers(T, 2, N)]),
    ],
    ids=["in order", "a vector", "one row", "one column", "one term", "no constant"],
)
def test_other_factors_stay(f, args):
    closed = ff.make_jaxpr(f)(*args)
    assert loop_constants(closed).eqns == closed.eqns


def test_a_compiled_loop_copies_the_matrix_once():
    f = ff.jit(products((((1,), (1,)), ((), ()))))
    args = integers(T, 8, 64), integers(64, 64)
    np.testing.assert_array_equal(f(*args)[0], args[0] @ args[1].T)
    text = str(f.explain(*args))
    assert text.count("into C order") == 1
    assert "transposed" not in text
