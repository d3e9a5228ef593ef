"""Forward-mode differentiation: carry a tangent along with every value."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from funcflow.core import dtypes, rules
from funcflow.core.array import Array, as_array, aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import DtypeError, ShapeError, TreeStructureError
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import FlatFunction, check_function, flatten_arguments
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import keystr, structure_difference, tree_flatten, tree_flatten_with_path
from funcflow.core.rules import Absent
from funcflow.core.source import attributed, user_source
from funcflow.core.staging import stage_out
from funcflow.core.trace import EVAL, Trace, Tracer, current_trace, under
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.casting import convert_element_type
from funcflow.lax.shape import instantiate, zeros
from funcflow.transforms.notes import ForwardRule


class JVPTracer(Tracer):
    """A value with a tangent."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: "JVPTrace", primal: Any, tangent: Any) -> None:
        self.owner = trace
        self.primal = primal
        self.tangent = tangent

    @property
    def aval(self) -> ShapedArray:
        return aval_of(self.primal)

    def concrete(self) -> Array | None:
        return self.primal.concrete() if isinstance(self.primal, Tracer) else self.primal


class JVPTrace(Trace):
    """Apply each primitive's forward rule; the rule's own operations go to the parent."""

    __slots__ = ()

    parent: Trace

    def split(self, x: Any) -> tuple[Any, Any]:
        """Primal and tangent; the tangent of what does not depend on the input is `Zero`."""
        if isinstance(x, JVPTracer) and x.owner is self:
            return x.primal, x.tangent
        return x, Zero(aval_of(x))

    def join(self, primal: Any, tangent: Any) -> Any:
        """The pair as one value."""
        return primal if type(tangent) is Zero else JVPTracer(self, primal, tangent)

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if not self.follows(args):
            return self.parent.process(primitive, args, params)
        primals, tangents = zip(*map(self.split, args), strict=True)
        rule = rules.jvp[primitive]
        if isinstance(rule, Absent):
            return self.parent.process(primitive, primals, params)
        source = user_source() if self.parent is not EVAL else None  # where notes are read later
        if source is None:
            out, tangent = under(self.parent, rule, JVP, primals, tangents, **params)
        else:
            noted = source.noted(ForwardRule(primitive.name))
            out, tangent = attributed(
                noted, under, self.parent, rule, JVP, primals, tangents, **params
            )
        if primitive.multiple_results:
            return [self.join(p, t) for p, t in zip(out, tangent, strict=True)]
        return self.join(out, tangent)

    def follows(self, args: Sequence[Any]) -> bool:
        """Whether any of the arguments has a tangent here."""
        return any(isinstance(x, JVPTracer) and x.owner is self for x in args)

    def process_custom_jvp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        if not self.follows(args):
            return under(self.parent, self.parent.process_custom_jvp, rule, args)
        primals, tangents = zip(*map(self.split, args), strict=True)
        outs, out_tangents = under(self.parent, rule.apply_jvp, primals, tangents)
        return [self.join(p, t) for p, t in zip(outs, out_tangents, strict=True)]

    def process_custom_vjp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        if not self.follows(args):
            return under(self.parent, self.parent.process_custom_vjp, rule, args)
        primals, tangents = zip(*map(self.split, args), strict=True)
        outs, out_tangents = under(self.parent, rule.apply_fwd, primals, tangents)
        return [self.join(p, t) for p, t in zip(outs, out_tangents, strict=True)]


class JVPContext:
    """What a forward rule is handed: forward mode for the jaxprs among its parameters."""

    __slots__ = ()

    def jaxpr(
        self, closed: ClosedJaxpr, nonzero: Sequence[bool], instantiate: bool | Sequence[bool]
    ) -> tuple[ClosedJaxpr, list[bool]]:
        """The jaxpr (primals, nonzero tangents) -> (outs, nonzero tangents of outs).

        Tangents of outputs marked in `instantiate` count as nonzero. Also returns which outputs'
        tangents are there.
        """
        if isinstance(instantiate, bool):
            instantiate = [instantiate] * len(closed.jaxpr.outvars)
        return jvp_jaxpr(closed, tuple(nonzero), tuple(instantiate))


JVP = JVPContext()


def tangent_aval(aval: ShapedArray) -> ShapedArray:
    """The type of a value's tangent."""
    if dtypes.is_inexact(aval.dtype):
        return aval.strip_weak_type()
    return ShapedArray(aval.shape, dtypes.float0)


@lru_cache(maxsize=1024)
def jvp_jaxpr(
    closed: ClosedJaxpr, nonzero: tuple[bool, ...], force: tuple[bool, ...]
) -> tuple[ClosedJaxpr, list[bool]]:
    """See `JVPContext.jaxpr`."""
    avals = closed.in_avals
    out_nonzero: list[bool] = []

    def function(*args: Any) -> list[Any]:
        primals, given = args[: len(avals)], iter(args[len(avals) :])
        tangents = [next(given) if nz else Zero(a) for a, nz in zip(avals, nonzero, strict=True)]
        outs, out_tangents = jvp_flat(lambda *xs: eval_closed(closed, *xs), primals, tangents)
        out_nonzero[:] = [
            type(t) is not Zero or f for t, f in zip(out_tangents, force, strict=True)
        ]
        kept = [instantiate(t) for t, nz in zip(out_tangents, out_nonzero, strict=True) if nz]
        return [*outs, *kept]

    tangent_avals = [tangent_aval(a) for a, nz in zip(avals, nonzero, strict=True) if nz]
    return stage_out(function, [*avals, *tangent_avals]), out_nonzero


