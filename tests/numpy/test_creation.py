"""Arrays from Python objects and from shapes."""

import array as standard_array

import ml_dtypes
import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import (
    ArgumentError,
    ConcretizationTypeError,
    DtypeError,
    LeafTypeError,
    ShapeError,
)

# --- from Python objects --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("object", "dtype", "weak"),
    [
        (True, "bool", False),
        (1, "int32", True),
        (1.0, "float32", True),
        (1j, "complex64", True),
        ([1, 2], "int32", False),
        ([1, 2.0], "float32", False),
        ([True, 1], "int32", False),
        ([1.0, 1j], "complex64", False),
        ([], "float32", False),
        ([[], []], "float32", False),
        (range(3), "int32", False),
        (((1, 2), [3, 4]), "int32", False),
        (np.ones(2), "float64", False),
        (np.float64(1), "float64", False),
        ([np.float64(1), 2], "float64", False),
        ([np.float16(1), 2.0], "float16", False),
        ([np.ones(2, "f4"), [1, 2]], "float32", False),
        (np.ones(2, ml_dtypes.bfloat16), "bfloat16", False),
        (np.arange(3, dtype=">i2"), "int16", False),
        (standard_array.array("d", [1.0, 2.0]), "float64", False),
        (memoryview(b"ab"), "uint8", False),
    ],
)
def test_array_takes_what_is_given_as_it_is(object, dtype, weak):
    x = fnp.array(object)
    assert x.dtype.name == dtype
    assert x.weak_type == weak
    np.testing.assert_array_equal(x, np.array(object, x.dtype))


def test_array_of_arrays():
    x = fnp.arange(3.0)
    np.testing.assert_array_equal(fnp.array([x, 2 * x]), [[0, 1, 2], [0, 2, 4]])
    np.testing.assert_array_equal(fnp.array([x[0], 5.0]), [0, 5])
    assert fnp.asarray(x) is x
    assert fnp.array(x, "float16").dtype == np.float16
    assert fnp.array([fnp.asarray(1.0)]).dtype == np.float32


def test_array_of_traced_values():
    got = ff.jit(lambda x, y: fnp.array([[x, 1.0], [y, x]]))(2.0, 3.0)
    np.testing.assert_array_equal(got, [[2, 1], [3, 2]])
    got = ff.grad(lambda x: fnp.array([x, 2 * x, 1.0]).sum())(1.0)
    assert got == 3
    got = ff.vmap(lambda x: fnp.array([x, x + 1]))(fnp.arange(2))
    np.testing.assert_array_equal(got, [[0, 1], [1, 2]])


def test_memory_that_others_may_write_to_is_copied():
    source = np.zeros(3)
    for make in (fnp.array, fnp.asarray, fnp.copy):
        x = make(source)
        source[0] += 1
        assert x[0] == source[0] - 1
    buffer = bytearray(b"\0\0")
    x = fnp.frombuffer(buffer, "uint8")
    buffer[0] = 1
    assert x[0] == 0


def test_array_with_dtype_and_ndmin():
    assert fnp.array([1, 2], dtype=float).dtype == np.float32
    assert fnp.array([1.7], dtype="int8")[0] == 1
    assert fnp.array(2**40, dtype="int64") == 2**40
    assert fnp.array(3, ndmin=2).shape == (1, 1)
    assert fnp.array([1.0], dtype=fnp.bfloat16).dtype == ml_dtypes.bfloat16
    with ff.config(default_float="float64", default_int="int64"):
        assert fnp.array([1.0]).dtype == np.float64
        assert fnp.array(2**40).dtype == np.int64


