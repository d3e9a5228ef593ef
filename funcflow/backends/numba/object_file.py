"""Object code of x86-64 made callable without LLVM.

A process that finds all its kernels on disk has no other use for LLVM than to load them, and to
import llvmlite takes longer than all else it does to get them. What the code generator writes for
a process at run time is simple: a few sections that are only read, and refer to each other and to
the C library by 64-bit addresses. They are copied into memory, the addresses are filled in, and the
memory becomes executable. Files with anything else in them are left to LLVM.

The format is that of the System V ABI (gABI, chapters 4 and 5) and of its supplement for AMD64.
"""

import ctypes
import mmap
from collections.abc import Iterator
from functools import cache
from struct import Struct
from typing import Any, NamedTuple

_IDENTITY = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _NOBITS, _REL = 1, 2, 4, 8, 9
_UNWIND = 0x70000001  # for exceptions, which kernels do not throw
_WRITE, _ALLOC, _TLS = 1, 2, 1 << 10  # flags of sections
_UNDEFINED, _RESERVED = 0, 0xFF00  # numbers of no section
_GLOBAL_FUNCTION = 0x12
_ADDRESS = 1  # R_X86_64_64, the only kind of relocation in the large code model
_PROT_READ_EXECUTE = 1 | 4

_FILE = Struct("<16sHHIQQQIHHHHHH")
_SECTION = Struct("<IIQQQQIIQQ")
_SYMBOL = Struct("<IBBHQQ")
_RELOCATION = Struct("<QQq")
_WORD = Struct("<Q")


class Loaded:
    """Functions in memory, which lasts as long as the object does."""

    def __init__(self, memory: mmap.mmap, functions: dict[str, int]) -> None:
        self._memory = memory
        self._functions = functions

    def get_function_address(self, name: str) -> int:
        """Where a function starts; 0 if there is none of that name."""
        return self._functions.get(name, 0)


class _Section(NamedTuple):
    """A header of a section; `info` and `link` are numbers of others."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class _Symbol(NamedTuple):
    """A place in a section, or a name that others define."""

    name: str
    kind: int
    section: int
    value: int


def load(code: bytes) -> Loaded | None:
    """The functions of an object file, or None if this is for LLVM to load.

    The file must be intact.
    """
    sections = _sections(code)
    placed = _placed(sections)
    if placed is None:
        return None
    starts, size = placed
    memory = mmap.mmap(-1, max(size, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for number, start in starts.items():
        s = sections[number]
        if s.kind == _PROGBITS:
            memory[start : start + s.size] = code[s.offset : s.offset + s.size]
    symbols = list(_symbols(code, sections))
    addresses = [_address(symbol, starts, base) for symbol in symbols]
    for s in sections:
        if s.kind == _RELA and s.info in starts:
            for offset, info, addend in _RELOCATION.iter_unpack(_content(code, s)):
                target = addresses[info >> 32]
                if info & 0xFFFFFFFF != _ADDRESS or target is None:
                    return None
                _WORD.pack_into(memory, starts[s.info] + offset, (target + addend) % 2**64)
    if _process().mprotect(ctypes.c_void_p(base), ctypes.c_size_t(size), _PROT_READ_EXECUTE):
        return None
    pairs = zip(symbols, addresses, strict=True)
    return Loaded(memory, {s.name: a for s, a in pairs if s.kind == _GLOBAL_FUNCTION and a})


def _sections(code: bytes) -> list[_Section]:
    """The headers of the sections; none if it is a file of another kind."""
    if len(code) < _FILE.size or not code.startswith(_IDENTITY):
        return []
    _, kind, machine, _, _, _, offset, _, _, _, _, _, count, _ = _FILE.unpack_from(code)
    if (kind, machine) != (_RELOCATABLE, _X86_64):
        return []
    return [_Section(*_SECTION.unpack_from(code, offset + i * _SECTION.size)) for i in range(count)]


def _placed(sections: list[_Section]) -> tuple[dict[int, int], int] | None:
    """Where sections that are needed start in memory, and its size; None if one is of no use."""
    starts: dict[int, int] = {}
    end = 0
    for number, s in enumerate(sections):
        if s.flags & _ALLOC and s.kind != _UNWIND:
            if s.flags & (_WRITE | _TLS) or s.kind not in (_PROGBITS, _NOBITS):
                return None
            start = -(-end // max(s.alignment, 1)) * max(s.alignment, 1)
            starts[number], end = start, start + s.size
        if s.kind == _REL:
            return None
    return (starts, end) if starts else None


def _symbols(code: bytes, sections: list[_Section]) -> list[_Symbol]:
    return [
        symbol for s in sections if s.kind == _SYMTAB for symbol in _of_table(code, sections, s)
    ]


def _of_table(code: bytes, sections: list[_Section], table: _Section) -> Iterator[_Symbol]:
    names = _content(code, sections[table.link])
    for name, kind, _, section, value, _ in _SYMBOL.iter_unpack(_content(code, table)):
        yield _Symbol(names[name : names.index(b"\0", name)].decode(), kind, section, value)


def _address(symbol: _Symbol, starts: dict[int, int], base: int) -> int | None:
    """Where a symbol is; None if that is unknown."""
    if symbol.section == _UNDEFINED:
        return _foreign(symbol.name)
    if symbol.section in starts and symbol.section < _RESERVED:
        return base + starts[symbol.section] + symbol.value
    return None


def _foreign(name: str) -> int | None:
    """Where a function of the process is."""
    function = getattr(_process(), name, None) if name else None
    return None if function is None else ctypes.cast(function, ctypes.c_void_p).value


def _content(code: bytes, section: _Section) -> bytes:
    return code[section.offset : section.offset + section.size]


@cache
def _process() -> Any:
    """The functions of this process."""
    return ctypes.CDLL(None)
