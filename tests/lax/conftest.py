"""What the tests of elementwise operations share: comparison with a function of NumPy or SciPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from funcflow.core import dtypes

# Relative to the value or, for complex numbers, the modulus.
TOLERANCE = {
    "float16": 2e-3,
    "bfloat16": 1.6e-2,
    "float32": 2e-6,
    "complex64": 2e-5,
    "float64": 1e-13,
    "complex128": 1e-12,
}


def _widened(x: Any) -> Any:
    value = np.asarray(x)
    if not dtypes.is_inexact(value.dtype):
        return value
    return value.astype("complex128" if value.dtype.kind == "c" else "float64")


def assert_agrees(
    function: Callable[..., Any],
    reference: Callable[..., Any],
    *args: Any,
    dtype: Any = None,
    tolerance: float | None = None,
) -> None:
    """Check `function(*args)` against `reference` of the same values in double precision.

    The result's dtype must be `dtype` (by default the first argument's), its shape the reference's.
    Integers and booleans must agree exactly.
    """
    got = np.asarray(function(*args))
    with np.errstate(all="ignore"):
        wide = np.asarray(reference(*map(_widened, args)))
        assert got.dtype == np.dtype(args[0].dtype if dtype is None else dtype)
        assert got.shape == wide.shape
        if not dtypes.is_inexact(got.dtype):
            np.testing.assert_array_equal(got, wide.astype(got.dtype))
            return
        # rounding the reference makes the same values infinite or zero
        expected = _widened(wide.astype(got.dtype))
    limit = TOLERANCE[got.dtype.name] if tolerance is None else tolerance
    tiny = (
        4 * float(np.finfo(dtypes.real_of(got.dtype)).smallest_subnormal)
        if (got.dtype.kind == "f")
        else limit
    )
    np.testing.assert_allclose(_widened(got), expected, rtol=limit, atol=tiny)


@pytest.fixture(scope="session")
def agrees() -> Callable[..., None]:
    """See `assert_agrees`."""
    return assert_agrees
