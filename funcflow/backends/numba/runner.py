"""The native runner: a program's steps in one native call.

A `StepTable` holds the records of all steps in one block of int64. A call hands over the tuples of
argument and output arrays as they are; native code reads each array's address from the object
itself (see `interpreter`), puts the addresses of arguments, outputs, arena and constants into a
table, and runs step after step. A record names a step's buffers by slot of that
table and byte offset.

The functions that steps are:

    void kernel(char **buffers, const int64 *params, int64 lo, int64 hi)
    void library_step(char **buffers, const int64 *params)

A kernel that may be split runs in parts of its axis 0, one for each thread. A loop, which is a
library step itself, runs a table of steps as its body: by `execute_body`, or, if each thread runs
the loop for some blocks of rows (`passes/row_blocks`), by `execute_block`. Both have the signature

    void execute(char **slots, const int64 *table, int64 block)
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.numba import direct, interpreter, runtime, subnormals, threads
from funcflow.backends.numba.interpreter import Layout
from funcflow.backends.numba.runner_code import HEADER, RECORD, source

# A record's grain, where it is not the least number of indices that is worth a thread.
WHOLE = 0  # a kernel that is not split
LIBRARY = -1  # a library step


class Record(NamedTuple):
    """One step.

    Attributes:
        function: the address of its native code.
        buffers: (slot, byte offset) of each.
        params: what the function gets as parameters.
        extent: a kernel's extent of axis 0.
        grain: the least number of indices of axis 0 that is worth a thread, or WHOLE or LIBRARY.
        keep: what must live as long as the step, such as the `Library` of its function.
    """

    function: int
    buffers: tuple[tuple[int, int], ...]
    params: Sequence[int] = ()
    extent: int = 1
    grain: int = WHOLE
    keep: Any = None


class Mode(NamedTuple):
    """How to run steps.

    Attributes:
        flush: whether subnormal numbers count as zeros.
        parallel: whether other threads may help.
    """

    flush: bool = False
    parallel: bool = True


DEFAULT_MODE = Mode()


class StepTable:
    """Steps that are ready to run, by any number of threads at once.

    The slots of the table are the arguments, the outputs, the arena, and the constants, in this
    order.

    Args:
        arguments: how many arrays a call gets.
        outputs: how many arrays it fills.
        constants: C-contiguous arrays that are the same in each call.
        records: the steps, in order.
        mode: how to run them.
    """

    def __init__(
        self,
        arguments: int,
        outputs: int,
        constants: Sequence[np.ndarray],
        records: Sequence[Record],
        mode: Mode = DEFAULT_MODE,
    ) -> None:
        self._keep = (tuple(constants), tuple(records))
        self._shape = (arguments, outputs)
        self._block = _pack(arguments, outputs, constants, records, mode)
        self.address = self._block.ctypes.data
        self._native = native()
        self._run = self._native.run(self._block) if self._native.run else None
        worth = any(record.grain > 0 and record.extent >= 2 * record.grain for record in records)
        if mode.parallel and worth:
            threads.start()

    def run(
        self,
        arguments: tuple[np.ndarray, ...],
        outputs: tuple[np.ndarray, ...],
        arena: np.ndarray | None = None,
    ) -> None:
        """Run the steps.

        Args:
            arguments: arrays of the expected dtypes and shapes; those that are not contiguous are
                copied.
            outputs: C-contiguous arrays to be filled.
            arena: memory for temporaries.
        """
        if self._run is None:
            self._run_slowly(arguments, outputs, arena)
        elif not self._run(arguments, outputs, arena):
            arguments = tuple(np.require(a, requirements=["C", "A", "E"]) for a in arguments)
            self._run_slowly(arguments, outputs, arena)

    def guarded(self, arguments: Sequence[Any]) -> Callable[..., bool] | None:
        """What runs the steps if the arguments are like these, and says whether it did.

        It takes what `run` takes, all three. The arguments may be `Array`s. They are alike if
        types, dtypes and shapes are the same. None if there is no way to look into them. The table
        and the arguments' dtypes must live as long as it does.
        """
        guard = direct.guard(self.address, arguments)
        make = self._native.direct
        return None if guard is None or make is None else make(guard)

    def _run_slowly(
        self,
        arguments: tuple[np.ndarray, ...],
        outputs: tuple[np.ndarray, ...],
        arena: np.ndarray | None,
    ) -> None:
        """Without a look into objects, for other interpreters and for subclasses of arrays."""
        memory = 0 if arena is None else _address(arena)
        slots = [_address(a) for a in (*arguments, *outputs)]
        table = np.array([*slots, memory, *map(_address, self._keep[0])], np.int64)
        self._native.execute(_address(table), self.address)


class Native(NamedTuple):
    """The runner's entry points."""

    # Makes of a table's block what runs it, (arguments, outputs, arena) -> whether it could look
    # into the objects. None on interpreters whose objects lie otherwise.
    run: Callable[[np.ndarray], Callable[..., bool]] | None
    # The same of a guard, see `direct`.
    direct: Callable[[np.ndarray], Callable[..., bool]] | None
    execute: Any  # (address of slots, table's address)
    # The addresses of what runs a body: all of it, or one block of rows.
    execute_body: int
    execute_block: int


@cache
def native() -> Native:
    """The runner, compiled or loaded at its first use."""
    layout = interpreter.layout()
    text = source(layout or Layout(0, 0))
    library = runtime.load_object(runtime.object_code(text, lambda: text))
    run = interpreter.builtin_maker("run", library.address("call")) if layout else None
    guarded = interpreter.builtin_maker("direct", library.address("direct")) if layout else None
    word = ctypes.c_ssize_t
    execute = ctypes.CFUNCTYPE(None, word, word)(library.address("execute"))
    _libraries.append(library)
    bodies = library.address("execute_body"), library.address("execute_block")
    return Native(run, guarded, execute, *bodies)


_libraries: list[runtime.Library] = []


def _address(array: np.ndarray) -> int:
    return array.ctypes.data


# --- packing --------------------------------------------------------------------------------


def _pack(
    arguments: int,
    outputs: int,
    constants: Sequence[np.ndarray],
    records: Sequence[Record],
    mode: Mode,
) -> np.ndarray:
    """The block: header, records, and behind them what they point to."""
    behind = HEADER + RECORD * len(records)
    words = behind + len(constants)
    words += sum(2 * len(record.buffers) + len(record.params) for record in records)
    block = np.empty(words, np.int64)
    base = block.ctypes.data
    tail = [_address(constant) for constant in constants]

    def place(values: Any) -> int:
        address = base + 8 * (behind + len(tail))
        tail.extend(values)
        return address

    slots = arguments + outputs + 1 + len(constants)
    widest = max((len(record.buffers) for record in records), default=0)
    head = [len(records), widest, threads.state_address(parallel=mode.parallel)]
    head += [arguments, outputs, len(constants), slots, base + 8 * behind]
    head += [ctypes.addressof(interpreter.interface()), subnormals.BITS if mode.flush else 0]
    for record in records:
        references = place(word for reference in record.buffers for word in reference)
        head += [record.function, len(record.buffers), references, place(record.params)]
        head += [record.extent, record.grain]
    block[:] = head + tail
    return block
