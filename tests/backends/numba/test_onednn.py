"""oneDNN's C API: loading, primitives, and that programs may run in many threads and after fork."""

import ctypes
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funcflow as ff
from funcflow.backends.numba import onednn, threads
from funcflow.backends.numba.convolution import LOWERINGS
from funcflow.backends.numba.onednn import Convolution, Layout, UnsupportedError
from funcflow.backends.program import dense_view
from funcflow.core.errors import CompileError, OutOfMemoryError

needs_onednn = pytest.mark.skipif(onednn.library() is None, reason="needs the wheel of oneDNN")


def test_without_the_wheel_there_is_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert onednn.library.__wrapped__() is None


@pytest.mark.parametrize("files", ["", "other.so,sha256=x,1\n", "libdnnl.so.3,sha256=x,0\n"])
def test_a_broken_wheel_is_no_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: str
) -> None:
    record = tmp_path / onednn._RECORD
    record.parent.mkdir()
    record.write_text(files)
    (tmp_path / "libdnnl.so.3").touch()  # a library for no system
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert onednn.library.__wrapped__() is None


def test_the_record_is_that_of_the_release_that_the_project_asks_for() -> None:
    required = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    names = [r for r in required["project"]["dependencies"] if r.startswith("onednn-cpu-gomp==")]
    version = names[0].partition("==")[2].partition(";")[0].strip()
    assert f"onednn_cpu_gomp-{version}.dist-info/RECORD" == onednn._RECORD


def described(**changes: Any) -> Convolution:
    free = dict(
        direction="forward",
        src=Layout((2, 16, 8, 8), "float32", None),
        weights=Layout((32, 16, 3, 3), "float32", None),
        dst=Layout((2, 32, 6, 6), "float32", None),
        strides=(1, 1),
        dilation=(1, 1),
        low=(0, 0),
        high=(0, 0),
    )
    return Convolution(**{**free, **changes})


@pytest.mark.parametrize(("status", "error"), [(1, OutOfMemoryError), (3, CompileError)])
def test_failures_are_raised_once(status: int, error: type[Exception]) -> None:
    ctypes.c_int64.from_address(onednn.failure_address()).value = status
    with pytest.raises(error, match="oneDNN"):
        onednn.CHECK.raise_noted()
    onednn.CHECK.raise_noted()


@needs_onednn
def test_a_failed_execution_is_raised_after_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def conv(x: Any, w: Any) -> Any:
        return ff.lax.conv(x, w, (1, 1), "SAME")

    # a routine that cannot make memory objects: their function does nothing but fail
    @ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)
    def create(*_: Any) -> int:
        return 3

    failing = ctypes.cast(create, ctypes.c_void_p).value
    x, w = ff.numpy.ones((2, 3, 9, 9)), ff.numpy.ones((4, 3, 3, 3))
    real = onednn.Library.address

    def address(self: onednn.Library, name: str) -> Any:
        return failing if name == "dnnl_memory_create" else real(self, name)

    monkeypatch.setattr(onednn.Library, "address", address)
    monkeypatch.setattr(onednn, "_routine", onednn._routine.__wrapped__)
    try:
        with pytest.raises(CompileError, match="oneDNN: an execution failed with status 3"):
            ff.jit(conv)(x, w)
    finally:
        ff.clear_caches()  # which have a program that fails


@needs_onednn
def test_primitives_are_made_once() -> None:
    assert onednn.convolution(described()) is onednn.convolution(described())


@needs_onednn
def test_primitives_of_convolutions_are_for_one_thread() -> None:
    primitive = onednn.convolution(described())
    with threads.limit(threads.thread_count() + 1):
        assert onednn.convolution(described()) is primitive
    assert primitive.alone


@needs_onednn
@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
def test_primitives_know_their_arguments(direction: str) -> None:
    primitive = onednn.convolution(described(direction=direction))
    assert set(primitive.arguments) <= set(primitive.descriptors)
    smallest = [2 * 16 * 8 * 8, 32 * 16 * 3 * 3, 2 * 32 * 6 * 6]
    sizes = [onednn.nbytes(primitive.descriptors[a]) for a in primitive.arguments]
    assert all(size >= 4 * n for size, n in zip(sizes, smallest, strict=True))


