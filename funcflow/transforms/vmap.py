"""`vmap`: map a function over an axis of its arguments, without a loop."""

from collections.abc import Callable, Hashable, Sequence
from functools import wraps
from typing import Any

from funcflow.core.array import Array, as_array, aval_of
from funcflow.core.errors import ArgumentError, AxisError, ShapeError
from funcflow.core.flatten import (
    FlatFunction,
    argument_names,
    check_function,
    flatten_arguments,
    name_of,
)
from funcflow.core.pytree import flatten_axes
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.shape import broadcast, moveaxis
from funcflow.transforms.batching import batch_flat
from funcflow.transforms.chunk import batch_in_chunks


def vmap(
    fun: Callable[..., Any],
    in_axes: int | Sequence[Any] | None = 0,
    out_axes: Any = 0,
    axis_name: Hashable = None,
    axis_size: int | None = None,
    *,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """Map `fun` over an axis of its arguments, without a loop.

    Args:
        fun: a function of pytrees of arrays.
        in_axes: which axis of the positional arguments to map: one for all, or one entry per
            argument; an entry may be a pytree prefix of its argument, and None means that the
            argument is not mapped. Keyword arguments are mapped over axis 0.
        out_axes: where the mapped axis goes in the results; a pytree prefix of the result. None
            for results that do not depend on the mapped arguments.
        axis_name: a name by which collectives (`lax.psum`, ...) refer to the axis.
        axis_size: the axis' size, needed only if no argument is mapped.
        chunk: how many lanes to compute at a time, to bound the memory for intermediate values:
            the chunks follow each other in a loop. Gradients save what they need of every lane;
            wrap `fun` in `checkpoint` to bound that, too. Does not go with `axis_name`.

    Returns:
        A function of batched arguments that returns batched results.

    Raises:
        ShapeError: the mapped axes differ in size.
        AxisError: an argument has no such axis.
        TreeStructureError: `in_axes` or `out_axes` is no prefix.
        ArgumentError: `chunk` is not positive, or comes with `axis_name`.

    Example:
        >>> ff.vmap(fnp.dot, in_axes=(0, None))(fnp.ones((3, 2)), fnp.ones(2)).shape
        (3,)
    """
    check_function("vmap", fun)
    name = f"vmap of {name_of(fun)}"
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if chunk is not None:
        _check_chunk(name, chunk, axis_name)

    @hides_internal_frames
    @wraps(fun)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, in_tree = flatten_arguments(name, args, kwargs)
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ArgumentError(
                f"{name}: in_axes has {len(in_axes)} entries, but there are {len(args)} "
                "positional arguments",
                mend="give in_axes one entry per positional argument",
            )
        dims = flatten_axes(f"{name}: in_axes", in_tree, (in_axes, 0))
        dims = [checked_dim(name, in_tree, leaves, i, d) for i, d in enumerate(dims)]
        size = mapped_size(name, in_tree, leaves, dims, axis_size)
        flat = FlatFunction(fun, in_tree)
        if chunk is None or size <= chunk:
            outs, out_dims = batch_flat(flat, leaves, dims, size, axis_name)
        else:
            outs, out_dims = batch_in_chunks(flat, leaves, dims, size, chunk)
        wanted = flatten_axes(f"{name}: out_axes", flat.out_tree, out_axes)
        results = [
            place_axis(name, x, d, w, size) for x, d, w in zip(outs, out_dims, wanted, strict=True)
        ]
        return flat.out_tree.unflatten(results)

    return mapped


def _check_chunk(name: str, chunk: int, axis_name: Hashable) -> None:
    if chunk < 1:
        raise ArgumentError(f"{name}: chunk={chunk}", mend="compute at least one lane at a time")
    if axis_name is not None:
        raise ArgumentError(
            f"{name}: chunk does not go with axis_name={axis_name!r}: collectives need all lanes "
            "at the same time",
            mend="drop one of the two",
        )


def checked_dim(
    name: str, in_tree: Any, leaves: Sequence[Any], i: int, dim: int | None
) -> int | None:
    """The mapped axis of leaf `i`, counted from the front."""
    if dim is None:
        return None
    ndim = aval_of(leaves[i]).ndim
    if not isinstance(dim, int):
        raise ArgumentError(
            f"{name}: in_axes has {dim!r} of type {type(dim).__name__} for "
            f"{argument_names(in_tree)[i]}, which is no axis",
            mend="use integers and None",
        )
    if not -ndim <= dim < ndim:
        raise AxisError(
            f"{name}: in_axes asks for axis {dim} of {argument_names(in_tree)[i]}, "
            f"which is {aval_of(leaves[i])}",
            mend="choose an axis that is there, or None to leave the argument unmapped",
        )
    return dim % ndim


def mapped_size(
    name: str,
    in_tree: Any,
    leaves: Sequence[Any],
    dims: Sequence[int | None],
    axis_size: int | None,
) -> int:
    """The one size that all mapped axes have."""
    sizes = {
        i: aval_of(x).shape[d]
        for i, (x, d) in enumerate(zip(leaves, dims, strict=True))
        if d is not None
    }
    found = set(sizes.values()) | ({axis_size} if axis_size is not None else set())
    if not found:
        raise ArgumentError(
            f"{name}: no argument is mapped",
            mend="let one entry of in_axes be an axis, or pass axis_size",
        )
    if len(found) > 1:
        listed = ", ".join(
            f"{argument_names(in_tree)[i]} has {size} along axis {dims[i]}"
            for i, size in sizes.items()
        )
        raise ShapeError(
            f"{name}: the mapped axes differ in size: {listed}"
            + (f", and axis_size is {axis_size}" if axis_size is not None else ""),
            mend="map axes of one size, or exclude an argument with None in in_axes",
        )
    return found.pop()


def place_axis(name: str, x: Any, dim: int | None, wanted: int | None, size: int) -> Array:
    """A result with its mapped axis where `out_axes` wants it."""
    if wanted is None:
        if dim is not None:
            raise ArgumentError(
                f"{name}: out_axes is None for a result that depends on the mapped arguments",
                mend="give the result an axis in out_axes",
            )
        return as_array(x)
    ndim = aval_of(x).ndim + (dim is None)
    if not -ndim <= wanted < ndim:
        raise AxisError(
            f"{name}: out_axes asks for axis {wanted} of a result of {ndim} dimensions",
            mend=f"choose an axis from {-ndim} to {ndim - 1}",
        )
    x = broadcast(x, (size,)) if dim is None else x
    return as_array(moveaxis(x, 0 if dim is None else dim, wanted % ndim))
