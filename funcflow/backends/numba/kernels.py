"""The native functions of kernels and routines: known already, loaded from disk, or compiled.

A function is known by its text, so equal layers of a model, equal programs and later processes
share it. What a program lacks is compiled as one module, a *batch*, which takes half the time of a
module for each. On disk a batch is one entry, and each of its functions a small one that names it.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256

from funcflow.backends.cache import KernelCache
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.llvm import module_text
from funcflow.backends.numba.runtime import Library, compile_module, disk_cache, load_object
from funcflow.backends.program import Routine
from funcflow.backends.scalars import expand


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
        self._lock = threading.Lock()

    def addresses(self, works: Iterable[Kernel | Routine]) -> list[int]:
        """The address of each function, compiled if need be."""
        texts = {symbol_of(w): w for w in works}
        with self._lock:
            for symbol in texts:
                if symbol not in self._addresses:
                    self._load(symbol)
            missing = {s: w for s, w in texts.items() if s not in self._addresses}
            if missing:
                self._compile(missing)
            return [self._addresses[symbol_of(w)] for w in works]

    def _load(self, symbol: str) -> None:
        """Load the batch on disk that has the function, and with it all others in the batch."""
        batch = self.disk.get(symbol)
        entry = self.disk.get(batch.decode()) if batch is not None else None
        if entry is not None:
            names, _, code = entry.partition(b"\n")
            symbols = names.decode().split()
            self._keep(load_object(code), symbols)
            self.loaded += len(symbols)

    def _compile(self, missing: Mapping[str, Kernel | Routine]) -> None:
        code = compile_module(batch_text(missing))
        self._keep(load_object(code), missing)
        self.compiled += len(missing)
        names = " ".join(missing)
        batch = "batch " + sha256(names.encode()).hexdigest()
        self.disk.put(batch, names.encode() + b"\n" + code)
        for symbol in missing:
            self.disk.put(symbol, batch.encode())

    def _keep(self, library: Library, symbols: Iterable[str]) -> None:
        self._libraries.append(library)
        for symbol in symbols:
            self._addresses.setdefault(symbol, library.address(symbol))


def symbol_of(work: Kernel | Routine) -> str:
    """The name of a function, which tells its text."""
    letter = "k" if isinstance(work, Kernel) else "r"
    return letter + sha256(work.text.encode()).hexdigest()[:24]


def batch_text(works: Mapping[str, Kernel | Routine]) -> str:
    """The module of LLVM IR that defines functions under the given names."""
    kernels = {s: expand(w) for s, w in works.items() if isinstance(w, Kernel)}
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
    return KernelStore(disk_cache())
