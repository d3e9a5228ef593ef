"""Operations on parts agree with NumPy's on complex numbers, at infinities and NaNs too."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw

import funcflow as ff
from funcflow import lax
from funcflow.backends.passes.complex_arithmetic import OPERATIONS
from funcflow.backends.passes.parts import split_complex
from funcflow.core.evaluate import eval_closed
from funcflow.core.typecheck import check_jaxpr
from funcflow.testing import strategies as st

BINARY = {
    "add": lax.add,
    "sub": lax.sub,
    "mul": lax.mul,
    "div": lax.div,
    "eq": lax.eq,
    "ne": lax.ne,
}
UNARY = {
    **{f.__name__: f for f in (lax.neg, lax.conj, lax.square, lax.abs, lax.sign, lax.exp)},
    **{f.__name__: f for f in (lax.real, lax.imag)},
    **{f"power {n}": lambda x, n=n: lax.integer_pow(x, n) for n in (-3, -1, 0, 1, 2, 5)},
    "sum": lambda x: lax.reduce_sum(x, (0,)),
    "wider": lambda x: lax.convert_element_type(x, "complex128"),
    "narrower": lambda x: lax.convert_element_type(x, "complex64"),
    "select": lambda x: lax.select_n(np.arange(x.shape[0]) % 2 == 0, x, lax.neg(x)),
}
EXACT = {"add", "sub", "neg", "conj", "real", "imag", "eq", "ne", "select", "narrower", "wider"}
VALUES = [0.0, -0.0, 1.0, -2.5, 3e-5, np.inf, -np.inf, np.nan]


def grid(dtype: str, values: Any = VALUES) -> Any:
    """All complex numbers with these parts."""
    re, im = np.meshgrid(np.array(values, "f8"), np.array(values, "f8"))
    return np.stack([re, im], -1).reshape(-1, 2).copy().view("c16")[:, 0].astype(dtype)


def on_parts(function: Any, *args: Any) -> np.ndarray:
    """The result of a function whose complex arithmetic is done on parts."""
    closed = split_complex(ff.make_jaxpr(function)(*args))
    check_jaxpr(closed)
    wholes = {"real", "imag", "complex"}
    for eqn in closed.eqns:
        complex_ = any(v.aval.dtype.kind == "c" for v in (*eqn.invars, *eqn.outvars))
        assert not complex_ or eqn.primitive.name in wholes
    with np.errstate(all="ignore"):
        return np.asarray(eval_closed(closed, *args)[0])


def compare(name: str, got: np.ndarray, want: np.ndarray) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    parts = [(x.real, x.imag) if x.dtype.kind == "c" else (x,) for x in (got, want)]
    size = np.where(np.isfinite(want), np.abs(np.where(np.isfinite(want), want, 0)), 0)
    for x, y in zip(*parts, strict=True):
        np.testing.assert_array_equal(np.isnan(x), np.isnan(y))
        finite = np.isfinite(y)
        np.testing.assert_array_equal(x[~finite], y[~finite])
        if name in EXACT:
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(np.signbit(x), np.signbit(y))
        else:
            error = np.abs(x[finite].astype("f8") - y[finite])
            assert (error <= 8 * np.finfo(want.real.dtype).eps * size[finite]).all()


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", UNARY)
def test_functions(name: str, dtype: str) -> None:
    x = grid(dtype, VALUES[:5] if name in ("sum", "power -3", "power 5") else VALUES)
    with np.errstate(all="ignore"):
        want = np.asarray(UNARY[name](x))
    compare(name, on_parts(UNARY[name], x), want)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", BINARY)
def test_operations(name: str, dtype: str) -> None:
    x = grid(dtype)
    x, y = np.repeat(x, x.size), np.tile(x, x.size)
    with np.errstate(all="ignore"):
        want = np.asarray(BINARY[name](x, y))
    compare(name, on_parts(BINARY[name], x, y), want)


@settings(max_examples=100, deadline=None)
@given(data=draw.data(), name=draw.sampled_from([*BINARY, *UNARY]))
def test_all_shapes_and_values(data: Any, name: str) -> None:
    dtype = data.draw(st.dtypes("c"))
    if name in BINARY:
        function, shapes = BINARY[name], data.draw(st.broadcastable_shapes())
    else:
        function, shapes = UNARY[name], [data.draw(st.shapes(min_dims=1, max_dims=1, min_side=1))]
    args = [np.asarray(data.draw(st.arrays(dtype, shape))) for shape in shapes]
    with np.errstate(all="ignore"):
        compare(name, on_parts(function, *args), np.asarray(function(*args)))


@pytest.mark.parametrize("numbers", [((), ()), ((0,), (1,)), ((1, 0), (0, 1)), ((1, 2), (1, 2))])
def test_products_without_sums(numbers: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((2, 2, 2, 3, 2))[..., :k, :] for k in (2, 3))
    x, y = (np.ascontiguousarray(z).view("c16")[..., 0] for z in (x, y))

    def f(x: Any, y: Any) -> Any:
        return lax.dot_general(x, y, (((), ()), numbers))

    compare("product", on_parts(f, x, y), np.asarray(f(x, y)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_great_numbers_do_not_overflow(dtype: str) -> None:
    info = np.finfo(dtype)
    wide = {"float32": "complex64", "float64": "complex128"}[dtype]
    ends = [info.max / 4, info.tiny * 4, 1.0, 0.0]
    x = grid(wide, ends)
    compare("abs", on_parts(lax.abs, x), np.abs(x))
    compare("sign", on_parts(lax.sign, x), np.sign(x))
    x = x[x != 0]
    compare("div", on_parts(lambda x: lax.div(x, x), x), x / x)
    exponents = np.log(info.max) + np.array([-20, -15, -1, 0.3, 2])
    x = (exponents[:, None] + 1j * np.array([0.1, 1.5, 3.0])).astype(wide)
    with np.errstate(over="ignore"):
        want = np.exp(x.astype("clongdouble")).astype(wide)
    finite = np.isfinite(want)
    found = on_parts(lax.exp, x)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    # the exponent's last digit is worth so much
    np.testing.assert_allclose(found[finite], want[finite], rtol=4 * info.eps * exponents[-1])


def test_every_operation_is_tested() -> None:
    closed = [ff.make_jaxpr(f)(grid("complex64")) for f in UNARY.values()]
    closed += [ff.make_jaxpr(f)(grid("complex64"), grid("complex64")) for f in BINARY.values()]
    closed.append(ff.make_jaxpr(lax.complex)(np.ones(2), np.ones(2)))
    found = {eqn.primitive for jaxpr in closed for eqn in jaxpr.eqns}
    assert found >= OPERATIONS.keys()
