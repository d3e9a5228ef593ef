"""Direct calls: native code looks at a call's arguments, and runs a table if they are as expected.

What a call's arguments are, Python finds out one attribute at a time: the type of each, its dtype,
its shape. That takes longer than many a kernel. Native code compares all of it with what it was in
an earlier call, in a few nanoseconds for each argument. If anything differs, nothing runs, and the
call goes the way that Python knows.

An `Array` may be deleted by another thread, when it is donated, while the table runs without the
interpreter's lock. So native code holds the NumPy arrays inside until it is done.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.backends.numba import interpreter
from funcflow.core.array import ConcreteArray, WeakArray, as_buffer

# Of each argument: its type, where in it the NumPy array is found (0: it is one), and the array's
# dtype, number of axes and address of the extents.
_WORDS = 5


def guard(table: int, arguments: Sequence[Any]) -> np.ndarray | None:
    """What the builtin function `direct` is made of: a table, and what its arguments must be like.

    It holds addresses of the arguments' types and dtypes, which must stay. None if an argument is
    of a class whose objects native code does not know.
    """
    inside = interpreter.offset_of_value()
    if inside is None:
        return None
    offsets = {ConcreteArray: inside, WeakArray: inside, np.ndarray: 0}
    if not {*map(type, arguments)} <= offsets.keys():
        return None
    buffers = [as_buffer(x) for x in arguments]
    if any(type(x) is not np.ndarray for x in buffers):
        return None
    behind = 1 + _WORDS * len(arguments)
    words = np.empty(behind + sum(x.ndim for x in buffers), np.int64)
    head, tail = [table], list[int]()
    for x, buffer in zip(arguments, buffers, strict=True):
        shape = words.ctypes.data + 8 * (behind + len(tail))
        head += [id(type(x)), offsets[type(x)], id(buffer.dtype), buffer.ndim, shape]
        tail += buffer.shape
    words[:] = head + tail
    return words


# Made of a guard, `direct` takes a tuple of arguments, one of output arrays, and an arena or None.
# The offsets are those of `runner_code.source`, which this is a part of.
CODE = """
define ptr @direct(ptr %own, ptr %args, i64 %count) nounwind {
entry:
  %guard.at = getelementptr i8, ptr %own, i64 $data
  %guard = load ptr, ptr %guard.at
  %expected = getelementptr i64, ptr %guard, i64 1
  %steps = load ptr, ptr %guard
  %interface.at = getelementptr i64, ptr %steps, i64 8
  %interface = load ptr, ptr %interface.at
  %array.at = getelementptr ptr, ptr %interface, i64 5
  %array = load ptr, ptr %array.at
  %refer.at = getelementptr ptr, ptr %interface, i64 2
  %refer = load ptr, ptr %refer.at
  %narguments.at = getelementptr i64, ptr %steps, i64 3
  %narguments = load i64, ptr %narguments.at
  %found = alloca ptr, i64 %narguments
  %arguments = load ptr, ptr %args
  %outputs.at = getelementptr ptr, ptr %args, i64 1
  %outputs = load ptr, ptr %outputs.at
  %arena.at = getelementptr ptr, ptr %args, i64 2
  %arena.object = load ptr, ptr %arena.at
  %arena = call ptr @data.of(ptr %arena.object, ptr %array)
  %size.at = getelementptr i8, ptr %arguments, i64 $size
  %size = load i64, ptr %size.at
  %as.many = icmp eq i64 %size, %narguments
  br i1 %as.many, label %compare, label %say
compare:
  %items = getelementptr i8, ptr %arguments, i64 $items
  %differs = call i64 @look(ptr %items, i64 %narguments, ptr %expected, ptr %array, ptr %found)
  %same = icmp eq i64 %differs, 0
  br i1 %same, label %go, label %say
go:
  call void @each(ptr %refer, i64 %narguments, ptr %found)
  %release = load ptr, ptr %interface
  %thread = call ptr %release()
  %output.items = getelementptr i8, ptr %outputs, i64 $items
  %refused = call i64 @run(ptr %steps, ptr %found, ptr %output.items, ptr %arena, ptr %array)
  %take.at = getelementptr ptr, ptr %interface, i64 1
  %take.lock = load ptr, ptr %take.at
  call void %take.lock(ptr %thread)
  %leave.at = getelementptr ptr, ptr %interface, i64 6
  %leave = load ptr, ptr %leave.at
  call void @each(ptr %leave, i64 %narguments, ptr %found)
  br label %say
say:
  %not.run = phi i64 [1, %entry], [1, %compare], [%refused, %go]
  %place = add i64 %not.run, 3
  %answer.at = getelementptr ptr, ptr %interface, i64 %place
  %answer = load ptr, ptr %answer.at
  call void %refer(ptr %answer)
  ret ptr %answer
}

