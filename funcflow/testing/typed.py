"""The law between two descriptions of every operation: what `abstract` promises, `impl` does."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, Literal, Var
from funcflow.core.pprint import equation_texts
from funcflow.core.pytree import tree_flatten, tree_leaves
from funcflow.core.staging import stage_out
from funcflow.core.typecheck import check_jaxpr
from funcflow.testing.compare import count


def check_types(name: str, f: Callable[..., Any], args: Sequence[Any]) -> None:
    """Check that `f` traces to a well-typed jaxpr, each equation of which keeps its types when run.

    Raises:
        AssertionError: naming the equation and the types that differ.
        JaxprTypeError: the jaxpr itself is ill-typed.
    """
    count.cases += 1
    leaves, treedef = tree_flatten(tuple(args))
    closed = stage_out(
        lambda *inputs: tree_leaves(f(*treedef.unflatten(inputs))), [aval_of(x) for x in leaves]
    )
    check_jaxpr(closed)
    jaxpr = closed.jaxpr
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    env.update(zip(jaxpr.invars, leaves, strict=True))

    def read(v: Atom) -> Any:
        return v.value if isinstance(v, Literal) else env[v]

    for number, eqn in enumerate(jaxpr.eqns):
        out = eqn.primitive.bind(*map(read, eqn.invars), **eqn.params)
        outs = out if eqn.primitive.multiple_results else [out]
        promised, got = [v.aval for v in eqn.outvars], [aval_of(x) for x in outs]
        if promised != got:
            raise AssertionError(
                f"law 'the equations of {name} keep their types' fails:\n"
                f"  {equation_texts(jaxpr)[number]}\n"
                f"  abstract promises {_show(promised)}, impl gives {_show(got)}"
            )
        env.update(zip(eqn.outvars, outs, strict=True))


def _show(avals: Sequence[ShapedArray]) -> str:
    return ", ".join(f"{a}*" if a.weak_type else str(a) for a in avals)
