"""Associative operations on scalars, given as Python functions: traced, recognised, applied.

`lax.reduce` and `lax.reduce_window` take any such function. Sums, products, extrema and bitwise
operations are recognised from the traced function, however it is written; anything else is
applied to whole arrays at once, half of them at a time.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import SCALARS, as_buffer, aval_of, shape_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import DtypeError, ShapeError, TreeStructureError
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import FlatFunction, name_of
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import structure_difference, tree_flatten
from funcflow.core.staging import stage_out
from funcflow.core.trace import Tracer
from funcflow.lax.arithmetic import max_p, min_p, mul_p
from funcflow.lax.bitwise import and_p, or_p, xor_p
from funcflow.lax.casting import convert_element_type, convert_element_type_p
from funcflow.lax.forms import ANY, BITS, ELEMENTWISE, NUMBERS, add_p
from funcflow.lax.joining import concatenate
from funcflow.lax.scan import scan
from funcflow.lax.shape import broadcast_to, reshape
from funcflow.lax.slicing import slice_in_dim

# Combines two lists of arrays of one shape, element by element.
Combine = Callable[[Sequence[Any], Sequence[Any]], list[Any]]

# --- neutral elements -------------------------------------------------------------------------


def max_identity(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The value of the maximum of nothing, as a 0-d array: -inf, or the dtype's least integer."""
    return _least(dtype, -1)


