"""What kernels can do with an equation, by its primitive and its dtypes."""

from collections.abc import Mapping

from funcflow.backends.loop_ir import MACHINE_OPS
from funcflow.backends.scalars.registry import find_expansion, is_widened
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn, Literal, Var
from funcflow.lax.forms import ELEMENTWISE

REDUCTIONS = {
    "reduce_sum": "add",
    "reduce_prod": "mul",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_and": "and",
    "reduce_or": "or",
    "reduce_xor": "xor",
    "argmax": "argmax",
    "argmin": "argmin",
}
VIEWS = frozenset(["reshape", "transpose", "broadcast_in_dim", "slice", "rev"])
PARTS = frozenset(["real", "imag"])
IDENTITIES = frozenset(["copy", "name", "stop_gradient"])
CASTS = frozenset(["convert_element_type", "bitcast_convert_type"])

_DEAR = """
    exp exp2 expm1 log log1p sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh pow
    logistic erf erfc erf_inv cbrt threefry2x32 div rem sqrt rsqrt
"""
DEAR = frozenset(_DEAR.split())  # operations that are not computed twice


def is_elementwise(eqn: JaxprEqn) -> bool:
    """Whether kernels can compute an equation element by element."""
    name = eqn.primitive.name
    if name in IDENTITIES:
        return _has_plain_dtypes(eqn)
    if name in CASTS:
        sizes = {v.aval.dtype.itemsize for v in (*eqn.invars, *eqn.outvars)}
        return _has_plain_dtypes(eqn) and (name == "convert_element_type" or len(sizes) == 1)
    if eqn.primitive not in ELEMENTWISE or not _has_plain_dtypes(eqn):
        return False
    dtype = eqn.invars[0].aval.dtype
    known = name in MACHINE_OPS or find_expansion(name, dtype) is not None
    return known or is_widened(name, dtype)


def _has_plain_dtypes(eqn: JaxprEqn) -> bool:
    return all(dtypes.kind(v.aval.dtype) in "biuf" for v in (*eqn.invars, *eqn.outvars))


def is_reduction(eqn: JaxprEqn) -> bool:
    """Whether kernels can compute an equation that reduces axes."""
    return eqn.primitive.name in REDUCTIONS and _has_plain_dtypes(eqn)


def is_empty(eqn: JaxprEqn) -> bool:
    """Whether an operand or a result has no elements."""
    return any(0 in v.aval.shape for v in (*eqn.invars, *eqn.outvars))


def is_virtual(eqn: JaxprEqn, virtual: Mapping[Var, JaxprEqn]) -> bool:
    """Whether an equation is cheaper to compute again than to store."""
    for v in eqn.invars:
        if not isinstance(v, Literal) and v not in virtual:
            return False
    name = eqn.primitive.name
    if name in ("iota", "broadcast_in_dim", "transpose"):
        return _has_plain_dtypes(eqn)
    if name == "reshape":
        return _has_plain_dtypes(eqn) and only_adds_ones(eqn)
    return is_elementwise(eqn) and name not in DEAR and len(eqn.outvars) == 1


def only_adds_ones(eqn: JaxprEqn) -> bool:
    """Whether a reshape only adds and removes dimensions of extent 1."""
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    return [n for n in before if n != 1] == [n for n in after if n != 1]
