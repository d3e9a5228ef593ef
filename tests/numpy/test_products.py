"""Products of vectors, matrices and tensors, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

RNG = np.random.default_rng(0)


def normal(*shape, dtype="f4"):
    x = RNG.normal(size=shape)
    return (x + 1j * RNG.normal(size=shape) if dtype[0] == "c" else 3 * x).astype(dtype)


@settings(max_examples=150, deadline=None)
@given(
    stacks=hst.sampled_from(
        [
            ((), ()),
            ((5,), ()),
            ((), (5,)),
            ((5,), (5,)),
            ((2, 1), (5,)),
            ((2, 1, 3), (1, 5, 1)),
            ((1,), ()),
            ((0,), (1,)),
        ]
    ),
    m=hst.sampled_from([None, 1, 2]),
    k=hst.sampled_from([0, 1, 3]),
    n=hst.sampled_from([None, 1, 4]),
    dtype=hst.sampled_from(["f4", "i4", "c8"]),
)
def test_matmul(stacks, m, k, n, dtype):
    a = normal(*(stacks[0] if m else ()), *([m] if m else []), k, dtype=dtype)
    b = normal(*(stacks[1] if n else ()), k, *([n] if n else []), dtype=dtype)
    expected = np.matmul(a, b)
    for f in (fnp.matmul, ff.jit(fnp.matmul)):
        got = f(a, b)
        assert got.shape == expected.shape
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


A, B = normal(2, 3), normal(2, 3)
T, U = normal(2, 3, 4), normal(4, 3, 2)
V = normal(3)

CASES = {
    "operator": lambda xp, a, b, t, u, v: [a @ b.T, a @ v, v @ v, t @ t.transpose(0, 2, 1)],
    "dot": lambda xp, a, b, t, u, v: [xp.dot(a, b.T), xp.dot(a, v), xp.dot(v, v),
                                      xp.dot(t, t.transpose(0, 2, 1)),
                                      xp.dot(v, 2.0), xp.dot(a, t)],
    "inner": lambda xp, a, b, t, u, v: [xp.inner(a, b), xp.inner(v, v), xp.inner(a, 3.0)],
    "outer": lambda xp, a, b, t, u, v: [xp.outer(a, v), xp.outer(v, v)],
    "vdot": lambda xp, a, b, t, u, v: [xp.vdot(a, b), xp.vdot(v + 1j * v, v)],
    "vecdot": lambda xp, a, b, t, u, v: [xp.vecdot(a, b), xp.vecdot(a, v), xp.vecdot(a, b, axis=0),
                                         xp.vecdot(a + 1j * b, v)],
    "matvec": lambda xp, a, b, t, u, v: [xp.matvec(a, v), xp.matvec(u.transpose(0, 2, 1), v)],
    "vecmat": lambda xp, a, b, t, u, v: [xp.vecmat(v, a.T), xp.vecmat(v * 1j, u)],
    "tensordot": lambda xp, a, b, t, u, v: [xp.tensordot(t, u, 1), xp.tensordot(a, b, 0),
                                            xp.tensordot(a, b), xp.tensordot(a, b, axes=2),
                                            xp.tensordot(t, u, axes=([1, 2], [1, 0])),
                                            xp.tensordot(t, u, axes=(-1, 0))],
    "kron": lambda xp, a, b, t, u, v: [xp.kron(a, b), xp.kron(v, a), xp.kron(t, v),
                                       xp.kron(v, 2.0)],
    "cross": lambda xp, a, b, t, u, v: [xp.cross(a, b), xp.cross(a, v), xp.cross(t, u.T, 1, 1, 0)],
    "cross axis": lambda xp, a, b, t, u, v: xp.cross(a.T, b.T, axis=0),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_numpy(name, agrees):
    agrees(CASES[name], A, B, T, U, V)


def test_cross_of_short_vectors():
    assert fnp.cross(fnp.array([1, 2]), fnp.array([3, 4])) == -2
    np.testing.assert_array_equal(fnp.cross(fnp.array([1, 2]), fnp.array([3, 4, 5])), [10, -5, -2])


def test_dtypes():
    half = fnp.ones((2, 2), "float16") * 300
    assert fnp.matmul(half, half).dtype == np.float16
    big = fnp.full((1, 4096), 0.1, "float16")
    np.testing.assert_allclose(
        np.float32((big @ fnp.ones((4096, 1), "float16"))[0, 0]), 409.6, rtol=1e-3
    )
    assert (fnp.ones((2, 2), "int32") @ fnp.ones(2)).dtype == np.float32
    assert fnp.dot(fnp.arange(2), fnp.arange(2)).dtype == np.int32
    out = fnp.matmul(half, half, preferred_element_type="float32")
    assert out.dtype == np.float32
    assert out[0, 0] == 180000
    assert fnp.dot(half, half, preferred_element_type="float32").dtype == np.float32
    x = fnp.ones((2, 2), fnp.bfloat16)
    assert (x @ x).dtype == fnp.bfloat16
    assert fnp.outer(fnp.array([True]), fnp.array([True])).dtype == bool


def test_no_operand_is_repeated():
    jaxpr = ff.make_jaxpr(fnp.matmul)(np.ones((7, 1, 2, 3), "f4"), np.ones((1, 5, 3, 4), "f4"))
    assert "broadcast_in_dim" not in str(jaxpr)
    jaxpr = ff.make_jaxpr(fnp.matmul)(np.ones((7, 2, 3), "f4"), np.ones((3, 4), "f4"))
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == ["dot_general"]


def test_laws():
    check_laws(fnp.matmul, (normal(2, 1, 2, 3), normal(4, 3, 2)), order=2)
    check_laws(fnp.matmul, (V, normal(2, 3, 2)), order=1)
    check_laws(fnp.vecdot, (normal(2, 3, dtype="c8"), normal(3, dtype="c8")), order=1)
    check_laws(fnp.cross, (A, B), order=2)
    check_laws(fnp.kron, (A, V), order=1)
    check_laws(lambda x, y: fnp.tensordot(x, y, ((0,), (2,))), (T, U), order=1)


def test_errors():
    with pytest.raises(ShapeError, match=r"matmul: shapes \(2, 3\) and \(2, 3\)"):
        fnp.matmul(A, B)
    with pytest.raises(ShapeError, match="1 or more axes"):
        fnp.matmul(A, 2.0)
    with pytest.raises(ShapeError, match="do not broadcast"):
        fnp.matmul(normal(2, 2, 2), normal(3, 2, 2))
    with pytest.raises(ShapeError, match=r"dot: shapes \(2, 3\) and \(2, 3\)"):
        fnp.dot(A, B)
    with pytest.raises(ArgumentError, match="axes=3"):
        fnp.tensordot(A, B, 3)
    with pytest.raises(ShapeError, match="cross"):
        fnp.cross(normal(4), normal(4))
    with pytest.raises(ShapeError, match="vecdot"):
        fnp.vecdot(A, normal(2))
    with pytest.raises(ShapeError, match="matvec"):
        fnp.matvec(V, V)
