import copy
import pickle
from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, random
from funcflow.random.keys import KeyArray, KeyDtype

SEEDS = (0, 1, 42, -1, 2**32 + 5, 123456789012)


def words(key: Any) -> np.ndarray[Any, Any]:
    return np.asarray(random.key_data(key))


# --- streams --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(recorded: Any, seed: int) -> None:
    recorded.check(f"PRNGKey/{seed}", random.PRNGKey(seed))
    recorded.check(f"PRNGKey/{seed}", random.key_data(random.key(seed)))


@pytest.mark.parametrize("seed", SEEDS)
def test_split(recorded: Any, seed: int) -> None:
    key = random.PRNGKey(seed)
    recorded.check(f"split/{seed}", random.split(key))
    recorded.check(f"split5/{seed}", random.split(key, 5))
    recorded.check(f"split23/{seed}", random.split(key, (2, 3)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("data", [0, 1, 7, 2**31, 2**32 - 1])
def test_fold_in(recorded: Any, seed: int, data: int) -> None:
    recorded.check(f"fold_in/{seed}/{data}", random.fold_in(random.PRNGKey(seed), data))


def test_fold_in_takes_arrays() -> None:
    key = random.PRNGKey(3)
    wrapped = random.fold_in(key, fnp.array(-7, fnp.int32))
    assert (words(wrapped) == words(random.fold_in(key, 2**32 - 7))).all()


@pytest.mark.parametrize("seed", [np.int64(2**33 + 7), np.uint32(7), np.int8(7), fnp.array(7)])
def test_seeds_of_other_types_count_modulo_2_32(seed: Any) -> None:
    assert words(random.key(seed)).tolist() == [0, 7]


def test_traced_seed() -> None:
    assert (words(ff.jit(random.key)(7)) == words(random.key(7))).all()
    seeds = fnp.arange(3)
    assert words(ff.vmap(random.key)(seeds)).tolist() == [[0, 0], [0, 1], [0, 2]]


# --- kinds ----------------------------------------------------------------------------------


def test_functions_return_the_kind_they_were_given() -> None:
    typed, raw = random.key(5), random.PRNGKey(5)
    for function in (random.split, lambda k: random.fold_in(k, 3), random.clone):
        assert isinstance(function(typed), KeyArray)
        assert not isinstance(function(raw), KeyArray)
        assert (words(function(typed)) == words(function(raw))).all()


def test_samplers_take_both_kinds_and_numpy_words() -> None:
    draws = [
        random.normal(key, (3,))
        for key in (random.key(5), random.PRNGKey(5), np.array([0, 5], np.uint32))
    ]
    assert all((draw == draws[0]).all() for draw in draws)


def test_wrap_and_unwrap() -> None:
    data = random.PRNGKey(9)
    key = random.wrap_key_data(data, impl="threefry2x32")
    assert (random.key_data(key) == data).all()
    assert random.key_impl(key) == random.key_impl(data) == "threefry2x32"


# --- arrays of keys -------------------------------------------------------------------------


def test_shape_and_dtype() -> None:
    keys = random.split(random.key(0), (2, 3))
    assert (keys.shape, keys.ndim, keys.size, len(keys)) == ((2, 3), 2, 6, 2)
    assert keys.dtype == random.key_dtype() == KeyDtype()
    assert hash(keys.dtype) == hash(KeyDtype())
    assert fnp.issubdtype(keys.dtype, ff.dtypes.prng_key)
    assert random.key(0).shape == ()


def test_indexing() -> None:
    keys = random.split(random.key(0), (2, 3))
    data = words(keys)
    assert (words(keys[1]) == data[1]).all()
    assert (words(keys[..., 0]) == data[:, 0]).all()
    assert (words(keys[:, 1:]) == data[:, 1:]).all()
    assert (words(keys[fnp.array([1, 0]), 2]) == data[[1, 0], 2]).all()
    with pytest.raises(IndexError):
        keys[0, 0, 0]


def test_iteration_and_unpacking() -> None:
    first, second = random.split(random.key(0))
    assert first.shape == second.shape == ()
    assert first != second
    assert [k.shape for k in random.split(random.key(0), (2, 3))] == [(3,), (3,)]


def test_reshape() -> None:
    keys = random.split(random.key(0), 6)
    assert keys.reshape(2, 3).shape == keys.reshape((2, -1)).shape == (2, 3)
    assert keys.reshape(2, 3).ravel().shape == keys.flatten().shape == (6,)
    assert (keys.reshape(2, 3).ravel() == keys).all()


def test_equality_is_elementwise() -> None:
    keys = random.split(random.key(0), 3)
    assert np.asarray(keys == keys[1]).tolist() == [False, True, False]
    assert np.asarray(keys != keys[1]).tolist() == [True, False, True]


def test_repr() -> None:
    assert repr(random.key(0)) == "Array((), dtype=key<fry>) overlaying:\n[0 0]"
    assert repr(random.key_dtype()) == "key<fry>"


def test_single_keys_have_no_length() -> None:
    with pytest.raises(TypeError, match="single key"):
        len(random.key(0))
    with pytest.raises(TypeError, match="single key"):
        iter(random.key(0))


def test_no_truth_value_and_no_numpy_array() -> None:
    with pytest.raises(errors.LeafTypeError, match="truth value"):
        bool(random.key(0))
    with pytest.raises(errors.LeafTypeError, match=r"random\.key_data"):
        np.asarray(random.key(0))


def test_copies_and_pickles() -> None:
    key = random.key(3)
    for other in (copy.copy(key), copy.deepcopy(key), pickle.loads(pickle.dumps(key))):
        assert other == key
    assert key.block_until_ready() is key


# --- transforms -----------------------------------------------------------------------------


def test_jit_takes_and_returns_keys() -> None:
    key = random.key(3)
    assert (ff.jit(random.split)(key) == random.split(key)).all()


def test_vmap_over_keys() -> None:
    keys = random.split(random.key(3), 4)
    mapped = ff.vmap(random.split)(keys)
    assert mapped.shape == (4, 2)
    assert (mapped[2] == random.split(keys[2])).all()


def test_vmap_over_data() -> None:
    key = random.key(3)
    mapped = ff.vmap(random.fold_in, in_axes=(None, 0))(key, fnp.arange(4))
    assert all((mapped[i] == random.fold_in(key, i)) for i in range(4))


def test_scan_carries_keys() -> None:
    def step(key: Any, _: None) -> Any:
        key, use = random.split(key)
        return key, random.uniform(use)

    key, draws = ff.lax.scan(step, random.key(3), None, length=3)
    expected = []
    other = random.key(3)
    for _ in range(3):
        other, use = random.split(other)
        expected.append(random.uniform(use))
    assert key == other
    assert draws.tolist() == fnp.stack(expected).tolist()


def test_scan_over_keys() -> None:
    keys = random.split(random.key(3), 3)
    _, draws = ff.lax.scan(lambda c, k: (c, random.normal(k)), 0, keys)
    assert (draws == ff.vmap(random.normal)(keys)).all()


def test_cond_returns_keys() -> None:
    key = random.key(3)
    chosen = ff.lax.cond(True, lambda k: random.fold_in(k, 1), lambda k: k, key)
    assert chosen == random.fold_in(key, 1)


# --- errors ---------------------------------------------------------------------------------


def test_bad_seeds() -> None:
    with pytest.raises(errors.DtypeError, match="key: the seed must be an integer"):
        random.key(fnp.array(1.5))
    with pytest.raises(errors.DtypeError, match="PRNGKey: the seed must be an integer"):
        random.PRNGKey(1.5)
    with pytest.raises(errors.ShapeError, match=r"key: takes a scalar seed"):
        random.key(fnp.arange(3))
    with pytest.raises(errors.LeafTypeError, match="got KeyArray"):
        random.key(random.key(0))
    with pytest.raises(errors.LeafTypeError, match="got str"):
        random.key("seed")


def test_unknown_generators() -> None:
    for function in (random.key, random.PRNGKey):
        with pytest.raises(errors.ArgumentError, match="no generator 'rbg'"):
            function(0, impl="rbg")
    with pytest.raises(errors.ArgumentError, match="threefry2x32"):
        random.key_dtype("unsafe_rbg")


@pytest.mark.parametrize(
    ("bad", "error", "words_of_it"),
    [
        (3, errors.LeafTypeError, "expected a key, got int"),
        (None, errors.LeafTypeError, "expected a key, got NoneType"),
        (np.zeros(2, np.int32), errors.DtypeError, "words of a key are uint32, got i32"),
        (np.zeros(3, np.uint32), errors.ShapeError, "two words along its last axis"),
        (np.zeros((), np.uint32), errors.ShapeError, "two words along its last axis"),
        (np.zeros((4, 2), np.uint32), errors.ShapeError, r"vmap\(ff.random.normal\)"),
    ],
)
def test_bad_keys(bad: Any, error: type[Exception], words_of_it: str) -> None:
    with pytest.raises(error, match=words_of_it) as caught:
        random.normal(bad)
    assert "normal: " in str(caught.value)
    assert "ff.random" in str(caught.value)


def test_batches_of_keys_want_vmap() -> None:
    keys = random.split(random.key(0), 3)
    for function in (random.split, random.uniform, lambda k: random.fold_in(k, 1)):
        with pytest.raises(errors.ShapeError, match="single key"):
            function(keys)


def test_bad_arguments_of_split_and_fold_in() -> None:
    key = random.key(0)
    with pytest.raises(errors.ShapeError, match=r"split: .*negative"):
        random.split(key, -1)
    with pytest.raises(errors.ArgumentError, match="between 0 and"):
        random.fold_in(key, -1)
    with pytest.raises(errors.DtypeError, match="must be an integer"):
        random.fold_in(key, 1.5)
    with pytest.raises(errors.ShapeError, match="scalar"):
        random.fold_in(key, fnp.arange(2))
