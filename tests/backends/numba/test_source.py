"""Kernels as Python source: what it looks like, and that it means what the primitives mean."""

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special

import funcflow.lax as lax
from funcflow.backends.loop_ir import ANY, FIXED, UNIT, Builder, Kernel, Operand, Value
from funcflow.backends.numba.source import kernel_source
from funcflow.backends.numba.source_helpers import helpers
from funcflow.backends.numba.source_run import Flat, compile_source, run_source
from funcflow.core import rules
from funcflow.core.errors import CompileError

BOOL, F16, F32, F64 = (np.dtype(t) for t in ("?", "f2", "f4", "f8"))
BF16 = np.dtype(ml_dtypes.bfloat16)
I64 = np.dtype(np.int64)


def view(dtype: Any, *strides: Any, written: bool = False) -> Operand:
    return Operand(np.dtype(dtype), strides, written)


# --- what it looks like -------------------------------------------------------------------------


def softmax() -> tuple[Kernel, Value]:
    build = Builder()
    with build.loop(0):
        lowest, zero = build.const(-np.inf, F32), build.const(0, F32)
        with build.loop(1, lanes=16) as row:
            (best,) = row.carry("max", lowest)
            row.next(build.let("max", best, build.load(0, F32)))
        (best,) = row.results
        with build.loop(1, lanes=16) as row:
            (total,) = row.carry("add", zero)
            power = build.let("exp", build.let("sub", build.load(0, F32), best))
            build.store(1, power)
            row.next(build.let("add", total, power))
        (total,) = row.results
        with build.loop(1, lanes=16):
            build.store(1, build.let("div", build.load(1, F32), total))
    operands = (view(F32, ANY, UNIT), view(F32, ANY, UNIT, written=True))
    return Kernel(2, operands, (), build.body, split=True), power


def everything() -> Kernel:
    """Offsets, masks, ragged blocks, several carried values, scalars, recurrences."""
    build = Builder()
    scale, zero = build.scalar(0, F32), build.const(0, F32)
    far, worst = build.const(2**62, I64), build.const(np.inf, F32)
    with build.loop(0) as blocks:
        older, old = blocks.carry("sequence", zero, scale)
        with build.loop(1, lanes=8) as block:
            least, place = block.carry("argmin", worst, far)
            (count,) = block.carry("add", zero)
            valid = build.load(1, BOOL)
            x = build.load(0, F32, offset=build.load(2, I64), mask=valid)
            y = build.let("fma", x, scale, build.load(3, F32))
            build.store(4, y, mask=build.let("not", valid))
            better = build.let("lt", y, least)
            block.next(
                build.let("select", better, y, least),
                build.let("select", better, build.index(1), place),
            )
            block.next(build.let("add", count, x))
        least, place, count = block.results
        build.store(5, build.let("convert", place, dtype=np.int32))
        blocks.next(old, build.let("mul", build.let("sub", old, older), least))
    build.store(6, blocks.results[1])
    operands = (
        view(F32, ANY, UNIT),
        view(BOOL, FIXED, UNIT),
        view(I64, UNIT, FIXED),
        view(F32, FIXED, FIXED),
        view(F32, ANY, UNIT, written=True),
        view(np.int32, UNIT, FIXED, written=True),
        view(F32, FIXED, FIXED, written=True),
    )
    return Kernel(2, operands, (F32,), build.body, ragged=True)


def test_softmax_with_comments(golden):
    kernel, power = softmax()
    golden("source_softmax.py.txt", kernel_source(kernel, "softmax", {power: "model.py:12 y"}))


def test_comments_of_inlined_values_come_together_on_one_line():
    build = Builder()
    with build.loop(0):
        x = build.load(0, F32)
        y = build.let("exp", x)
        z = build.let("neg", y)
        build.store(1, z)
    kernel = Kernel(1, (view(F32, UNIT), view(F32, UNIT, written=True)), (), build.body)
    text = kernel_source(kernel, comments={x: "load", y: "two\nlines", z: "load"})
    assert "        p1[i0] = -np.exp(p0[i0])  # load; two lines\n" in text


