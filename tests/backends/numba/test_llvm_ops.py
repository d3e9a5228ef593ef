"""Every machine operation on every dtype agrees with NumPy, bit for bit but for NaNs' payloads."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from funcflow.backends.loop_ir import MACHINE_OPS, UNIT, Builder, Kernel, Operand
from funcflow.backends.numba import llvm_ops
from funcflow.core import dtypes

REAL = tuple(d for d in dtypes.ALL if not dtypes.is_complex(d))
BOOL = np.dtype(np.bool_)
LANES = 16


def bits(x: Any) -> Any:
    return x.view(f"u{x.dtype.itemsize}")


def assert_same(got: Any, expected: Any, what: object) -> None:
    assert got.dtype == expected.dtype, what
    same = bits(got) == bits(expected)
    if dtypes.is_float(got.dtype):
        same |= np.isnan(got) & np.isnan(expected)
    if not same.all():
        wrong = np.flatnonzero(~same)[:5]
        raise AssertionError(f"{what}: {got[wrong]} instead of {expected[wrong]} at {wrong}")


def values(dtype: np.dtype[Any], size: int = 400) -> Any:
    """Numbers of all sizes: special ones first, then random bits."""
    rng = np.random.default_rng(3)
    raw = rng.integers(0, 256, (size, dtype.itemsize), np.uint8)
    kind = dtypes.kind(dtype)
    if kind == "b":
        return raw[:, 0] % 2 == 1
    x = raw.view(dtype)[:, 0]
    if kind == "f":
        x[: size // 2] = (10 * rng.standard_normal(size // 2)).astype(dtype)
        special = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, np.inf, -np.inf, np.nan, 1e-7, 65504.0]
    else:
        limits = np.iinfo(dtype)
        special = [0, 1, limits.max, limits.min, 2, 3]
    with np.errstate(all="ignore"):
        x[: len(special)] = np.array(special, object if kind in "iu" else None).astype(dtype)
    return x


def pairs(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """All pairs of the first values, and shuffled others."""
    x = values(dtype)
    first, second = np.array(list(product(range(12), repeat=2))).T
    mixed = np.random.default_rng(4).permutation(len(x))
    return np.concatenate([x[first], x]), np.concatenate([x[second], x[mixed]])


def elementwise(op: str, args: list[np.dtype[Any]], out: np.dtype[Any], lanes: int) -> Kernel:
    """One operation on arrays."""
    build = Builder()
    with build.loop(0, lanes=lanes):
        loaded = [build.load(number, dtype) for number, dtype in enumerate(args)]
        build.store(len(args), build.let(op, *loaded, dtype=out))
    operands = [Operand(d, (UNIT,)) for d in args] + [Operand(out, (UNIT,), written=True)]
    return Kernel(1, tuple(operands), (), build.body)


def check(compiled: Any, cases: list[tuple[str, list[Any], Any]]) -> None:
    """Each (operation, arguments, expected result), in vectors and one by one."""
    kernels, runs = {}, []
    for (number, (op, args, expected)), lanes in product(enumerate(cases), (LANES, 1)):
        name = f"k{number}_{lanes}"
        kernels[name] = elementwise(op, [a.dtype for a in args], expected.dtype, lanes)
        runs.append((name, op, args, expected))
    library = compiled(**kernels)
    for name, op, args, expected in runs:
        out = np.zeros_like(expected)
        library.run(name, (len(expected),), [*map(np.ascontiguousarray, args), out])
        assert_same(out, expected, (op, name, *(a.dtype.name for a in args)))


# --- what NumPy says --------------------------------------------------------------------------


def _max(x: Any, y: Any) -> Any:
    if x.dtype == np.float16:
        return np.where((x >= y) | np.isnan(x), x, y)
    return np.where((x > y) | (x != x), x, y)


def _min(x: Any, y: Any) -> Any:
    if x.dtype == np.float16:
        return np.where((x <= y) | np.isnan(x), x, y)
    return np.where((x < y) | (x != x), x, y)


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "max": _max, "min": _min,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
FLOAT_BINARY = {"div": np.true_divide, "rem": np.fmod, "copysign": np.copysign}
FLOAT_UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil,
    "trunc": np.trunc, "rint": np.rint,
}  # fmt: skip
BITS = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}


def _integer_cases(x: Any, y: Any) -> Iterator[tuple[str, list[Any], Any]]:
    dtype = x.dtype
    safe = y.copy()
    safe[(y == 0) | (y == -1 if dtype.kind == "i" else y == 0)] = 3
    quotient = np.array(
        [int(abs(int(a)) // abs(int(b))) for a, b in zip(x, safe, strict=True)], object
    )
    negative = (x < 0) != (safe < 0)
    quotient = np.where(negative, -quotient, quotient).astype(dtype)
    yield "div", [x, safe], quotient
    yield "rem", [x, safe], x - quotient * safe
    count = (y.view(f"u{dtype.itemsize}") % (8 * dtype.itemsize)).astype(dtype)
    unsigned, signed = f"u{dtype.itemsize}", f"i{dtype.itemsize}"
    yield "shift_left", [x, count], np.left_shift(x, count)
    logical = np.right_shift(x.view(unsigned), count.view(unsigned)).view(dtype)
    yield "shift_right_logical", [x, count], logical
    arithmetic = np.right_shift(x.view(signed), count.view(signed)).view(dtype)
    yield "shift_right_arithmetic", [x, count], arithmetic
    yield "neg", [x], np.negative(x)
    yield "abs", [x], np.abs(x)
    yield "population_count", [x], np.bitwise_count(x.view(unsigned)).astype(dtype)
    width = 8 * dtype.itemsize
    zeros = [width - int(v).bit_length() for v in x.view(unsigned)]
    yield "clz", [x], np.array(zeros, dtype)


def _fma_case(x: Any, y: Any, z: Any) -> tuple[str, list[Any], Any]:
    """`fma` by fractions, where all is finite. Many sums are so close to the middle between two
    numbers that rounding twice would show."""
    dtype = x.dtype
    unsigned = np.dtype(f"u{dtype.itemsize}")
    args, results = [], []
    for a, b, c in zip(x, y, z, strict=True):
        if not np.isfinite([a, b, c]).all():
            continue
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
        if exact == 0 or abs(exact) > Fraction(float(ml_dtypes.finfo(dtype).max)):
            continue
        near = np.array([float(exact)]).astype(dtype)
        around = (near.view(unsigned) + np.arange(-1, 2).astype(unsigned)).view(dtype)
        finite = around[np.isfinite(around)]
        results.append(min(finite, key=lambda v: (abs(Fraction(float(v)) - exact), bits(v) % 2)))
        args.append((a, b, c))
    return "fma", [np.array(a, dtype) for a in zip(*args, strict=True)], np.array(results, dtype)


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_operations_are_numpys(compiled: Any, dtype: np.dtype[Any]) -> None:
    x, y = pairs(dtype)
    kind = dtypes.kind(dtype)
    cases: list[tuple[str, list[Any], Any]] = []
    with np.errstate(all="ignore"):
        for op, meaning in BINARY.items():
            if not (kind == "b" and op == "sub"):
                cases.append((op, [x, y], meaning(x, y)))
        if kind == "f":
            cases += [(op, [x, y], meaning(x, y)) for op, meaning in FLOAT_BINARY.items()]
            cases += [(op, [x], meaning(x)) for op, meaning in FLOAT_UNARY.items()]
            cases.append(_fma_case(x, y, x[::-1]))
            numbers = ~(np.isnan(x) | np.isnan(y) | ((x == 0) & (y == 0)))
            a, b = x[numbers], y[numbers]
            cases += [
                ("fast_max", [a, b], np.maximum(a, b)),
                ("fast_min", [a, b], np.minimum(a, b)),
            ]
        else:
            cases += [(op, [x, y], meaning(x, y)) for op, meaning in BITS.items()]
            cases.append(("not", [x], np.invert(x)))
            cases += [
                ("fast_max", [x, y], np.maximum(x, y)),
                ("fast_min", [x, y], np.minimum(x, y)),
            ]
        if kind in "iu":
            cases += _integer_cases(x, y)
    condition = np.arange(len(x)) % 3 == 0
    cases.append(("select", [condition, x, y], np.where(condition, x, y)))
    check(compiled, cases)


def _in_range(x: Any, dtype: np.dtype[Any]) -> Any:
    """The values whose integer part the integer dtype has."""
    limits = np.iinfo(dtype)
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return x[(np.trunc(wide) >= limits.min) & (wide < float(limits.max))]


@pytest.mark.parametrize("source", REAL, ids=str)
def test_conversions_are_numpys(compiled: Any, source: np.dtype[Any]) -> None:
    cases: list[tuple[str, list[Any], Any]] = []
    for out in REAL:
        x = values(source)
        if dtypes.is_float(source) and out.kind in "iu":
            x = _in_range(x, out)
        with np.errstate(all="ignore"):
            cases.append(("convert", [x], x.astype(out)))
    check(compiled, cases)


def test_double_to_half_is_rounded_once(compiled: Any) -> None:
    x = np.array([2049 + 2**-20, 2049 - 2**-20, 2049, 2051, 2**-25 + 2**-60, 65519.999, 65520])
    with np.errstate(over="ignore"):
        half = x.astype(np.float16)
        assert (half != x.astype(np.float32).astype(np.float16)).any()
    check(compiled, [("convert", [x], half)])


def test_float_to_bfloat16_rounds_ties_to_even_and_keeps_nan(compiled: Any) -> None:
    high = np.arange(0, 2**16, 17, dtype=np.uint32) << 16
    x = np.concatenate([high + low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)])
    floats = x.astype(np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        check(compiled, [("convert", [floats], floats.astype(dtypes.bfloat16))])


@pytest.mark.skipif(not llvm_ops.has_avx512(), reason="the processor scales in two steps")
@pytest.mark.parametrize("lanes", [1, 2, 8, 16, 32, 64])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_scale_rounds_once(compiled: Any, name: str, lanes: int) -> None:
    dtype = np.dtype(name)
    bias = np.finfo(dtype).maxexp - 1
    n = np.repeat(np.arange(-2 * bias, bias + 2), 20).astype(dtype)
    x = np.exp2(np.random.default_rng(0).uniform(-9, 1, len(n))).astype(dtype)
    x[::20], x[::19], x[::201], n[::201] = 1.0, 1.5, np.nan, np.nan
    with np.errstate(all="ignore"):
        expected = np.ldexp(x, np.nan_to_num(n).astype(int))
    unused = np.zeros(len(n), f"i{dtype.itemsize}")
    kernel = elementwise("scale", [dtype, unused.dtype, dtype], dtype, lanes)
    out = np.zeros_like(x)
    compiled(k=kernel).run("k", (len(n),), [n, unused, x, out])
    assert_same(out, expected, lanes)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_bitcast_keeps_bits(compiled: Any, size: int) -> None:
    same = [d for d in REAL if d.itemsize == size and d.kind != "b"]
    check(compiled, [("bitcast", [values(a)], values(a).view(b)) for a, b in product(same, same)])


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_literals_keep_their_bits(compiled: Any, dtype: np.dtype[Any]) -> None:
    x = values(dtype, 40)
    build = Builder()
    for number, value in enumerate(x):
        place = build.const(number, np.int64)
        build.store(0, build.const(value, dtype), offset=place)
    out = np.zeros_like(x)
    kernel = Kernel(0, (Operand(dtype, (), written=True),), (), build.body)
    compiled(k=kernel).run("k", (), [out])
    assert_same(out, x, dtype)


def test_all_machine_operations_are_tested() -> None:
    tested = {*BINARY, *FLOAT_BINARY, *FLOAT_UNARY, *BITS}
    tested |= {op for op, *_ in _integer_cases(*pairs(np.dtype(np.int8)))}
    tested |= {"fma", "fast_max", "fast_min", "not", "select", "convert", "bitcast", "const"}
    assert tested | {"scalar", "index"} == MACHINE_OPS  # which test_llvm.py has


@pytest.mark.parametrize(("op", "dtype"), [("exp", "float32"), ("sqrt", "int32"), ("sub", "bool")])
def test_other_operations_are_errors(op: str, dtype: str) -> None:
    d = np.dtype(dtype)
    with pytest.raises(KeyError, match=op):
        llvm_ops.instruction(op, d, (d, d), 1)
