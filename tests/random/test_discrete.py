from typing import Any

import numpy as np
import pytest
from scipy import stats

import funcflow.numpy as fnp
from funcflow import errors, random
from funcflow.testing import check_laws

SHAPES = {"()": (), "7": (7,), "3x5": (3, 5), "0": (0,), "200": (200,)}


# --- bernoulli ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_bernoulli(recorded: Any, key: Any, shape: str) -> None:
    recorded.check(f"bernoulli/{shape}", random.bernoulli(key, 0.3, SHAPES[shape]))
    found = random.bernoulli(key, 0.3, SHAPES[shape], mode="high")
    recorded.check(f"bernoulli_high/{shape}", found)


def test_bernoulli_of_arrays(recorded: Any, key: Any) -> None:
    recorded.check("bernoulli/array", random.bernoulli(key, fnp.linspace(0, 1, 9)))


def test_bernoulli_is_never_and_always(key: Any) -> None:
    assert not random.bernoulli(key, 0.0, (1000,)).any()
    assert random.bernoulli(key, 1.0, (1000,)).all()


def test_bernoulli_has_its_mean(key: Any) -> None:
    for mode in ("low", "high"):
        heads = int(random.bernoulli(key, 0.3, (20000,), mode).sum())
        assert stats.binomtest(heads, 20000, 0.3).pvalue > 0.01


# --- others ---------------------------------------------------------------------------------


def test_rademacher(recorded: Any, key: Any) -> None:
    recorded.check("close/rademacher", random.rademacher(key, (20,)))
    assert random.rademacher(key, (3,), "float32").dtype == np.float32
    assert set(np.asarray(random.rademacher(key, (100,), "int8"))) == {-1, 1}


def test_double_sided_maxwell(recorded: Any, key: Any) -> None:
    found = random.double_sided_maxwell(key, 1.0, 2.0, (20,))
    np.testing.assert_allclose(found, recorded["close/double_sided_maxwell"], rtol=1e-6)
    many = np.asarray(random.double_sided_maxwell(key, 1.0, 2.0, (20000,)))
    assert stats.kstest(abs(many - 1.0) / 2.0, stats.maxwell().cdf).pvalue > 0.01
    assert random.double_sided_maxwell(key, fnp.zeros(3), 1.0, (2,)).shape == (2, 3)


def test_geometric(recorded: Any, key: Any) -> None:
    p = fnp.array([0.1, 0.5, 0.9])
    recorded.check("close/geometric", random.geometric(key, p, (6, 3)))
    many = np.asarray(random.geometric(key, 0.4, (20000,)))
    observed = np.bincount(np.minimum(many, 8), minlength=9)[1:]
    probabilities = stats.geom(0.4).pmf(np.arange(1, 8))
    expected = 20000 * np.append(probabilities, 1 - probabilities.sum())
    assert stats.chisquare(observed, expected).pvalue > 0.01


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: random.bernoulli(k, fnp.array([0.2, 0.7])),
        lambda k: random.bernoulli(k, 0.2, (3,), mode="high"),
        lambda k: random.rademacher(k, (3,)),
        lambda k: random.geometric(k, 0.3, (3,)),
        lambda k: random.double_sided_maxwell(k, 0.0, fnp.array([1.0, 2.0])),
    ],
)
def test_laws_over_keys(draw: Any) -> None:
    check_laws(draw, (random.PRNGKey(1),), order=0)


def test_errors(key: Any) -> None:
    with pytest.raises(errors.DtypeError, match="bernoulli: p must be floating, got i32"):
        random.bernoulli(key, 1)
    with pytest.raises(errors.ArgumentError, match="bernoulli: there is no mode 'fast'"):
        random.bernoulli(key, mode="fast")
    with pytest.raises(errors.ShapeError, match=r"bernoulli: .*\(3,\).* the shape \(2,\)"):
        random.bernoulli(key, fnp.full(3, 0.5), (2,))
    with pytest.raises(errors.DtypeError, match="geometric: dtype must be an integer dtype"):
        random.geometric(key, 0.5, dtype="float32")
    with pytest.raises(errors.DtypeError, match="geometric: p must be real"):
        random.geometric(key, 0.5j)
