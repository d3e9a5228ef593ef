"""Loops under a bar: the same results, and one bar whatever the transform."""

import io
import sys
import threading

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.lax import progress_bar
from funcflow.lax.progress import PIECES
from funcflow.testing import check_laws

F = np.float32
XS = np.linspace(0.2, 0.9, 11).astype(F)
C = F(0.5)
W = F(0.7)


def scanned(w, c, xs, **options):
    return lax.scan(lambda c, x: (lax.tanh(w * c + x), c * x), c, xs, **options)


def backwards(w, c, xs, **options):
    return scanned(w, c, xs, reverse=True, **options)


def fori(w, c, xs, **options):
    return lax.fori_loop(2, 13, lambda i, c: lax.sin(c * w) + i, c, **options)


def fori_of_unknown_length(w, c, xs, **options):
    upper = lax.convert_element_type(0 * w + 7, np.int32)
    return lax.fori_loop(-4, upper, lambda i, c: lax.sin(c * w), c, **options)


def whiled(w, c, xs, **options):
    return lax.while_loop(
        lambda s: s[0] < 11, lambda s: (s[0] + 1, lax.sin(s[1] * w)), (0, c), **options
    )[1]


LOOPS = {f.__name__: f for f in (scanned, backwards, fori, fori_of_unknown_length, whiled)}
EACH = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
EAGER_AND_JIT = pytest.mark.parametrize("transform", [lambda f: f, ff.jit], ids=["eager", "jit"])


def total(loop, **options):
    return lambda *args: sum(fnp.sum(x) for x in ff.tree.leaves(loop(*args, **options)))


def assert_equal(got, expected):
    assert ff.tree.structure(got) == ff.tree.structure(expected)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        assert (a.dtype, a.weak_type) == (b.dtype, b.weak_type)
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def bars(capsys):
    """The last lines of the bars that were shown since the last call."""

    def read():
        return [line.split(" [")[0] for line in capsys.readouterr().err.splitlines()]

    return read


@EACH
@EAGER_AND_JIT
def test_no_bit_of_the_results_changes(loop, transform, bars):
    shown = transform(lambda *args: loop(*args, progress="go"))
    for _ in range(2):
        assert_equal(shown(W, C, XS), transform(loop)(W, C, XS))
        known = "go: 100% |██████████| 11/11"
        assert bars() == ["go: 11 steps" if loop is whiled else known]


@EACH
@EAGER_AND_JIT
def test_the_forward_pass_alone_shows_a_bar(loop, transform, bars):
    shown = transform(ff.grad(total(loop, progress="go"), (0, 1)))
    np.testing.assert_allclose(
        shown(W, C, XS), transform(ff.grad(total(loop), (0, 1)))(W, C, XS), rtol=1e-5
    )
    assert len(bars()) == 1
    tangents = transform(lambda c: ff.jvp(lambda c: loop(W, c, XS, progress="go"), (c,), (W,)))(C)
    assert_equal(tangents, transform(lambda c: ff.jvp(lambda c: loop(W, c, XS), (c,), (W,)))(C))
    assert len(bars()) == 1


@EACH
@EAGER_AND_JIT
def test_one_bar_for_all_lanes(loop, transform, bars):
    args = np.array([0.3, 0.7, 0.5], F), np.array([0.1, 0.2, 0.3], F)
    shown = transform(ff.vmap(lambda w, c: loop(w, c, XS, progress="go")))
    assert_equal(shown(*args), transform(ff.vmap(lambda w, c: loop(w, c, XS)))(*args))
    known = "go: 100% |██████████| 11/11"
    assert bars() == ["go: 11 steps" if loop is whiled else known]
    gradient = transform(ff.vmap(ff.grad(lambda w, c: total(loop, progress="go")(w, c, XS))))
    expected = transform(ff.vmap(ff.grad(lambda w, c: total(loop)(w, c, XS))))(*args)
    np.testing.assert_allclose(gradient(*args), expected, rtol=1e-5)
    assert len(bars()) == 1


@EACH
def test_laws(loop):
    check_laws(lambda *args: loop(*args, progress="go"), [W, C, XS])


