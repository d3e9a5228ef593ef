"""Straight code with arrays that stay in memory: they are too large for registers.

A loop may read parts of such an array at computed places, and change parts of one that it carries.
A part that is small becomes elements. A changed array is the same memory: what it was before cannot
be read any more, so code that does is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from funcflow.backends.families.scattering import COMBINE
from funcflow.backends.families.windows import Start, offset_of
from funcflow.backends.loop_ir import Value
from funcflow.backends.program import View
from funcflow.backends.straight.arrays import (
    MOST_ELEMENTS,
    Elements,
    NotStraight,
    Resident,
    ResidentRule,
    Writer,
    Zeros,
)
from funcflow.core.jaxpr import JaxprEqn
from funcflow.lax.addressing import gather_windows, scatter_windows
from funcflow.lax.dimension_numbers import GatherScatterMode
from funcflow.lax.indexing import fill_of


@dataclass
class Home:
    """The memory of an array.

    Attributes:
        view: all of it.
        number: gives the value of a number.
        load: gives the element so many elements after the first one, where a mask holds.
        store: writes it; None if the array may not be changed.
        version: how often it was changed.
    """

    view: View
    number: Callable[[int], Value]
    load: Callable[..., Value]
    store: Callable[..., None] | None = None
    version: int = field(default=0)


@dataclass(frozen=True)
class Patch(Resident):
    """Zeros but for slices, which differentiation adds to an array that a loop carries.

    A sum with them touches the slices alone. Elsewhere a -0.0 stays, which a sum with 0.0 would
    make 0.0: the signs of such zeros are left open (docs/architecture.md).

    Attributes:
        slices: the elements of each, and where it starts.
    """

    slices: Sequence[tuple[Elements, Sequence[Elements]]]

    def elements(self, code: Writer) -> Elements:
        raise NotStraight("a large array is zeros but for slices")

    def carried(self, new: Elements | Resident) -> Resident:
        raise NotStraight("a loop carries zeros but for slices")


@dataclass(frozen=True)
class InMemory(Resident):
    """An array in memory, or a part of one: a view, of the memory as it was at some time."""

    home: Home
    view: View
    version: int = 0

    def elements(self, code: Writer) -> Elements:
        if not 0 < prod(self.view.shape) <= MOST_ELEMENTS:
            raise NotStraight("an array in memory is taken as a whole")
        return _window(code, self, None, self.view.shape, range(len(self.view.shape)))

    def carried(self, new: Elements | Resident) -> "InMemory":
        if isinstance(new, Elements) and self.home.store is not None:
            for place in np.ndindex(*new.values.shape):
                where = self.home.number(self.distance(place))
                self.home.store(new.values[place], offset=where)
            return _changed(self)
        if not isinstance(new, InMemory) or new.home is not self.home or not new.is_whole():
            raise NotStraight("an array in memory is replaced by another one")
        return new

    def is_whole(self) -> bool:
        """Whether it is all of the array, as it is now."""
        return self.view == self.home.view and self.version == self.home.version

    def distance(self, place: Sequence[int] = ()) -> int:
        """How far an element is from the array's first one."""
        inner = sum(i * s for i, s in zip(place, self.view.strides, strict=False))
        return self.view.offset - self.home.view.offset + inner

    def check(self) -> None:
        """Refuse to read what is not there any more."""
        if self.version != self.home.version:
            raise NotStraight("an array in memory is read after it was changed")


def _offset(code: Writer, static: int, moved: Value | None) -> Value:
    """A place in memory: so many elements on, and from there on by what is computed."""
    if moved is None:
        return code.number(static)
    return code.let("add", moved, code.number(static)) if static else moved


