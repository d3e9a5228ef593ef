"""Going back through while loops over small states: one kernel, forth and back.

The kernel runs the loop and writes its state to a tape in each iteration, then runs the cotangents
back along the tape. Lanes take a stretch of the tape each, as long as their number of steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from funcflow.backends.elements import index_as
from funcflow.backends.families.recurrences import Array, KernelWriter, candidates
from funcflow.backends.loop_ir import INDEX, Value
from funcflow.backends.pipeline import prepared
from funcflow.backends.program import Program, dense_view
from funcflow.backends.straight.arrays import (
    Elements,
    NotStraight,
    Shape,
    arranged,
    element_shape,
    flat,
    small,
)
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import JaxprEqn
from funcflow.lax.while_reverse import operands_of

_LANE = 0


@dataclass(frozen=True)
class TapedKernel:
    """A program of one kernel.

    Attributes:
        program: its arguments are the numbers of the first rows, then the equation's operands, its
            outputs the equation's results, then the tapes.
        row_bytes: how many bytes a row of each tape has.
        lanes: how many rows there are for each step that is counted.
    """

    program: Program
    row_bytes: tuple[int, ...]
    lanes: int


def taped_kernel(eqn: JaxprEqn) -> TapedKernel:
    """The kernel of a `reverse_while`.

    Raises:
        NotStraight: it cannot be one.
    """
    count = eqn.invars[0].aval
    avals = [v.aval for v in (*eqn.invars[1:], *eqn.outvars)]
    extents = [count.shape[0]] if count.ndim else candidates(avals)
    reasons: dict[str, None] = {}
    for extent in extents:
        try:
            return _kernel(eqn, extent)
        except NotStraight as error:
            reasons[str(error)] = None
    raise NotStraight(", and ".join(reasons))


def _kernel(eqn: JaxprEqn, extent: int | None) -> TapedKernel:
    params, count = eqn.params, eqn.invars[0].aval
    if count.ndim > 1:
        raise NotStraight("its lanes have several dimensions")
    sizes = params["step_jaxpr"], params["step_nconsts"], params["pull_nconsts"]
    first = Array(dense_view("argument", count.shape, np.int64), element_shape(count, extent))
    given = [_array("argument", v.aval, extent) for v in eqn.invars]
    made = [_array("output", v.aval, extent) for v in eqn.outvars]
    *_, start, _ = operands_of(given, *sizes)
    tapes = [
        Array(dense_view("output", (prod(a.shape[0]),), a.view.dtype), ((), None), resident=True)
        for a in start
    ]
    write = KernelWriter(extent, [first, *given], [*made, *tapes])
    if extent is not None:
        write.apart(_LANE)
    code = write.code
    with write.loops([] if extent is None else [_LANE]):
        row, *operands = write.loaded([first, *given])
        counts, step_consts, pull_consts, carry, cotangents = operands_of(operands, *sizes)
        begin, steps = flat([row, counts])
        steps = index_as(code.build, steps, INDEX)
        if extent is not None and not count.ndim:
            begin = code.let("mul", code.build.index(_LANE), steps)
        tape = _Tape(write, begin, tapes, [a.shape for a in start])
        step, pull = (prepared(params[name]) for name in ("step_jaxpr", "pull_jaxpr"))

        def forth(number: Value, now: Sequence[Any]) -> list[Elements]:
            tape.keep(number, now)
            return [small(x) for x in code.evaluate(step, [*step_consts, *now])]

        def back(number: Value, now: Sequence[Any]) -> list[Elements]:
            last = code.let("sub", steps, code.number(np.asarray(1, INDEX)))
            state = tape.kept(code.let("sub", last, number))
            return [small(x) for x in code.evaluate(pull, [*pull_consts, *state, *now])]

        code.repeat(steps, carry, forth)
        write.store(made, flat(code.repeat(steps, cotangents, back)))
    kernel = write.step(eqn, "forth and back, with the state in registers")
    program = Program(
        [a.view for a in (first, *given)], [], [a.view for a in (*made, *tapes)], [kernel]
    )
    row_bytes = tuple(a.view.buffer.nbytes for a in tapes)
    return TapedKernel(program, row_bytes, 1 if extent is None or count.ndim else extent)


def _array(role: str, aval: ShapedArray, extent: int | None) -> Array:
    """An operand or a result.

    Raises:
        NotStraight: it has too many elements.
    """
    return Array(dense_view(role, aval.shape, aval.dtype), element_shape(aval, extent))


@dataclass(frozen=True)
class _Tape:
    """The carries of a lane's steps.

    Attributes:
        write: writes the kernel.
        begin: the number of the lane's first row.
        arrays: the tapes, one for each part of the carry.
        shapes: the shapes of the parts.
    """

    write: KernelWriter
    begin: Value
    arrays: Sequence[Array]
    shapes: Sequence[Shape]

    def keep(self, number: Value, carry: Sequence[Elements]) -> None:
        """Write what is carried into a step."""
        for array, x in zip(self.arrays, carry, strict=True):
            values = flat([x])
            for at, value in zip(self._places(number, len(values)), values, strict=True):
                self.write.store_at(array, value, at)

    def kept(self, number: Value) -> list[Elements]:
        """Read what was carried into a step."""
        values = [
            self.write.load_at(array, at)
            for array, (shape, _) in zip(self.arrays, self.shapes, strict=True)
            for at in self._places(number, prod(shape))
        ]
        return arranged(values, self.shapes)

    def _places(self, number: Value, width: int) -> Iterator[Value]:
        """Where the elements of a row of so many are."""
        code = self.write.code
        row = code.let("add", self.begin, number)
        start = row if width == 1 else code.let("mul", row, code.number(np.asarray(width, INDEX)))
        yield start
        for i in range(1, width):
            yield code.let("add", start, code.number(np.asarray(i, INDEX)))
