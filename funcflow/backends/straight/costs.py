"""How much work straight code does."""

from funcflow.core.jaxpr import Jaxpr, JaxprEqn, subjaxprs

# So many iterations a loop is taken to have whose end is not known.
GUESS = 64


def operations(jaxpr: Jaxpr) -> int:
    """About how many equations an evaluation runs through; of branches, the dearest counts."""
    return sum(map(_operations, jaxpr.eqns))


def _operations(eqn: JaxprEqn) -> int:
    inner = [operations(jaxpr) for jaxpr in subjaxprs(eqn)]
    iterations = GUESS if eqn.primitive.name == "while" else eqn.params.get("length", 1)
    return iterations * max(inner, default=1)
