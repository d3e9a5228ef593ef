"""Arrays as text and in files. What is done here is NumPy's work."""

from typing import Any

import numpy as np

from funcflow.core.array import Array, as_array, wrap

get_printoptions = np.get_printoptions
set_printoptions = np.set_printoptions
printoptions = np.printoptions
savez = np.savez


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: Any = None,
) -> str:
    """The array as `repr` shows it; `precision` and `suppress_small` as in `set_printoptions`."""
    options = {"precision": precision, "suppress": suppress_small, "linewidth": max_line_width}
    with np.printoptions(**{name: value for name, value in options.items() if value is not None}):
        return repr(as_array(arr))


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: Any = None,
) -> str:
    """The array as `str` shows it."""
    return np.array_str(np.asarray(a), max_line_width, precision, suppress_small)


def save(file: Any, arr: Any, allow_pickle: bool = True) -> None:
    """Write an array to a file in NumPy's format `.npy`."""
    np.save(file, np.asarray(arr), allow_pickle)


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """Read an array from a file in NumPy's format `.npy`, or a mapping of arrays from `.npz`."""
    found = np.load(file, *args, **kwargs)
    return wrap(found) if isinstance(found, np.ndarray) else found


def fromfile(*args: Any, **kwargs: Any) -> Array:
    """Read the numbers of a binary or text file; see `numpy.fromfile`."""
    return wrap(np.fromfile(*args, **kwargs))
