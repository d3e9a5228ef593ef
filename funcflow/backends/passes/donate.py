"""Donation: which results may take the memory of arguments that the caller gives away.

A result may lie where an argument lies if no step reads the argument after the first one that
writes the result. That step itself may read it if it reads each element before it writes there.
"""

from collections.abc import Sequence

from funcflow.backends.passes.memory import may_overwrite
from funcflow.backends.program import Program, View
from funcflow.core.backend import Donations


def donate(program: Program, arguments: Sequence[int]) -> Donations:
    """The largest matching of results with donated arguments that they may overwrite."""
    candidates = {
        a: [r for r in range(len(program.outputs)) if not _obstacle(program, a, r)]
        for a in arguments
    }
    takes: dict[int, int] = {}
    for a in arguments:
        _augment(a, candidates, takes, set())
    used = set(takes.values())
    refused = {a: _reason(program, a) for a in arguments if a not in used}
    return Donations(takes, refused)


def _augment(
    argument: int, candidates: dict[int, list[int]], takes: dict[int, int], seen: set[int]
) -> bool:
    """Find a result for an argument, by finding others for those in its way (Kuhn's algorithm)."""
    for result in candidates[argument]:
        if result not in seen:
            seen.add(result)
            if result not in takes or _augment(takes[result], candidates, takes, seen):
                takes[result] = argument
                return True
    return False


def _reason(program: Program, argument: int) -> str:
    """Why no result takes an argument's memory."""
    like = [r for r, v in enumerate(program.outputs) if _same_type(program.arguments[argument], v)]
    if not like:
        return "no result has its shape and dtype"
    obstacles = [reason for r in like if (reason := _obstacle(program, argument, r))]
    return obstacles[0] if len(obstacles) == len(like) else "others take the results of its type"


def _same_type(x: View, y: View) -> bool:
    return (x.shape, x.dtype) == (y.shape, y.dtype)


def _obstacle(program: Program, argument: int, result: int) -> str:
    """What keeps a result from taking an argument's memory; empty if nothing does."""
    given, made = program.arguments[argument], program.outputs[result]
    if not _same_type(given, made):
        return "no result has its shape and dtype"
    steps = list(enumerate(program.steps))
    reading = [i for i, s in steps if any(v.buffer is given.buffer for v in (*s.reads, *s.writes))]
    writing = [i for i, s in steps if any(v.buffer is made.buffer for v in s.writes)]
    if not (given.size and reading and writing) or reading[-1] < writing[0]:
        return ""
    first, last = writing[0], reading[-1]
    if first == last and may_overwrite(program.steps[first], given.buffer, made.buffer):
        return ""
    return f"step {last + 1} reads it when step {first + 1} has begun to write the result"
