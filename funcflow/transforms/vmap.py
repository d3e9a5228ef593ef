"""Batching: carry the place of a mapped axis along with every value."""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, wraps
from typing import Any

from funcflow.core import rules
from funcflow.core.array import Array, as_array, aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.axes import Axis, bind_axis
from funcflow.core.errors import ArgumentError, AxisError, ShapeError
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import FlatFunction, flatten_arguments, name_of
from funcflow.core.jaxpr import ClosedJaxpr, axis_effect
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import flatten_axes, keystr, tree_flatten_with_path
from funcflow.core.staging import stage_out
from funcflow.core.trace import Trace, Tracer, current_trace, under
from funcflow.lax.shape import broadcast, moveaxis


class BatchTracer(Tracer):
    """A value with a mapped axis, which its abstract value does not show."""

    __slots__ = ("dim", "value")

    def __init__(self, trace: "BatchTrace", value: Any, dim: int) -> None:
        self._trace = trace
        self.value = value
        self.dim = dim

    @property
    def aval(self) -> ShapedArray:
        full = aval_of(self.value)
        shape = full.shape[: self.dim] + full.shape[self.dim + 1 :]
        return ShapedArray(shape, full.dtype, full.weak_type)

    def _describe(self) -> str:
        return f"{self.aval} (mapped by vmap over an axis of size {self._trace.size})"  # type: ignore[attr-defined]


class BatchTrace(Trace):
    """Apply each primitive's batching rule; the rule's own operations go to the parent."""

    __slots__ = ("axis_name", "size")

    parent: Trace

    def __init__(self, parent: Trace, size: int, axis_name: Hashable = None) -> None:
        super().__init__(parent)
        self.size = size
        self.axis_name = axis_name

    def split(self, x: Any) -> tuple[Any, int | None]:
        """The value with its mapped axis, and the place of that axis (None: not mapped)."""
        if isinstance(x, BatchTracer) and x._trace is self:
            return x.value, x.dim
        return x, None

    def join(self, value: Any, dim: int | None) -> Any:
        """The pair as one value."""
        return value if dim is None else BatchTracer(self, value, dim)

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        values: list[Any] = []
        dims: list[int | None] = []
        mapped = False
        for x in args:
            if isinstance(x, BatchTracer) and x._trace is self:
                values.append(x.value)
                dims.append(x.dim)
                mapped = True
            else:
                values.append(x)
                dims.append(None)
        if not mapped and not self.reduces_here(primitive, params):
            return self.parent.process(primitive, args, params)
        rule = rules.batch[primitive]
        out, dim = under(self.parent, rule, BatchContext(self), values, dims, **params)
        if primitive.multiple_results:
            return [self.join(x, d) for x, d in zip(out, dim, strict=True)]
        return self.join(out, dim)

    def reduces_here(self, primitive: Primitive, params: dict[str, Any]) -> bool:
        """Whether the primitive (or a jaxpr in it) uses this trace's named axis."""
        return (
            self.axis_name is not None
            and primitive in rules.effects
            and axis_effect(self.axis_name) in rules.effects[primitive](**params)
        )

    def process_custom_jvp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        values, dims = zip(*map(self.split, args), strict=True) if args else ((), ())
        batched = rule.batch(BatchContext(self), dims)
        outs = under(self.parent, self.parent.process_custom_jvp, batched, values)
        return [self.join(x, d) for x, d in zip(outs, batched.out_dims, strict=True)]

    def process_custom_vjp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        values, dims = zip(*map(self.split, args), strict=True) if args else ((), ())
        batched = rule.batch(BatchContext(self), dims)
        outs = under(self.parent, self.parent.process_custom_vjp, batched, values)
        return [self.join(x, d) for x, d in zip(outs, batched.out_dims, strict=True)]


