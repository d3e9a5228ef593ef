"""Tracing a Python function into a jaxpr.

`StagingTrace` writes every operation down, also one on constants only (so `fnp.zeros(n)` inside
`jit` is an equation, not a captured array). `PartialEvalTrace` writes down what depends on its
own tracers and passes the rest to its parent: with a jvp in front of it, that is linearisation
(`transforms.linearize`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import rules
from funcflow.core.array import NUMPY_TYPES, SCALARS, as_array, aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.dtypes import scalar_dtype
from funcflow.core.errors import LeafTypeError
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import FlatFunction, argument_names, name_of
from funcflow.core.jaxpr import NO_EFFECTS, Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.primitive import Primitive
from funcflow.core.rewrite import close, dce
from funcflow.core.source import Source, user_source
from funcflow.core.trace import Trace, Tracer, current_trace, leaked, refused, under


class StagedTracer(Tracer):
    """A value of a jaxpr under construction."""

    __slots__ = ("aval", "variable")

    def __init__(self, trace: "StagingTrace", var: Var) -> None:
        self.owner = trace
        self.variable = var
        self.aval = var.aval  # type: ignore[misc]

    def origin(self) -> str:
        assert isinstance(self.owner, StagingTrace)
        return self.owner.origin(self.variable)


class StagingTrace(Trace):
    """Write every operation into one jaxpr."""

    __slots__ = ("_constants", "_keep", "eqns", "function", "invars")

    def __init__(
        self, parent: Trace | None, function: Callable[..., Sequence[Any]] | None = None
    ) -> None:
        super().__init__(parent)
        self.function = function
        self.invars: list[Var] = []
        self.eqns: list[JaxprEqn] = []
        self._constants: dict[int, tuple[Var, Any]] = {}

    def new_input(self, aval: ShapedArray) -> StagedTracer:
        """A further argument of the jaxpr."""
        var = Var(aval)
        self.invars.append(var)
        return StagedTracer(self, var)

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        try:
            atoms = [self.atom(x) for x in args]
        except LeafTypeError:
            raise refused(primitive, args) from None
        avals = rules.abstract[primitive](*[a.aval for a in atoms], **params)
        if not primitive.multiple_results:
            avals = [avals]
        outvars = [Var(aval) for aval in avals]
        effects = rules.effects[primitive](**params) if primitive in rules.effects else NO_EFFECTS
        self.eqns.append(JaxprEqn(atoms, outvars, primitive, params, effects, user_source()))
        outs = [StagedTracer(self, var) for var in outvars]
        return outs if primitive.multiple_results else outs[0]

    def process_custom_jvp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        return rule.stage(self, args)

    def process_custom_vjp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        return rule.stage(self, args)

    def atom(self, x: Any) -> Atom:
        """The variable or literal that stands for a value; a captured array becomes a constvar."""
        if isinstance(x, StagedTracer) and x.owner is self:
            return x.variable
        if isinstance(x, Tracer):
            if not x.owner.alive:
                raise leaked(x)
        elif type(x) in SCALARS:
            value = np.asarray(x, scalar_dtype(type(x)))
            return Literal(value, ShapedArray((), value.dtype, type(x) is not bool))
        elif isinstance(x, NUMPY_TYPES) and x.ndim == 0:
            return Literal(np.array(x), aval_of(x))
        found = self._constants.get(id(x))
        if found is None:
            # the array is kept along with its variable, so that its id stays its own
            found = self._constants[id(x)] = (Var(aval_of(x)), x)
        return found[0]

    def origin(self, var: Var) -> str:
        """Where a value was computed, and from which arguments, in words, for messages."""
        made: Source | None = None
        reached = {var}
        for eqn in reversed(self.eqns):
            if not reached.isdisjoint(eqn.outvars):
                made = eqn.source if var in eqn.outvars else made
                reached.update(v for v in eqn.invars if isinstance(v, Var))
        words: list[str] = []
        if made is not None and made != user_source():  # every message tells its own line
            words += [f"computed at {made.place}"]
        if isinstance(self.function, FlatFunction):
            names = zip(argument_names(self.function.in_tree), self.invars, strict=False)
            listed = " and ".join(name for name, v in names if v in reached)
            words += [f"from {listed}"] if made is not None and listed else [listed or "made"]
            words += [f"in {name_of(self.function.function)}"]
        return f" ({' '.join(words)})" if words else ""

    def finish(self, outs: Sequence[Any]) -> tuple[Jaxpr, list[Any]]:
        """The jaxpr that computes `outs`, and its constants' values; the trace ends here."""
        outvars = [self.atom(x) for x in outs]
        self.alive = False
        constvars = [var for var, _ in self._constants.values()]
        # a NumPy array is copied: its owner may still change it
        consts = [as_array(value) for _, value in self._constants.values()]
        return Jaxpr(constvars, self.invars, outvars, self.eqns), consts


