"""Programs: what is left of a jaxpr when it is compiled, a list of steps over views of buffers.

A `Program` knows every shape. Its steps are kernels (`loop_ir`), routines (library calls, written
in native code against the same interface), and host calls for what has neither. It is independent
of the target but for the routines; `backends/numba` turns it into one native call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcflow.backends.loop_ir import Kernel, Value
from funcflow.core.jaxpr import JaxprEqn, Var


@dataclass(eq=False, slots=True)
class Buffer:
    """A piece of memory. Equality is identity.

    `role` is "argument", "constant", "output" or "temporary"; only the last two are written.
    """

    role: str
    nbytes: int


class View(NamedTuple):
    """An array in a buffer. Strides and offset count elements, not bytes."""

    buffer: Buffer
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def dense(self) -> bool:
        """Whether the elements lie one after the other in C order."""
        expected = 1
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != expected:
                return self.size == 0
            expected *= n
        return True

    @property
    def whole(self) -> bool:
        """Whether it is all of the buffer, in C order."""
        return self.dense and self.size * self.dtype.itemsize == self.buffer.nbytes

    def transpose(self, permutation: Sequence[int]) -> "View":
        """The axes in another order."""
        shape = tuple(self.shape[i] for i in permutation)
        strides = tuple(self.strides[i] for i in permutation)
        return View(self.buffer, self.dtype, shape, strides, self.offset)

    def reshape(self, shape: Sequence[int]) -> "View | None":
        """The same elements in another shape, or None where that takes a copy."""
        strides = _reshaped_strides(self.shape, self.strides, tuple(shape))
        if strides is None:
            return None
        return View(self.buffer, self.dtype, tuple(shape), strides, self.offset)

    def part(self, axis: int, start: int, size: int) -> "View":
        """The elements from `start` on along one axis."""
        starts = [start if i == axis else 0 for i in range(len(self.shape))]
        limits = [start + size if i == axis else n for i, n in enumerate(self.shape)]
        return self.slice(starts, limits, [1] * len(self.shape))

    def slice(self, starts: Sequence[int], limits: Sequence[int], steps: Sequence[int]) -> "View":
        """Every `step`-th element from start to limit along each axis."""
        shape = tuple(
            max(0, -(-(b - a) // s)) for a, b, s in zip(starts, limits, steps, strict=True)
        )
        offset = sum(a * s for a, s in zip(starts, self.strides, strict=True))
        strides = tuple(s * step for s, step in zip(self.strides, steps, strict=True))
        return View(self.buffer, self.dtype, shape, strides, self.offset + offset)

    def reverse(self, axes: Sequence[int]) -> "View":
        """The elements along some axes in reverse order."""
        strides = tuple(-s if i in axes else s for i, s in enumerate(self.strides))
        offset = sum((self.shape[i] - 1) * self.strides[i] for i in axes if self.shape[i])
        return View(self.buffer, self.dtype, self.shape, strides, self.offset + offset)

    def half(self, number: int) -> "View":
        """The real parts (0) or the imaginary ones (1) of complex numbers."""
        strides = tuple(2 * s for s in self.strides)
        real = np.dtype(f"f{self.dtype.itemsize // 2}")
        return View(self.buffer, real, self.shape, strides, 2 * self.offset + number)

    def broadcast(self, shape: Sequence[int], axes: Sequence[int]) -> "View":
        """Axis i becomes axis `axes[i]` of `shape`; the others, and those of extent 1, repeat."""
        strides = [0] * len(shape)
        for n, stride, axis in zip(self.shape, self.strides, axes, strict=True):
            strides[axis] = stride if n == shape[axis] else 0
        return View(self.buffer, self.dtype, tuple(shape), tuple(strides), self.offset)


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of an array in C order."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(shape[i + 1], 1)
    return tuple(strides)


def dense_view(role: str, shape: Sequence[int], dtype: Any) -> View:
    """All of a new buffer, in C order."""
    dtype = np.dtype(dtype)
    buffer = Buffer(role, prod(shape) * dtype.itemsize)
    return View(buffer, dtype, tuple(shape), dense_strides(shape))


def _reshaped_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Strides of the same elements under another shape: runs of axes are matched by their sizes."""
    if 0 in shape:
        return dense_strides(new)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    result = [0] * len(new)
    i = 0  # place in `old`
    j = 0  # place in `new`
    while i < len(old):
        n, m, first, start = old[i][0], 1, i, j
        while m != n:
            if m < n:
                m *= new[j]
                j += 1
            else:
                i += 1
                n *= old[i][0]
        # the old axes of this run must be one contiguous piece
        for (_, outer), (inner_n, inner) in zip(old[first:i], old[first + 1 : i + 1], strict=True):
            if outer != inner * inner_n:
                return None
        stride = old[i][1]
        for k in range(j - 1, start - 1, -1):
            result[k] = stride
            stride *= new[k]
        i += 1
    return tuple(result)


