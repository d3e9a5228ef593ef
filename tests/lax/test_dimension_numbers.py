"""Names of modes, and dimension numbers as parameters."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax


def test_modes_have_names():
    mode = lax.GatherScatterMode
    assert mode.from_any("clip") is mode.CLIP
    assert (
        mode.from_any(None) is mode.from_any("fill") is mode.from_any("drop") is mode.FILL_OR_DROP
    )
    assert mode.from_any(mode.PROMISE_IN_BOUNDS) is mode.from_any("promise_in_bounds")
    with pytest.raises(ff.errors.ArgumentError, match="unknown gather or scatter mode 'wrap'"):
        mode.from_any("wrap")


def test_dimension_numbers_become_hashable():
    rows = lax.GatherDimensionNumbers([1], [0], np.array([0]))  # type: ignore[arg-type]
    gather = ff.make_jaxpr(lambda x, i: lax.gather(x, i, rows, [1, 3]))
    (eqn,) = gather(np.zeros((2, 3), "f4"), np.zeros((4, 1), "int32")).eqns
    assert eqn.params["dimension_numbers"] == lax.GatherDimensionNumbers((1,), (0,), (0,))
    hash(tuple(eqn.params.values()))


def test_numbers_of_the_other_operation_are_refused():
    dims = lax.GatherDimensionNumbers((1,), (0,), (0,))
    with pytest.raises(ff.errors.ArgumentError, match="must be ScatterDimensionNumbers"):
        lax.scatter(np.zeros((2, 3)), np.zeros((4, 1), int), np.zeros((4, 3)), dims)