def test_everything(golden):
    golden("source_everything.py.txt", kernel_source(everything()))


def test_a_kernel_without_statements():
    run_source(Kernel(0, (), (), ()), [])
    build = Builder()
    with build.loop(0):
        pass
    run_source(Kernel(1, (), (), build.body), [], extents=[3])


def test_inlining_keeps_the_order_of_loads_and_stores():
    build = Builder()
    with build.loop(0):
        x = build.load(0, F32)
        build.store(1, build.const(7, F32))
        build.store(2, x)
    kernel = Kernel(1, (view(F32, UNIT), *[view(F32, UNIT, written=True)] * 2), (), build.body)
    x, out = np.arange(3, dtype=F32), np.zeros(3, F32)
    run_source(kernel, [x, x, out])
    assert out.tolist() == [0, 1, 2]
    assert x.tolist() == [7, 7, 7]


def test_long_expressions_have_names():
    build = Builder()
    with build.loop(0):
        x = build.load(0, F32)
        for _ in range(40):
            x = build.let("tanh", x)
        build.store(1, x)
    kernel = Kernel(1, (view(F32, UNIT), view(F32, UNIT, written=True)), (), build.body)
    assert max(map(len, kernel_source(kernel).splitlines())) < 100


def test_swapped_values_change_at_once():
    build = Builder()
    x, y = build.const(1, F32), build.const(2, F32)
    with build.loop(0) as loop:
        a, b = loop.carry("sequence", x, y)
        loop.next(b, a)
    build.store(0, loop.results[0])
    kernel = Kernel(1, (view(F32, FIXED, written=True),), (), build.body)
    out = np.zeros(1, F32)
    run_source(kernel, [out], extents=[3])
    assert out == 2


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_guards_are_conditionals(compiled):
    build = Builder()
    zero = build.const(0, F32)
    with build.loop(0):
        x = build.load(0, F32)
        with build.guard(build.let("gt", x, zero), x, zero) as rare:
            root = build.let("sqrt", x)
            rare.take(root, build.let("div", x, root))
        build.store(1, build.let("sub", *rare.results))
    kernel = Kernel(1, (view(F32, UNIT), view(F32, UNIT, written=True)), (), build.body)
    assert kernel_source(kernel).partition('"""\n    for')[2].splitlines()[1:] == [
        "        x0 = p0[i0]",
        "        if x0 > np.float32(0.0):",
        "            t = np.sqrt(x0)",
        "            t_2, t_3 = t, x0 / t",
        "        else:",
        "            t_2, t_3 = x0, np.float32(0.0)",
        "        p1[i0] = t_2 - t_3",
    ]
    x, out = np.array([4, -4, 0], F32), np.zeros(3, F32)
    run_source(kernel, [x, out], compiled=compiled)
    assert out.tolist() == [0, -4, 0]


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_whiles_are_loops_with_a_break(compiled):
    build = Builder()
    with build.loop(0):
        x, one = build.load(0, F32), build.const(1, F32)
        found = build.while_loop(
            [x, one],
            lambda carry: build.let("gt", *carry),
            lambda carry: [build.let("sub", *carry), build.let("add", carry[1], one)],
        )
        build.store(1, found[1])
    kernel = Kernel(1, (view(F32, UNIT), view(F32, UNIT, written=True)), (), build.body)
    assert kernel_source(kernel).partition('"""\n    for')[2].splitlines()[1:] == [
        "        state, state_2 = p0[i0], np.float32(1.0)",
        "        while True:",
        "            if not (state > state_2):",
        "                break",
        "            state, state_2 = state - state_2, state_2 + np.float32(1.0)",
        "        p1[i0] = state_2",
    ]
    x, out = np.array([4, -4, 10], F32), np.zeros(3, F32)
    run_source(kernel, [x, out], compiled=compiled)
    assert out.tolist() == [3, 1, 4]


def test_helpers_come_with_those_that_they_call():
    names = [text.partition("(")[0] for text in helpers("x = fma(a, b, c)")]
    assert names == ["def odd_sum", "def halves", "def fma"]