@dataclass(frozen=True)
class Routine:
    """A step in native code: `text` is LLVM IR that defines `void @name(ptr buffers, ptr params)`.

    The first of the parameters are `addresses`: places of foreign functions in this process, which
    therefore never become part of the code.

    With `split` the function has the signature of kernels, `void @name(ptr buffers, ptr params,
    i64 lo, i64 hi)`, and ranges of the step's extent may be run apart, in parallel.
    """

    name: str
    text: str
    addresses: tuple[int, ...] = ()
    split: bool = False

    @cached_property
    def digest(self) -> str:
        """A short name for the text."""
        return sha256(self.text.encode()).hexdigest()[:24]


class HostCall(NamedTuple):
    """A step that Python runs: the equation's reference implementation."""

    eqn: JaxprEqn
    reason: str


Work: TypeAlias = Kernel | Routine | HostCall


class Check(NamedTuple):
    """What native code notes when it fails.

    Attributes:
        raise_noted: raises what was noted, by any thread, and forgets it.
        count_at: the address of an int64 that each failure makes larger; None if there is none.
    """

    raise_noted: Callable[[], None]
    count_at: int | None = None


class Footprint(NamedTuple):
    """Which elements of a view an index of axis 0 touches.

    Index i touches some from `i * stride + low` to `i * stride + high`, from the view's first on.
    """

    stride: int
    low: int
    high: int


@dataclass(eq=False)
class Step:
    """Work on views: it reads some and writes others.

    Attributes:
        params: the int64 parameters of a kernel or routine (without the routine's addresses).
        extent: a kernel's extent of axis 0, or how many parts a routine with `split` has.
        grain: the least number of indices of axis 0 that is worth a thread; 0 if it is not cut.
        eqns: the equations that the step computes, for explanations.
        note: what was decided and why.
        resources: objects that must live as long as the step.
        origins: the equations that a kernel's values are results of.
        checks: what raises, after the native call that ran the step, what native code cannot.
        by_rows: of a routine that computes rows of a matrix: what makes the step whose index of
            axis 0 is so many rows.
        footprints: of such a step, what an index touches of what it reads, then writes.
    """

    work: Work
    reads: tuple[View, ...]
    writes: tuple[View, ...]
    params: tuple[int, ...] = ()
    extent: int = 1
    grain: int = 0
    eqns: tuple[JaxprEqn, ...] = ()
    note: str = ""
    resources: tuple[Any, ...] = field(default=())
    origins: Mapping[Value, JaxprEqn] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    by_rows: "Callable[[int], Step] | None" = None
    footprints: tuple[Footprint, ...] = ()

    @cached_property
    def bytes_moved(self) -> int:
        """The bytes that the step must at least read and write, once each."""
        return sum(v.size * v.dtype.itemsize for v in (*self.reads, *self.writes))


class Apart(NamedTuple):
    """Why an equation is not in the kernel that computes one of its operands."""

    operand: Var
    eqn: JaxprEqn
    reason: str


@dataclass(eq=False)
class Program:
    """Steps from arguments to outputs.

    Attributes:
        apart: what was decided against in fusion, for explanations.
        blocks: into how many blocks of rows the steps may be cut, each of which can be run through
            all steps apart; see `passes/row_blocks`.
    """

    arguments: list[View]
    constants: list[tuple[View, np.ndarray[Any, Any]]]
    outputs: list[View]
    steps: list[Step]
    apart: Sequence[Apart] = ()
    blocks: int = 1
