"""The loop-nest IR: what a kernel does, without a word of how a target says it.

A `Kernel` is a nest of loops over *axes*. Extents and strides are parameters of a call, so one
kernel serves every shape of its rank. Each operand is a strided view with one stride per axis, and
is addressed by the indices of the loops around, so an access needs no index arithmetic. Values are
in static single assignment form; a loop carries values from one iteration to the next.

A loop with `lanes` > 1 is a vector loop. Its iterations are independent of each other but for
reductions: iteration i adds to lane i mod lanes, and at the end the upper half of the lanes is
merged into the lower half until one is left. That order is part of the kernel's meaning, so a
result depends neither on the target's vectors nor on the number of threads.

There are no branches but one kind: a `Guard` marks work that few elements need. It means a
`select`, and lets a target skip the work where no lane needs it. A `While` goes on until what it
computes says otherwise; in a vector loop each lane decides for itself.

Operations are named after primitives of `lax` and mean the same on one element. What a target has
no instruction for is taken apart first (`backends/scalars`), into `MACHINE_OPS`.

A kernel is legal (`loop_check.check_kernel`) if
- each value is defined once, before its uses, in a region that encloses them;
- no loop runs over an axis that a loop around it runs over;
- an operand is touched only inside loops over all axes that it has a stride for;
- a store at the loops' indices is inside no loop over an axis that its operand has no stride for;
- a path from the root has at most one vector loop, and reductions called "sequence" are not in one;
- the body of a guard has only operations, guards and whiles, and no access to operands;
- the test and the body of a while have no loops, and the test does not store;
- in a ragged kernel a loop over axis 1 is inside one over axis 0, which is no vector loop;
- a kernel with `split` has its loop over axis 0 outermost, and that loop carries nothing.
An output may be the same view as an input whose element is read before it is written.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import numpy as np

INDEX = np.dtype(np.int64)

# The operations that every printer knows. Comparisons give bool; `select` takes (condition, if
# true, if false); `convert` and `bitcast` go to the dtype of their result; `fma` is rounded once;
# `rint` rounds half to even; `div` and `rem` of integers are for divisors that are neither 0 nor
# -1; shifts are for 0 <= count < bits. max, min, abs, sqrt, ... treat NaN as NumPy does.
# `fast_max` and `fast_min` may return either argument if one is NaN, and either zero.
_MACHINE_OPS = """
    add sub mul div rem neg abs max min fast_max fast_min sqrt fma floor ceil trunc rint copysign
    and or xor not shift_left shift_right_arithmetic shift_right_logical population_count clz
    eq ne lt le gt ge select convert bitcast const scalar index
