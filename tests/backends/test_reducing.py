"""What reductions start from, and what dtype they work in."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.loop_ir import Builder
from funcflow.backends.reducing import accumulated_dtype, merge_of, neutral_value, starts, widened

COMBINE = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


def equation(f, dtype):
    return ff.make_jaxpr(f)(fnp.zeros((2, 3), dtype)).eqns[-1]


@pytest.mark.parametrize("merge", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u8"])
def test_neutral_values_change_no_bit(merge, dtype):
    dtype = np.dtype(dtype)
    x = np.array(
        [0, -0.0, 1.5, np.inf, -np.inf, np.nan] if dtype.kind == "f" else [0, 1, 127], dtype
    )
    neutral = np.asarray(neutral_value(merge, dtype), dtype)
    assert COMBINE[merge](neutral, x).tobytes() == x.tobytes()
    assert COMBINE[merge](x, neutral).tobytes() == x.tobytes()


@pytest.mark.parametrize("merge", ["and", "or", "xor"])
@pytest.mark.parametrize("dtype", ["?", "i4", "u1"])
def test_neutral_bits(merge, dtype):
    x = np.array([0, 1, 1], dtype)
    assert (COMBINE[merge](np.asarray(neutral_value(merge, x.dtype), dtype), x) == x).all()


def test_bools_are_combined_by_bits():
    assert merge_of(equation(lambda x: lax.reduce_max(x, (0,)), bool)) == "or"
    assert merge_of(equation(lambda x: lax.reduce_min(x, (0,)), bool)) == "and"
    assert merge_of(equation(lambda x: lax.reduce_max(x, (0,)), "int8")) == "max"


def test_narrow_floats_are_summed_in_float32():
    for dtype in ("float16", "bfloat16"):
        eqn = equation(lambda x: lax.reduce_sum(x, (0,)), dtype)
        assert accumulated_dtype(eqn) == np.float32
        build = Builder()
        wide = widened(build, build.load(0, eqn.invars[0].aval.dtype), eqn)
        assert wide.dtype == np.float32
        assert widened(build, wide, eqn, back=True).dtype == fnp.dtype(dtype)
    assert accumulated_dtype(equation(lambda x: lax.reduce_sum(x, (0,)), "int8")) == np.int8
    eqn = equation(lambda x: lax.argmax(x, 0, np.int32), bool)
    assert accumulated_dtype(eqn) == np.uint8


def test_the_index_of_nothing_is_behind_all_others():
    build = Builder()
    value, index = starts(build, equation(lambda x: lax.argmin(x, 0, np.int32), "float32"))
    assert (value.dtype, index.dtype) == (np.float32, np.int64)
    assert [s.params["value"].item() for s in build.body] == [np.inf, np.iinfo(np.int64).max]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8", "uint16"])
@pytest.mark.parametrize("reduction", [lax.reduce_sum, lax.reduce_max, lax.reduce_prod])
def test_results_agree_with_numpys(run_program, dtype, reduction):
    x = np.random.default_rng(0).integers(1, 4, (3, 9)).astype(fnp.dtype(dtype))
    closed = ff.make_jaxpr(lambda x: reduction(x, (0,)))(x)
    (got,) = run_program(closed, x)
    np.testing.assert_array_equal(got, np.asarray(reduction(x, (0,))))


@pytest.mark.parametrize("reduction", [lax.reduce_and, lax.reduce_or, lax.reduce_xor])
def test_bits(run_program, reduction):
    for dtype in ("bool", "int32"):
        x = np.random.default_rng(1).integers(0, 2, (4, 40)).astype(dtype)
        (got,) = run_program(ff.make_jaxpr(lambda x: reduction(x, (1,)))(x), x)
        np.testing.assert_array_equal(got, np.asarray(reduction(x, (1,))))
