"""A small problem: whether a point lies in the first quadrant."""

from typing import Any, NamedTuple

import numpy as np
import pytest

import funcflow as ff
from funcflow import nn


class Problem(NamedTuple):
    model: Any
    data: tuple[Any, Any]


@pytest.fixture
def problem() -> Problem:
    k1, k2 = ff.random.split(ff.random.key(0))
    model = nn.Sequential(
        [nn.Linear(2, 16, key=k1), nn.BatchNorm(16), nn.relu, nn.Dropout(0.1)]
        + [nn.Linear(16, 2, key=k2)]
    )
    x = np.random.default_rng(0).normal(size=(96, 2)).astype(np.float32)
    return Problem(model, (x, (x > 0).all(1).astype(np.int32)))
