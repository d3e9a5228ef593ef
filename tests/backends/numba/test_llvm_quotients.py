"""Quotients by the number of a row have the bits of a division, whatever numbers there are."""

import numpy as np
import pytest

from funcflow.backends.loop_ir import ANY, FIXED, UNIT, Builder, Kernel, Operand
from funcflow.backends.numba import llvm_ops
from funcflow.backends.numba.llvm import module_text

FORMATS = {np.dtype(np.float32): 16, np.dtype(np.float64): 8}  # lanes of a whole register
DTYPES = pytest.mark.parametrize("dtype", FORMATS, ids=str)


@pytest.fixture(autouse=True)
def with_avx512(monkeypatch):
    """The text is legal for all processors."""
    monkeypatch.setattr(llvm_ops, "has_avx512", lambda: True)


def quotients(dtype, lanes):
    """The elements of each row by a number of its own."""
    build = Builder()
    with build.loop(0):
        divisor = build.load(1, dtype)
        with build.loop(1, lanes=lanes):
            build.store(2, build.let("div", build.load(0, dtype), divisor))
    views = (ANY, UNIT), (UNIT, FIXED), (ANY, UNIT)
    operands = [Operand(dtype, strides, written=n == 2) for n, strides in enumerate(views)]
    return Kernel(2, tuple(operands), (), build.body, split=True)


def check(compiled, x, y, lanes):
    """`x / y[:, None]` to the last bit; any NaN is as good as another."""
    out = np.zeros_like(x)
    compiled(k=quotients(x.dtype, lanes)).run("k", x.shape, [x, y[:, None], out])
    with np.errstate(all="ignore"):
        expected = x / y[:, None]
    bits = f"u{x.itemsize}"
    same = (out.view(bits) == expected.view(bits)) | (np.isnan(out) & np.isnan(expected))
    row, column = np.nonzero(~same)
    assert same.all(), (x[row, column][:3], y[row][:3], out[~same][:3], expected[~same][:3])


def of_all_sizes(rng, dtype, shape):
    """Random bits, and what is special."""
    count = int(np.prod(shape))
    x = rng.integers(0, 256, (count, dtype.itemsize), np.uint8).view(dtype)[:, 0]
    form = np.finfo(dtype)
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, form.max, form.tiny]
    special += [float(form.smallest_subnormal), 2.0**-79, 2.0**79, 2.0**20, 2.0**-20, 3.0]
    places = rng.integers(0, count, 40 * len(special))
    x[places] = np.resize(np.array(special, dtype), len(places))
    return x.reshape(shape)


@DTYPES
@pytest.mark.parametrize("registers", [1, 2])
@pytest.mark.parametrize("columns", [5, 64, 511, 1003])
def test_any_numbers(compiled, dtype, registers, columns):
    rng, lanes = np.random.default_rng(0), registers * FORMATS[dtype]
    y = np.concatenate([of_all_sizes(rng, dtype, 60), rng.uniform(0.1, 1000, 60).astype(dtype)])
    check(compiled, of_all_sizes(rng, dtype, (len(y), columns)), y, lanes)
    check(compiled, rng.uniform(-1, 1, (len(y), columns)).astype(dtype), y, lanes)


@DTYPES
def test_zeros_keep_their_signs(compiled, dtype):
    y = np.array([1.0, 3.0, 1.7, -3.0, np.inf, 0.0], dtype)
    for zero in (0.0, -0.0):
        check(compiled, np.full((len(y), 256), zero, dtype), y, FORMATS[dtype])


@DTYPES
def test_quotients_next_to_the_middle_of_two_numbers(compiled, dtype):
    """With p digits, odd Y, M = -+ 1 / Y modulo 2^(p + 1) and X = (M Y +- 1) / 2^(p + 1).

    X / Y is as near to M / 2^(p + 1) as a quotient can be without being it.
    """
    digits = np.finfo(dtype).nmant + 1
    rng = np.random.default_rng(1)
    y = 2 * rng.integers(2 ** (digits - 2), 2 ** (digits - 1), 200) + 1
    x = np.zeros((len(y), 256))
    for row, divisor in enumerate(map(int, y)):
        for column, sign in enumerate((1, -1)):
            middle = -sign * pow(divisor, -1, 2 ** (digits + 1)) % 2 ** (digits + 1)
            x[row, column::2] = (middle * divisor + sign) >> (digits + 1)
    scale = 2.0 ** rng.integers(-digits - 10, 10, x.shape[1])
    x, y = (x * scale).astype(dtype), y.astype(dtype)
    for exponent in (-digits, -digits + 9, -digits - 15):
        check(compiled, x, np.ldexp(y, exponent), FORMATS[dtype])


def test_which_divisions_become_products(monkeypatch):
    dtype = np.dtype(np.float32)
    products = "multiply"
    assert products in module_text({"k": quotients(dtype, 16)})
    assert products not in module_text({"k": quotients(dtype, 8)})
    assert products not in module_text({"k": quotients(np.dtype(np.float16), 32)})
    build = Builder()
    with build.loop(0, lanes=16):  # a divisor for each element
        build.store(2, build.let("div", build.load(0, dtype), build.load(1, dtype)))
    operands = [Operand(dtype, (UNIT,), written=n == 2) for n in range(3)]
    assert products not in module_text({"k": Kernel(1, tuple(operands), (), build.body)})
    monkeypatch.setattr(llvm_ops, "has_avx512", lambda: False)
    assert products not in module_text({"k": quotients(dtype, 16)})
