"""Gathers, scatters and permutations of lanes, under vmap and pmap."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, lax

pytestmark = pytest.mark.usefixtures("eight_devices")

F = np.float32
N = 4
X = np.linspace(0.3, 2.0, N * 3, dtype=F).reshape(N, 3)
SQUARE = np.linspace(-1.0, 2.0, N * N * 2, dtype=F).reshape(N, N, 2)
SHIFT = [(0, 1), (1, 2), (2, 3), (3, 0)]
PART = [(0, 2), (3, 1)]


def moved(x, pairs):
    out = np.zeros_like(x)
    for source, destination in pairs:
        out[destination] = x[source]
    return out


# name: (function of a lane, arguments with lanes in front, what NumPy makes of all lanes)
CASES = {
    "all_gather": (lambda x: lax.all_gather(x, "i"), X, np.stack([X] * N)),
    "all_gather_axis": (lambda x: lax.all_gather(x, "i", axis=1), X, np.stack([X.T] * N)),
    "all_gather_last": (lambda x: lax.all_gather(x, "i", axis=-1), X, np.stack([X.T] * N)),
    "all_gather_tiled": (
        lambda x: lax.all_gather(x, "i", tiled=True),
        X,
        np.stack([X.ravel()] * N),
    ),
    "psum_scatter": (lambda x: lax.psum_scatter(x, "i"), SQUARE, SQUARE.sum(0)),
    "psum_scatter_axis": (
        lambda x: lax.psum_scatter(x, "i", scatter_dimension=1),
        SQUARE.swapaxes(1, 2),
        SQUARE.sum(0),
    ),
    "psum_scatter_tiled": (
        lambda x: lax.psum_scatter(x, "i", tiled=True),
        SQUARE.reshape(N, 2 * N),
        SQUARE.reshape(N, 2 * N).sum(0).reshape(N, 2),
    ),
    "all_to_all": (lambda x: lax.all_to_all(x, "i", 0, 0), SQUARE, SQUARE.swapaxes(0, 1)),
    "all_to_all_axes": (lambda x: lax.all_to_all(x, "i", 0, 1), SQUARE, SQUARE.transpose(1, 2, 0)),
    "all_to_all_tiled": (
        lambda x: lax.all_to_all(x, "i", 0, 1, tiled=True),
        SQUARE,
        SQUARE.transpose(1, 0, 2).reshape(N, 1, 2 * N),
    ),
    "all_to_all_tiled_same": (
        lambda x: lax.all_to_all(x, "i", 0, 0, tiled=True),
        SQUARE.reshape(N, 2 * N),
        SQUARE.swapaxes(0, 1).reshape(N, 2 * N),
    ),
    "pswapaxes": (lambda x: lax.pswapaxes(x, "i", 0), SQUARE, SQUARE.swapaxes(0, 1)),
    "ppermute": (lambda x: lax.ppermute(x, "i", SHIFT), X, moved(X, SHIFT)),
    "ppermute_part": (lambda x: lax.ppermute(x, "i", PART), X, moved(X, PART)),
    "pshuffle": (lambda x: lax.pshuffle(x, "i", [3, 1, 0, 2]), X, X[[3, 1, 0, 2]]),
    "pbroadcast": (lambda x: lax.pbroadcast(x, "i", 2), X, np.stack([X[2]] * N)),
}


@pytest.mark.parametrize("name", CASES)
def test_laws(name, collective_law):
    collective_law(*CASES[name])


@pytest.mark.parametrize(
    "f, error, message",
    [
        (lambda x: lax.all_gather(x, "k"), errors.UnboundAxisError, "all_gather: no axis"),
        (lambda x: lax.psum_scatter(x, "k"), errors.UnboundAxisError, "psum_scatter: no axis"),
        (lambda x: lax.all_to_all(x, "k", 0, 0), errors.UnboundAxisError, "all_to_all: no axis"),
        (lambda x: lax.ppermute(x, "k", SHIFT), errors.UnboundAxisError, "ppermute: no axis"),
        (lambda x: lax.pbroadcast(x, "k", 0), errors.UnboundAxisError, "no axis named 'k'"),
        (
            lambda x: lax.all_gather(x, ("i", "j")),
            errors.ArgumentError,
            "all_gather: takes one axis name",
        ),
        (
            lambda x: lax.ppermute(x, ("i", "j"), SHIFT),
            errors.ArgumentError,
            "ppermute: takes one axis name",
        ),
        (lambda x: lax.all_gather(x, "i", axis=3), errors.AxisError, "all_gather: axis 3"),
        (
            lambda x: lax.psum_scatter(x, "i"),
            errors.ShapeError,
            "psum_scatter: the extent 3.*size 4",
        ),
        (
            lambda x: lax.psum_scatter(x, "i", tiled=True),
            errors.ShapeError,
            "psum_scatter.*no multiple",
        ),
        (
            lambda x: lax.psum_scatter(x, "i", scatter_dimension=2),
            errors.AxisError,
            "psum_scatter: axis 2",
        ),
        (
            lambda x: lax.all_to_all(x, "i", 0, 0),
            errors.ShapeError,
            "all_to_all: the extent 3.*size 4",
        ),
        (
            lambda x: lax.all_to_all(x, "i", 0, 0, tiled=True),
            errors.ShapeError,
            "all_to_all.*no multiple",
        ),
        (lambda x: lax.all_to_all(x, "i", 1, 0), errors.AxisError, "all_to_all: axis 1"),
        (
            lambda x: lax.ppermute(x, "i", [(0, 1), (0, 2)]),
            errors.ArgumentError,
            "names a source twice",
        ),
        (
            lambda x: lax.ppermute(x, "i", [(0, 1), (2, 1)]),
            errors.ArgumentError,
            "names a destination twice",
        ),
        (lambda x: lax.ppermute(x, "i", [(0, 4)]), errors.ArgumentError, "outside 0..3"),
        (lambda x: lax.ppermute(x, "i", [(-1, 0)]), errors.ArgumentError, "outside 0..3"),
        (lambda x: lax.ppermute(x, "i", [0, 1]), errors.ArgumentError, "pairs"),
        (
            lambda x: lax.pshuffle(x, "i", [0, 0, 1, 2]),
            errors.ArgumentError,
            "pshuffle: .* no permutation",
        ),
        (
            lambda x: lax.pshuffle(x, "i", [0, 1]),
            errors.ArgumentError,
            "pshuffle: .* no permutation",
        ),
        (lambda x: lax.pbroadcast(x, "i", 4), errors.ArgumentError, "pbroadcast: .*outside 0..3"),
    ],
)
def test_errors(f, error, message):
    with pytest.raises(error, match=message):
        ff.vmap(f, axis_name="i")(X)
