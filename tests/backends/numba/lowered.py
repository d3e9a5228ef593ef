"""Runs the program of a lowering on NumPy arrays, step by step: the oracle's other side."""

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

import funcflow as ff
from funcflow.backends.copying import copy_step
from funcflow.backends.loop_check import check_kernel
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.kernels import batch_text
from funcflow.backends.numba.runtime import compile_module, load_object
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import Buffer, HostCall, Program, Step, View
from funcflow.core import rules
from funcflow.core.primitive import Primitive

_KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)
_ROUTINE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2)
_ALIGNMENT = 64


def lowered(f: Callable[..., Any], args: Any, lowerings: Mapping[Primitive, Lowering]) -> Program:
    """The program of a function, in which what has no lowering is a host call."""
    closed = ff.make_jaxpr(f)(*args)
    plan = Planner(closed, copy_step, lambda v: plan.views[v])
    for eqn in closed.jaxpr.eqns:
        lowerings.get(eqn.primitive, _host)(plan, eqn)
    return plan.finish()


def _host(plan: Planner, eqn: Any) -> None:
    plan.host(eqn, "no lowering")


def run(program: Program, *args: Any) -> list[np.ndarray]:
    """The outputs of a program."""
    memory: dict[Buffer, np.ndarray] = {}

    def bytes_of(view: View) -> np.ndarray:
        if view.buffer not in memory:
            room = np.full(view.buffer.nbytes + _ALIGNMENT, 0xFF, np.uint8)
            start = -room.ctypes.data % _ALIGNMENT
            memory[view.buffer] = room[start : start + view.buffer.nbytes]
        return memory[view.buffer]

    def array(view: View) -> np.ndarray:
        size = view.dtype.itemsize
        flat = bytes_of(view).view(view.dtype)[view.offset if view.size else 0 :]
        strides = [s * size for s in view.strides]
        return np.lib.stride_tricks.as_strided(flat, view.shape, strides)

    inputs = [*zip(program.arguments, args, strict=True), *program.constants]
    for view, value in inputs:
        array(view)[...] = value
    for step in program.steps:
        if isinstance(step.work, HostCall):
            eqn = step.work.eqn
            out = rules.impl[eqn.primitive](np, *map(array, step.reads), **eqn.params)
            outs = out if isinstance(out, list | tuple) else [out]
            for view, value in zip(step.writes, outs, strict=True):
                array(view)[...] = value
            continue
        pointers = [
            bytes_of(v).ctypes.data + v.offset * v.dtype.itemsize
            for v in (*step.reads, *step.writes)
        ]
        _call(step, np.array(pointers, np.int64), np.array(step.params, np.int64))
    return [array(view).copy() for view in program.outputs]


def _call(step: Step, buffers: np.ndarray, params: np.ndarray) -> None:
    work = step.work
    assert not isinstance(work, HostCall)
    if isinstance(work, Kernel):
        address = _kernel_address(work.text, work)
    else:
        address = _loaded(work.text).address(work.name)
    if isinstance(work, Kernel) or work.split:
        middle = step.extent // 2 if work.split else 0
        for lo, hi in ((middle, step.extent), (0, middle)):
            if lo < hi:
                _KERNEL(address)(buffers.ctypes.data, params.ctypes.data, lo, hi)
    else:
        _ROUTINE(address)(buffers.ctypes.data, params.ctypes.data)


_kernels: dict[str, Any] = {}


def _kernel_address(text: str, kernel: Kernel) -> int:
    if text not in _kernels:
        check_kernel(kernel)
        _kernels[text] = load_object(compile_module(batch_text({"kernel": kernel})))
    return _kernels[text].address("kernel")


@cache
def _loaded(text: str) -> Any:
    return load_object(compile_module(text))
