"""Sums of padded arrays are concatenations, to the last bit."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.passes.simplify import simplify
from funcflow.core.evaluate import eval_closed
from funcflow.core.rewrite import dce_closed
from funcflow.core.typecheck import check_jaxpr

X = np.array([[0.0, -0.0, np.nan], [np.inf, -1.5, 1e-45]], "f4")
ZERO = np.float32(0)


def padded(x, low, high, axis=0, interior=0, value=ZERO):
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (low, high, interior)
    return lax.pad(x, value, config)


def names(f, *args):
    closed = ff.make_jaxpr(f)(*args)
    left = dce_closed(simplify(closed))
    check_jaxpr(left)
    for expected, got in zip(eval_closed(closed, *args), eval_closed(left, *args), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(expected).tobytes()
    return [eqn.primitive.name for eqn in left.eqns]


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: padded(x, 0, 2) + padded(y, 2, 0),
        lambda x, y: padded(y, 2, 0) + padded(x, 0, 2),
        lambda x, y: padded(x, 3, 0, 1) + padded(y, 0, 3, 1),
    ],
)
def test_neighbours_are_joined(f):
    assert names(f, X, X[::-1]) == ["add", "add", "concatenate"]


def test_integers_have_no_negative_zero():
    x = np.arange(6).reshape(2, 3)
    assert names(lambda x: lax.add(padded(x, 0, 2, value=0), padded(x, 2, 0, value=0)), x) == [
        "concatenate"
    ]


def test_what_is_left_empty_is_padded():
    def f(x, y):
        return padded(x, 1, 3) + padded(y, 3, 1)

    assert names(f, X, X) == ["add", "add", "concatenate", "pad"]


def test_three_parts_are_one_concatenation():
    def f(x, y, z):
        return padded(z, 4, 0) + padded(y, 2, 2) + padded(x, 0, 4)

    assert names(f, X, X[::-1], -X) == ["add"] * 3 + ["concatenate"]


def test_parts_that_are_sums_with_zero_get_no_second_one():
    def f(x):
        return padded(x + ZERO, 0, 2) + padded(x + ZERO, 2, 0)

    assert names(f, X) == ["add", "add", "concatenate"]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: padded(x, 0, 1) + padded(x, 1, 0),  # they overlap
        lambda x: padded(x, 0, 3) + padded(x, 3, 0),  # a gap
        lambda x: padded(x, 0, 2) + padded(lax.slice(padded(x, 1, 1), (0, 0), (3, 3)), 1, 0),
        lambda x: padded(x, 0, 1, interior=1) + padded(x, 1, 0, interior=1),
        lambda x: padded(x, 0, 2, value=np.float32(1)) + padded(x, 2, 0),
        lambda x: padded(x, 0, 2, value=np.float32(-0.0)) + padded(x, 2, 0),
        lambda x: padded(x, 0, 2) * padded(x, 2, 0),
        lambda x: padded(x, 0, 2) + x[[0, 1, 0, 1]],
        lambda x: padded(x, 0, 2) + padded(lax.broadcast_to(x[:1, :2], (4, 2)), 1, 0, 1),
        lambda x: (
            padded(lax.convert_element_type(x, "complex64"), 0, 2, value=np.complex64(0))
            + padded(lax.convert_element_type(x, "complex64"), 2, 0, value=np.complex64(0))
        ),
    ],
)
def test_other_sums_stay(f):
    assert "concatenate" not in names(f, X)


def test_sums_at_one_place_are_taken_before_padding():
    assert names(lambda x, y: padded(x, 0, 2) + padded(y, 0, 2), X, -X) == ["add", "pad"]


def test_the_derivative_of_taking_apart(golden):
    def rotated(x):
        first, second = x[..., :2], x[..., 2:]
        return fnp.sum(first * x[..., 2:] * 2 + second)

    closed = dce_closed(ff.make_jaxpr(ff.grad(rotated))(np.ones((3, 4), "f4")))
    golden("padding_apart.txt", f"{closed}\n--\n{dce_closed(simplify(closed))}\n")
