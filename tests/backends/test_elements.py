"""Equations on one element."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.elements import apply, index_as, is_embedded
from funcflow.backends.loop_ir import INDEX, Builder, Let


@pytest.mark.parametrize("value", [0.0, 1.0, 2.0, -1.0, -0.0, np.nan, np.inf, -np.inf, True])
def test_numbers_that_code_is_better_for(value):
    assert is_embedded(np.asarray(value))


@pytest.mark.parametrize("value", [0.5, 3, -2, 1000])
def test_numbers_that_calls_give(value):
    assert not is_embedded(np.asarray(value))


def test_an_equation_becomes_an_operation():
    closed = ff.make_jaxpr(lambda x: fnp.transpose(fnp.sin(x)).astype("int32"))(np.ones((2, 3)))
    sin, transpose, convert = closed.jaxpr.eqns
    build = Builder()
    x = build.load(0, np.dtype(np.float64))
    y = apply(build, sin, [x])
    assert apply(build, transpose, [y]) is y
    z = apply(build, convert, [y])
    operations = [s for s in build.body if isinstance(s, Let)]
    assert [(s.op, s.out.dtype.name) for s in operations] == [
        ("sin", "float64"),
        ("convert_element_type", "int32"),
    ]
    assert operations[-1].out is z


def test_indices_are_int64():
    build = Builder()
    index = build.const(3, INDEX)
    assert index_as(build, index, INDEX) is index
    assert index_as(build, index, np.dtype(np.float32)).dtype == np.float32
