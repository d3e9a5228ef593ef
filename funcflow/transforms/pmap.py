"""`pmap`: run a function once per device, in parallel.

On the CPU the devices are logical: each shard runs in a thread over shared memory. Collectives
meet at a barrier (`_Exchange`). The primitive's mapped arguments carry the device axis in front.
"""

import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, ExitStack
from contextvars import copy_context
from functools import wraps
from typing import Any

from funcflow.core.array import as_array, aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.axes import Axis, axes_in_scope, bind_axis
from funcflow.core.errors import ArgumentError
from funcflow.core.executables import compiled
from funcflow.core.flatten import FlatFunction, check_function, flatten_arguments, name_of
from funcflow.core.jaxpr import ClosedJaxpr, Effects, axis_effect
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import flatten_axes
from funcflow.core.rewrite import hoist
from funcflow.core.rules import define
from funcflow.core.staging import stage_out
from funcflow.core.trace import EVAL, current_trace
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.shape import moveaxis, reduce_sum
from funcflow.lax.slicing import index_in_dim
from funcflow.transforms.devices import device_count
from funcflow.transforms.jit import jit
from funcflow.transforms.static_arguments import StaticArguments, listed
from funcflow.transforms.vmap import checked_dim, mapped_size, place_axis

pmap_p = Primitive("pmap", multiple_results=True)


class _Exchange:
    """Where the shards of one pmapped call meet."""

    def __init__(self, size: int) -> None:
        self.slots: list[Any] = [None] * size
        self.barrier = threading.Barrier(size)
        self.lanes: dict[Hashable, _Exchange] = {}
        self.lock = threading.Lock()

    def all_gather(self, rank: int, value: Any) -> list[Any]:
        self.slots[rank] = value
        self.barrier.wait()
        values = list(self.slots)
        self.barrier.wait()  # nobody may write the next value before all have read this one
        return values

    def lane(self, key: Hashable) -> "_Exchange":
        """Where those meet that are at the same place of a pmap inside."""
        with self.lock:
            if key not in self.lanes:
                self.lanes[key] = _Exchange(len(self.slots))
                if self.barrier.broken:
                    self.lanes[key].abort()
            return self.lanes[key]

    def abort(self) -> None:
        """Let nobody wait any longer."""
        with self.lock:
            self.barrier.abort()
            for lane in self.lanes.values():
                lane.abort()


class _Shard:
    """A shard's view of the exchange: a `Communicator`."""

    def __init__(self, exchange: _Exchange, rank: int) -> None:
        self.exchange = exchange
        self.rank = rank

    def all_gather(self, value: Any) -> Sequence[Any]:
        return self.exchange.all_gather(self.rank, value)


