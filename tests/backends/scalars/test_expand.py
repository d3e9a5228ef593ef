"""Kernels after expansion: legal, of machine operations, each expansion written once."""

import ml_dtypes
import numpy as np
import pytest

from funcflow.backends.loop_check import check_kernel
from funcflow.backends.loop_ir import (
    FIXED,
    MACHINE_OPS,
    SPECIAL_OPS,
    UNIT,
    Builder,
    Guard,
    Kernel,
    Let,
    Operand,
    Value,
    statements,
)
from funcflow.backends.scalars import expand
from funcflow.backends.scalars.registry import EXPANSIONS, find_expansion, is_widened

F32, I32 = np.dtype(np.float32), np.dtype(np.int32)


def _elementwise(name, dtype, **params):
    dtype = np.dtype(dtype)
    build = Builder()
    with build.loop(0, lanes=8):
        build.store(1, build.let(name, build.load(0, dtype), **params))
    operands = Operand(dtype, (UNIT,)), Operand(dtype, (UNIT,), written=True)
    return Kernel(1, operands, (), build.body, split=True)


def _ops(kernel):
    return [s.op for s in statements(kernel.body) if isinstance(s, Let)]


@pytest.mark.parametrize("name", ["exp", "log1p", "sin", "tanh", "erf", "cbrt", "logistic"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ml_dtypes.bfloat16])
def test_what_comes_out_is_legal(name, dtype):
    expanded = expand(_elementwise(name, dtype))
    check_kernel(expanded)
    assert set(_ops(expanded)) <= MACHINE_OPS


def test_special_operations_are_kept_for_those_who_have_them():
    kernel = _elementwise("exp", np.float32)
    assert "scale" not in _ops(expand(kernel))
    expanded = expand(kernel, MACHINE_OPS | SPECIAL_OPS)
    check_kernel(expanded)
    assert _ops(expanded).count("scale") == 1


def test_narrow_floats_are_computed_in_float32():
    expanded = expand(_elementwise("exp", np.float16))
    lets = [s for s in statements(expanded.body) if isinstance(s, Let)]
    assert (lets[0].op, lets[0].out.dtype) == ("convert", F32)
    assert (lets[-1].op, lets[-1].out.dtype) == ("convert", np.float16)


def test_a_dtype_by_name_goes_before_its_kind():
    assert is_widened("exp", np.dtype(np.float16))
    assert is_widened("erf_inv", np.dtype(ml_dtypes.bfloat16))
    assert not is_widened("exp", F32)
    assert not is_widened("no_such_operation", np.dtype(np.float16))


def test_machine_operations_may_have_expansions():
    assert find_expansion("div", I32) is not None
    assert find_expansion("div", F32) is None
    # the division that the expansion writes is the machine's
    build = Builder()
    x = build.const(7, I32)
    build.let("div", x, x)
    ops = _ops(expand(Kernel(0, (), (), build.body)))
    assert ops.count("div") == 1 and len(ops) > 2


def test_carried_values_are_renamed():
    build = Builder()
    with build.loop(0):
        start = build.let("exp", build.const(0, F32))
        with build.loop(1, lanes=8) as row:
            (total,) = row.carry("add", start)
            row.next(build.let("add", total, build.let("tanh", build.load(0, F32))))
        build.store(1, build.let("log", row.results[0]))
    operands = Operand(F32, (UNIT, UNIT)), Operand(F32, (UNIT, FIXED), written=True)
    expanded = expand(Kernel(2, operands, (), build.body))
    check_kernel(expanded)
    assert set(_ops(expanded)) <= MACHINE_OPS


def test_guarded_values_are_renamed():
    build = Builder()
    with build.loop(0, lanes=8):
        x = build.let("tanh", build.load(0, F32))
        with build.guard(build.let("is_finite", x), x) as rare:
            y = build.let("exp", x)
            rare.take(build.let("sub", y, build.let("sin", y)))
        build.store(1, build.let("log", *rare.results))
    operands = Operand(F32, (UNIT,)), Operand(F32, (UNIT,), written=True)
    expanded = expand(Kernel(1, operands, (), build.body))
    check_kernel(expanded)
    assert set(_ops(expanded)) <= MACHINE_OPS
    # the sine has a guard of its own
    outer, inner = (s for s in statements(expanded.body) if isinstance(s, Guard))
    assert inner in outer.body


def test_values_of_whiles_are_renamed():
    build = Builder()
    with build.loop(0, lanes=8):
        x = build.let("tanh", build.load(0, F32))
        found = build.while_loop(
            [x],
            lambda carry: build.let("is_finite", build.let("exp", carry[0])),
            lambda carry: [build.let("sub", build.let("exp", carry[0]), x)],
        )
        build.store(1, build.let("log", *found))
    operands = Operand(F32, (UNIT,)), Operand(F32, (UNIT,), written=True)
    expanded = expand(Kernel(1, operands, (), build.body))
    check_kernel(expanded)
    assert set(_ops(expanded)) <= MACHINE_OPS


def test_several_results_are_computed_once(monkeypatch):
    calls = []

    def sum_and_product(build, x, y, *, scale):
        calls.append(scale)
        return build.let("add", x, y), build.let("mul", x, y)

    monkeypatch.setitem(EXPANSIONS, ("sum_and_product", "f"), sum_and_product)
    build = Builder()
    x = build.const(2, F32)
    parts = [build.let("sum_and_product", x, x, scale=3, result=k) for k in (1, 0)]
    build.let("sub", *parts)
    expanded = expand(Kernel(0, (), (), build.body))
    assert _ops(expanded) == ["const", "add", "mul", "sub"]
    assert calls == [3]
    add, product, difference = expanded.body[1:]
    assert isinstance(add, Let) and isinstance(product, Let) and isinstance(difference, Let)
    assert difference.args == (product.out, add.out)


def test_an_expansion_may_ask_for_the_dtype_of_its_result(monkeypatch):
    def rounded_to(build, x, *, dtype):
        return build.let("convert", x, dtype=dtype)

    monkeypatch.setitem(EXPANSIONS, ("rounded_to", "f"), rounded_to)
    body = (Let(x := Value(F32), "const", (), {"value": F32.type(1)}),)
    body += (Let(Value(I32), "rounded_to", (x,)),)
    last = expand(Kernel(0, (), (), body)).body[-1]
    assert isinstance(last, Let) and last.out.dtype == I32


def test_unknown_operations_are_refused():
    with pytest.raises(NotImplementedError, match="no_such_operation on float32"):
        expand(_elementwise("no_such_operation", F32))
