"""The pool: memory is used again, but never while anybody can still see it."""

import gc
import re
import sys
import threading
import time
from mmap import mmap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from funcflow.backends import pool as module
from funcflow.backends.pool import SMALLEST, Pool, default_limit, size_class

FLOAT = np.dtype(np.float32)
SHAPE = (100, 1000)  # 400,000 bytes


@pytest.fixture
def pool():
    return Pool(2**24)


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_no_bytes_are_an_array_too(pool):
    assert pool.take(0).shape == (0,)


def test_arrays_are_as_asked_for(pool):
    for shape in ((), (0,), (3, 0, 2), (5,), SHAPE, (2**16, 1)):
        for dtype in (FLOAT, np.dtype(np.complex128), np.dtype(bool)):
            array = pool.take_array(shape, dtype)
            assert (array.shape, array.dtype) == (shape, dtype)
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert array.flags.aligned


@pytest.mark.parametrize("nbytes", [1, 1000, SMALLEST - 1, SMALLEST, 10**6, 10**7])
def test_bytes_are_aligned(pool, nbytes):
    block = pool.take(nbytes)
    assert (block.shape, block.dtype) == ((nbytes,), np.uint8)
    assert address(block) % 64 == 0
    block[:] = 255


def test_memory_is_reused(pool):
    first = pool.take_array(SHAPE, FLOAT)
    place = address(first)
    del first
    for _ in range(5):  # another shape and dtype, the same size
        again = pool.take_array((400_000,), np.dtype(np.uint8))
        assert address(again) == place
        del again
    stats = pool.stats()
    assert (stats["fresh"], stats["reused"]) == (1, 5)
    assert stats["kept"] == stats["free"] == size_class(400_000)


def test_the_block_that_was_used_last_comes_first(pool):
    a, b = pool.take_array(SHAPE, FLOAT), pool.take_array(SHAPE, FLOAT)
    for _ in range(3):  # x = f(x): two blocks take turns
        last = address(a)
        a = pool.take_array(SHAPE, FLOAT)
        assert address(a) not in (last, address(b))
    assert pool.stats()["fresh"] == 3


@pytest.mark.parametrize(
    "hold",
    [
        lambda a: a,
        lambda a: a[3:, ::2].T,
        lambda a: a.reshape(-1)[5:6].view(np.uint8),
        lambda a: memoryview(a),
        lambda a: memoryview(a).cast("B")[7:9],
        lambda a: np.from_dlpack(a),
        lambda a: a.__dlpack__(),
        lambda a: a.flat,
        lambda a: np.asarray(memoryview(a)),
        lambda a: a.view(np.matrix),
        lambda a: [[a]],
    ],
)
def test_what_is_held_is_not_reused(pool, hold):
    array = pool.take_array(SHAPE, FLOAT)
    place = address(array)
    held = hold(array)
    del array
    others = [pool.take_array(SHAPE, FLOAT) for _ in range(3)]
    assert place not in map(address, others)
    del held, others
    gc.collect()
    again = [pool.take_array(SHAPE, FLOAT) for _ in range(4)]
    assert place in map(address, again)


def test_small_arrays_are_not_kept(pool):
    pool.take_array((10,), FLOAT)
    pool.take(10)
    assert pool.stats() == {"kept": 0, "free": 0, "reused": 0, "fresh": 0}


def test_the_pool_is_bounded():
    size = size_class(10**6)
    pool = Pool(4 * size)
    live = [pool.take(10**6) for _ in range(10)]
    for number, block in enumerate(live):
        block[:] = number
    assert pool.stats()["kept"] == 4 * size
    del block
    live.pop()
    pool.take(2 * 10**6)  # other sizes push out what was not asked for
    assert pool.stats()["kept"] <= 4 * size
    for number, block in enumerate(live):  # and what is in use stays valid
        assert (block == number).all()
    pool.take(5 * size)
    assert pool.stats()["kept"] <= 4 * size


