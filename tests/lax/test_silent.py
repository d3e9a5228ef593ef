"""What is computed once more says nothing."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax
from funcflow.core.array import aval_of
from funcflow.core.evaluate import eval_closed
from funcflow.core.staging import stage_out
from funcflow.lax.silent import silent


def talks(x):
    ff.debug.print("x = {}", x)
    y = lax.cond(x > 0, lambda x: (ff.debug.print("positive"), x * 2)[1], lambda x: x, x)
    return [lax.fori_loop(0, 3, lambda i, y: y + i, y, progress="go")]


def test_prints_and_bars_are_left_out_also_inside(capsys):
    closed = stage_out(talks, [aval_of(np.float32(1))])
    quiet = silent(closed)
    assert closed.effects and not quiet.effects
    assert eval_closed(quiet, np.float32(1))[0] == eval_closed(silent(quiet), np.float32(1))[0] == 5
    assert capsys.readouterr() == ("", "")
    eval_closed(closed, np.float32(1))
    out, err = capsys.readouterr()
    assert out == "x = 1.0\npositive\n" and err.startswith("go: 100% ")


def test_calls_with_results_stay():
    def calls(x):
        return [ff.io_callback(np.sin, ff.ShapeDtypeStruct((), "float32"), x)]

    closed = stage_out(calls, [aval_of(np.float32(1))])
    assert silent(closed).effects == closed.effects


@pytest.mark.parametrize("transform", [lambda f: f, ff.jit])
def test_a_checkpointed_function_prints_once(transform, capsys):
    def f(x):
        ff.debug.print("x = {}", x)
        return lax.sin(lax.sin(x))

    transform(ff.grad(ff.checkpoint(f)))(1.0)
    assert capsys.readouterr().out == "x = 1.0\n"