"""
MACHINE_OPS = frozenset(_MACHINE_OPS.split())

# Operations that only some processors have; for all others they are taken apart. `scale(n, m, x)`
# is x times 2^n, rounded once, of x in [2^-9, 2] and a whole float n in [-2 b, b + 1], where b is
# the exponent's bias, or of two NaNs; m is an integer whose last bits are those of n + 2 b.
SPECIAL_OPS = frozenset(["scale"])

# How lanes of a reduction are merged. "argmax" and "argmin" carry (value, index): a NaN wins, then
# the better value, then the smaller index. "sequence" is no reduction, but a recurrence.
MERGES = frozenset(["add", "mul", "max", "min", "and", "or", "xor", "argmax", "argmin", "sequence"])


@dataclass(eq=False, slots=True)
class Value:
    """What an operation computes: one element, or one per lane inside a vector loop."""

    dtype: np.dtype[Any]


@dataclass(eq=False, slots=True)
class Let:
    """`out = op(*args)`. Three operations have no arguments.

    `const` is the number `params["value"]`, `scalar` the call's scalar parameter number
    `params["number"]`, `index` the position in the loop over `params["axis"]` (int64).
    """

    out: Value
    op: str
    args: tuple[Value, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Load:
    """`out` is the operand's element at the loops' indices, `offset` elements further on.

    Where `mask` is given and false, nothing is read and `out` is 0.
    """

    out: Value
    operand: int
    offset: Value | None = None
    mask: Value | None = None


@dataclass(eq=False, slots=True)
class Store:
    """The operand's element at the loops' indices, `offset` further on, becomes `value`.

    Where `mask` is given and false, nothing is written.
    """

    operand: int
    value: Value
    offset: Value | None = None
    mask: Value | None = None


@dataclass(eq=False, slots=True)
class Reduction:
    """Values that a loop carries from one iteration to the next.

    `inside` is `starts` at first, then the `nexts` of the last iteration; `results` is what is left
    after the loop. In a vector loop `starts` holds for every lane, so it must be neutral.
    """

    merge: str
    starts: tuple[Value, ...]
    inside: tuple[Value, ...]
    nexts: tuple[Value, ...]
    results: tuple[Value, ...]


@dataclass(eq=False, slots=True)
class Loop:
    """The body, once for each index of an axis, in order."""

    axis: int
    body: "tuple[Statement, ...]"
    lanes: int = 1
    reductions: tuple[Reduction, ...] = ()


@dataclass(eq=False, slots=True)
class Guard:
    """Rare work: `results` are `values` where `mask` holds, elsewhere `others`.

    The body computes `values`. It has no effects and, like all code, runs in every lane or in none;
    a target may skip it where the mask holds in no lane. If it is `dear`, it takes so long that a
    target does well to collect the lanes that need it, and to run them side by side.
    """

    mask: Value
    body: "tuple[Statement, ...]"
    values: tuple[Value, ...]
    others: tuple[Value, ...]
    results: tuple[Value, ...]
    dear: bool = False


@dataclass(eq=False, slots=True)
class While:
    """The body, again and again, as long as `goes_on` holds.

    `inside` is `starts` at first, then the `nexts` of the last iteration; `results` is what is
    left. In a vector loop the test, which computes `goes_on`, and the body run for all lanes while
    `goes_on` holds in any; where it does not, a lane keeps what it has, and the body reads and
    writes nothing for it.
    """

    starts: tuple[Value, ...]
    inside: tuple[Value, ...]
    test: "tuple[Statement, ...]"
    goes_on: Value
    body: "tuple[Statement, ...]"
    nexts: tuple[Value, ...]
    results: tuple[Value, ...]


Statement: TypeAlias = Let | Load | Store | Loop | Guard | While

# Strides of an operand along an axis: it does not depend on it, it is contiguous, every other
# element is it (the parts of complex numbers), or any number.
FIXED, UNIT, PAIRED, ANY = 0, 1, 2, None
Stride: TypeAlias = int | None


class Operand(NamedTuple):
    """A view that a kernel reads or writes: its dtype, and the kind of its stride by axis."""

    dtype: np.dtype[Any]
    strides: tuple[Stride, ...]
    written: bool = False


@dataclass(frozen=True)
class Kernel:
    """A loop nest over operands; see the module.

    Attributes:
        axes: how many axes there are.
        operands: the views, those that are written last.
        scalars: the dtypes of the scalar parameters.
        body: the statements.
        split: whether ranges of axis 0 may be run apart, in parallel.
        ragged: whether axis 1 counts elements in blocks of axis 0: then the last block has only
            `tail` of them, which is one more parameter.
    """

    axes: int
    operands: tuple[Operand, ...]
    scalars: tuple[np.dtype[Any], ...]
    body: tuple[Statement, ...]
    split: bool = False
    ragged: bool = False

    @cached_property
    def parameters(self) -> dict[Any, int]:
        """The place of each int64 parameter of a call.

        ("extent", axis), then ("tail",) of ragged kernels, ("stride", operand, axis) in elements
        for the strides of kind `ANY`, and ("scalar", number): its bits, in the lowest bytes.
        """
        keys: list[Any] = [("extent", axis) for axis in range(self.axes)]
        if self.ragged:
            keys.append(("tail",))
        for number, operand in enumerate(self.operands):
            keys += [("stride", number, a) for a, s in enumerate(operand.strides) if s is ANY]
        keys += [("scalar", number) for number in range(len(self.scalars))]
        return {key: place for place, key in enumerate(keys)}

    @cached_property
    def text(self) -> str:
        """The kernel in words. Equal kernels have equal texts, so it is also the key of caches."""
        return "\n".join(_kernel_lines(self))

    @cached_property
    def digest(self) -> str:
        """A short name for the text."""
        return sha256(self.text.encode()).hexdigest()[:24]

    def __str__(self) -> str:
        return self.text


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """All statements of a body, those inside of others after what they are in."""
    for statement in body:
        yield statement
        if isinstance(statement, While):
            yield from statements(statement.test)
        if isinstance(statement, Loop | Guard | While):
            yield from statements(statement.body)


# --- the text form --------------------------------------------------------------------------


def _kernel_lines(kernel: Kernel) -> Iterator[str]:
    flags = "".join(f" {flag}" for flag in ("split", "ragged") if getattr(kernel, flag))
    yield f"kernel of {kernel.axes} axes{flags}"
    for number, operand in enumerate(kernel.operands):
        strides = ", ".join("n" if s is ANY else str(s) for s in operand.strides)
        yield f"  {'out' if operand.written else 'in'} p{number}: {operand.dtype}[{strides}]"
    for number, dtype in enumerate(kernel.scalars):
        yield f"  scalar s{number}: {dtype}"
    yield from _body_lines(kernel.body, {}, "  ")


@cache
def _dtype_name(dtype: np.dtype[Any]) -> str:
    return str(dtype)  # NumPy takes 5 us


def _body_lines(body: tuple[Statement, ...], names: dict[Value, str], indent: str) -> Iterator[str]:
    def define(value: Value) -> str:
        names[value] = f"v{len(names)}"
        return f"{names[value]}: {_dtype_name(value.dtype)}"

    def use(*values: Value) -> str:
        return ", ".join(names[v] for v in values)

    def extra(access: Load | Store) -> str:
        offset = f" + {use(access.offset)}" if access.offset is not None else ""
        return offset + (f" if {use(access.mask)}" if access.mask is not None else "")

    for s in body:
        if isinstance(s, Let):
            params = ", ".join(f"{k}={shown(v)}" for k, v in s.params.items())
            call = f"{s.op}[{params}]" if params else s.op
            yield f"{indent}{define(s.out)} = {call} {use(*s.args)}".rstrip()
        elif isinstance(s, Load):
            access = f"p{s.operand}{extra(s)}"
            yield f"{indent}{define(s.out)} = load {access}"
        elif isinstance(s, Store):
            yield f"{indent}p{s.operand}{extra(s)} = {use(s.value)}"
        elif isinstance(s, Guard):
            yield f"{indent}where {use(s.mask)}{', dear' if s.dear else ''}"
            yield from _body_lines(s.body, names, indent + "  ")
            chosen = f"{use(*s.values)} else {use(*s.others)}"
            yield f"{indent}  take {chosen} giving {', '.join(map(define, s.results))}"
        elif isinstance(s, While):
            starts = use(*s.starts)
            yield f"{indent}carry {', '.join(map(define, s.inside))} from {starts}"
            yield from _body_lines(s.test, names, indent + "  ")
            yield f"{indent}while {use(s.goes_on)}"
            yield from _body_lines(s.body, names, indent + "  ")
            yield f"{indent}  next {use(*s.nexts)} giving {', '.join(map(define, s.results))}"
        else:
            lanes = f" by {s.lanes}" if s.lanes > 1 else ""
            yield f"{indent}for i{s.axis}{lanes}"
            for r in s.reductions:
                starts = use(*r.starts)
                inside = ", ".join(map(define, r.inside))
                yield f"{indent}  carry {inside} from {starts} merged by {r.merge}"
            yield from _body_lines(s.body, names, indent + "  ")
            for r in s.reductions:
                nexts = use(*r.nexts)
                yield f"{indent}  next {nexts} giving {', '.join(map(define, r.results))}"


def shown(value: Any) -> str:
    """A parameter as text; numbers by their bits, so that -0.0 and NaNs are told apart."""
    if isinstance(value, np.generic | np.ndarray):
        number = np.asarray(value)
        return f"{number[()]!s}#{number.tobytes().hex()}"
    return str(value)


# --- building -------------------------------------------------------------------------------


class Builder:
    """Writes the body of a kernel, statement by statement.

    Example: the maximum of each row, stored.

        >>> from funcflow.backends.loop_ir import *
        >>> f32 = np.dtype(np.float32)
        >>> build = Builder()
        >>> with build.loop(0):
        ...     lowest = build.const(-np.inf, f32)
        ...     with build.loop(1, lanes=16) as row:
        ...         (best,) = row.carry("max", lowest)
        ...         row.next(build.let("max", best, build.load(0, f32)))
        ...     build.store(1, row.results[0])
        >>> rows = (Operand(f32, (ANY, UNIT)), Operand(f32, (UNIT, FIXED), written=True))
        >>> print(Kernel(2, rows, (), build.body))
        kernel of 2 axes
          in p0: float32[n, 1]
          out p1: float32[1, 0]
          for i0
            v0: float32 = const[value=-inf#000080ff]
            for i1 by 16
              carry v1: float32 from v0 merged by max
              v2: float32 = load p0
              v3: float32 = max v1, v2
              next v3 giving v4: float32
            p1 = v4
    """

    def __init__(self) -> None:
        self._regions: list[list[Statement]] = [[]]

    @property
    def body(self) -> tuple[Statement, ...]:
        """What was written so far, when no loop or guard is open."""
        (region,) = self._regions
        return tuple(region)

    def append(self, statement: Statement) -> None:
        """Write a statement."""
        self._regions[-1].append(statement)

    def let(self, op: str, *args: Value, dtype: Any = None, **params: Any) -> Value:
        """An operation; its dtype is that of the last argument, bool for comparisons."""
        if dtype is None:
            comparison = op in ("eq", "ne", "lt", "le", "gt", "ge")
            dtype = np.dtype(np.bool_) if comparison else args[-1].dtype
        out = Value(np.dtype(dtype))
        self.append(Let(out, op, args, params))
        return out

    def const(self, value: Any, dtype: Any) -> Value:
        """A number that is part of the kernel."""
        dtype = np.dtype(dtype)
        if not isinstance(value, np.generic | np.ndarray) or value.dtype != dtype:
            with np.errstate(all="ignore"):
                value = np.asarray(value).astype(dtype)
        return self.let("const", dtype=dtype, value=np.asarray(value)[()])

    def scalar(self, number: int, dtype: Any) -> Value:
        """A number that is given with each call."""
        return self.let("scalar", dtype=dtype, number=number)

    def index(self, axis: int) -> Value:
        """The position in the loop over an axis."""
        return self.let("index", dtype=INDEX, axis=axis)

    def load(
        self, operand: int, dtype: Any, offset: Value | None = None, mask: Value | None = None
    ) -> Value:
        """The element of an operand."""
        out = Value(np.dtype(dtype))
        self.append(Load(out, operand, offset, mask))
        return out

    def store(
        self, operand: int, value: Value, offset: Value | None = None, mask: Value | None = None
    ) -> None:
        """Write the element of an operand."""
        self.append(Store(operand, value, offset, mask))

    def loop(self, axis: int, lanes: int = 1) -> "OpenLoop":
        """A loop, to be used in a `with` block."""
        return OpenLoop(self, axis, lanes)

    def guard(self, mask: Value, *others: Value, dear: bool = False) -> "OpenGuard":
        """Work that is needed only where `mask` holds, to be used in a `with` block.

        Example: the reciprocal, and 1 instead of that of 0.

            >>> from funcflow.backends.loop_ir import *
            >>> build = Builder()
            >>> x, one = build.scalar(0, "f4"), build.const(1, "f4")
            >>> with build.guard(build.let("ne", x, build.const(0, "f4")), one) as rare:
            ...     rare.take(build.let("div", one, x))
            >>> (reciprocal,) = rare.results
        """
        return OpenGuard(self, mask, others, dear)

    def while_loop(
        self,
        starts: Sequence[Value],
        test: Callable[[tuple[Value, ...]], Value],
        body: Callable[[tuple[Value, ...]], Sequence[Value]],
    ) -> tuple[Value, ...]:
        """A loop that goes on while a test holds; its results.

        Example: the least power of two that is more than 1000.

            >>> from funcflow.backends.loop_ir import *
            >>> build = Builder()
            >>> (power,) = build.while_loop(
            ...     [build.const(1, "i4")],
            ...     lambda carry: build.let("le", carry[0], build.const(1000, "i4")),
            ...     lambda carry: [build.let("add", carry[0], carry[0])],
            ... )
        """
        inside = tuple(Value(v.dtype) for v in starts)
        self._regions.append([])
        goes_on = test(inside)
        tested = tuple(self._regions.pop())
        self._regions.append([])
        nexts = tuple(body(inside))
        inner = tuple(self._regions.pop())
        results = tuple(Value(v.dtype) for v in starts)
        self.append(While(tuple(starts), inside, tested, goes_on, inner, nexts, results))
        return results


class OpenLoop:
    """A loop that is being written."""

    def __init__(self, builder: Builder, axis: int, lanes: int) -> None:
        self._builder, self._axis, self._lanes = builder, axis, lanes
        self._open: list[tuple[str, tuple[Value, ...], tuple[Value, ...]]] = []
        self._nexts: list[tuple[Value, ...]] = []
        self.results: list[Value] = []

    def __enter__(self) -> "OpenLoop":
        self._builder._regions.append([])
        return self

    def carry(self, merge: str, *starts: Value) -> tuple[Value, ...]:
        """Carry values; their current ones are returned."""
        inside = tuple(Value(v.dtype) for v in starts)
        self._open.append((merge, starts, inside))
        return inside

    def next(self, *values: Value) -> None:
        """The next values of what was carried; called once for each `carry`, in the same order."""
        self._nexts.append(values)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        body = tuple(self._builder._regions.pop())
        if kind is not None:
            return
        reductions = []
        for (merge, starts, inside), nexts in zip(self._open, self._nexts, strict=True):
            results = tuple(Value(v.dtype) for v in inside)
            reductions.append(Reduction(merge, starts, inside, nexts, results))
            self.results += results
        self._builder.append(Loop(self._axis, body, self._lanes, tuple(reductions)))


class OpenGuard:
    """A guard that is being written."""

    def __init__(
        self, builder: Builder, mask: Value, others: tuple[Value, ...], dear: bool
    ) -> None:
        self._builder, self._mask, self._others, self._dear = builder, mask, others, dear
        self._values: tuple[Value, ...] = ()
        self.results = tuple(Value(v.dtype) for v in others)

    def __enter__(self) -> "OpenGuard":
        self._builder._regions.append([])
        return self

    def take(self, *values: Value) -> None:
        """The values where the mask holds, one for each of the others."""
        self._values = values

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        body = tuple(self._builder._regions.pop())
        if kind is not None:
            return
        if len(self._values) != len(self._others):
            raise ValueError(f"a guard takes {len(self._others)} values, not {len(self._values)}")
        self._builder.append(
            Guard(self._mask, body, self._values, self._others, self.results, self._dear)
        )
