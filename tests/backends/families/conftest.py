"""Lowers functions to Programs, runs these step by step, and compares with the reference."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import funcflow as ff
from funcflow.backends.families import LOWERINGS
from funcflow.backends.loop_check import check_kernel
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.lower import lower_program
from funcflow.backends.numba.kernels import batch_text
from funcflow.backends.numba.runtime import compile_module, load_object
from funcflow.backends.passes.inline import inline
from funcflow.backends.pipeline import lower
from funcflow.backends.program import Buffer, HostCall, Program, Step, View
from funcflow.backends.scalars import expand
from funcflow.core import rules
from funcflow.core.interpret import BufferProgram
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.rewrite import constants_to_arguments

Check = Callable[..., Program]
_SIGNATURE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
_LIBRARIES: dict[str, Any] = {}


def _compiled(kernel: Kernel) -> Callable[..., None]:
    if kernel.text not in _LIBRARIES:
        check_kernel(kernel)
        check_kernel(expand(kernel))
        _LIBRARIES[kernel.text] = load_object(compile_module(batch_text({"run": kernel})))
    return _SIGNATURE(_LIBRARIES[kernel.text].address("run"))


class _Memory:
    """The buffers of a program; those that are written begin as garbage."""

    def __init__(self, program: Program, arguments: list[Any]) -> None:
        given = zip(program.arguments, arguments, strict=True)
        self._buffers: dict[Buffer, Any] = {
            view.buffer: np.ascontiguousarray(value).reshape(-1).view(np.uint8).copy()
            for view, value in (*given, *program.constants)
        }

    def _buffer(self, view: View) -> Any:
        size = max(1, view.buffer.nbytes)
        return self._buffers.setdefault(view.buffer, np.full(size, 0xAA, np.uint8))

    def address(self, view: View) -> int:
        return self._buffer(view).ctypes.data + view.offset * view.dtype.itemsize

    def array(self, view: View) -> Any:
        if not view.size:
            return np.empty(view.shape, view.dtype)
        strides = [s * view.dtype.itemsize for s in view.strides]
        return as_strided(
            self._buffer(view)[view.offset * view.dtype.itemsize :].view(view.dtype),
            view.shape,
            strides,
        )


def _run(step: Step, memory: _Memory) -> None:
    if isinstance(step.work, HostCall):
        eqn = step.work.eqn
        out = rules.impl[eqn.primitive](np, *map(memory.array, step.reads), **eqn.params)
        results = out if eqn.primitive.multiple_results else (out,)
        for view, value in zip(step.writes, results, strict=True):
            memory.array(view)[...] = value
        return
    assert isinstance(step.work, Kernel)
    pointers = np.array([memory.address(v) for v in (*step.reads, *step.writes)], np.int64)
    params = np.array([*step.params, 0], np.int64)
    middle = step.extent // 2 if step.work.split else 0
    # iterations of a loop that is split are independent: take the later ones first
    for low, high in ((middle, step.extent), (0, middle)) if middle else ((0, step.extent),):
        _compiled(step.work)(pointers.ctypes.data, params.ctypes.data, low, high)


def _same(got: Any, want: Any, rtol: float) -> None:
    want = np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if rtol:
        np.testing.assert_allclose(
            got.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=rtol
        )
    elif want.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
    else:  # zeros have signs; any NaN is as good as another
        parts = [np.asarray(x).reshape(-1) for x in (got, want)]
        if want.dtype.kind == "c":
            parts = [x.view(f"f{x.dtype.itemsize // 2}") for x in parts]
        parts = [x.astype(np.float64) for x in parts]
        np.testing.assert_array_equal(*parts)
        np.testing.assert_array_equal(*[np.signbit(np.where(np.isnan(x), 0, x)) for x in parts])


@pytest.fixture(scope="session")
def check() -> Check:
    """`check(function, *args, hosts=(), rtol=0)`.

    The program agrees with the reference implementations (bit for bit without `rtol`), and Python
    runs the primitives `hosts` alone. Returns the program.
    """

    def check(
        function: Callable[..., Any], *args: Any, hosts: tuple[str, ...] = (), rtol: float = 0
    ) -> Program:
        inlined = inline(ff.jit(function).lower(*args).jaxpr)
        *_, closed = lower(inlined).values()
        closed, values = ClosedJaxpr(constants_to_arguments(closed.jaxpr)), closed.consts
        arguments = [np.asarray(x) for x in [*values, *ff.tree.leaves(args)]]
        program = lower_program(closed, LOWERINGS)
        memory = _Memory(program, arguments)
        for step in program.steps:
            _run(step, memory)
        for view, want in zip(program.outputs, BufferProgram(closed)(arguments), strict=True):
            _same(memory.array(view), want, rtol)
        found = [s.work.eqn.primitive.name for s in program.steps if isinstance(s.work, HostCall)]
        assert tuple(found) == hosts
        return program

    return check


class Numbers:
    """Random arrays."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(3)

    def array(self, *shape: int, dtype: Any = np.float32) -> Any:
        """Numbers of a few units, with an imaginary part if the dtype has room for one."""
        x = self._random.standard_normal(shape) * 3
        if np.dtype(dtype).kind == "c":
            return (x + 1j * self._random.standard_normal(shape)).astype(dtype)
        return x.astype(dtype)

    def indices(self, low: int, high: int, *shape: int, dtype: Any = np.int32) -> Any:
        """Integers from `low` to `high`, without the latter."""
        return self._random.integers(low, high, shape).astype(dtype)

    def permutation(self, n: int) -> Any:
        """The first `n` integers in some order."""
        return self._random.permutation(n).astype(np.int32)


@pytest.fixture
def numbers() -> Numbers:
    """`numbers.array(2, 3)`, `numbers.indices(0, 9, 5)`: the same in each run."""
    return Numbers()
