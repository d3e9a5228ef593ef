"""LLVM IR text to object code, and object code to callable addresses.

The only module that knows llvmlite, which is imported only where something must be compiled, or
where `object_file` cannot load what was. Numba itself is not needed: its front end and its
pipelines of passes would take most of the compile time, and the printer's text is in its final form
already, so it goes straight to the code generator of the target.

LLVM compiles in any number of threads, each with a context of its own. Most of its time it spends
without Python's lock, so compiling uses all processors, and goes on beside Python.

LLVM ends the process when it cannot resolve a symbol, so symbols are checked while compiling. The
kernels call nothing but LLVM's intrinsics; those may become calls of the C library (`memset`,
`fmod`), which every process has, or of the compiler's own (`HELPERS`), which it may lack.
"""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from funcflow.backends.cache import DEFAULT_LIMIT, KernelCache, default_directory
from funcflow.backends.numba import object_file, processor
from funcflow.core.errors import CompileError

# Loading is for one thread at a time, since LLVM's global context is not thread-safe. Threads that
# compile have contexts of their own, and only count themselves.
_lock = threading.Lock()
_done = threading.Condition(_lock)
_compiling = 0
_forking = 0


def _before_fork() -> None:
    """Wait for compilers: the child would have the locks of threads that it does not have."""
    global _forking
    _lock.acquire()
    _forking += 1
    _done.wait_for(lambda: not _compiling)


def _after_fork_in_parent() -> None:
    global _forking
    _forking -= 1
    _done.notify_all()
    _lock.release()


def _after_fork_in_child() -> None:
    global _forking
    _forking = 0  # other threads may have been about to fork as well
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )

# Conversions that processors without instructions for half floats leave to the compiler's library.
HELPERS = ("__extendhfsf2", "__truncsfhf2", "__truncdfhf2", "__truncsfbf2", "__truncdfbf2")


class Library:
    """Loaded object code. The code lives as long as the object does, so callers keep it.

    Example: the successor of an integer.

        >>> import ctypes
        >>> from funcflow.backends.numba.runtime import compile_module, load_object
        >>> code = compile_module('''
        ... define i64 @next(i64 %n) {
        ...   %m = add i64 %n, 1
        ...   ret i64 %m
        ... }''')
        >>> library = load_object(code)
        >>> ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address("next"))(41)
        42
    """

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded

    def address(self, symbol: str) -> int:
        """Where a function starts. Raises `CompileError` if there is none of that name."""
        with _lock:
            address = self._loaded.get_function_address(symbol)
        if not address:
            raise _error(f"load_object: the code has no function named {symbol!r}")
        return address


def compile_module(text: str) -> bytes:
    """The object code of a module of LLVM IR, for this processor. Several threads may compile.

    Args:
        text: the module. It is not optimised, only compiled.

    Returns:
        An object file, for `load_object` on a machine of the same `host_signature`.

    Raises:
        CompileError: LLVM rejects the text, or it calls a function that the process does not have.
    """
    global _compiling
    with _done:
        _done.wait_for(lambda: not _forking)
        _compiling += 1
    try:
        return _compile(text)
    finally:
        with _done:
            _compiling -= 1
            _done.notify_all()


def load_object(code: bytes) -> Library:
    """Make the functions of an object file callable.

    Args:
        code: what `compile_module` returned, on a machine of the same `host_signature`; it must be
            intact, LLVM does not check it.

    Raises:
        CompileError: LLVM cannot load the code.
    """
    loaded = object_file.load(code)
    if loaded is not None:
        return Library(loaded)
    with _lock:
        return Library(_load(code))


def object_code(key: str, text: Callable[[], str]) -> bytes:
    """The object code of a module, from the disk cache or compiled.

    Args:
        key: names the content of the module; what has the same key has the same text.
        text: the module, asked for only if it must be compiled.

    Raises:
        CompileError: as `compile_module` does.
    """
    code = disk_cache().get(key)
    if code is None:
        code = compile_module(text())
        disk_cache().put(key, code)
    return code


@cache
def disk_cache() -> KernelCache:
    """The cache of this process, in the default directory."""
    version = f"{host_signature()} {_compiler_signature()}"
    return KernelCache(default_directory(), DEFAULT_LIMIT, version)


@cache
def _compiler_signature() -> str:
    """A hash of the compiler's own source, which changes with each release and each edit."""
    digest = sha256()
    folders = os.walk(Path(__file__).parents[1])
    paths = [os.path.join(folder, name) for folder, _, names in folders for name in names]
    for path in sorted(path for path in paths if path.endswith(".py")):
        with open(path, "rb", buffering=0) as file:
            digest.update(file.read())
    return digest.hexdigest()


