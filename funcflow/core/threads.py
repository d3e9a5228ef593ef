"""How many threads a computation may use."""

import os

from funcflow.core.config import config


def thread_count() -> int:
    """The processors that this process may run on, or less if something says so.

    That may be NUMBA_NUM_THREADS, OMP_NUM_THREADS or the setting `num_threads`.
    """
    return min(filter(None, (available(), _variable("OMP_NUM_THREADS"), config.thread_cap())))


def available() -> int:
    """The number of threads that Numba launches."""
    return _variable("NUMBA_NUM_THREADS") or processors()


def processors() -> int:
    """The number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _variable(name: str) -> int | None:
    """A positive number in the environment, of lists as in OMP_NUM_THREADS=4,2 the first."""
    text = os.environ.get(name, "").split(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None
