"""Random legal kernels with operands to run them on. Each is made from a seed alone."""

import ctypes
import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from funcflow.backends.loop_ir import (
    ANY,
    FIXED,
    INDEX,
    PAIRED,
    UNIT,
    Builder,
    Kernel,
    Load,
    Loop,
    Operand,
    Store,
    Stride,
    Value,
    statements,
)
from funcflow.backends.numba.source_run import Flat, run_source

BOOL, F16, F32, F64 = (np.dtype(t) for t in ("?", "f2", "f4", "f8"))
BF16 = np.dtype(ml_dtypes.bfloat16)
I8, U8, I32, U32, I64, U64 = (np.dtype(t) for t in ("i1", "u1", "i4", "u4", "i8", "u8"))
FLOATS, INTEGERS = [F32, F64], [I8, U8, I32, U32, I64, U64]
FAR = 8  # offsets lead at most so many elements further on

# Strides of an axis along which elements lie close together.
_DENSE = {UNIT, PAIRED}

NEUTRAL = {
    "add": lambda t: 0,
    "mul": lambda t: 1,
    "max": lambda t: _limit(t, "min"),
    "min": lambda t: _limit(t, "max"),
    "and": lambda t: -1 if t.kind != "u" else np.iinfo(t).max,
    "or": lambda t: 0,
    "xor": lambda t: 0,
}


def _limit(dtype: np.dtype[Any], end: str) -> Any:
    if dtype.kind == "b":
        return end == "max"
    if dtype.kind in "iu":
        return getattr(np.iinfo(dtype), end)
    return math.inf if end == "max" else -math.inf


class Case(NamedTuple):
    """A kernel and what to call it with."""

    kernel: Kernel
    operands: list[Flat]
    scalars: list[Any]
    extents: list[int]
    tail: int | None

    def fresh(self) -> "Case":
        """The same with operands of its own; operands that share memory still do."""
        copies = {id(x.memory): x.memory.copy() for x in self.operands}
        operands = [Flat(copies[id(x.memory)], x.start, x.strides) for x in self.operands]
        return self._replace(operands=operands)

    def by_source(self, *, compiled: bool = False) -> list[bytes]:
        """What the memory of the operands holds after a run of the kernel's source."""
        case = self.fresh()
        run_source(
            case.kernel,
            case.operands,
            case.scalars,
            extents=case.extents,
            tail=case.tail,
            compiled=compiled,
        )
        return case.contents()

    def by_address(self, address: int) -> list[bytes]:
        """The same of native code; kernels with `split` run in two parts, the later first."""
        case = self.fresh()
        pointers = [x.memory.ctypes.data + x.start * x.memory.itemsize for x in case.operands]
        buffers = (ctypes.c_void_p * (len(pointers) + 1))(*pointers)
        params = case.parameters()
        run = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
        )(address)
        extent = case.extents[0] if case.extents else 0
        middle = extent // 2 if case.kernel.split else 0
        for low, high in ((middle, extent), (0, middle)) if middle else ((0, extent),):
            run(ctypes.addressof(buffers), params.ctypes.data, low, high)
        return case.contents()

    def parameters(self) -> np.ndarray[Any, Any]:
        """The int64 parameters, as `Kernel.parameters` lays them out."""
        out = np.zeros(max(1, len(self.kernel.parameters)), np.int64)
        for key, place in self.kernel.parameters.items():
            if key[0] == "extent":
                out[place] = self.extents[key[1]]
            elif key[0] == "tail":
                out[place] = self.tail or 0
            elif key[0] == "stride":
                out[place] = self.operands[key[1]].strides[key[2]]
            else:
                bits = np.asarray(self.scalars[key[1]]).tobytes()
                out[place] = int.from_bytes(bits.ljust(8, b"\0"), "little", signed=True)
        return out

    def contents(self) -> list[bytes]:
        """The memory of the operands; all NaNs count as one."""
        return [_canonical(x.memory).tobytes() for x in self.operands]


