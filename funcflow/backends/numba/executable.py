"""A compiled program: arrays in, arrays out, one native call for each run of native steps."""

import ctypes
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.kernels import store
from funcflow.backends.numba.runner import DEFAULT_MODE, LIBRARY, Mode, Record, StepTable
from funcflow.backends.passes.donate import donate
from funcflow.backends.passes.memory import Arena
from funcflow.backends.pool import Pool, default_limit
from funcflow.backends.program import Buffer, Check, HostCall, Program, Routine, Step, View
from funcflow.core import rules
from funcflow.core.backend import DirectCall, Donations, Memory
from funcflow.core.errors import OutOfMemoryError
from funcflow.core.interpret import bodies
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.trace import EVAL, under

# What runs some steps: the arguments, the outputs, and the arena.
_Segment: TypeAlias = Callable[[tuple[Any, ...], tuple[Any, ...], Any], None]

# So many idle arenas a program keeps for itself, if they have no more bytes than that.
_IDLE_ARENAS = 8
_OWN_ARENA = 32 * 2**10

# Results of so many bytes in all come from the C library. It is faster than the pool; but what is
# freed it gives back to the system, page by page to be mapped anew, once that is 128 KB (glibc).
_FEW_BYTES = 64 * 2**10

# `timings` makes so many runs, or as many as fit in so many seconds, but at least two.
_RUNS = 12
_LONGEST = 0.5


@cache
def pool() -> Pool:
    """The process's recycled memory."""
    return Pool(default_limit())


