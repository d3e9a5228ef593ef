"""The native functions of kernels and routines: known already, loaded from disk, or compiled.

A function is known by its text, so equal layers of a model, equal programs and later processes
share it. Functions are compiled by threads, beside each other and beside the lowering of the rest
of the program: lowering asks for each as soon as it knows it, and waits for none. A thread takes
its share of what is wanted as one module, a *batch*, which takes less time than a module for each.
On disk a batch is one entry, and each of its functions a small one that names it.
"""

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from itertools import islice

from funcflow.backends.cache import KernelCache
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba import threads
from funcflow.backends.numba.llvm import module_text
from funcflow.backends.numba.llvm_ops import machine_ops
from funcflow.backends.numba.runtime import Library, compile_module, disk_cache, load_object
from funcflow.backends.program import Routine
from funcflow.backends.scalars import expand

# More threads would wait for each other: what they do in Python, only one of them can do.
_MOST_THREADS = 8


class KernelStore:
    """All native functions of the process.

    Attributes:
        compiled: how many functions were compiled.
        loaded: how many came from disk.
    """

    def __init__(self, disk: KernelCache) -> None:
        self.disk = disk
        self.compiled = 0
        self.loaded = 0
        self._addresses: dict[str, int] = {}
        self._libraries: list[Library] = []
        self._wanted: dict[str, Kernel | Routine] = {}  # nobody compiles them yet
        self._begun: dict[str, Kernel | Routine] = {}
        self._failed: dict[str, BaseException] = {}
        self._threads = 0
        self._limit = min(threads.thread_count(), _MOST_THREADS)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def request(self, work: Kernel | Routine) -> None:
        """Begin to compile a function, unless it is known."""
        symbol = symbol_of(work)
        with self._lock:
            if symbol in self._addresses or symbol in self._wanted or symbol in self._begun:
                return
            self._load(symbol)
            if symbol not in self._addresses:
                self._failed.pop(symbol, None)
                self._wanted[symbol] = work
                self._start_thread()

    def addresses(self, works: Iterable[Kernel | Routine]) -> list[int]:
        """The address of each function, compiled if need be.

        Raises:
            CompileError: one of them cannot be compiled.
        """
        works = list(works)
        for work in works:
            self.request(work)
        symbols = [symbol_of(work) for work in works]
        with self._lock:
            if self._wanted:  # after a fork there may be no thread
                self._start_thread()
            alone = not self._threads
            self._threads += alone
        if alone:
            self._compile_wanted()
        with self._changed:
            self._changed.wait_for(
                lambda: all(s in self._addresses or s in self._failed for s in symbols)
            )
            for symbol in symbols:
                if symbol in self._failed:  # and stays there, for others who wait
                    raise self._failed[symbol]
            return [self._addresses[symbol] for symbol in symbols]

    # --- disk -------------------------------------------------------------------------------------

    def _load(self, symbol: str) -> None:
        """Load the batch on disk that has the function, and with it all others in the batch."""
        batch = self.disk.get(symbol)
        entry = self.disk.get(batch.decode()) if batch is not None else None
        if entry is not None:
            names, _, code = entry.partition(b"\n")
            symbols = names.decode().split()
            self._keep(load_object(code), symbols)
            self.loaded += len(symbols)

    def _save(self, symbols: Iterable[str], code: bytes) -> None:
        names = " ".join(symbols)
        batch = "batch " + sha256(names.encode()).hexdigest()
        self.disk.put(batch, names.encode() + b"\n" + code)
        for symbol in symbols:
            self.disk.put(symbol, batch.encode())

    def _keep(self, library: Library, symbols: Iterable[str]) -> None:
        self._libraries.append(library)
        for symbol in symbols:
            self._addresses.setdefault(symbol, library.address(symbol))

    # --- threads ----------------------------------------------------------------------------------

    def _start_thread(self) -> None:
        """One more thread, if there may be; it ends when nothing is wanted any more."""
        if self._threads < self._limit:
            self._threads += 1
            try:
                threading.Thread(target=self._compile_wanted, name="funcflow-compiler").start()
            except RuntimeError:  # there are too many, or the interpreter ends
                self._threads -= 1

    def _compile_wanted(self) -> None:
        """What a thread does: one of its own, or the caller's if there is no other."""
        while batch := self._take_batch():
            try:
                code = compile_module(batch_text(batch))
                library = load_object(code)
                with self._changed:
                    self._keep(library, batch)
                    self.compiled += len(batch)
                    self._end(batch)
            except BaseException as error:  # raised again where the functions are needed
                with self._changed:
                    self._failed |= dict.fromkeys(batch, error)
                    self._end(batch)
                continue
            self._save(batch, code)

    def _take_batch(self) -> Mapping[str, Kernel | Routine]:
        """This thread's share of what is wanted; nothing, and the thread is gone."""
        with self._lock:
            share = -(-len(self._wanted) // self._limit)
            batch = {s: self._wanted.pop(s) for s in list(islice(self._wanted, share))}
            self._begun |= batch
            if not batch:
                self._threads -= 1
            return batch

    def _end(self, batch: Iterable[str]) -> None:
        for symbol in batch:
            self._begun.pop(symbol, None)
        self._changed.notify_all()

    def before_fork(self) -> None:
        """Keep other threads out."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """The threads are gone: what they had begun is wanted again."""
        self._wanted |= self._begun
        self._begun = {}
        self._threads = 0
        self._changed = threading.Condition(self._lock)
        self._lock.release()


def symbol_of(work: Kernel | Routine) -> str:
    """The name of a function, which tells its text."""
    return f"{'k' if isinstance(work, Kernel) else 'r'}{work.digest}"


def batch_text(works: Mapping[str, Kernel | Routine]) -> str:
    """The module of LLVM IR that defines functions under the given names."""
    kernels = {s: expand(w, machine_ops()) for s, w in works.items() if isinstance(w, Kernel)}
    parts = [module_text(kernels)] if kernels else []
    for symbol, work in works.items():
        if isinstance(work, Routine):
            parts.append(work.text.replace(f"@{work.name}(", f"@{symbol}("))
    return _with_declarations_once(parts)


def _with_declarations_once(parts: Sequence[str]) -> str:
    """Texts of modules as one; each external function is declared once."""
    lines = [line for part in parts for line in part.splitlines()]
    declarations = dict.fromkeys(line for line in lines if line.startswith("declare"))
    return "\n".join([*declarations, *(line for line in lines if not line.startswith("declare"))])


@cache
def store() -> KernelStore:
    """The process's functions, with the user's cache directory."""
    found = KernelStore(disk_cache())
    _stores.append(found)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=found.before_fork,
            after_in_parent=found.after_fork_in_parent,
            after_in_child=found.after_fork_in_child,
        )
    return found


# Two threads that come first at once may each make one, and both run its code.
_stores: list[KernelStore] = []
