"""What the tests of the loop IR, of its printers and of programs share."""

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from funcflow.backends.families.joining import LOWERINGS
from funcflow.backends.loop_check import check_kernel
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.lower import lower_program
from funcflow.backends.numba.kernels import batch_text
from funcflow.backends.numba.runtime import Library, compile_module, load_object
from funcflow.backends.passes.memory import plan_memory
from funcflow.backends.program import Buffer, HostCall, Program, Routine, Step, View
from funcflow.core import rules
from funcflow.core.array import as_buffer
from funcflow.core.jaxpr import ClosedJaxpr

_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_ROUTINE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def _load(name: str) -> ModuleType:
    """A module in this folder."""
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"funcflow_test_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def kernels() -> ModuleType:
    """The generator of random kernels, `kernels.py`."""
    return _load("kernels")


@pytest.fixture(scope="session")
def programs() -> ModuleType:
    """The generator of random programs, `programs.py`."""
    return _load("programs")


class Executor:
    """Runs programs step by step, with the temporaries where the memory planner puts them.

    Memory that nothing has written yet is full of nonsense.
    """

    def __init__(self) -> None:
        self._libraries: dict[str, Library] = {}

    def __call__(self, closed: ClosedJaxpr, *args: Any) -> list[np.ndarray[Any, Any]]:
        """The outputs of a jaxpr."""
        return self.run(lower_program(closed, LOWERINGS), *args)

    def run(self, program: Program, *args: Any) -> list[np.ndarray[Any, Any]]:
        """The outputs of a program."""
        arena = plan_memory(program)
        shared = np.full(arena.size, 0xAA, np.uint8)
        memory: dict[Buffer, Any] = {}
        given = zip(program.arguments, args, strict=True)
        for view, value in (*given, *program.constants):
            memory[view.buffer] = np.array(as_buffer(value), view.dtype, order="C").view()
        for view in program.outputs:
            memory[view.buffer] = np.full(view.buffer.nbytes, 0xAA, np.uint8)
        for step in program.steps:
            for view in step.writes:
                start = arena.offsets.get(view.buffer)
                if start is not None:
                    memory[view.buffer] = shared[start : start + view.buffer.nbytes]
            self._run(step, memory)
        return [_array(view, memory).copy() for view in program.outputs]

    def _run(self, step: Step, memory: dict[Buffer, Any]) -> None:
        work = step.work
        if isinstance(work, HostCall):
            _call(work, step, memory)
            return
        views = (*step.reads, *step.writes)
        pointers = [memory[v.buffer].ctypes.data + v.offset * v.dtype.itemsize for v in views]
        buffers, params = np.array(pointers, np.int64), np.array([*step.params, 0], np.int64)
        if isinstance(work, Kernel):
            call = _KERNEL(self._library(work).address("kernel"))
            call(buffers.ctypes.data, params.ctypes.data, 0, step.extent)
        else:
            call = _ROUTINE(self._library(work).address(work.name))
            call(buffers.ctypes.data, params.ctypes.data)

    def _library(self, work: Kernel | Routine) -> Library:
        if work.text not in self._libraries:
            text = work.text
            if isinstance(work, Kernel):
                check_kernel(work)
                text = batch_text({"kernel": work})
            self._libraries[work.text] = load_object(compile_module(text))
        return self._libraries[work.text]


def _call(work: HostCall, step: Step, memory: dict[Buffer, Any]) -> None:
    eqn = work.eqn
    with np.errstate(all="ignore"):
        found = rules.impl[eqn.primitive](
            np, *[_array(v, memory) for v in step.reads], **eqn.params
        )
    results = found if eqn.primitive.multiple_results else [found]
    for view, result in zip(step.writes, results, strict=True):
        _array(view, memory)[...] = result


def _array(view: View, memory: dict[Buffer, Any]) -> np.ndarray[Any, Any]:
    """The elements of a view."""
    size = view.dtype.itemsize
    flat = memory[view.buffer].reshape(-1).view(np.uint8)
    flat = flat[: flat.size // size * size].view(view.dtype)
    strides = [s * size for s in view.strides]
    return as_strided(flat[view.offset :], view.shape, strides)


@pytest.fixture(scope="session")
def run_program() -> Callable[..., Any]:
    """`run_program(closed, *args)` compiles a jaxpr's program and runs it."""
    return Executor()
