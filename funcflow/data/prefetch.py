"""A background thread that works ahead of the loop that uses its results.

The thread holds the channel, never the iterator that the loop has: so that one is collected as soon
as the loop lets it go, which stops the thread. A loop that ends by an error may leave its iterator
in a traceback; such threads wait, and stop at the end of the interpreter.
"""

import atexit
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

from funcflow.core.config import config

# Seconds after which a waiting loop looks around: some systems deliver Ctrl-C only then, and after
# a fork there is no thread to wait for.
PERIOD = 0.5
# Seconds that the end of the interpreter waits for a thread that is in the middle of a step.
PATIENCE = 5.0

_END = object()


class _Failure:
    """What the thread raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Channel:
    """A queue of bounded length, whose ends can be closed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Any) -> bool:
        """Wait for room and add an item; False if nobody wants it any more."""
        with self._changed:
            while len(self._items) >= self._size and not self._closed:
                self._changed.wait()
            self._items.append(item)
            self._changed.notify_all()
            return not self._closed

    def get(self, alive: Callable[[], bool]) -> Any:
        """Wait for an item and take it out."""
        with self._changed:
            while not self._items:
                if not alive():
                    raise RuntimeError(
                        "prefetch: the thread that works ahead is gone (after a fork, start the "
                        "epoch again in the new process)"
                    )
                self._changed.wait(PERIOD)
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Tell the thread that nothing more is wanted."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()


_running: dict[threading.Thread, _Channel] = {}


def prefetched(start: Callable[[], Iterator[Any]], size: int) -> Generator[Any]:
    """The items of the iterator that `start()` gives, computed in a thread, `size` ahead.

    The thread starts when the first item is asked for, in a copy of the context of that moment. An
    error that it raises is raised here in its place, with its own traceback. When this generator is
    closed or collected, the thread finishes the item that it is at, and is waited for.
    """
    channel = _Channel(size)
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run, args=(_work, start, channel), name="prefetch", daemon=True
    )
    _running[thread] = channel
    try:
        thread.start()
        while (item := channel.get(thread.is_alive)) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        item = None  # a failure holds frames that may hold this generator
        channel.close()
        # Not if the collector runs this in the thread itself, or Ctrl-C came while it started.
        with suppress(RuntimeError):
            thread.join()
        _running.pop(thread, None)


def _work(start: Callable[[], Iterator[Any]], channel: _Channel) -> None:
    """Work ahead, in this thread alone: the other threads are for the step that runs meanwhile."""
    try:
        with config(parallel=False):
            for item in start():
                if not channel.put(item):
                    return
        channel.put(_END)
    except BaseException as error:
        channel.put(_Failure(error))


def _stop_all() -> None:
    """No thread may run Python code while the interpreter is taken down."""
    for channel in list(_running.values()):
        channel.close()
    for thread in list(_running):
        thread.join(PATIENCE)


atexit.register(_stop_all)
