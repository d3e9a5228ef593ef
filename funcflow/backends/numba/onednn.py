"""oneDNN through its C API: convolutions and reorders as steps of a program.

The library comes with the wheel `onednn-cpu-gomp`, which exists for x86-64 Linux only; elsewhere
`library()` is None and callers use something else.

A *primitive* is code that oneDNN specialised for one description. It is made while planning, kept
in a bounded cache, and does not change afterwards, so that any number of threads may run it. What a
run needs besides belongs to the call: the routine makes memory objects from descriptors (a whole
call takes 3 to 5 us on small arrays), and the working memory ("scratchpad") is a temporary of
the program, where memory planning sees it.

An execution that fails, for want of memory, notes its status, and a check of the step raises it
when the native call is over.

A primitive divides its work among as many threads as there were when it was made, and the order of
its sums depends on that number. So convolutions are made for one thread, and cut into calls that
the runner's threads share (`convolution_parts`). Only single reorders have oneDNN's own threads.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.numba import signals, threads
from funcflow.backends.planner import Planner
from funcflow.backends.program import Check, Routine, Step, View
from funcflow.core.errors import CompileError, OutOfMemoryError
from funcflow.core.jaxpr import JaxprEqn

# What pip writes where it installs the wheel: a line for each file, its name first.
_RECORD = "onednn_cpu_gomp-2023.2.0.dist-info/RECORD"

# Enumerations of the C API (dnnl_types.h, dnnl_common_types.h).
_SUCCESS, _OUT_OF_MEMORY = 0, 1
_CPU = 1
_FORWARD_TRAINING, _FORWARD_INFERENCE = 64, 96
_DIRECT = 1  # dnnl_convolution_direct
_ANY_FORMAT = 1
_USER_SCRATCHPAD = 1
_IN_ORDER = 1
_IMPLEMENTATION, _SCRATCHPAD_MD, _ARGUMENT_MD = 8, 136, 255
_HARD_PAUSE = 2  # omp_pause_hard, of OpenMP
_DTYPES = {"float16": 1, "bfloat16": 2, "float32": 3}

# The arguments of an execution.
SRC, DST, WEIGHTS, SCRATCHPAD = 1, 17, 33, 80
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS = 129, 145, 161

# For products of so many rows and columns or more, `dnnl_sgemm` has its general code.
_GENERAL_SIZE = 32


class Library:
    """The loaded library with an engine and a stream for the CPU.

    Streams of the CPU hold no state: an execution is over when the call returns.
    """

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self.engine = self.make("engine", _CPU, ctypes.c_size_t(0))
        self.stream = self.make("stream", self.engine, _IN_ORDER)
        attributes = self.make("primitive_attr")
        self._library.dnnl_primitive_attr_set_scratchpad_mode(attributes, _USER_SCRATCHPAD)
        self.attributes = attributes
        # A child of fork has the memory of the thread that forked, hence its pool of threads, but
        # not the threads, and GNU OpenMP would wait for them. Without a pool it makes a new one.
        if hasattr(self._library, "omp_pause_resource_all"):
            os.register_at_fork(before=lambda: self._library.omp_pause_resource_all(_HARD_PAUSE))

    def address(self, function: str) -> int:
        """Where a function of the library starts."""
        return ctypes.cast(getattr(self._library, function), ctypes.c_void_p).value or 0

    def make(self, kind: str, *args: Any, action: str = "create") -> "Handle":
        """A new object, from the function `dnnl_<kind>_<action>`.

        Raises:
            UnsupportedError: the library has no code for what is described.
        """
        result = ctypes.c_void_p()
        create = getattr(self._library, f"dnnl_{kind}_{action}")
        if create(ctypes.byref(result), *args) != _SUCCESS:
            raise UnsupportedError(kind)
        owner = "primitive_desc" if kind.endswith("primitive_desc") else kind
        return Handle(result, getattr(self._library, f"dnnl_{owner}_destroy"))

    def implementation(self, description: "Handle") -> str:
        """What oneDNN calls the code that it chose for a primitive."""
        name = ctypes.c_char_p()
        self._library.dnnl_primitive_desc_query(description, _IMPLEMENTATION, 0, ctypes.byref(name))
        return (name.value or b"").decode()

    def descriptor(self, description: "Handle", what: int, index: int = 0) -> ctypes.c_void_p:
        """The memory descriptor of one argument. It belongs to the primitive's description."""
        query = self._library.dnnl_primitive_desc_query_md
        query.restype = ctypes.c_void_p
        return ctypes.c_void_p(query(description, what, index))

    def nbytes(self, descriptor: Any) -> int:
        size = self._library.dnnl_memory_desc_get_size
        size.restype = ctypes.c_size_t
        return size(descriptor)

    def equal(self, left: Any, right: Any) -> bool:
        return bool(self._library.dnnl_memory_desc_equal(left, right))

    def multiply(self, size: int) -> None:
        """A product of square matrices of ones, in the calling thread alone."""
        ones, result = ((ctypes.c_float * size**2)(*[1.0] * size**2) for _ in range(2))
        n, plain = ctypes.c_int64(size), ctypes.c_char(b"N")
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        with self.limited_to(1):
            self._library.dnnl_sgemm(plain, plain, n, n, n, one, ones, n, ones, n, zero, result, n)

    @contextmanager
    def limited_to(self, count: int) -> Iterator[None]:
        """Inside, primitives are made for so many threads. They keep to that number."""
        before = self._library.omp_get_max_threads()
        self._library.omp_set_num_threads(count)
        try:
            yield
        finally:
            self._library.omp_set_num_threads(before)


