"""Which steps of sequences count."""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import DtypeError, ShapeError


def time_mask(shape: tuple[int, ...], lengths: Any, mask: Any) -> Array | None:
    """Booleans of shape `(batch, time)` from lengths, from a mask or from both; None for all.

    Raises:
        DtypeError: the mask is not boolean, or the lengths are no integers.
        ShapeError: the mask has another shape, or there is not one length for each sequence.
    """
    if mask is not None:
        mask = fnp.asarray(mask)
        _expect("mask", mask, shape, mask.dtype == bool, "booleans")
    if lengths is None:
        return mask
    lengths = fnp.asarray(lengths)
    _expect("lengths", lengths, shape[:1], dtypes.is_integer(lengths.dtype), "integers")
    within = fnp.arange(shape[1]) < lengths[:, None]
    return within if mask is None else fnp.logical_and(mask, within)


def _expect(name: str, x: Array, shape: tuple[int, ...], right_kind: bool, kind: str) -> None:
    if not right_kind:
        raise DtypeError(f"{name} must be {kind}, got {x.aval}", mend="x.astype(...) converts")
    if x.shape != shape:
        raise ShapeError(
            f"{name} must be {kind} of shape {shape}, got {x.aval}",
            mend="give one for each sequence of the batch"
            + ("" if len(shape) == 1 else " and each of its steps"),
        )