def _window(
    code: Writer,
    x: InMemory,
    moved: Value | None,
    shape: Sequence[int],
    axes: Sequence[int],
) -> Elements:
    """The elements of a window that runs over some axes of an array."""
    x.check()
    if not 0 < prod(shape) <= MOST_ELEMENTS:
        raise NotStraight(f"a part of an array in memory has more than {MOST_ELEMENTS} elements")
    values = np.empty(shape, object)
    for place in np.ndindex(*shape):
        code.count()
        static = x.distance() + sum(
            i * x.view.strides[axis] for i, axis in zip(place, axes, strict=True)
        )
        values[place] = x.home.load(offset=_offset(code, static, moved))
    return Elements(values)


def _changed(x: InMemory) -> InMemory:
    """The array after a change."""
    x.home.version += 1
    return replace(x, version=x.home.version)


def _writable(x: Any) -> InMemory:
    if not isinstance(x, InMemory) or x.home.store is None or x.view != x.home.view:
        raise NotStraight("an array in memory is changed that the loop does not carry")
    if x.version != x.home.version:
        raise NotStraight("an array in memory is changed after it was changed")
    return x


def _small(code: Writer, args: Sequence[Elements | Resident]) -> list[Elements]:
    """Indices and updates, which may be parts of arrays in memory themselves."""
    return [x if isinstance(x, Elements) else x.elements(code) for x in args]


# --- views --------------------------------------------------------------------------------------


def _viewed(code: Writer, x: Any, view: View | None) -> list[Elements | Resident]:
    if view is None:
        raise NotStraight("reshape of an array in memory takes a copy")
    return [replace(x, view=view)]


