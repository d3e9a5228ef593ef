"""Evaluation that is looked at: the scopes `debug_nans` and `debug_indices`."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from funcflow.core.array import aval_of
from funcflow.core.errors import ArgumentError
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.core.staging import single_equation
from funcflow.core.trace import EVAL, EvalTrace, current_trace, set_trace, under
from funcflow.lax.silent import silent

# What evaluates an operation, given the primitive, its arguments and its parameters.
Evaluate: TypeAlias = Callable[[Primitive, Sequence[Any], dict[str, Any]], Any]
# What does so with another such function, and looks at what happens.
Check: TypeAlias = Callable[[Evaluate, Primitive, Sequence[Any], dict[str, Any]], Any]


class CheckedEvalTrace(EvalTrace):
    """Compute at once, under checks."""

    __slots__ = ("checks",)

    def __init__(self, checks: tuple[Check, ...]) -> None:
        super().__init__(None)
        self.checks = checks

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        evaluate: Evaluate = super().process
        for check in self.checks:
            evaluate = partial(check, evaluate)
        return under(EVAL, evaluate, primitive, args, params)


@contextmanager
def evaluation_checked(function: str, check: Check, enable: bool) -> Generator[None]:
    """Make a check in the block, or do without it; other checks stay.

    Raises:
        ArgumentError: the block lies in a function that is being transformed.
    """
    trace = current_trace.get()
    if not isinstance(trace, EvalTrace):
        raise ArgumentError(
            f"{function}: the block lies in a function that is being transformed",
            mend="put it around the call of the transformed function",
        )
    checks = trace.checks if isinstance(trace, CheckedEvalTrace) else ()
    checks = (*(c for c in checks if c is not check), *([check] if enable else []))
    with set_trace(CheckedEvalTrace(checks) if checks else EVAL):
        yield


def silent_equation(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> JaxprEqn:
    """An operation as an equation, without what it prints."""
    return silent(single_equation(primitive, [*map(aval_of, args)], params)).eqns[0]