@needs_onednn
@pytest.mark.parametrize(
    "wrong",
    [
        {"dst": Layout((2, 32, 7, 7), "float32", None)},  # not as many places as the rest says
        {"src": Layout((2, 16, 8, 8), "float32", (1024, 64, 8, -1))},
    ],
)
def test_what_onednn_rejects(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError):
        onednn.convolution(described(**wrong))


@needs_onednn
def test_slow_reference_code_is_not_used() -> None:
    """Kernels in plain layout beside images with features last are left to the reference code."""
    with pytest.raises(UnsupportedError):
        onednn.convolution(
            described(
                src=Layout((2, 16, 8, 8), "float32", (2048, 2, 256, 32)),
                weights=Layout((32, 16, 3, 3), "float32", (1, 32, 1536, 512)),
                dst=Layout((2, 32, 6, 6), "float32", (2304, 2, 384, 64)),
            )
        )


@needs_onednn
def test_layouts_are_compared_by_their_strides() -> None:
    view = dense_view("temporary", (2, 3, 1, 5), np.float32)
    dense = onednn.memory_descriptor(onednn.layout(view))
    assert onednn.equal(dense, onednn.memory_descriptor(onednn.layout(view)))
    turned = onednn.memory_descriptor(onednn.layout(view.transpose((1, 0, 2, 3))))
    assert not onednn.equal(dense, turned)
    assert onednn.nbytes(dense) == 4 * view.size


def test_dtypes() -> None:
    assert onednn.supports_dtype(np.dtype(np.float32))
    assert not onednn.supports_dtype(np.dtype(np.float64))


def conv(x: Any, w: Any) -> Any:
    return ff.lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@needs_onednn
def test_one_program_in_eight_threads(lowering: Any) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((8, 2, 12, 12, 16)), rng.standard_normal((3, 3, 16, 16))
    x, w = x.astype(np.float32), w.astype(np.float32)
    program = lowering.lowered(conv, (x[0], w), LOWERINGS)
    wanted = [lowering.run(program, x[i], w)[0] for i in range(8)]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            (got,) = lowering.run(program, x[i], w)
            if not np.array_equal(got, wanted[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


FORK = """
import importlib.util, os, sys
import numpy as np
from funcflow.backends.numba import threads
spec = importlib.util.spec_from_file_location("lowered", sys.argv[1])
lowering = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lowering)
import funcflow as ff
from funcflow.backends.numba.convolution import LOWERINGS

def conv(x, w):
    return ff.lax.conv(x, w, (1, 1), "SAME")

x, w = np.ones((2, 16, 20, 20), np.float32), np.ones((16, 16, 3, 3), np.float32)
with threads.limit(2):
    program = lowering.lowered(conv, (x, w), LOWERINGS)
(want,) = lowering.run(program, x, w)
child = os.fork()
if not child:
    (got,) = lowering.run(program, x, w)
    os._exit(0 if np.array_equal(got, want) else 1)
_, status = os.waitpid(child, 0)
(got,) = lowering.run(program, x, w)
sys.exit(status or not np.array_equal(got, want))
"""


BEGIN = """
import os, threading
from funcflow.backends.numba import onednn
onednn.begin_products()
making = [t for t in threading.enumerate() if t.name == "oneDNN"]
child = os.fork()
if not child:
    onednn.library().multiply(64)  # would wait for a thread of the parent's
    os._exit(0)
_, status = os.waitpid(child, 0)
onednn.begin_products()
print(status, len(making), [t.name for t in threading.enumerate() if t.name == "oneDNN"])
"""


@needs_onednn
def test_products_are_begun_once_and_a_fork_waits_for_it() -> None:
    command = [sys.executable, "-W", "ignore", "-c", BEGIN]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True)
    assert done.stdout.strip() == "0 1 []", done.stderr


@needs_onednn
def test_programs_run_after_fork(lowering: Any) -> None:
    """The child has none of the parent's threads, and GNU OpenMP would wait for them."""
    command = [sys.executable, "-W", "ignore", "-c", FORK, lowering.__file__]
    assert subprocess.run(command, timeout=60).returncode == 0
