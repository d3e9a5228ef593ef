"""The legality of loop-nest kernels: the rules stated in `loop_ir`, one function each.

A kernel that breaks a rule is a bug of the compiler, never of its user. Compilation does not check
its kernels; tests do, after every stage that makes or changes them.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from funcflow.backends.loop_ir import (
    FIXED,
    INDEX,
    MERGES,
    Guard,
    Kernel,
    Let,
    Load,
    Loop,
    Reduction,
    Statement,
    Store,
    Value,
    While,
    statements,
)
from funcflow.core import dtypes

Loops: TypeAlias = tuple[Loop, ...]
Problems: TypeAlias = Iterator[str]
BOOL = np.dtype(np.bool_)


class KernelError(AssertionError):
    """A kernel breaks a rule."""


def check_kernel(kernel: Kernel) -> None:
    """Check a kernel.

    Raises:
        KernelError: a rule is broken; the message tells which one, and by which statement.
    """
    for rule in _KERNEL_RULES:
        for problem in rule(kernel):
            raise KernelError(f"illegal kernel: {problem}")
    _Walk(kernel).region(kernel.body, (), set())


class _Walk:
    """A walk over the statements with the values that each can see."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._names: dict[Value, str] = {}

    def region(self, body: tuple[Statement, ...], loops: Loops, seen: set[Value]) -> None:
        """Check a body; `seen` grows by what it defines."""
        for s in body:
            self._use(s, _arguments(s), seen)
            for rule in _RULES:
                for problem in rule(self._kernel, s, loops):
                    self._fail(s, problem)
            if isinstance(s, Loop):
                inner = set(seen)
                for r in s.reductions:
                    self._define(s, r.inside, inner)
                self.region(s.body, (*loops, s), inner)
                for r in s.reductions:
                    self._use(s, r.nexts, inner)
                    self._define(s, r.results, seen)
            elif isinstance(s, Guard):
                inner = set(seen)
                self.region(s.body, loops, inner)
                self._use(s, s.values, inner)
                self._define(s, s.results, seen)
            elif isinstance(s, While):
                inside = set(seen)
                self._define(s, s.inside, inside)
                tested = set(inside)
                self.region(s.test, loops, tested)
                self._use(s, (s.goes_on,), tested)
                self.region(s.body, loops, inside)
                self._use(s, s.nexts, inside)
                self._define(s, s.results, seen)
            elif not isinstance(s, Store):
                self._define(s, (s.out,), seen)

    def _use(self, s: Statement, values: tuple[Value, ...], seen: set[Value]) -> None:
        for v in values:
            if v not in seen:
                known = "outside its region" if v in self._names else "before it is defined"
                self._fail(s, f"{self._names.get(v, 'a value')} ({v.dtype}) is used {known}")

    def _define(self, s: Statement, values: tuple[Value, ...], seen: set[Value]) -> None:
        for v in values:
            if v in self._names:
                self._fail(s, f"{self._names[v]} is defined twice")
            self._names[v] = f"v{len(self._names)}"
            seen.add(v)

    def _fail(self, s: Statement, problem: str) -> None:
        raise KernelError(f"illegal kernel: {self._words(s)}: {problem}")

    def _words(self, s: Statement) -> str:
        """A statement with the names that its values have in the kernel's text."""
        arguments = ", ".join(self._names.get(v, "?") for v in _arguments(s))
        if isinstance(s, Let):
            return f"the operation {s.op}({arguments}) of dtype {s.out.dtype}"
        if isinstance(s, Loop):
            merges = "".join(f", merged by {r.merge}" for r in s.reductions)
            return f"the loop over axis {s.axis} by {s.lanes}{merges}"
        if isinstance(s, Guard):
            return f"the guard of {arguments}"
        if isinstance(s, While):
            return f"the while of {arguments}"
        action = "load from" if isinstance(s, Load) else "store to"
        return f"the {action} operand {s.operand}" + (f" with {arguments}" if arguments else "")


