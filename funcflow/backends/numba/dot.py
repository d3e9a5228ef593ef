"""Contractions as steps: products of matrices by BLAS, and small or integer ones by kernels.

A contraction is a nest of loops over axes of four kinds: batch, rows (free axes of lhs), columns
(free axes of rhs) and depth (contracted). Each axis has one stride in each of lhs, rhs and the
result, so transposed operands cost nothing. Axes that follow each other in all three are merged.

BLAS wants one axis of rows, one of columns and one of depth, and in each operand one of its two
axes contiguous; whatever axes are left are loops around. An operand that cannot be seen so is
copied. BLAS may sum in any order: results are within k ulp of the sum of the products' magnitudes,
as those of `impl` are. The kernels sum in order of depth, or lane by lane; integers wrap, so that
any order gives the same bits.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.loop_ir import UNIT, Builder, Kernel, Operand, Value
from funcflow.backends.numba import blas, blas_library
from funcflow.backends.numba.blas_code import LOOPS
from funcflow.backends.places import parameters, stride_kinds
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import Step, View
from funcflow.backends.schedule import grain
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.dot import Numbers, dot_general_p, free_axes
from funcflow.lax.precision import working_dtype

# Products of at most so many multiply-adds are faster in a kernel than in calls of BLAS. Measured
# on stacks of matrices, a kernel takes 0.3 of the time for 4x4, 0.8 for 8x8, and 1.5 for 12x12.
_SMALL = 8**3
# So are products of depth 1, and of depth 2 with long runs of columns: they do little else than
# store. Measured for 7936 rows, a kernel takes a third of the time for 64 columns.
_SHALLOW, _LONG = 2, 64
# A loop around BLAS over an axis of an operand is worse than a copy if what is inside is smaller.
_WORTH_A_CALL = 32**3

# Lanes beyond so many, of numbers narrower than 32 bits, are no faster for each of them.
_MOST_LANES = 64

_LHS, _RHS, _OUT = range(3)


class Axis(NamedTuple):
    """A loop: its extent, and its strides in lhs, rhs and the result."""

    extent: int
    strides: tuple[int, int, int]

    def encloses(self, inner: "Axis") -> bool:
        """Whether this axis and the next inner one are one axis, in all three arrays."""
        pairs = zip(self.strides, inner.strides, strict=True)
        return all(s == t * inner.extent for s, t in pairs)


class Contraction(NamedTuple):
    """The loops of a contraction, by kind, and the arrays; without `sums` there is no depth."""

    lhs: View
    rhs: View
    out: View
    batch: tuple[Axis, ...]
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    depth: tuple[Axis, ...]
    sums: bool

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many rows and columns the matrices of the stack have, and how many products a sum."""
        return _size(self.rows), _size(self.columns), _size(self.depth)


def contraction(lhs: View, rhs: View, out: View, numbers: Numbers) -> Contraction:
    """The loops of a contraction; `out` lies in the order batch, rows, columns."""
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers
    lhs_free = free_axes(len(lhs.shape), lhs_contract, lhs_batch)
    rhs_free = free_axes(len(rhs.shape), rhs_contract, rhs_batch)
    place = iter(range(len(out.shape)))

    def stride(view: View, i: int | None) -> int:
        return 0 if i is None else view.strides[i]

    def axis(i: int | None, j: int | None, out_axis: int | None) -> Axis:
        extent = lhs.shape[i] if i is not None else rhs.shape[j or 0]
        return Axis(extent, (stride(lhs, i), stride(rhs, j), stride(out, out_axis)))

    batch = [axis(i, j, next(place)) for i, j in zip(lhs_batch, rhs_batch, strict=True)]
    rows = [axis(i, None, next(place)) for i in lhs_free]
    columns = [axis(None, j, next(place)) for j in rhs_free]
    depth = [axis(i, j, None) for i, j in zip(lhs_contract, rhs_contract, strict=True)]
    # sums may be taken in any order: that of the larger operand, whose axes then merge
    by = _LHS if lhs.size >= rhs.size else _RHS
    depth.sort(key=lambda a: -a.strides[by])
    merged = (_merged(batch), _merged(rows), _merged(columns), _merged(depth))
    return Contraction(lhs, rhs, out, *merged, sums=bool(lhs_contract))


