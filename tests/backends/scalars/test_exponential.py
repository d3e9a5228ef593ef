"""Error bounds of exponentials, at all exponents and where results overflow or vanish."""

import mpmath
import numpy as np
import pytest

from funcflow.backends.loop_ir import Kernel, Let, Value
from funcflow.backends.scalars import expand
from funcflow.backends.scalars.evaluate import evaluate_ops

DENSITY = pytest.mark.parametrize("mantissas", [4, pytest.param(4096, marks=pytest.mark.slow)])
# e^x is infinite or 0 beyond, or subnormal; and halves of log(2)
EDGES = (
    88.72283, 88.0, -87.33655, -103.97208, -103.27893, 709.782712893384, -708.3964185322641,
    -745.1332191019411, -744.4400719213812, 0.34657359, 1.0397207, -0.34657359,
    -175.99, -176.1, -1417.9, -1418.1, -1e9,
)  # fmt: skip


def _logistic(x):
    return 1 / (1 + np.exp(-x))


@DENSITY
def test_exp(within, mantissas):
    within("exp", (1, 1), np.exp, mpmath.exp, special=EDGES, mantissas=mantissas)


@DENSITY
def test_exp2(within, mantissas):
    edges = (
        127.99999, 128, -126, -149, -150, -253.9, -254.1, -255,
        1023.9999999999999, 1024, -1022, -1074, -1075, -2045.9, -2046.1, -2047, 0.5,
    )  # fmt: skip
    exact = lambda x: mpmath.power(2, x)  # noqa: E731
    within("exp2", (1.1, 1), np.exp2, exact, special=edges, mantissas=mantissas)


@DENSITY
def test_expm1(within, mantissas):
    edges = (*EDGES, -17.3, -18, -37.4, -38)
    within("expm1", (1.5, 1.9), np.expm1, mpmath.expm1, special=edges, mantissas=mantissas)


@DENSITY
def test_logistic(within, mantissas):
    exact = lambda x: 1 / (1 + mpmath.exp(-x))  # noqa: E731
    within("logistic", (2.2, 2.2), _logistic, exact, special=EDGES, mantissas=mantissas)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scale_rounds_once(dtype):
    """As the instruction does that some processors have for it."""
    form = np.finfo(dtype)
    bias, integer = form.maxexp - 1, np.dtype(f"i{form.bits // 8}")
    n = np.repeat(np.arange(-2 * bias, bias + 2), 20)
    x = np.exp2(np.random.default_rng(0).uniform(-9, 1, len(n))).astype(dtype)
    x[::20], x[::19], x[::201] = 1.0, 1.5, np.nan
    args = Value(np.dtype(dtype)), Value(integer), Value(np.dtype(dtype))
    out = Value(args[0].dtype)
    lines = expand(Kernel(0, (), (), (Let(out, "scale", args),))).body
    given = n.astype(dtype), (n + 2 * bias).astype(integer), x
    values = evaluate_ops(lines, dict(zip(args, given, strict=True)))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(values[lines[-1].out], np.ldexp(x, n))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["exp", "exp2"])
def test_what_vanishes_by_far_is_a_product_with_zero(name, dtype):
    """As masks make it: a product that underflows takes some processors a hundred times as long."""
    x = Value(np.dtype(dtype))
    out = Value(x.dtype)
    lines = expand(Kernel(0, (), (), (Let(out, name, (x,)),))).body
    *_, first, second = [line for line in lines if isinstance(line, Let) and line.op == "mul"]
    values = evaluate_ops(lines, {x: np.array([-1e9, -np.inf, -(2.0**11)], dtype)})
    for scaling in (first, second):
        np.testing.assert_array_equal(values[scaling.args[1]], 0)
    np.testing.assert_array_equal(values[second.out], 0)
