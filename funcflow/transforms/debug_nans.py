"""`debug_nans`: NaNs are errors, which say where they come from.

Operations are checked one by one, jitted functions as a whole: they run compiled, and only if a
result holds a NaN is its origin looked for.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import as_buffer
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import NaNError
from funcflow.core.primitive import Primitive
from funcflow.core.source import attributed
from funcflow.lax.forms import ELEMENTWISE
from funcflow.transforms.checked_eval import Evaluate, evaluation_checked, silent_equation
from funcflow.transforms.nans import first_nan
from funcflow.transforms.notes import in_lanes, is_derivative
from funcflow.transforms.origin import origin_of
from funcflow.transforms.whereabouts import Element, Origin, at


def _check(
    evaluate: Evaluate, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
) -> Any:
    """Refuse results that hold a NaN."""
    out = evaluate(primitive, args, params)
    nan = first_nan([as_buffer(x) for x in (out if primitive.multiple_results else [out])])
    if nan is not None:
        raise _error(primitive, args, params, nan)
    return out


@contextmanager
def debug_nans(enable: bool = True) -> Generator[None]:
    """Raise `NaNError` in the block if an operation gives a NaN, naming the line and the values.

    Jitted functions run compiled. If one of their results holds a NaN, they are evaluated once more
    to find the operation it comes from: the error names its line, the iterations of the loops and
    the branches around it (as functions number them: from 0, and for `scan` along `xs`, also where
    the derivative goes backwards), the lane of `vmap`, and the index. A NaN that reaches no result
    of a jitted function is no error: one that `where` does not select, for example. Callbacks that
    return values are called again while the origin is looked for; what only prints is silent.

    Raises:
        ArgumentError: the block lies in a function that is being transformed.

    Example:
        >>> with ff.debug_nans():
        ...     ff.jit(lambda x: fnp.log(x) + 1)(fnp.array([1.0, 0.0]))
        Array([  1., -inf], dtype=float32)
    """
    with evaluation_checked("debug_nans", _check, enable):
        yield


# --- messages -------------------------------------------------------------------------------------


def _error(
    primitive: Primitive, args: Sequence[Any], params: dict[str, Any], nan: Element
) -> NaNError:
    """The error for a NaN in a result of an operation."""
    operands = [as_buffer(x) for x in args]
    eqn = silent_equation(primitive, args, params)
    found = origin_of(eqn, operands, nan)
    if isinstance(found, Origin):
        return attributed(found.eqn.source, _origin_error, found)
    if isinstance(found, Element):
        return _operand_error(primitive.name, operands[found.number], found)
    return NaNError(
        f"{primitive.name} gives NaN{at(nan.index)} in result {nan.number}, but evaluated "
        "operation by operation it does not: its value hangs on how results are rounded",
        mend="ff.disable_jit() runs the function as it stands",
    )


def _origin_error(origin: Origin) -> NaNError:
    eqn, name = origin.eqn, origin.eqn.primitive.name
    aval = eqn.outvars[origin.element.number].aval
    lanes, shape, index = in_lanes(eqn.source, name, aval.shape, origin.element.index)
    derived = is_derivative(eqn.source, name)
    where = [
        *map(str, origin.context),
        *lanes,
        *(["the derivative of this line"] if derived else []),
    ]
    message = f"{name} gives NaN ({aval.update(shape=shape)}{at(index)})"
    message += f" in {', '.join(where)}" if where else ""
    if origin.operands:
        message += f"\n  operands: {', '.join(_shown(x, origin) for x in origin.operands)}"
    return NaNError(message, mend=_MEND_DERIVATIVE if derived else _MEND)


_MEND = "keep the operands where the operation is defined, with fnp.where or fnp.maximum"
_MEND_DERIVATIVE = (
    "the derivative is infinite or undefined there: keep away from such values in front of the "
    "operation, or give the function a rule (ff.custom_jvp)"
)


def _shown(x: Any, origin: Origin) -> str:
    """An operand, as far as it is short: the element that the NaN was computed from, or a range."""
    if x.size == 1:
        return str(x.reshape(())[()])
    eqn, nan = origin.eqn, origin.element
    if eqn.primitive in ELEMENTWISE:
        return str(np.broadcast_to(x, eqn.outvars[nan.number].aval.shape)[nan.index])
    aval = ShapedArray(x.shape, x.dtype)
    if not x.size or dtypes.is_complex(x.dtype):
        return f"{aval}"
    return f"{aval} from {np.nanmin(x)} to {np.nanmax(x)}"


def _operand_error(name: str, operand: Any, nan: Element) -> NaNError:
    error = NaNError(
        f"{name}: operand {nan.number} ({ShapedArray(operand.shape, operand.dtype)}) is NaN"
        f"{at(nan.index)}, and so is a result",
        mend="look at where the operand comes from",
    )
    error.operand = nan
    return error
