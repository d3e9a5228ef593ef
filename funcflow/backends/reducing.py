"""What reductions do with one element more."""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow.backends.loop_ir import INDEX, Builder, Value
from funcflow.backends.passes.kinds import REDUCTIONS
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn

OF_BOOLS = {"add": "or", "mul": "and", "max": "or", "min": "and"}


def merge_of(eqn: JaxprEqn) -> str:
    """How the reduction's partial results are merged."""
    merge = REDUCTIONS[eqn.primitive.name]
    return OF_BOOLS.get(merge, merge) if eqn.invars[0].aval.dtype == np.bool_ else merge


def accumulated_dtype(eqn: JaxprEqn) -> np.dtype[Any]:
    """The dtype that the reduction works in: sums of narrow floats are float32."""
    dtype = np.dtype(eqn.invars[0].aval.dtype)
    merge = REDUCTIONS[eqn.primitive.name]
    if merge in ("argmax", "argmin") and dtype == np.bool_:
        return np.dtype(np.uint8)
    narrow = dtypes.is_float(dtype) and dtype.itemsize == 2
    return np.dtype(np.float32) if narrow else dtype


def widened(build: Builder, x: Value, eqn: JaxprEqn, back: bool = False) -> Value:
    """An element in the dtype that the reduction works in, or its result in the result's."""
    dtype = eqn.outvars[0].aval.dtype if back else accumulated_dtype(eqn)
    if x.dtype == dtype:
        return x
    return build.let("convert_element_type", x, dtype=dtype, new_dtype=dtype, weak_type=False)


def starts(build: Builder, eqn: JaxprEqn) -> tuple[Value, ...]:
    """The result of nothing, for each value that is carried; of argmax, the index comes last."""
    merge, dtype = merge_of(eqn), accumulated_dtype(eqn)
    # sums start from 0.0, as NumPy's do, so none of them is -0.0
    neutral = build.const(0 if merge == "add" else neutral_value(merge, dtype), dtype)
    if merge in ("argmax", "argmin"):
        return neutral, build.const(np.iinfo(np.int64).max, INDEX)
    return (neutral,)


def neutral_value(merge: str, dtype: np.dtype[Any]) -> Any:
    """What changes nothing."""
    if merge == "add" and dtypes.is_float(dtype):
        return -0.0  # 0.0 + -0.0 is 0.0
    if merge in ("add", "or", "xor"):
        return 0
    if merge == "mul":
        return 1
    if merge == "and":
        return True if dtype == np.bool_ else ~np.zeros((), dtype)
    highest = merge in ("min", "argmin")
    if dtypes.is_float(dtype):
        return np.inf if highest else -np.inf
    return np.iinfo(dtype).max if highest else np.iinfo(dtype).min


def next_values(
    build: Builder,
    eqn: JaxprEqn,
    inside: tuple[Value, ...],
    x: Value,
    position: Callable[[JaxprEqn], Value],
) -> tuple[Value, ...]:
    """What is carried after one element more."""
    merge = merge_of(eqn)
    if merge not in ("argmax", "argmin"):
        # the element first: of a maximum's operands, the first is the one that is searched for NaN,
        # and what is carried from element to element should not wait for that
        return (build.let(merge, x, inside[0], dtype=x.dtype),)
    best, place = inside
    index = position(eqn)
    better = build.let("gt" if merge == "argmax" else "lt", x, best)
    tie = build.let("and", build.let("eq", x, best), build.let("lt", index, place))
    better = build.let("or", better, tie)
    if dtypes.is_float(x.dtype):  # the first NaN wins
        fresh = build.let("and", build.let("ne", x, x), build.let("eq", best, best))
        better = build.let("or", better, fresh)
    return build.let("select", better, x, best), build.let("select", better, index, place)
