"""`gather`, `index_take`, `scatter_add`; `test_addressing` checks them with loops."""

import json
from pathlib import Path

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "gather_scatter.json").read_text())

X = np.array([[1.5, -0.5, 2.0], [0.25, 3.0, -1.0]], "f4")
ROWS = lax.GatherDimensionNumbers((1,), (0,), (0,))
ADD_ROWS = lax.ScatterDimensionNumbers(*ROWS)
INDICES = np.array([[1], [0], [1], [5]], "int32")
UPDATES = (np.arange(12, dtype="f4").reshape(4, 3) + 1) / 4


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['name']}-{case['mode']}")
def test_recorded_from_jax(case):
    name, mode, sizes = case["name"], case["mode"], tuple(case["sizes"])
    x, updates = np.array(case["x"], "f4"), np.array(case["updates"], "f4")
    indices = np.array(case["indices"], "int32")
    gather_dims = lax.GatherDimensionNumbers(*case["dims"])
    scatter_dims = lax.ScatterDimensionNumbers(*case["dims"])
    if name.startswith("gather"):

        def f(x):
            return lax.gather(x, indices, gather_dims, sizes, mode=mode, fill_value=9)

        results = ff.vjp(f, x)[1](updates) if name == "gather_vjp" else [f(x)]
    else:

        def f(x, updates):
            scatter = getattr(lax, name.removesuffix("_vjp"))
            return scatter(x, indices, updates, scatter_dims, mode=mode)

        results = ff.vjp(f, x, updates)[1](x) if name.endswith("_vjp") else [f(x, updates)]
    for got, expected in zip(results, case["results"], strict=True):
        np.testing.assert_array_equal(got, np.array(expected, "f4"))


# --- gather ---------------------------------------------------------------------------------


def test_gather_of_rows():
    got = lax.gather(X, INDICES[:3], ROWS, (1, 3))
    np.testing.assert_array_equal(got, X[[1, 0, 1]])


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("float32", np.nan),
        ("bfloat16", np.nan),
        ("complex64", np.nan),
        ("int8", -128),
        ("int64", -(2**63)),
        ("uint16", 65535),
        ("bool", True),
    ],
)
def test_default_fill_values(dtype, fill):
    x = lax.full((2,), 0, dtype)
    single = lax.GatherDimensionNumbers((), (0,), (0,))
    got = lax.gather(x, np.array([[2], [-1], [0]]), single, (1,), mode="fill")
    assert got.dtype == dtype
    expected = np.array([fill, fill, 0], "c16")
    np.testing.assert_array_equal(np.asarray(got).astype("c16"), expected)


def test_fill_value_nan_leaves_the_parameters_comparable():
    def f(x):
        return lax.gather(x, INDICES, ROWS, (1, 3), mode="fill", fill_value=np.float32("nan"))

    first, second = (ff.make_jaxpr(f)(X).eqns[0].params for _ in range(2))
    assert first == second
    assert hash(tuple(first.items())) == hash(tuple(second.items()))


def test_fill_value_must_be_a_scalar():
    with pytest.raises(ff.errors.ArgumentError, match="fill_value must be a scalar"):
        lax.gather(X, INDICES, ROWS, (1, 3), mode="fill", fill_value=np.zeros(3))


@pytest.mark.parametrize("mode", ["clip", "fill"])
def test_gather_laws(mode):
    check_laws(
        lambda x, i: lax.square(lax.gather(x, i, ROWS, (1, 3), mode=mode, fill_value=2.0)),
        (X, INDICES),
    )


def test_filled_values_have_no_share_in_the_gradient():
    _, pullback = ff.vjp(lambda x: lax.gather(x, INDICES, ROWS, (1, 3), mode="fill"), X)
    np.testing.assert_array_equal(pullback(np.ones((4, 3), "f4"))[0], [[1] * 3, [2] * 3])


def primitives(f, *args):
    return [eqn.primitive.name for eqn in ff.make_jaxpr(f)(*args).eqns]


