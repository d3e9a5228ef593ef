"""Two of the loops as somebody would write them for Numba, derivative and lanes by hand."""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from loop_programs import CHEAP, DEAR, ECCENTRICITY, FORCE, RATE, RING_STEP


@numba.njit
def close_ring(x: np.ndarray) -> None:
    """Repeats two sites of either end beyond the other, so that no index needs a remainder."""
    x[0], x[1], x[-2], x[-1] = x[-4], x[-3], x[2], x[3]


@numba.njit
def ring_gradient(start: np.ndarray, steps: int) -> np.ndarray:
    """What `loop_programs.ring_gradient` computes, of one array; inner loops are vector code."""
    step, force = start.dtype.type(RING_STEP), start.dtype.type(FORCE)
    sites = range(2, start.size + 2)
    tape = np.empty((steps + 1, start.size + 4), start.dtype)
    tape[0, 2:-2] = start
    close_ring(tape[0])
    for t in range(steps):
        x, new = tape[t], tape[t + 1]
        for i in sites:
            new[i] = x[i] + step * ((x[i + 1] - x[i - 2]) * x[i - 1] - x[i] + force)
        close_ring(new)
    ct, before = tape[steps] + tape[steps], np.empty(start.size + 4, start.dtype)
    for t in range(steps - 1, -1, -1):
        x = tape[t]
        for i in sites:
            neighbours = ct[i - 1] * x[i - 2] - ct[i + 2] * x[i + 1]
            neighbours += ct[i + 1] * (x[i + 2] - x[i - 1])
            before[i] = ct[i] + step * (neighbours - ct[i])
        close_ring(before)
        ct, before = before, ct
    return ct[2:-2]


@numba.njit
def relaxation(x: np.float32, square: np.float32) -> np.float32:
    return x + np.float32(RATE) * (square - x * x)


@numba.njit
def kepler(x: np.float32, mean: np.float32) -> np.float32:
    e, one = np.float32(ECCENTRICITY), np.float32(1)
    return x - (x - e * math.sin(x) - mean) / (one - e * math.cos(x))


def branching(body: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """What `loop_programs.branching` computes, a lane at a time and on one core."""

    @numba.njit
    def function(dear: np.ndarray, x: np.ndarray, constant: np.ndarray) -> np.ndarray:
        result = np.empty_like(x)
        for lane in range(x.size):
            y = x[lane]
            for _ in range(DEAR if dear[lane] else CHEAP):
                y = body(y, constant[lane])
            result[lane] = y
        return result

    return function
