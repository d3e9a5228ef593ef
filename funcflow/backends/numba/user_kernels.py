"""Kernels that users compile with Numba, as native steps.

For each kernel, types and number of lane axes Numba compiles a loop over the lanes that takes
buffers and parameters as steps do. Extents are parameters, so a new shape compiles nothing. What
LLVM sees of it is one routine that calls an address.

Exceptions cannot leave native code. The loop catches them and calls back into Python, which runs
the kernel again, now through Numba's dispatcher, to have the exception as an object; one of the
step's `checks` raises it as soon as the native call is over.
"""

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcflow.backends.planner import Planner
from funcflow.backends.program import Check, Routine, View, dense_strides
from funcflow.core.jaxpr import JaxprEqn
from funcflow.lax.user_kernel import UserKernel, kernel_failure, user_kernel_p

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)

# The first parameter is the address of a step, the others are that step's.
_TEXT = """
define void @step_at_address(ptr %buffers, ptr %params) {
  %step = load ptr, ptr %params
  %rest = getelementptr i64, ptr %params, i64 1
  call void %step(ptr %buffers, ptr %rest)
  ret void
}
"""


# --- lowering -----------------------------------------------------------------------------------


def _lower(plan: Planner, eqn: JaxprEqn) -> None:
    kernel, lanes = eqn.params["kernel"], eqn.params["lanes"]
    avals = [v.aval for v in (*eqn.invars, *eqn.outvars)]
    types = tuple((a.dtype, a.ndim - len(lanes)) for a in avals)
    loop = lane_loop(kernel, types, len(eqn.invars), len(lanes))
    if loop is None:
        plan.host(eqn, f"the numba kernel {kernel.__name__} calls Python (numba.objmode)")
        return
    reads = tuple(plan.dense(plan.operand(v)) for v in eqn.invars)
    writes = tuple(plan.result(v) for v in eqn.outvars)
    params = [*lanes, *(word for v in (*reads, *writes) for word in _operand_words(v, len(lanes)))]
    routine = Routine("step_at_address", _TEXT, (loop.address,))
    note = f"numba kernel {kernel.__name__}"
    plan.call(routine, reads, writes, params, eqn, note, (loop,), (CHECK,))


def _operand_words(view: View, lane_axes: int) -> list[int]:
    """An operand's parameters: its own extents, and the bytes from lane to lane along each axis."""
    bytes_apart = [s * view.dtype.itemsize for s in view.strides[:lane_axes]]
    steps = [b if n != 1 else 0 for b, n in zip(bytes_apart, view.shape, strict=False)]
    return [*view.shape[lane_axes:], *steps]


LOWERINGS = {user_kernel_p: _lower}


# --- failures -----------------------------------------------------------------------------------


class _Failure(threading.local):
    """What a kernel has raised in this thread, and which kernel."""

    found: tuple[UserKernel, BaseException] | None = None


_failure = _Failure()


def raise_failure() -> None:
    """Raise what a kernel has raised in the native call that just ended.

    Raises:
        CallbackError: a kernel has raised an exception.
    """
    if _failure.found is None:
        return
    (kernel, error), _failure.found = _failure.found, None
    if not isinstance(error, Exception):  # such as KeyboardInterrupt
        raise error
    raise kernel_failure(kernel.__name__, error) from error


CHECK = Check(raise_failure)


# --- the loop over the lanes ----------------------------------------------------------------------


class LaneLoop(NamedTuple):
    """A native step.

    Attributes:
        address: the place of `void step(char **buffers, const int64 *params)`.
        keep: what must live as long as the step.
    """

    address: int
    keep: Any


# Of each operand, dtype and number of axes without those of the lanes.
Types: TypeAlias = tuple[tuple[np.dtype[Any], int], ...]


@lru_cache(maxsize=256)
def lane_loop(kernel: UserKernel, types: Types, inputs: int, lane_axes: int) -> LaneLoop | None:
    """The native step for operands of some types, the first `inputs` of which are read.

    None for a kernel that calls Python: what is raised there gets past Numba's `except`.

    The `try` is a function of its own, since Numba takes long to compile one with much in it.
    """
    import numba as imported

    numba: Any = imported  # whose types leave out half of what it exports

    if _calls_python(kernel):
        return None
    pointer, read_only = _intrinsics()
    failed = _CALLBACK(_recorder(kernel, types, inputs, lane_axes))
    names = {
        "carray": numba.carray,
        "pointer": pointer,
        "read_only": read_only,
        "function": kernel.function,
        "int64": np.int64,
        **{f"type{i}": dtype.type for i, (dtype, _) in enumerate(types)},
    }
    text = source(types, inputs, lane_axes, kernel.read_only)
    exec(compile(text, f"<lanes of {kernel.__name__}>", "exec"), names)
    lanes = numba.njit("void(int64, int64)")(names["lanes"])

    @numba.cfunc("void(int64, int64)")
    def step(buffers_at: int, params_at: int) -> None:
        try:
            lanes(buffers_at, params_at)
        except Exception:
            failed(buffers_at, params_at)

    return LaneLoop(step.address, (step, failed))


