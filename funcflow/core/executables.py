"""The cache of compiled programs, shared by all jitted functions."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

from funcflow.core.backend import Executable, get_backend
from funcflow.core.collector import collection_paused
from funcflow.core.config import config
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.structure import structural_key

MAX_EXECUTABLES = 2048
_executables: OrderedDict[Hashable, Executable] = OrderedDict()
_lock = threading.Lock()


def lowered_stages(closed: ClosedJaxpr) -> Mapping[str, ClosedJaxpr]:
    """The jaxpr after each of the backend's passes."""
    return get_backend(config.backend).lower(closed)


def lowered(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The jaxpr after all of the backend's passes."""
    return list(lowered_stages(closed).values())[-1]


# Told of each program that is compiled: what it is, and why it was not known.
observers: list[Callable[[str], None]] = []


def compiled(
    closed: ClosedJaxpr, what: Callable[[], str] = lambda: "a program", *, is_lowered: bool = False
) -> Executable:
    """The executable of a jaxpr, from the cache if one of the same structure is there.

    Args:
        closed: the program.
        what: tells observers what it is.
        is_lowered: whether the passes have run. A derivative of a jitted function never saw them.
    """
    modes = (config.backend, config.flush_denormals, config.parallel)
    key = (structural_key(closed), *modes)
    with _lock:
        found = _executables.get(key)
        if found is not None:
            _executables.move_to_end(key)
            return found
    # two threads may compile the same program; that costs time, and a lock held here costs more
    with collection_paused():
        made = get_backend(config.backend).compile(closed if is_lowered else lowered(closed))
    for observe in observers:
        observe(what())
    with _lock:
        _executables[key] = made
        if len(_executables) > MAX_EXECUTABLES:
            _executables.popitem(last=False)
    return made


def clear_caches() -> None:
    """Forget all compiled programs."""
    with _lock:
        _executables.clear()
