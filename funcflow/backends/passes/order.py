"""The order of a program's steps: what frees memory runs as soon as it can.

A step that frees more temporaries than it makes goes first among those that are ready; the others
keep their order. So an optimiser updates a parameter when its gradient is known, and not when all
gradients are, and finds the gradient in the cache.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

from funcflow.backends.program import Buffer, Program, Step


def in_order(program: Program) -> Program:
    """The program with its steps in an order that needs less memory."""
    steps = program.steps
    waits = dependencies(steps, donated=True)
    followers: defaultdict[int, list[int]] = defaultdict(list)
    for i, earlier in enumerate(waits):
        for j in earlier:
            followers[j].append(i)
    missing = [len(earlier) for earlier in waits]
    growth = _Growth(steps)

    def entry(i: int) -> tuple[int, int]:
        return min(growth.of[i], 0), i

    ready = [entry(i) for i, count in enumerate(missing) if not count]
    heapify(ready)
    order: dict[int, Step] = {}
    while ready:
        found = heappop(ready)
        chosen = found[1]
        if chosen in order or found != entry(chosen):
            continue  # what it frees is known better now
        order[chosen] = steps[chosen]
        for i in growth.run(chosen):
            if not missing[i]:
                heappush(ready, entry(i))
        for i in followers[chosen]:
            missing[i] -= 1
            if not missing[i]:
                heappush(ready, entry(i))
    return replace(program, steps=list(order.values()))


def dependencies(steps: Sequence[Step], *, donated: bool) -> list[set[int]]:
    """For each step those that must run before it.

    With `donated`, a result may be given the memory of an argument, once nothing else reads that.
    """
    readers: defaultdict[Buffer, list[int]] = defaultdict(list)
    writers: defaultdict[Buffer, list[int]] = defaultdict(list)
    found: list[set[int]] = []
    last_effect: int | None = None
    for i, step in enumerate(steps):
        reads, writes = ({v.buffer for v in views} for views in (step.reads, step.writes))
        before = {j for b in reads | writes for j in writers[b]}
        before |= {j for b in writes for j in readers[b]}
        results = {b.nbytes for b in writes if donated and b.role == "output"}
        donors = [b for b in reads if b.role == "argument" and b.nbytes in results]
        before |= {j for b in donors for j in readers[b]}
        if any(eqn.effects for eqn in step.eqns):  # effects keep their order
            before |= set() if last_effect is None else {last_effect}
            last_effect = i
        for buffers, users in ((reads, readers), (writes, writers)):
            for b in buffers:
                users[b].append(i)
        found.append(before)
    return found


class _Growth:
    """By how many bytes the temporaries grow if a step runs next.

    Attributes:
        of: the number, by step. It only falls: when a step turns out to be the last user of
            something, or no longer the first.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.of = [0] * len(steps)
        self._touched = [_temporaries(step) for step in steps]
        self._users: defaultdict[Buffer, set[int]] = defaultdict(set)
        self._writers: defaultdict[Buffer, set[int]] = defaultdict(set)
        for i, step in enumerate(steps):
            for b in self._touched[i]:
                self._users[b].add(i)
            for b in {v.buffer for v in step.writes} & self._touched[i]:
                self._writers[b].add(i)
                self.of[i] += b.nbytes
        for b, users in self._users.items():
            if len(users) == 1:
                self._fall(users, b)

    def run(self, step: int) -> set[int]:
        """Note that a step has run; returns those whose number fell."""
        changed: set[int] = set()
        for b in self._touched[step]:
            if step in self._writers[b]:
                changed |= self._fall(self._writers.pop(b) - {step}, b)
            users = self._users[b]
            users.discard(step)
            if len(users) == 1:
                changed |= self._fall(users, b)
        return changed

    def _fall(self, steps: set[int], by: Buffer) -> set[int]:
        for i in steps:
            self.of[i] -= by.nbytes
        return steps


def _temporaries(step: Step) -> set[Buffer]:
    return {v.buffer for v in (*step.reads, *step.writes) if v.buffer.role == "temporary"}
