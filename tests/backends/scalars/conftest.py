"""What the tests of expansions share: the reference, and numbers to compare on."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import mpmath
import numpy as np
import pytest

from funcflow.backends.loop_ir import Kernel, Let, Store, Value
from funcflow.backends.scalars import expand
from funcflow.backends.scalars.evaluate import evaluate_ops
from funcflow.core import dtypes, rules
from funcflow.core.aval import ShapedArray
from funcflow.core.primitive import Primitive
from funcflow.lax.casting import bitcast_convert_type_p, convert_element_type_p
from funcflow.lax.forms import ELEMENTWISE

Elements = np.ndarray[Any, Any]

# All argument tuples of the edge cases for up to this many arguments; more take random ones.
FULL_GRID = 2

NAMED = {p.name: p for p in (*ELEMENTWISE, convert_element_type_p, bitcast_convert_type_p)}


def evaluated(primitive: Primitive, *args: Elements, **params: Any) -> list[Elements]:
    """What the expansion of a primitive computes on each element."""
    values = [Value(x.dtype) for x in args]
    outs = rules.abstract[primitive](*[ShapedArray(x.shape, x.dtype) for x in args], **params)
    results = outs if isinstance(outs, list) else [outs]
    body: list[Any] = []
    for k, aval in enumerate(results):
        which = {"result": k} if isinstance(outs, list) else {}
        let = Let(Value(aval.dtype), primitive.name, tuple(values), params | which)
        body += [let, Store(k, let.out)]
    kernel = expand(Kernel(0, (), (), tuple(body)))
    lines = [s for s in kernel.body if not isinstance(s, Store)]
    stores = [s for s in kernel.body if isinstance(s, Store)]
    computed = evaluate_ops(lines, dict(zip(values, args, strict=True)))
    assert [s.value.dtype for s in stores] == [aval.dtype for aval in results]
    return [np.broadcast_to(computed[s.value], args[0].shape) for s in stores]


def check_expansion(primitive: Primitive, *args: Elements, **params: Any) -> None:
    """The expansion has the bits of `impl`; any NaN is as good as another."""
    with np.errstate(all="ignore"):
        wanted = rules.impl[primitive](np, *args, **params)
        wanted = wanted if isinstance(wanted, list) else [wanted]
        found = evaluated(primitive, *args, **params)
    for x, y in zip(found, wanted, strict=True):
        assert x.dtype == y.dtype
        where = np.flatnonzero(_differ(x, np.broadcast_to(y, x.shape)))[:5]
        shown = [(*[a[i] for a in args], x[i], y[i]) for i in where]
        assert not shown, f"{primitive.name} {params}: arguments, found, wanted: {shown}"


def _differ(x: Elements, y: Elements) -> Elements:
    differ = _bits(x) != _bits(y)
    if not dtypes.is_float(x.dtype):
        return differ
    with np.errstate(invalid="ignore"):
        return differ & ~(np.isnan(x) & np.isnan(y))


def _bits(x: Elements) -> Elements:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def edge_cases(dtype: Any) -> Elements:
    """The numbers of a dtype at which something changes."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return np.array([False, True])
    if dtypes.is_integer(dtype):
        limits, bits = np.iinfo(dtype), 8 * dtype.itemsize
        near = [-2, -1, 0, 1, 2, 3, 7, bits - 1, bits, bits + 1]
        ends = [limits.min, limits.min + 1, limits.max - 1, limits.max, limits.max // 2]
        return np.array([x for x in near + ends if limits.min <= x <= limits.max], dtype)
    return np.concatenate([_special_floats(dtype), _near_integers(dtype)])


def _special_floats(dtype: np.dtype[Any]) -> Elements:
    info = ml_dtypes.finfo(dtype)
    one = np.ones((), dtype)
    numbers = [
        np.zeros((), dtype), info.smallest_subnormal, info.tiny, info.max, one,
        np.nextafter(one, -one), info.tiny - info.smallest_subnormal, 2 * info.smallest_subnormal,
        np.array(np.inf).astype(dtype), np.array(np.nan).astype(dtype),
    ]  # fmt: skip
    positive = np.array([np.asarray(x).astype(dtype)[()] for x in numbers], dtype)
    return np.concatenate([positive, -positive])


def _near_integers(dtype: np.dtype[Any]) -> Elements:
    """Halves, and the ends of the integers' ranges with the numbers on either side."""
    ends = [2.0**n for n in (7, 8, 11, 15, 16, 24, 31, 32, 53, 63, 64)]
    numbers = np.array([0.5, 1.5, 2.5, 2.75, 3.0, 100.0, *ends])
    exact = numbers[numbers <= float(ml_dtypes.finfo(dtype).max)].astype(dtype)
    towards = np.zeros((), dtype), np.array(np.inf).astype(dtype)
    positive = np.concatenate([exact, *[np.nextafter(exact, goal) for goal in towards]])
    return np.concatenate([positive, -positive])


def random_values(dtype: Any, count: int, seed: int) -> Elements:
    """Random bit patterns, so floats have all exponents; every other integer is small."""
    dtype, rng = np.dtype(dtype), np.random.default_rng(seed)
    if dtype == np.bool_:
        return rng.integers(0, 2, count).astype(bool)
    values = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).copy()
    if dtypes.is_integer(dtype):
        values[::2] = values[::2] % np.array(50, dtype)
    return values


