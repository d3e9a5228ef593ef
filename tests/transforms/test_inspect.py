"""make_jaxpr, eval_shape, typeof, named_call, named_scope."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors


def test_make_jaxpr():
    closed = ff.make_jaxpr(lambda x, n: x**n if isinstance(n, int) else x, static_argnums=1)(2.0, 3)
    assert [eqn.primitive.name for eqn in closed.eqns] == ["integer_pow"]
    closed, shape = ff.make_jaxpr(lambda x: {"y": x[:2]}, return_shape=True)(np.ones(3))
    assert shape == {"y": ff.ShapeDtypeStruct((2,), "float64")}
    assert [str(a) for a in closed.in_avals] == ["f64[3]"]


def test_make_jaxpr_keeps_what_is_written_down():
    closed = ff.make_jaxpr(lambda x: (fnp.sin(x), fnp.sin(x))[0])(1.0)
    assert len(closed.eqns) == 2
    with ff.disable_jit():
        assert len(ff.make_jaxpr(ff.jit(fnp.sin))(1.0).eqns) == 1


def test_make_jaxpr_takes_stand_ins_and_keywords():
    struct = ff.ShapeDtypeStruct((2, 3), "bfloat16")
    closed = ff.make_jaxpr(lambda x, *, y: x + y)(struct, y=struct)
    assert [str(a) for a in closed.out_avals] == ["bf16[2,3]"]


def test_eval_shape():
    def f(x, y):
        return {"z": x @ y, "n": x.shape[0]}

    got = ff.eval_shape(f, ff.ShapeDtypeStruct((2, 3), "float32"), y=np.ones(3, "float32"))
    assert got["z"] == ff.ShapeDtypeStruct((2,), "float32")
    assert got["n"] == ff.ShapeDtypeStruct((), "int32", weak_type=True)
    with pytest.raises(errors.ShapeError):
        ff.eval_shape(f, np.ones((2, 3)), np.ones(4))


def test_eval_shape_computes_nothing():
    called = []
    out = ff.ShapeDtypeStruct((), "float32")
    ff.eval_shape(lambda x: ff.pure_callback(called.append, out, x), 1.0)
    assert not called


def test_typeof():
    assert str(ff.typeof(np.ones((2, 3)))) == "f64[2,3]"
    assert ff.typeof(2.0).weak_type and not ff.typeof(np.float32(2)).weak_type
    with pytest.raises(errors.LeafTypeError):
        ff.typeof("text")


def test_named_call():
    f = ff.named_call(lambda x: x * 2, name="double")
    (eqn,) = ff.make_jaxpr(f)(1.0).eqns
    assert eqn.params["name"] == "double"
    assert float(ff.grad(f)(1.0)) == 2


def test_golden_text(golden):
    def f(x):
        return ff.named_call(fnp.sin, name="wave")(x) + fnp.arange(3)

    golden("transform_inspect.txt", f"{ff.make_jaxpr(f)(fnp.ones(3))}\n")


def test_named_scopes_change_nothing():
    def f(x):
        with ff.named_scope("inner"):
            return fnp.sin(x)

    plain = str(ff.make_jaxpr(fnp.sin)(1.0))
    assert (
        str(ff.make_jaxpr(f)(1.0)) == str(ff.make_jaxpr(ff.named_scope("outer")(f))(1.0)) == plain
    )
    with pytest.raises(errors.ArgumentError, match="named_scope: the name must be a string"):
        ff.named_scope(3).__enter__()
