"""Transforms of transforms: every order up to depth three, against finite differences and loops.

Each operator below turns a function from three numbers to three numbers into another one, once
with a transform and once by its definition in NumPy. The NumPy side works on the last axis of
arrays of any shape; derivatives are difference quotients of sixth order in double precision.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

Function = Callable[[Any], Any]

POINT = np.array([0.4, -0.3, 0.8])
DIRECTION = np.array([0.3, -0.7, 0.5])
COVECTOR = np.array([-0.2, 0.6, 0.9])
SCALES = np.array([1.0, 0.7])


@pytest.fixture(autouse=True)
def _enough_devices() -> Iterator[None]:
    with ff.config(num_cpu_devices=4):
        yield


# --- operators, by transforms ---------------------------------------------------------------


def by_jvp(f: Function) -> Function:
    return lambda x: ff.jvp(f, (x,), (DIRECTION,))[1]


def by_linearize(f: Function) -> Function:
    return lambda x: ff.linearize(f, x)[1](DIRECTION)


def by_vjp(f: Function) -> Function:
    return lambda x: ff.vjp(f, x)[1](COVECTOR)[0]


def by_grad(f: Function) -> Function:
    return ff.grad(lambda x: fnp.sum(COVECTOR * f(x)))


def by_jacfwd(f: Function) -> Function:
    return lambda x: ff.jacfwd(f)(x) @ DIRECTION


def by_jacrev(f: Function) -> Function:
    return lambda x: COVECTOR @ ff.jacrev(f)(x)


def by_vmap(f: Function) -> Function:
    return lambda x: fnp.sum(ff.vmap(lambda s: f(s * x))(SCALES), 0)


def by_pmap(f: Function) -> Function:
    return lambda x: fnp.sum(ff.pmap(lambda s: f(s * x))(SCALES), 0)


def by_scan(f: Function) -> Function:
    return lambda x: lax.scan(lambda c, s: (s * f(c), None), x, SCALES)[0]


def by_while(f: Function) -> Function:
    def loop(x: Any) -> Any:
        state = (0, x)
        return lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, f(s[1])), state)[1]

    return loop


def by_cond(f: Function) -> Function:
    return lambda x: lax.cond(x[0] > -10, f, lambda x: 2 * x, x)


def by_custom_jvp(f: Function) -> Function:
    g = ff.custom_jvp(f)
    g.defjvp(lambda primals, tangents: ff.jvp(f, primals, tangents))
    return g


def by_custom_vjp(f: Function) -> Function:
    g = ff.custom_vjp(f)
    g.defvjp(lambda x: (f(x), x), lambda x, ct: ff.vjp(f, x)[1](ct))
    return g


# --- the same, by their definitions ---------------------------------------------------------


def same(f: Function) -> Function:
    return f


def derivative_along(f: Function, x: Any, direction: Any) -> Any:
    h = 0.02
    quotient = 0.0
    for k, weight in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60)):
        quotient += weight * (f(x + k * h * direction) - f(x - k * h * direction)) / h
    return quotient


def pushed(f: Function) -> Function:
    return lambda x: derivative_along(f, x, DIRECTION)


def pulled(f: Function) -> Function:
    def pull(x: Any) -> Any:
        columns = [derivative_along(f, x, e) @ COVECTOR for e in np.eye(3)]
        return np.stack(columns, -1)

    return pull


def summed(f: Function) -> Function:
    return lambda x: sum(f(s * x) for s in SCALES)


def looped(f: Function) -> Function:
    def loop(x: Any) -> Any:
        for s in SCALES:
            x = s * f(x)
        return x

    return loop


def twice(f: Function) -> Function:
    return lambda x: f(f(x))


OPERATORS: dict[str, tuple[Callable[[Function], Function], Callable[[Function], Function]]] = {
    "jit": (ff.jit, same),
    "checkpoint": (ff.checkpoint, same),
    "jvp": (by_jvp, pushed),
    "linearize": (by_linearize, pushed),
    "vjp": (by_vjp, pulled),
    "grad": (by_grad, pulled),
    "jacfwd": (by_jacfwd, pushed),
    "jacrev": (by_jacrev, pulled),
    "vmap": (by_vmap, summed),
    "pmap": (by_pmap, summed),
    "scan": (by_scan, looped),
    "while": (by_while, twice),
    "cond": (by_cond, same),
    "custom_jvp": (by_custom_jvp, same),
    "custom_vjp": (by_custom_vjp, same),
}
FORWARD = {"jvp", "linearize", "jacfwd"}
REVERSE = {"vjp", "grad", "jacrev"}

# --- functions --------------------------------------------------------------------------------


def smooth(np: Any, x: Any) -> Any:
    return np.sin(x) * x[..., ::-1] + 0.3 * x * x


def branching(np: Any, x: Any) -> Any:
    return np.where(x > 0, np.exp(-x), 1 + x * x) * np.cos(x[..., ::-1])


def ratio(np: Any, x: Any) -> Any:
    return np.tanh(x) / (2 + np.sum(x * x, -1, keepdims=True))


FUNCTIONS = {f.__name__: f for f in (smooth, branching, ratio)}


def check(names: tuple[str, ...], function: Callable[[Any, Any], Any]) -> None:
    """`names`, outermost first."""

    def traced(x: Any) -> Any:
        return function(fnp, x)

    def plain(x: Any) -> Any:
        return function(np, x)

    for name in reversed(names):
        transform, definition = OPERATORS[name]
        traced, plain = transform(traced), definition(plain)
    if only_reverse(names):
        with pytest.raises(ff.errors.NotDifferentiableError):
            traced(POINT)
        return
    got = np.asarray(traced(POINT))
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, plain(POINT), rtol=1e-6, atol=1e-7)


def only_reverse(names: tuple[str, ...]) -> bool:
    """Whether a function with only a reverse rule meets forward mode."""
    opaque = False
    for name in reversed(names):
        if name in FORWARD and opaque:
            return True
        if name == "custom_vjp":
            opaque = True
        elif name in REVERSE:
            opaque = False
    return False


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("outer", OPERATORS)
@pytest.mark.parametrize("inner", OPERATORS)
def test_two_transforms(outer, inner, function):
    check((outer, inner), FUNCTIONS[function])


@pytest.mark.parametrize("outer", OPERATORS)
@pytest.mark.parametrize("middle", OPERATORS)
def test_three_transforms(outer, middle):
    for inner in OPERATORS:
        check((outer, middle, inner), smooth)


# --- collectives ------------------------------------------------------------------------------

MAPS = {"vmap": ff.vmap, "pmap": ff.pmap}
GRID = np.random.default_rng(0).normal(size=(2, 3, 4))


def normalized(x: Any) -> Any:
    return x / lax.psum(fnp.exp(x), "rows")


def normalized_grid(x: Any) -> Any:
    return x / np.exp(x).sum(0, keepdims=True)


def centred(x: Any) -> Any:
    return x * x - lax.pmean(lax.pmean(x, "rows"), "columns")


def centred_grid(x: Any) -> Any:
    return x * x - x.mean((0, 1), keepdims=True)


def both(x: Any) -> Any:
    return fnp.sin(x) * lax.psum(x * x, ("rows", "columns")) + lax.axis_index("columns")


def both_grid(x: Any) -> Any:
    return np.sin(x) * (x * x).sum((0, 1), keepdims=True) + np.arange(3)[:, None]


def moved(x: Any) -> Any:
    return x * lax.ppermute(x, "columns", [(0, 1), (1, 2), (2, 0)]) * lax.axis_size("rows")


def moved_grid(x: Any) -> Any:
    return x * np.roll(x, 1, axis=1) * 2


def gathered(x: Any) -> Any:
    rows = lax.all_gather(x, "rows")
    return rows[0] * rows[1] + lax.pmax(x, "columns")


def gathered_grid(x: Any) -> Any:
    return (x[:1] * x[1:]) + x.max(1, keepdims=True)


COLLECTIVES = {
    "psum": (normalized, normalized_grid),
    "pmean": (centred, centred_grid),
    "two axes": (both, both_grid),
    "ppermute": (moved, moved_grid),
    "all_gather": (gathered, gathered_grid),
}


def shaped(f: Function) -> Function:
    """A function of the grid whose result has the grid's shape."""
    return lambda x: np.broadcast_to(f(x), x.shape)


