"""The loop IR itself: its text, its builder, and the parameters of a call."""

import numpy as np
import pytest

from funcflow.backends.loop_ir import (
    ANY,
    FIXED,
    INDEX,
    UNIT,
    Builder,
    Kernel,
    Let,
    Load,
    Loop,
    Operand,
    Store,
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
