"""Schedules of pieces: ends, continuity, and what lies between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError

peaks = st.floats(0.125, 8, width=32)


def graph(schedule, n):
    return np.asarray(schedule(fnp.arange(n)), "float64")


def test_join_counts_from_where_each_begins():
    joined = optim.join_schedules([lambda c: c, lambda c: 10 * c, lambda c: 100 + c], [3, 5])
    np.testing.assert_array_equal(joined(fnp.arange(8)), [0, 1, 2, 0, 10, 100, 101, 102])


@given(peak=peaks, warm=st.integers(0, 50), rest=st.integers(1, 50), end=st.floats(0, 0.125))
def test_warmup_cosine(peak, warm, rest, end):
    schedule = optim.warmup_cosine_decay_schedule(0.0, peak, warm, warm + rest, end)
    y = graph(schedule, warm + rest + 3)
    np.testing.assert_allclose(y[0], 0 if warm else peak, atol=1e-6)
    np.testing.assert_allclose(y[warm], peak, rtol=1e-5)
    np.testing.assert_allclose(y[warm + rest :], end, atol=1e-6)
    assert y.max() <= peak * (1 + 1e-6) and y.min() >= -1e-6
    assert np.all(np.diff(y[: warm + 1]) >= 0) and np.all(np.diff(y[warm:]) <= 1e-6)
    assert np.max(np.abs(np.diff(y))) <= peak * max(1.01 / max(warm, 1), 1.6 / rest)


def test_a_warmup_may_lead_to_zero_or_start_above():
    y = graph(optim.warmup_cosine_decay_schedule(1.0, 0.0, 2, 4, 1.0), 5)
    np.testing.assert_allclose(y, [1, 0.5, 0, 0.5, 1], atol=1e-6)


def test_warmup_exponential():
    schedule = optim.warmup_exponential_decay_schedule(0.0, 2.0, 4, 2, 0.5, end_value=0.5)
    root = np.sqrt(0.5)
    want = [0, 0.5, 1, 1.5, 2, 2 * root, 1, root, 0.5, 0.5]
    np.testing.assert_allclose(graph(schedule, 10), want, rtol=1e-6)
    no_warmup = optim.warmup_exponential_decay_schedule(0.0, 2.0, 0, 2, 0.5)
    np.testing.assert_allclose(graph(no_warmup, 3), [2, 2 * root, 1], rtol=1e-6)


def test_warmup_constant():
    schedule = optim.warmup_constant_schedule(0.0, 1.0, 4)
    np.testing.assert_allclose(graph(schedule, 6), [0, 0.25, 0.5, 0.75, 1, 1])


def test_sgdr_restarts():
    cycles = [
        {"init_value": 0.0, "peak_value": p, "warmup_steps": 2, "decay_steps": n}
        for p, n in [(1.0, 6), (0.5, 8), (0.25, 4)]
    ]
    y = graph(optim.sgdr_schedule(cycles), 19)
    np.testing.assert_allclose(y[[0, 6, 14, 18]], 0, atol=1e-6)
    np.testing.assert_allclose(y[[2, 8, 16]], [1, 0.5, 0.25], rtol=1e-6)


def test_piecewise_constant():
    schedule = optim.piecewise_constant_schedule(2.0, {4: 0.1, 2: 0.5})
    np.testing.assert_allclose(graph(schedule, 6), [2, 2, 1, 1, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_array_equal(graph(optim.piecewise_constant_schedule(2.0), 3), 2)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@given(
    scales=st.dictionaries(st.integers(1, 60), st.floats(0.25, 4), max_size=4),
    start=st.floats(0.5, 2),
)
def test_piecewise_interpolation_meets_its_points(kind, scales, start):
    schedule = optim.piecewise_interpolate_schedule(kind, start, scales)
    y = graph(schedule, 64)
    ends = [0, *sorted(scales)]
    points = start * np.cumprod([1, *(scales[b] for b in sorted(scales))])
    np.testing.assert_allclose(y[ends], points, rtol=1e-5)
    np.testing.assert_allclose(y[ends[-1] :], points[-1], rtol=1e-5)
    way = np.interp(np.arange(64), ends, np.arange(len(ends)))
    piece, part = np.divmod(way, 1)
    part = part if kind == "linear" else (1 - np.cos(np.pi * part)) / 2
    points = np.append(points, points[-1])
    low, high = points[piece.astype(int)], points[piece.astype(int) + 1]
    np.testing.assert_allclose(y, low + (high - low) * part, rtol=1e-4)


@given(peak=peaks, n=st.integers(20, 300))
def test_linear_onecycle(peak, n):
    y = graph(optim.linear_onecycle_schedule(n, peak), n + 5)
    np.testing.assert_allclose(y[[0, int(0.85 * n)]], peak / 25, rtol=1e-4)
    np.testing.assert_allclose(y[int(0.3 * n)], peak, rtol=1e-5)
    np.testing.assert_allclose(y[n:], peak / 25e4, atol=1e-6 * peak)
    assert y.max() <= peak * (1 + 1e-6) and y.min() >= 0


@given(peak=peaks, n=st.integers(20, 300))
def test_cosine_onecycle(peak, n):
    y = graph(optim.cosine_onecycle_schedule(n, peak), n + 5)
    top = int(0.3 * n)
    np.testing.assert_allclose(y[0], peak / 25, rtol=1e-5)
    np.testing.assert_allclose(y[top], peak, rtol=1e-5)
    np.testing.assert_allclose(y[n:], peak / 25e4, atol=1e-6 * peak)
    middle = (peak + peak / 25) / 2
    np.testing.assert_allclose(np.interp(top / 2, np.arange(n + 5), y), middle, rtol=0.1)
    assert np.all(np.diff(y[: top + 1]) > 0) and np.all(np.diff(y[top : n + 1]) < 0)


def test_onecycle_agrees_with_torch():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2.0, total_steps=110)
    rates = []
    for _ in range(110):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        if len(rates) < 110:
            theirs.step()
    # PyTorch's peak is at the update 0.3 * 110 - 1, its end at 110 - 1.
    ours = graph(optim.cosine_onecycle_schedule(109, 2.0, pct_start=32.5 / 109), 110)
    np.testing.assert_allclose(ours, rates, rtol=1e-4, atol=1e-6)


def test_jit_and_vmap_agree_with_single_counts():
    for schedule in (
        optim.warmup_cosine_decay_schedule(0.0, 1.0, 3, 9),
        optim.linear_onecycle_schedule(20, 1.0),
        optim.piecewise_constant_schedule(1.0, {3: 0.1}),
    ):
        single = [schedule(i) for i in range(12)]
        for got in (ff.jit(schedule)(fnp.arange(12)), ff.vmap(schedule)(fnp.arange(12))):
            np.testing.assert_allclose(got, single, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.join_schedules([abs], [1]), "a boundary between each two of 1 sch"),
        (lambda: optim.warmup_cosine_decay_schedule(0, 1, 5, 5), "decay_steps - warmup_steps must"),
        (lambda: optim.piecewise_constant_schedule(1, {3: -1}), "scales that are not negative"),
        (lambda: optim.piecewise_interpolate_schedule("cubic", 1), "interpolate_type 'cubic'"),
        (lambda: optim.linear_onecycle_schedule(0, 1.0), "transition_steps must be positive"),
        (lambda: optim.cosine_onecycle_schedule(0, 1.0), "transition_steps must be positive"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
