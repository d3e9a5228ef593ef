"""Memory planning: every temporary gets a place in one arena, and places are used again.

A temporary lives from the step that writes it first to the last that reads it. Two that live at the
same time lie apart, but for one case: a kernel may write its result over an operand that it reads
for the last time, if it reads each element before it writes there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from funcflow.backends.loop_ir import Kernel, Load, Loop, Statement, Store, statements
from funcflow.backends.program import Buffer, Program, Step

ALIGNMENT = 64


@dataclass(frozen=True)
class Arena:
    """Where each temporary lies, in bytes, and how large the arena is."""

    offsets: Mapping[Buffer, int]
    size: int


def plan_memory(program: Program) -> Arena:
    """The places of a program's temporaries, first fit in the order of the steps."""
    last = _last_uses(program)
    offsets: dict[Buffer, int] = {}
    free = _FreeList()
    for number, step in enumerate(program.steps):
        # what is empty may be read without having been written
        offsets |= {b: 0 for b in _temporaries(step) if not b.nbytes}
        dying = [b for b in _temporaries(step) if last[b] == number and b.nbytes]
        for buffer in dict.fromkeys(v.buffer for v in step.writes if v.buffer.role == "temporary"):
            if buffer in offsets:
                continue
            heir = _overwritten(step, buffer, dying, offsets)
            if heir is None:
                offsets[buffer] = free.take(buffer.nbytes)
            else:
                offsets[buffer] = offsets[heir]
                dying.remove(heir)
        for buffer in dying:
            free.give(offsets[buffer], buffer.nbytes)
    return Arena(offsets, free.end)


def without_idle_copies(program: Program, arena: Arena) -> Program:
    """The program without copies whose source and target have become the same place."""

    def is_idle(step: Step) -> bool:
        if not is_copy(step):
            return False
        (source,), (target,) = step.reads, step.writes
        buffers = (source.buffer, target.buffer)
        return all(b in arena.offsets for b in buffers) and (
            (arena.offsets[buffers[0]], source.offset) == (arena.offsets[buffers[1]], target.offset)
            and _strides(step, 0) == _strides(step, 1)
        )

    return replace(program, steps=[s for s in program.steps if not is_idle(s)])


def is_copy(step: Step) -> bool:
    """Whether a kernel only loads its one operand and stores it."""
    if not isinstance(step.work, Kernel) or len(step.reads) != 1 or len(step.writes) != 1:
        return False
    inner = [s for s in statements(step.work.body) if not isinstance(s, Loop)]
    if len(inner) != 2:
        return False
    load, store = inner
    return isinstance(load, Load) and isinstance(store, Store) and store.value is load.out


def _temporaries(step: Step) -> list[Buffer]:
    views = (*step.reads, *step.writes)
    return list(dict.fromkeys(v.buffer for v in views if v.buffer.role == "temporary"))


def _last_uses(program: Program) -> dict[Buffer, int]:
    return {b: i for i, step in enumerate(program.steps) for b in _temporaries(step)}


# --- writing over an operand --------------------------------------------------------------------


def _overwritten(
    step: Step, buffer: Buffer, dying: list[Buffer], offsets: Mapping[Buffer, int]
) -> Buffer | None:
    """An operand whose place a result may take, or None."""
    for view in step.reads:
        old = view.buffer
        if old in dying and old in offsets and may_overwrite(step, old, buffer):
            return old
    return None


def may_overwrite(step: Step, old: Buffer, new: Buffer) -> bool:
    """Whether a step that reads `old` and writes `new` may find both in one place."""
    kernel = step.work
    if not isinstance(kernel, Kernel) or old.nbytes != new.nbytes:
        return False
    views = (*step.reads, *step.writes)
    reads = [i for i, v in enumerate(step.reads) if v.buffer is old]
    writes = [i for i, v in enumerate(step.writes, len(step.reads)) if v.buffer is new]
    if len(reads) != 1 or len(writes) != 1 or any(v.buffer is new for v in step.reads):
        return False
    (read,), (written,) = reads, writes
    source, target = views[read], views[written]
    return (
        (source.shape, source.strides, source.offset)
        == (target.shape, target.strides, target.offset)
        and source.dtype.itemsize == target.dtype.itemsize
        and _strides(step, read) == _strides(step, written)
        and reads_before_writing(kernel, read, written)
    )


def _strides(step: Step, operand: int) -> list[int]:
    """An operand's strides by axis, as the call has them."""
    kernel = step.work
    assert isinstance(kernel, Kernel)
    return [
        step.params[kernel.parameters["stride", operand, axis]] if kind is None else kind
        for axis, kind in enumerate(kernel.operands[operand].strides)
    ]


def reads_before_writing(kernel: Kernel, read: int, written: int) -> bool:
    """Whether all accesses to two operands are in one loop body, the reads first."""
    if any(
        isinstance(s, Load | Store) and s.operand in (read, written) and s.offset is not None
        for s in statements(kernel.body)
    ):
        return False
    return _order(kernel.body, read, written) == "together"


def _order(body: tuple[Statement, ...], read: int, written: int) -> str:
    """How a body accesses the two.

    One of "nowhere", "reads" (only), "writes" (only), "together" (an element is written only after
    all its reads) and "apart" (something is read after another element was written).
    """
    state = "nowhere"
    for s in body:
        found = "nowhere"
        if isinstance(s, Loop):
            found = _order(s.body, read, written)
            if found == "together" and state in ("writes", "together"):
                found = "apart"
        elif isinstance(s, Load) and s.operand == read:
            found = "reads"
        elif isinstance(s, Store) and s.operand == written:
            found = "writes"
        state = _FOLLOWED[state, found]
    return state


_FOLLOWED = {
    (a, b): a if b == "nowhere" else b if a == "nowhere" else "apart"
    for a in ("nowhere", "reads", "writes", "together", "apart")
    for b in ("nowhere", "reads", "writes", "together", "apart")
} | {
    ("reads", "reads"): "reads",
    ("reads", "writes"): "together",
    ("reads", "together"): "together",
    ("writes", "writes"): "writes",
    ("together", "writes"): "together",
}


# --- places -----------------------------------------------------------------------------------


class _FreeList:
    """The gaps in the arena."""

    def __init__(self) -> None:
        self.end = 0
        self._gaps: list[tuple[int, int]] = []  # (start, size), sorted

    def take(self, nbytes: int) -> int:
        """The start of the smallest gap that is large enough, or else the end."""
        size = -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
        fitting = [(gap, start) for start, gap in self._gaps if gap >= size]
        if fitting:
            gap, start = min(fitting)
            self._gaps.remove((start, gap))
            if gap > size:
                self._insert(start + size, gap - size)
            return start
        start = self.end
        if self._gaps and sum(self._gaps[-1]) == self.end:
            start, _ = self._gaps.pop()
        self.end = start + size
        return start

    def give(self, start: int, nbytes: int) -> None:
        """Make a place a gap, joined with its neighbours."""
        self._insert(start, -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT)

    def _insert(self, start: int, size: int) -> None:
        self._gaps.append((start, size))
        self._gaps.sort()
        joined: list[tuple[int, int]] = []
        for begin, length in self._gaps:
            if joined and sum(joined[-1]) == begin:
                begin, length = joined[-1][0], joined[-1][1] + length
                joined.pop()
            joined.append((begin, length))
        self._gaps = joined
