"""Evaluating a jaxpr on buffers: what `EVAL` would do, without what was checked while tracing.

A jaxpr has been type checked, so running it again needs no abstract evaluation and no wrapping
of intermediate results: it is a list of calls of reference implementations on numbered slots.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np

from funcflow.core import rules
from funcflow.core.array import NUMPY_SCALAR, as_buffer
from funcflow.core.backend import array_namespace
from funcflow.core.evaluate import last_uses
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var


class BufferProgram:
    """The calls that compute a jaxpr, and the slots that hold its values."""

    __slots__ = ("_initial", "_inputs", "_outputs", "_steps")

    def __init__(self, closed: ClosedJaxpr) -> None:
        jaxpr = closed.jaxpr
        self._initial: list[Any] = []
        slots: dict[Var, int] = {}
        for var, value in zip(jaxpr.constvars, closed.consts, strict=True):
            slots[var] = self._new_slot(as_buffer(value))
        self._inputs = [self._new_slot(None) for _ in jaxpr.invars]
        slots.update(zip(jaxpr.invars, self._inputs, strict=True))

        def slot(v: Atom) -> int:
            if isinstance(v, Literal):
                return self._new_slot(v.val)
            if v not in slots:
                slots[v] = self._new_slot(None)
            return slots[v]

        self._steps = [
            (eqn, [slot(v) for v in eqn.invars], [slot(v) for v in eqn.outvars], dead)
            for eqn, dead in (
                (eqn, [slot(v) for v in dying])
                for eqn, dying in zip(jaxpr.eqns, last_uses(jaxpr), strict=True)
            )
        ]
        self._outputs = [slot(v) for v in jaxpr.outvars]

    def _new_slot(self, value: Any) -> int:
        self._initial.append(value)
        return len(self._initial) - 1

    def __call__(self, buffers: Sequence[Any]) -> list[Any]:
        """The outputs' buffers."""
        env = self._initial.copy()
        for place, buffer in zip(self._inputs, buffers, strict=True):
            env[place] = buffer
        with np.errstate(all="ignore"):
            for eqn, ins, outs, dead in self._steps:
                results = _apply(eqn, [env[i] for i in ins])
                for place, result in zip(outs, results, strict=True):
                    env[place] = np.asarray(result) if isinstance(result, NUMPY_SCALAR) else result
                for place in dead:
                    env[place] = None
        return [env[i] for i in self._outputs]


def _apply(eqn: JaxprEqn, args: list[Any]) -> Sequence[Any]:
    impl = rules.impl[eqn.primitive]
    if isinstance(impl, rules.Absent):
        raise rules.not_evaluable(eqn.primitive, impl)
    out = impl(array_namespace(args), *args, **eqn.params)
    return out if eqn.primitive.multiple_results else (out,)


_program = lru_cache(maxsize=1024)(BufferProgram)

# How a compiled program that calls an implementation wants its jaxprs (bodies of loops) to be run:
# what makes a function of buffers from a jaxpr. None means as below.
bodies: ContextVar[Callable[[ClosedJaxpr], Callable[..., Sequence[Any]]] | None] = ContextVar(
    "bodies", default=None
)


def eval_buffers(closed: ClosedJaxpr, buffers: Sequence[Any]) -> list[Any]:
    """`eval_closed` from buffers to buffers, for the implementations of primitives."""
    compiled = bodies.get()
    return list(compiled(closed)(*buffers)) if compiled is not None else _program(closed)(buffers)