@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0), (1, 1)])
def test_a_mapped_gather_is_one_gather(in_axes):
    f = ff.vmap(lambda x, i: lax.gather(x, i, ROWS, (1, 3), mode="clip"), in_axes)
    x = np.stack([X] * 3, in_axes[0]) if in_axes[0] is not None else X
    i = np.stack([INDICES] * 3, in_axes[1]) if in_axes[1] is not None else INDICES
    assert [n for n in primitives(f, x, i) if n != "transpose"] == ["gather"]


def test_a_map_over_operands_keeps_the_promise_of_unique_indices_over_indices_not():
    def f(x, i):
        return lax.gather(x, i, ROWS, (1, 3), unique_indices=True)

    def promised(in_axes, *args):
        return ff.make_jaxpr(ff.vmap(f, in_axes))(*args).eqns[-1].params["unique_indices"]

    xs, indices = np.stack([X, X]), np.stack([INDICES[:1]] * 2)
    assert promised((0, None), xs, INDICES[:1])
    assert promised((0, 0), xs, indices)
    assert not promised((None, 0), X, indices)


def test_a_map_over_no_lanes():
    x, i = np.zeros((0, 2, 3), "f4"), np.zeros((0, 4, 1), "int32")
    assert ff.vmap(lambda x, i: lax.gather(x, i, ROWS, (1, 3)))(x, i).shape == (0, 4, 3)
    u = np.zeros((0, 4, 3), "f4")
    f = ff.vmap(lambda x, i, u: lax.scatter_add(x, i, u, ADD_ROWS))
    assert f(x, i, u).shape == (0, 2, 3)


# --- index_take -----------------------------------------------------------------------------


def test_index_take_wraps_around():
    i, j = np.array([-1, 2, 0]), np.array([4, -4, 1])
    np.testing.assert_array_equal(lax.index_take(X, (j,), (1,)), X[:, j % 3].T)
    np.testing.assert_array_equal(lax.index_take(X, (i, j), (0, 1)), X[i % 2, j % 3])
    check_laws(lambda x, i: lax.index_take(x, (i,), (-1,)), (X, j.astype("int32")), order=1)


# --- scatter_add ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "float16", "bfloat16", "float64", "complex128", "bool"])
def test_scatter_add_adds_windows_that_overlap(dtype):
    got = lax.scatter_add(lax.full((2, 3), 1, dtype), INDICES, lax.full((4, 3), 1, dtype), ADD_ROWS)
    assert got.dtype == dtype
    expected = np.ones((2, 3)) if dtype == "bool" else [[2] * 3, [3] * 3]
    np.testing.assert_array_equal(np.asarray(got).astype("c8"), expected)


def test_scatter_add_leaves_its_operand_alone():
    x = X.copy()
    lax.scatter_add(x, INDICES, UPDATES, ADD_ROWS)
    np.testing.assert_array_equal(x, X)
    broadcast = lax.full((2, 3), 0.0)
    lax.scatter_add(broadcast, INDICES, UPDATES, ADD_ROWS)
    assert not np.asarray(broadcast).any()


@pytest.mark.parametrize("mode", ["clip", "drop"])
def test_scatter_add_laws(mode):
    check_laws(
        lambda x, i, u: lax.square(lax.scatter_add(x, i, u, ADD_ROWS, mode=mode)),
        (X, INDICES, UPDATES),
    )
    z = X.astype("c8") * (1 + 1j)
    check_laws(
        lambda z, u: lax.scatter_add(z, INDICES, u, ADD_ROWS, mode=mode),
        (z, UPDATES.astype("c8") * 1j),
        order=1,
    )


def test_scatter_add_takes_python_scalars():
    everywhere = lax.ScatterDimensionNumbers((), (), ())
    assert lax.scatter_add(np.float32(1), np.zeros(0, "int32"), 2, everywhere).item() == 3
