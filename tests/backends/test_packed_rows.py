"""Kernels of short rows take many of them at a time, and compute the same."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.lower import lower_program
from funcflow.backends.packed_rows import packed_rows, table
from funcflow.backends.passes.groups import Group
from funcflow.backends.pipeline import prepare
from funcflow.backends.program import dense_view
from funcflow.core.interpret import BufferProgram

RNG = np.random.default_rng(0)
ROWS = 8192  # so that rows of 4 are many elements
WHOLE, ROW = {0: 64 * 6, 1: 6, 2: 1}, {2: 1}


def group(extents=(ROWS // 64, 64, 6), reduced=(), blocked=False):
    made = Group(0)
    made.extents = dict(enumerate(extents))
    made.reduced, made.blocked = set(reduced), blocked
    return made


# --- how rows are packed --------------------------------------------------------------------------


def test_rows_lie_one_after_the_other_or_repeat():
    packed = packed_rows(group(), [WHOLE, {}, ROW, {2: 5}], [WHOLE], set())
    assert packed is not None
    assert (packed.axis, packed.row, packed.count, packed.outer) == (2, 6, ROWS, None)
    assert packed.repeated == {2, 3}
    assert packed.schedule.extents == {2: packed.wide}
    assert packed.strides(WHOLE) == {2: 1}
    assert packed.strides({}) == {}


@pytest.mark.parametrize(
    "reads, writes, fixed",
    [
        ([ROW], [WHOLE], set()),  # nothing but copies of a row
        ([WHOLE], [WHOLE], set()),  # one loop anyway
        ([WHOLE, ROW], [WHOLE], {0}),
        ([WHOLE, ROW, {0: 1}], [WHOLE], set()),
        ([WHOLE, ROW, {1: 6, 2: 1}], [WHOLE], set()),
        ([WHOLE, ROW], [{0: 1, 1: 128, 2: 8192}], set()),
        ([{0: 500, 1: 6, 2: 1}, ROW], [WHOLE], set()),
        ([{0: 768, 1: 12, 2: 2}, ROW], [{0: 768, 1: 12, 2: 2}], set()),
        ([{0: 384, 1: 6, 2: -1}, ROW], [WHOLE], set()),
    ],
)
def test_others_stay_as_they_are(reads, writes, fixed):
    assert packed_rows(group(), reads, writes, fixed) is None


def test_long_and_few_rows_stay_as_they_are():
    reads = [{0: 6, 1: 1}, {1: 1}]
    assert packed_rows(group((ROWS, 6)), reads, reads[:1], set()) is not None
    assert packed_rows(group((500, 6)), reads, reads[:1], set()) is None
    reads = [{0: 32, 1: 1}, {1: 1}]
    assert packed_rows(group((ROWS, 32)), reads, reads[:1], set()) is None


def test_columns_are_packed_if_the_rows_fall_into_wide_ones():
    reads = [{0: 6, 1: 1}]
    packed = packed_rows(group((9000, 6), {0}, True), reads, [], set())
    assert packed is not None
    assert 9000 % packed.together == 0
    loops = packed.schedule
    assert (loops.kept, loops.reduced) == ((1,), (0,))
    assert loops.extents == {1: packed.wide, 0: 9000 // packed.together}
    assert packed.strides(reads[0]) == {1: 1, 0: packed.wide}
    assert packed_rows(group((9001, 6), {0}, True), reads, [], set()) is None  # a prime number
    assert packed_rows(group((9000, 6), {1}, True), reads, [], set()) is None
    assert packed_rows(group((9000, 6), {0}, False), reads, [], set()) is None


def test_tables_repeat_a_row():
    packed = packed_rows(group(), [WHOLE, ROW], [WHOLE], set())
    assert packed is not None
    source = dense_view("argument", (6, 3), np.dtype("f4")).part(1, 0, 1)
    target, step = table(source, 3, packed)
    assert target.shape == (packed.together, 6)
    assert target.dense
    assert step.params == (packed.together, 6, 3, 6)


# --- what kernels compute -------------------------------------------------------------------------


def compare(run_program, f, *args):
    """Bit for bit; the numbers are such that sums are exact."""
    closed = prepare(ff.make_jaxpr(f)(*args))["dce"]
    expected = BufferProgram(closed)([np.asarray(x) for x in args])
    for a, b in zip(expected, run_program(closed, *args), strict=True):
        a = np.asarray(a)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(b, a)
    return lower_program(closed, {}).steps


def whole_numbers(*shape, dtype="f4"):
    return RNG.integers(-9, 10, shape).astype(dtype)


def is_packed(steps):
    return any(len(view.shape) == 2 and "written out" in s.note for s in steps for view in s.writes)


@pytest.mark.parametrize("row", [2, 3, 6, 10, 17, 31])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1"])
def test_elements(run_program, row, dtype):
    x = whole_numbers(40_001 // row, row, dtype=dtype)  # the last wide row is not full
    y = whole_numbers(*x.shape, dtype=dtype)
    a, b = whole_numbers(row, dtype=dtype), whole_numbers(row, dtype=dtype)
    steps = compare(run_program, lambda x, y, a, b: ((x + a) * y - b * 2, x * b), x, y, a, b)
    assert is_packed(steps)


@pytest.mark.parametrize(
    "change", [lambda b: b[::-1], lambda b: b[::2], lambda b: b[1:4], lambda b: b[None, :3]]
)
def test_rows_may_be_views(run_program, change):
    steps = compare(
        run_program, lambda x, b: fnp.maximum(x + change(b), 0), whole_numbers(13_001, 3),
        whole_numbers(3 if change(np.ones(3)).size == 3 else 5)
    )  # fmt: skip
    assert is_packed(steps)


def test_values_that_are_cheap_to_compute_are_stored_from_packed_rows(run_program):
    x, b = whole_numbers(12_000, 3), whole_numbers(3)

    def f(x, b):
        y = lax.exp(x * 0 + b * 0)
        return lax.sort(x + b, dimension=0), y

    compare(run_program, f, x, b)


@pytest.mark.parametrize("shape", [(9000, 6), (16, 32, 32, 3), (4, 27, 10, 100, 2), (65_536, 16)])
@pytest.mark.parametrize(
    "reduction", [lax.reduce_sum, lax.reduce_max, lax.reduce_min], ids=["sum", "max", "min"]
)
def test_columns(run_program, shape, reduction):
    x, b = whole_numbers(*shape), whole_numbers(shape[-1])
    axes = tuple(range(len(shape) - 1))
    steps = compare(run_program, lambda x: reduction(x, axes), x)
    assert len(steps) == 3  # the blocks, then what they are merged in
    compare(run_program, lambda x, b: reduction(lax.abs(x + b), axes), x, b)
    compare(run_program, lambda x, b: (x + b, reduction(x + b, axes)), x, b)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "bool"])
def test_columns_of_narrow_dtypes(run_program, dtype):
    x = lax.convert_element_type(RNG.integers(0, 3, (12_000, 3)), dtype)
    reduction = lax.reduce_or if dtype == "bool" else lax.reduce_sum
    compare(run_program, lambda x: reduction(x, (0,)), x)


def test_results_depend_on_shapes_alone(run_program):
    """Whatever is stored beside a sum, its order is the same."""
    x = RNG.standard_normal((12_000, 3)).astype("f4")
    alone = prepare(ff.make_jaxpr(lambda x: lax.reduce_sum(x * 2, (0,)))(x))["dce"]
    beside = prepare(ff.make_jaxpr(lambda x: (lax.reduce_sum(x * 2, (0,)), x * 2))(x))["dce"]
    (one,), (other, _) = run_program(alone, x), run_program(beside, x)
    np.testing.assert_array_equal(one, other)
