"""Leaf by leaf: structure, dtypes, memories."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.core.pytree import tree_leaves
from funcflow.errors import DtypeError, TreeStructureError
from funcflow.optim import leaves


def test_maps_keep_none():
    updates, other = {"a": 1, "b": None}, {"a": 2, "b": 3}
    assert leaves.map_updates("f", lambda u, x: u + x, updates, other) == {"a": 3, "b": None}
    assert leaves.map_updates("f", lambda u: -u, updates, keep=other) == {"a": -1, "b": 3}


def test_memories_of_none_stay():
    memory = {"a": fnp.zeros((), "int32"), "b": fnp.ones(())}
    updates, after = leaves.map_with_memory(
        "f", lambda u, m: (2 * u, fnp.asarray(u + m)), {"a": fnp.float32(3), "b": None}, memory
    )
    assert updates == {"a": 6, "b": None}
    assert after["b"] is memory["b"]
    assert after["a"].dtype == np.int32 and after["a"] == 3


def test_a_tree_without_leaves():
    assert leaves.map_with_memory("f", lambda u, m: (u, m), {}, {}) == ({}, {})


def test_other_structures_name_the_key_path():
    with pytest.raises(TreeStructureError, match=r"f: the updates do not match .* at \['a'\]"):
        leaves.map_updates("f", lambda u, x: u, {"a": [1, 2]}, {"a": [1]})


@pytest.mark.parametrize(
    ("dtype", "working", "squares"),
    [
        ("float16", "float32", "float32"),
        ("bfloat16", "float32", "float32"),
        ("float32", "float32", "float32"),
        ("float64", "float64", "float64"),
        ("complex64", "complex64", "float32"),
        ("complex128", "complex128", "float64"),
    ],
)
def test_dtypes(dtype, working, squares):
    x = fnp.ones(2, dtype)
    assert leaves.working(x).dtype == fnp.dtype(working)
    assert leaves.squared(leaves.working(x)).dtype == fnp.dtype(squares)
    assert leaves.memory_like("f", x).dtype == fnp.dtype(dtype)
    assert leaves.squares_like("f", x, 0.5).dtype == fnp.dtype(squares)
    for number in [0.5, np.float64(0.5), fnp.asarray(0.5, "float64"), np.float32(0.5)]:
        assert leaves.scaled(leaves.working(x), number).dtype == fnp.dtype(working)


def test_memories_are_arrays_of_their_own():
    params = [fnp.ones(3), fnp.ones(3), 1.0]
    memory = tree_leaves(leaves.memory_like("f", params))
    assert len({id(m) for m in memory}) == 3
    assert [m.shape for m in memory] == [(3,), (3,), ()]


@pytest.mark.parametrize("make", [leaves.memory_like, leaves.squares_like])
def test_integers_have_no_gradients(make):
    with pytest.raises(DtypeError, match=r"f: \['steps'\] has the dtype int32"):
        make("f", {"steps": fnp.zeros(2, "int32"), "w": fnp.ones(1)})


def test_counts_end_at_the_largest():
    assert leaves.increment(leaves.first_count()) == 1
    largest = fnp.asarray(2**31 - 1, "int32")
    assert leaves.increment(largest) == largest
    assert leaves.increment(largest).dtype == np.int32


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999, 0.999999])
@pytest.mark.parametrize("count", [1, 2, 10, 100_000])
def test_unbiasing_keeps_its_digits(decay, count):
    got = leaves.unbiasing(decay, fnp.asarray(count, "int32"))
    assert got.dtype == np.float64
    exact = -np.expm1(count * np.log(decay)) if decay else 1.0
    np.testing.assert_allclose(got, 1 / exact, rtol=1e-9)


def test_an_average_of_equal_numbers_is_that_number():
    average = fnp.zeros((), "float64")
    for count in range(1, 6):
        average = leaves.blend(average, fnp.asarray(7.0, "float64"), 0.9)
        np.testing.assert_allclose(average * leaves.unbiasing(0.9, fnp.asarray(count)), 7)


def test_inverse_roots_of_zero_are_zero():
    x = fnp.array([0.0, 4.0])
    np.testing.assert_array_equal(leaves.inverse_root(x), [0, 0.5])
    assert np.isfinite(ff.grad(lambda x: fnp.sum(leaves.inverse_root(x)))(x)).all()
