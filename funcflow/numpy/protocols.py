"""NumPy's protocols: functions of `numpy` that are given our arrays call those of `funcflow.numpy`.

So plain NumPy code traces: `np.sin(x)`, `np.linalg.norm(x)`, `np.concatenate([x, y])` and
`ndarray + x` work on concrete and traced arrays. Functions are found by their name.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow import numpy as fnp
from funcflow.core.array import Array, ConcreteArray
from funcflow.core.errors import ArgumentError, ImmutableError

# --- ufuncs ---------------------------------------------------------------------------------

# What the methods of NumPy's ufuncs are called here.
_REDUCE = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}
_ACCUMULATE: dict[str, Callable[..., Any]] = {
    "maximum": lax.cummax,
    "minimum": lax.cummin,
    "logaddexp": lax.cumlogsumexp,
}


def array_ufunc(self: Array, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`numpy.sin(x)`, `ndarray + x`, `numpy.add.reduce(x)` and their like.

    Raises:
        ImmutableError: `out=`, `ufunc.at`, or `ndarray += x` with a traced `x`.
        ArgumentError: there is no function of that name.
    """
    name = ufunc.__name__
    out = kwargs.pop("out", None)
    if out is not None and any(x is not None for x in out):
        return _into_numpy(ufunc, method, inputs, kwargs, out)
    if getattr(np, name, None) is not ufunc or not hasattr(fnp, name):
        raise _unknown(f"the ufunc {name}")
    for option in ("casting", "order", "subok"):
        kwargs.pop(option, None)
    function = getattr(fnp, name)
    if method == "__call__":
        return _call(name, function, inputs, **kwargs)
    if method == "reduce":
        return _reduce(name, function, *inputs, **kwargs)
    if method == "accumulate":
        return _accumulate(name, function, *inputs, **kwargs)
    if method == "outer":
        a, b = (fnp.asarray(x) for x in inputs)
        return _call(name, function, (lax.reshape(a, (*a.shape, *(1,) * b.ndim)), b), **kwargs)
    if method == "at":
        raise ImmutableError(
            f"numpy.{name}.at: arrays are immutable", mend="x = x.at[index].add(...) and its like"
        )
    raise ArgumentError(
        f"numpy.{name}.{method}: not available for traced or funcflow arrays",
        mend="write it with the functions of funcflow.numpy",
    )


def _into_numpy(
    ufunc: Any, method: str, inputs: Sequence[Any], kwargs: dict[str, Any], out: Any
) -> Any:
    """Write into a NumPy array, which is possible while nothing is traced."""
    if any(isinstance(x, Array) for x in out):
        raise ImmutableError(
            f"numpy.{ufunc.__name__}: arrays are immutable, so they cannot be given as out=",
            mend="use the result",
        )
    if any(isinstance(x, Array) and not isinstance(x, ConcreteArray) for x in inputs):
        raise ImmutableError(
            f"numpy.{ufunc.__name__}: a traced value cannot be written into a NumPy array (out=, "
            "or an operator such as +=)",
            mend="use the result: y = y + x",
        )
    plain = [np.asarray(x) if isinstance(x, Array) else x for x in inputs]
    return getattr(ufunc, method)(*plain, out=out, **kwargs)


def _call(
    name: str,
    function: Callable[..., Any],
    inputs: Iterable[Any],
    where: Any = True,
    dtype: Any = None,
    **kwargs: Any,
) -> Any:
    if where is not True:
        raise ArgumentError(
            f"numpy.{name}: where= leaves elements undefined", mend="use fnp.where on the result"
        )
    if dtype is not None:
        inputs = [fnp.asarray(x, dtype) for x in inputs]
    return function(*inputs, **kwargs)


def _reduce(
    name: str, function: Callable[..., Any], x: Any, axis: Any = 0, dtype: Any = None, **kwargs: Any
) -> Any:
    if name in _REDUCE:
        reduction = getattr(fnp, _REDUCE[name])
        if dtype is not None:
            x = fnp.asarray(x, dtype)
        return reduction(x, axis=axis, **kwargs)
    x = fnp.asarray(x, dtype)
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    keepdims = kwargs.pop("keepdims", False)
    if kwargs:
        raise ArgumentError(
            f"numpy.{name}.reduce: {', '.join(kwargs)} not available", mend="leave it out"
        )
    for i in sorted((i % x.ndim for i in axes), reverse=True):
        first, *rest = lax.unstack(x, i)
        for item in rest:
            first = function(first, item)
        x = lax.expand_dims(first, (i,)) if keepdims else first
    return x


