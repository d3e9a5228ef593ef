"""Where the results of compiled programs lie."""

import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.numba.executable import pool


def taken(f, x):
    """How many blocks of the pool a call takes."""
    f(x)
    before = pool().stats()
    f(x)
    after = pool().stats()
    return sum(after[name] - before[name] for name in ("reused", "fresh"))


@pytest.mark.parametrize(("count", "size", "blocks"), [(1, 2500, 0), (6, 2500, 0), (7, 2500, 7)])
def test_results_of_few_bytes_in_all_take_no_blocks(count, size, blocks):
    # 7 times 10,000 bytes would be freed to the system, and mapped again in the next call
    f = ff.jit(lambda x: [x + i for i in range(count)])
    assert taken(f, fnp.ones(size)) == blocks


def test_tiny_results_among_large_ones_take_no_blocks():
    f = ff.jit(lambda x: [x + 1, x[:10] * 2, x[:900] - 3])
    assert taken(f, fnp.ones(50_000)) == 1
