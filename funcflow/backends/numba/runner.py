"""The native runner: a program's steps in one native call.

A `StepTable` holds the records of all steps in one block of int64. A call hands over the tuples of
argument and output arrays as they are; native code reads each array's address from the object
itself (see `interpreter`), puts the addresses of arguments, outputs, arena and constants into a
table, and runs step after step. A record names a step's buffers by slot of that
table and byte offset.

The functions that steps are:

    void kernel(char **buffers, const int64 *params, int64 lo, int64 hi)
    void library_step(char **buffers, const int64 *params)

A kernel that may be split runs in parts of its axis 0, one for each thread. A loop, which is a
library step itself, runs a table of steps as its body: by `execute_body`, or, if each thread runs
the loop for some blocks of rows (`passes/row_blocks`), by `execute_block`. Both have the signature

    void execute(char **slots, const int64 *table, int64 block)
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from string import Template
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.numba import direct, interpreter, placement, runtime, subnormals, threads
from funcflow.backends.numba.interpreter import Layout

# A record's grain, where it is not the least number of indices that is worth a thread.
WHOLE = 0  # a kernel that is not split
LIBRARY = -1  # a library step

# The int64 words of a table: how many steps, how many buffers the one with most has, the address of
# `threads.State`, the numbers of arguments, outputs, constants and slots, the addresses of the
# constants' addresses and of `interpreter.Interface`, the bits to set in the control word of the
# processor (`subnormals`); then the records.
_HEADER = 10
# A record: function, number of buffers, address of the references (pairs of slot and byte offset),
# address of the parameters, extent of axis 0, grain.
_RECORD = 6


class Record(NamedTuple):
    """One step.

    Attributes:
        function: the address of its native code.
        buffers: (slot, byte offset) of each.
        params: what the function gets as parameters.
        extent: a kernel's extent of axis 0.
        grain: the least number of indices of axis 0 that is worth a thread, or WHOLE or LIBRARY.
        keep: what must live as long as the step, such as the `Library` of its function.
    """

    function: int
    buffers: tuple[tuple[int, int], ...]
    params: Sequence[int] = ()
    extent: int = 1
    grain: int = WHOLE
    keep: Any = None


class StepTable:
    """Steps that are ready to run, by any number of threads at once.

    The slots of the table are the arguments, the outputs, the arena, and the constants, in this
    order.

    Args:
        arguments: how many arrays a call gets.
        outputs: how many arrays it fills.
        constants: C-contiguous arrays that are the same in each call.
        records: the steps, in order.
        flush: whether subnormal numbers count as zeros.
    """

    def __init__(
        self,
        arguments: int,
        outputs: int,
        constants: Sequence[np.ndarray],
        records: Sequence[Record],
        flush: bool = False,
    ) -> None:
        self._keep = (tuple(constants), tuple(records))
        self._shape = (arguments, outputs)
        self._block = _pack(arguments, outputs, constants, records, flush)
        self.address = self._block.ctypes.data
        self._native = native()
        self._run = self._native.run(self._block) if self._native.run else None
        if any(record.grain > 0 and record.extent >= 2 * record.grain for record in records):
            threads.start()

    def run(
        self,
        arguments: tuple[np.ndarray, ...],
        outputs: tuple[np.ndarray, ...],
        arena: np.ndarray | None = None,
    ) -> None:
        """Run the steps.

        Args:
            arguments: arrays of the expected dtypes and shapes; those that are not contiguous are
                copied.
            outputs: C-contiguous arrays to be filled.
            arena: memory for temporaries.
        """
        if self._run is None:
            self._run_slowly(arguments, outputs, arena)
        elif not self._run(arguments, outputs, arena):
            arguments = tuple(np.require(a, requirements=["C", "A", "E"]) for a in arguments)
            self._run_slowly(arguments, outputs, arena)

    def guarded(self, arguments: Sequence[Any]) -> Callable[..., bool] | None:
        """What runs the steps if the arguments are like these, and says whether it did.

        It takes what `run` takes, all three. The arguments may be `Array`s. They are alike if
        types, dtypes and shapes are the same. None if there is no way to look into them. The table
        and the arguments' dtypes must live as long as it does.
        """
        guard = direct.guard(self.address, arguments)
        make = self._native.direct
        return None if guard is None or make is None else make(guard)

    def _run_slowly(
        self,
        arguments: tuple[np.ndarray, ...],
        outputs: tuple[np.ndarray, ...],
        arena: np.ndarray | None,
    ) -> None:
        """Without a look into objects, for other interpreters and for subclasses of arrays."""
        memory = 0 if arena is None else _address(arena)
        slots = [_address(a) for a in (*arguments, *outputs)]
        table = np.array([*slots, memory, *map(_address, self._keep[0])], np.int64)
        self._native.execute(_address(table), self.address)


class Native(NamedTuple):
    """The runner's entry points."""

    # Makes of a table's block what runs it, (arguments, outputs, arena) -> whether it could look
    # into the objects. None on interpreters whose objects lie otherwise.
    run: Callable[[np.ndarray], Callable[..., bool]] | None
    # The same of a guard, see `direct`.
    direct: Callable[[np.ndarray], Callable[..., bool]] | None
    execute: Any  # (address of slots, table's address)
    # The addresses of what runs a body: all of it, or one block of rows.
    execute_body: int
    execute_block: int


