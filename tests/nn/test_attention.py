"""Attention against JAX's values, its masks, and the laws."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, DtypeError, ShapeError
from funcflow.nn import dot_product_attention
from funcflow.testing import check_laws

CASES = [
    "plain", "causal", "bias", "mask", "scale", "query_lengths", "key_lengths", "window",
    "window_pair",
]  # fmt: skip


def arrays(recorded):
    return tuple(np.asarray(recorded[name], "float32") for name in ("query", "key", "value"))


@pytest.mark.parametrize("case", CASES)
def test_values(case, recorded):
    options, expected, residual = recorded["attention"][case]
    for name, value in options.items():
        if name == "local_window_size" and isinstance(value, list):
            options[name] = tuple(value)
        elif isinstance(value, list):
            options[name] = np.asarray(
                value, {"mask": "bool", "bias": "float32"}.get(name, "int32")
            )
    out, logarithms = dot_product_attention(*arrays(recorded), return_residual=True, **options)
    np.testing.assert_allclose(out, np.asarray(expected, float), rtol=1e-5, atol=1e-6)
    # where nothing is left, ours is the logarithm of 0 and jax's a large negative number
    residual = np.asarray(residual, float)
    residual = np.where(residual < -1e30, -np.inf, residual)
    np.testing.assert_allclose(logarithms, residual, rtol=1e-5, atol=1e-6)


def test_without_batch(recorded):
    query, key, value = arrays(recorded)
    expected = dot_product_attention(query, key, value, return_residual=True)
    got = dot_product_attention(query[0], key[0], value[0], return_residual=True)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b[0], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype, recorded):
    args = [fnp.asarray(x).astype(dtype) for x in arrays(recorded)]
    got = dot_product_attention(*args)
    assert got.dtype == args[0].dtype
    expected = dot_product_attention(*[x.astype("float32") for x in args])
    np.testing.assert_allclose(got.astype("float32"), expected, rtol=1e-2, atol=1e-2)


def test_a_query_without_keys_gets_zero_and_no_derivative(recorded):
    args = arrays(recorded)
    lengths = np.array([0, 5], "int32")

    def total(*args):
        return fnp.sum(dot_product_attention(*args, key_value_seq_lengths=lengths) ** 2)

    np.testing.assert_array_equal(dot_product_attention(*args, key_value_seq_lengths=lengths)[0], 0)
    for derivative in ff.grad(total, argnums=(0, 1, 2))(*args):
        assert np.isfinite(np.asarray(derivative)).all()
        np.testing.assert_array_equal(derivative[0], 0)


def test_laws(recorded):
    query, key, value = (x[:, :2] for x in arrays(recorded))
    check_laws(
        lambda q, k, v: dot_product_attention(q, k, v, is_causal=True), (query, key, value), order=1
    )


def test_errors(recorded):
    query, key, value = arrays(recorded)
    with pytest.raises(ShapeError, match="key and value must be of one shape"):
        dot_product_attention(query, key, value[:, :1])
    with pytest.raises(ShapeError, match=r"heads of query must be a multiple .* got 4 and 3"):
        dot_product_attention(query, *[np.ones((2, 5, 3, 2), "float32")] * 2)
    with pytest.raises(ShapeError, match="same batch size and features"):
        dot_product_attention(query, *[np.ones((2, 5, 2, 3), "float32")] * 2)
    with pytest.raises(ShapeError, match="must have the axes"):
        dot_product_attention(query[0, 0], key, value)
    with pytest.raises(DtypeError, match="mask must be boolean"):
        dot_product_attention(query, key, value, mask=np.ones((3, 5), "float32"))
    with pytest.raises(ShapeError, match=r"query_seq_lengths must be integers of shape \(2,\)"):
        dot_product_attention(query, key, value, query_seq_lengths=np.array([1]))
    with pytest.raises(ShapeError, match="bias must broadcast"):
        dot_product_attention(query, key, value, bias=np.ones((1,) * 5))
    with pytest.raises(ArgumentError, match="no implementation 'cudnn'"):
        dot_product_attention(query, key, value, implementation="cudnn")


def test_dropout_is_applied_to_the_weights(recorded):
    query, key, value = arrays(recorded)
    seen = []

    def doubled(weights):
        seen.append(weights.shape)
        return 2 * weights

    got = dot_product_attention(query, key, value, dropout=doubled)
    np.testing.assert_allclose(got, 2 * dot_product_attention(query, key, value), rtol=1e-6)
    assert seen == [(query.shape[0], query.shape[2], query.shape[1], key.shape[1])]