class UnsupportedError(Exception):
    """oneDNN rejects a description, or has nothing but its slow reference code for it."""


class Handle:
    """An object of the C API, destroyed with its last reference."""

    def __init__(self, pointer: ctypes.c_void_p, destroy: Any) -> None:
        self._as_parameter_ = pointer
        self._destroy = destroy

    def __del__(self) -> None:
        self._destroy(self._as_parameter_)


@cache
def library() -> Library | None:
    """The library, loaded at the first call; None where the wheel is not installed."""
    path = _installed("libdnnl.so.3")
    if path is None:
        return None
    threads.start()  # which wants to load OpenMP first
    try:
        return Library(str(path))
    except OSError:  # no GNU OpenMP, or a C library that is too old
        return None


@cache
def begin_products() -> None:
    """Let oneDNN make its code for products now, in a thread, instead of at the first product.

    That takes 30 ms, which pass while the rest of a program is compiled. A product that comes
    sooner waits for it; so does a fork, whose child would wait forever.
    """
    making = threading.Thread(target=_make_products, args=(_loaded(),), name="oneDNN")
    with suppress(RuntimeError):  # there are too many threads, or the interpreter ends
        making.start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=making.join)


def _make_products(library: Library) -> None:
    signals.hold_back()
    library.multiply(_GENERAL_SIZE)


def _installed(name: str) -> Path | None:
    """A file of the wheel. `importlib.metadata` would find it too, but takes 20 ms to import."""
    for folder in map(Path, sys.path):
        record = folder / _RECORD
        if record.is_file():
            files = [line.split(",")[0] for line in record.read_text().splitlines()]
            return next((folder / file for file in files if Path(file).name == name), None)
    return None


# --- failures --------------------------------------------------------------------------------


class _Failures(ctypes.Structure):
    """The status of an execution that failed, until it is raised, and how many have ever failed."""

    _fields_ = (("status", ctypes.c_int64), ("count", ctypes.c_int64))


_failed = _Failures(_SUCCESS, 0)

_NOTE_STATUS = """
define internal void @NAME_note(i32 %status, i64 %failure) nounwind {
entry:
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %note, label %done
note:
  %place = inttoptr i64 %failure to ptr
  %wide = sext i32 %status to i64
  store atomic i64 %wide, ptr %place monotonic, align 8
  %count = getelementptr i64, ptr %place, i64 1
  %others = atomicrmw add ptr %count, i64 1 monotonic
  br label %done
done:
  ret void
}
"""


def note_text(name: str) -> str:
    """LLVM IR of `{name}_note(status, failure)`, to be called with `failure_address()`."""
    return _NOTE_STATUS.replace("NAME", name)


def failure_address() -> int:
    """Where native code notes what failed."""
    return ctypes.addressof(_failed)


