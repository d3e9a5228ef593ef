"""Broadcasts, reshapes, permutations and sums of axes, against NumPy."""

import numpy as np
import pytest
from hypothesis import given

import funcflow as ff
from funcflow import lax
from funcflow.errors import AxisError, ShapeError
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

X = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
CASES = {
    "broadcast": (lambda x: lax.broadcast(x, (4, 2)), np.broadcast_to(X, (4, 2, 2, 1, 3))),
    "broadcast_to": (lambda x: lax.broadcast_to(x, (2, 2, 4, 3)), np.broadcast_to(X, (2, 2, 4, 3))),
    "broadcast_in_dim": (
        lambda x: lax.broadcast_in_dim(x, (2, 5, 1, 3), (0, 2, 3)),
        np.broadcast_to(X[:, None], (2, 5, 1, 3)),
    ),
    "broadcast_to_rank": (lambda x: lax.broadcast_to_rank(x, 5), X[None, None]),
    "reshape": (lambda x: lax.reshape(x, (3, 2)), X.reshape(3, 2)),
    "reshape of permuted axes": (
        lambda x: lax.reshape(x, (6,), (2, 1, 0)),
        X.transpose(2, 1, 0).ravel(),
    ),
    "squeeze": (lambda x: lax.squeeze(x, (-2,)), X[:, 0]),
    "expand_dims": (lambda x: lax.expand_dims(x, (0, -1)), X[None, ..., None]),
    "collapse": (lambda x: lax.collapse(x, 1), X.reshape(2, 3)),
    "transpose": (lambda x: lax.transpose(x, (2, 0, 1)), X.transpose(2, 0, 1)),
    "reduce_sum": (lambda x: lax.reduce_sum(x, (0, 2)), X.sum((0, 2))),
}


@pytest.mark.parametrize("name", CASES)
def test_meaning_and_laws(name):
    f, expected = CASES[name]
    np.testing.assert_array_equal(f(X), expected, strict=True)
    check_laws(f, [X])


@pytest.mark.parametrize("rank", [0, 3])
def test_arrays_of_that_rank_or_more_stay(rank):
    assert lax.broadcast_to_rank(X, rank).shape == X.shape


@given(st.broadcastable_shapes())
def test_broadcast_shapes(shapes):
    assert lax.broadcast_shapes(*shapes) == np.broadcast_shapes(*shapes)


@pytest.mark.parametrize(
    "f, error, message",
    [
        (lambda x: lax.reshape(x, (4,)), ShapeError, "reshape: .* 6 elements"),
        (lambda x: lax.squeeze(x, (0,)), ShapeError, "squeeze"),
        (lambda x: lax.expand_dims(x, (5,)), AxisError, "expand_dims: axis 5"),
        (lambda x: lax.transpose(x, (0, 1)), ShapeError, "transpose"),
        (lambda x: lax.reduce_sum(x, (3,)), AxisError, "reduce_sum: axis 3"),
        (lambda x: lax.broadcast_to(x, (2, 1, 4)), ShapeError, "broadcast"),
    ],
)
def test_errors(f, error, message):
    with pytest.raises(error, match=message):
        f(X)
    with pytest.raises(error, match=message):
        ff.jit(f)(X)
