"""What each primitive means, transform by transform.

A primitive is only a name; its meaning is a row through the tables below. `define` fills the
row in one place, beside the functions it names, in the primitive's family file:

    define(sin_p, abstract=..., impl=..., jvp=..., transpose=NONLINEAR, batch=...)

Signatures (`ctx` is the context of the transform at work; a higher-order primitive applies that
transform to the jaxprs in its parameters with `ctx.jaxpr(inner, ...)`):

    abstract(*avals, **params)                       -> aval, or list of avals
    impl(xp, *buffers, **params)                     -> buffer, or list of buffers
    jvp(ctx, primals, tangents, **params)            -> (primal out, tangent out)
    transpose(ctx, cotangent, *args, **params)       -> one cotangent, None or Zero per argument
    batch(ctx, args, dims, **params)                 -> (out, dim)
    partial_eval(ctx, unknown, args, **params)       -> outs       (higher-order primitives only)
    effects(**params)                                -> frozenset of effects
    dce(eqn, used)                                   -> the equation without unused results
    eager(xp, *buffers, **params)                    -> as `impl`, outside of all programs, where
                                                        that is not `impl` itself

`xp` is NumPy or CuPy. `impl` must return the dtype that `abstract` promises. Where a primitive
has several results, "out", "tangent out", "cotangent" and "dim" are lists. Tangents may be `Zero`,
and cotangents, but not all of them: a transpose rule with one cotangent gets an array. The linear
arguments are `UndefinedPrimal` there. In `batch`, `dims` holds the mapped axis of each argument, or
None.
"""

from collections.abc import Callable
from enum import Enum
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeAlias

from funcflow.core.errors import MissingRuleError, NotDifferentiableError

if TYPE_CHECKING:
    from funcflow.core.primitive import Primitive


class Absent(Enum):
    """Why a rule is not there; a test fails on every hole that is not declared with one."""

    NONDIFFERENTIABLE = "its derivative is zero wherever it exists"
    NONLINEAR = "it is linear in none of its arguments"
    NO_FORWARD = "it stands for the tangent of a function that has only a reverse rule"
    CALLS = "it calls the jaxpr in its parameter `jaxpr`, and the transform goes on inside"
    ONLY_STAGED = "it is resolved by a transform and never evaluated"


NONDIFFERENTIABLE = Absent.NONDIFFERENTIABLE
NONLINEAR = Absent.NONLINEAR
NO_FORWARD = Absent.NO_FORWARD
CALLS = Absent.CALLS
ONLY_STAGED = Absent.ONLY_STAGED

Rule: TypeAlias = Callable[..., Any]


class Table(dict["Primitive", Any]):
    """One rule, or the reason why there is none, for each primitive."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __missing__(self, primitive: "Primitive") -> Rule:
        raise MissingRuleError(
            f"the primitive {primitive.name!r} has no {self.name} rule",
            mend=f"pass `{self.name}=...` to `define({primitive.name}_p, ...)`",
        )


abstract = Table("abstract")
impl = Table("impl")
jvp = Table("jvp")
transpose = Table("transpose")
batch = Table("batch")
partial_eval = Table("partial_eval")
effects = Table("effects")
dce = Table("dce")
eager = Table("eager")

TABLES = (abstract, impl, jvp, transpose, batch)


@cache
def parameters(primitive: "Primitive") -> list[str]:
    """The names of a primitive's parameters: those that its rules take by name."""
    found = (table.get(primitive) for table in (*TABLES, partial_eval, effects))
    listed = [signature(rule).parameters.values() for rule in found if callable(rule)]
    return sorted({p.name for params in listed for p in params if p.kind is p.KEYWORD_ONLY})


def not_evaluable(primitive: "Primitive", reason: Absent) -> NotDifferentiableError:
    """The error for a primitive that has no `impl`: it exists only to be transposed."""
    return NotDifferentiableError(
        f"{primitive.name} cannot be evaluated: {reason.value}",
        mend="use reverse mode (grad, vjp, jacrev), or custom_jvp instead of custom_vjp",
    )


def define(
    primitive: "Primitive",
    *,
    abstract: Rule,
    impl: Rule | Absent,
    jvp: Rule | Absent,
    transpose: Rule | Absent,
    batch: Rule | Absent,
    partial_eval: Rule | None = None,
    effects: Rule | None = None,
    dce: Rule | None = None,
    eager: Rule | None = None,
) -> None:
    """Fill a primitive's row."""
    tables = globals()
    rules = {"abstract": abstract, "impl": impl, "jvp": jvp, "transpose": transpose, "batch": batch}
    for name, rule in rules.items():
        tables[name][primitive] = rule
    more = {"partial_eval": partial_eval, "effects": effects, "dce": dce, "eager": eager}
    for name, rule in more.items():
        if rule is not None:
            tables[name][primitive] = rule
