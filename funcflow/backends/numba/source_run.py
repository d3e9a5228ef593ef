"""Running the source of a kernel, by Python or compiled by Numba: the oracle of tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from funcflow.backends.loop_ir import ANY, FIXED, Kernel, Let, Load, Store, statements
from funcflow.backends.numba.source import flat_operands, kernel_source
from funcflow.backends.numba.source_ops import is_compilable
from funcflow.core.errors import CompileError


@dataclass(frozen=True)
class Flat:
    """A view into memory that is addressed by offsets.

    Attributes:
        memory: a one-dimensional array.
        start: where in it the element at index 0 of all axes lies.
        strides: in elements, one for each axis of the kernel.
    """

    memory: np.ndarray[Any, Any]
    start: int
    strides: tuple[int, ...]

    def view(self, kernel: Kernel, number: int, extents: Sequence[int]) -> np.ndarray[Any, Any]:
        """The array that a kernel has for this operand."""
        kinds = kernel.operands[number].strides
        shape = [1 if kind == FIXED else n for kind, n in zip(kinds, extents, strict=True)]
        strides = [stride * self.memory.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(self.memory[self.start :], shape, strides)

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> "Flat":
        """The memory that an array spans; offsets must not lead out of it."""
        low, high = np.lib.array_utils.byte_bounds(array)
        size = array.itemsize
        start = (array.__array_interface__["data"][0] - low) // size
        first = array[tuple(slice(-1, None) if s < 0 else slice(1) for s in array.strides)]
        memory = np.lib.stride_tricks.as_strided(first, ((high - low) // size,), (size,))
        return cls(memory, start, tuple(stride // size for stride in array.strides))


def compile_source(text: str, name: str = "kernel", *, compiled: bool = True) -> Callable[..., Any]:
    """The function of that name that a source defines, compiled by Numba at its first call.

    The arithmetic is NumPy's: no fast-math, and divisions by zero give infinities.

    Args:
        text: what `kernel_source` returned.
        name: how the function is called.
        compiled: without Numba if false.
    """
    module: dict[str, Any] = {"__name__": "funcflow_kernel"}
    exec(compile(text, f"<source of {name}>", "exec"), module)
    if not compiled:
        return module[name]
    import numba

    functions = {key: f for key, f in module.items() if isinstance(f, FunctionType)}
    for key, function in functions.items():
        module[key] = numba.njit(error_model="numpy", boundscheck=False)(function)
    return module[name]


def run_source(
    kernel: Kernel,
    operands: Sequence["np.ndarray[Any, Any] | Flat"],
    scalars: Sequence[Any] = (),
    *,
    extents: Sequence[int] | None = None,
    tail: int | None = None,
    compiled: bool = False,
) -> None:
    """Run a kernel by its source, in place.

    Args:
        kernel: a legal kernel.
        operands: arrays with one dimension for each axis of the kernel, of extent 1 where the
            operand has no stride; or `Flat` ones.
        scalars: the scalar parameters.
        extents: of the axes; needed if an axis has no array with a stride for it.
        tail: how many elements the last block of a ragged kernel has.
        compiled: by Numba, rather than by Python.

    Raises:
        CompileError: the kernel computes with 16-bit floats, which Numba does not.

    Example:
        >>> from funcflow.backends.loop_ir import *
        >>> from funcflow.backends.numba.source_run import run_source
        >>> view = Operand(np.dtype(np.float32), (UNIT,))
        >>> build = Builder()
        >>> with build.loop(0):
        ...     x = build.load(0, view.dtype)
        ...     build.store(1, build.let("mul", x, x))
        >>> x, out = np.arange(3, dtype="f4"), np.empty(3, "f4")
        >>> written = Operand(view.dtype, (UNIT,), written=True)
        >>> run_source(Kernel(1, (view, written), (), build.body), [x, out])
        >>> out
        array([0., 1., 4.], dtype=float32)
    """
    if compiled:
        _check_compilable(kernel)
    if extents is None:
        extents = _extents(kernel, operands)
    flat = {n: _flat(operands[n]) for n in sorted(flat_operands(kernel))}
    arguments: list[Any] = []
    for number, x in enumerate(operands):
        view = x.view(kernel, number, extents) if isinstance(x, Flat) else x
        arguments.append(flat[number].memory if number in flat else view)
    arguments += extents
    arguments += [tail] if kernel.ragged else []
    for number, x in flat.items():
        arguments.append(x.start)
        strides = zip(kernel.operands[number].strides, x.strides, strict=True)
        arguments += [stride for kind, stride in strides if kind is ANY]
    arguments += [t.type(x) for t, x in zip(kernel.scalars, scalars, strict=True)]
    with np.errstate(all="ignore"):
        compile_source(kernel_source(kernel), compiled=compiled)(*arguments)


def _flat(operand: "np.ndarray[Any, Any] | Flat") -> Flat:
    return operand if isinstance(operand, Flat) else Flat.of(operand)


def _extents(kernel: Kernel, operands: Sequence[Any]) -> list[int]:
    """The extents of the axes, as the arrays have them."""
    extents = [0] * kernel.axes
    for operand, array in zip(kernel.operands, operands, strict=True):
        for axis, stride in enumerate(operand.strides):
            if stride != FIXED and not isinstance(array, Flat):
                extents[axis] = array.shape[axis]
    return extents


def _check_compilable(kernel: Kernel) -> None:
    dtypes = {
        s.value.dtype if isinstance(s, Store) else s.out.dtype
        for s in statements(kernel.body)
        if isinstance(s, Let | Load | Store)
    }
    for dtype in sorted(dtypes, key=str):
        if not is_compilable(dtype):
            raise CompileError(
                f"run_source: Numba does not compute with {dtype}",
                mend="run the source without Numba (compiled=False)",
            )
