"""`debug_indices`: indices out of bounds are errors, which say where they come from.

Functions that take indices put checks in front of them (`lax.index_check`), which count what is out
of bounds. The count is looked at after each operation, jitted functions being one: they run
compiled, and only if it went up is the index looked for.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from funcflow.core.array import as_buffer
from funcflow.core.errors import OutOfBoundsError
from funcflow.core.primitive import Primitive
from funcflow.core.source import attributed
from funcflow.lax.index_check import checking, count_sightings
from funcflow.transforms.checked_eval import Evaluate, evaluation_checked, silent_equation
from funcflow.transforms.index_origin import index_origin
from funcflow.transforms.notes import in_lanes
from funcflow.transforms.whereabouts import Origin, at


@contextmanager
def debug_indices(enable: bool = True) -> Generator[None]:
    """Raise `OutOfBoundsError` in the block for indices out of bounds, also for traced ones.

    Everywhere else traced indices cannot raise: what reads moves them inside or fills, what writes
    leaves them out. In the block, `x[i]`, `x.at[i]`, `take`, `take_along_axis` and the `dynamic_`
    functions of `lax` check them unless a `mode` says what is to happen. The error names the line,
    the iterations of the loops and the branches around it, the lane of `vmap`, the index, the axis
    and its extent. Lanes of `vmap` that have left their loop or take another branch are not
    checked, nor are `lax.gather` and `lax.scatter`, whose default is a mode.

    Jitted functions are traced once more for the block, and run compiled. Loops that index run as
    tables of steps, not as one kernel, and those in which each lane of `vmap` decides for itself
    under a mask. Callbacks that return values are called again while an index out of bounds is
    looked for; what only prints is silent. Not checked are loops and branches that print, where
    each lane decides for itself.

    Raises:
        ArgumentError: the block lies in a function that is being transformed.

    Example:
        >>> with ff.debug_indices():
        ...     ff.jit(lambda x, i: x[i])(fnp.arange(3), 2)
        Array(2, dtype=int32)
    """
    with evaluation_checked("debug_indices", _check, enable):
        token = checking.set(enable)
        try:
            yield
        finally:
            checking.reset(token)


def _check(
    evaluate: Evaluate, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
) -> Any:
    """Refuse indices out of bounds."""
    before = count_sightings()
    out = evaluate(primitive, args, params)
    if count_sightings() != before:
        eqn = silent_equation(primitive, args, params)
        origin = index_origin(eqn, [as_buffer(x) for x in args])
        if origin is not None:
            raise attributed(origin.eqn.source, _error, origin)
    return out


def _error(origin: Origin) -> OutOfBoundsError:
    eqn, params = origin.eqn, origin.eqn.params
    indices, place = np.asarray(origin.operands[0]), origin.element.index
    lanes, _, place_in_lane = in_lanes(eqn.source, eqn.primitive.name, indices.shape, place)
    where = ", ".join([*map(str, origin.context), *lanes])
    extent, size, axis = params["extent"], params["size"], params["axis"]
    what = "index" if size == 1 else f"a slice of extent {size} from index"
    return OutOfBoundsError(
        f"{params['caller']}: {what} {indices[place]}{at(place_in_lane)} is out of bounds for "
        f"axis {axis} of extent {extent}{f' in {where}' if where else ''}",
        mend=_mend(extent, size, params["from_end"]),
    )


def _mend(extent: int, size: int, from_end: bool) -> str:
    if not extent:
        return "the axis is empty"
    lowest = -extent if from_end else 0
    return (
        f"use an index from {lowest} to {extent - size}, or say what is to happen: "
        "x.at[i].get(mode='clip'), x.at[i].set(v, mode='drop')"
    )