def _merged(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """Fewer axes, those of one element left out."""
    result: list[Axis] = []
    for axis in axes:
        if axis.extent == 1:
            continue
        if result and result[-1].encloses(axis):
            axis = Axis(result.pop().extent * axis.extent, axis.strides)
        result.append(axis)
    return tuple(result)


def _size(axes: Iterable[Axis]) -> int:
    return prod(a.extent for a in axes)


# --- the lowering ----------------------------------------------------------------------------


def lower_dot_general(plan: Planner, eqn: JaxprEqn) -> None:
    """Steps for a `dot_general`: of BLAS, of kernels, or of Python if neither knows the dtypes."""
    numbers: Numbers = eqn.params["dimension_numbers"]
    lhs, rhs = (plan.operand(v) for v in eqn.invars)
    (outvar,) = eqn.outvars
    dtype = np.dtype(outvar.aval.dtype)
    depth = prod(lhs.shape[i] for i in numbers[0][0])
    working = _kernel_dtype(dtype, lhs.dtype, rhs.dtype, depth)
    reason = _host_reason(lhs.dtype, rhs.dtype, working, bool(numbers[0][0]))
    if reason:
        plan.host(eqn, reason)
        return
    out = plan.result(outvar)
    if out.size == 0:
        return
    if depth == 0:
        zero = plan.constant(np.zeros((), dtype)).broadcast(out.shape, ())
        plan.copy(zero, out, (eqn,))
        return
    c = contraction(lhs, rhs, out, numbers)
    if _prefers_kernel(c, working):
        _append_kernel(plan, c, working, eqn)
    else:
        _append_gemm(plan, c, numbers, working, eqn)


def _host_reason(
    lhs: np.dtype[Any], rhs: np.dtype[Any], working: np.dtype[Any], sums: bool
) -> str | None:
    """Why neither BLAS nor a kernel takes it."""
    if working.name in blas_library.LETTERS and blas_library.library() is None:
        return "there is no BLAS to call"
    if dtypes.is_complex(working) and not (lhs == rhs == working and sums):
        return "kernels know no complex numbers, and BLAS multiplies those of one dtype only"
    return None


def _kernel_dtype(
    dtype: np.dtype[Any], lhs: np.dtype[Any], rhs: np.dtype[Any], depth: int
) -> np.dtype[Any]:
    """The dtype to multiply and add in. Integers wrap, so theirs is that of the result."""
    if dtypes.is_integer(dtype):
        return dtype
    return working_dtype(dtype, lhs, rhs, depth)


def _prefers_kernel(c: Contraction, working: np.dtype[Any]) -> bool:
    m, n, k = c.sizes
    if dtypes.is_complex(working):
        return False
    if working.name not in blas_library.LETTERS or not c.sums:
        return True
    runs = bool(c.columns) and _contiguous(c.columns[-1])
    shallow = k == 1 or (k <= _SHALLOW and runs and c.columns[-1].extent >= _LONG)
    return min(m, n) == 1 or m * n * k <= _SMALL or shallow


# --- BLAS ------------------------------------------------------------------------------------


def _append_gemm(
    plan: Planner, c: Contraction, numbers: Numbers, working: np.dtype[Any], eqn: JaxprEqn
) -> None:
    lhs, rhs = (_converted(plan, view, working, eqn) for view in (c.lhs, c.rhs))
    out = c.out if c.out.dtype == working else plan.temporary(c.out.shape, working)
    copied: list[str] = []
    gemm = _as_gemm(contraction(lhs, rhs, out, numbers), working)
    if gemm is None:
        lhs, rhs, numbers, copied = _copied(plan, lhs, rhs, numbers)
        gemm = _as_gemm(contraction(lhs, rhs, out, numbers), working)
    assert gemm is not None, "operands in order are matrices"
    if blas.prefers_exchange(gemm):
        _append_exchanged(plan, lhs, rhs, out, gemm, eqn)
    elif not blas.append_gemm(plan, gemm, (lhs, rhs), out, eqn, _note(gemm, copied)):
        plan.host(eqn, "the sizes exceed the integers of BLAS")
        return
    if out is not c.out:
        _append_conversion(plan, out, c.out, eqn)


def _append_exchanged(
    plan: Planner, lhs: View, rhs: View, out: View, gemm: blas.Gemm, eqn: JaxprEqn
) -> None:
    """Steps for a product with the factors exchanged, and for its transpose."""
    m, n, k, lda, ldb = gemm.m, gemm.n, gemm.k, gemm.lda, gemm.ldb
    turned, matrix = plan.temporary((n, m), gemm.dtype), out.reshape((m, n))
    assert matrix is not None, "rows and columns are one axis each"
    exchanged = blas.Gemm(gemm.dtype, n, m, k, ldb, lda, m, (False, True))
    note = ", B transposed, no copy; factors exchanged, since B is large for so few rows"
    appended = blas.append_gemm(plan, exchanged, (rhs, lhs), turned, eqn, note)
    assert appended, "oneDNN takes all sizes"
    why = "the product of exchanged factors, transposed"
    plan.copy(turned.transpose((1, 0)), matrix, (eqn,), why=why)


def _note(gemm: blas.Gemm, copied: Sequence[str]) -> str:
    """What was decided, in words."""
    words = [f", {gemm.count} times"] if gemm.count > 1 else [""]
    words += [f"{x} transposed" for x, t in zip("AB", gemm.transposed, strict=True) if t]
    words.append(f"{' and '.join(copied)} copied" if copied else "no copy")
    return ", ".join(words)


def _as_gemm(c: Contraction, dtype: np.dtype[Any]) -> blas.Gemm | None:
    """The contraction as BLAS takes it, or None if that takes copies."""
    if len(c.depth) > 1:
        return None
    depth = c.depth[0] if c.depth else Axis(1, (1, 1, 0))
    row = c.rows[-1] if c.rows else Axis(1, (_wide(depth, _LHS), 0, _size(c.columns)))
    column = c.columns[-1] if c.columns else Axis(1, (0, _wide(depth, _RHS), 1))
    loops = (*c.batch, *c.rows[:-1], *c.columns[:-1])
    inside = row.extent * column.extent * depth.extent
    around = len(c.rows) > 1 or len(c.columns) > 1
    if len(loops) > LOOPS or (around and inside < _WORTH_A_CALL):
        return None
    a = _leading(row, depth, _LHS)
    b = _leading(depth, column, _RHS)
    if a is None or b is None:
        return None
    (lda, ta), (ldb, tb) = a, b
    ldc = max(row.strides[_OUT], column.extent)
    stack = tuple((loop.extent, *loop.strides) for loop in loops)
    m, n, k = row.extent, column.extent, depth.extent
    return blas.Gemm(dtype, m, n, k, lda, ldb, ldc, (ta, tb), stack)


def _wide(depth: Axis, operand: int) -> int:
    """A stride for the only row or column, with which it looks contiguous along one axis."""
    return depth.extent if depth.strides[operand] == 1 else 1


def _leading(outer: Axis, inner: Axis, operand: int) -> tuple[int, bool] | None:
    """The leading dimension of a matrix, and whether it is transposed; None if it is neither."""
    s, t = outer.strides[operand], inner.strides[operand]
    if (t == 1 or inner.extent == 1) and (s >= inner.extent or outer.extent == 1):
        return max(s, inner.extent), False
    if (s == 1 or outer.extent == 1) and (t >= outer.extent or inner.extent == 1):
        return max(t, outer.extent), True
    return None


def _copied(
    plan: Planner, lhs: View, rhs: View, numbers: Numbers
) -> tuple[View, View, Numbers, list[str]]:
    """The operands as stacks of matrices, copied if they are none as they lie."""
    views: list[View] = []
    contracted: list[tuple[int, ...]] = []
    names = []
    for name, view, contract, stack in zip("AB", (lhs, rhs), *numbers, strict=True):
        free = free_axes(len(view.shape), contract, stack)
        first, last = _matrix_order(view, free, contract)
        view = view.transpose((*stack, *first, *last))
        if not _is_stack(view, len(stack), len(stack) + len(first)):
            view = plan.copied(view)
            names.append(name)
        views.append(view)
        start = len(stack) + (len(first) if last is contract else 0)
        contracted.append(tuple(range(start, start + len(contract))))
    lhs_contract, rhs_contract = contracted
    batch = tuple(range(len(numbers[1][0])))
    return views[0], views[1], ((lhs_contract, rhs_contract), (batch, batch)), names


def _matrix_order(
    view: View, free: Sequence[int], contract: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    """Both groups of axes, that of the axis along which the view is contiguous last.

    Copies in that order read and write runs of memory, and products take either one.
    """

    def reach(axes: Sequence[int]) -> int:
        return min((abs(view.strides[i]) for i in axes if view.shape[i] > 1), default=view.size)

    return (contract, free) if reach(free) < reach(contract) else (free, contract)


def _is_stack(view: View, batch: int, split: int) -> bool:
    """Whether the axes of a view before, between and behind these two make one axis each."""
    parts = (view.shape[:batch], view.shape[batch:split], view.shape[split:])
    merged = view.reshape([prod(part) for part in parts])
    if merged is None:
        return False
    outer, inner = (
        Axis(n, (s, s, 0)) for n, s in zip(merged.shape[1:], merged.strides[1:], strict=True)
    )
    return _leading(outer, inner, _LHS) is not None


# --- kernels ---------------------------------------------------------------------------------


def _append_kernel(plan: Planner, c: Contraction, working: np.dtype[Any], eqn: JaxprEqn) -> None:
    axes, kinds, vector = _nest(c)
    views = (c.lhs, c.rhs, c.out)
    strides = [tuple(a.strides[i] for a in axes) for i in range(3)]
    operands = tuple(
        Operand(v.dtype, stride_kinds(s), written=v is c.out)
        for v, s in zip(views, strides, strict=True)
    )
    lanes = _lanes(axes[vector].extent, working) if axes else 1
    kernel = _kernel(operands, kinds, vector, lanes, working)
    extents = [a.extent for a in axes]
    plan.steps.append(
        Step(
            kernel,
            views[:2],
            views[2:],
            parameters(kernel, extents, strides),
            extent=extents[0] if extents else 1,
            grain=_grain(extents, lanes, kinds[vector]) if kernel.split else 0,
            eqns=(eqn,),
            note=f"loops over {' '.join(kinds) or 'nothing'}",
        )
    )


def _nest(c: Contraction) -> tuple[list[Axis], list[str], int]:
    """The axes from the outermost loop inwards, their kinds, and which is the vector loop.

    Lanes hold columns, rows or products of a sum: whatever lies contiguous, and is long enough.
    """
    outer = [(a, "batch") for a in c.batch]
    rows, columns = [(a, "rows") for a in c.rows], [(a, "columns") for a in c.columns]
    depth = [(a, "depth") for a in c.depth]
    free = outer + rows + columns
    candidates = [x for x in reversed(free + depth) if _contiguous(x[0])] or free or depth
    if not candidates:
        return [], [], 0
    # among long axes the result's are better than sums, whose lanes must be merged in the end
    candidates.sort(key=lambda x: (-min(x[0].extent, 16), x[1] == "depth"))
    best = candidates[0]
    free = [x for x in free if x is not best] + ([best] if best[1] != "depth" else [])
    depth = [x for x in depth if x is not best] + ([best] if best[1] == "depth" else [])
    nest = free + depth
    return [a for a, _ in nest], [kind for _, kind in nest], nest.index(best)


def _contiguous(axis: Axis) -> bool:
    return all(s in (0, 1) for s in axis.strides)


def _lanes(extent: int, dtype: np.dtype[Any]) -> int:
    """A power of two: four vectors of 64 bytes, or what a short axis fills."""
    lanes = 2
    while lanes < extent and lanes * dtype.itemsize < 256:
        lanes *= 2
    return lanes


def _grain(extents: Sequence[int], lanes: int, kind: str) -> int:
    """The least number of indices of the first axis that is worth a thread.

    It grows with the lanes, since what is done to an element is a multiply-add. Measured in a loop
    whose threads are awake, a vector times a matrix of float32 gains from a second thread beyond
    130,000 elements; beyond half as many if lanes are to be summed up.
    """
    times = min(lanes, _MOST_LANES) // (32 if kind == "depth" else 16)
    return max(times, 1) * grain(extents)


def _kernel(
    operands: tuple[Operand, ...],
    kinds: Sequence[str],
    vector: int,
    lanes: int,
    working: np.dtype[Any],
) -> Kernel:
    """The loops; those over depth carry the sum."""
    build = Builder()
    multiply, add = ("and", "or") if working == np.bool_ else ("mul", "add")
    zero = build.const(0, working)

    def term(number: int) -> Value:
        return _as(build, build.load(number, operands[number].dtype), working)

    def total(axis: int, start: Value) -> Value:
        """`start` and the sum over the axes from this one on."""
        if axis == len(kinds):
            x, y = term(_LHS), term(_RHS)
            if dtypes.is_inexact(working):
                return build.let("fma", x, y, start)
            return build.let(add, start, build.let(multiply, x, y))
        if axis == vector:  # its lanes start at a neutral value
            with build.loop(axis, lanes) as loop:
                loop.next(total(axis + 1, *loop.carry(add, zero)))
            return build.let(add, start, *loop.results)
        with build.loop(axis) as loop:
            loop.next(total(axis + 1, *loop.carry(add, start)))
        return loop.results[0]

    def nest(axis: int) -> None:
        if axis < len(kinds) and kinds[axis] != "depth":
            with build.loop(axis, lanes if axis == vector else 1):
                nest(axis + 1)
            return
        product = axis == len(kinds)  # nothing to sum up
        value = build.let(multiply, term(_LHS), term(_RHS)) if product else total(axis, zero)
        build.store(_OUT, _as(build, value, operands[_OUT].dtype))

    nest(0)
    split = bool(kinds) and kinds[0] != "depth"
    return Kernel(len(kinds), operands, (), build.body, split=split)


def _as(build: Builder, value: Value, dtype: np.dtype[Any]) -> Value:
    return value if value.dtype == dtype else build.let("convert", value, dtype=dtype)


# --- conversions -----------------------------------------------------------------------------


def _converted(plan: Planner, view: View, dtype: np.dtype[Any], eqn: JaxprEqn) -> View:
    """The view in another dtype, its axes in memory as they were if nothing lies between."""
    if view.dtype == dtype:
        return view
    order = sorted(range(len(view.shape)), key=lambda i: -view.strides[i])
    source = plan.dense(view.transpose(order))
    target = plan.temporary(source.shape, dtype)
    _append_conversion(plan, source, target, eqn)
    return target.transpose([order.index(i) for i in range(len(order))])


def _append_conversion(plan: Planner, source: View, target: View, eqn: JaxprEqn) -> None:
    """A step that converts all elements of a dense view."""
    build = Builder()
    with build.loop(0, lanes=16):
        build.store(1, _as(build, build.load(0, source.dtype), target.dtype))
    operands = (Operand(source.dtype, (UNIT,)), Operand(target.dtype, (UNIT,), written=True))
    kernel = Kernel(1, operands, (), build.body, split=True)
    plan.steps.append(
        Step(
            kernel,
            (source,),
            (target,),
            (source.size,),
            extent=source.size,
            grain=grain([source.size]),
            eqns=(eqn,),
            note=f"{source.dtype.name} to {target.dtype.name}",
        )
    )


LOWERINGS: dict[Primitive, Lowering] = {dot_general_p: lower_dot_general}