@cache
def native() -> Native:
    """The runner, compiled or loaded at its first use."""
    layout = interpreter.layout()
    text = source(layout or Layout(0, 0))
    library = runtime.load_object(runtime.object_code(text, lambda: text))
    run = interpreter.builtin_maker("run", library.address("call")) if layout else None
    guarded = interpreter.builtin_maker("direct", library.address("direct")) if layout else None
    word = ctypes.c_ssize_t
    execute = ctypes.CFUNCTYPE(None, word, word)(library.address("execute"))
    _libraries.append(library)
    bodies = library.address("execute_body"), library.address("execute_block")
    return Native(run, guarded, execute, *bodies)


_libraries: list[runtime.Library] = []


def _address(array: np.ndarray) -> int:
    return array.ctypes.data


# --- packing --------------------------------------------------------------------------------


def _pack(
    arguments: int,
    outputs: int,
    constants: Sequence[np.ndarray],
    records: Sequence[Record],
    flush: bool,
) -> np.ndarray:
    """The block: header, records, and behind them what they point to."""
    behind = _HEADER + _RECORD * len(records)
    words = behind + len(constants)
    words += sum(2 * len(record.buffers) + len(record.params) for record in records)
    block = np.empty(words, np.int64)
    base = block.ctypes.data
    tail = [_address(constant) for constant in constants]

    def place(values: Any) -> int:
        address = base + 8 * (behind + len(tail))
        tail.extend(values)
        return address

    slots = arguments + outputs + 1 + len(constants)
    widest = max((len(record.buffers) for record in records), default=0)
    head = [len(records), widest, threads.state_address()]
    head += [arguments, outputs, len(constants), slots, base + 8 * behind]
    head += [ctypes.addressof(interpreter.interface()), subnormals.BITS if flush else 0]
    for record in records:
        references = place(word for reference in record.buffers for word in reference)
        head += [record.function, len(record.buffers), references, place(record.params)]
        head += [record.extent, record.grain]
    block[:] = head + tail
    return block


# --- the native code ------------------------------------------------------------------------


def source(layout: Layout) -> str:
    """LLVM IR of the runner, for objects of a layout."""
    offsets = {
        "type": layout.type,
        "data": layout.fields,
        "ndim": layout.ndim,
        "shape": layout.shape,
        "dtype": layout.dtype,
        "flags": layout.flags,
        "size": layout.size,
        "items": layout.items,
    }
    return _SOURCE.substitute(
        offsets,
        required=interpreter.FLAGS,
        header=_HEADER,
        record=_RECORD,
        placement=placement.CODE,
        subnormals=subnormals.CODE,
        direct=Template(direct.CODE).substitute(offsets),
    )