@pytest.mark.parametrize("outer", MAPS)
@pytest.mark.parametrize("inner", MAPS)
@pytest.mark.parametrize("name", COLLECTIVES)
@pytest.mark.parametrize("wrap", ["none", "jit", "checkpoint"])
def test_collectives_under_nested_maps(outer, inner, name, wrap):
    function, definition = COLLECTIVES[name]
    around = {"none": lambda f: f, "jit": ff.jit, "checkpoint": ff.checkpoint}[wrap]
    columns = MAPS[inner](around(function), axis_name="columns")
    mapped = around(MAPS[outer](columns, axis_name="rows"))
    plain = shaped(definition)
    np.testing.assert_allclose(mapped(GRID), plain(GRID), rtol=1e-12)

    direction, weights = np.random.default_rng(1).normal(size=(2, *GRID.shape))
    expected = derivative_along(plain, GRID, direction)
    out, tangent = ff.jvp(mapped, (GRID,), (direction,))
    np.testing.assert_allclose(out, plain(GRID), rtol=1e-12)
    np.testing.assert_allclose(tangent, expected, rtol=1e-6, atol=1e-7)

    gradient = ff.grad(lambda x: fnp.sum(weights * mapped(x)))(GRID)
    inner_product = np.sum(np.asarray(gradient) * direction)
    np.testing.assert_allclose(inner_product, np.sum(weights * expected), rtol=1e-6)


@pytest.mark.parametrize("outer", MAPS)
@pytest.mark.parametrize("name", ["psum", "ppermute"])
def test_derivatives_inside_a_map_are_those_of_one_lane(outer, name):
    """A gradient taken inside the map sees the collective's inputs of its own lane."""
    scale = np.array([1.0, 2.0, 3.0])
    operation = {
        "psum": lambda x: lax.psum(x, "i"),
        "ppermute": lambda x: lax.ppermute(x, "i", [(0, 1), (1, 2), (2, 0)]),
    }[name]

    def lane(x: Any, s: Any) -> Any:
        return ff.grad(lambda y: s * operation(y * y))(x)

    x = np.array([0.5, -1.0, 2.0])
    got = MAPS[outer](lane, axis_name="i")(x, scale)
    seeds = {"psum": np.full(3, scale.sum()), "ppermute": np.roll(scale, -1)}[name]
    np.testing.assert_allclose(got, 2 * x * seeds)
