"""What may go wrong around a compiled program: it ends in a clear error or goes on quietly.

What concerns a whole process is tried in one of its own.
"""

import os
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.cache import VARIABLE
from funcflow.backends.numba import kernels
from funcflow.backends.numba.executable import pool
from funcflow.errors import CallbackError, CompileError

# --- compiling ----------------------------------------------------------------------------------


def test_code_that_cannot_be_compiled_is_an_error_that_says_what_to_do(monkeypatch):
    f = ff.jit(lambda x: fnp.sin(x) * 7 + fnp.cos(x) - fnp.tanh(x) * 0.12345)
    x = fnp.arange(5.0)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "module_text", lambda kernels: "define nonsense")
        patch.setattr(kernels.KernelStore, "_load", lambda store, symbol: None)
        patch.setattr(kernels.store(), "_addresses", {})
        with pytest.raises(CompileError, match=r"LLVM rejects the code(.|\n)*without `jit`"):
            f(x)
    expected = np.sin(x) * 7 + np.cos(x) - np.tanh(x) * 0.12345
    np.testing.assert_allclose(f(x), expected, rtol=1e-5)


# --- memory -------------------------------------------------------------------------------------


def test_out_of_memory_is_an_error_and_the_next_call_works():
    huge = ff.jit(lambda x: fnp.broadcast_to(x, (2**48,)) + 1)
    small = ff.jit(lambda x: x + 1)
    for _ in range(2):
        with pytest.raises(MemoryError, match=r"the call needs .*peak 1\.13e\+03 TB"):
            huge(fnp.float32(1))
        np.testing.assert_array_equal(small(fnp.zeros(3)), np.ones(3))


def test_a_huge_temporary_is_an_error_too():
    def f(x):
        y = fnp.sort(fnp.broadcast_to(x, (2**48,)))
        return y[0]

    with pytest.raises(MemoryError):
        ff.jit(f)(fnp.float32(1))


# --- callbacks ----------------------------------------------------------------------------------


def refuse_negatives(x):
    if x.min() < 0:
        raise ValueError("a negative number")
    return x


def test_what_a_callback_raises_arrives_and_the_program_stays_usable():
    shape = (50, 1000)  # temporaries that come from the pool

    @ff.jit
    def f(x):
        y = ff.pure_callback(refuse_negatives, ff.ShapeDtypeStruct(shape, np.float32), x * 2)
        return fnp.sort(y, axis=0) + 1

    good, bad = np.ones(shape, np.float32), np.full(shape, -1, np.float32)
    f(good)
    kept = pool().stats()
    for _ in range(20):
        with pytest.raises(CallbackError, match="ValueError: a negative number") as caught:
            f(bad)
        cause = caught.value.__cause__
        assert isinstance(cause, ValueError)
        names = [frame.name for frame in traceback.extract_tb(cause.__traceback__)]
        assert names[-1] == "refuse_negatives"
        del caught, cause
        np.testing.assert_array_equal(f(good), np.full(shape, 3))
    assert pool().stats()["kept"] == kept["kept"]


# --- threads ------------------------------------------------------------------------------------


def test_eight_python_threads_call_equal_and_different_functions():
    def make(k):
        return ff.jit(lambda x, y: fnp.sum(fnp.exp(x * k) @ y, axis=0) / (k + 1))

    functions = [make(k) for k in range(4)]
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((64, 64)).astype(np.float32) for _ in range(2))
    together = threading.Barrier(8)

    def work(number):
        together.wait()
        return [np.asarray(functions[(number + i) % 4](x, y)) for i in range(12)]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(8)))
    expected = [np.asarray(f(x, y)) for f in functions]
    for number, found in enumerate(results):
        for i, result in enumerate(found):
            assert result.tobytes() == expected[(number + i) % 4].tobytes()


# --- whole processes ----------------------------------------------------------------------------

PROGRAM = """
import signal, sys
import numpy as np
import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

def f(x):
    return fnp.sum(fnp.tanh(x @ x.T) * 2, axis=1)

x = fnp.arange(12.0).reshape(3, 4) / 10
want = np.sum(np.tanh(np.asarray(x) @ np.asarray(x).T) * 2, axis=1)

def check():
    np.testing.assert_allclose(ff.jit(f)(x), want, rtol=1e-5)
"""


