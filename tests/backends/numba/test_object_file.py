"""Object files are loaded without LLVM where they are simple, and refused where they are not."""

import ctypes
import gc
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from funcflow.backends.numba import object_file
from funcflow.backends.numba.runtime import compile_module, load_object

CONSTANTS = """
@table = private constant [4 x i64] [i64 5, i64 6, i64 7, i64 9], align 64
define i64 @pick(i64 %n) {
  %place = getelementptr i64, ptr @table, i64 %n
  %x = load i64, ptr %place
  %y = call i64 @twice(i64 %x)
  ret i64 %y
}
define internal i64 @twice(i64 %x) noinline {
  %y = mul i64 %x, 2
  ret i64 %y
}
define double @rest(double %x) {
  %r = frem double %x, 7.0
  ret double %r
}
"""
WRITTEN = """
@count = internal global i64 7
define i64 @next(i64 %n) {
  %x = load i64, ptr @count
  %y = add i64 %x, %n
  store i64 %y, ptr @count
  ret i64 %y
}
"""
simple = object_file.load(compile_module("define void @f() { ret void }")) is not None
needs_elf = pytest.mark.skipif(not simple, reason="object files of this system are for LLVM")


def called(address: int, kind: type = ctypes.c_int64) -> Callable[..., Any]:
    return ctypes.CFUNCTYPE(kind, kind)(address)


@needs_elf
def test_functions_find_their_constants_each_other_and_the_c_library() -> None:
    loaded = object_file.load(compile_module(CONSTANTS))
    assert loaded is not None
    pick = called(loaded.get_function_address("pick"))
    assert [pick(n) for n in range(4)] == [10, 12, 14, 18]
    rest = called(loaded.get_function_address("rest"), ctypes.c_double)
    assert rest(26.5) == 5.5


@needs_elf
def test_only_functions_for_others_have_addresses() -> None:
    loaded = object_file.load(compile_module(CONSTANTS))
    assert loaded is not None
    names = ["pick", "rest", "twice", "table", "fmod", ""]
    assert [bool(loaded.get_function_address(name)) for name in names] == [True] * 2 + [False] * 4


@needs_elf
def test_code_stays_as_long_as_it_is_referred_to() -> None:
    code = compile_module(CONSTANTS)
    loaded = [object_file.load(code) for _ in range(20)]
    last = loaded.pop()
    del loaded
    gc.collect()
    assert last is not None
    assert called(last.get_function_address("pick"))(3) == 18


@needs_elf
def test_code_cannot_be_written_to() -> None:
    """The child ends by a signal."""
    program = f"""
import ctypes
from funcflow.backends.numba.runtime import compile_module
from funcflow.backends.numba import object_file
loaded = object_file.load(compile_module({CONSTANTS!r}))
ctypes.memset(loaded.get_function_address("pick"), 0, 1)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode < 0


def test_variables_are_for_llvm() -> None:
    code = compile_module(WRITTEN)
    assert object_file.load(code) is None
    library = load_object(code)
    step = called(library.address("next"))
    assert [step(1), step(2)] == [8, 10]


@needs_elf
def test_unknown_symbols_and_relocations_are_for_llvm() -> None:
    code = compile_module(CONSTANTS)
    assert object_file.load(code.replace(b"fmod", b"fmud")) is None
    sections = object_file._sections(code)
    tables = [s for s in sections if s.kind == object_file._RELA]
    (table,) = [s for s in tables if sections[s.info].kind == object_file._PROGBITS]
    changed = bytearray(code)
    changed[table.offset + 8] = 2  # a distance instead of an address
    assert object_file.load(bytes(changed)) is None


@needs_elf
@pytest.mark.parametrize(("place", "value"), [(0, 0), (4, 1), (16, 3), (18, 183)])
def test_other_kinds_of_files_are_for_llvm(place: int, value: int) -> None:
    changed = bytearray(compile_module(CONSTANTS))
    changed[place] = value
    assert object_file.load(bytes(changed)) is None


@pytest.mark.parametrize("code", [b"", b"\x7fELF\x02\x01", bytes(100)])
def test_what_is_no_object_file_is_refused(code: bytes) -> None:
    assert object_file.load(code) is None
