"""Which operations of a kernel are taken apart, and into what.

An *expansion* writes an operation as a straight line of simpler ones:

    @expansion("logistic", "f")
    def logistic(build: Builder, x: Value) -> Value: ...

The rules, for a `Let` whose first argument has a certain dtype (its result, if it has none):
- An expansion is registered for a name and for dtypes, each given by name ("float32") or kind ("b",
  "i", "u", "f" as `core.dtypes.kind` has them), or for every dtype if none is given. The dtype's
  name is looked up first, then its kind, then "any". What is found replaces the operation, also
  if it is in `MACHINE_OPS`: so `div` of integers is expanded, and `div` of floats left alone.
- An expansion for kind "f" or for "float32" serves float16 and bfloat16 too: their arguments are
  converted to float32, the results back. One registered for "float16" by name is called as it is.
- What an expansion writes is expanded again, except that there names in `MACHINE_OPS` mean the
  machine's operations. Where it wants, say, the guarded division, it calls that expansion.
- Parameters of the operation arrive as keywords; an expansion with a parameter `dtype` is told the
  dtype of the result.
- An operation with several results is written as several `Let`s with equal arguments and
  parameters but for `result=k`. Its expansion returns a tuple and is called once.

A machine operation for which nothing is registered stays; any other such is an error.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias, TypeVar

import numpy as np

from funcflow.backends.loop_ir import Value
from funcflow.core import dtypes

# expansion(build, *args, **params) -> its result or results
Expansion: TypeAlias = Callable[..., Value | tuple[Value, ...]]

_Registered = TypeVar("_Registered", bound=Expansion)

EXPANSIONS: dict[tuple[str, str], Expansion] = {}

# Elementwise primitives without an expansion: a Program computes them with their `impl`.
HOST_ONLY = frozenset(
    {"complex", "conj", "imag", "real"}  # kernels have no complex numbers
    | {"gamma_moment", "polygamma", "random_gamma"}
)

NARROW_FLOATS = (np.dtype(np.float16), dtypes.bfloat16)


def expansion(name: str, *kinds: str) -> Callable[[_Registered], _Registered]:
    """Register the decorated function for the operation `name` on dtypes of these kinds."""

    def register(function: _Registered) -> _Registered:
        for kind in kinds or ("any",):
            EXPANSIONS[name, kind] = function
        find_expansion.cache_clear()
        is_widened.cache_clear()
        return function

    return register


@cache
def find_expansion(name: str, dtype: np.dtype[Any]) -> Expansion | None:
    """The expansion of an operation on this dtype, as the module's rules say."""
    widened = ["float32"] if dtype in NARROW_FLOATS else []
    for kind in (dtype.name, *widened, dtypes.kind(dtype), "any"):
        if (name, kind) in EXPANSIONS:
            return EXPANSIONS[name, kind]
    return None


@cache
def is_widened(name: str, dtype: np.dtype[Any]) -> bool:
    """Whether the operation on this dtype is computed in float32."""
    if dtype not in NARROW_FLOATS or (name, dtype.name) in EXPANSIONS:
        return False
    return (name, "f") in EXPANSIONS or (name, "float32") in EXPANSIONS