def _raise_noted() -> None:
    """Raise what was noted since the last call, by any thread.

    Raises:
        OutOfMemoryError: oneDNN found no memory.
        CompileError: it rejected what a routine of ours asked for.
    """
    if _failed.status == _SUCCESS:
        return
    status, _failed.status = _failed.status, _SUCCESS
    if status == _OUT_OF_MEMORY:
        raise OutOfMemoryError("oneDNN: there is no memory to work in")
    raise CompileError(
        f"oneDNN: an execution failed with status {status}",
        mend="run without `jit`, and report this message",
    )


CHECK = Check(_raise_noted, ctypes.addressof(_failed) + _Failures.count.offset)


# --- layouts and primitives ------------------------------------------------------------------


class Layout(NamedTuple):
    """The type of an array for oneDNN. Without strides oneDNN chooses the layout."""

    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...] | None

    @property
    def free(self) -> "Layout":
        """The same array in the layout that suits oneDNN best."""
        return Layout(self.shape, self.dtype, None)


def layout(view: View) -> Layout:
    """The layout of a view, whose strides must be positive."""
    strides = tuple(s if n > 1 else 1 for n, s in zip(view.shape, view.strides, strict=True))
    return Layout(view.shape, view.dtype.name, strides)


def nbytes(descriptor: Any) -> int:
    """How many bytes an array of that memory descriptor takes."""
    return _loaded().nbytes(descriptor)


def equal(left: Any, right: Any) -> bool:
    """Whether two memory descriptors mean the same layout and dtype."""
    return _loaded().equal(left, right)


