"""Threads of a parallel region on processors of their own.

A scheduler that packs processors, to save power or for the other guests of a machine, wakes a
thread on the processor of whoever woke it. There the caller of a region, who waits for the other
threads by spinning, keeps the processor from those he waits for, and once he sleeps they take
turns. At no moment are many of them ready to run, so the scheduler leaves them there. Measured on
two processors: a product of 256x256 matrices took 300 us instead of 75, as long as it was repeated.

So a thread of a region that finds itself on the caller's processor excludes that one from those it
may use. That lasts, so that threads that slept wake where they should, until the caller comes after
them. He himself is left where he is: it is the user's thread.
"""

import ctypes
import os
import sys
from functools import cache

# Who binds OpenMP's threads wants them where he puts them.
_BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY")


class Placement(ctypes.Structure):
    """What native code needs: addresses of functions of the C library."""

    _fields_ = (
        ("sched_getcpu", ctypes.c_void_p),
        ("pthread_self", ctypes.c_void_p),
        ("pthread_getaffinity_np", ctypes.c_void_p),
        ("pthread_setaffinity_np", ctypes.c_void_p),
    )


@cache
def placement() -> Placement | None:
    """The functions of this process, or None if its threads are to be left alone."""
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _BINDING):
        return None
    library = ctypes.CDLL(None)
    names = [name for name, *_ in Placement._fields_]
    if not all(hasattr(library, name) for name in names):
        return None
    return Placement(*(ctypes.cast(getattr(library, name), ctypes.c_void_p) for name in names))


def address() -> int | None:
    """Where the `Placement` of this process is, or None."""
    made = placement()
    return ctypes.addressof(made) if made else None


# `where` notes for a region its caller's processor, -1 if threads are left alone, and who he is.
# Each thread of the region calls `apart` with that. Sets of processors are C's `cpu_set_t`; where a
# system has more than fit, and where nothing but the caller's processor is allowed, nothing moves.
CODE = """
define internal void @where(ptr %placement, ptr %caller) nounwind {
entry:
  store i64 -1, ptr %caller
  %wanted = icmp ne ptr %placement, null
  br i1 %wanted, label %look, label %done
look:
  %getcpu = load ptr, ptr %placement
  %cpu = call i32 %getcpu()
  %cpu.wide = sext i32 %cpu to i64
  store i64 %cpu.wide, ptr %caller
  %self.at = getelementptr ptr, ptr %placement, i64 1
  %self = load ptr, ptr %self.at
  %me = call i64 %self()
  %me.at = getelementptr i64, ptr %caller, i64 1
  store i64 %me, ptr %me.at
  br label %done
done:
  ret void
}

define internal void @apart(ptr %placement, ptr %caller) nounwind {
entry:
  %taken = load i64, ptr %caller
  %known = icmp ult i64 %taken, 1024
  br i1 %known, label %look, label %done
look:
  %getcpu = load ptr, ptr %placement
  %cpu = call i32 %getcpu()
  %cpu.wide = sext i32 %cpu to i64
  %shared = icmp eq i64 %cpu.wide, %taken
  br i1 %shared, label %compare, label %done
compare:
  %self.at = getelementptr ptr, ptr %placement, i64 1
  %self = load ptr, ptr %self.at
  %me = call i64 %self()
  %he.at = getelementptr i64, ptr %caller, i64 1
  %he = load i64, ptr %he.at
  %other = icmp ne i64 %me, %he
  br i1 %other, label %ask, label %done
ask:
  %set = alloca [16 x i64]
  %get.at = getelementptr ptr, ptr %placement, i64 2
  %get = load ptr, ptr %get.at
  %refused = call i32 %get(i64 %he, i64 128, ptr %set)
  %got = icmp eq i32 %refused, 0
  br i1 %got, label %leave, label %done
leave:
  %place = lshr i64 %taken, 6
  %word.at = getelementptr i64, ptr %set, i64 %place
  %word = load i64, ptr %word.at
  %shift = and i64 %taken, 63
  %bit = shl i64 1, %shift
  %others = xor i64 %bit, -1
  %rest = and i64 %word, %others
  store i64 %rest, ptr %word.at
  %set.at = getelementptr ptr, ptr %placement, i64 3
  %set.function = load ptr, ptr %set.at
  call i32 %set.function(i64 %me, i64 128, ptr %set)
  br label %done
done:
  ret void
}
"""