@cache
def host_signature() -> str:
    """What object code depends on besides its text: the processor, and the release of LLVM."""
    import llvmlite

    found = processor.signature() or f"{_binding().get_process_triple()} {_cpu()} {_features()}"
    return f"{found} llvmlite {llvmlite.__version__}"


@cache
def vector_registers() -> tuple[int, int] | None:
    """How many vector registers this processor has, and their bytes.

    None where it cannot multiply and add in one step.
    """
    features = processor.features()
    if features is None:
        features = {name for name, has in _binding().get_host_cpu_features().items() if has}
    if "avx512f" in features:
        return 32, 64
    if "fma" in features:
        return 16, 32
    is_arm = _binding().get_process_triple().startswith(("aarch64", "arm64"))
    return (32, 16) if is_arm else None


def _compile(text: str) -> bytes:
    compiler = _Compiler.take()
    code = compiler.object_code(text)
    compiler.give_back()  # not after an error, whose traceback may keep the module alive
    # The names of the symbols that an object file refers to stand in it as they are.
    _check_symbols(name for name in HELPERS if name.encode() in code)
    return code


class _Compiler:
    """What a thread needs to compile beside others: a context of LLVM, and a target machine."""

    _idle: ClassVar[deque["_Compiler"]] = deque()

    def __init__(self) -> None:
        with _lock:
            binding = _binding()
            self._context = binding.create_context()
            self._machine = _target_machine()

    @classmethod
    def take(cls) -> "_Compiler":
        """One that nobody uses."""
        try:
            return cls._idle.pop()
        except IndexError:
            return cls()

    def give_back(self) -> None:
        """Let others use it."""
        self._idle.append(self)

    def object_code(self, text: str) -> bytes:
        """The object code of a module; see `compile_module`."""
        try:
            module = _binding().parse_assembly(text, self._context)
            module.verify()
        except RuntimeError as error:
            raise _error(f"compile_module: LLVM rejects the code: {error}") from error
        _check_symbols(
            f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")
        )
        try:
            return _emit_object(self._machine, module)
        except RuntimeError as error:
            raise _error(f"compile_module: LLVM cannot compile the code: {error}") from error


def _emit_object(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)`, while which other threads may call LLVM.

    llvmlite lets one thread at a time into LLVM, as its contexts may be shared. Ours are not.
    """
    from llvmlite.binding import ffi

    locked = ffi.lib.LLVMPY_TargetMachineEmitToMemory
    emit = getattr(locked, "_cfn", locked)
    with ffi.OutputString() as problem:
        memory = emit(machine, module, 1, problem)
        if not memory:
            raise RuntimeError(str(problem))
    try:
        start, size = ffi.lib.LLVMPY_GetBufferStart(memory), ffi.lib.LLVMPY_GetBufferSize(memory)
        return ctypes.string_at(start, size)
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


# LLVM's objects are the locals of a function, so that they end while the lock is still held.


def _load(code: bytes) -> Any:
    binding = _binding()
    try:
        # An engine owns its target machine: two engines with the same one crash.
        engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target_machine())
        engine.add_object_file(binding.ObjectFileRef.from_data(code))
        engine.finalize_object()
    except RuntimeError as error:
        raise _error(f"load_object: LLVM cannot load the code: {error}") from error
    return engine


def _error(message: str) -> CompileError:
    return CompileError(message, mend="run without `jit`, and report this message")


def _check_symbols(names: Iterable[str]) -> None:
    for name in names:
        if _binding().address_of_symbol(name) is None:
            raise _error(f"compile_module: the code calls {name}, which this process lacks")


@cache
def _binding() -> Any:
    """The interface of llvmlite, with the code generator of this processor switched on.

    LLVM finds the functions of this process as soon as the process itself is one of the libraries
    that it knows: the one without a name.
    """
    import llvmlite.binding as binding
    from llvmlite.binding import ffi

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    with ffi.OutputString() as problem:
        ffi.lib.LLVMPY_LoadLibraryPermanently(None, problem)
    return binding


@cache
def _cpu() -> str:
    return _binding().get_host_cpu_name()


@cache
def _features() -> str:
    return _binding().get_host_cpu_features().flatten()


def _target_machine() -> Any:
    binding = _binding()
    target = binding.Target.from_triple(binding.get_process_triple())
    # What is loaded by this process needs no indirect addresses; LLVM wants that said on x86 only.
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=_cpu(), features=_features(), opt=2, reloc=reloc, codemodel="jitdefault", jit=True
    )
