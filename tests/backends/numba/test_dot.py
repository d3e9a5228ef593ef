"""Contractions of every layout and dtype against their reference implementation."""

import ctypes
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.copying import copy_step
from funcflow.backends.loop_check import check_kernel
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba import blas, blas_library, kernels, onednn, runtime
from funcflow.backends.numba.dot import LOWERINGS
from funcflow.backends.planner import Planner
from funcflow.backends.program import Buffer, HostCall, Program, Routine, View
from funcflow.backends.schedule import grain
from funcflow.core import rules
from funcflow.lax.dot import dot_general_p

FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_libraries: dict[str, runtime.Library] = {}


def function_of(work: Kernel | Routine) -> Any:
    symbol = kernels.symbol_of(work)
    if symbol not in _libraries:
        if isinstance(work, Kernel):
            check_kernel(work)
        text = kernels.batch_text({symbol: work})
        _libraries[symbol] = runtime.load_object(runtime.compile_module(text))
    return FUNCTION(_libraries[symbol].address(symbol))


def execute(program: Program, arguments: list[np.ndarray[Any, Any]]) -> list[Any]:
    """Run a program step by step; what is split is run in parts, the last part first."""
    memory: dict[Buffer, np.ndarray[Any, Any]] = {}
    for view, value in (
        *zip(program.arguments, arguments, strict=True),
        *program.constants,
    ):
        memory[view.buffer] = np.ascontiguousarray(value).reshape(-1).view(np.uint8)

    def bytes_of(view: View) -> np.ndarray[Any, Any]:
        if view.buffer not in memory:  # what is not written shows
            memory[view.buffer] = np.full(view.buffer.nbytes, 0xA5, np.uint8)
        return memory[view.buffer]

    for step in program.steps:
        assert not isinstance(step.work, HostCall), step.note
        views = (*step.reads, *step.writes)
        starts = [bytes_of(v).ctypes.data + v.offset * v.dtype.itemsize for v in views]
        buffers = (ctypes.c_void_p * len(views))(*starts)
        params = (ctypes.c_int64 * max(len(step.params), 1))(*step.params)
        function = function_of(step.work)
        middle = step.extent // 2 if step.work.split else 0
        for lo, hi in ((middle, step.extent), (0, middle)):
            function(ctypes.addressof(buffers), ctypes.addressof(params), lo, hi)
    return [bytes_of(v).view(v.dtype)[: v.size].reshape(v.shape) for v in program.outputs]


def planned(f: Callable[..., Any], *avals: Any) -> Program:
    """The program of one `dot_general` after transposes, which are views."""
    closed = ff.make_jaxpr(f)(*avals)

    def unexpected(var: Any) -> View:
        raise AssertionError(f"{var} has no view")

    plan = Planner(closed, copy_step, unexpected)
    for eqn in closed.jaxpr.eqns:
        if eqn.primitive.name == "transpose":
            view = plan.operand(eqn.invars[0])
            plan.views[eqn.outvars[0]] = view.transpose(eqn.params["permutation"])
        elif eqn.primitive.name == "broadcast_in_dim":
            view, params = plan.operand(eqn.invars[0]), eqn.params
            axes = params["broadcast_dimensions"]
            plan.views[eqn.outvars[0]] = view.broadcast(params["shape"], axes)
        else:
            LOWERINGS[eqn.primitive](plan, eqn)
    return plan.finish()


def sample(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    if dtype.kind == "b":
        return rng.random(shape) < 0.3
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if dtype.kind == "c" else x).astype(dtype)


def check(
    numbers: Any,
    lhs: Any,
    rhs: Any,
    lhs_order: Any = None,
    rhs_order: Any = None,
    preferred: Any = None,
) -> Program:
    """Compare with `impl`. Operands lie in memory as given, and are seen in another order."""

    def f(x: Any, y: Any) -> Any:
        x = x if lhs_order is None else ff.lax.transpose(x, lhs_order)
        y = y if rhs_order is None else ff.lax.transpose(y, rhs_order)
        return ff.lax.dot_general(x, y, numbers, preferred_element_type=preferred)

    program = planned(f, lhs, rhs)
    (out,) = execute(program, [lhs, rhs])
    x = lhs if lhs_order is None else lhs.transpose(lhs_order)
    y = rhs if rhs_order is None else rhs.transpose(rhs_order)
    canonical = tuple(tuple(map(tuple, pair)) for pair in numbers)
    params = {"dimension_numbers": canonical, "precision": None}
    params["preferred_element_type"] = None if preferred is None else np.dtype(preferred)
    with np.errstate(all="ignore"):
        expected = rules.impl[dot_general_p](np, x, y, **params)
    assert out.dtype == expected.dtype and out.shape == expected.shape
    if out.dtype.kind in "biu":
        np.testing.assert_array_equal(out, expected)
    else:
        depth = int(np.prod([x.shape[i] for i in numbers[0][0]]))
        magnitude = np.abs(x).astype("d"), np.abs(y).astype("d")
        params["preferred_element_type"] = None
        scale = rules.impl[dot_general_p](np, *magnitude, **params)
        eps = float(ml_dtypes.finfo(out.dtype).eps)
        wide = "D" if out.dtype.kind == "c" else "d"
        error = np.abs(out.astype(wide) - expected.astype(wide))
        sums = eps if out.dtype.itemsize == 2 else eps * (depth + 1)
        assert np.all(error <= sums * scale + 1e-300)
    return program


