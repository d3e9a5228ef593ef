"""Gradients of scalar functions."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import as_array, aval_of
from funcflow.core.errors import ArgumentError, NotDifferentiableError, ShapeError
from funcflow.core.flatten import FlatFunction, check_function, check_leaves, name_of
from funcflow.core.pytree import keystr, tree_flatten, tree_flatten_with_path
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.transforms.jit import jit
from funcflow.transforms.jvp import instantiate_tangent, strip_aux
from funcflow.transforms.linearize import linearize_flat, pull_back, vjp


def select_arguments(
    function: str, fun: Callable[..., Any], args: tuple[Any, ...], argnums: int | Sequence[int]
) -> tuple[tuple[Any, ...], Callable[..., Any]]:
    """The arguments to differentiate, and `fun` as a function of those alone."""
    listed = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in listed:
        if not -len(args) <= i < len(args):
            raise ArgumentError(
                f"{function}: argnums={argnums} names argument {i}, but {name_of(fun)} was called "
                f"with {len(args)} positional arguments",
                mend="pass the arguments to differentiate by position",
            )
    places = [i % len(args) for i in listed]

    def partial(*chosen: Any, **kwargs: Any) -> Any:
        full = list(args)
        for i, value in zip(places, chosen, strict=True):
            full[i] = value
        return fun(*full, **kwargs)

    return tuple(args[i] for i in places), partial


def wanted_kind(holomorphic: bool) -> tuple[Callable[[Any], bool], str]:
    """The test that the dtypes of inputs and outputs must pass, and its name for messages."""
    return (
        (dtypes.is_complex, "complex") if holomorphic else (dtypes.is_float, "real floating-point")
    )


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns the value of `fun` and its gradient.

    Args:
        fun: returns a scalar (or, with `has_aux`, a pair of a scalar and anything).
        argnums: which positional arguments to differentiate; an int or a sequence of ints.
        has_aux: `fun` returns `(value, auxiliary)`.
        holomorphic: `fun` is a holomorphic function of complex arguments.
        allow_int: integer arguments are allowed and get `float0` gradients.

    Returns:
        A function of the same arguments that returns `(value, gradient)`, or
        `((value, auxiliary), gradient)`. The gradient has the structure of the argument, or is a
        tuple if `argnums` is a sequence. For a complex argument z = x + iy of a real function f
        it is df/dx - i df/dy, so steepest descent goes along minus its conjugate.

    Raises:
        NotDifferentiableError: an argument is integer, or the result is integer, or complex
            without `holomorphic`.
        ShapeError: the result is no scalar.

    Example:
        >>> ff.value_and_grad(lambda x: x**2)(3.0)
        (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32))
    """
    check_function("grad", fun)

    @hides_internal_frames
    @wraps(fun)
    def value_and_grad_of(*args: Any, **kwargs: Any) -> Any:
        chosen, partial = select_arguments("grad", fun, args, argnums)
        leaves, treedef = tree_flatten((chosen, {}))
        check_leaves(chosen, leaves, f"grad of {name_of(fun)}: the argument args")
        _check_inputs(fun, chosen, holomorphic, allow_int)
        flat = FlatFunction(lambda *xs: partial(*xs, **kwargs), treedef, has_aux)
        linear = linearize_flat(flat, leaves)
        value = _check_output(fun, linear.outs, flat, holomorphic)
        one = np.ones((), aval_of(value).dtype)
        cts = pull_back(linear, linear.residuals, [one])
        grads = treedef.unflatten([instantiate_tangent(ct) for ct in cts])[0]
        gradient = grads[0] if isinstance(argnums, int) else grads
        return ((value, strip_aux(flat.aux)) if has_aux else value), gradient

    return value_and_grad_of


def _check_inputs(fun: Callable[..., Any], chosen: Any, holomorphic: bool, allow_int: bool) -> None:
    for path, leaf in tree_flatten_with_path(chosen)[0]:
        aval = aval_of(leaf)
        where = f"grad of {name_of(fun)}: the argument args{keystr(path)} is {aval}"
        if holomorphic and not dtypes.is_complex(aval.dtype):
            raise NotDifferentiableError(
                f"{where}; holomorphic=True needs complex arguments",
                mend="convert it to complex, or drop holomorphic=True",
            )
        if not dtypes.is_inexact(aval.dtype) and not allow_int:
            raise NotDifferentiableError(
                f"{where}; only floating-point arguments have a gradient",
                mend="pass a float, or choose other arguments with argnums",
            )


def _check_output(
    fun: Callable[..., Any], outs: list[Any], flat: FlatFunction, holomorphic: bool
) -> Any:
    if len(outs) != 1 or not flat.out_tree.is_leaf():
        raise ShapeError(
            f"grad of {name_of(fun)}: it must return one scalar, it returned {flat.out_tree}",
            mend="return a scalar; pass has_aux=True to return more beside it",
        )
    aval = aval_of(outs[0])
    if aval.shape != ():
        raise ShapeError(
            f"grad of {name_of(fun)}: it must return a scalar, it returned {aval}",
            mend="reduce the result (e.g. .sum()), or use ff.jacobian",
        )
    wanted, kind = wanted_kind(holomorphic)
    if not wanted(aval.dtype):
        if holomorphic:
            convert = "convert the result (.astype), or drop holomorphic=True if it is real"
        elif dtypes.is_complex(aval.dtype):
            convert = "pass holomorphic=True for a holomorphic function, otherwise use ff.vjp"
        else:
            convert = "return a float"
        raise NotDifferentiableError(
            f"grad of {name_of(fun)}: it must return a {kind} scalar, it returned {aval}",
            mend=convert,
        )
    return as_array(outs[0])


def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns the gradient of `fun`; see `value_and_grad` for the arguments.

    Returns:
        A function of the same arguments that returns the gradient, or `(gradient, auxiliary)`.

    Example:
        >>> ff.grad(lambda x: x**2)(3.0)
        Array(6., dtype=float32)
    """
    with_value = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int)

    @hides_internal_frames
    @wraps(fun)
    def grad_of(*args: Any, **kwargs: Any) -> Any:
        value, gradient = with_value(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return grad_of


def fwd_and_bwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool = False,
    jitted: bool = True,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward and the backward pass of `fun` as two functions.

    Args:
        fun: a function of pytrees of arrays.
        argnums: which positional arguments to differentiate.
        has_aux: `fun` returns `(value, auxiliary)`.
        jitted: compile both.

    Returns:
        `fwd(*args) -> (value, residuals)`, with the auxiliary part third if `has_aux`, and
        `bwd(residuals, cotangent)`, which gives the cotangent of the argument, or a tuple if
        `argnums` is a sequence.

    Example:
        >>> fwd, bwd = ff.fwd_and_bwd(lambda x, y: x * y, argnums=(0, 1))
        >>> value, residuals = fwd(2.0, 3.0)
        >>> bwd(residuals, 1.0)
        (Array(3., dtype=float32), Array(2., dtype=float32))
    """

    def fwd(*args: Any, **kwargs: Any) -> Any:
        chosen, partial = select_arguments("fwd_and_bwd", fun, args, argnums)
        return vjp(lambda *xs: partial(*xs, **kwargs), *chosen, has_aux=has_aux)

    def bwd(residuals: Any, cotangent: Any) -> Any:
        cts = residuals(cotangent)
        return cts[0] if isinstance(argnums, int) else cts

    return (jit(fwd), jit(bwd)) if jitted else (fwd, bwd)
