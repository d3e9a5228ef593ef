"""Looking at functions without running them, and naming their parts for whoever looks."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, ShapeDtypeStruct
from funcflow.core.errors import ArgumentError
from funcflow.core.flatten import FlatFunction, name_of
from funcflow.core.pytree import tree_flatten
from funcflow.core.staging import stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.transforms.jit import jit


def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    return_shape: bool = False,
) -> Callable[..., Any]:
    """A function that returns the jaxpr of `fun` for arguments like those it is called with.

    Args:
        fun: a function of pytrees of arrays.
        static_argnums: positional arguments that are Python values.
        return_shape: also return the result's tree of `ShapeDtypeStruct`.

    Example:
        >>> ff.make_jaxpr(lambda x: fnp.sin(x) * 2)(fnp.ones(3))
        { lambda ; a:f32[3]. let
            b:f32[3] = sin a
            c:f32[3] = mul b 2.0:f32[]
          in (c,) }
    """
    places = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    @hides_internal_frames
    @wraps(fun)
    def jaxpr_of(*args: Any, **kwargs: Any) -> Any:
        traced = jit(fun, static_argnums=places).trace(*args, **kwargs)
        return (traced.jaxpr, traced.out_info) if return_shape else traced.jaxpr

    return jaxpr_of


@hides_internal_frames
def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of `fun` with its arrays replaced by `ShapeDtypeStruct`; nothing is computed.

    Example:
        >>> ff.eval_shape(fnp.dot, fnp.ones((2, 3)), fnp.ones(3))
        ShapeDtypeStruct(shape=(2,), dtype=float32)
    """
    leaves, in_tree = tree_flatten((args, kwargs))
    flat = FlatFunction(fun, in_tree)
    closed = stage_out(flat, [aval_of(x) for x in leaves])
    structs = [ShapeDtypeStruct(a.shape, a.dtype, a.weak_type) for a in closed.out_avals]
    return flat.out_tree.unflatten(structs)


def typeof(x: Any) -> ShapedArray:
    """The abstract value of an array or number: shape, dtype, weak flag.

    Example:
        >>> ff.typeof(fnp.ones((2, 3)))
        ShapedArray(f32[2,3])
    """
    return aval_of(x)


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """`fun` as one named block in jaxprs."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return fun(*args, **kwargs)

    call.__name__ = name or name_of(fun)
    return wraps(fun)(jit(call))


@contextmanager
def named_scope(name: str) -> Generator[None]:
    """A context or decorator that names a part of a program; the name is not recorded.

    Programs that use it run as they are: equations and errors carry the line that asked for them,
    whatever the scope. `named_call` makes a name visible in jaxprs.
    """
    if not isinstance(name, str):
        raise ArgumentError(
            f"named_scope: the name must be a string, got {name!r}", mend="pass a string"
        )
    yield
