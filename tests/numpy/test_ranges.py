"""Ranges and grids, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ConcretizationTypeError, ShapeError
from funcflow.testing import check_laws


@pytest.mark.parametrize(
    "args",
    [(3,), (0,), (-2,), (2, 7), (7, 2), (2, 7, 2), (7, 2, -2), (0.5,), (0, 1, 0.3), (1, -1, -0.25)],
)
def test_arange(args, agrees):
    agrees(lambda xp: xp.arange(*args))
    agrees(lambda xp: xp.arange(*args, dtype="float64"))


def test_arange_dtypes():
    assert fnp.arange(3).dtype == np.int32
    assert fnp.arange(3.0).dtype == np.float32
    assert fnp.arange(np.int64(3)).dtype == np.int64
    assert fnp.arange(3, dtype="uint8").dtype == np.uint8
    assert fnp.arange(2, 4, dtype="bfloat16").dtype == fnp.bfloat16
    np.testing.assert_array_equal(fnp.arange(3, stop=5), [3, 4])
    np.testing.assert_array_equal(fnp.arange(0, stop=6, step=2), [0, 2, 4])


def test_arange_of_traced_bounds():
    with pytest.raises(ConcretizationTypeError, match="arange"):
        ff.jit(lambda n: fnp.arange(n))(3)
    with pytest.raises(ArgumentError, match="step is 0"):
        fnp.arange(1, 2, 0)
    with pytest.raises(ShapeError):
        fnp.arange(fnp.ones(2))


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 7])
def test_linspace(num, endpoint, agrees):
    agrees(lambda xp: xp.linspace(-1, 3, num, endpoint))
    agrees(lambda xp: xp.linspace(0, 10, num, endpoint, dtype=int))
    bounds = np.array([1.0, 2.0], "f4"), np.array([[5.0], [-6.0]], "f4")
    agrees(lambda xp, a, b: xp.linspace(a, b, num, endpoint), *bounds)
    agrees(lambda xp, a, b: xp.linspace(a, b, num, endpoint, axis=-1), *bounds)
    agrees(lambda xp, a, b: xp.logspace(a, b, num, endpoint), *bounds)
    agrees(lambda xp, a: xp.geomspace(a, 100.0, num, endpoint), bounds[0])
    agrees(lambda xp, a: xp.geomspace(-a, -100.0, num, endpoint, axis=-1), bounds[0])
    if num > 1:
        agrees(lambda xp, a, b: xp.linspace(a, b, num, endpoint, retstep=True), *bounds)
        agrees(lambda xp: xp.geomspace(1, 1j, num, endpoint))


def test_linspace_details():
    assert fnp.linspace(0, 1, 3).dtype == np.float32
    assert fnp.linspace(0, np.float64(1), 3).dtype == np.float64
    x = ff.jit(lambda a, b: fnp.linspace(a, b, 11))(0.1, 0.7)
    assert (x[0], x[-1]) == (np.float32(0.1), np.float32(0.7))
    got = ff.jit(lambda b: fnp.linspace(0, b, 11, dtype=int))(10.0)
    np.testing.assert_array_equal(got, range(11))
    check_laws(lambda a, b: fnp.linspace(a, b, 4), (np.float32(1), np.float32(3)), order=1)
    check_laws(lambda a, b: fnp.geomspace(a, b, 4), (np.float32(1), np.float32(3)), order=1)
    with pytest.raises(ArgumentError):
        fnp.linspace(0, 1, -1)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_meshgrid(count, sparse, indexing, agrees):
    vectors = [np.arange(n + 2.0, dtype="f4") for n in range(count)]
    agrees(lambda xp, *v: list(xp.meshgrid(*v, sparse=sparse, indexing=indexing)), *vectors)


def test_grids(agrees):
    agrees(lambda xp: xp.mgrid[0:3, 1:5:2])
    agrees(lambda xp: xp.mgrid[0:1:5j])
    agrees(lambda xp: list(xp.ogrid[0:3, 1:5:2]))
    agrees(lambda xp: xp.indices((2, 3)))
    agrees(lambda xp: list(xp.indices((2, 3), sparse=True)))
    agrees(lambda xp: xp.fromfunction(lambda i, j: 10 * i + j, (2, 3), dtype=int))
    assert fnp.mgrid[0:2].dtype == np.int32
    with pytest.raises(ConcretizationTypeError, match="mgrid"):
        ff.jit(lambda n: fnp.mgrid[0:n])(3)


def test_vander(agrees):
    x = np.array([1.0, 2.0, 3.0], "f4")
    agrees(lambda xp, x: xp.vander(x), x)
    agrees(lambda xp, x: xp.vander(x, 2), x)
    agrees(lambda xp, x: xp.vander(x, 4, increasing=True), x)
