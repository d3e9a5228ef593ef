"""Comparing results: tolerances for each dtype, and messages that name the law that failed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import Array, as_buffer, aval_of, is_array_like, wrap
from funcflow.core.pytree import (
    keystr,
    structure_difference,
    tree_flatten_with_path,
    tree_map,
    tree_structure,
)

Tolerances = Mapping[np.dtype[Any], float]


def _tolerances(bf16: float, f16: float, f32: float, f64: float) -> Tolerances:
    return {
        dtypes.bfloat16: bf16,
        np.dtype("float16"): f16,
        np.dtype("float32"): f32,
        np.dtype("float64"): f64,
        np.dtype("complex64"): f32,
        np.dtype("complex128"): f64,
    }


# The same computation in another order.
REORDERED = _tolerances(bf16=3e-2, f16=4e-3, f32=1e-5, f64=1e-12)
# The same computation in a wider dtype.
WIDENED = _tolerances(bf16=2e-1, f16=3e-2, f32=1e-3, f64=1e-10)
# A derivative against a difference quotient of function values of this dtype.
DIFFERENCES = _tolerances(bf16=3e-1, f16=1e-1, f32=1e-2, f64=1e-5)


class _Count:
    """How many comparisons have been made in this process."""

    cases = 0


count = _Count()


def as_arrays(tree: Any) -> Any:
    """The tree with NumPy arrays as arrays; Python scalars stay."""
    return tree_map(lambda x: wrap(x) if isinstance(x, np.ndarray | np.generic) else x, tree)


def assert_close(
    law: str,
    got: Any,
    expected: Any,
    *,
    tolerances: Tolerances,
    atol: float | None = None,
    rtol: float | None = None,
    weak_types: bool = False,
    skip_nonfinite: bool = False,
) -> None:
    """Refuse two trees of arrays that differ in structure, shapes, dtypes or values.

    An element may differ by `atol + rtol * |expected|`. By default `rtol` is the dtype's tolerance
    and `atol` the tolerance times the largest magnitude in the array (at least 1). NaNs are equal.

    Args:
        law: what is checked; the message starts with it.
        got: a tree of arrays.
        expected: a tree of arrays.
        tolerances: the default tolerance of each dtype.
        atol: absolute tolerance.
        rtol: relative tolerance.
        weak_types: whether the weak flags must agree, too.
        skip_nonfinite: whether elements whose expected value is not finite are left out.

    Raises:
        AssertionError: naming the law, the output, and the values that differ.
    """
    count.cases += 1
    if tree_structure(got) != tree_structure(expected):
        difference = structure_difference(expected, got)
        raise AssertionError(f"law {law!r} fails: the structures differ {difference}")
    pairs = zip(tree_flatten_with_path(got)[0], tree_flatten_with_path(expected)[0], strict=True)
    for (path, x), (_, y) in pairs:
        where = f"law {law!r} fails for output {keystr(path) or 'of f'}:\n"
        _assert_same_type(where, x, y, weak_types)
        a, b = concrete(x), concrete(y)
        tolerance = tolerances.get(b.dtype, 0.0)
        _assert_same_values(where, a, b, tolerance, atol, rtol, skip_nonfinite)


def concrete(x: Any) -> np.ndarray[Any, Any]:
    """The values of an array (float0 arrays included) as a NumPy array."""
    return np.asarray(as_buffer(x)) if is_array_like(x) else np.asarray(x)


def _type_of(x: Any, weak_types: bool) -> str:
    if not is_array_like(x):
        return type(x).__name__
    aval = aval_of(x)
    return str(aval) + ("*" if weak_types and aval.weak_type else "")


def _assert_same_type(where: str, got: Any, expected: Any, weak_types: bool) -> None:
    types = _type_of(got, weak_types), _type_of(expected, weak_types)
    if types[0] != types[1]:
        note = " (* marks a weak type)" if "*" in types[0] + types[1] else ""
        raise AssertionError(f"{where}  got type {types[0]}, expected {types[1]}{note}")


def _assert_same_values(
    where: str,
    got: np.ndarray[Any, Any],
    expected: np.ndarray[Any, Any],
    tolerance: float,
    atol: float | None,
    rtol: float | None,
    skip_nonfinite: bool,
) -> None:
    a, b = _wide(got), _wide(expected)
    if a.dtype.kind not in "fc":
        bad, allowed = a != b, np.zeros(b.shape)
    else:
        with np.errstate(all="ignore"):
            size = np.abs(b)
            largest = np.max(size, where=np.isfinite(size), initial=1.0)
            absolute = tolerance * largest if atol is None else atol
            allowed = absolute + (tolerance if rtol is None else rtol) * size
            equal = (a == b) | (np.isnan(a) & np.isnan(b))
            close = np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) <= allowed)
            bad = ~(equal | close | (skip_nonfinite & ~np.isfinite(b)))
    if not bad.any():
        return
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    raise AssertionError(
        f"{where}  got      {show(got)}\n  expected {show(expected)}\n"
        f"  {bad.sum()} of {bad.size} elements differ; first at index {index}: "
        f"{a[index]} instead of {b[index]}, allowed difference {allowed[index]:.3g}"
    )


def _wide(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return x.astype(np.float64) if dtypes.kind(x.dtype) == "f" else x


def show(x: Any) -> str:
    """An array's type and, shortened, its values."""
    value = concrete(x)
    text = np.array2string(value, threshold=30, precision=8, separator=", ", prefix=" " * 11)
    name = dtypes.SHORT_NAME.get(value.dtype, str(value.dtype))
    return f"{name}[{','.join(map(str, value.shape))}]: {text}"


def is_inexact(x: Any) -> bool:
    """Whether a leaf can be differentiated."""
    return is_array_like(x) and dtypes.is_inexact(aval_of(x).dtype)


def widest(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The 64-bit floating (or complex) dtype of the same kind."""
    return np.dtype("complex128" if dtypes.is_complex(dtype) else "float64")


def widen(x: Any) -> Array:
    """A floating array in double precision."""
    return wrap(concrete(x).astype(widest(aval_of(x).dtype)))
