"""What native code knows of CPython's objects, and native code as a builtin function."""

import sys
import threading

import numpy as np

from funcflow.backends.numba import interpreter
from funcflow.backends.numba.interpreter import Layout, layout_holds
from funcflow.backends.numba.runner import LIBRARY, Record, StepTable
from funcflow.backends.numba.runtime import compile_module, load_object


def test_a_wrong_layout_is_noticed():
    array = np.zeros((4, 6))
    right = interpreter.layout()
    assert right is not None  # or all calls would be slow
    assert layout_holds(right, array)
    assert layout_holds(right, array.T)
    assert not layout_holds(Layout(right.fields + 8, right.items), array)
    assert not layout_holds(Layout(right.fields, right.items + 8), array)


# Returns its second argument.
SECOND = """
define ptr @second(ptr %own, ptr %args, i64 %count) {
  %at = getelementptr ptr, ptr %args, i64 1
  %second = load ptr, ptr %at
  %refer = inttoptr i64 REFER to ptr
  call void %refer(ptr %second)
  ret ptr %second
}
"""


def test_native_code_becomes_a_function_of_python():
    refer = interpreter.interface().refer
    library = load_object(compile_module(SECOND.replace("REFER", str(refer))))
    second = interpreter.builtin_maker("second", library.address("second"))("own")
    given = object()
    before = sys.getrefcount(given)
    for _ in range(100):
        assert second(1, given, 3) is given
    assert sys.getrefcount(given) == before
    assert second.__name__ == "second" and second.__self__ == "own"


def test_calls_of_programs_keep_the_counts_of_references():
    x, y = np.zeros(3), np.zeros(3)
    table = StepTable(1, 1, [], [])
    arguments, outputs = (x,), (y,)
    table.run(arguments, outputs)
    watched = (x, y, arguments, outputs, table._block)
    before = [sys.getrefcount(obj) for obj in watched]
    answers = sys.getrefcount(True) + sys.getrefcount(False)
    for _ in range(1000):
        table.run(arguments, outputs)
    assert [sys.getrefcount(obj) for obj in watched] == before
    # other threads of the test's process may refer to these as well
    assert abs(sys.getrefcount(True) + sys.getrefcount(False) - answers) < 500


# Waits for a number to become nonzero, some seconds at most; writes what it was then.
WAIT = """
define void @wait(ptr %buffers, ptr %params) {
entry:
  %flag = load ptr, ptr %buffers
  %out.at = getelementptr ptr, ptr %buffers, i64 1
  %out = load ptr, ptr %out.at
  br label %look
look:
  %n = phi i64 [0, %entry], [%n.next, %again]
  %value = load volatile i64, ptr %flag
  %set = icmp ne i64 %value, 0
  %late = icmp sgt i64 %n, 5000000000
  %end = or i1 %set, %late
  br i1 %end, label %done, label %again
again:
  %n.next = add i64 %n, 1
  br label %look
done:
  store i64 %value, ptr %out
  ret void
}
"""


def test_other_threads_run_python_while_a_program_runs():
    library = load_object(compile_module(WAIT))
    flag, out = np.zeros(1, np.int64), np.zeros(1, np.int64)
    record = Record(library.address("wait"), ((0, 0), (1, 0)), grain=LIBRARY, keep=library)
    table = StepTable(1, 1, [], [record])

    def raise_flag():
        flag[0] = 1

    timer = threading.Timer(0.05, raise_flag)
    timer.start()
    table.run((flag,), (out,))
    timer.join()
    assert out[0] == 1