def _canonical(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if x.dtype.kind in "biu":
        return x
    return np.where(np.isnan(x), x.dtype.type(np.nan), x)


def random_case(seed: int) -> Case:
    """The random kernel number `seed`; Numba can compile those with an odd one."""
    return _Generator(seed).case()


class _Generator:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.build = Builder()
        self.axes = self.random.choice([0, 1, 1, 2, 2, 2, 2, 3])
        self.ragged = self.axes >= 2 and self.random.random() < 0.25
        narrow = [F16, BF16] if seed % 2 == 0 else []
        self.floats = self.random.sample([*FLOATS, *narrow], 2)
        self.types = [*self.floats, self.random.choice(INTEGERS), I64, BOOL]
        self.scalars = [self.random.choice(self.floats), self.random.choice(self.types)]
        self.inputs: list[Operand] = []
        self.outputs: list[Operand] = []
        self.shared: dict[int, int] = {}  # the input that an output is the same view as
        self.closed: set[int] = set()  # inputs that are overwritten
        self.offset: set[int] = set()  # operands that are addressed by offsets
        self.loaded: set[Value] = set()
        self.used: set[Value] = set()
        self.guarded = False  # whether a guard is open, in which nothing is loaded

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    # --- the kernel

    def case(self) -> Case:
        scope = [self.build.scalar(n, t) for n, t in enumerate(self.scalars)]
        self.region((), scope, False)
        kernel = self.kernel()
        extents = [self.random.choice([1, 2, 3, 5, 9]) for _ in range(self.axes)]
        if extents:  # one long axis, so that vector loops run full blocks and a rest
            extents[self.random.randrange(self.axes)] = self.random.choice([0, 16, 19, 33])
        tail = self.random.randint(1, max(1, extents[1])) if self.ragged else None
        if self.ragged and not extents[1]:
            tail = 0
        scalars = [self.array(t, 1)[0] for t in self.scalars]
        return Case(kernel, list(self.memory(kernel, extents)), scalars, extents, tail)

    def kernel(self) -> Kernel:
        body = self.build.body
        for s in statements(body):
            if isinstance(s, Load | Store) and s.operand < 0:
                s.operand = len(self.inputs) - s.operand - 1
        roots = [s for s in body if isinstance(s, Loop)]
        split = (
            bool(roots)
            and all(s.axis == 0 and not s.reductions for s in roots)
            and not any(isinstance(s, Store) for s in body)
        )
        operands = (*self.inputs, *self.outputs)
        return Kernel(self.axes, operands, tuple(self.scalars), body, split, self.ragged)

    def region(self, around: tuple[int, ...], scope: list[Value], vector: bool) -> None:
        """Statements inside loops over the axes `around`."""
        self.expressions(around, scope)
        left = [a for a in range(self.axes) if a not in around]
        if self.ragged and 0 in left:
            left.remove(1)
        for _ in range(self.random.choice([1, 1, 2, 3]) if left else 0):
            self.loop(self.random.choice(left), around, scope, vector)
            self.expressions(around, scope)
        if not left or self.chance(0.3):
            for _ in range(self.random.choice([1, 1, 2])):
                self.store(around, scope)

    def loop(self, axis: int, around: tuple[int, ...], scope: list[Value], vector: bool) -> None:
        blocks = self.ragged and axis == 0
        lanes = 1 if vector or blocks or self.chance(0.3) else self.random.choice([2, 4, 8, 16])
        merges = ["add", "add", "mul", "max", "min", "and", "or", "xor", "argmax", "argmin"]
        merges += ["sequence", "sequence"] * (lanes == 1)
        chosen = [self.random.choice(merges) for _ in range(self.random.choice([0, 0, 1, 2]))]
        starts = [self.starts(merge, around, scope, lanes) for merge in chosen]
        with self.build.loop(axis, lanes) as loop:
            inside = [loop.carry(m, *s) for m, s in zip(chosen, starts, strict=True)]
            inner = [
                *scope,
                *(v for m, vs in zip(chosen, inside, strict=True) if m == "sequence" for v in vs),
            ]
            self.region((*around, axis), inner, vector or lanes > 1)
            for merge, values in zip(chosen, inside, strict=True):
                loop.next(*self.nexts(merge, values, axis, (*around, axis), inner))
        scope += loop.results

    def starts(
        self, merge: str, around: tuple[int, ...], scope: list[Value], lanes: int
    ) -> list[Value]:
        bits = merge in ("and", "or", "xor")
        dtype = self.random.choice(
            [t for t in self.types if t.kind in "biu"] if bits else self.types
        )
        if merge == "sequence":
            return [self.value(self.random.choice(self.types), around, scope) for _ in range(2)]
        if merge in ("argmax", "argmin"):
            worst = "min" if merge == "argmax" else "max"
            return [self.build.const(_limit(dtype, worst), dtype), self.build.const(2**62, I64)]
        if lanes == 1 and self.chance(0.5):
            return [self.value(dtype, around, scope)]
        return [self.build.const(NEUTRAL[merge](dtype), dtype)]

    def nexts(
        self,
        merge: str,
        values: tuple[Value, ...],
        axis: int,
        around: tuple[int, ...],
        scope: list[Value],
    ) -> list[Value]:
        let = self.build.let
        if merge == "sequence":
            x, y = values
            return (
                [y, x]
                if x.dtype == y.dtype
                else [self.expression(v.dtype, around, [*scope, v]) for v in values]
            )
        x = self.value(values[0].dtype, around, scope)
        if merge not in ("argmax", "argmin"):
            return [let(merge, values[0], x)]
        better = let("gt" if merge == "argmax" else "lt", x, values[0])
        if x.dtype.kind not in "biu":
            number, new = let("eq", values[0], values[0]), let("ne", x, x)
            better = let("or", better, let("and", number, new))
        place = self.build.index(axis)
        return [let("select", better, x, values[0]), let("select", better, place, values[1])]

    # --- accesses

    def load(self, dtype: np.dtype[Any], around: tuple[int, ...], scope: list[Value]) -> Value:
        fit = [
            n
            for n, o in enumerate(self.inputs)
            if o.dtype == dtype
            and n not in self.closed
            and all(k == FIXED or a in around for a, k in enumerate(o.strides))
        ]
        if fit and self.chance(0.5):
            number = self.random.choice(fit)
        else:
            number = len(self.inputs)
            strides = self.strides(around, [FIXED, UNIT, UNIT, PAIRED, ANY, ANY])
            self.inputs.append(Operand(dtype, strides))
        offset = mask = None
        if self.chance(0.15):
            mask = self.value(BOOL, around, scope)
        if self.chance(0.15) and number not in self.shared.values():
            offset = self.near(around, scope)
            self.offset.add(number)
            if mask is not None:  # where nothing is read, the address may be anything
                offset = self.build.let("select", mask, offset, self.build.const(2**40, I64))
        out = self.build.load(number, dtype, offset, mask)
        self.loaded.add(out)
        return out

    def store(self, around: tuple[int, ...], scope: list[Value], alone: bool = False) -> None:
        """Write an element; `alone`: not where an input is read."""
        dtype = self.random.choice(self.types)
        value = self.expression(dtype, around, scope)
        number = -1 - len(self.outputs)
        same = [
            n
            for n, o in enumerate(self.inputs)
            if o.dtype == dtype and n not in self.closed | self.offset and not _repeats(o, around)
        ]
        if (
            same and not alone and self.chance(0.5)
        ):  # in place of an input that is not read any more
            source = self.random.choice(same)
            self.closed.add(source)
            self.shared[-number - 1] = source
            self.outputs.append(Operand(dtype, self.inputs[source].strides, written=True))
            self.build.store(number, value)
            return
        self.outputs.append(
            Operand(dtype, self.strides(around, [UNIT, PAIRED, ANY, ANY]), written=True)
        )
        mask = self.value(BOOL, around, scope) if self.chance(0.2) else None
        offset = self.build.const(self.random.randrange(FAR), I64) if self.chance(0.2) else None
        self.build.store(number, value, offset, mask)

    def near(self, around: tuple[int, ...], scope: list[Value]) -> Value:
        """An offset of 0 to 7."""
        value = self.value(I64, around, scope)
        return self.build.let("and", value, self.build.const(FAR - 1, I64))

    def strides(self, around: tuple[int, ...], kinds: list[Stride]) -> tuple[Stride, ...]:
        out: list[Stride] = [FIXED] * self.axes
        for axis in around:
            kind = self.random.choice(kinds)
            dense = kind in _DENSE and not _DENSE.isdisjoint(out)
            out[axis] = ANY if dense else kind
        return tuple(out)

    # --- values

    def value(self, dtype: np.dtype[Any], around: tuple[int, ...], scope: list[Value]) -> Value:
        """A value of a dtype: one that is there, or a new one."""
        fit = [v for v in scope if v.dtype == dtype]
        fresh = [v for v in fit if v not in self.used]
        if fit and self.chance(0.7 if fresh else 0.4):
            out = self.random.choice(fresh or fit[-4:])
            self.used.add(out)
            return out
        if dtype == INDEX and around and self.chance(0.5):
            out = self.build.index(self.random.choice(around))
        elif self.guarded or (dtype != BOOL and self.chance(0.1)):
            out = self.build.const(self.array(dtype, 1)[0], dtype)
        else:
            out = self.load(dtype, around, scope)
        self.used.add(out)
        scope.append(out)
        return out

    def expressions(self, around: tuple[int, ...], scope: list[Value]) -> None:
        for _ in range(self.random.randrange(3)):
            scope.append(self.expression(self.random.choice(self.types), around, scope))
        if self.chance(0.2):
            self.guard(around, scope)
        if self.chance(0.1):
            self.while_loop(around, scope)

    def while_loop(self, around: tuple[int, ...], scope: list[Value]) -> None:
        """A while of at most seven iterations, fewer if something random holds."""
        let, const = self.build.let, self.build.const
        types = [self.random.choice(self.types) for _ in range(self.random.choice([0, 1, 2]))]
        least = let("and", self.value(I64, around, scope), const(7, I64))
        starts = [least, *(self.value(t, around, scope) for t in types)]

        def test(carry: tuple[Value, ...]) -> Value:
            more = let("lt", carry[0], const(7, I64))
            if self.chance(0.5):
                return more
            return let("and", more, self.expression(BOOL, around, [*scope, *carry]))

        def body(carry: tuple[Value, ...]) -> list[Value]:
            inner = [*scope, *carry[1:]]
            self.expressions(around, inner)
            if not self.guarded and self.chance(0.3):
                self.store(around, inner, alone=True)  # the last iteration's value stays
            nexts = [self.expression(t, around, inner) for t in types]
            return [let("add", carry[0], const(1, I64)), *nexts]

        scope += self.build.while_loop(starts, test, body)

    def guard(self, around: tuple[int, ...], scope: list[Value]) -> None:
        types = [self.random.choice(self.types) for _ in range(self.random.choice([1, 1, 2]))]
        mask = self.value(BOOL, around, scope)
        others = [self.value(t, around, scope) for t in types]
        outer, inner = self.guarded, list(scope)
        with self.build.guard(mask, *others, dear=self.chance(0.5)) as guard:
            self.guarded = True
            self.expressions(around, inner)
            guard.take(*[self.expression(t, around, inner) for t in types])
        self.guarded = outer
        scope += guard.results

    def expression(
        self, dtype: np.dtype[Any], around: tuple[int, ...], scope: list[Value]
    ) -> Value:
        """An operation that gives a dtype."""
        let = self.build.let

        def value(t: np.dtype[Any] = dtype) -> Value:
            return self.value(t, around, scope)

        if self.chance(0.15):
            return let("select", value(BOOL), value(), value())
        if self.chance(0.25):
            return self.converted(dtype, around, scope)
        if dtype == BOOL:
            op = self.random.choice(["and", "or", "xor", "not", "eq", "ne", "lt", "le", "gt", "ge"])
            if op == "not":
                return let(op, value())
            of = self.random.choice([t for t in self.types if t != BOOL])
            return (
                let(op, value(), value())
                if op in ("and", "or", "xor")
                else let(op, value(of), value(of))
            )
        if dtype.kind in "iu":
            return self.integer(dtype, value)
        ops = {"add": 2, "sub": 2, "mul": 2, "div": 2, "neg": 1, "abs": 1, "max": 2, "min": 2}
        if dtype != BF16:
            ops |= {"sqrt": 1, "floor": 1, "ceil": 1, "trunc": 1, "rint": 1}
        if dtype in (F32, F16):
            ops |= {"fma": 3}
        op, count = self.random.choice(list(ops.items()))
        return let(op, *(value() for _ in range(count)))

    def integer(self, dtype: np.dtype[Any], value: Any) -> Value:
        let, const = self.build.let, self.build.const
        ops = "add sub mul neg abs max min and or xor not div rem fast_max fast_min shift_left "
        ops += "shift_right_arithmetic shift_right_logical population_count clz"
        op = self.random.choice(ops.split())
        if op in ("neg", "abs", "not", "population_count", "clz"):
            return let(op, value())
        if op in ("div", "rem"):  # by 2 to 9
            low = let("and", value(), const(7, dtype))
            return let(op, value(), let("add", low, const(2, dtype)))
        if op.startswith("shift"):
            count = let("and", value(), const(8 * dtype.itemsize - 1, dtype))
            return let(op, value(), count)
        return let(op, value(), value())

    def converted(self, dtype: np.dtype[Any], around: tuple[int, ...], scope: list[Value]) -> Value:
        let, const = self.build.let, self.build.const
        if dtype == BF16:  # from float32 alone: Python rounds other dtypes twice
            return let("convert", self.value(F32, around, scope), dtype=dtype)
        source = self.random.choice([t for t in self.types if t != dtype])
        x = self.value(source, around, scope)
        same = dtype.itemsize == source.itemsize and BOOL not in (dtype, source)
        if same and (source.kind in "iu" or x in self.loaded) and self.chance(0.5):
            return let("bitcast", x, dtype=dtype)  # of what is no NaN with an unspecified payload
        if dtype.kind in "iu" and source.kind not in "biu":  # only numbers that have an integer
            size = let("abs", x)
            small = let("lt", size, const(100, source))
            x = let("select", small, size, const(0, source))
        return let("convert", x, dtype=dtype)

    # --- operands

    def array(self, dtype: np.dtype[Any], size: int) -> np.ndarray[Any, Any]:
        """Numbers, and some that are special."""
        if dtype.kind == "b":
            return self.numbers.random(size) < 0.5
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            wide = self.numbers.integers(limits.min, limits.max, size, dtype, endpoint=True)
            small = self.numbers.integers(0, 5, size).astype(dtype)
            return np.where(self.numbers.random(size) < 0.5, wide, small)
        normal = self.numbers.normal(0, 3, size)
        special = self.numbers.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 1.5, -2.5], size)
        return np.where(self.numbers.random(size) < 0.7, normal, special).astype(dtype)

    def memory(self, kernel: Kernel, extents: list[int]) -> Iterator[Flat]:
        views: list[Flat] = []
        for number, operand in enumerate(kernel.operands):
            source = self.shared.get(number - len(self.inputs)) if operand.written else None
            views.append(self.view(operand, extents) if source is None else views[source])
        yield from views

    def view(self, operand: Operand, extents: list[int]) -> Flat:
        """Memory for an operand, its axes in random order, backwards or with gaps."""
        order = [a for a, kind in enumerate(operand.strides) if kind is ANY]
        self.random.shuffle(order)
        order = [a for a, kind in enumerate(operand.strides) if kind in _DENSE] + order
        strides, start, span = [0] * len(extents), 0, 1
        for axis in order:
            kind = operand.strides[axis]
            step = span + self.random.choice([0, 0, 1]) if kind is ANY else kind or 0
            if kind == PAIRED:  # the first or the second of each pair
                start += self.random.choice([0, 1])
            length = max(extents[axis], 1)
            if kind is ANY and self.chance(0.2):
                start += step * (length - 1)
                strides[axis] = -step
            else:
                strides[axis] = step
            span = step * length
        return Flat(self.array(operand.dtype, span + FAR), start, tuple(strides))


def _repeats(operand: Operand, around: tuple[int, ...]) -> bool:
    """Whether a store to such an operand is not inside just the loops that it has strides for."""
    return {a for a, kind in enumerate(operand.strides) if kind != FIXED} != set(around)
