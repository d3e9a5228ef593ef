"""Indices and arrays in brackets, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError

X = np.arange(3, dtype="f4")
M = np.arange(6, dtype="f4").reshape(2, 3)


def test_indices():
    assert fnp.s_[1:3, ..., None] == np.s_[1:3, ..., None]
    assert fnp.s_[2] == 2
    assert fnp.index_exp[2] == (2,)


def test_concatenation(agrees):
    agrees(lambda xp, x: [xp.r_[x, 7, x], xp.r_[0:5, 9], xp.r_[0:1:5j, x], xp.r_[5:0:-2]], X)
    agrees(lambda xp, x: [xp.c_[x, x], xp.c_[x[:, None], x]], X)
    agrees(lambda xp, m: [xp.r_[m, m], xp.r_["1", m, m], xp.r_["-1", m, m], xp.c_[m, m]], M)
    agrees(lambda xp, x: [xp.r_["0,2", x, x], xp.r_["0,2,0", x, x], xp.r_["1,2,0", x, x]], X)
    assert fnp.r_["r", 1, 2].shape == (1, 2)
    assert fnp.r_["c", 1, 2].shape == (2, 1)
    assert fnp.r_[0:3].dtype == np.int32


def test_errors():
    with pytest.raises(ArgumentError, match="directive"):
        fnp.r_["x", 1]
    with pytest.raises(ArgumentError, match="no end"):
        fnp.r_[1:]
    with pytest.raises(ff.errors.ConcretizationTypeError):
        ff.jit(lambda n: fnp.r_[0:n])(3)
