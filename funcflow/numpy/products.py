"""Products of vectors, matrices and tensors, all of which are `lax.dot_general`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.eager import fast_binary, is_eager
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axes, canonical_axis
from funcflow.lax.shape import moveaxis
from funcflow.numpy.arguments import is_sequence, normal_axes, static_int
from funcflow.numpy.arithmetic import multiply
from funcflow.numpy.manipulation import ravel
from funcflow.numpy.promotion import as_array, promote, refuse_out


def _pair(function: str, a: Any, b: Any) -> tuple[Array, Array]:
    """The operands in their common dtype."""
    a, b = promote(function, a, b)
    return as_array(function, a), as_array(function, b)


def _conj(x: Array) -> Array:
    return lax.conj(x) if dtypes.is_complex(x.dtype) else x


# --- matrices -------------------------------------------------------------------------------


def matmul(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The matrix product `a @ b`.

    Args:
        a: a vector of shape (k,) or matrices of shape (..., m, k).
        b: a vector of shape (k,) or matrices of shape (..., k, n). Leading axes broadcast.
        precision: see `lax.Precision`.
        preferred_element_type: see `lax.dot_general`.

    Returns:
        An array of shape (..., m, n), without the axes that vectors do not have.

    Raises:
        ShapeError: the inner extents differ, or an operand has no axis.

    Example:
        >>> fnp.matmul(fnp.ones((5, 2, 3)), fnp.ones((3, 4))).shape
        (5, 2, 4)
    """
    if precision is None and preferred_element_type is None:
        return matrix_product(a, b)
    return _matmul(a, b, precision, preferred_element_type)


def _blas(a: Any, b: Any) -> Any:
    if a.dtype.itemsize == 2:
        raise ValueError("half precision is summed in float32, which the general way does")
    return np.matmul(a, b)


@fast_binary(_blas, "fc")
def matrix_product(a: Any, b: Any, /) -> Array:
    """`matmul` without options: the operator `@`."""
    return _matmul(a, b, None, None)


def _matmul(a: Any, b: Any, precision: Any, preferred: Any) -> Array:
    a, b = _pair("matmul", a, b)
    if not a.ndim or not b.ndim:
        raise ShapeError(
            f"matmul: takes arrays of 1 or more axes, got shapes {a.shape} and {b.shape}",
            mend="multiply by numbers with *",
        )
    inner = max(b.ndim - 2, 0)
    if a.shape[-1] != b.shape[inner]:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: the last axis of the first has "
            f"extent {a.shape[-1]}, axis {inner} of the second {b.shape[inner]}",
            mend="transpose or reshape an operand",
        )
    lhs_stack, rhs_stack = a.shape[:-2], b.shape[:-2]
    stack = lax.broadcast_shapes(lhs_stack, rhs_stack)
    # an axis that only one operand really has is one of its free axes: nothing is repeated
    lhs_axes, a = _stack_axes(a, stack, max(a.ndim - 2, 0))
    rhs_axes, b = _stack_axes(b, stack, max(b.ndim - 2, 0))
    common = [i for i in range(len(stack)) if i in lhs_axes and i in rhs_axes]
    lhs_batch = tuple(lhs_axes.index(i) for i in common)
    rhs_batch = tuple(rhs_axes.index(i) for i in common)
    contract = (a.ndim - 1,), (len(rhs_axes),)
    out = lax.dot_general(a, b, (contract, (lhs_batch, rhs_batch)), precision, preferred)
    # where the result's axes are: those of the stack by number, then rows and columns
    lhs_free = [i for i in lhs_axes if i not in common]
    rhs_free = [i for i in rhs_axes if i not in common]
    rows, columns = len(stack), len(stack) + 1
    order = [*common, *lhs_free]
    if a.ndim > len(lhs_axes) + 1:
        order.append(rows)
    order += rhs_free
    if b.ndim > len(rhs_axes) + 1:
        order.append(columns)
    missing = [i for i in range(len(stack)) if i not in order]
    out = lax.transpose(out, sorted(range(len(order)), key=order.__getitem__))
    return lax.expand_dims(out, missing)


