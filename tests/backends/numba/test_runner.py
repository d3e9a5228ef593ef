"""The native runner against the same steps done by NumPy."""

import ctypes
import itertools
import threading

import numpy as np
import pytest

from funcflow.backends.numba import runner, threads
from funcflow.backends.numba.runner import LIBRARY, WHOLE, Record, StepTable
from funcflow.backends.numba.runtime import compile_module, load_object

# add: buffers 0 + 1 -> 2, float64. mark: out[i] = lo * 10^6 + hi, which shows the parts.
# total: the sum of the first buffers, as many as the parameter says, into the next one.
CODE = """
define void @add(ptr %buffers, ptr %params, i64 %lo, i64 %hi) nounwind {
entry:
  %x = load ptr, ptr %buffers
  %y.at = getelementptr ptr, ptr %buffers, i64 1
  %y = load ptr, ptr %y.at
  %z.at = getelementptr ptr, ptr %buffers, i64 2
  %z = load ptr, ptr %z.at
  br label %next
next:
  %i = phi i64 [%lo, %entry], [%i.next, %body]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %xi = getelementptr double, ptr %x, i64 %i
  %a = load double, ptr %xi
  %yi = getelementptr double, ptr %y, i64 %i
  %b = load double, ptr %yi
  %c = fadd double %a, %b
  %zi = getelementptr double, ptr %z, i64 %i
  store double %c, ptr %zi
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}

define void @mark(ptr %buffers, ptr %params, i64 %lo, i64 %hi) nounwind {
entry:
  %out = load ptr, ptr %buffers
  %high = mul i64 %lo, 1000000
  %value = add i64 %high, %hi
  br label %next
next:
  %i = phi i64 [%lo, %entry], [%i.next, %body]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %at = getelementptr i64, ptr %out, i64 %i
  %old = load i64, ptr %at
  %new = add i64 %old, %value
  store i64 %new, ptr %at
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}

define void @total(ptr %buffers, ptr %params) nounwind {
entry:
  %count = load i64, ptr %params
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %body]
  %sum = phi i64 [0, %entry], [%sum.next, %body]
  %at = getelementptr ptr, ptr %buffers, i64 %i
  %p = load ptr, ptr %at
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %value = load i64, ptr %p
  %sum.next = add i64 %sum, %value
  %i.next = add i64 %i, 1
  br label %next
done:
  store i64 %sum, ptr %p
  ret void
}
"""


@pytest.fixture(scope="module")
def library():
    return load_object(compile_module(CODE))


@pytest.fixture(scope="module")
def step(library):
    def make(name, *slots, params=(), extent=1, grain=WHOLE):
        buffers = tuple(s if isinstance(s, tuple) else (s, 0) for s in slots)
        return Record(library.address(name), buffers, params, extent, grain, library)

    return make


def test_slots_are_arguments_outputs_arena_constants(step):
    x, y = np.arange(6.0), np.arange(6.0) ** 2
    constant, z, w = np.full(6, 0.5), np.empty(6), np.empty(4)
    arena = np.empty(6)
    table = StepTable(
        2,
        2,
        [constant],
        [
            step("add", 0, 1, 4, extent=6),
            step("add", 4, 5, 2, extent=6),
            step("add", (0, 16), (2, 8), 3, extent=4),
        ],
    )
    table.run((x, y), (z, w), arena)
    np.testing.assert_array_equal(arena, x + y)
    np.testing.assert_array_equal(z, x + y + 0.5)
    np.testing.assert_array_equal(w, x[2:] + z[1:5])


def test_library_steps_get_parameters_and_any_number_of_buffers(step):
    values = [np.array([n * n - 50]) for n in range(100)]
    out = np.zeros(1, np.int64)
    table = StepTable(100, 1, [], [step("total", *range(101), params=(100,), grain=LIBRARY)])
    table.run(tuple(values), (out,))
    assert out[0] == sum(int(v[0]) for v in values)


def test_a_table_without_steps_or_buffers_runs(step):
    StepTable(0, 0, [], []).run((), ())
    out = np.ones(1, np.int64)
    StepTable(0, 1, [], [step("total", 0, params=(0,), grain=LIBRARY)]).run((), (out,))
    assert out[0] == 0


def test_an_extent_of_zero_writes_nothing(step):
    z = np.ones(0)
    StepTable(2, 1, [], [step("add", 0, 1, 2, extent=0, grain=1)]).run((z, z), (z,))


