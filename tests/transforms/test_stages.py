"""What tracing, lowering and compiling hand over."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp

STRUCT = ff.ShapeDtypeStruct((3,), "float64")


def test_traced():
    traced = ff.jit(lambda p, *, k: {"y": p["x"] * k}).trace({"x": STRUCT}, k=STRUCT)
    assert traced.out_info == {"y": STRUCT}
    assert len(traced.jaxpr.in_avals) == 2
    assert traced.in_tree.num_leaves == 2


def test_compiled_programs_take_captured_arrays_along():
    table = np.arange(3.0)
    program = ff.jit(lambda x: x + table).lower(STRUCT).compile()
    np.testing.assert_array_equal(program(np.ones(3)), table + 1)


def test_compiled_programs_copy_what_aliases_their_arguments():
    x = np.ones(3)
    y = ff.jit(lambda x: x).lower(STRUCT).compile()(x)
    x[:] = 5
    np.testing.assert_array_equal(y, np.ones(3))


def test_every_stage_can_be_shown():
    lowered = ff.jit(lambda x: fnp.sin(x) * 1.0 + fnp.sin(x)).lower(STRUCT)
    assert str(lowered.as_text("traced")).count("sin") == 2
    assert lowered.as_text() == lowered.as_text("dce")
    assert lowered.as_text().count("sin") == 1
    with pytest.raises(ff.errors.ArgumentError, match=r"no stage 'cake'.*\n.*\n.*traced, fold"):
        lowered.as_text("cake")
