"""The legality of kernels: each rule is broken once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from funcflow.backends.loop_check import _SIGNATURES, KernelError, check_kernel
from funcflow.backends.loop_ir import (
    ANY,
    FIXED,
    MACHINE_OPS,
    UNIT,
    Builder,
    Kernel,
    Let,
    Loop,
    Operand,
    Reduction,
    Value,
)

BOOL, F32, F64 = (np.dtype(t) for t in ("?", "f4", "f8"))
I32, I64 = np.dtype(np.int32), np.dtype(np.int64)

# Three operands: a row of numbers, one number, and a row that is written.
ROW, ONE = Operand(F32, (UNIT, FIXED)), Operand(F32, (FIXED, FIXED))
OUT = Operand(F32, (UNIT, FIXED), written=True)


def kernel(write: Callable[[Builder], Any], **fields: Any) -> Kernel:
    build = Builder()
    write(build)
    return Kernel(
        **{"axes": 2, "operands": (ROW, ONE, OUT), "scalars": (F32,), "body": build.body, **fields}
    )


def legal(build: Builder) -> None:
    start = build.const(0, F32)
    with build.loop(0, lanes=4) as loop:
        (total,) = loop.carry("add", start)
        x = build.let("mul", build.load(0, F32), build.scalar(0, F32))
        build.store(2, x)
        loop.next(build.let("add", total, x))


def test_legal():
    check_kernel(kernel(legal))


def test_random_kernels_are_legal(kernels):
    for seed in range(40):
        check_kernel(kernels.random_case(seed).kernel)


def test_every_machine_operation_has_a_rule():
    assert MACHINE_OPS - _SIGNATURES.keys() == {"const", "scalar", "index", "select"}


# --- one broken rule each -----------------------------------------------------------------------


def undefined(build: Builder) -> None:
    build.let("neg", Value(F32))


def outside_its_region(build: Builder) -> None:
    with build.loop(0):
        x = build.load(0, F32)
    build.let("neg", x)


def inside_value_after_the_loop(build: Builder) -> None:
    start = build.const(0, F32)
    with build.loop(0) as loop:
        (total,) = loop.carry("add", start)
        loop.next(total)
    build.let("neg", total)


def undefined_next(build: Builder) -> None:
    start = build.const(0, F32)
    with build.loop(0) as loop:
        loop.carry("add", start)
        loop.next(Value(F32))


def defined_twice(build: Builder) -> None:
    x = build.const(0, F32)
    build.append(Let(x, "neg", (x,)))


def unknown_axis(build: Builder) -> None:
    with build.loop(2):
        pass


def axis_twice(build: Builder) -> None:
    with build.loop(0), build.loop(0):
        pass


def no_loop_around(build: Builder) -> None:
    build.load(0, F32)


def store_again_and_again(build: Builder) -> None:
    x = build.const(0, F32)
    with build.loop(0), build.loop(1):
        build.store(2, x)


def two_vector_loops(build: Builder) -> None:
    with build.loop(0, lanes=4), build.loop(1, lanes=4):
        pass


def three_lanes(build: Builder) -> None:
    with build.loop(0, lanes=3):
        pass


def vector_sequence(build: Builder) -> None:
    start = build.const(0, F32)
    with build.loop(0, lanes=4) as loop:
        loop.next(*loop.carry("sequence", start))


def unknown_merge(build: Builder) -> None:
    start = build.const(0, F32)
    with build.loop(0) as loop:
        loop.next(*loop.carry("mean", start))


def floats_merged_by_and(build: Builder) -> None:
    start = build.const(0, F32)
    with build.loop(0) as loop:
        loop.next(*loop.carry("and", start))


def argmax_without_index(build: Builder) -> None:
    start = build.const(0, F32)
    with build.loop(0) as loop:
        loop.next(*loop.carry("argmax", start))


def carried_of_another_dtype(build: Builder) -> None:
    x, y = build.const(0, F32), build.const(0, F64)
    build.append(Loop(0, (), 1, (Reduction("add", (x,), (Value(F32),), (y,), (Value(F32),)),)))


def unknown_operand(build: Builder) -> None:
    build.load(3, F32)


def load_of_another_dtype(build: Builder) -> None:
    build.load(1, F64)


def store_to_an_input(build: Builder) -> None:
    build.store(1, build.const(0, F32))


def narrow_offset(build: Builder) -> None:
    build.load(1, F32, offset=build.const(0, I32))


def mask_of_numbers(build: Builder) -> None:
    build.load(1, F32, mask=build.const(0, F32))


def one_argument_for_add(build: Builder) -> None:
    build.let("add", build.const(0, F32))


def mixed_dtypes(build: Builder) -> None:
    build.let("add", build.const(0, F32), build.const(0, F64))


def root_of_integers(build: Builder) -> None:
    build.let("sqrt", build.const(0, I32))


def number_of_a_comparison(build: Builder) -> None:
    x = build.const(0, F32)
    build.let("lt", x, x, dtype=F32)


def sum_of_another_dtype(build: Builder) -> None:
    x = build.const(0, F32)
    build.let("add", x, x, dtype=F64)


def bitcast_to_bool(build: Builder) -> None:
    build.let("bitcast", build.const(0, np.int8), dtype=BOOL)


def longer_bitcast(build: Builder) -> None:
    build.let("bitcast", build.const(0, F32), dtype=I64)


def select_by_number(build: Builder) -> None:
    x = build.const(0, F32)
    build.let("select", x, x, x)


def constant_of_another_dtype(build: Builder) -> None:
    build.append(Let(Value(F32), "const", (), {"value": np.float64(0)}))


def unknown_scalar(build: Builder) -> None:
    build.scalar(1, F32)


def scalar_of_another_dtype(build: Builder) -> None:
    build.scalar(0, F64)


def index_outside(build: Builder) -> None:
    build.index(0)


def narrow_index(build: Builder) -> None:
    with build.loop(0):
        build.let("index", dtype=I32, axis=0)


def load_in_a_guard(build: Builder) -> None:
    with build.loop(0), build.guard(build.const(True, BOOL), build.const(0, F32)) as rare:
        rare.take(build.load(0, F32))


def guarded_value_after_the_guard(build: Builder) -> None:
    x = build.const(0, F32)
    with build.guard(build.let("eq", x, x), x) as rare:
        root = build.let("sqrt", x)
        rare.take(root)
    build.let("neg", root)


def undefined_in_a_guard(build: Builder) -> None:
    x = build.const(0, F32)
    with build.guard(build.let("eq", x, x), x) as rare:
        rare.take(Value(F32))


def guard_by_number(build: Builder) -> None:
    x = build.const(0, F32)
    with build.guard(x, x) as rare:
        rare.take(x)


def store_in_a_test(build: Builder) -> None:
    with build.loop(0):
        start = build.const(0, F32)

        def test(carry: Any) -> Value:
            build.store(1, carry[0])
            return build.let("lt", carry[0], start)

        build.while_loop([start], test, lambda carry: carry)


def loop_in_a_while(build: Builder) -> None:
    start = build.const(0, F32)

    def body(carry: Any) -> Any:
        with build.loop(0):
            build.load(0, F32)
        return carry

    build.while_loop([start], lambda carry: build.let("lt", carry[0], start), body)


def while_by_number(build: Builder) -> None:
    start = build.const(0, F32)
    build.while_loop([start], lambda carry: carry[0], lambda carry: carry)


def while_of_other_dtypes(build: Builder) -> None:
    start, more = build.const(0, F32), build.const(True, BOOL)
    build.while_loop([start], lambda carry: more, lambda carry: [more])


def value_of_the_test_in_the_body(build: Builder) -> None:
    start = build.const(0, F32)
    tested: list[Value] = []

    def test(carry: Any) -> Value:
        tested.append(build.let("add", carry[0], start))
        return build.let("lt", tested[0], start)

    build.while_loop([start], test, lambda carry: tested)


def load_in_a_while_in_a_guard(build: Builder) -> None:
    with build.loop(0), build.guard(build.const(True, BOOL), build.const(0, F32)) as rare:
        start = build.const(0, F32)

        def test(carry: Any) -> Value:
            return build.let("lt", carry[0], build.load(0, F32))

        rare.take(*build.while_loop([start], test, lambda carry: carry))


def guard_of_mixed_dtypes(build: Builder) -> None:
    x = build.const(0, F32)
    with build.guard(build.let("eq", x, x), x) as rare:
        rare.take(build.const(0, F64))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (undefined, r"neg\(\?\) of dtype float32: a value \(float32\) is used before"),
        (outside_its_region, "used outside its region"),
        (inside_value_after_the_loop, "used outside its region"),
        (undefined_next, "used before it is defined"),
        (defined_twice, "v0 is defined twice"),
        (unknown_axis, "the kernel has 2 axes"),
        (axis_twice, "a loop around it runs over the same axis"),
        (no_loop_around, "load from operand 0: the operand has a stride for axis 0, but no loop"),
        (store_again_and_again, "loop over axis 1 would store to one place"),
        (two_vector_loops, "is a vector loop, too"),
        (three_lanes, "not a power of two"),
        (vector_sequence, "by 4, merged by sequence: a vector loop carries a sequence"),
        (unknown_merge, "no merge called 'mean'"),
        (floats_merged_by_and, r"and does not merge \(float32\)"),
        (argmax_without_index, r"argmax does not merge \(float32\)"),
        (carried_of_another_dtype, "change their number or their dtypes"),
        (unknown_operand, "the kernel has 3 operands"),
        (load_of_another_dtype, "float64 is not the operand's dtype, float32"),
        (store_to_an_input, "store to operand 1 with v0: the operand is not written"),
        (narrow_offset, "the offset is of int32"),
        (mask_of_numbers, "the mask is of float32"),
        (one_argument_for_add, "it takes 2 arguments"),
        (mixed_dtypes, r"add\(v0, v1\) of dtype float64: its arguments are of float32, float64"),
        (root_of_integers, "it does not take int32"),
        (number_of_a_comparison, "it does not give float32 of float32"),
        (sum_of_another_dtype, "it does not give float64 of float32"),
        (bitcast_to_bool, "it does not give bool"),
        (longer_bitcast, "float32 has another size"),
        (select_by_number, "its arguments are of float32, float32, float32"),
        (constant_of_another_dtype, "has another dtype"),
        (unknown_scalar, "there is no scalar 1"),
        (scalar_of_another_dtype, "scalar 0 is of float32"),
        (index_outside, "no loop around it runs over axis 0"),
        (narrow_index, "an index is an int64"),
        (load_in_a_guard, "guard of v0, v1: its body has more than operations, guards and whiles"),
        (guarded_value_after_the_guard, "v2 .* is used outside its region"),
        (undefined_in_a_guard, "guard of v1, v0: a value .* is used before it is defined"),
        (guard_by_number, "the mask is of float32"),
        (guard_of_mixed_dtypes, "values, others and results differ"),
        (store_in_a_test, "while of v0: it stores in its test"),
        (loop_in_a_while, "it has a loop over an axis inside"),
        (while_by_number, "the test is of float32"),
        (while_of_other_dtypes, "the carried values change their number or their dtypes"),
        (value_of_the_test_in_the_body, "is used outside its region"),
        (load_in_a_while_in_a_guard, "a while in its body accesses operands"),
    ],
    ids=lambda x: x.__name__ if callable(x) else "",
)
def test_illegal(write, message):
    with pytest.raises(KernelError, match=f"^illegal kernel: .*{message}"):
        check_kernel(kernel(write))


# --- rules of the whole kernel ------------------------------------------------------------------


def store_at_root(build: Builder) -> None:
    with build.loop(0):
        pass
    build.store(2, build.const(0, F32))


def rows_first(build: Builder) -> None:
    with build.loop(1), build.loop(0):
        pass


def blocks_in_lanes(build: Builder) -> None:
    with build.loop(0, lanes=4), build.loop(1):
        pass


@pytest.mark.parametrize(
    ("write", "fields", "message"),
    [
        (legal, {"axes": 3}, "operand 0 has 2 strides for 3 axes"),
        (legal, {"operands": (OUT, ROW)}, "written comes before one that is not"),
        (rows_first, {"split": True}, "outermost loop is not over axis 0"),
        (undefined, {"split": True}, "outermost loop is not over axis 0"),
        (legal, {"split": True}, "the loop over axis 0 carries values"),
        (store_at_root, {"split": True}, "stores outside the loop over axis 0"),
        (legal, {"axes": 1, "operands": (), "ragged": True}, "it is ragged, but has 1 axes"),
        (rows_first, {"ragged": True}, "axis 1 of a ragged kernel needs a loop over axis 0"),
        (blocks_in_lanes, {"ragged": True}, "lanes would run over blocks of different lengths"),
    ],
)
def test_illegal_kernels(write, fields, message):
    with pytest.raises(KernelError, match=message):
        check_kernel(kernel(write, **fields))


def test_a_store_with_an_offset_may_be_inside_any_loop():
    def write(build: Builder) -> None:
        with build.loop(0), build.loop(1):
            build.store(2, build.const(0, F32), offset=build.index(1))

    check_kernel(kernel(write, operands=(ROW, ONE, Operand(F32, (ANY, FIXED), written=True))))
