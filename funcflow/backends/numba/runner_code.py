"""The native code of the runner: what takes a call's objects apart, and runs a table of steps."""

from string import Template

from funcflow.backends.numba import direct, interpreter, placement, subnormals
from funcflow.backends.numba.interpreter import Layout

# The int64 words of a table: how many steps, how many buffers the one with most has, the address of
# `threads.State`, the numbers of arguments, outputs, constants and slots, the addresses of the
# constants' addresses and of `interpreter.Interface`, the bits to set in the control word of the
# processor (`subnormals`); then the records.
HEADER = 10
# A record: function, number of buffers, address of the references (pairs of slot and byte offset),
# address of the parameters, extent of axis 0, grain.
RECORD = 6


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
        header=HEADER,
        record=RECORD,
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