# In `execute`, a kernel is split among n threads only if each gets `grain` indices. Long parts are
# rounded up to multiples of 64 indices, so that only the last one ends within a vector.
_SOURCE = Template("""
; The builtin function: its own object is the block of the table, the arguments are those of `run`.
define ptr @call(ptr %block, ptr %args, i64 %count) nounwind {
entry:
  %steps.at = getelementptr i8, ptr %block, i64 $data
  %steps = load ptr, ptr %steps.at
  %interface.at = getelementptr i64, ptr %steps, i64 8
  %interface = load ptr, ptr %interface.at
  %array.at = getelementptr ptr, ptr %interface, i64 5
  %array = load ptr, ptr %array.at
  %arguments = load ptr, ptr %args
  %outputs.at = getelementptr ptr, ptr %args, i64 1
  %outputs = load ptr, ptr %outputs.at
  %arena.at = getelementptr ptr, ptr %args, i64 2
  %arena.object = load ptr, ptr %arena.at
  %arena = call ptr @data.of(ptr %arena.object, ptr %array)
  %release = load ptr, ptr %interface
  %take.at = getelementptr ptr, ptr %interface, i64 1
  %take.lock = load ptr, ptr %take.at
  %refer.at = getelementptr ptr, ptr %interface, i64 2
  %refer = load ptr, ptr %refer.at
  %items = getelementptr i8, ptr %arguments, i64 $items
  %output.items = getelementptr i8, ptr %outputs, i64 $items
  %thread = call ptr %release()
  %refused = call i64 @run(ptr %steps, ptr %items, ptr %output.items, ptr %arena, ptr %array)
  call void %take.lock(ptr %thread)
  %place = add i64 %refused, 3
  %answer.at = getelementptr ptr, ptr %interface, i64 %place
  %answer = load ptr, ptr %answer.at
  call void %refer(ptr %answer)
  ret ptr %answer
}

; Where an array's data are; null of what is no array, such as None.
define internal ptr @data.of(ptr %object, ptr %array) nounwind {
entry:
  %type.at = getelementptr i8, ptr %object, i64 $type
  %type.is = load ptr, ptr %type.at
  %is.array = icmp eq ptr %type.is, %array
  br i1 %is.array, label %take, label %none
take:
  %data.at = getelementptr i8, ptr %object, i64 $data
  %data = load ptr, ptr %data.at
  ret ptr %data
none:
  ret ptr null
}

; Runs a table. Not 0 if an object is not as it was expected, and nothing ran.
define internal i64 @run(ptr %steps, ptr %arguments, ptr %outputs, ptr %arena,
                            ptr %type) nounwind {
entry:
  %narguments.at = getelementptr i64, ptr %steps, i64 3
  %narguments = load i64, ptr %narguments.at
  %noutputs.at = getelementptr i64, ptr %steps, i64 4
  %noutputs = load i64, ptr %noutputs.at
  %nconstants.at = getelementptr i64, ptr %steps, i64 5
  %nconstants = load i64, ptr %nconstants.at
  %slots.at = getelementptr i64, ptr %steps, i64 6
  %slots = load i64, ptr %slots.at
  %constants.at = getelementptr i64, ptr %steps, i64 7
  %constants = load ptr, ptr %constants.at
  %table = alloca ptr, i64 %slots
  %refused = call i64 @prepare(ptr %arguments, i64 %narguments, ptr %type, ptr %table)
  %accepted = icmp eq i64 %refused, 0
  br i1 %accepted, label %more, label %refuse
more:
  %table.outputs = getelementptr ptr, ptr %table, i64 %narguments
  %refused.outputs = call i64 @prepare(ptr %outputs, i64 %noutputs, ptr %type,
                                        ptr %table.outputs)
  %accepted.outputs = icmp eq i64 %refused.outputs, 0
  br i1 %accepted.outputs, label %rest, label %refuse
rest:
  %table.arena = getelementptr ptr, ptr %table.outputs, i64 %noutputs
  store ptr %arena, ptr %table.arena
  %table.constants = getelementptr ptr, ptr %table.arena, i64 1
  br label %constant
constant:
  %i = phi i64 [0, %rest], [%i.next, %constant.copy]
  %some = icmp slt i64 %i, %nconstants
  br i1 %some, label %constant.copy, label %go
constant.copy:
  %from = getelementptr ptr, ptr %constants, i64 %i
  %constant.address = load ptr, ptr %from
  %to = getelementptr ptr, ptr %table.constants, i64 %i
  store ptr %constant.address, ptr %to
  %i.next = add i64 %i, 1
  br label %constant
go:
  call void @execute(ptr %table, ptr %steps)
  ret i64 0
refuse:
  ret i64 1
}

; Puts the data addresses of arrays into a table. Not 0 if one is no array as kernels
; expect them: contiguous, aligned, and of no subclass.
define internal i64 @prepare(ptr %items, i64 %count, ptr %type, ptr %table) nounwind {
entry:
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %store]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %look, label %done
look:
  %item = getelementptr ptr, ptr %items, i64 %i
  %array = load ptr, ptr %item
  %type.at = getelementptr i8, ptr %array, i64 $type
  %type.is = load ptr, ptr %type.at
  %is.array = icmp eq ptr %type.is, %type
  br i1 %is.array, label %check, label %refuse
check:
  %flags.at = getelementptr i8, ptr %array, i64 $flags
  %flags = load i32, ptr %flags.at
  %set = and i32 %flags, $required
  %good = icmp eq i32 %set, $required
  br i1 %good, label %store, label %refuse
store:
  %data.at = getelementptr i8, ptr %array, i64 $data
  %data = load ptr, ptr %data.at
  %slot = getelementptr ptr, ptr %table, i64 %i
  store ptr %data, ptr %slot
  %i.next = add i64 %i, 1
  br label %next
done:
  ret i64 0
refuse:
  ret i64 1
}

define void @execute(ptr %table, ptr %steps) nounwind {
entry:
  %bits.at = getelementptr i64, ptr %steps, i64 9
  %bits = load i64, ptr %bits.at
  %plain = icmp eq i64 %bits, 0
  br i1 %plain, label %go, label %flush
go:
  call void @execute_steps(ptr %table, ptr %steps)
  ret void
flush:
  %control = call i64 @control()
  %flushing = or i64 %control, %bits
  call void @set_control(i64 %flushing)
  call void @execute_steps(ptr %table, ptr %steps)
  call void @set_control(i64 %control)
  ret void
}

define internal void @execute_steps(ptr %table, ptr %steps) nounwind {
entry:
  %count = load i64, ptr %steps
  %widest.at = getelementptr i64, ptr %steps, i64 1
  %widest = load i64, ptr %widest.at
  %state.at = getelementptr i64, ptr %steps, i64 2
  %state = load ptr, ptr %state.at
  %records = getelementptr i64, ptr %steps, i64 $header
  %buffers = alloca ptr, i64 %widest
  br label %next
next:
  %n = phi i64 [0, %entry], [%n.next, %end]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %step, label %done
step:
  %record = getelementptr [$record x i64], ptr %records, i64 %n
  %function = load ptr, ptr %record
  %params.at = getelementptr i64, ptr %record, i64 3
  %params = load ptr, ptr %params.at
  %extent.at = getelementptr i64, ptr %record, i64 4
  %extent = load i64, ptr %extent.at
  %grain.at = getelementptr i64, ptr %record, i64 5
  %grain = load i64, ptr %grain.at
  call void @gather(ptr %record, ptr %table, ptr %buffers)
  %is.library = icmp slt i64 %grain, 0
  br i1 %is.library, label %library, label %kernel
library:
  call void %function(ptr %buffers, ptr %params)
  br label %end
kernel:
  %may.split = icmp sgt i64 %grain, 0
  br i1 %may.split, label %measure, label %whole
measure:
  %parts = sdiv i64 %extent, %grain
  %threads = load i64, ptr %state
  %chunks = call i64 @llvm.smin.i64(i64 %parts, i64 %threads)
  %worth = icmp sgt i64 %chunks, 1
  br i1 %worth, label %acquire, label %whole
acquire:
  %busy = getelementptr i64, ptr %state, i64 2
  %seen = cmpxchg ptr %busy, i64 0, i64 1 acquire monotonic
  %free = extractvalue {i64, i1} %seen, 1
  br i1 %free, label %split, label %whole
split:
  %chunks.less = sub i64 %chunks, 1
  %extent.up = add i64 %extent, %chunks.less
  %size.even = sdiv i64 %extent.up, %chunks
  %size.up = add i64 %size.even, 63
  %size.round = and i64 %size.up, -64
  %is.long = icmp sge i64 %size.even, 256
  %size = select i1 %is.long, i64 %size.round, i64 %size.even
  call void @launch(ptr %function, ptr %buffers, ptr %params, i64 %extent, i64 %size,
                    ptr %state, i64 %threads)
  store atomic i64 0, ptr %busy release, align 8
  br label %end
whole:
  call void %function(ptr %buffers, ptr %params, i64 0, i64 %extent)
  br label %end
end:
  %n.next = add i64 %n, 1
  br label %next
done:
  ret void
}

; Runs a table as the body of a loop.
define void @execute_body(ptr %table, ptr %steps, i64 %block) nounwind {
  call void @execute(ptr %table, ptr %steps)
  ret void
}

; The same for one block of rows, in this thread: of each step, `grain` indices of axis 0.
define void @execute_block(ptr %table, ptr %steps, i64 %block) nounwind {
entry:
  %count = load i64, ptr %steps
  %widest.at = getelementptr i64, ptr %steps, i64 1
  %widest = load i64, ptr %widest.at
  %records = getelementptr i64, ptr %steps, i64 $header
  %buffers = alloca ptr, i64 %widest
  br label %next
next:
  %n = phi i64 [0, %entry], [%n.next, %step]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %step, label %done
step:
  %record = getelementptr [$record x i64], ptr %records, i64 %n
  %function = load ptr, ptr %record
  %params.at = getelementptr i64, ptr %record, i64 3
  %params = load ptr, ptr %params.at
  %extent.at = getelementptr i64, ptr %record, i64 4
  %extent = load i64, ptr %extent.at
  %grain.at = getelementptr i64, ptr %record, i64 5
  %grain = load i64, ptr %grain.at
  call void @gather(ptr %record, ptr %table, ptr %buffers)
  %lo = mul i64 %block, %grain
  %end = add i64 %lo, %grain
  %hi = call i64 @llvm.smin.i64(i64 %end, i64 %extent)
  call void %function(ptr %buffers, ptr %params, i64 %lo, i64 %hi)
  %n.next = add i64 %n, 1
  br label %next
done:
  ret void
}

; Finds the addresses of a step's buffers.
define internal void @gather(ptr %record, ptr %table, ptr %buffers) nounwind {
entry:
  %width.at = getelementptr i64, ptr %record, i64 1
  %width = load i64, ptr %width.at
  %references.at = getelementptr i64, ptr %record, i64 2
  %references = load ptr, ptr %references.at
  br label %next
next:
  %b = phi i64 [0, %entry], [%b.next, %buffer]
  %more = icmp slt i64 %b, %width
  br i1 %more, label %buffer, label %done
buffer:
  %reference = getelementptr [2 x i64], ptr %references, i64 %b
  %slot = load i64, ptr %reference
  %offset.at = getelementptr i64, ptr %reference, i64 1
  %offset = load i64, ptr %offset.at
  %base.at = getelementptr ptr, ptr %table, i64 %slot
  %base = load ptr, ptr %base.at
  %pointer = getelementptr i8, ptr %base, i64 %offset
  %buffer.at = getelementptr ptr, ptr %buffers, i64 %b
  store ptr %pointer, ptr %buffer.at
  %b.next = add i64 %b, 1
  br label %next
done:
  ret void
}

; Runs `task` in all threads. A region of fewer would make OpenMP end the others.
define internal void @launch(ptr %function, ptr %buffers, ptr %params, i64 %extent, i64 %size,
                             ptr %state, i64 %threads) nounwind noinline {
  %data = alloca [9 x i64]
  store ptr %function, ptr %data
  %data1 = getelementptr i64, ptr %data, i64 1
  store ptr %buffers, ptr %data1
  %data2 = getelementptr i64, ptr %data, i64 2
  store ptr %params, ptr %data2
  %data3 = getelementptr i64, ptr %data, i64 3
  store i64 %extent, ptr %data3
  %data4 = getelementptr i64, ptr %data, i64 4
  store i64 %size, ptr %data4
  %placement.at = getelementptr i64, ptr %state, i64 3
  %placement = load ptr, ptr %placement.at
  %data5 = getelementptr i64, ptr %data, i64 5
  store ptr %placement, ptr %data5
  %data6 = getelementptr i64, ptr %data, i64 6
  call void @where(ptr %placement, ptr %data6)
  %data8 = getelementptr i64, ptr %data, i64 8
  %control = call i64 @control()
  store i64 %control, ptr %data8
  %arguments = alloca i64
  store i64 1, ptr %arguments
  %dimensions = alloca i64
  store i64 %threads, ptr %dimensions
  %steps = alloca i64
  store i64 1, ptr %steps
  %parallel.at = getelementptr i64, ptr %state, i64 1
  %parallel = load ptr, ptr %parallel.at
  %n = trunc i64 %threads to i32
  call void %parallel(ptr @task, ptr %arguments, ptr %dimensions, ptr %steps, ptr %data,
                       i64 0, i64 1, i32 %n)
  ret void
}

; The parts whose numbers begin at the first argument's value less 1 (the layer leaves null
; pointers alone), as many as the first dimension says.
define internal void @task(ptr %arguments, ptr %dimensions, ptr %steps, ptr %data) nounwind {
entry:
  %function = load ptr, ptr %data
  %data1 = getelementptr i64, ptr %data, i64 1
  %buffers = load ptr, ptr %data1
  %data2 = getelementptr i64, ptr %data, i64 2
  %params = load ptr, ptr %data2
  %data3 = getelementptr i64, ptr %data, i64 3
  %extent = load i64, ptr %data3
  %data4 = getelementptr i64, ptr %data, i64 4
  %size = load i64, ptr %data4
  %data5 = getelementptr i64, ptr %data, i64 5
  %placement = load ptr, ptr %data5
  %data6 = getelementptr i64, ptr %data, i64 6
  call void @apart(ptr %placement, ptr %data6)
  %data8 = getelementptr i64, ptr %data, i64 8
  %control.caller = load i64, ptr %data8
  %control = call i64 @control()
  call void @set_control(i64 %control.caller)
  %from = load i64, ptr %arguments
  %first = sub i64 %from, 1
  %count = load i64, ptr %dimensions
  %last = add i64 %first, %count
  br label %next
next:
  %part = phi i64 [%first, %entry], [%part.next, %call]
  %more = icmp slt i64 %part, %last
  %lo = mul i64 %part, %size
  %inside = icmp slt i64 %lo, %extent
  %go = and i1 %more, %inside
  br i1 %go, label %call, label %done
call:
  %end = add i64 %lo, %size
  %hi = call i64 @llvm.smin.i64(i64 %end, i64 %extent)
  call void %function(ptr %buffers, ptr %params, i64 %lo, i64 %hi)
  %part.next = add i64 %part, 1
  br label %next
done:
  call void @set_control(i64 %control)
  ret void
}

declare i64 @llvm.smin.i64(i64, i64)

$placement
$subnormals
$direct
""")