# --- lanes --------------------------------------------------------------------------------------


def test_lanes_are_merged_upper_half_into_lower():
    build = Builder()
    zero = build.const(0, F32)
    with build.loop(0, lanes=4) as loop:
        (total,) = loop.carry("add", zero)
        loop.next(build.let("add", total, build.load(0, F32)))
    build.store(1, loop.results[0])
    kernel = Kernel(1, (view(F32, UNIT), view(F32, FIXED, written=True)), (), build.body)
    x = np.random.default_rng(0).normal(size=11).astype(F32) * 10 ** np.arange(11, dtype=F32)
    lanes = np.zeros(4, F32)
    for i, number in enumerate(x):
        lanes[i % 4] += number
    out = np.zeros(1, F32)
    run_source(kernel, [x, out])
    assert out[0] == (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])


@pytest.mark.parametrize("op", ["argmax", "argmin"])
@pytest.mark.parametrize("x", [[3, 1, 3, 1, 2], [1, np.nan, 9, np.nan, 0], [0.0, -0.0, 0.0, 0.0]])
def test_arg_extrema_of_lanes(op, x):
    build = Builder()
    end = -np.inf if op == "argmax" else np.inf
    worst, nowhere = build.const(end, F64), build.const(2**62, I64)
    with build.loop(0, lanes=2) as loop:
        best, place = loop.carry(op, worst, nowhere)
        x0 = build.load(0, F64)
        wins = build.let("gt" if op == "argmax" else "lt", x0, best)
        number, new = build.let("eq", best, best), build.let("ne", x0, x0)
        wins = build.let("or", wins, build.let("and", number, new))
        loop.next(
            build.let("select", wins, x0, best),
            build.let("select", wins, build.index(0), place),
        )
    build.store(1, loop.results[1])
    kernel = Kernel(1, (view(F64, UNIT), view(I64, FIXED, written=True)), (), build.body)
    out = np.zeros(1, I64)
    run_source(kernel, [np.array(x, F64), out])
    assert out[0] == getattr(np, op)(np.array(x, F64))


# --- operations ---------------------------------------------------------------------------------

