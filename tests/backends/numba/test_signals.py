"""oneDNN's products break if a signal comes in their middle; so none may come."""

import signal
import subprocess
import sys
import threading

import pytest

from funcflow.backends.numba import onednn, signals

pytestmark = pytest.mark.skipif(onednn.library() is None, reason="there is no oneDNN")

# Products of ones, while a timer interrupts the thread a thousand times a second.
PROGRAM = """
import signal
import numpy as np
import funcflow as ff

x = np.ones((384, 384), "f4")
product = ff.jit(lambda x: x @ x)
product(x)
ticks = []
signal.signal(signal.SIGPROF, lambda number, frame: ticks.append(number))
signal.setitimer(signal.ITIMER_PROF, 1e-3, 1e-3)
while len(ticks) < 300:
    assert (product(x) == 384).all()
signal.setitimer(signal.ITIMER_PROF, 0)
print("whole")
"""


def test_products_are_right_under_signals():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "whole"), done.stderr


def test_a_thread_may_hold_signals_back():
    masks = []

    def look():
        signals.hold_back()
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert signal.SIGINT in masks[0] and signal.SIGPROF in masks[0]
    assert signal.SIGSEGV not in masks[0]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
