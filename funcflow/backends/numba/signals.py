"""Signals, kept from a thread while it runs code that they would break.

The code that oneDNN (3.2) makes for `dnnl_sgemm` keeps values below the stack pointer, farther than
the 128 bytes that a signal leaves alone. The frame of a signal that comes meanwhile goes there, and
the product then writes anywhere. Profilers, timers and Ctrl-C send such signals. So they wait until
it is over, as Python's handlers do in any case; only those that tell of a fault do not.
"""

import ctypes
import signal
from functools import cache

# SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE and SIGSEGV, which belong to the instruction that runs.
_FAULTS = {4, 5, 6, 7, 8, 11}

_WORDS = 16  # of 64 bits, in Linux's sets of signals
_BLOCK, _SET = 0, 2  # what `pthread_sigmask` is asked to do

# What stands in a function's entry block, around the code, and behind it; %mask is
# `mask_address()`, a number.
ENTRY = [
    "  %mask.function = inttoptr i64 %mask to ptr",
    f"  %held = alloca [{_WORDS} x i64]",
    f"  %before = alloca [{_WORDS} x i64]",
    f"  store [{_WORDS} x i64] zeroinitializer, ptr %held",
    f"  store i64 {-1 - sum(1 << (number - 1) for number in _FAULTS)}, ptr %held",
]
HOLD = [f"  %holding = call i32 %mask.function(i32 {_BLOCK}, ptr %held, ptr %before)"]
RELEASE = [f"  %released = call i32 %mask.function(i32 {_SET}, ptr %before, ptr null)"]


@cache
def mask_address() -> int:
    """Where `pthread_sigmask` is."""
    function = ctypes.CDLL(None).pthread_sigmask
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def hold_back() -> None:
    """Let no signal come to this thread any more."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _FAULTS)