def min_identity(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The value of the minimum of nothing, as a 0-d array: inf, or the dtype's greatest integer."""
    return _least(dtype, 1)


def _least(dtype: np.dtype[Any], sign: int) -> np.ndarray[Any, Any]:
    if dtypes.is_inexact(dtype):
        return np.asarray(sign * math.inf, dtype)
    if dtypes.kind(dtype) == "b":
        return np.asarray(sign > 0)
    limits = np.iinfo(dtype)
    return np.asarray(limits.max if sign > 0 else limits.min, dtype)


def is_identity(value: Any, identity: np.ndarray[Any, Any]) -> bool:
    """Whether a value is known and is the given one."""
    return not isinstance(value, Tracer) and bool(as_buffer(value) == identity.item())


# --- computations -----------------------------------------------------------------------------


def trace_computation(
    function: str, computation: Callable[[Any, Any], Any], operands: Any, init_values: Any
) -> tuple[ClosedJaxpr, list[Any], list[Any]]:
    """The jaxpr of `computation` on scalars, the operands' leaves and the initial values' leaves.

    Raises:
        TreeStructureError: operands, initial values and results differ in structure.
        ShapeError: the operands differ in shape, or an initial value is no scalar.
        DtypeError: an initial value's or a result's dtype is not its operand's.
    """
    difference = structure_difference(operands, init_values)
    if difference:
        raise TreeStructureError(
            f"{function}: the initial values' structure differs from the operands' {difference}",
            mend="pass one initial value per operand",
        )
    leaves, treedef = tree_flatten(operands)
    avals = [aval_of(x) for x in leaves]
    if not avals or any(aval.shape != avals[0].shape for aval in avals):
        raise ShapeError(
            f"{function}: takes one or more operands of one shape, got "
            f"{', '.join(map(str, avals)) or 'none'}",
            mend="broadcast the operands to one shape",
        )
    inits = [
        _initial_value(function, init, aval)
        for init, aval in zip(tree_flatten(init_values)[0], avals, strict=True)
    ]
    flat = FlatFunction(computation, tree_flatten(((operands, operands), {}))[1])
    scalars = [ShapedArray((), aval.dtype) for aval in avals]
    closed = stage_out(flat, [*scalars, *scalars])
    returned = [aval.strip_weak_type() for aval in closed.out_avals]
    if flat.out_tree != treedef or returned != scalars:
        raise (TreeStructureError if flat.out_tree != treedef else DtypeError)(
            f"{function}: {name_of(computation)} must combine two values of type "
            f"{treedef.unflatten(scalars)} into one of that type, but returned "
            f"{flat.out_tree.unflatten(returned)}",
            mend="return a value of the arguments' structure, shape and dtype",
        )
    return closed, leaves, inits


def _initial_value(function: str, init: Any, operand: ShapedArray) -> Any:
    aval = aval_of(init)
    if aval.shape:
        raise ShapeError(
            f"{function}: initial values are scalars, got {aval}", mend="pass an array of no axes"
        )
    if type(init) in SCALARS:
        return np.asarray(init, operand.dtype)
    if aval.weak_type:
        return convert_element_type(init, operand.dtype)
    if aval.dtype != operand.dtype:
        raise DtypeError(
            f"{function}: an initial value of dtype {aval.dtype} for an operand of {operand.dtype}",
            mend="give both one dtype",
        )
    return init


# What is recognised: the kinds of dtype it is recognised for, and its neutral element.
_MONOIDS: dict[Primitive, tuple[str, Callable[[np.dtype[Any]], np.ndarray[Any, Any]]]] = {
    add_p: (NUMBERS, lambda dtype: np.zeros((), dtype)),
    mul_p: (NUMBERS, lambda dtype: np.ones((), dtype)),
    max_p: (ANY, max_identity),
    min_p: (ANY, min_identity),
    and_p: (BITS, lambda dtype: np.asarray(-1).astype(dtype)),
    or_p: (BITS, lambda dtype: np.zeros((), dtype)),
    xor_p: (BITS, lambda dtype: np.zeros((), dtype)),
}


def monoid(closed: ClosedJaxpr) -> tuple[Primitive, np.ndarray[Any, Any]] | None:
    """The primitive that the jaxpr applies to its two arguments, if that is all it does.

    It comes with its neutral element, and is a sum, product, extremum or bitwise operation.
    """
    if len(closed.eqns) != 1 or len(closed.in_avals) != 2:
        return None
    (eqn,) = closed.eqns
    takes, identity = _MONOIDS.get(eqn.primitive, ("", max_identity))
    dtype = closed.in_avals[0].dtype
    returned = closed.jaxpr.outvars[0] is eqn.outvars[0]
    both = set(eqn.invars) == set(closed.jaxpr.invars)  # they commute
    if not (returned and both and dtypes.kind(dtype) in takes):
        return None
    return eqn.primitive, identity(dtype)


def on_arrays(closed: ClosedJaxpr) -> Combine:
    """The jaxpr, which is of scalars, as a function of arrays of one shape."""
    elementwise = all(
        eqn.primitive in ELEMENTWISE or eqn.primitive is convert_element_type_p
        for eqn in closed.eqns
    )

    def at_once(xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
        outs = eval_closed(closed, *xs, *ys)
        return [broadcast_to(x, shape_of(xs[0])) for x in outs]  # constant results are scalars

    def one_by_one(xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
        shape = shape_of(xs[0])
        flat = [reshape(x, (math.prod(shape),)) for x in (*xs, *ys)]
        _, outs = scan(lambda _, args: (None, eval_closed(closed, *args)), None, flat)
        return [reshape(x, shape) for x in outs]

    return at_once if elementwise else one_by_one


def fold(combine: Combine, arrays: Sequence[Any]) -> list[Any]:
    """The combination of all elements along the first axis, which has some and disappears.

    Neighbours are combined, so the operation need not commute.
    """
    xs = list(arrays)
    count = shape_of(xs[0])[0]
    while count > 1:
        paired = count - count % 2
        first = [slice_in_dim(x, 0, paired, 2) for x in xs]
        second = [slice_in_dim(x, 1, paired, 2) for x in xs]
        rest = [slice_in_dim(x, paired, count) for x in xs]
        merged = combine(first, second)
        xs = [concatenate([x, r], 0) if count % 2 else x for x, r in zip(merged, rest, strict=True)]
        count = (count + 1) // 2
    return [reshape(x, shape_of(x)[1:]) for x in xs]
