"""L-BFGS against the matrices it stands for, and what it finds."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError

RNG = np.random.default_rng(0)


def inverse_hessian(points, gradients, scaled=True):
    """BFGS with matrices: Nocedal and Wright, "Numerical Optimization" (2006), equation 6.17."""
    n = len(points[0])
    pairs = list(zip(np.diff(points, axis=0), np.diff(gradients, axis=0), strict=True))
    s, y = pairs[-1]
    h = np.eye(n) * (s @ y / (y @ y) if scaled else 1.0)
    for s, y in pairs:
        rho = 1 / (s @ y)
        left = np.eye(n) - rho * np.outer(s, y)
        h = left @ h @ left.T + rho * np.outer(s, s)
    return h


@pytest.mark.parametrize("memory", [1, 3, 10])
@pytest.mark.parametrize("scaled", [True, False])
def test_it_is_a_product_with_the_matrix_of_bfgs(memory, scaled):
    n, count = 5, 7
    root = RNG.standard_normal((n, n))
    matrix = root @ root.T + np.eye(n)
    points = RNG.standard_normal((count, n))
    gradients = points @ matrix
    tx = optim.scale_by_lbfgs(memory, scaled)
    state = tx.init(points[0])
    for point, gradient in zip(points, gradients, strict=True):
        updates, state = ff.jit(tx.update)(gradient, state, point)
    last = slice(max(count - 1 - memory, 0), None)
    want = inverse_hessian(points[last], gradients[last], scaled) @ gradients[-1]
    np.testing.assert_allclose(updates, want, rtol=1e-9)
    assert state.count == count


def test_the_first_step_has_at_most_the_norm_one():
    for gradient, want in [([30.0, 40.0], [0.6, 0.8]), ([0.3, 0.4], [0.3, 0.4])]:
        tx = optim.scale_by_lbfgs()
        np.testing.assert_allclose(
            tx.update(fnp.array(gradient), tx.init(fnp.zeros(2)), fnp.zeros(2))[0], want, rtol=1e-6
        )
        tx = optim.scale_by_lbfgs(scale_init_precond=False)
        updates, _ = tx.update(fnp.array(gradient), tx.init(fnp.zeros(2)), fnp.zeros(2))
        np.testing.assert_allclose(updates, gradient)


def test_pairs_of_negative_curvature_do_not_count():
    tx = optim.scale_by_lbfgs()
    state = tx.init(fnp.zeros(1))
    _, state = tx.update(fnp.array([2.0]), state, fnp.array([1.0]))
    updates, state = tx.update(fnp.array([3.0]), state, fnp.array([0.0]))
    np.testing.assert_array_equal(state.weights_memory, 0)
    np.testing.assert_allclose(updates, [3.0])


def minimize(f, x, steps, **settings):
    optimizer = optim.lbfgs(**settings)
    look = optim.value_and_grad_from_state(f)

    def step(carry, _):
        x, state = carry
        value, gradient = look(x, state=state)
        updates, state = optimizer.update(
            gradient, state, x, value=value, grad=gradient, value_fn=f
        )
        return (optim.apply_updates(x, updates), state), value

    (x, _), values = ff.lax.scan(step, (x, optimizer.init(x)), length=steps)
    return x, values


def rosenbrock(x):
    """With valleys that are steep across and flat along, one for each pair of coordinates."""
    return fnp.sum(100 * (x[1::2] - x[::2] ** 2) ** 2 + (1 - x[::2]) ** 2)


def test_rosenbrocks_function_from_many_points():
    points = RNG.uniform(-0.5, 2, (10, 4))
    found, values = ff.jit(ff.vmap(lambda x: minimize(rosenbrock, x, 80)))(points)
    np.testing.assert_allclose(found, 1, atol=1e-6)
    assert np.all(np.diff(values, axis=1) <= 1e-6 * np.abs(values[:, :-1]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_regression_over_a_tree_of_parameters(dtype):
    x = RNG.standard_normal((50, 3)).astype(dtype)
    y = (x @ [1.0, -2.0, 0.5] + 3.0 + 0.1 * RNG.standard_normal(50)).astype(dtype)

    def loss(params):
        return fnp.mean((x @ params["weights"] + params["bias"] - y) ** 2)

    start = {"weights": fnp.zeros(3, dtype), "bias": fnp.zeros((), dtype), "none": None}
    found, _ = ff.jit(lambda p: minimize(loss, p, 25))(start)
    want, *_ = np.linalg.lstsq(np.column_stack([x, np.ones(50)]), y, rcond=None)
    assert found["weights"].dtype == np.dtype(dtype) and found["none"] is None
    rtol = 1e-8 if dtype == "float64" else 1e-3
    np.testing.assert_allclose([*found["weights"], found["bias"]], want, rtol=rtol)


def test_at_the_minimum_it_stays():
    x, values = ff.jit(lambda x: minimize(rosenbrock, x, 3))(np.ones(4))
    np.testing.assert_array_equal(x, 1)
    np.testing.assert_array_equal(values, 0)


def test_it_finds_what_torch_finds():
    torch = pytest.importorskip("torch")
    start = np.array([-1.2, 1.0, 0.5, 0.5])
    x = torch.tensor(start, requires_grad=True)
    theirs = torch.optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        theirs.zero_grad()
        value = torch.sum(100 * (x[1::2] - x[::2] ** 2) ** 2 + (1 - x[::2]) ** 2)
        value.backward()
        return value

    theirs.step(closure)
    ours, _ = ff.jit(lambda x: minimize(rosenbrock, x, 60))(start)
    np.testing.assert_allclose(ours, x.detach().numpy(), atol=1e-5)


def test_another_line_search_or_none():
    def f(x):
        return fnp.sum(fnp.array([1.0, 10.0]) * x**2)

    found, _ = minimize(
        f, fnp.ones(2), 20, learning_rate=0.5, linesearch=optim.scale_by_zoom_linesearch(5)
    )
    np.testing.assert_allclose(found, 0, atol=1e-3)
    optimizer = optim.lbfgs(0.5, linesearch=optim.identity())
    x = fnp.ones(2)
    state = optimizer.init(x)
    for _ in range(40):
        updates, state = optimizer.update(ff.grad(f)(x), state, x)
        x = optim.apply_updates(x, updates)
    np.testing.assert_allclose(x, 0, atol=1e-3)


def test_errors():
    with pytest.raises(ArgumentError, match="memory_size must be positive, got 0"):
        optim.scale_by_lbfgs(0)
    tx = optim.scale_by_lbfgs()
    with pytest.raises(ArgumentError, match="scale_by_lbfgs: update needs the parameters"):
        tx.update(fnp.ones(1), tx.init(fnp.ones(1)))
