"""The passes together: each leaves a valid jaxpr that computes the same bits, sums apart."""

import numpy as np
import pytest
from hypothesis import given

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.pipeline import COMPILE_PASSES, PASSES, lower, prepare
from funcflow.core.evaluate import eval_closed
from funcflow.core.typecheck import check_jaxpr
from funcflow.testing.jaxprs import jaxprs

SPECIAL = np.array([[1.5, np.nan, -0.0], [np.inf, -2.0, 1e-40]], "f4")


@pytest.mark.parametrize("stages_of", [lower, prepare])
@given(closed=jaxprs())
def test_every_pass_keeps_types_and_values(stages_of, closed):
    args = [np.roll(SPECIAL, i) for i in range(len(closed.jaxpr.invars))]
    expected = [np.asarray(x).tobytes() for x in eval_closed(closed, *args)]
    for name, stage in stages_of(closed).items():
        check_jaxpr(stage)
        got = [np.asarray(x).tobytes() for x in eval_closed(stage, *args)]
        assert got == expected, name


def test_the_stages_are_named_after_the_passes():
    closed = ff.make_jaxpr(fnp.sin)(1.0)
    assert list(lower(closed)) == list(PASSES)
    assert list(prepare(closed)) == list(COMPILE_PASSES)


def test_dead_and_repeated_equations_go():
    def f(x):
        fnp.cos(x)
        return fnp.sin(x) * fnp.sin(x)

    names = [eqn.primitive.name for eqn in lower(ff.make_jaxpr(f)(1.0))["dce"].eqns]
    assert names == ["sin", "mul"]


def test_second_derivative(golden):
    lowered = ff.jit(ff.grad(ff.grad(lambda x: fnp.sin(x) * x))).lower(np.float32(1))
    texts = [f"-- {stage}\n{lowered.as_text(stage)}\n" for stage in lowered.stages]
    golden("pipeline_second_derivative.txt", "\n".join(texts))


def test_compiling_sees_through_calls():
    half = ff.jit(lambda x: x * 0.5)
    closed = ff.make_jaxpr(lambda x: half(x) + half(x))(SPECIAL)
    assert [eqn.primitive.name for eqn in lower(closed)["dce"].eqns] == ["jit", "jit", "add"]
    assert [eqn.primitive.name for eqn in prepare(closed)["dce"].eqns] == ["mul", "add"]