def _accumulate(
    name: str, function: Callable[..., Any], x: Any, axis: int = 0, dtype: Any = None
) -> Any:
    x = fnp.asarray(x, dtype)
    axis = axis % max(x.ndim, 1)
    if name in ("add", "multiply"):
        cumulative = fnp.cumsum if name == "add" else fnp.cumprod
        return cumulative(x, axis=axis, dtype=dtype)
    if name in _ACCUMULATE:
        return _ACCUMULATE[name](x, axis)
    first, *rest = lax.unstack(x, axis)
    steps = [first]
    for item in rest:
        steps.append(function(steps[-1], item))
    return fnp.stack(steps, axis)


# --- other functions ------------------------------------------------------------------------

# Functions that only look at values, for people or files.
_ON_HOST = frozenset(
    {
        "array2string",
        "array_repr",
        "array_str",
        "may_share_memory",
        "min_scalar_type",
        "save",
        "savetxt",
        "savez",
        "savez_compressed",
        "shares_memory",
    }
)

# Functions that change their argument.
_IN_PLACE = frozenset({"copyto", "putmask", "put", "place", "put_along_axis", "fill_diagonal"})

# Keywords, and positions beyond the first, that NumPy names or orders in another way.
_KEYWORDS = {"clip": {"a_min": "min", "a_max": "max"}, "reshape": {"newshape": "shape"}}
# Keywords that have no meaning here, unless they ask for something special.
_ABOUT_MEMORY = frozenset({"like", "order", "device", "subok"})
_POSITIONS = {
    "histogram": ("a", "bins", "range", "density", "weights"),
    "histogram2d": ("x", "y", "bins", "range", "density", "weights"),
    "histogramdd": ("sample", "bins", "range", "density", "weights"),
}


def array_function(self: Array, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """`numpy.sum(x)`, `numpy.linalg.norm(x)`, `numpy.concatenate([x, y])` and their like.

    Raises:
        ImmutableError: the function changes its argument, or `out=` is given.
        ArgumentError: there is no function of that name.
    """
    if not all(issubclass(t, Array | np.ndarray) for t in types):
        return NotImplemented
    name = function.__name__
    if name in _ON_HOST:
        return function(*_on_host(args), **_on_host(kwargs))
    if name in _IN_PLACE:
        raise ImmutableError(
            f"numpy.{name}: arrays are immutable, so they cannot be changed in place",
            mend="x = x.at[index].set(value)",
        )
    if kwargs.get("out") is not None:
        raise ImmutableError(f"numpy.{name}: arrays are immutable (out=)", mend="use the result")
    ours = _counterpart(function)
    renamed = _KEYWORDS.get(name, {})
    kwargs = {
        renamed.get(key, key): value
        for key, value in kwargs.items()
        if key not in _ABOUT_MEMORY or value not in (None, "C", "K", True)
    }
    if name in _POSITIONS:
        args, kwargs = (), {**dict(zip(_POSITIONS[name], args, strict=False)), **kwargs}
    return ours(*args, **kwargs)


def _counterpart(function: Any) -> Callable[..., Any]:
    """Our function of the same name, in the namespace of the same name."""
    namespace: Any = fnp
    name = function.__name__
    package, _, part = function.__module__.partition(".")
    if package == "numpy":
        if part:
            namespace = getattr(fnp, part, None)
        found = getattr(namespace, name, None)
        if callable(found):
            return found
    raise _unknown(f"{function.__module__}.{name}")


def _unknown(what: str) -> ArgumentError:
    return ArgumentError(
        f"{what} has no counterpart in funcflow.numpy, so it does not take funcflow arrays",
        mend="pass np.asarray(x) where x is not traced, or call it through ff.pure_callback",
    )


def _on_host(x: Any) -> Any:
    """The arrays in a call's arguments as NumPy arrays."""
    if isinstance(x, Array):
        return np.asarray(x)
    if isinstance(x, list | tuple):
        return type(x)(_on_host(item) for item in x)
    return {key: _on_host(value) for key, value in x.items()} if isinstance(x, dict) else x


def array_namespace(self: Array, *, api_version: str | None = None) -> Any:
    """The functions of the array API standard for this array: `funcflow.numpy`."""
    del api_version
    return fnp


PROTOCOLS = {
    "__array_ufunc__": array_ufunc,
    "__array_function__": array_function,
    "__array_namespace__": array_namespace,
}