def notes(program: Program) -> list[str]:
    return [step.note for step in program.steps]


MATMUL = (((1,), (0,)), ((), ()))
BATCHED = (((2,), (1,)), ((0,), (0,)))


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
@pytest.mark.parametrize("lhs_order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("rhs_order", [(0, 1), (1, 0)])
def test_transposed_matrices_take_no_copy(dtype: str, lhs_order: Any, rhs_order: Any) -> None:
    rng = np.random.default_rng(0)
    lhs, rhs = sample(rng, (37, 50), dtype), sample(rng, (50, 41), dtype)
    lhs = np.ascontiguousarray(lhs.transpose(lhs_order))
    rhs = np.ascontiguousarray(rhs.transpose(rhs_order))
    (note,) = notes(check(MATMUL, lhs, rhs, lhs_order, rhs_order))
    assert "37x41x50" in note and "no copy" in note
    assert ("A transposed" in note) == (lhs_order == (1, 0))
    assert ("B transposed" in note) == (rhs_order == (1, 0))


@pytest.mark.parametrize("size", [96, 130, 200])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_large_products_are_split_into_tiles(size: int, dtype: str) -> None:
    rng = np.random.default_rng(1)
    lhs, rhs = sample(rng, (size, size), dtype), sample(rng, (size, size + 3), dtype)
    (step,) = check(MATMUL, lhs, rhs).steps
    assert step.extent > 1


@pytest.mark.skipif(onednn.library() is None, reason="needs the wheel of oneDNN")
@pytest.mark.parametrize(("rows", "exchanged"), [(11, False), (12, True), (64, True), (65, False)])
@pytest.mark.parametrize("lhs_order", [(0, 1), (1, 0)])
def test_few_rows_by_a_large_transposed_matrix(rows: int, exchanged: bool, lhs_order: Any) -> None:
    rng = np.random.default_rng(2)
    lhs, rhs = sample(rng, (rows, 530), "f"), sample(rng, (515, 530), "f")
    lhs = np.ascontiguousarray(lhs.transpose(lhs_order))
    found = notes(check(MATMUL, lhs, rhs, lhs_order, (1, 0)))
    exchanged = exchanged and lhs_order == (0, 1)
    assert ("factors exchanged" in found[0]) == exchanged
    assert [note.split(",")[0] for note in found[1:]] == (
        ["copy: the product of exchanged factors"] if exchanged else []
    )


@pytest.mark.skipif(onednn.library() is None, reason="needs the wheel of oneDNN")
def test_factors_are_exchanged_where_several_axes_are_rows() -> None:
    rng = np.random.default_rng(3)
    lhs, rhs = sample(rng, (4, 5, 530), "f"), sample(rng, (515, 530), "f")
    found = notes(check((((2,), (1,)), ((), ())), lhs, rhs))
    assert len(found) == 2 and "factors exchanged" in found[0]


# numbers, shapes in memory, orders in which they are seen, and a word of the note
LAYOUTS = {
    "batched": (BATCHED, (3, 20, 30), (3, 30, 25), None, None, "3 times, no copy"),
    "attention scores": (
        (((3,), (3,)), ((0, 1), (0, 1))),
        (2, 24, 3, 16),
        (2, 28, 3, 16),
        (0, 2, 1, 3),
        (0, 2, 1, 3),
        "sgemm 24x28x16 by cblas, 6 times, B transposed, no copy",
    ),
    "attention values": (
        (((3,), (2,)), ((0, 1), (0, 1))),
        (2, 3, 24, 28),
        (2, 28, 3, 16),
        None,
        (0, 2, 1, 3),
        "sgemm 24x16x28 by cblas, 6 times, no copy",
    ),
    "attention, batch axes apart": (
        (((3,), (3,)), ((0, 2), (0, 2))),
        (2, 24, 3, 16),
        (2, 28, 3, 16),
        None,
        None,
        "B transposed, no copy",
    ),
    "dense layer": (
        (((2,), (0,)), ((), ())),
        (4, 10, 30),
        (30, 20),
        None,
        None,
        "sgemm 40x20x30 by cblas, no copy",
    ),
    "gradient of its weights": (
        (((0, 1), (0, 1)), ((), ())),
        (4, 10, 30),
        (4, 10, 20),
        None,
        None,
        "sgemm 30x20x40 by cblas, A transposed, no copy",
    ),
    "gradient of its inputs": (
        (((2,), (1,)), ((), ())),
        (4, 10, 20),
        (30, 20),
        None,
        None,
        "sgemm 40x30x20 by cblas, B transposed, no copy",
    ),
    "contracted in another order": (
        (((1, 0), (1, 0)), ((), ())),
        (8, 9, 20),
        (8, 9, 25),
        None,
        None,
        "sgemm 20x25x72 by cblas, A transposed, no copy",
    ),
    "contracted apart": (
        (((0, 2), (0, 1)), ((), ())),
        (8, 20, 9),
        (8, 9, 25),
        None,
        None,
        "A copied",
    ),
    "both copied": (
        (((0, 2), (0, 2)), ((), ())),
        (8, 20, 9),
        (8, 25, 9),
        None,
        None,
        "A and B copied",
    ),
    "rows apart": (
        (((1,), (0,)), ((), ())),
        (33, 40, 34),
        (40, 36),
        (0, 1, 2),
        None,
        "sgemm 34x36x40 by cblas, 33 times, A transposed, no copy",
    ),
    "five batch axes": (
        (((6,), (5,)), ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0))),
        (2, 2, 2, 2, 2, 20, 16),
        (2, 2, 2, 2, 2, 16, 18),
        None,
        None,
        "32 times, B copied",
    ),
    "five batch axes, depth together": (
        (((6,), (6,)), ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0))),
        (2, 2, 2, 2, 2, 20, 16),
        (2, 2, 2, 2, 2, 18, 16),
        None,
        None,
        "B transposed, B copied",
    ),
    "batch axis innermost": (
        (((0,), (0,)), ((2,), (2,))),
        (30, 20, 4),
        (30, 25, 4),
        None,
        None,
        "A and B copied",
    ),
}