def _run_shards(
    size: int, axis_name: Hashable, shard: Callable[[int], Sequence[Any]]
) -> list[Sequence[Any]]:
    """`shard(rank)` for every rank, each in a thread; the first error is raised."""
    exchange = _Exchange(size)
    outer = {
        name: (axis.size, axis.communicator)
        for name, axis in axes_in_scope().items()
        if isinstance(axis.communicator, _Shard)
    }
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            with ExitStack() as scope:
                for name, (extent, view) in outer.items():
                    lane = view.exchange.lane((axis_name, rank))
                    scope.enter_context(bind_axis(name, Axis(extent, _Shard(lane, view.rank))))
                scope.enter_context(bind_axis(axis_name, Axis(size, _Shard(exchange, rank))))
                results[rank] = shard(rank)
        except threading.BrokenBarrierError:
            pass  # another shard failed, and its error is the one to show
        except BaseException as error:
            errors.append(error)
            # shards of a surrounding pmap may wait for this one, too
            for waiting in (exchange, *(view.exchange for _, view in outer.values())):
                waiting.abort()

    threads = [
        threading.Thread(target=copy_context().run, args=(run, rank)) for rank in range(size)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    if any(result is None for result in results):
        raise threading.BrokenBarrierError  # a shard of a surrounding pmap failed
    return results


def _abstract(
    *avals: ShapedArray, jaxpr: ClosedJaxpr, axis_name: Hashable, size: int, mapped: Any, name: str
) -> list[ShapedArray]:
    return [a.update(shape=(size, *a.shape)) for a in jaxpr.out_avals]


def _impl(
    xp: Any,
    *buffers: Any,
    jaxpr: ClosedJaxpr,
    axis_name: Hashable,
    size: int,
    mapped: tuple[bool, ...],
    name: str,
) -> list[Any]:
    program = compiled(jaxpr)

    def shard(rank: int) -> Sequence[Any]:
        mine = [x[rank, ...] if m else x for x, m in zip(buffers, mapped, strict=True)]
        return program(*mine)

    results = _run_shards(size, axis_name, shard)
    return [xp.stack(parts) for parts in zip(*results, strict=True)]


def _in_scope(*, axis_name: Hashable, size: int, name: str) -> AbstractContextManager[None]:
    """The mapped axis, for transforms of the jaxpr inside."""
    return bind_axis(axis_name, Axis(size))


def _jvp(
    ctx: Any, primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, mapped: Any, **params: Any
) -> Any:
    nonzero = [type(t) is not Zero for t in tangents]
    with _in_scope(**params):
        inner, out_nonzero = ctx.jaxpr(jaxpr, nonzero, False)
    given = [t for t in tangents if type(t) is not Zero]
    given_mapped = [m for m, nz in zip(mapped, nonzero, strict=True) if nz]
    outs = _bind(inner, [*mapped, *given_mapped], [*primals, *given], **params)
    count = len(out_nonzero)
    rest = iter(outs[count:])
    return outs[:count], [
        next(rest) if nz else Zero(aval_of(x))
        for x, nz in zip(outs[:count], out_nonzero, strict=True)
    ]


def _batch(
    ctx: Any, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, mapped: Any, **params: Any
) -> Any:
    args = [
        x if d is None else moveaxis(x, d, 1 if m else 0)
        for x, d, m in zip(args, dims, mapped, strict=True)
    ]
    with _in_scope(**params):
        inner, out_batched = ctx.jaxpr(jaxpr, [d is not None for d in dims], False)
    return _bind(inner, mapped, args, **params), [1 if b else None for b in out_batched]


def _partial_eval(
    ctx: Any, unknown: Any, args: Any, *, jaxpr: ClosedJaxpr, mapped: Any, **params: Any
) -> list[Any]:
    with _in_scope(**params):
        split = ctx.jaxpr(jaxpr, unknown, False)
    known = [(x, m) for x, m, u in zip(args, mapped, unknown, strict=True) if not u]
    rest = [(x, m) for x, m, u in zip(args, mapped, unknown, strict=True) if u]
    outs = _bind(split.known, [m for _, m in known], [x for x, _ in known], **params)
    count = len(outs) - split.residuals
    staged_args = [*outs[count:], *(x for x, _ in rest)]
    staged_mapped = (*[True] * split.residuals, *(m for _, m in rest))
    staged_params = {"jaxpr": split.staged, "mapped": staged_mapped, **params}
    staged = iter(ctx.stage(pmap_p, staged_args, staged_params))
    known_outs = iter(outs[:count])
    return [next(staged) if u else next(known_outs) for u in split.unknown_outs]


def _transpose(
    ctx: Any, cts: Any, *args: Any, jaxpr: ClosedJaxpr, mapped: Any, **params: Any
) -> list[Any]:
    linear = [is_undefined(x) for x in args]
    with _in_scope(**params):
        inner, out_nonzero = ctx.jaxpr(jaxpr, linear, [type(ct) is not Zero for ct in cts])
    known = [(x, m) for x, m in zip(args, mapped, strict=True) if not is_undefined(x)]
    given = [ct for ct in cts if type(ct) is not Zero]
    outs = _bind(
        inner, [*(m for _, m in known), *[True] * len(given)], [*(x for x, _ in known), *given],
        **params,
    )  # fmt: skip
    results, nonzeros = iter(outs), iter(out_nonzero)
    found: list[Any] = []
    for x, m, lin in zip(args, mapped, linear, strict=True):
        if not lin:
            found.append(None)
        elif not next(nonzeros):
            found.append(Zero(x.aval))
        else:  # every shard adds to the cotangent of an argument that they share
            ct = next(results)
            found.append(ct if m else reduce_sum(ct, (0,)))
    return found


def _bind(closed: ClosedJaxpr, mapped: Sequence[bool], args: Sequence[Any], **params: Any) -> Any:
    inner, consts = hoist(closed)
    full = (*[False] * len(consts), *mapped)
    return pmap_p.bind(*consts, *args, jaxpr=inner, mapped=full, **params)


def _effects(*, jaxpr: ClosedJaxpr, axis_name: Hashable, **_: Any) -> Effects:
    return jaxpr.effects - {axis_effect(axis_name)}


define(
    pmap_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    partial_eval=_partial_eval,
    effects=_effects,
)


def pmap(
    fun: Callable[..., Any],
    axis_name: Hashable = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Sequence[int] = (),
    axis_size: int | None = None,
    donate_argnums: int | Sequence[int] = (),
) -> Callable[..., Any]:
    """Run `fun` once per index of a mapped axis, each on a device of its own.

    Arguments and result as for `vmap`. The axis may not be longer than there are devices; the
    number of logical CPU devices is a setting (`ff.config(num_cpu_devices=n)`). Arguments at
    `static_broadcasted_argnums` are Python values; `donate_argnums` is accepted for compatibility.

    Raises:
        ArgumentError: there are fewer devices than the axis is long.

    Example:
        >>> with ff.config(num_cpu_devices=2):
        ...     ff.pmap(lambda x: x / ff.lax.psum(x, "i"), axis_name="i")(fnp.array([1.0, 3.0]))
        Array([0.25, 0.75], dtype=float32)
    """
    check_function("pmap", fun)
    name = f"pmap of {name_of(fun)}"
    axis = _Anonymous() if axis_name is None else axis_name
    static = StaticArguments(name, fun, listed(static_broadcasted_argnums), ())

    @wraps(fun)
    def mapped_fun(*args: Any, **kwargs: Any) -> Any:
        axes = in_axes
        if isinstance(axes, tuple | list):
            axes = tuple(a for i, a in enumerate(axes) if i not in static.nums)
        bound, args, kwargs, _ = static.bind(fun, args, kwargs)
        leaves, in_tree = flatten_arguments(name, args, kwargs)
        dims = flatten_axes(f"{name}: in_axes", in_tree, (axes, 0))
        dims = [checked_dim(name, in_tree, leaves, i, d) for i, d in enumerate(dims)]
        size = mapped_size(name, in_tree, leaves, dims, axis_size)
        if size > device_count():
            raise ArgumentError(
                f"{name}: the mapped axis has size {size}, but there are {device_count()} devices",
                mend=f"use ff.config(num_cpu_devices={size}), or ff.vmap",
            )
        fronted = [x if d is None else moveaxis(x, d, 0) for x, d in zip(leaves, dims, strict=True)]
        avals = [
            aval_of(x) if d is None else aval_of(x).update(shape=aval_of(x).shape[1:])
            for x, d in zip(fronted, dims, strict=True)
        ]
        flat = FlatFunction(bound, in_tree)
        with bind_axis(axis, Axis(size)):
            closed = stage_out(flat, avals)
        mapped = [d is not None for d in dims]
        outs = _bind(closed, mapped, fronted, axis_name=axis, size=size, name=name)
        wanted = flatten_axes(f"{name}: out_axes", flat.out_tree, out_axes)
        results = [
            as_array(index_in_dim(x, 0, 0, False)) if w is None else place_axis(name, x, 0, w, size)
            for x, w in zip(outs, wanted, strict=True)
        ]
        return flat.out_tree.unflatten(results)

    # traced once per signature; inside another trace, the equation alone is wanted
    cached = jit(mapped_fun, static_argnums=static.nums)

    @hides_internal_frames
    @wraps(fun)
    def pmapped(*args: Any, **kwargs: Any) -> Any:
        at_once = current_trace.get() is EVAL
        return cached(*args, **kwargs) if at_once else mapped_fun(*args, **kwargs)

    return pmapped


class _Anonymous:
    """The name of an axis that was given none."""

    def __repr__(self) -> str:
        return "<pmap axis>"
