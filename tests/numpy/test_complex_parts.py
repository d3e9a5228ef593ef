"""Complex numbers and their parts."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.testing import check_laws

Z = np.array([1 + 2j, -3.0, 0.5j, 0], "complex64")


@pytest.mark.parametrize(
    "name", ["conj", "conjugate", "real", "imag", "angle", "isreal", "iscomplex"]
)
def test_values(agrees, name):
    agrees(lambda xp, x: getattr(xp, name)(x), Z)
    agrees(lambda xp, x: getattr(xp, name)(x), np.float32([1.5, -2, 0]))
    agrees(lambda xp, x: getattr(xp, name)(x), np.zeros((0, 2), "complex128"))


@pytest.mark.parametrize("name", ["conj", "real", "imag"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "bfloat16"])
def test_real_numbers_keep_their_dtype(name, dtype):
    assert getattr(fnp, name)(fnp.ones(2, dtype)).dtype == dtype


@pytest.mark.parametrize("name", ["conj", "real", "imag", "angle", "absolute"])
def test_laws(name):
    check_laws(getattr(fnp, name), (fnp.array([1 + 2j, -0.5 + 0.3j]),))


def test_angle_of_real_numbers():
    x = fnp.array([-1.0, -0.0, 0.0, 2.0, np.nan])
    np.testing.assert_array_equal(fnp.angle(x), np.float32([np.pi, np.pi, 0, 0, np.nan]))
    assert fnp.angle(x, deg=True)[0] == 180
    assert fnp.angle(1j, deg=True) == 90
    assert fnp.angle(-1) == np.float32(np.pi)


def test_object_predicates():
    assert fnp.iscomplexobj(Z) and not fnp.isrealobj(Z)
    assert fnp.iscomplexobj(1j) and not fnp.iscomplexobj(1.0)
    assert not fnp.iscomplexobj(None)
    assert ff.jit(lambda z: fnp.real(z) if fnp.iscomplexobj(z) else z)(Z).dtype == "float32"