class Executable:
    """Runs a program.

    Args:
        program: the steps.
        arena: where its temporaries lie.
        compile_body: what compiles the jaxprs inside of steps that Python runs.
        mode: how to run the steps.
    """

    def __init__(
        self,
        program: Program,
        arena: Arena,
        compile_body: Callable[[ClosedJaxpr], "Executable"],
        mode: Mode = DEFAULT_MODE,
    ) -> None:
        self.program = program
        self._mode = mode
        self.arena = arena
        self._compile_body = compile_body
        self._allocate = _allocator(program.outputs)
        self._shapes = [v.shape for v in program.outputs]
        self._dtypes = [v.dtype for v in program.outputs]
        self._arenas: deque[np.ndarray] = deque(maxlen=_IDLE_ARENAS)
        self._slots = self._numbered()
        self._constants = [value for _, value in program.constants]
        self._tables: list[StepTable] = []
        # a table also where there are no steps, so that loops can have such a body
        self._segments = self._segmented(program.steps) or self._native([], {})
        # of a program that is nothing but one table; a simple one needs no memory of its own
        alone = len(self._segments) == len(self._tables) == 1
        alone = alone and not any(step.checks for step in program.steps)
        self._alone = self._tables[0] if alone else None
        self._simple = None if arena.size else self._alone

    @property
    def table(self) -> StepTable | None:
        """The steps as one table, if all are native."""
        native = not any(isinstance(step.work, HostCall) for step in self.program.steps)
        return self._tables[0] if native else None

    def __call__(self, *buffers: Any) -> Sequence[Any]:
        outputs = tuple(map(self._allocate, self._shapes, self._dtypes))
        if self._simple is not None:
            self._simple.run(buffers, outputs)
        else:
            self._run(buffers, outputs)
        return outputs

    def direct(self, leaves: Sequence[Any]) -> DirectCall | None:
        """A call with arguments as they are, arrays of ours or NumPy's, that must be like these."""
        if self._alone is None or not self.program.outputs:
            return None
        run = self._alone.guarded(leaves)
        if run is None:
            return None
        kept = self, [x.dtype for x in leaves]  # native code knows them by address
        allocate, shapes, dtypes = self._allocate, self._shapes, self._dtypes

        def call(leaves: tuple[Any, ...], kept: Any = kept) -> Sequence[Any] | None:
            outputs, arena = tuple(map(allocate, shapes, dtypes)), self._take_arena()
            ran = run(leaves, outputs, arena)
            self._leave_arena(arena)
            return outputs if ran else None

        if len(shapes) > 1 or self.arena.size:
            return call
        (shape,), (dtype,) = shapes, dtypes

        def call_for_one(leaves: tuple[Any, ...], kept: Any = kept) -> Sequence[Any] | None:
            outputs = (allocate(shape, dtype),)
            return outputs if run(leaves, outputs, None) else None

        return call_for_one

    def call_with(self, buffers: Sequence[Any], taken: Mapping[int, int]) -> Sequence[Any]:
        """A call in which results take the memory of arguments, as `donations` allows it."""
        outputs = tuple(
            [
                buffers[taken[i]] if i in taken else self._allocate(v.shape, v.dtype)
                for i, v in enumerate(self.program.outputs)
            ]
        )
        self._run(tuple(buffers), outputs)
        return outputs

    def _run(self, buffers: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        arena = self._take_arena()
        for run in self._segments:
            run(buffers, outputs, arena)
        self._leave_arena(arena)

    def _take_arena(self) -> Any:
        """Memory for the temporaries. Small pieces stay with the program, others with the pool."""
        if not self.arena.size:
            return None
        try:
            return self._arenas.pop()
        except IndexError:
            return pool().take(self.arena.size)

    def _leave_arena(self, arena: Any) -> None:
        if arena is not None and self.arena.size < _OWN_ARENA:
            self._arenas.append(arena)

    def memory(self) -> Memory:
        """What a call needs, donations aside; Python's steps may need more while they run.

        What a body changes in place counts as a result.
        """
        program = self.program
        results = {v.buffer for v in program.outputs}
        return Memory(
            sum(v.buffer.nbytes for v in program.arguments if v.buffer not in results),
            sum(v.buffer.nbytes for v in program.outputs),
            sum(v.buffer.nbytes for v, _ in program.constants),
            self.arena.size,
        )

    def donations(self, arguments: Sequence[int]) -> Donations:
        """Which results may take the memory of these arguments."""
        return donate(self.program, arguments)

    def sole_view(self, buffer: np.ndarray) -> bool:
        """Whether no other array uses the memory that an array is a view of."""
        return pool().is_sole_view(buffer)

    def timings(self, buffers: Sequence[Any]) -> list[list[float]]:
        """The seconds of some runs: of each step, and last of a whole call.

        A program with effects runs once.
        """
        steps = self.program.steps
        effects = any(eqn.effects for step in steps for eqn in step.eqns)
        apart = [self._native([], {}), *(self._segmented([step]) for step in steps)]
        runs: list[list[float]] = []
        begin = perf_counter()
        while len(runs) < _RUNS and (len(runs) < 2 or perf_counter() - begin < _LONGEST):
            runs.append(self._timed(tuple(buffers), apart, whole=not effects))
            if effects:
                return runs
        return runs[1:]  # the first one fills caches

    def _timed(
        self, buffers: tuple[Any, ...], apart: Sequence[Sequence[_Segment]], whole: bool
    ) -> list[float]:
        """One run, step by step, less what an empty step takes; then one as users have it."""
        outputs = tuple(map(self._allocate, self._shapes, self._dtypes))
        arena = self._take_arena()
        marks = [perf_counter()]
        for segments in apart:
            for run in segments:
                run(buffers, outputs, arena)
            marks.append(perf_counter())
        nothing, *seconds = (b - a for a, b in pairwise(marks))
        seconds = [
            s if isinstance(step.work, HostCall) else max(s - nothing, 0.0)
            for s, step in zip(seconds, self.program.steps, strict=True)
        ]
        if not whole:
            return [*seconds, sum(seconds)]
        del outputs, arena  # so that the call gets the same memory
        begin = perf_counter()
        self(*buffers)
        return [*seconds, perf_counter() - begin]

    # --- preparing ------------------------------------------------------------------------------

    def _numbered(self) -> dict[Buffer, tuple[int, int]]:
        """The slot of the runner's table, and the byte offset in it, of each buffer."""
        program = self.program
        slots = {v.buffer: (i, 0) for i, v in enumerate(program.arguments)}
        first = len(slots)
        slots |= {v.buffer: (first + i, 0) for i, v in enumerate(program.outputs)}
        first += len(program.outputs)
        slots |= {b: (first, offset) for b, offset in self.arena.offsets.items()}
        slots |= {v.buffer: (first + 1 + i, 0) for i, (v, _) in enumerate(program.constants)}
        return slots

    def _segmented(self, steps: Sequence[Step]) -> list[_Segment]:
        """Runs of native steps, and host steps between them."""
        works = [s.work for s in steps if not isinstance(s.work, HostCall)]
        addresses = iter(store().addresses(works))
        segments: list[_Segment] = []
        records: list[Record] = []
        checks: dict[Check, None] = {}
        for step in steps:
            if isinstance(step.work, HostCall):
                segments += self._native(records, checks) if records else []
                records, checks = [], {}
                segments.append(self._host(step, step.work))
            else:
                records.append(self._record(step, step.work, next(addresses)))
                checks |= dict.fromkeys(step.checks)
        return segments + (self._native(records, checks) if records else [])

    def _record(self, step: Step, work: Kernel | Routine, address: int) -> Record:
        buffers = tuple(self._reference(v) for v in (*step.reads, *step.writes))
        split = isinstance(work, Kernel) or work.split
        grain = step.grain if split else LIBRARY
        return Record(address, buffers, step.params, step.extent, grain, step.resources)

    def _reference(self, view: View) -> tuple[int, int]:
        slot, offset = self._slots[view.buffer]
        return slot, offset + view.offset * view.dtype.itemsize

    def _native(self, records: Sequence[Record], checks: Iterable[Check]) -> list[_Segment]:
        program = self.program
        sizes = len(program.arguments), len(program.outputs)
        table = StepTable(*sizes, self._constants, records, self._mode)
        self._tables.append(table)
        return [_checked(table.run, tuple(checks)) if checks else table.run]

    # --- host steps -----------------------------------------------------------------------------

    def _host(self, step: Step, call: HostCall) -> _Segment:
        impl = rules.impl[call.eqn.primitive]
        if isinstance(impl, rules.Absent):
            raise rules.not_evaluable(call.eqn.primitive, impl)
        params, several = call.eqn.params, call.eqn.primitive.multiple_results
        # What others may hold on to, other devices or the user, must not be overwritten later.
        kept = bool(call.eqn.effects) or call.eqn.primitive.name == "pure_callback"
        read = [self._reader(v) for v in step.reads]
        write = [self._reader(v) for v in step.writes]

        def run(arguments: Any, outputs: Any, arena: Any) -> None:
            token = bodies.set(self._compile_body)
            try:
                arrays = [r(arguments, outputs, arena) for r in read]
                if kept:
                    arrays = [x.copy() for x in arrays]
                with np.errstate(all="ignore"):
                    found = under(EVAL, impl, np, *arrays, **params)
            finally:
                bodies.reset(token)
            for w, x in zip(write, found if several else (found,), strict=True):
                w(arguments, outputs, arena)[...] = x

        return run

    def _reader(self, view: View) -> Callable[[Any, Any, Any], np.ndarray]:
        """What finds a dense view's array among those of a call."""
        slot, offset = self._reference(view)
        first = len(self.program.arguments)
        last = first + len(self.program.outputs)
        if slot > last:
            constant = _part(self._constants[slot - last - 1], offset, view)
            return lambda arguments, outputs, arena: constant
        if slot == last:
            return lambda arguments, outputs, arena: _part(arena, offset, view)
        if slot >= first:
            return lambda arguments, outputs, arena: _part(outputs[slot - first], offset, view)
        return lambda arguments, outputs, arena: _part(
            np.ascontiguousarray(arguments[slot]), offset, view
        )


def _checked(run: _Segment, checks: Sequence[Check]) -> _Segment:
    """A segment that raises what its steps noted.

    If another thread's call has raised it meanwhile, it was noted for this one as well: a loop may
    have ended for it.
    """
    places = [check.count_at for check in checks if check.count_at is not None]
    counts = [ctypes.c_int64.from_address(place) for place in places]

    def segment(arguments: Any, outputs: Any, arena: Any) -> None:
        before = [count.value for count in counts]
        run(arguments, outputs, arena)
        for check in checks:
            check.raise_noted()
        if [count.value for count in counts] != before:
            raise OutOfMemoryError("a step failed, in this thread or in another one")

    return segment


def _allocator(views: Sequence[View]) -> Callable[[tuple[int, ...], Any], np.ndarray]:
    """What makes arrays, by shape and dtype, for these outputs."""
    recycled = sum(v.buffer.nbytes for v in views) > _FEW_BYTES
    return pool().take_array if recycled else np.empty


def _part(memory: np.ndarray, offset: int, view: View) -> np.ndarray:
    """The dense array that begins so many bytes after the start of another."""
    if view.size == 0:
        return np.empty(view.shape, view.dtype)
    nbytes = view.size * view.dtype.itemsize
    # by way of bytes, since NumPy exports no buffers of dtypes that are not its own
    part = memory.reshape(-1).view(np.uint8)[offset : offset + nbytes]
    return part.view(view.dtype).reshape(view.shape)
