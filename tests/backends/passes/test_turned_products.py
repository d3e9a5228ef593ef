"""Products that are only read transposed change their factors' places."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.passes.turned_products import turned_products
from funcflow.core.evaluate import eval_closed
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.typecheck import check_jaxpr

RNG = np.random.default_rng(0)


def integers(*shape: int) -> np.ndarray:
    """Numbers whose sums are exact in any order."""
    return RNG.integers(-2, 3, shape).astype("f4")


A, B = integers(3, 4), integers(4, 5)


def changed(f, *args) -> ClosedJaxpr:
    """What the pass makes of a function; its values are compared, which are exact."""
    closed = ff.make_jaxpr(f)(*args)
    left = turned_products(closed)
    check_jaxpr(left)
    for x, y in zip(eval_closed(closed, *args), eval_closed(left, *args), strict=True):
        np.testing.assert_array_equal(x, y)
    return left


def shapes(closed: ClosedJaxpr) -> list[tuple[int, ...]]:
    """The shapes of the products."""
    return [e.outvars[0].aval.shape for e in closed.eqns if e.primitive.name == "dot_general"]


def names(closed: ClosedJaxpr) -> list[str]:
    return [e.primitive.name for e in closed.eqns]


def test_a_transposed_product():
    left = changed(lambda a, b: (a @ b).T, A, B)
    assert names(left) == ["dot_general"]
    assert shapes(left) == [(5, 3)]


def test_elementwise_operations_in_between():
    """Their other operands are transposed instead; scalars and broadcast rows fit as well."""
    row, other = integers(3, 1), integers(3, 5)

    def f(a, b, row, other):
        y = fnp.where(a @ b > 0, row * 2, other).astype("float64") + 1
        return y.T, fnp.sum(fnp.exp(y).T * 0, 1)

    left = changed(f, A, B, row, other)
    assert shapes(left) == [(5, 3)]
    transposed = [e.invars[0].aval.shape for e in left.eqns if e.primitive.name == "transpose"]
    assert sorted(transposed) == [(3, 1), (3, 5)]


def test_one_operand_for_two_products():
    left = changed(lambda a, b: ((a @ b) * (a @ (b + 1))).T + 1, A, B)
    assert shapes(left) == [(5, 3), (5, 3)]
    assert "transpose" not in names(left)


def test_reductions_take_other_axes():
    def f(a, b):
        y = a @ b
        return y.T + fnp.sum(y, 0)[:, None] + fnp.max(y, 1), fnp.prod(y)

    left = changed(f, A, B)
    assert shapes(left) == [(5, 3)]
    reduced = {e.primitive.name: e.params["axes"] for e in left.eqns if "axes" in e.params}
    assert reduced == {"reduce_sum": (1,), "reduce_max": (0,), "reduce_prod": (0, 1)}
    a, b = integers(2, 3, 4), integers(2, 4, 5)
    for axis, shape in ((0, (2, 3, 5)), (1, (2, 5, 3)), (2, (2, 5, 3))):

        def one(a, b, axis=axis):
            y = a @ b
            return y.mT, fnp.sum(y * 2, axis)

        assert shapes(changed(one, a, b)) == [shape]


def test_batches_stay_in_front():
    a, b = integers(2, 3, 4), integers(2, 4, 5)
    assert shapes(changed(lambda a, b: (a @ b).transpose(0, 2, 1) + 1, a, b)) == [(2, 5, 3)]
    assert shapes(changed(lambda a, b: (a @ b).transpose(1, 0, 2) + 1, a, b)) == [(2, 3, 5)]


def test_more_free_axes_than_one():
    a, b = integers(2, 3, 4), integers(4, 5)
    numbers = (((2,), (0,)), ((), ()))
    left = changed(lambda a, b: lax.dot_general(a, b, numbers).transpose(2, 0, 1) + 1, a, b)
    assert shapes(left) == [(5, 2, 3)]
    left = changed(lambda a, b: lax.dot_general(a, b, numbers).transpose(1, 2, 0) + 1, a, b)
    assert shapes(left) == [(2, 3, 5)]


STAYS = {
    "the product is a result": lambda a, b: (lambda y: (y, y.T + 1))(a @ b),
    "it is read as it is": lambda a, b: (lambda y: y.T + fnp.cumsum(y.ravel())[3])(a @ b),
    "what is made of it is read both ways": lambda a, b: (lambda y: (y + 1, y.T))(a @ b * 2),
    "only products read it": lambda a, b: (a @ b).T @ a,
    "a row": lambda a, b: (a[:1] @ b).T + 1,
    "operands of fewer axes": lambda a, b: ((a @ b) + b[0]).T,
    "only reductions read it": lambda a, b: fnp.sum(a @ b, 0),
    "a running sum in between": lambda a, b: fnp.cumsum(a @ b, 0).T,
    "nobody reads it": lambda a, b: (lambda y: a)(a @ b),
}


@pytest.mark.parametrize("why", STAYS)
def test_others_stay(why):
    function = STAYS[why]
    before = ff.make_jaxpr(function)(A, B)
    assert names(changed(function, A, B)) == names(before)
    assert shapes(changed(function, A, B)) == shapes(before)


def test_precisions_follow_their_factors():
    precision = lax.Precision.HIGHEST, lax.Precision.DEFAULT
    left = changed(lambda a, b: lax.dot(a, b, precision=precision).T + 1, A, B)
    assert left.eqns[0].params["precision"] == precision[::-1]


def test_bodies_of_scans():
    """Also where a body calls a function, and where a scan is in a scan."""

    def body(c, x):
        y = ff.jit(lambda c: (c @ c).T + x)(c)
        return lax.scan(lambda c, _: ((c @ y).T * 0.5, None), y, None, length=2)[0], None

    left = changed(lambda c, xs: lax.scan(body, c, xs)[0], integers(3, 3) / 2, integers(2))
    (scan,) = [e for e in left.eqns if e.primitive.name == "scan"]
    outer = scan.params["jaxpr"]
    (inner,) = [e for e in outer.eqns if e.primitive.name == "scan"]
    for inside in (outer, inner.params["jaxpr"]):
        assert "dot_general" in names(inside)
        assert "transpose" not in names(inside)


def test_lanes_of_a_regression_need_no_transposes():
    """The products of `vmap` lie as the elementwise work between them wants them."""
    x, w = integers(7, 3), integers(5, 3)

    def loss(w):
        return fnp.sum(fnp.maximum(x @ w, 0.0) ** 2)

    way = ff.vmap(ff.value_and_grad(loss))
    stages = ff.jit(way).lower(w).as_text("turned products")
    assert "f32[5,7] = dot_general" in stages
    assert "f32[7,5]" not in stages
    for got, want in zip(ff.jit(way)(w), way(w), strict=True):
        np.testing.assert_array_equal(got, want)
