"""Going back through a loop of many steps with memory for a few of its carries.

Carries are kept at equal distances as far as they are allowed to be. Between two of them, the loop
runs again from the nearest one kept, keeping those at the midpoints of what is left, which takes
memory for O(log n) carries more and the time of O(log n) passes (binary checkpointing: Griewank,
"Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
differentiation", 1992).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.lax.arithmetic import div, sub
from funcflow.lax.bitwise import shift_right_logical
from funcflow.lax.comparison import eq, gt, lt, select_n
from funcflow.lax.dynamic import dynamic_index_in_dim, dynamic_update_index_in_dim
from funcflow.lax.forms import add
from funcflow.lax.shape import broadcast
from funcflow.lax.while_binding import over_steps

# The number of steps is an int32, so halving what is left takes at most 31 checkpoints.
_MIDPOINTS = 32
_ONE = np.int32(1)

Step = Callable[..., Sequence[Any]]
Pull = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]


def pull_back(
    count: Any,
    step: Step,
    start: Sequence[Any],
    pull: Pull,
    cotangents: Sequence[Any],
    kept: int = 1,
) -> list[Any]:
    """The cotangents pulled back through `count` steps.

    Args:
        count: the number of steps, an int32.
        step: from the carry, one argument for each part, to the next carry.
        start: the first carry.
        pull: from the carry before a step and the cotangents after it to those before it.
        cotangents: those after the last step.
        kept: how many carries may be kept at equal distances.
    """
    size, slots = len(start), kept + _MIDPOINTS + 1
    # A stack of (step number, carry); slot `top + 1` is free to be written at any time.
    places = broadcast(np.int32(0), (slots,))
    stacks = [broadcast(x, (slots,)) for x in start]

    def put(slot: Any, place: Any, carry: Sequence[Any], stack: Sequence[Any]) -> list[Any]:
        places, *stacks = stack
        return [
            dynamic_update_index_in_dim(places, place, slot, 0),
            *(
                dynamic_update_index_in_dim(s, x, slot, 0)
                for s, x in zip(stacks, carry, strict=True)
            ),
        ]

    def taken(stack: Sequence[Any], slot: Any) -> list[Any]:
        return [dynamic_index_in_dim(x, slot, 0, False) for x in stack]

    def run_to(
        target: Any, top: Any, stack: Sequence[Any], mark: Callable[[Any, Any], Any]
    ) -> list[Any]:
        """Walk from the top of the stack to `target`, keeping what `mark` says.

        Given the place of the last carry kept, it tells which one to keep next.
        """
        j, *carry = taken(stack, top)

        def walk(j: Any, next_mark: Any, top: Any, *values: Any) -> list[Any]:
            carry, stack = step(*values[:size]), values[size:]
            j, slot = add(j, _ONE), add(top, _ONE)
            stack = put(slot, j, carry, stack)
            reached = eq(j, next_mark)
            top = select_n(reached, top, slot)
            return [j, select_n(reached, next_mark, mark(j, target)), top, *carry, *stack]

        state = [j, mark(j, target), top, *carry, *stack]
        return over_steps(lambda j, *_: lt(j, target), walk, state)

    def midpoint(j: Any, target: Any) -> Any:
        return add(j, shift_right_logical(add(sub(target, j), _ONE), _ONE))

    top, stack = np.int32(0), [places, *stacks]
    if kept > 1:
        distance = add(div(sub(count, _ONE), np.int32(kept)), _ONE)
        last = sub(count, _ONE)
        _, _, top, *rest = run_to(last, top, stack, lambda j, _: add(j, distance))
        stack = rest[size:]

    def backwards(i: Any, top: Any, *values: Any) -> list[Any]:
        stack, cotangents = values[: size + 1], values[size + 1 :]
        _, _, top, *reached = run_to(i, top, stack, midpoint)
        carry, stack = reached[:size], reached[size:]
        cotangents = pull(carry, cotangents)
        used = eq(dynamic_index_in_dim(stack[0], top, 0, False), i)
        return [sub(i, _ONE), select_n(used, top, sub(top, _ONE)), *stack, *cotangents]

    state = [sub(count, _ONE), top, *stack, *cotangents]
    return over_steps(lambda i, *_: gt(i, np.int32(-1)), backwards, state)[3 + size :]
