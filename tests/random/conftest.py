"""Values recorded from jax 0.10.2 on a CPU (float64 and 64-bit integers under its x64 mode)."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import funcflow as ff

DATA = Path(__file__).parents[1] / "data" / "random.npz"


class Recorded:
    """The arrays by name, e.g. `uniform/200/float32`; the key was `PRNGKey(42)`."""

    def __init__(self) -> None:
        with np.load(DATA) as file:
            self._arrays = dict(file)

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        if name in self._arrays:
            return self._arrays[name]
        return self._arrays[f"{name}:bfloat16"].view(ml_dtypes.bfloat16)

    def check(self, name: str, found: Any) -> None:
        """Assert that an array is the recorded one, bit for bit."""
        expected, got = self[name], np.asarray(found)
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        assert got.tobytes() == expected.tobytes()


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def key() -> Any:
    return ff.random.PRNGKey(42)