def run(program, tmp_path, **variables):
    """Run a program, which must print nothing but its results."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + program)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.split()


def test_a_directory_that_cannot_be_written_to(tmp_path):
    file = tmp_path / "file"
    file.touch()
    run("check()", tmp_path, **{VARIABLE: str(file / "cache")})


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_a_full_disk(tmp_path):
    folder = tmp_path / "cache"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)); check()"
    run(limit, tmp_path, **{VARIABLE: str(folder)})
    assert not any(folder.iterdir())


DAMAGES = [
    lambda entry: entry[: len(entry) // 2],
    lambda entry: entry[:-1] + bytes([entry[-1] ^ 1]),
    lambda entry: b"",
]


def test_damaged_entries(tmp_path):
    folder = tmp_path / "cache"
    run("check()", tmp_path, **{VARIABLE: str(folder)})
    entries = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
    assert len(entries) >= len(DAMAGES)
    for i, path in enumerate(entries):
        path.write_bytes(DAMAGES[i % len(DAMAGES)](path.read_bytes()))
    run("check()", tmp_path, **{VARIABLE: str(folder)})


def test_entries_that_belong_to_lost_ones(tmp_path):
    folder = tmp_path / "cache"
    run("check()", tmp_path, **{VARIABLE: str(folder)})
    max(folder.iterdir(), key=lambda path: path.stat().st_size).unlink()
    run("check()", tmp_path, **{VARIABLE: str(folder)})


@pytest.mark.skipif(sys.platform == "win32", reason="needs timers that send signals")
@pytest.mark.parametrize(
    "long",
    [
        "lambda x: lax.fori_loop(0, 400_000, lambda i, y: fnp.sin(y) + i * 1e-9, x)",
        "lambda x: lax.while_loop(lambda s: s[0] < 400_000, "
        "lambda s: (s[0] + 1, fnp.sin(s[1])), (0, x))[1]",
        "lambda x: fnp.max(fnp.sin(fnp.cos(fnp.broadcast_to(x[0], (60_000_000,)) "
        "+ fnp.arange(60_000_000)))) + x",
    ],
)
def test_an_interrupt_arrives_when_the_native_call_ends(tmp_path, long):
    program = f"""
long = ff.jit({long})
start = fnp.ones(3)
first = np.asarray(long(start))
signal.signal(signal.SIGALRM, signal.default_int_handler)
for _ in range(2):
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    try:
        long(start)
    except KeyboardInterrupt:
        print("interrupted")
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert np.asarray(long(start)).tobytes() == first.tobytes()
    check()
"""
    assert run(program, tmp_path) == ["interrupted"] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing(tmp_path, method):
    program = f"""
import multiprocessing, warnings

def child(n):
    check()  # known to the parent
    y = fnp.ones((300_000, 2)) * n  # enough for several threads
    return float(ff.jit(lambda y: fnp.sum(fnp.cos(y) * 0 + y))(y))

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process with threads
    check()
    print(child(1))
    with multiprocessing.get_context({method!r}).Pool(2) as workers:
        print(*workers.map(child, [2, 3]))
    check()
"""
    printed = run(program, tmp_path, NUMBA_NUM_THREADS="3")
    assert printed == ["600000.0", "1200000.0", "1800000.0"]


def test_results_do_not_depend_on_the_number_of_threads(tmp_path):
    program = """
from funcflow.backends.numba import threads

rng = np.random.default_rng(0)
wide, square = (rng.standard_normal(s).astype("f4") for s in [(300, 2000), (400, 400)])
layers = [rng.standard_normal(s).astype("f4") / 16 for s in [(256, 256), (256, 256), (256, 10)]]
images, targets = (rng.standard_normal(s).astype("f4") for s in [(300, 256), (300, 10)])

def loss(layers):
    h = images
    for w in layers[:-1]:
        h = fnp.tanh(h @ w)
    return fnp.mean((h @ layers[-1] - targets) ** 2)

def step(layers):
    value, grads = ff.value_and_grad(loss)(layers)
    return value, [w - 0.1 * g for w, g in zip(layers, grads)]

functions = {
    "softmax": (ff.jit(lambda x: ff.nn.softmax(x, axis=-1)), wide),
    "sum": (ff.jit(lambda x: (x.sum(), x.sum(0), x.sum(1))), wide),
    "matmul": (ff.jit(lambda x: x @ x), square),
    "step": (ff.jit(step), layers),
}
for name, (f, x) in functions.items():
    found = set()
    for count in (1, 2, 3):
        with threads.limit(count):
            leaves = ff.tree.leaves(f(x))
            found.add(b"".join(np.asarray(leaf).tobytes() for leaf in leaves))
    print(name, len(found))
print(threads.thread_count())
"""
    printed = run(program, tmp_path, NUMBA_NUM_THREADS="3")
    assert printed == ["softmax", "1", "sum", "1", "matmul", "1", "step", "1", "3"]
