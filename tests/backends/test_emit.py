"""Kernels of groups compute what the equations do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.copying import copy_step
from funcflow.backends.emit import BLOCK_ELEMENTS
from funcflow.backends.loop_ir import ANY, Kernel, Loop, Operand, statements
from funcflow.backends.lower import lower_program
from funcflow.backends.pipeline import prepare
from funcflow.backends.places import parameters
from funcflow.backends.program import Program, dense_view
from funcflow.core.interpret import BufferProgram

RNG = np.random.default_rng(0)
X = RNG.integers(-9, 10, (5, 37)).astype("f4")


def compare(run_program, f, *args):
    """Bit for bit, but for the sign of zero in sums."""
    closed = prepare(ff.make_jaxpr(f)(*args))["dce"]
    expected = BufferProgram(closed)([np.asarray(x) for x in args])
    got = run_program(closed, *args)
    for a, b in zip(expected, got, strict=True):
        a = np.asarray(a)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(b, a)
    return lower_program(closed, {}).steps


def kernel_text(f, *args):
    (step,) = lower_program(prepare(ff.make_jaxpr(f)(*args))["dce"], {}).steps
    return step.work.text


def test_kernels_in_words(golden):
    def softmax(x):
        e = lax.sub(x, fnp.max(x, -1, keepdims=True))
        return e / fnp.sum(e, -1, keepdims=True)

    functions = {
        "scaled": (lambda x, y: x * 3 + y, X, X),
        "transposed": (lambda x, y: x.T - y, X, X.T.copy()),
        "rows": (softmax, X),
        "columns": (lambda x: fnp.max(x, 0), X),
        "blocks": (lambda x: lax.reduce_sum(x, (0,)), np.ones(100_000, "f4")),
    }
    texts = []
    for name, (f, *args) in functions.items():
        for step in lower_program(prepare(ff.make_jaxpr(f)(*args))["dce"], {}).steps:
            texts.append(f"-- {name}, called with {step.params}\n{step.work.text}\n")
    golden("emit.txt", "\n".join(texts))


def test_numbers_are_parameters():
    """A kernel is compiled once for all of them, and for all shapes."""
    other = np.ones((8, 64), "f4")
    assert kernel_text(lambda x: x * 3 + 5, X) == kernel_text(lambda x: x * 7 + 11, other)
    assert kernel_text(lambda x: x * 3, X) != kernel_text(lambda x: x + 3, X)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, 3.5])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_numbers_keep_their_bits(run_program, value, dtype):
    value = np.asarray(value, dtype)
    closed = ff.make_jaxpr(lambda p: lax.select(p, value, dtype_zero(dtype)))(
        np.array([True, False])
    )
    (got,) = run_program(closed, np.array([True, False]))
    assert got.tobytes() == np.array([value, dtype_zero(dtype)]).tobytes()


def dtype_zero(dtype):
    return np.zeros((), dtype)


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, -1, 0, 2**40])
def test_integers_keep_their_bits(run_program, value):
    with ff.enable_x64():
        number = np.int64(value)
        (got,) = run_program(
            ff.make_jaxpr(lambda x: lax.add(x, number))(np.zeros(3, "i8")), np.zeros(3, "i8")
        )
    assert got.tolist() == [value] * 3


# --- reductions -----------------------------------------------------------------------------------

REDUCTIONS = [lax.reduce_sum, lax.reduce_max, lax.reduce_min]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_axes(run_program, reduction, axes):
    x = RNG.integers(-9, 10, (3, 17, 20)).astype("f4")
    compare(run_program, lambda x: reduction(x, axes), x)
    compare(run_program, lambda x: reduction(x * 2, axes) + 1, x)


@pytest.mark.parametrize(
    "shape", [(BLOCK_ELEMENTS + 1,), (3 * BLOCK_ELEMENTS,), (7, 9001), (9001, 7), (999, 70)]
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_blocks(run_program, shape, reduction):
    x = RNG.integers(-9, 10, shape).astype("f4")
    steps = compare(run_program, lambda x: reduction(x, (0,)), x)
    assert len(steps) == 2 or shape == (7, 9001)
    compare(run_program, lambda x: reduction(lax.abs(x), (len(shape) - 1,)), x)
    compare(run_program, lambda x: x - reduction(x, tuple(range(x.ndim))), x)


def test_blocks_of_two_reductions_and_of_what_is_stored(run_program):
    x = RNG.integers(-9, 10, 50_000).astype("f4")

    def f(x):
        y = lax.abs(x) + lax.iota("float32", 50_000) * 0
        return y, lax.reduce_sum(y, (0,)), lax.reduce_max(y, (0,))

    compare(run_program, f, x)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_blocks_of_narrow_floats(run_program, reduction, dtype):
    x = lax.convert_element_type(RNG.integers(-9, 10, 50_000), dtype)
    compare(run_program, lambda x: reduction(x, (0,)), x)


def test_views_of_the_results_of_blocks_wait_for_all_blocks(run_program):
    x = RNG.standard_normal((1, 50_000)).astype("f4")
    compare(
        run_program,
        lambda x: (lax.broadcast_in_dim(lax.reduce_max(x, (1,)), x.shape, (1,)), lax.neg(x)),
        x,
    )


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("function", [lax.argmax, lax.argmin])
def test_the_first_of_the_best_is_found(run_program, function, axis):
    ties = RNG.integers(0, 3, (33, 70)).astype("f4")
    ties[4, 9] = ties[20, 9] = np.nan
    compare(run_program, lambda x: function(x, axis, np.int32), ties)
    compare(run_program, lambda x: function(x, axis, np.int32), np.nan_to_num(ties).astype("i4"))
    compare(run_program, lambda x: function(x > 1, axis, np.int32), ties)


def test_sums_of_negative_zeros_are_positive(run_program):
    for shape in [(3,), (3, 20), (1,)]:
        closed = ff.make_jaxpr(lambda x: lax.reduce_sum(x, (0,)))(np.zeros(shape, "f4"))
        (got,) = run_program(closed, np.full(shape, -0.0, "f4"))
        assert not np.signbit(got).any()


def test_rows_are_swept_as_often_as_reductions_depend_on_each_other(run_program):
    def f(x):
        a = x - lax.reduce_max(x, (1,))[:, None]
        b = a - lax.reduce_min(a, (1,))[:, None]
        return b + lax.reduce_sum(b, (1,))[:, None], lax.reduce_max(b, (1,))

    (step,) = compare(run_program, f, X)
    assert step.work.text.count("for i1") == 4


# --- lanes ----------------------------------------------------------------------------------------


def lanes_of(f, *args):
    """The lanes of the vector loops, in order."""
    (step,) = lower_program(prepare(ff.make_jaxpr(f)(*args))["dce"], {}).steps
    return [s.lanes for s in statements(step.work.body) if isinstance(s, Loop) and s.lanes > 1]


def test_each_sweep_has_lanes_of_its_own():
    def logsumexp(x):
        return fnp.sum(fnp.exp(x - fnp.max(x, -1, keepdims=True)), -1)

    assert lanes_of(logsumexp, np.ones((4, 100), "f4")) == [32, 16]


def test_vectors_are_no_wider_than_a_short_axis():
    def logsumexp(x):
        return fnp.sum(fnp.exp(x - fnp.max(x, -1, keepdims=True)), -1)

    def scaled(x, y):
        return x * y[:, None]

    assert lanes_of(logsumexp, np.ones((2000, 10), "f4")) == [16, 16]
    assert lanes_of(logsumexp, np.ones((2000, 20), "f4")) == [32, 16]
    assert lanes_of(logsumexp, np.ones((20, 10), "f4")) == [32, 16]  # one kernel for all extents
    assert lanes_of(scaled, np.ones((4000, 3), "f4"), np.ones(4000, "f4")) == [4]


def test_columns_are_as_wide_as_registers_can_carry():
    def sums(shape, dtype):
        return lanes_of(lambda x: lax.reduce_sum(x, (0,)), np.ones(shape, dtype))

    assert sums((30, 1000), "f4") == [128]
    assert sums((30, 1000), "f8") == [64]
    assert sums((90, 60), "f4") == [64]
    assert sums((300, 20), "f4") == [32]
    assert sums((50, 60), "f4") == [32]  # so few elements are not worth a kernel of their own
    positions = lanes_of(lambda x: fnp.argmax(x, 0), np.ones((30, 1000), "f4"))
    assert positions == [64]


def test_rows_that_become_columns_are_wide():
    def transposed(*shape):
        return lanes_of(lambda x: fnp.ravel(x.T), np.ones(shape, "f4"))

    assert transposed(1000, 50) == [64]
    assert transposed(20, 50) == [32]


# --- views ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.T + 1,
        lambda x: x[::-1] * 2,
        lambda x: x[1:4, 3::5] - x[0:3, 1::5][:, :7],
        lambda x: lax.reshape(x * 2, (37, 5)) + 1,
        lambda x: lax.reshape(x.T, (5, 37)) + 1,
        lambda x: lax.broadcast_in_dim(x, (5, 2, 37), (0, 2)) + x[:, None] * 2,
        lambda x: x + lax.broadcasted_iota("float32", (5, 37), 1),
        lambda x: (x, x.T, x + 0, lax.reshape(x, (185,)), x),
        lambda x: fnp.where(fnp.tril(fnp.ones((37, 37), dtype=bool)), x[:, None], -1),
        lambda x: fnp.concatenate([x, x.T[:5, :]], 1),
        lambda x: x[0, 0] * 2 + x[1, 1],
    ],
)
def test_views(run_program, f):
    compare(run_program, f, X)


@pytest.mark.parametrize("dtype", ["c8", "c16", "?", "i1", "f2", "u8"])
def test_copies_of_any_dtype(run_program, dtype):
    x = dense_view("argument", (3, 5), dtype)
    out = dense_view("output", (5, 3), dtype)
    program = Program([x], [], [out], [copy_step(x.transpose((1, 0)), out)])
    array = RNG.integers(0, 2, (3, 5)).astype(dtype)
    (got,) = run_program.run(program, array)
    np.testing.assert_array_equal(got, array.T)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_random_programs(run_program, programs, seed):
    closed = prepare(programs.random_jaxpr(seed))["dce"]
    args = programs.arguments(seed)
    expected = BufferProgram(closed)(args)
    for a, b in zip(expected, run_program(closed, *args), strict=True):
        np.testing.assert_array_equal(b, a)


@pytest.mark.slow
@given(seed=st.integers(0, 10**9))
@settings(max_examples=1500, deadline=None)
def test_many_random_programs(run_program, programs, seed):
    closed = prepare(programs.random_jaxpr(seed, 25))["dce"]
    args = programs.arguments(seed)
    expected = BufferProgram(closed)(args)
    for a, b in zip(expected, run_program(closed, *args), strict=True):
        np.testing.assert_array_equal(b, a)


def test_parameters_are_laid_out_as_the_kernel_says():
    f8 = np.dtype("f8")
    operands = (Operand(f8, (1, ANY)), Operand(f8, (ANY, 1), written=True))
    kernel = Kernel(2, operands, (np.dtype("f4"), f8), (), ragged=True)
    scalars = [np.float32(1), np.float64(-2)]
    assert parameters(kernel, [7, 8], [[1, 30], [40, 1]], scalars, tail=5) == (
        7, 8, 5, 30, 40, int(np.float32(1).view("i4")), int(np.float64(-2).view("i8")),
    )  # fmt: skip
