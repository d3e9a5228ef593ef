"""Where in the user's program an operation was asked for.

Every equation and every error carries the user's own line. The walk up the stack skips the
files of this package; it runs once per staged equation, so it has to cost well under a
microsecond: whether a code object is ours is remembered per file name.
"""

import contextlib
import linecache
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from os.path import dirname, sep
from typing import Any, NamedTuple, ParamSpec, TypeVar

import optree

_P = ParamSpec("_P")
_R = TypeVar("_R")

_PACKAGE = dirname(dirname(__file__)) + sep
_OPTREE = dirname(str(optree.__file__)) + sep
_CONTEXTLIB = str(contextlib.__file__)  # the frame between a `with` statement and our context
_THREADING = str(threading.__file__)  # the outermost frames of a thread that runs our code
_internal: dict[str, bool] = {"<string>": False}


class Source(NamedTuple):
    """A place in a program: file, line and the function it lies in.

    Transforms add notes: what they made of the operations of that place, first one first. They are
    no part of the place: sources are equal if their places are.
    """

    file: str
    line: int
    function: str
    notes: tuple[object, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and self[:3] == other[:3]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:3])

    def noted(self, note: object) -> "Source":
        """The same place with one more note."""
        return Source(self.file, self.line, self.function, (*self.notes, note))

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
        known = file.startswith((_PACKAGE, _OPTREE, _CONTEXTLIB, _THREADING, "<frozen"))
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


def attributed(
    source: Source | None, function: Callable[..., Any], *args: Any, **params: Any
) -> Any:
    """Call `function`; everything staged meanwhile is attributed to `source`."""
    token = _override.set(source)
    try:
        return function(*args, **params)
    finally:
        _override.reset(token)


def own_lines(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A user's function, with what it stages attributed to its own lines.

    For rules, which are called while a transform replays a jaxpr, and so attributes everything to
    the line where the function was called that the rule belongs to. Rules of this package stay so.
    """
    code = getattr(function, "__code__", None)
    if code is None or is_internal(code.co_filename):
        return function

    @wraps(function)
    def rule(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return attributed(None, function, *args, **kwargs)

    return rule


def set_source(source: Source | None) -> None:
    """Attribute what follows to `source`; for loops that sit inside `at_source`."""
    _override.set(source)
