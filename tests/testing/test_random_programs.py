"""Random programs: what they reach, and that the CPU backend gives the reference's results.

A failure's message has the call of `random_program` that makes the program again.
"""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

from funcflow import lax
from funcflow.core import backend as backends
from funcflow.core import dtypes
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import subjaxprs
from funcflow.core.staging import stage_out
from funcflow.core.typecheck import check_jaxpr
from funcflow.testing import check_program, random_program
from funcflow.testing.jaxprs import random_programs
from funcflow.testing.monte_carlo import Freedom, freedoms, spacing

BATCH = 50


def check_batch(first):
    for seed in range(first, first + BATCH):
        check_program(random_program(seed, exact=seed % 2 == 0))


@pytest.mark.parametrize("first", range(0, 800, BATCH))
def test_compiled_programs_agree_with_the_reference(first):
    check_batch(first)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, BATCH))
def test_ten_thousand_compiled_programs_agree_with_the_reference(first):
    check_batch(first)


def check_lanes(first):
    for seed in range(first, first + BATCH):
        check_program(random_program(seed, exact=seed % 2 == 0, lanes=True))


@pytest.mark.parametrize("first", range(0, 200, BATCH))
def test_programs_with_lanes_agree_with_the_reference(first):
    check_lanes(first)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(200, 2_000, BATCH))
def test_many_programs_with_lanes_agree_with_the_reference(first):
    check_lanes(first)


@settings(max_examples=15, deadline=None)
@given(random_programs())
def test_programs_are_well_typed(program):
    check_jaxpr(program.jaxpr)
    for x, v in zip(program.arguments, program.jaxpr.jaxpr.invars, strict=True):
        assert (x.shape, x.dtype) == (v.aval.shape, v.aval.dtype)


def test_a_seed_names_a_program():
    one, other = random_program(5, size=20), random_program(5, size=20)
    assert str(one) == str(other)
    for x, y in zip(one.arguments, other.arguments, strict=True):
        assert x.tobytes() == y.tobytes()
    assert str(one).startswith("random_program(5, size=20, exact=False)\n{ lambda ;")
    assert str(one) != str(random_program(6, size=20))


def _count(jaxpr, primitives, types):
    for eqn in jaxpr.eqns:
        primitives[eqn.primitive.name] += 1
        types.update(str(v.aval.dtype) for v in eqn.outvars)
        for inner in subjaxprs(eqn):
            _count(inner, primitives, types)


def test_what_programs_reach():
    primitives, types, ranks, extents = Counter(), Counter(), Counter(), Counter()
    programs = [random_program(seed, size=25) for seed in range(120)]
    for program in programs:
        _count(program.jaxpr.jaxpr, primitives, types)
        for eqn in program.jaxpr.eqns:
            ranks.update(v.aval.ndim for v in eqn.outvars)
            extents.update(n for v in eqn.outvars for n in v.aval.shape)
    expected = """add sub mul div rem max min neg abs sign sqrt square floor ceil round nextafter
        is_finite integer_pow exp log tanh sin cos logistic erf pow atan2 and or xor not clz
        population_count shift_left shift_right_logical shift_right_arithmetic mulhi eq lt select_n
        clamp convert_element_type bitcast_convert_type reduce_precision complex real imag
        broadcast_in_dim reshape transpose slice rev pad concatenate split iota reduce_sum
        reduce_prod reduce_max reduce_and argmax cumsum cummax sort dynamic_slice
        dynamic_update_slice gather scatter scatter_add dot_general conv_general_dilated
        reduce_window_max scan while cond jit checkpoint custom_jvp_call"""
    assert not set(expected.split()) - primitives.keys()
    assert {str(d) for d in dtypes.ALL if d != dtypes.float0} <= types.keys()
    assert {0, 1, 2, 3, 4} <= ranks.keys() and {0, 1, 2, 13, 64} <= extents.keys()
    assert any(p.jaxpr.consts for p in programs)
    arguments = [p.jaxpr.jaxpr.invars for p in programs]
    results = [p.jaxpr.jaxpr.outvars for p in programs]
    assert any(set(ins) & set(outs) for ins, outs in zip(arguments, results, strict=True))