def _reshape(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    return _viewed(code, args[0], args[0].view.reshape(eqn.params["new_sizes"]))


def _transpose(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    return _viewed(code, args[0], args[0].view.transpose(eqn.params["permutation"]))


def _reverse(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    return _viewed(code, args[0], args[0].view.reverse(eqn.params["dimensions"]))


def _slice(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    (x,), params = args, eqn.params
    steps = params["strides"] or [1] * len(x.view.shape)
    return _viewed(code, x, x.view.slice(params["start_indices"], params["limit_indices"], steps))


def _same(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    return [args[0]]


# --- parts at computed places ---------------------------------------------------------------------


def _place(
    code: Writer, x: InMemory, places: Sequence[Elements], sizes: Sequence[int]
) -> Value | None:
    """The offset of a slice, moved inside."""
    starts = [
        Start(extent - size, stride)
        for extent, size, stride in zip(x.view.shape, sizes, x.view.strides, strict=True)
    ]
    indices = [place.values.reshape(-1)[0] for place in places]
    moving = [(s, i) for s, i in zip(starts, indices, strict=True) if s.reach]
    return offset_of(code, [s for s, _ in moving], [i for _, i in moving], clip=True)[0]


def _dynamic_slice(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    x, *places = args
    sizes = eqn.params["slice_sizes"]
    moved = _place(code, x, _small(code, places), sizes)
    return [_window(code, x, moved, sizes, range(len(sizes)))]


def _dynamic_update_slice(
    code: Writer, eqn: JaxprEqn, args: Sequence[Any]
) -> list[Elements | Resident]:
    update, *places = _small(code, args[1:])
    x = _writable(args[0])
    assert x.home.store is not None
    moved = _place(code, x, places, update.values.shape)
    for place in np.ndindex(*update.values.shape):
        code.count()
        x.home.store(update.values[place], offset=_offset(code, x.distance(place), moved))
    return [_changed(x)]


def _patch(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    """A slice is put into zeros."""
    update, *places = _small(code, args[1:])
    return [Patch([(update, places)])]


def _add(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident] | None:
    """The sum of an array and of zeros but for slices: only those are touched."""
    slices = [part for x in args if isinstance(x, Patch) for part in x.slices]
    if not slices:
        return None
    if eqn.invars[0].aval.shape != eqn.invars[1].aval.shape:
        raise NotStraight("zeros but for slices are repeated in a sum")
    if all(isinstance(x, Patch) for x in args):
        return [Patch(slices)]
    (other,) = (x for x in args if not isinstance(x, Patch))
    x = _writable(other)
    assert x.home.store is not None
    for update, places in slices:
        moved = _place(code, x, places, update.values.shape)
        for place in np.ndindex(*update.values.shape):
            element: Any = update.values[place]
            where = _offset(code, x.distance(place), moved)
            total = code.let("add", x.home.load(offset=where), element)
            x.home.store(total, offset=where)
    return [_changed(x)]


def _gather(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    x, (indices,) = args[0], _small(code, args[1:])
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    windows = gather_windows(x.view.shape, indices.values.shape, numbers, sizes)
    fills = eqn.params["mode"] is GatherScatterMode.FILL_OR_DROP
    found = np.empty((*windows.batch_shape, *windows.window_shape), object)
    for batch in np.ndindex(*windows.batch_shape):
        moved, inside = _start(code, x, windows, indices, batch, clip=not fills)
        part: Any = _window(code, x, moved, windows.window_shape, windows.shown).values
        if inside is not None:
            fill = code.number(fill_of(x.view.dtype, eqn.params["fill_value"]))
            for place in np.ndindex(*part.shape):
                part[place] = code.let("select", inside, part[place], fill)
        found[(*batch, ...)] = part
    return [Elements(found.transpose(windows.order))]


def _start(
    code: Writer, x: InMemory, windows: Any, indices: Elements, batch: Any, clip: bool
) -> tuple[Value | None, Value | None]:
    """The offset of a window, and whether it is inside."""
    components = len(windows.moving) - len(windows.batching)
    starts = [
        Start(reach, x.view.strides[axis])
        for reach, axis in zip(windows.reach[:components], windows.moving, strict=False)
    ]
    moved, inside = offset_of(code, starts, list(indices.values[batch]), clip)
    for axis, lane in zip(windows.moving[components:], windows.batching, strict=True):
        moved = _offset(code, batch[lane] * x.view.strides[axis], moved)
    return moved, inside


def _scatter(code: Writer, eqn: JaxprEqn, args: Sequence[Any]) -> list[Elements | Resident]:
    x, (indices, updates) = _writable(args[0]), _small(code, args[1:])
    assert x.home.store is not None
    windows = scatter_windows(
        eqn.primitive.name,
        x.view.shape,
        indices.values.shape,
        updates.values.shape,
        eqn.params["dimension_numbers"],
    )
    op, clip = COMBINE[eqn.primitive], eqn.params["mode"] is GatherScatterMode.CLIP
    inverse: Any = updates.values.transpose(np.argsort(windows.order))
    for batch in np.ndindex(*windows.batch_shape):
        moved, inside = _start(code, x, windows, indices, batch, clip)
        for place in np.ndindex(*windows.window_shape):
            static = x.distance() + sum(
                i * x.view.strides[axis] for i, axis in zip(place, windows.shown, strict=True)
            )
            where = {"offset": _offset(code, static, moved), "mask": inside}
            value = inverse[(*batch, *place)]
            if op is not None:
                value = code.let(op, x.home.load(**where), value)
            code.count()
            x.home.store(value, **where)
    return [_changed(x)]


_OF_MEMORY: Mapping[str, ResidentRule] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "rev": _reverse,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    **{primitive.name: _scatter for primitive in COMBINE},
}
_OF_ZEROS: Mapping[str, ResidentRule] = {"dynamic_update_slice": _patch}
_OF_ANY: Mapping[str, ResidentRule] = {"copy": _same, "stop_gradient": _same, "add": _add}


def rule_for(primitive: str, operand: Elements | Resident) -> ResidentRule | None:
    """The rule for an operation on arrays of which some are in memory, by its first operand.

    Where there is none, elements have to be loaded.
    """
    if isinstance(operand, InMemory) and primitive in _OF_MEMORY:
        return _OF_MEMORY[primitive]
    if isinstance(operand, Zeros) and primitive in _OF_ZEROS:
        return _OF_ZEROS[primitive]
    return _OF_ANY.get(primitive)
