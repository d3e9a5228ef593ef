"""Compiles kernels and runs them on NumPy arrays."""

import ctypes
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.llvm import module_text
from funcflow.backends.numba.runtime import compile_module, load_object

_SIGNATURE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)


class Compiled:
    """Kernels in memory.

    `run(name, extents, arrays)` runs one. Each array has an axis for each axis of the kernel, of
    any extent where the operand's stride is `FIXED`; strides are read off the array.
    """

    def __init__(self, kernels: Mapping[str, Kernel]) -> None:
        self.kernels = kernels
        self.library = load_object(compile_module(module_text(kernels)))

    def run(
        self,
        name: str,
        extents: tuple[int, ...],
        arrays: list[Any],
        scalars: tuple[Any, ...] = (),
        tail: int = 0,
        span: tuple[int, int] | None = None,
    ) -> None:
        kernel = self.kernels[name]
        params = np.zeros(len(kernel.parameters) + 1, np.int64)
        for key, place in kernel.parameters.items():
            if key[0] == "extent":
                params[place] = extents[key[1]]
            elif key[0] == "stride":
                params[place] = arrays[key[1]].strides[key[2]] // arrays[key[1]].itemsize
            elif key[0] == "scalar":
                number = np.asarray(scalars[key[1]], kernel.scalars[key[1]])
                params[place : place + 1].view(np.uint8)[: number.itemsize] = np.frombuffer(
                    number.tobytes(), np.uint8
                )
            else:
                params[place] = tail
        buffers = np.array([a.ctypes.data for a in arrays], np.int64)
        lo, hi = span or (0, extents[0] if extents else 0)
        call = _SIGNATURE(self.library.address(name))
        call(buffers.ctypes.data, params.ctypes.data, lo, hi)


@pytest.fixture(scope="session")
def compiled() -> Callable[..., Compiled]:
    """`compiled(name=kernel, ...)`."""
    return lambda **kernels: Compiled(kernels)


@pytest.fixture(scope="session")
def lowering() -> ModuleType:
    """The runner of single lowerings, `lowered.py`."""
    path = Path(__file__).parent / "lowered.py"
    spec = importlib.util.spec_from_file_location("funcflow_test_lowered", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
