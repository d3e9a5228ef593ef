"""Batching: carry the place of a mapped axis along with every value."""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from typing import Any

from funcflow.core import rules
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.axes import Axis, bind_axis
from funcflow.core.evaluate import eval_closed
from funcflow.core.jaxpr import ClosedJaxpr, axis_effect
from funcflow.core.primitive import Primitive
from funcflow.core.source import attributed, user_source
from funcflow.core.staging import stage_out
from funcflow.core.trace import EVAL, Trace, Tracer, current_trace, under
from funcflow.lax.shape import broadcast, moveaxis
from funcflow.transforms.notes import Lanes, Place


class BatchTracer(Tracer):
    """A value with a mapped axis, which its abstract value does not show."""

    __slots__ = ("dim", "value")

    def __init__(self, trace: "BatchTrace", value: Any, dim: int) -> None:
        self.owner = trace
        self.value = value
        self.dim = dim

    @property
    def aval(self) -> ShapedArray:
        full = aval_of(self.value)
        shape = full.shape[: self.dim] + full.shape[self.dim + 1 :]
        return ShapedArray(shape, full.dtype, full.weak_type)

    def describe(self) -> str:
        assert isinstance(self.owner, BatchTrace)
        return f"{self.aval} (mapped by vmap over an axis of size {self.owner.size})"


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
        if isinstance(x, BatchTracer) and x.owner is self:
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
            if isinstance(x, BatchTracer) and x.owner is self:
                values.append(x.value)
                dims.append(x.dim)
                mapped = True
            else:
                values.append(x)
                dims.append(None)
        if not mapped and not self.reduces_here(primitive, params):
            return self.parent.process(primitive, args, params)
        rule = rules.batch[primitive]
        source = user_source() if self.parent is not EVAL else None  # where notes are read later
        context = BatchContext(self)
        if source is None:
            out, dim = under(self.parent, rule, context, values, dims, **params)
        else:
            find = partial(self.places_of_results, primitive, values, dims, params)
            operands = places(values, dims)
            lanes = Lanes(primitive.name, self.size, self.axis_name, operands, find)
            noted = source.noted(lanes)
            out, dim = attributed(noted, under, self.parent, rule, context, values, dims, **params)
            lanes.settle(places(out, dim) if primitive.multiple_results else places([out], [dim]))
        if primitive.multiple_results:
            return [self.join(x, d) for x, d in zip(out, dim, strict=True)]
        return self.join(out, dim)

    def places_of_results(
        self,
        primitive: Primitive,
        values: Sequence[Any],
        dims: Sequence[int | None],
        params: dict[str, Any],
    ) -> list[Place]:
        """Where an operation's results are mapped, without computing them."""
        found: list[Place] = []

        def function(*args: Any) -> list[Any]:
            out, dim = rules.batch[primitive](BatchContext(self), args, dims, **params)
            outs, dims_out = (out, dim) if primitive.multiple_results else ([out], [dim])
            found[:] = places(outs, dims_out)
            return outs

        stage_out(function, [aval_of(x) for x in values])
        return found

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


def places(values: Sequence[Any], dims: Sequence[int | None]) -> list[Place]:
    """Where the mapped axis lies in those of the values that have it."""
    return [(aval_of(x), d) for x, d in zip(values, dims, strict=True) if d is not None]


class BatchContext:
    """What a batching rule is handed: the mapped axis, and batching for inner jaxprs."""

    __slots__ = ("axis_name", "size", "trace")

    def __init__(self, trace: BatchTrace) -> None:
        self.trace = trace
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
        """Map a Python function of flat arguments.

        It may close over values of the trace itself, if nothing else is at work in between.
        """
        trace = self.trace
        if trace.alive and current_trace.get() is trace.parent:
            return run_mapped(trace, function, args, dims)
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
    try:
        with bind_axis(axis_name, Axis(size)):
            return run_mapped(trace, function, args, dims)
    finally:
        trace.alive = False


def run_mapped(
    trace: BatchTrace,
    function: Callable[..., Sequence[Any]],
    args: Sequence[Any],
    dims: Sequence[int | None],
) -> tuple[list[Any], list[int | None]]:
    """Call `function` under the trace, with the given axes of its arguments mapped."""
    outs = under(trace, function, *[trace.join(x, d) for x, d in zip(args, dims, strict=True)])
    split = [trace.split(x) for x in outs]
    return [x for x, _ in split], [d for _, d in split]
