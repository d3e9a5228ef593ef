"""What layers ask of their inputs."""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core import dtypes
from funcflow.core.errors import DtypeError, ShapeError


def expect_features(x: Any, features: int) -> None:
    """Refuse an input whose last axis has another extent."""
    shape = fnp.shape(x)
    if not shape or shape[-1] != features:
        raise ShapeError(
            f"the layer takes {features} features along the last axis, "
            f"got an input of shape {shape}",
            mend="features (channels) come last: fnp.moveaxis puts an axis there",
        )


def expect_ndim(x: Any, ndim: int, axes: str) -> None:
    """Refuse an input of another rank; `axes` names the axes that it should have."""
    shape = fnp.shape(x)
    if len(shape) != ndim:
        raise ShapeError(
            f"the layer takes an input with the axes ({axes}), got one of shape {shape}",
            mend="x[None] adds a batch axis in front, x[..., None] a channel axis behind",
        )


def expect_integers(x: Any) -> None:
    """Refuse an input that is no array of integers."""
    dtype = fnp.asarray(x).dtype
    if not dtypes.is_integer(dtype):
        raise DtypeError(
            f"the layer takes integers, got {dtype}", mend="x.astype(fnp.int32) converts"
        )