class Sub(np.ndarray):
    pass


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: np.repeat(a, 2)[::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype),
        lambda a: a.view(Sub),
    ],
    ids=["strided", "reversed", "misaligned", "subclass"],
)
def test_arguments_that_native_code_cannot_read_are_copied(step, spoil):
    x, y, z = np.arange(5.0), np.arange(5.0) * 3, np.zeros(5)
    table = StepTable(2, 1, [], [step("add", 0, 1, 2, extent=5)])
    table.run((spoil(x), y), (z,))
    np.testing.assert_array_equal(z, x + y)
    table.run((x, spoil(y)), (z,))
    np.testing.assert_array_equal(z, x + y)


def test_other_interpreters_take_the_slow_way(step, monkeypatch):
    x, z = np.arange(5.0), np.zeros(5)
    constant, arena = np.full(5, 7.0), np.zeros(5)
    steps = [step("add", 0, 3, 2, extent=5), step("add", 2, 0, 1, extent=5)]
    native = runner.native()._replace(run=None)
    monkeypatch.setattr(runner, "native", lambda: native)
    StepTable(1, 1, [constant], steps).run((x,), (z,), arena)
    np.testing.assert_array_equal(z, x + 7 + x)


def parts(values: np.ndarray) -> list[tuple[int, int]]:
    """The ranges that the marks show, in order."""
    return [divmod(int(v), 10**6) for v in dict.fromkeys(values.tolist())]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("extent", [1, 7, 64, 100, 1000, 4097, 100_003])
@pytest.mark.parametrize("grain", [1, 50, 3000])
def test_parts_cover_the_axis_once(step, count, extent, grain):
    out = np.zeros(extent, np.int64)
    with threads.limit(count):
        StepTable(0, 1, [], [step("mark", 0, extent=extent, grain=grain)]).run((), (out,))
    found = parts(out)
    edges = [0, *(hi for _, hi in found)]
    assert found == list(itertools.pairwise(edges))
    assert edges[-1] == extent
    most = max(1, min(count, extent // grain))
    if most == 1:
        assert len(found) == 1
    else:
        assert 1 < len(found) <= most
        assert all(hi - lo >= min(grain, 64) for lo, hi in found[:-1])
        if extent >= 256 * most:
            assert all(lo % 64 == 0 for lo, _ in found)
            assert len(found) == most


def test_kernels_that_may_not_be_split_are_not(step):
    out = np.zeros(10_000, np.int64)
    with threads.limit(4):
        StepTable(0, 1, [], [step("mark", 0, extent=10_000)]).run((), (out,))
    assert parts(out) == [(0, 10_000)]


def test_eight_threads_run_one_table(step):
    n = 20_000
    steps = [step("add", 0, 1, 3, extent=n, grain=64), step("add", 3, 4, 2, extent=n, grain=64)]
    table = StepTable(2, 1, [np.ones(n)], steps)
    wrong = []

    def work(number):
        x, y, z, arena = np.arange(n) * 1.0, np.full(n, number * 1.0), np.empty(n), np.empty(n)
        for step in range(30):
            y[:] = number + step
            z[:] = 0
            table.run((x, y), (z,), arena)
            if not (z == x + (number + step + 1)).all():
                wrong.append((number, step))

    with threads.limit(3):
        workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert not wrong


@pytest.mark.parametrize(
    ("name", "block", "expected"),
    [
        ("execute_body", 1, range(5)),
        ("execute_block", 0, [0, 1]),
        ("execute_block", 1, [2, 3]),
        ("execute_block", 2, [4]),
    ],
)
def test_a_table_can_be_the_body_of_a_loop(step, name, block, expected):
    """All of it, or of each step `grain` indices."""
    steps = [step("add", *places, extent=5, grain=2) for places in [(0, 1, 2), (2, 2, 3)]]
    table = StepTable(4, 0, [], steps)
    arrays = x, y, _, z = np.arange(5.0), np.arange(5.0) * 10, np.zeros(5), np.zeros(5)
    slots = (ctypes.c_int64 * 4)(*[a.ctypes.data for a in arrays])
    execute = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * 3)(getattr(runner.native(), name))
    execute(ctypes.addressof(slots), table.address, block)
    found = np.zeros(5)
    found[list(expected)] = 2 * (x + y)[list(expected)]
    np.testing.assert_array_equal(z, found)
