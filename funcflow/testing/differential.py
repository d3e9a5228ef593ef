"""Comparing a backend with the reference on one program."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import as_buffer
from funcflow.core.backend import get_backend
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.rewrite import hoist
from funcflow.testing.monte_carlo import Freedom, Perturbed, freedoms, spacing

_Array = np.ndarray[Any, Any]

# Evaluations with moved roundings; the second number holds where the first finds a difference.
_EVALUATIONS = (6, 60)
# How much more than these evaluations vary results may differ by, and by how many units in the
# last place even where they do not vary.
_FACTOR = 4
_ULPS = 4


class Program(Protocol):
    """What can be checked; its `str` goes into messages."""

    @property
    def jaxpr(self) -> ClosedJaxpr: ...

    @property
    def arguments(self) -> Sequence[_Array]: ...


class _Range(NamedTuple):
    """Between what numbers an output varies, and where it varies too much to be compared."""

    low: _Array
    high: _Array
    unclear: _Array


def check_program(program: Program, *, backend: str = "cpu") -> None:
    """Refuse a backend whose results of a program differ from those of the reference.

    Results that no operation affects whose rounding is left open must be equal bit for bit, except
    for the payloads of NaNs. Others may differ by what Monte Carlo arithmetic finds that roundings
    can do to them. The program is called twice, and must give the same bits again.

    Args:
        program: a `RandomProgram`, or anything with a jaxpr and arguments.
        backend: the backend to check.

    Raises:
        AssertionError: with the program, the first output and the first element that differ.

    Example:
        >>> from funcflow.testing import check_program, random_program
        >>> check_program(random_program(1, size=3))
    """
    closed, arguments = program.jaxpr, program.arguments
    expected, _ = run_twice("reference", closed, arguments)
    got, again = run_twice(backend, closed, arguments)
    for i, (x, y) in enumerate(zip(got, again, strict=True)):
        if x.tobytes() != y.tobytes():
            bad = ~_same(x, y)
            raise AssertionError(_message(program, f"{backend} called again", i, x, y, bad))
    loose = freedoms(closed.jaxpr)
    bad = [~_same(x, y) for x, y in zip(got, expected, strict=True)]
    for count in _EVALUATIONS:
        if any(b.any() and free for b, free in zip(bad, loose, strict=True)):
            ranges = _ranges(closed, arguments, expected, count)
            for i, (x, free) in enumerate(zip(got, loose, strict=True)):
                bad[i] &= ~(bool(free) & _allowed(x, expected[i], ranges[i], free))
    for i, where in enumerate(bad):
        if where.any():
            raise AssertionError(_message(program, backend, i, got[i], expected[i], where))


def run_twice(
    backend: str, closed: ClosedJaxpr, arguments: Sequence[_Array]
) -> tuple[list[_Array], list[_Array]]:
    """The results of two calls of a program, as `jit` would compile it."""
    open_, consts = hoist(closed)
    *_, lowered = get_backend(backend).lower(open_).values()
    executable = get_backend(backend).compile(lowered)
    buffers = [*(as_buffer(c) for c in consts), *arguments]
    first, second = ([np.asarray(x) for x in executable(*buffers)] for _ in range(2))
    for x, aval in zip(first, closed.out_avals, strict=True):
        if (x.shape, x.dtype) != (aval.shape, aval.dtype):
            raise AssertionError(f"{backend}: a result is {x.dtype}{x.shape} instead of {aval}")
    return first, second


def _same(x: _Array, y: _Array) -> _Array:
    """Where two arrays have the same bits; NaNs have, whatever their payloads."""
    if x.dtype.kind == "c":
        return _same(x.real, y.real) & _same(x.imag, y.imag)
    equal = x == y
    if dtypes.is_float(x.dtype):
        equal &= np.signbit(x) == np.signbit(y)
        equal |= np.isnan(x) & np.isnan(y)
    return equal


def _ranges(
    closed: ClosedJaxpr, arguments: Sequence[_Array], expected: Sequence[_Array], count: int
) -> list[_Range]:
    """How the outputs vary over some evaluations with moved roundings."""
    found: list[list[_Array]] = [[_parts(x)] for x in expected]
    for seed in range(count):
        moved = Perturbed(np.random.default_rng(seed))(closed, arguments)
        for samples, x in zip(found, moved, strict=True):
            samples.append(_parts(x))
    return [_range(np.stack(samples)) for samples in found]


def _range(samples: _Array) -> _Range:
    with np.errstate(all="ignore"):
        first = samples[0]
        # not finite in the same way each time, or the comparison has no meaning
        strange = ~np.isfinite(samples)
        constant = ((samples == first) | (np.isnan(samples) & np.isnan(first))).all(axis=0)
        return _Range(samples.min(axis=0), samples.max(axis=0), strange.any(axis=0) & ~constant)


def _parts(x: _Array) -> _Array:
    """Numbers as doubles; a complex one as two of them. Large integers are rounded."""
    if x.dtype.kind == "c":
        return np.stack([x.real, x.imag], -1).astype(np.float64)
    return x.astype(np.float64)


def _allowed(got: _Array, expected: _Array, found: _Range, free: Freedom) -> _Array:
    """Where a result is within what the freedom left to implementations can do."""
    x, y = _parts(got), _parts(expected)
    ulps = _ULPS if free == Freedom.ROUNDING else 0
    with np.errstate(all="ignore"):
        unit = spacing(expected.real) if dtypes.is_float(expected.dtype) else np.zeros(y.shape)
        if expected.dtype.kind == "c":
            unit = spacing(np.max(np.abs(y), -1, keepdims=True).astype(expected.real.dtype))
        slack = _FACTOR * (found.high - found.low) + ulps * unit
        close = (x >= y - slack) & (x <= y + slack)
        equal = (x == y) | (np.isnan(x) & np.isnan(y))
    fine = close | equal | found.unclear
    return fine.all(axis=-1) if expected.dtype.kind == "c" else fine


def _message(
    program: Program, what: str, i: int, got: _Array, expected: _Array, bad: _Array
) -> str:
    index = tuple(int(k) for k in np.argwhere(bad)[0])
    return (
        f"output {i} of {what} differs from the reference's in {bad.sum()} of {bad.size} "
        f"elements, first at {index}: {got[index]!r} instead of {expected[index]!r}\n{program}"
    )