ARITHMETIC = ["add", "sub", "mul", "neg", "abs", "max", "min"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
BITS = ["and", "or", "xor", "not"]
INTEGER = ["div", "rem", "shift_left", "shift_right_arithmetic", "shift_right_logical"]
OPS = {
    "b": ["add", "mul", "max", "min", *BITS, *COMPARISONS],
    "i": [*ARITHMETIC, *BITS, *INTEGER, "population_count", "clz", *COMPARISONS],
    "f": [*ARITHMETIC, "div", "rem", "sqrt", "floor", "ceil", *COMPARISONS],
}
SINGLE = ("neg", "abs", "not", "population_count", "clz", "sqrt", "floor", "ceil")


def pairs(dtype: np.dtype[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """All pairs of some numbers, special ones among them."""
    if dtype.kind == "b":
        numbers = np.array([False, True])
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        numbers = np.array([limits.min, limits.max, 0, 1, 3, 7, limits.max // 3], dtype)
        numbers = np.append(numbers, ~numbers[-2:])
    else:
        special = [0.0, -0.0, math.inf, -math.inf, math.nan, 0.5, -0.5, 1.5, -2.5, 1e-40, 3e4]
        numbers = np.array(special).astype(dtype)
    return np.repeat(numbers, len(numbers)), np.tile(numbers, len(numbers))


def usable(op: str, x: Any, y: Any) -> Any:
    """Where the operation of the loop IR is defined."""
    if x.dtype.kind not in "iu" or op not in INTEGER:
        return np.ones(x.shape, bool)
    if op in ("div", "rem"):
        return (y != 0) & (y != np.array(-1).astype(y.dtype))
    return (y >= 0) & (y < 8 * x.itemsize)


def run_operations(dtype: np.dtype[Any], ops: list[str], compiled: bool) -> dict[str, Any]:
    """The results of all operations on all pairs, computed by one kernel."""
    build, (x, y) = Builder(), pairs(dtype)
    outputs = []
    with build.loop(0):
        for number, op in enumerate(ops):
            a, b, fine = (build.load(n, t) for n, t in enumerate((dtype, dtype, BOOL)))
            one = build.const(1, dtype)
            mend = op in INTEGER and dtype.kind in "iu"
            if mend:
                fine = build.load(3 + INTEGER.index(op), BOOL)
                b = build.let("select", fine, b, build.let("add", one, one))
            out = build.let(op, a) if op in SINGLE else build.let(op, a, b)
            build.store(3 + len(INTEGER) + number, out)
            outputs.append(out.dtype)
    masks = [np.ones(len(x), bool), *(usable(op, x, y) for op in INTEGER)]
    arrays = [x, y, *masks, *(np.zeros(len(x), t) for t in outputs)]
    operands = tuple(
        Operand(a.dtype, (UNIT,), written=n >= 3 + len(INTEGER)) for n, a in enumerate(arrays)
    )
    run_source(Kernel(1, operands, (), build.body), arrays, compiled=compiled)
    return dict(zip(ops, arrays[3 + len(INTEGER) :], strict=True))


def expected(op: str, *args: Any, **params: Any) -> Any:
    with np.errstate(all="ignore"):
        return rules.impl[getattr(lax, f"{op}_p")](np, *args, **params)


def check_operations(dtype: np.dtype[Any], *, compiled: bool) -> None:
    x, y = pairs(dtype)
    kind = {"b": "b", "i": "i", "u": "i"}.get(dtype.kind, "f")
    ops = [op for op in OPS[kind] if not (dtype == BF16 and op == "rem")]
    results = run_operations(dtype, ops, compiled)
    for op, out in results.items():
        right = expected(op, x) if op in SINGLE else expected(op, x, y)
        fine = usable(op, x, y)
        assert out.dtype == right.dtype
        same = (out == right) & (np.signbit(out.astype(F64)) == np.signbit(right.astype(F64)))
        assert np.all(same | ((out != out) & (right != right)) | ~fine), op


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
)
def test_operations_mean_what_the_primitives_mean(dtype):
    check_operations(np.dtype(dtype), compiled=False)


def test_operations_on_bfloat16():
    check_operations(BF16, compiled=False)


@pytest.mark.parametrize("dtype", ["?", "i4", "f4"])
def test_operations_mean_the_same_to_numba(dtype):
    check_operations(np.dtype(dtype), compiled=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "u4", "i8", "u8", "f8"])
def test_operations_mean_the_same_to_numba_on_the_other_dtypes(dtype):
    check_operations(np.dtype(dtype), compiled=True)


def apply(op: str, *args: Any, dtype: Any = None, compiled: bool = False, **params: Any) -> Any:
    """One operation on arrays."""
    args = tuple(np.asarray(x) for x in args)
    build = Builder()
    with build.loop(0):
        loads = [build.load(n, x.dtype) for n, x in enumerate(args)]
        out = build.let(op, *loads, dtype=dtype, **params)
        build.store(len(args), out)
    operands = (*(view(x.dtype, UNIT) for x in args), view(out.dtype, UNIT, written=True))
    result = np.zeros(len(args[0]), out.dtype)
    run_source(Kernel(1, operands, (), build.body), [*args, result], compiled=compiled)
    return result


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("f8", "f4"),
        ("f4", "i1"),
        ("i8", "i1"),
        ("i4", "u8"),
        ("?", "f4"),
        ("f4", "?"),
        ("u8", "f4"),
    ],
)
def test_conversions(source, target):
    x = np.array([0, 1, 3, 100.7] if source[0] == "f" else [0, 1, 3, 2**31 - 1]).astype(source)
    right = x.astype(target)
    assert apply("convert", x, dtype=target).tobytes() == right.tobytes()


def test_conversions_of_bfloat16():
    x = np.array([1.5, -2, math.inf], F32)
    half = apply("convert", x, dtype=BF16)
    assert half.tolist() == x.tolist()
    assert apply("convert", half, dtype=F32).tolist() == x.tolist()


@pytest.mark.parametrize("compiled", [False, True])
def test_bitcasts(compiled):
    x = np.array([1.0, -0.0, math.inf], F32)
    bits = apply("bitcast", x, dtype=np.int32, compiled=compiled)
    assert bits.tobytes() == x.tobytes()


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-45, 3.4028235e38, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64])
def test_constants_are_exact(value, dtype):
    build = Builder()
    build.store(0, build.const(value, dtype))
    kernel = Kernel(0, (Operand(dtype, (), written=True),), (), build.body)
    out = np.zeros((), dtype)
    run_source(kernel, [out])
    with np.errstate(all="ignore"):
        assert out.tobytes() == np.array(value).astype(dtype).tobytes()


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("compiled", [False, True])
def test_fma_rounds_once(dtype, compiled):
    numbers = np.random.default_rng(1)
    a, b = numbers.normal(size=(2, 300)).astype(dtype)
    c = -(a * b) * (1 + numbers.choice([0, 1e-3, 1], 300)).astype(dtype)
    c = np.where(numbers.random(300) < 0.3, numbers.normal(size=300).astype(dtype), c)
    # halfway between two doubles in the sum, and then a rest
    a[0], b[0], c[0] = 1 + 2.0**-20, 1 + 2.0**-4, 2.0**-60
    out = apply("fma", a, b, c, compiled=compiled)
    for x, y, z, result in zip(a.tolist(), b.tolist(), c.tolist(), out, strict=True):
        error = abs(Fraction(x) * Fraction(y) + Fraction(z) - Fraction(float(result)))
        for neighbour in (np.nextafter(result, dtype.type(s)) for s in (-np.inf, np.inf)):
            exact = Fraction(x) * Fraction(y) + Fraction(z)
            assert error <= abs(exact - Fraction(float(neighbour)))


