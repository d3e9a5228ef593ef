"""What tracing, lowering and compiling hand over."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.transforms.stages import simplify

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


def test_simplify_drops_what_is_dead_or_repeated():
    def f(x):
        fnp.cos(x)
        return fnp.sin(x) * fnp.sin(x) + 0 * np.ones(3)[0]

    closed = ff.make_jaxpr(f)(np.ones(3))
    names = [eqn.primitive.name for eqn in simplify(closed).eqns]
    assert names.count("sin") == 1 and "cos" not in names
