"""The store of native functions: compiled beside each other, once, and after a fork as well."""

import ctypes
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.cache import KernelCache
from funcflow.backends.numba import backend, kernels
from funcflow.backends.numba.kernels import KernelStore
from funcflow.backends.program import Routine
from funcflow.errors import CompileError


def constant(number: int) -> Routine:
    """A function that returns a number."""
    return Routine(f"f{number}", f"define i64 @f{number}() {{\n  ret i64 {number}\n}}")


def called(address: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64)(address)()


def store(folder: Path | None = None) -> KernelStore:
    return KernelStore(KernelCache(folder, 2**20, "tests"))


def test_functions_have_their_addresses_in_the_order_they_are_asked_for() -> None:
    known = store()
    found = known.addresses([constant(n) for n in (5, 3, 5, 8)])
    assert [called(address) for address in found] == [5, 3, 5, 8]
    assert found[0] == found[2]


def test_what_was_requested_is_compiled_once() -> None:
    known = store()
    for _ in range(3):
        for n in range(20):
            known.request(constant(n))
    found = known.addresses([constant(n) for n in range(20)])
    assert [called(address) for address in found] == list(range(20))
    assert known.compiled == 20


def test_a_later_process_loads_what_was_compiled(tmp_path: Path) -> None:
    first, second = store(tmp_path), store(tmp_path)
    first.addresses([constant(n) for n in range(5)])
    for thread in threading.enumerate():  # they save when the functions are in use already
        if thread.name == "funcflow-compiler":
            thread.join()
    found = second.addresses([constant(n) for n in range(5)])
    assert [called(address) for address in found] == list(range(5))
    assert (second.compiled, second.loaded) == (0, 5)


def test_an_error_is_raised_where_the_function_is_needed_and_not_kept() -> None:
    known = store()
    broken = Routine("g", "define i64 @g() {\n  nonsense\n}")
    known.request(broken)
    assert called(known.addresses([constant(4)])[0]) == 4
    for _ in range(2):
        with pytest.raises(CompileError, match="LLVM rejects the code"):
            known.addresses([broken])


def test_all_who_wait_for_a_function_learn_that_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = store()
    known._limit = 1
    waiting = threading.Semaphore(0)
    wait_for = known._changed.wait_for
    raised: list[BaseException] = []

    def fail(works: Mapping[str, Routine]) -> str:
        for _ in range(2):
            assert waiting.acquire(timeout=20)
        raise ValueError("no text")

    def noted(condition: Callable[[], bool]) -> bool:
        waiting.release()  # the lock is held from here until the thread waits
        return wait_for(condition)

    def ask() -> None:
        try:
            known.addresses([constant(1)])
        except ValueError as error:
            raised.append(error)

    monkeypatch.setattr(kernels, "batch_text", fail)
    monkeypatch.setattr(known._changed, "wait_for", noted)
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(raised) == 2


def test_a_batch_that_lacks_a_function_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "batch_text", lambda works: "")
    with pytest.raises(CompileError, match="no function named"):
        store().addresses([constant(2)])


def test_the_caller_compiles_where_no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    known = store()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for n in range(5):
        assert called(known.addresses([constant(n)])[0]) == n
    assert known.compiled == 5


def test_threads_compile_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    known = store()
    known._limit = 2
    meeting = threading.Barrier(2, timeout=20)
    text_of = kernels.batch_text

    def met(works: Mapping[str, Routine]) -> str:
        meeting.wait()  # passes only if another thread is here as well
        return text_of(works)

    monkeypatch.setattr(kernels, "batch_text", met)
    assert [called(a) for a in known.addresses([constant(6), constant(7)])] == [6, 7]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_compiles_what_the_parents_threads_had_begun() -> None:
    known = store()
    known._limit = 0  # no thread starts
    known.request(constant(9))
    known._limit = 1
    known._begun, known._wanted = known._wanted, {}
    known._threads = 1  # as if one was at work
    known.before_fork()
    known.after_fork_in_child()
    assert called(known.addresses([constant(9)])[0]) == 9


def test_lowering_does_not_wait_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[str] = []
    ask = KernelStore.request

    def noted(self: KernelStore, work: Routine) -> None:
        requested.append("lowering" if lowering else "after")
        ask(self, work)

    lowering = True
    finish = backend.plan_memory

    def planned(program):
        nonlocal lowering
        lowering = False
        return finish(program)

    monkeypatch.setattr(KernelStore, "request", noted)
    monkeypatch.setattr(backend, "plan_memory", planned)
    ff.jit(lambda x: fnp.cumsum(x * 2.75) - fnp.sum(x) / 3)(fnp.ones((5, 7)))
    assert requested.count("lowering") >= 2
