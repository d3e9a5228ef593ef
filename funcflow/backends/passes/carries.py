"""What a loop carries changes in place: a result of the body lies where its old value does.

A loop's body gets each carried value as an argument, and gives the next one as a result. With both
in one buffer nothing is handed on from iteration to iteration, and who changes a few elements of a
large array need not copy the others.

Legality. Results come about from link to link: a value starts as a copy of a whole buffer, or a
kernel computes it element by element from one (`may_overwrite`), and then steps may change parts of
it. If such links lead from the result back to the argument, all their buffers may be one, provided
that for each link

- nothing writes its source behind it, and
- all else that reads its source runs before what first changes the value: the kernel of the link,
  or, behind a copy, the next step that writes. A copy alone changes nothing.

Steps are moved forward to where they may still read the old value, as far as what they need allows.
A step that needs both the old and the new value has them apart, so there a copy stays.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from funcflow.backends.passes.memory import is_whole_copy, may_overwrite
from funcflow.backends.passes.order import dependencies
from funcflow.backends.program import Buffer, Program, Step, View


class Carry(NamedTuple):
    """A body's argument, and the result that is this argument of the next iteration, by number."""

    argument: int
    result: int


def in_place(program: Program, carries: Sequence[Carry], *, copied: bool = False) -> Program:
    """The program in which results lie where arguments do, as far as that is legal.

    Such an argument is a view of the result's buffer. Copies that are not needed any more are left
    out, those that stay say why.

    Args:
        program: a body.
        carries: which results shall take the place of which arguments.
        copied: whether results count only if they start as copies of the whole argument.
    """
    if not carries:
        return program
    body = _Body(program)
    for carry in sorted(carries, key=lambda c: -program.outputs[c.result].buffer.nbytes):
        body.join(program.arguments[carry.argument].buffer, carry.result, copied)
    return body.program()


def alike_in_place(branches: Sequence[Program]) -> list[Program]:
    """Programs of the same arguments and results, with the same ones in place.

    These are results that start in all programs as copies of the same argument: a copy in front of
    the branch takes the place of that inside, and may be idle itself.
    """
    body = _Body(branches[0])
    carries = [c for c in map(body.copied_from, range(len(branches[0].outputs))) if c is not None]
    found = [set(carries_in_place(in_place(p, carries, copied=True))) for p in branches]
    common = [c for c in carries if all(c in each for each in found)]
    return [in_place(p, common, copied=True) for p in branches]


def is_in_place(program: Program, carry: Carry) -> bool:
    """Whether a result lies where an argument does."""
    return program.arguments[carry.argument].buffer is program.outputs[carry.result].buffer


def carries_in_place(program: Program) -> list[Carry]:
    """The results that lie where arguments do."""
    results = {view.buffer: number for number, view in enumerate(program.outputs)}
    buffers = [view.buffer for view in program.arguments]
    return [Carry(a, results[buffer]) for a, buffer in enumerate(buffers) if buffer in results]


class _Link(NamedTuple):
    """How a value starts: as what a step makes of all of another one."""

    step: int
    source: Buffer
    target: Buffer


@dataclass(frozen=True)
class _Order:
    """An order of steps, and what each must wait for."""

    steps: Sequence[int]
    waits: Sequence[frozenset[int]]

    def before(self, earlier: Sequence[int], later: int) -> "_Order | None":
        """The order in which some steps run before another one; None if they need what it does."""
        place = self.steps.index(later)
        behind = set(self.steps[place:])
        moved: set[int] = set()
        stack = [step for step in earlier if step in behind]
        while stack:
            step = stack.pop()
            if step == later:
                return None
            if step not in moved:
                moved.add(step)
                stack += self.waits[step] & behind
        waits = list(self.waits)
        waits[later] |= frozenset(earlier)
        steps = [
            *self.steps[:place],
            *(s for s in self.steps[place:] if s in moved),
            *(s for s in self.steps[place:] if s not in moved),
        ]
        return _Order(steps, waits)