def _arguments(s: Statement) -> tuple[Value, ...]:
    """The values that a statement takes from around it."""
    if isinstance(s, Let):
        return s.args
    if isinstance(s, Loop):
        return tuple(v for r in s.reductions for v in r.starts)
    if isinstance(s, Guard):
        return (s.mask, *s.others)
    if isinstance(s, While):
        return s.starts
    stored = (s.value,) if isinstance(s, Store) else ()
    return stored + tuple(v for v in (s.offset, s.mask) if v is not None)


# --- rules of the whole kernel ----------------------------------------------------------------


def _one_stride_for_each_axis(kernel: Kernel) -> Problems:
    for number, operand in enumerate(kernel.operands):
        if len(operand.strides) != kernel.axes:
            yield f"operand {number} has {len(operand.strides)} strides for {kernel.axes} axes"


def _written_operands_come_last(kernel: Kernel) -> Problems:
    flags = [operand.written for operand in kernel.operands]
    if flags != sorted(flags):
        yield "an operand that is written comes before one that is not"


def _split_loop_is_outermost(kernel: Kernel) -> Problems:
    if not kernel.split:
        return
    outermost = [s for s in kernel.body if isinstance(s, Loop)]
    if not outermost or any(loop.axis != 0 for loop in outermost):
        yield "it is split, but the outermost loop is not over axis 0"
    if any(loop.reductions for loop in outermost):
        yield "it is split, but the loop over axis 0 carries values"
    if any(isinstance(s, Store) for s in kernel.body):
        yield "it is split, but stores outside the loop over axis 0"


def _blocks_have_elements(kernel: Kernel) -> Problems:
    if kernel.ragged and kernel.axes < 2:
        yield f"it is ragged, but has {kernel.axes} axes"


_KERNEL_RULES: tuple[Callable[[Kernel], Problems], ...] = (
    _one_stride_for_each_axis,
    _written_operands_come_last,
    _split_loop_is_outermost,
    _blocks_have_elements,
)

# --- rules of loops ---------------------------------------------------------------------------


def _no_axis_twice(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Loop):
        if s.axis not in range(kernel.axes):
            yield f"the kernel has {kernel.axes} axes"
        if any(loop.axis == s.axis for loop in loops):
            yield "a loop around it runs over the same axis"


