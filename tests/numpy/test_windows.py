"""Window functions, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ConcretizationTypeError


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_windows(count, agrees):
    for name in ("bartlett", "blackman", "hamming", "hanning"):
        agrees(lambda xp, name=name: getattr(xp, name)(count))
    agrees(lambda xp: xp.kaiser(count, 3.5))
    assert fnp.hanning(count).dtype == np.float32


def test_traced_sizes_are_refused():
    with pytest.raises(ConcretizationTypeError, match="bartlett"):
        ff.jit(fnp.bartlett)(3)
