"""`custom_gradient` and `closure_convert`: derivative rules given as closures."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.evaluate import eval_jaxpr
from funcflow.core.flatten import FlatFunction, check_function, flatten_arguments
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.pytree import PyTreeDef, tree_flatten
from funcflow.core.registration import Partial
from funcflow.core.staging import stage_out
from funcflow.core.trace import Tracer
from funcflow.transforms.custom_vjp import custom_vjp


class _Program:
    """A traced function: `(consts, *args) -> result`."""

    def __init__(self, closed: ClosedJaxpr, out_tree: PyTreeDef) -> None:
        self.jaxpr = closed.jaxpr
        self.out_tree = out_tree

    def __call__(self, consts: Any, *args: Any) -> Any:
        return self.out_tree.unflatten(eval_jaxpr(self.jaxpr, consts, *tree_flatten(args)[0]))


def _traced(fun: Callable[..., Any], args: tuple[Any, ...]) -> tuple[_Program, list[Any]]:
    leaves, in_tree = flatten_arguments("closure_convert", args, {})
    flat = FlatFunction(fun, in_tree)
    closed = stage_out(flat, [aval_of(x) for x in leaves])
    return _Program(closed, flat.out_tree), list(closed.consts)


def closure_convert(
    fun: Callable[..., Any], *example_args: Any
) -> tuple[Callable[..., Any], list[Any]]:
    """`fun` with the traced floating-point values that it closes over as arguments.

    For functions with derivative rules of their own, which may not close over traced values.

    Args:
        fun: a function of pytrees of arrays.
        example_args: arguments; only their structure, shapes and dtypes matter.

    Returns:
        `(converted, values)` such that `converted(*args, *values)` is `fun(*args)`.

    Example:
        >>> def outer(a):
        ...     f, values = ff.closure_convert(lambda x: a * x, 1.0)
        ...     return f(2.0, *values)
        >>> ff.grad(outer)(3.0)
        Array(2., dtype=float32)
    """
    check_function("closure_convert", fun)
    program, consts = _traced(fun, example_args)
    hoisted = [isinstance(c, Tracer) and dtypes.is_inexact(aval_of(c).dtype) for c in consts]
    fixed = [None if h else c for c, h in zip(consts, hoisted, strict=True)]
    values = [c for c, h in zip(consts, hoisted, strict=True) if h]

    def converted(*args: Any) -> Any:
        count = len(args) - len(values)
        rest = iter(args[count:])
        full = [next(rest) if h else c for c, h in zip(fixed, hoisted, strict=True)]
        return program(full, *args[:count])

    return converted, values


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function that comes with its own pullback: `fun(*args) -> (out, pullback)`.

    `pullback(ct)` returns one cotangent per argument (a tuple; for a single argument the cotangent
    itself will do) and may close over anything that `fun` computes.

    Example:
        >>> @ff.custom_gradient
        ... def clipped(x):
        ...     return x**2, lambda ct: fnp.clip(2 * x * ct, -1, 1)
        >>> ff.grad(clipped)(3.0)
        Array(1., dtype=float32)
    """
    check_function("custom_gradient", fun)

    def fwd(*args: Any) -> tuple[Any, Any]:
        out, pullback = fun(*args)
        program, consts = _traced(pullback, (out,))
        return out, Partial(program, consts)

    def bwd(pullback: Any, ct: Any) -> Any:
        cts = pullback(ct)
        return cts if isinstance(cts, tuple | list) else (cts,)

    wrapped = custom_vjp(wraps(fun)(lambda *args: fun(*args)[0]))
    wrapped.defvjp(fwd, bwd)
    return wrapped
