"""Which accesses ask for memory ahead. What they do is tested in `test_llvm.py`."""

import re

import numpy as np
import pytest

from funcflow.backends.loop_ir import ANY, FIXED, UNIT, Builder, Kernel, Operand
from funcflow.backends.numba.llvm import module_text

F32 = np.dtype(np.float32)


def asked(kernel):
    """For what lines are asked for in a text: "0" for a read, "1" for a write."""
    return "".join(
        re.findall(r"call void @llvm.prefetch.p0\(ptr \S+ i32 (\d)", module_text(kernel))
    )


def shares(lanes=32, row=ANY, kept=False):
    """Rows times a factor for each column, over the sum of that; maybe kept in between."""
    build = Builder()
    with build.loop(0):
        start = build.const(0, F32)
        with build.loop(1, lanes=lanes) as loop:
            (total,) = loop.carry("add", start)
            x = build.let("mul", build.load(0, F32), build.load(1, F32))
            if kept:
                build.store(2, x)
            loop.next(build.let("add", x, total))
        with build.loop(1, lanes=lanes):
            if kept:
                x = build.load(2, F32)
            else:
                x = build.let("mul", build.load(0, F32), build.load(1, F32))
            build.store(2, build.let("div", x, loop.results[0]))
    views = Operand(F32, (row, UNIT)), Operand(F32, (FIXED, UNIT)), Operand(F32, (ANY, UNIT), True)
    return {"k": Kernel(2, views, (), build.body)}


def test_each_line_is_asked_for_once():
    assert asked(shares()) == "0011"
    assert asked(shares(lanes=16)) == "01"


def test_what_the_kernel_writes_is_not_asked_for_to_be_read():
    assert asked(shares(kept=True)) == "0011"


def test_what_is_read_again_for_each_row_is_not_asked_for():
    assert asked(shares(row=FIXED)) == "11"


@pytest.mark.parametrize("lanes", [1, 8])
def test_parts_of_lines_are_not_asked_for(lanes):
    assert asked(shares(lanes=lanes)) == ""


@pytest.mark.parametrize("stride", [100, 300])
@pytest.mark.parametrize("kept", [False, True])
def test_rows_that_lie_apart(compiled, stride, kept):
    """Their distance decides how far ahead memory is asked for, which may be beyond its end."""
    x = np.random.default_rng(0).integers(1, 9, (7, stride)).astype(F32)[:, :100]
    out = np.zeros((7, stride), F32)[:, :100]
    compiled(**shares(kept=kept)).run("k", x.shape, [x, np.ones((1, 100), F32), out])
    np.testing.assert_array_equal(out, x / x.sum(1, keepdims=True))
