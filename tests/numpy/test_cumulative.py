"""Running sums and products."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, AxisError
from funcflow.testing import check_laws

NAMES = ["cumsum", "cumprod", "nancumsum", "nancumprod"]
X = np.float32([[1.5, -2, 3, 0.5], [4, 0.25, -1, 2]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64", "int32"])
def test_values(agrees, name, dtype):
    for axis in (None, 0, -1):
        agrees(lambda xp, x, axis=axis: getattr(xp, name)(x, axis=axis), X.astype(dtype))
    agrees(lambda xp, x: getattr(xp, name)(x, axis=1), X.astype(dtype)[:, :0])


@pytest.mark.parametrize("name", ["nancumsum", "nancumprod"])
def test_nans_count_as_nothing(agrees, name):
    agrees(lambda xp, x: getattr(xp, name)(x), np.float32([1, np.nan, 2]))


@pytest.mark.parametrize("name", [*NAMES, "cumulative_sum", "cumulative_prod"])
def test_laws(name):
    check_laws(lambda x: getattr(fnp, name)(x, axis=1), (fnp.asarray(X),))


def test_derivatives_of_cumprod_at_zero():
    jacobian = ff.jacrev(fnp.cumprod)(fnp.array([2.0, 0, 3]))
    assert jacobian.tolist() == [[1, 0, 0], [0, 2, 0], [0, 6, 0]]


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("cumsum", "bool", "int32"),
        ("cumsum", "int8", "int8"),
        ("cumprod", "uint16", "uint16"),
        ("cumulative_sum", "int8", "int32"),
        ("cumulative_sum", "uint8", "uint32"),
        ("cumulative_prod", "int8", "int8"),
        ("cumulative_prod", "bool", "int32"),
    ],
)
def test_result_dtype(name, dtype, expected):
    out = getattr(fnp, name)(fnp.ones(3, dtype))
    assert out.dtype == expected
    assert fnp.cumsum(fnp.ones(2, dtype), dtype="float32").dtype == "float32"


def test_include_initial(agrees):
    agrees(lambda xp, x: xp.cumulative_sum(x, axis=1, include_initial=True), X)
    agrees(lambda xp, x: xp.cumulative_prod(x, axis=0, include_initial=True), X)


def test_no_dimension():
    assert fnp.cumsum(3).tolist() == [3]
    with pytest.raises(ArgumentError, match="cumulative_sum"):
        fnp.cumulative_sum(3)
    with pytest.raises(ArgumentError, match="cumulative_prod: axis is None"):
        fnp.cumulative_prod(X)
    with pytest.raises(AxisError, match="cumsum: axis 2"):
        fnp.cumsum(X, axis=2)