class BatchContext:
    """What a batching rule is handed: the mapped axis, and batching for inner jaxprs."""

    __slots__ = ("axis_name", "size")

    def __init__(self, trace: BatchTrace) -> None:
        self.size = trace.size
        self.axis_name = trace.axis_name

    def jaxpr(
        self, closed: ClosedJaxpr, batched: Sequence[bool], instantiate: bool | Sequence[bool]
    ) -> tuple[ClosedJaxpr, list[bool]]:
        """The jaxpr over whole batches; all mapped axes are in front.

        Outputs marked in `instantiate` are mapped even if they need not be. Also returns which
        outputs are mapped.
        """
        if isinstance(instantiate, bool):
            instantiate = [instantiate] * len(closed.jaxpr.outvars)
        return batch_jaxpr(closed, self.size, self.axis_name, tuple(batched), tuple(instantiate))

    def to_front(self, x: Any, dim: int | None) -> Any:
        """`x` with its mapped axis in front; a value that is not mapped is repeated."""
        return broadcast(x, (self.size,)) if dim is None else moveaxis(x, dim, 0)

    def flat(
        self,
        function: Callable[..., Sequence[Any]],
        args: Sequence[Any],
        dims: Sequence[int | None],
    ) -> tuple[list[Any], list[int | None]]:
        """Map a Python function of flat arguments."""
        return batch_flat(function, args, dims, self.size, self.axis_name)


@lru_cache(maxsize=1024)
def batch_jaxpr(
    closed: ClosedJaxpr,
    size: int,
    axis_name: Hashable,
    batched: tuple[bool, ...],
    force: tuple[bool, ...],
) -> tuple[ClosedJaxpr, list[bool]]:
    """See `BatchContext.jaxpr`."""
    out_batched: list[bool] = []

    def function(*args: Any) -> list[Any]:
        dims = [0 if b else None for b in batched]
        outs, out_dims = batch_flat(
            lambda *xs: eval_closed(closed, *xs), args, dims, size, axis_name
        )
        out_batched[:] = [d is not None or f for d, f in zip(out_dims, force, strict=True)]
        return [
            (moveaxis(x, d, 0) if d is not None else broadcast(x, (size,))) if b else x
            for x, d, b in zip(outs, out_dims, out_batched, strict=True)
        ]

    avals = [
        a.update(shape=(size, *a.shape)) if b else a
        for a, b in zip(closed.in_avals, batched, strict=True)
    ]
    return stage_out(function, avals), out_batched


def batch_flat(
    function: Callable[..., Sequence[Any]],
    args: Sequence[Any],
    dims: Sequence[int | None],
    size: int,
    axis_name: Hashable = None,
) -> tuple[list[Any], list[int | None]]:
    """The outputs of a mapped flat function and the place of the mapped axis in each."""
    trace = BatchTrace(current_trace.get(), size, axis_name)
    inputs = [trace.join(x, d) for x, d in zip(args, dims, strict=True)]
    try:
        with bind_axis(axis_name, Axis(size)):
            outs = under(trace, function, *inputs)
    finally:
        trace.alive = False
    split = [trace.split(x) for x in outs]
    return [x for x, _ in split], [d for _, d in split]


def vmap(
    fun: Callable[..., Any],
    in_axes: int | Sequence[Any] | None = 0,
    out_axes: Any = 0,
    axis_name: Hashable = None,
    axis_size: int | None = None,
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

    Returns:
        A function of batched arguments that returns batched results.

    Raises:
        ShapeError: the mapped axes differ in size.
        AxisError: an argument has no such axis.
        TreeStructureError: `in_axes` or `out_axes` is no prefix.

    Example:
        >>> ff.vmap(fnp.dot, in_axes=(0, None))(fnp.ones((3, 2)), fnp.ones(2)).shape
        (3,)
    """
    name = f"vmap of {name_of(fun)}"
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)

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
        outs, out_dims = batch_flat(flat, leaves, dims, size, axis_name)
        wanted = flatten_axes(f"{name}: out_axes", flat.out_tree, out_axes)
        results = [
            place_axis(name, x, d, w, size) for x, d, w in zip(outs, out_dims, wanted, strict=True)
        ]
        return flat.out_tree.unflatten(results)

    return mapped


def _path(in_tree: Any, leaves: Sequence[Any], i: int) -> str:
    (group, *path), _ = tree_flatten_with_path(in_tree.unflatten(range(len(leaves))))[0][i]
    return ("args" if group.idx == 0 else "kwargs") + keystr(tuple(path))


def checked_dim(
    name: str, in_tree: Any, leaves: Sequence[Any], i: int, dim: int | None
) -> int | None:
    """The mapped axis of leaf `i`, counted from the front."""
    if dim is None:
        return None
    ndim = aval_of(leaves[i]).ndim
    if not -ndim <= dim < ndim:
        raise AxisError(
            f"{name}: in_axes asks for axis {dim} of {_path(in_tree, leaves, i)}, "
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
            f"{_path(in_tree, leaves, i)} has {size} along axis {dims[i]}"
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
