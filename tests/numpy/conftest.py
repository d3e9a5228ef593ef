"""What the tests of `funcflow.numpy` share: comparison with NumPy, eagerly and traced."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp

# Relative; results of NumPy come from the same values in double precision.
TOLERANCE = {2: 2e-2, 4: 2e-5, 8: 1e-11}


def _wide(x: Any) -> Any:
    """An argument as NumPy is to see it: in double precision."""
    if isinstance(x, list | tuple):
        return type(x)(map(_wide, x))
    if not isinstance(x, np.ndarray):
        return x
    return x.astype({"f": "f8", "c": "c16"}.get(x.dtype.kind, x.dtype))


def _compare(got: Any, expected: Any) -> None:
    if isinstance(expected, list | tuple):
        assert len(got) == len(expected)
        for g, e in zip(got, expected, strict=True):
            _compare(g, e)
        return
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    if got.dtype.kind in "fcV":
        step = got.dtype.itemsize // (2 if got.dtype.kind == "c" else 1)
        wide = got.astype("c16" if got.dtype.kind == "c" else "f8")
        np.testing.assert_allclose(wide, expected, rtol=TOLERANCE[step], atol=TOLERANCE[step])
    else:
        assert got.dtype.kind == expected.dtype.kind
        np.testing.assert_array_equal(got, expected)


@pytest.fixture(scope="session")
def agrees() -> Callable[..., None]:
    """Check `f(fnp, *args)` against `f(np, *args)`: eagerly, and under `jit` unless `jit=False`."""

    def check(f: Callable[..., Any], *args: Any, jit: bool = True) -> None:
        with np.errstate(all="ignore"):
            expected = f(np, *map(_wide, args))
        arrays = ff.tree.map(fnp.asarray, args)
        _compare(f(fnp, *arrays), expected)
        if jit:
            _compare(ff.jit(lambda *args: f(fnp, *args))(*arrays), expected)

    return check
