"""erf_inv of float32 has the bits of its reference; of float64 it has no expansion."""

import ml_dtypes
import numpy as np
import pytest

from funcflow.backends.scalars.registry import find_expansion


def test_bits(check_on):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 20000).astype(np.float32)
    tails = (np.float32(1) - np.exp2(rng.uniform(-24, -1, 5000))).astype(np.float32)
    tiny = np.exp2(rng.uniform(-149, -1, 2000)).astype(np.float32)
    ends = np.array([0.0, -0.0, 1, -1, 1.5, np.inf, -np.inf, np.nan], np.float32)
    check_on("erf_inv", np.concatenate([x, tails, -tails, tiny, ends]))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_floats(dtype, check_on):
    check_on("erf_inv", np.arange(2**16, dtype=np.uint16).view(dtype))


def test_double_precision_has_no_expansion():
    assert find_expansion("erf_inv", np.dtype(np.float64)) is None
