"""Trees as vectors."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.optim import vectors

X = {"a": fnp.array([1.0, 2.0]), "b": None, "c": [fnp.array(3.0)]}
Y = {"a": fnp.array([0.5, -1.0]), "b": None, "c": [fnp.array(2.0)]}


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in ff.tree.leaves(tree)])


def test_inner_products():
    assert vectors.inner_product(X, Y) == 1 * 0.5 - 2 + 6
    assert vectors.inner_product({}, {}) == 0
    z = fnp.array([1 + 2j])
    assert vectors.inner_product(z, z) == 5
    half = fnp.full(3, 300.0, "float16")
    assert vectors.inner_product(half, half) == 270_000


def test_sums_and_multiples():
    np.testing.assert_array_equal(flat(vectors.add_scaled(X, -2.0, Y)), flat(X) - 2 * flat(Y))
    np.testing.assert_array_equal(flat(vectors.times(3.0, X)), 3 * flat(X))
    half = fnp.ones(2, "bfloat16")
    assert vectors.add_scaled(half, fnp.float64(1), fnp.ones(2)).dtype == fnp.bfloat16
    assert vectors.times(fnp.float64(1), half).dtype == fnp.bfloat16


def test_one_of_two():
    for condition, want in ((True, X), (fnp.array(False), Y)):
        np.testing.assert_array_equal(flat(vectors.chosen(condition, X, Y)), flat(want))


def test_the_dtype_of_inner_products():
    assert vectors.real_dtype([fnp.ones(1, "float16")]) == np.float32
    assert vectors.real_dtype([fnp.ones(1, "complex128"), fnp.ones(1)]) == np.float64
    assert vectors.real_dtype({}) == np.float32
