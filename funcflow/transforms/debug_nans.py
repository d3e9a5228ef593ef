"""`debug_nans`: NaNs are errors, which say where they come from.

Operations are checked one by one, jitted functions as a whole: they run compiled, and only if a
result holds a NaN is its origin looked for.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from funcflow.core import dtypes, rules
from funcflow.core.array import as_buffer, aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import ArgumentError, NaNError
from funcflow.core.jaxpr import NO_EFFECTS, ClosedJaxpr, Jaxpr, JaxprEqn, Var
from funcflow.core.primitive import Primitive
from funcflow.core.source import attributed, user_source
from funcflow.core.trace import EVAL, EvalTrace, current_trace, set_trace, under
from funcflow.lax.forms import ELEMENTWISE
from funcflow.lax.silent import silent
from funcflow.transforms.nans import Element, Origin, at, first_nan
from funcflow.transforms.notes import in_lanes, is_derivative
from funcflow.transforms.origin import origin_of


class CheckedEvalTrace(EvalTrace):
    """Compute at once and refuse results that hold a NaN."""

    __slots__ = ()

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        out = under(EVAL, super().process, primitive, args, params)
        nan = first_nan([as_buffer(x) for x in (out if primitive.multiple_results else [out])])
        if nan is not None:
            raise under(EVAL, _error, primitive, args, params, nan)
        return out


CHECKED = CheckedEvalTrace(None)


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
    if not isinstance(current_trace.get(), EvalTrace):
        raise ArgumentError(
            "debug_nans: the block lies in a function that is being transformed",
            mend="put it around the call of the transformed function",
        )
    with set_trace(CHECKED if enable else EVAL):
        yield


# --- messages -------------------------------------------------------------------------------------


def _error(
    primitive: Primitive, args: Sequence[Any], params: dict[str, Any], nan: Element
) -> NaNError:
    """The error for a NaN in a result of an operation."""
    operands = [as_buffer(x) for x in args]
    eqn = _silent_equation(primitive, args, params)
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


def _silent_equation(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> JaxprEqn:
    """The operation as an equation, without what it prints."""
    avals = [aval_of(x) for x in args]
    out = rules.abstract[primitive](*avals, **params)
    outvars = [Var(a) for a in (out if primitive.multiple_results else [out])]
    effects = rules.effects[primitive](**params) if primitive in rules.effects else NO_EFFECTS
    invars = [Var(a) for a in avals]
    eqn = JaxprEqn(list(invars), outvars, primitive, params, effects, user_source())
    return silent(ClosedJaxpr(Jaxpr((), invars, outvars, [eqn]))).eqns[0]


def _origin_error(origin: Origin) -> NaNError:
    eqn, name = origin.eqn, origin.eqn.primitive.name
    aval = eqn.outvars[origin.nan.number].aval
    lanes, shape, index = in_lanes(eqn.source, name, aval.shape, origin.nan.index)
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
    eqn, nan = origin.eqn, origin.nan
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
