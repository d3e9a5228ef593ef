"""LLVM IR becomes code that can be called; whatever cannot is an error, never a crash."""

import ctypes
import gc
import os
import subprocess
import sys
import threading

import pytest

from funcflow import errors
from funcflow.backends.cache import KernelCache
from funcflow.backends.numba import processor, runtime
from funcflow.backends.numba.runtime import compile_module, load_object

ADD = """
define i64 @add_{n}(i64 %x) nounwind {{
  %y = add i64 %x, {n}
  ret i64 %y
}}
"""


def function(library: runtime.Library, name: str):
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address(name))


def test_a_module_has_many_functions():
    library = load_object(compile_module("".join(ADD.format(n=n) for n in range(20))))
    assert [function(library, f"add_{n}")(100) for n in range(20)] == list(range(100, 120))


def test_libraries_do_not_see_each_other():
    code = [compile_module(ADD.format(n=1).replace("add i64", op)) for op in ("add i64", "sub i64")]
    libraries = [load_object(each) for each in (*code, code[0])]
    assert [function(library, "add_1")(7) for library in libraries] == [8, 6, 8]


def test_a_library_can_be_dropped():
    code = compile_module(ADD.format(n=3))
    for _ in range(3):
        library = load_object(code)
        assert function(library, "add_3")(4) == 7
        del library
        gc.collect()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("define nothing", "expected type"),
        ("define i64 @f() { ret i64 %x }", "undefined value"),
        ("define i64 @f(i64 %x) { ret i32 0 }", "result type"),
        (
            "define i32 @f(i1 %c) {\ne: br i1 %c, label %a, label %b\na: %x = add i32 1, 2\n"
            "br label %b\nb: ret i32 %x }",
            "does not dominate",
        ),
        ("declare void @nowhere()\ndefine void @f() { call void @nowhere() ret void }", "nowhere"),
    ],
    ids=["syntax", "undefined", "type", "dominance", "foreign"],
)
def test_bad_code_is_an_error(text, message):
    with pytest.raises(errors.CompileError, match=message):
        compile_module(text)
    assert compile_module(ADD.format(n=1))  # and the compiler goes on working


def test_a_helper_that_the_process_lacks_is_an_error(monkeypatch):
    """As if half floats were converted by a function that is not there."""
    monkeypatch.setattr(runtime, "HELPERS", ("add_5",))
    with pytest.raises(errors.CompileError, match="the code calls add_5, which this process lacks"):
        compile_module(ADD.format(n=5))


def test_functions_of_the_c_library_are_found():
    text = """
    declare double @llvm.pow.f64(double, double)
    define double @power(double %x, double %y) {
      %z = call double @llvm.pow.f64(double %x, double %y)
      %r = frem double %z, 5.0
      ret double %r
    }"""
    library = load_object(compile_module(text))
    double = ctypes.c_double
    assert ctypes.CFUNCTYPE(double, double, double)(library.address("power"))(2.0, 5.0) == 2.0


def test_functions_of_the_c_library_are_found_in_a_process_that_has_loaded_nothing():
    program = """
from funcflow.backends.numba.runtime import compile_module
text = "declare ptr @malloc(i64) define ptr @f(i64 %n) { %p = call ptr @malloc(i64 %n) ret ptr %p }"
assert compile_module(text.replace(") define", ")\\ndefine"))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_symbol_is_an_error():
    library = load_object(compile_module(ADD.format(n=1)))
    with pytest.raises(errors.CompileError, match="no function named 'add_2'"):
        library.address("add_2")


def test_threads_compile_at_once():
    results = {}

    def work(number):
        for n in range(number, 24, 8):
            library = load_object(compile_module(ADD.format(n=n)))
            results[n] = function(library, f"add_{n}")(1000)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == {n: 1000 + n for n in range(24)}


@pytest.mark.parametrize("known", [None, "a processor"])
def test_the_signature_names_what_code_depends_on(monkeypatch, known):
    from llvmlite import __version__
    from llvmlite.binding import get_host_cpu_name

    monkeypatch.setattr(processor, "signature", lambda: known)
    signature = runtime.host_signature.__wrapped__()
    assert (known or get_host_cpu_name()) in signature
    assert __version__ in signature
    assert runtime.host_signature.__wrapped__() == signature


@pytest.mark.skipif(processor.features() is None, reason="the system says nothing of it")
def test_the_system_and_llvm_agree_on_vector_registers(monkeypatch):
    found = runtime.vector_registers.__wrapped__()
    monkeypatch.setattr(processor, "features", lambda: None)
    assert runtime.vector_registers.__wrapped__() == found


LOADED = """
import sys, funcflow as ff
x = ff.numpy.ones((40, 30))
ff.jit(lambda x: ff.numpy.exp(x @ x.T).sum())(x)
print("llvmlite.binding" in sys.modules)
"""


@pytest.mark.skipif(processor.signature() is None, reason="the system's loader is LLVM's")
def test_a_process_that_compiles_nothing_does_not_import_llvm(monkeypatch, tmp_path):
    monkeypatch.setenv("FUNCFLOW_CACHE_DIR", str(tmp_path))
    runs = [
        subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60)
        for _ in range(2)
    ]
    assert [run.stdout.strip() for run in runs] == ["True", "False"], runs[1].stderr


def test_what_was_compiled_is_not_compiled_again(monkeypatch, tmp_path):
    cache = KernelCache(tmp_path, 2**20, "1")
    monkeypatch.setattr(runtime, "disk_cache", lambda: cache)
    text = ADD.format(n=9)
    code = runtime.object_code("nine", lambda: text)
    assert function(load_object(code), "add_9")(1) == 10

    def never():
        raise AssertionError

    assert runtime.object_code("nine", never) == code
    with pytest.raises(errors.CompileError):
        runtime.object_code("bad", lambda: "define nothing")
    assert cache.get("bad") is None


def test_the_default_cache_depends_on_the_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("FUNCFLOW_CACHE_DIR", str(tmp_path))
    fresh = runtime.disk_cache.__wrapped__
    fresh().put("key", b"code")
    assert fresh().get("key") == b"code"
    monkeypatch.setattr(runtime, "_compiler_signature", lambda: "edited")
    assert fresh().get("key") is None


PROGRAM = """
import ctypes, os, sys, threading
from funcflow.backends.numba.runtime import compile_module, load_object
assert "numba" not in sys.modules and "llvmlite" not in sys.modules
text = "define i64 @f{0}() {{\\n ret i64 {0}\\n}}"
running = True
def work():
    n = 0
    while running:
        compile_module(text.format(n))
        n += 1
thread = threading.Thread(target=work)
thread.start()
codes = []
for n in range(5):
    child = os.fork()
    if child == 0:  # while another thread compiles
        library = load_object(compile_module(text.format(n)))
        os._exit(ctypes.CFUNCTYPE(ctypes.c_int64)(library.address(f"f{n}"))())
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
running = False
thread.join()
print(codes, "numba" in sys.modules)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_compile_and_numba_is_not_imported():
    run = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(run, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[0, 1, 2, 3, 4] False", done.stderr