@pytest.mark.parametrize("case", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(case: Any) -> None:
    numbers, lhs, rhs, lhs_order, rhs_order, word = case
    rng = np.random.default_rng(2)
    operands = sample(rng, lhs, "f"), sample(rng, rhs, "f")
    program = check(numbers, *operands, lhs_order, rhs_order)
    assert word in notes(program)[-1]
    assert ("no copy" in notes(program)[-1]) == (len(program.steps) == 1)


def test_products_share_a_copy():
    """As the gradients of a projection do, of which one sums over what is free in the other."""

    def f(x, g, w):
        x, g = x.reshape(10, 9, 20), fnp.transpose(g, (1, 2, 0, 3))
        return fnp.einsum("btd,bthk->dhk", x, g), fnp.einsum("bthk,dhk->btd", g, w)

    rng = np.random.default_rng(0)
    shapes = (10, 9, 20), (4, 10, 9, 16), (20, 4, 16)
    args = [rng.standard_normal(shape, np.float32) for shape in shapes]
    text = ff.jit(f).lower(*args).as_text("program")
    assert text.count("[copy]") == 1
    assert text.count(" copied") == 2
    for found, wanted in zip(ff.jit(f)(*args), f(*args), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["f", "d", "i4", "i1", "u8", "?", "e", ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    ("numbers", "lhs", "rhs"),
    [
        ((((0,), (0,)), ((), ())), (300,), (300,)),
        ((((1,), (0,)), ((), ())), (40, 70), (70,)),
        ((((0,), (0,)), ((), ())), (70, 40), (70,)),
        ((((0,), (1,)), ((), ())), (70,), (40, 70)),
        (BATCHED, (50, 4, 4), (50, 4, 4)),
        (BATCHED, (7, 8, 3), (7, 3, 9)),
        ((((1, 2), (1, 2)), ((0,), (0,))), (5, 6, 7), (5, 6, 7)),
        ((((0, 2), (1, 0)), ((), ())), (6, 5, 4), (4, 6)),
        ((((), ()), ((), ())), (5, 6), (7,)),
        ((((), ()), ((), ())), (), ()),
        ((((1,), (0,)), ((), ())), (5, 1), (1, 7)),
        (MATMUL, (30, 31), (31, 29)),
    ],
)
def test_kernels(numbers: Any, lhs: Any, rhs: Any, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    check(numbers, sample(rng, lhs, dtype), sample(rng, rhs, dtype))


@pytest.mark.parametrize(
    ("dtype", "preferred"),
    [("e", "f"), ("f", "d"), ("i1", "i4"), ("u1", "u4"), ("i2", "f"), ("d", "f"), ("f", "e")],
)
@pytest.mark.parametrize("size", [6, 20])
def test_preferred_dtypes(dtype: str, preferred: str, size: int) -> None:
    rng = np.random.default_rng(4)
    lhs, rhs = sample(rng, (size, size), dtype), sample(rng, (size, size), dtype)
    check(MATMUL, lhs, rhs, (1, 0), preferred=preferred)


@pytest.mark.parametrize("dtype", ["f", "D", "i4", "?"])
def test_sums_of_nothing_are_zero(dtype: str) -> None:
    program = check(MATMUL, np.zeros((3, 0), dtype), np.zeros((0, 4), dtype))
    assert len(program.steps) == 1


@pytest.mark.parametrize("dtype", ["f", "D", "i4"])
def test_empty_results_take_no_step(dtype: str) -> None:
    assert not check(MATMUL, np.zeros((0, 3), dtype), np.zeros((3, 4), dtype)).steps


def test_broadcast_batches_are_not_repeated() -> None:
    rng = np.random.default_rng(5)
    lhs, rhs = sample(rng, (4, 20, 30), "f"), sample(rng, (30, 25), "f")

    def f(x: Any, y: Any) -> Any:
        y = ff.lax.broadcast_in_dim(y, (4, 30, 25), (1, 2))
        return ff.lax.dot_general(x, y, BATCHED)

    program = planned(f, lhs, rhs)
    assert "4 times, no copy" in notes(program)[0]
    np.testing.assert_allclose(execute(program, [lhs, rhs])[0], lhs @ rhs, rtol=1e-4, atol=1e-5)


def test_complex_without_a_contraction_is_left_to_python() -> None:
    x = np.ones((2,), "F")
    (step,) = planned(lambda x, y: ff.lax.dot_general(x, y, (((), ()), ((), ()))), x, x).steps
    assert isinstance(step.work, HostCall) and "complex" in step.note


def test_without_a_blas_python_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_library, "library", lambda: None)
    x = np.ones((20, 20), "f")
    (step,) = planned(ff.lax.dot, x, x).steps
    assert isinstance(step.work, HostCall) and "no BLAS" in step.note


def test_sizes_beyond_those_of_blas_are_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "gemm_routine", lambda gemm: None)
    x = np.ones((20, 20), "F")
    (step,) = planned(ff.lax.dot, x, x).steps
    assert isinstance(step.work, HostCall) and "sizes" in step.note


def test_nan_and_infinity_spread_as_in_sums() -> None:
    lhs = np.zeros((20, 20), "f")
    rhs = np.ones((20, 20), "f")
    lhs[3, 4], lhs[5, 6], rhs[7, 8] = np.nan, np.inf, np.inf
    (out,) = execute(planned(ff.lax.dot, lhs, rhs), [lhs, rhs])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, lhs @ rhs)