; Finds the arguments' NumPy arrays. Not 0 if one differs from what is expected.
define internal i64 @look(ptr %items, i64 %count, ptr %expected, ptr %array.type,
                          ptr %found) nounwind {
entry:
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %store]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %type, label %done
type:
  %like = getelementptr [$words x i64], ptr %expected, i64 %i
  %item = getelementptr ptr, ptr %items, i64 %i
  %object = load ptr, ptr %item
  %type.at = getelementptr i8, ptr %object, i64 $type
  %type.is = load ptr, ptr %type.at
  %type.like = load ptr, ptr %like
  %same.type = icmp eq ptr %type.is, %type.like
  br i1 %same.type, label %inside, label %differs
inside:
  %offset.at = getelementptr i64, ptr %like, i64 1
  %offset = load i64, ptr %offset.at
  %itself = icmp eq i64 %offset, 0
  br i1 %itself, label %kind, label %unwrap
unwrap:
  %value.at = getelementptr i8, ptr %object, i64 %offset
  %value = load ptr, ptr %value.at
  %missing = icmp eq ptr %value, null
  br i1 %missing, label %differs, label %unwrapped
unwrapped:
  %value.type.at = getelementptr i8, ptr %value, i64 $type
  %value.type.is = load ptr, ptr %value.type.at
  %is.array = icmp eq ptr %value.type.is, %array.type
  br i1 %is.array, label %kind, label %differs
kind:
  %array = phi ptr [%object, %inside], [%value, %unwrapped]
  %dtype.at = getelementptr i8, ptr %array, i64 $dtype
  %dtype = load ptr, ptr %dtype.at
  %dtype.like.at = getelementptr i64, ptr %like, i64 2
  %dtype.like = load ptr, ptr %dtype.like.at
  %same.dtype = icmp eq ptr %dtype, %dtype.like
  br i1 %same.dtype, label %axes, label %differs
axes:
  %ndim.at = getelementptr i8, ptr %array, i64 $ndim
  %ndim.word = load i32, ptr %ndim.at
  %ndim = sext i32 %ndim.word to i64
  %ndim.like.at = getelementptr i64, ptr %like, i64 3
  %ndim.like = load i64, ptr %ndim.like.at
  %same.ndim = icmp eq i64 %ndim, %ndim.like
  br i1 %same.ndim, label %shape, label %differs
shape:
  %shape.at = getelementptr i8, ptr %array, i64 $shape
  %shape.is = load ptr, ptr %shape.at
  %shape.like.at = getelementptr i64, ptr %like, i64 4
  %shape.like = load ptr, ptr %shape.like.at
  br label %axis
axis:
  %a = phi i64 [0, %shape], [%a.next, %extent]
  %a.more = icmp slt i64 %a, %ndim
  br i1 %a.more, label %extent, label %store
extent:
  %extent.at = getelementptr i64, ptr %shape.is, i64 %a
  %extent.is = load i64, ptr %extent.at
  %extent.like.at = getelementptr i64, ptr %shape.like, i64 %a
  %extent.like = load i64, ptr %extent.like.at
  %a.next = add i64 %a, 1
  %same.extent = icmp eq i64 %extent.is, %extent.like
  br i1 %same.extent, label %axis, label %differs
store:
  %slot = getelementptr ptr, ptr %found, i64 %i
  store ptr %array, ptr %slot
  %i.next = add i64 %i, 1
  br label %next
done:
  ret i64 0
differs:
  ret i64 1
}

; Calls a function of one object with each.
define internal void @each(ptr %function, i64 %count, ptr %objects) nounwind {
entry:
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %one]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %done
one:
  %object.at = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %object.at
  call void %function(ptr %object)
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}
""".replace("$words", str(_WORDS))
