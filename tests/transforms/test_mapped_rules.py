"""The parts of a derivative rule, mapped."""

import numpy as np
import pytest

import funcflow as ff
from funcflow.core.trace import current_trace
from funcflow.transforms.batching import BatchContext, BatchTrace
from funcflow.transforms.mapped_rules import (
    map_flat,
    map_in_front,
    map_pullback,
    map_with_residuals,
    mapped_in_front,
)

X = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def ctx():
    return BatchContext(BatchTrace(current_trace.get(), 2))


def test_outputs_are_mapped_if_an_argument_is(ctx):
    outs, dims = map_flat(ctx, lambda x, y: [x * 2, y], [X.T, 1.0], [1, None])
    assert dims == [0, 0]
    np.testing.assert_array_equal(outs[0], 2 * X)
    np.testing.assert_array_equal(outs[1], [1, 1])
    outs, dims = map_flat(ctx, lambda y: [y], [1.0], [None])
    assert dims == [None]
    (out,) = map_in_front(ctx, lambda y: [y], [1.0], [None])
    np.testing.assert_array_equal(out, [1, 1])


def test_residuals_stay_where_they_are(ctx):
    _, out_dims, residuals, residual_dims = map_with_residuals(
        ctx, lambda x, y: ([x], [y, x]), [X.T, 1.0], [1, None]
    )
    assert out_dims == [0] and residual_dims == [None, 1]
    assert residuals[0] == 1.0 and residuals[1].shape == (3, 2)


def test_cotangents_of_shared_arguments_are_summed(ctx):
    pull = lambda kept, cts: [cts[0] * kept[0], cts[0] * kept[0]]  # noqa: E731
    mapped, shared = map_pullback(ctx, pull, [2.0], [None], [X], [0], [1, None])
    np.testing.assert_array_equal(mapped, 2 * X.T)
    np.testing.assert_array_equal(shared, 2 * X.sum(0))


def test_arguments_are_mapped_if_only_constants_are(ctx):
    args, dims = mapped_in_front(ctx, [X.T, 1.0], [1, None], 1)
    assert dims == [0, 0]
    np.testing.assert_array_equal(args[1], [1, 1])
    assert mapped_in_front(ctx, [X, 1.0, X], [None, None, 1], 1)[1] == [None, None, 0]


def test_a_rule_whose_function_closes_over_a_mapped_value():
    def lane(a):
        f = ff.custom_jvp(lambda x: x * a)
        f.defjvp(lambda primals, tangents: (f(*primals), tangents[0]))
        return ff.jit(f)(2.0)

    np.testing.assert_array_equal(ff.vmap(lane)(np.arange(3.0)), [0, 2, 4])