UNARY = ["exp", "exp2", "expm1", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh"]
UNARY += ["tanh", "asinh", "atanh", "cbrt", "sign", "square", "is_finite", "erf", "erfc", "rsqrt"]
UNARY += ["logistic", "log", "log1p", "acosh", "lgamma"]


@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64])
@pytest.mark.parametrize("op", UNARY)
def test_functions(op, dtype):
    x = np.array([0.0, 0.1, 0.9, -0.7, 1.0]).astype(dtype)
    if op in ("log", "log1p", "rsqrt"):
        x = abs(x)
    if op == "acosh":
        x = x + dtype.type(2)
    right = expected(op, x)
    out = apply(op, x, dtype=right.dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            out.astype(F64),
            right.astype(F64),
            rtol=4 * float(ml_dtypes.finfo(dtype).eps),
            atol=1e-15,
        )


@pytest.mark.parametrize("op", ["pow", "atan2", "nextafter"])
def test_functions_of_two(op):
    x, y = np.array([0.5, 1.5, 2.0], F32), np.array([2.0, -1.5, 0.0], F32)
    np.testing.assert_allclose(apply(op, x, y), expected(op, x, y), rtol=1e-6)


def test_integer_exponents():
    x, y = np.array([0.5, 1.5], F32), np.array([2, -1], np.int32)
    assert apply("pow", x, y, dtype=F32).tolist() == expected("pow", x, y).tolist()


@pytest.mark.parametrize(
    ("y", "dtype"), [(0, "f4"), (1, "f4"), (2, "f4"), (7, "f4"), (-3, "f4"), (0, "i4"), (7, "i4")]
)
def test_integer_powers(y, dtype):
    x = np.array([3, -7, 1000], dtype)
    assert apply("integer_pow", x, y=y).tobytes() == expected("integer_pow", x, y=y).tobytes()


@pytest.mark.parametrize("method", [0, 1])
def test_rounding(method):
    x = np.array([0.5, -0.5, 2.5, 0.49999997, -math.inf, math.nan, -0.0], F32)
    out = apply("round", x, rounding_method=method)
    assert out.tobytes() == expected("round", x, rounding_method=method).tobytes()