def supports_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether oneDNN knows the dtype at all; it may still lack the primitive."""
    return dtype.name in _DTYPES


def _dims(values: Sequence[int]) -> Any:
    return (ctypes.c_int64 * len(values))(*values)


@lru_cache(1024)
def memory_descriptor(of: Layout) -> Handle:
    """A memory descriptor, of the layout or of any that oneDNN may choose."""
    lib = _loaded()
    rank, dims, dtype = len(of.shape), _dims(of.shape), _DTYPES[of.dtype]
    if of.strides is None:
        return lib.make("memory_desc", rank, dims, dtype, _ANY_FORMAT, action="create_with_tag")
    strides = _dims(of.strides)
    return lib.make("memory_desc", rank, dims, dtype, strides, action="create_with_strides")


def _loaded() -> Library:
    lib = library()
    assert lib is not None, "callers ask `library()` first"
    return lib


# By direction: the arguments of an execution in the order of `Convolution`'s layouts, and which of
# them is written.
_ARGUMENTS = {
    "forward": (SRC, WEIGHTS, DST),
    "backward_data": (DIFF_SRC, WEIGHTS, DIFF_DST),
    "backward_weights": (SRC, DIFF_WEIGHTS, DIFF_DST),
}
WRITTEN = {"forward": 2, "backward_data": 0, "backward_weights": 1}


class Primitive:
    """A primitive that is ready to run, and the memory descriptors of its arguments.

    With `alone` it is made for the calling thread and no other.
    """

    def __init__(self, description: Handle, arguments: Sequence[int], alone: bool = False) -> None:
        lib = _loaded()
        self.alone = alone
        self.implementation = lib.implementation(description)
        self.description = description
        self.handle = lib.make("primitive", description)
        self.arguments = tuple(arguments)
        self.descriptors = {a: lib.descriptor(description, _ARGUMENT_MD, a) for a in arguments}
        scratchpad = lib.descriptor(description, _SCRATCHPAD_MD)
        self.scratchpad = lib.nbytes(scratchpad)
        if self.scratchpad:
            self.descriptors[SCRATCHPAD] = scratchpad


class Convolution(NamedTuple):
    """A convolution as oneDNN describes it, in terms of the forward direction.

    Attributes:
        direction: "forward", "backward_data" or "backward_weights".
        src: the images (batch, features, *spatial), or their cotangent.
        weights: the kernels ([groups,] out features, features, *window), or their cotangent.
        dst: the results (batch, out features, *places), or their cotangent.
        strides: how far the window moves from place to place.
        dilation: the distances of the window's elements.
        low: how many zeros are put in front of the images along each spatial axis.
        high: and how many behind.
    """

    direction: str
    src: Layout
    weights: Layout
    dst: Layout
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]


@lru_cache(512)
def convolution(described: Convolution) -> Primitive:
    """The primitive of a convolution, for one thread.

    Raises:
        UnsupportedError: there is no fast one.
    """
    with _loaded().limited_to(1):
        return _made(described)


def _made(described: Convolution) -> Primitive:
    lib = _loaded()
    src, weights, dst = map(memory_descriptor, (described.src, described.weights, described.dst))
    window = (
        _dims(described.strides),
        _dims([d - 1 for d in described.dilation]),
        _dims(described.low),
        _dims(described.high),
    )

    def describe(direction: str, *args: Any) -> Handle:
        kind = f"convolution_{direction}_primitive_desc"
        return lib.make(kind, lib.engine, *args, lib.attributes)

    if described.direction == "forward":
        description = describe(
            "forward", _FORWARD_INFERENCE, _DIRECT, src, weights, None, dst, *window
        )
    else:
        # the other directions want to see a forward description, of whatever layouts
        free = [memory_descriptor(x.free) for x in (described.src, described.weights)]
        result = memory_descriptor(described.dst.free)
        hint = describe("forward", _FORWARD_TRAINING, _DIRECT, *free, None, result, *window)
        bias = (None,) if described.direction == "backward_weights" else ()
        description = describe(
            described.direction, _DIRECT, src, weights, *bias, dst, *window, hint
        )
    if lib.implementation(description).startswith("ref"):
        raise UnsupportedError("convolution")
    return Primitive(description, _ARGUMENTS[described.direction], alone=True)


def reorder(source: Any, target: Any, alone: bool = False) -> Primitive:
    """The primitive that copies between two layouts, given as memory descriptors."""
    lib = _loaded()
    with lib.limited_to(1 if alone else threads.thread_count()):
        description = lib.make(
            "reorder_primitive_desc", source, lib.engine, target, lib.engine, lib.attributes
        )
        return Primitive(description, (SRC, DST), alone)


# --- steps -----------------------------------------------------------------------------------


class Call(NamedTuple):
    """An execution of a primitive; views are given by argument, scratchpad excepted."""

    primitive: Primitive
    reads: Mapping[int, View]
    writes: Mapping[int, View]


def execute(plan: Planner, calls: Sequence[Call], eqn: JaxprEqn, note: str = "") -> None:
    """Run primitives of one kind, in a step; those with a scratchpad have a step of their own.

    Several are for one thread each, and may run at the same time.
    """
    without = [call for call in calls if not call.primitive.scratchpad]
    within = [_with_scratchpad(plan, call) for call in calls if call.primitive.scratchpad]
    plan.steps += [_step(some, eqn, note) for some in (without, within) if some]


def _step(calls: Sequence[Call], eqn: JaxprEqn, note: str) -> Step:
    """The step for calls with equally many arguments."""
    lib = _loaded()
    reads = [view for call in calls for view in call.reads.values()]
    writes = [view for call in calls for view in call.writes.values()]
    places = range(len(reads) + len(writes))
    read_places, written_places = iter(places[: len(reads)]), iter(places[len(reads) :])
    params = [failure_address(), _pointer(lib.engine), _pointer(lib.stream)]
    for call in calls:
        params.append(_pointer(call.primitive.handle))
        for arguments, taken in ((call.reads, read_places), (call.writes, written_places)):
            for argument in arguments:
                params += [next(taken), argument, _pointer(call.primitive.descriptors[argument])]
    first = calls[0]
    routine = _routine(len(first.reads) + len(first.writes), first.primitive.alone)
    return Step(
        routine,
        tuple(reads),
        tuple(writes),
        (*routine.addresses, *params),
        extent=len(calls),
        grain=1 if first.primitive.alone else 0,
        eqns=(eqn,),
        note=note,
        resources=tuple(dict.fromkeys(call.primitive for call in calls)),
        checks=(CHECK,),
    )


def _with_scratchpad(plan: Planner, call: Call) -> Call:
    scratchpad = plan.temporary((call.primitive.scratchpad,), np.uint8)
    return call._replace(writes={**call.writes, SCRATCHPAD: scratchpad})


def _pointer(handle: Any) -> int:
    pointer = getattr(handle, "_as_parameter_", handle)
    return pointer.value or 0


@cache
def _routine(count: int, alone: bool) -> Routine:
    """The routine that runs primitives of so many arguments, perhaps each in the calling thread.

    Parameters after the addresses: where failures go, engine, stream; then for each call its
    primitive, and for each argument the place of its buffer, its name and its memory descriptor.
    Without one of the memory objects nothing runs.
    """
    lib = _loaded()
    functions = ["dnnl_memory_create", "dnnl_primitive_execute", "dnnl_memory_destroy"]
    words = ["create", "execute", "destroy"]
    enter, leave = [], []
    if alone:  # the number of threads belongs to the calling thread
        functions += ["omp_get_max_threads", "omp_set_num_threads"]
        words += ["get", "set"]
        enter = ["  %threads = call i32 %get()", "  call void %set(i32 1)"]
        leave = ["  call void %set(i32 %threads)"]
    words += ["failure", "engine", "stream"]
    name = f"onednn_execute_{count}" + ("_alone" if alone else "")
    lines = [
        f"define void @{name}(ptr %buffers, ptr %params, i64 %lo, i64 %hi) {{",
        "entry:",
        f"  %arguments = alloca [{count} x {{ i32, ptr }}]",
        "  %memory = alloca ptr",
    ]
    for place, word in enumerate(words):
        lines += _loaded_word(word, "params", place, "i64" if word == "failure" else "ptr")
    lines += [
        f"  %calls = getelementptr i64, ptr %params, i64 {len(words)}",
        *enter,
        "  br label %next",
        "next:",
        "  %number = phi i64 [ %lo, %entry ], [ %number.next, %over ]",
        "  %more = icmp slt i64 %number, %hi",
        "  br i1 %more, label %call, label %done",
        "call:",
        f"  %own = getelementptr [{1 + 3 * count} x i64], ptr %calls, i64 %number",
        *_loaded_word("primitive", "own", 0),
    ]
    for i in range(count):
        lines += _loaded_word(f"place{i}", "own", 1 + 3 * i, "i64")
        lines += _loaded_word(f"argument{i}", "own", 2 + 3 * i, "i32")
        lines += _loaded_word(f"descriptor{i}", "own", 3 + 3 * i)
        lines += _loaded_word(f"buffer{i}", "buffers", f"%place{i}")
        lines += [
            "  store ptr null, ptr %memory",
            f"  %status{i} = call i32 %create(ptr %memory, ptr %descriptor{i}, ptr %engine, "
            f"ptr %buffer{i})",
            f"  %memory{i} = load ptr, ptr %memory",
            f"  %name{i} = getelementptr {{ i32, ptr }}, ptr %arguments, i64 {i}",
            f"  %value{i} = getelementptr {{ i32, ptr }}, ptr %arguments, i64 {i}, i32 1",
            f"  store i32 %argument{i}, ptr %name{i}",
            f"  store ptr %memory{i}, ptr %value{i}",
        ]
    made = "0"
    for i in range(count):
        lines += [f"  %made{i} = or i32 {made}, %status{i}"]
        made = f"%made{i}"
    lines += [
        f"  %complete = icmp eq i32 {made}, 0",
        "  br i1 %complete, label %run, label %over",
        "run:",
        f"  %ran = call i32 %execute(ptr %primitive, ptr %stream, i32 {count}, ptr %arguments)",
        "  br label %over",
        "over:",
        f"  %status = phi i32 [ {made}, %call ], [ %ran, %run ]",
        f"  call void @{name}_note(i32 %status, i64 %failure)",
        *(f"  call i32 %destroy(ptr %memory{i})" for i in range(count)),
        "  %number.next = add i64 %number, 1",
        "  br label %next",
        "done:",
        *leave,
        "  ret void",
        "}",
        note_text(name),
    ]
    return Routine(name, "\n".join(lines), tuple(map(lib.address, functions)), split=True)


def _loaded_word(name: str, base: str, place: int | str, kind: str = "ptr") -> list[str]:
    """Lines that load word number `place`, which may be a value's name, behind a pointer."""
    return [
        f"  %{name}.place = getelementptr i64, ptr %{base}, i64 {place}",
        f"  %{name} = load {kind}, ptr %{name}.place",
    ]
