"""NaNs in buffers, and what following one finds."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from funcflow.core import dtypes
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.transforms.whereabouts import Element, Origin, first_true

# An element of the operands if the NaN came in with it; None if no NaN is found there.
Found: TypeAlias = Origin | Element | None
# What follows a NaN through a jaxpr, given its operands and where in its results the NaN is.
Follow: TypeAlias = Callable[[ClosedJaxpr, Sequence[Any], Element], Found]


def nans_in(x: Any) -> Any:
    """Where a buffer holds NaNs; None if it holds none."""
    if not dtypes.is_inexact(x.dtype):
        return None
    found = np.isnan(x)
    return found if found.any() else None


def first_nan(buffers: Sequence[Any]) -> Element | None:
    """The first NaN in some buffers."""
    for number, x in enumerate(buffers):
        found = nans_in(x)
        if found is not None:
            return Element(number, first_true(found))
    return None