def _elements_inside_blocks(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if kernel.ragged and isinstance(s, Loop) and s.axis == 1 and not _over(loops, 0):
        yield "axis 1 of a ragged kernel needs a loop over axis 0 around it"


def _blocks_one_by_one(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if kernel.ragged and isinstance(s, Loop) and s.axis == 0 and s.lanes > 1:
        yield "the lanes would run over blocks of different lengths"


def _lanes_are_a_power_of_two(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Loop) and (s.lanes < 1 or s.lanes & (s.lanes - 1)):
        yield "the number of lanes is not a power of two"


def _one_vector_loop(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Loop) and s.lanes > 1 and any(loop.lanes > 1 for loop in loops):
        yield "a loop around it is a vector loop, too"


def _no_recurrence_in_lanes(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Loop) and s.lanes > 1 and any(r.merge == "sequence" for r in s.reductions):
        yield "a vector loop carries a sequence"


def _carried_values_keep_their_types(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    for r in s.reductions if isinstance(s, Loop) else ():
        kinds = [[v.dtype for v in values] for values in (r.starts, r.inside, r.nexts, r.results)]
        if not all(kind == kinds[0] for kind in kinds):
            yield "the carried values change their number or their dtypes"


def _merges_take_their_dtypes(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    for r in s.reductions if isinstance(s, Loop) else ():
        if r.merge not in MERGES:
            yield f"there is no merge called {r.merge!r}"
        elif not _mergeable(r):
            dtypes_ = ", ".join(str(v.dtype) for v in r.starts)
            yield f"{r.merge} does not merge ({dtypes_})"


def _mergeable(r: Reduction) -> bool:
    types = [v.dtype for v in r.starts]
    if r.merge in ("argmax", "argmin"):
        return len(types) == 2 and _is_real(types[0]) and _is_integer(types[1])
    if r.merge in ("and", "or", "xor"):
        return all(_is_bits(t) for t in types)
    return r.merge == "sequence" or all(_is_real(t) for t in types)


def _over(loops: Loops, axis: int) -> bool:
    return any(loop.axis == axis for loop in loops)


# --- rules of guards and whiles -----------------------------------------------------------------


def _guards_only_compute(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Guard):
        if not all(isinstance(inner, Let | Guard | While) for inner in s.body):
            yield "its body has more than operations, guards and whiles"
        if any(isinstance(inner, Load | Store) for inner in statements(s.body)):
            yield "a while in its body accesses operands"


def _whiles_are_without_loops(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, While):
        inside = [*statements(s.test), *statements(s.body)]
        if any(isinstance(inner, Loop) for inner in inside):
            yield "it has a loop over an axis inside"
        if any(isinstance(inner, Store) for inner in statements(s.test)):
            yield "it stores in its test"


def _whiles_keep_their_types(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, While):
        if s.goes_on.dtype != BOOL:
            yield f"the test is of {s.goes_on.dtype}"
        kinds = [[v.dtype for v in values] for values in (s.starts, s.inside, s.nexts, s.results)]
        if not all(kind == kinds[0] for kind in kinds):
            yield "the carried values change their number or their dtypes"


def _guards_choose_between_alike(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Guard):
        if s.mask.dtype != BOOL:
            yield f"the mask is of {s.mask.dtype}"
        kinds = [[v.dtype for v in values] for values in (s.values, s.others, s.results)]
        if not all(kind == kinds[0] for kind in kinds):
            yield "values, others and results differ in their number or their dtypes"


# --- rules of accesses ------------------------------------------------------------------------


def _operands_exist(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Load | Store) and s.operand not in range(len(kernel.operands)):
        yield f"the kernel has {len(kernel.operands)} operands"


def _touched_inside_its_loops(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Load | Store):
        for axis, stride in enumerate(kernel.operands[s.operand].strides):
            if stride != FIXED and not _over(loops, axis):
                yield f"the operand has a stride for axis {axis}, but no loop around runs over it"


def _stored_by_one_iteration(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Store) and s.offset is None:
        for loop in loops:
            if kernel.operands[s.operand].strides[loop.axis] == FIXED:
                yield f"the loop over axis {loop.axis} would store to one place again and again"


def _accesses_have_the_operands_dtype(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Load | Store):
        dtype = s.out.dtype if isinstance(s, Load) else s.value.dtype
        if dtype != kernel.operands[s.operand].dtype:
            yield f"{dtype} is not the operand's dtype, {kernel.operands[s.operand].dtype}"


def _only_outputs_are_written(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Store) and not kernel.operands[s.operand].written:
        yield "the operand is not written"


def _offsets_are_indices_and_masks_bools(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Load | Store):
        if s.offset is not None and s.offset.dtype != INDEX:
            yield f"the offset is of {s.offset.dtype}"
        if s.mask is not None and s.mask.dtype != BOOL:
            yield f"the mask is of {s.mask.dtype}"


# --- rules of operations ----------------------------------------------------------------------


def _is_integer(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu"


def _is_bits(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biu"


def _is_number(dtype: np.dtype[Any]) -> bool:
    return _is_integer(dtype) or dtypes.is_float(dtype)


def _is_real(dtype: np.dtype[Any]) -> bool:
    return dtype == BOOL or _is_number(dtype)


# Of each operation: how many arguments it has, which dtypes they are of, and whether the result
# has their dtype ("same"), is a bool, or has any dtype of that kind. Sums, products, maxima and
# minima of bools are "or" and "and", as in NumPy.
_SIGNATURES: dict[str, tuple[int, Callable[[Any], bool], str]] = {
    **dict.fromkeys(["sub", "div", "rem"], (2, _is_number, "same")),
    **dict.fromkeys(["add", "mul", "max", "min", "fast_max", "fast_min"], (2, _is_real, "same")),
    **dict.fromkeys(["neg", "abs"], (1, _is_number, "same")),
    **dict.fromkeys(["sqrt", "floor", "ceil", "trunc", "rint"], (1, dtypes.is_float, "same")),
    "copysign": (2, dtypes.is_float, "same"),
    "fma": (3, dtypes.is_float, "same"),
    **dict.fromkeys(["and", "or", "xor"], (2, _is_bits, "same")),
    "not": (1, _is_bits, "same"),
    "shift_left": (2, _is_integer, "same"),
    "shift_right_arithmetic": (2, _is_integer, "same"),
    "shift_right_logical": (2, _is_integer, "same"),
    **dict.fromkeys(["population_count", "clz"], (1, _is_integer, "same")),
    **dict.fromkeys(["eq", "ne", "lt", "le", "gt", "ge"], (2, _is_real, "bool")),
    "convert": (1, _is_real, "any"),
    "bitcast": (1, _is_number, "any"),
}


def _operations_take_their_dtypes(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if not isinstance(s, Let) or s.op not in _SIGNATURES:
        return
    count, takes, gives = _SIGNATURES[s.op]
    types = [v.dtype for v in s.args]
    if len(types) != count:
        yield f"it takes {count} arguments"
    elif len(set(types)) != 1:
        yield f"its arguments are of {', '.join(map(str, types))}"
    elif not takes(types[0]):
        yield f"it does not take {types[0]}"
    elif gives == "any" and not takes(s.out.dtype):
        yield f"it does not give {s.out.dtype}"
    elif gives != "any" and s.out.dtype != (BOOL if gives == "bool" else types[0]):
        yield f"it does not give {s.out.dtype} of {types[0]}"


def _bitcasts_keep_the_size(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if not isinstance(s, Let) or s.op != "bitcast":
        return
    if s.args[0].dtype.itemsize != s.out.dtype.itemsize:
        yield f"{s.args[0].dtype} has another size"


def _select_takes_a_bool_and_two_alike(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if not isinstance(s, Let) or s.op != "select":
        return
    if [v.dtype for v in s.args] != [BOOL, s.out.dtype, s.out.dtype]:
        yield f"its arguments are of {', '.join(str(v.dtype) for v in s.args)}"


def _constants_have_their_dtype(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if not isinstance(s, Let) or s.op != "const":
        return
    if getattr(s.params.get("value"), "dtype", None) != s.out.dtype:
        yield f"the number {s.params.get('value')!r} has another dtype"


def _scalars_are_parameters(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Let) and s.op == "scalar":
        number = s.params["number"]
        if number not in range(len(kernel.scalars)):
            yield f"there is no scalar {number}"
        elif kernel.scalars[number] != s.out.dtype:
            yield f"scalar {number} is of {kernel.scalars[number]}"


def _indices_are_of_loops_around(kernel: Kernel, s: Statement, loops: Loops) -> Problems:
    if isinstance(s, Let) and s.op == "index":
        axis = s.params.get("axis")
        if not any(loop.axis == axis for loop in loops):
            yield f"no loop around it runs over axis {axis}"
        if s.out.dtype != INDEX:
            yield "an index is an int64"


# The rules of one statement, in this order: an earlier one may be what a later one relies on.
_RULES: tuple[Callable[[Kernel, Statement, Loops], Problems], ...] = (
    _no_axis_twice,
    _elements_inside_blocks,
    _blocks_one_by_one,
    _lanes_are_a_power_of_two,
    _one_vector_loop,
    _no_recurrence_in_lanes,
    _carried_values_keep_their_types,
    _merges_take_their_dtypes,
    _guards_only_compute,
    _whiles_are_without_loops,
    _whiles_keep_their_types,
    _guards_choose_between_alike,
    _operands_exist,
    _touched_inside_its_loops,
    _stored_by_one_iteration,
    _accesses_have_the_operands_dtype,
    _only_outputs_are_written,
    _offsets_are_indices_and_masks_bools,
    _operations_take_their_dtypes,
    _bitcasts_keep_the_size,
    _select_takes_a_bool_and_two_alike,
    _constants_have_their_dtype,
    _scalars_are_parameters,
    _indices_are_of_loops_around,
)
