"""What straight code is taken to cost."""

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.straight.costs import GUESS, operations


def cost(function, *args):
    return operations(ff.make_jaxpr(function)(*args).jaxpr)


def test_operations_count_once_for_each_iteration():
    assert cost(lambda x: fnp.sin(x) * x, 1.0) == 2
    looped = cost(lambda x: lax.fori_loop(0, 100, lambda i, x: fnp.sin(x) * x, x), 1.0)
    assert 200 <= looped < 500
    nested = cost(
        lambda x: lax.fori_loop(
            0, 10, lambda i, x: lax.fori_loop(0, 10, lambda j, x: fnp.sin(x) * x, x), x
        ),
        1.0,
    )
    assert 200 <= nested < 700


def test_of_branches_the_dearest_counts():
    def long(x):
        return lax.fori_loop(0, 100, lambda i, x: x * x, x)

    branched = cost(lambda i, x: lax.switch(i, [fnp.sin, long, fnp.cos], x), 1, 1.0)
    assert cost(long, 1.0) <= branched < cost(long, 1.0) + 10


def test_an_unknown_end_is_guessed():
    looped = cost(lambda x: lax.while_loop(lambda x: x < 3, lambda x: x * 2 + 1, x), 1.0)
    assert looped == 2 * GUESS
