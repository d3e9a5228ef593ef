"""Steps that fulfil the Wolfe conditions, or the best that there is."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError


def search(f, x, direction, steps=30, state=None, **settings):
    tx = optim.scale_by_zoom_linesearch(steps, **settings)
    x = fnp.asarray(x, "float64")
    value, gradient = ff.value_and_grad(f)(x)
    state = tx.init(x) if state is None else state
    return tx.update(
        fnp.asarray(direction, "float64"), state, x, value=value, grad=gradient, value_fn=f
    )


def quartic(a, b, c, d):
    return lambda x: ((a * x + b) * x + c) * x * x + d * x


@given(
    a=st.floats(0.01, 2), b=st.floats(-3, 3), c=st.floats(-3, 3), d=st.floats(-3, 3),
    start=st.floats(-2, 2), length=st.floats(0.01, 20),
)  # fmt: skip
def test_wolfes_conditions_hold(a, b, c, d, start, length):
    f = quartic(a, b, c, d)
    slope = float(ff.grad(f)(np.float64(start)))
    assume(abs(slope) > 1e-3)
    direction = -np.sign(slope) * length
    update, state = search(f, start, direction, steps=60, stepsize_precision=1e-12)
    step = float(state.learning_rate)
    assert state.info.succeeded and step > 0
    np.testing.assert_allclose(update, step * direction, rtol=1e-12)
    after = start + float(update)
    value, gradient = f(after), float(ff.grad(f)(np.float64(after)))
    np.testing.assert_allclose([state.value, state.grad], [value, gradient], rtol=1e-9, atol=1e-12)
    first = slope * direction
    assert value <= f(start) + 1e-4 * step * first + 1e-6 * abs(f(start))
    assert abs(gradient * direction) <= 0.9 * abs(first) * (1 + 1e-12)


@pytest.mark.parametrize("curv_rtol", [0.9, 0.1, 1e-3])
def test_the_slope_gets_as_flat_as_is_asked_for(curv_rtol):
    """The minimum of (x - 3)**4 along a direction of 1 from 0 is at the step 3."""
    _, state = search(lambda x: (x - 3) ** 4, 0.0, 1.0, curv_rtol=curv_rtol)
    assert abs(state.grad) <= curv_rtol * 4 * 27
    assert abs(3 - state.learning_rate) <= (curv_rtol ** (1 / 3)) * 3


def test_a_quadratic_function_takes_one_cubic():
    _, state = search(lambda x: fnp.sum((x - 1) ** 2), [0.0, 0.0], [4.0, 4.0], curv_rtol=1e-6)
    np.testing.assert_allclose(state.learning_rate, 0.25, rtol=1e-9)
    assert state.info.num_linesearch_steps == 2


def test_steps_grow_as_long_as_the_value_falls():
    _, state = search(lambda x: (x - 100) ** 2, 0.0, 1.0, curv_rtol=0.5)
    assert 50 <= state.learning_rate <= 150
    _, state = search(lambda x: (x - 100) ** 2, 0.0, 1.0, curv_rtol=0.5, max_learning_rate=10.0)
    assert state.learning_rate == 10.0 and state.info.succeeded


def test_where_the_function_is_not_defined_the_step_is_too_long():
    _, state = search(lambda x: x - fnp.log(x), 5.0, -100.0)
    assert np.isfinite(state.value)
    assert state.value < 5 - np.log(5.0)


@pytest.mark.parametrize("direction", [1.0, 0.0])
def test_a_direction_that_does_not_lead_downhill_gives_no_step(direction):
    update, state = search(lambda x: x**2, 1.0, direction)
    assert update == 0 and state.value == 1 and state.grad == 2
    assert state.info.num_linesearch_steps == 0


def test_without_a_step_that_will_do_the_best_one_is_taken():
    _, state = search(lambda x: (x - 100) ** 2, 0.0, 1.0, steps=3, curv_rtol=1e-6)
    assert not state.info.succeeded
    assert state.learning_rate == 4 and state.value == 96**2


def test_the_first_guess():
    def f(x):
        return (x - 8) ** 2

    _, state = search(f, 0.0, 1.0, curv_rtol=0.1)
    for strategy, number in (("keep", 1), ("one", int(state.info.num_linesearch_steps))):
        again = search(f, 0.0, 1.0, state=state, initial_guess_strategy=strategy, curv_rtol=0.1)[1]
        assert again.info.num_linesearch_steps == number


def test_each_lane_searches_for_itself():
    targets = np.array([0.01, 1.0, 30.0])

    def step(target):
        return search(lambda x: (x - target) ** 2, 0.0, 1.0, curv_rtol=0.01)[0]

    np.testing.assert_allclose(ff.jit(ff.vmap(step))(targets), targets, rtol=0.01)


def test_value_and_gradient_are_handed_over():
    calls = []

    def f(x):
        ff.debug.callback(lambda: calls.append(0))
        return fnp.sum(x**2)

    optimizer = optim.chain(optim.sgd(0.1), optim.scale_by_zoom_linesearch(5))
    x = fnp.asarray([1.0, 2.0])
    state = optimizer.init(x)
    look = optim.value_and_grad_from_state(f)
    value, gradient = look(x, state=state)
    assert len(calls) == 1 and value == 5
    np.testing.assert_array_equal(gradient, [2, 4])
    updates, state = optimizer.update(
        gradient, state, x, value=value, grad=gradient, value_fn=lambda x: fnp.sum(x**2)
    )
    x = optim.apply_updates(x, updates)
    value, gradient = look(x, state=state)
    assert len(calls) == 1
    np.testing.assert_allclose(value, np.sum(np.square(x)), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * x, rtol=1e-6)


def test_errors():
    with pytest.raises(ArgumentError, match="unknown initial_guess_strategy 'last'"):
        optim.scale_by_zoom_linesearch(5, initial_guess_strategy="last")
    tx = optim.scale_by_zoom_linesearch(5)
    x = fnp.ones(2)
    with pytest.raises(ArgumentError, match="update needs the parameters"):
        tx.update(x, tx.init(x), value=0.0, grad=x, value_fn=fnp.sum)
    with pytest.raises(ArgumentError, match="needs the keywords value, grad and value_fn"):
        tx.update(x, tx.init(x), x, value=0.0, grad=x)
    with pytest.raises(ArgumentError, match="the state has none of a line search"):
        optim.value_and_grad_from_state(fnp.sum)(x, state=optim.adam(0.1).init(x))
