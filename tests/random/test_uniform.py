from typing import Any

import numpy as np
import pytest
from scipy import stats

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, random
from funcflow.testing import check_laws

SHAPES = {"()": (), "7": (7,), "3x5": (3, 5), "0": (0,), "200": (200,)}
FLOATS = ("float64", "float32", "float16", "bfloat16")
RANGES = [
    (0, 10, "int32"),
    (-5, 1000000, "int32"),
    (0, 256, "uint8"),
    (-128, 128, "int8"),
    (-300, 300, "int16"),
    (0, 2**31 - 1, "int32"),
    (3, 3, "int32"),
    (0, 2**32 - 1, "uint32"),
    (0, 10**15, "int64"),
    (-(2**63), 2**63 - 1, "int64"),
]


# --- bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_bits(recorded: Any, key: Any, shape: str, dtype: str) -> None:
    recorded.check(f"bits/{shape}/{dtype}", random.bits(key, SHAPES[shape], dtype))


def test_bits_are_as_wide_as_the_default_integers(key: Any) -> None:
    assert random.bits(key).dtype == np.uint32
    with ff.config(default_int="int64"):
        assert random.bits(key).dtype == np.uint64


def test_bits_do_not_depend_on_the_shape(key: Any) -> None:
    assert (random.bits(key, (6,)) == random.bits(key, (2, 3)).ravel()).all()
    assert (random.bits(key, (6,)) == random.bits(key, (1000,))[:6]).all()


# --- uniform --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform(recorded: Any, key: Any, shape: str, dtype: str) -> None:
    recorded.check(f"uniform/{shape}/{dtype}", random.uniform(key, SHAPES[shape], dtype))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_in_an_interval(recorded: Any, key: Any, shape: str, dtype: str) -> None:
    found = random.uniform(key, SHAPES[shape], dtype, -1.37, 2.911)
    recorded.check(f"uniform_bounds/{shape}/{dtype}", found)


def test_uniform_with_bounds_that_broadcast(recorded: Any, key: Any) -> None:
    low, high = fnp.arange(4.0) - 1.3, fnp.ones((3, 1)) * 7.7
    recorded.check("uniform/array_bounds", random.uniform(key, (3, 4), minval=low, maxval=high))


def test_uniform_is_uniform(key: Any) -> None:
    assert stats.kstest(random.uniform(key, (20000,)), "uniform").pvalue > 0.01


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_stays_in_its_interval(key: Any, dtype: str) -> None:
    u = np.asarray(random.uniform(key, (2000,), dtype, 1.0, 1.5)).astype(float)
    assert u.min() >= 1.0
    assert u.max() <= 1.5  # reached by rounding
    assert np.asarray(random.uniform(key, (2000,), dtype)).astype(float).max() < 1


def test_uniform_follows_the_default_dtype(key: Any) -> None:
    with ff.config(default_float="float64"):
        assert random.uniform(key).dtype == np.float64


def test_laws_in_the_bounds(key: Any) -> None:
    def draw(low: Any, high: Any) -> Any:
        return random.uniform(key, (2, 3), "float64", low, high)

    check_laws(draw, (np.array([-1.0, 0.2, 0.5]), np.array([[1.5], [2.0]])))


# --- randint --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("low", "high", "dtype"), RANGES)
def test_randint(recorded: Any, key: Any, shape: str, low: int, high: int, dtype: str) -> None:
    name = f"randint/{shape}/{low}/{high}/{dtype}"
    recorded.check(name, random.randint(key, SHAPES[shape], low, high, dtype))
    bounds = fnp.array(low, "int64"), fnp.array(high, "int64")
    recorded.check(name, random.randint(key, SHAPES[shape], *bounds, dtype))


def test_randint_with_bounds_that_broadcast(recorded: Any, key: Any) -> None:
    low, high = fnp.arange(4), fnp.array([[5], [100], [2**31 - 1]])
    recorded.check("randint/array_bounds", random.randint(key, (3, 4), low, high))


def test_randint_reaches_the_whole_range(key: Any) -> None:
    full = np.asarray(random.randint(key, (5000,), 0, 2**32, "uint32"))
    assert full.max() > 2**32 - 2**22
    assert full.min() < 2**22
    clipped = np.asarray(random.randint(key, (5000,), -(10**6), 10**6, "int8"))
    assert (clipped.min(), clipped.max()) == (-128, 127)


@pytest.mark.parametrize("shape", [(), (50,)])
def test_randint_of_more_than_half_of_the_range(key: Any, shape: tuple[int, ...]) -> None:
    low, high = -(2**31), 2**31 - 2
    static = random.randint(key, shape, low, high)
    traced = ff.jit(random.randint, static_argnums=1)(key, shape, low, high)
    assert (static == traced).all()
    assert (static < high).all()


def test_randint_of_an_empty_range_is_minval(key: Any) -> None:
    assert (random.randint(key, (4,), 5, 2) == 5).all()
    assert (random.randint(key, (4,), fnp.array(5), 2) == 5).all()


def test_randint_is_uniform(key: Any) -> None:
    counts = np.bincount(np.asarray(random.randint(key, (20000,), 0, 10)), minlength=10)
    assert stats.chisquare(counts).pvalue > 0.01


# --- transforms -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: random.bits(k, (3, 2), "uint64"),
        lambda k: random.uniform(k, (3, 2), minval=-1.0, maxval=2.5),
        lambda k: random.randint(k, (3, 2), 0, 7),
        lambda k: random.randint(k, (3, 2), fnp.arange(2), 7, "uint8"),
    ],
)
def test_laws_over_keys(draw: Any) -> None:
    check_laws(draw, (random.PRNGKey(1),), order=0)


# --- errors ---------------------------------------------------------------------------------


def test_bad_dtypes(key: Any) -> None:
    with pytest.raises(errors.DtypeError, match="bits: dtype must be unsigned, got int32"):
        random.bits(key, (), "int32")
    with pytest.raises(errors.DtypeError, match="uniform: dtype must be floating, got int32"):
        random.uniform(key, (), "int32")
    with pytest.raises(errors.DtypeError, match="randint: dtype must be an integer dtype"):
        random.randint(key, (), 0, 1, "float32")
    with pytest.raises(errors.DtypeError, match="randint: maxval must be an integer"):
        random.randint(key, (), 0, 1.5)


@pytest.mark.parametrize("shape", [(-1,), (2.5,), 1.5])
def test_bad_shapes(key: Any, shape: Any) -> None:
    with pytest.raises(errors.ShapeError, match="uniform: "):
        random.uniform(key, shape)


def test_bounds_that_do_not_broadcast(key: Any) -> None:
    with pytest.raises(errors.ShapeError, match=r"uniform: .*\(3,\).* the shape \(2,\)"):
        random.uniform(key, (2,), minval=fnp.zeros(3))
    with pytest.raises(errors.ShapeError, match=r"randint: .*\(3,\).* the shape \(\)"):
        random.randint(key, (), fnp.zeros(3, int), 4)
