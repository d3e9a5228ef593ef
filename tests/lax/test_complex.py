"""Complex numbers and their parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

PARTS = {"complex64": "float32", "complex128": "float64"}


@pytest.mark.parametrize(("name", "reference"), [("real", np.real), ("imag", np.imag)])
@settings(max_examples=20, deadline=None)
@given(z=st.arrays(st.dtypes("c"), special=True))
def test_parts(name, reference, z):
    got = getattr(lax, name)(z)
    assert got.dtype == PARTS[z.dtype.name]
    np.testing.assert_array_equal(got, reference(np.asarray(z)))


@settings(max_examples=30, deadline=None)
@given(data=draws())
def test_complex_from_parts(data):
    dtype = data.draw(st.dtypes("f").filter(lambda d: d.itemsize >= 4))
    shapes = data.draw(st.broadcastable_shapes())
    x, y = (data.draw(st.arrays(dtype, shape, special=True)) for shape in shapes)
    z = lax.complex(x, y)
    assert PARTS[z.dtype.name] == dtype
    # infinities and signs of zero too
    shape = np.broadcast_shapes(*shapes)
    for part, expected in [(lax.real(z), x), (lax.imag(z), y)]:
        expected = np.broadcast_to(np.asarray(expected), shape)
        np.testing.assert_array_equal(part, expected)
        np.testing.assert_array_equal(np.signbit(part), np.signbit(expected))


@settings(max_examples=20, deadline=None)
@given(z=st.arrays(st.dtypes("c")))
def test_conj(z):
    np.testing.assert_array_equal(lax.conj(z), np.conj(np.asarray(z)))


def test_conj_of_real_numbers_is_complex():
    got = lax.conj(np.array([1.0, 2.0], "f4"))
    assert got.dtype == "complex64"
    np.testing.assert_array_equal(got, [1, 2])


Z = np.array([[1 + 2j, -0.5j, 3.0]], "c8")


@pytest.mark.parametrize("name", ["real", "imag", "conj"])
def test_laws(name):
    check_laws(getattr(lax, name), (Z,))
    check_laws(getattr(lax, name), (Z.astype("c16")[:, :0],))


def test_laws_of_conj_of_real_numbers():
    check_laws(lax.conj, (np.array([1.0, 2.0], "f4"),))


def test_laws_of_complex():
    x, y = np.array([[1.0, 2.0]], "f4"), np.array([[0.5], [-1.0]], "f4")
    check_laws(lax.complex, (x, y))
    check_laws(lambda x: lax.complex(x, 1.0), (x,))
    check_laws(lambda y: lax.complex(1.0, y), (y,))


def test_cotangents_are_not_conjugated():
    """A real-linear function's transpose, with JAX's values."""
    z = np.array(1 + 2j, "c8")
    one = np.ones((), "f4")
    assert complex(ff.vjp(lax.real, z)[1](one)[0]) == 1
    assert complex(ff.vjp(lax.imag, z)[1](one)[0]) == -1j
    assert complex(ff.vjp(lax.conj, z)[1](z)[0]) == 1 - 2j
    by_x, by_y = ff.vjp(lax.complex, one, one)[1](np.array(3 + 4j, "c8"))
    assert (float(by_x), float(by_y)) == (3, -4)


def test_bad_dtypes_are_refused():
    with pytest.raises(ff.errors.DtypeError, match="real: takes complex dtypes"):
        lax.real(np.ones(3, "f4"))
    with pytest.raises(ff.errors.DtypeError, match="complex: there is no complex dtype"):
        lax.complex(np.ones(3, "f2"), np.ones(3, "f2"))
    with pytest.raises(ff.errors.DtypeError, match="complex: takes floating dtypes"):
        lax.complex(np.ones(3, "i4"), np.ones(3, "i4"))