def jvp_flat(
    function: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """The outputs of a flat function and their tangents, either of which may be `Zero`."""
    trace = JVPTrace(current_trace.get())
    inputs = [trace.join(p, t) for p, t in zip(primals, tangents, strict=True)]
    try:
        outs = under(trace, function, *inputs)
    finally:
        trace.alive = False
    split = [trace.split(x) for x in outs]
    return [p for p, _ in split], [t for _, t in split]


@hides_internal_frames
def jvp(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> Any:
    """The value of `fun` at `primals` and its directional derivative along `tangents`.

    Args:
        fun: a function of pytrees of arrays.
        primals: the arguments, as a tuple or list.
        tangents: of the structure, shapes and dtypes of `primals`; the tangents of integer and
            boolean arguments are NumPy arrays of dtype `ff.float0`.
        has_aux: `fun` returns a pair, and only the first part is differentiated.

    Returns:
        `(primals_out, tangents_out)`, and the auxiliary part if `has_aux`.

    Raises:
        TreeStructureError, ShapeError, DtypeError: primals and tangents do not match.

    Example:
        >>> ff.jvp(fnp.sin, (0.0,), (2.0,))
        (Array(0., dtype=float32, weak_type=True), Array(2., dtype=float32))
    """
    check_function("jvp", fun)
    for what, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list):
            raise TreeStructureError(
                f"jvp: {what} must be a tuple or list with one entry per argument, "
                f"got {type(value).__name__}",
                mend=f"pass ({what},)",
            )
    leaves, in_tree = flatten_arguments("jvp", tuple(primals), {})
    flat_tangents = check_tangents("jvp", tuple(primals), tuple(tangents))
    flat = FlatFunction(fun, in_tree, has_aux)
    outs, out_tangents = jvp_flat(flat, leaves, flat_tangents)
    out = flat.out_tree.unflatten([as_array(x) for x in outs])
    out_tangent = flat.out_tree.unflatten([instantiate_tangent(t) for t in out_tangents])
    if has_aux:
        return out, out_tangent, strip_aux(flat.aux)
    return out, out_tangent


def check_tangents(function: str, primals: Any, tangents: Any) -> list[Any]:
    """The tangents' leaves, checked against the primals; `Zero` for integers."""
    difference = structure_difference(primals, tangents)
    if difference:
        raise TreeStructureError(
            f"{function}: the tangents' structure differs from the primals' {difference}",
            mend="pass one tangent per leaf of the primals",
        )
    checked: list[Any] = []
    for (path, primal), tangent in zip(
        tree_flatten_with_path(primals)[0], tree_flatten(tangents)[0], strict=True
    ):
        p, t = tangent_aval(aval_of(primal)), aval_of_tangent(tangent)
        if p.shape != t.shape:
            raise ShapeError(
                f"{function}: the argument tangents{keystr(path)} has shape {t.shape}, "
                f"the primal {p.shape}",
                mend="a tangent has its primal's shape",
            )
        if p.dtype == dtypes.float0 == t.dtype:
            checked.append(Zero(aval_of(primal)))
        elif p.dtype == dtypes.float0:
            raise DtypeError(
                f"{function}: the tangent of argument {keystr(path)} has dtype {t.dtype.name}, but "
                f"the primal is {aval_of(primal)}, whose tangent has dtype float0",
                mend="pass np.zeros(shape, ff.float0), or close over the argument",
            )
        elif t.dtype != p.dtype and not t.weak_type:
            raise DtypeError(
                f"{function}: the argument tangents{keystr(path)} has dtype {t.dtype.name}, "
                f"the primal needs {p.dtype.name}",
                mend=f"convert it with .astype('{p.dtype.name}')",
            )
        else:
            checked.append(convert_element_type(tangent, p.dtype))
    return checked


def aval_of_tangent(x: Any) -> ShapedArray:
    """Like `aval_of`, for NumPy's float0 arrays as well."""
    if getattr(x, "dtype", None) == dtypes.float0:
        return ShapedArray(x.shape, dtypes.float0)
    return aval_of(x)


def instantiate_tangent(t: Any) -> Any:
    """A tangent as an array; the tangents of integers are NumPy arrays of dtype float0."""
    if type(t) is not Zero:
        return as_array(t)
    aval = tangent_aval(t.aval)
    return (
        np.zeros(aval.shape, aval.dtype) if aval.dtype == dtypes.float0 else as_array(zeros(aval))
    )


def strip_aux(aux: Any) -> Any:
    """The auxiliary output with the values that the finished trace was following."""
    leaves, treedef = tree_flatten(aux)
    return treedef.unflatten([_finished(x) for x in leaves])


def _finished(x: Any) -> Any:
    while isinstance(x, JVPTracer) and not x.owner.alive:
        x = x.primal
    return x