def test_clamp():
    low, x, high = np.array([[0, 0, 0], [-1, 0.5, math.nan], [1, 1, 1]], F32)
    out = apply("clamp", low, x, high)
    assert out.tobytes() == expected("clamp", low, x, high).tobytes()


def test_poles_of_lgamma():
    assert apply("lgamma", np.array([0.0, -1.0, math.inf])).tolist() == [math.inf] * 3
    assert scipy.special.gammaln(-1.0) == math.inf


@pytest.mark.parametrize(("op", "extreme"), [("fast_max", 2), ("fast_min", 1)])
def test_fast_extrema(op, extreme):
    x, y = np.array([1.0, 2.0], F32), np.array([2.0, 1.0], F32)
    assert apply(op, x, y).tolist() == [extreme, extreme]


def test_functions_mean_the_same_to_numba():
    build, ops = Builder(), [op for op in UNARY if op not in ("is_finite", "acosh")]
    with build.loop(0):
        x = build.load(0, F32)
        for number, op in enumerate(ops):
            build.store(1 + number, build.let(op, x))
    outs = [np.zeros(3, F32) for _ in ops]
    kernel = Kernel(
        1, (view(F32, UNIT), *[view(F32, UNIT, written=True)] * len(ops)), (), build.body
    )
    x = np.array([0.1, 0.5, 0.9], F32)
    run_source(kernel, [x, *outs], compiled=True)
    for op, out in zip(ops, outs, strict=True):
        np.testing.assert_allclose(out, expected(op, x), rtol=1e-6, err_msg=op)


# --- running ------------------------------------------------------------------------------------


def shifted() -> Kernel:
    """Each element of a matrix is the one two elements further on."""
    build = Builder()
    two = build.const(2, I64)
    with build.loop(0), build.loop(1):
        build.store(1, build.load(0, F32, offset=two))
    operands = (view(F32, ANY, UNIT), view(F32, ANY, ANY, written=True))
    return Kernel(2, operands, (), build.body)


@pytest.mark.parametrize("compiled", [False, True])
def test_offsets_count_elements_of_the_memory(compiled):
    x, out = np.arange(12, dtype=F32).reshape(3, 4), np.zeros((2, 2), F32).T
    run_source(shifted(), [Flat(x.ravel(), 1, (4, 1)), out], extents=[2, 2], compiled=compiled)
    assert out.tolist() == [[3, 4], [7, 8]]


def test_an_array_is_the_memory_that_it_spans():
    x = np.arange(6, dtype=F32)
    flat = Flat.of(x[::-2])
    assert flat.memory.tolist() == [1, 2, 3, 4, 5]
    assert (flat.start, flat.strides) == (4, (-2,))
    assert flat.view(Kernel(1, (view(F32, ANY),), (), ()), 0, [3]).tolist() == [5, 3, 1]


@pytest.mark.parametrize("dtype", [F16, BF16])
def test_numba_has_no_narrow_floats(dtype):
    build = Builder()
    with build.loop(0):
        build.store(0, build.const(1, dtype))
    kernel = Kernel(1, (Operand(dtype, (UNIT,), written=True),), (), build.body)
    with pytest.raises(CompileError, match=f"does not compute with {dtype}"):
        run_source(kernel, [np.zeros(2, dtype)], compiled=True)


def test_operations_without_python():
    build = Builder()
    build.let("digamma", build.const(1, F32))
    with pytest.raises(CompileError, match="no Python for the operation 'digamma'"):
        kernel_source(Kernel(0, (), (), build.body))


def test_the_function_has_the_name_that_it_is_given():
    kernel, _ = softmax()
    softmax_ = compile_source(kernel_source(kernel, "softmax"), "softmax")
    x, out = np.random.default_rng(2).normal(size=(2, 5, 37)).astype(F32)
    softmax_(x, out, 5, 37)
    np.testing.assert_allclose(out, scipy.special.softmax(x, axis=1), rtol=1e-6)
