"""Which loads ask for memory ahead. Loads and stores themselves are tested in `test_llvm.py`."""

import numpy as np
import pytest

from funcflow.backends.loop_ir import ANY, FIXED, UNIT, Builder, Kernel, Operand
from funcflow.backends.numba.llvm import module_text

F32 = np.dtype(np.float32)


def asked(kernel):
    """The first argument of what asks for memory, in a text."""
    lines = module_text({"k": kernel}).splitlines()
    return [line for line in lines if "call void @llvm.prefetch" in line]


def sums(lanes=32, row=ANY, written=False):
    """The sum over each row, twice, with a factor for each column."""
    build = Builder()
    with build.loop(0):
        for _ in range(2):
            start = build.const(0, F32)
            with build.loop(1, lanes=lanes) as loop:
                (total,) = loop.carry("add", start)
                x = build.let("mul", build.load(0, F32), build.load(1, F32))
                loop.next(build.let("add", x, total))
            build.store(2, loop.results[0])
    views = Operand(F32, (row, UNIT), written), Operand(F32, (FIXED, UNIT))
    return Kernel(2, (*views, Operand(F32, (UNIT, FIXED), written=True)), (), build.body)


def test_each_line_is_asked_for_once_in_the_first_sweep():
    assert len(asked(sums())) == 2
    assert len(asked(sums(lanes=16))) == 1


@pytest.mark.parametrize("given", [{"lanes": 8}, {"row": FIXED}, {"written": True}, {"lanes": 1}])
def test_what_is_not_asked_for(given):
    """Parts of lines, rows that are read again, and what the kernel writes."""
    assert not asked(sums(**given))


@pytest.mark.parametrize("stride", [100, 300])
def test_rows_that_lie_apart(compiled, stride):
    """Their distance decides how far ahead memory is asked for, which may be beyond its end."""
    x = np.random.default_rng(0).integers(-9, 9, (7, stride)).astype(F32)[:, :100]
    out = np.zeros((7, 1), F32)
    compiled(k=sums()).run("k", x.shape, [x, np.ones((1, 100), F32), out])
    np.testing.assert_array_equal(out[:, 0], x.sum(1))