def test_bad_objects():
    with pytest.raises(ShapeError, match=r"different lengths, 1, 2"):
        fnp.array([[1], [1, 2]])
    with pytest.raises(ShapeError, match="different shapes"):
        fnp.array([1, [2]])
    with pytest.raises(LeafTypeError, match=r"element \[1\]\[0\] is None"):
        fnp.array([[1, 2], [None, 3]])
    with pytest.raises(LeafTypeError, match="neither an array nor a number"):
        fnp.array(object())
    with pytest.raises(LeafTypeError):
        fnp.array({1, 2})
    with pytest.raises(LeafTypeError):
        fnp.array("text")
    with pytest.raises(DtypeError, match="object"):
        fnp.array(np.array([None]))
    with pytest.raises(ArgumentError, match="int32"):
        fnp.array(2**40)
    with pytest.raises(ArgumentError, match="int8"):
        fnp.array([300], dtype="int8")
    with pytest.raises(ArgumentError, match="order"):
        fnp.array([1], order="F")
    with pytest.raises(LeafTypeError, match="reshape"):
        fnp.reshape([1, 2], (2, 1))


def test_other_sources():
    np.testing.assert_array_equal(fnp.fromiter((i * i for i in range(3)), int), [0, 1, 4])
    np.testing.assert_array_equal(fnp.fromstring("1 2", sep=" "), [1, 2])
    np.testing.assert_array_equal(fnp.from_dlpack(np.arange(3)), [0, 1, 2])
    np.testing.assert_array_equal(fnp.frombuffer(b"\1\0\2\0", "int16", offset=2), [2])


# --- from shapes ----------------------------------------------------------------------------


def test_full_and_its_kin():
    for make, value in ((fnp.zeros, 0), (fnp.ones, 1), (fnp.empty, 0)):
        assert make(3).dtype == np.float32
        assert make((2, 0), "int8").shape == (2, 0)
        np.testing.assert_array_equal(make((2, 1)), np.full((2, 1), value))
        np.testing.assert_array_equal(make(np.array([2, 1])), np.full((2, 1), value))
    assert fnp.full(2, 7).dtype == np.int32
    assert fnp.full(2, 7).weak_type
    assert fnp.full((2, 3), fnp.arange(3)).shape == (2, 3)
    assert fnp.full(2, np.float64(1)).dtype == np.float64
    x = np.ones((2, 3), "float16")
    for make in (fnp.zeros_like, fnp.ones_like, fnp.empty_like):
        assert make(x).shape == (2, 3)
        assert make(x).dtype == np.float16
        assert make(x, "int8", shape=4).shape == (4,)
    assert fnp.full_like(x, 3).dtype == np.float16
    assert fnp.zeros_like(ff.ShapeDtypeStruct((2,), "int8")).shape == (2,)
    assert fnp.zeros_like(3).weak_type is False or fnp.zeros_like(3).dtype == np.int32


@pytest.mark.parametrize("k", [-4, -1, 0, 2, 5])
def test_identity_matrices(k, agrees):
    agrees(lambda xp: xp.eye(3, 4, k))
    agrees(lambda xp: xp.tri(3, 4, k))
    agrees(lambda xp: xp.eye(3, k=k, dtype=int))
    agrees(lambda xp: xp.identity(3))


def test_traced_shapes_are_refused():
    with pytest.raises(ConcretizationTypeError, match="zeros: shape must be known"):
        ff.jit(lambda n: fnp.zeros(n))(3)
    with pytest.raises(ConcretizationTypeError, match="full"):
        ff.jit(lambda n: fnp.full((2, n), 1.0))(3)
    with pytest.raises(ArgumentError, match="negative"):
        fnp.zeros(-1)
    with pytest.raises(ArgumentError, match="integer"):
        fnp.zeros(1.5)


def test_inside_jit_constants_are_equations():
    jaxpr = ff.make_jaxpr(lambda: fnp.zeros(1000) + fnp.arange(1000) + fnp.eye(1000)[0])()
    assert not jaxpr.consts


def test_a_copy_has_memory_of_its_own():
    x = fnp.arange(3.0)
    y = fnp.copy(x)
    assert not np.shares_memory(np.asarray(x), np.asarray(y))
    ff.jit(lambda x: 2 * x, donate_argnums=0)(y)
    np.testing.assert_array_equal(x, [0.0, 1.0, 2.0])
    assert fnp.copy(fnp.asarray(1.0)).weak_type == fnp.asarray(1.0).weak_type
    np.testing.assert_array_equal(ff.jit(fnp.copy)(x), x)
