"""Hypothesis strategies for programs, to test what reads, rewrites and compiles jaxprs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from funcflow.core.array import wrap
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.staging import stage_out
from funcflow.lax.arithmetic import mul, neg
from funcflow.lax.casting import convert_element_type
from funcflow.lax.forms import add
from funcflow.lax.shape import broadcast_to, expand_dims, reduce_sum, transpose
from funcflow.testing.random_programs import RandomProgram, random_program
from funcflow.transforms.jit import jit

SHAPE = (2, 3)
_CAPTURED = wrap(np.array([[1.0, np.nan, -0.0], [np.inf, 2.5, -1e-30]], np.float32))


class Step(NamedTuple):
    """One line of a program: what to do with which of the values so far (counted from the end)."""

    operation: str
    first: int
    second: int


# Each takes two arrays of shape (2, 3) and dtype float32 to one of that kind.
_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": add,
    "mul": mul,
    "neg": lambda x, y: neg(x),
    "weak literal": lambda x, y: mul(x, convert_element_type(1.5, np.float32)),
    "literal": lambda x, y: add(x, np.float32(-0.0)),
    "times one": lambda x, y: mul(x, np.float32(1)),
    "scalars": lambda x, y: mul(x, add(mul(np.float32(3), np.float32(0.5)), np.float32(-0.5))),
    "captured array": lambda x, y: add(x, _CAPTURED),
    "rows summed": lambda x, y: broadcast_to(reduce_sum(x, (0,)), SHAPE),
    "columns summed": lambda x, y: add(expand_dims(reduce_sum(x, (1,)), (1,)), y),
    "moved": lambda x, y: transpose(add(transpose(x, (1, 0)), transpose(y, (1, 0))), (1, 0)),
    "through float64": lambda x, y: convert_element_type(
        convert_element_type(x, np.float64), np.float32
    ),
    "unused": lambda x, y: (mul(x, y), x)[1],
    "inner jaxpr": lambda x, y: jit(lambda a, b: (add(mul(a, b), _CAPTURED), a)[0])(x, y),
}


def programs(max_steps: int = 8) -> st.SearchStrategy[list[Step]]:
    """Short programs on arrays of shape (2, 3) and dtype float32."""
    places = st.integers(1, 4)
    step = st.builds(Step, st.sampled_from(sorted(_OPERATIONS)), places, places)
    return st.lists(step, max_size=max_steps)


def run_program(steps: Sequence[Step], *args: Any) -> list[Any]:
    """The last two values of a program, traced or not."""
    values = list(args)
    for step in steps:
        x, y = (values[-min(place, len(values))] for place in (step.first, step.second))
        values.append(_OPERATIONS[step.operation](x, y))
    return values[-2:]


def trace_program(steps: Sequence[Step]) -> ClosedJaxpr:
    """The jaxpr of a program of two arguments."""
    aval = ShapedArray(SHAPE, np.dtype("float32"))
    return stage_out(lambda *args: run_program(steps, *args), [aval, aval])


def jaxprs(max_steps: int = 8) -> st.SearchStrategy[ClosedJaxpr]:
    """Well-typed closed jaxprs with literals, constants, unused results and inner jaxprs.

    They take and give two arrays of shape (2, 3) and dtype float32.
    """
    return programs(max_steps).map(trace_program)


def random_programs(*, exact: bool = False, max_size: int = 25) -> st.SearchStrategy[RandomProgram]:
    """Programs of everything that there is, with arguments; shrinking makes them shorter.

    Args:
        exact: as for `random_program`.
        max_size: how many operations are written at most.
    """
    seeds = st.integers(0, 2**32 - 1)
    sizes = st.integers(1, max_size)
    return st.builds(random_program, seeds, size=sizes, exact=st.just(exact))
