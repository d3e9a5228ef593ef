"""What happens to indices out of bounds, for functions that take indices along an axis."""

from typing import Any

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ConcretizationTypeError, DtypeError
from funcflow.numpy.arguments import is_known
from funcflow.numpy.index_parsing import out_of_bounds
from funcflow.numpy.promotion import as_array


def integers(function: str, indices: Any) -> Array:
    """Indices as an array of integers."""
    indices = as_array(function, indices)
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"{function}: indices must be integers, got {indices.aval}",
            mend="convert them with .astype(int)",
        )
    return indices


def with_mode(
    function: str, indices: Array, extent: int, mode: str | None
) -> tuple[Array, str | None]:
    """Do what the modes "clip" and "wrap" ask for, which `gather` does not know in this form."""
    if mode == "raise":
        if not is_known(indices):
            raise ConcretizationTypeError(
                f"{function}: mode='raise' needs the values of the indices {indices.aval}, "
                "which are traced",
                mend="use mode='clip', 'wrap' or 'fill'",
            )
        return indices, None
    if mode in ("clip", "wrap") and not extent:
        if indices.size:
            raise out_of_bounds(0, 0, 0, function)
        return indices, None
    if mode == "clip":
        return lax.clamp(0, wide_indices(indices), extent - 1), "promise_in_bounds"
    if mode == "wrap":
        remainder = lax.rem(wide_indices(indices), extent)
        wrapped = lax.select(lax.lt(remainder, 0), lax.add(remainder, extent), remainder)
        return wrapped, "promise_in_bounds"
    if mode not in (None, "fill", "drop", "promise_in_bounds"):
        raise ArgumentError(
            f"{function}: mode={mode!r}",
            mend="use 'fill', 'clip', 'wrap', 'raise' or 'promise_in_bounds'",
        )
    return indices, mode


def wide_indices(indices: Array) -> Array:
    """Indices in a dtype that holds any extent."""
    return lax.convert_element_type(indices, "int64" if indices.dtype.itemsize == 8 else "int32")
