"""Finding NaNs in buffers."""

import ml_dtypes
import numpy as np
import pytest

from funcflow.core.dtypes import float0
from funcflow.transforms.nans import first_nan, nans_in
from funcflow.transforms.whereabouts import Element, first_true


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16", ml_dtypes.bfloat16])
def test_nans_of_every_dtype(dtype):
    x = np.ones((2, 3), dtype)
    assert nans_in(x) is None
    x[1, 2] = np.nan
    assert first_true(nans_in(x)) == (1, 2)
    assert first_nan([np.ones(2, dtype), x]) == Element(1, (1, 2))


@pytest.mark.parametrize("x", [np.ones(2, "i4"), np.ones(2, "?"), np.zeros(2, float0)])
def test_what_holds_none(x):
    assert nans_in(x) is None
    assert first_nan([x]) is None
