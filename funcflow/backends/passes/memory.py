"""Memory planning: every temporary gets a place in one arena, and places are used again.

A temporary lives from the step that writes it first to the last that reads it. Two that live at the
same time lie apart, but for one case: a kernel may write its result over an operand that it reads
for the last time, if it reads each element before it writes there.

Large temporaries are placed first. In the order of the steps a small one would take the place that
the next large one fits into, and that would go to the end. If that leaves gaps, the ones that live
long are tried first, beside which others come and go, and the smaller arena is taken.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from funcflow.backends.loop_ir import FIXED, Kernel, Load, Loop, Statement, Store, While, statements
from funcflow.backends.program import Buffer, Program, Step
from funcflow.core.memory import ALIGNMENT


class Arena(NamedTuple):
    """Where each temporary lies, in bytes, and how large the arena is."""

    offsets: Mapping[Buffer, int]
    size: int


@dataclass(eq=False)
class _Place:
    """A place in the arena, and the steps from which and until which it is taken."""

    nbytes: int
    first: int
    last: int


# Where a place starts and ends in the arena, and the steps from which and until which it is taken.
_Span: TypeAlias = tuple[int, int, int, int]


def plan_memory(program: Program) -> Arena:
    """The places of a program's temporaries."""
    places = _places(program)
    distinct = list(dict.fromkeys(places.values()))
    layouts = [_layout(distinct, key=lambda p: (-p.nbytes, p.first))]
    if layouts[0].size > _most_taken(distinct):
        layouts.append(_layout(distinct, key=lambda p: (p.first - p.last, -p.nbytes)))
    best = min(layouts, key=lambda layout: layout.size)
    return Arena({buffer: best.offsets[place] for buffer, place in places.items()}, best.size)


class _Layout(NamedTuple):
    """Where each place begins, and how much room all take."""

    offsets: Mapping[_Place, int]
    size: int


def _layout(places: Iterable[_Place], key: Callable[[_Place], Any]) -> _Layout:
    """What becomes of places that are put down one after the other, each as low as it can be."""
    taken: list[_Span] = []  # sorted
    offsets: dict[_Place, int] = {}
    for place in sorted(places, key=key):
        start = offsets[place] = _lowest(place, taken)
        insort(taken, (start, start + place.nbytes, place.first, place.last))
    return _Layout(offsets, max((end for _, end, _, _ in taken), default=0))


def _most_taken(places: Iterable[_Place]) -> int:
    """How many bytes are taken at once, at most: no arena is smaller."""
    changes = [change for p in places for change in ((p.first, p.nbytes), (p.last + 1, -p.nbytes))]
    return max(accumulate(nbytes for _, nbytes in sorted(changes)), default=0)


def _places(program: Program) -> dict[Buffer, _Place]:
    """What needs a place: each temporary, or together with those whose results replace it."""
    last = _last_uses(program)
    places: dict[Buffer, _Place] = {}
    for number, step in enumerate(program.steps):
        # what is empty may be read without having been written
        places |= {b: _Place(0, number, number) for b in _temporaries(step) if not b.nbytes}
        dying = [b for b in _temporaries(step) if last[b] == number and b.nbytes]
        for buffer in dict.fromkeys(v.buffer for v in step.writes if v.buffer.role == "temporary"):
            if buffer in places:
                continue
            heir = _overwritten(step, buffer, dying, places)
            if heir is None:
                size = -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
                places[buffer] = _Place(size, number, last[buffer])
            else:
                places[buffer] = places[heir]
                places[buffer].last = last[buffer]
                dying.remove(heir)
    return places


def _lowest(place: _Place, taken: list[_Span]) -> int:
    """The lowest offset at which there is room while a place is taken."""
    first, last, offset = place.first, place.last, 0
    for start, end, other_first, other_last in taken:
        if other_first <= last and first <= other_last:
            if start - offset >= place.nbytes:
                break
            if end > offset:
                offset = end
    return offset


def without_idle_copies(program: Program, arena: Arena) -> Program:
    """The program without copies whose source and target have become the same place."""

    def is_idle(step: Step) -> bool:
        if not is_copy(step):
            return False
        (source,), (target,) = step.reads, step.writes
        buffers = (source.buffer, target.buffer)
        return all(b in arena.offsets for b in buffers) and (
            (arena.offsets[buffers[0]], source.offset) == (arena.offsets[buffers[1]], target.offset)
            and operand_strides(step, 0) == operand_strides(step, 1)
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


def is_whole_copy(step: Step) -> bool:
    """Whether a step copies all of a buffer to another one, each element to where it was."""
    return is_copy(step) and all(view.whole for view in (*step.reads, *step.writes))


def _temporaries(step: Step) -> list[Buffer]:
    views = (*step.reads, *step.writes)
    return list(dict.fromkeys(v.buffer for v in views if v.buffer.role == "temporary"))


def _last_uses(program: Program) -> dict[Buffer, int]:
    return {b: i for i, step in enumerate(program.steps) for b in _temporaries(step)}


# --- writing over an operand --------------------------------------------------------------------


def _overwritten(
    step: Step, buffer: Buffer, dying: list[Buffer], places: Mapping[Buffer, _Place]
) -> Buffer | None:
    """An operand whose place a result may take, or None."""
    for view in step.reads:
        old = view.buffer
        if old in dying and old in places and may_overwrite(step, old, buffer):
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
        and operand_strides(step, read) == operand_strides(step, written)
        and reads_before_writing(kernel, read, written)
    )


def operand_strides(step: Step, operand: int) -> list[int]:
    """An operand's strides by axis, as the call has them."""
    kernel = step.work
    assert isinstance(kernel, Kernel)
    return [
        step.params[kernel.parameters["stride", operand, axis]] if kind is None else kind
        for axis, kind in enumerate(kernel.operands[operand].strides)
    ]


@lru_cache(4096)
def reads_before_writing(kernel: Kernel, read: int, written: int) -> bool:
    """Whether all accesses to two operands are in one loop body, the reads first.

    A loop around that does not move them would come to what it has written.
    """
    if any(
        isinstance(s, Load | Store) and s.operand in (read, written) and s.offset is not None
        for s in statements(kernel.body)
    ):
        return False
    return _order(kernel, kernel.body, read, written) == "together"


def _order(kernel: Kernel, body: tuple[Statement, ...], read: int, written: int) -> str:
    """How a body accesses the two.

    One of "nowhere", "reads" (only), "writes" (only), "together" (an element is written only after
    all its reads) and "apart" (something is read after another element was written).
    """
    state = "nowhere"
    for s in body:
        found = "nowhere"
        if isinstance(s, Loop | While):
            inner = s.body if isinstance(s, Loop) else (*s.test, *s.body)
            found = _order(kernel, inner, read, written)
            again = isinstance(s, While) or kernel.operands[read].strides[s.axis] == FIXED
            if found == "together" and (again or state in ("writes", "together")):
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
