"""Cells against PyTorch's, and the forms that PyTorch does not have against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn

KEY = ff.random.key(0)
X = ff.random.normal(ff.random.key(1), (2, 3))
H = ff.random.normal(ff.random.key(2), (2, 4))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_simple_cell_is_its_formula():
    cell = nn.SimpleRNNCell(3, 4, activation=nn.relu, key=KEY)
    carry, y = cell(H, X)
    expected = np.maximum(np.asarray(X @ cell.kernel + H @ cell.recurrent_kernel), 0)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(carry, y)


def test_an_lstm_is_its_formula():
    cell = nn.LSTMCell(3, 4, bias_init=nn.initializers.normal(1.0), key=KEY)
    c = np.asarray(2 * H)
    i, f, g, o = np.split(
        np.asarray(X @ cell.kernel + H @ cell.recurrent_kernel + cell.bias), 4, axis=-1
    )
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    (h, memory), y = cell((H, 2 * H), X)
    np.testing.assert_allclose(memory, c, rtol=1e-5)
    np.testing.assert_allclose(h, sigmoid(o) * np.tanh(c), rtol=1e-5)
    np.testing.assert_array_equal(h, y)


def test_a_forget_gate_starts_open():
    np.testing.assert_array_equal(nn.LSTMCell(2, 2, key=KEY).bias, [0, 0, 1, 1, 0, 0, 0, 0])
    closed = nn.LSTMCell(2, 2, unit_forget_bias=False, key=KEY)
    np.testing.assert_array_equal(closed.bias, np.zeros(8))


@pytest.mark.parametrize("reset_after", [True, False])
def test_a_gru_is_its_formula(reset_after):
    cell = nn.GRUCell(3, 4, reset_after=reset_after, bias_init=nn.initializers.normal(1.0), key=KEY)
    h = np.asarray(H)
    r, z, n = np.split(np.asarray(X @ cell.kernel + cell.bias), 3, axis=-1)
    to_r, to_z, to_n = np.split(np.asarray(cell.recurrent_kernel), 3, axis=-1)
    r, z = sigmoid(r + h @ to_r), sigmoid(z + h @ to_z)
    if reset_after:
        n = np.tanh(n + r * (h @ to_n + np.asarray(cell.recurrent_bias)))
    else:
        n = np.tanh(n + (r * h) @ to_n)
        assert cell.recurrent_bias is None
    np.testing.assert_allclose(cell(H, X)[1], (1 - z) * n + z * h, rtol=1e-5)


@pytest.mark.parametrize("cell", [nn.SimpleRNNCell, nn.LSTMCell, nn.GRUCell])
def test_each_gate_starts_orthogonal(cell):
    made = cell(3, 4, use_bias=False, key=KEY)
    assert made.bias is None
    for gate in fnp.split(made.recurrent_kernel, made.recurrent_kernel.shape[1] // 4, axis=-1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-6)
