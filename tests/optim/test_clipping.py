"""Bounds hold, and what is within them stays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim

lists = st.lists(st.floats(-100, 100), min_size=1, max_size=5)
bounds = st.floats(0.01, 50)


def clipped(tx, tree):
    return tx.update(tree, tx.init(tree))[0]


def arrays(*parts):
    return [fnp.asarray(part, "float64") for part in parts]


@given(a=lists, bound=bounds)
def test_clip(a, bound):
    got = clipped(optim.clip(bound), fnp.asarray(a, "float64"))
    np.testing.assert_array_equal(got, np.clip(a, -bound, bound))


@given(a=lists, b=lists, bound=bounds)
def test_clip_by_global_norm(a, b, bound):
    norm = np.linalg.norm([*a, *b])
    tree = arrays(a, b)
    np.testing.assert_allclose(optim.global_norm(tree), norm)
    got = clipped(optim.clip_by_global_norm(bound), tree)
    np.testing.assert_allclose(optim.global_norm(got), min(norm, bound), rtol=1e-9)
    factor = 1 if norm < bound else bound / norm
    np.testing.assert_allclose(np.concatenate(got), factor * np.array([*a, *b]), rtol=1e-9)


@given(a=lists, b=lists, bound=bounds)
def test_clip_by_block_rms(a, b, bound):
    got = clipped(optim.clip_by_block_rms(bound), arrays(a, b))
    for before, after in zip((a, b), got, strict=True):
        rms = np.sqrt(np.mean(np.square(before)))
        np.testing.assert_allclose(after, np.array(before) / max(1, rms / bound), rtol=1e-9)


@pytest.mark.parametrize(
    "tx", [optim.clip(1.0), optim.clip_by_global_norm(1.0), optim.clip_by_block_rms(1.0)]
)
def test_none_and_zero_stay_and_jit_agrees(tx):
    tree = {"a": fnp.array([3.0, 4.0]), "b": None, "c": fnp.zeros(2)}
    got = clipped(tx, tree)
    assert got["b"] is None
    np.testing.assert_array_equal(got["c"], 0)
    np.testing.assert_allclose(ff.jit(tx.update)(tree, tx.init(tree))[0]["a"], got["a"], rtol=1e-6)
    np.testing.assert_array_equal(clipped(tx, ff.tree.map(fnp.zeros_like, tree))["a"], 0)


def test_norms_of_16_bits_do_not_overflow():
    assert optim.global_norm(fnp.full(4, 300.0, "float16")) == 600


def test_norms_of_complex_numbers_and_of_nothing():
    assert optim.global_norm([fnp.array([3 + 4j]), None]) == 5
    assert optim.global_norm({}) == 0
