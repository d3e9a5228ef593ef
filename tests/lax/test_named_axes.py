"""Sizes of named axes, and indices along them, under vmap and pmap."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, lax

pytestmark = pytest.mark.usefixtures("eight_devices")

F = np.float32
N = 4
X = np.linspace(0.3, 2.0, N * 3, dtype=F).reshape(N, 3)

# name: (function of a lane, arguments with lanes in front, what NumPy makes of all lanes)
CASES = {
    "axis_index": (
        lambda x: lax.add(x, lax.convert_element_type(lax.axis_index("i"), F)),
        X,
        X + np.arange(N)[:, None],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_laws(name, collective_law):
    collective_law(*CASES[name])


@pytest.mark.parametrize(
    "f, error, message",
    [
        (lambda x: lax.axis_index("k"), errors.UnboundAxisError, "axis_index: no axis"),
        (lambda x: lax.axis_size("k"), errors.UnboundAxisError, "axis_size: no axis"),
    ],
)
def test_errors(f, error, message):
    with pytest.raises(error, match=message):
        ff.vmap(f, axis_name="i")(X)
