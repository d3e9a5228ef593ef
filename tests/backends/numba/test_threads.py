"""The threading layer: loaded without Numba, right under fork, spawn, and other OpenMP users.

What can be set up once per process is tried in programs of their own.
"""

import ctypes
import os
import subprocess
import sys
import threading

import pytest

import funcflow as ff
from funcflow.backends.numba import blas_library, threads

# Fills an array with the numbers of its parts' bounds, which shows how many parts there were.
COMMON = """
import ctypes, multiprocessing, os, sys, threading
import numpy as np
from funcflow.backends.numba import threads
from funcflow.backends.numba.runner import Record, StepTable
from funcflow.backends.numba.runtime import compile_module, load_object

CODE = '''
define void @fill(ptr %buffers, ptr %params, i64 %lo, i64 %hi) nounwind {
entry:
  %out = load ptr, ptr %buffers
  br label %next
next:
  %i = phi i64 [%lo, %entry], [%i.next, %body]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %at = getelementptr i64, ptr %out, i64 %i
  store i64 %hi, ptr %at
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}'''

def table(extent=10_000):
    library = load_object(compile_module(CODE))
    return StepTable(
        0, 1, [], [Record(library.address("fill"), ((0, 0),), (), extent, 64, library)]
    )

def parts(steps, extent=10_000):
    out = np.zeros(extent, np.int64)
    steps.run((), (out,))
    assert (out > np.arange(extent)).all()
    return len(set(out.tolist()))

def layer():
    return threads._layer and threads._layer.__name__.rpartition(".")[2]
"""


def run(program: str, *args: str, **variables: str) -> str:
    """What a program prints, with so much set in its environment."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "NUMBA_THREADING_LAYER")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", COMMON + program, *args],
        env={**clean, "NUMBA_NUM_THREADS": "4", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_numba_is_not_imported_and_the_environment_is_as_before():
    program = """
before = dict(os.environ)
assert threads.parallel_for_address() is None
print(layer(), parts(table()), layer(), "numba" in sys.modules, dict(os.environ) == before)
assert threads.parallel_for_address()
"""
    assert run(program) == "None 4 omppool False True"


def test_small_programs_load_nothing():
    assert run("print(parts(table(100), 100), layer())") == "1 None"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_runs_in_one_thread():
    program = """
steps = table()
print(parts(steps), repr(threads.serial_reason()), flush=True)
if os.fork() == 0:
    with threads.limit(3):
        print(parts(steps), flush=True)
    print(parts(table()), threads.thread_count(), threads.serial_reason(), flush=True)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.wait()[1])
print(status, parts(steps))
"""
    assert run(program).splitlines() == [
        "4 ''",
        "1",
        "1 1 the process was forked from one that used threads",
        "0 4",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_may_use_threads_if_its_parent_had_none():
    program = """
if os.fork() == 0:
    print(parts(table()), flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]), parts(table()))
"""
    assert run(program).splitlines() == ["4", "0 4"]


def test_a_spawned_child_has_its_own_threads():
    program = """
steps = table()
parts(steps)
child = "from funcflow.backends.numba import threads; threads.start(); "
child += "print(threads.thread_count(), repr(threads.serial_reason()))"
import subprocess
print(subprocess.check_output([sys.executable, "-c", child], text=True).strip(), parts(steps))
"""
    assert run(program) == "4 '' 4"


@pytest.mark.parametrize("name", ["omp", "workqueue"])
def test_eight_python_threads_at_once(name):
    program = """
steps, seen = table(), []
def work():
    for _ in range(100):
        seen.append(parts(steps))
