"""Equations on one element: how a kernel computes where it needs it what is not in memory."""

from math import isfinite
from typing import Any

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.passes.kinds import IDENTITIES, VIEWS
from funcflow.core.jaxpr import JaxprEqn

# Literals that are part of a kernel. Others are its parameters: `x / n` for any n is one kernel.
_EMBEDDED = (-1, 0, 1, 2)


def is_embedded(value: np.ndarray[Any, Any]) -> bool:
    """Whether a literal is part of a kernel's code."""
    number = value.item()
    return number in _EMBEDDED or isinstance(number, bool) or not isfinite(number)


def apply(build: Builder, eqn: JaxprEqn, args: list[Value], result: int = 0) -> Value:
    """One element of an equation's result, from one of each operand."""
    name, params, dtype = eqn.primitive.name, dict(eqn.params), eqn.outvars[result].aval.dtype
    if name in VIEWS or name in IDENTITIES:
        return args[0]
    if name == "convert_element_type":
        params = {"new_dtype": np.dtype(dtype), "weak_type": False}
    if eqn.primitive.multiple_results:
        params["result"] = result
    return build.let(name, *args, dtype=dtype, **params)


def index_as(build: Builder, index: Value, dtype: Any) -> Value:
    """An index in another dtype, as `iota` gives it."""
    if dtype == index.dtype:
        return index
    return build.let("convert_element_type", index, dtype=dtype, new_dtype=dtype, weak_type=False)
