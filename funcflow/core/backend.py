"""The interface between `jit` and the backends.

A backend turns a closed jaxpr into a function of buffers. `transforms.jit` knows only this
interface; `funcflow/__init__.py` registers the backends, each with a loader, so that a backend's
libraries are imported at its first use.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from funcflow.core.errors import ArgumentError

if TYPE_CHECKING:
    from funcflow.core.jaxpr import ClosedJaxpr


@dataclass(frozen=True)
class Memory:
    """The bytes that a call of a compiled program needs.

    Attributes:
        arguments: of the arguments, captured arrays included.
        outputs: of the results.
        constants: of what is part of the program.
        temporaries: of the arena that all intermediate results share.
        donated: of the arguments whose memory results take; they count once in the peak.

    Example:
        >>> ff.jit(lambda x: fnp.sin(x) * 2).lower(fnp.ones(1000)).memory().peak
        8000
    """

    arguments: int
    outputs: int
    constants: int = 0
    temporaries: int = 0
    donated: int = 0

    @property
    def peak(self) -> int:
        """All of it together: what is in use at the same time."""
        return self.arguments + self.outputs + self.constants + self.temporaries - self.donated

    def __str__(self) -> str:
        parts = [("arguments", self.arguments), ("outputs", self.outputs)]
        parts += [("constants", self.constants), ("temporaries", self.temporaries)]
        text = ", ".join(f"{what} {in_bytes(n)}" for what, n in parts if n)
        donated = f", {in_bytes(self.donated)} of them donated" if self.donated else ""
        return f"{text or 'none'}{donated}; peak {in_bytes(self.peak)}"


def in_bytes(count: float) -> str:
    """A number of bytes for people to read: `1.57 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} TB"


@dataclass(frozen=True)
class Donations:
    """Which results may take the memory of which arguments, and why the other arguments cannot.

    Attributes:
        takes: the number of an argument, by the number of the result.
        refused: a reason, by the number of the argument.
    """

    takes: "Mapping[int, int]"
    refused: "Mapping[int, str]"


class Explanation(Protocol):
    """What a compiled program does: one entry for each step; its `str` is a report."""

    @property
    def steps(self) -> Sequence[Any]: ...

    def __str__(self) -> str: ...


# Given a call's arguments as they are, returns what they give, or None if they are not as expected.
DirectCall: TypeAlias = Callable[[tuple[Any, ...]], Sequence[Any] | None]


class Executable(Protocol):
    """A compiled program: buffers in, buffers out.

    The results share no memory with the arguments, which their owners may change later.
    """

    def __call__(self, *buffers: Any) -> Sequence[Any]: ...

    def memory(self) -> Memory:
        """What a call needs, donations aside."""
        ...

    def donations(self, arguments: Sequence[int]) -> Donations:
        """Whether these arguments' memory can become results."""
        ...

    def call_with(self, buffers: Sequence[Any], taken: "Mapping[int, int]") -> Sequence[Any]:
        """A call in which results, by number, take the memory of arguments.

        `taken` is part of what `donations` allows; the caller is the only one who holds those
        arguments' buffers, which are contiguous and may be written to.
        """
        ...

    def direct(self, leaves: Sequence[Any]) -> DirectCall | None:
        """A quicker call for arguments of the types, dtypes and shapes of these, if there is one.

        They may be arrays of ours or NumPy's.
        """
        ...

    def sole_view(self, buffer: Any) -> bool:
        """Whether no other array uses the memory that a buffer is a view of."""
        ...


class Backend(Protocol):
    """Lowers and compiles jaxprs; what is compiled has no constants, they come as arguments."""

    name: str

    def lower(self, jaxpr: "ClosedJaxpr") -> "Mapping[str, ClosedJaxpr]":
        """The jaxpr after each pass, in order; the last one is what `compile` takes."""
        ...

    def compile(self, jaxpr: "ClosedJaxpr") -> Executable: ...

    def kernels_compiled(self) -> int:
        """How many native functions this process has compiled, rather than loaded or known."""
        ...


class Inspector(Protocol):
    """Shows people what a backend does."""

    def texts(self, jaxpr: "ClosedJaxpr") -> "Mapping[str, Callable[[], str]]":
        """What shows each stage of compiling, in order, by the stage's name."""
        ...

    def explain(
        self,
        jaxpr: "ClosedJaxpr",
        title: str,
        buffers: Sequence[Any] | None,
        donated: "Mapping[int, str]",
    ) -> Explanation:
        """What the compiled program does; with buffers also how long each step takes.

        `donated` has the numbers and names of arguments whose memory is given away.
        """
        ...

    def text(self, executable: Any) -> str:
        """What a compiled program does, step by step."""
        ...


_Loaders: TypeAlias = tuple[Callable[[], Backend], Callable[[], Inspector]]

_loaders: dict[str, _Loaders] = {}
_backends: dict[str, Backend] = {}
_inspectors: dict[str, Inspector] = {}


def register_backend(
    name: str, loader: Callable[[], Backend], inspector: Callable[[], Inspector]
) -> None:
    """Offer a backend, and what shows it; each loader runs at the first use."""
    _loaders[name] = loader, inspector


def get_backend(name: str = "cpu") -> Backend:
    """The backend of that name, loaded if need be."""
    if name not in _backends:
        _backends[name] = _registered(name)[0]()
    return _backends[name]


def get_inspector(name: str = "cpu") -> Inspector:
    """What shows the backend of that name, loaded if need be."""
    if name not in _inspectors:
        _inspectors[name] = _registered(name)[1]()
    return _inspectors[name]


def _registered(name: str) -> _Loaders:
    if name not in _loaders:
        raise ArgumentError(
            f"jit: no backend named {name!r}", mend=f"use one of {', '.join(sorted(_loaders))}"
        )
    return _loaders[name]


def array_namespace(buffers: Sequence[Any]) -> Any:
    """NumPy, or the module of the first buffer that is not NumPy's."""
    for buffer in buffers:
        if type(buffer) is not np.ndarray and not isinstance(buffer, np.generic):
            return buffer.__array_namespace__()
    return np