workers = [threading.Thread(target=work) for _ in range(8)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(layer(), len(seen), max(seen), set(seen) <= {1, 4})
"""
    layer = {"omp": "omppool", "workqueue": "workqueue"}[name]
    assert run(program, NUMBA_THREADING_LAYER=name) == f"{layer} 800 4 True"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP")
def test_openmp_that_somebody_else_has_loaded_is_shared():
    program = "ctypes.CDLL('libgomp.so.1'); print(parts(table()), layer())"
    assert run("import ctypes\n" + program) == "4 omppool"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP")
def test_openmp_from_before_a_fork_is_left_alone():
    program = """
import ctypes, multiprocessing
ctypes.CDLL("libgomp.so.1")

def child():
    print(parts(table()), layer(), flush=True)

process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
"""
    assert run(program) == "4 workqueue"


def test_workqueue_has_no_more_threads_than_were_launched():
    program = """
steps = table()
for count in (1, 3, 9):
    with threads.limit(count):
        print(parts(steps))
print(parts(steps))
"""
    assert run(program, NUMBA_THREADING_LAYER="workqueue").split() == ["1", "3", "4", "4"]
    assert run(program).split() == ["1", "3", "9", "4"]


def test_one_allowed_thread_is_a_reason():
    program = "print(parts(table()), threads.thread_count(), threads.serial_reason(), layer())"
    assert run(program, OMP_NUM_THREADS="1,2") == "1 1 one thread is allowed None"
    assert run(program, OMP_NUM_THREADS="3") == "3 3  omppool"


def test_without_a_layer_kernels_run_in_one_thread():
    program = """
threads._load = lambda name: None
print(parts(table()), threads.serial_reason(), threads.parallel_for_address())
"""
    assert run(program) == "1 Numba's threading layers cannot be loaded None"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["numba", "funcflow"])
def test_numba_and_funcflow_share_the_layer(first):
    program = """
def with_numba():
    import numba
    @numba.njit(parallel=True)
    def total(x):
        sum = 0
        for i in numba.prange(len(x)):
            sum += x[i]
        return sum
    return total(np.arange(1000)), numba.threading_layer()

if sys.argv[1] == "numba":
    with_numba()
steps = table()
print(parts(steps), *with_numba(), parts(steps))
"""
    assert run(program, first) == "4 499500 omp 4"


def test_the_limit_ends_with_its_block():
    before = threads.thread_count()
    with pytest.raises(KeyError), threads.limit(5):
        assert threads.thread_count() == 5
        with threads.limit(2):
            assert threads.State.from_address(threads.state_address()).threads == 2
        raise KeyError
    assert threads.thread_count() == before


def allowed():
    return threads.State.from_address(threads.state_address()).threads


def test_a_cap_is_kept_by_all_scopes_and_libraries():
    library = blas_library.library()
    assert library is not None
    blas_threads = ctypes.CFUNCTYPE(ctypes.c_int)(library.threads[0])
    outside = blas_threads()
    with threads.limit(4):
        pass  # the layer is loaded
    before = threads.thread_count()
    with ff.config(num_threads=1):
        assert threads.thread_count() == allowed() == blas_threads() == 1
        assert threads.serial_reason() == "one thread is allowed"
        with ff.config(num_threads=before + 7):  # the cap around holds
            assert threads.thread_count() == allowed() == 1
        assert threads.thread_count() == 1
    assert threads.thread_count() == allowed() == before
    assert blas_threads() == outside


def test_a_cap_for_the_process():
    before = threads.thread_count()
    ff.config.update("num_threads", 1)
    try:
        assert threads.thread_count() == 1
    finally:
        ff.config.update("num_threads", None)
    assert threads.thread_count() == before


def test_a_cap_that_is_set_before_the_first_kernel():
    program = """
import funcflow as ff
with ff.config(num_threads=2):
    print(parts(table()))
print(parts(table()))
"""
    assert run(program).splitlines() == ["2", "4"]


def test_scopes_of_several_threads_end_in_any_order():
    before = threads.thread_count()
    entered, left = threading.Event(), threading.Event()

    def other():
        with ff.config(num_threads=1):
            entered.set()
            assert left.wait(10)

    thread = threading.Thread(target=other)
    with ff.config(num_threads=1):
        thread.start()
        assert entered.wait(10)
    assert threads.thread_count() == 1  # the other thread's scope is still there
    left.set()
    thread.join()
    assert threads.thread_count() == before


def test_a_task_gets_every_number_once():
    """The contract of the entry point that the runner relies on."""
    with threads.limit(4):
        seen = []

        @ctypes.CFUNCTYPE(None, *[ctypes.POINTER(ctypes.c_int64)] * 3, ctypes.c_void_p)
        def task(arguments, dimensions, steps, data):
            seen.extend(range(arguments[0], arguments[0] + dimensions[0]))

        one, four = ctypes.c_int64(1), ctypes.c_int64(4)
        address = threads.parallel_for_address()
        assert address is not None
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        prototype = ctypes.CFUNCTYPE(None, *[pointer] * 5, size, size, ctypes.c_int)
        prototype(address)(
            ctypes.cast(task, pointer), *map(ctypes.addressof, (one, four, one)), None, 0, 1, 4
        )
    assert sorted(seen) == [1, 2, 3, 4]


def test_a_thread_may_keep_to_itself():
    """With `parallel=False` code runs in the thread that calls it, also where another may not."""
    program = """
from funcflow.backends.numba.runner import Mode
library = load_object(compile_module(CODE))
record = Record(library.address("fill"), ((0, 0),), (), 10_000, 64, library)
alone = StepTable(0, 1, [], [record], Mode(parallel=False))
print(parts(alone), parts(table()), parts(alone))
"""
    assert run(program).split() == ["1", "4", "1"]
    f = ff.jit(lambda x: x * 2 + 1)
    x = ff.numpy.ones(10**6)
    with ff.config(parallel=False):
        alone = f(x)
    assert (alone == f(x)).all()
