"""Bars on stderr that show how far loops have come.

Loops count steps in records, which native code can do as well as Python (`advance`). A thread reads
the records a few times per second while there are bars, and writes what has changed. It also says
how many steps a loop of unknown length may take at a time, so that loops need no clock.

Loops run in any thread, so one lock guards all of what is here, but for the counts in the records.
On a terminal a bar is written over and over in its line; elsewhere each state is a line.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import TextIO

import numpy as np

from funcflow.core.interpret import bodies

# Seconds between two states of a bar on a terminal, and between two lines elsewhere.
ON_TERMINAL, IN_LINES = 0.25, 1.0
PERIOD = 0.25  # seconds between two looks at the records
WIDTH = 10
# Where loops ask how many steps may pass before they tell more: how long these should take, and how
# many times more they may be than those before. More are never asked for than `LONGEST`.
SECONDS, GROWTH, LONGEST = 0.1, 2, 2**31 - 1
# How many bars there can be at a time: where there are more, the oldest are forgotten.
MAX_RUNS = 256

# A record is a row: the number of the bar, how many steps are done, how many may come next, and how
# many may come at a time at most. That of a bar is row `number % MAX_RUNS`.
WORDS = 4
NUMBER, DONE, NEXT, LIMIT = range(WORDS)
RECORDS = np.zeros((MAX_RUNS, WORDS), np.int64)

_lock = threading.RLock()
_runs: dict[int, "Run"] = {}  # by number, the oldest first
_count = 0
_open = 0  # how many characters the unfinished line on the terminal has
_watcher: threading.Thread | None = None


class Run:
    """A loop that is running.

    Args:
        number: by which the bar is known.
        label: what to call it.
        total: how many steps it will take; None if that is not known.
    """

    def __init__(self, number: int, label: str, total: int | None) -> None:
        self.label = label
        self.total = total
        self.thread = threading.get_ident()
        self.started = self._shown = self._told = monotonic()
        self._done_shown = self._done_told = 0
        self._record = RECORDS[number % MAX_RUNS]
        self._record[:] = number, 0, 1, LONGEST

    @property
    def done(self) -> int:
        """How many steps are done."""
        return int(self._record[DONE])

    def advance(self, steps: int) -> int:
        """So many more steps are done; how many may come next. Native code does the same."""
        record = self._record
        record[DONE] += steps
        record[NEXT] = min(record[NEXT] * GROWTH, record[LIMIT])
        return int(record[NEXT])

    def pace(self, now: float) -> None:
        """Limit the steps that may come at a time to what takes `SECONDS`."""
        steps, spent = self.done - self._done_told, now - self._told
        if steps:
            self._record[LIMIT] = min(max(steps * SECONDS / max(spent, 1e-9), 1), LONGEST)
            self._done_told, self._told = self.done, now

    def show(self, now: float) -> None:
        """Write how many steps are done, if that has changed and the last state has stood long."""
        due = ON_TERMINAL if _is_terminal(sys.stderr) else IN_LINES
        if self.done != self._done_shown and now - self._shown >= due:
            self._done_shown, self._shown = self.done, now
            _write(self.text(now), last=False)

    def text(self, now: float) -> str:
        """The bar, `label:  42% |████      | 42/100 [00:03<00:04]`, or how many steps are done."""
        spent = now - self.started
        if self.total is None:
            rate = self.done / spent if spent > 0 else 0.0
            digits = f"{rate:.0f}" if rate >= 10 else f"{rate:.2f}"
            return f"{self.label}: {self.done} steps [{_clock(spent)}, {digits}/s]"
        share = self.done / self.total if self.total else 1.0
        bar = "█" * int(share * WIDTH)
        left = _clock(spent / share - spent) if share else "?"
        counts = f"{self.done}/{self.total} [{_clock(spent)}<{left}]"
        return f"{self.label}: {int(share * 100):3d}% |{bar:{WIDTH}}| {counts}"


def begin(label: str, total: int | None) -> int:
    """Start a bar; the number by which it is known."""
    with _lock:
        if len(_runs) == MAX_RUNS:
            del _runs[next(iter(_runs))]
        number = _free_number()
        _runs[number] = Run(number, label, total)
        _watch()
        return number


def advance(number: int, steps: int) -> int:
    """So many more steps are done; how many may pass before the next call."""
    with _lock:
        run = _runs.get(number)
        if run is None:
            return LONGEST
        following = run.advance(steps)
        run.show(monotonic())
        return following


def end(number: int) -> None:
    """Write the last line of a bar."""
    with _lock:
        run = _runs.pop(number, None)
        if run is not None:
            _write(run.text(monotonic()), last=True)
            _forget(since=number)


def leave_line() -> None:
    """End the line of a bar that stands unfinished on the terminal, before others write there."""
    global _open
    with _lock:
        if _open:
            _open = 0
            with suppress(OSError, ValueError):
                sys.stderr.write("\n")
                sys.stderr.flush()


def abandon() -> None:
    """An error has left the loops of this thread: their bars are gone, and the line ends.

    Within a callback these may be loops around it, which go on if it handles the error: only the
    line ends.
    """
    leave_line()
    if bodies.get() is None:
        with _lock:
            _forget(since=0)


def _forget(since: int) -> None:
    """End bars of this thread without a word: loops that began later than another, and are left."""
    own = threading.get_ident()
    for number in [n for n, run in _runs.items() if n > since and run.thread == own]:
        del _runs[number]


@contextmanager
def whole_lines() -> Iterator[None]:
    """Where an error leaves, the line of an unfinished bar ends."""
    try:
        yield
    except BaseException:
        abandon()
        raise


def _free_number() -> int:
    """The next number whose record no bar has; no number is given twice for a long time."""
    global _count
    taken = {number % MAX_RUNS for number in _runs}
    while True:
        _count = _count % LONGEST + 1
        if _count % MAX_RUNS not in taken:
            return _count


# --- the thread ---------------------------------------------------------------------------------


def refresh() -> bool:
    """Look at all records once; whether there are any bars."""
    with _lock:
        now = monotonic()
        for run in _runs.values():
            run.pace(now)
            run.show(now)
        return bool(_runs)


def _watch() -> None:
    """Have a thread that looks at the records until there are no bars."""
    global _watcher
    if _watcher is None:
        thread = threading.Thread(target=_refresh_again_and_again, name="bars", daemon=True)
        with suppress(RuntimeError):  # no thread can start: native loops show their last state only
            thread.start()
            _watcher = thread


def _refresh_again_and_again() -> None:
    global _watcher
    while True:
        sleep(PERIOD)
        with _lock:
            if not refresh():
                _watcher = None
                return


def _after_fork_in_child() -> None:
    """Bars belong to the parent, as the thread does."""
    global _watcher
    _watcher = None
    _runs.clear()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire,
        after_in_parent=_lock.release,
        after_in_child=_after_fork_in_child,
    )


# --- lines --------------------------------------------------------------------------------------


def _write(text: str, last: bool) -> None:
    global _open
    with suppress(OSError, ValueError, AttributeError):  # a bar that cannot be seen ends no loop
        if _is_terminal(sys.stderr):
            sys.stderr.write("\r" + text.ljust(_open) + "\n" * last)
            _open = 0 if last else len(text)
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"
