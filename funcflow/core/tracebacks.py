"""Tracebacks that show the user's lines and not this package's.

Between the call of a transformed function and the line in it that fails lie dozens of frames of
this package. They are taken out of an error's traceback where it leaves the package: in `except`
clauses of the functions that call the user's, so nothing is spent unless there is an error.
`ff.config(show_internal_frames=True)` leaves tracebacks as they are.
"""

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

from funcflow.core.config import config
from funcflow.core.errors import FuncflowError
from funcflow.core.source import is_internal

_P = ParamSpec("_P")
_R = TypeVar("_R")


def hide_internal_frames(error: Exception) -> None:
    """Take this package's frames out of the error's traceback.

    To be followed by a bare `raise`, which does not add the frame that it stands in. An error that
    was not raised on purpose keeps the frames behind the user's last line: they show its cause.
    """
    if config.show_internal_frames:
        return
    frames: list[TracebackType] = []
    tb = error.__traceback__
    while tb is not None:
        frames.append(tb)
        tb = tb.tb_next
    following: TracebackType | None = None
    cause = not isinstance(error, FuncflowError)
    for tb in reversed(frames):
        internal = is_internal(tb.tb_frame.f_code.co_filename)
        cause = cause and internal
        if cause or not internal:
            tb.tb_next = following
            following = tb
    error.__traceback__ = following


def hides_internal_frames(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The function, with tracebacks of what is raised in it that show the user's lines."""

    @wraps(function)
    def outermost(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            hide_internal_frames(error)
            raise

    return outermost
