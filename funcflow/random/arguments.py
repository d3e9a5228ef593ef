"""What samplers have in common: the checks of their arguments."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import SCALARS, aval_of
from funcflow.core.aval import Shape
from funcflow.core.errors import DtypeError, ShapeError
from funcflow.lax.creation import canonical_shape


def float_dtype(function: str, dtype: Any) -> np.dtype[Any]:
    """The floating dtype asked for; the default one if None."""
    found = dtypes.as_dtype(float if dtype is None else dtype)
    if not dtypes.is_float(found):
        raise DtypeError(
            f"{function}: dtype must be floating, got {found.name}",
            mend="pass e.g. dtype='float32'",
        )
    return found


def integer_dtype(function: str, dtype: Any) -> np.dtype[Any]:
    """The integer dtype asked for; the default one if None."""
    found = dtypes.as_dtype(int if dtype is None else dtype)
    if not dtypes.is_integer(found):
        raise DtypeError(
            f"{function}: dtype must be an integer dtype, got {found.name}",
            mend="pass e.g. dtype='int32'",
        )
    return found


def sample_shape(function: str, shape: int | Sequence[int] | None, *shapes: Shape) -> Shape:
    """The shape asked for, to which parameters of these shapes must broadcast.

    None stands for the parameters' own shape.
    """
    parameters = lax.broadcast_shapes(*shapes) if shapes else ()
    if shape is None:
        return parameters
    asked = canonical_shape(shape, function)
    if parameters and not _broadcasts(parameters, asked):
        raise ShapeError(
            f"{function}: parameters of shape {parameters} do not broadcast to the shape {asked}",
            mend="pass a shape whose last axes are those of the parameters",
        )
    return asked


def _broadcasts(small: Shape, large: Shape) -> bool:
    return len(small) <= len(large) and all(
        extent in (1, into) for extent, into in zip(small[::-1], large[::-1], strict=False)
    )


def parameter(x: Any, dtype: np.dtype[Any]) -> Any:
    """A distribution's parameter in the dtype of its samples."""
    if type(x) in SCALARS:
        return np.asarray(x, dtype)
    return lax.convert_element_type(x, dtype)


def inexact(function: str, name: str, x: Any) -> Any:
    """A floating parameter; integers are converted to the default floating dtype."""
    aval = aval_of(x)
    if dtypes.is_float(aval.dtype):
        return parameter(x, aval.dtype)
    if dtypes.is_integer(aval.dtype) or aval.dtype == bool:
        return parameter(x, dtypes.default_float())
    raise DtypeError(f"{function}: {name} must be real, got {aval}")
