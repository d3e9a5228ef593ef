"""Each optimiser against the recurrence of its paper, against PyTorch, and as a program."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError

RATE = 0.02


# --- the recurrences, in float64 --------------------------------------------------------------


def sgd(x, gradient, steps, momentum=0.0, nesterov=False):
    trace = np.zeros_like(x)
    for _ in range(steps):
        g = gradient(x)
        trace = g + momentum * trace
        x = x - RATE * (g + momentum * trace if nesterov else trace)
    return x


def adagrad(x, gradient, steps, start=0.1, eps=1e-7):
    total = np.full_like(x, start)
    for _ in range(steps):
        g = gradient(x)
        total = total + g**2
        x = x - RATE * g / np.sqrt(total + eps)
    return x


def adadelta(x, gradient, steps, rho=0.9, eps=1e-6):
    squares, moves = np.zeros_like(x), np.zeros_like(x)
    for _ in range(steps):
        g = gradient(x)
        squares = rho * squares + (1 - rho) * g**2
        move = np.sqrt(moves + eps) / np.sqrt(squares + eps) * g
        moves = rho * moves + (1 - rho) * move**2
        x = x - RATE * move
    return x


def rmsprop(x, gradient, steps, decay=0.9, eps=1e-8, centered=False, momentum=0.0):
    mean, squares, velocity = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for _ in range(steps):
        g = gradient(x)
        mean = decay * mean + (1 - decay) * g
        squares = decay * squares + (1 - decay) * g**2
        velocity = momentum * velocity + RATE * g / np.sqrt(squares - centered * mean**2 + eps)
        x = x - velocity
    return x


def adam(x, gradient, steps, b1=0.9, b2=0.999, eps=1e-8, nesterov=False, decay=0.0, largest=False):
    m, v, high = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for t in range(1, steps + 1):
        g = gradient(x)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        mean, square = m / (1 - b1**t), v / (1 - b2**t)
        if nesterov:
            mean = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        high = np.maximum(high, square)
        x = x - RATE * (mean / (np.sqrt(high if largest else square) + eps) + decay * x)
    return x


def adamax(x, gradient, steps, b1=0.9, b2=0.999, eps=1e-8):
    m, u = np.zeros_like(x), np.zeros_like(x)
    for t in range(1, steps + 1):
        g = gradient(x)
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g) + eps)
        x = x - RATE / (1 - b1**t) * m / u
    return x


def lion(x, gradient, steps, b1=0.9, b2=0.99, decay=1e-3):
    m = np.zeros_like(x)
    for _ in range(steps):
        g = gradient(x)
        x = x - RATE * (np.sign(b1 * m + (1 - b1) * g) + decay * x)
        m = b2 * m + (1 - b2) * g
    return x


def lamb(x, gradient, steps, b1=0.9, b2=0.999, eps=1e-6, decay=0.0):
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t in range(1, steps + 1):
        g = gradient(x)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        r = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps) + decay * x
        x = x - RATE * np.linalg.norm(x) / np.linalg.norm(r) * r
    return x


def adafactor(x, gradient, steps, eps=1e-30):
    """Of a matrix, factored; with relative steps and clipping at 1."""
    rows, columns = np.zeros(x.shape[0]), np.zeros(x.shape[1])

    def rms(a):
        return np.sqrt(np.mean(a**2))

    for t in range(1, steps + 1):
        g = gradient(x)
        decay = 1 - t**-0.8
        rows = decay * rows + (1 - decay) * np.mean(g**2 + eps, axis=1)
        columns = decay * columns + (1 - decay) * np.mean(g**2 + eps, axis=0)
        u = g / np.sqrt(np.outer(rows, columns) / np.mean(rows))
        x = x - RATE * max(1e-3, rms(x)) * u / max(1, rms(u))
    return x


CASES = {
    "sgd": (optim.sgd(RATE), sgd, {}),
    "momentum": (optim.sgd(RATE, 0.9), sgd, {"momentum": 0.9}),
    "nesterov": (optim.sgd(RATE, 0.9, True), sgd, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (optim.adagrad(RATE), adagrad, {}),
    "adadelta": (optim.adadelta(RATE), adadelta, {}),
    "rmsprop": (optim.rmsprop(RATE), rmsprop, {}),
    "rmsprop centred": (optim.rmsprop(RATE, centered=True), rmsprop, {"centered": True}),
    "rmsprop momentum": (optim.rmsprop(RATE, momentum=0.5), rmsprop, {"momentum": 0.5}),
    "adam": (optim.adam(RATE), adam, {}),
    "adam other": (optim.adam(RATE, 0.8, 0.9, 1e-3), adam, {"b1": 0.8, "b2": 0.9, "eps": 1e-3}),
    "adamw": (optim.adamw(RATE, weight_decay=0.1), adam, {"decay": 0.1}),
    "amsgrad": (optim.amsgrad(RATE, b2=0.9), adam, {"b2": 0.9, "largest": True}),
    "adamax": (optim.adamax(RATE), adamax, {}),
    "nadam": (optim.nadam(RATE), adam, {"nesterov": True}),
    "nadamw": (optim.nadamw(RATE, weight_decay=0.1), adam, {"nesterov": True, "decay": 0.1}),
    "lion": (optim.lion(RATE), lion, {}),
    "lamb": (optim.lamb(RATE, weight_decay=0.1), lamb, {"decay": 0.1}),
    "adafactor": (optim.adafactor(RATE, min_dim_size_to_factor=1), adafactor, {}),
}
RNG = np.random.default_rng(0)
START = RNG.standard_normal((3, 4))
CURVATURE = RNG.uniform(0.5, 3.0, (3, 4))
TARGET = RNG.standard_normal((3, 4))


def gradient(x):
    return CURVATURE * (x - TARGET)


def steps(optimizer, x, count, gradient=gradient):
    state = optimizer.init(x)
    for _ in range(count):
        updates, state = optimizer.update(gradient(x), state, x)
        x = optim.apply_updates(x, updates)
    return x, state


@pytest.mark.parametrize("name", CASES)
def test_the_recurrence(name):
    optimizer, recurrence, settings = CASES[name]
    got, _ = steps(optimizer, fnp.asarray(START), 20)
    assert got.dtype == np.float64
    want = recurrence(START, gradient, 20, **settings)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_a_jitted_scan_gives_the_same(name):
    optimizer, recurrence, settings = CASES[name]

    @ff.jit
    def train(x):
        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(gradient(x), state, x)
            return (optim.apply_updates(x, updates), state), None

        return ff.lax.scan(step, (x, optimizer.init(x)), length=20)[0][0]

    want = recurrence(START, gradient, 20, **settings)
    np.testing.assert_allclose(train(START), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_states_are_arrays_of_fixed_types(name):
    optimizer = CASES[name][0]
    x = {"a": START.astype("float32"), "b": None, "c": [np.float32(1.0), np.ones(3, "float32")]}
    state = optimizer.init(x)
    assert all(isinstance(leaf, ff.Array) for leaf in ff.tree.leaves(state))

    def types(tree):
        return [(a.shape, a.dtype) for a in ff.tree.leaves(tree)]

    updates, after = optimizer.update(x, state, x)
    assert ff.tree.structure(after) == ff.tree.structure(state)
    assert types(after) == types(state)
    assert ff.tree.structure(updates) == ff.tree.structure(x)
    assert {leaf.dtype.name for leaf in ff.tree.leaves(state)} <= {"int32", "float32"}


@pytest.mark.parametrize("name", CASES)
def test_parameters_without_gradients_stay_with_their_state(name):
    optimizer = CASES[name][0]
    params = {"a": fnp.asarray(START), "b": fnp.ones(3)}
    _, state = optimizer.update(ff.tree.map(fnp.ones_like, params), optimizer.init(params), params)
    updates, after = optimizer.update({"a": gradient(START), "b": None}, state, params)
    assert updates["b"] is None
    assert optim.apply_updates(params, updates)["b"] is params["b"]

    def of_b(tree):
        keyed = ff.tree.leaves_with_path(tree)
        return [x for path, x in keyed if "'b'" in ff.tree_util.keystr(path)]

    assert len(of_b(state)) == len(of_b(after))
    for old, new in zip(of_b(state), of_b(after), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_parameters_of_16_bits(name, dtype):
    """They follow the parameters of 32 bits as far as they can be stored."""
    optimizer = CASES[name][0]
    got, _ = steps(optimizer, fnp.asarray(START, dtype), 5, lambda x: gradient(x).astype(dtype))
    assert got.dtype == fnp.dtype(dtype)
    want, _ = steps(optimizer, fnp.asarray(START, "float32"), 5)
    difference = np.abs(np.asarray(got.astype("float32")) - np.asarray(want))
    assert np.max(difference) < 8 * float(fnp.finfo(dtype).eps) * np.max(np.abs(START))


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "rmsprop", "adamw"])
def test_complex_parameters_descend(name):
    """The gradient of |z - 1j|**2, as a direction of ascent, is 2 (z - 1j)."""
    optimizer = CASES[name][0]
    z, state = steps(optimizer, fnp.asarray([1.0 + 0j]), 400, lambda z: 2 * (z - 1j))
    assert z.dtype == np.complex64
    assert abs(z[0] - 1j) < 0.2
    assert {leaf.dtype.name for leaf in ff.tree.leaves(state)} <= {"int32", "float32", "complex64"}


def test_one_dtype_for_the_mean_and_one_for_the_squares():
    params = fnp.ones(3, "bfloat16")
    state = optim.adam(1e-3, mu_dtype="float32").init(params)[0]
    assert (state.mu.dtype, state.nu.dtype) == (np.float32, np.float32)
    state = optim.adam(1e-3).init(params)[0]
    assert (state.mu.dtype, state.nu.dtype) == (fnp.bfloat16, np.float32)


def test_small_steps_of_16_bits_are_not_lost_in_the_average_of_squares():
    optimizer = optim.scale_by_adam()
    params = fnp.zeros(1, "bfloat16")
    state = optimizer.init(params)
    for _ in range(3000):
        _, state = optimizer.update(fnp.full(1, 1e-3, "bfloat16"), state)
    assert state.nu[0] == pytest.approx(1e-6 * (1 - 0.999**3000), rel=0.01)


# --- programs ---------------------------------------------------------------------------------

FUSED = {
    "sgd": (optim.sgd(1e-3), 12),
    "nesterov": (optim.sgd(1e-3, 0.9, True), 20),
    "adagrad": (optim.adagrad(1e-3), 20),
    "adadelta": (optim.adadelta(1e-3), 28),
    "rmsprop": (optim.rmsprop(1e-3), 20),
    "adam": (optim.adam(1e-3), 28),
    "adam with a schedule": (optim.adam(optim.cosine_decay_schedule(1e-3, 100)), 28),
    "adamw": (optim.adamw(1e-3), 28),
    "nadam": (optim.nadam(1e-3), 28),
    "adamax": (optim.adamax(1e-3), 28),
    "lion": (optim.lion(1e-3), 20),
    "settings in the state": (optim.inject_hyperparams(optim.adamw)(1e-3), 28),
    "a step of four": (optim.MultiSteps(optim.adam(1e-3), 4).gradient_transformation(), 36),
}


@pytest.mark.parametrize("name", FUSED)
def test_one_kernel_updates_a_parameter(name):
    """It reads and writes each element of the parameter, the gradient and the memory once."""
    optimizer, bytes_of_an_element = FUSED[name]
    n = 10_000

    def step(gradient, state, params):
        updates, state = optimizer.update(gradient, state, params)
        return optim.apply_updates(params, updates), state

    params = fnp.ones(n, "float32")
    state = optimizer.init(params)
    explained = ff.jit(step, donate_argnums=(1, 2)).explain(params, state, params)
    large = [s for s in explained.steps if s.nbytes >= n]
    assert len(large) == 1, str(explained)
    assert large[0].kind == "kernel"
    assert large[0].nbytes == pytest.approx(bytes_of_an_element * n, abs=100)
    assert not any("in vain" in text for _, text in explained.facts)


def test_equal_parameters_share_a_kernel_and_the_corrections():
    optimizer = optim.adam(1e-3)
    params = [fnp.ones(10_000, "float32") for _ in range(3)]

    def step(gradient, state, params):
        updates, state = optimizer.update(gradient, state, params)
        return optim.apply_updates(params, updates), state

    explained = ff.jit(step).explain(params, optimizer.init(params), params)
    assert len(explained.steps) == 4  # one for what all share, one for each parameter
    assert explained.steps[0].nbytes < 100


@pytest.mark.parametrize("make", [optim.sgd, optim.adam, optim.adamax, optim.lion, optim.lamb])
def test_vmap_over_learning_rates(make):
    rates = np.array([0.01, 0.1, 0.3], "float32")

    def train(rate):
        return steps(make(rate), fnp.asarray(START, "float32"), 3)[0]

    got = ff.jit(ff.vmap(train))(rates)
    for rate, x in zip(rates, got, strict=True):
        np.testing.assert_allclose(x, train(float(rate)), rtol=1e-5, atol=1e-6)


def test_vmap_over_members_of_an_ensemble():
    optimizer = optim.adamw(0.05)
    members = RNG.standard_normal((4, 3, 4)).astype("float32")
    got, state = ff.vmap(lambda x: steps(optimizer, x, 3))(members)
    assert state[0].mu.shape == members.shape
    for member, x in zip(members, got, strict=True):
        np.testing.assert_allclose(x, steps(optimizer, member, 3)[0], rtol=1e-6)


def test_the_learning_rate_is_differentiable():
    def loss_after_three_steps(rate):
        x, _ = steps(optim.sgd(rate), fnp.asarray(START), 3)
        return fnp.sum(CURVATURE * (x - TARGET) ** 2)

    # x - target shrinks by (1 - rate * curvature) in each step
    rest = CURVATURE * (START - TARGET) ** 2
    want = np.sum(-6 * CURVATURE * rest * (1 - 0.1 * CURVATURE) ** 5)
    got = ff.grad(loss_after_three_steps)(np.float64(0.1))
    np.testing.assert_allclose(got, want, rtol=1e-12)


# --- convergence ------------------------------------------------------------------------------

GOOD_RATES = {
    "sgd": optim.sgd(0.3),
    "momentum": optim.sgd(0.1, 0.9),
    "nesterov": optim.sgd(0.1, 0.9, nesterov=True),
    "adagrad": optim.adagrad(1.0),
    "adadelta": optim.adadelta(10.0),
    "rmsprop": optim.rmsprop(optim.exponential_decay(0.1, 50, 0.5)),
    "adam": optim.adam(0.1),
    "amsgrad": optim.amsgrad(0.1),
    "adamax": optim.adamax(0.2),
    "nadam": optim.nadam(0.1),
    "lion": optim.lion(optim.exponential_decay(0.1, 50, 0.5), weight_decay=0.0),
    "lamb": optim.lamb(optim.exponential_decay(0.2, 50, 0.5)),
    "adafactor": optim.adafactor(optim.exponential_decay(0.3, 50, 0.5)),
}


@pytest.mark.parametrize("name", GOOD_RATES)
def test_a_quadratic_function_is_minimized(name):
    train = ff.jit(lambda x: steps_scanned(GOOD_RATES[name], x, 600))
    np.testing.assert_allclose(train(START), TARGET, atol=0.02)


def steps_scanned(optimizer, x, count, gradient=gradient):
    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(gradient(x), state, x)
        return (optim.apply_updates(x, updates), state), None

    return ff.lax.scan(step, (x, optimizer.init(x)), length=count)[0][0]


def test_adam_minimizes_rosenbrocks_function():
    def rosenbrock(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    train = ff.jit(lambda x: steps_scanned(optim.adam(0.02), x, 6000, ff.grad(rosenbrock)))
    np.testing.assert_allclose(train(np.array([-1.2, 1.0])), 1, atol=1e-2)


# --- PyTorch ----------------------------------------------------------------------------------

PARITY = {
    "SGD": ({}, optim.sgd(RATE)),
    "SGD momentum": ({"momentum": 0.9}, optim.sgd(RATE, 0.9)),
    "SGD nesterov": ({"momentum": 0.9, "nesterov": True}, optim.sgd(RATE, 0.9, True)),
    "Adagrad": ({"eps": 0.0}, optim.adagrad(RATE, 0.0, 0.0)),
    "Adadelta": ({}, optim.adadelta(RATE)),
    "RMSprop": ({"alpha": 0.9}, optim.rmsprop(RATE, eps_in_sqrt=False)),
    "RMSprop centered": (
        {"alpha": 0.9, "centered": True},
        optim.rmsprop(RATE, eps_in_sqrt=False, centered=True),
    ),
    "Adam": ({}, optim.adam(RATE)),
    "AdamW": ({"weight_decay": 0.1}, optim.adamw(RATE, weight_decay=0.1)),
    "Adamax": ({}, optim.adamax(RATE)),
}


@pytest.mark.parametrize("name", PARITY)
def test_parity_with_torch(name):
    torch = pytest.importorskip("torch")
    settings, optimizer = PARITY[name]
    settings = {"lr": RATE} | ({"rho": 0.9} if name == "Adadelta" else {}) | settings
    x = torch.tensor(START, requires_grad=True)
    theirs = getattr(torch.optim, name.split()[0])([x], **settings)
    for _ in range(20):
        x.grad = torch.tensor(gradient(x.detach().numpy()))
        theirs.step()
    got, _ = steps(optimizer, fnp.asarray(START), 20)
    np.testing.assert_allclose(got, x.detach().numpy(), rtol=1e-9, atol=1e-9)


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [optim.adamw, optim.nadamw, optim.lion, optim.lamb, optim.adafactor]
)
def test_parameters_are_needed(make):
    optimizer = make(0.1)
    state = optimizer.init(fnp.ones(3))
    with pytest.raises(ArgumentError, match="needs the parameters, got params=None"):
        optimizer.update(fnp.ones(3), state)


@pytest.mark.parametrize("rate", ["0.1", None, True, [0.1], np.ones(2)])
def test_a_learning_rate_is_a_number_or_a_schedule(rate):
    with pytest.raises(ArgumentError, match="learning_rate: expected a number or a schedule"):
        optim.adam(rate)