class PartialEvalTrace(StagingTrace):
    """Write down what depends on this trace's inputs; let the parent do the rest."""

    __slots__ = ()

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        unknown = [self.is_unknown(x) for x in args]
        assert self.parent is not None
        if not any(unknown):
            return self.parent.process(primitive, args, params)
        rule = rules.partial_eval.get(primitive)
        if rule is not None and not all(unknown):
            return under(self.parent, rule, PartialEvalContext(self), unknown, args, **params)
        return super().process(primitive, args, params)

    def process_custom_jvp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        assert self.parent is not None
        if any(self.is_unknown(x) for x in args):
            return rule.call(*args)
        return under(self.parent, self.parent.process_custom_jvp, rule, args)

    def process_custom_vjp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        assert self.parent is not None
        if any(self.is_unknown(x) for x in args):
            return rule.call(*args)
        return under(self.parent, self.parent.process_custom_vjp, rule, args)

    def is_unknown(self, x: Any) -> bool:
        """Whether `x` depends on this trace's inputs."""
        return isinstance(x, StagedTracer) and x.owner is self


class PartialEvalContext:
    """What a higher-order primitive's `partial_eval` rule is handed.

    The rule runs with the trace's parent current, so what it binds is known; `stage` writes an
    equation into the unknown part.
    """

    __slots__ = ("_trace",)

    def __init__(self, trace: PartialEvalTrace) -> None:
        self._trace = trace

    def stage(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """An equation of the unknown part; `args` may mix known values and unknown tracers."""
        return StagingTrace.process(self._trace, primitive, args, params)

    def inline(self, function: Callable[..., list[Any]], args: Sequence[Any]) -> list[Any]:
        """Evaluate a function under the trace itself: each operation is known or staged."""
        return under(self._trace, function, *args)

    def jaxpr(
        self, closed: ClosedJaxpr, unknown: Sequence[bool], instantiate: Sequence[bool] | bool
    ) -> "SplitJaxpr":
        """Split an inner jaxpr in the same way."""
        return split_jaxpr(closed, unknown, instantiate)


def single_equation(
    primitive: Primitive, avals: Sequence[ShapedArray], params: dict[str, Any]
) -> ClosedJaxpr:
    """The jaxpr that is one operation, from the user's line."""
    out = rules.abstract[primitive](*avals, **params)
    outvars = [Var(a) for a in (out if primitive.multiple_results else [out])]
    effects = rules.effects[primitive](**params) if primitive in rules.effects else NO_EFFECTS
    invars = [Var(a) for a in avals]
    eqn = JaxprEqn(list(invars), outvars, primitive, params, effects, user_source())
    return ClosedJaxpr(Jaxpr((), invars, outvars, [eqn]))


class SplitJaxpr:
    """A jaxpr cut in two.

    `known` maps the known inputs to (known outputs, residuals), `staged` maps (residuals,
    unknown inputs) to the unknown outputs.
    """

    __slots__ = ("known", "residuals", "staged", "unknown_outs")

    def __init__(
        self,
        known: ClosedJaxpr,
        staged: ClosedJaxpr,
        unknown_outs: list[bool],
        residuals: int,
    ) -> None:
        self.known = known
        self.staged = staged
        self.unknown_outs = unknown_outs
        self.residuals = residuals


def stage_out(function: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray]) -> ClosedJaxpr:
    """The jaxpr of a function of flat arguments that returns a list of arrays."""
    trace = StagingTrace(current_trace.get(), function)
    inputs = [trace.new_input(aval) for aval in avals]
    try:
        outs = under(trace, function, *inputs)
        jaxpr, consts = trace.finish(outs)
    finally:
        trace.alive = False
    return ClosedJaxpr(jaxpr, consts)


def split_jaxpr(
    closed: ClosedJaxpr, unknown: Sequence[bool], instantiate: Sequence[bool] | bool = False
) -> SplitJaxpr:
    """Cut a jaxpr into what the known inputs determine and the rest.

    Outputs marked in `instantiate` are put with the unknown ones even if they are known.
    """
    outs_count = len(closed.jaxpr.outvars)
    forced = [instantiate] * outs_count if isinstance(instantiate, bool) else list(instantiate)
    unknown_outs: list[bool] = []
    staged: list[Jaxpr] = []

    def known_part(*known: Any) -> list[Any]:
        trace = PartialEvalTrace(current_trace.get())
        remaining = iter(known)
        args = [
            trace.new_input(aval) if is_unknown else next(remaining)
            for aval, is_unknown in zip(closed.in_avals, unknown, strict=True)
        ]
        outs = under(trace, eval_closed, closed, *args)
        for out, force in zip(outs, forced, strict=True):
            unknown_outs.append(force or (isinstance(out, StagedTracer) and out.owner is trace))
        jaxpr, residuals = trace.finish(
            [out for out, is_unknown in zip(outs, unknown_outs, strict=True) if is_unknown]
        )
        kept = dce(jaxpr)
        staged.append(kept)
        values = dict(zip(jaxpr.constvars, residuals, strict=True))
        known_outs = [o for o, is_unknown in zip(outs, unknown_outs, strict=True) if not is_unknown]
        return known_outs + [values[var] for var in kept.constvars]

    known_avals = [a for a, u in zip(closed.in_avals, unknown, strict=True) if not u]
    known = stage_out(known_part, known_avals)
    return SplitJaxpr(known, close(staged[0]), unknown_outs, len(staged[0].constvars))