def test_sizes_that_were_not_asked_for_go_first():
    pool = Pool(3 * 2**20)
    for nbytes in (2**20, 2**19, 2**20, 2**20 + 2**19):
        pool.take(nbytes)
    pool.take(2**19 * 3 // 2)  # too much by half: 2**19 goes, then 2**20
    reused = pool.stats()["reused"]
    pool.take(2**20 + 2**19)
    assert pool.stats()["reused"] == reused + 1
    pool.take(2**20)
    assert pool.stats()["reused"] == reused + 1


def test_clear_frees_what_is_not_in_use(pool):
    held = pool.take_array(SHAPE, FLOAT)
    held[:] = 1
    pool.take_array((3, *SHAPE), FLOAT)
    pool.clear()
    assert pool.stats()["kept"] == 0
    assert address(pool.take_array(SHAPE, FLOAT)) != address(held)
    assert (held == 1).all()


def test_out_of_memory_drops_what_is_free_and_tries_again(pool, monkeypatch):
    pool.take_array(SHAPE, FLOAT)
    real, calls = module._new_block, []

    def scarce(size):
        calls.append(pool.stats()["kept"])
        if len(calls) == 1:
            raise MemoryError
        return real(size)

    monkeypatch.setattr(module, "_new_block", scarce)
    assert pool.take(10**6).size == 10**6
    assert calls == [size_class(400_000), 0]


def test_out_of_memory_is_reported(pool, monkeypatch):
    def none(size):
        raise MemoryError

    monkeypatch.setattr(module, "_new_block", none)
    with pytest.raises(MemoryError):
        pool.take(10**6)


def test_size_classes_waste_at_most_an_eighth():
    classes = {size_class(n) for n in range(2**15, 2**16 + 1)}
    assert len(classes) == 9
    for n in (*range(2**15, 2**15 + 5000, 7), 10**6, 10**9 + 1, 2**33 - 1):
        assert n <= size_class(n) <= n * 9 / 8
        assert size_class(size_class(n)) == size_class(n)


def test_the_default_limit_is_a_part_of_the_memory():
    assert 2**20 < default_limit() <= 2**33


def test_threads_never_share_a_block(pool, monkeypatch):
    """Each thread signs its blocks, lets others run, and finds its signature.

    Others run as well wherever the pool has looked at a block or is about to use it.
    """
    references, array = module._references, np.ndarray

    def slow_references(block):
        time.sleep(0)
        found = references(block)
        time.sleep(0)
        return found

    def slow_array(*args):
        time.sleep(0)
        return array(*args)

    slow_numpy = SimpleNamespace(ndarray=slow_array, empty=np.empty, uint8=np.uint8)
    monkeypatch.setattr(module, "_references", slow_references)
    monkeypatch.setattr(module, "np", slow_numpy)
    wrong = []

    def work(number):
        for step in range(300):
            block = pool.take_array((4096,), np.dtype(np.int64))
            block[0] = block[-1] = signature = number * 1000 + step
            time.sleep(0)
            if block[0] != signature or block[-1] != signature:
                wrong.append(signature)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    stats = pool.stats()
    assert stats["reused"] > stats["fresh"]


@pytest.mark.parametrize("limit", [2**30, 0])  # blocks are kept, or they are not
@pytest.mark.parametrize("shape", [SHAPE, (4000, 1000)])
def test_a_sole_view_is_told_from_others(limit, shape):
    pool = Pool(limit)
    x = pool.take_array(shape, FLOAT)
    assert pool.is_sole_view(x)
    y = x[1:]
    assert not pool.is_sole_view(x)
    assert not pool.is_sole_view(y)
    del y
    assert pool.is_sole_view(x)
    buffer = memoryview(x)[:10]
    assert not pool.is_sole_view(np.asarray(buffer))


def test_memory_of_the_users_is_no_sole_view():
    assert not Pool(0).is_sole_view(np.frombuffer(bytes(8)))
    mapped = np.ndarray((4096,), np.uint8, mmap(-1, 4096))
    assert not Pool(0).is_sole_view(mapped[:])


def test_more_than_there_is_raises(pool):
    with pytest.raises(MemoryError):
        pool.take(2**60)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are Linux's")
def test_large_blocks_are_not_advised_to_be_huge(pool):
    """`smaps` lists a mapping's lines below its range; "hg" says that huge pages are asked for."""
    place = address(pool.take(10**7)) + 10**7 // 2
    inside, advised = False, []
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(bounds[1], 16) <= place < int(bounds[2], 16)
        elif inside and line.startswith("VmFlags:"):
            advised.append("hg" in line.split())
    assert advised == [False]