@EACH
def test_without_a_label_nothing_changes(loop, bars):
    plain = ff.jaxpr_to_text(ff.make_jaxpr(loop)(W, C, XS))
    none = ff.jaxpr_to_text(ff.make_jaxpr(lambda *a: loop(*a, progress=None))(W, C, XS))
    assert "progress" not in plain and plain == none
    shown = ff.make_jaxpr(lambda *a: loop(*a, progress="go"))(W, C, XS)
    assert shown.effects == {"progress"}
    assert "progress" not in ff.jaxpr_to_text(ff.jit(loop).lower(W, C, XS).jaxpr)


@pytest.mark.parametrize("length", [1, 99, 100, 101, 1000, 1009, 12_345])
@pytest.mark.parametrize("checkpoint", [None, "sqrt", 7])
def test_a_scan_has_at_most_a_hundred_pieces(length, checkpoint, monkeypatch, bars):
    pieces = []
    advance = progress_bar.advance
    monkeypatch.setattr(
        progress_bar, "advance", lambda n, steps: (pieces.append(steps), advance(n, steps))[1]
    )

    def f(c, **options):
        return lax.scan(lambda c, _: (lax.sin(c), c), c, length=length, **options)

    got = ff.jit(lambda c: f(c, progress="go", checkpoint=checkpoint))(C)
    assert_equal(got, ff.jit(f)(C))
    assert not pieces  # no call of Python for each
    f(C, progress="go", checkpoint=checkpoint)
    assert sum(pieces) == length and len(pieces) <= PIECES + 1
    if checkpoint is None:
        assert len(pieces) >= min(PIECES, length) / 2
    if checkpoint == 7:  # whole segments
        assert not any(n % 7 for n in pieces[:-1])
    assert bars() == [f"go: 100% |██████████| {length}/{length}"] * 2


@EAGER_AND_JIT
def test_the_pieces_of_a_while_loop_are_short(transform, counts, monkeypatch):
    """The clock says that each step takes 10 ms, so that ten of them are a tenth of a second."""
    done = counts()
    monkeypatch.setattr(progress_bar, "monotonic", lambda: 0.01 * len(done))
    step = transform(
        lambda n: lax.while_loop(lambda i: i < n, lambda i: (counts(i), i + 1)[1], 0, progress="go")
    )
    assert step(100) == 100
    pieces = np.diff(sorted(set(done)))
    assert list(pieces[:3]) == [1, 2, 4] and max(pieces) <= 2 * 10
    assert set(pieces[-3:]) <= {9, 10, 11}


@pytest.fixture
def counts(monkeypatch):
    """Within loops, `counts(x)` notes how many steps its bar counts; without an argument, where."""
    monkeypatch.setattr(progress_bar, "_watch", lambda: None)  # `refresh` is called here only
    done = []

    def note(_):
        progress_bar.refresh()
        (run,) = progress_bar._runs.values()
        done.append(run.done)

    return lambda *x: ff.debug.callback(note, *x) if x else done


def test_no_steps_show_no_bar_of_a_scan(bars):
    assert_equal(scanned(W, C, XS[:0], progress="go"), scanned(W, C, XS[:0]))
    assert bars() == []
    assert lax.while_loop(lambda i: i < 0, lambda i: i + 1, 0, progress="go") == 0
    assert bars() == ["go: 0 steps"]
    assert ff.jit(lambda n: lax.fori_loop(0, n, lambda i, c: c, 1, progress="go"))(-5) == 1
    assert bars() == ["go: 100% |██████████| 0/0"]


def test_a_carry_of_nothing_and_stacked_results_of_nothing(bars):
    assert lax.scan(lambda c, x: (c, None), None, XS, progress="go") == (None, None)
    assert len(bars()) == 1


def test_lanes_that_end_at_different_times(bars):
    def f(n, **options):
        return lax.while_loop(
            lambda s: s[0] < n, lambda s: (s[0] + 1, lax.sin(s[1])), (0, C), **options
        )

    counts = np.array([0, 3, 700, 20], np.int32)
    for transform in (lambda f: f, ff.jit):
        got = transform(ff.vmap(lambda n: f(n, progress="go")))(counts)
        assert_equal(got, transform(ff.vmap(f))(counts))
        assert bars() == ["go: 700 steps"]


