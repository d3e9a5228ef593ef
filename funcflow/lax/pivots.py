"""Row exchanges and the permutations they come to."""

import math
from typing import Any

import numpy as np

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import DtypeError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, define
from funcflow.lax.shape import moveaxis

# The dtype of pivots and permutations.
INDEX = np.dtype("int32")

lu_pivots_to_permutation_p = Primitive("lu_pivots_to_permutation")


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """What exchanges of rows come to: row `i` with row `pivots[i]`, for each `i` in turn.

    Args:
        pivots: int32, of shape (..., k).
        permutation_size: the number of rows, at least k.

    Returns:
        int32, of shape (..., permutation_size).

    Raises:
        DtypeError: the pivots are not int32.
        ShapeError: there are more pivots than rows.

    Example:
        >>> ff.lax.linalg.lu_pivots_to_permutation(fnp.array([1, 2]), 3)
        Array([1, 2, 0], dtype=int32)
    """
    return lu_pivots_to_permutation_p.bind(pivots, permutation_size=int(permutation_size))


def _permutation_abstract(pivots: ShapedArray, *, permutation_size: int) -> ShapedArray:
    if pivots.dtype != INDEX:
        raise DtypeError(
            f"lu_pivots_to_permutation: takes int32 pivots, got {pivots}",
            mend="convert them with .astype('int32')",
        )
    if pivots.ndim < 1 or pivots.shape[-1] > permutation_size:
        raise ShapeError(
            f"lu_pivots_to_permutation: pivots {pivots} exceed permutation_size={permutation_size}",
            mend="pass the number of rows of the decomposed matrix",
        )
    return ShapedArray((*pivots.shape[:-1], permutation_size), INDEX)


def _permutation_impl(xp: Any, pivots: Any, *, permutation_size: int) -> Any:
    aval = _permutation_abstract(aval_of(pivots), permutation_size=permutation_size)
    *stack, count = pivots.shape
    flat = pivots.reshape(math.prod(stack), count)
    return permutation_of(xp, flat, permutation_size).reshape(aval.shape)


def permutation_of(xp: Any, pivots: Any, size: int) -> Any:
    """The permutations for a buffer of pivots, of shape (stack, k)."""
    every = xp.arange(len(pivots))
    out = xp.empty((len(pivots), size), INDEX)
    out[...] = xp.arange(size)
    for i in range(pivots.shape[1]):
        pivot = pivots[:, i]
        chosen = out[every, pivot]
        out[every, pivot] = out[:, i]
        out[:, i] = chosen
    return out


def _permutation_batch(ctx: Any, args: Any, dims: Any, *, permutation_size: int) -> Any:
    pivots = moveaxis(args[0], dims[0], 0)
    return lu_pivots_to_permutation_p.bind(pivots, permutation_size=permutation_size), 0


define(
    lu_pivots_to_permutation_p,
    abstract=_permutation_abstract,
    impl=_permutation_impl,
    jvp=NONDIFFERENTIABLE,
    transpose=NONLINEAR,
    batch=_permutation_batch,
)
