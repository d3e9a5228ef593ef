"""`slice`, `pad` and `rev`."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

X = np.arange(12, dtype="f4").reshape(3, 4) / 4 + 0.5


# --- slice ----------------------------------------------------------------------------------


@hst.composite
def slices(draw, shape):
    starts, limits, strides = [], [], []
    for extent in shape:
        starts.append(draw(hst.integers(0, extent)))
        limits.append(draw(hst.integers(starts[-1], extent)))
        strides.append(draw(hst.integers(1, 3)))
    return tuple(starts), tuple(limits), tuple(strides)


@settings(max_examples=80, deadline=None)
@given(data=hst.data())
def test_slice_slices_as_numpy_does(data):
    x = data.draw(st.arrays())
    bounds = data.draw(slices(x.shape))
    got = lax.slice(x, *bounds)
    expected = np.asarray(x)[tuple(map(slice, *bounds))]
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, expected)


@settings(max_examples=15, deadline=None)
@given(data=hst.data())
def test_slice_laws(data):
    x = data.draw(st.arrays("float32", smooth=True))
    bounds = data.draw(slices(x.shape))
    check_laws(lambda x: lax.slice(x, *bounds), (x,), order=1)


def test_slice_of_everything_is_the_array():
    x = lax.iota("int32", 3)
    assert lax.slice(x, (0,), (3,)) is x
    assert lax.slice(x, (0,), (3,), (1,)) is x


def test_slices_are_views():
    x = lax.concatenate([np.arange(3), np.arange(3)], 0)
    assert np.shares_memory(lax.slice(x, (1,), (5,), (2,)), x)


@pytest.mark.parametrize(
    "bounds",
    [
        ((0,), (3, 4)),
        ((0, 0, 0), (3, 4, 1)),
        ((-1, 0), (3, 4)),
        ((2, 0), (1, 4)),
        ((0, 0), (3, 5)),
        ((0, 0), (3, 4), (1, 0)),
        ((0, 0), (3, 4), (1,)),
    ],
)
def test_wrong_slices_are_refused(bounds):
    for f in (lambda x: lax.slice(x, *bounds), ff.jit(lambda x: lax.slice(x, *bounds))):
        with pytest.raises(ff.errors.ShapeError, match="slice: start_indices"):
            f(X)


def test_slice_in_dim():
    np.testing.assert_array_equal(lax.slice_in_dim(X, 1, -1, axis=1), X[:, 1:-1])
    np.testing.assert_array_equal(lax.slice_in_dim(X, None, None, 2, axis=-1), X[:, ::2])
    np.testing.assert_array_equal(lax.slice_in_dim(X, -2, None), X[-2:])
    with pytest.raises(ff.errors.AxisError, match="slice_in_dim: axis 2"):
        lax.slice_in_dim(X, 0, 1, axis=2)


def test_index_in_dim():
    np.testing.assert_array_equal(lax.index_in_dim(X, -1, axis=1), X[:, -1:])
    np.testing.assert_array_equal(lax.index_in_dim(X, 2, keepdims=False), X[2])
    with pytest.raises(ff.errors.OutOfBoundsError, match="index 3 is out of bounds for axis 0"):
        lax.index_in_dim(X, 3)
    with pytest.raises(ff.errors.OutOfBoundsError, match="index 0 is out of bounds"):
        lax.index_in_dim(X[:0], 0)


# --- pad ------------------------------------------------------------------------------------


def padded(x, value, config):
    """Padding, element by element."""
    shape = [
        low + max(n + (n - 1) * interior, 0) + high
        for n, (low, high, interior) in zip(x.shape, config, strict=True)
    ]
    out = np.full(shape, value, x.dtype)
    for place in np.ndindex(x.shape):
        target = [
            low + i * (interior + 1) for i, (low, _, interior) in zip(place, config, strict=True)
        ]
        if all(0 <= i < n for i, n in zip(target, shape, strict=True)):
            out[tuple(target)] = x[place]
    return out


@settings(max_examples=120, deadline=None)
@given(data=hst.data())
def test_pad_puts_values_around_and_between(data):
    x = data.draw(st.arrays())
    value = data.draw(st.arrays(x.dtype, ()))
    config = data.draw(st.padding_configs(x.shape))
    got = lax.pad(x, value, config)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, padded(np.asarray(x), np.asarray(value), config))


@settings(max_examples=20, deadline=None)
@given(data=hst.data())
def test_pad_laws(data):
    x = data.draw(st.arrays("float32", st.shapes(max_dims=2), smooth=True))
    config = data.draw(st.padding_configs(x.shape))
    check_laws(lambda x, value: lax.pad(x, value, config), (x, np.float32(0.5)), order=1)


def test_pad_with_scalars_and_complex_numbers():
    assert lax.pad(X[:1, :2], 0, [(0, 0, 0), (1, 0, 0)]).dtype == "float32"
    z = X.astype("c8") * (1 + 2j)
    check_laws(lambda z: lax.pad(z, 1j, [(1, -1, 2), (-1, 1, 0)]), (z,))


def test_gradient_of_the_padding_value_does_not_cancel():
    ct = np.array([1e20, 1.0, 1e20], "f4")
    _, pullback = ff.vjp(lambda v: lax.pad(np.ones(2, "f4"), v, [(0, 0, 1)]), np.float32(0))
    assert pullback(ct)[0].item() == 1


def test_wrong_paddings_are_refused():
    def refused(error, match, x, value, config):
        for f in (lax.pad, ff.jit(lax.pad, static_argnums=2)):
            with pytest.raises(error, match=match):
                f(x, value, config)

    x = np.ones(3, "f4")
    refused(ff.errors.ShapeError, "pad: padding_config", x, 0.0, ((0, 0, 0), (0, 0, 0)))
    refused(ff.errors.ShapeError, "negative", x, 0.0, ((-2, -2, 0),))
    refused(ff.errors.ShapeError, "must be a scalar", x, np.zeros(2, "f4"), ((0, 0, 0),))
    refused(ff.errors.ArgumentError, "interior padding", x, 0.0, ((0, 0, -1),))
    refused(ff.errors.DtypeError, "pad: takes arguments of one dtype", x, np.int32(0), ((0, 0, 0),))


# --- rev ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dimensions", [p for k in range(4) for p in itertools.permutations(range(3), k)]
)
def test_rev(dimensions):
    x = np.arange(24, dtype="f4").reshape(2, 3, 4)
    np.testing.assert_array_equal(lax.rev(x, dimensions), np.flip(x, dimensions))
    check_laws(lambda x: lax.rev(x, dimensions), (x[:, :2, :2],), order=1)


def test_rev_names_each_axis_once():
    with pytest.raises(ff.errors.AxisError, match="duplicate axes"):
        lax.rev(X, (0, -2))
