from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import funcflow.numpy as fnp
from funcflow import errors, random
from funcflow.testing import check_laws

LOGITS = np.arange(12.0, dtype=np.float32).reshape(3, 4) / 5
TABLE = np.arange(12, dtype=np.float32).reshape(3, 4)
P = np.array([0.1, 0.2, 0.3, 0.2, 0.2], np.float32)


# --- permutation ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 5, 100, 2000])
def test_permutation_of_a_range(recorded: Any, key: Any, n: int) -> None:
    found = random.permutation(key, n)
    recorded.check(f"permutation/{n}", found)
    assert sorted(found.tolist()) == list(range(n))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("independent", [False, True])
def test_permutation_of_an_array(recorded: Any, key: Any, axis: int, independent: bool) -> None:
    x = fnp.arange(12.0).reshape(4, 3)
    found = random.permutation(key, x, axis, independent)
    recorded.check(f"permutation/array/{axis}/{independent}", found)
    again = random.permutation(key, x, axis - 2, independent)
    assert (found == again).all()


def test_permutations_are_equally_likely() -> None:
    keys = random.split(random.key(0), 6000)
    orders = np.asarray(fnp.stack([random.permutation(k, 3) for k in keys[:1200]]))
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.01


# --- choice ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("choice", lambda k: random.choice(k, 10, (7,))),
        ("choice_p", lambda k: random.choice(k, 5, (20,), p=P)),
        ("choice_noreplace", lambda k: random.choice(k, 10, (7,), replace=False)),
        ("choice_p_noreplace", lambda k: random.choice(k, 5, (3,), replace=False, p=P)),
        ("choice_array", lambda k: random.choice(k, TABLE, (2, 2), axis=1)),
        ("choice_array_noreplace", lambda k: random.choice(k, TABLE, (2,), False, axis=1)),
    ],
)
def test_choice(recorded: Any, key: Any, name: str, draw: Any) -> None:
    recorded.check(f"close/{name}", draw(key))
    check_laws(draw, (key,), order=0)


def test_choice_by_probability(key: Any) -> None:
    counts = np.bincount(np.asarray(random.choice(key, 5, (20000,), p=P)), minlength=5)
    assert stats.chisquare(counts, P / P.sum() * 20000).pvalue > 0.01


def test_choice_without_replacement_takes_each_once(key: Any) -> None:
    assert sorted(random.choice(key, 5, (5,), replace=False).tolist()) == list(range(5))
    assert sorted(random.choice(key, 5, (5,), replace=False, p=P).tolist()) == list(range(5))


def test_choice_shapes(key: Any) -> None:
    assert random.choice(key, fnp.zeros((3, 4)), (2, 5), axis=1).shape == (3, 2, 5)
    assert random.choice(key, 4).shape == ()
    assert random.choice(key, 0, (0,)).shape == (0,)
    assert random.choice(key, fnp.zeros((3, 4)), (0,), axis=1).shape == (3, 0)


# --- categorical ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("categorical", lambda k: random.categorical(k, np.log(P[:4] * 0 + [0.1, 0.2, 0.3, 0.4]))),
        ("categorical_axis", lambda k: random.categorical(k, LOGITS, axis=0, shape=(6, 4))),
        (
            "categorical_noreplace",
            lambda k: random.categorical(k, LOGITS, axis=1, shape=(3, 3), replace=False),
        ),
        (
            "categorical_high",
            lambda k: random.categorical(k, fnp.arange(5.0), shape=(6,), mode="high"),
        ),
    ],
)
def test_categorical(recorded: Any, key: Any, name: str, draw: Any) -> None:
    if name != "categorical":
        recorded.check(f"close/{name}", draw(key))
    check_laws(draw, (key,), order=0)


def test_categorical_recorded(recorded: Any, key: Any) -> None:
    logits = fnp.log(fnp.array([0.1, 0.2, 0.3, 0.4]))
    recorded.check("close/categorical", random.categorical(key, logits, shape=(20,)))


def test_categorical_frequencies(key: Any) -> None:
    draws = np.asarray(random.categorical(key, LOGITS, shape=(20000, 3)))
    for row, logits in zip(draws.T, LOGITS, strict=True):
        weights = special.softmax(logits.astype(float))
        assert stats.chisquare(np.bincount(row, minlength=4), weights * 20000).pvalue > 0.01


def test_categorical_leaves_out_the_impossible(key: Any) -> None:
    draws = random.categorical(key, fnp.array([0.0, -np.inf, 0.0]), shape=(1000,))
    assert not (draws == 1).any()


# --- errors ---------------------------------------------------------------------------------


def test_permutation_errors(key: Any) -> None:
    with pytest.raises(errors.DtypeError, match="permutation: a number must be an integer"):
        random.permutation(key, 3.5)
    with pytest.raises(errors.AxisError, match="permutation: axis 2"):
        random.permutation(key, fnp.zeros((2, 2)), axis=2)


def test_choice_errors(key: Any) -> None:
    with pytest.raises(errors.ArgumentError, match="choice: there is nothing to choose from"):
        random.choice(key, 0, (1,))
    with pytest.raises(errors.ArgumentError, match=r"choice: 4 draws .* from 3 elements"):
        random.choice(key, 3, (4,), replace=False)
    with pytest.raises(errors.ShapeError, match=r"choice: p must have the shape \(3,\)"):
        random.choice(key, 3, (4,), p=P)
    with pytest.raises(errors.DtypeError, match="choice: a number must be an integer"):
        random.choice(key, 3.0, (4,))
    with pytest.raises(errors.AxisError, match="choice: axis 1"):
        random.choice(key, P, (4,), axis=1)


def test_categorical_errors(key: Any) -> None:
    with pytest.raises(errors.DtypeError, match="categorical: logits must be floating"):
        random.categorical(key, fnp.arange(3))
    with pytest.raises(errors.ShapeError, match=r"categorical: .*\(3,\).* the shape \(4,\)"):
        random.categorical(key, LOGITS, shape=(4,))
    with pytest.raises(errors.ArgumentError, match=r"categorical: 5 draws .* from 4 categories"):
        random.categorical(key, LOGITS, shape=(5, 3), replace=False)
    with pytest.raises(errors.AxisError, match="categorical: axis 2"):
        random.categorical(key, LOGITS, axis=2)
