"""Threads for kernels: the C entry point of Numba's threading layers, called from native code.

The layers are extension modules that need nothing of Numba's Python side, so they are loaded from
their files; `import numba` would take longer than compiling. The OpenMP layer comes first: it
starts a parallel region in microseconds. The other one, workqueue, serves where OpenMP is missing,
or might have threads from before a fork.

OpenMP's threads wait by spinning. That is libgomp's default, for milliseconds after each region,
and threads of other libraries that come next lose a processor each. Measured on two of them: a
product of 256x256 matrices by a BLAS with threads of its own, after each region of 50 us, takes 50
times as long. So libgomp is loaded with a shorter spin, which its variables set only while it is
being loaded. `placement` says where they run.

One parallel region runs at a time. Who finds the layer busy runs the kernel in his own thread: the
workqueue layer requires it, and OpenMP would give each caller threads of its own. After a fork the
child has none of the layer's threads, and runs everything in one.
"""

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from funcflow.backends.numba import blas_library, placement
from funcflow.core import threads
from funcflow.core.config import config

# How often an idle thread of libgomp looks for work before it sleeps: about 150 microseconds, which
# covers what Python does between two calls. Waking a thread takes 50.
SPIN_COUNT = "3000"


class State(ctypes.Structure):
    """What native code knows of the threads; it reads and writes this memory itself."""

    _fields_ = [
        ("threads", ctypes.c_int64),  # 1: run everything in the calling thread
        ("parallel_for", ctypes.c_void_p),
        ("busy", ctypes.c_int64),  # 1 while a parallel region runs
        ("placement", ctypes.c_void_p),  # a `Placement`, or null: leave threads where they are
    ]


_state, _serial = State(1, None, 0, None), State(1, None, 0, None)
_lock = threading.Lock()
_layer: Any = None
_count: int | None = None  # as `thread_count` says
_launched = 1
_reason = ""


def state_address(*, parallel: bool = True) -> int:
    """Where the `State` of this process is, or one that lets nobody use threads."""
    return ctypes.addressof(_state if parallel else _serial)


def thread_count() -> int:
    """How many threads a kernel may use: as the process may, and one after a fork."""
    global _count
    if _count is None:
        _count = threads.thread_count()
    return _count


def _keep_to(cap: int | None) -> None:
    """Use no more threads than that from now on."""
    global _count
    blas_library.keep_to(cap)
    if _count is not None and not _reason:
        _count = None
        _set_count(thread_count())


def serial_reason() -> str:
    """Why kernels run in one thread, for people to read; empty if they do not."""
    if _reason:
        return _reason
    return "one thread is allowed" if thread_count() == 1 else ""


def parallel_for_address() -> int | None:
    """The layer's entry point, or None if there is none or it was not started.

    `void parallel_for(void (*task)(char **args, int64 *dimensions, int64 *steps, void *data),
    char **args, int64 *dimensions, int64 *steps, void *data, int64 inner, int64 arrays, int n)`
    calls `task` in n threads, each for parts of `range(dimensions[0])`: with the length of the
    part in `dimensions[0]`, and `args[i]` advanced by `steps[i]` times its start.
    """
    return _state.parallel_for


def start() -> None:
    """Load the layer and make threads possible; later calls do nothing.

    Call it before loading any other library that uses OpenMP, so that all share its settings.
    """
    if _layer is None and not _reason and thread_count() > 1:
        with _lock:
            if _layer is None and not _reason:
                _launch()


@contextmanager
def limit(count: int) -> Iterator[None]:
    """Use so many threads, in the whole process, while the block runs.

    With the workqueue layer, at most as many as were launched.
    """
    before = thread_count()
    _set_count(count)
    start()
    try:
        yield
    finally:
        _set_count(before)


def _set_count(count: int) -> None:
    global _count
    _count = count
    if _layer is not None and not _reason:
        # OpenMP makes threads as they are needed.
        _state.threads = count if _is_openmp(_layer) else min(count, _launched)
        # In the other layer the caller only waits.
        has_room = _is_openmp(_layer) and count <= threads.processors()
        _state.placement = placement.address() if has_room else None


def _launch() -> None:
    global _layer, _launched, _reason
    layer = _load_openmp() or _load("workqueue")
    if layer is None:
        _reason = "Numba's threading layers cannot be loaded"
        return
    # As many as Numba would launch, for it counts on them once it is imported. If it has launched
    # the layer already, nothing happens here.
    ctypes.CFUNCTYPE(None, ctypes.c_int)(layer.launch_threads)(threads.available())
    _launched = min(threads.available(), ctypes.CFUNCTYPE(ctypes.c_int)(layer.get_num_threads)())
    _state.parallel_for = layer.parallel_for
    _layer = layer
    _set_count(thread_count())


def _load_openmp() -> Any:
    if os.environ.get("NUMBA_THREADING_LAYER") == "workqueue":
        return None
    if _is_forked_worker() and _loaded_libgomp():
        return None  # the parent may have used it
    chosen = [name for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in os.environ]
    if chosen:
        return _load("omppool")
    os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    try:
        return _load("omppool")
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _load(name: str) -> Any:
    """An extension module of Numba's, without importing Numba; None if that is impossible."""
    numba = importlib.util.find_spec("numba")
    if numba is None or not numba.submodule_search_locations:
        return None
    folder = Path(numba.submodule_search_locations[0], "np", "ufunc")
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = folder / (name + suffix)
        if path.exists():
            # Under a name of ours, so that Numba's own import finds nothing half done.
            spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", path)
            assert spec is not None and spec.loader is not None
            try:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
            except ImportError:  # e.g. the OpenMP library is missing
                return None
            return module
    return None


def _is_openmp(layer: Any) -> bool:
    return hasattr(layer, "openmp_vendor")


def _is_forked_worker() -> bool:
    """Whether multiprocessing made this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _loaded_libgomp() -> ctypes.CDLL | None:
    """GNU's OpenMP library, if it is in the process."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
    except OSError:
        return None


def _after_fork_in_child() -> None:
    """The layer's threads are gone, and GNU's OpenMP would wait for them."""
    global _count, _lock, _reason
    _lock = threading.Lock()
    if _layer is not None:
        _reason = "the process was forked from one that used threads"
        _count = _state.threads = 1
        _state.busy = 0
        if libgomp := _loaded_libgomp():
            libgomp.omp_set_num_threads(1)  # for other libraries that use it in this thread


config.observe_thread_cap(_keep_to)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
