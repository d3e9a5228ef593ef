"""What a bar looks like, when it is written, and that lines stay whole."""

import io
import os
import sys
import threading
import warnings

import pytest

from funcflow.lax import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_bar, "monotonic", clock)
    return clock


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """Nothing looks at the records but tests."""
    monkeypatch.setattr(progress_bar, "_watch", lambda: None)
    yield
    progress_bar._runs.clear()


def run_of(label, total, done=0):
    run = progress_bar.Run(0, label, total)
    run.advance(done)
    return run


def test_text_of_a_known_total(clock):
    run = run_of("fit", 1_000_000, 420_000)
    assert run.text(clock.now + 42) == "fit:  42% |████      | 420000/1000000 [00:42<00:58]"
    run = run_of("fit", 1_000_000)
    assert run.text(clock.now) == "fit:   0% |          | 0/1000000 [00:00<?]"
    run = run_of("fit", 1_000_000, 1_000_000)
    assert run.text(clock.now + 3725) == "fit: 100% |██████████| 1000000/1000000 [1:02:05<00:00]"
    assert run_of("", 0).text(clock.now) == ": 100% |██████████| 0/0 [00:00<00:00]"


def test_text_of_an_unknown_total(clock):
    run = run_of("walk", None)
    assert run.text(clock.now) == "walk: 0 steps [00:00, 0.00/s]"
    run.advance(30)
    assert run.text(clock.now + 2) == "walk: 30 steps [00:02, 15/s]"
    assert run.text(clock.now + 60) == "walk: 30 steps [01:00, 0.50/s]"


