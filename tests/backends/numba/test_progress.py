"""Native loops count the steps of their bars, as Python does."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.numba.backend import CpuBackend, program_of
from funcflow.backends.program import HostCall
from funcflow.lax import progress_bar
from funcflow.lax.progress import progress_p

X = np.ones(3, np.float32)


@pytest.fixture
def number(monkeypatch):
    """That of a bar which nobody looks at."""
    monkeypatch.setattr(progress_bar, "_watch", lambda: None)
    number = progress_bar.begin("go", None)
    yield number
    progress_bar._runs.pop(number, None)


def advance(number, steps, silent=False):
    return progress_p.bind(number, steps, event="advance", label="go", silent=silent)


def native(number, steps, **options):
    """What a native call for so many steps answers."""
    args = np.int32(number), np.asarray(steps, np.int64)
    program = CpuBackend().compile(ff.make_jaxpr(lambda n, k: advance(n, k, **options))(*args))
    assert program.table is not None
    return program(*args)[0]


def scanned(x, **options):
    return lax.scan(lambda c, _: (lax.sin(c), c), x, None, length=1000, **options)


def whiled(x, **options):
    return lax.while_loop(lambda x: x[0] < 9, lambda x: x * 1.001 + 0.01, x, **options)


def gradient(loop):
    def f(x, **options):
        return ff.grad(lambda x: sum(map(fnp.sum, ff.tree.leaves(loop(x, **options)))))(x)

    return f


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("loop", [scanned, whiled, gradient(scanned), gradient(whiled)])
def test_only_the_begin_and_the_end_are_python(loop, lanes):
    def shown(x):
        return loop(x, progress="go")

    f, x = (ff.vmap(shown), np.stack([X, 2 * X])) if lanes else (shown, X)
    program = program_of(ff.jit(f).lower(x).jaxpr)
    hosts = [step.work.eqn for step in program.steps if isinstance(step.work, HostCall)]
    assert [eqn.params.get("event") for eqn in hosts] == ["begin", "end"]


def test_it_answers_as_python_does(number):
    record = progress_bar.RECORDS[number % progress_bar.MAX_RUNS]
    other = progress_bar.begin("other", None)
    for limit in (progress_bar.LONGEST, 40, 3):
        record[progress_bar.LIMIT] = limit
        progress_bar.RECORDS[other % progress_bar.MAX_RUNS, progress_bar.LIMIT] = limit
        for steps in (1, 7, 1000):
            assert native(number, steps) == progress_bar.advance(other, steps)
    assert progress_bar._runs[number].done == progress_bar._runs[other].done == 3024
    progress_bar._runs.pop(other)


def test_the_farthest_lane_counts(number):
    native(number, [3, 9, 4])
    native(number, [[0, 0], [1, 0]])
    assert progress_bar._runs[number].done == 10


def test_a_forgotten_bar_counts_nothing(number):
    before = progress_bar.RECORDS.copy()
    assert native(number + progress_bar.MAX_RUNS, 5) == progress_bar.LONGEST
    np.testing.assert_array_equal(progress_bar.RECORDS, before)


def test_a_silent_bar_counts_nothing(number):
    before = progress_bar.RECORDS.copy()
    assert native(number, 5, silent=True) == progress_bar.LONGEST
    np.testing.assert_array_equal(progress_bar.RECORDS, before)


@pytest.mark.parametrize("length", [1000, 1009])
def test_stacked_results_are_not_copied(length):
    def f(x):
        return lax.scan(lambda c, _: (lax.sin(c), c), x, None, length=length, progress="go")[1]

    program = program_of(ff.jit(f).lower(np.ones(16, np.float32)).jaxpr)
    result = 16 * 4 * length
    copies = [s for s in program.steps if s.note.startswith("copy") and s.bytes_moved > result / 10]
    assert not copies