def _stack_axes(x: Array, stack: tuple[int, ...], count: int) -> tuple[list[int], Array]:
    """Which axes of the stack an operand has with their full extent; the others are dropped."""
    offset = len(stack) - count
    kept = [i for i in range(count) if x.shape[i] != 1]
    dropped = [i for i in range(count) if x.shape[i] == 1]
    return [i + offset for i in kept], lax.squeeze(x, dropped)


def matvec(x1: Any, x2: Any, /) -> Array:
    """Matrices (..., m, n) times vectors (..., n); leading axes broadcast."""
    x1, x2 = _pair("matvec", x1, x2)
    if x1.ndim < 2 or not x2.ndim:
        raise ShapeError(
            f"matvec: takes matrices and vectors, got shapes {x1.shape} and {x2.shape}",
            mend="see fnp.matmul",
        )
    return lax.squeeze(matmul(x1, lax.expand_dims(x2, (x2.ndim,))), (-1,))


def vecmat(x1: Any, x2: Any, /) -> Array:
    """Conjugated vectors (..., n) times matrices (..., n, m); leading axes broadcast."""
    x1, x2 = _pair("vecmat", x1, x2)
    if not x1.ndim or x2.ndim < 2:
        raise ShapeError(
            f"vecmat: takes vectors and matrices, got shapes {x1.shape} and {x2.shape}",
            mend="see fnp.matmul",
        )
    return lax.squeeze(matmul(lax.expand_dims(_conj(x1), (x1.ndim - 1,)), x2), (-2,))


# --- sums over given axes -------------------------------------------------------------------


def dot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sums over the last axis of `a` and the last but one of `b` (the only one of a vector).

    The result's axes are the others of `a`, then those of `b`. A number multiplies.
    """
    plain = precision is None and preferred_element_type is None
    small = is_eager(a) and is_eager(b) and a.ndim in (1, 2) and b.ndim in (1, 2)
    if plain and small and a.shape[-1] == b.shape[0]:
        return matrix_product(a, b)
    a, b = _pair("dot", a, b)
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    last, first = a.ndim - 1, max(b.ndim - 2, 0)
    if a.shape[last] != b.shape[first]:
        raise ShapeError(
            f"dot: shapes {a.shape} and {b.shape} do not fit: axis {last} of the first has extent "
            f"{a.shape[last]}, axis {first} of the second {b.shape[first]}",
            mend="transpose or reshape an operand",
        )
    numbers = ((last,), (first,)), ((), ())
    return lax.dot_general(a, b, numbers, precision, preferred_element_type)


def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The sums of products over pairs of axes.

    Args:
        a: an array.
        b: an array.
        axes: how many of the last axes of `a` go with the first of `b`; or a pair of sequences,
            the axes of `a` and those of `b` that go with them.
        precision: see `lax.Precision`.
        preferred_element_type: see `lax.dot_general`.

    Returns:
        An array whose axes are the others of `a`, then those of `b`.
    """
    a, b = _pair("tensordot", a, b)
    if not is_sequence(axes):
        count = static_int("tensordot", "axes", axes)
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise ArgumentError(
                f"tensordot: axes={count} for arrays of {a.ndim} and {b.ndim} axes",
                mend="use at most as many as either has",
            )
        pairs: Sequence[Any] = range(a.ndim - count, a.ndim), range(count)
    else:
        pairs = axes
        if len(pairs) != 2:
            raise ArgumentError(f"tensordot: axes={axes!r}", mend="pass (axes of a, axes of b)")
    ours = canonical_axes(normal_axes("tensordot", pairs[0]), a.ndim, "tensordot")
    theirs = canonical_axes(normal_axes("tensordot", pairs[1]), b.ndim, "tensordot")
    lhs, rhs = [a.shape[i] for i in ours], [b.shape[i] for i in theirs]
    if lhs != rhs:
        raise ShapeError(
            f"tensordot: the axes {ours} of shape {a.shape} and {theirs} of shape {b.shape} have "
            f"extents {lhs} and {rhs}",
            mend="pair axes of one extent",
        )
    return lax.dot_general(a, b, ((ours, theirs), ((), ())), precision, preferred_element_type)


