"""The thread that works ahead: order, errors, and that it ends however the loop does."""

import gc
import signal
import subprocess
import sys
import threading
import traceback
from contextvars import ContextVar

import pytest

from funcflow.core.config import config
from funcflow.data.prefetch import _Channel, prefetched


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not threads()


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_items_come_in_order(size, count):
    assert list(prefetched(lambda: iter(range(count)), size)) == list(range(count))


def test_no_more_than_the_size_is_made_ahead():
    made = []
    enough = threading.Event()

    def items():
        for i in range(100):
            made.append(i)
            if len(made) == 4:  # one is in the loop, two wait, one is about to
                enough.set()
            yield i

    items_ahead = prefetched(items, 2)
    assert next(items_ahead) == 0
    assert enough.wait(10)
    assert made == [0, 1, 2, 3]
    items_ahead.close()


def test_none_is_an_item():
    assert list(prefetched(lambda: iter([None, None]), 1)) == [None, None]


def test_nothing_starts_before_it_is_asked_for():
    prefetched(lambda: iter([1]), 1)
    assert not threads()


def test_an_error_comes_in_its_place_with_its_traceback():
    def failing():
        yield 1
        raise LookupError("of the source")

    items = prefetched(failing, 3)
    assert next(items) == 1
    with pytest.raises(LookupError, match="of the source") as info:
        next(items)
    names = [frame.name for frame in traceback.extract_tb(info.value.__traceback__)]
    assert names[0] == "test_an_error_comes_in_its_place_with_its_traceback"
    assert names[-1] == "failing"
    assert not threads()
    assert next(items, "over") == "over"


def test_a_loop_that_breaks_off():
    for item in prefetched(lambda: iter(range(10**9)), 2):
        if item == 3:
            break
    assert not threads()


def test_an_iterator_that_is_forgotten():
    items = prefetched(lambda: iter(range(10**9)), 2)
    next(items)
    assert len(threads()) == 1
    del items
    assert not threads()


def test_an_iterator_that_is_forgotten_in_a_cycle():
    items = prefetched(lambda: iter(range(10**9)), 2)
    next(items)
    cycle = [items]
    cycle.append(cycle)  # pyright: ignore
    del items, cycle
    gc.collect()
    assert not threads()


def test_a_loop_that_is_left_by_an_error():
    def loop():
        for item in prefetched(lambda: iter(range(10**9)), 2):
            raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        loop()
    gc.collect()
    assert not threads()


def test_the_thread_sees_the_context_of_the_loop():
    setting: ContextVar[int] = ContextVar("setting", default=0)
    setting.set(5)
    assert list(prefetched(lambda: iter([setting.get()]), 1)) == [5]


def test_one_in_another():
    def inner():
        return prefetched(lambda: iter(range(10**9)), 2)

    items = prefetched(inner, 2)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()


def test_a_channel_whose_thread_is_gone():
    with pytest.raises(RuntimeError, match="the thread that works ahead is gone"):
        _Channel(1).get(lambda: False)


# --- the ends of programs -----------------------------------------------------------------------

PROGRAM = """
import itertools, os, signal, sys, threading
from funcflow.data.prefetch import prefetched
items = prefetched(itertools.count, 2)
next(items)
"""


def run(end: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + end], capture_output=True, text=True, timeout=60
    )


def test_the_end_of_a_program():
    result = run("print('end')")
    assert (result.returncode, result.stdout, result.stderr) == (0, "end\n", "")


def test_an_error_at_the_top_of_a_program():
    result = run("for item in items: raise ValueError(item)")
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith("ValueError: 1")


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C there")
def test_control_c():
    end = f"""
def wait():
    yield 0
    os.kill(os.getpid(), {int(signal.SIGINT)})
    yield from itertools.count()

try:
    for item in prefetched(wait, 2): pass
except KeyboardInterrupt:
    items.close()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(10)
    print([t.name for t in threading.enumerate()])
"""
    result = run(end)
    assert (result.returncode, result.stdout, result.stderr) == (0, "['MainThread']\n", "")


def test_work_ahead_keeps_to_its_thread():
    def look():
        yield config.parallel

    assert list(prefetched(look, 1)) == [False]
    assert config.parallel
