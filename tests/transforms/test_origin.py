"""How a NaN is followed backwards through operations."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.transforms.origin import origin_in
from funcflow.transforms.whereabouts import Element, Origin

NAN, INF = np.nan, np.inf


def found(function, *args, result=0, index=()):
    """The origin of a NaN in a result of a function."""
    args = [np.asarray(x, np.float32) for x in args]
    return origin_in(ff.make_jaxpr(function)(*args), args, Element(result, index))


@pytest.mark.parametrize(
    ("function", "index", "operand"),
    [
        (lambda x, y: x + y, (1,), Element(0, (1,))),
        (lambda x, y: y - x[::-1], (0,), Element(0, (1,))),
        (lambda x, y: fnp.concatenate([y, x]), (3,), Element(0, (1,))),
        (lambda x, y: fnp.sum(x) * y, (0,), Element(0, (1,))),
        (lambda x, y: fnp.dot(x, y), (), Element(0, (1,))),
        (lambda x, y: fnp.where(y > 0, x, y), (1,), Element(0, (1,))),
        (lambda x, y: fnp.sort(fnp.concatenate([x, y])), (3,), Element(0, (1,))),
        (lambda x, y: fnp.outer(y, x), (0, 1), Element(0, (1,))),
        (lambda x, y: ff.jit(lambda y, x: x * y)(y, x), (1,), Element(0, (1,))),
        (lambda x, y: ff.checkpoint(lambda y, x: x * y)(y, x), (1,), Element(0, (1,))),
        (lambda x, y: lax.cond(y[0] > 0, lambda a, b: b, fnp.add, y, x), (1,), Element(0, (1,))),
    ],
)
def test_a_nan_that_comes_in(function, index, operand):
    assert found(function, [1, NAN], [3, 4], index=index) == operand


def test_operands_are_to_blame_only_for_what_they_cause():
    def f(x, y):
        return fnp.where(x > 0, x, fnp.log(y))

    origin = found(f, [NAN, NAN, 1], [-1, 1, 1], index=(0,))
    assert isinstance(origin, Origin)
    assert (origin.eqn.primitive.name, origin.element) == ("log", Element(0, (0,)))


def test_a_result_that_is_nan_whatever_the_nans_among_the_operands():
    origin = found(lambda x: fnp.cumsum(x), [INF, -INF, NAN], index=(1,))
    assert isinstance(origin, Origin)
    assert origin.eqn.primitive.name == "cumsum"
    assert found(lambda x: fnp.cumsum(x), [NAN, 1, 1], index=(2,)) == Element(0, (0,))


def test_the_nan_among_many_that_reaches_the_result():
    x = np.full(1000, NAN)
    assert found(lambda x: x[::-1][700:800].sum(), x).number == 0
    (index,) = found(lambda x: x[::-1][700:701].sum(), x).index
    assert index == 299


def test_lanes_of_branches():
    def f(x, y):
        return ff.vmap(lambda x, y: lax.cond(x > 0, lambda x, y: y, fnp.add, x, y))(x, y)

    assert found(f, [1, -1, NAN], [NAN, NAN, 1], index=(1,)) == Element(1, (1,))
    assert found(f, [1, -1, NAN], [NAN, NAN, 1], index=(2,)) == Element(0, (2,))


def test_solves():
    def solve(x, b):
        return lax.custom_linear_solve(lambda v: x * v, b, lambda matvec, b: fnp.sqrt(b) / x)

    origin = found(solve, [1, 1], [1, -1], index=(1,))
    assert origin.eqn.primitive.name == "sqrt"
    assert found(solve, [1, 1], [1, NAN], index=(1,)) == Element(1, (1,))
    assert found(solve, [1, NAN], [1, 1], index=(1,)) == Element(0, (1,))


def test_shards():
    with ff.config(num_cpu_devices=2):

        def f(x, w):
            return ff.pmap(lambda x, w: w * x / lax.psum(x, "i"), axis_name="i", in_axes=(0, None))(
                x, w
            )

        assert found(f, [NAN, 1], 1, index=(1,)) == Element(0, (0,))
        assert found(f, [1, 1], NAN, index=(1,)) == Element(1, ())
        assert found(f, [0, 0], 1, index=(1,)).eqn.primitive.name == "div"


def test_no_nan_no_origin():
    assert found(lambda x: x + 1, 1) is None
