"""Plain NumPy code on our arrays, concrete and traced."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ImmutableError
from funcflow.testing import check_laws

X = np.array([[0.5, 1.0, 2.0], [3.0, 0.25, 1.5]], "f4")

PROGRAMS = {
    "sin": lambda x: np.sin(x),
    "alias": lambda x: np.abs(-x) + np.mod(x, 0.37),
    "two results": lambda x: np.divmod(x, 0.7)[0],
    "sum": lambda x: np.sum(x, axis=0, keepdims=True),
    "mean": lambda x: np.mean(x) + np.std(x, axis=1) + np.max(x, 1),
    "where": lambda x: np.where(x > 1, x, 0.0),
    "concatenate": lambda x: np.concatenate([x, np.ones((1, 3)), x]),
    "stack": lambda x: np.stack([x, np.zeros((2, 3))], axis=-1),
    "reshape": lambda x: np.transpose(np.reshape(x, (3, 2))),
    "norm": lambda x: np.linalg.norm(x, axis=1),
    "solve": lambda x: np.linalg.solve(x[:, :2] + np.eye(2), x[:, 2]),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "matmul": lambda x: np.ones((4, 2)) @ x @ np.ones(3),
    "ndarray first": lambda x: np.ones(3) + x * np.arange(3.0) - np.float32(2) * x,
    "compare": lambda x: np.ones(3) < x,
    "dtype": lambda x: np.add(x, 1, dtype="float64"),
    "reduce": lambda x: np.add.reduce(x) + np.multiply.reduce(x, axis=0),
    "reduce all": lambda x: np.maximum.reduce(x, axis=None),
    "reduce others": lambda x: np.hypot.reduce(x, axis=1, keepdims=True),
    "reduce bools": lambda x: np.logical_and.reduce(x > 0, axis=1),
    "reduce subtract": lambda x: np.subtract.reduce(x, axis=1),
    "accumulate": lambda x: np.add.accumulate(x, axis=1) + np.maximum.accumulate(x, 1),
    "accumulate others": lambda x: np.divide.accumulate(x, axis=1),
    "outer": lambda x: np.multiply.outer(x, np.arange(2.0)),
    "clip": lambda x: np.clip(x, a_min=0.5, a_max=2),
    "sort": lambda x: np.sort(x, axis=0)[np.argsort(x[:, 0])],
    "histogram": lambda x: np.histogram(x, 3, (0, 3), True)[0],
    "pad": lambda x: np.pad(x, 1, mode="edge"),
    "diff": lambda x: np.diff(x, axis=1) + np.cumsum(x, axis=1)[:, 1:],
    "interp": lambda x: np.interp(x, np.arange(4.0), np.arange(4.0) ** 2),
    "full_like": lambda x: np.full_like(x, 2) + np.zeros_like(x),
    "like": lambda x: np.ones(3, like=x) + np.arange(3, like=x),
    "shape": lambda x: x * np.size(x) + np.ndim(x) + np.shape(x)[0],
    "take": lambda x: np.take(x, np.array([0, 2]), axis=1),
    "tril": lambda x: np.tril(x) + np.diag(np.diag(x[:, :2])) @ x,
    "percentile": lambda x: np.percentile(x, 30.0) + np.median(x, axis=0),
    "vectors": lambda x: np.cross(x[0], x[1]) + np.dot(x, x[0]).sum() + np.outer(x[0], x[1])[0],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    program = PROGRAMS[name]
    expected = program(X.astype("f8")) if name != "dtype" else program(X)
    got = program(fnp.asarray(X))
    assert isinstance(got, ff.Array)
    for result in (got, ff.jit(program)(X), ff.vmap(program)(X[None])[0]):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_derivatives():
    check_laws(lambda x: np.sum(np.sin(x) * np.linalg.norm(x)), (X,), order=2)
    gradient = ff.grad(lambda x: np.sum(np.sin(x) * np.linalg.norm(x)))
    ours = ff.grad(lambda x: fnp.sum(fnp.sin(x) * fnp.linalg.norm(x)))
    np.testing.assert_array_equal(gradient(X), ours(X))
    # one element is a difference of terms of about 1
    np.testing.assert_allclose(ff.jit(gradient)(X), ours(X), rtol=1e-6, atol=2e-7)
    np.testing.assert_allclose(ff.vmap(gradient)(X[None])[0], ours(X), rtol=1e-6)


def test_conversions():
    x = fnp.asarray(X)
    assert isinstance(np.asarray(x), np.ndarray)
    assert not np.asarray(x).flags.writeable
    assert isinstance(np.ones(3) + x, ff.Array)
    assert np.array_repr(x).startswith("array(")
    assert x.__array_namespace__() is fnp
    total = np.zeros((2, 3))
    total += x
    np.testing.assert_array_equal(total, X)
    np.testing.assert_allclose(x, X)
    assert np.may_share_memory(x, x)


def test_what_changes_arrays_is_refused():
    x = fnp.asarray(X)
    with pytest.raises(ImmutableError, match="out="):
        np.sin(x, out=x)
    with pytest.raises(ImmutableError, match="traced value"):
        ff.jit(lambda x: np.add(X, x, out=X))(x)
    with pytest.raises(ImmutableError, match="out="):
        np.sum(x, out=np.zeros(()))
    with pytest.raises(ImmutableError, match=r"add\.at"):
        np.add.at(x, 0, 1)
    for change in (
        lambda: np.copyto(x, 0),
        lambda: np.put(x, 0, 1),
        lambda: np.fill_diagonal(x, 0),
        lambda: np.place(x, x > 0, 1),
    ):
        with pytest.raises(ImmutableError):
            change()


def test_unknown_functions_are_named():
    x = fnp.asarray(X)
    with pytest.raises(ArgumentError, match=r"numpy\.busday_count"):
        np.busday_count(x, x)
    with pytest.raises(ArgumentError, match="the ufunc isnat"):
        np.isnat(x)
    with pytest.raises(ArgumentError, match="the ufunc"):
        np.frompyfunc(lambda y: y, 1, 1)(x)
    with pytest.raises(ArgumentError, match="reduceat"):
        np.add.reduceat(x, [0, 1])
    with pytest.raises(ArgumentError, match="where="):
        np.add(x, x, where=x > 0)
