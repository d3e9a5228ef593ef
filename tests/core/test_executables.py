"""The cache of compiled programs."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.core import executables
from funcflow.core.backend import get_inspector


def program(f, shape=(3,)):
    return ff.make_jaxpr(f)(np.ones(shape))


def test_equal_programs_are_compiled_once():
    first, second = (program(lambda x: fnp.sin(x) * 2) for _ in range(2))
    assert first is not second
    assert executables.compiled(first) is executables.compiled(second)
    assert executables.compiled(first) is not executables.compiled(program(fnp.sin, (4,)))


def test_the_cache_is_bounded_and_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(executables, "MAX_EXECUTABLES", 2)
    ff.clear_caches()
    programs = [program(fnp.sin, (n,)) for n in range(3)]
    first, second = map(executables.compiled, programs[:2])
    assert executables.compiled(programs[0]) is first  # now the second is the oldest
    executables.compiled(programs[2])
    assert executables.compiled(programs[0]) is first
    assert executables.compiled(programs[1]) is not second


def test_clear_caches():
    closed = program(fnp.sin)
    before = executables.compiled(closed)
    ff.clear_caches()
    assert executables.compiled(closed) is not before


def test_derivatives_of_jitted_functions_are_lowered_too():
    """The backward pass of a jitted function is traced without passes; its executable has them."""
    jaxpr = ff.make_jaxpr(ff.grad(ff.jit(lambda x: fnp.sin(x) * fnp.sin(x))))(np.float32(1))
    backward = jaxpr.eqns[-1].params["jaxpr"]
    assert str(backward).count("mul") == 3  # the cotangent of the product goes to both factors
    assert str(executables.lowered(backward)).count("mul") == 2
    step = get_inspector().text(executables.compiled(backward)).splitlines()[-2]
    assert step.count("mul") == 2