class _Body:
    """A body, some buffers of which become one."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._steps = list(program.steps)
        waits = dependencies(self._steps, donated=False)
        self._order = _Order(range(len(self._steps)), [*map(frozenset, waits)])
        self._readers: dict[Buffer, list[int]] = {}
        self._writers: dict[Buffer, list[int]] = {}
        for i, step in enumerate(self._steps):
            for users, views in ((self._readers, step.reads), (self._writers, step.writes)):
                for buffer in {v.buffer for v in views}:
                    users.setdefault(buffer, []).append(i)
        self._place: dict[Buffer, Buffer] = {}
        self._idle: set[int] = set()

    def copied_from(self, result: int) -> Carry | None:
        """The argument that a result starts as a copy of."""
        arguments = {v.buffer: number for number, v in enumerate(self._program.arguments)}
        links = self._links(arguments, self._program.outputs[result].buffer, copied=True)
        return None if links is None else Carry(arguments[links[-1].source], result)

    def join(self, argument: Buffer, result: int, copied: bool) -> None:
        """Let a result lie where an argument does, if that is legal."""
        made = self._program.outputs[result].buffer
        links = self._links({argument}, made, copied)
        if links is None:
            return
        order = self._order
        for number, link in enumerate(links):
            change = self._first_change(links[number::-1])
            readers = [i for i in self._readers[link.source] if i != link.step]
            if change is not None and readers:
                ordered = None if change in readers else order.before(readers, change)
                if ordered is None:
                    self._keep(links, readers, change)
                    return
                order = ordered
        self._order = order
        self._idle |= {link.step for link in links if is_whole_copy(self._steps[link.step])}
        self._place |= {link.source: made for link in links}

    def _links(self, starts: Collection[Buffer], value: Buffer, copied: bool) -> list[_Link] | None:
        """The links from a value back to one of some arguments, the last one first, if any do."""
        behind: dict[Buffer, _Link] = {}
        reached = [value]
        while reached:
            for link in self._into(reached.pop(), copied):
                if link.source in behind:
                    continue
                behind[link.source] = link
                if link.source in starts:
                    links = [link]
                    while links[0].target is not value:
                        links.insert(0, behind[links[0].target])
                    return links
                if link.source.role == "temporary":
                    reached.append(link.source)
        return None

    def _into(self, value: Buffer, copied: bool) -> Iterator[_Link]:
        """The links that a value can start with."""
        first = min(self._writers.get(value, ()), default=None)
        if first is None:
            return
        step = self._steps[first]
        for source in dict.fromkeys(view.buffer for view in step.reads):
            linked = is_whole_copy(step) or (not copied and may_overwrite(step, source, value))
            changed = max(self._writers.get(source, ()), default=-1) > first
            if linked and not changed and source not in self._place:
                yield _Link(first, source, value)

    def _first_change(self, links: Sequence[_Link]) -> int | None:
        """The first step that changes what a link gives, or one of those that follow it."""
        for link in links:
            copy = is_whole_copy(self._steps[link.step])
            writers = sorted(self._writers[link.target])
            if not copy or len(writers) > 1:
                return writers[copy]
        return None

    def _keep(self, links: Sequence[_Link], readers: Sequence[int], change: int) -> None:
        """Note at copies why they stay."""
        reason = (
            "what changes it reads the old value too"
            if change in readers
            else "a step that needs the new value reads the old one"
        )
        for link in links:
            step = self._steps[link.step]
            if is_whole_copy(step):
                note = f"copy: what a loop carries, not in place, since {reason}"
                self._steps[link.step] = replace(step, note=note)

    def program(self) -> Program:
        """The program, with the steps in order and the buffers in place."""
        old = self._program
        place = self._place
        steps = [_placed(self._steps[i], place) for i in self._order.steps if i not in self._idle]
        arguments = [*_views(old.arguments, place)]
        return replace(old, arguments=arguments, steps=steps)


def _placed(step: Step, place: Mapping[Buffer, Buffer]) -> Step:
    if not any(v.buffer in place for v in (*step.reads, *step.writes)):
        return step
    reads, writes = (tuple(_views(views, place)) for views in (step.reads, step.writes))
    return replace(step, reads=reads, writes=writes)


def _views(views: Sequence[View], place: Mapping[Buffer, Buffer]) -> Iterator[View]:
    return (view._replace(buffer=place.get(view.buffer, view.buffer)) for view in views)
