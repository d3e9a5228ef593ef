"""The named axes in scope: those of the surrounding vmaps and pmaps."""

from collections.abc import Generator, Hashable, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from funcflow.core.errors import UnboundAxisError

AxisName = Hashable


class Communicator(Protocol):
    """How the shards of a pmap exchange values; all collectives are made of `all_gather`."""

    rank: int

    def all_gather(self, value: Any) -> Sequence[Any]:
        """The values that the shards pass at this point, by rank."""
        ...


class Axis(NamedTuple):
    """A named axis: its size and, while a pmap's shards run, the shard's communicator."""

    size: int
    communicator: Communicator | None = None


_axes: ContextVar[dict[AxisName, Axis]] = ContextVar("axes", default={})  # noqa: B039


@contextmanager
def bind_axis(name: AxisName | None, axis: Axis) -> Generator[None]:
    """Bring a named axis into scope for the block."""
    if name is None:
        yield
        return
    token = _axes.set({**_axes.get(), name: axis})
    try:
        yield
    finally:
        _axes.reset(token)


def find_axis(name: AxisName, function: str = "") -> Axis:
    """The axis of that name."""
    axes = _axes.get()
    if name not in axes:
        known = ", ".join(map(repr, axes)) or "none"
        raise UnboundAxisError(
            f"{function or 'collective'}: no axis named {name!r} is in scope (in scope: {known})",
            mend=f"call it inside ff.vmap(f, axis_name={name!r}) or ff.pmap",
        )
    return axes[name]


def axis_size(names: Iterable[AxisName], function: str = "") -> int:
    """The product of the sizes of the named axes."""
    size = 1
    for name in names:
        size *= find_axis(name, function).size
    return size


def axes_in_scope() -> dict[AxisName, Axis]:
    """The named axes, outermost first."""
    return dict(_axes.get())


def axes_key() -> tuple[tuple[AxisName, int], ...]:
    """The axes in scope as a hashable value, for caches of what was traced inside them."""
    axes = _axes.get()
    return tuple((name, axis.size) for name, axis in axes.items()) if axes else ()
