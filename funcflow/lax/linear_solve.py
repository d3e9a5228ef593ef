"""Linear systems with general square matrices."""

from collections.abc import Sequence
from typing import Any

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.arithmetic import neg, sub
from funcflow.lax.casting import stop_gradient
from funcflow.lax.forms import check_same_dtypes
from funcflow.lax.lu import lu
from funcflow.lax.matrices import (
    check_matrices,
    fold_into,
    lapack_dtype,
    mapped_in_front,
    matmul,
    swapped,
)
from funcflow.lax.shape import broadcast_shapes_of, broadcast_to, expand_dims, squeeze
from funcflow.lax.triangular import solve_buffers

# --- factored_solve -------------------------------------------------------------------------

factored_solve_p = Primitive("factored_solve")


def solve(a: Any, b: Any) -> Any:
    """Solve `a x = b` by LU decomposition.

    Args:
        a: square matrices, of shape (..., n, n).
        b: right-hand sides of the same dtype: a vector (n,) or matrices (..., n, m). Leading axes
            broadcast.

    Returns:
        `x`, of the shape of `b` with the broadcast leading axes. A singular matrix gives
        infinities and NaN. Derivatives use the decomposition again.

    Raises:
        ShapeError: the shapes do not match.
        DtypeError: the dtypes differ or are not floating or complex.

    Example:
        >>> a = fnp.array([[2.0, 1.0], [1.0, 3.0]])
        >>> ff.lax.linalg.solve(a, fnp.array([3.0, 4.0]))
        Array([1., 1.], dtype=float32)
    """
    a_aval, b_aval = aval_of(a), aval_of(b)
    check_same_dtypes("solve", (a_aval, b_aval))
    check_matrices("solve", a_aval)
    vector = b_aval.ndim == 1
    n = a_aval.shape[-1]
    if b_aval.ndim == 0 or b_aval.shape[-1 if vector else -2] != n:
        raise ShapeError(
            f"solve: matrices {a_aval} need right-hand sides ({n},) or (..., {n}, m), got {b_aval}",
            mend="transpose or reshape b",
        )
    if vector:
        b = expand_dims(b, (-1,))
    stack = broadcast_shapes_of("solve", [a_aval.shape[:-2], shape_of(b)[:-2]])
    factors, _, permutation = lu(stop_gradient(a))
    out = factored_solve_p.bind(
        broadcast_to(a, (*stack, n, n)),
        broadcast_to(factors, (*stack, n, n)),
        broadcast_to(permutation, (*stack, n)),
        broadcast_to(b, (*stack, *shape_of(b)[-2:])),
        transpose=False,
    )
    return squeeze(out, (-1,)) if vector else out


def _abstract(
    a: ShapedArray,
    factors: ShapedArray,
    permutation: ShapedArray,
    b: ShapedArray,
    *,
    transpose: bool,
) -> ShapedArray:
    return b.strip_weak_type()


def _impl(xp: Any, a: Any, factors: Any, permutation: Any, b: Any, *, transpose: bool) -> Any:
    """With a[p] = l u: solve l u x = b[p], or u.T l.T x[p] = b."""
    dtype = lapack_dtype(b.dtype)
    factors, out = factors.astype(dtype, copy=False), b.astype(dtype, copy=False)
    rows = permutation[..., None]
    if not transpose:
        out = xp.take_along_axis(out, rows, axis=-2)
    for lower in (not transpose, transpose):
        out = solve_buffers(
            xp,
            factors,
            out,
            left_side=True,
            lower=lower,
            transpose_a=transpose,
            conjugate_a=False,
            unit_diagonal=lower,
        )
    if transpose:
        out = xp.take_along_axis(out, xp.argsort(rows, axis=-2), axis=-2)
    return out.astype(b.dtype, copy=False)


def _jvp(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], *, transpose: bool) -> Any:
    """With a x = b: a dx = db - da x. The factors are held fixed: they belong to `a`."""
    a, factors, permutation, b = primals
    a_dot, _, _, b_dot = tangents
    x = factored_solve_p.bind(a, factors, permutation, b, transpose=transpose)
    if type(a_dot) is Zero:
        side = b_dot
    else:
        change = matmul(swapped(a_dot) if transpose else a_dot, x)
        side = neg(change) if type(b_dot) is Zero else sub(b_dot, change)
    if type(side) is Zero:
        return x, Zero(x.aval)
    return x, factored_solve_p.bind(a, factors, permutation, side, transpose=transpose)


def _transpose(
    ctx: Any, ct: Any, a: Any, factors: Any, permutation: Any, b: Any, *, transpose: bool
) -> Any:
    out = factored_solve_p.bind(a, factors, permutation, ct, transpose=not transpose)
    return [None, None, None, out]


def _batch(ctx: Any, args: Any, dims: Any, *, transpose: bool) -> Any:
    *matrices, b = args
    if any(d is not None for d in dims[:3]):
        return factored_solve_p.bind(*mapped_in_front(ctx, args, dims), transpose=transpose), 0
    # one matrix for all examples, which are more columns
    folded, unfold = fold_into(b, dims[3], ndim_of(b) - 2)
    return unfold(factored_solve_p.bind(*matrices, folded, transpose=transpose)), ndim_of(b) - 2


define(
    factored_solve_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
)
