"""Threads that share the caller's processor leave it. Each test is a process with threads anew."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two processors, and a system that says which are used",
)

# `steps()` runs a region of two threads; `worker` is the one that the first region made.
PROGRAM = """
import os
import funcflow as ff
from funcflow.backends.numba import placement, threads

function = ff.jit(lambda x: x + 1)
x = ff.numpy.zeros(1_000_000)

def steps():
    function(x)

first, second = sorted(os.sched_getaffinity(0))[:2]
before = set(os.listdir("/proc/self/task"))
with threads.limit(2):
    steps()
    (worker,) = (int(t) for t in set(os.listdir("/proc/self/task")) - before)
    def place(caller, other):
        os.sched_setaffinity(0, caller)
        os.sched_setaffinity(worker, other)
"""


def run(program: str, **variables: str) -> list[str]:
    """The lines that a program prints, with so much set in its environment."""
    names = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "OMP_NUM_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    indented = "".join(f"    {line}\n" for line in program.strip().splitlines())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + indented],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_thread_on_the_callers_processor_leaves_it():
    # The caller must not move before the region starts, so what it is allowed is made up.
    program = """
import ctypes

@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64))
def both(thread, size, words):
    ctypes.memset(words, 0, size)
    for processor in (first, second):
        words[processor // 64] |= 1 << processor % 64
    return 0

placement.placement().pthread_getaffinity_np = ctypes.cast(both, ctypes.c_void_p)
place({first}, {first})
steps()
print(os.sched_getaffinity(worker) == {second}, os.sched_getaffinity(0) == {first})
place({second}, {second})
steps()
print(os.sched_getaffinity(worker) == {first}, os.sched_getaffinity(0) == {second})
"""
    assert run(program) == ["True True", "True True"]


def test_a_thread_goes_nowhere_that_the_caller_may_not_go():
    program = """
place({first}, {first})
steps()
print(os.sched_getaffinity(worker) == {first})
"""
    assert run(program) == ["True"]


def test_a_thread_elsewhere_stays_as_it_is():
    program = """
place({first}, {second})
steps()
print(os.sched_getaffinity(worker) == {second}, os.sched_getaffinity(0) == {first})
"""
    assert run(program) == ["True True"]


@pytest.mark.parametrize("name", ["OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"])
def test_threads_that_the_user_binds_are_left_alone(name):
    value = {"OMP_PROC_BIND": "false", "OMP_PLACES": "threads", "GOMP_CPU_AFFINITY": "0-1"}[name]
    program = """
print(placement.address(), threads.State.from_address(threads.state_address()).placement)
"""
    assert run(program, **{name: value}) == ["None None"]


def test_more_threads_than_processors_are_left_alone():
    program = """
def is_placed():
    return threads.State.from_address(threads.state_address()).placement is not None

print(is_placed())
with threads.limit(len(os.sched_getaffinity(0)) + 1):
    print(is_placed())
print(is_placed())
"""
    assert run(program) == ["True", "False", "True"]
