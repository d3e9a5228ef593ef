"""Calling back into Python from traced programs: `pure_callback`, `io_callback`, `debug.print`."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from funcflow.core.array import as_array, aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import ArgumentError, CallbackError, NotDifferentiableError
from funcflow.core.flatten import flatten_arguments, name_of
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import PyTreeDef, tree_flatten, tree_map
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.loops import map as sequential_map
from funcflow.lax.progress_bar import leave_line
from funcflow.lax.shape import expand_dims, moveaxis

# --- callbacks that return values -------------------------------------------------------------

pure_callback_p = Primitive("pure_callback", multiple_results=True)
io_callback_p = Primitive("io_callback", multiple_results=True)

_METHODS = ("sequential", "expand_dims", "broadcast_all")


def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """Call a Python function on NumPy arrays, also from inside traced programs.

    The function must be pure: a call may be dropped, repeated or moved.

    Args:
        callback: gets NumPy arrays in the structure of `args` and `kwargs`.
        result_shape_dtypes: a pytree of `ShapeDtypeStruct` that says what it returns.
        *args: pytrees of arrays.
        **kwargs: pytrees of arrays.
        vmap_method: what `vmap` does: "sequential" calls once per lane; "expand_dims" and
            "broadcast_all" call once with a leading axis on all arguments (of extent 1, or
            repeated, where an argument is not mapped). None: vmap raises.

    Raises:
        CallbackError: the function raised, or returned something else than it promised.
        NotDifferentiableError: a derivative is asked for; use `custom_jvp` around it.

    Example:
        >>> out = ff.ShapeDtypeStruct((2,), "float32")
        >>> ff.jit(lambda x: ff.pure_callback(np.cbrt, out, x))(fnp.array([1.0, 8.0]))
        Array([1., 2.], dtype=float32)
    """
    if vmap_method not in (None, *_METHODS):
        raise ArgumentError(
            f"pure_callback: vmap_method={vmap_method!r}",
            mend=f"use one of {', '.join(_METHODS)}, or None",
        )
    bind = partial(pure_callback_p.bind, vmap_method=vmap_method)
    return _bind_callback(bind, callback, result_shape_dtypes, args, kwargs)


def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """`pure_callback` for functions with side effects: every call happens once, in order.

    Calls always happen in program order, whatever `ordered` says; `vmap` makes one per lane.
    """
    return _bind_callback(io_callback_p.bind, callback, result_shape_dtypes, args, kwargs)


def _bind_callback(
    bind: Callable[..., list[Any]],
    callback: Callable[..., Any],
    result: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    leaves, in_tree = flatten_arguments(f"callback {name_of(callback)}", args, kwargs)
    structs, out_tree = tree_flatten(result)
    avals = tuple(aval_of(s).strip_weak_type() for s in structs)
    outs = bind(*leaves, callback=_Callback(callback, in_tree, out_tree), out_avals=avals)
    return out_tree.unflatten(outs)


class _Callback:
    """A Python function of flat NumPy arrays."""

    def __init__(
        self, function: Callable[..., Any], in_tree: PyTreeDef, out_tree: PyTreeDef
    ) -> None:
        self.function = function
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.__name__ = name_of(function)

    def __call__(self, buffers: tuple[Any, ...], avals: tuple[ShapedArray, ...]) -> list[Any]:
        args, kwargs = self.in_tree.unflatten([_read_only(x) for x in buffers])
        try:
            result = self.function(*args, **kwargs)
        except Exception as error:
            raise CallbackError(
                f"the callback {self.__name__} raised {type(error).__name__}: {error}",
                mend="see the callback's own traceback above",
            ) from error
        leaves, tree = tree_flatten(result)
        if tree != self.out_tree:
            raise CallbackError(
                f"the callback {self.__name__} returned the structure {tree}, it promised "
                f"{self.out_tree}",
                mend="return what result_shape_dtypes says",
            )
        return [self._checked(x, a) for x, a in zip(leaves, avals, strict=True)]

    def _checked(self, x: Any, aval: ShapedArray) -> Any:
        found = np.asarray(x)
        if found.dtype != aval.dtype and np.can_cast(found.dtype, aval.dtype, "same_kind"):
            found = found.astype(aval.dtype)
        if found.shape != aval.shape or found.dtype != aval.dtype:
            raise CallbackError(
                f"the callback {self.__name__} returned {found.dtype}{list(found.shape)}, it "
                f"promised {aval}",
                mend="return what result_shape_dtypes says",
            )
        return np.array(found)


def _read_only(x: Any) -> Any:
    view = np.asarray(x).view()
    view.flags.writeable = False
    return view


def _callback_impl(
    xp: Any, *buffers: Any, callback: _Callback, out_avals: Any, **_: Any
) -> list[Any]:
    return callback(buffers, out_avals)


def _pure_jvp(ctx: Any, primals: Any, tangents: Any, *, callback: _Callback, **_: Any) -> Any:
    raise NotDifferentiableError(
        f"pure_callback({callback.__name__}) has no derivative",
        mend="wrap it in ff.custom_jvp or ff.custom_vjp and give the rule",
    )


def _io_jvp(ctx: Any, primals: Any, tangents: Any, **params: Any) -> Any:
    outs = io_callback_p.bind(*primals, **params)
    return outs, [Zero(aval_of(x)) for x in outs]


def _pure_batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    callback: _Callback,
    out_avals: tuple[ShapedArray, ...],
    vmap_method: str | None,
) -> Any:
    if vmap_method is None:
        raise ArgumentError(
            f"vmap reached pure_callback({callback.__name__}), which does not say how to map it",
            mend="pass vmap_method='sequential' (or 'expand_dims', 'broadcast_all')",
        )
    bind = partial(pure_callback_p.bind, callback=callback, vmap_method=vmap_method)
    if vmap_method == "sequential":
        return _lane_by_lane(partial(bind, out_avals=out_avals), args, dims)
    full = [
        moveaxis(x, d, 0) if d is not None else _leading_axis(ctx, x, vmap_method)
        for x, d in zip(args, dims, strict=True)
    ]
    batched = tuple(a.update(shape=(ctx.size, *a.shape)) for a in out_avals)
    return bind(*full, out_avals=batched), [0] * len(batched)


def _io_batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    return _lane_by_lane(partial(io_callback_p.bind, **params), args, dims)


def _lane_by_lane(bind: Callable[..., list[Any]], args: Any, dims: Any) -> Any:
    """One call per lane, in a loop."""
    mapped = [moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True) if d is not None]

    def one(rows: list[Any]) -> list[Any]:
        rest = iter(rows)
        return bind(*(x if d is None else next(rest) for x, d in zip(args, dims, strict=True)))

    outs = sequential_map(one, mapped)
    return outs, [0] * len(outs)


def _leading_axis(ctx: Any, x: Any, vmap_method: str) -> Any:
    return ctx.to_front(x, None) if vmap_method == "broadcast_all" else expand_dims(x, (0,))


define(
    pure_callback_p,
    abstract=lambda *avals, out_avals, **_: list(out_avals),
    impl=_callback_impl,
    jvp=_pure_jvp,
    transpose=NONLINEAR,
    batch=_pure_batch,
)
define(
    io_callback_p,
    abstract=lambda *avals, callback, out_avals: list(out_avals),
    impl=_callback_impl,
    jvp=_io_jvp,
    transpose=NONLINEAR,
    batch=_io_batch,
    effects=lambda **_: frozenset({"io"}),
)

# --- debug.print ------------------------------------------------------------------------------

debug_p = Primitive("debug_callback", multiple_results=True)


def debug_callback(
    callback: Callable[..., None], *args: Any, ordered: bool = False, **kwargs: Any
) -> None:
    """Call a Python function for its side effect, from inside traced programs.

    Calls always happen in program order, whatever `ordered` says.
    Under `vmap` it is called once per lane; under `grad`, with primal values.
    """
    leaves, in_tree = flatten_arguments(f"callback {name_of(callback)}", args, kwargs)
    debug_p.bind(*leaves, callback=_Callback(callback, in_tree, tree_flatten(None)[1]))


def debug_print(fmt: str, *args: Any, ordered: bool = False, **kwargs: Any) -> None:
    """Print values from inside traced programs; `fmt` is a format string (see `str.format`).

    Lines always come in program order, whatever `ordered` says.

    Example:
        >>> ff.jit(lambda x: ff.debug.print("x = {}", x))(3.0)
        x = 3.0
    """

    def show(*values: Any, **named: Any) -> None:
        # as arrays, a float32 prints as 0.3, not as the double next to it
        values = tuple(tree_map(as_array, values))
        leave_line()
        sys.stdout.write(fmt.format(*values, **tree_map(as_array, named)) + "\n")

    show.__name__ = f"print {fmt!r}"  # as the text of jaxprs shows it
    debug_callback(show, *args, **kwargs)


def _debug_impl(xp: Any, *buffers: Any, callback: _Callback) -> list[Any]:
    return callback(buffers, ())


def _debug_batch(ctx: Any, args: Any, dims: Any, *, callback: _Callback) -> Any:
    return _lane_by_lane(partial(debug_p.bind, callback=callback), args, dims)


define(
    debug_p,
    abstract=lambda *avals, callback: [],
    impl=_debug_impl,
    jvp=lambda ctx, primals, tangents, *, callback: (debug_p.bind(*primals, callback=callback), []),
    transpose=NONLINEAR,
    batch=_debug_batch,
    effects=lambda *, callback: frozenset({"debug"}),
)
