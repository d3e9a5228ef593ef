"""What a bar looks like, when it is written, and that lines stay whole."""

import io
import sys
import threading

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


def test_text_of_a_known_total(clock):
    run = progress_bar.Run("fit", 1_000_000)
    run.done = 420_000
    assert run.text(clock.now + 42) == "fit:  42% |████      | 420000/1000000 [00:42<00:58]"
    run.done = 0
    assert run.text(clock.now) == "fit:   0% |          | 0/1000000 [00:00<?]"
    run.done = 1_000_000
    assert run.text(clock.now + 3725) == "fit: 100% |██████████| 1000000/1000000 [1:02:05<00:00]"
    assert progress_bar.Run("", 0).text(clock.now) == ": 100% |██████████| 0/0 [00:00<00:00]"


def test_text_of_an_unknown_total(clock):
    run = progress_bar.Run("walk", None)
    assert run.text(clock.now) == "walk: 0 steps [00:00, 0.00/s]"
    run.done = 30
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


def test_pieces_take_a_tenth_of_a_second(clock):
    number = progress_bar.begin("a", None)
    clock.now += 1e-6
    assert progress_bar.advance(number, 1) == progress_bar.GROWTH  # in a few steps
    clock.now += 0.05
    assert progress_bar.advance(number, 1000) == 2000
    clock.now += 10
    assert progress_bar.advance(number, 1000) == 10
    clock.now += 100
    assert progress_bar.advance(number, 1) == 1
    assert progress_bar.advance(number, progress_bar.LONGEST) == progress_bar.LONGEST
    progress_bar.end(number)


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
