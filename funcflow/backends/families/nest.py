"""Kernels of one loop nest whose loops a family chooses itself.

Axes are numbers of the family's choice; what is accessed has a stride, in elements, by axis.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.loop_ir import Builder, Kernel, Operand, Value
from funcflow.backends.places import parameters, stride_kinds
from funcflow.backends.program import Step, View
from funcflow.backends.schedule import grain
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn

# A vector loop takes two vectors of 64 bytes at once; lanes with places of their own are gathered
# and scattered, by 64-bit offsets.
VECTOR_BYTES = 128
SCATTERED_LANES = 16


class Access(NamedTuple):
    """A view, and how far its element moves with each axis."""

    view: View
    strides: Mapping[int, int]

    def within(self, axes: Sequence[int]) -> "Access":
        """The same where these axes alone move the element, and offsets do the rest."""
        return Access(self.view, {a: s for a, s in self.strides.items() if a in axes})


def access(view: View, axes: Sequence[int]) -> Access:
    """A view whose dimensions run over these axes. Dimensions of extent 1 do not move."""
    strides: dict[int, int] = {}
    for n, stride, axis in zip(view.shape, view.strides, axes, strict=True):
        if n != 1 and stride:
            strides[axis] = strides.get(axis, 0) + stride
    return Access(view, strides)


def proper(extents: Mapping[int, int]) -> dict[int, int]:
    """The axes that need a loop."""
    return {axis: n for axis, n in extents.items() if n != 1}


def lanes_along(axis: int | None, extents: Mapping[int, int], accesses: Sequence[Access]) -> int:
    """Lanes of a loop over an axis; a short loop needs only as many as take it at once.

    The last of the accesses is to the elements, those before it are to the places they are at.
    """
    if axis is None:
        return 1
    *places, elements = accesses
    lanes = VECTOR_BYTES // elements.view.dtype.itemsize
    if any(place.strides.get(axis) for place in places):
        lanes = min(lanes, SCATTERED_LANES)
    return min(lanes, 1 << (extents[axis] - 1).bit_length())


class Nest:
    """A kernel while it is being written.

    Attributes:
        build: writes the statements.
    """

    def __init__(
        self,
        order: Sequence[int],
        extents: Mapping[int, int],
        reads: Sequence[Access],
        writes: Sequence[Access],
    ) -> None:
        """Loops over `order`, from the outermost to the innermost one."""
        self.build = Builder()
        self._order = list(order)
        self._extents = [extents[axis] for axis in order]
        self._reads, self._writes = list(reads), list(writes)
        self._scalars: list[np.ndarray[Any, Any]] = []

    @contextmanager
    def loops(
        self, axes: Sequence[int], vector: int | None = None, lanes: int = 1
    ) -> Iterator[Any]:
        """Loops around what is written inside; gives the innermost one."""
        with ExitStack() as stack:
            loop = None
            for axis in axes:
                number = self._order.index(axis)
                width = lanes if axis == vector else 1
                loop = stack.enter_context(self.build.loop(number, width))
            yield loop

    def dtype(self, read: int) -> np.dtype[Any]:
        """The dtype of what is read, by its place in the list."""
        return self._reads[read].view.dtype

    def load(self, read: int, **where: Any) -> Value:
        """The element of what is read, by its place in the list."""
        return self.build.load(read, self.dtype(read), **where)

    def load_written(self, write: int, **where: Any) -> Value:
        """The element of what is written, as it is now."""
        return self.build.load(len(self._reads) + write, self._writes[write].view.dtype, **where)

    def store(self, write: int, value: Value, **where: Any) -> None:
        """Write the element of what is written."""
        self.build.store(len(self._reads) + write, value, **where)

    def number(self, value: int) -> Value:
        """An index that is a parameter of the kernel, so that shapes share their kernels."""
        return self.parameter(np.asarray(value, np.int64))

    def parameter(self, value: np.ndarray[Any, Any]) -> Value:
        """A number that is a parameter of the kernel."""
        self._scalars.append(value)
        return self.build.scalar(len(self._scalars) - 1, value.dtype)

    def index(self, axis: int) -> Value:
        """The position along an axis."""
        return self.build.index(self._order.index(axis))

    def step(
        self, eqn: JaxprEqn, *, split: bool, note: str = "", before: Sequence[JaxprEqn] = ()
    ) -> Step:
        """The step that runs the kernel.

        Args:
            eqn: what it computes.
            split: whether iterations of the outermost loop may run apart.
            note: what to say of it.
            before: what else it computes.
        """
        accesses = [*self._reads, *self._writes]
        strides = [[a.strides.get(axis, 0) for axis in self._order] for a in accesses]
        operands = tuple(
            Operand(a.view.dtype, stride_kinds(s), written=number >= len(self._reads))
            for number, (a, s) in enumerate(zip(accesses, strides, strict=True))
        )
        split = split and bool(self._order)
        kernel = Kernel(
            len(self._order),
            operands,
            tuple(value.dtype for value in self._scalars),
            self.build.body,
            split=split,
        )
        return Step(
            kernel,
            tuple(a.view for a in self._reads),
            tuple(a.view for a in self._writes),
            parameters(kernel, self._extents, strides, self._scalars),
            self._extents[0] if self._order else 1,
            grain(self._extents) if split else 0,
            eqns=(*before, eqn),
            note=note,
        )


# --- views of other dtypes ----------------------------------------------------------------------


def as_bits(view: View) -> View:
    """A view as unsigned integers: what is only moved needs no kernel for each dtype.

    Elements of 16 bytes become two integers along a new last axis.
    """
    if view.dtype.itemsize == 16:
        return _in_parts(view, np.dtype(np.uint64))
    dtype = np.dtype(f"u{view.dtype.itemsize}")
    return View(view.buffer, dtype, view.shape, view.strides, view.offset)


def as_parts(view: View) -> View:
    """Complex numbers as their real and imaginary parts along a new last axis."""
    if not dtypes.is_complex(view.dtype):
        return view
    return _in_parts(view, np.dtype(f"f{view.dtype.itemsize // 2}"))


def _in_parts(view: View, dtype: np.dtype[Any]) -> View:
    strides = tuple(2 * s for s in view.strides)
    return View(view.buffer, dtype, (*view.shape, 2), (*strides, 1), 2 * view.offset)
