"""Where in the user's program an operation was asked for.

Every equation and every error carries the user's own line. The walk up the stack skips the
files of this package; it runs once per staged equation, so it has to cost well under a
microsecond: whether a code object is ours is remembered per file name.
"""

import contextlib
import linecache
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from os.path import dirname, sep
from typing import Any, NamedTuple

import optree

_PACKAGE = dirname(dirname(__file__)) + sep
_OPTREE = dirname(str(optree.__file__)) + sep
_CONTEXTLIB = str(contextlib.__file__)  # the frame between a `with` statement and our context
_internal: dict[str, bool] = {"<string>": False}


class Source(NamedTuple):
    """A place in a program: file, line and the function it lies in."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.place} ({self.function})"

    @property
    def place(self) -> str:
        """File and line; for a cell of a notebook, its number and line."""
        return f"{_cell(self.file) or self.file}:{self.line}"

    def text(self) -> str:
        """The line of code itself, or an empty string where it cannot be read."""
        return linecache.getline(self.file, self.line).strip()


def _cell(file: str) -> str | None:
    """The name of a notebook's cell, `In[3]`: its code lies in a temporary file."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    named = shell and shell.compile.format_code_name(file)
    return named[1] if named else None


# While a transform replays a jaxpr, new equations belong to the line of the old ones.
_override: ContextVar[Source | None] = ContextVar("source", default=None)


def is_internal(file: str) -> bool:
    """Whether a file belongs to this package (and so is no line of the user's)."""
    known = _internal.get(file)
    if known is None:
        known = file.startswith((_PACKAGE, _OPTREE, _CONTEXTLIB, "<frozen"))
        _internal[file] = known
    return known


def user_source() -> Source | None:
    """The innermost line outside this package, or None if there is none."""
    override = _override.get()
    if override is not None:
        return override
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        code = frame.f_code
        if not (_internal.get(code.co_filename) or is_internal(code.co_filename)):
            return Source(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return None


@contextmanager
def at_source(source: Source | None) -> Generator[None]:
    """Attribute everything staged inside to `source`."""
    token = _override.set(source)
    try:
        yield
    finally:
        _override.reset(token)


def set_source(source: Source | None) -> None:
    """Attribute what follows to `source`; for loops that sit inside `at_source`."""
    _override.set(source)
