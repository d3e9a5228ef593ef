"""Random programs, to test compilers with: each is a jaxpr and arguments for it, named by a seed.

check_program(random_program(seed))
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import wrap
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.staging import stage_out
from funcflow.testing.calls import EXACT, INEXACT, LANES
from funcflow.testing.writer import DType, Shape, Writer

# Extents around the numbers of lanes of vectors, and those that need care.
_EXTENTS = [1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 11, 13, 16, 17, 31, 33, 64, 67]
_SMALL = 1500
_LARGE = 150_000
_FLOATS = [*["float32"] * 6, "float64", "float64", "bfloat16", "float16"]
_INTEGERS = [*["int32"] * 3, "int64", "int8", "int16", "uint8", "uint16", "uint32", "uint64"]


@dataclass(frozen=True, eq=False)
class RandomProgram:
    """A program and arguments for it.

    Attributes:
        seed: names the program, together with the size and whether it is exact.
        exact: whether the result is the same in any order of evaluation, bit for bit.
        jaxpr: the program. Its text is a program of its own, see `core.parse`.
        arguments: what to call it with; infinities and NaNs are among the values.
        lanes: whether functions are mapped in it.
    """

    seed: int
    size: int
    exact: bool
    jaxpr: ClosedJaxpr
    arguments: tuple[np.ndarray[Any, Any], ...]
    lanes: bool = False

    def __str__(self) -> str:
        lanes = ", lanes=True" if self.lanes else ""
        call = f"random_program({self.seed}, size={self.size}, exact={self.exact}{lanes})"
        return f"{call}\n{self.jaxpr}"


def random_program(
    seed: int, *, size: int | None = None, exact: bool = False, lanes: bool = False
) -> RandomProgram:
    """A random program.

    Programs have values of all dtypes and of up to five dimensions, share values, return several
    of them, and contain whatever `funcflow.lax` has: elementwise operations, reductions,
    movements of data, products, convolutions, loops, branches, calls, and gradients.

    Args:
        seed: names the program. Another version of funcflow may make another one of it.
        size: how many operations to write; from 1 to 40 by default.
        exact: whether to leave out whatever may be rounded in more than one way: transcendental
            functions, and sums and products of floating numbers.
        lanes: whether functions are mapped over lanes as well, with loops and branches inside.

    Example:
        >>> from funcflow.testing import random_program
        >>> program = random_program(3, size=2)
        >>> len(program.arguments) == len(program.jaxpr.jaxpr.invars)
        True
    """
    rng = np.random.default_rng(seed)
    if size is None:
        size = int(min(40, 1 + rng.geometric(0.1)))
    large = size <= 6 and rng.random() < 0.1
    chosen = _dtypes(rng)
    w = Writer(
        rng,
        [*(EXACT if exact else INEXACT), *(LANES if lanes else [])],
        _shapes(rng, _LARGE if large else _SMALL, large),
        chosen,
        exact=exact,
        limit=_LARGE if large else _SMALL,
    )
    avals = [
        ShapedArray(w.choose(w.shapes), chosen[0] if w.chance(0.6) else w.choose(chosen))
        for _ in range(w.integer(1, 4))
    ]
    arguments = tuple(values(rng, aval.shape, aval.dtype, special=0.1) for aval in avals)
    captured = values(rng, w.choose(w.shapes), chosen[0], special=0.1)

    def program(*args: Any) -> list[Any]:
        w.values = [wrap(captured)] if w.chance(0.3) else []
        w.values += args
        w.write(size)
        return _results(w, len(args))

    return RandomProgram(seed, size, exact, stage_out(program, avals), arguments, lanes)


def values(
    rng: np.random.Generator, shape: Shape, dtype: DType, *, special: float
) -> np.ndarray[Any, Any]:
    """Random values of a dtype, most of them small; so many of them are special ones."""
    kind = dtypes.kind(dtype)
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind == "c":
        part = dtypes.real_of(dtype)
        real, imag = (values(rng, shape, part, special=special) for _ in range(2))
        both = np.empty(shape, dtype)
        both.real, both.imag = real, imag
        return both
    if kind in "iu":
        limits = np.iinfo(dtype)
        small = rng.integers(max(limits.min, -9), 10, shape).astype(dtype)
        extreme = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        edges = rng.choice(np.array([limits.min, limits.max, 0], dtype), shape)
        rare = np.where(rng.random(shape) < 0.5, extreme, edges)
    else:
        small = rng.standard_normal(shape) * 2.0 ** rng.integers(-2, 3, shape)
        small = np.where(rng.random(shape) < 0.2, np.round(small), small)
        limits = ml_dtypes.finfo(dtype)
        tiny = float(limits.smallest_subnormal)
        rare = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 3 * tiny, -tiny, 1e4, 1e-4], shape)
    # Most arrays have no special values: NaNs and infinities would soon be all that is left.
    share = special if rng.random() < 0.3 else 0.0
    return np.where(rng.random(shape) < share, rare, small).astype(dtype)


def _dtypes(rng: np.random.Generator) -> list[DType]:
    """What a program computes in, the chief dtype first."""
    names = [*_FLOATS, *_FLOATS, *_INTEGERS, "bool"]
    chief = "complex64" if rng.random() < 0.05 else names[int(rng.integers(len(names)))]
    others = [str(rng.choice(pool)) for pool in (_FLOATS, _INTEGERS, ["bool"])]
    return [dtypes.as_dtype(name) for name in (chief, chief, *others)]


def _shapes(rng: np.random.Generator, limit: int, large: bool) -> list[Shape]:
    """Shapes of a few extents only, so that many values have equal shapes."""
    extents = [int(n) for n in rng.choice(_EXTENTS, 3)]
    if rng.random() < 0.08:
        extents[0] = 0
    if large:
        extents[1] = int(rng.choice([257, 1000, 4099, 33_000, 70_001]))
    shapes: list[Shape] = []
    for _ in range(4):
        shape = tuple(
            1 if rng.random() < 0.12 else extents[int(rng.integers(3))]
            for _ in range(int(rng.choice([0, 1, 2, 2, 3, 3, 4])))
        )
        while prod(shape) > limit:
            shape = shape[1:]
        shapes.append(shape)
    return shapes


def _results(w: Writer, arguments: int) -> list[Any]:
    """What a program returns: its last value, others of its values, now and then an argument."""
    written = w.values[arguments:] or w.values
    found = [w.choose(written) for _ in range(w.integer(0, 6))]
    if w.chance(0.1):
        found.append(w.choose(w.values))
    return [*found, w.values[-1]]
