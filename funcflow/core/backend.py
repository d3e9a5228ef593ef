"""The interface between `jit` and the backends.

A backend turns a closed jaxpr into a function of buffers. `transforms.jit` knows only this
interface; `funcflow/__init__.py` registers the backends, each with a loader, so that a backend's
libraries are imported at its first use.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from funcflow.core.errors import ArgumentError

if TYPE_CHECKING:
    from funcflow.core.jaxpr import ClosedJaxpr


class Executable(Protocol):
    """A compiled program: buffers in, buffers out. `as_text` shows it."""

    def __call__(self, *buffers: Any) -> Sequence[Any]: ...

    def as_text(self) -> str: ...


class Backend(Protocol):
    """Lowers and compiles jaxprs; what is compiled has no constants, they come as arguments."""

    name: str

    def lower(self, jaxpr: "ClosedJaxpr") -> "Mapping[str, ClosedJaxpr]":
        """The jaxpr after each pass, in order; the last one is what `compile` takes."""
        ...

    def compile(self, jaxpr: "ClosedJaxpr") -> Executable: ...


_loaders: dict[str, Callable[[], Backend]] = {}
_loaded: dict[str, Backend] = {}


def register_backend(name: str, loader: Callable[[], Backend]) -> None:
    """Offer a backend; `loader` runs at its first use."""
    _loaders[name] = loader


def get_backend(name: str = "cpu") -> Backend:
    """The backend of that name, loaded if need be."""
    if name not in _loaded:
        if name not in _loaders:
            raise ArgumentError(
                f"jit: no backend named {name!r}", mend=f"use one of {', '.join(sorted(_loaders))}"
            )
        _loaded[name] = _loaders[name]()
    return _loaded[name]


def array_namespace(buffers: Sequence[Any]) -> Any:
    """NumPy, or the module of the first buffer that is not NumPy's."""
    for buffer in buffers:
        if type(buffer) is not np.ndarray and not isinstance(buffer, np.generic):
            return buffer.__array_namespace__()
    return np
