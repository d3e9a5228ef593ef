"""Writing a Program: which view holds which value, and the steps so far.

Families of routines (`backends/numba/<family>.py`) lower an equation with the methods here.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcflow.backends.program import (
    Buffer,
    Check,
    HostCall,
    Program,
    Routine,
    Step,
    View,
    dense_view,
)
from funcflow.core.array import as_buffer
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var


class Part(NamedTuple):
    """Where a value lies in another one: what its view is, given that of the whole."""

    whole: Var
    of: Callable[[View], View]


class Planner:
    """The program of a jaxpr, while it is being written.

    Attributes:
        steps: the steps so far.
        constants: arrays that are part of the program, with their views.
        views: where values lie.
        virtual: the equations of values that are computed where they are needed, if they can be.
        parts: values whose place is a part of another value.
        reshaped: values that outputs have the elements of, in another shape: they lie where those
            shall lie.
    """

    def __init__(
        self,
        closed: ClosedJaxpr,
        copy: "CopyStep",
        fill: Callable[[Var, View], list[Step]],
        virtual: Mapping[Var, JaxprEqn] = MappingProxyType({}),
    ) -> None:
        jaxpr = closed.jaxpr
        self.virtual = virtual
        self.steps: list[Step] = []
        self.constants: list[tuple[View, np.ndarray[Any, Any]]] = []
        self.views: dict[Var, View] = {
            v: dense_view("argument", v.aval.shape, v.aval.dtype) for v in jaxpr.invars
        }
        self.parts: dict[Var, Part] = {}
        self.reshaped: set[Var] = set()
        self._jaxpr = jaxpr
        self._copy = copy
        self._fill = fill  # stores what has no view, since it is cheap to compute
        self._copies: dict[View, tuple[int, View]] = {}
        self._outvars = {v for v in jaxpr.outvars if isinstance(v, Var)}
        for var, value in zip(jaxpr.constvars, closed.consts, strict=True):
            self.views[var] = self.constant(np.asarray(as_buffer(value)))

    def constant(self, value: np.ndarray[Any, Any]) -> View:
        """A view of an array that is part of the program."""
        view = dense_view("constant", value.shape, value.dtype)
        self.constants.append((view, np.ascontiguousarray(value)))
        return view

    def operand(self, atom: Atom) -> View:
        """Where a value lies; a view with any strides."""
        if isinstance(atom, Literal):
            return self.constant(np.asarray(atom.val))
        if atom not in self.views:
            self.steps += self._fill(atom, self.result(atom))
        return self.views[atom]

    def apart(self, atom: Atom, changed: Atom) -> View:
        """Where a value lies that is written into another one, a copy if it is a part of that.

        So the other one can change in place.
        """
        view = self.operand(atom)
        whole = self.views.get(changed) if isinstance(changed, Var) else None
        if whole is None or whole.buffer is not view.buffer:
            return view
        return self.copied(view, "a part of what it is written into")

    def is_output(self, var: Var) -> bool:
        """Whether a variable is an output of the program."""
        return var in self._outvars

    def temporary(self, shape: Sequence[int], dtype: Any) -> View:
        """A new dense view for a value that no equation defines."""
        return dense_view("temporary", shape, dtype)

    def result(self, var: Var) -> View:
        """A new view for a variable: dense, or the part of another value that is its place."""
        part = self.parts.get(var)
        if part is not None:
            whole = self.views[part.whole] if part.whole in self.views else self.result(part.whole)
            self.views[var] = part.of(whole)
            return self.views[var]
        returned = var in self._outvars or var in self.reshaped
        role = "output" if returned else "temporary"
        view = self.views[var] = dense_view(role, var.aval.shape, var.aval.dtype)
        return view

    def dense(self, view: View) -> View:
        """The same values in C order: the view itself, or a copy."""
        return view if view.dense else self.copied(view)

    def copied(self, view: View, why: str = "into C order") -> View:
        """A copy in C order, which further calls for the same view share."""
        if view in self._copies:
            start, copied = self._copies[view]
            written = {x.buffer for step in self.steps[start:] for x in step.writes}
            if written.isdisjoint((view.buffer, copied.buffer)):  # they still have equal values
                return copied
        copied = self.temporary(view.shape, view.dtype)
        self.copy(view, copied, why=why)
        self._copies[view] = len(self.steps), copied
        return copied

    def store(self, atom: Atom, target: View, eqn: JaxprEqn) -> None:
        """A step that writes a value into a view: a copy, unless it has no view of its own."""
        if isinstance(atom, Var) and atom not in self.views:
            self.steps += self._fill(atom, target)
        else:
            self.copy(self.operand(atom), target, (eqn,))

    def copy(
        self, source: View, target: View, eqns: tuple[JaxprEqn, ...] = (), why: str = ""
    ) -> None:
        """A step that copies values between views of one shape."""
        step = self._copy(source, target, eqns)
        step.note = f"copy: {why}" if why else "copy"
        self.steps.append(step)

    def call(
        self,
        routine: Routine,
        reads: Sequence[View],
        writes: Sequence[View],
        params: Sequence[int],
        eqn: JaxprEqn,
        note: str = "",
        resources: tuple[Any, ...] = (),
        checks: tuple[Check, ...] = (),
        parts: int = 1,
    ) -> None:
        """A step that runs a routine: it gets the pointers of `reads`, then those of `writes`.

        More than one part, each worth a thread, takes a routine that can be split.
        """
        self.steps.append(
            Step(
                routine,
                tuple(reads),
                tuple(writes),
                (*routine.addresses, *params),
                extent=parts,
                grain=int(parts > 1),
                eqns=(eqn,),
                note=note,
                resources=resources,
                checks=checks,
            )
        )

    def host(self, eqn: JaxprEqn, reason: str) -> None:
        """A step that Python runs."""
        reads = tuple(self.dense(self.operand(v)) for v in eqn.invars)
        writes = tuple(self.result(v) for v in eqn.outvars)
        self.steps.append(Step(HostCall(eqn, reason), reads, writes, eqns=(eqn,), note=reason))

    def finish(self) -> Program:
        """The program; outputs that lie in arguments or twice in one place are copied."""
        outputs: list[View] = []
        buffers: set[Buffer] = set()
        for v in self._jaxpr.outvars:
            view = self.operand(v)
            taken = view.buffer in buffers
            if view.buffer.role != "output" or not view.whole or taken:
                copied = dense_view("output", view.shape, view.dtype)
                self.copy(view, copied, why=_why_copied(view, taken))
                view = copied
            outputs.append(view)
            buffers.add(view.buffer)
        arguments = [self.views[v] for v in self._jaxpr.invars]
        return Program(arguments, self.constants, outputs, self.steps)


def _why_copied(view: View, taken: bool) -> str:
    """Why a result cannot be returned where it lies."""
    if taken:
        return "a result that lies where another one does"
    if view.buffer.role in ("argument", "constant"):
        return f"a result that is part of {_OWNERS[view.buffer.role]}"
    return "a result that is a part of a value, or one in another order"


_OWNERS = {"argument": "an argument", "constant": "the program"}

CopyStep: TypeAlias = Callable[[View, View, tuple[JaxprEqn, ...]], Step]

# How an equation becomes routine steps: it writes to `plan.result(...)` of each of its outvars.
Lowering: TypeAlias = Callable[[Planner, JaxprEqn], None]
