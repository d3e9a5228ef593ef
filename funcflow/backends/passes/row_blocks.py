"""Bodies of loops that treat the rows of a batch apart: a block of rows can take all iterations.

The steps of a body are often too small to be worth several threads, while the loop as a whole is
large. Where every step computes a row from the same row of whatever the loop writes, as in a
recurrent layer, blocks of rows need nothing of each other. So each thread runs the whole loop for
some of them, and no step waits for another thread.

The size of a block depends on shapes alone, so results do not depend on the number of threads.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace

from funcflow.backends.loop_ir import Kernel, Load, Store, statements
from funcflow.backends.passes.memory import operand_strides
from funcflow.backends.program import Buffer, Footprint, Program, Routine, Step, View

# Products of fewer rows are much slower for each row; more blocks are more arenas.
_FEWEST_ROWS = 16
_MOST_BLOCKS = 16
# A loop is cut if its work is worth so many threads.
_WORTH = 4


def block_of(rows: int) -> int:
    """How many rows a block has: as many in each but the last one."""
    share = -(-rows // _MOST_BLOCKS)
    return -(-share // _FEWEST_ROWS) * _FEWEST_ROWS


def by_row_blocks(
    program: Program, carried: Sequence[int], iterations: int, start: Callable[[Step], None]
) -> Program | None:
    """A loop's body as one whose steps can be run for each block of rows apart, if that pays.

    Their axis 0 then has `grain` indices for each block.

    Args:
        program: the body.
        carried: which of its arguments are results of the iteration before; the others stay.
        iterations: how often the body is run.
        start: called with each step that takes the place of another.
    """
    extents = {program.arguments[i].shape[:1] for i in carried}
    if len(extents) != 1 or extents == {()}:
        return None
    ((rows,),) = extents
    blocks = -(-rows // block_of(rows)) if rows else 0
    if blocks < 2 or not all(step.grain > 0 for step in program.steps):
        return None
    if iterations * sum(step.extent / step.grain for step in program.steps) < _WORTH:
        return None
    written = {view.buffer for step in program.steps for view in step.writes}
    apart = written | {program.arguments[i].buffer for i in carried}
    steps = [_in_blocks(step, rows, blocks) for step in program.steps]
    cut = [step for step in steps if step is not None and _is_cut(step, apart, rows, blocks)]
    if len(cut) < len(steps):
        return None
    for step, old in zip(cut, program.steps, strict=True):
        if step.work is not old.work:
            start(step)
    return replace(program, steps=cut, blocks=blocks)


def _in_blocks(step: Step, rows: int, blocks: int) -> Step | None:
    """The step with `grain` indices of axis 0 for a block, if axis 0 goes along the rows."""
    if step.by_rows is not None:
        step = step.by_rows(block_of(rows))
        return step if step.extent == blocks else None
    if isinstance(step.work, Routine) or step.extent % rows:
        return None
    return replace(step, grain=step.extent // rows * block_of(rows))


def _is_cut(step: Step, apart: Container[Buffer], rows: int, blocks: int) -> bool:
    """Whether blocks of rows touch only these rows of the buffers that must be kept apart."""
    views = (*step.reads, *step.writes)
    footprints = step.footprints or tuple(_footprints(step))
    return len(footprints) == len(views) and all(
        view.buffer not in apart or _stays(view, footprint, step.grain, rows)
        for view, footprint in zip(views, footprints, strict=True)
    )


def _stays(view: View, footprint: Footprint, indices: int, rows: int) -> bool:
    """Whether so many indices after each other stay within a block of a buffer's rows."""
    size = view.dtype.itemsize
    row, rest = divmod(view.buffer.nbytes, rows)
    width = block_of(rows) * row // size
    first = view.offset + footprint.low
    last = view.offset + (indices - 1) * footprint.stride + footprint.high
    whole = not rest and indices * footprint.stride * size == block_of(rows) * row
    return whole and first >= 0 and last < width


def _footprints(step: Step) -> Iterator[Footprint]:
    """What an index of a kernel's axis 0 touches of each operand; fewer if that is unknown."""
    kernel = step.work
    if not isinstance(kernel, Kernel) or kernel.ragged:
        return
    computed = {
        s.operand
        for s in statements(kernel.body)
        if isinstance(s, Load | Store) and s.offset is not None
    }
    extents = [step.params[kernel.parameters["extent", axis]] for axis in range(kernel.axes)]
    for number in range(len(kernel.operands)):
        if number in computed:
            return
        first, *others = operand_strides(step, number)
        ways = [(n - 1) * s for n, s in zip(extents[1:], others, strict=True)]
        yield Footprint(first, sum(w for w in ways if w < 0), sum(w for w in ways if w > 0))
