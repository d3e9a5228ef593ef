"""The loop IR itself: its text, its builder, and the parameters of a call."""

import numpy as np
import pytest

from funcflow.backends.loop_ir import (
    ANY,
    FIXED,
    INDEX,
    UNIT,
    Builder,
    Guard,
    Kernel,
    Let,
    Load,
    Loop,
    Operand,
    Store,
    While,
    statements,
)

BOOL, F32, I32 = np.dtype(np.bool_), np.dtype(np.float32), np.dtype(np.int32)


def gather_and_sum() -> Kernel:
    """Everything that the text form shows: both reductions, offsets, masks, scalars, flags."""
    build = Builder()
    zero, scale = build.const(-0.0, F32), build.scalar(0, F32)
    with build.loop(0):
        far = build.load(1, INDEX)
        with build.loop(1, lanes=8) as row:
            (total,) = row.carry("add", zero)
            inside = build.let("lt", build.index(1), far)
            x = build.load(0, F32, offset=far, mask=inside)
            row.next(build.let("add", total, x))
        build.store(2, build.let("mul", scale, row.results[0]), offset=far, mask=None)
        build.store(2, row.results[0], mask=build.let("ne", far, far))
    operands = (
        Operand(F32, (ANY, UNIT)),
        Operand(INDEX, (UNIT, FIXED)),
        Operand(F32, (ANY, FIXED), written=True),
    )
    return Kernel(2, operands, (F32,), build.body, ragged=True)


def test_text(golden):
    golden("loop_ir.txt", f"{gather_and_sum()}\n")


def test_equal_kernels_have_equal_texts():
    assert gather_and_sum().text == gather_and_sum().text


def test_texts_tell_numbers_apart_by_their_bits():
    def text(value: float) -> str:
        build = Builder()
        build.const(value, F32)
        return Kernel(0, (), (), build.body).text

    assert text(0.0) != text(-0.0)
    assert text(np.nan) != text(-np.nan)


def test_parameters():
    assert gather_and_sum().parameters == {
        ("extent", 0): 0,
        ("extent", 1): 1,
        ("tail",): 2,
        ("stride", 0, 0): 3,
        ("stride", 2, 0): 4,
        ("scalar", 0): 5,
    }


def test_the_text_of_a_while():
    build = Builder()
    start = build.const(1, I32)
    build.while_loop(
        [start],
        lambda carry: build.let("lt", carry[0], start),
        lambda carry: [build.let("add", carry[0], start)],
    )
    kernel = Kernel(0, (), (), build.body)
    assert kernel.text.splitlines()[1:] == [
        "  v0: int32 = const[value=1#01000000]",
        "  carry v1: int32 from v0",
        "    v2: bool = lt v1, v0",
        "  while v2",
        "    v3: int32 = add v1, v0",
        "    next v3 giving v4: int32",
    ]
    assert [type(s) for s in statements(kernel.body)] == [Let, While, Let, Let]


def test_statements_come_in_order_and_after_their_loop():
    kinds = [type(s) for s in statements(gather_and_sum().body)]
    inner = [Let, Let, Load, Let]
    assert kinds == [Let, Let, Loop, Load, Loop, *inner, Let, Store, Let, Store]


def test_the_builder_infers_dtypes():
    build = Builder()
    x = build.const(1, I32)
    truth = build.let("lt", x, x)
    assert build.let("add", x, x).dtype == I32
    assert truth.dtype == BOOL
    assert build.let("select", truth, x, x).dtype == I32
    assert build.let("convert", x, dtype="f4").dtype == F32


def test_constants_are_converted_to_their_dtype():
    build = Builder()
    build.const(300, np.uint8)
    (let,) = build.body
    assert isinstance(let, Let)
    assert let.params["value"].dtype == np.uint8
    assert let.params["value"] == 44


def test_an_open_loop_has_no_body_yet():
    build = Builder()
    with build.loop(0), pytest.raises(ValueError, match="too many values"):
        _ = build.body
    assert isinstance(build.body[0], Loop)


def test_what_is_carried_needs_a_next_value():
    build = Builder()
    start = build.const(0, F32)
    with pytest.raises(ValueError, match="shorter"), build.loop(0) as loop:
        loop.carry("add", start)


def test_an_error_inside_a_loop_stays_the_same():
    build = Builder()
    start = build.const(0, F32)
    with pytest.raises(KeyError), build.loop(0) as loop:
        loop.carry("add", start)
        raise KeyError


# --- guards -------------------------------------------------------------------------------------


def guarded_root() -> Kernel:
    build = Builder()
    x, zero = build.scalar(0, F32), build.const(0, F32)
    with build.guard(build.let("gt", x, zero), x, zero) as rare:
        root = build.let("sqrt", x)
        rare.take(root, build.let("div", root, x))
    build.let("add", *rare.results)
    return Kernel(0, (), (F32,), build.body)


def test_text_of_a_guard():
    assert guarded_root().text.splitlines()[2:] == [
        "  v0: float32 = scalar[number=0]",
        "  v1: float32 = const[value=0.0#00000000]",
        "  v2: bool = gt v0, v1",
        "  where v2",
        "    v3: float32 = sqrt v0",
        "    v4: float32 = div v3, v0",
        "    take v3, v4 else v0, v1 giving v5: float32, v6: float32",
        "  v7: float32 = add v5, v6",
    ]


def test_statements_come_after_their_guard():
    kinds = [type(s) for s in statements(guarded_root().body)]
    assert kinds == [Let, Let, Let, Guard, Let, Let, Let]


def test_a_guard_takes_a_value_for_each_other():
    build = Builder()
    x = build.const(0, F32)
    with (
        pytest.raises(ValueError, match="takes 2 values, not 1"),
        build.guard(build.let("eq", x, x), x, x) as rare,
    ):
        rare.take(x)


def test_an_error_inside_a_guard_stays_the_same():
    build = Builder()
    x = build.const(0, F32)
    with pytest.raises(KeyError), build.guard(build.let("eq", x, x), x):
        raise KeyError