def test_what_is_computed_again_shows_no_bar_again(bars):
    def f(c):
        return lax.sin(scanned(W, lax.sin(c), XS, progress="go")[0])

    ff.jit(ff.grad(ff.checkpoint(f)))(C)
    assert len(bars()) == 1
    ff.jit(ff.grad(lambda c: lax.scan(lambda c, _: (f(c), None), c, None, 4, checkpoint=2)[0]))(C)
    assert len(bars()) == 4

    def again(c):
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, f(s[1])), (0, c))[1]

    ff.jit(ff.grad(again))(C)
    assert len(bars()) == 3
    ff.jit(ff.grad(ff.grad(f)))(C)
    assert len(bars()) == 1


def test_linear_loops_have_a_transpose(bars):
    def linear(x, **options):
        y = lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] * 2), (0, x), **options)[1]
        return lax.scan(lambda c, a: (c * a, c), y, XS, **options)

    ct = (F(1), np.ones(11, F))

    def transposed(x, ct, **options):
        return ff.linear_transpose(lambda x: linear(x, **options), x)(ct)

    for transform in (lambda f: f, ff.jit):
        got = transform(lambda x, ct: transposed(x, ct, progress="go"))(C, ct)
        assert_equal(got, transform(transposed)(C, ct))
        assert bars() == [] and not progress_bar.refresh()


@EAGER_AND_JIT
def test_steps_are_counted_when_they_are_done(transform, counts):
    def step(c, x):
        counts(x)
        return c + x, None

    transform(lambda c: lax.scan(step, c, np.arange(150, dtype=F), progress="go")[0])(C)
    assert counts() == [2 * (k // 2) for k in range(150)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@EAGER_AND_JIT
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_loop_leaves_whole_lines(monkeypatch, transform, kind):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(progress_bar, "ON_TERMINAL", 0.0)

    def fail(x):
        progress_bar.refresh()
        if x > 5:
            raise kind("stop")

    def step(c, x):
        ff.debug.callback(fail, x)
        return c + x, None

    with pytest.raises((errors.CallbackError, KeyboardInterrupt)):
        transform(lambda c: lax.scan(step, c, np.arange(200, dtype=F), progress="go")[0])(C)
    assert terminal.getvalue().startswith("\rgo:   1% |")
    assert terminal.getvalue().endswith("]\n")
    assert not progress_bar.refresh()  # there is no bar any more


def test_printing_starts_a_line_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(progress_bar, "ON_TERMINAL", 0.0)

    def step(c, x):
        ff.debug.callback(lambda x: (progress_bar.refresh(), None)[1], x)
        ff.debug.print("{}", x)
        return c, None

    ff.jit(lambda c: lax.scan(step, c, np.arange(3), progress="go")[0])(C)
    assert capsys.readouterr().out == "0\n1\n2\n"
    assert [line.count("go") for line in terminal.getvalue().split("\n")] == [1, 1, 1, 0]


def test_an_error_within_a_callback_leaves_the_bar_around_it(bars):
    def fail(x):
        raise ValueError("stop")

    inner = ff.jit(
        lambda x: lax.scan(
            lambda c, _: (ff.debug.callback(fail, c), (c, None))[1], x, length=3, progress="inner"
        )[0]
    )

    def caught(x):
        with pytest.raises(errors.CallbackError):
            inner(x)

    def step(c, x):
        ff.debug.callback(caught, x)
        return c + x, None

    ff.jit(lambda c: lax.scan(step, c, XS, progress="outer")[0])(C)
    assert bars() == ["outer: 100% |██████████| 11/11"]


def test_threads_run_one_program_at_once(bars):
    f = ff.jit(lambda c: scanned(W, c, np.ones(1000, F), progress="go")[0])
    f(C)
    bars()
    results = []
    threads = [threading.Thread(target=lambda: results.append(f(C).item())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [f(C).item()] * 8
    assert bars() == ["go: 100% |██████████| 1000/1000"] * 9


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [True, 3, b"fit", "two\nlines", ["a"]])
@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_bad_labels(loop, label):
    name = {"scanned": "scan", "backwards": "scan", "whiled": "while_loop"}
    function = name.get(loop.__name__, "fori_loop")
    with pytest.raises(errors.ArgumentError, match=rf"{function}: progress=.* is no label"):
        loop(W, C, XS, progress=label)
