"""Bars on stderr that show how far loops have come.

Loops run in any thread, so one lock guards all of what is here. On a terminal a bar is written over
and over in its line; elsewhere each state is a line. Either happens a few times per second at most.
"""

import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TextIO

# Seconds between two states of a bar on a terminal, and between two lines elsewhere.
ON_TERMINAL, IN_LINES = 0.25, 1.0
WIDTH = 10
# Where loops ask how many steps may pass before they tell more: how long these should take, and how
# many times more they may be than those before. More are never asked for than `LONGEST`.
SECONDS, GROWTH, LONGEST = 0.1, 8, 2**31 - 1
# Loops that an error has ended are never heard of again: the oldest are forgotten.
_MAX_RUNS = 256

_lock = threading.RLock()
_runs: "OrderedDict[int, Run]" = OrderedDict()
_count = 0
_open = 0  # how many characters the unfinished line on the terminal has


class Run:
    """A loop that is running.

    Args:
        label: what to call it.
        total: how many steps it will take; None if that is not known.
    """

    def __init__(self, label: str, total: int | None) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.started = self.shown = self.told = monotonic()

    def pace(self, steps: int, now: float) -> int:
        """How many steps may come next, if so many have passed since this was asked last."""
        spent, self.told = now - self.told, now
        return int(min(max(steps * min(SECONDS / max(spent, 1e-9), GROWTH), 1), LONGEST))

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
    global _count
    with _lock:
        _count = _count % LONGEST + 1
        _runs[_count] = Run(label, total)
        if len(_runs) > _MAX_RUNS:
            _runs.popitem(last=False)
        return _count


def advance(number: int, steps: int) -> int:
    """So many more steps are done; how many may pass before the next call."""
    with _lock:
        run = _runs.get(number)
        if run is None:
            return LONGEST
        run.done += steps
        now = monotonic()
        if now - run.shown >= (ON_TERMINAL if _is_terminal(sys.stderr) else IN_LINES):
            run.shown = now
            _write(run.text(now), last=False)
        return run.pace(steps, now)


def end(number: int) -> None:
    """Write the last line of a bar."""
    with _lock:
        run = _runs.pop(number, None)
        if run is not None:
            _write(run.text(monotonic()), last=True)


def leave_line() -> None:
    """End the line of a bar that stands unfinished on the terminal, before others write there."""
    global _open
    with _lock:
        if _open:
            _open = 0
            with suppress(OSError, ValueError):
                sys.stderr.write("\n")
                sys.stderr.flush()


@contextmanager
def whole_lines() -> Iterator[None]:
    """Where an error leaves, the line of an unfinished bar ends."""
    try:
        yield
    except BaseException:
        leave_line()
        raise


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
