from typing import Any

import numpy as np
import pytest

from funcflow import errors
from funcflow.lax.prng import threefry2x32
from funcflow.testing import check_laws


def words(*values: int) -> list[Any]:
    return [np.array(value, np.uint32) for value in values]


# The known answers of the Random123 library (kat_vectors, 20 rounds): key, counter, result.
KNOWN = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("key", "counter", "result"), KNOWN)
def test_known_answers(key: Any, counter: Any, result: Any) -> None:
    found = threefry2x32(*words(*key), *words(*counter))
    assert tuple(int(word) for word in found) == result


@pytest.mark.parametrize("size", [0, 1, 128, 129, 40000])
def test_few_and_many_counters_are_hashed_alike(size: int) -> None:
    k0, k1, x0 = words(1, 2, 3)
    counts = np.arange(40000, dtype=np.uint32)
    many = [np.asarray(word)[:size] for word in threefry2x32(k0, k1, x0, counts)]
    some = threefry2x32(k0, k1, x0, counts[:size])
    for expected, found in zip(many, some, strict=True):
        assert found.dtype == np.uint32
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("keys", [3, 300])
def test_broadcasting(keys: int) -> None:
    k = np.arange(keys, dtype=np.uint32)[:, None]
    x = np.arange(500, dtype=np.uint32)
    found = threefry2x32(k, k + np.uint32(7), np.uint32(0), x)
    for i in (0, keys - 1):
        alone = threefry2x32(*words(i, i + 7, 0), x)
        for all_words, one in zip(found, alone, strict=True):
            np.testing.assert_array_equal(np.asarray(all_words)[i], one)


def test_laws() -> None:
    rng = np.random.default_rng(0)
    args = [rng.integers(2**32, size=s, dtype=np.uint32) for s in ((3, 1), (3, 1), (4,), (3, 4))]
    check_laws(threefry2x32, args, order=0)


def test_errors() -> None:
    with pytest.raises(errors.DtypeError, match="threefry2x32: takes uint32 arrays, got u32"):
        threefry2x32(*words(0, 0, 0), np.int32(0))
    with pytest.raises(errors.ShapeError, match="do not broadcast"):
        threefry2x32(*words(0, 0), np.zeros(2, np.uint32), np.zeros(3, np.uint32))
