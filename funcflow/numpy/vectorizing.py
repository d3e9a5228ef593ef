"""Functions of vectors applied to whole arrays, through `vmap`."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Any

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axis
from funcflow.lax.shape import moveaxis
from funcflow.numpy.manipulation import moveaxis as move_axes
from funcflow.numpy.promotion import as_array
from funcflow.transforms.vmap import vmap

CoreDims = list[tuple[str, ...]]


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Array:
    """Apply a function of a vector along an axis.

    Args:
        func1d: called as `func1d(vector, *args, **kwargs)`.
        axis: the axis that holds the vectors.
        arr: an array.
        args: further arguments of the function.
        kwargs: further keyword arguments of the function.

    Returns:
        An array in which the axes of the function's result stand in the place of `axis`.
    """
    arr = as_array("apply_along_axis", arr)
    axis = canonical_axis(axis, arr.ndim, "apply_along_axis")

    def mapped(vector: Any) -> Any:
        return func1d(vector, *args, **kwargs)

    for _ in range(arr.ndim - 1):
        mapped = vmap(mapped)
    out = mapped(moveaxis(arr, axis, arr.ndim - 1))
    new = out.ndim - (arr.ndim - 1)
    return move_axes(out, range_of(arr.ndim - 1, new), range_of(axis, new))


def range_of(start: int, count: int) -> tuple[int, ...]:
    """`count` numbers from `start`."""
    return tuple(range(start, start + count))


def apply_over_axes(func: Callable[[Any, int], Any], a: Any, axes: int | Sequence[int]) -> Array:
    """Apply `func(a, axis)` for one axis after the other; axes that it drops are put back."""
    a = as_array("apply_over_axes", a)
    for axis in (axes,) if isinstance(axes, int) else axes:
        axis = canonical_axis(axis, a.ndim, "apply_over_axes")
        out = func(a, axis)
        if out.ndim == a.ndim - 1:
            out = lax.expand_dims(out, (axis,))
        if out.ndim != a.ndim:
            raise ShapeError(
                f"apply_over_axes: func made shape {out.shape} of {a.shape}",
                mend="keep the number of axes, or drop the one given",
            )
        a = out
    return a


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: Collection[int | str] = frozenset(),
    signature: str | None = None,
) -> Callable[..., Any]:
    """A function of scalars (or vectors, ...) as one of arrays, with broadcasting.

    Args:
        pyfunc: the function.
        excluded: positions and names of arguments that are passed on as they are; keyword
            arguments always are.
        signature: the axes that the function itself works on, e.g. "(m,n),(n)->(m)"; none by
            default.

    Returns:
        A function that maps `pyfunc` over the leading axes of its arguments, which broadcast.

    Example:
        >>> def product(a, b):
        ...     return a @ b
        >>> rows = fnp.vectorize(product, signature="(n),(n)->()")
        >>> rows(fnp.ones((2, 3)), fnp.arange(3.0))
        Array([3., 3.], dtype=float32)
    """
    parsed = None if signature is None else _parse_signature(signature)

    @wraps(pyfunc)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        mapped = [i for i in range(len(args)) if i not in excluded]
        arrays = [as_array("vectorize", args[i]) for i in mapped]
        if parsed is None:
            inputs: CoreDims = [()] * len(arrays)
        else:
            inputs = parsed[0]
            if len(inputs) != len(arrays):
                raise ArgumentError(
                    f"vectorize: the signature {signature!r} has {len(inputs)} arguments, "
                    f"got {len(arrays)}",
                    mend="pass one argument for each, or exclude some",
                )

        def function(*values: Any) -> Any:
            full = list(args)
            for i, value in zip(mapped, values, strict=True):
                full[i] = value
            out = pyfunc(*full, **kwargs)
            _check_outputs(signature, parsed, sizes, out)
            return out

        sizes = _core_sizes(signature, inputs, arrays)
        return _broadcast_vmap(function, arrays, [len(dims) for dims in inputs])

    return wrapped


def _broadcast_vmap(
    function: Callable[..., Any], arrays: Sequence[Array], core: Sequence[int]
) -> Any:
    """Map a function over the leading axes of arrays; `core` says how many are its own."""
    outer = [x.shape[: x.ndim - n] for x, n in zip(arrays, core, strict=True)]
    common = lax.broadcast_shapes(*outer) if outer else ()
    # an axis along which an argument would only be repeated is not mapped
    has = [
        [i >= len(common) - len(s) and s[i - len(common)] == e for i, e in enumerate(common)]
        for s in outer
    ]
    squeezed = [
        lax.squeeze(x, [i for i, e in enumerate(s) if e == 1 and common[i - len(s)] != 1])
        for x, s in zip(arrays, outer, strict=True)
    ]
    for i in reversed(range(len(common))):
        function = vmap(function, in_axes=tuple(0 if h[i] else None for h in has))
    return function(*squeezed)


def _parse_signature(signature: str) -> tuple[CoreDims, CoreDims]:
    group = r"\(\s*(?:\w+(?:\s*,\s*\w+)*)?\s*\)"
    groups = rf"{group}(?:\s*,\s*{group})*"
    if not re.fullmatch(rf"\s*{groups}\s*->\s*{groups}\s*", signature):
        raise ArgumentError(
            f"vectorize: {signature!r} is no signature", mend="write e.g. '(m,n),(n)->(m)'"
        )
    left, right = signature.split("->")
    inputs, outputs = (
        [tuple(re.findall(r"\w+", g)) for g in re.findall(group, side)] for side in (left, right)
    )
    return inputs, outputs


def _core_sizes(signature: str | None, inputs: CoreDims, arrays: Sequence[Array]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for position, (dims, x) in enumerate(zip(inputs, arrays, strict=True)):
        if x.ndim < len(dims):
            raise ShapeError(
                f"vectorize: argument {position} of shape {x.shape} has fewer axes than the "
                f"signature {signature!r} says",
                mend=f"pass an array of {len(dims)} or more axes",
            )
        for name, extent in zip(dims, x.shape[x.ndim - len(dims) :], strict=True):
            if sizes.setdefault(name, extent) != extent:
                raise ShapeError(
                    f"vectorize: the axis {name!r} of {signature!r} has extents {sizes[name]} "
                    f"and {extent}",
                    mend="pass arrays whose extents agree",
                )
    return sizes


def _check_outputs(
    signature: str | None, parsed: tuple[CoreDims, CoreDims] | None, sizes: dict[str, int], out: Any
) -> None:
    if parsed is None:
        return
    outs = out if isinstance(out, tuple) else (out,)
    if len(outs) != len(parsed[1]):
        raise ArgumentError(
            f"vectorize: the function returned {len(outs)} values, the signature {signature!r} "
            f"has {len(parsed[1])}",
            mend="make them agree",
        )
    for dims, value in zip(parsed[1], outs, strict=True):
        shape = as_array("vectorize", value).shape
        expected = tuple(sizes.get(name, -1) for name in dims)
        fits = len(shape) == len(dims) and all(
            e in (-1, extent) for e, extent in zip(expected, shape, strict=True)
        )
        if not fits:
            raise ShapeError(
                f"vectorize: the function returned shape {shape}, the signature {signature!r} "
                f"says ({','.join(dims)})",
                mend="make them agree",
            )