def argument_grid(kinds: Sequence[Any], seed: int = 0) -> list[Elements]:
    """Columns of arguments of these dtypes: edge cases with each other, and random ones."""
    cases = [edge_cases(dtype) for dtype in kinds]
    if len(kinds) > FULL_GRID:
        rng = np.random.default_rng(seed)
        rows = [rng.choice(case, 4000) for case in cases]
    else:
        chosen = list(itertools.product(*[range(len(case)) for case in cases]))
        rows = [case[[row[i] for row in chosen]] for i, case in enumerate(cases)]
    return [
        np.concatenate([row, random_values(dtype, 2000, seed + i)])
        for i, (row, dtype) in enumerate(zip(rows, kinds, strict=True))
    ]


@pytest.fixture
def check() -> Callable[..., None]:
    """`check(name, *dtypes, **params)`: the expansion of a primitive agrees with its `impl`."""

    def compare(name: str, *kinds: Any, **params: Any) -> None:
        check_expansion(NAMED[name], *argument_grid(kinds), **params)

    return compare


@pytest.fixture
def check_on() -> Callable[..., None]:
    """`check_on(name, *arrays, **params)`: the same on given arguments."""

    def compare(name: str, *args: Elements, **params: Any) -> None:
        check_expansion(NAMED[name], *args, **params)

    return compare


# --- approximations: errors in units in the last place ------------------------------------------

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def spread_floats(dtype: Any, mantissas: int) -> Elements:
    """Floats of all exponents of float32, or of some of float64's, with random mantissas."""
    dtype, rng = np.dtype(dtype), np.random.default_rng(1)
    digits, exponents = (23, np.arange(255)) if dtype == FLOATS[0] else (52, np.arange(0, 2047, 9))
    shape = (len(exponents), mantissas)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    bits = exponents[:, None].astype(unsigned) << unsigned.type(digits)
    bits = bits | rng.integers(0, 2**digits, shape).astype(unsigned)
    positive = bits.view(dtype).ravel()
    usual = rng.normal(0, 1, 20 * mantissas) * rng.choice([0.1, 1, 10, 100], 20 * mantissas)
    return np.concatenate([positive, -positive, usual.astype(dtype)])


def exact_values(
    wide: Callable[..., Any], exact: Callable[..., Any], *args: Elements
) -> tuple[Elements, Elements]:
    """Results as float64 and what is left: those of `wide`, a function of NumPy, for float32.

    Those of `exact`, a function of mpmath, for float64, unless a number is 0 or infinite.
    """
    high = np.asarray(wide(*[x.astype(np.float64) for x in args]), np.float64)
    low = np.zeros_like(high)
    if args[0].dtype == FLOATS[0]:
        return high, low
    plain = np.isfinite(high) & np.all([np.isfinite(x) & (x != 0) for x in args], axis=0)
    for i in np.flatnonzero(plain):
        value = exact(*[mpmath.mpf(float(x[i])) for x in args])
        high[i] = float(value) or 0 * high[i]
        low[i] = float(value - mpmath.mpf(high[i])) if np.isfinite(high[i]) else 0
    return high, low


def ulps(found: Elements, high: Elements, low: Elements) -> Elements:
    """Errors in units in the last place; infinite where infinities, NaNs or zeros' signs differ."""
    info = np.finfo(found.dtype)
    exponents = np.frexp(high)[1] - info.nmant - 1
    unit = np.ldexp(1.0, np.maximum(exponents, info.minexp - info.nmant))
    rounded = high.astype(found.dtype)
    errors = abs((found.astype(np.float64) - high) - low) / unit
    errors[_differ(found, rounded) & ((high == 0) | ~np.isfinite(rounded))] = np.inf
    errors[~_differ(found, rounded) & ((high == 0) | ~np.isfinite(rounded))] = 0
    return np.where(np.isnan(errors), np.inf, errors)


def _numbers(dtype: np.dtype[Any], special: Sequence[float], mantissas: int) -> Elements:
    numbers = np.array(special, dtype)
    around = [np.nextafter(numbers, dtype.type(end)) for end in (-np.inf, np.inf)]
    spread = spread_floats(dtype, mantissas if dtype == FLOATS[0] else 1)
    return np.concatenate([edge_cases(dtype), spread, numbers, *around])


@pytest.fixture
def within() -> Callable[..., None]:
    """`within(name, bounds, wide, exact)`: the ulps of float32 and float64 are at most `bounds`.

    `special` are more numbers to try; `arguments(dtype)` gives all, of functions of several.
    """

    def compare(
        name: str,
        bounds: tuple[float, float],
        wide: Callable[..., Any],
        exact: Callable[..., Any],
        *,
        special: Sequence[float] = (),
        arguments: Callable[[np.dtype[Any]], list[Elements]] | None = None,
        mantissas: int = 4,
    ) -> None:
        for dtype, bound in zip(FLOATS[: 2 if mantissas < 100 else 1], bounds, strict=False):
            with np.errstate(all="ignore"), mpmath.workprec(200):
                args = arguments(dtype) if arguments else [_numbers(dtype, special, mantissas)]
                found = evaluated(NAMED[name], *args)[0]
                high, low = exact_values(wide, exact, *args)
                errors = ulps(found, high, low)
            i = int(np.argmax(errors))
            shown = [x[i] for x in args], found[i], high[i]
            assert errors[i] <= bound, f"{name}: {errors[i]} ulp: arguments, found, exact: {shown}"

    return compare


@pytest.fixture
def evaluate() -> Callable[..., Elements]:
    """`evaluate(name, *arrays)`: what the expansion of a primitive computes."""
    return lambda name, *args: evaluated(NAMED[name], *args)[0]
