"""The number of threads that a computation may use."""

import pytest

import funcflow as ff
from funcflow.core import threads


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 6),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "8"}, 6),
        ({"OMP_NUM_THREADS": "2,3"}, 2),
        ({"NUMBA_NUM_THREADS": "3"}, 3),
        ({"NUMBA_NUM_THREADS": "5", "OMP_NUM_THREADS": "4"}, 4),
        ({"OMP_NUM_THREADS": "many", "NUMBA_NUM_THREADS": "0"}, 6),
    ],
)
def test_the_number_of_threads(monkeypatch, variables, expected):
    monkeypatch.setattr(threads, "processors", lambda: 6)
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert threads.thread_count() == expected


def test_the_setting_counts(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    with ff.config(num_threads=2):
        assert threads.thread_count() == 2
    assert threads.thread_count() == 3