def source(types: Types, inputs: int, lane_axes: int, read_only: bool) -> str:
    """Python source of the loop for Numba. Addresses are integers in it, so that they can be added.

    Of a kernel with one input and one output, both vectors, mapped once:

        def lanes(buffers_at, params_at):
            buffers = carray(pointer(buffers_at), 2, int64)
            params = carray(pointer(params_at), 5, int64)
            for lane0 in range(params[0]):
                function(
                    read_only(carray(pointer(buffers[0] + lane0 * params[2]), (params[1],), type0)),
                    carray(pointer(buffers[1] + lane0 * params[4]), (params[3],), type1),
                )
    """
    lines = [
        "def lanes(buffers_at, params_at):",
        f"    buffers = carray(pointer(buffers_at), {len(types)}, int64)",
        f"    params = carray(pointer(params_at), {_words(types, lane_axes)}, int64)",
    ]
    pad = " " * 4
    for k in range(lane_axes):
        lines.append(f"{pad}for lane{k} in range(params[{k}]):")
        pad += " " * 4
    lines.append(f"{pad}function(")
    word = lane_axes
    for i, (_, ndim) in enumerate(types):
        extents = "".join(f"params[{word + axis}], " for axis in range(ndim))
        word += ndim
        steps = "".join(f" + lane{k} * params[{word + k}]" for k in range(lane_axes))
        word += lane_axes
        argument = f"carray(pointer(buffers[{i}]{steps}), ({extents}), type{i})"
        if i < inputs:
            argument = _as_input(argument, ndim, read_only)
        lines.append(f"{pad}    {argument},")
    return "\n".join([*lines, f"{pad})", ""])


def _words(types: Types, lane_axes: int) -> int:
    """The number of a step's parameters."""
    return lane_axes + sum(ndim + lane_axes for _, ndim in types)


def _as_input(argument: str, ndim: int, read_only: bool) -> str:
    if not ndim:
        return f"{argument}[()]"
    return f"read_only({argument})" if read_only else argument


def _calls_python(kernel: UserKernel) -> bool:
    """Whether a kernel's code, or that of a function it calls, has parts in object mode."""
    function: Any = kernel.function
    return any("@PyObject_Call" in text for text in function.inspect_llvm().values())


@cache
def _intrinsics() -> tuple[Any, Any]:
    """`pointer(address)`, and `read_only(array)`: the array with a type that forbids writes."""
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def pointer(typing: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

        return types.voidptr(types.int64), code

    @intrinsic
    def read_only(typing: Any, array: Any) -> Any:
        return array.copy(readonly=True)(array), lambda context, builder, signature, args: args[0]

    return pointer, read_only


# --- the second run, in Python ----------------------------------------------------------------


def _recorder(
    kernel: UserKernel, types: Types, inputs: int, lane_axes: int
) -> Callable[[int, int], None]:
    """What native code calls with a step's arguments when the kernel has raised an exception."""

    def failed(buffers_at: int, params_at: int) -> None:
        try:
            lanes, operands = _operands(types, lane_axes, buffers_at, params_at)
            kernel.run(lanes, operands[:inputs], operands[inputs:])
            error: BaseException = RuntimeError("an exception, but none when called again")
        except BaseException as raised:
            error = raised
        _failure.found = (kernel, error)

    return failed


def _operands(
    types: Types, lane_axes: int, buffers_at: int, params_at: int
) -> tuple[tuple[int, ...], list[np.ndarray[Any, Any]]]:
    """The lanes and the operands of a step, from its buffers and parameters."""
    words = iter((ctypes.c_int64 * _words(types, lane_axes)).from_address(params_at))
    lanes = _take(words, lane_axes)
    buffers = (ctypes.c_int64 * len(types)).from_address(buffers_at)
    operands = []
    for address, (dtype, ndim) in zip(buffers, types, strict=True):
        extents, steps = _take(words, ndim), _take(words, lane_axes)
        own = [s * dtype.itemsize for s in dense_strides(extents)]
        operands.append(_array(address, dtype, (*lanes, *extents), (*steps, *own)))
    return lanes, operands


def _take(words: Any, count: int) -> tuple[int, ...]:
    return tuple(next(words) for _ in range(count))


def _array(
    address: int, dtype: np.dtype[Any], shape: Sequence[int], strides: Sequence[int]
) -> np.ndarray[Any, Any]:
    """The array with that memory."""
    if prod(shape) == 0:
        return np.empty(shape, dtype)
    last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    memory: Any = (ctypes.c_char * (last + dtype.itemsize)).from_address(address)
    return np.ndarray(tuple(shape), dtype, memory, strides=tuple(strides))