def test_exact_programs_leave_no_rounding_open():
    for seed in range(60):
        jaxpr = random_program(seed, exact=True).jaxpr.jaxpr
        assert Freedom.ROUNDING not in freedoms(jaxpr)


# --- what is compared ---------------------------------------------------------------------------


class Spoiled:
    """The reference backend with something done to the results of each call."""

    name = "spoiled"

    def __init__(self, spoil):
        self._reference = backends.get_backend("reference")
        self._spoil = spoil
        self._calls = 0

    def lower(self, jaxpr):
        return self._reference.lower(jaxpr)

    def compile(self, jaxpr):
        executable = self._reference.compile(jaxpr)

        def call(*buffers):
            self._calls += 1
            return [self._spoil(np.array(x), self._calls) for x in executable(*buffers)]

        return call


@pytest.fixture
def check(monkeypatch):
    """`check(function, *args, spoil=...)` checks the spoiled reference on a function."""

    def run(function, *args, spoil):
        monkeypatch.setitem(backends._backends, "spoiled", Spoiled(spoil))
        jaxpr = stage_out(
            lambda *xs: [function(*xs)], [ShapedArray(x.shape, x.dtype) for x in args]
        )
        check_program(SimpleNamespace(jaxpr=jaxpr, arguments=args), backend="spoiled")

    return run


X = np.array([0.3, -1.7, 2.5, 11.0], np.float32)


def _up(ulps):
    return lambda x, _: (x + ulps * np.spacing(x)).astype(x.dtype)


def test_exact_results_have_no_tolerance(check):
    check(lambda x: lax.add(x, x), X, spoil=_up(0))
    with pytest.raises(AssertionError, match=r"output 0 of spoiled .* 4 of 4 .* first at \(0,\)"):
        check(lambda x: lax.add(x, x), X, spoil=_up(1))


def test_the_sign_of_zero_counts(check):
    with pytest.raises(AssertionError, match="1 of 1 elements"):
        check(lambda x: lax.mul(x, np.float32(0)), X[:1], spoil=lambda x, _: -x)
    zeros = np.array([0.0, -0.0], np.float32)  # of these either is the greatest
    check(lambda x: lax.reduce_max(x, (0,)), zeros, spoil=lambda x, _: -x)
    with pytest.raises(AssertionError):
        check(lambda x: lax.reduce_max(x, (0,)), X, spoil=_up(1))


def test_rounding_has_the_tolerance_of_what_follows(check):
    check(lax.exp, X, spoil=_up(3))
    with pytest.raises(AssertionError, match="differs from the reference's"):
        check(lax.exp, X, spoil=_up(200))
    # the error of the first exponential is 11 times that of its logarithm
    check(lambda x: lax.exp(lax.mul(x, lax.exp(x))), X[:1], spoil=_up(8))


def test_nans_are_equal(check):
    nan = np.array([np.nan], np.float32)
    check(lambda x: lax.add(x, x), nan, spoil=lambda x, _: -x)
    with pytest.raises(AssertionError, match=r"0\.0.* instead of .*nan"):
        check(lambda x: lax.add(x, x), nan, spoil=lambda x, _: np.zeros_like(x))


def test_the_second_call_gives_the_same_bits(check):
    with pytest.raises(AssertionError, match="spoiled called again differs"):
        check(lax.exp, X, spoil=lambda x, calls: x if calls == 1 else x + 1)


def test_types_count(check):
    with pytest.raises(AssertionError, match=r"a result is float64\(4,\) instead of f32\[4\]"):
        check(lax.exp, X, spoil=lambda x, _: x.astype(np.float64))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_spacing(dtype):
    info = np.finfo(dtype)
    x = np.array([0, 1, -1, 1.5, 2, info.tiny, info.smallest_subnormal, info.max / 2, -3e-3], dtype)
    np.testing.assert_array_equal(spacing(x), np.spacing(np.abs(x)).astype(np.float64))
