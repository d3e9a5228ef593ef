"""The passes together: each leaves a valid jaxpr that computes the same bits."""

import numpy as np
from hypothesis import given

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.pipeline import PASSES, lower
from funcflow.core.evaluate import eval_closed
from funcflow.core.typecheck import check_jaxpr
from funcflow.testing.jaxprs import jaxprs

SPECIAL = np.array([[1.5, np.nan, -0.0], [np.inf, -2.0, 1e-40]], "f4")


@given(jaxprs())
def test_every_pass_keeps_types_and_values(closed):
    args = [np.roll(SPECIAL, i) for i in range(len(closed.jaxpr.invars))]
    expected = [np.asarray(x).tobytes() for x in eval_closed(closed, *args)]
    for name, stage in lower(closed).items():
        check_jaxpr(stage)
        got = [np.asarray(x).tobytes() for x in eval_closed(stage, *args)]
        assert got == expected, name


def test_the_stages_are_named_after_the_passes():
    closed = ff.make_jaxpr(fnp.sin)(1.0)
    assert list(lower(closed)) == list(PASSES)


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