def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sums over the last axes of both. A number multiplies."""
    a, b = _pair("inner", a, b)
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    axes = (a.ndim - 1,), (b.ndim - 1,)
    return tensordot(a, b, axes, precision=precision, preferred_element_type=preferred_element_type)


def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The scalar product of the raveled arrays; the first is conjugated."""
    a, b = _pair("vdot", a, b)
    return dot(
        _conj(ravel(a)),
        ravel(b),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def vecdot(
    x1: Any,
    x2: Any,
    /,
    *,
    axis: int = -1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The scalar products along an axis; the first array is conjugated, the others broadcast."""
    x1, x2 = _pair("vecdot", x1, x2)
    if not x1.ndim or not x2.ndim:
        raise ShapeError(
            f"vecdot: takes arrays of 1 or more axes, got shapes {x1.shape} and {x2.shape}",
            mend="multiply numbers with *",
        )
    x1 = moveaxis(x1, canonical_axis(axis, x1.ndim, "vecdot"), x1.ndim - 1)
    x2 = moveaxis(x2, canonical_axis(axis, x2.ndim, "vecdot"), x2.ndim - 1)
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"vecdot: axis {axis} has extents {x1.shape[-1]} and {x2.shape[-1]}",
            mend="pass vectors of one length",
        )
    rows = lax.expand_dims(_conj(x1), (x1.ndim - 1,))
    columns = lax.expand_dims(x2, (x2.ndim,))
    out = _matmul(rows, columns, precision, preferred_element_type)
    return lax.squeeze(out, (out.ndim - 2, out.ndim - 1))


# --- without sums ---------------------------------------------------------------------------


def outer(a: Any, b: Any, out: None = None) -> Array:
    """The products of each element of `a` with each of `b`, as a matrix."""
    refuse_out("outer", out)
    a, b = ravel(a), ravel(b)
    return multiply(lax.expand_dims(a, (1,)), lax.expand_dims(b, (0,)))


def kron(a: Any, b: Any) -> Array:
    """The Kronecker product: each element of `a` replaced by its product with `b`."""
    a, b = _pair("kron", a, b)
    ndim = max(a.ndim, b.ndim)
    a = lax.reshape(a, (*(1,) * (ndim - a.ndim), *a.shape))
    b = lax.reshape(b, (*(1,) * (ndim - b.ndim), *b.shape))
    products = multiply(
        lax.expand_dims(a, range(1, 2 * ndim, 2)), lax.expand_dims(b, range(0, 2 * ndim, 2))
    )
    return lax.reshape(products, [m * n for m, n in zip(a.shape, b.shape, strict=True)])


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """The cross products of vectors of 3 components (or 2, the third being 0).

    Args:
        a: vectors.
        b: vectors; the other axes broadcast.
        axisa: which axis of `a` holds the components.
        axisb: which axis of `b` does.
        axisc: where they go in the result.
        axis: all three at once.

    Returns:
        The vectors; of two vectors of 2 components only the third component, without the axis.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _pair("cross", a, b)
    a = moveaxis(a, canonical_axis(axisa, a.ndim, "cross"), 0)
    b = moveaxis(b, canonical_axis(axisb, b.ndim, "cross"), 0)
    if a.shape[0] not in (2, 3) or b.shape[0] not in (2, 3):
        raise ShapeError(
            f"cross: the vectors have {a.shape[0]} and {b.shape[0]} components",
            mend="pass vectors of 2 or 3 components",
        )
    rest = lax.broadcast_shapes(a.shape[1:], b.shape[1:])
    x = [lax.broadcast_to(c, rest) for c in lax.unstack(a)]
    y = [lax.broadcast_to(c, rest) for c in lax.unstack(b)]
    third = _minor(x[0], x[1], y[0], y[1])
    if len(x) == len(y) == 2:
        return third
    x += [lax.full_like(x[0], 0)] * (3 - len(x))
    y += [lax.full_like(y[0], 0)] * (3 - len(y))
    out = lax.stack([_minor(x[1], x[2], y[1], y[2]), _minor(x[2], x[0], y[2], y[0]), third])
    return moveaxis(out, 0, canonical_axis(axisc, out.ndim, "cross"))


def _minor(a: Array, b: Array, c: Array, d: Array) -> Array:
    return lax.sub(lax.mul(a, d), lax.mul(b, c))
