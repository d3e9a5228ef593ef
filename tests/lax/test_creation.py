"""`iota`, `full` and their kin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

import funcflow as ff
from funcflow import lax
from funcflow.lax.creation import canonical_shape
from funcflow.testing import check_laws
from funcflow.testing import strategies as st


@settings(max_examples=50, deadline=None)
@given(shape=st.shapes(min_dims=1), dtype=st.dtypes("iufc"), data=hst.data())
def test_iota_counts_along_a_dimension(shape, dtype, data):
    dimension = data.draw(st.axis(len(shape)))
    got = lax.broadcasted_iota(dtype, shape, dimension)
    assert (got.shape, got.dtype) == (shape, dtype)
    np.testing.assert_array_equal(got, np.indices(shape)[dimension].astype(dtype))


def test_iota_wraps_around_and_rounds():
    assert lax.iota("int8", 130).tolist()[-2:] == [-128, -127]
    assert lax.iota("bfloat16", 258).tolist()[-1] == 256


def test_creation_is_staged_not_captured():
    jaxpr = ff.make_jaxpr(lambda: (lax.iota("int32", 3), lax.full((2,), 1.0)))()
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == ["iota", "broadcast_in_dim"]
    assert jaxpr.consts == ()


def test_iota_under_transforms():
    check_laws(lambda x: lax.mul(x, lax.iota("float32", 3)), (np.array([1.0, 2.0, 3.0], "f4"),))


def test_iota_of_what_cannot_count():
    with pytest.raises(ff.errors.DtypeError, match="iota: takes integer, floating or complex"):
        lax.iota(bool, 3)
    with pytest.raises(ff.errors.ShapeError, match="negative extent"):
        lax.iota("int32", -1)
    with pytest.raises(ff.errors.AxisError, match="iota: axis 1"):
        lax.broadcasted_iota("int32", (3,), 1)


@settings(max_examples=50, deadline=None)
@given(shape=st.shapes(), dtype=st.dtypes(), value=hst.integers(0, 3))
def test_full_has_the_dtype_asked_for(shape, dtype, value):
    got = lax.full(shape, value, dtype)
    assert (got.shape, got.dtype, got.weak_type) == (shape, dtype, False)
    np.testing.assert_array_equal(got, np.full(shape, value).astype(dtype))


@pytest.mark.parametrize(
    ("value", "dtype", "weak"),
    [(1, "int32", True), (1.5, "float32", True), (True, "bool", False), (1j, "complex64", True)],
)
def test_full_of_a_python_scalar_is_weak(value, dtype, weak):
    got = lax.full((2,), value)
    assert (got.dtype, got.weak_type) == (dtype, weak)


def test_full_converts_as_jax_does():
    assert lax.full((1,), -1, "uint8").tolist() == [255]
    assert lax.full((1,), 1.7, "int32").tolist() == [1]
    assert lax.full((1,), 2 + 1j, "float32").tolist() == [2]
    assert lax.full(2, np.float64(0.5)).dtype == "float64"
    assert lax.full((), 3.0).shape == ()


def test_full_of_traced_values():
    check_laws(lambda x: lax.full((2, 3), x), (np.float32(1.5),))
    assert ff.jit(lambda x: lax.full((2,), x, "float16"))(np.float32(1.5)).dtype == "float16"


def test_full_like_takes_shape_and_dtype_from_its_argument():
    x = np.zeros((2, 3), "float16")
    assert lax.full_like(x, 1).dtype == "float16"
    assert lax.full_like(x, 1, "int8", (4,)).shape == (4,)
    assert lax.full_like(x, 1, "int8", (4,)).dtype == "int8"
    assert lax.full_like(ff.ShapeDtypeStruct((2,), "bfloat16"), 2).tolist() == [2, 2]
    np.testing.assert_array_equal(lax.empty((2,), "float32"), np.zeros(2))


def test_full_of_an_array_is_refused():
    with pytest.raises(ff.errors.ShapeError, match=r"fill_value must be a scalar.*\(2,\)"):
        lax.full((2,), np.ones(2))


def test_shapes():
    assert canonical_shape(3, "f") == (3,)
    assert canonical_shape([np.int64(2), 3], "f") == (2, 3)
    assert canonical_shape(np.array([2, 3]), "f") == (2, 3)
    for shape in [2.5, (1, 2.5), None]:
        with pytest.raises(ff.errors.ShapeError, match="is no shape"):
            canonical_shape(shape, "f")
    with pytest.raises(ff.errors.ShapeError, match="negative"):
        canonical_shape((2, -1), "f")
    with pytest.raises(ff.errors.TracerIntegerConversionError):
        ff.jit(lambda n: lax.full((n,), 0.0))(3)