def test_a_terminal_has_one_line_that_is_overwritten(clock, terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    number = progress_bar.begin("a", 10)
    for _ in range(10):
        clock.now += 0.1
        progress_bar.advance(number, 1)
    progress_bar.end(number)
    states = terminal.getvalue().split("\r")
    assert [s.split("|")[0] for s in states] == ["", "a:  30% ", "a:  60% ", "a:  90% ", "a: 100% "]
    assert terminal.getvalue().endswith("\n") and terminal.getvalue().count("\n") == 1


def test_a_shorter_state_covers_a_longer_one(clock, terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    a, b = progress_bar.begin("a long label", 10), progress_bar.begin("b", 10)
    clock.now += 1
    progress_bar.advance(a, 1)
    progress_bar.advance(b, 1)
    first, second = terminal.getvalue()[1:].split("\r")
    assert len(first) == len(second)
    progress_bar.end(b)
    progress_bar.end(a)


def test_elsewhere_states_are_lines(clock, capsys):
    number = progress_bar.begin("a", 10)
    for _ in range(10):
        clock.now += 0.3
        progress_bar.advance(number, 1)
    progress_bar.end(number)
    shown = [line.split("|")[0] for line in capsys.readouterr().err.splitlines()]
    assert shown == ["a:  40% ", "a:  80% ", "a: 100% "]


def test_records_are_shown_that_others_count_in(clock, terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    number = progress_bar.begin("a", 10)
    record = progress_bar.RECORDS[number % progress_bar.MAX_RUNS]
    for done in range(1, 11):
        clock.now += 0.1
        record[progress_bar.DONE] = done
        assert progress_bar.refresh()
    progress_bar.end(number)
    assert not progress_bar.refresh()
    states = terminal.getvalue().split("\r")
    assert [s.split("|")[0] for s in states] == ["", "a:  30% ", "a:  60% ", "a:  90% ", "a: 100% "]


def test_nothing_is_written_again(clock, capsys):
    number = progress_bar.begin("a", 10)
    progress_bar.advance(number, 1)
    for _ in range(5):
        clock.now += 10
        progress_bar.refresh()
    assert len(capsys.readouterr().err.splitlines()) == 1
    progress_bar.end(number)


def test_pieces_take_a_tenth_of_a_second(clock):
    number = progress_bar.begin("a", None)
    assert [progress_bar.advance(number, n) for n in (1, 2, 4)] == [2, 4, 8]
    clock.now += 0.02  # 7 steps
    progress_bar.refresh()
    assert [progress_bar.advance(number, n) for n in (8, 16, 32)] == [16, 32, 35]
    clock.now += 5.6  # 56 steps
    progress_bar.refresh()
    assert progress_bar.advance(number, 1) == 1
    clock.now += 1000
    progress_bar.refresh()
    assert progress_bar.advance(number, 1) == 1
    clock.now += 1e-9
    progress_bar.refresh()
    assert progress_bar.advance(number, progress_bar.LONGEST) == 2
    progress_bar.end(number)


def test_a_pace_is_bounded(clock):
    number = progress_bar.begin("a", None)
    progress_bar.advance(number, progress_bar.LONGEST)
    progress_bar.refresh()
    for _ in range(40):
        following = progress_bar.advance(number, 1)
    assert following == progress_bar.LONGEST == progress_bar.advance(number, 1)


def test_what_follows_an_unfinished_bar_begins_a_line(clock, terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    number = progress_bar.begin("a", 10)
    with pytest.raises(KeyboardInterrupt), progress_bar.whole_lines():
        clock.now += 1
        progress_bar.advance(number, 1)
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("]\n")
    progress_bar.leave_line()
    assert terminal.getvalue().count("\n") == 1
    progress_bar.end(number)


@pytest.mark.parametrize("closed", [False, True])
def test_a_stream_that_is_not_there_ends_no_loop(monkeypatch, closed):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if closed else None)
    number = progress_bar.begin("a", 10)
    progress_bar.advance(number, 10)
    progress_bar.end(number)


def test_bars_that_never_end_are_forgotten(capsys):
    first = progress_bar.begin("first", 10)
    for _ in range(300):
        last = progress_bar.begin("a", 10)
    progress_bar.end(first)
    assert capsys.readouterr().err == ""
    progress_bar.end(last)
    assert capsys.readouterr().err.startswith("a:   0% ")


def test_threads_have_bars_of_their_own(capsys):
    def work(label):
        number = progress_bar.begin(label, 1000)
        for _ in range(1000):
            progress_bar.advance(number, 1)
        progress_bar.end(number)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capsys.readouterr().err.splitlines()
    ends = sorted(line for line in lines if " 1000/1000 " in line)
    assert [line.split(":")[0] for line in ends] == [f"t{i}" for i in range(8)]


# --- the thread that looks at the records ---------------------------------------------------------


@pytest.fixture
def watched(monkeypatch):
    """The thread runs, and looks again soon: what makes a terminal for it to write to."""
    monkeypatch.undo()
    if progress_bar._watcher is not None:  # of an earlier test
        progress_bar._watcher.join(60)
    monkeypatch.setattr(progress_bar, "PERIOD", 0.001)
    monkeypatch.setattr(progress_bar, "ON_TERMINAL", 0.0)

    def terminal():
        monkeypatch.setattr(sys, "stderr", terminal := Signal())
        return terminal

    yield terminal
    for number in list(progress_bar._runs):
        progress_bar.end(number)


class Signal(Terminal):
    """A terminal that says when something is written."""

    def __init__(self):
        super().__init__()
        self.written = threading.Event()

    def flush(self):
        self.written.set()


def test_a_thread_shows_what_is_counted_and_ends_with_the_last_bar(watched):
    terminal = watched()
    number = progress_bar.begin("a", 10)
    thread = progress_bar._watcher
    assert thread is not None and thread.daemon
    progress_bar.RECORDS[number % progress_bar.MAX_RUNS, progress_bar.DONE] = 5
    assert terminal.written.wait(60)
    assert "a:  50% " in terminal.getvalue()
    progress_bar.end(number)
    thread.join(60)
    assert not thread.is_alive() and progress_bar._watcher is None


def test_an_error_ends_bars_of_its_thread_only(watched):
    watched()
    other = []
    thread = threading.Thread(target=lambda: other.append(progress_bar.begin("other", 10)))
    thread.start()
    thread.join()
    progress_bar.begin("a", 10)
    progress_bar.abandon()
    assert list(progress_bar._runs) == other


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_has_bars_of_its_own(watched):
    terminal = watched()
    mine = progress_bar.begin("parent", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the child uses no lock that another thread holds
        child = os.fork()
    if not child:
        terminal.written.clear()
        number = progress_bar.begin("child", 10)
        progress_bar.RECORDS[number % progress_bar.MAX_RUNS, progress_bar.DONE] = 5
        shown = terminal.written.wait(60) and "child:  50% " in terminal.getvalue()
        os._exit(0 if shown and list(progress_bar._runs) == [number] else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert list(progress_bar._runs) == [mine]