@pytest.mark.parametrize(
    ("dtype", "rhs_order", "times"),
    [("f", (0, 1), 4), ("d", (0, 1), 2), ("i1", (0, 1), 4), ("f", (1, 0), 2), ("d", (1, 0), 1)],
)
def test_what_is_worth_a_thread_grows_with_the_lanes(
    dtype: str, rhs_order: tuple[int, int], times: int
) -> None:
    k, n = 100, 400
    rhs = np.zeros((k, n) if rhs_order == (0, 1) else (n, k), dtype)
    (step,) = check(MATMUL, np.zeros((1, k), dtype), rhs, None, rhs_order).steps
    assert step.grain == times * grain([n, k])


@pytest.mark.parametrize(
    ("m", "k", "n", "rhs_order", "in_kernel"),
    [
        (500, 1, 3, (0, 1), True),
        (500, 1, 300, (1, 0), True),
        (500, 2, 64, (0, 1), True),
        (500, 2, 64, (1, 0), False),  # nothing lies along the columns
        (500, 2, 6, (0, 1), False),
        (500, 3, 64, (0, 1), False),
    ],
)
def test_shallow_products_are_kernels(
    m: int, k: int, n: int, rhs_order: tuple[int, int], in_kernel: bool
) -> None:
    rng = np.random.default_rng(5)
    lhs, rhs = sample(rng, (m, k), "f"), sample(rng, (k, n) if rhs_order == (0, 1) else (n, k), "f")
    (step,) = check(MATMUL, lhs, rhs, None, rhs_order).steps
    assert isinstance(step.work, Kernel) == in_kernel
