"""The trace under vmap, seen from inside."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.core.trace import current_trace
from funcflow.transforms.batching import BatchTrace, BatchTracer, batch_flat, batch_jaxpr

X = np.arange(6.0).reshape(2, 3)


def test_tracers_hide_the_mapped_axis():
    def f(x):
        assert isinstance(x, BatchTracer) and isinstance(x, ff.Array)
        assert (x.shape, x.dtype, x.ndim, len(x)) == ((3,), np.float64, 1, 3)
        assert isinstance(current_trace.get(), BatchTrace)
        assert "mapped by vmap over an axis of size 2" in repr(x)
        return x

    np.testing.assert_array_equal(ff.vmap(f)(X), X)


def test_what_is_not_mapped_is_computed_once(count):
    def f(x, y):
        return x + fnp.sin(y)

    jaxpr = ff.make_jaxpr(ff.vmap(f, (0, None)))(X, X[0])
    (sine,) = (eqn for eqn in jaxpr.eqns if eqn.primitive.name == "sin")
    assert sine.outvars[0].aval.shape == (3,)


def test_batch_flat_tells_where_the_axis_is():
    outs, dims = batch_flat(lambda x, y: [x * 2, y, x.sum()], [X, 1.0], [1, None], 3)
    assert dims[1] is None and outs[1] == 1.0
    np.testing.assert_array_equal(np.moveaxis(np.asarray(outs[0]), dims[0], 0), 2 * X.T)


def test_batched_jaxprs_map_outputs_only_if_need_be():
    closed = ff.make_jaxpr(lambda x, y: (x + y, y))(X[0], X[0])
    _, mapped = batch_jaxpr(closed, 2, None, (True, False), (False, False))
    assert mapped == [True, False]
    inner, mapped = batch_jaxpr(closed, 2, None, (True, False), (False, True))
    assert mapped == [True, True]
    assert [a.shape for a in inner.out_avals] == [(2, 3), (2, 3)]
