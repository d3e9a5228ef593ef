"""From a fused group to a kernel and the step that runs it.

The loops over kept axes are outside. Inside them the reduced axes are swept as often as there are
reductions that depend on each other: softmax sweeps a row for its maximum, for its sum, and to
store the quotients. Values of a row are computed between the sweeps, values of an element in each
sweep that needs them.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from math import prod
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.elements import apply, index_as, is_embedded
from funcflow.backends.kernel_memo import MEMO, KernelKey, Written
from funcflow.backends.loop_ir import INDEX, Builder, Kernel, Operand, Value
from funcflow.backends.packed_rows import PackedRows, packed_rows, table
from funcflow.backends.passes.groups import Group, Place
from funcflow.backends.passes.kinds import DEAR, VIEWS
from funcflow.backends.places import (
    operand_place,
    parameters,
    stride_kinds,
    strides_along,
    virtual_operands,
)
from funcflow.backends.program import Step, View, dense_view
from funcflow.backends.reducing import accumulated_dtype, merge_of, next_values, starts, widened
from funcflow.backends.schedule import Schedule, grain, schedule
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, JaxprEqn, Literal, Var

BLOCK_ELEMENTS = 1 << 15
_MANY_ELEMENTS = 1 << 12  # in a kernel whose time counts
_COLUMN_BYTES = 512  # of a row of sums that are carried side by side
_BLOCKS = -1  # the axis that counts blocks


class Blocks(NamedTuple):
    """How an axis is cut into blocks. It does not depend on the number of threads."""

    axis: int
    extent: int
    count: int
    tail: int

    @staticmethod
    def of(loops: Schedule) -> "Blocks":
        """Blocks of the outermost reduced axis."""
        axis = loops.reduced[0]
        size = loops.extents[axis]
        inner = prod(loops.extents.values()) // size
        extent = min(size, max(1, BLOCK_ELEMENTS // inner))
        count = -(-size // extent)
        return Blocks(axis, extent, count, size - (count - 1) * extent)

    @staticmethod
    def of_rows(packed: PackedRows) -> "Blocks":
        """Blocks of one wide row."""
        size, extent = packed.row * packed.count, packed.wide
        count = -(-size // extent)
        return Blocks(packed.axis, extent, count, size - (count - 1) * extent)


class GroupWriter:
    """Writes the kernel of one group."""

    def __init__(
        self,
        group: Group,
        virtual: Mapping[Var, JaxprEqn],
        view_of: Callable[[Atom], View],
        outputs: Mapping[Var, View],
    ) -> None:
        self._group = group
        self._virtual = virtual
        self._view_of = view_of
        self._outputs = outputs
        self._defined = {v: eqn for eqn in group.eqns for v in eqn.outvars}
        self._operand_places: dict[JaxprEqn, list[tuple[Atom, Place]]] = {}
        self._reads: dict[tuple[Any, ...], int] = {}
        self._read_views: list[View] = []
        self._read_strides: list[dict[int, int]] = []
        self._scalars: dict[tuple[bytes, Any], int] = {}
        self._scalar_values: list[Any] = []
        self._indexed: set[int] = set()
        self._origins: dict[Value, JaxprEqn] = {}
        self._collect()

    # --- which operands there are ---------------------------------------------------------------

    def _collect(self) -> None:
        """Find the operands and the axes whose index is used, before the loops are chosen."""
        for eqn in self._group.eqns:
            for v, place in self._operands(eqn):
                self._note(v, place)
            if eqn.primitive.name in ("argmax", "argmin"):
                self._indexed |= {a for a in self._group.operand_places[eqn] if a is not None}

    def _operands(self, eqn: JaxprEqn) -> list[tuple[Atom, Place]]:
        """An equation's operands with their places."""
        found = self._operand_places.get(eqn)
        if found is None:
            found = self._operand_places[eqn] = self._find_operands(eqn)
        return found

    def _find_operands(self, eqn: JaxprEqn) -> list[tuple[Atom, Place]]:
        if eqn in self._group.operand_places:
            return [(eqn.invars[0], self._group.operand_places[eqn])]
        if eqn.primitive.name in VIEWS:
            (v,) = eqn.invars
            return [(v, self._group.places[v] if isinstance(v, Var) else ())]
        place = self._group.places[eqn.outvars[0]]
        return [(v, operand_place(v, place)) for v in eqn.invars]

    def _note(self, v: Atom, place: Place) -> None:
        if isinstance(v, Literal) or v in self._defined:
            return
        if v in self._virtual:
            eqn = self._virtual[v]
            if eqn.primitive.name == "iota":
                axis = place[eqn.params["dimension"]]
                self._indexed |= {axis} if axis is not None else set()
            for w, inner in virtual_operands(eqn, place):
                self._note(w, inner)
            return
        self._operand(v, place)

    def _operand(self, v: Atom, place: Place) -> int:
        """The number of the operand that holds a value from outside."""
        view = self._view_of(v)
        strides = strides_along(view, place)
        key = (view.buffer, view.offset, view.dtype, tuple(sorted(strides.items())))
        if key not in self._reads:
            self._reads[key] = len(self._read_views)
            self._read_views.append(view)
            self._read_strides.append(strides)
        return self._reads[key]

    # --- the kernel -----------------------------------------------------------------------------

    def steps(self) -> list[Step]:
        """The step that runs the kernel; for a reduction in blocks, also those that merge them."""
        group = self._group
        tables, loops, blocks = self._order_loops()
        self._loops, self._blocks = loops, blocks
        outer = [_BLOCKS, blocks.axis] if blocks else []
        self._order = [*outer, *(a for a in (*loops.kept, *loops.reduced) if a not in outer)]
        self._number = {axis: i for i, axis in enumerate(self._order)}
        writes, merging = dict(self._outputs), list[Step]()
        if blocks is not None:
            for eqn in group.operand_places:
                (v,) = eqn.outvars
                writes[v], merges = self._merged(eqn, blocks)
                merging += merges
        return [*tables, self._kernel_step(writes), *merging]

    def _order_loops(self) -> tuple[list[Step], Schedule, Blocks | None]:
        """The loops and their blocks, and steps in front of the kernel that write tables."""
        group = self._group
        views = self._outputs.items()
        writes = {v: strides_along(view, group.places[v]) for v, view in views}
        elements = [s for v, s in writes.items() if not self._is_row(v)]
        packed = packed_rows(group, self._read_strides, elements, self._indexed)
        self._packed = packed
        if packed is None:
            given = group.extents, group.reduced, self._read_strides, list(writes.values())
            loops = schedule(*given, self._indexed)
            return [], loops, Blocks.of(loops) if group.blocked else None
        tables = list[Step]()
        for number, strides in enumerate(self._read_strides):
            if number in packed.repeated:
                view, step = table(self._read_views[number], strides[packed.axis], packed)
                self._read_views[number] = view
                self._read_strides[number] = {_BLOCKS: 0, packed.axis: 1}
                tables.append(step)
            else:
                self._read_strides[number] = packed.strides(strides)
        loops = packed.schedule
        return tables, loops, Blocks.of(loops) if group.blocked else Blocks.of_rows(packed)

    def _merged(self, eqn: JaxprEqn, blocks: Blocks) -> tuple[View, list[Step]]:
        """Where the results of blocks go, and the steps that merge them."""
        (v,), packed = eqn.outvars, self._packed
        if packed is None:
            partial, merge = _partial(v, eqn, blocks.count, self._outputs[v])
            return partial, [merge]
        rows, last = _partial(v, eqn, packed.together, self._outputs[v])
        wide = Var(ShapedArray(rows.shape, rows.dtype))
        partial, first = _partial(wide, eqn.replace(outvars=[wide]), blocks.count, rows)
        return partial, [first, last]

    def _kernel_step(self, writes: Mapping[Var, View]) -> Step:
        group, loops, blocks = self._group, self._loops, self._blocks
        stores = [(view, self._written_strides(v, view)) for v, view in writes.items()]
        self._stores = {v: len(self._read_views) + i for i, v in enumerate(writes)}
        self._useful = self._useful_lanes()
        self._lanes = self._choose_lanes()
        reads = list(zip(self._read_views, self._read_strides, strict=True))
        extents = dict(loops.extents)
        if blocks:
            for _, strides in (*reads, *stores):
                strides.setdefault(_BLOCKS, strides.get(blocks.axis, 0) * blocks.extent)
            extents |= {_BLOCKS: blocks.count, blocks.axis: blocks.extent}
        strides = [[s.get(a, 0) for a in self._order] for _, s in (*reads, *stores)]
        operands = tuple(
            Operand(view.dtype, stride_kinds(s), written=i >= len(reads))
            for i, ((view, _), s) in enumerate(zip((*reads, *stores), strides, strict=True))
        )
        key = self._key(operands)
        written = MEMO.get(key.whole)
        if written is None:
            written = self._written(key, operands)
        kernel = written.kernel
        scalars = [key.scalars[number] for number in written.scalars]
        sizes = [extents[a] for a in self._order]
        tail = blocks.tail if blocks else 0
        return Step(
            kernel,
            tuple(self._read_views),
            tuple(view for view, _ in stores),
            parameters(kernel, sizes, strides, scalars, tail),
            sizes[0] if sizes else 1,
            grain(sizes) if kernel.split else 0,
            eqns=tuple(group.eqns),
            origins={value: group.eqns[number] for value, number in written.origins},
        )

    def _key(self, operands: tuple[Operand, ...]) -> KernelKey:
        """What the kernel is a function of: equal keys have equal kernels."""
        group, loops = self._group, self._loops
        key = KernelKey(self._defined, self._virtual, self._operand, self._number)
        if self._blocks is not None:
            key.literal(_extent_of(self._blocks))
        for eqn in group.eqns:
            rows = tuple(map(self._is_row, eqn.outvars))
            key.add(eqn, self._operands(eqn), rows, group.operand_places.get(eqn))
        vector = None if loops.vector is None else self._number[loops.vector]
        form = len(loops.kept), len(loops.reduced), vector, self._blocks is not None
        key.finish((*form, self._lanes, self._useful), operands, group, self._stores)
        return key

    def _written(self, key: KernelKey, operands: tuple[Operand, ...]) -> Written:
        """The kernel, written, and kept for equal groups."""
        self._build = Builder()
        self._write_body()
        kernel = Kernel(
            len(self._order),
            operands,
            tuple(x.dtype for x in self._scalar_values),
            self._build.body,
            split=bool(self._outer_axes()),
            ragged=self._blocks is not None,
        )
        numbers = {eqn: i for i, eqn in enumerate(self._group.eqns)}
        origins = [(value, numbers[eqn]) for value, eqn in self._origins.items()]
        scalars = [key.literals[found] for found in self._scalars]
        return MEMO.put(key.whole, Written(kernel, tuple(scalars), tuple(origins)))

    def _written_strides(self, v: Var, view: View) -> dict[int, int]:
        place, packed = self._group.places[v], self._packed
        if packed is not None:
            by_block = {_BLOCKS: packed.wide, packed.axis: 1}
            return by_block if self._is_row(v) else packed.strides(strides_along(view, place))
        if self._blocks and self._is_row(v):  # one result for each block
            return strides_along(view, (_BLOCKS, *place))
        return strides_along(view, place)

    def _outer_axes(self) -> list[int]:
        """The axes of the loops that everything is inside of, from the outermost one."""
        return [*([_BLOCKS] if self._blocks else []), *self._loops.kept]

    def _choose_lanes(self) -> int:
        """Lanes of the vector loop: 64 bytes of the widest element, or more for light work.

        Columns that are reduced side by side, or written as rows, are walked in steps of rows: the
        wider they are, the fewer pages of memory are touched again and again. What is carried for
        them must fit into registers, lanes without elements cost as much as others, and what is
        wider takes longer to compile: LLVM writes the code of each register by itself.
        """
        count, loops = len(self._group.eqns), self._loops
        lanes = self._narrowest_lanes()
        if _is_heavy(self._group.eqns):
            return min(lanes, self._useful)
        columns = loops.kept[-2] if loops.crossed else loops.vector
        by_rows = columns in loops.reduced or not (loops.crossed or loops.reduced)
        if by_rows or count > 4 or self._is_small():
            return min(2 * lanes, self._useful)
        most = 4 * lanes
        if loops.reduced and count <= 2 and not self._indexed:
            carried = [accumulated_dtype(e).itemsize for e in self._group.operand_places]
            most = max(most, _COLUMN_BYTES // max(4, *carried))
        extent = loops.extents[columns] if columns is not None else 1
        return min(most, max(2 * lanes, 1 << (extent - 1).bit_length()))

    def _useful_lanes(self) -> int:
        """As many lanes as the vector axis has use for, 128 bytes of the widest element at most.

        Lanes without elements cost as much as others.
        """
        axis, most = self._loops.vector, 2 * self._narrowest_lanes()
        if axis is None or self._is_small():
            return most
        return min(most, max(2, 1 << (self._loops.extents[axis] - 1).bit_length()))

    def _is_small(self) -> bool:
        """Whether the kernel takes no time anyway, and had better be the same for all extents."""
        return prod(self._loops.extents.values()) < _MANY_ELEMENTS

    def _narrowest_lanes(self) -> int:
        widths = [v.aval.dtype.itemsize for v in self._defined if not self._is_row(v)]
        return 64 // max(widths, default=4)

    def _sweep_lanes(self, sinks: list[Any]) -> int:
        """Lanes of a sweep over rows: each is as light as what it computes."""
        eqns = {self._defined[v]: None for s in sinks for v in self._elements_of(s)}
        return min(self._narrowest_lanes() * (1 if _is_heavy(eqns) else 2), self._useful)

    def _write_body(self) -> None:
        with ExitStack() as stack:
            for axis in self._outer_axes():
                stack.enter_context(self._loop(axis))
            self._row: dict[Any, Value] = {}
            self._element: dict[Any, Value] = self._row
            sweeps = self._sweeps()
            self._memory = self._remembered(sweeps)
            for self._sweep in range(max(sweeps.values(), default=0) + 1):
                self._write_sweep([e for e in self._sinks() if sweeps[e] == self._sweep])
            for v in self._stores:
                if self._is_row(v):
                    self._store(v)

    def _loop(self, axis: int) -> Any:
        lanes = self._lanes if axis == self._loops.vector else 1
        return self._build.loop(self._number[axis], lanes)

    # --- sweeps -----------------------------------------------------------------------------------

    def _is_row(self, v: Any) -> bool:
        """Whether a value is one of a row, not of an element."""
        place = self._group.places[v]
        return bool(self._group.reduced) and not self._group.reduced & set(place)

    def _sinks(self) -> list[Any]:
        """What sweeps are for: reductions (equations) and stored elements (variables)."""
        reductions = list(self._group.operand_places)
        return [*reductions, *(v for v in self._stores if not self._is_row(v))]

    def _sweeps(self) -> dict[Any, int]:
        """The first sweep in which each sink can be reached."""
        ready: dict[Any, int] = {}
        for eqn in self._group.in_order():
            before = max(
                (ready[v] for v, _ in self._operands(eqn) if v in self._defined), default=0
            )
            reduces = eqn in self._group.operand_places
            if reduces:
                ready[eqn] = before
            for v in eqn.outvars:
                ready[v] = before + reduces
        return {sink: ready[sink] for sink in self._sinks()}

    def _remembered(self, sweeps: Mapping[Any, int]) -> dict[Var, tuple[int, int]]:
        """Elements that one sweep stores and later ones load: (operand, sweep) of each.

        Those are outputs, and dear values that several sweeps need: the exponentials of softmax
        are kept where its result will be.
        """
        memory = {v: (self._stores[v], sweeps[v]) for v in self._stores if v in sweeps}
        last = max(sweeps.values(), default=0)
        hosts = [v for v in memory if sweeps[v] == last]
        needed: dict[Var, set[int]] = {}
        for sink, sweep in sweeps.items():
            for v in self._elements_of(sink):
                needed.setdefault(v, set()).add(sweep)
        for v, where in needed.items():
            first = min(where)
            if len(where) < 2 or self._defined[v].primitive.name not in DEAR or v in memory:
                continue
            host = next((h for h in hosts if h.aval.dtype == v.aval.dtype), None)
            if host is not None and first < last:
                hosts.remove(host)
                memory[v] = (self._stores[host], first)
        return memory

    def _elements_of(self, sink: Any) -> list[Var]:
        """The elements that a reduction or a stored element is computed from, with itself."""
        found: dict[Var, None] = {}
        stack = [self._reduced_operand(sink)[0] if isinstance(sink, JaxprEqn) else sink]
        while stack:
            v = stack.pop()
            if isinstance(v, Var) and v in self._defined and v not in found and not self._is_row(v):
                found[v] = None
                stack += [w for w, _ in self._operands(self._defined[v])]
        return list(found)

    def _write_sweep(self, sinks: list[Any]) -> None:
        if self._loops.rows:
            self._lanes = self._sweep_lanes(sinks)
        reductions = [s for s in sinks if isinstance(s, JaxprEqn)]
        stored = [v for v, (_, sweep) in self._memory.items() if sweep == self._sweep]
        for eqn in reductions:
            self._rows_before(self._reduced_operand(eqn)[0])
        for v in stored:
            self._rows_before(v)
        first = [starts(self._build, eqn) for eqn in reductions]
        results = self._sweep_loops(list(self._loops.reduced), reductions, first, stored)
        for eqn, values in zip(reductions, results, strict=True):
            # the results of blocks are merged before they are narrowed
            whole = self._blocks is None
            self._row[eqn.outvars[0]] = (
                widened(self._build, values[-1], eqn, back=True) if whole else values[-1]
            )
            self._origins.setdefault(values[-1], eqn)
        self._element = self._row

    def _reduced_operand(self, eqn: JaxprEqn) -> tuple[Atom, Place]:
        return eqn.invars[0], self._group.operand_places[eqn]

    def _rows_before(self, v: Atom, seen: set[Any] | None = None) -> None:
        """Compute the rows' values that an element needs, outside the loops over its row."""
        seen = set() if seen is None else seen
        if v not in self._defined or v in seen or not self._group.reduced:
            return
        seen.add(v)
        if self._is_row(v):
            self._value(v, self._group.places[v])
        if self._is_row(v) or self._is_in_memory(v):
            return
        for w, _ in self._operands(self._defined[v]):
            self._rows_before(w, seen)

    def _sweep_loops(
        self,
        axes: list[int],
        reductions: list[JaxprEqn],
        first: list[tuple[Value, ...]],
        stored: list[Any],
    ) -> list[tuple[Value, ...]]:
        """The loops over reduced axes from the given one inwards; returns what was carried."""
        if not axes:
            self._element = {**self._row}
            nexts = []
            for eqn, inside in zip(reductions, first, strict=True):
                x = widened(self._build, self._value(*self._reduced_operand(eqn)), eqn)
                nexts.append(next_values(self._build, eqn, inside, x, self._position))
                self._origins |= dict.fromkeys(nexts[-1], eqn)
            for v in stored:  # before the first is stored, where another may have been kept
                self._value(v, self._group.places[v])
            for v in stored:
                self._store(v)
            return nexts
        # the lanes of an inner vector loop start afresh, and are merged with what was carried
        apart = axes[0] == self._loops.vector and len(axes) < len(self._loops.reduced)
        begin = [starts(self._build, eqn) for eqn in reductions] if apart else first
        with self._loop(axes[0]) as loop:
            inside = [
                loop.carry(merge_of(eqn), *s) for eqn, s in zip(reductions, begin, strict=True)
            ]
            for values in self._sweep_loops(axes[1:], reductions, inside, stored):
                loop.next(*values)
        found = iter(loop.results)
        results = [tuple(next(found) for _ in s) for s in begin]
        if not apart:
            return results
        return [
            (self._build.let(merge_of(eqn), *carried, *result),)
            for eqn, carried, result in zip(reductions, first, results, strict=True)
        ]

    def _position(self, eqn: JaxprEqn) -> Value:
        """The index along the axis that argmax searches."""
        (dimension,) = eqn.params["axes"]
        return self._index(self._group.operand_places[eqn][dimension])

    # --- values -----------------------------------------------------------------------------------

    def _store(self, v: Any) -> None:
        operand = self._stores[v] if v in self._stores else self._memory[v][0]
        self._build.store(operand, self._value(v, self._group.places[v]))

    def _is_in_memory(self, v: Any) -> bool:
        """Whether an earlier sweep has stored an element."""
        return v in self._memory and self._memory[v][1] < self._sweep

    def _value(self, v: Atom, place: Place) -> Value:
        """The value of an atom here, computed if it is not known yet."""
        if isinstance(v, Literal):
            return self._literal(v.val)
        key = v if v in self._defined else (v, place)
        memo = self._row if v in self._defined and self._is_row(v) else self._element
        for known in (memo, self._row):
            if key in known:
                return known[key]
        if v in self._defined and not self._is_in_memory(v):
            self._compute(self._defined[v])
            return memo[key]
        if v in self._defined:
            value = self._build.load(self._memory[v][0], v.aval.dtype)
        elif v in self._virtual:
            value = self._virtual_value(self._virtual[v], place)
        else:
            number = self._operand(v, place)
            value = self._build.load(number, self._read_views[number].dtype)
        memo[key] = value
        return value

    def _compute(self, eqn: JaxprEqn) -> None:
        args = [self._value(v, place) for v, place in self._operands(eqn)]
        for result, v in enumerate(eqn.outvars):
            memo = self._row if self._is_row(v) else self._element
            memo[v] = apply(self._build, eqn, args, result)
            self._origins.setdefault(memo[v], eqn)

    def _virtual_value(self, eqn: JaxprEqn, place: Place) -> Value:
        if eqn.primitive.name == "iota":
            index = self._index(place[eqn.params["dimension"]])
            return index_as(self._build, index, eqn.outvars[0].aval.dtype)
        args = [self._value(v, inner) for v, inner in virtual_operands(eqn, place)]
        return apply(self._build, eqn, args)

    def _index(self, axis: int | None) -> Value:
        if axis is None:
            return self._build.const(0, INDEX)
        index = self._build.index(self._number[axis])
        if self._blocks is None or axis != self._blocks.axis:
            return index
        extent = self._literal(_extent_of(self._blocks))
        before = self._build.let("mul", self._build.index(0), extent)
        return self._build.let("add", before, index)

    def _literal(self, value: np.ndarray[Any, Any]) -> Value:
        dtype = value.dtype
        if is_embedded(value):
            return self._build.const(value, dtype)
        key = (value.tobytes(), dtype)
        if key not in self._scalars:
            self._scalars[key] = len(self._scalar_values)
            self._scalar_values.append(value[()])
        return self._build.scalar(self._scalars[key], dtype)


def _extent_of(blocks: Blocks) -> np.ndarray[Any, Any]:
    return np.asarray(blocks.extent, INDEX)


def _is_heavy(eqns: Collection[JaxprEqn]) -> bool:
    """Whether a vector loop needs most registers for what it computes."""
    return len(eqns) > 24 or any(eqn.primitive.name in DEAR for eqn in eqns)


# --- other kernels ------------------------------------------------------------------------------


def _partial(v: Var, eqn: JaxprEqn, blocks: int, result: View) -> tuple[View, Step]:
    """Where the blocks' results go, and the step that merges them."""
    dtype = accumulated_dtype(eqn)
    partial = dense_view("temporary", (blocks, *v.aval.shape), dtype)
    x = Var(ShapedArray(partial.shape, dtype))
    merging = eqn.replace(invars=[x], params={"axes": (0,)})
    group = Group(0)
    places = iter(range(1, 1 + v.aval.ndim))
    place = tuple(None if n == 1 else next(places) for n in v.aval.shape)
    group.extents = {a: n for a, n in zip(place, v.aval.shape, strict=True) if a is not None}
    if blocks > 1:
        group.extents[0] = blocks
        group.reduced = {0}
    group.eqns = [merging]
    group.places = {v: place}
    group.operand_places = {merging: (0 if blocks > 1 else None, *place)}
    (step,) = GroupWriter(group, {}, lambda _: partial, {v: result}).steps()
    return partial, step
