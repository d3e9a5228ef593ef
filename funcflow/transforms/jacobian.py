"""Jacobians and Hessians: `jvp` or `vjp` mapped over a basis."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.errors import NotDifferentiableError
from funcflow.core.flatten import check_function, name_of
from funcflow.core.pytree import (
    keystr,
    tree_flatten,
    tree_flatten_with_path,
    tree_map,
    tree_unflatten,
)
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.shape import reshape
from funcflow.lax.slicing import slice_in_dim
from funcflow.transforms.grad import select_arguments, wanted_kind
from funcflow.transforms.jvp import jvp
from funcflow.transforms.linearize import vjp
from funcflow.transforms.vmap import vmap


def jacfwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fun`, by forward mode, one column at a time.

    Cheapest where the input is smaller than the output.

    Args:
        fun: a function of pytrees of arrays.
        argnums: which positional arguments to differentiate.
        has_aux: `fun` returns `(value, auxiliary)`.
        holomorphic: `fun` is a holomorphic function of complex arguments.

    Returns:
        A function of the same arguments. The result has the structure of the output, and in each
        leaf the structure of the argument; a leaf's shape is the output's, then the argument's.

    Raises:
        NotDifferentiableError: an argument is not floating point.

    Example:
        >>> ff.jacfwd(fnp.sin)(fnp.zeros(2))
        Array([[1., 0.],
               [0., 1.]], dtype=float32)
    """
    check_function("jacfwd", fun)

    @hides_internal_frames
    @wraps(fun)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen, partial = select_arguments("jacfwd", fun, args, argnums)
        leaves, in_tree = tree_flatten(chosen)
        _check_inputs("jacfwd", fun, chosen, *wanted_kind(holomorphic))

        def push(*tangents: Any) -> Any:
            function = lambda *xs: partial(*xs, **kwargs)  # noqa: E731
            return jvp(function, chosen, tree_unflatten(in_tree, tangents), has_aux)[1:]

        columns, *aux = vmap(push, out_axes=(-1, None) if has_aux else (-1,))(*_basis(leaves))
        result = tree_map(lambda y: _split(y, leaves, in_tree, argnums), columns)
        return (result, aux[0]) if has_aux else result

    return jacobian


def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fun`, by reverse mode, one row at a time.

    Cheapest where the output is smaller than the input. Arguments and result as for `jacfwd`;
    a real function may have complex arguments, as for `grad`.

    Example:
        >>> ff.jacrev(lambda x: fnp.dot(x, x))(fnp.ones(2))
        Array([2., 2.], dtype=float32)
    """
    check_function("jacrev", fun)

    @hides_internal_frames
    @wraps(fun)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen, partial = select_arguments("jacrev", fun, args, argnums)
        wanted, kind = wanted_kind(holomorphic)
        if not allow_int:
            # a real function may have complex arguments: reverse mode gives the whole derivative
            accepted = (wanted, kind) if holomorphic else (dtypes.is_inexact, "floating-point")
            _check_inputs("jacrev", fun, chosen, *accepted)
        out, pull, *aux = vjp(lambda *xs: partial(*xs, **kwargs), *chosen, has_aux=has_aux)
        outs, out_tree = tree_flatten(out)
        for x in outs:
            aval = aval_of(x)
            if not wanted(aval.dtype):
                raise NotDifferentiableError(
                    f"jacrev of {name_of(fun)}: the output must be {kind}, it is {aval}",
                    mend="use ff.vjp, convert the output, or pass holomorphic=True if it applies",
                )
        rows = vmap(lambda *cts: pull(out_tree.unflatten(cts)))(*_basis(outs))
        grads = rows[0] if isinstance(argnums, int) else rows
        result = _rows_to_tree(grads, outs, out_tree)
        return (result, aux[0]) if has_aux else result

    return jacobian


def hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Hessian of `fun`: forward mode over reverse mode.

    Example:
        >>> ff.hessian(lambda x: x**3)(2.0)
        Array(12., dtype=float32)
    """
    return jacfwd(
        jacrev(fun, argnums, has_aux=has_aux, holomorphic=holomorphic),
        argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
    )


def _check_inputs(
    function: str, fun: Callable[..., Any], chosen: Any, wanted: Callable[[Any], bool], kind: str
) -> None:
    for path, leaf in tree_flatten_with_path(chosen)[0]:
        aval = aval_of(leaf)
        if not wanted(aval.dtype):
            raise NotDifferentiableError(
                f"{function} of {name_of(fun)}: the argument args{keystr(path)} must be {kind}, "
                f"it is {aval}",
                mend="pass holomorphic=True for complex arguments, or choose others with argnums",
            )


def _basis(leaves: Sequence[Any]) -> list[Any]:
    """The standard basis of all leaves together; the leading axis of each array is over it."""
    sizes = [aval_of(x).size for x in leaves]
    total, start = sum(sizes), 0
    arrays: list[Any] = []
    for x, size in zip(leaves, sizes, strict=True):
        aval = aval_of(x)
        block = np.zeros((total, size), aval.dtype)
        block[np.arange(start, start + size), np.arange(size)] = 1
        arrays.append(block.reshape(total, *aval.shape))
        start += size
    return arrays


def _split(y: Any, leaves: Sequence[Any], in_tree: Any, argnums: Any) -> Any:
    """Cut the axis over the basis (the last one) into the arguments' shapes."""
    out_shape, start = y.shape[:-1], 0
    parts: list[Any] = []
    for x in leaves:
        aval = aval_of(x)
        part = slice_in_dim(y, start, start + aval.size, 1, len(out_shape))
        parts.append(reshape(part, (*out_shape, *aval.shape)))
        start += aval.size
    tree = in_tree.unflatten(parts)
    return tree[0] if isinstance(argnums, int) else tree


def _rows_to_tree(grads: Any, outs: Sequence[Any], out_tree: Any) -> Any:
    """Cut the axis over the basis (the first one) into the outputs' shapes."""
    start = 0
    parts: list[Any] = []
    for x in outs:
        aval = aval_of(x)

        def cut(g: Any, start: int = start, aval: Any = aval) -> Any:
            rows = slice_in_dim(g, start, start + aval.size, 1, 0)
            return reshape(rows, (*aval.shape, *g.shape[1:]))

        parts.append(tree_map(cut, grads))
        start += aval.size
    return out_tree.unflatten(parts)
